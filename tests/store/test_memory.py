"""The in-memory store's faults, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from orchestrator.store.base import Compare, KeyValue, Put, StoreUnreachable, WatchEvent
from orchestrator.store.memory import Call, Fate, MemoryCluster
from tests.support.virtual_time import now_seconds, run

ONCE = ([Compare("sites/durham", 0)], [Put("sites/durham", b"beat 1")], ["sites/durham"])


@dataclass
class Planned:
    """Fates by client and number of the call; delays of watches by client."""

    fates: dict[tuple[str, int], Fate] = field(default_factory=dict)
    delays: dict[bytes, float] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def call(self, call: Call) -> Fate:
        self.calls.append(call)
        return self.fates.get((call.client, call.number), Fate())

    def watch_delay_seconds(self, client: str, item: KeyValue) -> float:
        return self.delays.get(item.value, 0.0)


def test_calls_take_the_time_they_are_given() -> None:
    async def story() -> None:
        cluster = MemoryCluster(faults=Planned({("x", 1): Fate(0.2, 0.3)}))
        result = await cluster.client("x").transact(*ONCE, timeout_seconds=1)
        assert result.succeeded
        assert now_seconds() == 0.5

    run(story)


@pytest.mark.parametrize(
    ("fate", "committed"),
    [(Fate(request_lost=True), False), (Fate(reply_lost=True), True), (Fate(0.4, 0.7), True)],
    ids=["request lost", "reply lost", "reply late"],
)
def test_without_an_answer_in_time_the_outcome_is_unknown(fate: Fate, committed: bool) -> None:
    async def story() -> None:
        cluster = MemoryCluster(faults=Planned({("x", 1): fate}))
        with pytest.raises(StoreUnreachable, match="no answer in 1 s"):
            await cluster.client("x").transact(*ONCE, timeout_seconds=1)
        assert now_seconds() == 1
        snapshot = await cluster.client("y").read("sites/", timeout_seconds=1)
        assert bool(snapshot.items) == committed

    run(story)


def test_a_request_may_commit_long_after_its_sender_gave_up() -> None:
    async def story() -> None:
        cluster = MemoryCluster(faults=Planned({("x", 1): Fate(request_delay_seconds=60)}))
        with pytest.raises(StoreUnreachable):
            await cluster.client("x").transact(*ONCE, timeout_seconds=1)
        other = cluster.client("y")
        assert (await other.read("sites/", timeout_seconds=1)).items == ()
        await asyncio.sleep(60)
        assert len((await other.read("sites/", timeout_seconds=1)).items) == 1

    run(story)


def test_a_late_request_is_refused_when_its_compare_no_longer_holds() -> None:
    async def story() -> None:
        cluster = MemoryCluster(faults=Planned({("x", 1): Fate(request_delay_seconds=60)}))
        with pytest.raises(StoreUnreachable):
            await cluster.client("x").transact(*ONCE, timeout_seconds=1)
        taken = [Put("sites/durham", b"revoked")]
        assert (await cluster.client("y").transact(ONCE[0], taken, [], timeout_seconds=1)).succeeded
        await asyncio.sleep(60)
        items = (await cluster.client("y").read("sites/", timeout_seconds=1)).items
        assert [item.value for item in items] == [b"revoked"]

    run(story)


def test_a_request_lives_on_when_its_caller_is_cancelled() -> None:
    async def story() -> None:
        cluster = MemoryCluster(faults=Planned({("x", 1): Fate(request_delay_seconds=0.5)}))
        call = asyncio.create_task(cluster.client("x").transact(*ONCE, timeout_seconds=1))
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.sleep(1)
        assert len((await cluster.client("y").read("sites/", timeout_seconds=1)).items) == 1

    run(story)


def test_a_client_that_is_cut_off_is_answered_again_once_healed() -> None:
    async def story() -> None:
        cluster = MemoryCluster(faults=Planned({("x", 2): Fate(reply_delay_seconds=0.5)}))
        store = cluster.client("x")
        cluster.cut("x")
        with pytest.raises(StoreUnreachable):
            await store.read("sites/", timeout_seconds=1)
        cluster.heal("x")
        call = asyncio.create_task(store.transact(*ONCE, timeout_seconds=1))
        await asyncio.sleep(0.1)
        cluster.cut("x")  # the request is in, the reply is not
        with pytest.raises(StoreUnreachable):
            await call
        cluster.heal("x")
        assert len((await store.read("sites/", timeout_seconds=1)).items) == 1

    run(story)


async def listen(events: AsyncIterator[WatchEvent], heard: list[tuple[float, bytes]]) -> None:
    async for event in events:
        heard.append((now_seconds(), event.item.value))  # noqa: PERF401 - for ever; read meanwhile


def test_a_watch_hears_late_and_in_order_and_loses_nothing_while_cut_off() -> None:
    async def story() -> None:
        faults = Planned(delays={b"1": 2.0, b"2": 0.5, b"3": 0.9})
        cluster = MemoryCluster(faults=faults)
        writer, heard = cluster.client("x"), list[tuple[float, bytes]]()
        async with aclosing(cluster.client("y").watch("sites/", from_revision=1)) as events:
            listening = asyncio.create_task(listen(events, heard))
            revision = 0
            for number in range(1, 5):
                puts = [Put("sites/durham", b"%d" % number)]
                result = await writer.transact(
                    [Compare("sites/durham", revision)], puts, [], timeout_seconds=1
                )
                revision = result.revision
                await asyncio.sleep(1)
                if number == 3:
                    cluster.cut("y")
            await asyncio.sleep(6)
            cluster.heal("y")
            await asyncio.sleep(1)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        assert heard == [(2.0, b"1"), (2.0, b"2"), (2.9, b"3"), (10.0, b"4")]

    run(story)


def test_faults_are_told_who_calls_what_for_the_first_or_the_nth_time() -> None:
    async def story() -> None:
        faults = Planned()
        cluster = MemoryCluster(faults=faults)
        store = cluster.client("x")
        await store.read("services/", timeout_seconds=1)
        await store.transact(*ONCE, timeout_seconds=1)
        assert faults.calls == [
            Call("x", 1, "read", ("services/",)),
            Call("x", 2, "transact", ("sites/durham",)),
        ]

    run(story)


def test_closing_the_cluster_ends_what_is_under_way() -> None:
    async def story() -> None:
        cluster = MemoryCluster(faults=Planned({("x", 1): Fate(request_delay_seconds=600)}))
        with pytest.raises(StoreUnreachable):
            await cluster.client("x").transact(*ONCE, timeout_seconds=1)
        await cluster.aclose()
        await asyncio.sleep(1000)
        assert (await cluster.client("y").read("", timeout_seconds=1)).items == ()

    run(story)
