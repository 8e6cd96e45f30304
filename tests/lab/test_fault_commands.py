"""What can be done to a lab by a command: names are checked, real processes stop, go on and die."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from orchestrator.cli.group import cli
from orchestrator.lab import fault_commands, faults, processes
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.faults import Faults, process_names
from orchestrator.lab.places import LabState, load_state
from orchestrator.lab.site_supervisor import Description, Program
from orchestrator.lab.wall_clock import FakeTime, find_faketime

PATIENCE_SECONDS = 30.0
PARENT = "import os, time\nwhile os.fork(): os.wait()\ntime.sleep(300)"
SLEEPER = "import time; time.sleep(300)"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this did not come"
        time.sleep(0.02)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A lab on loopback addresses whose one site has a keeper and a controller that sleep."""
    yield from running(tmp_path, monkeypatch, SLEEPER)


@pytest.fixture
def forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """The same; each is a parent with a worker, as the real ones are."""
    yield from running(tmp_path, monkeypatch, PARENT)


def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Iterator[Faults]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "lab" / "durham").mkdir(parents=True)
    folder = tmp_path / "lab"
    programs = tuple(
        Program(name, (sys.executable, "-c", program, name, "--site", "durham"), str(folder / name),
                str(folder), restart=name == "controller")
        for name in ("controller", "keeper")
    )  # fmt: skip
    description = Description("durham", str(folder / "log"), programs)
    tree, rope = processes.start_tree(description, folder / "durham" / "supervisor.json")
    state = LabState(str(folder), "127.99.0.0/16", True, 1, {"durham": tree})
    state.save()
    found = Faults(state)
    wait_for(lambda: found.found("durham", "keeper") and found.found("durham", "controller"))
    yield found
    processes.kill_tree(load_state(folder).trees["durham"])
    processes.kill_tree(tree)
    assert rope is not None


def status(found: Faults, process: str) -> str:
    (one,) = found.found("durham", process)
    return str(one.status())


def test_a_stopped_process_stands_still_until_it_is_let_go(lab: Faults) -> None:
    assert lab.stop("durham", "keeper") == 1
    wait_for(lambda: status(lab, "keeper") == psutil.STATUS_STOPPED)
    assert status(lab, "controller") != psutil.STATUS_STOPPED
    assert lab.go("durham", "controller") == 0
    assert lab.go("durham", "keeper") == 1
    wait_for(lambda: status(lab, "keeper") != psutil.STATUS_STOPPED)


def test_a_killed_process_is_gone_when_the_command_ends_and_init_starts_what_it_looks_after(
    lab: Faults,
) -> None:
    (controller,) = lab.found("durham", "controller")
    assert lab.kill("durham", "controller") == 1
    assert not controller.is_running() or controller.status() == psutil.STATUS_ZOMBIE
    wait_for(lambda: lab.found("durham", "controller"))
    lab.kill("durham", "keeper")
    with pytest.raises(LabMisuse, match="no keeper runs at durham now"):
        lab.kill("durham", "keeper")


def test_of_a_parent_and_its_worker_the_worker_is_killed_unless_both_are_meant(forked: Faults) -> None:
    wait_for(lambda: len(forked.found("durham", "keeper")) == 2)
    parent, worker = forked.found("durham", "keeper")
    assert forked.workers("durham", "keeper") == [worker]
    assert forked.kill("durham", "keeper") == 1
    wait_for(lambda: len(forked.found("durham", "keeper")) == 2)
    assert parent.is_running()
    assert forked.workers("durham", "keeper") != [worker]
    assert forked.kill("durham", "keeper", with_parent=True) == 2
    assert forked.found("durham", "keeper") == []


