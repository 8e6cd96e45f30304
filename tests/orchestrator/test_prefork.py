"""A daemon's parent: it starts a worker that was killed again at once, and is otherwise not to be noticed."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import prefork
from orchestrator.keeper import once_for
from orchestrator.prefork import ForkRefused, become_worker

HEAD = """
import os, signal, subprocess, sys, time
from orchestrator import prefork
from orchestrator.assembly import set_up_logging
set_up_logging("parent", "durham")
def say(*words): print(*words, flush=True)
def until_told(what=None):
    told = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.append(number))
    say("worker", os.getpid(), what)
    while not told: signal.pause()
    time.sleep(0.3)  # for a second one, if it was sent twice
    return told
"""


class Daemon:
    """A parent with workers, both real processes."""

    def __init__(self, program: str) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-P", "-c", HEAD + program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def line(self) -> list[str]:
        """The next thing that is said."""
        assert self.parent.stdout is not None
        return self.parent.stdout.readline().split()

    def worker(self) -> tuple[int, str]:
        """The number of the worker that comes next, and what it says of itself."""
        word, number, what = self.line()
        assert word == "worker"
        return int(number), what

    def end(self) -> None:
        """Whatever is left."""
        with contextlib.suppress(ProcessLookupError):
            self.parent.kill()
        self.parent.communicate()


@pytest.fixture
def daemon() -> Iterator[Callable[[str], Daemon]]:
    """Start one."""
    started: list[Daemon] = []

    def start(program: str) -> Daemon:
        started.append(Daemon(program))
        return started[-1]

    yield start
    for one in started:
        one.end()


WAITS = "before = prefork.become_worker(lambda: None); told = until_told(before); say('told', *told)"


def test_a_worker_that_was_killed_is_followed_by_another_one(daemon: Callable[[str], Daemon]) -> None:
    one = daemon(WAITS)
    first, before = one.worker()
    assert before == "0"
    os.kill(first, signal.SIGKILL)
    second, before = one.worker()
    assert (before, second != first) == ("1", True)
    assert one.parent.poll() is None


def test_a_worker_that_ends_ends_its_parent_with_the_same_code(daemon: Callable[[str], Daemon]) -> None:
    one = daemon("prefork.become_worker(lambda: None); sys.exit(7)")
    assert one.parent.wait() == 7


def test_what_is_killed_as_soon_as_it_starts_is_left_to_the_supervisor(
    daemon: Callable[[str], Daemon],
) -> None:
    one = daemon("prefork.become_worker(lambda: None); say('here'); os.kill(os.getpid(), signal.SIGSEGV)")
    assert one.parent.wait() == 128 + signal.SIGSEGV
    assert [one.line() for _ in range(prefork.KILLED_AT_MOST + 1)] == [["here"]] * prefork.KILLED_AT_MOST + [
        []
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_reaches_the_worker_once(
    daemon: Callable[[str], Daemon], number: signal.Signals
) -> None:
    """Also Ctrl-C, which a terminal sends to the whole group: a keeper that is told twice fences at once."""
    one = daemon(WAITS)
    one.worker()
    os.killpg(one.parent.pid, number)
    assert one.line() == ["told", str(int(number))]
    assert one.parent.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_has_no_ear_yet_is_not_started_again_when_it_is_told_to_end(
    daemon: Callable[[str], Daemon], number: signal.Signals
) -> None:
    one = daemon(
        "signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "prefork.become_worker(lambda: None); say('worker', os.getpid(), 0); time.sleep(60)"
    )
    one.worker()
    one.parent.send_signal(number)
    assert one.parent.wait() == -number
    assert one.line() == []


def test_one_that_is_killed_while_it_ends_is_not_started_again(daemon: Callable[[str], Daemon]) -> None:
    one = daemon(
        "prefork.become_worker(lambda: None); signal.signal(signal.SIGTERM, lambda *_: say('told')); "
        "say('worker', os.getpid(), 0); time.sleep(60); time.sleep(60)"
    )
    worker, _ = one.worker()
    one.parent.terminate()
    assert one.line() == ["told"]
    os.kill(worker, signal.SIGKILL)
    assert one.parent.wait() == -signal.SIGTERM
    assert one.line() == []


def test_what_cannot_be_imported_at_leisure_ends_nobody(daemon: Callable[[str], Daemon]) -> None:
    one = daemon(
        "prefork.AT_LEISURE_SECONDS = 0.01; before = prefork.become_worker(lambda: [][0]); until_told(before)"
    )
    first, _ = one.worker()
    os.kill(first, signal.SIGKILL)
    assert one.worker()[1] == "1"


def test_a_parent_that_is_killed_takes_its_worker_along(daemon: Callable[[str], Daemon]) -> None:
    one = daemon(WAITS)
    one.worker()
    one.parent.kill()
    assert one.line() == [], "the pipe is closed by the last who had it"


def test_another_child_s_end_is_not_taken_for_the_worker_s(daemon: Callable[[str], Daemon]) -> None:
    keeper = "keeper = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); "
    one = daemon(keeper + WAITS.replace("until_told(before)", "until_told(keeper.pid)"))
    worker, started_before = one.worker()
    os.kill(int(started_before), signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    assert one.worker()[0] != worker
    assert not Path(f"/proc/{started_before}").exists(), "and it has been waited for"


def test_what_the_parent_imports_at_leisure_the_next_worker_has(daemon: Callable[[str], Daemon]) -> None:
    one = daemon(
        "prefork.AT_LEISURE_SECONDS = 0.01; done = []; "
        "prefork.become_worker(lambda: (done.append(1), say('leisure'))); until_told(len(done))"
    )
    said = sorted([one.line(), one.line()])
    assert said[0] == ["leisure"]
    assert said[1][2] == "0", "the first one did not wait for it"
    os.kill(int(said[1][1]), signal.SIGKILL)
    assert one.worker()[1] == "1"


def test_a_machine_that_starts_no_process_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refused)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        with pytest.raises(ForkRefused, match=r"temporarily unavailable.*TasksMax"):
            become_worker(lambda: None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_one_stop_that_reaches_parent_and_worker_is_one_and_a_later_one_is_another() -> None:
    now, stops = [100.0], []
    stop = once_for(1.0, lambda: stops.append(now[0]), lambda: now[0])
    for at in (100.0, 100.01, 100.9, 101.5):
        now[0] = at
        stop()
    assert stops == [100.0, 101.5]
