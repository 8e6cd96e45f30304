"""What two sites do when nobody orders anything: claims, losses, returns, and the reasons not to move."""

import pytest

from orchestrator.api.shapes import QuietRequest
from sites.replication.words import Role
from tests.orchestrator.looking import look
from tests.orchestrator.two_sites import DURHAM, MORPETH, Site, TwoSites, estate, two_sites


def both_closed(world: TwoSites) -> None:
    """Both instances of every service are standbys, as after a cold start."""
    for pair in world.pairs.values():
        for instance in pair.instances.values():
            instance.role = Role.STANDBY


async def moved(world: TwoSites, service: str = "crm") -> None:
    """The service is open at Morpeth and its run is over."""
    await world.until(lambda: world.open_at(MORPETH, service) and world.owned(service).movement == "steady")


async def quiet(site: Site, **fields: object) -> None:
    """Pause until resumed, or acknowledge."""
    async with site.api() as client:
        if "seconds" in fields:
            await client.pause(QuietRequest(service="crm", reason="a test", **fields))
        else:
            await client.acknowledge(QuietRequest(service="crm", reason="seen"))


# --- the first claim ----------------------------------------------------------------------------------


async def test_a_service_that_runs_is_claimed_by_its_home_and_nothing_is_done_to_its_database() -> None:
    async with two_sites() as world:
        record = world.owned()
        assert (record.primary, record.epoch, record.mode) == (DURHAM, 1, "automatic")
        assert world.pair.said == []
        for site in world.sites.values():
            told = await look(site)
            assert told.status.overall == "ok"
            assert told.service().primary == DURHAM
            assert told.metric("epoch", service="crm", site=DURHAM) == 1
            assert told.metric("lease_remaining_seconds", site=DURHAM) is not None


async def test_the_standby_alone_claims_nothing_and_two_closed_instances_open_at_home() -> None:
    async with two_sites(prepare=both_closed, start=False) as world:
        await world.morpeth.start()
        await world.until(lambda: world.morpeth.decision() == "peer-word-missing")
        told = await look(world.morpeth)
        assert (told.service().primary, told.service().epoch) == (None, None)
        assert told.service().movement == "unknown"
        assert world.record() is None
        await world.durham.start()
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 1
        assert [(who, word) for who, word, at in world.pair.said if at == MORPETH] == []


async def test_which_of_two_clusters_is_the_right_one_is_for_a_person_to_say() -> None:
    def strangers(world: TwoSites) -> None:
        both_closed(world)
        world.pair.instances[MORPETH].cluster = "another"

    async with two_sites(prepare=strangers, start=False) as world:
        for site in world.sites.values():
            await site.start()
        await world.until(lambda: world.durham.decision() == "unclaimed")
        await look(world.durham)
        assert world.record() is None
        assert world.pair.said == []


# --- a site is lost, and comes back -------------------------------------------------------------------


async def test_a_lost_site_is_taken_over_told_about_and_rejoins_when_it_returns() -> None:
    services = {"crm": {}, "ebs": {"home": MORPETH, "standby": DURHAM}}
    async with two_sites(estate(services=services)) as world:
        world.writer()
        world.pair.instances[MORPETH].receiving = False  # the last rows never arrive
        world.pair.write()
        await world.lose(DURHAM)
        await moved(world)
        assert world.owned().epoch == 2
        assert (world.owned("ebs").epoch, world.open_at(MORPETH, "ebs")) == (1, True), "its own went on"

        await look(world.morpeth)
        told = await world.detail(world.runs("failover")[0].run, world.morpeth)
        assert (told.state, told.who) == ("done", "controller of morpeth")
        assert [(step.step, step.state) for step in told.steps] == [
            ("ownership/take-over", "done"),
            ("promote/database", "done"),
            ("ownership/settle", "done"),
        ]
        assert "loses at most" in told.statement
        assert told.loss_bound_seconds is not None
        assert told.ended
        await world.until(lambda: "twinsite_run_duration_seconds_count{" in world.morpeth.metrics())
        assert (MORPETH, "fence", DURHAM) in world.pair.said, (
            "the old site is cut off as well where it can be"
        )

        await world.bring_back(DURHAM)
        await world.until(lambda: world.steady(at=MORPETH) and world.steady("ebs", MORPETH))
        assert world.owned().epoch == 2, "nothing was promoted by its return"
        rejoined = await world.detail(world.runs("rejoin")[-1].run, world.durham)
        assert (rejoined.state, rejoined.statement) == ("done", "nothing is promoted")
        assert rejoined.steps[0].detail == "rewind of morpeth"


