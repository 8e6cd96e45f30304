"""Write a run's events to its journal, and keep the picture that they add up to.

Order is everything here: an event is on disk before it is in the picture, and it is in the picture before
whoever noted it goes on. It decides nothing.
"""

import asyncio
from collections.abc import Callable

import structlog

from runbooks.journal import Event, Journal, Record
from runbooks.progress import Progress, apply

log = structlog.get_logger(__name__)

OnProgress = Callable[[Progress, Record], None]


class Recorder:
    """One run's journal and progress. `on_progress` is called after each record is on disk."""

    def __init__(self, journal: Journal, progress: Progress, on_progress: OnProgress | None) -> None:
        self._journal = journal
        self._on_progress = on_progress
        self._writing = asyncio.Lock()
        self.progress = progress

    async def note(self, event: Event) -> None:
        """Record an event: on disk and in the progress when this returns, or raises CancelledError.

        Raises JournalTrouble when it could not be recorded.
        """
        writing = asyncio.ensure_future(self._write(event))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # What may be on disk must be in the picture too, or the farewell would misname what is left.
            await asyncio.wait({writing})
            if not writing.cancelled() and (trouble := writing.exception()) is not None:
                log.error("record_lost", run=self.progress.plan.id, kind=event.event, error=str(trouble))
            raise

    async def _write(self, event: Event) -> None:
        async with self._writing:
            record = await self._journal.append(self.progress.plan.id, event)
            self.progress = apply(self.progress, record)
            progress = self.progress
        if self._on_progress is None:
            return
        try:
            self._on_progress(progress, record)
        except Exception:
            log.exception("on_progress_failed", run=progress.plan.id)
