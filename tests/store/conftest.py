"""Stores to test: in memory always, three real etcd members where a test asks for them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.lab.etcd import find_etcd
from orchestrator.store.base import Store
from orchestrator.store.known import KnownStore
from orchestrator.store.memory import MemoryCluster
from orchestrator.store.seen_file import SeenFile
from tests.store.cluster import EtcdCluster, running_cluster

_numbers = itertools.count(1)
# A second try of a write that was committed is refused, rightly (P3): the contract is told by single tries,
# test_etcd_faults.py and test_hedge.py tell of several.
ONE_TRY_SECONDS = 5.0


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


@pytest.fixture(
    params=[
        "memory",
        "memory, known",
        pytest.param("etcd", marks=pytest.mark.slow),
        pytest.param("etcd, known", marks=pytest.mark.slow),
    ]
)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Both kinds of store, each by itself and behind what watches over its identity (P33)."""
    async with _worlds(request, request.param.startswith("memory")) as found:
        if request.param.endswith("known"):
            found.store = KnownStore(found.store, SeenFile(tmp_path / "x.json"))
            found.other = KnownStore(found.other, SeenFile(tmp_path / "y.json"))
        yield found
        if request.param.endswith("known"):
            await found.store.aclose()
            await found.other.aclose()


@asynccontextmanager
async def _worlds(request: pytest.FixtureRequest, in_memory: bool) -> AsyncIterator[World]:
    prefix = f"services/contract-{next(_numbers)}-"
    if in_memory:
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
        store = await stack.enter_async_context(
            cluster.store("durham", watch_silence_seconds=0.3, hedge_after_seconds=ONE_TRY_SECONDS)
        )
        other = await stack.enter_async_context(cluster.store("morpeth", hedge_after_seconds=ONE_TRY_SECONDS))
        yield World("etcd", store, other, prefix, compact_etcd, lose_etcd)
    await cluster.healed()


def fresh_prefix() -> str:
    """A prefix no other test uses."""
    return f"services/own-{next(_numbers)}-"
