"""Carrying plans out: order, journal first, retries, what failures mean, and going on after a break."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.catalogue import Settled, Settlement
from runbooks.context import Call, Result
from runbooks.errors import ActionMisused, JournalDamaged, JournalFull, LostRight, Overtaken, StepFailed
from runbooks.journal import (
    Event,
    Journal,
    Record,
    RunEnded,
    RunOutcome,
    RunPlanned,
    StepEnded,
    StepOutcome,
    StepRetried,
    StepStarted,
    StepWithdrawn,
)
from runbooks.model import IfUnreachable, InDoubt, OnFailure
from runbooks.planned import Plan, PlannedCondition
from runbooks.progress import StepState, fold
from sites.errors import AccessDenied, CommandRefused, CommandTimedOut, ConnectionBroken, HostUnreachable
from sites.replication.words import Role
from tests.runbooks.worlds import World, plan_of_steps, role_is, step
from tests.support.virtual_time import now_seconds, run

HEALTHY = PlannedCondition("probe", "login page", "morpeth")


def events(world: World) -> list[Event]:
    return [record.event for record in run_read(world)]


def run_read(world: World) -> Sequence[Record]:
    async def story() -> Sequence[Record]:
        return await world.journal.read("run-1")

    return run(story)


def outcome_of(world: World, plan: Plan):
    return run(lambda: world.carry_out(plan))


def raising(error: Exception, times: int = 1_000):
    """A deed that raises at its first `times` attempts."""
    left = [times]

    def act(call: Call) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise error

    return act


# -- the walk ---------------------------------------------------------------------------------------


def test_steps_are_carried_out_in_their_order_and_the_run_is_done() -> None:
    world = World()
    outcome = outcome_of(world, plan_of_steps(step("c", "b"), step("a"), step("b", "a")))
    assert outcome.done
    assert world.deeds.done == ["p/a", "p/b", "p/c"]
    assert outcome.summary == "3 of 3 steps are done"


def test_independent_steps_run_at_the_same_time() -> None:
    world = World()
    for name in ("a", "b", "c"):
        world.deeds.scripts[f"p/{name}"] = lambda call: asyncio.sleep(10)

    async def story() -> float:
        await world.carry_out(plan_of_steps(step("a"), step("b"), step("c"), step("d", "a", "b", "c")))
        return now_seconds()

    assert run(story) == pytest.approx(10.0, abs=0.5)
    assert world.deeds.most_at_once == 3


def test_a_step_starts_as_soon_as_what_it_needs_is_done_and_not_a_level_later() -> None:
    world = World()
    world.deeds.scripts["p/slow"] = lambda call: asyncio.sleep(40)
    outcome_of(world, plan_of_steps(step("slow"), step("a"), step("b", "a")))
    assert world.deeds.done == ["p/a", "p/b", "p/slow"]


def test_the_plan_stands_in_the_journal_before_anything_and_every_end_before_the_next_step() -> None:
    world = World()
    plan = plan_of_steps(step("a"), step("b", "a"))
    on_file: dict[str, list[Event]] = {}

    async def look(call: Call) -> None:
        on_file[call.step.id] = [record.event for record in await world.journal.read("run-1")]

    world.deeds.scripts = {"p/a": look, "p/b": look}
    outcome_of(world, plan)
    assert isinstance(on_file["p/a"][0], RunPlanned)
    assert on_file["p/a"][-1] == StepStarted("p/a", 1)
    assert isinstance(on_file["p/b"][-2], StepEnded)
    assert on_file["p/b"][-1] == StepStarted("p/b", 1)


def test_the_record_says_who_ordered_it_and_why_and_what_it_may_lose() -> None:
    world = World()

    async def story() -> None:
        await world.engine().carry_out(
            plan_of_steps(step("a")), world.context(), who="anna", why="flood", data_loss="at most 3 s"
        )

    run(story)
    planned = events(world)[0]
    assert isinstance(planned, RunPlanned)
    assert (planned.who, planned.why, planned.data_loss) == ("anna", "flood", "at most 3 s")


def test_progress_is_shown_after_every_record_and_a_broken_display_stops_nothing() -> None:
    world = World()
    world.seen = _BrokenList()
    assert outcome_of(world, plan_of_steps(step("a"))).done


class _BrokenList(list):
    def append(self, item: object) -> None:
        raise RuntimeError("the terminal is gone")


def test_what_a_step_hands_on_reaches_later_steps() -> None:
    world = World()
    got: list[object] = []
    world.deeds.scripts["p/a"] = lambda call: Result("x", values={"final_position": {"text": "0/1"}})
    world.deeds.scripts["p/b"] = lambda call: got.append(dict(call.values))
    outcome_of(world, plan_of_steps(step("a"), step("b", "a")))
    assert got == [{"final_position": {"text": "0/1"}}]


def test_no_more_steps_run_at_once_than_the_bound_and_all_are_done() -> None:
    world = World()
    plan = plan_of_steps(*(step(f"s{n}") for n in range(300)))
    for n in range(300):
        world.deeds.scripts[f"p/s{n}"] = lambda call: asyncio.sleep(1)
    assert outcome_of(world, plan).done
    assert 200 <= world.deeds.most_at_once <= 256
    assert len(world.deeds.done) == len(set(world.deeds.done)) == 300


# -- failures ---------------------------------------------------------------------------------------


def test_a_failure_ends_the_run_lets_siblings_finish_and_starts_nothing_new() -> None:
    world = World()
    world.deeds.scripts["p/bad"] = raising(StepFailed("exit 3: no space", 3))
    world.deeds.scripts["p/slow"] = lambda call: asyncio.sleep(50)
    outcome = outcome_of(world, plan_of_steps(step("bad"), step("slow"), step("next", "slow")))
    assert outcome.outcome is RunOutcome.FAILED
    assert world.deeds.done == ["p/slow"]
    assert "step 1, Do bad: failed: exit 3: no space" in outcome.summary
    assert outcome.progress.steps["p/bad"].exit_status == 3
    assert outcome.progress.state("p/next") is StepState.WAITING


def test_a_step_that_may_fail_does_not_end_the_run_and_the_end_says_so() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(StepFailed("no"))
    outcome = outcome_of(world, plan_of_steps(step("a", on_failure=OnFailure.CONTINUE), step("b", "a")))
    assert outcome.done
    assert "1 of 2 steps are done; went on without 1 Do a (failed)" in outcome.summary


def test_a_step_that_takes_too_long_is_ended() -> None:
    world = World()
    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(1000)

    async def story() -> tuple[float, StepState]:
        outcome = await world.carry_out(plan_of_steps(step("a", timeout_seconds=5)))
        return now_seconds(), outcome.progress.state("p/a")

    seconds, state = run(story)
    assert state is StepState.TIMED_OUT
    assert seconds < 10
    assert not world.deeds.running


def test_an_error_of_our_own_fails_the_step_and_not_the_engine() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(KeyError("oops"))
    outcome = outcome_of(world, plan_of_steps(step("a", retries=3, action="safe-deed")))
    assert outcome.outcome is RunOutcome.FAILED
    assert "KeyError" in outcome.progress.steps["p/a"].evidence
    assert outcome.progress.steps["p/a"].attempts == 1


def test_a_plan_with_a_word_this_program_does_not_know_fails_at_that_step() -> None:
    world = World()
    outcome = outcome_of(world, plan_of_steps(step("a", action="teleport")))
    assert outcome.outcome is RunOutcome.FAILED
    assert "teleport" in outcome.summary


def test_a_plan_whose_keys_this_programs_action_does_not_take_fails_at_that_step() -> None:
    world = World()
    outcome = outcome_of(world, plan_of_steps(step("a", arguments={"colour": "red"})))
    assert outcome.outcome is RunOutcome.FAILED
    assert "colour" in outcome.progress.steps["p/a"].evidence


# -- retries ----------------------------------------------------------------------------------------


def test_an_idempotent_step_is_tried_again_with_growing_pauses() -> None:
    world = World()
    times: list[float] = []

    def act(call: Call) -> None:
        times.append(now_seconds())
        if call.attempt < 4:
            raise StepFailed(f"attempt {call.attempt}")

    world.deeds.scripts["p/a"] = act
    plan = plan_of_steps(step("a", action="safe-deed", retries=5, backoff_seconds=2.0))
    assert outcome_of(world, plan).done
    assert times == [0.0, 2.0, 6.0, 14.0]
    assert [event.evidence for event in events(world) if isinstance(event, StepRetried)] == [
        "attempt 1",
        "attempt 2",
        "attempt 3",
    ]


def test_attempts_end_with_their_number() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(StepFailed("no"))
    outcome = outcome_of(world, plan_of_steps(step("a", action="safe-deed", retries=2)))
    assert outcome.progress.steps["p/a"].attempts == 3


def test_a_step_that_might_do_harm_twice_is_not_tried_again_and_says_why() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(StepFailed("exit 1", 1))
    outcome = outcome_of(world, plan_of_steps(step("a", retries=3)))
    assert outcome.progress.steps["p/a"].attempts == 1
    assert "not tried again" in outcome.progress.steps["p/a"].evidence


@pytest.mark.parametrize(
    "fields", [{"verify": HEALTHY}, {"unless": role_is("primary")}, {"in_doubt": InDoubt.RERUN}]
)
def test_unless_verify_or_rerun_allow_a_further_attempt(fields: dict[str, object]) -> None:
    world = World(healthy={("login page", "morpeth"): True})
    world.deeds.scripts["p/a"] = raising(StepFailed("no"), times=1)
    assert outcome_of(world, plan_of_steps(step("a", retries=1, **fields))).done


@pytest.mark.parametrize(
    "error", [HostUnreachable("no route"), CommandRefused("the lock is held", code="lock-busy")]
)
def test_what_was_never_started_may_be_tried_again_by_any_step(error: Exception) -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(error, times=2)
    assert outcome_of(world, plan_of_steps(step("a", retries=2))).done


@pytest.mark.parametrize("error", [AccessDenied("key"), ActionMisused("no probes")])
def test_what_cannot_get_better_is_not_tried_again(error: Exception) -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(error)
    outcome = outcome_of(world, plan_of_steps(step("a", action="safe-deed", retries=5)))
    assert outcome.progress.steps["p/a"].attempts == 1


# -- a host that does not answer --------------------------------------------------------------------


def test_a_host_that_may_be_gone_is_passed_over_at_once() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(HostUnreachable("no route to host"))
    fields = {"if_unreachable": IfUnreachable.CONTINUE, "retries": 5}
    outcome = outcome_of(world, plan_of_steps(step("a", **fields), step("b", "a")))
    assert outcome.done
    assert outcome.progress.state("p/a") is StepState.UNREACHABLE_CONTINUED
    assert outcome.progress.steps["p/a"].attempts == 1
    assert "unreachable-continued" in outcome.summary


def test_any_other_host_that_does_not_answer_fails_its_step() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(HostUnreachable("no route to host"))
    assert outcome_of(world, plan_of_steps(step("a"))).outcome is RunOutcome.FAILED


def test_a_command_that_fails_on_a_host_that_may_be_gone_still_fails() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(StepFailed("exit 1", 1))
    plan = plan_of_steps(step("a", if_unreachable=IfUnreachable.CONTINUE))
    assert outcome_of(world, plan).outcome is RunOutcome.FAILED


@pytest.mark.parametrize(
    ("settlement", "state"),
    [
        (Settled(Settlement.DONE, "exit 0", 0), StepState.DONE),
        (Settled(Settlement.FAILED, "exit 4", 4), StepState.FAILED),
        (Settled(Settlement.UNKNOWN, "no record"), StepState.FAILED),
    ],
)
def test_after_a_connection_breaks_under_way_the_host_is_asked_how_it_ended(
    settlement: Settled, state: StepState
) -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(ConnectionBroken("reset"))
    world.deeds.settlements["p/a"] = settlement
    outcome = outcome_of(world, plan_of_steps(step("a", retries=3)))
    assert outcome.progress.state("p/a") is state
    assert outcome.progress.steps["p/a"].attempts == 1


def test_a_command_that_a_broken_connection_never_delivered_is_sent_again() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(ConnectionBroken("reset"), times=1)
    world.deeds.settlements["p/a"] = Settled(Settlement.NEVER_STARTED, "nothing there")
    assert outcome_of(world, plan_of_steps(step("a", retries=1))).done


# -- unless and verify ------------------------------------------------------------------------------


def test_a_step_that_is_done_already_is_not_carried_out() -> None:
    world = World()
    world.driver.roles["morpeth"] = Role.PRIMARY
    outcome = outcome_of(world, plan_of_steps(step("a", unless=role_is("primary"))))
    assert outcome.done
    assert world.deeds.done == []
    assert outcome.progress.state("p/a") is StepState.ALREADY_DONE
    assert not any(isinstance(event, StepStarted) for event in events(world))


def test_a_question_that_cannot_be_asked_is_no_reason_to_act() -> None:
    world = World()
    world.transport.answers["pgrep"] = _completed(127, "pgrep: not found")
    asked = PlannedCondition("run", "pgrep app", "morpeth", "morpeth/crm-app")
    outcome = outcome_of(world, plan_of_steps(step("a", unless=asked)))
    assert outcome.outcome is RunOutcome.FAILED
    assert world.deeds.done == []
    assert "could not be run" in outcome.progress.steps["p/a"].evidence


def _completed(status: int, text: str):
    from sites.transport import Completed

    return Completed(status, "", text, 0.0)


def test_a_step_is_done_only_when_what_must_hold_does() -> None:
    world = World()

    async def story() -> StepState:
        async def heal() -> None:
            await asyncio.sleep(20)
            world.healthy[("login page", "morpeth")] = True

        healing = asyncio.create_task(heal())
        outcome = await world.carry_out(plan_of_steps(step("a", verify=HEALTHY)))
        await healing
        return outcome.progress.state("p/a")

    assert run(story) is StepState.DONE


def test_a_step_whose_effect_does_not_show_fails_with_what_was_seen() -> None:
    world = World()
    outcome = outcome_of(world, plan_of_steps(step("a", verify=HEALTHY, timeout_seconds=5)))
    assert outcome.outcome is RunOutcome.FAILED
    assert "refused" in outcome.progress.steps["p/a"].evidence


# -- the right to act -------------------------------------------------------------------------------


def test_the_right_is_asked_for_between_the_record_and_the_deed_of_every_attempt() -> None:
    world = World()
    asked_after: list[Event] = []

    class Watching:
        def __init__(self, inner: Journal) -> None:
            self.inner, self.last = inner, None

        async def append(self, run_id: str, event: Event) -> Record:
            self.last = event
            return await self.inner.append(run_id, event)

        async def read(self, run_id: str) -> Sequence[Record]:
            return await self.inner.read(run_id)

        async def runs(self, limit: int):
            return await self.inner.runs(limit)

    journal = Watching(world.journal)
    world.journal = journal
    world.right = lambda: asked_after.append(journal.last)
    world.deeds.scripts["p/a"] = raising(StepFailed("no"), times=1)
    assert outcome_of(world, plan_of_steps(step("a", action="safe-deed", retries=1), step("b", "a"))).done
    assert asked_after == [StepStarted("p/a", 1), StepStarted("p/a", 2), StepStarted("p/b", 1)]


def test_without_the_right_nothing_is_done_and_the_announced_step_is_withdrawn() -> None:
    world = World()

    def lost() -> None:
        raise LostRight("the lease is over")

    world.right = lost
    outcome = outcome_of(world, plan_of_steps(step("a"), step("b", "a")))
    assert outcome.outcome is RunOutcome.LOST_RIGHT
    assert outcome.summary == "the lease is over"
    assert world.deeds.done == []
    assert StepWithdrawn("p/a", 1, "the lease is over") in events(world)
    assert outcome.progress.started == ()


def test_when_the_right_is_lost_steps_under_way_are_ended_and_named() -> None:
    world = World()
    world.deeds.scripts["p/slow"] = lambda call: asyncio.sleep(1000)
    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(1)

    def right() -> None:
        if now_seconds() >= 1:
            raise LostRight("epoch 8 is there")

    world.right = right

    async def story():
        outcome = await world.carry_out(
            plan_of_steps(step("slow", timeout_seconds=2000), step("a"), step("b", "a"))
        )
        return outcome, now_seconds()

    outcome, seconds = run(story)
    assert outcome.outcome is RunOutcome.LOST_RIGHT
    assert seconds < 10
    last = events(world)[-1]
    assert isinstance(last, RunEnded)
    assert last.left == ("p/slow",)


def test_an_answer_about_the_right_that_never_comes_is_no_right() -> None:
    world = World()

    async def story():
        async def may_act() -> None:
            await asyncio.sleep(1e6)

        engine = world.engine()
        engine._may_act = may_act
        return await engine.carry_out(plan_of_steps(step("a")), world.context(), who="a", why="b")

    assert run(story).outcome is RunOutcome.LOST_RIGHT
    assert world.deeds.done == []


def test_a_host_that_has_seen_a_later_executor_ends_the_run_here() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(Overtaken("executor 3 has taken the run over"))
    outcome = outcome_of(world, plan_of_steps(step("a", retries=5, action="safe-deed")))
    assert outcome.outcome is RunOutcome.LOST_RIGHT
    assert outcome.progress.state("p/a") is StepState.WAITING


# -- the journal fails ------------------------------------------------------------------------------


class FullJournal:
    """A journal that is full for what `refuses` says."""

    def __init__(self, inner: Journal, refuses) -> None:
        self.inner, self.refuses = inner, refuses

    async def append(self, run_id: str, event: Event) -> Record:
        if self.refuses(event):
            raise JournalFull("no space left; free some")
        return await self.inner.append(run_id, event)

    async def read(self, run_id: str) -> Sequence[Record]:
        return await self.inner.read(run_id)

    async def runs(self, limit: int):
        return await self.inner.runs(limit)


def test_a_plan_that_cannot_be_recorded_is_not_begun() -> None:
    world = World()
    world.journal = FullJournal(world.journal, lambda event: True)
    with pytest.raises(JournalFull):
        outcome_of(world, plan_of_steps(step("a")))
    assert world.deeds.done == []


def test_a_step_that_cannot_be_announced_is_not_begun_and_the_run_stands_still() -> None:
    world = World()
    refused = StepStarted("p/b", 1)
    world.journal = FullJournal(world.journal, lambda event: event == refused)
    outcome = outcome_of(world, plan_of_steps(step("a"), step("b", "a")))
    assert outcome.outcome is RunOutcome.NOT_RECORDED
    assert world.deeds.done == ["p/a"]
    assert "free some" in outcome.summary
    world.journal = world.journal.inner
    assert outcome_of(world, plan_of_steps(step("a"), step("b", "a"))).done
    assert world.deeds.done == ["p/a", "p/b"]


def test_an_end_that_cannot_be_recorded_leaves_its_step_in_doubt_and_starts_nothing_new() -> None:
    world = World()
    world.journal = FullJournal(world.journal, lambda event: isinstance(event, StepEnded | RunEnded))
    outcome = outcome_of(world, plan_of_steps(step("a"), step("b", "a")))
    assert outcome.outcome is RunOutcome.NOT_RECORDED
    assert world.deeds.done == ["p/a"]
    assert [planned.id for planned in outcome.progress.started] == ["p/a"]


# -- being told to stop, and going on ---------------------------------------------------------------


def interrupted(world: World, plan: Plan, after_seconds: float) -> None:
    """Carry the plan out and tell the engine to stop after a while."""

    async def story() -> None:
        task = asyncio.create_task(world.carry_out(plan))
        await asyncio.sleep(after_seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)


def test_told_to_stop_it_records_what_it_leaves() -> None:
    world = World()
    world.deeds.scripts["p/a"] = lambda call: asyncio.sleep(40)
    interrupted(world, plan_of_steps(step("a"), step("b")), 10)
    last = events(world)[-1]
    assert isinstance(last, RunEnded)
    assert (last.outcome, last.left) == (RunOutcome.INTERRUPTED, ("p/a",))
    assert "p/a" in last.summary
    assert not world.deeds.running


def test_a_run_goes_on_where_it_was_stopped() -> None:
    world = World()
    world.deeds.scripts["p/b"] = lambda call: asyncio.sleep(40)
    plan = plan_of_steps(step("a"), step("b", "a", action="safe-deed"), step("c", "b"))
    interrupted(world, plan, 10)
    assert world.deeds.done == ["p/a"]

    async def resume():
        return await world.engine().resume("run-1", world.context())

    assert run(resume).done
    assert world.deeds.done == ["p/a", "p/b", "p/c"]


def test_a_run_that_ended_is_not_carried_out_again() -> None:
    world = World()
    plan = plan_of_steps(step("a"))
    first = outcome_of(world, plan)
    second = outcome_of(world, plan)
    assert (second.outcome, second.summary) == (first.outcome, first.summary)
    assert world.deeds.done == ["p/a"]


def test_a_run_keeps_what_it_was_planned_with() -> None:
    world = World()
    outcome_of(world, plan_of_steps(step("a")))
    with pytest.raises(ActionMisused, match="planned otherwise"):
        outcome_of(world, plan_of_steps(step("a"), step("b")))


def test_a_run_of_which_nothing_is_known_cannot_be_resumed() -> None:
    world = World()

    async def unknown() -> None:
        await world.engine().resume("run-1", world.context())

    with pytest.raises(ActionMisused, match="nothing is known"):
        run(unknown)

    async def headless() -> None:
        await world.journal.append("run-1", StepStarted("p/a", 1))
        await world.engine().resume("run-1", world.context())

    with pytest.raises(JournalDamaged):
        run(headless)


def cut_off(world: World, plan: Plan, *begun: str) -> None:
    """The journal as a crash leaves it: the plan, and steps that were announced."""

    async def story() -> None:
        await world.journal.append("run-1", RunPlanned(plan, "anna", "why"))
        for name in begun:
            await world.journal.append("run-1", StepStarted(f"p/{name}", 1))

    run(story)


@pytest.mark.parametrize("fields", [{"action": "safe-deed"}, {"in_doubt": InDoubt.RERUN}])
def test_a_step_in_doubt_is_run_again_where_that_does_no_harm(fields: dict[str, object]) -> None:
    world = World()
    plan = plan_of_steps(step("a", **fields), step("b", "a"))
    cut_off(world, plan, "a")
    assert outcome_of(world, plan).done
    assert world.deeds.done == ["p/a", "p/b"]
    numbers = [event.attempt for event in events(world) if isinstance(event, StepStarted)]
    assert numbers == [1, 2, 1]


def test_a_step_in_doubt_that_nothing_settles_waits_for_a_person_and_says_where_to_look() -> None:
    world = World()
    plan = plan_of_steps(step("a"), step("b", "a"), step("c"))
    cut_off(world, plan, "a")

    async def story() -> None:
        going = asyncio.ensure_future(world.carry_out(plan))
        await asyncio.sleep(60)
        assert not going.done()
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)

    run(story)
    progress = world.seen[-1]
    assert progress.state("p/a") is StepState.IN_DOUBT
    assert "whether deed at morpeth was done" in progress.steps["p/a"].evidence
    assert [wait.step.id for wait in progress.waits] == ["p/a"]
    assert world.deeds.done == ["p/c"]


@pytest.mark.parametrize(
    ("settlement", "done", "outcome"),
    [
        (Settled(Settlement.DONE, "exit 0", 0), ["p/b"], RunOutcome.DONE),
        (Settled(Settlement.NEVER_STARTED, "no"), ["p/a", "p/b"], RunOutcome.DONE),
        (Settled(Settlement.FAILED, "exit 2", 2), [], RunOutcome.FAILED),
    ],
)
def test_a_step_in_doubt_is_settled_by_what_the_host_recorded(
    settlement: Settled, done: list[str], outcome: RunOutcome
) -> None:
    world = World()
    world.deeds.settlements["p/a"] = settlement
    plan = plan_of_steps(step("a"), step("b", "a"))
    cut_off(world, plan, "a")
    assert outcome_of(world, plan).outcome is outcome
    assert world.deeds.done == done


@pytest.mark.parametrize("key", ["unless", "verify"])
def test_a_step_in_doubt_is_settled_by_its_questions(key: str) -> None:
    world = World()
    world.driver.roles["morpeth"] = Role.PRIMARY
    plan = plan_of_steps(step("a", **{key: role_is("primary")}))
    cut_off(world, plan, "a")
    outcome = outcome_of(world, plan)
    assert outcome.done
    assert world.deeds.done == []
    assert "found done" in outcome.progress.steps["p/a"].evidence


@pytest.mark.parametrize("key", ["unless", "verify"])
def test_a_step_in_doubt_that_its_questions_find_undone_is_carried_out(key: str) -> None:
    world = World()
    world.deeds.scripts["p/a"] = lambda call: world.driver.roles.update(morpeth=Role.PRIMARY)
    plan = plan_of_steps(step("a", **{key: role_is("primary")}))
    cut_off(world, plan, "a")
    assert outcome_of(world, plan).done
    assert world.deeds.done == ["p/a"]


def test_a_step_in_doubt_on_a_host_that_may_be_gone_is_passed_over() -> None:
    world = World()
    world.transport.answers["pgrep"] = HostUnreachable("no route")
    asked = PlannedCondition("run", "pgrep app", "durham", "durham/crm-app")
    plan = plan_of_steps(step("a", unless=asked, if_unreachable=IfUnreachable.CONTINUE), step("b", "a"))
    cut_off(world, plan, "a")
    outcome = outcome_of(world, plan)
    assert outcome.done
    assert outcome.progress.state("p/a") is StepState.UNREACHABLE_CONTINUED


def test_a_timed_out_step_is_known_to_have_timed_out() -> None:
    world = World()
    world.deeds.scripts["p/a"] = raising(CommandTimedOut("ended at 5 s"))
    outcome = outcome_of(world, plan_of_steps(step("a")))
    ended = [event for event in events(world) if isinstance(event, StepEnded)]
    assert ended[0].outcome is StepOutcome.TIMED_OUT
    assert outcome.outcome is RunOutcome.FAILED


# -- killed anywhere --------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the product's runs after it."""


