"""What a database that lies dead would lose: no more than when it died, for as long as that is proven."""

import asyncio
from typing import Any

import pytest

from orchestrator.api.client import Refused
from orchestrator.api.shapes import QuietRequest
from orchestrator.clock import boottime_ns
from orchestrator.core.gates import loss_bound_seconds
from sites.replication.words import Fenced
from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites

LIMIT_SECONDS = 3.0  # far above what is between two samples of a busy machine
MANUAL = {"failover": "manual", "max_data_loss": f"{LIMIT_SECONDS:g}s"}


def known_age_seconds(site: Site) -> float:
    """How old the last thing is that is known to be here."""
    service = site.controller.view().services[0]
    return (boottime_ns() - (service.safe_until_ns or 0)) / 1e9


def bound_seconds(site: Site) -> float | None:
    """What would be lost at most, as that site knows it now."""
    view = site.controller.view()
    return loss_bound_seconds(view, view.services[0])


async def dead_for_long(world: TwoSites) -> None:
    """Durham's database has been dead for longer than may be lost."""
    world.pair.kill(DURHAM)
    await world.until(lambda: known_age_seconds(world.morpeth) > LIMIT_SECONDS + 0.5)


def slow_fences(site: Site) -> asyncio.Event:
    """Fences at a site wait for this event, as a busy host's do."""
    driver: Any = site.hands.drivers["crm"]
    at_last, fence = asyncio.Event(), driver.fence

    async def late(of: str, *, within_seconds: float) -> Fenced:
        await at_last.wait()
        fenced: Fenced = await fence(of, within_seconds=within_seconds)
        return fenced

    driver.fence = late
    return at_last


async def test_a_dead_database_that_waits_for_a_person_is_moved_by_their_order_whenever_that_comes() -> None:
    async with two_sites(estate(**MANUAL)) as world:
        world.writer()
        await dead_for_long(world)
        for site in world.sites.values():
            bound = bound_seconds(site)
            assert bound is not None
            assert bound <= LIMIT_SECONDS
        told = (await look(world.morpeth)).service()
        assert told.loss_if_moved_now == f"at most {bound_seconds(world.morpeth):.1f} s"
        plan = await world.morpeth.move("failover")
        assert "by its own site's proof: no process of it is left" in plan.statement
        await world.until(lambda: world.open_at(MORPETH))
        run = await world.detail(plan.run, world.morpeth)
        assert run.state == "done"
        assert run.loss_bound_seconds is not None
        assert run.loss_bound_seconds <= LIMIT_SECONDS


async def test_one_that_waits_because_it_moved_lately_is_claimed_as_soon_as_somebody_has_looked() -> None:
    of = estate(min_time_between_failovers="1h", max_data_loss=f"{LIMIT_SECONDS:g}s")
    async with two_sites(of) as world:
        world.pair.kill(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH))
        world.pair.kill(MORPETH)
        await world.until(lambda: world.morpeth.decision() == "flap-damped")
        await world.until(lambda: known_age_seconds(world.durham) > LIMIT_SECONDS + 0.5)
        async with world.durham.api() as client:
            await client.acknowledge(QuietRequest(service="crm", reason="seen"))
        await world.until(lambda: world.open_at(DURHAM))
        assert "lag-above-limit" not in world.durham.decisions()
        run = await world.detail(world.runs("failover")[-1].run, world.durham)
        assert run.loss_bound_seconds is not None
        assert run.loss_bound_seconds <= LIMIT_SECONDS


@pytest.mark.parametrize("why", ["a process is left", "its host is out of reach"])
async def test_one_whose_death_is_not_proven_on_its_host_may_be_writing_still(why: str) -> None:
    async with two_sites(estate(**MANUAL)) as world:
        world.writer()
        if why == "a process is left":
            world.pair.unproven.add(DURHAM)
        world.pair.kill(DURHAM)
        if why == "its host is out of reach":
            world.pair.cut_off(DURHAM, by=(DURHAM,))
        await world.until(lambda: known_age_seconds(world.morpeth) > LIMIT_SECONDS + 0.5)
        with pytest.raises(Refused) as refused:
            await world.morpeth.move("failover")
        assert refused.value.refusal.code == "lag-above-limit"
        assert world.owned().primary == DURHAM


async def test_the_proof_of_a_site_that_has_fallen_silent_is_none() -> None:
    async with two_sites(estate(**MANUAL)) as world:
        world.writer()
        await dead_for_long(world)
        bound = bound_seconds(world.morpeth)
        assert bound is not None
        assert bound <= LIMIT_SECONDS
        await world.durham.kill()
        await world.until(lambda: (bound_seconds(world.morpeth) or 0.0) > LIMIT_SECONDS)


async def test_one_that_came_back_after_the_order_is_not_moved_when_more_is_lost_than_was_said() -> None:
    async with two_sites(estate(**MANUAL)) as world:
        await dead_for_long(world)
        at_last = slow_fences(world.durham)
        plan = await world.morpeth.move("failover")
        await world.until(lambda: world.owned().run == plan.run)
        world.pair.instances[MORPETH].receiving = False
        world.pair.revive(DURHAM)
        assert world.pair.write()
        began = known_age_seconds(world.morpeth)
        await world.until(lambda: known_age_seconds(world.morpeth) > began + 0.5)
        world.pair.kill(DURHAM)
        at_last.set()
        run = await world.detail(plan.run, world.morpeth)
        assert run.state == "failed"
        assert "order it again, with --accept-loss" in run.outcome + str(run.steps)
        assert world.pair.writable != [MORPETH]


async def test_one_that_came_back_after_the_order_is_moved_with_what_is_lost_said_anew() -> None:
    async with two_sites(estate(**MANUAL | {"max_data_loss": "10m"})) as world:
        await dead_for_long(world)
        at_last = slow_fences(world.durham)
        plan = await world.morpeth.move("failover")
        await world.until(lambda: world.owned().run == plan.run)
        world.pair.instances[MORPETH].receiving = False
        world.pair.revive(DURHAM)
        assert world.pair.write()
        world.pair.kill(DURHAM)
        at_last.set()
        await world.until(lambda: world.open_at(MORPETH))
        run = await world.detail(plan.run, world.morpeth)
        assert run.state == "done"
        assert plan.loss_bound_seconds is not None
        assert run.loss_bound_seconds is not None
        assert run.loss_bound_seconds > LIMIT_SECONDS > plan.loss_bound_seconds
        assert run.statement != plan.statement
