"""A run read out of its records: every prefix of them is a sound state, and nothing is ready out of turn."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.errors import StepFailed
from runbooks.journal import (
    Event,
    Record,
    RunEnded,
    RunOutcome,
    RunPlanned,
    RunResumed,
    StepEnded,
    StepOutcome,
    StepRetried,
    StepStarted,
    StepWithdrawn,
    summary_of,
)
from runbooks.model import OnFailure
from runbooks.planned import Plan
from runbooks.progress import Progress, StepState, fold, plan_of
from tests.runbooks.worlds import World, plan_of_steps, step
from tests.support.virtual_time import run

PLAN = plan_of_steps(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))


def records(*events: Event, plan: Plan = PLAN) -> list[Record]:
    all_events = [RunPlanned(plan, "anna", "a test"), *events]
    return [Record("run-1", i, 100.0 + i, i, event) for i, event in enumerate(all_events, start=1)]


def after(*events: Event, plan: Plan = PLAN) -> Progress:
    return fold(plan, records(*events, plan=plan))


def started(name: str, attempt: int = 1) -> StepStarted:
    return StepStarted(f"p/{name}", attempt)


def ended(name: str, outcome: StepOutcome = StepOutcome.DONE, **values: object) -> StepEnded:
    return StepEnded(f"p/{name}", 1, outcome, values=values)


def ready(progress: Progress) -> list[str]:
    return [planned.id.removeprefix("p/") for planned in progress.ready]


def test_what_needs_nothing_is_ready_first() -> None:
    assert ready(after()) == ["a"]


def test_a_step_announced_is_not_ready_and_holds_up_what_needs_it() -> None:
    progress = after(started("a"))
    assert ready(progress) == []
    assert [planned.id for planned in progress.started] == ["p/a"]


@pytest.mark.parametrize(
    "outcome",
    [StepOutcome.DONE, StepOutcome.ALREADY_DONE, StepOutcome.UNREACHABLE_CONTINUED, StepOutcome.SKIPPED],
)
def test_steps_that_need_no_other_are_ready_together_once_what_they_need_has_passed(
    outcome: StepOutcome,
) -> None:
    assert ready(after(started("a"), ended("a", outcome))) == ["b", "c"]


@pytest.mark.parametrize("outcome", [StepOutcome.FAILED, StepOutcome.TIMED_OUT])
def test_after_a_failure_that_ends_the_run_nothing_is_ready(outcome: StepOutcome) -> None:
    progress = after(started("a"), ended("a"), started("b"), ended("b", outcome))
    assert ready(progress) == []
    assert [planned.id for planned in progress.failed] == ["p/b"]


def test_after_a_failure_that_may_be_passed_over_the_run_goes_on() -> None:
    plan = plan_of_steps(step("a", on_failure=OnFailure.CONTINUE), step("b", "a"))
    progress = after(started("a"), ended("a", StepOutcome.FAILED), plan=plan)
    assert ready(progress) == ["b"]
    assert progress.failed == ()


def test_an_attempt_that_failed_or_was_withdrawn_leaves_its_step_ready() -> None:
    retried = after(started("a"), StepRetried("p/a", 1, "exit 1"))
    assert ready(retried) == ["a"]
    assert (retried.steps["p/a"].attempts, retried.steps["p/a"].last_attempt) == (1, 1)
    withdrawn = after(started("a"), StepWithdrawn("p/a", 1, "no right"))
    assert ready(withdrawn) == ["a"]
    assert (withdrawn.steps["p/a"].attempts, withdrawn.steps["p/a"].last_attempt) == (0, 1)


def test_what_steps_hand_on_is_kept_and_the_latest_word_counts() -> None:
    progress = after(started("a"), ended("a", x=1, y=1), started("b"), ended("b", y=2))
    assert progress.values == {"x": 1, "y": 2}


def test_a_standstill_is_over_when_something_happens_and_an_end_is_not() -> None:
    stood = after(started("a"), RunEnded(RunOutcome.INTERRUPTED, "told to stop"))
    assert stood.outcome is RunOutcome.INTERRUPTED
    assert not stood.final
    resumed = after(started("a"), RunEnded(RunOutcome.INTERRUPTED, "told to stop"), RunResumed(2))
    assert resumed.outcome is None
    assert resumed.executor == 2
    over = after(RunEnded(RunOutcome.FAILED, "no"), RunResumed(2))
    assert over.outcome is RunOutcome.FAILED
    assert ready(over) == []


def test_records_of_steps_that_the_plan_does_not_have_change_nothing() -> None:
    assert after(started("zzz"), ended("zzz")).steps == after().steps


def test_the_plan_is_the_first_record_or_there_is_none() -> None:
    assert plan_of(records()) == PLAN
    assert plan_of([]) is None
    assert plan_of(records()[1:]) is None
    assert summary_of(records(started("a"))[1:]) is None


def test_the_line_of_a_run_tells_how_it_stands() -> None:
    going = summary_of(records(started("a"), RunEnded(RunOutcome.INTERRUPTED, "x"), RunResumed(1)))
    assert going is not None
    assert (going.outcome, going.ended_wall_seconds, going.started_wall_seconds) == (None, None, 101.0)
    over = summary_of(records(RunEnded(RunOutcome.DONE, "all")))
    assert over is not None
    assert (over.outcome, over.summary, over.ended_wall_seconds) == (RunOutcome.DONE, "all", 102.0)


# -- every prefix of real runs ----------------------------------------------------------------------

PLANS = st.integers(1, 7).flatmap(
    lambda size: st.lists(
        st.tuples(st.lists(st.integers(0, 6), max_size=3), st.sampled_from(["ok", "fail", "slow", "flaky"]),
                  st.booleans()),
        min_size=size, max_size=size,
    )
)  # fmt: skip


def plan_and_world(drawn: list[tuple[list[int], str, bool]]) -> tuple[Plan, World]:
    """A plan without circles, whose deeds fail, are slow or succeed at the second attempt."""
    world, steps = World(), []

    def script(kind: str, position: int):
        async def act(call):
            await asyncio.sleep(position * 0.01 + (0.5 if kind == "slow" else 0))
            if kind == "fail" or (kind == "flaky" and call.attempt == 1):
                raise StepFailed("no")

        return act

    for position, (needs, kind, go_on) in enumerate(drawn):
        name = f"s{position}"
        steps.append(
            step(
                name,
                *sorted({f"s{need}" for need in needs if need < position}),
                action="safe-deed",
                retries=1,
                on_failure=OnFailure.CONTINUE if go_on else OnFailure.ABORT,
            )
        )
        world.deeds.scripts[f"p/{name}"] = script(kind, position)
    return plan_of_steps(*steps), world


@settings(max_examples=80, deadline=None, derandomize=True)
@given(PLANS)
def test_in_every_prefix_of_every_run_what_is_ready_has_all_it_needs_and_was_not_begun(
    drawn: list[tuple[list[int], str, bool]],
) -> None:
    plan, world = plan_and_world(drawn)

    async def story() -> list[Record]:
        await world.carry_out(plan)
        return list(await world.journal.read("run-1"))

    everything = run(story)
    for length in range(1, len(everything) + 1):
        progress = fold(plan, everything[:length])
        assert progress.records == length
        for planned in progress.ready:
            assert progress.state(planned.id) is StepState.WAITING
            assert all(progress.passed(plan.by_id[need]) for need in planned.needs)
        assert not {step.id for step in progress.ready} & {step.id for step in progress.started}
        if progress.failed:
            assert progress.ready == ()
    assert fold(plan, everything).final
