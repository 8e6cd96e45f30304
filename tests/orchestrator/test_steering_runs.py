"""Runs that wait for people, steered at either site's controller, over whole sites in one process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator.api.client import Refused
from orchestrator.api.shapes import AdoptRequest, RunDetail, Steered, SteerRequest
from sites.model import Estate, Host
from sites.transport import Completed
from tests.orchestrator import two_sites as world_of
from tests.orchestrator.looking import refusal_of
from tests.orchestrator.test_broken_glass import alone
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites

DEMOTE = """
runbook: demote
title: Close it
steps:
  - id: stop-app
    action: ssh
    host: "{{ from_site.hosts['crm-app'] }}"
    run: appctl stop
    undo: {run: appctl start}
  - id: tell
    needs: [stop-app]
    action: person
    who: duty manager
    ask: Tell the desk
    expect: 5m
"""
TWO_TO_TAKE_BACK = """
runbook: demote
title: Close it
steps:
  - id: stop-app
    action: ssh
    host: "{{ from_site.hosts['crm-app'] }}"
    run: appctl stop
    undo: {run: appctl start}
  - id: bar
    action: ssh
    needs: [stop-app]
    host: "{{ from_site.hosts['crm-app'] }}"
    run: doorctl bar
    undo: {run: doorctl open}
  - {id: tell, action: person, needs: [bar], who: x, ask: Tell the desk, expect: 5m}
"""
PROMOTE = """
runbook: promote
title: Open it
steps:
  - {id: open, action: replication.promote}
  - {id: late, action: person, needs: [open], who: x, ask: Look, expect: 5m}
"""
WORDS = ("appctl stop", "appctl start", "doorctl bar", "doorctl open")


class Hosts:
    """What was run where. What is `hung` does not begin."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str]] = []
        self.fails: dict[str, int] = {}
        self.hung: set[str] = set()

    async def run(
        self, _: Any, host: Host, command: str, *, timeout_seconds: float, stdin: str = "", said: Any = None
    ) -> Completed:
        word = next((each for each in WORDS if each in command), "")
        if not word:
            return Completed(0, "never started\n", "", 0.0)
        while word in self.hung:
            await asyncio.sleep(0.01)
        self.ran.append((host.site, word))
        left = self.fails.get(word, 0)
        self.fails[word] = left - 1
        return Completed(1 if left > 0 else 0, "", "no" if left > 0 else "", 0.0)


def steered_estate(**everywhere: Any) -> Estate:
    of = estate(**everywhere)
    sites = {
        name: site.model_copy(
            update={"hosts": {"crm-app": Host(name="crm-app", site=name, address="10.0.0.1")}}
        )
        if not site.witness
        else site
        for name, site in of.sites.items()
    }
    return of.model_copy(update={"sites": sites, "runbook_path": ["books"]})


def books(promote: str = "", demote: str = DEMOTE) -> Callable[[TwoSites], None]:
    def prepare(world: TwoSites) -> None:
        for site in world.sites.values():
            folder = site.directory / "books" / "postgres"
            folder.mkdir(parents=True)
            if demote:
                (folder / "demote.yaml").write_text(demote)
            if promote:
                (folder / "promote.yaml").write_text(promote)

    return prepare