def test_while_init_stands_still_what_dies_stays_dead_and_killing_does_not_wait_for_init(lab: Faults) -> None:
    lab.hold_init("durham")
    begun = time.monotonic()
    assert lab.kill("durham", "controller") == 1
    assert time.monotonic() - begun < faults.GONE_WITHIN_SECONDS
    time.sleep(0.5)
    assert lab.found("durham", "controller") == []
    lab.release_init("durham")
    wait_for(lambda: lab.found("durham", "controller"))


def test_a_policy_is_written_for_one_service_alone(lab: Faults) -> None:
    text = "services:\n  crm:\n    hold_down: 0s   # x\n  ebs:\n    hold_down: 0s   # y\n    rank: 2\n"
    lab.layout.estate.write_text(text, encoding="utf-8")
    lab.set_policy("ebs", "hold_down", "30s")
    assert lab.layout.estate.read_text() == text.replace("0s   # y", "30s   # y")
    lab.set_policy("ebs", "hold_down", "0s")
    assert lab.layout.estate.read_text() == text


def test_a_site_without_a_freezer_is_paused_process_by_process(lab: Faults) -> None:
    assert not lab.is_frozen("durham")
    assert lab.freeze("durham") >= 3
    wait_for(lambda: lab.is_frozen("durham"))
    assert lab.thaw("durham")
    wait_for(lambda: not lab.is_frozen("durham"))
    assert not lab.thaw("durham")


def test_healing_ends_what_was_done_and_says_so(lab: Faults, capsys: pytest.CaptureFixture[str]) -> None:
    lab.stop("durham", "keeper")
    wait_for(lambda: status(lab, "keeper") == psutil.STATUS_STOPPED)
    assert fault_commands.heal_command("durham", directory=Path(lab.state.directory)) == 0
    assert "1 stopped processes of durham go on" in capsys.readouterr().out
    with pytest.raises(LabMisuse, match="nothing to heal"):
        fault_commands.heal_command("durham", directory=Path(lab.state.directory))


def test_a_dead_site_is_started_again_by_healing_it(lab: Faults) -> None:
    directory = Path(lab.state.directory)
    assert fault_commands.kill_command("durham", directory=directory) == 0
    with pytest.raises(LabMisuse, match="dead"):
        lab.freeze("durham")
    with pytest.raises(LabMisuse, match="no keeper runs"):
        lab.stop("durham", "keeper")
    assert fault_commands.heal_command("durham", directory=directory) == 0
    wait_for(lambda: Faults(load_state(directory)).found("durham", "keeper"))


def test_names_that_do_not_exist_are_answered_with_those_that_do(lab: Faults) -> None:
    with pytest.raises(LabMisuse, match=r"controller, keeper, .*postgres-ebs, sshd"):
        lab.stop("durham", "postmaster")
    with pytest.raises(LabMisuse, match="durham, morpeth, derwentside"):
        lab.stop("york", "keeper")
    with pytest.raises(LabMisuse, match="witness, etcd"):
        lab.kill("derwentside", "keeper")
    with pytest.raises(LabMisuse, match="durham, morpeth, derwentside, users"):
        lab.cut("durham", "york")
    with pytest.raises(LabMisuse, match="two ends"):
        lab.cut("durham", "durham")


@pytest.mark.parametrize(
    "what",
    [
        lambda lab: lab.cut("durham", "morpeth"),
        lambda lab: lab.delay("durham", "users", delay_seconds=0.02),
        lambda lab: lab.mend_all(),
        lambda lab: lab.links(),
        lambda lab: lab.fill("durham"),
        lambda lab: lab.clock("durham", 90.0),
    ],
)
def test_what_needs_namespaces_says_how_to_have_them(lab: Faults, what: Callable[[Faults], object]) -> None:
    with pytest.raises(LabMisuse, match="twinsite lab --netns --keep"):
        what(lab)


def test_a_clock_that_was_not_there_at_the_start_cannot_jump(lab: Faults) -> None:
    state = LabState(**{**vars_of(lab.state), "prefix": "tw-nobody-"})
    with pytest.raises(LabMisuse, match="tools/fetch-faketime"):
        Faults(state).clock("durham", 90.0)


