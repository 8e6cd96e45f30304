"""How far a standby is behind, in seconds and bytes, from a history of positions. Pure.

Products tell when the last transaction was, which grows on an idle service, or count bytes, which say
nothing about time. Here an observer notes where the primary was, again and again; a standby's position
then falls between two of those notes, and its age is known. Every figure comes with the age of the sample
it was made from. What is stale or not known is None, never 0. Nothing here decides what is too much.

Instants are nanoseconds of CLOCK_BOOTTIME of one observer, taken *before* the question was sent: whatever
was written before that instant lies at or below the position that came back.
"""

from dataclasses import dataclass, replace

from sites.replication.words import Position, Role, Sample

LIMIT = 512
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One position, of one line of history, as it was at or just after an instant."""

    line: str
    at_ns: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a standby was behind. `reason` says why a figure is missing, in one stable word.

    `seconds`: the age of the oldest change it had not got yet, 0 when there was none, at most one sampling
    interval too high and never too low. `at_least_seconds` stands in for it when that change is older than
    what was observed. `age_seconds`: how old the older of the two samples is; a reader who wants the worst
    case adds it.
    """

    seconds: float | None = None
    bytes: int | None = None
    age_seconds: float | None = None
    at_least_seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PositionHistory:
    """Where the primary was, as one observer saw it: bounded, oldest first, of one line of history.

    When it is full, every second note of the older half goes. That can only make a lag look longer and the
    safe instant earlier, never the opposite.
    """

    line: str = ""
    notes: tuple[Seen, ...] = ()
    limit: int = LIMIT

    def add(self, seen: Seen) -> "PositionHistory":
        """With one more note. Another line of history, or a position that fell, starts afresh; a note older
        than the last one is left out."""
        last = self.notes[-1] if self.notes else None
        if last is None or seen.line != self.line or seen.offset_bytes < last.offset_bytes:
            return replace(self, line=seen.line, notes=(seen,))
        if seen.at_ns <= last.at_ns:
            return self
        notes = (*self.notes, seen)
        if len(notes) > self.limit:
            middle = len(notes) // 2
            notes = notes[:middle:2] + notes[middle:]
        return replace(self, notes=notes)

    def newest_at_or_below(self, offset_bytes: int, *, until_ns: int | None = None) -> Seen | None:
        """The newest note, not after `until_ns`, whose position `offset_bytes` has reached."""
        for note in reversed(self.notes):
            if note.offset_bytes <= offset_bytes and (until_ns is None or note.at_ns <= until_ns):
                return note
        return None


def written(sample: Sample) -> Seen | None:
    """What a sample says of a primary's last written position."""
    return _seen(sample, sample.position) if sample.role is Role.PRIMARY else None


def received(sample: Sample) -> Seen | None:
    """What a sample says of a standby's last received position: what could be saved from it."""
    return _seen(sample, sample.position) if sample.role is Role.STANDBY else None


def replayed(sample: Sample) -> Seen | None:
    """What a sample says of a standby's last replayed position: what its readers see."""
    return _seen(sample, sample.replayed) if sample.role is Role.STANDBY else None


def _seen(sample: Sample, position: Position | None) -> Seen | None:
    if position is None or position.offset_bytes is None:
        return None
    return Seen(line=position.history, at_ns=sample.taken_at_ns, offset_bytes=position.offset_bytes)


