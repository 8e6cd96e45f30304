"""Scripts that are shipped along: what the plan holds is what runs, whatever becomes of the file."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.clock import boottime_ns, wall_unix_seconds
from runbooks.engine import Outcome
from runbooks.journal import MemoryJournal, RunPlanned, StepStarted
from runbooks.planned import Plan
from runbooks.progress import StepState
from runbooks.remote import name_on_host
from runbooks.render import render_plan
from runbooks.script import ScriptArguments, run_script
from runbooks.shipped import FILE_LIMIT_BYTES
from sites.model import Host
from sites.output import Said
from sites.ssh import SshTransport
from sites.transport import Completed
from tests.runbooks.kinds.folders import codes, faults, planned, written
from tests.runbooks.test_remote import call as call_of_ssh
from tests.runbooks.test_remote import plan as plan_of_ssh
from tests.runbooks.worlds import ESTATE, World
from tests.sites.ssh.servers import in_process
from tests.support.local_transport import LocalTransport

SCRIPT = '#!/bin/sh\nfor word; do printf "<%s>" "$word"; done\nprintf "(%s)" "$NOTE" "$TWINSITE_SERVICE"\n'
STEP = (
    "steps:\n  - id: a\n    action: script\n    host: morpeth/crm-app\n    file: tools/do.sh\n{}"
    "    timeout: 5m\n"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A login user's home of the test's own, where scripts and the wrapper's records are kept."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def world(transport: LocalTransport | None = None) -> World:
    return World(
        transport=transport or LocalTransport(),
        journal=MemoryJournal(boottime_ns, wall_unix_seconds),
        now=boottime_ns,
    )


def plan_of(folder: Path, script: str = SCRIPT, more: str = "") -> Plan:
    library = written(folder / "books", outer=STEP.format(more), tools__do__sh="")
    path = folder / "books" / "tools" / "do.sh"
    path.write_text(script)
    return planned(library)


def evidence(outcome: Outcome) -> str:
    return outcome.progress.steps["p/a"].evidence


def test_the_plan_names_the_script_and_its_hash_and_holds_its_text(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    digest = hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert plan.steps[0].arguments["<sha256>"] == digest
    assert plan.file(digest) == SCRIPT
    assert plan.parts[0].includes == {"outer: tools/do.sh": digest}
    assert Plan.from_json(plan.to_json()) == plan
    lines = [line.strip() for line in render_plan(plan)]
    assert f"sha256: {digest[:12]}" in lines
    assert "file: tools/do.sh" in lines
    assert plan_of(tmp_path, SCRIPT + "# changed\n").hash != plan.hash


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xff\xfe", "script-unusable"),
        (b"#!/bin/sh\r\necho hi\r\n", "script-unusable"),
        (b"a\0b", "script-unusable"),
        (b"\n", "script-unusable"),
        (b"#" * (FILE_LIMIT_BYTES + 1), "script-unusable"),
        (None, "script-missing"),
    ],
)
def test_what_no_shell_would_run_is_refused_when_it_is_read(
    tmp_path: Path, content: bytes | None, code: str
) -> None:
    library = written(tmp_path, outer=STEP.format(""))
    if content is not None:
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools" / "do.sh").write_bytes(content)
    assert codes(library) == [code]
    assert faults(library)[0].line == 7


@pytest.mark.parametrize("path", ["../do.sh", "/etc/passwd", "tools/../../x", "'{{ service.name }}.sh'"])
def test_a_path_that_leads_elsewhere_or_is_filled_in_is_refused(tmp_path: Path, path: str) -> None:
    found = codes(written(tmp_path, outer=STEP.format("").replace("tools/do.sh", path)))
    assert found in (["script-unusable"], ["template"])


@pytest.mark.slow
async def test_its_arguments_and_variables_arrive_as_they_are_whatever_they_hold(tmp_path: Path) -> None:
    more = (
        "    arguments: ['two words', '$(id)', \"it's\", '{{ service.title }}', '']\n"
        "    environment: {NOTE: '\"; `x`'}\n"
    )
    outcome = await world().carry_out(plan_of(tmp_path, more=more))
    assert outcome.done
    assert evidence(outcome).endswith(": <two words><$(id)><it's><Customer records><>(\"; `x`)(crm)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "more", "said"),
    [
        ("echo $0", "", "/run-1@p:a"),
        ("print(6 * 7)", f"    interpreter: {shutil.which('python3')} -I\n", ": 42"),
    ],
)
async def test_a_script_without_a_first_line_is_run_by_sh_and_any_other_by_what_is_named(
    tmp_path: Path, home: Path, script: str, more: str, said: str
) -> None:
    assert evidence(await world().carry_out(plan_of(tmp_path, script, more))).endswith(said)
    assert list((home / ".twinsite" / "scripts").iterdir()) == []


@pytest.mark.slow
async def test_a_file_changed_in_mid_run_does_not_change_the_run(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "echo as planned")
    (tmp_path / "books" / "tools" / "do.sh").write_text("echo changed")
    (tmp_path / "books" / "outer.yaml").write_text("not: a runbook")
    outcome = await world().carry_out(Plan.from_json(plan.to_json()))
    assert outcome.done
    assert evidence(outcome).endswith("as planned")


class Garbling(LocalTransport):
    """What is sent does not arrive whole: a disk that filled up, or somebody who writes there."""

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        return await super().run(host, command, timeout_seconds=timeout_seconds, stdin=stdin[:-3], said=said)


@pytest.mark.slow
async def test_a_script_that_is_another_one_at_the_host_is_refused_with_both_hashes(
    tmp_path: Path, home: Path
) -> None:
    text = f"touch {home}/effect; true"
    plan = plan_of(tmp_path, text)
    outcome = await world(Garbling()).carry_out(plan)
    assert not outcome.done
    said = evidence(outcome)
    assert hashlib.sha256(text.encode()).hexdigest() in said
    assert hashlib.sha256(text[:-3].encode()).hexdigest() in said
    assert "tools/do.sh was not run" in said
    assert "scripts there" in said
    assert not (home / "effect").exists()
    assert list((home / ".twinsite" / "scripts").iterdir()) == []


async def test_a_plan_whose_text_is_not_what_its_hash_says_is_refused_before_any_host_is_asked(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path)
    part = plan.parts[0]
    broken = replace(plan, parts=(replace(part, files={next(iter(part.files)): "echo evil"}),))
    transport = LocalTransport()
    outcome = await world(transport).carry_out(broken)
    assert "does not hold tools/do.sh as it was planned" in evidence(outcome)
    assert transport.commands == []


@pytest.mark.slow
async def test_a_failing_script_fails_the_step_with_its_words(tmp_path: Path) -> None:
    outcome = await world().carry_out(plan_of(tmp_path, "echo no room >&2; exit 3"))
    assert outcome.progress.state("p/a") is StepState.FAILED
    assert evidence(outcome) == "tools/do.sh: exit 3: no room"


@pytest.mark.slow
async def test_after_a_crash_a_script_that_the_host_finished_is_not_run_again(
    tmp_path: Path, home: Path
) -> None:
    plan = plan_of(tmp_path, f"echo x >> {home}/effect")
    here = world()
    await here.journal.append("run-1", RunPlanned(plan, "anna", "why"))
    await here.journal.append("run-1", StepStarted("p/a", 1))
    step = plan.steps[0]
    asked = replace(
        call_of_ssh(plan_of_ssh("true")),
        plan=plan,
        step=step,
        arguments=ScriptArguments.model_validate(dict(step.arguments)),
    )
    await run_script(here.context(), asked)
    outcome = await here.carry_out(plan)
    assert outcome.done
    assert (home / "effect").read_text() == "x\n"
    assert "recorded its end: exit 0" in evidence(outcome)


@pytest.mark.slow
async def test_a_script_that_runs_too_long_is_ended_on_its_host(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "sleep 60")
    part = plan.parts[0]
    short = replace(part, steps=(replace(part.steps[0], timeout_seconds=0.5),))
    outcome = await world().carry_out(replace(plan, parts=(short,)))
    assert outcome.progress.state("p/a") is StepState.TIMED_OUT


class AtHome(SshTransport):
    """Logs in with the test's own home."""

    home: Path

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        there = f"HOME={self.home}; export HOME; {command}"
        return await super().run(host, there, timeout_seconds=timeout_seconds, stdin=stdin)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("head -c 268435456 /dev/zero | tr '\\0' x; echo; echo the end >&2", "characters left out"),
        ("printf '\\377\\376 \\033[31m red \\007'", "\N{REPLACEMENT CHARACTER}[31m red"),
        ("head -c 100000 /dev/urandom", "\N{REPLACEMENT CHARACTER}"),
    ],
)
async def test_endless_words_and_bytes_that_are_no_text_are_bounded_and_harmless_over_ssh(
    tmp_path: Path, home: Path, script: str, seen: str
) -> None:
    async with in_process(tmp_path) as served:
        durham, morpeth = ESTATE.sites["durham"], ESTATE.sites["morpeth"]
        host = served.host.model_copy(update={"name": "crm-app", "site": "morpeth"})
        sites = {"durham": durham, "morpeth": morpeth.model_copy(update={"hosts": {"crm-app": host}})}
        here = world()
        here.estate = ESTATE.model_copy(update={"sites": sites})
        here.transport = AtHome(served.spec, served.base)
        here.transport.home = home
        outcome = await here.carry_out(plan_of(tmp_path, script))
        await here.transport.aclose()
    assert outcome.done
    said = evidence(outcome)
    assert seen in said
    assert len(said) < 5000
    assert not any(ord(character) < 32 and character not in "\n\t" for character in said)


def test_steps_keep_names_of_their_own_on_hosts_however_long_their_ids_are() -> None:
    assert name_on_host("p/stop@app-1") == "p:stop.app-1"
    long = [f"p/{'a' * 60}/{'b' * 60}/{number}" for number in range(3)]
    names = {name_on_host(one) for one in long}
    assert len(names) == 3
    assert all(len(name) <= 100 for name in names)


@pytest.mark.parametrize("name", ["a; rm -rf /", "$(id)", "a b", "`x`", "../a", "a@b", "a/b", "A"])
def test_a_step_whose_name_holds_a_shells_characters_is_refused(tmp_path: Path, name: str) -> None:
    text = STEP.format("").replace("id: a", f'id: "{name}"')
    found = faults(written(tmp_path, outer=text, tools__do=""))
    assert "wrong-value" in [fault.code for fault in found]


def test_a_title_with_control_characters_is_harmless_in_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, more='    title: "red \\e[31m\\nand \\a more"\n')
    assert plan.steps[0].title == "red \N{REPLACEMENT CHARACTER}[31m and \N{REPLACEMENT CHARACTER} more"
