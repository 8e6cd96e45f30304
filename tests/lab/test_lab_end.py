"""However a lab ends, nothing of it is left: interrupted, killed, kept and taken down."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.lab import fault_commands, processes, run
from orchestrator.lab.places import LabState, labs, load_state

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 120.0
RUN = (
    "import sys; from orchestrator.lab.run import run_lab; sys.exit(run_lab('tour', keep='keep' in sys.argv))"
)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test's labs are found by this test alone."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


class Command:
    """`twinsite lab` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-P", "-c", RUN, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = ""

    def until_said(self, pattern: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if re.search(pattern, line):
                return
        raise AssertionError(f"it ended without saying {pattern!r}:\n{self.said}")

    def ended(self) -> int:
        rest, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        self.said += rest
        return self.process.returncode

    @property
    def state(self) -> LabState:
        return load_state(self.directory)

    @property
    def directory(self) -> Path:
        found = re.search(r"a lab in (\S+),", self.said)
        assert found is not None, self.said
        return Path(found[1])


@pytest.fixture
def lab() -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        started.append(Command(*arguments))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.communicate()
        processes.end_leftovers(command.directory)
        run.remove_directory(command.directory)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this did not come"
        time.sleep(0.05)


def nothing_is_left_of(state: LabState) -> bool:
    return processes.leftovers(Path(state.directory), state.network, list(state.trees.values())) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_lab_ends_its_servers_and_says_so(
    lab: Callable[..., Command], number: signal.Signals
) -> None:
    command = lab()
    command.until_said("are starting")
    state = command.state
    command.process.send_signal(number)
    assert command.ended() == run.INTERRUPTED
    assert "has been ended" in command.said
    assert nothing_is_left_of(state)
    assert labs() == []


def test_a_killed_lab_takes_its_servers_with_it(lab: Callable[..., Command]) -> None:
    command = lab()
    command.until_said("clients are starting")
    state = command.state
    assert len(state.trees) == 4
    command.process.kill()
    wait_for(lambda: nothing_is_left_of(state))


def test_a_kept_lab_can_be_hurt_healed_and_taken_down_by_other_commands(
    lab: Callable[..., Command], capsys: pytest.CaptureFixture[str]
) -> None:
    command = lab("keep")
    command.until_said("clients are starting")
    state = command.state
    os.kill(command.process.pid, signal.SIGKILL)  # as if its story had ended, so that nothing else acts
    command.ended()
    assert all(processes.alive(tree) for tree in state.trees.values())

    assert fault_commands.kill_command("morpeth") == 0
    assert not processes.members(state.trees["morpeth"])
    assert all(processes.alive(tree) for name, tree in state.trees.items() if name != "morpeth")
    assert fault_commands.heal_command("morpeth") == 0
    assert processes.alive(command.state.trees["morpeth"])
    wait_for(lambda: listens_at_morpeth(state))

    healed = command.state
    assert run.down_command() == 0
    assert nothing_is_left_of(healed)
    assert not command.directory.exists()
    assert "heal morpeth" in capsys.readouterr().out


def listens_at_morpeth(state: LabState) -> bool:
    address = state.network.replace(".0.0/16", ".2.1:")
    return any(place.startswith(address) for place in processes.listening(state.network))