def lag(history: PositionHistory, standby: Seen | None, now_ns: int, *, stale_after_seconds: float) -> Lag:
    """How far `standby` (received or replayed) was behind the primary when it was asked.

    It is compared with what the primary had written by then, not with what it has written since: two
    samples are never taken at the same instant, and a busy pair would always look behind.
    """
    if standby is None:
        return Lag(reason="no-standby-sample")
    if not history.notes:
        return Lag(reason="no-primary-sample")
    primary = next((note for note in reversed(history.notes) if note.at_ns <= standby.at_ns), None)
    oldest_ns = min(standby.at_ns, history.notes[-1].at_ns if primary is None else primary.at_ns)
    age_seconds = _seconds(now_ns - oldest_ns)
    if age_seconds > stale_after_seconds:
        return Lag(age_seconds=age_seconds, reason="stale")
    if standby.line != history.line:
        return Lag(age_seconds=age_seconds, reason="other-history")
    if primary is None:
        return Lag(age_seconds=age_seconds, reason="no-primary-sample")
    missing_bytes = max(0, primary.offset_bytes - standby.offset_bytes)
    if missing_bytes == 0:
        return Lag(seconds=0.0, bytes=0, age_seconds=age_seconds)
    had = history.newest_at_or_below(standby.offset_bytes, until_ns=standby.at_ns)
    if had is None:
        least = _seconds(standby.at_ns - history.notes[0].at_ns)
        return Lag(None, missing_bytes, age_seconds, at_least_seconds=least, reason="older-than-history")
    return Lag(_seconds(standby.at_ns - had.at_ns), missing_bytes, age_seconds)


def safe_until_ns(history: PositionHistory, standby: Seen | None) -> int | None:
    """The instant up to which everything written at the primary is known to be here; None: not known.

    Gate 3 and the statement of what a move would lose are made from it: at worst everything after it.
    A standby's position only grows, so its sample's age does not matter here.
    """
    if standby is None or standby.line != history.line:
        return None
    note = history.newest_at_or_below(standby.offset_bytes)
    return None if note is None else note.at_ns


def told_lag(sample: Sample | None, line: str, now_ns: int, *, stale_after_seconds: float) -> Lag:
    """How far a standby is behind by its own word, where there are no positions to go by. `line`: the history
    in which the primary was last seen to accept writes; empty where that is not known."""
    if sample is None or sample.role is not Role.STANDBY or sample.behind_seconds is None:
        return Lag(reason="no-standby-sample")
    age_seconds = _seconds(now_ns - sample.taken_at_ns)
    if age_seconds > stale_after_seconds:
        return Lag(age_seconds=age_seconds, reason="stale")
    if sample.position is None or line not in ("", sample.position.history):
        return Lag(age_seconds=age_seconds, reason="other-history")
    return Lag(seconds=sample.behind_seconds, age_seconds=age_seconds)


def told_safe_until_ns(sample: Sample | None, line: str) -> int | None:
    """The instant up to which everything is here by the standby's own word; None where it gave none, or is
    not known to be of `line`, the history in which the primary was last seen to accept writes."""
    if sample is None or sample.role is not Role.STANDBY or sample.behind_seconds is None:
        return None
    if not line or sample.position is None or sample.position.history != line:
        return None
    return sample.taken_at_ns - round(sample.behind_seconds * NANOSECONDS)


def reached(have: Position | None, wanted: Position) -> bool | None:
    """Whether everything up to `wanted` is there (P24, gate 3); None where the two cannot be compared."""
    if have is None:
        return None
    if wanted.parts or have.parts:
        return _every_part_reached(have, wanted)
    if have.history != wanted.history:
        return None
    if have.offset_bytes is None or wanted.offset_bytes is None:
        return True if have.text and have.text == wanted.text else None
    return have.offset_bytes >= wanted.offset_bytes


def _every_part_reached(have: Position, wanted: Position) -> bool | None:
    """No, as soon as one part is short; otherwise not known, as soon as one cannot be compared."""
    if len(have.parts) != len(wanted.parts):
        return None
    words = [reached(here, there) for here, there in zip(have.parts, wanted.parts, strict=True)]
    if False in words:
        return False
    return None if None in words else True


def bytes_short(have: Position | None, wanted: Position) -> int:
    """How much is missing up to `wanted`, of two positions that `reached` can compare; 0 when nothing is."""
    if have is not None and have.parts:
        return sum(bytes_short(here, there) for here, there in zip(have.parts, wanted.parts, strict=False))
    if have is None or have.offset_bytes is None or wanted.offset_bytes is None:
        return 0
    return max(0, wanted.offset_bytes - have.offset_bytes)


def same_line(one: Position | None, other: Position | None) -> bool:
    """Whether two positions are of one line of history, so that their offsets compare (gate 4)."""
    return one is not None and other is not None and one.history == other.history


def _seconds(nanoseconds: int) -> float:
    return max(0, nanoseconds) / NANOSECONDS
