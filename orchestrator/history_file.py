"""The figures of runs on disk, for years: a file of its own beside the journal.

Synchronous; used from one thread. Every figure is kept for `runs_kept_seconds`, and the durations of single
steps for `steps_kept_seconds`; what is older is summed up by month, so that the file stays small however long
it is kept. It can be made anew from the runs in the store, as far as they are there.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from orchestrator.figures import Figures
from orchestrator.journal_file import errors_named, transaction
from runbooks.errors import JournalDamaged, JournalTrouble
from runbooks.timing import nearest_rank

log = structlog.get_logger(__name__)

APPLICATION_ID = 0x7477_7368  # "twsh"
FORMAT = 1
YEAR_SECONDS = 365.25 * 86400
RUNS_KEPT_SECONDS = 10 * YEAR_SECONDS
STEPS_KEPT_SECONDS = 2 * YEAR_SECONDS
MOST_RUNS = 50_000

_SCHEMA = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, service TEXT NOT NULL, kind TEXT NOT NULL, ended REAL NOT NULL,
    figures TEXT NOT NULL
);
CREATE INDEX runs_by_end ON runs (ended);
CREATE TABLE steps (
    run TEXT NOT NULL, service TEXT NOT NULL, step TEXT NOT NULL, ended REAL NOT NULL, seconds REAL NOT NULL
);
CREATE INDEX steps_by_name ON steps (service, step, ended);
CREATE INDEX steps_by_run ON steps (run);
CREATE TABLE months (
    month TEXT NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL, of TEXT NOT NULL,
    samples INTEGER NOT NULL, p50 REAL NOT NULL, p75 REAL NOT NULL, longest REAL NOT NULL,
    PRIMARY KEY (month, service, name, of)
);
CREATE TABLE horizon (ended REAL NOT NULL);
INSERT INTO horizon VALUES (0);
"""
_FIELDS = frozenset(field.name for field in fields(Figures))


@dataclass(frozen=True, slots=True)
class Month:
    """A month of a service summed up: `of` is `step`, `outage`, `used` or `lost`, `name` the step or the kind
    of run. All in seconds."""

    month: str
    service: str
    name: str
    of: str
    samples: int
    p50_seconds: float
    p75_seconds: float
    longest_seconds: float


