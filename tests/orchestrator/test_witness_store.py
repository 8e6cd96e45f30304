"""The witness on a store that is not the one it knew: it publishes nothing until a person tells it (P33)."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.api.store_shapes import StoreDoubt, StoreState
from orchestrator.core.records import OBSERVATIONS, ObservationRecord
from orchestrator.errors import OrchestratorTrouble
from orchestrator.observing import publish
from orchestrator.store.known import KnownStore
from orchestrator.store.memory import MemoryCluster
from orchestrator.store.seen_file import NAME, SeenFile
from orchestrator.store.table import Table
from orchestrator.store_offline import ACCEPTED_NAME, accept_at_witness, take_acceptances

ESTATE = """\
version: 1
store: {endpoints: ["http://127.0.0.1:1"]}
sites:
  durham: {title: Durham, state: durham}
  morpeth: {title: Morpeth, state: morpeth}
  derwentside: {title: Derwentside, witness: true, state: derwentside}
services: {}
"""


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    path = tmp_path / "sites.yaml"
    path.write_text(ESTATE)
    (tmp_path / "derwentside").mkdir()
    return path


def found(cluster_id: str, revision: int) -> StoreState:
    return StoreState(
        site="derwentside",
        trusted=False,
        doubt=StoreDoubt(code="store-restored", message="", cluster_id=cluster_id, revision=revision, at=""),
        known_cluster_id="memory",
        known_revision=9,
        members=[],
        last_accepted=None,
        disk_problem="",
        peer="",
        peer_trusts=None,
        peer_problem="",
        services=[],
        problem="",
    )


async def until(holds: object) -> None:
    async with asyncio.timeout(30):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_it_publishes_nothing_in_a_store_that_it_does_not_know_until_it_is_told(estate: Path) -> None:
    folder = estate.parent / "derwentside"
    cluster = MemoryCluster()
    store = KnownStore(cluster.client("derwentside"), SeenFile(folder / NAME))

    def observed(observer: str, number: int, clock: float) -> ObservationRecord:
        return ObservationRecord(observer=observer, number=number, clock_unix_seconds=clock)

    tasks = [
        asyncio.create_task(publish(store, "derwentside", observed, asyncio.Event())),
        asyncio.create_task(take_acceptances(store, folder)),
    ]
    try:
        await until(lambda: cluster.table.read(OBSERVATIONS).items)
        cluster.restore(Table("a new one"))
        await until(lambda: store.broken is not None)
        await asyncio.sleep(2.5)
        assert cluster.table.read(OBSERVATIONS).items == ()

        accept_at_witness(estate, "derwentside", found("yet another", 1), "a mistake")
        await until(lambda: not (folder / ACCEPTED_NAME).exists())
        assert store.broken is not None, "what was accepted is not what is there"

        told = accept_at_witness(estate, "derwentside", found("a new one", 1), "the store was rebuilt")
        assert "derwentside takes cluster a new one for its store" in told
        await until(lambda: store.broken is None)
        await until(lambda: cluster.table.read(OBSERVATIONS).items)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.aclose()
        await cluster.aclose()
    kept = SeenFile(folder / NAME).read()
    assert kept is not None
    assert kept.accepted[-1].reason == "the store was rebuilt"
    assert "@derwentside" in kept.accepted[-1].who


def test_a_witness_that_trusts_its_store_has_nothing_to_accept(estate: Path) -> None:
    trusting = found("x", 1).model_copy(update={"doubt": None, "trusted": True})
    assert "nothing to accept" in accept_at_witness(estate, "derwentside", trusting, "r")
    assert not (estate.parent / "derwentside" / ACCEPTED_NAME).exists()


def test_a_disk_that_takes_nothing_is_said(estate: Path) -> None:
    (estate.parent / "derwentside" / "store-accepted.new").mkdir()
    with pytest.raises(OrchestratorTrouble, match="nothing was done"):
        accept_at_witness(estate, "derwentside", found("x", 1), "r")
