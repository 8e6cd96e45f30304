"""Plays about the store and its members, and about cold starts."""

import asyncio
from contextlib import suppress

from orchestrator.clock import boottime_ns
from orchestrator.lab import acts, plays, stories
from orchestrator.lab.acts import KEPT, MOVED, SERVICES, other
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.places import DATA_SITES, SITES, WITNESS
from orchestrator.lab.plays import stays, text
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

STORE_LOST_SECONDS = 60.0
LEADER_EVERY_SECONDS = 5.0
SLOW_FOR_SECONDS = 20.0
STANDS_STILL_SECONDS = 0.33
SERVED_WITHIN_SECONDS = 90.0


async def store_lost(stage: Stage) -> None:
    await stays(
        stage,
        "store-lost",
        lambda place: stop_store(stage),
        lambda place: start_store(stage),
        seconds=STORE_LOST_SECONDS,
    )


def stop_store(stage: Stage) -> None:
    for site in SITES:
        stage.sites.faults.stop(site, "etcd")
    stage.screen.say("all three members of the store stand still")


def start_store(stage: Stage) -> None:
    for site in SITES:
        stage.sites.faults.go(site, "etcd")
    stage.screen.say("the store goes on")


async def store_dead(stage: Stage) -> None:
    """The same with members that are gone and not silent, and that nothing starts again."""

    def hurt(place: str) -> None:
        for site in SITES:
            stage.sites.faults.hold_init(site)
            stage.sites.faults.kill(site, "etcd")
        stage.screen.say("all three members of the store are stopped")

    def heal(place: str) -> None:
        for site in SITES:
            stage.sites.faults.release_init(site)
        stage.screen.say("they start again")

    await stays(stage, "store-dead", hurt, heal, seconds=STORE_LOST_SECONDS)


