"""Lease arithmetic: when a right ends, and when the other side may take it. Pure sums on integers.

Instants are nanoseconds of one process's CLOCK_BOOTTIME; two sites' instants are never compared. Whatever
is rounded is rounded towards safety: a holder's end down, a taker's wait up.
"""

from dataclasses import dataclass
from math import ceil, floor

from sites.model import Timing

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """`ownership:` of the estate in nanoseconds; `clock_drift` is the bound e on clock rates."""

    lease_duration_ns: int
    renew_every_ns: int
    fence_within_ns: int
    clock_drift: float
    hold_clear_ns: int = 60 * SECOND_NS

    @classmethod
    def from_timing(cls, timing: Timing) -> "LeaseTiming":
        """The estate's figures: T and the renewal interval rounded down, D up."""
        return cls(
            lease_duration_ns=floor(timing.lease_duration_seconds * SECOND_NS),
            renew_every_ns=floor(timing.renew_every_seconds * SECOND_NS),
            fence_within_ns=ceil(timing.fence_within_seconds * SECOND_NS),
            clock_drift=timing.clock_drift,
            hold_clear_ns=ceil(timing.hold_clear_seconds * SECOND_NS),
        )


def earned_deadline(sent_at_ns: int, lease_duration_ns: int) -> int:
    """P2: a renewal entitles for T from the moment before it was *sent*."""
    return sent_at_ns + lease_duration_ns


def fence_at(deadline_ns: int, timing: LeaseTiming) -> int:
    """P7: fencing starts D before the deadline, so that it is done by the deadline."""
    return deadline_ns - timing.fence_within_ns


def wait_of(lease_duration_ns: int, clock_drift: float) -> int:
    """T(1+e), rounded up: how long a taker waits for a holder whose clock may run slower than its own."""
    return lease_duration_ns + ceil(lease_duration_ns * clock_drift)


def takeover_after(seen_at_ns: int, lease_duration_ns: int, clock_drift: float) -> int:
    """P9: the instant strictly after which a lease last seen renewed at `seen_at_ns` is over.

    `lease_duration_ns` is the T that the seen revision carries, not the taker's own.
    """
    return seen_at_ns + wait_of(lease_duration_ns, clock_drift)


def has_passed(instant_ns: int, now_ns: int) -> bool:
    """'After' is strict."""
    return now_ns > instant_ns


def seconds(nanoseconds: int) -> float:
    """Nanoseconds as seconds, for people and metrics."""
    return nanoseconds / SECOND_NS
