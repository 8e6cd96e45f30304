"""Promotion, local starts, and what a server does that starts by itself."""

import asyncio
import os
import signal

import asyncpg
import pytest

from sites.errors import DriverTrouble
from sites.replication.postgres.server import slot_name
from sites.replication.words import Role
from tests.sites.postgres.pairs import DURHAM, MORPETH, TROUBLES, Pair, made_pair

pytestmark = pytest.mark.slow

CONTROL_TIMELINE = "select timeline_id from pg_control_checkpoint()"
SLOTS = "select slot_name from pg_replication_slots"


async def test_a_promoted_standby_writes_and_any_later_start_of_it_would_be_as_a_standby(pair: Pair) -> None:
    pair.kill_all(DURHAM)
    promoted = await pair.driver.promote(MORPETH, timeout_seconds=20)
    await pair.run(MORPETH, "insert into rows values (1)")
    assert "written on timeline 2" in promoted.evidence
    await pair.driver.settled()
    assert (pair.data(MORPETH) / "standby.signal").exists()
    assert await pair.value(MORPETH, CONTROL_TIMELINE) == 2, "pg_rewind would see no fork before that"
    assert await pair.value(MORPETH, SLOTS) == slot_name("crm", DURHAM)


async def test_a_promotion_that_is_ordered_again_is_done_already(any_pair: Pair) -> None:
    any_pair.kill_all(DURHAM)
    first = await any_pair.driver.promote(MORPETH, timeout_seconds=20)
    again = await any_pair.driver.promote(MORPETH, timeout_seconds=20)
    assert again.position.history == first.position.history
    assert "already" in again.evidence


async def test_a_server_that_does_not_answer_is_not_promoted(any_pair: Pair) -> None:
    any_pair.kill_all(MORPETH)
    with pytest.raises(DriverTrouble, match="cannot be promoted"):
        await any_pair.driver.promote(MORPETH, timeout_seconds=5)


async def test_a_standby_of_another_cluster_is_recognised_and_left_alone(any_pair: Pair) -> None:
    async with made_pair(any_pair.binaries, any_pair.whom) as other:
        instance = other.instances[MORPETH]
        elsewhere = {"data": str(instance.data), "address": instance.address, "port": instance.port}
        driver = any_pair.driver_for({DURHAM: {}, MORPETH: elsewhere})
        await driver.sample(DURHAM)
        with pytest.raises(DriverTrouble, match="another cluster"):
            await driver.promote(MORPETH, timeout_seconds=5)
        processes = set(other.processes(MORPETH))
        for word in (driver.rejoin, driver.rebuild):
            with pytest.raises(DriverTrouble, match="another cluster"):
                await word(MORPETH, primary_site=DURHAM, timeout_seconds=20)
        assert set(other.processes(MORPETH)) >= {other.postmaster(MORPETH)}
        assert processes
        assert (await driver.sample(MORPETH)).role is Role.STANDBY


async def test_an_old_primary_that_starts_by_itself_after_a_failover_accepts_no_write(pair: Pair) -> None:
    await pair.driver.settled()
    pair.kill_all(DURHAM)
    await pair.driver.promote(MORPETH, timeout_seconds=20)
    await pair.boot(DURHAM)
    await pair.until_role(DURHAM, Role.STANDBY)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await pair.run(DURHAM, "insert into rows values (2)")


async def test_a_crashed_primary_restarts_in_place_on_its_own_timeline(pair: Pair) -> None:
    await pair.run(DURHAM, "insert into rows values (1)")
    pair.kill_all(DURHAM)
    await pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    await pair.run(DURHAM, "insert into rows values (2)")
    assert (await pair.driver.sample(DURHAM)).timeline == 1
    assert (pair.data(DURHAM) / "standby.signal").exists()
    await pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    with pytest.raises(DriverTrouble, match="not as standby"):
        await pair.driver.start(DURHAM, role=Role.STANDBY, timeout_seconds=20)


