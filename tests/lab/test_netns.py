"""A real lab in network namespaces: a site that is cut off takes no write once the other one does. However
the lab ends, nothing of it is left on the machine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.lab import namespaces, processes, run
from orchestrator.lab.faults import Faults
from orchestrator.lab.places import LabState, load_state

REASON = namespaces.why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=str(REASON))]
PATIENCE_SECONDS = 180.0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this did not come"
        time.sleep(0.1)


class Command:
    """`twinsite lab --netns` in a process of its own."""

    def __init__(self, runtime: Path, *arguments: str) -> None:
        self.runtime = runtime
        command = [str(Path(sys.executable).with_name("twinsite")), "lab", "--netns", *arguments]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=runtime
        )
        self.said = ""

    def until_said(self, pattern: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if re.search(pattern, line):
                return
        raise AssertionError(f"it ended without saying {pattern!r}:\n{self.said}")

    def ended(self) -> int:
        rest, _ = self.process.communicate(timeout=4 * PATIENCE_SECONDS)
        self.said += rest
        return self.process.returncode

    @property
    def state(self) -> LabState:
        found = re.search(r"a lab in (\S+),", self.said)
        assert found is not None, self.said
        return load_state(Path(found[1]))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Command]]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        started.append(Command(tmp_path, *arguments))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.communicate()
        for folder in re.findall(r"a lab in (\S+),", command.said):
            directory = Path(folder)
            if (directory / "lab.json").exists():
                state = load_state(directory)
                processes.end_leftovers(directory)
                namespaces.sweep(state.prefix)
            run.remove_directory(directory)


def nothing_is_left_of(state: LabState) -> bool:
    return not namespaces.remains(state.prefix) and not processes.belonging(Path(state.directory))


def test_a_site_that_reaches_nobody_takes_no_write_once_the_other_one_does(
    lab: Callable[..., Command], tmp_path: Path
) -> None:
    command = lab("--rows", "reaches-neither", "--json", str(tmp_path / "rows.json"))
    command.ended()
    assert (tmp_path / "rows.json").exists(), command.said
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    (play,) = row["plays"]
    assert play["events"], command.said
    assert row["two_writable_seconds"] == 0.0, command.said
    assert play["margins_seconds"], command.said
    assert min(play["margins_seconds"]) > 0, command.said
    assert set(re.findall(r"durham|morpeth", play["spans"]["ebs"])) == {"durham", "morpeth"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_lab_takes_its_namespaces_disks_and_devices_with_it(
    lab: Callable[..., Command], number: signal.Signals
) -> None:
    command = lab("--story", "switchover")
    command.until_said("clients are starting")
    state = command.state
    assert len(namespaces.named(state.prefix)) == 5
    assert len(namespaces.mounted(state.prefix)) == 3
    command.process.send_signal(number)
    command.ended()
    wait_for(lambda: nothing_is_left_of(state))


def test_a_kept_lab_whose_network_is_killed_is_swept_by_taking_it_down(lab: Callable[..., Command]) -> None:
    command = lab("--story", "switchover", "--keep")
    command.until_said("clients are starting")
    state = command.state
    os.kill(command.process.pid, signal.SIGKILL)  # as if its story had ended, so that nothing else acts
    command.ended()
    faults = Faults(state)
    faults.cut("durham", "morpeth", one_way=True)
    wait_for(lambda: counted(faults, "durham", "morpeth") > 0)
    assert counted(faults, "morpeth", "durham") == 0
    os.kill(state.trees["wan"].pid, signal.SIGKILL)
    assert run.down_command() == 0
    assert nothing_is_left_of(state)
    assert not Path(state.directory).exists()


def counted(faults: Faults, one: str, other: str) -> int:
    links = {(link["from"], link["to"]): link["counts"]["cut"] for link in faults.links()}
    return int(links[one, other])