@asynccontextmanager
async def waiting(
    monkeypatch: pytest.MonkeyPatch, promote: str = "", demote: str = DEMOTE, **everywhere: Any
) -> AsyncIterator[tuple[TwoSites, str, Hosts]]:
    """A switchover to Morpeth that waits for a person."""
    hosts = Hosts()

    async def run(
        self: Any, host: Host, command: str, *, timeout_seconds: float, stdin: str = "", said: Any = None
    ) -> Completed:
        return await hosts.run(self, host, command, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(world_of.NoHosts, "run", run)
    async with two_sites(steered_estate(**everywhere), prepare=books(promote, demote)) as world:
        plan = await world.durham.move("switchover")
        await world.until(lambda: state_of(world, plan.run) == "waiting")
        yield world, plan.run, hosts


def state_of(world: TwoSites, run: str) -> str:
    return next((each.state for each in world.runs() if each.run == run), "")


async def order(site: Site, run: str, verb: str, step: str = "", **more: Any) -> Steered:
    async with site.api() as client:
        told = await client.run(run)
        more.setdefault("seen", told.last_order)
        return await client.steer(run, SteerRequest(verb=verb, step=step, reason="because", **more))


async def told(site: Site, run: str) -> RunDetail:
    async with site.api() as client:
        return await client.run(run)


@pytest.mark.parametrize("ordered_at", [DURHAM, MORPETH])
async def test_a_run_that_waits_is_seen_at_both_sites_and_goes_on_by_a_word_at_either(
    monkeypatch: pytest.MonkeyPatch, ordered_at: str
) -> None:
    async with waiting(monkeypatch) as (world, run, hosts):
        for site in world.sites.values():
            await world.until(lambda site=site: site.controller.run_records[run].state == "waiting")
            seen = await told(site, run)
            assert [(wait.kind, wait.step) for wait in seen.waits] == [("person", "demote/tell")]
            assert (
                seen.waits[0].commands[0] == f"twinsite runs done {run} demote/tell --evidence … --reason …"
            )
        assert world.open_at(DURHAM)
        given = await order(world.sites[ordered_at], run, "done", "demote/tell", evidence="told")
        assert (given.number, given.executor) == (1, MORPETH)
        await world.until(lambda: world.steady(at=MORPETH))
        ended = await world.detail(run, world.durham)
        assert ended.state == "done"
        assert [(o.verb, o.step, o.evidence, o.site) for o in ended.orders] == [
            ("done", "demote/tell", "told", ordered_at)
        ]
        assert hosts.ran == [(DURHAM, "appctl stop")]


@pytest.mark.parametrize("ordered_at", [DURHAM, MORPETH])
async def test_an_aborted_run_leaves_the_service_where_it_is_and_says_in_which_state(
    monkeypatch: pytest.MonkeyPatch, ordered_at: str
) -> None:
    async with waiting(monkeypatch) as (world, run, hosts):
        await order(world.sites[ordered_at], run, "abort")
        await world.until(lambda: state_of(world, run) == "aborted" and world.steady(at=DURHAM))
        left = "\n".join((await told(world.morpeth, run)).left)
        assert "steps done and left so: 1 stop-app" in left
        assert "never started: 2 tell" in left
        assert "crm is primary at durham at epoch 1, and accepts writes there" in left
        assert "protected: morpeth receives what is written" in left
        assert hosts.ran == [(DURHAM, "appctl stop")]


async def test_an_undone_run_takes_back_what_it_did_at_the_other_site(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, hosts):
        await order(world.durham, run, "undo")
        await world.until(lambda: state_of(world, run) == "undone" and world.steady(at=DURHAM))
        assert hosts.ran == [(DURHAM, "appctl stop"), (DURHAM, "appctl start")]
        steps = {step.step: step.state for step in (await told(world.durham, run)).steps}
        assert steps["undo:demote/stop-app"] == "done"


async def test_the_second_of_two_who_steer_at_once_at_two_sites_is_told_who_was_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, _):
        answers = await asyncio.gather(
            order(world.durham, run, "abort", seen=0),
            order(world.morpeth, run, "skip", "demote/tell", seen=0),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, Refused)]
        assert len(refused) == 1, answers
        assert refused[0].refusal.code in ("steered-meanwhile", "run-ending", "run-ended")
        if refused[0].refusal.code == "steered-meanwhile":
            assert "was first: order 1" in refused[0].refusal.message


