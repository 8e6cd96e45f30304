"""What is told of a run under way: its record, kept here alone while the store cannot be told of it."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.clock import wall_text
from orchestrator.core.records import RunOrder, RunRecord, RunWait
from orchestrator.core.records import StepState as StepRecord
from runbooks.context import VALUES_LIMIT_CHARACTERS, dumped_values
from runbooks.progress import Progress, Wait, WaitKind
from runbooks.seen import RunSeen, StepSeen, StepState
from runbooks.steered import Order, Verb
from runbooks.undoing import is_undo

DETAIL_CHARACTERS = 500
DETAILS_CHARACTERS = 200_000
"""Of a run's record the steps' details together: the store takes no value above a megabyte or so."""


def steps_of(progress: Progress) -> tuple[StepRecord, ...]:
    """A run's steps as its record shows them."""
    steps = progress.all_steps
    most = min(DETAIL_CHARACTERS, DETAILS_CHARACTERS // max(1, len(steps)))
    return tuple(
        StepRecord(
            step=step.id,
            state=str(state.state),
            detail=state.evidence[:most],
            duration_seconds=state.duration_seconds,
            number=step.number if is_undo(step) else 0,
            title=step.title if is_undo(step) else "",
            attempts=state.attempts,
            last_attempt=state.last_attempt,
            ended_record=state.ended_record,
            started_unix_seconds=state.started_wall_seconds,
            ended_unix_seconds=state.ended_wall_seconds,
        )
        for step, state in ((step, progress.steps[step.id]) for step in steps)
    )


def waits_of(progress: Progress) -> tuple[RunWait, ...]:
    """What only a person can end, in words."""
    return tuple(
        RunWait(
            kind=str(wait.kind),
            step=wait.step.id if wait.step is not None else "",
            words=_words(progress, wait),
            since=_since(progress, wait),
        )
        for wait in progress.waits
    )


def _words(progress: Progress, wait: Wait) -> str:
    step = wait.step
    if step is None:
        return f"paused: {progress.paused}"
    state, asked = progress.steps[step.id], step.arguments
    named = f"step {step.number}, {step.title}"
    first = (state.evidence.strip().splitlines() or ["no evidence"])[0][:DETAIL_CHARACTERS]
    if wait.kind is WaitKind.FAILED:
        return f"{named}, has failed: {first}"
    if wait.kind is WaitKind.IN_DOUBT:
        return f"{named}: {first}. Look there first"
    if wait.kind is WaitKind.PERSON:
        contact = f" ({asked['contact']})" if asked.get("contact") else ""
        evidence = f"; to be typed in: {asked['evidence']}" if asked.get("evidence") else ""
        return (
            f"{named}: {asked['who']}{contact}: {asked['ask']} (expected to take {asked['expect']}){evidence}"
        )
    given = ", ".join(order.who for order in state.approvals)
    role = f" with the role {asked['role']}" if asked.get("role") else ""
    owner = f" of {asked['owner']}" if asked.get("owner") else ""
    return (
        f"{named}: {asked['ask']} {len(state.approvals)} of {asked.get('number', 1)}{role}{owner} have agreed"
        f"{f' ({given})' if given else ''}; it is a no after {asked['expires']}"
    )


def _since(progress: Progress, wait: Wait) -> str:
    if wait.step is None:
        return progress.paused.at if progress.paused is not None else ""
    state = progress.steps[wait.step.id]
    by_people = wait.kind in (WaitKind.PERSON, WaitKind.APPROVAL)
    seconds = (
        state.started_wall_seconds if by_people else (state.ended_wall_seconds or state.started_wall_seconds)
    )
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else ""


def order_of(order: Order) -> RunOrder:
    """An order as the record shows it."""
    return RunOrder(**{**asdict(order), "verb": str(order.verb)})


def as_order(asked: RunOrder) -> Order:
    """An order as the engine takes it. Raises ValueError for a verb that nobody knows here."""
    given: dict[str, Any] = {key: value for key, value in asdict(asked).items() if key != "ask_id"}
    return Order(**{**given, "verb": Verb(asked.verb), "roles": tuple(asked.roles)})


def seen_in(record: RunRecord) -> RunSeen:
    """What the record tells of the run to whoever goes on with it. Raises ValueError for a state or an order
    that nobody knows here."""
    steps = tuple(
        StepSeen(
            step.step,
            StepState(step.state),
            step.detail,
            step.attempts,
            step.last_attempt,
            step.ended_record,
            step.duration_seconds,
            step.started_unix_seconds,
            step.ended_unix_seconds,
        )
        for step in record.steps
    )
    return RunSeen(steps, tuple(as_order(order) for order in record.orders), record.values)


def shown(record: RunRecord, progress: Progress) -> RunRecord:
    """The record with the run's state as it is now."""
    values = dict(progress.values) if len(dumped_values(progress.values)) <= VALUES_LIMIT_CHARACTERS else {}
    waits = waits_of(progress)
    return replace(
        record,
        steps=steps_of(progress),
        state="waiting" if waits else "running",
        waits=waits,
        orders=tuple(order_of(order) for order in progress.orders),
        values=values,
    )


class LocalRun:
    """Tells this controller alone of a run, as `publishing.Publisher` tells the store."""

    def __init__(self, record: RunRecord, tell: Callable[[RunRecord], None]) -> None:
        self._record = record
        self._tell = tell
        tell(record)

    def update(self, progress: Progress) -> None:
        """Take a new state in."""
        self._record = shown(self._record, progress)
        self._tell(self._record)

    def report(self, lines: tuple[str, ...]) -> None:
        """What the run found out."""
        self._record = replace(self._record, report=lines)

    def leave(self, lines: tuple[str, ...]) -> None:
        """What it leaves."""
        self._record = replace(self._record, left=lines)

    def outage(self, seconds: float | None) -> None:
        """How long the service was not to be used."""
        self._record = replace(self._record, outage_seconds=seconds)

    async def run(self, *, create: bool) -> None:
        """There is nothing to do in the background."""

    async def finish(self, state: str, summary: str, background: "asyncio.Task[None]") -> None:
        """The end."""
        await asyncio.gather(background, return_exceptions=True)
        self._record = replace(self._record, state=state, outcome=summary, ended=wall_text(), waits=())
        self._tell(self._record)
