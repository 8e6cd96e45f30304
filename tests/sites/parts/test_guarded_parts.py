"""A service of two file trees under one real guard: opened with its permit, and closed together with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sites.errors import DriverTrouble
from sites.fencing.config import guard_settings
from sites.model import Estate
from sites.replication.catalogue import make_driver
from sites.replication.words import ReplicationDriver, Role
from tests.orchestrator.pki import Pki
from tests.sites.command.ledgers import DURHAM, MORPETH, SITES, Ledgers, commands, made_ledgers
from tests.sites.fencing.bench import Host
from tests.support.local_transport import LocalTransport

pytestmark = pytest.mark.slow
PARTS = ("papers", "scans")


@dataclass
class Guarded:
    """Both trees, the driver of the whole, and the host at Morpeth with its guard."""

    trees: dict[str, Ledgers]
    driver: ReplicationDriver
    host: Host

    def open_at(self, site: str) -> list[str]:
        """The parts that accept writes there."""
        return [name for name, tree in self.trees.items() if tree.writable(site)]


def gate(base: Path, word: str) -> list[str]:
    """A program of the site's own, for all parts at Morpeth."""
    opens = " ".join(str(base / name / MORPETH / "open") for name in PARTS)
    lines = {
        "open": "exit 0",
        "close": f"rm -f {opens}",
        "verify": f'for one in {opens}; do [ ! -e "$one" ] || exit 1; done',
    }
    return ["/bin/sh", "-c", lines[word]]


def estate_of(base: Path) -> Estate:
    host = {"name": "tree", "address": "127.0.0.1"}
    parts = [
        {"name": name, "driver": "command", **commands(base / name / "ledger.sh", base / name)}
        for name in PARTS
    ]
    tls = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
    guard: dict[str, Any] = {
        "data": {site: str(base / "guarded") for site in SITES},
        "command": {word: gate(base, word) for word in ("open", "close", "verify")},
    }
    return Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {
                site: {
                    "name": site,
                    "hosts": {"tree": {**host, "site": site}},
                    "guards": "127.0.0.1:1",
                    "tls": tls,
                }
                for site in SITES
            },
            "services": {
                "crm": {
                    "name": "crm",
                    "home": DURHAM,
                    "standby": MORPETH,
                    "guard": guard,
                    "replication": {"driver": "parts", "parts": parts},
                }
            },
        }
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "host"
    folder.mkdir()
    made = Host(folder, Pki(tmp_path))
    yield made
    made.end()


@asynccontextmanager
async def guarded(base: Path, host: Host) -> AsyncIterator[Guarded]:
    """All of it; the guard's own settings are those that the estate gives it, but for whom it asks."""
    estate = estate_of(base)
    said = guard_settings(estate, "crm", MORPETH, base)
    asks = {key: host.settings[key] for key in ("site", "controllers", "tls", "state")}
    host.settings = {**said, **asks, "fence_within_seconds": 0.4, "guard_every_seconds": 0.1}
    host.data = base / "guarded"
    host.data.mkdir()
    driver = make_driver(estate.services["crm"], estate, LocalTransport())
    async with contextlib.AsyncExitStack() as stack:
        trees = {}
        for name in PARTS:
            (base / name).mkdir()
            trees[name] = await stack.enter_async_context(made_ledgers(base / name))
        stack.push_async_callback(driver.aclose)
        yield Guarded(trees, driver, host)


async def until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it never came to this: {what}") from None


async def test_no_part_is_opened_without_the_permit_and_all_are_closed_when_the_answers_stop(
    tmp_path: Path, host: Host
) -> None:
    async with guarded(tmp_path, host) as world:
        for tree in world.trees.values():
            tree.write()
            await tree.same()
            tree.kill(DURHAM)
        await asyncio.to_thread(host.start)
        with pytest.raises(DriverTrouble, match="does not permit"):
            await world.driver.promote(MORPETH, timeout_seconds=30)
        assert world.open_at(MORPETH) == []
        host.keeper.allow(3)  # anew with each question
        await until(host.permit.exists, "a permit")
        promoted = await world.driver.promote(MORPETH, timeout_seconds=30)
        assert "papers: " in promoted.evidence
        assert world.open_at(MORPETH) == list(PARTS)
        host.keeper.answering = None
        await until(lambda: world.open_at(MORPETH) == [], "the end of both")
        assert not host.permit.exists()
        sample = await world.driver.sample(MORPETH)
        assert (sample.role, sample.writable) == (Role.PRIMARY, False)


async def test_an_order_to_fence_is_acknowledged_when_no_part_is_open_any_more(
    tmp_path: Path, host: Host
) -> None:
    async with guarded(tmp_path, host) as world:
        for tree in world.trees.values():
            tree.kill(DURHAM)
        host.keeper.allow(30)
        await asyncio.to_thread(host.start)
        await until(host.permit.exists, "a permit")
        await world.driver.promote(MORPETH, timeout_seconds=30)
        host.keeper.answering = None
        host.keeper.order(7, "fence")
        said = await asyncio.to_thread(host.keeper.acknowledged, 7)
        assert said["fenced"] is True
        assert "command: closed" in said["evidence"]
        assert world.open_at(MORPETH) == []