async def test_a_refusal_comes_back_from_the_other_site_with_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, _):
        assert (await refusal_of(order(world.durham, run, "retry", "demote/tell"))).code == "step-running"
        assert (await refusal_of(order(world.durham, run, "skip", "ownership/claim"))).code == (
            "step-decides-ownership"
        )
        assert (await refusal_of(order(world.durham, run, "resume"))).code == "run-not-paused"
        with pytest.raises(Refused) as caught:
            await order(world.durham, run, "approve", "demote/tell")
        assert caught.value.refusal.code == "nothing-to-approve"


async def test_a_waiting_run_waits_on_after_a_restart_of_its_controller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, hosts):
        await world.morpeth.kill_controller()
        await world.morpeth.start()
        await world.until(lambda: world.morpeth.controller.mover.under_way(run))
        await order(world.durham, run, "done", "demote/tell")
        await world.until(lambda: world.steady(at=MORPETH))
        assert hosts.ran == [(DURHAM, "appctl stop")]


async def test_without_the_store_it_is_said_where_the_run_can_be_steered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, _):
        world.cluster.cut("durham controller")
        refusal = await refusal_of(order(world.durham, run, "abort"))
        assert refusal.code == "steer-there"
        assert f"Type at morpeth: `twinsite runs abort {run}" in refusal.message
        world.cluster.heal("durham controller")
        await order(world.morpeth, run, "abort")


async def test_a_planned_move_that_waits_does_not_keep_a_lost_service_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, _):
        await world.lose(DURHAM)
        await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
        assert world.owned().run != run
        assert not world.morpeth.controller.mover.under_way(run)


async def test_a_database_that_dies_while_a_planned_move_waits_is_started_again_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, local_restarts=1) as (world, run, _):
        world.pair.kill(DURHAM)
        await world.until(lambda: "restart" in world.durham.decisions())
        await world.until(lambda: world.open_at(DURHAM))
        assert state_of(world, run) == "waiting"


async def test_a_step_that_waits_after_the_claim_is_skipped_and_the_move_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, promote=PROMOTE, demote="") as (world, run, _):
        assert world.open_at(MORPETH)
        await order(world.durham, run, "skip", "promote/late")
        await world.until(lambda: world.steady(at=MORPETH))
        assert state_of(world, run) == "done"


async def test_an_undo_after_the_claim_names_the_way_home_and_leaves_the_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, promote=PROMOTE) as (world, run, hosts):
        await order(world.durham, run, "done", "demote/tell")
        await world.until(
            lambda: world.runs()[-1].waits[:1] and world.runs()[-1].waits[0].step == "promote/late"
        )
        await order(world.durham, run, "undo")
        await world.until(lambda: state_of(world, run) == "undone" and world.steady(at=MORPETH))
        left = "\n".join((await told(world.durham, run)).left)
        assert "morpeth has become primary; the way home: `twinsite switchover crm --to durham`" in left
        assert hosts.ran[-1] == (DURHAM, "appctl start")


# --- adoption -----------------------------------------------------------------------------------------


async def test_a_run_whose_controller_is_lost_before_the_give_up_is_adopted_and_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, hosts):
        await world.lose(MORPETH)
        await world.until(lambda: state_of(world, run) == "undone")
        record = next(each for each in world.runs() if each.run == run)
        assert (record.executor_site, record.executor) == (DURHAM, 2)
        assert hosts.ran == [(DURHAM, "appctl stop"), (DURHAM, "appctl start")]
        assert world.open_at(DURHAM)
        assert (world.owned().primary, world.owned().epoch, world.owned().movement) == (DURHAM, 1, "steady")
        seen = await told(world.durham, run)
        assert seen.orders[-1].who == "controller of durham"
        await world.bring_back(MORPETH)
        await world.until(lambda: world.steady(at=DURHAM))
        assert not world.morpeth.controller.mover.under_way(run)


