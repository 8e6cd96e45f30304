"""What people order: planned moves and failovers, at either site, and how they end when things go wrong."""

import asyncio
import math

import pytest

from orchestrator.api.client import Refused
from orchestrator.api.shapes import MoveOrder, MoveRequest
from sites.replication.words import Role, Word
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import DURHAM, MORPETH, TwoSites, estate, two_sites
from tests.support.fake_driver import FakeDriver


async def over(world: TwoSites, at: str) -> None:
    """The service is open there, and no run holds it."""
    await world.until(lambda: world.open_at(at) and world.owned().movement == "steady")


# --- planned moves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered_at", [DURHAM, MORPETH])
async def test_a_planned_move_may_be_ordered_at_either_site_and_loses_no_row(ordered_at: str) -> None:
    async with two_sites() as world:
        world.writer()
        site = world.sites[ordered_at]
        plan = await site.move("switchover", reason="patching")
        assert (plan.from_site, plan.to_site, plan.confirm_site) == (DURHAM, MORPETH, MORPETH)
        await over(world, MORPETH)
        before, after = world.pair.instances[DURHAM].rows, world.pair.instances[MORPETH].rows
        assert before
        assert before == after[: len(before)]
        record = world.owned()
        assert (record.epoch, record.previous, record.planned, record.run) == (2, DURHAM, True, plan.run)
        for each in world.sites.values():
            told = await world.detail(plan.run, each)
            assert (told.state, told.executor, told.why) == ("done", MORPETH, "patching")
            assert told.who.endswith(f"@{ordered_at}")
            assert {step.state for step in told.steps} == {"done"}
            assert [step.step for step in told.steps][1:3] == ["ownership/give-up", "ownership/claim"]
            assert told.statement == plan.statement
        await world.until(lambda: world.steady(at=MORPETH))
        await look(world.durham)
        assert world.owned().last_move is None, "a planned move does not count for gate 6"


async def test_a_planned_move_needs_a_driver_that_can_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDriver, "unknown_words", frozenset({Word.CLOSE}))
    async with two_sites() as world:
        async with world.durham.api() as client:
            with pytest.raises(Refused) as caught:
                await client.plan(MoveRequest(verb="switchover", service="crm"))
        assert caught.value.refusal.code == "word-missing"
        assert "does not know the word close" in caught.value.refusal.message
        assert world.open_at(DURHAM)


async def test_of_two_orders_at_once_one_wins_and_the_other_is_told_who() -> None:
    async with two_sites() as world:
        request = MoveRequest(verb="switchover", service="crm")
        async with world.durham.api() as one, world.morpeth.api() as other:
            first, second = await one.plan(request), await other.plan(request)
            answers = await asyncio.gather(
                one.move(MoveOrder(run=first.run, confirmed_site=MORPETH)),
                other.move(MoveOrder(run=second.run, confirmed_site=MORPETH)),
                return_exceptions=True,
            )
            refused = [answer for answer in answers if isinstance(answer, Refused)]
            assert len(refused) == 1, answers
            assert refused[0].refusal.code in ("moving", "changed-since-plan")
            await over(world, MORPETH)
            assert world.owned().epoch == 2
            assert len(world.runs("switchover")) == 1


async def test_one_plan_ordered_twice_at_once_is_one_run() -> None:
    async with two_sites() as world, world.durham.api() as client:
        plan = await client.plan(MoveRequest(verb="switchover", service="crm"))
        order = MoveOrder(run=plan.run, confirmed_site=plan.confirm_site)
        answers = await asyncio.gather(client.move(order), client.move(order), return_exceptions=True)
        for answer in answers:
            assert not isinstance(answer, Exception) or isinstance(answer, Refused), answer
        await over(world, MORPETH)
        assert (await refusal_of(client.move(order))).code == "plan-unknown"
        assert len(world.runs("switchover")) == 1


async def test_a_plan_is_void_once_the_service_s_ownership_has_changed() -> None:
    async with two_sites() as world, world.durham.api() as client:
        old = await client.plan(MoveRequest(verb="switchover", service="crm"))
        await world.morpeth.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        order = MoveOrder(run=old.run, confirmed_site=MORPETH)
        assert (await refusal_of(client.move(order))).code == "changed-since-plan"


async def test_a_target_that_cannot_be_promoted_at_first_is_opened_in_the_end() -> None:
    async with two_sites() as world:
        world.pair.promote_fails[MORPETH] = 5
        plan = await world.durham.move("switchover")
        run = await world.detail(plan.run, world.morpeth)
        assert run.state == "failed"
        assert "its disk is read-only" in run.outcome
        await over(world, MORPETH)
        await world.until(lambda: world.steady(at=MORPETH))


