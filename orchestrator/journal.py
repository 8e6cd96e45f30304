"""The journal on disk: every step of every run before it is carried out, and every decision with its reason.

SQLite with a write-ahead log and `synchronous=FULL`: one fsync makes a record durable (a rollback journal
needs three or four), readers never hold the writer up, and a write torn by a crash is told by its checksum
and left out. All calls go through one thread, so the order of the calls is the order on disk, and the event
loop never waits for it.

When the disk is full the record of an intent is refused, so nothing is started whose end could not be
recorded; the ends of what was under way find room in the reserve. It decides nothing.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from orchestrator.chain import links
from orchestrator.clock import boottime_ns, wall_unix_seconds
from orchestrator.journal_file import Reserve, WriterLock, errors_named, opened
from orchestrator.journal_tables import EVENTS_KEPT, RUNS_KEPT, Counted, JournalEvent, Tables
from runbooks.errors import JournalFull, JournalTrouble
from runbooks.journal import INTENTS, Event, Record, RunSummary

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 30.0
EVENT_LIMIT_BYTES = 256 * 1024
READ_LIMIT = 10_000

T = TypeVar("T")


class SqliteJournal:
    """A `runbooks.journal.Journal` in a file, and the stream of decisions beside it."""

    def __init__(self, path: Path, thread: ThreadPoolExecutor) -> None:
        """Use `open`."""
        self.path = path
        self._thread = thread
        self._reserve = Reserve(path)
        self._close: Callable[[], None] = lambda: None
        self._tables: Tables

    @classmethod
    async def open(cls, path: Path, *, runs_kept: int = RUNS_KEPT, events_kept: int = EVENTS_KEPT) -> Self:
        """The journal at `path`, made if there is none.

        Raises JournalDamaged, JournalNewer, JournalFull or JournalTrouble, each with what to do.
        """
        journal = cls(path, ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal"))

        def start() -> None:
            with errors_named(path):
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = WriterLock(path)
            try:
                journal._reserve.hold()
                connection = opened(path)
            except BaseException:
                lock.release()
                raise
            journal._tables = Tables(connection, path, runs_kept=runs_kept, events_kept=events_kept)

            def close() -> None:
                connection.close()
                lock.release()

            journal._close = close

        try:
            await journal._in_thread(start)
        except BaseException:
            journal._thread.shutdown(wait=False)
            raise
        return journal

    async def aclose(self) -> None:
        """Write the log back into the file and close it."""
        try:
            await self._in_thread(self._close)
        finally:
            self._thread.shutdown(wait=False)

    # -- runs ---------------------------------------------------------------------------------------

    async def append(self, run_id: str, event: Event) -> Record:
        """See Journal."""

        def write() -> Record:
            return self._tables.append(run_id, event, wall_unix_seconds(), boottime_ns())

        return await self._in_thread(lambda: self._written(write, intent=isinstance(event, INTENTS)))

    async def read(self, run_id: str) -> Sequence[Record]:
        """See Journal."""
        return await self._in_thread(lambda: self._tables.read(run_id))

    async def chain(self, run_id: str) -> tuple[str, ...]:
        """The links of a run's chain, one for each record; none for a run that is not known. See `chain`."""
        return await self._in_thread(lambda: links(run_id, self._tables.raw(run_id)))

    async def runs(self, limit: int) -> Sequence[RunSummary]:
        """See Journal."""
        return await self._in_thread(lambda: self._tables.runs(min(limit, READ_LIMIT)))

    # -- the stream of decisions --------------------------------------------------------------------

    async def append_event(self, kind: str, service: str, data: Mapping[str, Any]) -> JournalEvent:
        """Record a decision or what led to it, durably. `data` must be plain JSON.

        Raises JournalFull, JournalTrouble, and ValueError for data above EVENT_LIMIT_BYTES.
        """
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        if len(text.encode()) > EVENT_LIMIT_BYTES:
            raise ValueError(f"an event of {len(text)} characters; at most {EVENT_LIMIT_BYTES} bytes")

        def write() -> JournalEvent:
            return self._tables.append_event(kind, service, text, wall_unix_seconds(), boottime_ns())

        return await self._in_thread(lambda: self._written(write, intent=True))

    async def events(
        self,
        limit: int = 100,
        *,
        service: str | None = None,
        kind: str | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> Sequence[JournalEvent]:
        """The latest entries, newest first; with `after` (a number) those that follow it, in order."""
        most = min(limit, READ_LIMIT)
        return await self._in_thread(
            lambda: self._tables.events(most, service=service, kind=kind, after=after, before=before)
        )

    # -- what is counted ----------------------------------------------------------------------------

    async def add_counts(self, counted: Sequence[Counted]) -> None:
        """Add to what was counted so far, durably. Raises JournalFull, JournalTrouble."""
        await self._in_thread(lambda: self._written(lambda: self._tables.add_counts(counted), intent=True))

    async def counts(self) -> Sequence[Counted]:
        """Everything that was counted so far, by every controller that wrote this journal."""
        return await self._in_thread(self._tables.counts)

    # -- in the thread ------------------------------------------------------------------------------

    def _written(self, write: Callable[[], T], *, intent: bool) -> T:
        """Write; an intent only while the reserve is whole, an end with its help if need be."""
        if intent:
            self._reserve.hold()
        try:
            with errors_named(self.path):
                return write()
        except JournalFull:
            if intent or not self._reserve.give_up():
                raise
            log.error("journal_reserve_given_up", path=str(self.path))
        with errors_named(self.path):
            return write()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def named() -> T:
            with errors_named(self.path):
                return work()

        try:
            future = asyncio.get_running_loop().run_in_executor(self._thread, named)
        except RuntimeError as error:
            raise JournalTrouble(f"{self.path}: closed already") from error
        # Not cancelled with its waiter: what was handed in is written. Its error is then nobody's.
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise JournalTrouble(
                f"{self.path}: the disk has not answered for {ANSWER_SECONDS:g} s; check it"
            ) from error
