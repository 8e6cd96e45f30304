"""Two sites with guards at their hosts and a way between their keepers: what moves, what does not."""

from orchestrator.clock import boottime_ns
from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites


def guarded(**differs: object) -> object:
    return estate(lab=False, guards=True, **differs)


async def moved(world: TwoSites, to: str = MORPETH) -> None:
    await world.until(lambda: world.owned().primary == to and world.open_at(to))


async def test_outside_a_lab_a_guarded_service_is_taken_from_a_lost_site() -> None:
    async with two_sites(guarded()) as world:
        await world.lose(DURHAM)
        await moved(world)


async def test_outside_a_lab_an_unguarded_service_waits_for_a_person() -> None:
    async with two_sites(estate(lab=False)) as world:
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "guard-missing")
        assert world.pair.writable == []


async def test_a_stalled_controller_and_keeper_are_fenced_by_the_guard_before_the_other_site_opens() -> None:
    async with two_sites(guarded()) as world:
        world.writer()
        await world.durham.kill()  # nobody is left at that site who could fence anything but the guard
        await world.until(lambda: world.pair.writable == [])
        assert world.owned().primary == DURHAM
        await moved(world)


async def test_a_dead_database_moves_at_once_after_its_guard_has_acknowledged() -> None:
    async with two_sites(guarded()) as world:
        world.pair.kill(DURHAM)
        await moved(world)
        assert world.durham.guards["crm"].memory.incarnation > 0


async def test_a_switchover_goes_through_both_guards() -> None:
    async with two_sites(guarded()) as world:
        world.writer()
        await world.morpeth.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        assert not world.durham.guards["crm"].state.open
        assert world.morpeth.guards["crm"].state.open


async def test_the_store_out_of_reach_for_both_costs_nothing_and_is_said() -> None:
    async with two_sites(guarded(lease="4s")) as world:
        world.cut_store(DURHAM, MORPETH)
        await world.until(lambda: said(world.durham, "promise keeps its lease alive"))
        for _ in range(3):
            await world.until(lambda: renewed(world.durham))
            assert world.open_at(DURHAM)
        world.heal_store(DURHAM, MORPETH)
        await world.until(lambda: not said(world.durham, "promise"))
        assert world.open_at(DURHAM)
        assert world.owned().epoch == 1


async def test_the_store_out_of_reach_for_one_site_is_no_outage_while_the_peer_hears_it() -> None:
    async with two_sites(guarded(lease="4s")) as world:
        world.cut_store(DURHAM)
        await world.until(lambda: said(world.durham, "promise keeps its lease alive"))
        for _ in range(3):
            await world.until(lambda: renewed(world.durham))
        assert world.open_at(DURHAM)
        assert world.owned().primary == DURHAM
        world.heal_store(DURHAM)
        await world.until(lambda: world.steady(at=DURHAM))


async def test_a_site_that_reaches_neither_store_nor_peer_is_fenced_and_taken_over() -> None:
    async with two_sites(guarded()) as world:
        world.link.up = False
        world.cut_store(DURHAM)
        await moved(world)
        world.link.up = True
        world.heal_store(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH))


async def test_the_way_between_the_sites_down_with_the_store_up_moves_nothing() -> None:
    async with two_sites(guarded(lease="4s")) as world:
        world.link.up = False
        for _ in range(5):
            await world.until(lambda: renewed(world.durham))
        assert world.open_at(DURHAM)
        assert world.owned().epoch == 1


async def test_both_sites_start_cold_and_go_on_where_they_were() -> None:
    async with two_sites(guarded()) as world:
        for site in (DURHAM, MORPETH):
            await world.lose(site)
        for site in (DURHAM, MORPETH):
            await world.bring_back(site)
        await world.until(lambda: world.steady(at=DURHAM))


async def test_a_site_that_starts_cold_alone_opens_nothing_and_says_whose_word_is_missing() -> None:
    async with two_sites(guarded()) as world:
        for site in (MORPETH, DURHAM):
            await world.lose(site)
        await world.bring_back(DURHAM)
        await world.until(lambda: world.durham.decision() == "peer-word-missing")
        assert world.pair.writable == []
        told = await look(world.durham)
        assert any("certify morpeth --down" in line for line in told.status.warnings)
        await world.bring_back(MORPETH)
        await world.until(lambda: world.steady(at=DURHAM))


async def test_a_manual_service_is_served_on_without_anybody_to_answer_its_guard() -> None:
    async with two_sites(guarded(failover="manual")) as world:
        guard = world.durham.guards["crm"]
        await world.until(lambda: guard.state.manual and guard.state.deadline_ns is not None)
        await world.durham.kill()
        deadline_ns = guard.state.deadline_ns
        assert deadline_ns is not None
        await world.until(lambda: boottime_ns() > deadline_ns + 500_000_000)
        assert world.open_at(DURHAM)
        assert world.owned().primary == DURHAM


def said(site: Site, words: str) -> bool:
    from orchestrator.api.right_words import guard_warnings, right_warnings

    view = site.controller.view()
    return any(words in line for line in [*guard_warnings(view), *right_warnings(view)])


_RENEWED: dict[str, int] = {}


def renewed(site: Site) -> bool:
    """Its deadline has moved on since this was last asked and found so."""
    keeper = site.controller.view().keeper
    deadline_ns = keeper.deadline_ns if keeper is not None else 0
    before_ns = _RENEWED.get(site.name, 0)
    if deadline_ns <= before_ns + 500_000_000 and before_ns:
        return False
    _RENEWED[site.name] = deadline_ns
    return True
