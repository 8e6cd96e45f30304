"""A planned move: close, catch up, promote, rejoin; both ways, under writes."""

import pytest

from sites.replication.words import Role
from tests.sites.postgres.pairs import DURHAM, MORPETH, Pair
from tests.sites.postgres.writer import Writer

pytestmark = pytest.mark.slow


async def moved(pair: Pair, from_site: str, to_site: str) -> None:
    """The words of a switchover, in their order."""
    await pair.driver.prepare(from_site)
    closed = await pair.driver.close(from_site, within_seconds=10)
    assert closed.final_position is not None, closed.evidence
    assert await pair.driver.caught_up(to_site, closed.final_position, timeout_seconds=10)
    promoted = await pair.driver.promote(to_site, timeout_seconds=10)
    assert promoted.position.offset_bytes > closed.final_position.offset_bytes
    rejoined = await pair.driver.rejoin(from_site, primary_site=to_site, timeout_seconds=30)
    assert (rejoined.method, rejoined.divergent_bytes) == ("follow", 0), rejoined.evidence


async def test_a_switchover_there_and_back_under_writes_loses_no_acknowledged_row(pair: Pair) -> None:
    async with Writer(pair, [DURHAM, MORPETH]) as writer:
        for from_site, to_site in ((DURHAM, MORPETH), (MORPETH, DURHAM)):
            await writer.more(20)
            await moved(pair, from_site, to_site)
            await writer.more(20)
        acknowledged = list(writer.acknowledged)
    kept = {row["n"] for row in await pair.run(DURHAM, "select n from rows")}
    assert set(acknowledged) <= kept
    roles = [(await pair.driver.sample(site)).role for site in (DURHAM, MORPETH)]
    assert roles == [Role.PRIMARY, Role.STANDBY]
