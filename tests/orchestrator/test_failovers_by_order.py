"""Failovers that people order: certificates, accepted losses, and what is refused with which code."""

import math
from typing import Any

import pytest

from orchestrator.api.client import WrongRequest
from orchestrator.api.shapes import MoveOrder, MoveRequest
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites


async def refused(site: Site, **fields: Any) -> str:
    """The code of the refusal that this failover meets."""
    return (await refusal_of(site.move("failover", **fields))).code


async def over(world: TwoSites, at: str) -> None:
    """The service is open there, and no run holds it."""
    await world.until(lambda: world.open_at(at) and world.owned().movement == "steady")


async def test_a_failover_while_the_old_primary_serves_is_refused_and_names_the_planned_move() -> None:
    async with two_sites() as world:
        told = await refused(world.morpeth)
        assert told == "old-primary-writable"
        async with world.morpeth.api() as client:
            plan = await client.plan(MoveRequest(verb="failover", service="crm"))
        assert plan.refusal is not None
        assert plan.refusal.code == "old-primary-writable"
        assert plan.lines, "it is shown what would be done all the same"
        assert (world.owned().epoch, world.pair.said) == (1, [])
        counted = 'refusals_total{service="crm",code="old-primary-writable"'
        await world.until(lambda: counted in world.morpeth.metrics())


async def test_a_failover_is_ordered_at_the_site_that_is_to_take_over() -> None:
    async with two_sites() as world:
        assert await refused(world.durham) == "ask-the-survivor"
        assert await refused(world.morpeth, to_site=DURHAM) == "ask-the-survivor"


async def test_an_ordered_failover_waits_for_the_lost_site_s_lease_and_not_for_its_hold_down() -> None:
    async with two_sites(estate(hold_down="1h")) as world:
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "hold-down")
        await look(world.morpeth)
        plan = await world.morpeth.move("failover", reason="it burns")
        await over(world, MORPETH)
        run = await world.detail(plan.run, world.morpeth)
        assert (run.state, run.why) == ("done", "it burns")
        assert world.owned().last_move is not None


async def test_a_manual_service_moves_on_a_certificate_that_its_site_is_down() -> None:
    async with two_sites(estate(failover="manual")) as world:
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "manual")
        assert await refused(world.morpeth) == "manual"
        with pytest.raises(WrongRequest, match="certify durham down"):
            await world.morpeth.move("failover", certify_down=MORPETH, reason="r")
        with pytest.raises(WrongRequest, match="--reason"):
            await world.morpeth.move("failover", certify_down=DURHAM)
        plan = await world.morpeth.move("failover", certify_down=DURHAM, reason="no power there")
        await over(world, MORPETH)
        run = await world.detail(plan.run, world.morpeth)
        assert "certified durham down: no power there" in run.statement
        assert world.owned().mode == "manual"


async def test_only_a_named_loss_that_is_large_enough_opens_what_is_too_far_behind() -> None:
    async with two_sites(estate(max_data_loss="100ms")) as world:
        world.pair.instances[MORPETH].receiving = False
        world.writer()
        await world.until(lambda: world.durham.decision() == "unprotected")
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "lag-above-limit")
        assert await refused(world.morpeth) == "lag-above-limit"
        assert await refused(world.morpeth, accept_loss_seconds=0.01) == "loss-not-accepted"
        with pytest.raises(WrongRequest, match="needs a --reason"):
            await world.morpeth.move("failover", accept_loss_seconds=3600.0, reason=" ")
        assert world.pair.writable == []
        plan = await world.morpeth.move("failover", accept_loss_seconds=3600.0, reason="the board agreed")
        await over(world, MORPETH)
        run = await world.detail(plan.run, world.morpeth)
        assert "accepted a loss of 3600 s: the board agreed" in run.statement
        assert run.loss_bound_seconds is not None
        assert run.loss_bound_seconds > 0.1


