"""The store in memory: several clients of one table, in one event loop, with faults on demand.

For simulation and tests. It has no clock and no randomness of its own: the time that passes is what the
given `sleep` makes of it, and what befalls a call is what the given faults decide.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Snapshot,
    StoreError,
    StoreMisuse,
    StoreOtherCluster,
    StoreUnreachable,
    TransactionResult,
    WatchEvent,
)
from orchestrator.store.rules import check_transaction, check_watch
from orchestrator.store.table import Table

R = TypeVar("R")
Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one client, numbered from 1 within that client: what faults are decided on."""

    client: str
    number: int
    kind: str  # "read" or "transact"
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fate:
    """What befalls a call. A request slower than the call's time-out still arrives, and commits. `twice`: it
    was sent to a second member too, and the answer is that of the later of the two."""

    request_delay_seconds: float = 0.0
    reply_delay_seconds: float = 0.0
    request_lost: bool = False
    reply_lost: bool = False
    twice: bool = False


class Faults(Protocol):
    """The one seam by which faults come in."""

    def call(self, call: Call) -> Fate:
        """What befalls this call."""
        ...

    def watch_delay_seconds(self, client: str, item: KeyValue) -> float:
        """How long this write takes to reach this client's watch; later ones never overtake it."""
        ...


class NoFaults:
    """Everything arrives at once."""

    def call(self, call: Call) -> Fate:
        """Nothing befalls it."""
        return Fate()

    def watch_delay_seconds(self, client: str, item: KeyValue) -> float:
        """No delay."""
        return 0.0


class MemoryCluster:
    """The shared state behind the clients. `cut` and `heal` take a client from the network and back."""

    def __init__(
        self, *, faults: Faults | None = None, sleep: Sleep = asyncio.sleep, table: Table | None = None
    ) -> None:
        self.table = table or Table()
        self.faults: Faults = faults or NoFaults()
        self.sleep = sleep
        self._reachable: dict[str, asyncio.Event] = {}
        self._feeds: list[_Feed] = []
        self._deliveries: set[asyncio.Task[object]] = set()

    def client(self, name: str) -> "MemoryStore":
        """A handle for one client, by name."""
        return MemoryStore(self, name)

    def cut(self, client: str) -> None:
        """From now on the client's calls go unanswered and its watches hear nothing."""
        self.link(client).clear()

    def heal(self, client: str) -> None:
        """The client is reachable again; its watches catch up."""
        self.link(client).set()

    def link(self, client: str) -> asyncio.Event:
        """Set while the client is reachable."""
        if client not in self._reachable:
            self._reachable[client] = asyncio.Event()
            self._reachable[client].set()
        return self._reachable[client]

    def restore(self, table: Table) -> None:
        """From now on the store is that one: a backup of it, or another store altogether. Watches begin again
        where they had come to, as those of a client whose connections broke."""
        self.table = table
        for feed in list(self._feeds):
            feed.begin_again()

    def deliver(self, delay_seconds: float, apply: Callable[[], R]) -> "asyncio.Task[R]":
        """Applies a request when it arrives, whether or not its sender still waits."""

        async def arrive() -> R:
            await self.sleep(delay_seconds)
            return self.apply(apply)

        task = asyncio.create_task(arrive())
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)
        return task

    def apply(self, apply: Callable[[], R]) -> R:
        """Applies a change to the table and tells the watches of every write in it."""
        before = self.table.revision
        result = apply()
        if self.table.revision > before:
            for feed in self._feeds:
                feed.extend(self.table.since(feed.prefix, before + 1))
        return result

    def open_feed(self, client: str, prefix: str, from_revision: int) -> "_Feed":
        """A watch's own line of writes, history first."""
        feed = _Feed(self, client, prefix, from_revision)
        feed.extend(self.table.since(prefix, from_revision))
        self._feeds.append(feed)
        return feed

    def close_feed(self, feed: "_Feed") -> None:
        """Takes a watch out."""
        if feed in self._feeds:
            self._feeds.remove(feed)
        feed.close()

    async def aclose(self) -> None:
        """Ends every request still under way."""
        pending = list(self._deliveries)
        for feed in list(self._feeds):
            self.close_feed(feed)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