class HistoryFile:
    """One open file."""

    def __init__(
        self,
        path: Path,
        *,
        runs_kept_seconds: float = RUNS_KEPT_SECONDS,
        steps_kept_seconds: float = STEPS_KEPT_SECONDS,
        most_runs: int = MOST_RUNS,
    ) -> None:
        """Opens or makes it; one that is not sound is moved aside first. Raises JournalTrouble."""
        self._path = path
        self._runs_kept_seconds = runs_kept_seconds
        self._steps_kept_seconds = steps_kept_seconds
        self._most_runs = most_runs
        try:
            self._connection = _opened(path)
        except JournalDamaged as fault:
            # It is made from runs that stand elsewhere too; a controller must not stay down for it.
            aside = path.with_name(f"{path.name}.damaged")
            log.error("history-moved-aside", problem=str(fault), to=str(aside))
            with errors_named(path):
                path.replace(aside)
                for beside in ("-wal", "-shm"):
                    path.with_name(path.name + beside).unlink(missing_ok=True)
            self._connection = _opened(path)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def take(self, found: Sequence[Figures]) -> None:
        """Keep these, each once; what is known already is replaced, its steps are not kept twice."""
        with errors_named(self._path), transaction(self._connection):
            horizon = float(self._connection.execute("SELECT ended FROM horizon").fetchone()[0])
            for one in found:
                if one.ended_unix_seconds > horizon:
                    self._take(one)

    def _take(self, one: Figures) -> None:
        bare = {key: value for key, value in asdict(one).items() if key != "steps"}
        known = self._connection.execute("SELECT 1 FROM runs WHERE run = ?", (one.run,)).fetchone()
        self._connection.execute(
            "INSERT INTO runs (run, service, kind, ended, figures) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (run) DO UPDATE SET figures = excluded.figures, ended = excluded.ended",
            (one.run, one.service, one.kind, one.ended_unix_seconds, json.dumps(bare, separators=(",", ":"))),
        )
        if known is None:
            self._connection.executemany(
                "INSERT INTO steps (run, service, step, ended, seconds) VALUES (?, ?, ?, ?, ?)",
                [(one.run, one.service, s, one.ended_unix_seconds, took) for s, took in one.steps.items()],
            )

    def runs(
        self, limit: int, *, service: str | None = None, since_unix_seconds: float = 0.0
    ) -> tuple[Figures, ...]:
        """The latest, newest first, with the durations of their steps as far as these are still there."""
        where, values = ("AND service = ? ", [service]) if service else ("", [])
        with errors_named(self._path):
            rows = self._connection.execute(
                f"SELECT run, figures FROM runs WHERE ended >= ? {where}ORDER BY ended DESC, run LIMIT ?",
                (since_unix_seconds, *values, limit),
            ).fetchall()
            return tuple(_figures(text, self._steps_of(run)) for run, text in rows)

    def _steps_of(self, run: str) -> dict[str, float]:
        rows = self._connection.execute("SELECT step, seconds FROM steps WHERE run = ?", (run,))
        return {str(step): float(seconds) for step, seconds in rows}

    def months(self, *, service: str | None = None) -> tuple[Month, ...]:
        """Every month, oldest first: what was summed up, and what is still there in full."""
        where, values = ("WHERE service = ? ", (service,)) if service else ("", ())
        with errors_named(self._path):
            kept = [
                Month(*row)
                for row in self._connection.execute(
                    f"SELECT month, service, name, of, samples, p50, p75, longest FROM months {where}", values
                )
            ]
            summed = {(one.month, one.service, one.name, one.of) for one in kept}
            fresh = [
                one
                for one in self._summed(float("inf"), float("inf"), service)
                if (one.month, one.service, one.name, one.of) not in summed
            ]
        return tuple(sorted([*kept, *fresh], key=lambda one: (one.month, one.service, one.of, one.name)))

    def compact(self, now_unix_seconds: float) -> None:
        """Sum up what is older than is kept, by whole months, and let it go."""
        steps_until = _month_start(now_unix_seconds - self._steps_kept_seconds)
        runs_until = _month_start(now_unix_seconds - self._runs_kept_seconds)
        with errors_named(self._path), transaction(self._connection):
            over = self._connection.execute(
                "SELECT ended FROM runs ORDER BY ended DESC LIMIT 1 OFFSET ?", (self._most_runs,)
            ).fetchone()
            if over is not None:
                runs_until = max(runs_until, _month_start(float(over[0])))
            self._connection.executemany(
                "INSERT OR IGNORE INTO months (month, service, name, of, samples, p50, p75, longest) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        m.month,
                        m.service,
                        m.name,
                        m.of,
                        m.samples,
                        m.p50_seconds,
                        m.p75_seconds,
                        m.longest_seconds,
                    )
                    for m in self._summed(steps_until, runs_until, None)
                ],
            )
            self._connection.execute("DELETE FROM steps WHERE ended < ?", (steps_until,))
            self._connection.execute("DELETE FROM runs WHERE ended < ?", (runs_until,))
            self._connection.execute("UPDATE horizon SET ended = max(ended, ?)", (runs_until,))

    def _summed(self, steps_until: float, runs_until: float, service: str | None) -> list[Month]:
        """By month, of the steps and runs that ended before; nothing is changed."""
        groups: dict[tuple[str, str, str, str], list[float]] = {}
        only, values = ("AND service = ?", (service,)) if service else ("", ())
        for of, step, ended, seconds in self._connection.execute(
            f"SELECT service, step, ended, seconds FROM steps WHERE ended < ? {only}", (steps_until, *values)
        ):
            groups.setdefault((_month(ended), of, step, "step"), []).append(seconds)
        for of, kind, ended, text in self._connection.execute(
            f"SELECT service, kind, ended, figures FROM runs WHERE ended < ? {only}", (runs_until, *values)
        ):
            figures = json.loads(text)
            if figures.get("state") != "done":
                continue
            for name, key in (
                ("outage", "outage_seconds"),
                ("used", "used_seconds"),
                ("lost", "lost_seconds"),
            ):
                if figures.get(key) is not None:
                    groups.setdefault((_month(ended), of, kind, name), []).append(figures[key])
        return [_month_of(key, sorted(found)) for key, found in groups.items()]


def _month_of(key: tuple[str, str, str, str], ordered: list[float]) -> Month:
    month, service, name, of = key
    p50, p75 = nearest_rank(ordered, 0.5), nearest_rank(ordered, 0.75)
    return Month(month, service, name, of, len(ordered), p50, p75, ordered[-1])


def _opened(path: Path) -> sqlite3.Connection:
    with errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        with suppress(OSError):
            path.chmod(0o600)
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if owner not in (0, APPLICATION_ID):
        raise JournalDamaged(f"{path}: some other program's database")
    if version > FORMAT:
        raise JournalTrouble(f"{path}: written by a newer twinsite (format {version}); use that one")
    connection.execute("PRAGMA journal_mode = WAL")
    # What a power cut takes of it is in the store and in the journal all the same.
    connection.execute("PRAGMA synchronous = NORMAL")
    if version == 0:
        with transaction(connection):
            for statement in _SCHEMA.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        return
    connection.execute("CREATE INDEX IF NOT EXISTS steps_by_run ON steps (run)")
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise JournalDamaged(f"{path}: its database is not sound")


def _figures(text: str, steps: dict[str, float]) -> Figures:
    kept: dict[str, Any] = {key: value for key, value in json.loads(text).items() if key in _FIELDS}
    return Figures(**kept, steps=steps)


def _month(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m")


def _month_start(unix_seconds: float) -> float:
    at = datetime.fromtimestamp(max(0.0, unix_seconds), UTC)
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
