"""P33, whole: a store that was put back, wiped or replaced under two sites that serve, and what people do."""

import asyncio
import contextlib
import json

import pytest

from orchestrator.api.store_shapes import StoreOrder, StorePlan, StorePlanRequest
from orchestrator.core.records import SERVICES, SITES, SiteRecord, decode
from orchestrator.store.base import Compare, Put
from orchestrator.store.table import Table
from sites.model import Estate
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import (
    DURHAM,
    MORPETH,
    PATIENCE_SECONDS,
    Site,
    TwoSites,
    estate,
    two_sites,
)

# A lease long enough for a busy machine.
LEASE = "6s"


def guarded() -> Estate:
    """With guards and a way between the keepers, so that promises keep what is served going."""
    services = {"crm": {}, "ebs": {"home": MORPETH, "standby": DURHAM}}
    # A database that its guard cut off at the very start is opened again where it is.
    return estate(services=services, guards=True, lease=LEASE, local_restarts=5)


def distrusts(site: Site) -> bool:
    view = site.controller.desk.view()
    return view is not None and view.store_trust is not None and view.store_trust.broken is not None


def trusts(site: Site) -> bool:
    view = site.controller.desk.view()
    return view is not None and view.store_trust is not None and view.store_trust.broken is None


async def found_out(world: TwoSites) -> None:
    await world.until(lambda: all(distrusts(site) for site in world.sites.values()))


async def plan(site: Site, **owners: str) -> StorePlan:
    async with site.api() as client:
        return await client.plan_store(StorePlanRequest(owners=owners, reason="a test"))


async def accept(site: Site, **owners: str) -> StorePlan:
    """Draw the plan up and accept exactly that."""
    async with site.api() as client:
        drawn = await client.plan_store(StorePlanRequest(owners=owners, reason="a test"))
        assert drawn.refusal is None, drawn.refusal
        assert drawn.certificate is not None
        await client.accept_store(
            StoreOrder(certificate=drawn.certificate.id, confirmed_site=drawn.confirm_site)
        )
    return drawn


def site_record(world: TwoSites, site: str) -> SiteRecord:
    found = world.cluster.table.read(SITES + site, exact=True).get(SITES + site)
    assert found is not None
    return decode(SiteRecord, found.value)


async def moved(world: TwoSites) -> None:
    """crm goes to Morpeth in order."""
    await world.durham.move("switchover", to_site=MORPETH)
    await world.until(lambda: world.steady(at=MORPETH))


async def never_closed(world: TwoSites) -> None:
    """Both services at Morpeth, open at every look, until it is cancelled."""
    while True:
        assert world.open_at(MORPETH)
        assert world.open_at(MORPETH, "ebs")
        await asyncio.sleep(0.02)


def everywhere_open(world: TwoSites) -> bool:
    return world.open_at(DURHAM) and world.open_at(MORPETH, "ebs")


async def test_a_store_put_back_is_an_alarm_and_nothing_is_written_while_promises_keep_all_open() -> None:
    async with two_sites(guarded()) as world:
        backup = world.cluster.table.copy()
        await world.until(lambda: world.cluster.table.revision > backup.revision + 5)
        world.cluster.restore(backup)
        await found_out(world)
        written = world.cluster.table.revision
        for site in world.sites.values():
            told = await look(site)
            assert told.status.store.startswith("store-restored")
            assert any(line.startswith("STORE NOT TRUSTED") for line in told.status.warnings)
            assert told.metric("store_trusted") == 0
            assert told.metric("not_accepted_total", code="store-restored") == 1
            filed = await site.controller.journal.events(kind="store-not-trusted")
            assert [event.data["code"] for event in filed] == ["store-restored"]
        past_the_lease = asyncio.get_running_loop().time() + 8
        while asyncio.get_running_loop().time() < past_the_lease:
            assert everywhere_open(world), "each goes on by the other's promise"
            await asyncio.sleep(0.05)
        assert world.cluster.table.revision == written
        assert [site.keepers[-1].poll() for site in world.sites.values()] == [None, None]


async def test_without_the_other_s_promise_a_site_cuts_off_at_its_lease_s_end_and_nobody_takes_over() -> None:
    async with two_sites(guarded()) as world:
        backup = world.cluster.table.copy()
        await world.until(lambda: world.cluster.table.revision > backup.revision + 5)
        world.link.up = False
        world.cluster.restore(backup)
        await found_out(world)
        await world.until(lambda: not world.pair.writable and not world.pairs["ebs"].writable)
        await asyncio.sleep(2)
        assert not world.pair.writable
        assert not world.pairs["ebs"].writable
        assert world.runs("failover") == []


