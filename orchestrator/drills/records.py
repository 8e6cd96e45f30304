"""What stands in the store of drills, as frozen values, and their JSON. Pure.

Keys: `drills/<name>`, one for each drill of the estate; `drills/.turn`, whose turn it is: one drill at a
time in the whole estate. Both are written by compare-and-set in one transaction, so that two controllers
never begin two, and never one twice.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from orchestrator.core.adapters import adapter
from orchestrator.core.records import RecordUnreadable

DRILLS = "drills/"
TURN = DRILLS + ".turn"


class DrillVerb(StrEnum):
    """What may be ordered of a drill."""

    RUN = "run"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class DrillAsk:
    """An order that was given at `site`, for the controller that takes care of the drill."""

    ask_id: str
    verb: DrillVerb
    who: str
    site: str
    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class DrillAnswer:
    """What became of an order: the run, or the `code` with which it was refused."""

    ask_id: str
    run: str = ""
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRecord:
    """`drills/<name>`. Times are Unix seconds; None where there was none.

    `since`: when the drill was first heard of. `handled_until` and `owed` are the calendar's memory. `run`:
    the run under way, empty when there is none, `site` whose controller carries it out, and `slot` the time
    that it is for. `left_at`: the site where a copy is still to be removed. `refused_*`: the last refusal,
    and the time that it was for. `last_*`: the last run that ended, `success_*` the last that counts.
    `asks`: orders of the other site that wait for their answer; `answers`: the last ones given.
    """

    drill: str
    service: str
    kind: str
    since: float
    handled_until: float
    owed: float | None = None
    run: str = ""
    site: str = ""
    began: float | None = None
    slot: float | None = None
    left_at: str = ""
    missed: int = 0
    missed_at: float | None = None
    refused_code: str = ""
    refused_why: str = ""
    refused_at: float | None = None
    refused_slot: float | None = None
    last_run: str = ""
    last_outcome: str = ""
    last_why: str = ""
    last_ended: float | None = None
    success_run: str = ""
    success_ended: float | None = None
    success_seconds: float | None = None
    success_plan_hash: str = ""
    asks: tuple[DrillAsk, ...] = ()
    answers: tuple[DrillAnswer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """`drills/.turn`: the drill that is under way; empty when none is."""

    drill: str = ""
    run: str = ""
    site: str = ""


Kept = TypeVar("Kept", DrillRecord, TurnRecord)


def encode(record: DrillRecord | TurnRecord) -> bytes:
    """The record as JSON."""
    return adapter(type(record)).dump_json(record)


def decode(kind: type[Kept], value: bytes) -> Kept:
    """The record in `value`. Raises RecordUnreadable with what is wrong."""
    try:
        record: Kept = adapter(kind).validate_json(value)
    except ValueError as fault:
        raise RecordUnreadable(f"not a {kind.__name__}: {fault}") from fault
    return record
