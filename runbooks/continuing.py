"""Go on from where an ended run stopped, as a run of its own: what it begins with, if that is still so.

An ended run stays ended, as it stands in the journals of both sites. Its plan is carried out once more under
another name, without what was done: a step that ended well is not begun again, unless its own question says
that it is so no more.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from runbooks.conditions import ask
from runbooks.context import ActionContext, bounded
from runbooks.errors import RunbooksMisuse, StepFailed
from runbooks.model import IfUnreachable
from runbooks.planned import Plan, PlannedStep
from runbooks.seen import RunSeen, StepSeen, StepState
from runbooks.standing import FAILED
from runbooks.undoing import UNDO
from sites.errors import HostUnreachable, SitesMisuse, SitesTrouble

ASKED_AT_ONCE = 16
SETTLE = "ownership.settle"
_DONE = (StepState.DONE, StepState.ALREADY_DONE)
_OPEN = (StepState.STARTED, StepState.IN_DOUBT)


def may_go_on_from(plan: Plan, seen: RunSeen, step_id: str) -> str:
    """Why it cannot be gone on with from this step (from any, where none is named); empty if it can."""
    states = {step.step: step.state for step in seen.steps}
    if any(step.step.startswith(UNDO) for step in seen.steps):
        return "what it did has been taken back, or was about to be"
    if not step_id:
        return ""
    if step_id not in plan.by_id:
        return f"no step {step_id!r}; there is {', '.join(plan.by_id)}"
    state = states.get(step_id, StepState.WAITING)
    if state in FAILED or state in _OPEN or state is StepState.WAITING:
        return ""
    number = plan.by_id[step_id].number
    return f"step {number} is {str(state).replace('-', ' ')}: what ended well is not carried out twice"


def left_of(plan: Plan, seen: RunSeen, *, before: str) -> RunSeen:
    """What the run that goes on with `before` begins with: what failed has its turn again, and all its
    attempts; of what was cut off a person is asked; the rest is as it was."""
    states = {step.step: step for step in seen.steps}
    return RunSeen(
        tuple(
            _left(step, states.get(step.id, StepSeen(step.id, StepState.WAITING)), before)
            for step in plan.steps
        ),
        (),
        seen.values,
    )


def _left(step: PlannedStep, was: StepSeen, before: str) -> StepSeen:
    fresh = StepSeen(step.id, StepState.WAITING)
    if was.state in FAILED or was.state is StepState.WAITING or step.action == SETTLE:
        return fresh
    if was.state in _OPEN:
        said = f"cut off in {before}, and nothing told how it ended: {was.evidence}"
        return replace(fresh, state=StepState.IN_DOUBT, evidence=bounded(said), attempts=1)
    # Its times are the other run's, which has them on file.
    return StepSeen(
        step.id,
        was.state,
        bounded(f"in {before}: {was.evidence}"),
        attempts=was.attempts,
        ended_record=was.ended_record,
    )


async def still_so(plan: Plan, seen: RunSeen, context: ActionContext) -> RunSeen:
    """The same, with what is not so any more having its turn again. Asked is each step's `verify`, else its
    `unless`; of one without either its own end counts. Changes nothing."""
    slots = asyncio.Semaphore(ASKED_AT_ONCE)

    async def one(step: StepSeen) -> StepSeen:
        async with slots:
            return await _still(plan.by_id[step.step], step, context)

    asked: Sequence[StepSeen] = await asyncio.gather(*(one(step) for step in seen.steps))
    return replace(seen, steps=tuple(asked))


async def _still(step: PlannedStep, was: StepSeen, context: ActionContext) -> StepSeen:
    question = step.verify or step.unless
    if was.state not in _DONE or question is None:
        return was
    try:
        answer = await ask(question, context, timeout_seconds=step.timeout_seconds)
    except HostUnreachable as error:
        if step.if_unreachable is IfUnreachable.CONTINUE:
            return was
        return _in_doubt(was, error)
    except (SitesTrouble, SitesMisuse, RunbooksMisuse, StepFailed) as error:
        return _in_doubt(was, error)
    if answer.holds:
        return replace(was, evidence=bounded(f"{was.evidence}; still so: {answer.evidence}"))
    return StepSeen(was.step, StepState.WAITING, bounded(f"not so any more: {answer.evidence}"))


def _in_doubt(was: StepSeen, error: Exception) -> StepSeen:
    said = bounded(f"{was.evidence}; whether it is still so could not be asked: {error}")
    return replace(was, state=StepState.IN_DOUBT, evidence=said)