async def test_whoever_takes_a_lost_site_s_run_back_and_is_killed_goes_on_and_takes_nothing_back_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, demote=TWO_TO_TAKE_BACK) as (world, run, hosts):
        hosts.hung.add("appctl start")
        await world.lose(MORPETH)
        await world.until(lambda: (DURHAM, "doorctl open") in hosts.ran)
        await world.until(lambda: world.owned().movement == "steady")
        await world.durham.kill_controller()
        hosts.hung.clear()
        await world.durham.start()
        await world.until(lambda: state_of(world, run) == "undone")
        assert [word for _, word in hosts.ran] == [
            "appctl stop",
            "doorctl bar",
            "doorctl open",
            "appctl start",
        ]
        assert world.open_at(DURHAM)


async def test_a_controller_killed_while_it_undoes_its_run_takes_nothing_back_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, demote=TWO_TO_TAKE_BACK) as (world, run, hosts):
        hosts.hung.add("appctl start")
        await order(world.morpeth, run, "undo")
        await world.until(lambda: (DURHAM, "doorctl open") in hosts.ran)
        await world.morpeth.kill_controller()
        hosts.hung.clear()
        await world.morpeth.start()
        await world.until(lambda: state_of(world, run) == "undone" and world.steady(at=DURHAM))
        assert [word for _, word in hosts.ran] == [
            "appctl stop",
            "doorctl bar",
            "doorctl open",
            "appctl start",
        ]


async def test_a_run_that_was_being_undone_is_adopted_with_what_was_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, demote=TWO_TO_TAKE_BACK) as (world, run, hosts):
        hosts.hung.add("appctl start")
        await order(world.morpeth, run, "undo")

        def published() -> bool:
            steps = next(each for each in world.runs() if each.run == run).steps
            return any((step.step, step.state) == ("undo:demote/bar", "done") for step in steps)

        await world.until(published)
        await world.lose(MORPETH)
        hosts.hung.clear()
        await world.until(lambda: state_of(world, run) == "undone")
        assert [word for _, word in hosts.ran] == [
            "appctl stop",
            "doorctl bar",
            "doorctl open",
            "appctl start",
        ]
        assert world.open_at(DURHAM)


async def test_an_executor_that_wakes_up_after_its_run_was_adopted_does_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, lease="3s") as (world, run, hosts):
        world.cut_store(MORPETH)
        await world.until(lambda: state_of(world, run) == "undone")
        assert world.morpeth.controller.mover.under_way(run), "it knows of nothing yet"
        await order(world.morpeth, run, "done", "demote/tell")
        await world.until(lambda: not world.morpeth.controller.mover.under_way(run))
        assert world.open_at(DURHAM)
        world.heal_store(MORPETH)
        await world.until(lambda: world.steady(at=DURHAM))
        assert hosts.ran == [(DURHAM, "appctl stop"), (DURHAM, "appctl start")]
        assert (world.owned().primary, world.owned().epoch) == (DURHAM, 1)
        assert state_of(world, run) == "undone"


async def test_a_waiting_executor_that_sees_a_higher_number_stands_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, lease="3s") as (world, run, _):
        world.cut_store(MORPETH)
        await world.until(lambda: state_of(world, run) == "undone")
        world.heal_store(MORPETH)
        await world.until(lambda: not world.morpeth.controller.mover.under_way(run))
        assert state_of(world, run) == "undone"


async def test_a_run_whose_controller_lives_is_not_to_be_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with waiting(monkeypatch) as (world, run, _):
        async with world.durham.api() as client:
            with pytest.raises(Refused) as caught:
                await client.adopt(run, AdoptRequest(reason="because"))
        assert caught.value.refusal.code == "executor-alive"
        assert state_of(world, run) == "waiting"


async def test_a_run_that_claimed_for_a_lost_site_is_not_to_be_adopted_and_failover_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, promote=PROMOTE, demote="", failover="manual") as (world, run, _):
        await world.lose(MORPETH)
        await world.until(lambda: world.durham.controller.view().peer_lease_over)
        async with world.durham.api() as client:
            with pytest.raises(Refused) as caught:
                await client.adopt(run, AdoptRequest(reason="because"))
        assert caught.value.refusal.code == "not-to-be-adopted"
        assert "twinsite plan failover crm" in caught.value.refusal.message


