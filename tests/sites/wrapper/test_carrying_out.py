"""A step's command runs as if nothing were round it, ends in time, and what came of it is kept."""

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sites.wrapper import COMMAND_LIMIT_BYTES, TIMED_OUT_STATUS
from tests.sites.ssh.servers import alive
from tests.sites.wrapper.shells import Box
from tests.sites.wrapper.test_tokens import token

HOSTILE = [
    "it's",
    'a "quoted" word',
    "$(touch pwned)",
    "`touch pwned`",
    "${HOME}",
    "a\nb\n\nc",
    "'; touch pwned; '",
    "\\",
    "back\\slash\\n",
    "*",
    "!!",
    "tab\there",
    "-n",
    "ünïcode ☃",
    "#not a comment",
    "   spaces   ",
    "%s%n",
    "\x01\x7f",
]


def wait_for(condition: Callable[[], bool]) -> None:
    """Look often, within a bound on the looks."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.025)
    raise AssertionError("it never came to that")


def pids(note: Path, count: int) -> list[int]:
    """The process numbers that a step has noted."""
    wait_for(lambda: note.exists() and len(note.read_text().split()) == count)
    return [int(word) for word in note.read_text().split()]


@pytest.fixture
def victims() -> Iterator[list[int]]:
    """Processes that a test may leave behind; ended afterwards."""
    numbers: list[int] = []
    yield numbers
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def test_input_outputs_and_status_pass_through(box: Box) -> None:
    done = box.run("read word; echo out $word; echo err >&2; exit 7", token(), stdin="hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out hello\n", "err\n")


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_a_hostile_value_stays_the_data_it_is(sh: Box, value: str) -> None:
    done = sh.run(f"printf '<%s>' {shlex.quote(value)}", token())
    assert done.stdout == f"<{value}>"
    assert done.stderr == ""


def test_all_hostile_values_at_once_in_every_shell(box: Box) -> None:
    done = box.run(f"printf '<%s>' {shlex.join(HOSTILE)}", token())
    assert done.stdout == "".join(f"<{value}>" for value in HOSTILE)


def test_a_script_of_many_lines_with_a_here_document_runs(box: Box) -> None:
    command = "cat <<'END'\n$HOME 'quoted' \"too\"\nEND\nfor n in 1 2; do\n  # a comment\n  echo $n\ndone"
    assert box.run(command, token()).stdout == "$HOME 'quoted' \"too\"\n1\n2\n"


def test_a_command_of_the_greatest_length_runs(sh: Box) -> None:
    command = "printf %s " + "x" * (COMMAND_LIMIT_BYTES - 10)
    assert len(sh.run(command, token()).stdout) == COMMAND_LIMIT_BYTES - 10


def test_the_command_sees_nothing_of_the_wrapper(box: Box) -> None:
    names = "env | cut -d= -f1 | grep -ic twinsite"
    command = f'umask; echo "$#"; {names}; ls /proc/self/fd | grep -v "^[0-3]$" | wc -l'
    lines = box.run(f"umask 027; {command}", token()).stdout.split()
    assert lines[1:] == ["0", "0", "0"]
    assert box.run("umask", token()).stdout == f"{os.umask(os.umask(0o22)):04o}\n"


def test_the_command_may_catch_interrupts(box: Box) -> None:
    done = box.run("trap 'echo caught' INT; kill -INT $$; echo after", token())
    assert done.stdout == "caught\nafter\n"


def test_a_command_ended_by_a_signal_leaves_nothing_but_its_status(box: Box) -> None:
    done = box.run("kill -KILL $$", token())
    assert (done.returncode, done.stdout, done.stderr) == (137, "", "")
    assert box.status(token()) == "done 137"


def test_a_status_like_the_wrappers_own_is_the_commands(box: Box) -> None:
    assert box.run("exit 75", token()).returncode == 75
    assert box.status(token()) == "done 75"


def test_at_its_limit_the_whole_group_is_ended(box: Box, tmp_path: Path, victims: list[int]) -> None:
    note = tmp_path / "pids"
    command = f"(trap '' TERM; echo $$ >> {note}; (sleep 600 & echo $! >> {note}; wait)) & sleep 600 & wait"
    done = box.run(f"echo begun; {command}", token(), timeout_seconds=0.7)
    assert done.returncode == TIMED_OUT_STATUS
    assert done.stdout == "begun\n"
    assert done.stderr.startswith("twinsite-step: timed-out: ")
    victims += pids(note, 2)
    wait_for(lambda: not any(alive(pid) for pid in victims))
    assert box.status(token()) == f"done {TIMED_OUT_STATUS}"


def test_what_ignores_the_polite_request_is_killed(box: Box, tmp_path: Path, victims: list[int]) -> None:
    note = tmp_path / "pids"
    done = box.run(
        f"trap '' TERM; echo $$ > {note}; while true; do sleep 1; done", token(), timeout_seconds=0.5
    )
    assert done.returncode == TIMED_OUT_STATUS
    victims += pids(note, 1)
    wait_for(lambda: not alive(victims[0]))


def test_the_limit_holds_when_everything_above_the_command_is_gone(
    box: Box, tmp_path: Path, victims: list[int]
) -> None:
    note = tmp_path / "pids"
    with box.start(f"sleep 600 & echo $$ $! > {note}; wait", token(), timeout_seconds=1) as shell:
        victims += pids(note, 2)
        os.killpg(shell.pid, signal.SIGKILL)  # as sshd does when the connection is lost
        wait_for(lambda: not any(alive(pid) for pid in victims))
        wait_for(lambda: box.status(token()) == f"done {TIMED_OUT_STATUS}")


def test_the_status_is_kept_when_nobody_waits_for_it_any_more(
    box: Box, tmp_path: Path, victims: list[int]
) -> None:
    note, gate = tmp_path / "pids", tmp_path / "gate"
    with box.start(f"echo $$ > {note}; while [ ! -e {gate} ]; do sleep 0.1; done; exit 9", token()) as shell:
        victims += pids(note, 1)
        os.killpg(shell.pid, signal.SIGKILL)
        assert box.status(token()) == "running"
        gate.touch()
        wait_for(lambda: box.status(token()) == "done 9")


def test_a_step_that_died_with_its_host_is_lost_and_not_never_started(
    box: Box, tmp_path: Path, victims: list[int]
) -> None:
    note = tmp_path / "pids"
    with box.start(f"echo $$ $PPID > {note}; exec sleep 600", token()) as shell:
        command, supervisor = pids(note, 2)
        victims.append(command)
        os.kill(supervisor, signal.SIGKILL)
        assert box.status(token()) == "running", "the command itself is still there"
        os.kill(command, signal.SIGKILL)
        shell.communicate(timeout=60)
    wait_for(lambda: not alive(command))
    assert box.status(token()) == "lost"


def test_a_record_cut_short_by_a_crash_is_lost(sh: Box) -> None:
    sh.run("true", token())
    (sh.locks / "crm" / "records" / "r1@stop").write_text("")
    assert sh.status(token()) == "lost"


def test_a_step_of_an_earlier_boot_is_lost(sh: Box) -> None:
    sh.run("true", token())
    record = sh.locks / "crm" / "records" / "r1@stop"
    started = record.read_text().splitlines()[0].split()
    record.write_text(" ".join([*started[:-1], "another-boot"]) + "\n")
    assert sh.status(token()) == "lost"


def test_a_step_nobody_started_was_never_started_and_stays_so_for_whoever_was_overtaken(box: Box) -> None:
    assert box.status(token(executor=2)) == "never started"
    late = box.run("true", token(executor=1))
    assert "refused older-executor" in late.stderr
    assert box.status(token(executor=2)) == "never started"


def test_whoever_was_overtaken_may_not_even_ask(sh: Box) -> None:
    sh.run("true", token(executor=2))
    assert "refused older-executor" in sh.status(token(executor=1))


def test_the_state_of_an_attempt_is_not_that_of_the_one_before(sh: Box) -> None:
    sh.run("exit 3", token(attempt=1))
    assert sh.status(token(attempt=1)) == "done 3"
    assert sh.status(token(attempt=2)) == "never started"
    assert sh.status(token(executor=2, attempt=1)) == "done 3", "what the predecessor's step came to"


def test_a_daemon_that_a_step_started_lives_on(box: Box, tmp_path: Path, victims: list[int]) -> None:
    note = tmp_path / "pids"
    done = box.run(f"sleep 600 > /dev/null 2>&1 & echo $! > {note}", token(), timeout_seconds=30)
    assert done.returncode == 0
    victims += pids(note, 1)
    assert alive(victims[0])


def test_the_watchdog_does_not_outlive_the_step(sh: Box) -> None:
    sh.run("true", token(), timeout_seconds=86399.25)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert b"86399" not in entry.read_bytes()


def test_the_folder_may_be_in_the_login_users_home(sh: Box) -> None:
    home = sh.locks.parent
    at_home = replace(sh, locks=Path("~/steps here"))
    assert at_home.run("echo ok", token()).stdout == "ok\n"
    assert (home / "steps here" / "crm" / "token").read_text() == "5 r1 1\n"
    assert (home / "steps here" / "crm").stat().st_mode & 0o077 == 0, "nobody else's business"
