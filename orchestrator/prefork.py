"""A daemon as two processes: a parent that has everything imported and only waits, and a worker, forked from
it, that does the work. A worker that is killed is there again within milliseconds, and not after the second
or two that imports take: a keeper that was killed has less than a lease to be back (P16, P32).

The parent decides nothing and holds nothing that a worker needs: no lock, no socket, no thread. A worker that
ends by itself, well or not, ends its parent with the same code, so whoever supervises it hears of it. A
parent that is killed takes its worker along.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

import structlog

from orchestrator.errors import OrchestratorTrouble

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG = 1
HEARD = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
FOREVER_SECONDS = 1e9
SETTLED_SECONDS = 5.0  # a worker that lives that long has started
KILLED_AT_MOST = 3  # times in a row, before it has settled: then a supervisor had better know
AT_LEISURE_SECONDS = 4.0


BecomeWorker = Callable[[Callable[[], None]], int]


class ForkRefused(OrchestratorTrouble):
    """The machine lets no process be started."""


def become_worker(at_leisure: Callable[[], None]) -> int:
    """Return in a worker alone, with how many there were before it; the calling process is the parent and
    never comes back: it leaves by SystemExit, with the worker's code, or 128 and the number of the signal
    that killed too many of them. `at_leisure`: imported in the parent once the first worker is at work.

    Raises ForkRefused, in the parent.
    """
    parent = os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some launchers leave it, no death is heard of
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    workers, killed_in_a_row = 0, 0
    told: list[int] = []
    leisure: Callable[[], None] | None = at_leisure
    while True:
        worker = _fork()
        if worker == 0:
            os.setpgid(0, 0)  # Ctrl-C is the parent's, which passes it on: once, not twice
            _end_with(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return workers
        workers += 1
        began = monotonic()
        exit_code = _wait(worker, told, None if leisure is None else AT_LEISURE_SECONDS)
        if exit_code is None and leisure is not None:
            _take(leisure)
            leisure, exit_code = None, _wait(worker, told)
        if exit_code is None or exit_code >= 0:
            raise SystemExit(exit_code)
        if told:  # it was to end, and had no ear for it yet, or was killed while it did
            _end_by(told[-1])
        lived_seconds = monotonic() - began
        killed_in_a_row = 1 if lived_seconds >= SETTLED_SECONDS else killed_in_a_row + 1
        name = signal.Signals(-exit_code).name
        log.warning("worker-killed", by=name, lived_seconds=round(lived_seconds, 3))
        if killed_in_a_row >= KILLED_AT_MOST:
            raise SystemExit(128 - exit_code)


def alone(at_leisure: Callable[[], None]) -> int:
    """Instead of `become_worker`: the calling process does the work itself."""
    return 0


def _take(leisure: Callable[[], None]) -> None:
    try:
        leisure()
    except Exception:
        log.exception("not-brought-in")  # only the next worker's start is slower for it


def _end_by(number: int) -> NoReturn:
    """As if this process had never listened to that signal; the first of a machine does not die of it."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)


def _fork() -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return os.fork()
    except OSError as fault:
        raise ForkRefused(
            f"no process can be started: {fault.strerror}; see to the limits of user and unit (LimitNPROC, "
            "TasksMax) and to memory"
        ) from fault


def _end_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the request
        os._exit(1)


def _wait(worker: int, told: list[int], at_most_seconds: float | None = None) -> int | None:
    """The worker's exit code, or minus the signal that killed it; None after `at_most_seconds`. What it was
    told by a signal meanwhile is added to `told`."""
    deadline = monotonic() + (FOREVER_SECONDS if at_most_seconds is None else at_most_seconds)
    while True:
        left_seconds = deadline - monotonic()
        if left_seconds < 0:
            return None
        heard = signal.sigtimedwait(HEARD, left_seconds)
        if heard is None:
            continue
        if heard.si_signo != signal.SIGCHLD:
            told.append(heard.si_signo)
            os.kill(worker, heard.si_signo)  # it has not been waited for, so the number is still its own
        elif (exit_code := _ended(worker)) is not None:
            return exit_code


def _ended(worker: int) -> int | None:
    """What the worker ended with, if it has. Another child, such as a keeper, may have instead."""
    exit_code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return exit_code
        if pid == worker:
            exit_code = os.waitstatus_to_exitcode(status)
        if pid == 0:
            return exit_code
