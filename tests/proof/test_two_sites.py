"""The same over two whole sites: what people and metrics are told of a failover, its loss, and its
rehearsal."""

import pytest

from orchestrator.api.drill_shapes import DrillOrder
from orchestrator.api.shapes import MoveRequest, RunDetail
from orchestrator.core.records import RunRecord
from orchestrator.core.view import ServiceView
from orchestrator.loss import EVENT as RECONCILED
from orchestrator.report_file import taken_apart
from orchestrator.report_verify import evidence_in
from orchestrator.run_books import STALL_EVENT
from runbooks.timing import past_of
from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites


async def told(site: Site, run: str) -> RunDetail:
    async with site.api() as client:
        return await client.run(run)


async def lost_and_taken_over(world: TwoSites) -> RunRecord:
    """Durham is lost with a row that Morpeth never received."""
    await world.until(lambda: world.steady(at=DURHAM))
    world.pair.instances[MORPETH].receiving = False
    assert world.pair.write()
    await world.lose(DURHAM)
    world.pair.instances[MORPETH].receiving = True
    await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
    await world.until(lambda: bool(world.runs("failover")) and world.runs("failover")[-1].state == "done")
    return world.runs("failover")[-1]


async def test_a_failover_is_held_against_the_clock_from_its_detection_on() -> None:
    async with two_sites() as world:
        run = await lost_and_taken_over(world)
        assert run.detected_unix_seconds is not None
        assert run.last_well_unix_seconds is not None
        assert run.last_well_unix_seconds <= run.detected_unix_seconds <= run.started_unix_seconds
        assert run.outage_seconds is not None
        await world.until(lambda: world.morpeth.controller.trend.of(run.run) is not None)
        found = await told(world.morpeth, run.run)
        assert found.clock is not None
        stretches = (
            found.clock.decide_seconds,
            found.clock.execute_seconds,
            found.clock.verify_seconds,
        )
        assert None not in (*stretches, found.clock.detect_seconds)
        assert found.clock.used_seconds == pytest.approx(sum(each or 0.0 for each in stretches))
        assert found.clock.within_rto is True
        assert found.outage_seconds == run.outage_seconds
        shown = await look(world.morpeth)
        for stage in ("detect", "decide", "execute", "verify"):
            assert shown.metric("last_move_stage_seconds", stage=stage) is not None
        assert shown.metric("last_move_rto_used_seconds") == pytest.approx(found.clock.used_seconds)


async def test_what_was_said_is_reconciled_with_what_was_lost_once_the_old_primary_rejoins() -> None:
    async with two_sites() as world:
        run = await lost_and_taken_over(world)
        before = await told(world.morpeth, run.run)
        assert before.loss is not None
        assert (before.loss.known, before.loss.final) == (False, False)
        shown = await look(world.morpeth)
        assert shown.metric("last_move_lost_bytes") is None, "not known is not nothing"
        await world.bring_back(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH))
        for site in (world.durham, world.morpeth):

            async def on_file(site: Site = site) -> list[dict[str, object]]:
                events = await site.controller.journal.events(10, service="crm", kind=RECONCILED)
                return [dict(event.data) for event in events]

            while not await on_file():
                await world.until(lambda: True)
            (event,) = await on_file()
            assert (event["run"], event["said"], event["bytes"]) == (run.run, run.statement, 1)
            found = await told(site, run.run)
            assert found.loss is not None
            assert (found.loss.known, found.loss.bytes, found.loss.seconds) == (True, 1, None)
            assert "over how long is unknown" in found.loss.words
            assert found.statement == run.statement, "what was said stays as it was said"
        shown = await look(world.morpeth)
        assert shown.metric("last_move_lost_bytes") == 1
        assert shown.metric("last_move_lost_seconds") is None


async def test_a_move_is_the_rehearsal_of_the_next_one_until_something_changes() -> None:
    async with two_sites() as world:
        await world.until(lambda: world.steady(at=DURHAM))
        shown = await look(world.durham)
        assert (
            shown.metric("drill_of_todays_plan", service="crm") is None
        )  # never done, so nothing has changed since
        assert shown.service().rehearsed is not None
        assert shown.service().rehearsed.words == "never drilled"
        await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=DURHAM))
        for site in (world.durham, world.morpeth):
            await world.until(lambda site=site: len(list(site.controller.trend.figures)) >= 2)
            shown = await look(site)
            assert shown.metric("drill_of_todays_plan", service="crm") == 1
            assert shown.service().rehearsed.words.startswith("done (switchover) 0 min ago in ")
        async with world.durham.api() as client:
            plan = await client.plan(MoveRequest(verb="switchover", service="crm"))
        assert plan.rehearsed is not None
        assert plan.rehearsed.exactly is True
        controller = world.durham.controller
        figures = [one for one in controller.trend.figures if one.to_site == MORPETH]
        for one in figures:
            other = {**one.made_from, "runbook postgres/promote": "another"}
            controller.trend.take(type(one)(**{**_fields(one), "made_from": other}))
        shown = await look(world.durham)
        assert shown.metric("drill_of_todays_plan", service="crm") == 0
        assert shown.service().rehearsed.words.endswith("changed since: runbook postgres/promote")