async def test_a_standby_that_was_ended_opens_with_all_that_it_had_received_on_a_line_of_its_own(
    pair: Pair,
) -> None:
    """Started as a primary it would leave out the line that it followed, and go on under the number of the
    one before; the other site, which has that line too, could then not be told apart from it."""
    await pair.run(DURHAM, "insert into rows values (1)")
    pair.kill_all(DURHAM)
    await pair.driver.promote(MORPETH, timeout_seconds=20)
    await pair.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    await pair.run(MORPETH, "insert into rows values (2)")
    await pair.until_row(DURHAM, 2)
    for site in (DURHAM, MORPETH):
        pair.kill_all(site)
    await pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    assert await pair.value(DURHAM, "select count(*) from rows where n in (1, 2)") == 2
    assert (await pair.driver.sample(DURHAM)).timeline == 3
    await pair.run(DURHAM, "insert into rows values (3)")
    await pair.driver.settled()
    assert (pair.data(DURHAM) / "standby.signal").exists()


async def test_a_fence_that_arrives_while_such_a_standby_is_started_wins(any_pair: Pair) -> None:
    for site in (DURHAM, MORPETH):
        any_pair.kill_all(site)
    other = any_pair.new_driver()

    async def fence_first(command: str) -> None:
        if "unfenced()" in command:
            any_pair.transport.before = None
            assert (await other.fence(MORPETH, within_seconds=5)).verified

    any_pair.transport.before = fence_first
    with pytest.raises(DriverTrouble, match="fenced after this start was ordered"):
        await any_pair.driver.start(MORPETH, role=Role.PRIMARY, timeout_seconds=20)
    assert any_pair.processes(MORPETH) == []


async def test_a_start_after_only_the_postmaster_was_killed_ends_what_is_left_first(any_pair: Pair) -> None:
    client = await any_pair.connect(DURHAM)
    busy = any_pair.keep(client.execute("do $$ begin loop perform 1; end loop; end $$"))
    await asyncio.sleep(0.1)
    os.kill(any_pair.postmaster(DURHAM), signal.SIGKILL)
    await any_pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    with pytest.raises(TROUBLES):
        await busy
    client.terminate()


async def test_the_signal_is_put_back_on_whatever_primary_is_found_without_it(any_pair: Pair) -> None:
    signal_file = any_pair.data(DURHAM) / "standby.signal"
    await any_pair.driver.settled()
    signal_file.unlink()
    fresh = any_pair.new_driver()
    await fresh.sample(DURHAM)
    await fresh.settled()
    assert signal_file.exists()


async def test_a_fence_that_arrives_during_a_start_wins(any_pair: Pair) -> None:
    any_pair.kill_all(DURHAM)
    other = any_pair.new_driver()

    async def fence_first(command: str) -> None:
        if "unfenced()" in command:
            any_pair.transport.before = None
            assert (await other.fence(DURHAM, within_seconds=5)).verified

    any_pair.transport.before = fence_first
    with pytest.raises(DriverTrouble, match="fenced after this start was ordered"):
        await any_pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    assert any_pair.processes(DURHAM) == []
    assert (any_pair.data(DURHAM) / "standby.signal").exists()


async def test_why_restart_after_crash_must_be_off(pair: Pair) -> None:
    """PostgreSQL's own behaviour, which the required setting is about."""
    await pair.run(DURHAM, "alter system set restart_after_crash = on", "select pg_reload_conf()")
    client = await pair.connect(DURHAM)
    os.kill(client.get_server_pid(), signal.SIGKILL)
    await pair.until_role(DURHAM, Role.STANDBY)
    client.terminate()


async def test_with_restart_after_crash_off_a_crashed_backend_is_a_lost_database(pair: Pair) -> None:
    noticing = pair.keep(pair.driver.lost(DURHAM))
    client = await pair.connect(DURHAM)
    os.kill(client.get_server_pid(), signal.SIGKILL)
    async with asyncio.timeout(20):
        await noticing
    assert (await pair.driver.sample(DURHAM)).role is Role.DOWN
    client.terminate()
