"""The same commands over SSH, to the server in this process."""

import asyncio
from pathlib import Path

import pytest

from sites.model import Estate
from sites.replication.catalogue import make_driver
from sites.replication.command.driver import CommandDriver
from sites.replication.words import Role
from sites.ssh import SshTransport
from tests.sites.command.ledgers import DURHAM, MORPETH, Ledgers, commands, estate_of
from tests.sites.ssh.servers import Served, in_process


def driver_over(place: Served, pair: Ledgers, transport: SshTransport) -> CommandDriver:
    """Both sites' hosts are the one that is served."""
    estate: Estate = estate_of({**commands(pair.script, pair.base), "answer_within": "1.5s"})
    sites = {
        name: site.model_copy(
            update={"hosts": {role: place.host.model_copy(update={"site": name}) for role in site.hosts}}
        )
        for name, site in estate.sites.items()
    }
    estate = estate.model_copy(update={"sites": sites})
    driver = make_driver(estate.services["tree"], estate, transport)
    assert isinstance(driver, CommandDriver)
    return driver


async def test_it_is_looked_at_closed_moved_and_rejoined_over_ssh(pair: Ledgers, tmp_path: Path) -> None:
    keys = tmp_path / "ssh"
    keys.mkdir()
    async with in_process(keys) as place:
        transport = SshTransport(place.spec, place.base)
        driver = driver_over(place, pair, transport)
        try:
            pair.write()
            assert (await driver.sample(DURHAM)).writable
            closed = await driver.close(DURHAM, within_seconds=10)
            assert closed.final_position is not None
            assert await driver.caught_up(MORPETH, closed.final_position, timeout_seconds=10)
            await driver.promote(MORPETH, timeout_seconds=10)
            assert pair.write()
            done = await driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=10)
            assert (done.method, pair.rows(DURHAM)) == ("follow", [1, 2])
            fenced = await driver.fence(MORPETH, within_seconds=2)
            assert fenced.verified
        finally:
            await transport.aclose()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("yes", "did not end within"),
        ("head -c 3000000 /dev/zero", "printed more than can be held"),
        ("printf 'role: \\377\\n'", "bytes that are no UTF-8"),
    ],
)
async def test_a_flood_and_broken_bytes_over_ssh_are_unknown(
    pair: Ledgers, tmp_path: Path, line: str, reason: str
) -> None:
    keys = tmp_path / "ssh"
    keys.mkdir()
    pair.spoil("look", line)
    async with in_process(keys) as place:
        transport = SshTransport(place.spec, place.base)
        try:
            sample = await driver_over(place, pair, transport).sample(DURHAM)
        finally:
            await transport.aclose()
    assert sample.role is Role.UNKNOWN
    assert reason in sample.reason


async def test_a_host_that_refuses_connections_is_unknown(pair: Ledgers, tmp_path: Path) -> None:
    keys = tmp_path / "ssh"
    keys.mkdir()
    async with in_process(keys) as place:
        pass
    transport = SshTransport(place.spec, place.base)
    driver = driver_over(place, pair, transport)
    try:
        watch = asyncio.create_task(driver.lost(DURHAM))
        sample = await driver.sample(DURHAM)
        await asyncio.sleep(0.6)
        assert (sample.role, watch.done()) == (Role.UNKNOWN, False)
        watch.cancel()
    finally:
        await transport.aclose()
