"""A run as a fold over its journal: what is done, what is next, what is in doubt, how it ended.

Pure. The engine, the console, a resume after a crash and an adoption by the other site all read a run
through this one function, so they cannot disagree. `apply` takes one record, `fold` takes them all; any
prefix of a run's records is a sound state, because a crash may come between any two of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import reduce
from typing import Any

from runbooks.journal import (
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
)
from runbooks.model import OnFailure
from runbooks.planned import Plan, PlannedStep


class StepState(StrEnum):
    """Where a step stands."""

    WAITING = "waiting"  # what it needs has not ended well yet, or its turn has not come
    STARTED = "started"  # announced; its end is not on file: running now, or in doubt after a crash
    DONE = "done"
    ALREADY_DONE = "already-done"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    UNREACHABLE_CONTINUED = "unreachable-continued"
    SKIPPED = "skipped"


_FAILED = frozenset({StepState.FAILED, StepState.TIMED_OUT})
_WELL = frozenset(
    {StepState.DONE, StepState.ALREADY_DONE, StepState.UNREACHABLE_CONTINUED, StepState.SKIPPED}
)


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One step's state. `attempts` counts those announced and not withdrawn, `last_attempt` is the highest
    number announced; times are the wall times of the records."""

    state: StepState = StepState.WAITING
    attempts: int = 0
    last_attempt: int = 0
    evidence: str = ""
    exit_status: int | None = None
    started_wall_seconds: float | None = None
    ended_wall_seconds: float | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's state. `values` are what steps left for later ones; `ended` is None while it may go on."""

    plan: Plan
    steps: Mapping[str, StepProgress]
    records: int = 0
    executor: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    ended: RunEnded | None = None

    def state(self, step_id: str) -> StepState:
        """The state of a step."""
        return self.steps[step_id].state

    def passed(self, step: PlannedStep) -> bool:
        """Whether steps that need this one may go on."""
        state = self.steps[step.id].state
        return state in _WELL or (state in _FAILED and step.on_failure is OnFailure.CONTINUE)

    @property
    def failed(self) -> tuple[PlannedStep, ...]:
        """Steps whose failure ends the run, by number."""
        return tuple(
            step for step in self.plan.steps if self.state(step.id) in _FAILED and not self.passed(step)
        )

    @property
    def ready(self) -> tuple[PlannedStep, ...]:
        """Steps whose turn it is, by number: none once a step has failed that ends the run."""
        if self.failed or self.final:
            return ()
        passed = {step.id for step in self.plan.steps if self.passed(step)}
        return tuple(
            step
            for step in self.plan.steps
            if self.state(step.id) is StepState.WAITING and passed.issuperset(step.needs)
        )

    @property
    def started(self) -> tuple[PlannedStep, ...]:
        """Steps announced whose end is not on file. To whoever resumes the run they are in doubt."""
        return tuple(step for step in self.plan.steps if self.state(step.id) is StepState.STARTED)

    @property
    def complete(self) -> bool:
        """Whether every step has passed."""
        return all(self.passed(step) for step in self.plan.steps)

    @property
    def final(self) -> bool:
        """Whether the run has ended for good."""
        return self.ended is not None and self.ended.outcome.final

    @property
    def outcome(self) -> RunOutcome | None:
        """How it ended or why it stands still; None while it goes on or was cut off."""
        return self.ended.outcome if self.ended is not None else None


def begin(plan: Plan) -> Progress:
    """The state of a run of which nothing is on file."""
    return Progress(plan, {step.id: StepProgress() for step in plan.steps})


def fold(plan: Plan, records: Iterable[Record]) -> Progress:
    """The state after these records, in their order."""
    return reduce(apply, records, begin(plan))


def apply(progress: Progress, record: Record) -> Progress:
    """The state after one record more. A record that names no step of the plan changes nothing."""
    event = record.event
    progress = replace(progress, records=progress.records + 1)
    match event:
        case RunPlanned():
            return progress
        case RunResumed(executor=executor):
            return replace(progress, executor=max(executor, progress.executor), ended=_unless_final(progress))
        case RunEnded():
            return replace(progress, ended=event)
    before = progress.steps.get(event.step)
    if before is None:
        return progress
    after = _step(before, event, record.wall_seconds)
    values = {**progress.values, **event.values} if isinstance(event, StepEnded) else progress.values
    return replace(
        progress,
        steps={**progress.steps, event.step: after},
        values=values,
        ended=_unless_final(progress),
    )


def _unless_final(progress: Progress) -> RunEnded | None:
    """A standstill is over as soon as something happens; an end is not."""
    return progress.ended if progress.final else None


def _step(
    before: StepProgress, event: StepStarted | StepWithdrawn | StepRetried | StepEnded, wall_seconds: float
) -> StepProgress:
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
        case StepEnded():
            return replace(
                before,
                state=_STATES[event.outcome],
                evidence=event.evidence,
                exit_status=event.exit_status,
                ended_wall_seconds=wall_seconds,
                duration_seconds=event.duration_seconds,
            )


_STATES = {outcome: StepState(outcome.value) for outcome in StepOutcome}


def plan_of(records: Sequence[Record]) -> Plan | None:
    """The plan a run was ordered with: what its records begin with."""
    return records[0].event.plan if records and isinstance(records[0].event, RunPlanned) else None
