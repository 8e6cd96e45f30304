"""Two sites and a witness that look at each other: a link that is down, a site that is down, and a service
whose clients cannot reach it, told apart by what everybody says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from orchestrator.api.client import Refused
from orchestrator.api.shapes import Explanation, Finding, QuietRequest
from orchestrator.core.conditions import CUT_OFF_AT_LEAST_SECONDS
from orchestrator.core.reach import findings
from sites.model import Estate
from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import (
    DERWENTSIDE,
    DURHAM,
    MORPETH,
    PATIENCE_SECONDS,
    Site,
    TwoSites,
    estate,
    two_sites,
)

LEASE = "3s"  # what is looked at here is not the lease: a busy machine must not end one


def found(site: Site) -> list[str]:
    """What a site finds between the sites."""
    return [each.finding.value for each in findings(site.controller.view().reach)]


async def finding(site: Site, world: TwoSites, name: str) -> Finding:
    """The only finding, once there is one of that name."""
    await world.until(lambda: found(site) == [name])
    async with site.api() as client:
        (one,) = (await client.status()).findings
    return one


async def explained(site: Site) -> Explanation:
    async with site.api() as client:
        return await client.explain("crm")


async def everybody_heard(world: TwoSites) -> None:
    """All three have been heard more than once by both sites."""
    for site in world.sites.values():
        others = {DURHAM, MORPETH, DERWENTSIDE} - {site.name}
        await world.until(
            lambda site=site, others=others: set(site.controller.view().reach.observers) >= others  # type: ignore[misc]
        )


async def test_a_link_that_is_down_is_named_so_at_both_sites_and_nothing_moves() -> None:
    async with two_sites(estate(lease=LEASE)) as world:
        world.witness()
        await everybody_heard(world)
        assert found(world.durham) == found(world.morpeth) == []
        world.pair.cut_off(MORPETH, by=(DURHAM,))
        world.pair.cut_off(DURHAM, by=(MORPETH,))
        await world.until(lambda: world.morpeth.decision() == "link-down")
        for site in world.sites.values():
            told = await finding(site, world, "link down")
            assert set(told.about) == {DURHAM, MORPETH}
            assert told.words.startswith(
                "derwentside reaches durham and morpeth, which do not reach each other"
            )
        status = (await look(world.morpeth)).status
        assert status.overall == "degraded"
        said = {(one.observer, one.target): one.reached for one in status.reach}
        assert said[MORPETH, DURHAM] is False
        assert said[DERWENTSIDE, DURHAM] is True
        assert world.owned().primary == DURHAM
        assert world.open_at(DURHAM)
        for name in (MORPETH, DURHAM):
            assert world.sites[name].decision() == "link-down"


async def test_what_goes_one_way_only_is_shown_as_that() -> None:
    async with two_sites(estate(lease=LEASE)) as world:
        world.witness()
        await everybody_heard(world)
        world.pair.cut_off(MORPETH, by=(DURHAM,))
        told = await finding(world.morpeth, world, "one way only")
        assert told.words.endswith("the way from durham to morpeth is down, neither site is")


async def test_a_site_that_is_down_is_named_so_by_all_who_are_left() -> None:
    async with two_sites(estate(failover="manual", lease=LEASE)) as world:
        world.witness()
        await everybody_heard(world)
        await world.lose(DURHAM)
        told = await finding(world.morpeth, world, "site down")
        assert told.about == [DURHAM]
        shown = await explained(world.morpeth)
        assert shown.diagnosis == "site-dark"
        assert shown.why.startswith("site down: ")
        assert shown.would_have_to_change[0] == "this would have to end: the service is manual"


async def test_explain_shows_what_every_observer_sees_of_each_instance() -> None:
    async with two_sites(estate(lease=LEASE)) as world:
        world.witness()
        await everybody_heard(world)
        everyone = {(who, site) for who in (DURHAM, MORPETH, DERWENTSIDE) for site in (DURHAM, MORPETH)}
        seen: dict[tuple[str, str], tuple[str, bool | None]] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while set(seen) != everyone:
                shown = await explained(world.morpeth)
                seen = {
                    (one.observer, one.site): (one.seen, one.writable)
                    for one in shown.sights
                    if not one.probe
                }
        assert {told for (_, site), told in seen.items() if site == DURHAM} == {("primary", True)}
        assert shown.disagreements == []
        assert shown.reach


# --- cut off from the clients --------------------------------------------------------------------------


class Ports:
    """Where clients connect, at each site; a test shuts them."""

    def __init__(self) -> None:
        self.servers: dict[str, asyncio.Server] = {}
        self.addresses: dict[str, str] = {}

    async def open(self, site: str) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        at = int(self.addresses[site].rpartition(":")[2]) if site in self.addresses else 0
        server = await asyncio.start_server(accept, "127.0.0.1", at, reuse_address=True)
        self.servers[site] = server
        self.addresses[site] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def shut(self, site: str) -> None:
        self.servers[site].close()
        await self.servers[site].wait_closed()

    def estate(self, **everywhere: Any) -> Estate:
        probe = {"name": "client port", "kind": "tcp", "address": self.addresses, "every": "200ms",
                 "timeout": "150ms", "fails_after": "2 of 2"}  # fmt: skip
        return estate(probes=[probe], lease=LEASE, **everywhere)


@asynccontextmanager
async def with_clients(**everywhere: Any) -> AsyncIterator[tuple[TwoSites, Ports]]:
    """Two sites, a witness, and a way for clients to both; all of it seen to be well."""
    ports = Ports()
    for site in (DURHAM, MORPETH):
        await ports.open(site)
    try:
        async with two_sites(ports.estate(**everywhere)) as world:
            world.witness()
            await world.until(lambda: _ways_up(world.durham) == {MORPETH, DERWENTSIDE})
            yield world, ports
    finally:
        for site in ports.servers:
            await ports.shut(site)


def _ways_up(site: Site) -> set[str]:
    """The observers outside that find the clients' way to the primary."""
    (service,) = site.controller.view().services
    return {one.observer for one in service.client_probes if one.was_up and one.verdict == "up"}


