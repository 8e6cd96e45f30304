"""What paging keeps on disk: what goes on, what waits to be sent, and what has been counted.

One file, replaced as a whole, so that a controller that is killed goes on where it was. A file that cannot be
read is put aside and told of: nobody must be left untold because of it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from orchestrator.paging.book import Book, Reason
from orchestrator.paging.ways import Alert
from sites.notify import Severity

log = structlog.get_logger(__name__)

NAME = "pages.json"
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message that waits to be sent, written when it was: `written_at` in Unix time and as a time of day.
    `keys`: the events it is about; `reached`: which of the receiver's addresses have it already."""

    number: int
    receiver: str
    reason: Reason
    severity: Severity
    title: str
    body: str
    written_at: float
    written: str
    keys: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()
    reached: tuple[int, ...] = ()
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What has become of one receiver's messages, since this file was begun."""

    outcomes: Mapping[str, int] = field(default_factory=dict)
    last_sent_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything. `since`: when this file was begun; what had ended before is no news."""

    since: float
    book: Book = field(default_factory=Book)
    parcels: tuple[Parcel, ...] = ()
    number: int = 0
    counted: Mapping[str, Counted] = field(default_factory=dict)


_ADAPTER: TypeAdapter[Memory] = TypeAdapter(Memory)


def recall(path: Path, now: float) -> Memory:
    """What was kept, or a new beginning."""
    try:
        with path.open("rb") as file:
            return _ADAPTER.validate_json(file.read(MOST_BYTES))
    except FileNotFoundError:
        return Memory(since=now)
    except (OSError, ValueError) as fault:
        aside = path.with_suffix(".damaged")
        log.error("pages-unreadable", path=str(path), put_aside=str(aside), problem=str(fault)[:500])
        try:
            path.replace(aside)
        except OSError:
            pass
        return Memory(since=now)


def keep(path: Path, memory: Memory) -> None:
    """Put it on the disk, durably. Raises OSError."""
    fresh = path.with_suffix(".new")
    with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(_ADAPTER.dump_json(memory))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
