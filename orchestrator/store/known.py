"""The store, as long as it is the one that we knew (P33).

Stands before any store, passes calls on, and holds every answer against what was known when its request was
sent (`continuity`). Once one does not fit, nothing gets through any more, in either direction: all calls and
watches end as those of a store that does not answer, with a code that says why. It stays so over restarts
until a person certifies who owns what. It decides nothing else.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import structlog

from orchestrator.clock import wall_text
from orchestrator.core.records import SERVICES
from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Snapshot,
    Store,
    StoreBehind,
    StoreOtherCluster,
    StoreUnreachable,
    TransactionResult,
    WatchEvent,
)
from orchestrator.store.continuity import (
    Acceptance,
    Answer,
    Break,
    BreakCode,
    Seen,
    StoreTrust,
    accepted,
    contradiction,
    expected,
    other_cluster,
    urgent,
    with_answer,
    with_epoch,
    with_items,
)
from orchestrator.store.seen_file import Memory, seen_in

log = structlog.get_logger(__name__)

KEEP_EVERY_SECONDS = 10.0
# How long our own change of ownership waits for the disk before it counts here; then it counts all the same.
KEPT_WITHIN_SECONDS = 0.5
AFTER_ACCEPTANCE = Break(code=BreakCode.RESTORED, message="it was accepted anew meanwhile; read again")
REMEDY = "look with `twinsite store status`, then certify who owns what with `twinsite store accept`"


class StoreDistrusted(StoreUnreachable):
    """The store is not the one we knew, so it counts as out of reach. `code`: a BreakCode."""

    def __init__(self, message: str, code: str = BreakCode.RESTORED) -> None:
        super().__init__(message)
        self.code = code


class KnownStore:
    """Keeps the Store protocol over `inner`. `on_break` is told once, when trust ends."""

    def __init__(
        self, inner: Store, memory: Memory, *, on_break: Callable[[Break], None] = lambda found: None
    ) -> None:
        """Reads what was kept. A start without any (the first one ever) adopts the store that answers."""
        self._inner = inner
        self._memory = memory
        self._on_break = on_break
        self._seen = seen_in(memory)
        self._kept = self._seen
        self._kept_at: float | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self.problem = ""
        if self._seen.broken is not None:
            self._ended.set()
            self._say(self._seen.broken)
        inner.pin(self._seen.cluster_id)

    # --- what is known ---------------------------------------------------------------------------------

    @property
    def seen(self) -> Seen:
        """Everything that is known of the store."""
        return self._seen

    @property
    def broken(self) -> Break | None:
        """Why it is not trusted; None while it is."""
        return self._seen.broken

    def heard(self, cluster_id: str, revision: int) -> None:
        """What another process of this site has seen of the store. Requests sent from now on must be answered
        from there on."""
        if self.broken is not None or not cluster_id:
            return
        if self._seen.cluster_id and cluster_id != self._seen.cluster_id:
            self._break(other_cluster(self._seen, cluster_id, revision), self._seen)
            return
        self._learn(with_answer(self._seen, Answer(cluster_id=cluster_id, revision=revision)))
        self._inner.pin(cluster_id)

    def saw_epoch(self, service: str, epoch: int) -> None:
        """Somebody (a record, a guard, a certificate) names this epoch."""
        self._learn(with_epoch(self._seen, service, epoch))

    def saw_incarnation(self, incarnation: int) -> None:
        """This site has gone by this incarnation, or a guard of it says so."""
        if incarnation > self._seen.incarnation:
            self._learn(replace(self._seen, incarnation=incarnation))

    def distrust(self, found: Break) -> None:
        """Another process of this site has found the store to be another one."""
        if self.broken is None:
            self._break(found, self._seen)

    # --- the store ---------------------------------------------------------------------------------------

    def pin(self, cluster_id: str) -> None:
        """As `Store.pin`; the cluster that is known is pinned without being asked."""
        self._inner.pin(cluster_id)

    async def read(self, prefix: str, *, timeout_seconds: float, exact: bool = False) -> Snapshot:
        """As `Store.read`. Raises StoreDistrusted."""
        known = self._asking()
        try:
            snapshot = await self._inner.read(prefix, timeout_seconds=timeout_seconds, exact=exact)
        except StoreOtherCluster as fault:
            raise self._break(other_cluster(known, fault.cluster_id), known) from fault
        found = {item.key for item in snapshot.items}
        missing = tuple(key for key in expected(known, prefix, exact=exact) if key not in found)
        self._take(
            known,
            Answer(
                cluster_id=snapshot.cluster_id,
                revision=snapshot.revision,
                items=snapshot.items,
                missing=missing,
            ),
        )
        return snapshot

    async def transact(
        self,
        compares: Sequence[Compare],
        puts: Sequence[Put],
        reads: Sequence[str],
        *,
        timeout_seconds: float,
    ) -> TransactionResult:
        """As `Store.transact`. Raises StoreDistrusted, also for an answer that shows it: what came of the
        transaction is then as unknown as after no answer at all."""
        known = self._asking()
        asked = tuple(reads)
        try:
            result = await self._inner.transact(compares, puts, asked, timeout_seconds=timeout_seconds)
        except StoreOtherCluster as fault:
            raise self._break(other_cluster(known, fault.cluster_id), known) from fault
        missing = tuple(key for key, item in zip(asked, result.reads, strict=True) if item is None)
        items = tuple(item for item in result.reads if item is not None)
        self._take(
            known,
            Answer(cluster_id=result.cluster_id, revision=result.revision, items=items, missing=missing),
        )
        if result.succeeded and puts:
            written = tuple(KeyValue(put.key, put.value, result.revision) for put in puts)
            self._learn(with_items(self._seen, written))
            if any(put.key.startswith(SERVICES) for put in puts):
                await self._until_kept()
        return result

    async def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[WatchEvent]:
        """As `Store.watch`. Raises StoreDistrusted, as soon as anybody here finds the store to be another."""
        known = self._asking()
        ended = asyncio.ensure_future(self._ended.wait())
        events = self._inner.watch(prefix, from_revision=from_revision)
        try:
            while True:
                coming = asyncio.ensure_future(anext(events))
                try:
                    await asyncio.wait((coming, ended), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not coming.done():
                        coming.cancel()
                        await asyncio.gather(coming, return_exceptions=True)
                if ended.done():
                    await asyncio.gather(coming, return_exceptions=True)
                    raise _distrusted(self.broken or AFTER_ACCEPTANCE)
                event = self._event(coming, known)
                self._learn(with_items(self._seen, (event.item,)))
                yield event
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
            with contextlib.suppress(AttributeError):
                await events.aclose()  # type: ignore[attr-defined]  # a generator, typed as its protocol

    def _event(self, coming: "asyncio.Future[WatchEvent]", known: Seen) -> WatchEvent:
        try:
            return coming.result()
        except StoreOtherCluster as fault:
            raise self._break(other_cluster(known, fault.cluster_id), known) from fault
        except StoreBehind as fault:
            found = contradiction(known, Answer(cluster_id="", revision=fault.revision))
            if found is None:
                raise  # it was to begin further on than this store was ever known to be
            raise self._break(found, known) from fault

    async def aclose(self) -> None:
        """Keeps what is known, and closes the store."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KEPT_WITHIN_SECONDS):
                await self._until_kept()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._inner.aclose()

    # --- while it is not trusted -------------------------------------------------------------------------

    async def look(self, prefix: str, *, timeout_seconds: float) -> Snapshot:
        """What a store that is not trusted says, to be shown to people and to be certified. Never acted upon.

        Raises StoreError, RuntimeError while the store is trusted.
        """
        if self.broken is None:
            raise RuntimeError("look is for a store that is not trusted")
        self._inner.pin(self.broken.cluster_id)
        try:
            return await self._inner.read(prefix, timeout_seconds=timeout_seconds)
        except StoreOtherCluster as fault:
            self._inner.pin(fault.cluster_id)
            return await self._inner.read(prefix, timeout_seconds=timeout_seconds)

    async def certify(
        self, compares: Sequence[Compare], puts: Sequence[Put], *, timeout_seconds: float
    ) -> TransactionResult:
        """The one write to a store that is not trusted: what a person certifies, before it is. Raises as
        `transact`, and RuntimeError while the store is trusted."""
        if self.broken is None:
            raise RuntimeError("certify is for a store that is not trusted")
        return await self._inner.transact(compares, puts, (), timeout_seconds=timeout_seconds)

    async def accept(self, acceptance: Acceptance, items: Sequence[KeyValue]) -> None:
        """Trust this store from now on, by a person's word. `items`: what was certified in it. Whoever has
        the former store's records in mind must forget them before anything else is done (P4, P5): it is
        trusted when this returns, and nothing else has run by then.

        Raises OSError when that could not be kept: then it is not trusted.
        """
        if self._keeping is not None:
            await asyncio.wait([self._keeping])
        if self._unreadable():
            await self._memory.set_aside()
        fresh = accepted(self._seen, acceptance, items)
        # As the write that is under way, so that no other one puts the doubt back onto the disk.
        self._keeping = asyncio.ensure_future(self._memory.keep(fresh))
        await self._keeping
        self._kept = fresh
        self._adopt(accepted(self._seen, acceptance, items))  # epochs may have been heard of meanwhile
        if urgent(fresh, self._seen):
            self._start_keeping()
        log.warning(
            "store-accepted",
            cluster_id=fresh.cluster_id,
            revision=fresh.revision,
            who=acceptance.who,
            reason=acceptance.reason,
        )

    def follow(self, trust: StoreTrust) -> None:
        """Go by the word of the process that keeps the file: its doubt, its certificate, its revision."""
        if trust.broken is not None:
            self.distrust(trust.broken)
        elif trust.certificate != self._seen.certificate:
            self._adopt(Seen(cluster_id=trust.cluster_id, revision=trust.revision, accepted=trust.accepted))
        else:
            self.heard(trust.cluster_id, trust.revision)

    # --- within ------------------------------------------------------------------------------------------

    def _adopt(self, seen: Seen) -> None:
        self._seen = seen
        self._ended = asyncio.Event()  # watches that wait for the former one still end
        self._inner.pin(seen.cluster_id)

    def _asking(self) -> Seen:
        """What is known at this moment, which is before anything is sent. Raises StoreDistrusted."""
        if self.broken is not None:
            raise _distrusted(self.broken)
        return self._seen

    def _take(self, known: Seen, answer: Answer) -> None:
        if self.broken is not None:  # found out meanwhile, by another answer
            raise _distrusted(self.broken)
        if self._is_of_the_former(known):
            raise _distrusted(AFTER_ACCEPTANCE)
        found = contradiction(known, answer)
        if found is not None:
            raise self._break(found, known)
        if not self._seen.cluster_id and answer.cluster_id:
            log.info("store-adopted", cluster_id=answer.cluster_id, revision=answer.revision)
        self._learn(with_answer(self._seen, answer))

    def _is_of_the_former(self, known: Seen) -> bool:
        """What was asked by whoever knew `known` was asked of a store that is no more: one was accepted
        since. Its answer says nothing, for or against this one."""
        return known.certificate != self._seen.certificate

    def _break(self, found: Break, known: Seen) -> StoreDistrusted:
        """Trust ends, for everything from now on. `known`: what the finding was held against."""
        if self.broken is not None:
            return _distrusted(self.broken)
        if self._is_of_the_former(known):
            return _distrusted(AFTER_ACCEPTANCE)
        found = replace(found, at=wall_text())
        self._learn(replace(self._seen, broken=found))
        self._ended.set()
        self._say(found)
        self._on_break(found)
        return _distrusted(found)

    def _say(self, found: Break) -> None:
        log.error(
            "store-not-trusted",
            code=found.code,
            problem=found.message,
            known_cluster_id=self._seen.cluster_id,
            known_revision=self._seen.revision,
            found_cluster_id=found.cluster_id,
            found_revision=found.revision,
            what_now="nothing is promoted, renewed or written until it is accepted; what is served goes on "
            "by the other site's promise or hold, or until its lease ends",
            what_to_do=REMEDY,
        )

    def _learn(self, seen: Seen) -> None:
        before, self._seen = self._seen, seen
        if seen is before:
            return
        if urgent(before, seen) or self._now() - (self._kept_at or 0.0) >= KEEP_EVERY_SECONDS:
            self._start_keeping()

    def _start_keeping(self) -> None:
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        """One write at a time; what changes meanwhile is in the next one."""
        while self._seen is not self._kept and not self._unreadable():
            seen = self._seen
            self._kept_at = self._now()
            try:
                await self._memory.keep(seen)
            except OSError as fault:
                problem = f"{fault.filename or 'the state directory'}: {fault.strerror or fault}"
                if problem != self.problem:
                    log.error("store-seen-not-written", problem=problem)
                self.problem = problem
                return
            self._kept, self.problem = seen, ""
            if not urgent(seen, self._seen):
                return

    def _unreadable(self) -> bool:
        """What made no sense is left as it is, to be looked at."""
        return self.broken is not None and self.broken.code == BreakCode.MEMORY_UNREADABLE

    async def _until_kept(self) -> None:
        """Wait for the disk, but not for long: one that is full or hangs must not stop a keeper."""
        if self._seen is self._kept:
            return
        self._start_keeping()
        assert self._keeping is not None
        await asyncio.wait([self._keeping], timeout=KEPT_WITHIN_SECONDS)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _distrusted(found: Break) -> StoreDistrusted:
    return StoreDistrusted(f"{found.code}: {found.message}; {REMEDY}", found.code)
