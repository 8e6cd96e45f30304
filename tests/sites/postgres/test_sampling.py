"""What is seen of an instance, and how its death is noticed."""

import asyncio
import os
import signal
import struct

import pytest

from sites.replication.deadline import boottime_ns
from sites.replication.positions import PositionHistory, lag, received, replayed, safe_until_ns, written
from sites.replication.words import Role
from tests.sites.postgres.pairs import DURHAM, MORPETH, Pair, free_port

pytestmark = pytest.mark.slow


async def test_an_idle_service_shows_no_lag_however_long_ago_its_last_transaction_was(any_pair: Pair) -> None:
    await any_pair.run(DURHAM, "insert into rows values (1)")
    history = PositionHistory()
    seen = None
    for _ in range(20):
        note = written(await any_pair.driver.sample(DURHAM))
        assert note is not None
        history = history.add(note)
        seen = replayed(await any_pair.driver.sample(MORPETH))
        await asyncio.sleep(0.02)
    found = lag(history, seen, boottime_ns(), stale_after_seconds=30)
    assert (found.seconds, found.bytes) == (0.0, 0)
    assert found.age_seconds is not None


async def test_what_a_standby_lacks_is_as_old_as_the_first_change_it_has_not_got(any_pair: Pair) -> None:
    before = written(await any_pair.driver.sample(DURHAM))
    assert before is not None
    got = received(await any_pair.driver.sample(MORPETH))
    while got is None or got.offset_bytes < before.offset_bytes:  # it is stopped when it has all of that
        got = received(await any_pair.driver.sample(MORPETH))
    os.kill(any_pair.named(MORPETH, "walreceiver"), signal.SIGSTOP)
    await any_pair.run(DURHAM, "insert into rows select generate_series(1, 1000)")
    after = written(await any_pair.driver.sample(DURHAM))
    standby = await any_pair.driver.sample(MORPETH)
    there = received(standby)
    assert after is not None
    assert there is not None
    history = PositionHistory().add(before).add(after)
    now_ns = boottime_ns()
    found = lag(history, there, now_ns, stale_after_seconds=30)
    assert found.seconds is not None
    assert 0 < found.seconds <= (standby.taken_at_ns - before.at_ns) / 1e9
    assert found.bytes == after.offset_bytes - there.offset_bytes
    assert safe_until_ns(history, there) == before.at_ns


async def test_a_sample_says_who_writes_where_and_on_which_line(any_pair: Pair) -> None:
    primary, standby = await any_pair.driver.sample(DURHAM), await any_pair.driver.sample(MORPETH)
    assert (primary.role, primary.writable, primary.timeline) == (Role.PRIMARY, True, 1)
    assert (standby.role, standby.writable, standby.streaming) == (Role.STANDBY, False, True)
    assert primary.system_id == standby.system_id != ""
    assert primary.position is not None
    assert standby.position is not None
    assert primary.position.history == standby.position.history


async def test_a_server_that_is_off_is_down_and_one_that_is_frozen_is_unknown(any_pair: Pair) -> None:
    any_pair.freeze(DURHAM)
    sample = await any_pair.driver.sample(DURHAM)
    assert (sample.role, sample.writable, sample.position) == (Role.UNKNOWN, None, None)
    assert "no answer within" in sample.reason
    fresh = await any_pair.new_driver().sample(DURHAM)
    assert fresh.role is Role.UNKNOWN
    any_pair.thaw(DURHAM)
    await any_pair.until_role(DURHAM, Role.PRIMARY)
    any_pair.kill_all(DURHAM)
    sample = await any_pair.driver.sample(DURHAM)
    if sample.role is Role.UNKNOWN:  # the connection broke under the question
        sample = await any_pair.driver.sample(DURHAM)
    assert sample.role is Role.DOWN
    assert "refused" in sample.reason


async def test_a_wrong_password_is_said_and_shown_to_nobody(any_pair: Pair) -> None:
    sample = await any_pair.new_driver(password="not the password").sample(DURHAM)
    assert sample.role is Role.UNKNOWN
    assert "password authentication failed" in sample.reason
    assert "not the password" not in sample.reason


async def test_the_death_of_a_server_is_noticed_by_the_connection_that_is_kept(any_pair: Pair) -> None:
    noticing = any_pair.keep(any_pair.driver.lost(DURHAM))
    await any_pair.driver.sample(DURHAM)
    any_pair.kill_all(DURHAM)
    async with asyncio.timeout(10):
        evidence = await noticing
    assert "connection refused" in evidence


async def test_a_connection_that_breaks_while_the_server_lives_is_no_loss(any_pair: Pair) -> None:
    noticing = any_pair.keep(any_pair.driver.lost(DURHAM))
    for _ in range(3):
        await any_pair.driver.sample(DURHAM)
        await any_pair.run(
            DURHAM,
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'twinsite' and pid <> pg_backend_pid()",
        )
        await asyncio.sleep(0.1)
    assert not noticing.done()
    any_pair.kill_all(DURHAM)
    async with asyncio.timeout(10):
        await noticing


async def test_silence_is_no_loss(any_pair: Pair) -> None:
    driver = any_pair.new_driver(answer_within="200ms")
    noticing = any_pair.keep(driver.lost(DURHAM))
    any_pair.freeze(DURHAM)
    assert (await driver.sample(DURHAM)).role is Role.UNKNOWN
    await asyncio.sleep(1)
    assert not noticing.done()
    any_pair.thaw(DURHAM)
    await any_pair.until_role(DURHAM, Role.PRIMARY)
    assert not noticing.done()


async def test_a_server_that_says_it_is_starting_up_is_no_loss_until_it_is_gone(any_pair: Pair) -> None:
    port = free_port()

    async def starting_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
        writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
        await writer.drain()
        writer.close()

    driver = any_pair.driver_for({DURHAM: {"address": "127.0.0.1", "port": port}, MORPETH: {}})
    async with await asyncio.start_server(starting_up, "127.0.0.1", port):
        noticing = any_pair.keep(driver.lost(DURHAM))
        await asyncio.sleep(0.3)
        assert not noticing.done()
        sample = await driver.sample(DURHAM)
        assert sample.role is Role.UNKNOWN
        assert "starting up" in sample.reason
    async with asyncio.timeout(10):
        assert "refused" in await noticing