def vars_of(state: LabState) -> dict[str, object]:
    return {name: getattr(state, name) for name in LabState.__dataclass_fields__}


def test_the_command_takes_shares_offsets_and_durations_as_people_write_them(lab: Faults) -> None:
    run = CliRunner()
    directory = ["--directory", lab.state.directory]
    for wrong, said in (
        (["delay", "durham", "morpeth", "20"], "20ms"),
        (["delay", "durham", "morpeth", "20ms", "--loss", "1"], "1%"),
        (["delay", "durham", "morpeth", "20ms", "--loss", "101%"], "1%"),
        (["clock", "durham", "-5x"], "with + or -"),
    ):
        answer = run.invoke(cli, ["lab", *wrong, *directory])
        assert answer.exit_code == 2, answer.output
        assert said.replace("20ms", "500ms") in answer.output
    for right in (["delay", "durham", "morpeth", "20ms", "--loss", "1%"], ["clock", "durham", "-90s"]):
        answer = run.invoke(cli, ["lab", *right, *directory])
        assert answer.exit_code == 2
        assert "--netns" in answer.output
    for pair in (["mend"], ["mend", "durham"], ["mend", "durham", "morpeth", "--all"]):
        answer = run.invoke(cli, ["lab", *pair, *directory])
        assert answer.exit_code == 2
        assert "--all" in answer.output


def test_a_shell_completes_places_sites_and_the_processes_of_the_site_typed() -> None:
    from click.shell_completion import ShellComplete

    def offered(*words: str, incomplete: str = "") -> set[str]:
        complete = ShellComplete(cli, {}, "twinsite", "_TWINSITE_COMPLETE")
        return {item.value for item in complete.get_completions(["lab", *words], incomplete)}

    assert offered("stop", "derwentside") == {"witness", "etcd"}
    assert offered("kill", "durham", incomplete="post") == {"postgres-crm", "postgres-ebs"}
    assert offered("cut", incomplete="d") == {"durham", "derwentside"}
    assert "users" in offered("cut", "durham")
    assert "users" not in offered("freeze")


def test_guards_are_among_the_processes_where_there_are_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "GUARDED", True)
    assert {"guard-crm", "guard-ebs"} <= set(process_names("durham"))
    monkeypatch.setattr(faults, "GUARDED", False)
    assert not any(name.startswith("guard") for name in process_names("durham"))


def test_rules_are_shown_in_words() -> None:
    whole = faults.WHOLE
    assert fault_commands.describe_rule(whole) == "whole"
    assert fault_commands.describe_rule({**whole, "cut": True}) == "cut"
    assert fault_commands.describe_rule({**whole, "cut": True, "ports": [2379]}) == "cut for ports 2379"
    slow = {**whole, "delay_ns": 20_000_000, "jitter_ns": 2_000_000, "loss": 0.01}
    assert fault_commands.describe_rule(slow) == "20 + 0..2 ms, 1 % lost"


@pytest.mark.skipif(find_faketime() is None, reason="no libfaketime; tools/fetch-faketime gets it")
def test_a_wall_clock_jumps_and_the_clock_of_deadlines_does_not(tmp_path: Path) -> None:
    import subprocess

    library = find_faketime()
    assert library is not None
    clock = tmp_path / "clock"
    FakeTime.set(clock, 0.0)
    shown = (
        "import sys, time\n"
        "for _ in sys.stdin:\n"
        "    print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", shown],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**library.environment(clock)},
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def off() -> tuple[float, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        wall, boot = map(float, process.stdout.readline().split())
        return wall - time.time(), boot - time.clock_gettime(time.CLOCK_BOOTTIME)

    assert abs(off()[0]) < 30
    FakeTime.set(clock, 90.0)
    wait_for(lambda: off()[0] > 60)
    assert abs(off()[1]) < 30
    process.communicate()
