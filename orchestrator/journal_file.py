"""The journal's file: made and opened with care, its errors in plain words, and its reserve for a full disk.

Synchronous; used from the journal's one thread. It knows the file, not what stands in it.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbooks.errors import JournalDamaged, JournalFull, JournalNewer, JournalTrouble

APPLICATION_ID = 0x7477_736A  # "twsj": tells our file from any other SQLite file
SCHEMA_VERSION = 2
"""Of what stands in it: 2 knows orders about runs. What 1 wrote is read as it is."""
RESERVE_BYTES = 8 * 1024 * 1024  # the ends of a few hundred steps, with the log's frames round them
BUSY_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, kind TEXT NOT NULL, service TEXT NOT NULL, from_site TEXT NOT NULL,
    to_site TEXT NOT NULL, who TEXT NOT NULL, started_wall_seconds REAL NOT NULL,
    ended_wall_seconds REAL, outcome TEXT, summary TEXT NOT NULL DEFAULT ''
);
CREATE TABLE records (
    number INTEGER PRIMARY KEY, run_id TEXT NOT NULL, sequence INTEGER NOT NULL,
    wall_seconds REAL NOT NULL, boottime_ns INTEGER NOT NULL, event TEXT NOT NULL,
    UNIQUE (run_id, sequence)
);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, wall_seconds REAL NOT NULL, boottime_ns INTEGER NOT NULL,
    kind TEXT NOT NULL, service TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX events_by_service ON events (service, number);
"""


def full(path: Path) -> JournalFull:
    """There is no room for a record."""
    return JournalFull(
        f"{path}: no space left to record what is done, so nothing more is started. "
        f"Free some space in {path.parent}, then let the run go on"
    )


def damaged(path: Path, found: str) -> JournalDamaged:
    """The file is not a sound journal."""
    return JournalDamaged(
        f"{path}: not a sound journal ({found}). Move it aside (mv {path.name} {path.name}.damaged, with its "
        f"-wal file if there is one) and start again with an empty one: runs that only stood there cannot be "
        f"resumed, so look at their services first"
    )


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system, as those of the journal."""
    try:
        yield
    except sqlite3.Error as error:
        raise _named(path, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(path) from error
        raise JournalTrouble(f"{path}: {error.strerror or error}; check the folder and its rights") from error


def _named(path: Path, error: sqlite3.Error) -> JournalTrouble:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path, str(error))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return JournalTrouble(f"{path}: another process is writing to it; stop that one first")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return JournalTrouble(f"{path}: cannot be opened for writing; check the folder and its rights")
        case _:
            return JournalTrouble(f"{path}: {error}; check the disk")


def opened(path: Path) -> sqlite3.Connection:
    """The journal, made if there is none, checked if there is one. Raises JournalTrouble or JournalNewer."""
    with errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made with its rights, and not given them later: evidence may name hosts and people.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    owner = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    fresh = owner == 0 and version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    if not fresh and owner != APPLICATION_ID:
        raise damaged(path, "some other program's database")
    if version > SCHEMA_VERSION:
        raise JournalNewer(
            f"{path}: written by a newer twinsite (format {version}, this one knows {SCHEMA_VERSION}); "
            "use the newer version, or move the file aside"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if fresh:
        with transaction(connection):
            for statement in _SCHEMA.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, str(found).splitlines()[0])
    if version < SCHEMA_VERSION:
        # From now on it may hold what an older twinsite would take for damage.
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; on disk when it ends well."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class WriterLock:
    """Makes sure that one process alone writes a journal; the kernel gives it up when that process ends."""

    def __init__(self, path: Path) -> None:
        """Raises JournalTrouble when another process has it."""
        with errors_named(path):
            self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise JournalTrouble(
                f"{path}: another controller is using this journal; stop that one first"
            ) from error

    def release(self) -> None:
        """Let others write."""
        os.close(self._file)


class Reserve:
    """Space set aside beside the journal, given up when the disk is full so that ends can be recorded."""

    def __init__(self, path: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._journal = path
        self._path = path.with_name(path.name + ".reserve")
        self._size_bytes = size_bytes
        self._known = False

    def hold(self) -> None:
        """Make sure that it is there. Raises JournalFull when there is no space for it."""
        if self._known:
            return
        with errors_named(self._journal):
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Really allocated, and not a hole that would need space when it is too late.
                os.posix_fallocate(file, 0, self._size_bytes)
            except OSError:
                self._path.unlink(missing_ok=True)  # half of it would take the last space for nothing
                raise
            finally:
                os.close(file)
        self._known = True

    def give_up(self) -> bool:
        """Free the space; False when it was not there any more."""
        self._known = False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
