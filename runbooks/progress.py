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
    RunAdopted,
    RunEnded,
    RunOutcome,
    RunPlanned,
    RunResumed,
    RunSteered,
    StepEnded,
    UndoBegun,
)
from runbooks.model import APPROVE, BY_PEOPLE, OnFailure
from runbooks.planned import Plan, PlannedStep
from runbooks.standing import FAILED, WELL, StepProgress, StepState, after, anew, as_seen, by_word
from runbooks.steered import Order, Verb
from runbooks.undoing import UNDO, is_undo, taking_back


class WaitKind(StrEnum):
    """What a run waits for a person for."""

    PAUSED = "paused"
    FAILED = "failed"  # a step failed that says `on_failure: ask`
    IN_DOUBT = "in-doubt"
    PERSON = "person"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that only a person can end. `step` is None for a run that was paused."""

    kind: WaitKind
    step: PlannedStep | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's state. `values` are what steps left for later ones; `ended` is None while it may go on.

    `failing` are the steps that failed, `orders` those that were accepted, `undo` the steps that take back
    what was done, once that has begun.
    """

    plan: Plan
    steps: Mapping[str, StepProgress]
    records: int = 0
    executor: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    ended: RunEnded | None = None
    failing: frozenset[str] = frozenset()
    who: str = ""
    orders: tuple[Order, ...] = ()
    paused: Order | None = None
    aborted: Order | None = None
    undo_ordered: Order | None = None
    undo: tuple[PlannedStep, ...] | None = None

    def state(self, step_id: str) -> StepState:
        """The state of a step."""
        return self.steps[step_id].state

    def step(self, step_id: str) -> PlannedStep | None:
        """The step of that id, those that take others back included."""
        return next((step for step in self.all_steps if step.id == step_id), None)

    @property
    def all_steps(self) -> tuple[PlannedStep, ...]:
        """The plan's steps by number, and after them those that take back what was done."""
        return self.plan.steps + (self.undo or ())

    @property
    def last_order(self) -> int:
        """The number of the last order that was accepted."""
        return self.orders[-1].number if self.orders else 0

    def passed(self, step: PlannedStep) -> bool:
        """Whether steps that need this one may go on."""
        state = self.steps[step.id].state
        return state in WELL or (state in FAILED and step.on_failure is OnFailure.CONTINUE)

    def _failed_as(self, what: OnFailure) -> tuple[PlannedStep, ...]:
        by_id = self.plan.by_id
        found = [by_id[step_id] for step_id in self.failing if step_id in by_id]
        return tuple(sorted((s for s in found if s.on_failure is what), key=lambda s: s.number))

    @property
    def failed(self) -> tuple[PlannedStep, ...]:
        """Steps whose failure ends the run, by number."""
        return self._failed_as(OnFailure.ABORT)

    @property
    def undo_wanted(self) -> bool:
        """Whether what was done is to be taken back: a person ordered it, or a failed step says so."""
        return self.undo_ordered is not None or bool(self._failed_as(OnFailure.UNDO))

    def halted(self, step: PlannedStep) -> bool:
        """Whether a person's order, or `on_failure: undo`, keeps the step from being attempted any more."""
        return self.aborted is not None or (self.undo_wanted and not is_undo(step))

    def may_start(self, step: PlannedStep) -> bool:
        """Whether an attempt of the step may begin at this moment, as far as this run goes."""
        waiting = self.state(step.id) is StepState.WAITING
        return waiting and self.paused is None and not self.halted(step) and not self.final

    def left_alone(self, step: PlannedStep) -> bool:
        """Whether nobody waits any more for what a person was to do about the step."""
        ending = self.halted(step) or bool(self.failed) or self.final
        return ending or self.state(step.id) is not StepState.STARTED

    @property
    def ready(self) -> tuple[PlannedStep, ...]:
        """Steps whose turn it is, by number: none while the run is paused, and none of the plan once a
        step has failed that ends the run or has it taken back."""
        if self.final or self.paused is not None or self.aborted is not None:
            return ()
        if self.undo is None and (self.failed or self.undo_wanted):
            return ()
        steps = self.plan.steps if self.undo is None else self.undo
        known, passed, waiting = self.steps, set[str](), list[PlannedStep]()
        for step in steps:  # by number, so that what a step needs comes before it
            state = known[step.id].state
            if state is StepState.WAITING:
                waiting.append(step)
            elif state is StepState.SKIPPED and not passed.issuperset(step.needs):
                continue  # what needs it waits for what it would have waited for, had its turn come
            elif self.passed(step):
                passed.add(step.id)
        return tuple(step for step in waiting if passed.issuperset(step.needs))

    @property
    def started(self) -> tuple[PlannedStep, ...]:
        """Steps announced whose end is not on file. To whoever resumes the run they are in doubt."""
        return tuple(step for step in self.all_steps if self.state(step.id) is StepState.STARTED)

    @property
    def left(self) -> tuple[PlannedStep, ...]:
        """Steps of which nobody knows how they ended."""
        open_ = (StepState.STARTED, StepState.IN_DOUBT)
        return tuple(step for step in self.all_steps if self.state(step.id) in open_)

    @property
    def waits(self) -> tuple[Wait, ...]:
        """What only a person can end, by number; nothing once the run is about to end."""
        if self.final or self.aborted is not None:
            return ()
        if self.undo is None and (self.failed or self.undo_wanted):
            return ()
        waits = [Wait(WaitKind.PAUSED)] if self.paused is not None else []
        for step in self.plan.steps if self.undo is None else self.undo:
            kind = self._waits_for(step)
            if kind is not None:
                waits.append(Wait(kind, step))
        return tuple(waits)

    def _waits_for(self, step: PlannedStep) -> WaitKind | None:
        state = self.state(step.id)
        if state is StepState.IN_DOUBT:
            return WaitKind.IN_DOUBT
        if state in FAILED and step.on_failure is OnFailure.ASK:
            return WaitKind.FAILED
        if state is StepState.STARTED and step.action in BY_PEOPLE:
            return WaitKind.APPROVAL if step.action == APPROVE else WaitKind.PERSON
        return None

    @property
    def complete(self) -> bool:
        """Whether every step has passed."""
        return all(self.passed(step) for step in self.plan.steps)

    @property
    def undone(self) -> bool:
        """Whether everything that could be taken back has been."""
        return self.undo is not None and all(self.passed(step) for step in self.undo)

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
        case RunPlanned(who=who):
            return replace(progress, who=who)
        case RunResumed(executor=executor):
            return replace(progress, executor=max(executor, progress.executor), ended=_unless_final(progress))
        case RunAdopted():
            return _adopted(progress, event)
        case RunSteered(order=order):
            return _steered(progress, order, record.wall_seconds)
        case UndoBegun():
            return _taking_back(progress)
        case RunEnded():
            return replace(progress, ended=event)
    before = progress.steps.get(event.step)
    if before is None:
        return progress
    state = after(before, event, record.wall_seconds, progress.records)
    values = {**progress.values, **event.values} if isinstance(event, StepEnded) else progress.values
    return replace(_with(progress, event.step, state), values=values, ended=_unless_final(progress))


