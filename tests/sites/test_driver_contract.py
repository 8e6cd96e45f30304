"""One story that drivers keep to: the double that most tests use, and a real thing by the command driver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sites.errors import DriverTrouble
from sites.replication.words import ReplicationDriver, Role
from tests.sites.command.ledgers import made_ledgers
from tests.support.fake_driver import FakeDriver, FakePair

DURHAM, MORPETH = "durham", "morpeth"


@dataclass(frozen=True, slots=True)
class World:
    """A pair, Durham's the primary, and what a test does to it. `cut`: nobody reaches that site's host."""

    driver: ReplicationDriver
    write: Callable[[], bool]
    kill: Callable[[str], None]
    cut: Callable[[str], None]
    mend: Callable[[], None]

    async def until(self, site: str, role: Role, *, streaming: bool | None = None) -> None:
        """Wait until the instance is seen so."""
        async with asyncio.timeout(20):
            while True:
                sample = await self.driver.sample(site)
                if sample.role is role and streaming in (None, sample.streaming):
                    return
                await asyncio.sleep(0.02)


@pytest.fixture(params=["fake", "command"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Each driver that keeps this promise."""
    if request.param == "fake":
        fake = FakePair("tree", DURHAM, MORPETH)
        yield World(FakeDriver(fake, DURHAM), fake.write, fake.kill, fake.cut_off, fake.reach_again)
        return
    async with made_ledgers(tmp_path) as pair:
        yield World(pair.driver, pair.write, pair.kill, pair.transport.cut.add, pair.transport.cut.clear)


async def test_primary_and_standby_are_of_one_pair_and_one_history(world: World) -> None:
    primary, standby = await world.driver.sample(DURHAM), await world.driver.sample(MORPETH)
    assert (primary.role, primary.writable, primary.site) == (Role.PRIMARY, True, DURHAM)
    assert (standby.role, standby.writable, standby.streaming) == (Role.STANDBY, False, True)
    assert primary.system_id == standby.system_id != ""
    assert primary.position is not None
    assert standby.position is not None
    assert primary.position.history == standby.position.history


async def test_a_planned_move_closes_waits_promotes_and_rejoins(world: World) -> None:
    assert world.write()
    await world.driver.prepare(DURHAM)
    closed = await world.driver.close(DURHAM, within_seconds=5)
    assert closed.final_position is not None
    assert not world.write()
    assert (await world.driver.close(DURHAM, within_seconds=5)).final_position == closed.final_position
    assert await world.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=10)
    promoted = await world.driver.promote(MORPETH, timeout_seconds=10)
    assert promoted.position.history != closed.final_position.history
    assert world.write()
    done = await world.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=10)
    assert (done.method, done.divergent_bytes, done.saved_at) == ("follow", 0, None)
    await world.until(DURHAM, Role.STANDBY, streaming=True)
    again = await world.driver.promote(MORPETH, timeout_seconds=10)
    assert again.position.history == promoted.position.history


async def test_a_standby_is_not_closed_and_what_is_down_is_not_promoted(world: World) -> None:
    with pytest.raises(DriverTrouble):
        await world.driver.close(MORPETH, within_seconds=5)
    world.kill(MORPETH)
    with pytest.raises(DriverTrouble):
        await world.driver.promote(MORPETH, timeout_seconds=5)


async def test_a_fence_cuts_off_is_verified_and_can_be_said_again(world: World) -> None:
    assert (await world.driver.fence(DURHAM, within_seconds=5)).verified
    assert not world.write()
    assert (await world.driver.fence(DURHAM, within_seconds=5)).verified
    assert (await world.driver.sample(DURHAM)).role is Role.DOWN
    assert (await world.driver.close(DURHAM, within_seconds=5)).final_position is None


async def test_a_host_that_cannot_be_reached_is_unknown_unfenced_and_not_dead(world: World) -> None:
    world.cut(DURHAM)
    world.kill(DURHAM)
    watch = asyncio.create_task(world.driver.lost(DURHAM))
    sample = await world.driver.sample(DURHAM)
    assert (sample.role, bool(sample.reason)) == (Role.UNKNOWN, True)
    fenced = await world.driver.fence(DURHAM, within_seconds=1)
    assert (fenced.verified, bool(fenced.evidence)) == (False, True)
    await asyncio.sleep(0.3)
    assert not watch.done()
    world.mend()
    assert await asyncio.wait_for(watch, 10)


async def test_a_local_restart_opens_it_as_it_was(world: World) -> None:
    world.kill(DURHAM)
    await world.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=10)
    assert world.write()
    with pytest.raises(DriverTrouble):
        await world.driver.start(DURHAM, role=Role.STANDBY, timeout_seconds=10)


async def test_what_only_the_old_primary_had_is_counted_and_kept(world: World) -> None:
    world.kill(MORPETH)
    world.write()
    world.kill(DURHAM)
    await world.driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=10)
    await world.driver.promote(MORPETH, timeout_seconds=10)
    done = await world.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=10)
    assert done.method == "rewind"
    assert done.divergent_bytes > 0
    assert done.saved_at
    rebuilt = await world.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=10)
    assert rebuilt.method == "rebuild"
    await world.until(DURHAM, Role.STANDBY, streaming=True)