async def test_owners_are_certified_above_every_epoch_and_what_is_open_is_never_closed() -> None:
    async with two_sites(guarded()) as world:
        backup = world.cluster.table.copy()
        await moved(world)
        assert world.owned().epoch == 2
        world.cluster.restore(backup)  # the move is forgotten
        await found_out(world)
        assert world.owned().primary == DURHAM
        keepers = [len(site.keepers) for site in world.sites.values()]
        looks = asyncio.create_task(never_closed(world))

        first = await accept(world.durham)
        shown = {each.service: each for each in first.services}
        assert (shown["crm"].owner, shown["crm"].epoch) == (MORPETH, 3)
        assert (shown["ebs"].owner, shown["ebs"].epoch) == (MORPETH, 2)
        assert site_record(world, MORPETH).hold, "it may be serving without any contact"
        await world.until(lambda: trusts(world.durham))
        assert distrusts(world.morpeth), "everybody accepts for themselves"

        second = await accept(world.morpeth)
        assert [each.writes for each in second.services] == [False, False], "the first one put it right"
        await world.until(lambda: trusts(world.morpeth))
        await world.until(lambda: world.steady(at=MORPETH) and world.steady("ebs", MORPETH))
        assert (world.owned().epoch, world.owned("ebs").epoch) == (3, 2)
        await world.until(lambda: world.owned().mode == "automatic" and not site_record(world, MORPETH).hold)
        looks.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looks
        assert [len(site.keepers) for site in world.sites.values()] == keepers, "they start anew in place"
        for site in world.sites.values():
            told = await look(site)
            assert told.metric("store_trusted") == 1
            assert not any("STORE NOT TRUSTED" in line for line in told.status.warnings)
        filed = await world.durham.controller.journal.events(kind="store-accepted")
        assert filed[0].data["owners"]["crm"] == {"owner": MORPETH, "epoch": 3}
        assert world.durham.guards["crm"].refused == []


async def test_a_wiped_store_is_filled_again_from_what_the_sites_last_knew() -> None:
    async with two_sites(guarded()) as world:
        await world.until(lambda: world.steady(at=DURHAM) and world.steady("ebs", MORPETH))
        world.cluster.restore(Table("a new one"))
        await found_out(world)
        told = await look(world.durham)
        assert told.status.store.startswith("store-other-cluster")
        await accept(world.durham)
        await accept(world.morpeth)
        await world.until(lambda: world.steady(at=DURHAM) and world.steady("ebs", MORPETH))
        assert (world.owned().epoch, world.owned("ebs").epoch) == (2, 2)
        assert world.cluster.table.cluster_id == "a new one"


async def test_a_first_claim_never_fills_a_wiped_store() -> None:
    """Epochs would begin anew at 1, below what guards have seen."""
    async with two_sites(guarded()) as world:
        world.cluster.restore(Table())
        await found_out(world)
        await asyncio.sleep(1)
        assert world.cluster.table.read(SERVICES).items == ()


async def test_a_keeper_starts_in_doubt_when_the_store_was_put_back_while_it_was_down() -> None:
    async with two_sites(guarded()) as world:
        backup = world.cluster.table.copy()
        await world.until(lambda: world.cluster.table.revision > backup.revision + 5)
        await world.durham.kill()
        world.cluster.restore(backup)
        await world.durham.start()
        await world.until(lambda: bool(world.durham.keepers) and distrusts(world.durham))
        assert world.owned().epoch == 1


async def test_what_a_person_may_not_certify_is_refused_with_its_code() -> None:
    async with two_sites(guarded()) as world:
        trusted = await refusal_of(plan(world.durham))
        assert trusted.code == "store-trusted"
        world.cluster.restore(Table())
        await found_out(world)

        async def code_of(site: Site, **owners: str) -> str:
            drawn = await plan(site, **owners)
            assert drawn.certificate is None
            assert drawn.refusal is not None
            return drawn.refusal.code

        assert await code_of(world.durham, crm=MORPETH) == "owner-serves", "it is open here"
        assert await code_of(world.durham, ebs=DURHAM) == "owner-serves", "it is open there"
        assert await code_of(world.durham, ebs="derwentside") == "unknown-site"
        assert (await refusal_of(plan(world.durham, payroll=DURHAM))).code == "unknown-service"
        world.link.up = False
        assert await code_of(world.durham, ebs=DURHAM) == "not-the-last-owner"
        world.link.up = True

        drawn = await plan(world.durham)
        assert drawn.certificate is not None
        async with world.durham.api() as client:
            wrong_site = StoreOrder(certificate=drawn.certificate.id, confirmed_site=MORPETH)
            assert (await refusal_of(client.accept_store(wrong_site))).code == "not-confirmed"
            nothing = StoreOrder(certificate="owner-1", confirmed_site=DURHAM)
            assert (await refusal_of(client.accept_store(nothing))).code == "certificate-unknown"
        assert distrusts(world.durham)
        assert world.cluster.table.read(SERVICES).items == ()


