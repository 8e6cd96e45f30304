"""The journal's seam: what is recorded of a run, and what whoever keeps it must promise.

A record is on disk before `append` returns, and it is written **before** the deed it announces (intent)
or before anything that builds on the deed (outcome). Everything else about a run is read out of its
records (`runbooks.progress`). Wall time is for display only; order is the sequence number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, TypeAdapter

from runbooks.planned import Plan
from runbooks.seen import RunSeen
from runbooks.steered import Order


class StepOutcome(StrEnum):
    """How a step ended."""

    DONE = "done"
    ALREADY_DONE = "already-done"  # `unless` said so: nothing was carried out
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    UNREACHABLE_CONTINUED = "unreachable-continued"  # no answer, and the step allows that
    SKIPPED = "skipped"  # a person's word


class RunOutcome(StrEnum):
    """How a run ended, or why it stands still."""

    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"  # a person ended it; what was done stays
    UNDONE = "undone"  # what was done has been taken back, as far as it can be
    IN_DOUBT = "in-doubt"  # steps are left whose turn never came
    INTERRUPTED = "interrupted"  # the executor was told to stop
    LOST_RIGHT = "lost-right"  # the lease or the epoch no longer allows it
    NOT_RECORDED = "not-recorded"  # the journal failed or is full, so nothing more is started

    @property
    def final(self) -> bool:
        """Whether nothing more will be done by itself; the others go on when the run is resumed."""
        return self in FINAL


FINAL = (RunOutcome.DONE, RunOutcome.FAILED, RunOutcome.ABORTED, RunOutcome.UNDONE)


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """The run as it was ordered: the whole plan, who ordered it, why, and what they accepted to lose."""

    plan: Plan
    who: str
    why: str
    data_loss: str = ""
    event: Literal["run-planned"] = "run-planned"


@dataclass(frozen=True, slots=True)
class RunResumed:
    """An executor goes on with the run."""

    executor: int
    event: Literal["run-resumed"] = "run-resumed"


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Intent: the attempt is about to have effects."""

    step: str
    attempt: int
    event: Literal["step-started"] = "step-started"


@dataclass(frozen=True, slots=True)
class StepWithdrawn:
    """The attempt was announced, and nothing of it was done."""

    step: str
    attempt: int
    reason: str
    event: Literal["step-withdrawn"] = "step-withdrawn"


@dataclass(frozen=True, slots=True)
class StepRetried:
    """The attempt failed; another one is to come."""

    step: str
    attempt: int
    evidence: str
    exit_status: int | None = None
    event: Literal["step-retried"] = "step-retried"


@dataclass(frozen=True, slots=True)
class StepEnded:
    """The step's end. `evidence` is bounded; `values` are handed to later steps."""

    step: str
    attempt: int
    outcome: StepOutcome
    evidence: str = ""
    exit_status: int | None = None
    duration_seconds: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict)
    event: Literal["step-ended"] = "step-ended"


@dataclass(frozen=True, slots=True)
class StepInDoubt:
    """The attempt was cut off, and nothing tells how it ended. A person is asked, with what is known."""

    step: str
    attempt: int
    evidence: str
    event: Literal["step-in-doubt"] = "step-in-doubt"


@dataclass(frozen=True, slots=True)
class RunSteered:
    """A person's order that was accepted."""

    order: Order
    event: Literal["run-steered"] = "run-steered"


@dataclass(frozen=True, slots=True)
class RunAdopted:
    """Another site's executor goes on with the run, from what its record in the store told of it (P26). Or,
    with `continues`, a run begins with what that one, which has ended, had done."""

    executor: int
    site: str
    seen: RunSeen
    continues: str = ""
    event: Literal["run-adopted"] = "run-adopted"


@dataclass(frozen=True, slots=True)
class UndoBegun:
    """Nothing of the plan is under way any more; from here on what was done is taken back."""

    why: str
    event: Literal["undo-begun"] = "undo-begun"


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run's end, or its standstill. `left` names the steps whose end is not known."""

    outcome: RunOutcome
    summary: str
    left: tuple[str, ...] = ()
    event: Literal["run-ended"] = "run-ended"