class KillingJournal:
    """Dies at its nth record: before or after that record is on disk."""

    def __init__(self, inner: Journal, nth: int, after: bool) -> None:
        self.inner, self.left, self.after = inner, nth, after

    async def append(self, run_id: str, event: Event) -> Record:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        record = await self.inner.append(run_id, event)
        if self.left == 0:
            raise Killed
        return record

    async def read(self, run_id: str) -> Sequence[Record]:
        return await self.inner.read(run_id)

    async def runs(self, limit: int):
        return await self.inner.runs(limit)


GRAPHS = st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8)


def graph_plan(needs: list[list[int]], action: str) -> Plan:
    return plan_of_steps(
        *(
            step(f"s{n}", *sorted({f"s{need}" for need in wanted if need < n}), action=action)
            for n, wanted in enumerate(needs)
        )
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(GRAPHS, st.integers(1, 20), st.booleans(), st.integers(0, 2))
def test_killed_at_any_record_and_resumed_every_step_is_done_after_its_needs_and_none_twice(
    needs: list[list[int]], nth: int, after: bool, speed: int
) -> None:
    world = World()
    plan = graph_plan(needs, "deed")
    done_at: dict[str, int] = {}
    effects: list[str] = []

    async def act(call: Call) -> None:
        if speed:
            await asyncio.sleep((call.step.number % 7) * 0.1 * speed)
        assert set(call.step.needs) <= set(effects), "a step before its needs"
        effects.append(call.step.id)
        done_at[call.step.id] = len(effects)
        # What a host would have recorded of it.
        world.deeds.settlements[call.step.id] = Settled(Settlement.DONE, "exit 0", 0)

    for planned in plan.steps:
        world.deeds.scripts[planned.id] = act
        world.deeds.settlements[planned.id] = Settled(Settlement.NEVER_STARTED, "nothing there")
    inner = world.journal
    world.journal = KillingJournal(inner, nth, after)

    async def life() -> None:
        await world.carry_out(plan)

    try:
        run(life)
    except (Killed, BaseExceptionGroup):
        pass
    world.journal = inner
    outcome = outcome_of(world, plan)
    assert outcome.done
    assert sorted(effects) == sorted(planned.id for planned in plan.steps)
    assert fold(plan, run_read(world)).complete
