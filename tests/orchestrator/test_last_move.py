"""The metrics of a service's last move: filled from what was seen, and absent where it was not."""

import time

import pytest

from orchestrator.handovers import KEPT, Handovers
from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import DURHAM, MORPETH, TwoSites, two_sites

S = 10**9


def seen(*samples: tuple[str, float]) -> Handovers:
    """Samples of one service that accepted writes: where, and at which second."""
    found = Handovers()
    for site, second in samples:
        found.writable("crm", site, int(second * S), 1000.0 + second)
    return found


def outage(found: Handovers, began: float = 1000.0, ended: float = 1100.0) -> float | None:
    return found.outage_seconds("crm", DURHAM, MORPETH, began, ended)


def test_an_outage_is_from_the_last_sight_of_the_old_primary_to_the_first_of_the_new() -> None:
    assert outage(seen((DURHAM, 1), (DURHAM, 2), (MORPETH, 5.5), (MORPETH, 6))) == 3.5


def test_an_outage_that_was_not_seen_from_both_ends_is_not_known() -> None:
    assert outage(seen((MORPETH, 5))) is None, "the controller was started after the move"
    assert outage(seen((DURHAM, 1), (DURHAM, 2))) is None
    assert outage(seen((DURHAM, 1), (MORPETH, 5)), began=1006.0) is None, "that was another move"
    assert outage(seen((MORPETH, 1), (DURHAM, 5))) is None
    assert Handovers().outage_seconds("ebs", None, MORPETH, 0.0, 9e9) is None


def test_what_the_old_primary_does_after_the_move_changes_nothing() -> None:
    again = seen((DURHAM, 1), (MORPETH, 5), (DURHAM, 7), (MORPETH, 7.5))
    assert outage(again) == 4.0
    assert outage(seen((DURHAM, 2), (DURHAM, 1), (MORPETH, 5))) == 3.0, "an older sample takes nothing back"


def test_only_the_latest_few_are_kept() -> None:
    found = seen(*((DURHAM if second % 2 else MORPETH, second) for second in range(200)))
    assert len(found._seen["crm"]) == KEPT


async def told_of_the_move(world: TwoSites, at: str) -> tuple[float, float]:
    """When it ended and how long it took, as one site's metrics have it."""
    await world.until(lambda: "twinsite_last_move_outage_seconds{" in world.sites[at].metrics())
    told = await look(world.sites[at])
    ended = told.metric("last_move_timestamp_seconds", service="crm")
    took = told.metric("last_move_outage_seconds", service="crm")
    assert ended is not None
    assert took is not None
    return ended, took


async def test_a_planned_moves_end_and_outage_are_in_both_sites_metrics() -> None:
    async with two_sites() as world:
        began = time.time()
        assert (await look(world.durham)).metric("last_move_timestamp_seconds") is None, "no move, no series"
        await world.until(lambda: world.steady(at=DURHAM))
        await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        for site in (DURHAM, MORPETH):
            ended, took = await told_of_the_move(world, site)
            assert began <= ended <= time.time()
            assert 0.0 < took <= time.time() - began


async def test_a_failovers_outage_is_told_by_the_site_that_took_over_and_by_nobody_who_did_not_see_it() -> (
    None
):
    async with two_sites() as world:
        await world.until(lambda: world.steady(at=DURHAM))
        began = time.time()
        await world.lose(DURHAM)
        await world.until(lambda: world.open_at(MORPETH))
        await world.until(lambda: world.record() is not None and world.owned().movement == "steady")
        ended, took = await told_of_the_move(world, MORPETH)
        assert began <= ended
        assert 0.0 < took <= time.time() - began + 2.0
        await world.bring_back(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH))
        await world.until(lambda: "twinsite_last_move_timestamp_seconds{" in world.durham.metrics())
        told = await look(world.durham)
        assert told.metric("last_move_timestamp_seconds", service="crm") == pytest.approx(ended)
        assert told.metric("last_move_outage_seconds", service="crm") is None, "it was not there to see it"
