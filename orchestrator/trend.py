"""What a controller knows of past runs: their figures in memory and on disk, and how long each step takes.

Told of every run that has ended, wherever it was carried out. Nothing waits for its disk: what cannot be
written is known until the controller ends, and said in the log.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from orchestrator.clock import wall_unix_seconds
from orchestrator.figures import Figures
from orchestrator.history_file import HistoryFile, Month
from runbooks.errors import RunbooksError
from runbooks.timing import DURATIONS_KEPT, Past, past_of

log = structlog.get_logger(__name__)

KEPT_IN_MEMORY = 1000
COMPACT_EVERY_SECONDS = 86_400.0
AGAIN_SECONDS = 30.0

T = TypeVar("T")


class Trend:
    """One controller's."""

    def __init__(self) -> None:
        """In memory alone; see `open`. `version` grows with each thing that becomes known."""
        self._figures: dict[str, Figures] = {}
        self._past: dict[str, Mapping[str, Past]] = {}
        self._waiting: dict[str, Figures] = {}
        self._changed = asyncio.Event()
        self.version = 0
        self._file: HistoryFile | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self.problem = ""

    async def open(self, path: Path) -> None:
        """Use the file at `path` from now on; one that cannot be used is told of, and done without."""

        def start() -> tuple[HistoryFile, tuple[Figures, ...]]:
            file = HistoryFile(path)
            file.compact(wall_unix_seconds())
            return file, file.runs(KEPT_IN_MEMORY)

        try:
            self._file, kept = await self._in_thread(start)
        except RunbooksError as fault:
            self._trouble(fault)
            return
        self._figures = {one.run: one for one in kept} | self._figures
        self._past.clear()
        self.version += 1

    async def aclose(self) -> None:
        """Write what waits, and close the file."""
        try:
            await self._write()
            if self._file is not None:
                await self._in_thread(self._file.close)
        finally:
            self._thread.shutdown(wait=False)

    # --- what is told -------------------------------------------------------------------------------

    def take(self, figures: Figures) -> None:
        """A run has ended, or more is known of one that has."""
        known = self._figures.get(figures.run)
        if known == figures or (known is None and self._is_old(figures)):
            return
        self._figures[figures.run] = figures
        if len(self._figures) > KEPT_IN_MEMORY:
            del self._figures[min(self._figures.values(), key=lambda one: one.ended_unix_seconds).run]
        self._past.pop(figures.service, None)
        self._waiting[figures.run] = figures
        self.version += 1
        self._changed.set()

    def _is_old(self, figures: Figures) -> bool:
        """Older than all that is in memory, which is full: the file has it, or has let it go."""
        if len(self._figures) < KEPT_IN_MEMORY:
            return False
        return figures.ended_unix_seconds < min(one.ended_unix_seconds for one in self._figures.values())

    async def run(self) -> None:
        """Keep the file in step, until cancelled; what did not go is tried again."""
        while True:
            try:
                async with asyncio.timeout(COMPACT_EVERY_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                await self._compact()
                continue
            self._changed.clear()
            if not await self._write():
                await asyncio.sleep(AGAIN_SECONDS)
                self._changed.set()

    async def _write(self) -> bool:
        file, waiting = self._file, dict(self._waiting)
        if file is None or not waiting:
            return True
        try:
            await self._in_thread(lambda: file.take(tuple(waiting.values())))
        except RunbooksError as fault:
            self._trouble(fault)
            return False
        self.problem = ""
        for run, figures in waiting.items():
            if self._waiting.get(run) is figures:
                del self._waiting[run]
        return True

    async def _compact(self) -> None:
        file = self._file
        if file is None:
            return
        try:
            await self._in_thread(lambda: file.compact(wall_unix_seconds()))
        except RunbooksError as fault:
            self._trouble(fault)

    def _trouble(self, fault: RunbooksError) -> None:
        self.problem = str(fault)
        log.error("history-not-kept", problem=str(fault))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- what is asked ------------------------------------------------------------------------------

    @property
    def figures(self) -> Iterable[Figures]:
        """The latest of every service, in no order."""
        return self._figures.values()

    def of(self, run: str) -> Figures | None:
        """One run's."""
        return self._figures.get(run)

    def past(self, service: str) -> Mapping[str, Past]:
        """How long each of the service's steps took before, by its id: of each the latest few."""
        if service not in self._past:
            durations: dict[str, list[float]] = {}
            for one in self._newest_first(service):
                for step, seconds in one.steps.items():
                    found = durations.setdefault(step, [])
                    if len(found) < DURATIONS_KEPT:
                        found.append(seconds)
            pasts = {step: past_of(found) for step, found in durations.items()}
            self._past[service] = {step: past for step, past in pasts.items() if past is not None}
        return self._past[service]

    def _newest_first(self, service: str) -> list[Figures]:
        found = [one for one in self._figures.values() if one.service == service]
        return sorted(found, key=lambda one: one.ended_unix_seconds, reverse=True)

    def before(self, figures: Figures) -> Figures | None:
        """The run of the same kind before this one, the same way if there is one."""
        same = [
            one
            for one in self._newest_first(figures.service)
            if one.kind == figures.kind
            and one.state == "done"
            and one.ended_unix_seconds < figures.ended_unix_seconds
            and one.run != figures.run
        ]
        return max(
            same,
            key=lambda one: (one.to_site == figures.to_site, one.ended_unix_seconds),
            default=None,
        )

    async def runs(
        self, limit: int, *, service: str | None, since_unix_seconds: float
    ) -> tuple[Figures, ...]:
        """The latest that fit, newest first: from the file, or from memory without it. Raises
        JournalTrouble."""
        await self._write()
        file = self._file
        if file is not None:
            return await self._in_thread(
                lambda: file.runs(limit, service=service, since_unix_seconds=since_unix_seconds)
            )
        fitting = [
            one
            for one in self._figures.values()
            if service in (None, one.service) and one.ended_unix_seconds >= since_unix_seconds
        ]
        return tuple(sorted(fitting, key=lambda one: one.ended_unix_seconds, reverse=True)[:limit])

    async def months(self, *, service: str | None) -> tuple[Month, ...]:
        """Every month that is known; none without a file. Raises JournalTrouble."""
        await self._write()
        file = self._file
        return await self._in_thread(lambda: file.months(service=service)) if file is not None else ()