async def test_what_nobody_knows_is_lost_only_by_a_person_who_accepts_any_loss() -> None:
    async with two_sites() as world:
        await world.morpeth.kill()
        await world.lose(DURHAM)
        await world.morpeth.start()  # it has never seen the primary
        await world.until(lambda: world.morpeth.decision() == "lag-unknown")
        told = await look(world.morpeth)
        assert told.service().loss_if_moved_now == "unknown"
        assert told.metric("replication_lag_seconds", service="crm") is None
        assert await refused(world.morpeth, accept_loss_seconds=9.0) == "lag-unknown"
        plan = await world.morpeth.move(
            "failover", accept_loss_seconds=math.inf, reason="nothing else is left"
        )
        await over(world, MORPETH)
        run = await world.detail(plan.run, world.morpeth)
        assert "UNKNOWN" in run.statement
        assert run.loss_bound_seconds is None


async def test_a_manual_service_whose_database_died_is_moved_by_its_own_site_when_ordered() -> None:
    async with two_sites(estate(failover="manual", lease="60s")) as world:
        world.pair.kill(DURHAM)
        await world.until(lambda: world.durham.decision() == "manual")
        await world.until(lambda: world.morpeth.decision() == "not-the-holder")
        plan = await world.morpeth.move("failover", reason="it does not come up")
        await over(world, MORPETH)
        run = await world.detail(plan.run, world.morpeth)
        assert run.steps[0].step == "ownership/give-up"
        assert run.state == "done"
        assert (DURHAM, "fence", DURHAM) in world.pair.said


async def test_what_was_given_up_and_may_not_be_claimed_by_itself_is_claimed_by_order() -> None:
    async with two_sites(estate(max_data_loss="100ms", lease="60s")) as world:
        world.pair.instances[MORPETH].receiving = False
        world.writer()
        await world.until(lambda: world.durham.decision() == "unprotected")
        world.pair.kill(DURHAM)
        await world.until(lambda: world.owned().primary is None)
        await world.until(lambda: world.morpeth.decision() == "lag-above-limit")
        assert (await look(world.morpeth)).service().diagnosis == "handed-over"
        plan = await world.morpeth.move("failover", accept_loss_seconds=3600.0, reason="agreed")
        await over(world, MORPETH)
        assert (await world.detail(plan.run, world.durham)).state == "done"


async def test_a_second_failover_while_one_is_on_is_told_of_the_first() -> None:
    async with two_sites() as world:
        await world.lose(DURHAM)
        world.pair.hung.add(MORPETH)
        await world.until(lambda: world.owned().epoch == 2)
        assert await refused(world.morpeth) in ("moving", "ask-the-survivor")
        world.pair.hung.clear()
        world.pair.changed()
        await over(world, MORPETH)


async def test_a_takeover_cut_short_is_carried_to_its_end_by_the_restarted_controller() -> None:
    async with two_sites() as world:
        await world.lose(DURHAM)
        world.pair.hung.add(MORPETH)
        await world.until(lambda: world.owned().epoch == 2)
        await world.morpeth.kill_controller()
        await world.morpeth.start()
        world.pair.hung.clear()
        world.pair.changed()
        await over(world, MORPETH)
        run = await world.detail(world.runs("failover")[0].run, world.morpeth)
        assert run.state == "done"
        assert len(world.runs("failover")) == 1


async def test_nothing_can_be_ordered_without_a_typed_name_a_known_plan_and_a_known_service() -> None:
    async with two_sites(estate(services={"crm": {}, "files": {"<watch_only>": True}})) as world:
        async with world.durham.api() as client:
            plan = await client.plan(MoveRequest(verb="switchover", service="crm"))
            for run, typed, code in (
                (plan.run, DURHAM, "not-confirmed"),
                ("crm-switchover-1", MORPETH, "plan-unknown"),
            ):
                order = MoveOrder(run=run, confirmed_site=typed)
                assert (await refusal_of(client.move(order))).code == code
            wrong = {}
            for request in (
                MoveRequest(verb="switchover", service="nosuch"),
                MoveRequest(verb="switchover", service="files"),
                MoveRequest(verb="switchover", service="crm", to_site=DURHAM),
                MoveRequest(verb="switchover", service="crm", to_site="derwentside"),
                MoveRequest(verb="failback", service="crm"),
            ):
                refusal = await refusal_of(client.plan(request))
                wrong[request.service, request.to_site] = refusal.code
        assert wrong == {
            ("nosuch", None): "unknown-service",
            ("files", None): "driver-missing",
            ("crm", DURHAM): "owned",
            ("crm", "derwentside"): "unknown-site",
            ("crm", None): "owned",
        }
        assert (world.owned().epoch, world.pair.said) == (1, [])
