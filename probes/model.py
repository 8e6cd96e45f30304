"""What a probe says: a verdict with its reason and evidence. Being sick is a result, not an exception.

Instants are nanoseconds of CLOCK_BOOTTIME of the observing process.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """UNKNOWN is neither bad nor fine: the probe itself could not be carried out, or has not been yet."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One try. `reason` is a short stable code (`answered`, `refused`, `timed-out`, `wrong-status`, …)."""

    verdict: Verdict
    reason: str
    tried: str  # what was tried, e.g. `GET https://…`
    answered: str  # what came back, bounded
    at_ns: int
    duration_seconds: float
    measure: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What this vantage point has lately seen of one thing, with the verdict of k of the last n."""

    probe: str
    service: str
    site: str
    kind: str
    verdict: Verdict
    since_ns: int
    last: ProbeResult | None
    recent: tuple[Verdict, ...] = ()  # the last n results, oldest first
    counted: int = 0  # how many of `recent`, from the newest back, count towards the next change of verdict


class Probe(Protocol):
    """One configured probe of one target. `try_once` never raises for a sick target."""

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Try the target once within the timeout."""
        ...

    async def aclose(self) -> None:
        """Give up kept connections."""
        ...
