"""What a controller keeps of each service between turns. Values; nothing is decided here."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from orchestrator.core.decision import Decision
from orchestrator.core.diagnosis import Row
from orchestrator.core.protection import Protection

HISTORY_KEPT = 50


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was last thought of a service."""

    row: Row
    decision: Decision
    at: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """When a service's trouble was named, and when it was last seen to accept writes before; by wall time,
    for the clock of the move that answers it. None: not in trouble, or not seen."""

    detected_unix_seconds: float | None = None
    last_well_unix_seconds: float | None = None


NO_TROUBLE = Trouble()


@dataclass(slots=True)
class ServiceMind:
    """What the controller keeps of one service between turns."""

    judgement: Judgement | None = None
    history: deque[Judgement] = field(default_factory=lambda: deque(maxlen=HISTORY_KEPT))
    busy: asyncio.Task[None] | None = None
    act_again_at_ns: int = 0
    run: str = ""
    run_kind: str = ""
    run_waits: bool = False
    restarts_ns: deque[int] = field(default_factory=lambda: deque(maxlen=32))
    open_failures_ns: deque[int] = field(default_factory=lambda: deque(maxlen=32))
    failed_moves: int = 0
    rejoin_failures: int = 0
    rejoin_again_at_ns: int = 0
    nobody_since_ns: int | None = None
    pause_id: str = ""
    pause_ends_ns: int = 0
    fence_confirmed: bool | None = None
    fence_tried_at_ns: int = 0
    protection: Protection | None = None
    trouble: Trouble = NO_TROUBLE
    run_in_doubt: str = ""
    glass_gone_on: bool = False
    ways_epoch: int = -1
    ways_seen_up: set[tuple[str, str]] = field(default_factory=set)
    cut_off_since_ns: int | None = None
    handed_over_at_ns: int | None = None

    @property
    def unprotected_since_unix_seconds(self) -> float | None:
        """Since when no standby could take it over; None while one could, and before anybody has looked."""
        return self.protection.since_unix_seconds if self.protection is not None else None
