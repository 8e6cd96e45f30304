"""Two whole sites tell people: real controllers, a store in memory, and a receiver that is real."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.client import Refused
from orchestrator.api.paging_shapes import TryRequest
from orchestrator.api.shapes import QuietRequest
from orchestrator.paging import book
from orchestrator.paging.board import BOARD, Board, decode
from sites.model import Estate
from sites.notify import NotifySpec
from tests.orchestrator.test_whole_sites import runbooks
from tests.orchestrator.two_sites import DURHAM, MORPETH, SHIPPED, TwoSites, estate, two_sites
from tests.support.receivers import MailServer, WebHook


def telling(hook: WebHook, **fields: Any) -> Estate:
    """The usual estate, with somebody who is told of everything."""
    spec = NotifySpec.model_validate({"name": "on-call", "when": ["all"], "to": hook.door, **fields})
    return estate().model_copy(update={"notify": [spec]})


def about(hook: WebHook, name: str) -> list[dict[str, Any]]:
    """The alerts of that name, in their order."""
    return [alert for alert in hook.alerts if alert["labels"]["alertname"] == f"Twinsite{name}"]


def board(world: TwoSites) -> Board:
    found = world.cluster.table.read(BOARD, exact=True).get(BOARD)
    return decode(found.value) if found is not None else Board()


async def test_a_planned_move_that_both_sites_see_is_told_by_one_of_them() -> None:
    async with WebHook().serving() as hook, two_sites(telling(hook)) as world:
        plan = await world.durham.move("switchover")
        await world.detail(plan.run, world.morpeth)
        key = f"run:{plan.run}"
        await world.until(lambda: any(e["labels"]["event"] == key for e in hook.alerts))
        await world.until(lambda: board(world).open(key) is not None)
        entry = board(world).entries[key]
        await world.until(lambda: set(board(world).entries[key].seen_by) == {DURHAM, MORPETH})
        tellers = {site.name for site in world.sites.values()
                   if any(p.told for p in site.controller.paging.pages if p.event.key == key)}  # type: ignore[union-attr]  # fmt: skip
        assert tellers == {entry.site}


async def test_a_lost_site_is_told_of_by_the_one_that_is_left_and_acknowledged_there() -> None:
    async with WebHook().serving() as hook, two_sites(telling(hook)) as world:
        await world.lose(DURHAM)
        await world.until(lambda: bool(about(hook, "SiteDark")) and bool(about(hook, "Failover")))
        dark = about(hook, "SiteDark")[0]
        assert dark["labels"] == {
            "alertname": "TwinsiteSiteDark",
            "severity": "critical",
            "site": DURHAM,
            "event": "site-dark:durham",
        }
        failover = about(hook, "Failover")[0]
        assert failover["labels"]["service"] == "crm"
        assert failover["annotations"]["loss"].startswith("crm loses")
        assert failover["annotations"]["runbook_url"].startswith("docs/")
        async with world.morpeth.api() as client:
            state = await client.paging()
            assert {page.topic for page in state.pages} >= {"site-dark", "failover"}
            assert state.receivers[0].outcomes["sent"] >= 1
            done = await client.acknowledge(QuietRequest(service="crm", reason="at it"))
            assert any(line.startswith("taken on: The failover of crm") for line in done.lines)
            assert "crm: the last unplanned move is acknowledged" in done.lines
            await client.acknowledge(QuietRequest(site=DURHAM, reason="power cut"))
            kept = await client.history(kind="acknowledged")
            assert [entry.data["reason"] for entry in kept.entries] == ["power cut", "at it"]
            assert kept.entries[0].data["events"] == ["site-dark:durham"]
            state = await client.paging()
            assert all(p.acknowledged for p in state.pages if p.topic == "site-dark")
        await world.until(lambda: board(world).entries["site-dark:durham"].acknowledged is not None)
        shown = world.morpeth.metrics()
        assert 'twinsite_notifications_total{receiver="on-call",outcome="sent",observer="morpeth"}' in shown
        assert 'twinsite_receiver_failing{receiver="on-call",observer="morpeth"} 0.0' in shown


async def test_what_could_not_be_sent_is_sent_after_a_restart() -> None:
    async with WebHook(status=500).serving() as hook, two_sites(telling(hook)) as world:
        await world.lose(DURHAM)
        await world.until(lambda: hook.asked > 0)
        async with world.morpeth.api() as client:
            async with asyncio.timeout(30):
                while not (await client.paging()).receivers[0].trouble:
                    await asyncio.sleep(0.05)
            waiting = (await client.paging()).waiting
            assert waiting
            assert waiting[0].receiver == "on-call"
        assert await world.morpeth.stop_controller() == 0
        hook.status = 200
        await world.morpeth.start()
        await world.until(lambda: bool(about(hook, "SiteDark")))
        first = [e for e in hook.alerts if e["labels"]["event"] == "site-dark:durham"]
        assert first[0]["annotations"]["summary"].startswith("Durham is down")


async def test_without_the_store_each_site_tells_by_itself_and_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(book, "ALONE_SECONDS", 1.0)
    async with WebHook().serving() as hook, two_sites(telling(hook)) as world:
        world.cut_store(DURHAM, MORPETH)
        await world.until(lambda: len({a["labels"]["site"] for a in about(hook, "Isolated")}) == 2)
        assert about(hook, "SiteDark") == [], "who hears nobody knows nothing of the other site"
        world.heal_store(DURHAM, MORPETH)
        await world.until(lambda: {"isolated:durham", "isolated:morpeth"} <= set(board(world).entries))


async def test_what_a_runbook_says_to_people_goes_the_same_way() -> None:
    shipped = Path(__file__).parents[2] / "runbooks/postgres/demote.yaml"
    text = shipped.read_text(encoding="utf-8")
    message = "Suppliers may call about {{ service.name }}"
    tell = f"  - {{id: tell, title: Tell, action: notify, message: '{message}'}}\n"
    text = text.replace("steps:\n", f"steps:\n{tell}", 1)
    with runbooks(("test/demote", text)) as folder:
        async with WebHook().serving() as hook:
            made = telling(hook)
            crm = made.services["crm"].model_copy(update={"runbooks": {**SHIPPED, "demote": "test/demote"}})
            made = made.model_copy(update={"services": {"crm": crm}, "runbook_path": [str(folder)]})
            async with two_sites(made) as world:
                plan = await world.durham.move("switchover")
                await world.detail(plan.run, world.morpeth)
                await world.until(lambda: bool(about(hook, "Runbook")))
                said = about(hook, "Runbook")[0]
                assert said["annotations"]["summary"] == "Suppliers may call about crm"


async def test_a_mail_server_that_hangs_holds_up_neither_a_failover_nor_anybody_else() -> None:
    pytest.importorskip("apprise", reason="the extra `notify` is not installed")
    async with WebHook().serving() as hook, MailServer(hangs=True).serving() as mail:
        made = telling(hook)
        hanging = {"name": "mail", "when": ["all"], "to": mail.url, "timeout": "5m"}
        both = [NotifySpec.model_validate(hanging), *made.notify]
        async with two_sites(made.model_copy(update={"notify": both})) as world:
            await world.lose(DURHAM)
            await world.until(lambda: mail.connections > 0)
            await world.until(lambda: world.open_at(MORPETH))
            await world.until(lambda: "done" in stages(world))
            await world.until(
                lambda: any("is done" in alert["annotations"]["summary"] for alert in hook.alerts)
            )
            async with world.morpeth.api() as client:
                state = await client.paging()
            assert {one.receiver for one in state.waiting} == {"mail"}
            assert mail.mails == []


def stages(world: TwoSites) -> set[str]:
    """Of the runs that people are told of at Morpeth."""
    paging = world.morpeth.controller.paging
    assert paging is not None
    return {page.event.stage for page in paging.pages if page.event.key.startswith("run:")}


async def test_a_test_message_is_answered_for_each_receiver() -> None:
    async with WebHook().serving() as hook, two_sites(telling(hook)) as world:
        async with world.durham.api() as client:
            tested = await client.test_paging(TryRequest(), within_seconds=30.0)
            assert [(one.receiver, one.ok) for one in tested.results] == [("on-call", True)]
            hook.status = 503
            tested = await client.test_paging(TryRequest(receivers=["on-call"]), within_seconds=30.0)
            assert "503" in tested.results[0].words
        assert "test" in hook.titles[0]


async def test_with_nobody_to_tell_nothing_is_written_and_a_test_says_why() -> None:
    async with two_sites() as world:
        async with world.durham.api() as client:
            with pytest.raises(Refused, match="nobody-to-tell"):
                await client.test_paging(TryRequest(), within_seconds=30.0)
            with pytest.raises(Refused, match="nothing-to-acknowledge"):
                await client.acknowledge(QuietRequest(service="crm", reason="nothing"))
        assert board(world) == Board()
        assert not (world.durham.directory / "pages.json").exists()