async def test_an_old_primary_that_somebody_opens_by_hand_is_cut_off_by_its_own_site() -> None:
    async with two_sites() as world:
        await world.lose(DURHAM)
        await moved(world)
        await world.bring_back(DURHAM)
        world.pair.instances[DURHAM].role = Role.PRIMARY  # by hand, before anybody could look
        await world.until(
            lambda: world.open_at(MORPETH) and "writable-without-right" in world.durham.decisions()
        )
        await world.until(lambda: world.steady(at=MORPETH))
        world.pair.doubly_writable = False  # the test's own doing
        assert world.owned().epoch == 2


async def test_a_lost_link_moves_nothing() -> None:
    async with two_sites() as world:
        world.pair.cut_off(DURHAM, by=(MORPETH,))
        world.pair.cut_off(MORPETH, by=(DURHAM,))
        await world.until(lambda: world.morpeth.decision() == "link-down")
        told = await look(world.morpeth)
        assert told.service().diagnosis == "link-down"
        assert told.metric("role", service="crm", site=DURHAM) is None
        assert told.metric("reachable", from_site=MORPETH, to_site=DURHAM) == 0
        await world.until(lambda: world.durham.decision() == "link-down")
        told = await look(world.durham)
        assert told.service().unprotected_seconds is not None, "nobody knows whether its standby receives"
        world.pair.reach_again()
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 1


async def test_a_site_whose_processes_are_gone_while_its_database_serves_is_not_doubled() -> None:
    async with two_sites() as world:
        await world.durham.kill()
        await world.until(lambda: world.morpeth.decision() == "old-primary-writable")
        told = await look(world.morpeth)
        assert (told.service().diagnosis, told.status.overall) == ("site-dark", "down")
        assert world.open_at(DURHAM)
        world.pair.kill(DURHAM)
        await moved(world)


async def test_the_witness_s_word_counts_and_its_silence_is_told() -> None:
    async with two_sites(start=False) as world:
        world.witness()
        await world.start()
        await world.until(lambda: DERWENTSIDE_HEARD(world))
        told = await look(world.morpeth)
        assert not [line for line in told.status.warnings if "derwentside" in line]
        assert {each.observer for each in told.explained["crm"].evidence} == {DURHAM, MORPETH, "derwentside"}
        # From Morpeth the old primary is out of sight; the witness sees it serve.
        world.pair.cut_off(DURHAM, by=(MORPETH,))
        await world.durham.kill()
        await world.until(lambda: world.morpeth.decision() == "old-primary-writable")
        gate = next(gate for gate in (await look(world.morpeth)).explained["crm"].gates if gate.number == 2)
        assert "derwentside saw it writable" in gate.evidence


def DERWENTSIDE_HEARD(world: TwoSites) -> bool:
    return any(
        record.observer == "derwentside" and record.instances
        for record, _ in world.morpeth.controller.eyes.outside_records(0)
    )


# --- a database dies ----------------------------------------------------------------------------------


