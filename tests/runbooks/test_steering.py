"""People steer a run: what each verb does, who wins, who may, and that a crash in between forgets nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from runbooks.engine import Engine, Outcome
from runbooks.errors import NotUnderWay, StepFailed
from runbooks.journal import RunAdopted, RunEnded, RunOutcome, RunPlanned, RunSteered, StepStarted
from runbooks.model import OnFailure
from runbooks.planned import Plan
from runbooks.progress import Progress, StepState, WaitKind, begin
from runbooks.seen import RunSeen, StepSeen
from runbooks.steered import Order, Verb
from runbooks.steering import Refused, judge
from sites.transport import Completed
from tests.runbooks.worlds import World, plan_of_steps, step
from tests.support.virtual_time import now_seconds, run

PERSON = {"action": "person", "arguments": {"who": "duty manager", "ask": "ring round", "expect": "5m"}}
UNDO = {"run": "stop it", "host": "morpeth/crm-app"}


def approval(**more: Any) -> dict[str, Any]:
    return {"action": "approve", "arguments": {"ask": "may it go on?", "expires": "10m", **more}}


def order(verb: str, step_id: str = "", who: str = "ben@durham", **more: Any) -> Order:
    given = {"reason": "because", "site": "durham", "at": "12:00", **more}
    return Order(verb=Verb(verb), step=step_id and f"p/{step_id}", who=who, **given)


class Steered:
    """One run under way, and people beside it."""

    def __init__(self, world: World, plan: Plan, engine: Engine) -> None:
        self.world, self.plan, self.engine = world, plan, engine
        self.going = asyncio.ensure_future(
            engine.carry_out(plan, world.context(), who="anna@durham", why="a test")
        )

    @property
    def progress(self) -> Progress:
        return self.world.seen[-1]

    async def settle(self, seconds: float = 1.0) -> Progress:
        """Let whatever goes on by itself go on."""
        await asyncio.sleep(seconds)
        return self.progress

    async def order(self, verb: str, step_id: str = "", **more: Any) -> Order | Refused:
        more.setdefault("seen", self.progress.last_order)
        given = await self.engine.steer("run-1", order(verb, step_id, **more))
        await asyncio.sleep(0.01)
        return given

    async def ends(self) -> Outcome:
        return await asyncio.wait_for(self.going, 3600)


def steered(
    plan: Plan, story: Callable[[Steered], Coroutine[Any, Any, None]], world: World | None = None
) -> World:
    world = world or World()

    async def told() -> None:
        people = Steered(world, plan, world.engine())
        await people.settle(0.01)
        await story(people)
        if not people.going.done():
            people.going.cancel()
            await asyncio.gather(people.going, return_exceptions=True)

    run(told)
    return world


def failing(times: int) -> Callable[[Any], None]:
    left = [times]

    def act(call: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise StepFailed("it broke")

    return act


def accepted(given: Order | Refused) -> Order:
    assert isinstance(given, Order), given
    return given


def refused(given: Order | Refused) -> str:
    assert isinstance(given, Refused), given
    return given.code


# -- pause, resume -----------------------------------------------------------------------------------


def test_a_paused_run_lets_what_is_under_way_end_and_starts_nothing_until_it_is_resumed() -> None:
    world = World()
    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(5)

    async def story(people: Steered) -> None:
        accepted(await people.order("pause"))
        await people.settle(600)
        assert world.deeds.done == ["p/a"]
        assert [wait.kind for wait in people.progress.waits] == [WaitKind.PAUSED]
        accepted(await people.order("resume"))
        assert (await people.ends()).done

    steered(plan_of_steps(step("a"), step("b", "a")), story, world)
    assert world.deeds.done == ["p/a", "p/b"]


def test_a_further_attempt_waits_while_the_run_is_paused() -> None:
    world = World()
    world.deeds.scripts["p/a"] = failing(1)

    async def story(people: Steered) -> None:
        await people.settle(1)
        accepted(await people.order("pause"))
        await people.settle(600)
        assert people.progress.steps["p/a"].attempts == 1
        accepted(await people.order("resume"))
        assert (await people.ends()).done

    steered(plan_of_steps(step("a", action="safe-deed", retries=1, backoff_seconds=5.0)), story, world)


# -- a failed step -----------------------------------------------------------------------------------


def test_a_failure_that_asks_leaves_the_run_waiting_and_what_does_not_need_the_step_goes_on() -> None:
    world = World()
    world.deeds.scripts["p/a"] = failing(1)
    plan = plan_of_steps(step("a", on_failure=OnFailure.ASK), step("b", "a"), step("c"), step("d", "c"))

    async def story(people: Steered) -> None:
        progress = await people.settle(600)
        assert [(wait.kind, wait.step.id) for wait in progress.waits] == [(WaitKind.FAILED, "p/a")]
        assert world.deeds.done == ["p/c", "p/d"]
        accepted(await people.order("retry", "a"))
        assert (await people.ends()).done

    steered(plan, story, world)
    assert world.deeds.done == ["p/c", "p/d", "p/a", "p/b"]


def test_a_step_ordered_anew_has_all_its_attempts_and_numbers_no_host_has_seen() -> None:
    world = World()
    world.deeds.scripts["p/a"] = failing(3)
    plan = plan_of_steps(step("a", action="safe-deed", retries=1, on_failure=OnFailure.ASK))

    async def story(people: Steered) -> None:
        await people.settle(60)
        accepted(await people.order("retry", "a"))
        assert (await people.ends()).done

    steered(plan, story, world)
    numbers = [e.event.attempt for e in _records(world) if isinstance(e.event, StepStarted)]
    assert numbers == [1, 2, 3, 4]


def _records(world: World) -> Any:
    async def read() -> Any:
        return await world.journal.read("run-1")

    return run(read)


@pytest.mark.parametrize("verb", ["skip", "done"])
def test_a_skipped_step_and_one_done_by_hand_let_the_run_go_on_without_carrying_it_out(verb: str) -> None:
    world = World()
    world.deeds.scripts["p/a"] = failing(9)
    plan = plan_of_steps(step("a", on_failure=OnFailure.ASK), step("b", "a"))

    async def story(people: Steered) -> None:
        await people.settle(1)
        accepted(await people.order(verb, "a", evidence="the light is green"))
        outcome = await people.ends()
        assert outcome.done
        assert "the light is green" in outcome.progress.steps["p/a"].evidence

    steered(plan, story, world)
    assert world.deeds.done == ["p/b"]


def test_a_step_whose_turn_has_not_come_can_be_skipped_and_is_never_started() -> None:
    world = World()
    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(5)

    async def story(people: Steered) -> None:
        accepted(await people.order("skip", "b"))
        assert (await people.ends()).outcome is RunOutcome.DONE

    steered(plan_of_steps(step("a"), step("b", "a"), step("c", "b")), story, world)
    assert world.deeds.done == ["p/a", "p/c"]


def test_a_step_that_is_skipped_while_its_start_is_being_written_is_not_started() -> None:
    """Nobody is told that a step is skipped which then starts all the same."""
    world = World()

    async def story(people: Steered) -> None:
        await people.settle(1)
        accepted(await people.order("pause"))
        accepted(await people.order("skip", "b"))
        accepted(await people.order("resume"))
        await people.ends()

    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(3)
    steered(plan_of_steps(step("a"), step("b", "a")), story, world)
    assert world.deeds.done == ["p/a"]


# -- abort, undo -------------------------------------------------------------------------------------


def test_an_aborted_run_lets_what_is_under_way_end_and_says_what_is_done() -> None:
    world = World()
    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(5)

    async def story(people: Steered) -> None:
        accepted(await people.order("abort", reason="wrong night"))
        outcome = await people.ends()
        assert outcome.outcome is RunOutcome.ABORTED
        assert outcome.summary == "aborted by ben@durham: wrong night; 1 of 2 steps are done, and stay so"

    steered(plan_of_steps(step("a"), step("b", "a")), story, world)
    assert world.deeds.done == ["p/a"]


def test_an_abort_does_not_wait_for_a_back_off_or_for_a_person() -> None:
    world = World()
    world.deeds.scripts["p/a"] = failing(9)
    slow = step("a", action="safe-deed", retries=5, backoff_seconds=60.0)

    async def story(people: Steered) -> None:
        await people.settle(1)
        accepted(await people.order("abort"))
        assert (await people.ends()).outcome is RunOutcome.ABORTED
        assert now_seconds() < 10

    steered(plan_of_steps(slow, step("b", **PERSON)), story, world)


def test_undo_takes_back_what_was_done_the_last_to_end_first_and_names_what_it_cannot() -> None:
    world = World()
    world.deeds.scripts["p/c"] = lambda call: asyncio.sleep(5)
    undo = {name: {"run": f"undo {name}", "host": "morpeth/crm-app"} for name in "abc"}
    plan = plan_of_steps(
        step("a", undo=undo["a"]),
        step("c", undo=undo["c"]),
        step("b", "a", undo=undo["b"]),
        step("x", "b"),
        step("late", "x", **PERSON),
        step("never", "late", undo=undo["a"]),
    )

    async def story(people: Steered) -> None:
        await people.settle(60)
        accepted(await people.order("undo", reason="go home"))
        outcome = await people.ends()
        assert outcome.outcome is RunOutcome.UNDONE
        assert "3 of 3 steps were taken back" in outcome.summary
        assert "without an undo, as they are: 4 Do x" in outcome.summary

    steered(plan, story, world)
    said = [line for _, line in world.transport.ran if "undo " in line]
    assert [next(n for n in "abc" if f"undo {n}" in line) for line in said] == ["c", "b", "a"]
    numbers = [s.number for s in world.seen[-1].undo]
    assert numbers == [7, 8, 9]


def test_what_was_already_so_is_not_taken_back() -> None:
    from sites.replication.words import Role
    from tests.runbooks.worlds import role_is

    world = World()
    world.driver.roles["morpeth"] = Role.PRIMARY
    plan = plan_of_steps(step("a", unless=role_is("primary"), undo=UNDO), step("b", **PERSON))

    async def story(people: Steered) -> None:
        await people.settle(1)
        accepted(await people.order("undo"))
        assert (await people.ends()).progress.undo == ()

    steered(plan, story, world)


def test_a_failure_that_undoes_does_it_without_anybody() -> None:
    world = World()
    world.deeds.scripts["p/b"] = failing(9)
    plan = plan_of_steps(step("a", undo=UNDO), step("b", "a", on_failure=OnFailure.UNDO), step("c", "b"))

    async def story(people: Steered) -> None:
        outcome = await people.ends()
        assert outcome.outcome is RunOutcome.UNDONE
        assert outcome.progress.state("undo:p/a") is StepState.DONE

    steered(plan, story, world)
    assert world.deeds.done == ["p/a"]


def test_an_undo_that_fails_waits_for_a_person_who_may_do_it_by_hand() -> None:
    world = World()
    world.transport.answers["stop it"] = StepFailed("no")
    plan = plan_of_steps(step("a", undo=UNDO), step("b", "a", **PERSON))

    async def story(people: Steered) -> None:
        await people.settle(1)
        accepted(await people.order("undo"))
        progress = await people.settle(1)
        assert [(w.kind, w.step.id) for w in progress.waits] == [(WaitKind.FAILED, "undo:p/a")]
        by_hand = order("done", evidence="stopped it myself", seen=1)
        given = await people.engine.steer("run-1", _of(by_hand, "undo:p/a"))
        accepted(given)
        assert (await people.ends()).outcome is RunOutcome.UNDONE

    steered(plan, story, world)


def _of(given: Order, step_id: str) -> Order:
    from dataclasses import replace

    return replace(given, step=step_id)


# -- people ------------------------------------------------------------------------------------------


def test_a_person_is_asked_once_and_the_run_goes_on_when_they_say_that_it_is_done() -> None:
    world = World()

    async def story(people: Steered) -> None:
        progress = await people.settle(7200)
        assert [w.kind for w in progress.waits] == [WaitKind.PERSON]
        accepted(await people.order("done", "a", evidence="all told"))
        outcome = await people.ends()
        assert outcome.done
        assert outcome.progress.steps["p/a"].evidence.endswith("because: all told")

    steered(plan_of_steps(step("a", **PERSON), step("b", "a")), story, world)
    assert world.notices == ["duty manager is asked: ring round"]


def test_evidence_that_was_asked_for_is_demanded() -> None:
    asked = {**PERSON, "arguments": {**PERSON["arguments"], "evidence": "the number of the change"}}

    async def story(people: Steered) -> None:
        await people.settle(1)
        assert refused(await people.order("done", "a")) == "evidence-missing"
        accepted(await people.order("done", "a", evidence="CHG-7"))
        assert (await people.ends()).done

    steered(plan_of_steps(step("a", **asked)), story)


def test_an_approval_counts_from_another_person_with_the_role_of_the_owner_and_from_each_once() -> None:
    world = World()
    asked = approval(role="manager", owner="northumberland", number=2)
    good = {"roles": ("manager",), "owner": "northumberland"}

    async def story(people: Steered) -> None:
        await people.settle(1)
        assert refused(await people.order("approve", "a", who="anna@morpeth", **good)) == "approve-own"
        assert refused(await people.order("approve", "a", who="ben@durham")) == "role-missing"
        wrong = {**good, "owner": "durham"}
        assert refused(await people.order("approve", "a", who="ben@durham", **wrong)) == "owner-wrong"
        accepted(await people.order("approve", "a", who="ben@durham", **good))
        assert refused(await people.order("approve", "a", who="ben@morpeth", **good)) == "approved-already"
        # Based on the same look as the first one: agreeing takes nothing from anybody.
        accepted(await people.order("approve", "a", who="cara@morpeth", seen=0, **good))
        assert (await people.ends()).done

    steered(plan_of_steps(step("a", **asked), step("b", "a")), story, world)
    assert world.deeds.done == ["p/b"]


def test_an_approval_that_nobody_gives_in_time_is_a_no() -> None:
    async def story(people: Steered) -> None:
        outcome = await people.ends()
        assert outcome.outcome is RunOutcome.FAILED
        assert "0 of 1 agreed within 10m: it counts as no" in outcome.summary
        assert now_seconds() == pytest.approx(600, abs=5)

    steered(plan_of_steps(step("a", **approval()), step("b", "a")), story)


def test_nobody_can_skip_an_approval_or_say_that_it_was_done() -> None:
    async def story(people: Steered) -> None:
        await people.settle(1)
        assert refused(await people.order("skip", "a")) == "approval-needed"
        assert refused(await people.order("done", "a", evidence="x")) == "approval-needed"

    steered(plan_of_steps(step("a", **approval())), story)


def test_the_time_for_an_approval_goes_on_while_the_controller_is_down() -> None:
    world = World()
    plan = plan_of_steps(step("a", **approval()))

    async def story() -> None:
        first = Steered(world, plan, world.engine())
        await first.settle(400)
        first.going.cancel()
        await asyncio.gather(first.going, return_exceptions=True)
        await asyncio.sleep(150)
        context = world.context()
        ended = await world.engine().resume("run-1", context)
        assert ended.outcome is RunOutcome.FAILED
        assert now_seconds() == pytest.approx(600, abs=5)

    run(story)


def test_a_run_that_fails_beside_a_waiting_person_does_not_wait_for_them() -> None:
    world = World()
    world.deeds.scripts["p/b"] = failing(9)

    async def story(people: Steered) -> None:
        outcome = await people.ends()
        assert outcome.outcome is RunOutcome.FAILED
        assert outcome.progress.state("p/a") is StepState.WAITING

    steered(plan_of_steps(step("a", **PERSON), step("b")), story, world)


# -- two people, and crashes -------------------------------------------------------------------------


def test_of_two_people_who_steer_at_once_the_second_is_told_who_ordered_what() -> None:
    world = World()
    world.deeds.scripts["p/a"] = failing(9)

    async def story(people: Steered) -> None:
        await people.settle(1)
        seen = people.progress.last_order
        both = await asyncio.gather(
            people.engine.steer("run-1", order("retry", "a", who="ben@durham", seen=seen)),
            people.engine.steer("run-1", order("abort", who="cara@morpeth", seen=seen)),
        )
        accepted(both[0])
        assert refused(both[1]) == "steered-meanwhile"
        assert "ben@durham was first: order 1, retry p/a by ben@durham at 12:00: because" in both[1].message

    steered(plan_of_steps(step("a", on_failure=OnFailure.ASK)), story, world)


@pytest.mark.parametrize("verb", ["done", "approve"])
def test_an_answer_that_was_on_file_when_the_controller_died_counts_afterwards(verb: str) -> None:
    world = World()
    plan = plan_of_steps(step("a", **(PERSON if verb == "done" else approval())), step("b", "a"))

    async def story() -> None:
        await world.journal.append("run-1", RunPlanned(plan, "anna@durham", "why"))
        await world.journal.append("run-1", StepStarted("p/a", 1))
        given = order(verb, "a", number=1)
        await world.journal.append("run-1", RunSteered(given))
        assert (await world.engine().resume("run-1", world.context())).done

    run(story)
    assert world.deeds.done == ["p/b"]


@pytest.mark.parametrize("at", range(1, 12))
def test_killed_at_any_record_of_an_undo_it_is_taken_back_to_the_end_and_nothing_twice(at: int) -> None:
    from tests.runbooks.test_engine import Killed, KillingJournal

    world = World()
    plan = plan_of_steps(step("a", undo=UNDO), step("b", "a", on_failure=OnFailure.UNDO))
    world.deeds.scripts["p/b"] = failing(9)
    inner = world.journal
    world.journal = KillingJournal(inner, at, True)

    async def story() -> None:
        try:
            await world.carry_out(plan)
        except* Killed:
            pass
        world.journal = inner
        from runbooks.catalogue import Settled, Settlement

        for name in ("p/a", "p/b"):
            did = name in world.deeds.done or name == "p/b"
            found = Settlement.FAILED if name == "p/b" else Settlement.DONE
            world.deeds.settlements[name] = Settled(found if did else Settlement.NEVER_STARTED, "on file")
        world.transport.answers["status "] = Completed(0, "done 0\n", "", 0.0)
        outcome = await world.carry_out(plan)
        assert outcome.outcome is RunOutcome.UNDONE

    run(story)
    assert world.deeds.done == ["p/a"]


def seen_of(progress: Progress) -> RunSeen:
    """What the record in the store tells of it."""
    steps = tuple(
        StepSeen(
            each.id,
            state.state,
            state.evidence,
            state.attempts,
            state.last_attempt,
            state.ended_record,
        )
        for each, state in ((each, progress.steps[each.id]) for each in progress.all_steps)
    )
    return RunSeen(steps, progress.orders, progress.values)


def test_what_was_taken_back_is_not_taken_back_again_by_whoever_adopts_the_run() -> None:
    """Its first attempt had failed and a person had it tried anew; another one a person did by hand."""
    world, seen = World(), list[RunSeen]()
    plan = plan_of_steps(
        step("a", undo={**UNDO, "run": "reopen a"}),
        step("b", "a", undo={**UNDO, "run": "reopen b"}),
        step("c", "b", undo={**UNDO, "run": "reopen c"}),
        step("d", "c", on_failure=OnFailure.UNDO),
    )
    world.deeds.scripts["p/d"] = failing(9)
    world.transport.answers["reopen c"] = Completed(1, "", "no", 0.0)
    world.transport.answers["reopen b"] = Completed(1, "", "no", 0.0)
    world.transport.answers["reopen a"] = Completed(1, "", "no", 0.0)

    async def story(people: Steered) -> None:
        await people.settle(10)
        world.transport.answers["reopen c"] = Completed(0, "", "", 0.0)
        accepted(await people.engine.steer("run-1", _of(order("retry", seen=0), "undo:p/c")))
        await people.settle(10)
        by_hand = order("done", seen=1, evidence="saw it")
        accepted(await people.engine.steer("run-1", _of(by_hand, "undo:p/b")))
        await people.settle(10)
        assert [wait.step.id for wait in people.progress.waits if wait.step] == ["undo:p/a"]
        seen.append(seen_of(people.progress))

    steered(plan, story, world)
    adopter = World()
    adopter.transport.answers["reopen"] = Completed(0, "", "", 0.0)

    async def adoption() -> Outcome:
        engine, context = adopter.engine(), adopter.context()
        going = asyncio.ensure_future(
            engine.adopt(plan, RunAdopted(2, "durham", seen[0]), context, who="x", why="y", first=None)
        )
        await asyncio.sleep(10)
        accepted(await engine.steer("run-1", _of(order("retry", seen=2), "undo:p/a")))
        return await going

    assert run(adoption).outcome is RunOutcome.UNDONE
    assert [line for _, line in adopter.transport.ran if "reopen" in line and "reopen a" not in line] == []


@pytest.mark.parametrize(
    ("undo", "times"),
    [({}, 0), ({"unless": "is it open"}, 0), ({"verify": "is it open"}, 0), ({"in_doubt": "rerun"}, 1)],
    ids=["asks a person", "already so", "found done", "run again"],
)
def test_taking_back_that_was_cut_off_is_settled_like_any_step(undo: dict[str, str], times: int) -> None:
    plan = plan_of_steps(
        step("a", undo={**UNDO, "run": "reopen a", **undo}), step("b", "a", on_failure=OnFailure.UNDO)
    )
    steps = (
        StepSeen("p/a", StepState.DONE, attempts=1, last_attempt=1, ended_record=3),
        StepSeen("p/b", StepState.FAILED, attempts=1, last_attempt=1, ended_record=5),
        StepSeen("undo:p/a", StepState.STARTED, attempts=1, last_attempt=1),
    )
    world = World()
    world.transport.answers["is it open"] = Completed(0, "", "", 0.0)
    world.transport.answers["status "] = Completed(0, "lost\n", "", 0.0)

    async def story() -> None:
        engine, context = world.engine(), world.context()
        adopted = RunAdopted(2, "durham", RunSeen(steps))
        going = asyncio.ensure_future(engine.adopt(plan, adopted, context, who="x", why="y", first=None))
        await asyncio.sleep(60)
        if undo:
            assert (await going).outcome is RunOutcome.UNDONE
        else:
            kinds = [(wait.kind, wait.step.id) for wait in world.seen[-1].waits if wait.step]
            assert kinds == [(WaitKind.IN_DOUBT, "undo:p/a")]
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)

    run(story)
    assert len([line for _, line in world.transport.ran if "reopen a" in line]) == times


def test_an_order_for_a_run_that_is_not_under_way_here_is_not_recorded() -> None:
    world = World()

    async def story() -> None:
        with pytest.raises(NotUnderWay):
            await world.engine().steer("run-1", order("pause"))

    run(story)
    assert not _records(world)


# -- judgements --------------------------------------------------------------------------------------


def _progress(**states: StepState) -> Progress:
    plan = plan_of_steps(step("a"), step("own", action="ownership.claim"))
    progress = begin(plan)
    from dataclasses import replace

    steps = {
        step_id: replace(found, state=states.get(step_id.removeprefix("p/"), found.state))
        for step_id, found in progress.steps.items()
    }
    return replace(progress, steps=steps, who="anna@durham")


@pytest.mark.parametrize(
    ("given", "states", "code"),
    [
        (order("retry", "a"), {"a": StepState.DONE}, "step-ended-well"),
        (order("retry", "a"), {"a": StepState.STARTED}, "step-running"),
        (order("retry", "a"), {}, "step-not-failed"),
        (order("skip", "a"), {"a": StepState.ALREADY_DONE}, "step-ended-well"),
        (order("skip", "a"), {"a": StepState.STARTED}, "step-running"),
        (order("done", "a", evidence="x"), {}, "step-not-failed"),
        (order("done", "a"), {"a": StepState.IN_DOUBT}, "evidence-missing"),
        (order("skip", "own"), {}, "step-decides-ownership"),
        (order("done", "own", evidence="x"), {"own": StepState.FAILED}, "step-decides-ownership"),
        (order("approve", "a"), {"a": StepState.STARTED}, "nothing-to-approve"),
        (order("retry", "b"), {}, "unknown-step"),
        (order("resume"), {}, "run-not-paused"),
        (order("abort", reason=" "), {}, "reason-missing"),
        (order("abort", "a"), {}, "wrong-request"),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(
    given: Order, states: dict[str, StepState], code: str
) -> None:
    assert refused(judge(_progress(**states), given)) == code


def test_a_run_that_has_ended_takes_no_order() -> None:
    from dataclasses import replace

    ended = replace(_progress(), ended=RunEnded(RunOutcome.DONE, "2 of 2 steps are done"))
    found = judge(ended, order("abort"))
    assert refused(found) == "run-ended"
    assert "2 of 2 steps are done" in found.message
