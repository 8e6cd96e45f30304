"""Stopping in order, and cutting off at once."""

import os
import signal
import time
from pathlib import Path

import pytest

from sites.errors import DriverTrouble
from sites.replication.words import Role
from tests.sites.postgres.pairs import DURHAM, MORPETH, TROUBLES, Pair

pytestmark = pytest.mark.slow

CHURN = """
create procedure churn() language plpgsql as $$
begin
  loop
    insert into churned values (default);
    commit;
  end loop;
end $$
"""


def last_written_ns(pair: Pair, site: str) -> int:
    """When the log was last written to, by the files themselves."""
    return max(file.stat().st_mtime_ns for file in (pair.data(site) / "pg_wal").iterdir())


async def test_an_open_transaction_does_not_delay_a_close(pair: Pair) -> None:
    client = await pair.connect(DURHAM)
    await client.execute("begin")
    await client.execute("insert into rows values (1)")
    closed = await pair.driver.close(DURHAM, within_seconds=10)
    assert closed.final_position is not None, closed.evidence
    with pytest.raises(TROUBLES):
        await client.execute("commit")
    client.terminate()
    assert pair.processes(DURHAM) == []


async def test_a_close_that_is_ordered_again_gives_the_same_final_position(pair: Pair) -> None:
    await pair.run(DURHAM, "insert into rows values (1)")
    first = await pair.driver.close(DURHAM, within_seconds=10)
    again = await pair.driver.close(DURHAM, within_seconds=10)
    assert again.final_position == first.final_position
    assert first.final_position is not None
    assert await pair.driver.caught_up(MORPETH, first.final_position, timeout_seconds=10)
    assert await pair.value(MORPETH, "select count(*) from rows") == 1


async def test_a_standby_is_not_closed(pair: Pair) -> None:
    with pytest.raises(DriverTrouble, match="standby"):
        await pair.driver.close(MORPETH, within_seconds=5)
    assert (await pair.driver.sample(MORPETH)).role is Role.STANDBY


async def test_a_close_that_a_hung_standby_holds_up_ends_as_a_fence_without_a_final_position(
    pair: Pair,
) -> None:
    os.kill(pair.named(MORPETH, "walreceiver"), signal.SIGSTOP)
    await pair.run(DURHAM, "insert into rows values (1)")
    closed = await pair.driver.close(DURHAM, within_seconds=1)
    assert closed.final_position is None
    assert "overrun" in closed.evidence
    assert pair.processes(DURHAM) == []


async def test_a_close_that_a_hung_archiver_holds_up_ends_as_a_fence_without_a_final_position(
    pair: Pair,
) -> None:
    await pair.driver.close(DURHAM, within_seconds=10)
    pair.add_settings(DURHAM, "archive_mode = on", "archive_command = 'sleep 60'")
    await pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    await pair.run(DURHAM, "insert into rows values (1)", "select pg_switch_wal()")
    closed = await pair.driver.close(DURHAM, within_seconds=1)
    assert closed.final_position is None
    assert "overrun" in closed.evidence


async def test_a_primary_that_crashed_has_no_final_position(pair: Pair) -> None:
    pair.kill_all(DURHAM)
    closed = await pair.driver.close(DURHAM, within_seconds=5)
    assert closed.final_position is None
    assert "in production" in closed.evidence


async def test_a_standby_that_lacks_the_end_is_not_said_to_have_caught_up(pair: Pair) -> None:
    pair.kill_all(MORPETH)
    await pair.run(DURHAM, "insert into rows values (1)")
    closed = await pair.driver.close(DURHAM, within_seconds=10)
    assert closed.final_position is not None
    assert not await pair.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=0.3)
    await pair.driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=20)
    assert not await pair.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=0.3)


async def test_a_fence_ends_a_backend_that_goes_on_committing_after_its_postmaster_was_killed(
    pair: Pair,
) -> None:
    await pair.run(DURHAM, "create table churned (n serial primary key)", CHURN)
    client = await pair.connect(DURHAM)
    backend = client.get_server_pid()
    pair.keep(client.execute("call churn()"))
    await pair.until_value(DURHAM, "select count(*) > 100 from churned", True)
    os.kill(pair.postmaster(DURHAM), signal.SIGKILL)
    written = time.time_ns()
    # The trap: nobody can connect, and rows are still being committed.
    await pair.until(lambda: last_written_ns(pair, DURHAM) > written)
    assert backend in pair.processes(DURHAM)
    fenced = await pair.driver.fence(DURHAM, within_seconds=5)
    assert fenced.verified, fenced.evidence
    assert pair.processes(DURHAM) == []
    assert pair.processes(MORPETH) != [], "the other instance on this machine is left alone"
    client.terminate()


async def test_a_fence_ends_a_server_that_is_stopped_in_its_tracks(pair: Pair) -> None:
    pair.freeze(DURHAM)
    fenced = await pair.driver.fence(DURHAM, within_seconds=5)
    assert fenced.verified, fenced.evidence
    assert pair.processes(DURHAM) == []


async def test_a_fence_can_be_ordered_again_and_of_a_server_that_is_down(pair: Pair) -> None:
    assert (await pair.driver.fence(DURHAM, within_seconds=5)).verified
    again = await pair.driver.fence(DURHAM, within_seconds=5)
    assert again.verified
    assert "0 processes found" in again.evidence


async def test_a_fence_of_a_host_that_cannot_be_reached_is_not_verified(pair: Pair) -> None:
    pair.transport.cut.add(DURHAM)
    fenced = await pair.driver.fence(DURHAM, within_seconds=1)
    assert not fenced.verified
    assert "no route" in fenced.evidence
    pair.transport.cut.clear()


async def test_a_fence_that_cut_another_directory_s_server_is_not_verified(pair: Pair) -> None:
    """The data directory named in the file is empty, and the server at the port goes on writing."""
    empty = pair.base / "empty"
    empty.mkdir()
    pair.whom.give(empty)
    driver = pair.driver_for({DURHAM: {"data": str(empty)}, MORPETH: {}})
    fenced = await driver.fence(DURHAM, within_seconds=1)
    assert not fenced.verified
    assert "still answers as a primary" in fenced.evidence


async def test_a_fence_works_with_a_full_disk_and_leaves_nothing_else_running(pair: Pair) -> None:
    beside = Path(f"{pair.data(DURHAM)}.twinsite")
    beside.rename(beside.with_name("moved"))
    beside.touch()  # a file where the directory should be: nothing can be written there
    fenced = await pair.driver.fence(DURHAM, within_seconds=5)
    assert fenced.verified, fenced.evidence
    beside.unlink()
    beside.with_name("moved").rename(beside)