def _with(progress: Progress, step_id: str, state: StepProgress) -> Progress:
    alone = frozenset((step_id,))
    failing = progress.failing | alone if state.state in FAILED else progress.failing - alone
    return replace(progress, steps={**progress.steps, step_id: state}, failing=failing)


def _unless_final(progress: Progress) -> RunEnded | None:
    """A standstill is over as soon as something happens; an end is not."""
    return progress.ended if progress.final else None


def _adopted(progress: Progress, event: RunAdopted) -> Progress:
    """What was known of it elsewhere takes the place of what was known here: that is older, if there is any.

    Which steps take others back follows from the plan's own, of which none changes once the first of those
    stands in the record; so they are the same here, and what was taken back is not taken back again."""
    seen, bare = event.seen, begin(progress.plan)
    states = {step.step: as_seen(step, seen.orders) for step in seen.steps}
    of_plan = {step_id: state for step_id, state in states.items() if step_id in progress.plan.by_id}
    steps, undo = {**bare.steps, **of_plan}, None
    if any(step_id.startswith(UNDO) for step_id in states):
        undo = taking_back(progress.plan, steps)
        steps |= {step.id: states.get(step.id, StepProgress()) for step in undo}
    known = replace(
        bare,
        records=progress.records,
        executor=max(event.executor, progress.executor),
        who=progress.who,
        values=seen.values,
        orders=seen.orders,
        steps=steps,
        failing=frozenset(step_id for step_id, state in steps.items() if state.state in FAILED),
        undo=undo,
    )
    ending = {order.verb: order for order in seen.orders if order.verb in (Verb.ABORT, Verb.UNDO)}
    return replace(known, aborted=ending.get(Verb.ABORT), undo_ordered=ending.get(Verb.UNDO))


def _taking_back(progress: Progress) -> Progress:
    if progress.undo is not None:
        return progress
    undo = taking_back(progress.plan, progress.steps)
    fresh = {step.id: StepProgress() for step in undo}
    return replace(progress, undo=undo, steps={**progress.steps, **fresh}, ended=_unless_final(progress))


def _steered(progress: Progress, order: Order, wall_seconds: float) -> Progress:
    progress = replace(progress, orders=(*progress.orders, order), ended=_unless_final(progress))
    match order.verb:
        case Verb.PAUSE:
            return replace(progress, paused=order)
        case Verb.RESUME:
            return replace(progress, paused=None)
        case Verb.ABORT:
            return replace(progress, aborted=order)
        case Verb.UNDO:
            return replace(progress, undo_ordered=order, paused=None)
    before, step = progress.steps.get(order.step), progress.step(order.step)
    if before is None or step is None:
        return progress
    return _with(progress, order.step, _told(progress, before, step, order, wall_seconds))


def _told(
    progress: Progress, before: StepProgress, step: PlannedStep, order: Order, wall_seconds: float
) -> StepProgress:
    if order.verb is Verb.RETRY:
        return anew(before)
    if order.verb is Verb.APPROVE:
        return replace(before, approvals=(*before.approvals, order))
    if order.verb is Verb.SKIP:
        return by_word(before, StepState.SKIPPED, order, wall_seconds, progress.records)
    if before.state is StepState.STARTED and step.action in BY_PEOPLE:
        return replace(before, word=order)  # whoever waits for it ends the step
    return by_word(before, StepState.DONE, order, wall_seconds, progress.records)


def plan_of(records: Sequence[Record]) -> Plan | None:
    """The plan a run was ordered with: what its records begin with."""
    return records[0].event.plan if records and isinstance(records[0].event, RunPlanned) else None


__all__ = ["Progress", "StepProgress", "StepState", "Wait", "WaitKind", "apply", "begin", "fold", "plan_of"]
