"""Which runs nobody will ever go on with, and are closed; and which are left to whoever still may."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.records import RUNS, Mode, Movement, RunRecord, ServiceRecord, encode
from orchestrator.lost_runs import what_came_of_it
from orchestrator.store.base import Compare, Put
from tests.orchestrator.two_sites import DURHAM, MORPETH, estate, two_sites

RUN = RunRecord(
    run="old",
    kind="switchover",
    service="crm",
    from_site="durham",
    to_site="morpeth",
    executor_site="morpeth",
    executor=1,
    state="waiting",
    plan={"epoch": 2},
    statement="",
    who="",
    why="",
    started="",
)


OWNED = ServiceRecord(
    primary="durham", epoch=3, mode=Mode.AUTOMATIC, movement=Movement.STEADY, writer="", run="new"
)


def closed_because(run: dict[str, Any], owned: dict[str, Any], lost_site: str) -> str:
    return what_came_of_it(replace(RUN, **run), replace(OWNED, **owned), site="durham", lost_site=lost_site)


@pytest.mark.parametrize(
    ("run", "lost_site", "why"),
    [
        ({}, "morpeth", "morpeth, which carried it out, was lost"),
        ({"state": "running"}, "morpeth", "morpeth, which carried it out, was lost"),
        ({"kind": "rejoin"}, "morpeth", "morpeth, which carried it out, was lost"),
        ({"executor_site": "durham", "state": "stopped"}, "", "its controller was ended"),
    ],
)
def test_a_run_whose_service_has_moved_on_is_closed(run: dict[str, Any], lost_site: str, why: str) -> None:
    told = f"{why}; new came after it: durham is primary at epoch 3"
    assert closed_because(run, {}, lost_site) == told


@pytest.mark.parametrize(
    ("run", "owned", "lost_site"),
    [
        ({}, {}, ""),  # its controller lives, and says itself how it ends
        ({}, {"epoch": 2}, "morpeth"),  # it is primary by this run: it may be back, and go on
        ({}, {"epoch": 1}, "morpeth"),  # it is to be taken back
        ({}, {"run": "old"}, "morpeth"),
        ({"state": "done"}, {}, "morpeth"),
        ({"kind": "drill"}, {}, "morpeth"),  # the drills' own business
        ({"whole_site": "durham"}, {}, "morpeth"),  # ended with what became of each part
        ({"plan": {}}, {}, "morpeth"),
    ],
)
def test_what_somebody_may_still_go_on_with_is_left_alone(
    run: dict[str, Any], owned: dict[str, Any], lost_site: str
) -> None:
    assert closed_because(run, owned, lost_site) == ""


def test_nothing_is_closed_while_it_is_not_known_whose_the_service_is() -> None:
    assert what_came_of_it(RUN, None, site="durham", lost_site="morpeth") == ""


async def test_a_run_of_a_lost_site_that_its_service_has_left_behind_is_closed_in_the_store() -> None:
    async with two_sites(estate(lease="3s")) as world:
        for at in (MORPETH, DURHAM):
            await world.durham.move("switchover")
            await world.until(lambda at=at: world.steady(at=at))  # type: ignore[misc]
        left = replace(world.runs("switchover")[0], run="left", state="waiting", executor=2)
        client = world.cluster.client("somebody")
        await client.transact(
            [Compare(RUNS + "left", 0)], [Put(RUNS + "left", encode(left))], [], timeout_seconds=5
        )
        await world.until(lambda: "left" in world.durham.controller.run_records)
        await world.lose(MORPETH)

        def found() -> RunRecord:
            return next(each for each in world.runs() if each.run == "left")

        await world.until(lambda: found().over)
        assert (found().state, found().executor, found().executor_site) == ("failed", 3, DURHAM)
        assert found().outcome.startswith("morpeth, which carried it out, was lost; crm-switchover-")
