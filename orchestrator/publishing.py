"""Keep `runs/<id>` in step with a run under way, and take from it what the other site orders.

Late or refused writes never hold the run up: what was not written is written with the next try. Only the
executor writes here, apart from orders (`asks`) that the other site puts in by compare-and-set; so every
write begins from what stands there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from orchestrator.clock import wall_text
from orchestrator.core.records import (
    RUNS,
    RecordUnreadable,
    RunAnswer,
    RunOrder,
    RunRecord,
    decode,
    encode,
)
from orchestrator.local_run import shown
from orchestrator.store.base import Compare, Put, Store, StoreError, stands_at
from runbooks.progress import Progress

log = structlog.get_logger(__name__)

WRITE_SECONDS = 5.0
AGAIN_SECONDS = 0.3
ANSWERS_KEPT = 20

Follow = Callable[[RunOrder], Awaitable[RunAnswer]]


class Publisher:
    """Writes one run's record as the run goes on. `follow` has the run follow an order from the other site;
    `on_adopted` is called when another executor has taken the run over (P26)."""

    def __init__(
        self,
        store: Store,
        record: RunRecord,
        *,
        follow: Follow,
        on_adopted: Callable[[RunRecord], None],
    ) -> None:
        self._store = store
        self._record = record
        self._follow = follow
        self._on_adopted = on_adopted
        self._changed = asyncio.Event()
        self._revision: int | None = None
        self._ended = False
        self._adopted = False
        # Orders that were put to a controller that was not there are not followed behind their giver's back.
        self._stale = frozenset(ask.ask_id for ask in record.asks)

    def update(self, progress: Progress) -> None:
        """Take a new state in."""
        self._record = shown(self._record, progress)
        self._changed.set()

    def restate(self, statement: str, loss_bound_seconds: float | None) -> None:
        """Something else may be lost than was said when the run was ordered."""
        self._record = replace(self._record, statement=statement, loss_bound_seconds=loss_bound_seconds)
        self._changed.set()

    def report(self, lines: tuple[str, ...]) -> None:
        """What the run found out; written with its end."""
        self._record = replace(self._record, report=lines)

    def leave(self, lines: tuple[str, ...]) -> None:
        """What it leaves; written with its end."""
        self._record = replace(self._record, left=lines)

    def outage(self, seconds: float | None) -> None:
        """How long the service was not to be used; written with the run's end."""
        self._record = replace(self._record, outage_seconds=seconds)

    def look(self) -> None:
        """The record in the store has changed: see whether there is something for us."""
        self._revision = None
        self._changed.set()

    async def run(self, *, create: bool) -> None:
        """Write whatever changed until `finish`; several changes may go in one write."""
        if create:
            self._revision = 0
            self._changed.set()
        while not self._ended:
            await self._changed.wait()
            self._changed.clear()
            if not await self._write():
                await asyncio.sleep(AGAIN_SECONDS)
                self._changed.set()
                continue
            await self._answer()

    async def _write(self) -> bool:
        """Whether what there is to say stands in the store, or needs not stand there."""
        key = RUNS + self._record.run
        try:
            if self._revision is None and not await self._read(key):
                return True
            put = Put(key, encode(self._record))
            compares = [Compare(key, self._revision or 0)]
            result = await self._store.transact(compares, [put], [key], timeout_seconds=WRITE_SECONDS)
            self._revision = stands_at(result, put)
        except (StoreError, RecordUnreadable) as fault:
            self._revision = None
            log.debug("run-not-published", run=self._record.run, problem=str(fault))
        return self._revision is not None

    async def _read(self, key: str) -> bool:
        """Take in what stands there. False when there is nothing for us to write. Raises StoreError."""
        snapshot = await self._store.read(key, exact=True, timeout_seconds=WRITE_SECONDS)
        found = snapshot.get(key)
        if found is None:
            return False  # the ownership transaction that creates it has not been yet
        there = decode(RunRecord, found.value)
        if there.executor > self._record.executor:
            # Adopted by another executor (P26): it is no longer ours to write.
            if not self._adopted:
                self._adopted = True
                self._on_adopted(there)
            return False
        answered = {answer.ask_id for answer in self._record.answers}
        self._record = replace(
            self._record, asks=tuple(ask for ask in there.asks if ask.ask_id not in answered)
        )
        self._revision = found.mod_revision
        return True

    async def _answer(self) -> None:
        """Follow what the other site has ordered, in the order in which it stands there, each once."""
        if not self._record.asks:
            return
        answers = list(self._record.answers)
        for ask in self._record.asks:
            if ask.ask_id in self._stale:
                words = f"it was put in at {ask.at}, before this controller was there"
                answers.append(RunAnswer(ask_id=ask.ask_id, code="order-too-late", message=words))
            else:
                answers.append(await self._follow(ask))
        self._record = replace(self._record, asks=(), answers=tuple(answers[-ANSWERS_KEPT:]))
        self._changed.set()

    async def finish(self, state: str, summary: str, background: "asyncio.Task[None]") -> None:
        """Write the end, and end."""
        self._ended = True
        background.cancel()
        await asyncio.gather(background, return_exceptions=True)
        self._record = replace(self._record, state=state, outcome=summary, ended=wall_text(), waits=())
        for _ in range(3):
            self._revision = None
            if await self._write():
                return
