"""Places in PostgreSQL's write-ahead log, and where two lines of history part. Pure.

A place (LSN) is a byte offset written as two hexadecimal halves. Every promotion starts a new timeline;
a timeline's history file lists its ancestors, each with the place at which the next one forked off.
"""

import re
from dataclasses import dataclass

_LSN = re.compile(r"^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$")


def parse_lsn(text: str) -> int:
    """The byte offset of `16/B374D848`. Raises ValueError."""
    match = _LSN.match(text.strip())
    if match is None:
        raise ValueError(f"expected a place in the write-ahead log such as 0/3000060, found {text!r}")
    return (int(match[1], 16) << 32) | int(match[2], 16)


def format_lsn(offset_bytes: int) -> str:
    """The spelling PostgreSQL uses."""
    return f"{offset_bytes >> 32:X}/{offset_bytes & 0xFFFFFFFF:X}"


def segment_name(timeline: int, offset_bytes: int, segment_bytes: int) -> str:
    """The file of `pg_wal` that holds the byte at `offset_bytes`."""
    number = offset_bytes // segment_bytes
    per_log = (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A timeline that was left, and where."""

    timeline: int
    until_bytes: int


@dataclass(frozen=True, slots=True)
class Line:
    """A timeline and its ancestors, oldest first."""

    timeline: int
    ancestors: tuple[Ancestor, ...] = ()

    @property
    def begins_bytes(self) -> int:
        """Where the timeline itself began."""
        return self.ancestors[-1].until_bytes if self.ancestors else 0


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of one timeline; without an end, up to where the log ends."""

    timeline: int
    from_bytes: int
    to_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """Where two lines part, and what the first one has beyond that (nothing, if the log ends there)."""

    timeline: int
    at_bytes: int
    legs: tuple[Leg, ...]


def parse_history(timeline: int, text: str) -> Line:
    """A timeline's history file. Timeline 1 has none: give it the empty text. Raises ValueError."""
    ancestors = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2 or not words[0].isdigit():
            raise ValueError(f"expected a timeline and a place, found {line!r}")
        ancestors.append(Ancestor(int(words[0]), parse_lsn(words[1])))
    if timeline > 1 and not ancestors:
        raise ValueError(f"timeline {timeline} has ancestors, but its history file names none")
    return Line(timeline, tuple(ancestors))


def fork_of(ours: Line, theirs: Line) -> Fork | None:
    """Where `ours` leaves the line of `theirs`; None when both are the same line, by name.

    Both are followed from their beginning for as long as they agree. On the last timeline they share they
    part where the first of the two left it; sharing none, they part at 0.
    """
    mine = [*((a.timeline, a.until_bytes) for a in ours.ancestors), (ours.timeline, None)]
    others = [*((a.timeline, a.until_bytes) for a in theirs.ancestors), (theirs.timeline, None)]
    for index, ((timeline, until), (other, other_until)) in enumerate(zip(mine, others, strict=False)):
        if timeline != other:
            if index == 0:
                return _fork(mine, 0, 0)
            return _fork(mine, index - 1, mine[index - 1][1] or 0)
        if until == other_until:
            continue
        ends = [end for end in (until, other_until) if end is not None]
        return _fork(mine, index, min(ends))
    return None


def _fork(mine: list[tuple[int, int | None]], index: int, at_bytes: int) -> Fork:
    legs, begin = [], at_bytes
    for timeline, until in mine[index:]:
        if until is None or until > begin:
            legs.append(Leg(timeline, begin, until))
        begin = begin if until is None else until
    return Fork(mine[index][0], at_bytes, tuple(legs))