async def test_a_failed_taking_back_waits_and_is_adopted_anew_by_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch) as (world, run, hosts):
        hosts.fails["appctl start"] = 1
        await world.lose(MORPETH)
        await world.until(lambda: [w.step for w in world.runs()[-1].waits] == ["undo:demote/stop-app"])
        assert (world.owned().movement, world.open_at(DURHAM)) == ("steady", True)
        await order(world.durham, run, "retry", "undo:demote/stop-app")
        await world.until(lambda: state_of(world, run) == "undone")
        assert hosts.ran[-2:] == [(DURHAM, "appctl start")] * 2


# --- restarts -----------------------------------------------------------------------------------------


async def test_a_run_that_broke_the_glass_goes_on_after_a_restart_of_its_controller() -> None:
    async with two_sites(steered_estate(), prepare=books(PROMOTE, "")) as world:
        await alone(world)
        plan = await world.morpeth.move("failover", certify_down=DURHAM, reason="no power there")
        await world.until(lambda: bool(world.morpeth.controller.minds["crm"].run_waits))
        assert world.open_at(MORPETH)
        await world.morpeth.kill_controller()
        await world.morpeth.start()
        await world.until(lambda: bool(world.morpeth.controller.minds["crm"].run_waits))
        assert [wait.step for wait in (await told(world.morpeth, plan.run)).waits] == ["promote/late"]
        await order(world.morpeth, plan.run, "done", "promote/late")
        await world.until(lambda: not world.morpeth.controller.minds["crm"].run)
        assert (await told(world.morpeth, plan.run)).state == "done"
        assert world.open_at(MORPETH)


async def test_a_rejoin_that_was_cut_off_goes_on_as_the_same_run() -> None:
    rejoin = (
        "runbook: rejoin\ntitle: Again\nsteps:\n  - {id: ask, action: person, who: x, ask: y, expect: 5m}\n"
    )
    rejoin += "  - {id: join, action: replication.rejoin, needs: [ask]}\n"

    def prepare(world: TwoSites) -> None:
        books("", "")(world)
        for site in world.sites.values():
            (site.directory / "books" / "postgres" / "rejoin.yaml").write_text(rejoin)

    async with two_sites(steered_estate(), prepare=prepare) as world:
        await world.lose(DURHAM)
        world.pair.instances[DURHAM].rows.append(10**6)  # accepted there, and never sent
        await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
        await world.bring_back(DURHAM)
        await world.until(lambda: [run.state for run in world.runs("rejoin")] == ["waiting"])
        (run,) = world.runs("rejoin")
        await world.durham.kill_controller()
        await world.durham.start()
        await world.until(lambda: world.durham.controller.mover.under_way(run.run))
        await order(world.morpeth, run.run, "done", "rejoin/ask")
        await world.until(lambda: world.steady(at=MORPETH))
        assert [(each.run, each.state) for each in world.runs("rejoin")] == [(run.run, "done")]


async def test_a_runbook_that_is_changed_while_its_run_waits_is_carried_out_as_planned_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with waiting(monkeypatch, promote=PROMOTE, demote=TWO_TO_TAKE_BACK) as (world, run, hosts):
        for site in world.sites.values():
            changed = site.directory / "books" / "postgres" / "promote.yaml"
            changed.write_text(PROMOTE.replace("- {id: late", "- {id: later"))
        await order(world.morpeth, run, "done", "demote/tell", evidence="told")
        await world.until(
            lambda: any(wait.step == "promote/late" for each in world.runs() for wait in each.waits)
        )
        await order(world.durham, run, "done", "promote/late", evidence="seen")
        await world.until(lambda: state_of(world, run) == "done")
        ended = await told(world.durham, run)
        assert "carried out as planned, though changed on the disk since: postgres/promote" in ended.outcome
        assert hosts.ran == [(DURHAM, "appctl stop"), (DURHAM, "doorctl bar")]
