"""What both controllers say to each other about messages: one value in the store, written by compare-and-set.

Who tells of what, who has been told, who has acknowledged. Pure: values, their JSON, and how a site's own
word is put in. It grants no right to anything but to send a message; without the store each site tells what
it must by itself, and says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pydantic import TypeAdapter

BOARD = "pages/board"
MOST_ENTRIES = 300
KEPT_CLOSED_SECONDS = 3600.0


class Sent(StrEnum):
    """How far a message is, the furthest last."""

    QUEUED = "queued"
    FAILING = "failing"
    GIVEN_UP = "given-up"
    SENT = "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One receiver's message: which site sends it, and how far it is. `at`: when it was put on its way, in
    Unix time, from which escalations count."""

    by: str
    sent: Sent
    stage: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Somebody has taken it on."""

    who: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event. `site`: whose controller tells of it; `seen_by`: whose see it now. Closed when none does."""

    site: str
    seen_by: tuple[str, ...]
    opened_at: float
    closed_at: float | None = None
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    acknowledged: Acknowledged | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Every entry by its event's key."""

    entries: Mapping[str, Entry] = field(default_factory=dict)

    def open(self, key: str) -> Entry | None:
        """The entry of an event that goes on."""
        entry = self.entries.get(key)
        return entry if entry is not None and entry.closed_at is None else None

    def with_entry(self, key: str, entry: Entry) -> "Board":
        """The board with another entry."""
        return replace(self, entries={**self.entries, key: entry})


class BoardUnreadable(ValueError):
    """The value in the store is not what this version writes."""


_ADAPTER: TypeAdapter[Board] = TypeAdapter(Board)


def encode(board: Board) -> bytes:
    """The board as JSON."""
    return _ADAPTER.dump_json(board)


def decode(value: bytes) -> Board:
    """The board in `value`. Raises BoardUnreadable."""
    try:
        return _ADAPTER.validate_json(value)
    except ValueError as fault:
        raise BoardUnreadable(f"not a board of messages: {fault}") from fault


def trimmed(board: Board, now: float) -> Board:
    """Without what was closed long ago, and within its bound: the store takes no endless value."""
    kept = {
        key: entry
        for key, entry in board.entries.items()
        if entry.closed_at is None or now - entry.closed_at < KEPT_CLOSED_SECONDS
    }
    if len(kept) > MOST_ENTRIES:
        oldest_first = sorted(kept, key=lambda key: (kept[key].closed_at is None, kept[key].opened_at))
        for key in oldest_first[: len(kept) - MOST_ENTRIES]:
            del kept[key]
    return board if len(kept) == len(board.entries) else Board(entries=kept)
