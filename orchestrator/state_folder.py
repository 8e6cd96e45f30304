"""The state directory as a process of this site uses it: whether it can be written to, and the lock on it.

What the disk says is told as place, finding and remedy; decides nothing else.
"""

import contextlib
import errno
import fcntl
import getpass
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from orchestrator.errors import OrchestratorMisuse, OrchestratorTrouble

KEEPER = "keeper"  # the name of its lock


class StateUnusable(OrchestratorTrouble):
    """The state directory, or something in it, cannot be used."""


class AlreadyRuns(OrchestratorMisuse):
    """Another process does this for the same site on this machine."""


def lock_directory(directory: Path, name: str, *, wait: bool = False) -> TextIO:
    """Hold a lock for as long as the returned file is open: one `name` per state directory. `wait`: until
    nobody else holds it, however long that takes.

    Raises AlreadyRuns, and StateUnusable.
    """
    check_writable(directory)
    place = _lock_file(directory, name)
    with told_of(place):
        handle = place.open("w", encoding="ascii")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            handle.close()
            raise AlreadyRuns(
                f"a {name} already runs on {directory}; end that one first, or give this one another `state:`"
            ) from fault
        except OSError:
            handle.close()
            raise
    return handle


def is_locked(directory: Path, name: str) -> bool:
    """Whether somebody holds that lock at this moment, or is just looking. What cannot be told is a no."""
    try:
        with _lock_file(directory, name).open("r", encoding="ascii") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock_file(directory: Path, name: str) -> Path:
    return directory / f"{name}.lock"


def check_writable(directory: Path) -> None:
    """Said once at the start, before anything else is opened there. Raises StateUnusable."""
    if os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return
    with told_of(directory):
        # Only the trial itself tells what stands in the way: whose it is, or that nothing is written there.
        trial = directory / f".trial-{os.getpid()}"
        os.close(os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        trial.unlink()


@contextlib.contextmanager
def told_of(place: Path) -> Iterator[None]:
    """Whatever the disk says about `place` is raised as StateUnusable."""
    try:
        yield
    except OSError as fault:
        found = fault.strerror or str(fault)
        raise StateUnusable(f"{place}: cannot be used: {found}; {_remedy(fault.errno)}") from fault


def _remedy(number: int | None) -> str:
    match number:
        case errno.EACCES | errno.EPERM:
            return f"let it belong to the user who runs twinsite (now: {_user()}), with everything beneath it"
        case errno.EROFS:
            return "have it on a disk that is mounted to be written to, or name another folder as `state:`"
        case errno.ENOSPC | errno.EDQUOT:
            return "make room there"
        case _:
            return "see to it, or name another folder as `sites.<site>.state`"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"
