"""Whole sites: every service together, by needs and rank; one that fails stops only what needs it; and what a
controller that was killed had begun goes on."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.client import WrongRequest
from orchestrator.api.shapes import MoveOrder, RunDetail
from orchestrator.api.site_shapes import SiteMoveOrder, SiteMovePlan, SiteMoveRequest
from orchestrator.core.records import RunRecord
from sites.model import Host
from tests.orchestrator.looking import refusal_of
from tests.orchestrator.two_sites import DURHAM, MORPETH, SHIPPED, Site, TwoSites, estate, two_sites

THREE: dict[str, dict[str, Any]] = {
    "crm": {"rank": 1, "needs": ["directory"]},
    "directory": {"rank": 9},
    "hr": {"rank": 2},
}


async def plan(at: Site, verb: str, site: str, **fields: Any) -> SiteMovePlan:
    async with at.api() as client:
        return await client.plan_site(SiteMoveRequest(verb=verb, site=site, **fields))  # type: ignore[arg-type]


async def order(at: Site, of: SiteMovePlan, *, only: tuple[str, ...] = (), **fields: Any) -> str:
    going = [part.plan for part in of.parts if part.plan is not None and part.plan.refusal is None]
    orders = [
        MoveOrder(run=each.run, confirmed_site=each.confirm_site, **fields)
        for each in going
        if not only or each.service in only
    ]
    async with at.api() as client:
        return (await client.move_site(SiteMoveOrder(run=of.run, orders=orders, reason="a test"))).run


def steps(run: RunDetail) -> dict[str, str]:
    return {step.step: step.state for step in run.steps}


def site_run(world: TwoSites, run: str) -> RunRecord:
    return next(each for each in world.runs() if each.run == run)


def begun(world: TwoSites) -> list[str]:
    """The services in the order in which their runs began."""
    return [run.service for run in world.runs("failover", "switchover") if run.service]


async def test_a_switchover_of_a_site_moves_every_service_and_needs_come_first() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        shown = await plan(world.durham, "switchover", DURHAM)
        assert [part.service for part in shown.parts] == ["hr", "directory", "crm"]
        assert [part.needs for part in shown.parts] == [[], [], ["directory"]]
        assert shown.critical_path == ["directory", "crm"]
        run = await order(world.durham, shown)
        told = await world.detail(run, world.durham)
        assert (told.state, told.whole_site, told.outcome) == ("done", DURHAM, "3 of 3 services are moved")
        assert steps(told) == dict.fromkeys(("hr", "directory", "crm"), "done")
        assert begun(world).index("directory") < begun(world).index("crm")
        await world.until(lambda: all(world.open_at(MORPETH, name) for name in THREE))
        there = await world.detail(run, world.morpeth)
        assert steps(there) == steps(told), "the other site can be asked about it as well"


async def test_a_lost_site_s_services_are_taken_together_at_the_survivor() -> None:
    async with two_sites(estate(services=THREE, lease="3s", hold_down="1h")) as world:
        await world.lose(DURHAM)
        await world.until(lambda: all(world.morpeth.decision(name) == "hold-down" for name in THREE))
        shown = await plan(world.morpeth, "failover", DURHAM, reason="it burns")
        told = await world.detail(await order(world.morpeth, shown), world.morpeth)
        assert (told.state, told.kind, told.why) == ("done", "failover", "a test")
        assert all(world.open_at(MORPETH, name) for name in THREE)
        assert told.statement.count("loses at most") == 3


async def test_a_service_that_fails_stops_only_what_needs_it() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        world.pairs["directory"].promote_fails[MORPETH] = 99
        shown = await plan(world.durham, "switchover", DURHAM)
        told = await world.detail(await order(world.durham, shown), world.durham)
        assert told.state == "failed"
        assert steps(told) == {"hr": "done", "directory": "failed", "crm": "skipped"}
        crm = next(step for step in told.steps if step.step == "crm")
        assert "needs directory" in crm.detail
        assert world.open_at(DURHAM, "crm"), "what was not begun was not touched"


async def test_a_refused_service_is_told_in_the_plan_and_holds_back_what_needs_it() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        world.pairs["directory"].instances[MORPETH].receiving = False
        await world.until(lambda: world.durham.decision("directory") == "unprotected")
        shown = await plan(world.durham, "switchover", DURHAM)
        refused = {p.service: p.plan.refusal.code for p in shown.parts if p.plan and p.plan.refusal}
        assert refused == {"directory": "lag-unknown"}
        told = await world.detail(await order(world.durham, shown), world.durham)
        assert steps(told) == {"hr": "done", "directory": "failed", "crm": "skipped"}


async def test_what_does_not_fit_is_said_before_anything_starts_those_before_it_counted() -> None:
    services = {name: {**fields, "load": {"cpu": 4}} for name, fields in THREE.items()}
    tight = estate(services=services, lease="3s")
    tight.sites[MORPETH].__dict__["capacity"] = tight.services["crm"].load.model_copy(update={"cpu": 8.0})  # type: ignore[union-attr]
    async with two_sites(tight) as world:
        shown = await plan(world.durham, "switchover", DURHAM)
        refused = {p.service: p.plan.refusal.code for p in shown.parts if p.plan and p.plan.refusal}
        assert refused == {"crm": "capacity-short"}, "the third in turn finds eight of eight cores taken"
        assert "short of 4 cores" in str(shown.parts[2].plan and shown.parts[2].plan.refusal)
        anyway = await plan(world.durham, "switchover", DURHAM, over_capacity=True, reason="slow is better")
        assert all(part.plan and part.plan.refusal is None for part in anyway.parts)
        told = await world.detail(await order(world.durham, anyway), world.durham)
        assert told.state == "done"


async def test_going_over_a_capacity_needs_a_reason() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        shown = await plan(world.durham, "switchover", DURHAM, over_capacity=True)
        told = await world.detail(await order(world.durham, shown), world.durham)
        assert steps(told) == {"hr": "failed", "directory": "failed", "crm": "skipped"}
        assert all(world.open_at(DURHAM, name) for name in THREE)


async def test_a_controller_killed_in_the_middle_goes_on_with_what_is_left() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        world.pairs["directory"].hung.add(MORPETH)  # its promotion hangs, and crm waits for it
        shown = await plan(world.durham, "switchover", DURHAM)
        run = await order(world.durham, shown)
        await world.until(lambda: "directory" in begun(world) and world.open_at(MORPETH, "hr"))
        await world.durham.kill_controller()
        world.pairs["directory"].hung.clear()
        await world.durham.start()
        await world.until(lambda: world.durham.decision("hr") != "")
        told = await world.detail(run, world.durham)
        assert steps(told) == dict.fromkeys(("hr", "directory", "crm"), "done")
        assert begun(world).count("crm") == 1


async def test_when_the_site_that_they_leave_is_lost_in_the_middle_the_other_ends_the_run() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        world.pairs["directory"].hung.add(MORPETH)  # its promotion hangs, and crm waits for it
        run = await order(world.durham, await plan(world.durham, "switchover", DURHAM))
        await world.until(lambda: world.owned("directory").primary is None and world.open_at(MORPETH, "hr"))
        await world.until(lambda: world.owned("hr").movement == "steady")
        await world.lose(DURHAM)
        await world.until(lambda: site_run(world, run).executor_site == MORPETH)
        world.pairs["directory"].hung.clear()
        await world.until(lambda: site_run(world, run).over)
        told = await world.detail(run, world.morpeth)
        assert told.state == "failed"
        assert steps(told) == {"hr": "done", "directory": "done", "crm": "skipped"}
        assert "2 of 3 services are moved" in told.outcome
        assert "durham was lost, and morpeth brought it to its end" in told.outcome
        assert told.left[-1].endswith("`twinsite plan failover --site durham`")
        await world.until(lambda: all(world.open_at(MORPETH, name) for name in THREE))
        await world.bring_back(DURHAM)
        await world.until(lambda: all(world.steady(name, MORPETH) for name in THREE))
        assert [each.run for each in world.runs() if not each.over] == []


async def test_when_the_site_they_go_to_is_lost_in_the_middle_the_other_ends_the_run_and_its_parts() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        world.pairs["directory"].hung.add(MORPETH)
        run = await order(world.morpeth, await plan(world.morpeth, "switchover", DURHAM))
        await world.until(lambda: world.owned("directory").primary is None and world.open_at(MORPETH, "hr"))
        await world.until(lambda: world.steady("hr", MORPETH))
        await world.lose(MORPETH)
        await world.until(lambda: all(world.open_at(DURHAM, name) for name in THREE))
        await world.until(lambda: site_run(world, run).over)
        told = await world.detail(run, world.durham)
        assert steps(told) == {"hr": "done", "directory": "failed", "crm": "skipped"}
        details = {step.step: step.detail for step in told.steps}
        assert (
            "undone by controller of durham: morpeth, which was to carry it out, is lost"
            in details["directory"]
        )
        assert told.left[-1] == "once morpeth is back: `twinsite plan switchover --site durham`"
        assert [each.run for each in world.runs() if not each.over] == []


async def test_a_controller_that_wakes_up_after_its_run_was_ended_elsewhere_begins_nothing_more() -> None:
    async with two_sites(estate(services=THREE, lease="3s", failover="manual")) as world:
        world.pairs["directory"].hung.add(MORPETH)
        run = await order(world.durham, await plan(world.durham, "switchover", DURHAM))
        await world.until(lambda: world.owned("directory").primary is None and world.open_at(MORPETH, "hr"))
        world.cut_store(DURHAM)
        await world.until(lambda: site_run(world, run).executor_site == MORPETH)
        world.pairs["directory"].hung.clear()
        await world.until(lambda: site_run(world, run).over)
        world.heal_store(DURHAM)
        await world.until(lambda: world.durham.controller.run_records[run].executor_site == MORPETH)
        await world.until(lambda: world.steady("directory", MORPETH))
        ended = site_run(world, run)
        assert (ended.state, ended.executor) == ("failed", 2)
        assert world.open_at(DURHAM, "crm")
        assert "crm" not in begun(world)


async def test_a_controller_that_is_told_to_end_does_not_end_the_run_as_failed() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        world.pairs["directory"].hung.add(MORPETH)
        run = await order(world.morpeth, await plan(world.morpeth, "switchover", DURHAM))
        await world.until(lambda: "directory" in begun(world) and world.open_at(MORPETH, "hr"))
        await world.morpeth.stop_controller()
        assert site_run(world, run).state == "running"
        world.pairs["directory"].hung.clear()
        await world.morpeth.start()
        await world.until(lambda: world.morpeth.decision("hr") != "")
        told = await world.detail(run, world.morpeth)
        assert steps(told) == dict.fromkeys(("hr", "directory", "crm"), "done")


async def test_the_way_home_of_a_site_is_one_order_too() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        shown = await plan(world.durham, "switchover", DURHAM)
        await world.detail(await order(world.durham, shown), world.durham)
        await world.until(lambda: all(world.steady(name, MORPETH) for name in THREE))
        home = await plan(world.durham, "failback", DURHAM)
        assert [part.service for part in home.parts] == ["hr", "directory", "crm"]
        told = await world.detail(await order(world.durham, home), world.durham)
        assert (told.state, told.from_site, told.to_site) == ("done", MORPETH, DURHAM)
        await world.until(lambda: all(world.open_at(DURHAM, name) for name in THREE))
        assert (await plan(world.durham, "failback", DURHAM)).parts == []


async def test_a_failback_of_a_service_goes_home_and_is_refused_there() -> None:
    async with two_sites() as world:
        assert (await refusal_of(world.durham.move("failback"))).code == "owned"
        await world.durham.move("switchover")
        await world.until(lambda: world.steady("crm", MORPETH))
        await world.durham.move("failback", reason="it is whole again")
        await world.until(lambda: world.steady("crm", DURHAM))


async def test_wrong_orders_do_nothing() -> None:
    async with two_sites(estate(services=THREE, lease="3s")) as world:
        with pytest.raises(WrongRequest, match="no site with services"):
            await plan(world.durham, "switchover", "derwentside")
        shown = await plan(world.durham, "switchover", DURHAM)
        with pytest.raises(WrongRequest, match="no part was ordered"):
            await order(world.durham, shown, only=("nobody",))
        async with world.durham.api() as client:
            wrong = SiteMoveOrder(run=shown.run, orders=[MoveOrder(run="r", confirmed_site=MORPETH)])
            assert (await refusal_of(client.move_site(wrong))).code == "plan-unknown"
            part = shown.parts[0].plan
            assert part is not None
            typed = SiteMoveOrder(run=shown.run, orders=[MoveOrder(run=part.run, confirmed_site="x")])
            assert (await refusal_of(client.move_site(typed))).code == "not-confirmed"
        assert begun(world) == []


SHED = """\
runbook: shed
title: Make room
inverse: postgres/demote
steps:
  - id: reports
    action: ssh
    host: "{{ to_site.hosts['hr-app'] }}"
    run: reports stop
    timeout: 1m
    in_doubt: rerun
  - id: tell
    needs: [reports]
    action: notify
    message: "{{ service.name }} makes room at {{ to_site.name }}"