class _Feed:
    """The writes on their way to one watch, each with the task that waits out its delay."""

    def __init__(self, cluster: MemoryCluster, client: str, prefix: str, from_revision: int) -> None:
        self.prefix = prefix
        self._next_revision = from_revision
        self._broken: StoreError | None = None
        self._cluster = cluster
        self._client = client
        # As long as the history behind the watch's reader, which is the bound the table sets.
        self._coming: deque[tuple[KeyValue, asyncio.Future[object] | None]] = deque()
        self._filled = asyncio.Event()
        self._closed = False

    def extend(self, items: Sequence[KeyValue]) -> None:
        for item in items:
            delay_seconds = self._cluster.faults.watch_delay_seconds(self._client, item)
            wait = asyncio.ensure_future(self._cluster.sleep(delay_seconds)) if delay_seconds > 0 else None
            self._coming.append((item, wait))
        if items:
            self._filled.set()

    def begin_again(self) -> None:
        """What the store as it is now would tell a watch that has come so far."""
        self._drop()
        try:
            self.extend(self._cluster.table.since(self.prefix, self._next_revision))
        except StoreError as error:
            self._broken = error
        self._filled.set()

    async def next(self) -> KeyValue:
        """The next write, once it has arrived and the client is reachable."""
        while True:
            while not self._coming and not self._closed and self._broken is None:
                self._filled.clear()
                await self._filled.wait()
            if self._closed:
                raise StoreUnreachable(
                    f"{self._client}: the store was closed under its watch of {self.prefix!r}"
                )
            await self._cluster.link(self._client).wait()
            if self._broken is not None:
                raise self._broken
            first = self._coming[0]
            if first[1] is not None:
                await asyncio.wait([first[1]])
            await self._cluster.link(self._client).wait()
            if self._coming and self._coming[0] is first:  # else it was closed, or began again, meanwhile
                self._coming.popleft()
                self._next_revision = first[0].mod_revision + 1
                return first[0]

    def close(self) -> None:
        self._closed = True
        self._filled.set()
        self._drop()

    def _drop(self) -> None:
        for _, wait in self._coming:
            if wait is not None:
                wait.cancel()
        self._coming.clear()


def _both(apply: Callable[[], R]) -> R:
    apply()
    return apply()


class MemoryStore:
    """One client's handle; keeps the Store protocol."""

    def __init__(self, cluster: MemoryCluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._calls = 0
        self._feeds: list[_Feed] = []
        self._closed = False
        self._pinned = ""

    def pin(self, cluster_id: str) -> None:
        """As `Store.pin`."""
        self._pinned = cluster_id

    async def read(self, prefix: str, *, timeout_seconds: float, exact: bool = False) -> Snapshot:
        """As `Store.read`."""
        snapshot = await self._call(
            "read",
            (prefix,),
            lambda: self._cluster.table.read(prefix, exact=exact),
            timeout_seconds=timeout_seconds,
        )
        self._check_cluster(snapshot.cluster_id)
        return snapshot

    async def transact(
        self,
        compares: Sequence[Compare],
        puts: Sequence[Put],
        reads: Sequence[str],
        *,
        timeout_seconds: float,
    ) -> TransactionResult:
        """As `Store.transact`."""
        check_transaction(compares, puts, reads)
        keys = tuple(put.key for put in puts)
        # Copies: the request may arrive long after the caller has changed its lists.
        asked = (tuple(compares), tuple(puts), tuple(reads))
        result = await self._call(
            "transact",
            keys,
            lambda: self._cluster.table.transact(*asked),
            timeout_seconds=timeout_seconds,
        )
        self._check_cluster(result.cluster_id)
        return result

    async def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[WatchEvent]:
        """As `Store.watch`."""
        self._check_open()
        check_watch(from_revision)
        await self._cluster.link(self.name).wait()
        feed = self._cluster.open_feed(self.name, prefix, from_revision)
        self._feeds.append(feed)
        try:
            while True:
                yield WatchEvent(await feed.next())
        finally:
            self._feeds.remove(feed)
            self._cluster.close_feed(feed)

    async def aclose(self) -> None:
        """Ends this client's watches; the table and requests under way live on."""
        self._closed = True
        for feed in list(self._feeds):
            self._cluster.close_feed(feed)

    async def _call(
        self, kind: str, keys: tuple[str, ...], apply: Callable[[], R], *, timeout_seconds: float
    ) -> R:
        self._check_open()
        self._calls += 1
        call = Call(self.name, self._calls, kind, keys)
        fate = self._cluster.faults.call(call)
        cut = not self._cluster.link(self.name).is_set()
        delivery = None
        if not (fate.request_lost or cut):
            delivery = self._cluster.deliver(
                fate.request_delay_seconds, partial(_both, apply) if fate.twice else apply
            )
        late = fate.request_delay_seconds + fate.reply_delay_seconds > timeout_seconds
        if delivery is None or fate.reply_lost or late:
            await self._cluster.sleep(timeout_seconds)
            raise StoreUnreachable(
                f"{self.name}: {kind} {', '.join(keys)}: no answer in {timeout_seconds:g} s"
            )
        result = await asyncio.shield(delivery)
        await self._cluster.sleep(fate.reply_delay_seconds)
        if not self._cluster.link(self.name).is_set():  # cut while the reply was on its way
            raise StoreUnreachable(f"{self.name}: {kind} {', '.join(keys)}: the reply was lost")
        return result

    def _check_cluster(self, cluster_id: str) -> None:
        self._pinned = self._pinned or cluster_id
        if cluster_id != self._pinned:
            raise StoreOtherCluster(
                f"{self.name}: the store is cluster {cluster_id}, not {self._pinned} as before", cluster_id
            )

    def _check_open(self) -> None:
        if self._closed:
            raise StoreMisuse(f"{self.name}: this store client was closed; open a new one")
