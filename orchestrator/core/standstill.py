"""Since when nothing can have been written at a primary's site, and whose proof that is. Pure.

A dead primary loses no more while it lies dead, so what a move would lose stops growing where its death is
proven: by its own site, on its own host. Who proves it looks again and again. Two looks with the same `mark`
prove that nothing was written between them; another mark, and nothing is known of the time between.

Instants are CLOCK_BOOTTIME of the machine that keeps them. From site to site go ages alone: whatever is on
its way or runs slow makes an end of writes look later than it was, never earlier.
"""

from dataclasses import dataclass

from orchestrator.core.keeper_view import ServiceHeld
from orchestrator.core.records import StillSeen
from sites.replication.words import Standstill


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """Nothing was written between `since_ns` and `seen_ns`. `behind_gate`: the instance may run, and is cut
    off from everybody. `given_up_epoch`: the epoch in which the service had been given up by the time of a
    look with this mark: in that epoch nothing was written after `since_ns` at all."""

    mark: str
    since_ns: int
    seen_ns: int
    evidence: str
    behind_gate: bool = False
    given_up_epoch: int | None = None


def looked(before: Still | None, found: Standstill, *, given_up_epoch: int | None) -> Still:
    """With one more look. `given_up_epoch`: as it was known when the look began."""
    if before is None or before.mark != found.mark:
        # The first of its mark: something may have been written until the very moment.
        return Still(
            mark=found.mark,
            since_ns=found.answered_at_ns,
            seen_ns=found.answered_at_ns,
            evidence=found.evidence,
        )
    return Still(
        mark=found.mark,
        since_ns=before.since_ns,
        seen_ns=max(before.seen_ns, found.asked_at_ns),
        evidence=found.evidence,
        given_up_epoch=before.given_up_epoch if given_up_epoch is None else given_up_epoch,
    )


def closed(held: ServiceHeld | None, at_ns: int, *, given_up_epoch: int | None) -> Still | None:
    """The same by the guard: its acknowledged cut that stands, over a connection that does, at `at_ns`."""
    guard = held.guard if held is not None else None
    if guard is None or not guard.closed_since_ns:
        return None
    return Still(
        mark=f"guard {guard.closed_since_ns}",
        since_ns=guard.closed_since_ns,
        seen_ns=max(guard.closed_since_ns, at_ns),
        evidence="its guard has cut it off",
        behind_gate=True,
        given_up_epoch=given_up_epoch,
    )


def earliest(*found: Still | None) -> Still | None:
    """Of several proofs the one that goes back furthest; one whose service was given up first of all."""
    known = [still for still in found if still is not None]
    return min(known, key=lambda still: (still.given_up_epoch is None, still.since_ns), default=None)


def told_still(still: Still, now_ns: int) -> StillSeen:
    """As it is published."""
    return StillSeen(
        mark=still.mark,
        for_seconds=max(0, now_ns - still.since_ns) / 1e9,
        age_seconds=max(0, now_ns - still.seen_ns) / 1e9,
        evidence=still.evidence,
        behind_gate=still.behind_gate,
        given_up_epoch=still.given_up_epoch,
    )


def heard(
    before: Still | None, seen: StillSeen | None, arrived_ns: int, *, clock_drift: float
) -> Still | None:
    """The other site's word, by our clock. A word of the same mark that came earlier says more of its
    beginning: less time has passed in which the two clocks could go apart."""
    if seen is None:
        return None
    since_ns = arrived_ns - int(seen.for_seconds * (1 - clock_drift) * 1e9)
    seen_ns = arrived_ns - int(seen.age_seconds * 1e9)
    given_up_epoch = seen.given_up_epoch
    if before is not None and before.mark == seen.mark:
        since_ns = min(since_ns, before.since_ns)
        given_up_epoch = before.given_up_epoch if given_up_epoch is None else given_up_epoch
    return Still(
        mark=seen.mark,
        since_ns=since_ns,
        seen_ns=max(since_ns, seen_ns),
        evidence=seen.evidence,
        behind_gate=seen.behind_gate,
        given_up_epoch=given_up_epoch,
    )
