"""One attempt of one step: not if already so, act, make sure; and what a failure of it means.

Nothing is journaled or repeated here; that is the engine's. What this module decides is the meaning of
an error: whether the host was merely out of reach, whether anything can have happened, and whether the
step may be tried again without harm.
"""

import asyncio

import structlog

from runbooks.catalogue import ActionSpec, Settled, Settlement
from runbooks.conditions import ask, ask_until
from runbooks.context import ActionContext, Call, Result, bounded
from runbooks.errors import LostRight, RunbooksMisuse, Steered, StepFailed
from runbooks.journal import StepOutcome
from runbooks.model import IfUnreachable, InDoubt
from runbooks.planned import PlannedStep
from sites.errors import (
    AccessDenied,
    CommandRefused,
    CommandTimedOut,
    ConnectionBroken,
    HostKeyChanged,
    HostUnreachable,
    SitesMisuse,
    SitesTrouble,
)

log = structlog.get_logger(__name__)

MAY_ACT_LIMIT_SECONDS = 5.0

_BEGUN_BEFORE = frozenset({"already-started", "already-running"})

_NOT_AGAIN = (
    "(not tried again: running it twice might do harm; `unless`, `verify` or `in_doubt: rerun` allow it)"
)


class AttemptFailed(Exception):
    """An attempt that did not end well. `again`: a further one is allowed, if the step has any left."""

    def __init__(self, outcome: StepOutcome, evidence: str, exit_status: int | None, again: bool) -> None:
        super().__init__(evidence)
        self.outcome = outcome
        self.evidence = bounded(evidence)
        self.exit_status = exit_status
        self.again = again


def may_repeat(step: PlannedStep, spec: ActionSpec) -> bool:
    """Whether carrying the step out a second time is known to do no harm."""
    return (
        spec.repeats_with(step.arguments)
        or step.unless is not None
        or step.verify is not None
        or step.in_doubt is InDoubt.RERUN
    )


async def already_done(step: PlannedStep, spec: ActionSpec, context: ActionContext) -> str | None:
    """The evidence that there is nothing to do, or None. Raises AttemptFailed."""
    if step.unless is None:
        return None
    try:
        answer = await ask(step.unless, context, timeout_seconds=step.timeout_seconds)
    except (SitesTrouble, SitesMisuse, RunbooksMisuse, StepFailed) as error:
        raise _meaning(step, spec, error, nothing_done=True) from error
    return answer.evidence if answer.holds else None


async def check_right(call: Call) -> None:
    """Raises LostRight. The last thing before a side effect."""
    try:
        async with asyncio.timeout(MAY_ACT_LIMIT_SECONDS):
            await call.may_act()
    except TimeoutError as error:
        raise LostRight(f"nobody said within {MAY_ACT_LIMIT_SECONDS:g} s that this may go on") from error


async def act(step: PlannedStep, spec: ActionSpec, context: ActionContext, call: Call) -> Result:
    """Carry the action out and make sure of it. Raises AttemptFailed, LostRight or Steered."""
    limit_seconds = None if spec.waits_for_people else step.timeout_seconds + spec.ending_grace_seconds
    try:
        try:
            async with asyncio.timeout(limit_seconds):
                result = await spec.act(context, call)
        except ConnectionBroken as error:
            result = await _after_break(spec, context, call, error)
        except CommandRefused as error:
            if error.code not in _BEGUN_BEFORE:
                raise
            # By an executor of which nothing was heard since: the host alone knows how it ended.
            result = await _after_break(spec, context, call, error)
        return await verified(step, context, result)
    except (LostRight, Steered, AttemptFailed):
        raise
    except TimeoutError as error:
        limit = CommandTimedOut(f"not done within {step.timeout_seconds:g} s; it was ended")
        raise _meaning(step, spec, limit) from error
    except Exception as error:
        raise _meaning(step, spec, error) from error


async def verified(step: PlannedStep, context: ActionContext, result: Result) -> Result:
    """The result, with what `verify` saw. Raises StepFailed when it does not hold in time."""
    if step.verify is None:
        return result
    within_seconds = step.verify.within_seconds or step.timeout_seconds
    answer = await ask_until(step.verify, context, within_seconds=within_seconds)
    if not answer.holds:
        raise StepFailed(
            f"carried out, but not so within {within_seconds:g} s: {answer.evidence}\n{result.evidence}",
            result.exit_status,
        )
    return Result(f"{result.evidence}\n{answer.evidence}".strip(), result.exit_status, result.values)


async def settled(spec: ActionSpec, context: ActionContext, call: Call) -> Settled:
    """What the action itself can say about an attempt whose end is not on file. Raises only LostRight."""
    if spec.settle is None:
        return Settled(Settlement.UNKNOWN, "nothing recorded how it ended")
    try:
        async with asyncio.timeout(call.timeout_seconds + spec.ending_grace_seconds):
            return await spec.settle(context, call)
    except (SitesTrouble, SitesMisuse, RunbooksMisuse, StepFailed, TimeoutError) as error:
        return Settled(Settlement.UNKNOWN, str(error) or "no answer in time")


async def _after_break(
    spec: ActionSpec, context: ActionContext, call: Call, broken: ConnectionBroken | CommandRefused
) -> Result:
    """The connection broke under way, or the attempt had been begun before: the command may have gone on, and
    the host may know how it ended."""
    found = await settled(spec, context, call)
    if found.settlement is Settlement.DONE:
        return Result(f"{broken}\n{found.evidence}", found.exit_status)
    if found.settlement is Settlement.FAILED:
        raise StepFailed(f"{broken}\n{found.evidence}", found.exit_status)
    if found.settlement is Settlement.NEVER_STARTED:
        raise HostUnreachable(f"{broken}\n{found.evidence}")
    raise broken


def _meaning(
    step: PlannedStep, spec: ActionSpec, error: Exception, *, nothing_done: bool = False
) -> AttemptFailed:
    """What an error says about the step."""
    evidence, exit_status = str(error) or type(error).__name__, getattr(error, "exit_status", None)
    harmless = nothing_done or may_repeat(step, spec)
    match error:
        case HostUnreachable() if step.if_unreachable is IfUnreachable.CONTINUE:
            # Not tried again: this is said of a site that may be gone, and users are waiting.
            return AttemptFailed(StepOutcome.UNREACHABLE_CONTINUED, evidence, exit_status, again=False)
        case HostUnreachable() if not isinstance(error, ConnectionBroken):
            return AttemptFailed(StepOutcome.FAILED, evidence, exit_status, again=True)
        case CommandRefused() if error.code not in _BEGUN_BEFORE:
            # Nothing was started, so there is nothing to do twice.
            return AttemptFailed(StepOutcome.FAILED, evidence, exit_status, again=True)
        case AccessDenied() | HostKeyChanged() | SitesMisuse() | RunbooksMisuse():
            return AttemptFailed(StepOutcome.FAILED, evidence, exit_status, again=False)
        case CommandTimedOut():
            outcome = StepOutcome.TIMED_OUT
        case SitesTrouble() | StepFailed() | CommandRefused():
            outcome = StepOutcome.FAILED
        case _:
            log.error("action_broken", step=step.id, action=step.action, exc_info=error)
            evidence = f"an error of twinsite itself, {type(error).__name__}: {evidence}"
            return AttemptFailed(StepOutcome.FAILED, evidence, None, again=False)
    if step.retries and not harmless:
        evidence = f"{evidence} {_NOT_AGAIN}"
    return AttemptFailed(outcome, evidence, exit_status, again=harmless)