async def promiser_restarts(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stop_store(stage)
        for process in ("controller", "keeper"):
            with suppress(LabMisuse):
                stage.sites.faults.kill(other(place), process)
        stage.screen.say(
            f"controller and keeper of {other(place)} are killed, and start again without a store"
        )

    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    hurt(place)
    try:
        now = await acts.wait(stage, STORE_LOST_SECONDS / 2)
        taken = now.taken_at(KEPT)
        stage.check(
            f"{KEPT} is closed: nobody promises anything to a keeper that is new", not taken, str(taken)
        )
    finally:
        start_store(stage)
    await acts.everything_steady(stage)
    await acts.unharmed(stage, "promiser-restarts", MOVED, place)
    found = await stage.measure("promiser-restarts", KEPT, None)
    acts.never_two(stage, found)


async def cold_start(stage: Stage) -> None:
    before = await acts.begin(stage)
    for site in DATA_SITES:
        stage.sites.kill_site(site)
    stage.screen.say("both data sites are killed")
    await asyncio.sleep(stage.sites.lease_duration_seconds)
    for site in DATA_SITES:
        stage.sites.heal_site(site)
    stage.screen.say("both start cold")
    after = await acts.everything_steady(stage)
    for service in SERVICES:
        stage.check(
            f"{service} is where it was",
            after.primary(service) == before.primary(service),
            f"{before.primary(service)}, then {after.primary(service)}",
        )
        found = await stage.measure("cold-start", service, 0.0)
        acts.report(stage, found)
        acts.never_two(stage, found)
        stage.check(f"no row of {service} was lost", found.lost_rows == 0, f"{found.lost_rows} lost")


async def restarts_alone(stage: Stage) -> None:
    await alone(stage, "restarts-alone", certified=False)


async def certified_alone(stage: Stage) -> None:
    await alone(stage, "certified-alone", certified=True)


async def alone(stage: Stage, event: str, *, certified: bool) -> None:
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    for site in DATA_SITES:
        stage.sites.kill_site(site)
    stage.screen.say(f"both data sites are killed, and {place} alone starts again")
    try:
        stage.sites.heal_site(place)
        await stage.until(
            f"{place}'s controller answers",
            lambda now: now.controllers.get(place) is not None,
            within_seconds=SERVED_WITHIN_SECONDS,
        )
        started_ns = boottime_ns()
        await acts.wait(stage, plays.QUIET_SECONDS)
        taken = [one for one in stage.everybody(MOVED) if one.acknowledged_ns > started_ns]
        stage.check(f"{place} opened nothing without {other(place)}'s word", not taken, f"{len(taken)} rows")
        if certified:
            await plays.ordered(stage, place, "certify", other(place), "--down", *plays.BECAUSE)
            await acts.served_at(stage, MOVED, place)
            stage.screen.say(f"{place} serves {MOVED}, certified by a person")
    finally:
        stage.sites.heal_site(other(place))
    stage.screen.say(f"{other(place)} starts as well")
    await acts.everything_steady(stage)
    for service in SERVICES:
        found = await stage.measure(event, service, 0.0)
        acts.report(stage, found)
        acts.never_two(stage, found)


async def store_restored(stage: Stage) -> None:
    """The store is wiped and restored from an older backup: owners and epochs go back. Nothing is promoted by
    it, and both sites go on; a person accepts it at each site, and neither closes what it serves."""
    await acts.begin(stage)
    stage.sites.faults.keep_store()
    stage.screen.say("a backup of the store is made; then both services move, which the backup does not know")
    for service in SERVICES:
        target = other(acts.primary(stage.view.now, service))
        await stage.view.switchover(service, target)
        await acts.served_at(stage, service, target)
    before = await acts.begin(stage)
    stage.sites.faults.restore_store()
    stage.screen.say("the store is restored from the backup: it knows older owners, and lower epochs")
    now = await acts.wait(stage, 2 * plays.QUIET_SECONDS)
    stage.check(
        "that is said", "restored" in text(now) or "went back" in text(now) or "revision" in text(now)
    )
    for service in SERVICES:
        owner = acts.primary(before, service)
        stage.check(
            f"{service} goes on where it was", now.taken_at(service) == [owner], str(now.taken_at(service))
        )
    for site in (*DATA_SITES, WITNESS):
        await plays.ordered(stage, site, "store", "accept", *plays.BECAUSE)
    after = await acts.everything_steady(stage)
    for service in SERVICES:
        higher = after.epoch(service) > before.epoch(service)
        same = after.primary(service) == before.primary(service)
        stage.check(f"{service} is where it was, in a higher epoch", higher and same)
        await acts.unharmed(stage, "store-restored", service, acts.primary(before, service))


async def leader_changes(stage: Stage) -> None:
    before = await acts.begin(stage)
    async with stage.sites.store_watched(WITNESS) as watch:
        for site in (WITNESS, *DATA_SITES):
            await asyncio.to_thread(stage.sites.faults.kill, site, "etcd")
            stage.screen.say(f"the store's member at {site} is killed, and starts again")
            await asyncio.sleep(LEADER_EVERY_SECONDS)
        acts.store_silence(stage, watch.figures("store-leader-changes"))
    await _nothing_happened(stage, "leader-changes", before)


async def slow_member(stage: Stage) -> None:
    """The leader, which a slow disk would hurt most."""
    before = await acts.begin(stage)
    leader = await acts.store_leader(stage)
    stage.screen.say(f"the store's leader, at {leader}, stands still for a third of every second")
    async with stage.sites.store_watched(leader) as watch:
        for _ in range(int(SLOW_FOR_SECONDS)):
            await asyncio.to_thread(stage.sites.faults.stop, leader, "etcd")
            await asyncio.sleep(STANDS_STILL_SECONDS)
            await asyncio.to_thread(stage.sites.faults.go, leader, "etcd")
            await asyncio.sleep(1.0 - STANDS_STILL_SECONDS)
        acts.store_silence(stage, watch.figures("store-slow-member"))
    await _nothing_happened(stage, "slow-member", before)


async def follower_lost(stage: Stage) -> None:
    await stories.follower_loss(stage)


async def _nothing_happened(stage: Stage, event: str, before: LabNow) -> None:
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, event, service, acts.primary(before, service))
