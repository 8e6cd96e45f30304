"""What a site has seen of its store, on its disk: one file below the state directory, synced (P33).

The keeper of a site writes it (at the witness, the witness); its controller only reads it at its start. A
file that makes no sense is not guessed at and not written over: until somebody certifies, the store is then
not trusted, as one that was restored would not be.
"""

import asyncio
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

from orchestrator.core.adapters import adapter
from orchestrator.store.continuity import Break, BreakCode, Seen

NAME = "store-seen.json"
VERSION = 1
LARGEST_FILE_BYTES = 16 * 1024 * 1024
ASIDE_AT_MOST = 1000


class SeenUnreadable(Exception):
    """The file is there and makes no sense, or cannot be read."""


class Memory(Protocol):
    """Where it is kept."""

    def read(self) -> Seen | None:
        """What was kept; None when nothing ever was. Raises SeenUnreadable."""
        ...

    async def keep(self, seen: Seen) -> None:
        """Replace what is kept, and see it onto the disk. Raises OSError: then the disk may hold either."""
        ...

    async def set_aside(self) -> None:
        """Keep what makes no sense beside, before it is replaced. Raises OSError."""
        ...


class SeenFile:
    """The file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Seen | None:
        """As `Memory.read`."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(LARGEST_FILE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise SeenUnreadable(f"{self.path}: cannot be read: {fault.strerror}") from fault
        try:
            return _understood(raw)
        except (ValueError, KeyError, TypeError, RecursionError) as fault:
            first = " ".join(str(fault).split())[:200]
            raise SeenUnreadable(f"{self.path}: not what twinsite writes there ({first})") from fault

    async def keep(self, seen: Seen) -> None:
        """As `Memory.keep`; in a thread, for a disk that hangs must not hold a lease up."""
        await asyncio.to_thread(self._replace, seen)

    async def set_aside(self) -> None:
        """As `Memory.set_aside`: by a second name. The file itself stays until another one replaces it, for a
        start without any would adopt whatever store answers."""
        await asyncio.to_thread(self._set_aside)

    def _set_aside(self) -> None:
        for number in range(1, ASIDE_AT_MOST):
            place = self.path.with_name(f"{self.path.stem}.unreadable-{number}.json")
            with contextlib.suppress(FileExistsError):
                os.link(self.path, place)  # never over one that is there
                return
        raise OSError(f"{self.path}: has been set aside {ASIDE_AT_MOST} times")

    def _replace(self, seen: Seen) -> None:
        fresh = self.path.with_suffix(".new")
        said = adapter(Seen).dump_python(seen, mode="json")
        text = json.dumps({"version": VERSION, "sha256": _sum(said), "seen": said}).encode()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class FollowedFile(SeenFile):
    """The file of another process of this site, which alone writes it."""

    async def keep(self, seen: Seen) -> None:
        """Not here."""

    async def set_aside(self) -> None:
        """Not here."""


def _understood(raw: bytes) -> Seen:
    """Raises ValueError, KeyError, TypeError: a revision that lost a digit must not pass for one."""
    said = json.loads(raw)
    if said["version"] != VERSION:
        raise ValueError(f"of another version, {said['version']!r}")
    if said["sha256"] != _sum(said["seen"]):
        raise ValueError("its sum does not fit")
    seen: Seen = adapter(Seen).validate_python(said["seen"])
    return seen


def _sum(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def seen_in(memory: Memory) -> Seen:
    """What is known at a start: nothing where nothing was ever kept, and no trust where it cannot be read."""
    try:
        return memory.read() or Seen()
    except SeenUnreadable as fault:
        return Seen(
            broken=Break(
                code=BreakCode.MEMORY_UNREADABLE,
                message=f"{fault}; whether the store is the one of before is not known",
            )
        )
