"""What an event cost, worked out from outside: from what clients had acknowledged and what is there now.

Pure. Instants are nanoseconds of one clock (CLOCK_BOOTTIME of the machine that all clients run on),
results are seconds. Nothing here believes what the product says of itself, but for the one figure that is
the product's own statement of loss, which is passed through to stand beside what was measured.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

NS = 1_000_000_000
SILENCE_NS = NS
"""Clients write a hundred times a second: what is silent for longer has stopped, or moved."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One commit that a client was told of: row `n`, accepted at `site`."""

    n: int
    site: str
    sent_ns: int
    acknowledged_ns: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A writing client met its first failure after row `last_n` at `site`: a refusal, a broken connection, or
    no answer in time. `sent_ns`: when the row was sent that failed; `at_ns`: when it had failed."""

    site: str
    sent_ns: int
    at_ns: int
    last_n: int
    detail: str

    @property
    def unanswered(self) -> bool:
        """Whether it failed by waiting in vain: then nothing is known of how long the site was cut off."""
        return self.detail.startswith(TimeoutError.__name__)

    @property
    def proof_ns(self) -> int:
        """The instant from which on it shows that the site takes no writes."""
        return self.sent_ns if self.unanswered else self.at_ns


@dataclass(frozen=True, slots=True)
class Window:
    """The time that belongs to one event: from the end of the one before to when all was well again."""

    start_ns: int
    end_ns: int

    def records_of(self, records: Iterable[Acknowledged]) -> list[Acknowledged]:
        """Those acknowledged inside, in the order of their acknowledgement."""
        inside = [record for record in records if self.start_ns <= record.acknowledged_ns <= self.end_ns]
        return sorted(inside, key=lambda record: record.acknowledged_ns)


@dataclass(frozen=True, slots=True)
class EventFigures:
    """One event and one service. `reported_loss_seconds` is what the run said; None: unknown, which is no
    amount that anything could be within."""

    event: str
    service: str
    outage_seconds: float
    acknowledged_rows: int
    lost_rows: int
    lost_span_seconds: float
    reported_loss_seconds: float | None
    two_writable_seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "EventFigures":
        """Raises TypeError for anything `to_json` did not make."""
        return cls(**raw)


def outage_seconds(records: Sequence[Acknowledged], window: Window) -> float:
    """The longest time in the window without an acknowledged commit, anywhere.

    The window's own ends count as its bounds: a service that never came back was out until the end.
    """
    return silence_seconds([record.acknowledged_ns for record in window.records_of(records)], window)


def silence_seconds(instants: Sequence[int], window: Window) -> float:
    """The longest time between two of these instants, which are in order and within the window; its ends
    count as well."""
    return (
        max(later - earlier for earlier, later in pairwise([window.start_ns, *instants, window.end_ns])) / NS
    )


def two_writable_seconds(records: Sequence[Acknowledged], window: Window) -> float:
    """How long two sites accepted writes at the same time.

    A site accepted from the sending of its first acknowledged row to the acknowledgement of its last, however
    long it was silent in between; unless the other site began and ended within that silence, which is a move
    there and back. Sending, not acknowledgement, at the beginning: this errs on the side of finding overlaps.
    """
    inside = sorted(window.records_of(records), key=lambda record: record.sent_ns)
    by_site = {site: [one for one in inside if one.site == site] for site in {one.site for one in inside}}
    spans = [
        (site, first, last)
        for site, own in by_site.items()
        for first, last in _accepting(own, [one for one in inside if one.site != site])
    ]
    overlaps = [
        min(last, other_last) - max(first, other_first)
        for number, (site, first, last) in enumerate(spans)
        for other, other_first, other_last in spans[number + 1 :]
        if other != site
    ]
    return max([0, *overlaps]) / NS


def _accepting(own: Sequence[Acknowledged], others: Sequence[Acknowledged]) -> list[tuple[int, int]]:
    """From when until when one site accepted writes; both in the order of their sending."""
    spans: list[tuple[int, int]] = []
    for record in own:
        if not spans or _came_and_went(others, spans[-1][1], record.sent_ns):
            spans.append((record.sent_ns, record.acknowledged_ns))
        else:
            spans[-1] = spans[-1][0], max(spans[-1][1], record.acknowledged_ns)
    return spans


def _came_and_went(others: Sequence[Acknowledged], after_ns: int, before_ns: int) -> bool:
    """The other site accepted something after the one instant and nothing any more before the other, nor soon
    after it."""
    if before_ns - after_ns <= SILENCE_NS:
        return False
    between = [one for one in others if after_ns < one.sent_ns < before_ns]
    if not between:
        return False
    last_ns = max(one.acknowledged_ns for one in between)
    again_ns = min((one.sent_ns for one in others if one.sent_ns >= before_ns), default=None)
    return last_ns < before_ns and (again_ns is None or again_ns - last_ns > SILENCE_NS)


def writable_spans(records: Sequence[Acknowledged], gap_ns: int) -> dict[str, list[tuple[int, int]]]:
    """When each site took writes: from the sending of an acknowledged row to the acknowledgement of the last
    that followed without a longer gap."""
    found: dict[str, list[tuple[int, int]]] = {}
    for record in sorted(records, key=lambda record: record.sent_ns):
        spans = found.setdefault(record.site, [])
        if spans and record.sent_ns - spans[-1][1] <= gap_ns:
            spans[-1] = spans[-1][0], max(spans[-1][1], record.acknowledged_ns)
        else:
            spans.append((record.sent_ns, record.acknowledged_ns))
    return found


def margin_seconds(
    records: Sequence[Acknowledged], ends: Sequence[Broken], window: Window, source: str, target: str
) -> float | None:
    """From the first proof that `source` takes no writes any more to the sending of the first row that
    `target` took; below zero when the proof came later. The proof is the first failure, met by any client,
    after the last row that `source` acknowledged; a row that was never answered proves it from its sending.
    None: one of the two never came."""
    inside = window.records_of(records)
    started = min((record.sent_ns for record in inside if record.site == target), default=None)
    last_ns = max((record.acknowledged_ns for record in inside if record.site == source), default=0)
    proofs = [one.proof_ns for one in ends if one.site == source and last_ns < one.at_ns <= window.end_ns]
    if started is None or not proofs:
        return None
    return (started - min(proofs)) / NS


def lost(records: Iterable[Acknowledged], found: Collection[int]) -> list[Acknowledged]:
    """What was acknowledged and is not among the rows found, in the order of acknowledgement."""
    present = found if isinstance(found, set | frozenset) else set(found)
    missing = [record for record in records if record.n not in present]
    return sorted(missing, key=lambda record: record.acknowledged_ns)


def lost_span_seconds(missing: Sequence[Acknowledged]) -> float:
    """From the sending of the first lost row to the acknowledgement of the last: 0 when none is lost."""
    if not missing:
        return 0.0
    first = min(record.sent_ns for record in missing)
    return (max(record.acknowledged_ns for record in missing) - first) / NS


def figures_of(
    event: str,
    service: str,
    records: Sequence[Acknowledged],
    window: Window,
    missing: Sequence[Acknowledged],
    reported_loss_seconds: float | None,
    within: Sequence[Acknowledged] = (),
) -> EventFigures:
    """Everything about one event and one service. `records`: of the client outside, whose outage it is;
    `within`: of those inside the sites; `missing`: what this event lost, which may have been acknowledged
    before its window began."""
    inside = window.records_of(records)
    return EventFigures(
        event=event,
        service=service,
        outage_seconds=round(outage_seconds(inside, window), 3),
        acknowledged_rows=len(inside),
        lost_rows=len(missing),
        lost_span_seconds=round(lost_span_seconds(missing), 3),
        reported_loss_seconds=reported_loss_seconds,
        two_writable_seconds=round(two_writable_seconds([*inside, *within], window), 3),
    )