async def test_a_service_whose_clients_cannot_reach_it_is_handed_over_in_order_and_loses_nothing() -> None:
    async with with_clients(min_time_between_failovers="1h") as (world, ports):
        world.writer()
        await ports.shut(DURHAM)
        await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
        (run,) = world.runs("switchover")
        assert run.automatic
        assert run.who == "controller of durham"
        assert run.why == "its clients cannot reach it at durham: derwentside and morpeth say so"
        record = world.owned()
        assert (record.epoch, record.previous, record.planned) == (2, DURHAM, True)
        assert record.last_move is not None, "gate 6 counts it: it must not swing back by itself"
        before, after = world.pair.instances[DURHAM].rows, world.pair.instances[MORPETH].rows
        assert before
        assert before == after[: len(before)]
        assert not world.pair.doubly_writable
        assert "cut-off-from-clients" in [
            str(each.row.diagnosis) for each in world.durham.controller.minds["crm"].history
        ]
        await world.until(lambda: _ways_up(world.morpeth) == {DURHAM, DERWENTSIDE})
        await ports.shut(MORPETH)
        await world.until(lambda: world.morpeth.decision() == "flap-damped")
        assert world.open_at(MORPETH)


async def goes_home(world: TwoSites) -> None:
    """By a person's order, who asks again while the standby's lag is not known yet."""
    while True:
        try:
            await world.durham.move("switchover", to=DURHAM, reason="home")
        except Refused as refused:
            if refused.code != "lag-unknown":
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def test_what_was_handed_over_and_came_home_is_handed_over_again() -> None:
    """The time in which a hand-over is not tried again is for one that has not worked."""
    async with with_clients() as (world, ports):
        for epoch in (2, 4):
            await ports.shut(DURHAM)
            await world.until(lambda epoch=epoch: world.owned().epoch == epoch and world.open_at(MORPETH))
            await world.until(lambda: world.morpeth.decision() == "healthy")
            await ports.open(DURHAM)
            await goes_home(world)
            await world.until(lambda: world.open_at(DURHAM) and world.durham.decision() == "healthy")
            await world.until(lambda: _ways_up(world.durham) == {MORPETH, DERWENTSIDE})


async def test_where_no_client_reaches_either_site_it_moves_once() -> None:
    async with with_clients() as (world, ports):
        for site in (DURHAM, MORPETH):
            await ports.shut(site)
        await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
        await world.until(lambda: _found_down(world.morpeth) == {DURHAM, DERWENTSIDE})
        await asyncio.sleep(CUT_OFF_AT_LEAST_SECONDS + 2)
        assert (world.owned().epoch, world.open_at(MORPETH)) == (2, True)


def _found_down(site: Site) -> set[str]:
    """The observers outside that find no clients' way, whether that says something or not."""
    (service,) = site.controller.view().services
    return {one.observer for one in service.client_probes if one.verdict == "down"}


async def test_a_manual_or_paused_one_stays_and_a_person_is_told() -> None:
    async with with_clients() as (world, ports):
        async with world.durham.api() as client:
            await client.pause(QuietRequest(service="crm", seconds=3600, reason="a test"))
        await ports.shut(DURHAM)
        await world.until(lambda: world.durham.decision() == "paused")
        shown = await explained(world.durham)
        assert shown.diagnosis == "cut-off-from-clients"
        assert shown.pause is not None
        assert 0 < shown.pause.remaining_seconds <= 3600
        assert shown.pause.reason == "a test"
        first, *others = shown.would_have_to_change
        assert first == "this would have to end: automatic moves of it are paused"
        assert f"gate 7, not paused, would have to open: {shown.gates[-2].evidence}" in others
        assert world.open_at(DURHAM)
        told = await look(world.durham)
        remaining = told.metric("pause_remaining_seconds", service="crm")
        assert remaining is not None
        assert 0 < remaining <= 3600
        await ports.open(DURHAM)
        await world.until(lambda: world.durham.decision() == "healthy")


async def test_one_observer_alone_is_not_believed() -> None:
    async with with_clients() as (world, ports):
        world.cut_store(MORPETH)  # what Morpeth sees is not heard any more
        await ports.shut(DURHAM)
        await world.until(lambda: _ways_down(world.durham) == {DERWENTSIDE})
        assert "hand-over" not in world.durham.decisions()
        assert world.open_at(DURHAM)


def _ways_down(site: Site) -> set[str]:
    (service,) = site.controller.view().services
    return {one.observer for one in service.client_probes if one.counts and one.verdict == "down"}
