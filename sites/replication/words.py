"""The words every replication driver speaks, and the values they speak in.

Durations are seconds; instants are nanoseconds of CLOCK_BOOTTIME of the process that measured.
A position is opaque: comparable only within one history, in bytes only where the product has bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable


class Role(StrEnum):
    """What an instance is at this moment, by its own word."""

    PRIMARY = "primary"
    STANDBY = "standby"
    DOWN = "down"  # positively not running: refused, or shut down
    UNKNOWN = "unknown"  # no answer; says nothing


class Word(StrEnum):
    """The vocabulary. A driver names those it does not know; a plan that needs one is refused."""

    SAMPLE = "sample"
    PREPARE = "prepare"
    CLOSE = "close"
    FENCE = "fence"
    PROMOTE = "promote"
    START = "start"
    REJOIN = "rejoin"
    REBUILD = "rebuild"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Position:
    """How far an instance's history reaches.

    `history` names the line of descent (PostgreSQL: system identifier and timeline); two positions
    compare by `offset_bytes` only when one history is an ancestor of the other, which the driver decides.
    A product whose positions have no order gives none: such a place was reached where the very same `text`
    is seen, and nothing can be said of any other. An empty text is no place at all, only a history.
    A service of several parts has the position of each in `parts`, in one order: it was reached where every
    one of them was.
    """

    text: str
    history: str
    offset_bytes: int | None
    parts: "tuple[Position, ...]" = ()


@dataclass(frozen=True, slots=True)
class Copying:
    """A full copy of this instance that is under way for the other side: how much has been sent, and of how
    much, as far as the product tells."""

    sent_bytes: int
    of_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What one instance said of itself at one instant."""

    service: str
    site: str
    role: Role
    taken_at_ns: int
    writable: bool | None = None  # True: accepts client writes by its own word; None: unknown
    position: Position | None = None  # primary: last written; standby: last received
    replayed: Position | None = None  # standby: last replayed
    streaming: bool | None = None  # standby: its receiver is connected to the primary
    synchronous: bool | None = None  # primary: a commit waits for the standby
    system_id: str = ""
    timeline: int = 0
    # standby, by its own word: all that the primary had written until so long before `taken_at_ns` is here.
    # For products whose positions say nothing of time; None where the driver has positions to go by.
    behind_seconds: float | None = None
    version: str = ""  # of the product, as it names it itself; empty where the driver does not know it
    reason: str = ""  # why DOWN or UNKNOWN, as the product or the socket said it
    copying: Copying | None = None  # primary: a rebuild of the other side, while it copies


@dataclass(frozen=True, slots=True)
class Closed:
    """Result of `close`: no client can write any more. `final_position` is None when it ended as a fence."""

    final_position: Position | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Fenced:
    """Result of `fence`. `verified` only if a write attempt was seen to fail and no process is left."""

    verified: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """Result of `promote`: the instance was seen to be writable, on a new line of its history."""

    position: Position
    evidence: str


@dataclass(frozen=True, slots=True)
class Rejoined:
    """Result of `rejoin` and `rebuild`: a standby of `primary_site`, seen to be streaming.

    `method`: `follow` (no divergence), `rewind` or `rebuild`. `divergent_bytes`: how much history only
    this side had (None: nobody looked); `saved_at`: where on the host it is kept (None when there was none).
    Where the product tells: how many transactions were in it, and how long it was from the first to the last.
    """

    method: str
    divergent_bytes: int | None
    saved_at: str | None
    evidence: str
    divergent_transactions: int | None = None
    divergent_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standstill:
    """Nothing of an instance was running at some moment between `asked_at_ns` and `answered_at_ns`.

    `mark`: what stood in the data before that was looked for. Whoever starts the instance changes it before
    the first write can be accepted. So of two looks that found the same mark: nothing was written between
    the answer of the first and the question of the second.
    """

    asked_at_ns: int
    answered_at_ns: int
    mark: str
    evidence: str


class ReplicationDriver(Protocol):
    """One driver object per service, speaking to both sites' instances. All words are idempotent:
    ask first, act, ask again. Errors are those of `sites.errors`."""

    unknown_words: frozenset[Word]

    async def sample(self, site: str) -> Sample:
        """Ask the instance at `site`; never raises for a sick instance, and answers within its timeout."""
        ...

    async def lost(self, site: str) -> str:
        """Wait until the kept connection to `site`'s instance breaks and it is positively not running any
        more; return the evidence. A connection that breaks while the instance goes on is made anew."""
        ...

    async def prepare(self, site: str) -> None:
        """Shorten a close that is to come (PostgreSQL: checkpoint). Changes nothing for clients."""
        ...

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        """No client can write at `site` any more, everything written is on its way to the standby.
        Overrunning `within_seconds` ends as a fence, without a final position."""
        ...

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        """Cut client writes off at once, verified by its effect. Never raises for an unreachable host:
        that is `verified=False` with the evidence."""
        ...

    async def promote(self, site: str, *, timeout_seconds: float) -> Promoted:
        """Make the standby at `site` writable. Already primary and writable: done."""
        ...

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        """Start a stopped instance as it was: primary (local restart) or standby."""
        ...

    async def rejoin(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """Make `site` a streaming standby of `primary_site`; saves what only it has before discarding it."""
        ...

    async def rebuild(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """The same from a full copy; the old data is set aside, never overwritten."""
        ...

    async def caught_up(self, site: str, final_position: Position, *, timeout_seconds: float) -> bool:
        """Wait until the standby at `site` has replayed everything up to `final_position`."""
        ...

    async def aclose(self) -> None:
        """Close kept connections."""
        ...


class SettingFinding(Protocol):
    """Something that is not set up as a driver needs it. `must`: a move can fail or be slow by it."""

    @property
    def what(self) -> str:
        """The setting."""
        ...

    @property
    def found(self) -> str:
        """What it is."""
        ...

    @property
    def expected(self) -> str:
        """What it should be."""
        ...

    @property
    def why(self) -> str:
        """What goes wrong otherwise."""
        ...

    @property
    def must(self) -> bool:
        """Whether a move can fail or be slow by it."""
        ...


@runtime_checkable
class ChecksSettings(Protocol):
    """A driver that can say what is not set up as it needs it."""

    async def check_settings(self, site: str) -> Sequence[SettingFinding]:
        """Asked of the running instance at `site`. Raises SitesTrouble when it does not answer."""
        ...


@runtime_checkable
class TellsWayBack(Protocol):
    """A driver that can say how it makes an old primary a standby again, before it has looked at one."""

    def way_back(self) -> str:
        """By which ways, in which order, and how fast a full copy may go: part of a sentence."""
        ...


@runtime_checkable
class SeesStandstill(Protocol):
    """A driver that can prove on an instance's own host that nothing can have been written there."""

    async def standstill(self, site: str) -> Standstill | None:
        """Look for every process of the instance at `site`; None when there are some, or it cannot be told.
        Raises SitesTrouble when the host does not answer."""
        ...