"""


@contextlib.contextmanager
def runbooks(*texts: tuple[str, str]) -> Iterator[Path]:
    """A folder of runbooks by name."""
    with tempfile.TemporaryDirectory(prefix="twinsite-") as folder:
        for name, text in texts:
            path = Path(folder, f"{name}.yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        yield Path(folder)


def making_room(**shed: Any) -> Any:
    """Morpeth has ten cores; hr, at home there, takes four of them and can be shed, and crm needs eight."""
    there = {"home": MORPETH, "standby": DURHAM, "rank": 9, "load": {"cpu": 4}, **shed}
    made = estate(services={"crm": {"rank": 1, "load": {"cpu": 8}}, "hr": there})
    ten = made.services["crm"].load.model_copy(update={"cpu": 10.0})  # type: ignore[union-attr]
    hosts = {"hr-app": Host(name="hr-app", site=MORPETH, address="127.0.0.9")}
    morpeth = made.sites[MORPETH].model_copy(update={"capacity": ten, "hosts": hosts})
    sites = {**made.sites, MORPETH: morpeth}
    return made.model_copy(update={"sites": sites, "runbook_path": ["runbooks"]})


async def test_a_service_of_lower_rank_is_shed_before_the_other_one_opens_and_does_not_hold_it_up() -> None:
    shed = {"runbooks": {**SHIPPED, "shed": "test/shed"}}
    with runbooks(("test/shed", SHED)) as folder:
        room = making_room(**shed).model_copy(update={"runbook_path": [str(folder)]})
        async with two_sites(room) as world:
            plan = await world.durham.move("switchover")
            assert plan.shed == ["hr"]
            told = await world.detail(plan.run, world.morpeth)
            assert told.state == "done"
            names = [step.step for step in told.steps]
            assert names.index("shed-hr/reports") < names.index("promote/database")
            assert names.index("ownership/claim") < names.index("shed-hr/reports"), "not before it is needed"
            reports = next(step for step in told.steps if step.step == "shed-hr/reports")
            assert reports.state == "skipped", "its host does not answer here, and that stops nothing"
            assert next(step for step in told.steps if step.step == "shed-hr/tell").state == "done"
            assert world.open_at(MORPETH, "crm")


async def test_without_a_runbook_to_shed_by_the_move_is_refused_and_says_what_is_missing() -> None:
    async with two_sites(making_room()) as world:
        told = await refusal_of(world.durham.move("switchover"))
        assert told.code == "capacity-short"
        assert "12 cores" in told.message
        assert "short of 2 cores" in told.message


async def test_a_lost_site_s_service_without_room_waits_for_a_person() -> None:
    async with two_sites(making_room()) as world:
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "capacity-short")
        assert world.pair.writable == []
        await world.morpeth.move("failover", over_capacity=True, reason="slow is better than none")
        await world.until(lambda: world.open_at(MORPETH))
