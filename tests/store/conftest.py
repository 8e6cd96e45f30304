"""Stores to test: in memory always, three real etcd members where a test asks for them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.lab.etcd import find_etcd
from orchestrator.store.base import Store
from orchestrator.store.memory import MemoryCluster
from tests.store.cluster import EtcdCluster, running_cluster

_numbers = itertools.count(1)


@dataclass
class World:
    """One kind of store, as the contract sees it. Keys of a test start with `prefix`."""

    kind: str
    store: Store
    other: Store
    prefix: str
    compact: Callable[[int], Awaitable[None]]
    lose: Callable[[], Awaitable[None]]


@pytest.fixture(scope="session")
def etcd_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with running_cluster(find_etcd(), Path(tmp_path_factory.mktemp("etcd"))) as cluster:
        yield cluster


@pytest.fixture
async def etcd(etcd_cluster: EtcdCluster) -> AsyncIterator[EtcdCluster]:
    """All members up before the test, and again after it."""
    await etcd_cluster.healed()
    yield etcd_cluster
    await etcd_cluster.healed()


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.slow)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    prefix = f"services/contract-{next(_numbers)}-"
    if request.param == "memory":
        memory = MemoryCluster()

        async def compact_memory(revision: int) -> None:
            memory.table.compact(revision)

        async def lose_memory() -> None:
            memory.cut("x")

        yield World("memory", memory.client("x"), memory.client("y"), prefix, compact_memory, lose_memory)
        await memory.aclose()
        return
    cluster: EtcdCluster = request.getfixturevalue("etcd_cluster")
    await cluster.healed()

    async def compact_etcd(revision: int) -> None:
        await cluster.admin("/v3/kv/compaction", {"revision": str(revision), "physical": True})

    async def lose_etcd() -> None:
        cluster.kill(0)
        cluster.freeze(1)

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(cluster.store("durham", watch_silence_seconds=0.3))
        other = await stack.enter_async_context(cluster.store("morpeth"))
        yield World("etcd", store, other, prefix, compact_etcd, lose_etcd)
    await cluster.healed()


def fresh_prefix() -> str:
    """A prefix no other test uses."""
    return f"services/own-{next(_numbers)}-"