async def test_a_dead_database_is_fenced_given_up_and_opened_at_the_other_site_at_once() -> None:
    async with two_sites(estate(lease="60s")) as world:  # no lease runs out meanwhile
        world.writer()
        world.pair.kill(DURHAM)
        await moved(world)
        record = world.owned()
        assert (record.epoch, record.previous, record.planned) == (2, DURHAM, False)
        said = [(who, word) for who, word, _ in world.pair.said]
        assert said.index((DURHAM, "fence")) < said.index((MORPETH, "promote"))
        run = await world.detail(world.runs("failover")[0].run, world.morpeth)
        assert (run.state, run.steps[0].step) == ("done", "ownership/claim")
        await world.until(lambda: world.steady(at=MORPETH))
        await look(world.durham)


async def test_a_dead_database_is_restarted_where_it_is_when_that_is_allowed_and_then_no_more() -> None:
    async with two_sites(estate(local_restarts=1)) as world:
        world.pair.kill(DURHAM)
        await world.until(lambda: world.open_at(DURHAM))
        assert (world.owned().epoch, world.owned().primary) == (1, DURHAM)
        assert (DURHAM, "start as primary", DURHAM) in world.pair.said
        await world.until(lambda: world.steady(at=DURHAM))
        world.pair.kill(DURHAM)
        await moved(world)
        assert world.owned().epoch == 2


async def test_a_database_that_does_not_answer_is_neither_dead_nor_moved() -> None:
    async with two_sites() as world:
        world.pair.cut_off(DURHAM)
        await world.until(lambda: world.durham.decision() == "primary-unknown")
        told = await look(world.durham)
        assert told.service().diagnosis == "primary-unknown"
        assert told.service().instances[0].writable is None
        assert told.metric("role", service="crm", site=DURHAM) is None
        world.pair.reach_again()
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 1


async def test_a_dead_database_that_nobody_could_take_is_started_where_it_is() -> None:
    async with two_sites() as world:
        world.pair.kill(MORPETH)
        await world.until(lambda: world.durham.decision() == "unprotected")
        told = await look(world.durham)
        assert told.service().unprotected_seconds is not None
        assert told.metric("replication_lag_seconds", service="crm") is None or told.service().lag is not None
        world.pair.kill(DURHAM)
        await world.until(lambda: world.open_at(DURHAM))
        assert (world.owned().primary, world.owned().epoch) == (DURHAM, 1)
        await world.until(lambda: world.steady(at=DURHAM))


async def test_databases_that_nothing_starts_at_boot_are_opened_where_they_belong_after_a_cold_start() -> (
    None
):
    async with two_sites() as world:
        for site in (DURHAM, MORPETH):
            await world.lose(site)
        for site in (DURHAM, MORPETH):
            await world.bring_back(site)
            world.pair.instances[site].running = False
            world.pair.changed()
        await world.until(lambda: world.steady(at=DURHAM))
        assert world.owned().epoch == 1


async def test_a_fence_that_cannot_be_verified_gives_nothing_up() -> None:
    async with two_sites() as world:
        world.pair.unfenced.add(DURHAM)
        world.pair.kill(DURHAM)
        await world.until(lambda: (DURHAM, "fence", DURHAM) in world.pair.said)
        await world.until(lambda: len([each for each in world.pair.said if each[1] == "fence"]) > 1)
        assert world.owned().primary == DURHAM
        assert world.pair.writable == []
        await look(world.durham)
        world.pair.unfenced.clear()
        await moved(world)


# --- reasons not to move ------------------------------------------------------------------------------


async def test_a_pause_holds_an_automatic_move_back_and_ends_by_itself() -> None:
    async with two_sites() as world:
        await quiet(world.durham, seconds=3.0)
        await world.until(lambda: world.owned().pause is not None)
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "paused")
        told = await look(world.morpeth)
        assert "paused by" in told.service().paused
        assert told.service().next_step
        assert told.metric("paused", service="crm") == 1
        assert world.pair.writable == []
        await moved(world)


async def test_a_resumed_service_moves_at_once() -> None:
    async with two_sites() as world:
        await quiet(world.durham, seconds=3600.0)
        world.pair.kill(DURHAM)
        await world.until(lambda: world.durham.decision() == "paused")
        async with world.morpeth.api() as client:
            await client.resume(QuietRequest(service="crm"))
        await moved(world)


