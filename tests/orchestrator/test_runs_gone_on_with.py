"""Runs that have ended and are gone on with: a person mended the cause, and nothing is done twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.api.shapes import Steered, SteerRequest
from orchestrator.core.records import RUNS, RunRecord, decode, encode
from orchestrator.store.base import Compare, Put
from sites.model import Host
from sites.transport import Completed
from tests.orchestrator import two_sites as world_of
from tests.orchestrator.looking import refusal_of
from tests.orchestrator.test_steering_runs import Hosts, books, state_of, steered_estate, told
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, two_sites

DEMOTE = """
runbook: demote
title: Close it
steps:
  - id: stop-app
    action: ssh
    host: "{{ from_site.hosts['crm-app'] }}"
    run: appctl stop
"""
PROMOTE = """
runbook: promote
title: Open it
steps:
  - {id: open, action: replication.promote}
  - id: bar
    action: ssh
    needs: [open]
    host: "{{ to_site.hosts['crm-app'] }}"
    run: doorctl bar
  - id: start-app
    action: ssh
    needs: [bar]
    host: "{{ to_site.hosts['crm-app'] }}"
    run: appctl start
  - {id: late, action: person, needs: [start-app], who: x, ask: Look, expect: 5m}
"""


@asynccontextmanager
async def failed(
    monkeypatch: pytest.MonkeyPatch, fails: str = "appctl start", **everywhere: Any
) -> AsyncIterator[tuple[TwoSites, str, Hosts]]:
    """A switchover to Morpeth that has failed at a command."""
    hosts = Hosts()
    hosts.fails[fails] = 1

    async def run(
        self: Any, host: Host, command: str, *, timeout_seconds: float, stdin: str = "", said: Any = None
    ) -> Completed:
        return await hosts.run(self, host, command, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(world_of.NoHosts, "run", run)
    async with two_sites(steered_estate(**everywhere), prepare=books(PROMOTE, DEMOTE)) as world:
        plan = await world.durham.move("switchover")
        await world.until(lambda: state_of(world, plan.run) == "failed")
        await world.until(lambda: world.owned().movement == "steady" and nobody_is_at_it(world))
        yield world, plan.run, hosts


def nobody_is_at_it(world: TwoSites) -> bool:
    """A controller is at a run for a moment longer than the store shows it."""
    return not any(site.controller.minds["crm"].busy for site in world.sites.values())


async def retry(site: Site, run: str, step: str = "", reason: str = "mended") -> Steered:
    async with site.api() as client:
        return await client.steer(run, SteerRequest(verb="retry", step=step, reason=reason))


ALL_RAN = [
    (DURHAM, "appctl stop"),
    (MORPETH, "doorctl bar"),
    (MORPETH, "appctl start"),
    (MORPETH, "appctl start"),
]


@pytest.mark.parametrize("ordered_at", [DURHAM, MORPETH])
async def test_a_run_that_failed_after_the_claim_is_gone_on_with_from_the_failed_step(
    monkeypatch: pytest.MonkeyPatch, ordered_at: str
) -> None:
    async with failed(monkeypatch) as (world, run, hosts):
        left = "\n".join((await told(world.morpeth, run)).left)
        assert f"`twinsite runs retry {run} --reason …`" in left
        given = await retry(world.sites[ordered_at], run, "promote/start-app")
        assert (given.run != run, given.number, given.executor) == (True, 0, MORPETH)
        await world.until(lambda: state_of(world, given.run) == "waiting")
        async with world.durham.api() as client:
            await client.steer(given.run, SteerRequest(verb="done", step="promote/late", reason="seen"))
        await world.until(lambda: state_of(world, given.run) == "done" and world.steady(at=MORPETH))
        assert hosts.ran == ALL_RAN
        assert (world.owned().primary, world.owned().epoch, world.owned().run) == (MORPETH, 2, given.run)
        shown = await told(world.durham, given.run)
        assert shown.continues == run
        assert shown.why == f"goes on with {run} from promote/start-app: mended"
        details = {step.step: step.detail for step in shown.steps}
        assert details["promote/bar"].startswith(f"in {run}: ")
        assert state_of(world, run) == "failed", "an ended run stays ended"


async def test_its_controller_killed_in_the_middle_goes_on_and_does_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with failed(monkeypatch) as (world, run, hosts):
        given = await retry(world.durham, run)
        await world.until(lambda: state_of(world, given.run) == "waiting")
        await world.morpeth.kill_controller()
        await world.morpeth.start()
        await world.until(lambda: world.morpeth.controller.mover.under_way(given.run))
        async with world.durham.api() as client:
            await client.steer(given.run, SteerRequest(verb="skip", step="promote/late", reason="seen"))
        await world.until(lambda: state_of(world, given.run) == "done")
        assert hosts.ran == ALL_RAN


async def test_it_fails_again_and_only_the_later_run_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    async with failed(monkeypatch) as (world, run, hosts):
        hosts.fails["appctl start"] = 1
        second = (await retry(world.durham, run)).run
        await world.until(lambda: state_of(world, second) == "failed" and world.owned().movement == "steady")
        await world.until(lambda: nobody_is_at_it(world))
        refusal = await refusal_of(retry(world.durham, run))
        assert refusal.code == "run-overtaken"
        assert second in refusal.message
        third = (await retry(world.durham, second)).run
        await world.until(lambda: state_of(world, third) == "waiting")
        assert hosts.ran == [*ALL_RAN, (MORPETH, "appctl start")]


async def test_what_failed_before_the_claim_is_planned_anew_and_the_command_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with failed(monkeypatch, fails="appctl stop") as (world, run, _):
        await world.until(lambda: world.steady(at=DURHAM))
        refusal = await refusal_of(retry(world.morpeth, run))
        assert refusal.code == "run-before-claim"
        assert "`twinsite plan switchover crm`" in refusal.message


async def test_a_run_is_not_gone_on_with_once_its_service_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    async with failed(monkeypatch, failover="automatic") as (world, run, hosts):
        await world.until(lambda: world.steady(at=MORPETH))
        await world.lose(MORPETH)
        await world.until(lambda: world.owned().primary == DURHAM)
        later = world.owned().run
        await world.until(lambda: state_of(world, later) == "waiting")
        async with world.durham.api() as client:
            await client.steer(later, SteerRequest(verb="skip", step="promote/late", reason="seen"))
        await world.until(lambda: world.owned().movement == "steady" and nobody_is_at_it(world))
        before = list(hosts.ran)
        refusal = await refusal_of(retry(world.durham, run))
        assert refusal.code == "run-overtaken"
        assert f"{later} came after it" in refusal.message
        assert hosts.ran == before


async def test_a_step_that_ended_well_and_a_run_that_was_done_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with failed(monkeypatch) as (world, run, _):
        assert (await refusal_of(retry(world.durham, run, "promote/bar"))).code == "step-ended-well"
        assert (await refusal_of(retry(world.durham, run, reason=" "))).code == "reason-missing"
        given = (await retry(world.durham, run)).run
        await world.until(lambda: state_of(world, given) == "waiting")
        assert (await refusal_of(retry(world.durham, run))).code == "moving"
        async with world.durham.api() as client:
            await client.steer(given, SteerRequest(verb="skip", step="promote/late", reason="seen"))
        await world.until(lambda: state_of(world, given) == "done" and world.steady(at=MORPETH))
        assert (await refusal_of(retry(world.durham, given))).code == "run-ended"


# --- its service is settled, and its end was not told ------------------------------------------------------


async def put_back(world: TwoSites, run: str) -> None:
    """As if the store had never heard that it has ended."""
    store = world.cluster.client("test")
    found = (await store.read(RUNS + run, exact=True, timeout_seconds=5)).get(RUNS + run)
    assert found is not None
    before = replace(decode(RunRecord, found.value), state="running", outcome="", ended="")
    compare, put = Compare(RUNS + run, found.mod_revision), Put(RUNS + run, encode(before))
    assert (await store.transact([compare], [put], [], timeout_seconds=5)).succeeded
    await store.aclose()


async def test_a_run_whose_end_the_store_never_heard_of_is_ended_when_its_controller_is_back() -> None:
    async with two_sites() as world:
        run = (await world.durham.move("switchover")).run
        await world.until(lambda: state_of(world, run) == "done" and world.steady(at=MORPETH))
        promoted = world.pair.instances[MORPETH].starts
        await world.morpeth.stop_controller()
        await put_back(world, run)
        await world.morpeth.start()
        await world.until(lambda: state_of(world, run) == "done")
        assert (world.owned().primary, world.owned().epoch) == (MORPETH, 2)
        assert world.pair.instances[MORPETH].starts == promoted


async def test_a_rejoin_that_was_cut_off_after_the_standby_was_back_is_ended_when_its_controller_is() -> None:
    async with two_sites() as world:
        await world.until(lambda: world.durham.decision() == "healthy")
        world.pair.instances[MORPETH].receiving = False  # the last row never arrives
        world.pair.write()
        await world.lose(DURHAM)
        await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
        await world.bring_back(DURHAM)
        await world.until(lambda: [run.state for run in world.runs("rejoin")] == ["done"])
        (rejoin,) = world.runs("rejoin")
        await world.until(lambda: world.durham.decision() == "healthy")
        starts = world.pair.instances[DURHAM].starts
        await world.durham.stop_controller()
        await put_back(world, rejoin.run)
        await world.durham.start()
        await world.until(lambda: state_of(world, rejoin.run) == "done")
        assert len(world.runs("rejoin")) == 1
        assert world.pair.instances[DURHAM].starts == starts, "what follows is left alone"
