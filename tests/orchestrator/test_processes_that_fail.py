"""Keeper, controller, store and disk fail, one at a time: who is fenced, who goes on, and what is told."""

from orchestrator.api.shapes import MoveRequest, QuietRequest
from orchestrator.core.messages import OrderGuard
from orchestrator.core.reasons import REASONS
from orchestrator.core.records import SITES, SiteRecord, decode
from tests.orchestrator.looking import look, refusal_of
from tests.orchestrator.two_sites import DURHAM, MORPETH, TwoSites, estate, two_sites


def incarnation(world: TwoSites, site: str) -> int:
    """As it stands in the store."""
    found = world.cluster.table.read(SITES + site, exact=True).get(SITES + site)
    assert found is not None
    return decode(SiteRecord, found.value).incarnation


def fences(world: TwoSites, at: str = DURHAM) -> int:
    """How often that site cut its own instance off."""
    return sum(1 for who, word, where in world.pair.said if (who, word, where) == (at, "fence", at))


# --- the keeper ------------------------------------------------------------------------------------------


async def test_a_keeper_that_dies_is_started_again_and_the_service_goes_on_unharmed() -> None:
    async with two_sites(estate(lease="3s")) as world:
        before = incarnation(world, DURHAM)
        await world.durham.kill_keeper()
        await world.until(lambda: len(world.durham.keepers) == 2)
        await world.until(lambda: incarnation(world, DURHAM) > before)
        await world.until(lambda: world.steady(at=DURHAM))
        assert (world.owned().epoch, fences(world)) == (1, 0)


async def test_without_a_keeper_everything_about_ownership_is_unknown_and_said_to_be() -> None:
    async with two_sites(estate(lease="60s")) as world:
        world.durham.may_start_keepers = False
        await world.durham.kill_keeper()
        await world.until(lambda: world.durham.decision() == "no-quorum")
        told = await look(world.durham)
        assert (told.status.keeper, told.status.overall) == ("absent", "unknown")
        assert told.status.store_age_seconds is None
        assert (told.service().primary, told.service().epoch) == (None, None)
        lag = told.service().lag
        assert lag is not None, "a service whose owner is not known is listed, with figures that are not"
        assert (lag.from_site, lag.to_site) == (DURHAM, MORPETH)
        assert (lag.seconds, lag.bytes, lag.sample_age_seconds, lag.streaming) == (None, None, None, None)
        assert lag.detail == "unknown: its owner is not known"
        assert told.service().instances[0].role == "primary", "what the databases say is known all the same"
        here = next(site for site in told.status.sites if site.here)
        assert (here.lease_remaining_seconds, here.incarnation, here.revoked) == (None, None, None)
        for name in ("owner", "epoch", "lease_remaining_seconds", "paused", "store_round_trip_seconds"):
            assert told.metric(name) is None, name
        async with world.durham.api() as client:
            for request in (
                client.plan(MoveRequest(verb="switchover", service="crm")),
                client.pause(QuietRequest(service="crm", seconds=60, reason="r")),
                client.pause(QuietRequest(site=DURHAM, seconds=60, reason="r")),
            ):
                assert (await refusal_of(request)).code == "no-quorum"
        world.durham.may_start_keepers = True
        await world.until(lambda: world.steady(at=DURHAM))
        assert (await look(world.durham)).status.keeper == "active"


async def test_a_keeper_told_to_stop_cuts_off_what_is_open_when_the_lease_ends_and_only_then_ends() -> None:
    async with two_sites() as world:
        running = world.durham.keepers[-1]
        world.durham.may_start_keepers = False
        running.keeper.stop()
        assert running.poll() is None
        assert world.open_at(DURHAM)
        await world.until(lambda: running.poll() is not None)
        assert running.poll() == 0
        assert fences(world) == 1
        assert not world.pair.instances[DURHAM].running
        await world.until(lambda: world.open_at(MORPETH))


