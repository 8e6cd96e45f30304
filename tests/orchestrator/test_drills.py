"""Drills as two whole sites carry them out: begun once, by the owner's controller; refused with a code, on
file; giving way to what is real; gone on with after a crash; cleaned up after, whatever happens."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.api.client import Refused
from orchestrator.api.drill_shapes import DrillOrder, DrillStatus
from orchestrator.api.shapes import SteerRequest
from orchestrator.core.records import RunRecord
from orchestrator.drills import asking
from orchestrator.drills.board import DrillBoard
from orchestrator.drills.records import (
    DRILLS,
    TURN,
    DrillAsk,
    DrillRecord,
    DrillVerb,
    TurnRecord,
    decode,
    encode,
)
from orchestrator.journal_tables import JournalEvent
from orchestrator.store.base import Compare, KeyValue, Put, Snapshot
from orchestrator.store.memory import MemoryCluster
from runbooks.planned import Plan
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites

ISOLATED: dict[str, Any] = {"name": "weekly", "service": "crm", "kind": "isolated"}
EVERY_MINUTE, HOURLY = "* * * * *", "0 * * * *"


@asynccontextmanager
async def world(*drills: dict[str, Any], **of: Any) -> AsyncIterator[TwoSites]:
    """Two sites with these drills, and a client that writes."""
    async with two_sites(estate(drills=drills or (ISOLATED,), **of)) as there:
        there.writer()
        await there.until(lambda: all(lag_known(site) for site in there.sites.values()))
        yield there


def lag_known(site: Site) -> bool:
    return all(service.lag_seconds is not None for service in site.controller.view().services)


def _runs_known_over(site: Site) -> bool:
    return all(run.over for run in site.controller.run_records.values())


def kept(there: TwoSites, drill: str = "weekly") -> DrillRecord | None:
    found = there.cluster.table.read(DRILLS + drill, exact=True).get(DRILLS + drill)
    return decode(DrillRecord, found.value) if found is not None else None


def record(there: TwoSites, drill: str = "weekly") -> DrillRecord:
    found = kept(there, drill)
    assert found is not None
    return found


def turn(there: TwoSites) -> TurnRecord:
    found = there.cluster.table.read(TURN, exact=True).get(TURN)
    return decode(TurnRecord, found.value) if found is not None else TurnRecord()


async def order(site: Site, drill: str = "weekly") -> str:
    async with site.api() as client:
        return (await client.run_drill(DrillOrder(name=drill, reason="a test"))).run


async def shown(site: Site, drill: str = "weekly") -> DrillStatus:
    async with site.api() as client:
        return next(each for each in (await client.drills()).drills if each.name == drill)


async def refused(site: Site, drill: str = "weekly") -> str:
    """The code with which it is refused."""
    with pytest.raises(Refused) as found:
        await order(site, drill)
    return found.value.refusal.code


async def events(site: Site, kind: str) -> list[JournalEvent]:
    return list(await site.controller.journal.events(100, kind=kind))


def ended(there: TwoSites, drill: str = "weekly") -> bool:
    found = kept(there, drill)
    return found is not None and found.last_run != "" and found.run == "" and turn(there).drill == ""


def series(site: Site, name: str) -> str:
    return "\n".join(line for line in site.metrics().splitlines() if line.startswith(name))


def the_run(there: TwoSites) -> RunRecord:
    (run,) = there.runs("drill")
    return run


# --- done ---------------------------------------------------------------------------------------------


async def test_an_isolated_drill_is_a_run_like_any_other_and_leaves_nothing() -> None:
    async with world() as there:
        run = await order(there.durham)
        await there.until(lambda: ended(there))
        told = await there.detail(run, there.morpeth)
        assert (told.kind, told.state) == ("drill", "done")
        assert [step.state for step in told.steps] == ["done"] * 6
        assert there.pair.copies.said == ["room", "copy", "start", "promote", "ask", "remove"]
        assert there.pair.copies.at == {}
        assert there.open_at(DURHAM)
        found = record(there)
        assert (found.success_run, found.last_outcome, found.left_at) == (run, "done", "")
        assert found.success_plan_hash == Plan.from_json(json.dumps(the_run(there).plan)).hash
        for site in there.sites.values():  # both know of it
            status = await shown(site)
            assert (status.success_run, status.carried_out_at, status.exactly_this) == (run, DURHAM, True)
            assert series(site, "twinsite_drill_last_success_timestamp_seconds")
        began, over = await events(there.durham, "drill-began"), await events(there.durham, "drill-ended")
        assert [event.data["run"] for event in (*began, *over)] == [run, run]


async def test_a_drill_that_fails_is_cleaned_up_after_and_does_not_count() -> None:
    async with world() as there:
        there.pair.copies.fails["start"] = "the server did not start: invalid record"
        run = await order(there.durham)
        await there.until(lambda: ended(there))
        told = await there.detail(run, there.durham)
        assert told.state == "failed"
        assert "did not start" in str([step.detail for step in told.steps])
        assert there.pair.copies.at == {}
        found = record(there)
        assert (found.success_run, found.last_outcome, found.left_at) == ("", "failed", "")
        assert not series(there.durham, "twinsite_drill_last_success_timestamp_seconds")


async def test_a_drill_whose_copy_cannot_be_removed_does_not_count_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestrator.drills.carrying.CLEAN_AGAIN_SECONDS", 0.0)
    async with world() as there:
        there.pair.copies.fails["remove"] = "device is busy"
        await order(there.durham)
        await there.until(lambda: ended(there))
        assert record(there).left_at == MORPETH
        assert record(there).success_run == ""
        assert (await shown(there.morpeth)).left_at == MORPETH
        assert 'drill="weekly"' in series(there.durham, "twinsite_drill_left_behind")
        assert await events(there.durham, "drill-not-cleaned")
        there.pair.copies.fails.clear()
        await there.until(lambda: record(there).left_at == "")
        assert there.pair.copies.at == {}


async def test_a_tabletop_drill_asks_people_and_touches_nothing() -> None:
    async with world({"name": "weekly", "service": "crm", "kind": "tabletop"}) as there:
        run = await order(there.durham)
        await there.until(lambda: ended(there))
        told = await there.detail(run, there.durham)
        assert told.state == "done"
        assert "a switchover now: crm loses nothing" in told.steps[0].detail
        assert there.pair.copies.said == []
        assert there.owned().epoch == 1
        assert series(there.durham, "twinsite_drill_success_timestamp_seconds")
        assert not series(there.durham, "twinsite_drill_last_success_timestamp_seconds")


# --- begun once, by the owner's controller, by the calendar ---------------------------------------------


async def as_if(there: TwoSites, drill: str = "weekly", *, looked: timedelta, **other: Any) -> None:
    """As if the calendar had last been looked at so long ago."""
    await there.until(lambda: kept(there, drill) is not None)
    at = datetime.now(UTC) - looked
    changed = replace(record(there, drill), handled_until=at.timestamp(), **other)
    store, key = there.cluster.client("a test"), DRILLS + drill
    found = await store.read(key, exact=True, timeout_seconds=5)
    item = found.get(key)
    assert item is not None
    compare = Compare(key, item.mod_revision)
    assert (await store.transact([compare], [Put(key, encode(changed))], [key], timeout_seconds=5)).succeeded
    await store.aclose()


async def test_a_drill_that_is_due_begins_once_at_the_owners_site_alone() -> None:
    async with world({**ISOLATED, "schedule": HOURLY, "begins_within": "59m"}) as there:
        await as_if(there, looked=timedelta(minutes=61))
        await there.until(lambda: ended(there))
        assert [(run.executor_site, run.who) for run in there.runs("drill")] == [
            (DURHAM, "controller of durham")
        ]
        assert record(there).handled_until <= datetime.now(UTC).timestamp()


async def test_after_a_move_the_other_sites_controller_takes_care_of_it() -> None:
    async with world() as there:
        await there.morpeth.move("switchover")
        await there.until(lambda: there.steady(at=MORPETH) and all(run.over for run in there.runs()))
        await there.until(lambda: lag_known(there.morpeth) and _runs_known_over(there.morpeth))
        run = await order(there.morpeth)
        await there.until(lambda: ended(there))
        assert (await there.detail(run, there.durham)).to_site == DURHAM
        assert record(there).success_run == run


async def test_what_nobody_was_there_to_begin_is_on_file_as_missed_and_made_up_for() -> None:
    drill = {**ISOLATED, "schedule": "0 0 1 1 *", "if_missed": "next", "make_up": EVERY_MINUTE}
    async with world(drill) as there:
        await as_if(there, looked=timedelta(days=400))
        await there.until(lambda: ended(there))
        (missed,) = await events(there.durham, "drill-missed")
        assert (missed.data["code"], missed.data["to_be_made_up_for"]) == ("drill-missed", True)
        found = record(there)
        assert (found.missed, found.owed, found.last_outcome) == (1, None, "done")
        assert "made up for" in the_run(there).why
        assert 'drill="weekly"' in series(there.durham, "twinsite_drills_missed_total")


async def test_the_one_that_was_tested_least_recently_begins_first_and_one_at_a_time() -> None:
    often = {**ISOLATED, "schedule": HOURLY, "begins_within": "59m", "min_time_between": "0s"}
    async with world(often, {**often, "name": "stale"}) as there:
        there.pair.copies.hangs.add("copy")
        now = datetime.now(UTC).timestamp()
        await as_if(there, "weekly", looked=timedelta(minutes=30), success_ended=now - 3600, success_run="x")
        await as_if(there, "stale", looked=timedelta(minutes=30), success_ended=now - 7200, success_run="y")
        for site in there.sites.values():  # both become due at the same moment
            assert site.controller.drills is not None
        await as_if(there, "weekly", looked=timedelta(minutes=61), success_ended=now - 3600, success_run="x")
        await as_if(there, "stale", looked=timedelta(minutes=61), success_ended=now - 7200, success_run="y")
        await there.until(lambda: turn(there).drill != "")
        first = turn(there).drill
        other = "weekly" if first == "stale" else "stale"
        await there.until(lambda: record(there, other).refused_code == "drill-under-way")
        there.pair.copies.hangs.clear()
        await there.until(lambda: ended(there, "weekly") and ended(there, "stale"))
        assert len(there.runs("drill")) == 2


# --- refused ------------------------------------------------------------------------------------------


async def test_refusals_are_told_with_a_code_and_put_on_file() -> None:
    async with world() as there:
        there.pair.instances[MORPETH].receiving = False
        there.pair.changed()
        await there.until(lambda: there.durham.decision() != "healthy")
        assert await refused(there.durham) in ("drill-unprotected", "incident")
        (found,) = await events(there.durham, "drill-refused")
        assert found.data["code"] == record(there).refused_code
        assert (await shown(there.morpeth)).refusal is not None
        assert there.runs("drill") == []


async def test_a_drill_is_not_begun_twice() -> None:
    async with world() as there:
        there.pair.copies.hangs.add("copy")
        await order(there.durham)
        assert await refused(there.durham) == "drill-under-way"
        there.pair.copies.hangs.clear()
        await there.until(lambda: ended(there))
        assert len(there.runs("drill")) == 1


async def test_it_may_be_ordered_and_abandoned_at_the_other_site() -> None:
    async with world() as there:
        await there.until(lambda: kept(there) is not None)  # the owner has looked for orders
        there.pair.copies.hangs.add("copy")
        run = await order(there.morpeth)
        assert the_run(there).executor_site == DURHAM
        assert await refused(there.morpeth) == "drill-under-way"
        async with there.morpeth.api() as client:
            given = await client.abandon_drill(DrillOrder(name="weekly", reason="too slow"))
        assert given.run == run
        await there.until(lambda: ended(there))
        assert (record(there).last_outcome, record(there).asks) == ("aborted", ())
        assert [answer.code for answer in record(there).answers] == ["", "drill-under-way", ""]
        (began,) = await events(there.durham, "drill-began")
        assert began.data["why"] == "a test"
        async with there.morpeth.api() as client:
            with pytest.raises(Refused) as found:
                await client.abandon_drill(DrillOrder(name="weekly", reason="again"))
        assert found.value.refusal.code == "drill-not-under-way"


async def test_an_order_that_nobody_answered_is_not_followed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.3)
    async with world() as there:
        desk = there.durham.controller.drills
        assert desk is not None
        monkeypatch.setattr(desk, "look", _never)
        assert await refused(there.morpeth) == "order-unanswered"
        assert record(there).asks == ()
        assert there.runs("drill") == []


async def test_an_order_that_stood_there_before_the_controller_did_comes_too_late() -> None:
    async with world() as there:
        await there.until(lambda: kept(there) is not None)
        old = DrillAsk("1", DrillVerb.RUN, "op", MORPETH, "2030-01-01T00:00:00Z", "long ago")
        board = DrillBoard(there.cluster.client("test"))
        begun = []

        async def obey(ask: DrillAsk) -> str:
            begun.append(ask)
            return "x"

        await board.write("weekly", lambda found: replace(found, asks=(old,)) if found else None)
        board.begin(await there.cluster.client("test").read(DRILLS, timeout_seconds=1))
        board.records["weekly"] = record(there)
        await asking.Asking(DURHAM, board).look("weekly", ours=True, obey=obey)
        assert begun == []
        assert [answer.code for answer in record(there).answers] == ["order-too-late"]


async def test_drills_of_a_store_that_was_put_back_are_what_it_says() -> None:
    board = DrillBoard(MemoryCluster().client("test"))
    new = KeyValue(DRILLS + "weekly", encode(DrillRecord(drill="weekly", service="crm", kind="isolated",
                   since=0.0, handled_until=0.0, last_run="later")), 90)  # fmt: skip
    old = KeyValue(TURN, encode(TurnRecord(drill="weekly", run="r", site=DURHAM)), 40)
    board.begin(Snapshot(100, (new,), "cluster"))
    board.take(new)
    board.begin(Snapshot(50, (old,), "cluster"))
    board.take(old)
    assert (board.records, board.turn.run) == ({}, "r")
    board.begin(Snapshot(200, (), "another"))
    assert (board.records, board.turn.run) == ({}, "")


async def _never() -> None:
    return


async def test_two_orders_at_the_same_moment_begin_one() -> None:
    async with world(ISOLATED, {**ISOLATED, "name": "other"}) as there:
        there.pair.copies.hangs.add("copy")
        names = ["weekly", "other", "weekly", "other"]
        found = await asyncio.gather(*(order(there.durham, name) for name in names), return_exceptions=True)
        begun = [each for each in found if isinstance(each, str)]
        codes = {each.refusal.code for each in found if isinstance(each, Refused)}
        assert len(begun) == 1
        assert codes <= {"drill-under-way", "drill-not-kept"}
        there.pair.copies.hangs.clear()
        await there.until(lambda: turn(there).drill == "")
        assert [run.run for run in there.runs("drill")] == begun


async def test_by_itself_it_does_not_begin_in_a_blackout_and_a_person_may_order_it_all_the_same() -> None:
    always = {"always": {"weekdays": ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]}}
    drill = {**ISOLATED, "schedule": HOURLY, "begins_within": "59m", "blackouts": ["always"]}
    async with world(drill, blackouts=always) as there:
        await as_if(there, looked=timedelta(minutes=61))
        await there.until(lambda: record(there).refused_code == "drill-blackout")
        assert there.runs("drill") == []
        assert (await shown(there.durham)).next_due is None
        await order(there.durham)
        await there.until(lambda: ended(there))
        assert record(there).last_outcome == "done"


async def test_a_calendar_that_cannot_be_read_keeps_it_from_beginning_by_itself() -> None:
    drill = {**ISOLATED, "schedule": HOURLY, "begins_within": "59m", "blackouts": ["council"]}
    async with world(drill, blackouts={"council": {"calendar": "nowhere.ics"}}) as there:
        await as_if(there, looked=timedelta(minutes=61))
        await there.until(lambda: record(there).refused_code == "drill-blackout-unknown")
        assert "nowhere.ics" in record(there).refused_why
        assert there.runs("drill") == []


# --- giving way, going on -----------------------------------------------------------------------------


async def test_a_real_failover_in_the_middle_of_a_drill_wins_and_the_drill_is_cleaned_up_after() -> None:
    async with world() as there:
        there.pair.copies.hangs.add("start")
        run = await order(there.durham)
        await there.until(lambda: "start" in there.pair.copies.said)
        await there.durham.kill()
        there.pair.kill(DURHAM)
        await there.until(lambda: there.owned().primary == MORPETH and there.open_at(MORPETH))
        await there.until(lambda: ended(there))
        assert there.pair.copies.at == {}
        found = record(there)
        assert (found.last_run, found.last_outcome, found.success_run) == (run, "aborted", "")
        assert "durham, which carried it out, is lost" in found.last_why
        assert (await there.detail(run, there.morpeth)).state == "aborted"


async def test_a_planned_move_in_the_middle_of_a_drill_wins_too() -> None:
    async with world() as there:
        there.pair.copies.hangs.add("copy")
        run = await order(there.durham)
        await there.until(lambda: "copy" in there.pair.copies.said)
        await there.morpeth.move("switchover")
        await there.until(lambda: there.steady(at=MORPETH))
        await there.until(lambda: ended(there))
        assert there.pair.copies.at == {}
        assert (await there.detail(run, there.durham)).state == "aborted"
        assert record(there).last_outcome == "aborted"


async def test_a_controller_that_was_cut_off_goes_on_with_its_drill() -> None:
    async with world() as there:
        there.pair.copies.hangs.add("promote")
        run = await order(there.durham)
        await there.until(lambda: "promote" in there.pair.copies.said)
        await there.durham.kill_controller()
        there.pair.copies.hangs.clear()
        await there.durham.start()
        await there.until(lambda: ended(there))
        told = await there.detail(run, there.durham)
        assert told.state == "done"
        assert there.pair.copies.said.count("copy") == 1
        assert record(there).success_run == run


async def test_an_abandoned_drill_ends_at_once_and_leaves_nothing() -> None:
    async with world() as there:
        there.pair.copies.hangs.add("copy")
        run = await order(there.durham)
        await there.until(lambda: "copy" in there.pair.copies.said)
        async with there.durham.api() as client:
            await client.abandon_drill(DrillOrder(name="weekly", reason="the disk is slow"))
        await there.until(lambda: ended(there))
        told = await there.detail(run, there.morpeth)
        assert told.state == "aborted"
        assert "the disk is slow" in record(there).last_why
        assert there.pair.copies.at == {}
        async with there.durham.api() as client:
            with pytest.raises(Refused) as found:
                await client.abandon_drill(DrillOrder(name="weekly", reason="once more"))
        assert found.value.refusal.code == "drill-not-under-way"


async def test_a_drill_that_takes_too_long_is_abandoned_by_itself() -> None:
    async with world({**ISOLATED, "ends_within": "300ms"}) as there:
        there.pair.copies.hangs.add("start")
        await order(there.durham)
        await there.until(lambda: ended(there))
        assert record(there).last_outcome in ("aborted", "failed")
        assert there.pair.copies.at == {}


async def test_a_run_that_is_aborted_by_hand_is_cleaned_up_after_as_well() -> None:
    async with world() as there:
        there.pair.copies.hangs.add("copy")
        run = await order(there.durham)
        await there.until(lambda: "copy" in there.pair.copies.said)
        async with there.morpeth.api() as client:
            await client.steer(run, SteerRequest(verb="abort", reason="not tonight", seen=0))
        there.pair.copies.hangs.clear()
        await there.until(lambda: ended(there))
        assert (await there.detail(run, there.durham)).state == "aborted"
        assert there.pair.copies.at == {}