Event = (
    RunPlanned
    | RunResumed
    | RunSteered
    | RunAdopted
    | UndoBegun
    | StepStarted
    | StepWithdrawn
    | StepRetried
    | StepInDoubt
    | StepEnded
    | RunEnded
)

INTENTS = (RunPlanned, RunResumed, RunAdopted, UndoBegun, StepStarted)
"""Events that announce something: refused when the journal has no room for how it ends."""


@cache
def event_adapter() -> TypeAdapter[Event]:
    """Reads and writes an event; made at the first, since that takes long."""
    return TypeAdapter(Annotated[Event, Field(discriminator="event")])


@dataclass(frozen=True, slots=True)
class Record:
    """An event on file. `wall_seconds` is for display; `boottime_ns` compares within one boot only."""

    run_id: str
    sequence: int
    wall_seconds: float
    boottime_ns: int
    event: Event


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the list of runs. `outcome` is None while it goes on, or was cut off."""

    run_id: str
    kind: str
    service: str
    from_site: str
    to_site: str
    who: str
    started_wall_seconds: float
    ended_wall_seconds: float | None = None
    outcome: RunOutcome | None = None
    summary: str = ""


class Journal(Protocol):
    """Append-only, on disk before it returns. Errors are JournalTrouble and JournalNewer."""

    async def append(self, run_id: str, event: Event) -> Record:
        """Record an event of a run, durably, and return it with its number and times.

        Raises JournalFull when there is no room; for an intent also when there would be none for its end.
        """
        ...

    async def read(self, run_id: str) -> Sequence[Record]:
        """Every record of a run in order; none for a run that is not known."""
        ...

    async def runs(self, limit: int) -> Sequence[RunSummary]:
        """The latest runs, newest first."""
        ...


def summary_of(records: Sequence[Record]) -> RunSummary | None:
    """The line of a run, out of its records; None when they do not begin with its plan."""
    if not records or not isinstance(planned := records[0].event, RunPlanned):
        return None
    plan, ended = planned.plan, None
    for record in records:
        if isinstance(record.event, RunEnded):
            ended = record
        elif isinstance(record.event, StepStarted | RunResumed | RunAdopted):
            ended = None
    outcome = ended.event if ended is not None else None
    return RunSummary(
        records[0].run_id,
        plan.kind,
        plan.service,
        plan.from_site,
        plan.to_site,
        planned.who,
        records[0].wall_seconds,
        ended.wall_seconds if ended is not None else None,
        outcome.outcome if isinstance(outcome, RunEnded) else None,
        outcome.summary if isinstance(outcome, RunEnded) else "",
    )


class MemoryJournal:
    """A journal in memory, for simulation: the same promises as the one on disk, as long as it lives.

    `now_ns` and `wall_seconds` are its clocks.
    """

    def __init__(self, now_ns: Callable[[], int], wall_seconds: Callable[[], float]) -> None:
        self._now_ns = now_ns
        self._wall_seconds = wall_seconds
        self._records: dict[str, list[Record]] = {}

    async def append(self, run_id: str, event: Event) -> Record:
        """See Journal."""
        records = self._records.setdefault(run_id, [])
        # Written and read back, as on disk: whoever handed it in cannot change it afterwards.
        kept = event_adapter().validate_json(dumped(event))
        record = Record(run_id, len(records) + 1, self._wall_seconds(), self._now_ns(), kept)
        records.append(record)
        return record

    async def read(self, run_id: str) -> Sequence[Record]:
        """See Journal."""
        return tuple(self._records.get(run_id, ()))

    async def runs(self, limit: int) -> Sequence[RunSummary]:
        """See Journal."""
        found = [summary for records in self._records.values() if (summary := summary_of(records))]
        return tuple(reversed(found))[:limit]


def dumped(event: Event) -> bytes:
    """The event as JSON, as it is kept."""
    return event_adapter().dump_json(event)
