"""*Unprotected since* runs from the failover until the standby is in sync, whichever controller restarts."""

from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, two_sites


async def failed_over(world: TwoSites) -> float:
    """Durham is lost, and the service open at Morpeth; when the failover began, by Unix time."""
    await world.lose(DURHAM)
    await world.until(lambda: world.open_at(MORPETH) and world.owned().movement == "steady")
    await world.until(lambda: world.morpeth.decision() == "unprotected")
    return world.runs("failover")[0].started_unix_seconds


def since(site: Site) -> float | None:
    """As the site has it now."""
    return site.controller.minds["crm"].unprotected_since_unix_seconds


async def shown(site: Site) -> float | None:
    """As Prometheus reads it; what people are shown agrees."""
    told = await look(site)
    at = told.metric("unprotected_since_timestamp_seconds", service="crm")
    assert (at is None) == (told.service().unprotected_seconds is None)
    return at


async def restarted(world: TwoSites, site: Site) -> None:
    """Its controller is killed and started, and knows again who owns the service."""
    await site.kill_controller()
    await site.start()
    await world.until(lambda: site.decision() == "unprotected")


async def test_it_begins_with_the_failover_and_a_restart_does_not_begin_it_anew() -> None:
    async with two_sites() as world:
        began = await failed_over(world)
        first = since(world.morpeth)
        assert first is not None
        assert first <= began, "the site was lost before it was taken over"
        for _ in range(2):
            await restarted(world, world.morpeth)
            assert await shown(world.morpeth) == first


async def test_a_controller_whose_journal_is_lost_begins_at_the_failover() -> None:
    async with two_sites() as world:
        began = await failed_over(world)
        await world.morpeth.kill_controller()
        for file in world.morpeth.directory.glob("journal*"):
            file.unlink()
        await world.morpeth.start()
        await world.until(lambda: world.morpeth.decision() == "unprotected")
        assert await shown(world.morpeth) == began


async def test_it_ends_at_both_sites_when_the_standby_is_in_sync_and_is_on_file() -> None:
    async with two_sites() as world:
        await failed_over(world)
        await world.bring_back(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH))
        await world.until(lambda: not any(since(site) for site in world.sites.values()))
        for site in world.sites.values():
            assert await shown(site) is None
            async with site.api() as client:
                entries = (await client.history(service="crm", kind="protection")).entries
            assert entries[0].text == "protected at epoch 2: a standby is in sync"
        assert "unprotected at epoch 2, since 20" in "\n".join(entry.text for entry in entries)
