"""Steps on hosts with the real wrapper and a real shell: started once, settled by what the host recorded."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.clock import boottime_ns, wall_unix_seconds
from runbooks.catalogue import Settlement
from runbooks.context import ActionContext, Call, Token
from runbooks.errors import Overtaken, StepFailed
from runbooks.journal import MemoryJournal, RunOutcome, RunPlanned, StepStarted
from runbooks.model import Kind
from runbooks.plan import compose
from runbooks.planned import Plan
from runbooks.progress import StepState
from runbooks.remote import SshArguments, carry_out_on_host, settle_on_host
from sites.errors import CommandTimedOut, ConnectionBroken
from sites.model import Host
from sites.output import Said
from sites.transport import Completed
from tests.runbooks.worlds import World, bound
from tests.support.local_transport import LocalTransport

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A login user's home of the test's own, where the wrapper keeps its records."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def world() -> World:
    return World(
        transport=LocalTransport(),
        journal=MemoryJournal(boottime_ns, wall_unix_seconds),
        now=boottime_ns,
    )


def plan(run: str, **keys: object) -> Plan:
    """A plan of one ssh step; `run` is its command."""
    block = "".join(f"      {line}\n" for line in run.splitlines())
    more = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    step = f"  - id: a\n    action: ssh\n    host: morpeth/crm-app\n{more}    run: |\n{block}"
    part = bound(f"runbook: x\ntitle: X\nsteps:\n{step}")
    return compose(
        part,
        run_id="run-1",
        kind=Kind.FAILOVER,
        service="crm",
        from_site="durham",
        to_site="morpeth",
        epoch=7,
    )


async def never_mind() -> None:
    """Always has the right to act."""


def call(plan_: Plan, attempt: int = 1) -> Call:
    planned = plan_.steps[0]
    return Call(plan_, planned, SshArguments.model_validate(dict(planned.arguments)), attempt, never_mind)


def executor(context: ActionContext, number: int) -> ActionContext:
    return replace(context, token=Token(7, "run-1", number))


async def test_a_command_reaches_the_shell_as_written_and_its_values_as_data(
    world: World, home: Path
) -> None:
    text = "for word in a 'b  c' \"$(printf d)\"; do printf '<%s>' \"$word\"; done\n"
    text += "printf '<%s>' {{ service.title }}"
    outcome = await world.carry_out(plan(text))
    assert outcome.progress.steps["x/a"].evidence == "<a><b  c><d><Customer records>"


async def test_the_same_attempt_never_starts_twice_and_the_host_knows_how_it_ended(
    world: World, home: Path
) -> None:
    context, asked = world.context(), call(plan(f"echo x >> {home}/effect"))
    await carry_out_on_host(context, asked)
    found = await settle_on_host(context, asked)
    assert found.settlement is Settlement.DONE
    await carry_out_on_host(context, replace(asked, attempt=2))
    assert (home / "effect").read_text() == "x\nx\n"


async def test_a_step_that_was_never_started_is_known_not_to_have_been(world: World, home: Path) -> None:
    found = await settle_on_host(world.context(), call(plan("true")))
    assert found.settlement is Settlement.NEVER_STARTED


async def test_a_failed_command_and_one_ended_at_its_limit_are_told_apart(world: World, home: Path) -> None:
    context = world.context()
    asked = call(plan("exit 7"))
    with pytest.raises(StepFailed, match="exit 7"):
        await carry_out_on_host(context, asked)
    found = await settle_on_host(context, asked)
    assert (found.settlement, found.exit_status) == (Settlement.FAILED, 7)
    asked = call(plan("sleep 30", timeout="500ms"), attempt=2)
    with pytest.raises(CommandTimedOut):
        await carry_out_on_host(context, asked)
    found = await settle_on_host(context, asked)
    assert found.settlement is Settlement.FAILED
    assert "time limit" in found.evidence


async def test_a_command_that_still_runs_is_waited_for(world: World, home: Path) -> None:
    context, asked = world.context(), call(plan(f"until [ -e {home}/go ]; do sleep 0.05; done; echo done"))
    running = asyncio.create_task(carry_out_on_host(context, asked))
    while not list(home.glob(".twinsite/steps/*/records/*")):
        await asyncio.sleep(0.02)
    settling = asyncio.create_task(settle_on_host(context, asked))
    await asyncio.sleep(0.2)
    assert not settling.done()
    (home / "go").touch()
    await running
    assert (await settling).settlement is Settlement.DONE


async def test_an_executor_that_was_overtaken_starts_nothing(world: World, home: Path) -> None:
    asked = call(plan(f"echo x >> {home}/effect"))
    await settle_on_host(executor(world.context(), 2), asked)
    with pytest.raises(Overtaken):
        await carry_out_on_host(executor(world.context(), 1), asked)
    with pytest.raises(Overtaken):
        await settle_on_host(executor(world.context(), 1), asked)
    assert not (home / "effect").exists()


class BreakingTransport(LocalTransport):
    """Loses its connection right after a command was sent, once; the command goes on by itself."""

    def __init__(self, breaks: Callable[[str], bool]) -> None:
        super().__init__()
        self.breaks = breaks
        self.left_behind: list[asyncio.Task[Completed]] = []

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        going = super().run(host, command, timeout_seconds=timeout_seconds, stdin=stdin)
        if not self.left_behind and self.breaks(command):
            self.left_behind.append(asyncio.create_task(going))
            await asyncio.sleep(0.3)
            raise ConnectionBroken("the connection was reset")
        return await going


async def test_a_connection_that_breaks_under_way_costs_neither_the_step_nor_a_second_run(home: Path) -> None:
    transport = BreakingTransport(lambda command: "effect" in command)
    world = World(transport=transport, journal=MemoryJournal(boottime_ns, wall_unix_seconds), now=boottime_ns)
    outcome = await world.carry_out(plan(f"sleep 1; echo x >> {home}/effect"))
    await asyncio.gather(*transport.left_behind)
    assert outcome.done
    assert (home / "effect").read_text() == "x\n"
    assert "recorded its end: exit 0" in outcome.progress.steps["x/a"].evidence


async def test_after_a_crash_a_step_that_the_host_finished_is_not_run_again(world: World, home: Path) -> None:
    planned = plan(f"echo x >> {home}/effect")
    await world.journal.append("run-1", RunPlanned(planned, "anna", "why"))
    await world.journal.append("run-1", StepStarted("x/a", 1))
    await carry_out_on_host(world.context(), call(planned))
    outcome = await world.carry_out(planned)
    assert outcome.done
    assert (home / "effect").read_text() == "x\n"


async def test_after_a_crash_before_the_command_left_it_is_run_now(world: World, home: Path) -> None:
    planned = plan(f"echo x >> {home}/effect")
    await world.journal.append("run-1", RunPlanned(planned, "anna", "why"))
    await world.journal.append("run-1", StepStarted("x/a", 1))
    assert (await world.carry_out(planned)).done
    assert (home / "effect").read_text() == "x\n"


async def test_a_slow_executor_that_wakes_up_finds_its_next_step_refused(world: World, home: Path) -> None:
    planned = plan(f"echo x >> {home}/effect")
    await settle_on_host(executor(world.context(), 2), call(planned))
    outcome = await world.carry_out(planned)
    assert outcome.outcome is RunOutcome.LOST_RIGHT
    assert outcome.progress.state("x/a") is StepState.WAITING
    assert not (home / "effect").exists()
