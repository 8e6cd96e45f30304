"""What proves, on its own host, that nothing can have been written by an instance since."""

import os
import signal

import pytest

from sites.errors import DriverTrouble, HostUnreachable
from sites.replication.words import Role, SeesStandstill, Standstill
from tests.sites.postgres.pairs import DURHAM, Pair
from tests.sites.postgres.test_close_and_fence import CHURN

pytestmark = pytest.mark.slow


async def still(pair: Pair) -> Standstill:
    """It stands still now."""
    found = await pair.driver.standstill(DURHAM)
    assert found is not None
    return found


async def test_a_dead_database_stands_still_and_goes_on_to(any_pair: Pair) -> None:
    assert isinstance(any_pair.driver, SeesStandstill)
    any_pair.kill_all(DURHAM)
    first, second = await still(any_pair), await still(any_pair)
    assert first.mark == second.mark
    assert first.asked_at_ns <= first.answered_at_ns <= second.asked_at_ns
    assert str(any_pair.data(DURHAM)) in first.evidence


async def test_a_database_that_runs_does_not_stand_still(any_pair: Pair) -> None:
    assert await any_pair.driver.standstill(DURHAM) is None


async def test_a_postmaster_that_is_gone_proves_nothing_while_its_children_commit(any_pair: Pair) -> None:
    await any_pair.run(DURHAM, "create table churned (n serial primary key)", CHURN)
    client = await any_pair.connect(DURHAM)
    any_pair.keep(client.execute("call churn()"))
    await any_pair.until_value(DURHAM, "select count(*) > 100 from churned", True)
    os.kill(any_pair.postmaster(DURHAM), signal.SIGKILL)
    await any_pair.until_role(DURHAM, Role.DOWN)
    assert await any_pair.driver.standstill(DURHAM) is None
    any_pair.kill_all(DURHAM)
    await still(any_pair)
    client.terminate()


@pytest.mark.parametrize("role", [Role.PRIMARY, Role.STANDBY])
async def test_one_that_came_back_in_between_and_died_again_is_found_out(any_pair: Pair, role: Role) -> None:
    any_pair.kill_all(DURHAM)
    before = await still(any_pair)
    await any_pair.driver.start(DURHAM, role=role, timeout_seconds=20)
    any_pair.kill_all(DURHAM)
    after = await still(any_pair)
    assert after.mark != before.mark


async def test_a_fence_of_a_dead_database_leaves_its_mark(any_pair: Pair) -> None:
    any_pair.kill_all(DURHAM)
    before = await still(any_pair)
    assert (await any_pair.driver.fence(DURHAM, within_seconds=5)).verified
    assert (await still(any_pair)).mark == before.mark


async def test_what_cannot_be_looked_at_is_not_said_to_stand_still(any_pair: Pair) -> None:
    any_pair.kill_all(DURHAM)
    any_pair.transport.cut.add(DURHAM)
    with pytest.raises(HostUnreachable):
        await any_pair.driver.standstill(DURHAM)
    any_pair.transport.cut.clear()
    control = any_pair.data(DURHAM) / "global" / "pg_control"
    control.rename(control.with_name("away"))
    with pytest.raises(DriverTrouble, match="pg_control"):
        await any_pair.driver.standstill(DURHAM)