async def test_a_plan_that_the_store_or_the_other_site_has_overtaken_is_refused() -> None:
    async with two_sites(guarded()) as world:
        world.cluster.restore(Table())
        await found_out(world)
        drawn = await plan(world.durham)
        assert drawn.certificate is not None
        await accept(world.morpeth)
        async with world.durham.api() as client:
            order = StoreOrder(certificate=drawn.certificate.id, confirmed_site=DURHAM)
            await world.until(lambda: trusts(world.morpeth))
            assert (await refusal_of(client.accept_store(order))).code == "changed-since-plan"
        await accept(world.durham)
        await world.until(lambda: world.steady(at=DURHAM) and world.steady("ebs", MORPETH))
        assert world.owned().who.startswith(world.owned().who.partition("@")[0])
        assert "@morpeth" in world.owned().who, "the first certificate stands"


async def test_nothing_is_taken_from_a_site_that_has_not_accepted_yet() -> None:
    """The restored key may have lost its hold; silence of a site that distrusts proves nothing (P29)."""
    async with two_sites(guarded()) as world:
        backup = world.cluster.table.copy()
        await world.until(lambda: world.cluster.table.revision > backup.revision + 5)
        world.cluster.restore(backup)
        await found_out(world)
        await accept(world.durham)
        await world.until(lambda: trusts(world.durham))
        assert site_record(world, MORPETH).hold
        world.link.up = False  # no promise any more; Morpeth cuts off, and is silent for Durham
        await world.until(lambda: not world.pairs["ebs"].writable)
        await world.until(lambda: world.durham.controller.view().peer_lease_over)
        await asyncio.sleep(1)
        assert world.runs("failover") == []
        assert world.owned("ebs").primary == MORPETH
        world.link.up = True
        await accept(world.morpeth)
        await world.until(lambda: world.steady(at=DURHAM) and world.steady("ebs", MORPETH))


async def test_a_memory_that_was_damaged_is_no_trust_and_is_set_aside_when_a_person_certifies() -> None:
    async with two_sites(guarded()) as world:
        memory = world.durham.directory / "store-seen.json"
        await world.durham.kill()
        said = json.loads(memory.read_text())
        said["seen"]["revision"] = 1
        damaged = json.dumps(said)
        memory.write_text(damaged)
        await world.durham.start()
        await world.until(lambda: bool(world.durham.keepers) and distrusts(world.durham))
        told = await look(world.durham)
        assert told.status.store.startswith("store-memory-unreadable")
        assert memory.read_text() == damaged, "it is left as it is"
        await accept(world.durham)
        await world.until(lambda: trusts(world.durham))
        assert (memory.parent / "store-seen.unreadable-1.json").read_text() == damaged
        await world.until(lambda: world.steady(at=world.owned().primary) and world.steady("ebs", MORPETH))


async def test_the_memory_outlives_a_full_disk_that_is_told_of() -> None:
    async with two_sites(guarded()) as world:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(FileExistsError):  # it is being written at this moment
                    (world.durham.directory / "store-seen.new").mkdir()  # as good as full
                    break
                await asyncio.sleep(0.001)
        await moved(world)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(
                "cannot be kept on disk" in line for line in (await look(world.durham)).status.warnings
            ):
                await asyncio.sleep(0.05)
        told = await look(world.durham)
        assert told.metric("store_trusted") == 1


@pytest.mark.parametrize("record", [SERVICES + "crm", SITES + MORPETH])
async def test_a_record_that_makes_no_sense_is_counted_and_promotes_nobody(record: str) -> None:
    async with two_sites(estate(lease=LEASE)) as world:
        table = world.cluster.table
        found = table.read(record, exact=True).get(record)
        assert found is not None
        world.cluster.apply(
            lambda: table.transact([Compare(record, found.mod_revision)], [Put(record, b"{}")], [])
        )
        await world.until(
            lambda: (
                "twinsite_not_accepted_total" in world.durham.metrics()
                and 'code="record-unreadable"' in world.durham.metrics()
            )
        )
        await asyncio.sleep(0.5)
        assert world.runs("failover") == []
        assert len(world.pair.writable) <= 1
