"""One story that drivers keep to: the double that most tests use, a real thing by the command driver, real
PostgreSQL, and several parts that are one service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from sites.errors import DriverTrouble
from sites.replication.parts.driver import PartsDriver
from sites.replication.words import ReplicationDriver, Role
from tests.sites.command.ledgers import made_ledgers
from tests.sites.postgres.conftest import copies, newest, newest_template, templates, whom  # noqa: F401
from tests.sites.postgres.pairs import TROUBLES, Pair, made_pair
from tests.support.fake_driver import FakeDriver, FakePair

DURHAM, MORPETH = "durham", "morpeth"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class World:
    """A pair, Durham's the primary, and what a test does to it. `cut`: nobody reaches that site's host.
    `cuts_everything`: the driver has no other way there."""

    driver: ReplicationDriver
    write: Callable[[], Awaitable[bool]]
    kill: Callable[[str], None]
    cut: Callable[[str], None]
    mend: Callable[[], None]
    cuts_everything: bool = True

    async def until(self, site: str, role: Role, *, streaming: bool | None = None) -> None:
        """Wait until the instance is seen so."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                sample = await self.driver.sample(site)
                if sample.role is role and streaming in (None, sample.streaming):
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def fake_world(_: pytest.FixtureRequest, __: Path) -> AsyncIterator[World]:
    """The double."""
    fake = FakePair("tree", DURHAM, MORPETH)

    async def write() -> bool:
        return fake.write()

    yield World(FakeDriver(fake, DURHAM), write, fake.kill, fake.cut_off, fake.reach_again)


@asynccontextmanager
async def command_world(_: pytest.FixtureRequest, base: Path) -> AsyncIterator[World]:
    """Files and shell scripts."""
    async with made_ledgers(base) as pair:

        async def write() -> bool:
            return pair.write()

        yield World(pair.driver, write, pair.kill, pair.transport.cut.add, pair.transport.cut.clear)


@asynccontextmanager
async def postgres_world(request: pytest.FixtureRequest, _: Path) -> AsyncIterator[World]:
    """The newest PostgreSQL on this machine."""
    binaries, user, template = request.getfixturevalue("postgres_means")
    async with made_pair(binaries, user, template=template) as pair:
        await pair.run(DURHAM, "create table rows (n bigint primary key)")
        cut, mend = pair.transport.cut.add, pair.transport.cut.clear
        yield World(pair.driver, rows_of(pair), pair.kill_all, cut, mend, cuts_everything=False)


def rows_of(pair: Pair) -> Callable[[], Awaitable[bool]]:
    """A client that writes a row wherever it is accepted."""
    numbers = count(1)

    async def write() -> bool:
        for site in (DURHAM, MORPETH):
            try:
                await pair.run(site, f"insert into rows values ({next(numbers)})")
            except TROUBLES:
                continue
            return True
        return False

    return write


@asynccontextmanager
async def parts_world(request: pytest.FixtureRequest, base: Path) -> AsyncIterator[World]:
    """A database and a file tree that are one service."""
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(fake_world(request, base))
        files = await stack.enter_async_context(command_world(request, base))
        both = (db, files)

        async def write() -> bool:
            written = {await one.write() for one in both}
            assert len(written) == 1, "one part is written to and the other is not"
            return written.pop()

        def kill(site: str) -> None:
            for one in both:
                one.kill(site)

        def cut(site: str) -> None:
            for one in both:
                one.cut(site)

        def mend() -> None:
            for one in both:
                one.mend()

        driver = PartsDriver("tree", {"db": db.driver, "files": files.driver})
        yield World(driver, write, kill, cut, mend)


WORLDS = {
    "fake": fake_world,
    "command": command_world,
    "postgres": postgres_world,
    "parts": parts_world,
}


@pytest.fixture
def postgres_means(request: pytest.FixtureRequest) -> tuple[object, ...] | None:
    """The programs, their user and the files of a pair, made before anything runs; for that driver alone."""
    if request.node.callspec.params["world"] != "postgres":
        return None
    return tuple(request.getfixturevalue(name) for name in ("newest", "whom", "newest_template"))


