"""Who owned what, as this site last knew it from the store: for the hour when the store cannot be asked.

Kept on disk, so that it outlives the controller too. It gives no right; it says from which epoch on a
certificate must count (P31), and what to show to a person who decides. A disk that takes nothing is told of
and stops nothing.
"""

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from orchestrator.clock import wall_text, wall_unix_seconds
from orchestrator.core.keeper_view import KeeperView

log = structlog.get_logger(__name__)

WRITE_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Known:
    """One service: as the store said at `at` (time of day, for people)."""

    service: str
    primary: str | None
    previous: str | None
    epoch: int
    mode: str
    at: str


class LastKnown:
    """What is known of every service, and its file. `path` None: kept in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Known] = _read(path) if path is not None else {}
        self._written: dict[str, Known] = dict(self._known)
        self._written_at = 0.0
        self._writing: asyncio.Task[None] | None = None

    def of(self, service: str) -> Known | None:
        """What was last known of it."""
        return self._known.get(service)

    def take(self, keeper: KeeperView | None) -> None:
        """Take in what the keeper knows now; written in the background when it is news."""
        answers = keeper is not None and not keeper.store_problem
        for held in keeper.services if keeper is not None and answers else ():
            record = held.record
            if not held.known or record is None:
                continue
            self._known[held.service] = Known(
                service=held.service,
                primary=record.primary,
                previous=record.previous,
                epoch=record.epoch,
                mode=str(record.mode),
                at=wall_text(),
            )
        if self._path is not None and self._due() and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write(self._path, dict(self._known)))

    def highest_epoch(self, service: str, keeper: KeeperView | None) -> int:
        """The highest epoch heard of here: from the store, this file, a certificate, the guard."""
        known = self._known.get(service)
        held = keeper.service(service) if keeper is not None else None
        found = [known.epoch if known is not None else 0]
        if held is not None:
            found += [held.record.epoch if held.record is not None else 0]
            found += [held.guard.epoch if held.guard is not None else 0]
        found += [
            glass.epoch for glass in (keeper.glass if keeper is not None else ()) if glass.service == service
        ]
        return max(found)

    def _due(self) -> bool:
        news = {name: replace(each, at="") for name, each in self._known.items()}
        told = {name: replace(each, at="") for name, each in self._written.items()}
        return news != told or (
            self._known != self._written and abs(wall_unix_seconds() - self._written_at) > WRITE_EVERY_SECONDS
        )

    async def _write(self, path: Path, known: dict[str, Known]) -> None:
        self._written, self._written_at = known, wall_unix_seconds()
        try:
            await asyncio.to_thread(_replace, path, known)
        except OSError as fault:
            log.error("last-known-not-written", path=str(path), problem=str(fault))


def _replace(path: Path, known: dict[str, Known]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({name: asdict(each) for name, each in known.items()}), encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(path)


def _read(path: Path) -> dict[str, Known]:
    """Nothing from a file that is not there or not ours: it gives no right, and a higher epoch than it
    says is looked for elsewhere too."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {name: Known(**each) for name, each in said.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as fault:
        log.warning("last-known-unreadable", path=str(path), problem=str(fault))
        return {}
