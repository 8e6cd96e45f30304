"""A run as somebody else's record of it shows it: less than a journal holds, and enough to go on from.
Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runbooks.steered import Order


class StepState(StrEnum):
    """Where a step stands."""

    WAITING = "waiting"  # what it needs has not ended well yet, or its turn has not come
    STARTED = "started"  # announced; its end is not on file: running now, or in doubt after a crash
    IN_DOUBT = "in-doubt"  # it was cut off, and nothing settled how it ended: a person says
    DONE = "done"
    ALREADY_DONE = "already-done"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    UNREACHABLE_CONTINUED = "unreachable-continued"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StepSeen:
    """One step as it was last known."""

    step: str
    state: StepState
    evidence: str = ""
    attempts: int = 0
    last_attempt: int = 0
    ended_record: int = 0
    duration_seconds: float | None = None
    started_wall_seconds: float | None = None
    ended_wall_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunSeen:
    """The run's steps, what they left for later ones, and what people had ordered."""

    steps: tuple[StepSeen, ...]
    orders: tuple[Order, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