@pytest.fixture(
    params=[
        "fake",
        "command",
        "parts",
        pytest.param("postgres", marks=pytest.mark.slow),
    ]
)
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_means: object
) -> AsyncIterator[World]:
    """Each driver that keeps this promise."""
    async with WORLDS[request.param](request, tmp_path) as made:
        yield made


async def test_primary_and_standby_are_of_one_pair_and_one_history(world: World) -> None:
    primary, standby = await world.driver.sample(DURHAM), await world.driver.sample(MORPETH)
    assert (primary.role, primary.writable, primary.site) == (Role.PRIMARY, True, DURHAM)
    assert (standby.role, standby.writable, standby.streaming) == (Role.STANDBY, False, True)
    assert primary.system_id == standby.system_id != ""
    assert primary.position is not None
    assert standby.position is not None
    assert primary.position.history == standby.position.history


async def test_a_planned_move_closes_waits_promotes_and_rejoins(world: World) -> None:
    assert await world.write()
    await world.driver.prepare(DURHAM)
    closed = await world.driver.close(DURHAM, within_seconds=5)
    assert closed.final_position is not None
    assert not await world.write()
    assert (await world.driver.close(DURHAM, within_seconds=5)).final_position == closed.final_position
    assert await world.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=PATIENCE_SECONDS)
    promoted = await world.driver.promote(MORPETH, timeout_seconds=PATIENCE_SECONDS)
    assert promoted.position.history != closed.final_position.history
    assert await world.write()
    done = await world.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=PATIENCE_SECONDS)
    assert (done.method, done.divergent_bytes, done.saved_at) == ("follow", 0, None)
    await world.until(DURHAM, Role.STANDBY, streaming=True)
    again = await world.driver.promote(MORPETH, timeout_seconds=PATIENCE_SECONDS)
    assert again.position.history == promoted.position.history


async def test_a_standby_is_not_closed_and_what_is_down_is_not_promoted(world: World) -> None:
    with pytest.raises(DriverTrouble):
        await world.driver.close(MORPETH, within_seconds=5)
    world.kill(MORPETH)
    with pytest.raises(DriverTrouble):
        await world.driver.promote(MORPETH, timeout_seconds=PATIENCE_SECONDS)


async def test_a_fence_cuts_off_is_verified_and_can_be_said_again(world: World) -> None:
    assert (await world.driver.fence(DURHAM, within_seconds=5)).verified
    assert not await world.write()
    assert (await world.driver.fence(DURHAM, within_seconds=5)).verified
    assert (await world.driver.sample(DURHAM)).role is Role.DOWN
    assert (await world.driver.close(DURHAM, within_seconds=5)).final_position is None


async def test_a_host_that_cannot_be_reached_is_unknown_unfenced_and_not_dead(world: World) -> None:
    if not world.cuts_everything:
        pytest.skip("SQL on the loopback interface cannot be cut off here; `lab --netns --rows` does")
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
    assert await asyncio.wait_for(watch, PATIENCE_SECONDS)


async def test_a_local_restart_opens_it_as_it_was(world: World) -> None:
    world.kill(DURHAM)
    await world.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=PATIENCE_SECONDS)
    assert await world.write()
    with pytest.raises(DriverTrouble):
        await world.driver.start(DURHAM, role=Role.STANDBY, timeout_seconds=PATIENCE_SECONDS)


async def test_what_only_the_old_primary_had_is_counted_and_kept(world: World) -> None:
    world.kill(MORPETH)
    await world.write()
    world.kill(DURHAM)
    await world.driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=PATIENCE_SECONDS)
    await world.driver.promote(MORPETH, timeout_seconds=PATIENCE_SECONDS)
    done = await world.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=PATIENCE_SECONDS)
    assert done.method == "rewind"
    assert done.divergent_bytes > 0
    assert done.saved_at
    rebuilt = await world.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=PATIENCE_SECONDS)
    assert rebuilt.method == "rebuild"
    await world.until(DURHAM, Role.STANDBY, streaming=True)
