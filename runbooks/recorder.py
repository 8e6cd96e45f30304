"""Write a run's events to its journal, and keep the picture that they add up to.

Order is everything here: an event is on disk before it is in the picture, and it is in the picture before
whoever noted it goes on. It decides nothing.
"""

import asyncio
from collections.abc import Callable

import structlog

from runbooks.journal import Event, Journal, Record, RunSteered
from runbooks.progress import Progress, apply

log = structlog.get_logger(__name__)

OnProgress = Callable[[Progress, Record], None]
Make = Callable[[Progress], Event | None]


class Recorder:
    """One run's journal and progress. `on_progress` is called after each record is on disk, `on_order` after
    each order that was accepted."""

    def __init__(self, journal: Journal, progress: Progress, on_progress: OnProgress | None) -> None:
        self._journal = journal
        self._on_progress = on_progress
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self.on_order: Callable[[], None] = lambda: None
        self.progress = progress

    async def note(self, event: Event) -> None:
        """Record an event: on disk and in the progress when this returns, or raises CancelledError.

        Raises JournalTrouble when it could not be recorded.
        """
        await self.note_if(lambda progress: event)

    async def note_if(self, make: Make) -> bool:
        """Record what `make` makes of the progress at the moment of writing; False when that is nothing.

        Between its look and the record nothing else is recorded, so that of two events that exclude each
        other one alone is. Raises as `note` does, and what `make` raises.
        """
        writing = asyncio.ensure_future(self._write(make))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            # What may be on disk must be in the picture too, or the farewell would misname what is left.
            await asyncio.wait({writing})
            if not writing.cancelled() and (trouble := writing.exception()) is not None:
                log.error("record_lost", run=self.progress.plan.id, error=str(trouble))
            raise

    async def until(self, fits: Callable[[Progress], bool]) -> Progress:
        """Wait until the progress fits, and return it. The caller has the deadline."""
        while not fits(self.progress):
            await self._changed.wait()
        return self.progress

    async def _write(self, make: Make) -> bool:
        async with self._writing:
            event = make(self.progress)
            if event is None:
                return False
            record = await self._journal.append(self.progress.plan.id, event)
            self.progress = apply(self.progress, record)
            progress = self.progress
        self._changed.set()
        self._changed = asyncio.Event()
        if isinstance(event, RunSteered):
            self.on_order()
        if self._on_progress is not None:
            try:
                self._on_progress(progress, record)
            except Exception:
                log.exception("on_progress_failed", run=progress.plan.id)
        return True
