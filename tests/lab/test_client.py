"""The measuring client against two real servers: it writes wherever writes are taken."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest

from orchestrator.lab import postgres, processes
from orchestrator.lab.client import TABLE, ClientSpec, Live, read_live, read_records
from orchestrator.lab.measure import Window, outage_seconds, two_writable_seconds
from orchestrator.lab.places import Network, claim_network
from orchestrator.lab.running import kill_instance, release_shared_memory
from orchestrator.lab.site_supervisor import Description, Program

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 60.0
ROLES = postgres.LabRoles("twinsite", "secret one", "replicator", "secret two")


@dataclass
class Pair:
    """Two servers, both started as standbys, and a client that knocks at both."""

    folder: Path
    spec: ClientSpec
    tree: processes.Tree
    binaries: postgres.PostgresBinaries
    whom: postgres.RunAs
    data: dict[str, Path]

    @property
    def live(self) -> Live:
        return read_live(Path(self.spec.live))

    async def until(self, condition: Callable[[Live], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition(self.live):
            assert time.monotonic() < deadline, f"this did not come; {self.live}"
            await asyncio.sleep(0.02)

    def client(self) -> psutil.Process:
        return next(p for p in processes.members(self.tree) if "orchestrator.lab.client" in p.cmdline())

    async def promote(self, site: str) -> None:
        connection = await asyncpg.connect(**self.spec.databases[site])
        assert await connection.fetchval("select pg_promote()")
        await connection.close()


@pytest.fixture
def network() -> Iterator[Network]:
    found = claim_network()
    yield found
    found.claim.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the servers' user can pass through, whoever runs the tests."""
    with tempfile.TemporaryDirectory(prefix="twinsite-client-") as name:
        path = Path(name).resolve()
        path.chmod(0o711)
        yield path


@pytest.fixture
async def pair(folder: Path, network: Network) -> AsyncIterator[Pair]:
    whom = postgres.run_as()
    binaries = postgres.reachable(postgres.find_postgres(), whom, folder / "programs")
    places = {
        site: postgres.LabInstance(site, network.address(site), network.port("crm"), folder / site / "crm")
        for site in ("durham", "morpeth")
    }
    await postgres.create_pair(
        "crm",
        *places.values(),
        binaries=binaries,
        whom=whom,
        roles=ROLES,
        sockets=folder / "s",
        durable=False,
    )
    databases = {}
    programs = []
    for site, place in places.items():
        own = folder / site / "s"
        own.mkdir()
        whom.give(own)
        with (place.data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{own}'\n")
        log = place.data.with_name("crm.twinsite") / "postgres.log"
        start = postgres.start_command(binaries, whom, place.data, log)
        stop = postgres.stop_command(binaries, whom, place.data)
        programs.append(Program(site, start, str(folder / f"{site}.log"), str(folder), stop=stop))
        databases[site] = {
            "host": place.address,
            "port": place.port,
            "user": ROLES.user,
            "password": ROLES.password,
            "database": "postgres",
            "ssl": False,
        }
    spec = ClientSpec("crm", databases, str(folder / "records"), str(folder / "ends"), str(folder / "live"))
    (folder / "spec.json").write_text(spec.to_json())
    client = (sys.executable, "-P", "-m", "orchestrator.lab.client", str(folder / "spec.json"))
    programs.append(Program("client", client, str(folder / "client.log"), str(folder), restart=True))
    description = Description("pair", str(folder / "supervisor.log"), tuple(programs))
    tree, rope = processes.start_tree(description, folder / "pair.json")
    pair = Pair(folder, spec, tree, binaries, whom, {s: p.data for s, p in places.items()})
    try:
        await pair.until(lambda live: [site.state for site in live.sites.values()] == ["standby"] * 2)
        yield pair
    finally:
        processes.stop_tree(tree)
        left = processes.leftovers(folder, network.cidr, [tree])
        processes.end_leftovers(folder)
        os.close(rope or 0)
        assert left == []


async def test_the_client_follows_the_primary_and_records_every_acknowledged_row(pair: Pair) -> None:
    await pair.promote("durham")
    await pair.until(lambda live: live.acknowledged > 100)
    assert pair.live.writing_at == ["durham"]
    assert pair.live.sites["morpeth"].acknowledged == 0

    blow = kill_instance(pair.data["durham"])
    assert blow.processes > 3
    await pair.until(lambda live: live.sites["durham"].state == "unreachable")
    assert release_shared_memory(pair.data["durham"] / "postmaster.pid")
    assert not release_shared_memory(pair.data["durham"] / "postmaster.pid")
    await pair.promote("morpeth")
    before = pair.live.acknowledged
    await pair.until(lambda live: live.acknowledged > before + 100)

    records = list(read_records(Path(pair.spec.records)))
    assert {record.site for record in records} == {"durham", "morpeth"}
    assert all(record.sent_ns < record.acknowledged_ns for record in records)
    window = Window(records[0].acknowledged_ns, records[-1].acknowledged_ns)
    assert two_writable_seconds(records, window) == 0.0
    assert outage_seconds(records, window) > 0.0

    connection = await asyncpg.connect(**pair.spec.databases["morpeth"])
    found = {row["n"] for row in await connection.fetch(f"select n from {TABLE}")}
    await connection.close()
    assert {record.n for record in records if record.site == "morpeth"} <= found


async def test_writes_that_two_primaries_take_are_both_recorded(pair: Pair) -> None:
    """What the product must never allow is what this client must never miss."""
    await pair.promote("durham")
    await pair.until(lambda live: live.writing_at == ["durham"] and live.acknowledged > 20)
    await pair.promote("morpeth")
    await pair.until(lambda live: all(site.acknowledged > 20 for site in live.sites.values()))
    records = list(read_records(Path(pair.spec.records)))
    window = Window(records[0].acknowledged_ns, records[-1].acknowledged_ns)
    assert two_writable_seconds(records, window) > 0.0


async def test_a_client_that_is_started_again_never_reuses_a_number(pair: Pair) -> None:
    await pair.promote("durham")
    await pair.until(lambda live: live.acknowledged > 20)
    highest = max(record.n for record in read_records(Path(pair.spec.records)))
    pair.client().kill()
    await pair.until(lambda live: live.sites.get("durham") and live.sites["durham"].last_n > highest + 1000)
    records = [record.n for record in read_records(Path(pair.spec.records))]
    assert len(records) == len(set(records))


def test_a_line_that_is_half_written_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_text("1\tdurham\t10\t20\n2\tdurham\t3")
    assert [record.n for record in read_records(path)] == [1]
    assert list(read_records(tmp_path / "none")) == []


def test_before_a_client_has_said_anything_nothing_is_known(tmp_path: Path) -> None:
    assert read_live(tmp_path / "none") == Live(0)
