"""What two sites do when clocks differ: rates beyond the bound stop automatic takeovers, times of day stop
planned moves, and both are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.api.shapes import MoveRequest
from orchestrator.core.records import ObservationRecord
from orchestrator.observing import publish
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import DERWENTSIDE, DURHAM, MORPETH, TwoSites, two_sites


@asynccontextmanager
async def witness(world: TwoSites, *, ahead_seconds: float = 0.0, **said: object) -> AsyncIterator[None]:
    """A third observer that says this of clocks, and whose own time of day is ahead by so much."""

    def observation(observer: str, number: int, clock_unix_seconds: float) -> ObservationRecord:
        return ObservationRecord(
            observer=observer, number=number, clock_unix_seconds=clock_unix_seconds + ahead_seconds, **said
        )

    again = asyncio.Event()
    task = asyncio.create_task(publish(world.cluster.client(DERWENTSIDE), DERWENTSIDE, observation, again))
    try:
        await world.until(lambda: again.set() is None and _heard(world))
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _heard(world: TwoSites) -> bool:
    """The second publication has come: the first one might be of any age."""
    return any(DERWENTSIDE in (word.observer, word.about) for word in world.morpeth.controller.view().clocks)


async def test_while_a_clock_runs_beyond_the_bound_a_lost_site_is_asked_about_and_not_taken_over() -> None:
    async with two_sites() as world, witness(world, clock_rates={DURHAM: 0.02}):
        told = await look(world.morpeth)
        assert any(
            "CLOCKS" in line and "durham against derwentside by 2.00%" in line
            for line in told.status.warnings
        )
        assert told.metric("clock_rate_divergence_ratio", from_site=DERWENTSIDE, clock=DURHAM) == 0.02
        assert world.open_at(DURHAM), "whoever holds it goes on"
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "clock-rate")
        assert world.owned().primary == DURHAM
        await world.morpeth.move("failover", reason="Durham is off, seen by hand", accept_loss_seconds=60.0)
        await world.until(lambda: world.open_at(MORPETH))


async def test_times_of_day_that_differ_by_more_than_a_minute_stop_planned_moves_and_nothing_else() -> None:
    async with two_sites() as world, witness(world, ahead_seconds=90.0, boot="b", clock_boottime_ns=1):
        told = await look(world.morpeth)
        assert any("derwentside's time of day is 90" in line for line in told.status.warnings)
        assert round(told.metric("clock_divergence_seconds", site=DERWENTSIDE) or 0.0) == 90
        async with world.morpeth.api() as client:
            refused = await refusal_of(client.plan(MoveRequest(verb="switchover", service="crm")))
        assert refused.code == "clocks-differ"
        await world.lose(DURHAM)
        await world.until(lambda: world.open_at(MORPETH))