async def test_a_keeper_told_twice_to_stop_does_not_wait_for_the_lease() -> None:
    async with two_sites(estate(lease="1h")) as world:
        running = world.durham.keepers[-1]
        world.durham.may_start_keepers = False
        running.keeper.stop()
        running.keeper.stop()
        await world.until(lambda: running.poll() == 0)
        assert not world.pair.instances[DURHAM].running


async def test_a_keeper_that_cannot_prove_its_fence_does_not_end() -> None:
    async with two_sites() as world:
        running = world.durham.keepers[-1]
        world.durham.may_start_keepers = False
        world.pair.unfenced.add(DURHAM)
        running.keeper.stop()
        await world.until(lambda: fences(world) > 2)
        assert running.poll() is None
        assert world.open_at(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "old-primary-writable")
        world.pair.unfenced.clear()
        await world.until(lambda: running.poll() == 0)
        await world.until(lambda: world.open_at(MORPETH))


async def test_a_manual_service_is_left_running_by_a_keeper_that_ends() -> None:
    async with two_sites(estate(failover="manual")) as world:
        running = world.durham.keepers[-1]
        world.durham.may_start_keepers = False
        running.keeper.stop()
        await world.until(lambda: running.poll() == 0)
        assert (world.open_at(DURHAM), fences(world)) == (True, 0)


async def test_a_keeper_that_starts_without_the_store_cuts_off_what_the_last_one_had_open() -> None:
    async with two_sites() as world:
        world.cut_store(DURHAM)
        await world.durham.kill_keeper()
        await world.until(lambda: not world.pair.instances[DURHAM].running)
        assert fences(world) >= 1
        await world.until(lambda: world.open_at(MORPETH))


async def test_a_driver_that_breaks_while_fencing_is_asked_again() -> None:
    async with two_sites() as world:
        world.pair.broken_fences[DURHAM] = RuntimeError("a mistake in the driver")
        world.cut_store(DURHAM)
        await world.until(lambda: not world.pair.instances[DURHAM].running)
        assert fences(world) >= 2


async def test_a_full_disk_under_the_keeper_s_note_stops_neither_renewals_nor_fences() -> None:
    async with two_sites() as world:
        (world.durham.directory / "keeper-note.new").mkdir()  # as good as full: nothing can be written there
        noted = (world.durham.directory / "keeper-note.json").read_bytes()
        beat = world.cluster.table.revision
        await world.until(lambda: world.cluster.table.revision > beat + 20)
        assert (world.open_at(DURHAM), fences(world)) == (True, 0)
        assert (world.durham.directory / "keeper-note.json").read_bytes() == noted
        world.cut_store(DURHAM)
        await world.until(lambda: not world.pair.instances[DURHAM].running)
        assert fences(world) >= 1


async def test_a_second_keeper_of_the_same_site_supersedes_the_first_which_ends() -> None:
    async with two_sites() as world:
        first = world.durham.keepers[-1]
        other = world.durham.start_keeper()  # two machines that both think they are Durham's
        await world.until(lambda: first.poll() is not None or other.poll() is not None)
        assert 1 in (first.poll(), other.poll())
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 1


async def test_a_superseded_keeper_has_told_its_guards_of_its_successor_by_the_time_it_ends() -> None:
    async with two_sites(estate(guards=True)) as world:
        told: dict[str, list[OrderGuard]] = {}
        pair = [world.durham.keepers[-1], world.durham.start_keeper()]
        for running in pair:
            keeper = running.keeper
            told[keeper._state.keeper] = []
            keeper._doors.order_guard = told[keeper._state.keeper].append  # type: ignore[method-assign]
        await world.until(lambda: any(running.poll() is not None for running in pair))
        ended = next(running.keeper for running in pair if running.poll() is not None)
        last = told[ended._state.keeper][-1]
        assert (last.kind, last.service) == ("learn", "crm")
        assert last.incarnation >= ended._state.incarnation


# --- the controller --------------------------------------------------------------------------------------


async def test_a_controller_that_is_stopped_gives_nothing_up_and_goes_on_where_it_was() -> None:
    async with two_sites(estate(lease="3s")) as world:
        assert await world.durham.stop_controller() == 0
        assert world.open_at(DURHAM)
        await world.durham.start()
        await world.until(lambda: world.steady(at=DURHAM))
        assert len(world.durham.keepers) == 1, "it finds its keeper"
        assert (world.owned().epoch, fences(world)) == (1, 0)


