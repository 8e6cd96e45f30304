"""A run that goes on where another one ended: what was done is not done again, unless it is so no more."""

from typing import Any

import pytest

from runbooks.continuing import left_of, may_go_on_from, still_so
from runbooks.journal import RunAdopted, RunOutcome
from runbooks.model import IfUnreachable
from runbooks.planned import Plan, PlannedCondition
from runbooks.seen import RunSeen, StepSeen, StepState
from sites.errors import HostUnreachable
from sites.transport import Completed
from tests.runbooks.worlds import World, plan_of_steps, step
from tests.support.virtual_time import run

S = StepState


def asked(text: str) -> PlannedCondition:
    return PlannedCondition("run", text, "morpeth", "morpeth/crm-app")


def seen(**states: StepState) -> RunSeen:
    return RunSeen(
        tuple(
            StepSeen(
                f"p/{name}", state, f"evidence of {name}", attempts=1, last_attempt=3, ended_record=number
            )
            for number, (name, state) in enumerate(states.items(), start=2)
        ),
        values={"left": "by an earlier step"},
    )


def begun_with(plan: Plan, before: RunSeen, world: World) -> dict[str, StepState]:
    found: list[RunSeen] = []

    async def look() -> None:
        found.append(await still_so(plan, left_of(plan, before, before="run-0"), world.context()))

    run(look)
    return {one.step.removeprefix("p/"): one.state for one in found[0].steps}


def test_what_was_done_stays_done_what_failed_has_its_turn_and_of_what_was_cut_off_a_person_is_asked() -> (
    None
):
    plan = plan_of_steps(*(step(name) for name in "abcdef"), step("settle", action="ownership.settle"))
    before = seen(
        a=S.DONE, b=S.ALREADY_DONE, c=S.SKIPPED, d=S.FAILED, e=S.STARTED, f=S.TIMED_OUT, settle=S.DONE
    )
    left = left_of(plan, before, before="run-0")
    assert {one.step.removeprefix("p/"): one.state for one in left.steps} == {
        "a": S.DONE, "b": S.ALREADY_DONE, "c": S.SKIPPED, "d": S.WAITING, "e": S.IN_DOUBT, "f": S.WAITING,
        "settle": S.WAITING,
    }  # fmt: skip
    assert left.steps[0].evidence == "in run-0: evidence of a"
    assert left.values == before.values
    assert {one.last_attempt for one in left.steps} == {0}, "hosts know this run's attempts by its own name"


@pytest.mark.parametrize(
    ("question", "answer", "found"),
    [
        ({"verify": asked("is it so")}, Completed(0, "", "", 0.0), S.DONE),
        ({"verify": asked("is it so")}, Completed(1, "", "", 0.0), S.WAITING),
        ({"unless": asked("is it so")}, Completed(1, "", "", 0.0), S.WAITING),
        ({"verify": asked("is it so")}, Completed(127, "", "", 0.0), S.IN_DOUBT),
        ({"verify": asked("is it so")}, HostUnreachable("gone"), S.IN_DOUBT),
        (
            {"verify": asked("is it so"), "if_unreachable": IfUnreachable.CONTINUE},
            HostUnreachable("gone"),
            S.DONE,
        ),
        ({}, Completed(1, "", "", 0.0), S.DONE),
    ],
)
def test_a_step_s_own_question_says_whether_it_is_still_so(
    question: dict[str, Any], answer: Completed | Exception, found: StepState
) -> None:
    world = World()
    world.transport.answers["is it so"] = answer  # type: ignore[attr-defined]
    assert begun_with(plan_of_steps(step("a", **question)), seen(a=S.DONE), world) == {"a": found}


def test_what_failed_or_never_began_is_not_asked_about() -> None:
    world = World()
    plan = plan_of_steps(step("a", verify=asked("is it so")), step("b", "a", verify=asked("is it so")))
    assert begun_with(plan, seen(a=S.FAILED), world) == {"a": S.WAITING, "b": S.WAITING}
    assert world.transport.ran == []  # type: ignore[attr-defined]


def test_it_is_carried_out_from_there_with_the_values_that_were_left() -> None:
    world = World()
    plan = plan_of_steps(step("a"), step("b", "a"), step("c", "b"))
    begins = RunAdopted(1, "morpeth", left_of(plan, seen(a=S.DONE, b=S.FAILED), before="run-0"), "run-0")

    async def story() -> None:
        engine = world.engine()
        ended = await engine.adopt(plan, begins, world.context(), who="ben", why="mended", first=None)
        assert (ended.outcome, ended.summary) == (RunOutcome.DONE, "3 of 3 steps are done")
        assert ended.progress.values == {"left": "by an earlier step"}

    run(story)
    assert world.deeds.done == ["p/b", "p/c"]


@pytest.mark.parametrize(
    ("step_id", "why"),
    [
        ("", ""),
        ("p/b", ""),
        ("p/c", ""),
        ("p/a", "step 1 is done: what ended well is not carried out twice"),
        ("p/x", "no step 'p/x'; there is p/a, p/b, p/c"),
    ],
)
def test_the_step_that_is_named_must_be_one_that_is_left(step_id: str, why: str) -> None:
    plan = plan_of_steps(step("a"), step("b", "a"), step("c", "b"))
    assert may_go_on_from(plan, seen(a=S.DONE, b=S.FAILED), step_id) == why


def test_what_has_been_taken_back_is_not_gone_on_with() -> None:
    plan = plan_of_steps(step("a"))
    before = RunSeen((StepSeen("p/a", S.DONE), StepSeen("undo:p/a", S.FAILED)))
    assert "taken back" in may_go_on_from(plan, before, "")
