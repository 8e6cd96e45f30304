"""Plays about the store, the witness, cold starts and what people certify."""

import asyncio
from contextlib import suppress

from orchestrator.clock import boottime_ns
from orchestrator.lab import acts, plays
from orchestrator.lab.acts import KEPT, MOVED, SERVICES, other
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.places import DATA_SITES, SITES, WITNESS
from orchestrator.lab.plays import stays
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

STORE_LOST_SECONDS = 60.0
LEADER_EVERY_SECONDS = 5.0
SERVED_WITHIN_SECONDS = 90.0
HOLD_WITHIN_SECONDS = 30.0


async def witness_lost(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.kill_site(WITNESS)
        stage.screen.say(f"{WITNESS} is killed")

    def during(stage: Stage, now: LabNow) -> None:
        said = text(now)
        stage.check(f"{WITNESS}'s loss is said", WITNESS in said and "degraded" in said)

    await stays(stage, "witness-lost", hurt, lambda place: stage.sites.heal_site(WITNESS), during=during)


def text(now: LabNow) -> str:
    """Everything that the controllers say, as one text."""
    return "\n".join(
        status.model_dump_json().lower() for status in now.controllers.values() if status is not None
    )


def holds(now: LabNow, place: str) -> bool:
    status = now.controllers.get(place)
    # By the words of one that knows that its hold was committed: carried alone it keeps nothing going yet.
    return status is not None and any("goes on without contact" in line for line in status.warnings)


async def hold(stage: Stage, *places: str) -> None:
    await stage.until(
        f"{' and '.join(places)} rely on hold",
        lambda now: all(holds(now, place) for place in places),
        within_seconds=HOLD_WITHIN_SECONDS,
    )
    stage.screen.say(f"{' and '.join(places)} say that they rely on hold")


async def witness_then_link(stage: Stage) -> None:
    before = await acts.begin(stage)
    stage.sites.kill_site(WITNESS)
    stage.screen.say(f"{WITNESS} is killed")
    try:
        await hold(stage, *DATA_SITES)
        stage.sites.faults.cut(*DATA_SITES)
        stage.screen.say("then the link between the data sites is cut")
        await acts.wait(stage, plays.QUIET_SECONDS)
    finally:
        stage.sites.faults.mend_all()
        stage.sites.heal_site(WITNESS)
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, "witness-then-link", service, acts.primary(before, service))


async def witness_and_site(stage: Stage) -> None:
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    stage.sites.kill_site(WITNESS)
    stage.screen.say(f"{WITNESS} is killed")
    try:
        await hold(stage, survivor)
        stage.sites.kill_site(lost)
        stage.screen.say(f"then {lost} is killed")
        now = await acts.wait(stage, plays.QUIET_SECONDS)
        stage.check(f"{survivor} goes on serving {KEPT}", now.taken_at(KEPT) == [survivor])
        stage.check(f"nobody serves {MOVED}: there is no majority to ask", now.taken_at(MOVED) == [])
    finally:
        stage.sites.heal_site(WITNESS)
        stage.sites.heal_site(lost)
    await acts.everything_steady(stage)
    await acts.unharmed(stage, "witness-and-site-lost", KEPT, survivor)


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
        await acts.wait(stage, STORE_LOST_SECONDS / 2)
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


async def break_glass(stage: Stage) -> None:
    """No quorum and no other site: a person opens the service, and reconciles it when the others are back."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    stage.sites.kill_site(WITNESS)
    stage.screen.say(f"{WITNESS} is killed")
    try:
        await hold(stage, survivor)
        stage.sites.kill_site(lost)
        stage.screen.say(f"then {lost} is killed")
        await acts.wait(stage, stage.sites.lease_duration_seconds * 2)
        words = ("failover", MOVED, "--certify-down", lost, "--accept-loss", "any", *plays.BECAUSE)
        await plays.ordered(stage, survivor, *words)
        await acts.served_at(stage, MOVED, survivor)
        stage.screen.say(f"{survivor} serves {MOVED} by broken glass")
    finally:
        stage.sites.heal_site(WITNESS)
    stage.screen.say(f"{WITNESS} is back: there is a quorum")
    await stage.until(
        f"{survivor} reaches a store with a quorum",
        lambda now: (status := now.controllers.get(survivor)) is not None and not unreachable(status.store),
        within_seconds=SERVED_WITHIN_SECONDS,
    )
    await plays.ordered(stage, survivor, "reconcile", MOVED, *plays.BECAUSE[:2])
    stage.sites.heal_site(lost)
    stage.screen.say(f"{lost} starts again")
    await acts.back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    after = await acts.everything_steady(stage)
    stage.check(f"{survivor} is primary", after.primary(MOVED) == survivor, str(after.primary(MOVED)))
    found = await stage.measure("break-glass", MOVED, None)
    acts.report(stage, found)
    acts.never_two(stage, found)
    await acts.copies_agree(stage, MOVED, lost)
    await acts.unharmed(stage, "break-glass", KEPT, survivor)


def unreachable(store: str) -> bool:
    return "unreachable" in store or "does not answer" in store or "no answer" in store


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
    for site in (WITNESS, *DATA_SITES):
        stage.sites.faults.kill(site, "etcd")
        stage.screen.say(f"the store's member at {site} is killed, and starts again")
        await asyncio.sleep(LEADER_EVERY_SECONDS)
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, "leader-changes", service, acts.primary(before, service))