def _fields(one: object) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}  # type: ignore[attr-defined]


async def test_the_figures_of_a_run_outlive_its_controller() -> None:
    async with two_sites() as world:
        await world.until(lambda: world.steady(at=DURHAM))
        plan = await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        await world.until(lambda: world.morpeth.controller.trend.of(plan.run) is not None)
        async with world.morpeth.api() as client:
            await world.until(lambda: len(list(world.morpeth.controller.trend.figures)) == 2)
            before = await client.figures(service="crm", steps=True)
        moved = next(one for one in before.runs if one.run == plan.run)
        assert {one.kind for one in before.runs} == {"switchover", "rejoin"}
        assert moved.steps["promote/database"] > 0
        assert {month.name for month in before.months if month.of == "step"} >= {"promote/database"}
        await world.morpeth.stop_controller()
        await world.morpeth.start()
        await world.until(lambda: world.steady(at=MORPETH))
        async with world.morpeth.api() as client:
            assert (await client.figures(service="crm", steps=True)).runs == before.runs
            assert (await client.figures(service="crm")).runs[0].steps == {}
            found = await client.run(plan.run)
        promote = next(step for step in found.steps if step.step == "promote/database")
        assert promote.usual_seconds == pytest.approx(moved.steps["promote/database"])


async def test_a_step_that_hangs_is_projected_and_told_of_as_stalled() -> None:
    async with two_sites() as world:
        await world.until(lambda: world.steady(at=DURHAM))
        trend = world.morpeth.controller.trend
        known = {step: past_of([0.01] * 3) for step in STEPS}
        trend._past["crm"] = {step: past for step, past in known.items() if past is not None}
        world.pair.hung.add(MORPETH)
        plan = await world.durham.move("switchover")
        await world.until(lambda: bool(world.morpeth.controller.books._stalls))
        found = await told(world.morpeth, plan.run)
        assert found.projected is not None
        assert any("has been running for" in words for words in found.projected.stalls)
        assert found.projected.likely_finish is not None
        shown = await look(world.morpeth)
        assert shown.metric("run_stalled", service="crm", kind="switchover") == 1
        assert (
            shown.metric("run_projected_finish_timestamp_seconds", service="crm", kind="switchover")
            is not None
        )
        assert any(warning.startswith("STALLED: run ") for warning in shown.status.warnings)
        events = await world.morpeth.controller.journal.events(10, service="crm", kind=STALL_EVENT)
        assert [event.data["run"] for event in events] == [plan.run], "once"
        world.pair.hung.clear()
        world.pair.changed()
        await world.until(lambda: world.open_at(MORPETH))


STEPS = (
    "demote/checkpoint",
    "ownership/give-up",
    "ownership/claim",
    "promote/database",
    "ownership/settle",
)


async def test_a_drill_has_its_figures_and_its_report_too() -> None:
    drill = {"name": "weekly", "service": "crm", "kind": "isolated"}
    async with two_sites(estate(drills=(drill,))) as world:
        world.writer()
        await world.until(lambda: all(each.lag_seconds is not None for each in _views(world)))
        async with world.durham.api() as client:
            run = (await client.run_drill(DrillOrder(name="weekly", reason="a test"))).run
        await world.until(lambda: world.durham.controller.trend.of(run) is not None)
        assert world.durham.controller.trend.of(run).state == "done"
        async with world.durham.api() as client:
            html = (await client.report(run)).html
        told = evidence_in(taken_apart(html))
        assert told["title"] == "crm: drill, Durham to Morpeth"
        assert told["objectives"][0]["name"] == "Time taken (RTO)"
        assert told["journal"]["links"], "its journal is here"
        shown = await look(world.durham)
        assert shown.metric("drill_of_todays_plan", service="crm") == 0
        words = shown.service().rehearsed.words
        assert words.startswith("drilled 0 min ago in ")
        assert words.endswith("changed since: runbook postgres/promote (it was not part of it)")


def _views(world: TwoSites) -> list[ServiceView]:
    return [each for site in world.sites.values() for each in site.controller.view().services]