async def test_a_second_move_waits_until_somebody_has_looked_at_the_first() -> None:
    async with two_sites(estate(min_time_between_failovers="1h")) as world:
        world.pair.kill(DURHAM)
        await moved(world)
        await world.until(lambda: world.steady(at=MORPETH))
        world.pair.kill(MORPETH)
        await world.until(lambda: world.morpeth.decision() == "flap-damped")
        await look(world.morpeth)
        assert world.owned().primary == MORPETH
        await quiet(world.durham)
        await world.until(lambda: world.open_at(DURHAM))
        assert world.owned().epoch == 3


async def test_a_manual_service_is_asked_about_and_its_database_is_left_alone() -> None:
    async with two_sites(estate(failover="manual")) as world:
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "manual")
        told = await look(world.morpeth)
        assert (told.service().mode, told.service().decision) == ("manual", "ask")
        assert "certify-down" in told.service().next_step
        assert world.pair.said == []


@pytest.mark.parametrize("loss", ["site", "database"])
async def test_without_a_guard_nothing_moves_by_itself_outside_a_lab(loss: str) -> None:
    async with two_sites(estate(lab=False)) as world:
        told = await look(world.durham)
        assert any("no guard" in line for line in told.status.warnings)
        if loss == "site":
            await world.lose(DURHAM)
        else:
            world.pair.kill(DURHAM)
        asked = world.morpeth if loss == "site" else world.durham
        await world.until(lambda: asked.decision() == "guard-missing")
        told = await look(asked)
        assert told.service().decision == "ask"
        assert (world.owned().primary, world.pair.said) == (DURHAM, [])


async def test_a_service_that_asks_for_a_confirmed_fence_waits_for_it() -> None:
    async with two_sites(estate(fence="confirm")) as world:
        world.pair.unfenced.add(DURHAM)
        await world.durham.kill()
        world.pair.kill(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "fence-not-confirmed")
        await look(world.morpeth)
        assert world.owned().primary == DURHAM
        await world.until(lambda: (MORPETH, "fence", DURHAM) in world.pair.said)


async def test_a_confirmed_fence_lets_it_move() -> None:
    async with two_sites(estate(fence="confirm")) as world:
        await world.durham.kill()
        world.pair.kill(DURHAM)
        await moved(world)


async def test_a_standby_of_another_history_is_never_promoted() -> None:
    async with two_sites() as world:
        world.pair.instances[MORPETH].cluster = "another"
        await world.until(lambda: not world.pair.streams(MORPETH))
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() in ("history-diverged", "lag-unknown"))
        await look(world.morpeth)
        assert world.pair.writable == []


async def test_what_is_further_behind_than_may_be_lost_is_not_promoted_by_itself() -> None:
    async with two_sites(estate(max_data_loss="100ms")) as world:
        world.pair.instances[MORPETH].receiving = False
        world.writer()
        await world.until(lambda: world.durham.decision() == "unprotected")
        await world.lose(DURHAM)
        await world.until(lambda: world.morpeth.decision() == "lag-above-limit")
        told = await look(world.morpeth)
        assert told.service().loss_if_moved_now.startswith("at most")
        assert world.pair.writable == []


async def test_a_service_without_a_driver_is_only_watched() -> None:
    services = {"crm": {}, "files": {"replication": None, "<watch_only>": True}}
    async with two_sites(estate(services=services)) as world:
        told = await look(world.durham)
        shown = told.service("files")
        assert (shown.mode, shown.primary, shown.lag) == ("watch-only", None, None)
        assert told.metric("owner", service="files") is None


async def test_a_service_that_something_else_moves_is_never_moved_here() -> None:
    async with two_sites(estate(failover="followed"), start=False) as world:
        for site in world.sites.values():
            await site.start()
        await world.until(lambda: world.morpeth.decision() == "followed")
        world.pair.kill(DURHAM)
        told = await look(world.durham)
        assert told.service().decision == "hold"
        assert world.pair.said == []
