"""Live drills: the service moves away by an ordinary planned move, stays, and comes home; what is real goes
first, and what is left is said."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sites.model import Host
from sites.transport import Completed
from tests.orchestrator import two_sites as world_of
from tests.orchestrator.test_drills import ended, lag_known, order, record, refused, shown, turn, world
from tests.orchestrator.test_steering_runs import steered_estate
from tests.orchestrator.two_sites import DURHAM, MORPETH, TwoSites, two_sites

LIVE: dict[str, Any] = {"name": "weekly", "service": "crm", "kind": "live", "stay": "0s"}
STAYING: dict[str, Any] = {**LIVE, "stay": "1h"}


def home_again(there: TwoSites) -> bool:
    return ended(there) and there.steady(at=DURHAM)


async def test_away_a_stay_and_home_by_two_ordinary_moves() -> None:
    async with world(LIVE) as there:
        run = await order(there.durham)
        await there.until(lambda: home_again(there))
        told = await there.detail(run, there.morpeth)
        assert told.state == "done", told
        assert [step.state for step in told.steps] == ["done"] * 3
        moves = there.runs("switchover")
        assert [(move.to_site, move.state, move.who) for move in moves] == [
            (MORPETH, "done", f"drill {run}"),
            (DURHAM, "done", f"drill {run}"),
        ]
        assert there.owned().epoch == 3
        assert "protected again after" in told.steps[1].detail
        assert (record(there).success_run, record(there).left_at) == (run, "")


async def test_a_failover_during_the_stay_wins_and_the_drill_does_not_count() -> None:
    async with world(STAYING) as there:
        run = await order(there.durham)
        await there.until(lambda: there.steady(at=MORPETH))
        there.pair.kill(MORPETH)
        await there.until(lambda: there.owned().primary == DURHAM and there.open_at(DURHAM))
        await there.until(lambda: ended(there))
        assert (await there.detail(run, there.durham)).state == "aborted"
        assert record(there).success_run == ""
        assert turn(there).drill == ""


async def test_an_abandoned_live_drill_says_that_the_service_is_still_away_until_it_is_home() -> None:
    async with world(STAYING) as there:
        await order(there.durham)
        await there.until(lambda: there.steady(at=MORPETH))
        assert there.durham.controller.drills is not None
        await there.durham.controller.drills.abandon("weekly", "anna@durham", "users complain")
        await there.until(lambda: ended(there))
        assert record(there).left_at == MORPETH
        await there.until(lambda: there.steady(at=MORPETH))
        assert (await shown(there.durham)).left_at == MORPETH
        await there.durham.move("failback")
        await there.until(lambda: there.steady(at=DURHAM) and record(there).left_at == "")


async def test_a_controller_that_was_cut_off_during_the_stay_brings_it_home() -> None:
    async with world({**LIVE, "stay": "2s"}) as there:
        run = await order(there.durham)
        await there.until(lambda: there.owned().primary == MORPETH and there.owned().movement == "steady")
        await there.durham.kill_controller()
        await there.durham.start()
        await there.until(lambda: home_again(there))
        told = await there.detail(run, there.durham)
        assert (told.state, there.owned().epoch) == ("done", 3)


async def test_nothing_is_moved_where_the_standby_does_not_follow() -> None:
    async with world(LIVE) as there:
        there.pair.instances[MORPETH].receiving = False
        there.pair.changed()
        await there.until(lambda: there.durham.decision() != "healthy")
        assert await refused(there.durham) in ("drill-unprotected", "drill-lag", "drill-lag-unknown")
        assert there.runs("switchover", "drill") == []


class Gate:
    """The sign-on of the other site, and what keeps it out of reach. `stuck`: it cannot be let in again."""

    def __init__(self) -> None:
        self.blocked = False
        self.stuck = False
        self.seen_blocked_at: list[str] = []

    async def run(
        self, _: Any, host: Host, command: str, *, timeout_seconds: float, stdin: str = "", said: Any = None
    ) -> Completed:
        if command == "unblock" and self.stuck:
            return Completed(1, "", "table is locked", 0.0)
        if command in ("block", "unblock"):
            self.blocked = command == "block"
        return Completed(0 if command != "check" or self.blocked else 1, "", "", 0.0)


ISOLATION: dict[str, Any] = {
    **LIVE,
    "kind": "isolation",
    "block": {
        "sign-on": {"host": "morpeth/crm-app", "block": "block", "unblock": "unblock", "verify": "check"}
    },
}


@asynccontextmanager
async def gated(monkeypatch: pytest.MonkeyPatch, **drill: Any) -> AsyncIterator[tuple[TwoSites, Gate]]:
    gate = Gate()

    async def run(self: Any, host: Host, command: str, **more: Any) -> Completed:
        return await gate.run(self, host, command, **more)

    monkeypatch.setattr(world_of.NoHosts, "run", run)
    monkeypatch.setattr("orchestrator.drills.carrying.CLEAN_AGAIN_SECONDS", 0.0)
    async with two_sites(steered_estate(drills=[{**ISOLATION, **drill}])) as there:
        there.writer()
        await there.until(lambda: all(lag_known(site) for site in there.sites.values()))
        yield there, gate


async def test_in_an_isolation_drill_things_are_blocked_while_it_is_away_and_never_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with gated(monkeypatch) as (there, gate):
        run = await order(there.durham)
        await there.until(lambda: there.owned().primary == MORPETH)
        assert gate.blocked
        await there.until(lambda: home_again(there))
        told = await there.detail(run, there.durham)
        assert (told.state, len(told.steps)) == ("done", 5)
        assert not gate.blocked


async def test_what_could_not_be_let_in_again_is_said_and_tried_until_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with gated(monkeypatch) as (there, gate):
        gate.stuck = True
        await order(there.durham)
        await there.until(lambda: ended(there) and there.steady(at=DURHAM))
        assert gate.blocked
        assert (record(there).success_run, record(there).left_at) == ("", MORPETH)
        gate.stuck = False
        await there.until(lambda: record(there).left_at == "")
        assert not gate.blocked
