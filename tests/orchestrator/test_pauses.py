"""A pause cannot be forgotten: it ends by itself, however often a controller restarts, and is shown."""

import math

import pytest

from orchestrator.api.shapes import MoveRequest, QuietRequest
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import DURHAM, Site, TwoSites, two_sites


async def pause(site: Site, seconds: float) -> None:
    async with site.api() as client:
        told = await client.pause(QuietRequest(service="crm", seconds=seconds, reason="storage work"))
    assert told.lines[0].startswith("crm: paused for")


async def seen(world: TwoSites, site: Site) -> float:
    """How long it still lasts, once the site knows of it."""
    await world.until(lambda: site.controller.view().services[0].pause_left_seconds is not None)
    left = site.controller.view().services[0].pause_left_seconds
    assert left is not None
    return left


async def test_a_controller_that_restarts_goes_on_counting_where_it_was() -> None:
    async with two_sites() as world:
        await pause(world.durham, 3600.0)
        await seen(world, world.morpeth)
        await world.until(lambda: world.morpeth.decision() == "healthy")
        kept = world.morpeth.controller.minds["crm"].pause_ends_ns
        for _ in range(2):
            await world.morpeth.kill_controller()
            await world.morpeth.start()
            await world.until(lambda: world.morpeth.controller.minds["crm"].pause_ends_ns == kept)
            await seen(world, world.morpeth)
            assert world.morpeth.controller.minds["crm"].pause_ends_ns == kept


async def test_another_pause_counts_from_its_own_beginning() -> None:
    async with two_sites() as world:
        await pause(world.durham, 60.0)
        await seen(world, world.durham)
        await pause(world.durham, 3600.0)
        await world.until(lambda: (left_at(world.durham) or 0.0) > 3000.0)
        await world.durham.kill_controller()
        await world.durham.start()
        assert await seen(world, world.durham) > 3000.0


def left_at(site: Site) -> float | None:
    return site.controller.view().services[0].pause_left_seconds


async def test_while_it_lasts_everything_that_is_shown_says_so_and_afterwards_nothing_does() -> None:
    async with two_sites() as world:
        run = (await world.durham.move("switchover", reason="to have a run")).run
        await world.until(lambda: world.open_at("morpeth") and world.owned().movement == "steady")
        await pause(world.durham, 3600.0)
        await seen(world, world.durham)
        told = await look(world.durham)
        paused = told.service().pause
        assert paused is not None
        assert paused.reason == "storage work"
        assert paused.who.endswith("@durham")
        assert 3500 < paused.remaining_seconds <= 3600
        assert paused.ends > paused.since
        remaining, ends = told.metric("pause_remaining_seconds"), told.metric("pause_ends_timestamp_seconds")
        assert remaining is not None
        assert ends is not None
        assert told.explained["crm"].pause is not None
        async with world.durham.api() as client:
            assert (await client.run(run)).pause is not None
            assert set((await client.runs()).pauses) == {"crm"}
            plan = await client.plan(MoveRequest(verb="switchover", service="crm"))
            assert plan.pause is not None
            assert [gate.code for gate in plan.gates if gate.number == 7] == ["paused"]
            assert plan.refusal is not None
            await client.resume(QuietRequest(service="crm"))
            await world.until(lambda: left_at(world.durham) is None)
            assert (await client.runs()).pauses == {}
        told = await look(world.durham)
        assert told.service().pause is None
        assert told.metric("pause_remaining_seconds", service="crm") == 0
        assert told.metric("pause_ends_timestamp_seconds", service="crm") is None


@pytest.mark.parametrize("seconds", [None, 0.0, -1.0, 7 * 86400.0 + 1])
async def test_a_pause_without_an_end_in_sight_is_refused(seconds: float | None) -> None:
    async with two_sites() as world, world.sites[DURHAM].api() as client:
        request = QuietRequest(service="crm", seconds=seconds, reason="for ever")
        assert (await refusal_of(client.pause(request))).code == "wrong-request"
        assert world.owned().pause is None
        assert not math.isinf(world.owned().epoch)