async def test_a_target_that_never_opens_is_told_of_and_a_person_moves_it_back() -> None:
    async with two_sites() as world:
        world.pair.promote_fails[MORPETH] = 1000
        await world.durham.move("switchover")
        await world.until(lambda: world.morpeth.decision() == "reopen-failed")
        assert world.owned().movement == "steady", "no run holds it any more"
        told = await look(world.morpeth)
        assert told.service().next_step
        # Its old primary was shut in order. Somebody starts it, as a standby, and says that it is to open.
        world.pair.instances[DURHAM].running, world.pair.instances[DURHAM].role = True, Role.STANDBY
        await world.until(lambda: world.durham.controller.eyes.primary_history("crm") != "")
        await world.until(lambda: "standby" in str(world.durham.controller.eyes.sample("crm", DURHAM)))
        plan = await world.durham.move(
            "failover", accept_loss_seconds=math.inf, reason="Morpeth does not open"
        )
        await over(world, DURHAM)
        assert (await world.detail(plan.run, world.durham)).state == "done"
        assert world.owned().epoch == 3


async def test_a_close_that_overruns_fails_the_move_and_the_service_opens_again() -> None:
    async with two_sites() as world:
        world.pair.overrunning.add(DURHAM)
        plan = await world.morpeth.move("switchover")
        run = await world.detail(plan.run, world.morpeth)
        assert run.state == "failed"
        assert "final position" in run.outcome
        await world.until(lambda: len(world.pair.writable) == 1 and world.owned().movement == "steady")
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 2


async def test_what_the_holder_cannot_close_stays_where_it_is_and_says_why() -> None:
    async with two_sites(estate(lease="60s")) as world, world.morpeth.api() as client:
        plan = await client.plan(MoveRequest(verb="switchover", service="crm"))
        world.pair.cut_off(DURHAM, by=(DURHAM,))  # its host, for those who would close it
        await client.move(MoveOrder(run=plan.run, confirmed_site=MORPETH))
        run = await world.detail(plan.run, world.morpeth)
        assert run.state == "failed"
        assert "no route to host" in run.outcome
        assert world.owned().primary == DURHAM
        world.pair.reach_again()
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 1


async def test_a_run_whose_controller_is_restarted_goes_on_where_it_was() -> None:
    async with two_sites() as world:
        world.pair.hung.add(DURHAM)
        plan = await world.durham.move("switchover")
        await world.until(lambda: (MORPETH, "prepare", DURHAM) in world.pair.said)
        assert (await look(world.durham)).service().run == plan.run
        assert await world.morpeth.stop_controller() == 0
        await world.morpeth.start()
        world.pair.hung.clear()
        world.pair.changed()
        await over(world, MORPETH)
        assert (await world.detail(plan.run, world.morpeth)).state == "done"
        # P26: what the controller before it had on its way to a host is refused there.
        assert world.morpeth.controller.run_records[plan.run].executor == 2
        assert len(world.runs("switchover")) == 1


async def test_a_run_whose_site_is_lost_before_the_give_up_lets_the_service_go() -> None:
    async with two_sites() as world:
        world.pair.hung.add(DURHAM)
        await world.durham.move("switchover")
        await world.until(lambda: (MORPETH, "prepare", DURHAM) in world.pair.said)
        world.pair.hung.clear()
        world.pair.unreachable.add((MORPETH, DURHAM))
        await world.lose(MORPETH)
        await over(world, DURHAM)
        assert world.owned().epoch == 1
        await world.until(lambda: world.durham.decision() == "unprotected")
        await look(world.durham)


async def test_a_target_lost_after_the_give_up_has_the_service_claimed_back() -> None:
    async with two_sites() as world:
        world.writer()
        world.pair.hung.add(MORPETH)
        await world.durham.move("switchover")
        await world.until(lambda: world.durham.controller.view().services[0].record.primary is None)
        told = await look(world.durham)
        assert (told.service().primary, told.service().epoch) == (None, 1)
        assert told.metric("owner", service="crm", site=DURHAM) == 0
        assert told.metric("epoch", service="crm") is None
        await world.lose(MORPETH)
        await over(world, DURHAM)
        assert (world.owned().epoch, world.owned().target) == (2, None)


async def test_a_controller_of_the_target_that_dies_after_the_give_up_is_waited_for_and_goes_on() -> None:
    async with two_sites() as world:
        world.pair.hung.add(MORPETH)
        plan = await world.durham.move("switchover")
        await world.until(lambda: world.owned().primary is None)
        await world.morpeth.kill_controller()
        await world.morpeth.start()
        world.pair.hung.clear()
        world.pair.changed()
        await over(world, MORPETH)
        assert (await world.detail(plan.run, world.morpeth)).state == "done"