async def test_without_its_controller_a_keeper_lets_the_lease_end_and_the_other_site_takes_over() -> None:
    async with two_sites() as world:
        await world.durham.kill_controller()
        await world.until(lambda: world.open_at(MORPETH))
        assert fences(world) >= 1
        assert world.owned().epoch == 2


async def test_a_decider_that_hangs_does_not_keep_a_lease_alive() -> None:
    async with two_sites() as world:
        world.durham.hang_journal()
        world.pair.instances[MORPETH].receiving = False  # something to decide about
        await world.until(lambda: fences(world) >= 1)
        told = await look(world.durham)
        assert any("renewals are suspended" in line for line in told.status.warnings)
        await world.until(lambda: world.open_at(MORPETH))
        world.durham.hang_journal(hangs=False)
        world.pair.instances[MORPETH].receiving = True
        await world.until(lambda: world.steady(at=MORPETH))


# --- the store -------------------------------------------------------------------------------------------


async def test_a_site_without_the_store_is_cut_off_before_its_lease_ends_and_the_other_one_takes_over() -> (
    None
):
    async with two_sites() as world:
        world.writer()
        world.cut_store(DURHAM)
        await world.until(lambda: world.durham.decision() == "no-quorum")
        told = await look(world.durham)
        assert "unreachable" in told.status.store
        assert any("store is out of reach" in line for line in told.status.warnings)
        await world.until(lambda: world.open_at(MORPETH))
        assert fences(world) >= 1
        world.heal_store(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH))
        assert (world.owned().epoch, len(world.runs("failover"))) == (2, 1)


async def test_without_a_majority_both_sites_cut_off_and_open_again_when_it_is_back() -> None:
    services = {"crm": {}, "ebs": {"home": MORPETH, "standby": DURHAM}}
    async with two_sites(estate(services=services)) as world:
        world.cut_store(DURHAM, MORPETH)
        await world.until(lambda: not world.pair.writable and not world.pairs["ebs"].writable)
        for site in world.sites.values():
            await world.until(
                lambda site=site: site.decision() in ("no-quorum", "peer-word-missing")  # type: ignore[misc]
            )
            told = await look(site)
            assert told.status.overall in ("down", "unknown")
        world.heal_store(DURHAM, MORPETH)
        await world.until(lambda: world.steady(at=DURHAM) and world.steady("ebs", MORPETH))
        assert (world.owned().epoch, world.owned("ebs").epoch) == (1, 1)
        assert world.runs("failover", "switchover") == []


async def test_a_short_silence_of_the_store_costs_nothing() -> None:
    async with two_sites(estate(lease="10s")) as world:
        world.cut_store(DURHAM, MORPETH)
        await world.until(lambda: bool(world.durham.controller.view().keeper.store_problem))  # type: ignore[union-attr]
        assert world.open_at(DURHAM)
        world.heal_store(DURHAM, MORPETH)
        await world.until(lambda: world.steady(at=DURHAM))
        assert fences(world) == 0


# --- the record ------------------------------------------------------------------------------------------


async def test_every_decision_is_on_file_with_a_documented_code() -> None:
    async with two_sites() as world:
        world.pair.kill(DURHAM)
        await world.until(lambda: world.open_at(MORPETH))
        before = len(world.morpeth.decisions())
        world.cut_store(MORPETH)
        await world.until(lambda: "no-quorum" in world.morpeth.decisions()[before:])
        world.heal_store(MORPETH)
        await world.until(lambda: world.open_at(MORPETH) or world.open_at(DURHAM))
        for site in world.sites.values():
            told = (await look(site)).explained["crm"]
            filed = await site.controller.journal.events(kind="decision")
            codes = [event.data["code"] for event in reversed(filed)]
            assert set(codes) <= set(REASONS)
            said = [entry.code for entry in reversed(told.history)]
            assert codes[: len(said)] == said
