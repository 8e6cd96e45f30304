"""Where one step stands, as a fold over what the journal says of it. Pure."""

from dataclasses import dataclass, replace

from runbooks.journal import StepEnded, StepInDoubt, StepOutcome, StepRetried, StepStarted, StepWithdrawn
from runbooks.seen import StepSeen, StepState
from runbooks.steered import Order, Verb

FAILED = frozenset({StepState.FAILED, StepState.TIMED_OUT})
WELL = frozenset({StepState.DONE, StepState.ALREADY_DONE, StepState.UNREACHABLE_CONTINUED, StepState.SKIPPED})


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One step's state. `attempts` counts those announced and not withdrawn since a person last ordered it
    anew, `last_attempt` is the highest number ever announced; times are the wall times of the records.

    `ended_record` is the run's how-manieth record its end was; `word` what a person said of a step that
    waits for one, `approvals` who agreed to it.
    """

    state: StepState = StepState.WAITING
    attempts: int = 0
    last_attempt: int = 0
    evidence: str = ""
    exit_status: int | None = None
    started_wall_seconds: float | None = None
    ended_wall_seconds: float | None = None
    duration_seconds: float | None = None
    ended_record: int = 0
    word: Order | None = None
    approvals: tuple[Order, ...] = ()

    @property
    def had_an_effect(self) -> bool:
        """Whether it may have changed something."""
        return self.attempts > 0 and self.state not in (StepState.WAITING, StepState.ALREADY_DONE)


OfStep = StepStarted | StepWithdrawn | StepRetried | StepInDoubt | StepEnded

_STATES = {outcome: StepState(outcome.value) for outcome in StepOutcome}


def after(before: StepProgress, event: OfStep, wall_seconds: float, record: int) -> StepProgress:
    """The step's state after one event of its own, the run's how-manieth record it is."""
    match event:
        case StepStarted(attempt=attempt):
            started = before.started_wall_seconds
            return replace(
                before,
                state=StepState.STARTED,
                attempts=before.attempts + 1,
                last_attempt=max(attempt, before.last_attempt),
                started_wall_seconds=wall_seconds if started is None else started,
            )
        case StepWithdrawn():
            return replace(before, state=StepState.WAITING, attempts=max(0, before.attempts - 1))
        case StepRetried(evidence=evidence, exit_status=exit_status):
            return replace(before, state=StepState.WAITING, evidence=evidence, exit_status=exit_status)
        case StepInDoubt(evidence=evidence):
            return replace(before, state=StepState.IN_DOUBT, evidence=evidence)
        case StepEnded():
            return replace(
                before,
                state=_STATES[event.outcome],
                evidence=event.evidence,
                exit_status=event.exit_status,
                ended_wall_seconds=wall_seconds,
                duration_seconds=event.duration_seconds,
                ended_record=record,
            )


def anew(before: StepProgress) -> StepProgress:
    """A person has ordered it once more: all its attempts are there again, and nobody has agreed to anything.
    Numbers of attempts go on, because a host refuses one that it has seen."""
    return replace(
        before,
        state=StepState.WAITING,
        attempts=0,
        started_wall_seconds=None,
        ended_wall_seconds=None,
        duration_seconds=None,
        word=None,
        approvals=(),
    )


def by_word(before: StepProgress, state: StepState, order: Order, wall: float, record: int) -> StepProgress:
    """It ends by a person's word."""
    return replace(
        before,
        state=state,
        evidence=": ".join(part for part in (str(order), order.evidence) if part),
        ended_wall_seconds=wall,
        ended_record=record,
        word=order,
    )


def as_seen(step: StepSeen, orders: tuple[Order, ...]) -> StepProgress:
    """The step's progress to go on from."""
    of_step = [order for order in orders if order.step == step.step]
    retried = max((n for n, order in enumerate(of_step, start=1) if order.verb is Verb.RETRY), default=0)
    of_step = of_step[retried:]  # what people had said before it was ordered anew counts no more
    words = [order for order in of_step if order.verb is Verb.DONE]
    return StepProgress(
        state=step.state,
        attempts=step.attempts,
        last_attempt=step.last_attempt,
        evidence=step.evidence,
        started_wall_seconds=step.started_wall_seconds,
        ended_wall_seconds=step.ended_wall_seconds,
        duration_seconds=step.duration_seconds,
        ended_record=step.ended_record,
        word=words[-1] if words else None,
        approvals=tuple(order for order in of_step if order.verb is Verb.APPROVE),
    )


__all__ = ["FAILED", "WELL", "OfStep", "StepProgress", "StepState", "after", "anew", "as_seen", "by_word"]
