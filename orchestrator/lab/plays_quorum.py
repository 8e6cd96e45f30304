"""Plays about the witness and a majority that is lost: hold, and what people certify without one."""

from orchestrator.lab import acts, plays
from orchestrator.lab.acts import KEPT, MOVED, SERVICES, other
from orchestrator.lab.places import DATA_SITES, WITNESS
from orchestrator.lab.plays import stays, text
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

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
        await open_by_certificate(stage, MOVED, survivor, lost)
    finally:
        stage.sites.heal_site(WITNESS)
    await reconciled(stage, survivor, MOVED)
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


async def witness_and_link(stage: Stage) -> None:
    """Both within a lease of each other: nobody has set hold yet, so nobody may rely on it."""
    before = await acts.begin(stage)
    stage.sites.kill_site(WITNESS)
    stage.sites.faults.cut(*DATA_SITES)
    stage.screen.say(f"{WITNESS} is killed, and the link between the data sites is cut in the same moment")
    try:
        now = await acts.wait(stage, plays.QUIET_SECONDS)
        for service in SERVICES:
            home = acts.primary(before, service)
            stage.check(
                f"{service} was cut off at {home}", now.taken_at(service) == [], f"{now.taken_at(service)}"
            )
    finally:
        stage.sites.faults.mend_all()
        stage.sites.heal_site(WITNESS)
    stage.screen.say(f"{WITNESS} and the link are back")
    after = await acts.everything_steady(stage)
    for service in SERVICES:
        moves = after.epoch(service) - before.epoch(service)
        stage.check(f"{service} did not move to and fro", moves <= 1, f"{moves} changes of ownership")
        await acts.figures(stage, "witness-and-link", service, acts.primary(after, service))


async def witness_and_site_at_once(stage: Stage) -> None:
    """No hold was set: the survivor closes what it has as well. A person opens both services there."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    for site in (WITNESS, lost):
        stage.sites.kill_site(site)
    stage.screen.say(f"{WITNESS} and {lost} are killed in the same moment")
    try:
        now = await acts.wait(stage, plays.QUIET_SECONDS)
        stage.check(f"{survivor} closed {KEPT}", now.taken_at(KEPT) == [], f"{now.taken_at(KEPT)}")
        stage.check(f"nobody serves {MOVED}", now.taken_at(MOVED) == [], f"{now.taken_at(MOVED)}")
        for service in (MOVED, KEPT):
            await open_by_certificate(stage, service, survivor, lost)
    finally:
        stage.sites.heal_site(WITNESS)
    await reconciled(stage, survivor, MOVED, KEPT)
    stage.sites.heal_site(lost)
    stage.screen.say(f"{lost} starts again")
    for service in (MOVED, KEPT):
        await acts.back_as_standby(stage, service, lost, f"{service} at {lost} rejoined as standby")
    after = await acts.everything_steady(stage)
    for service in (MOVED, KEPT):
        owner = after.primary(service)
        stage.check(f"{survivor} is primary for {service}", owner == survivor, str(owner))
        found = await stage.measure("witness-and-site-at-once", service, None)
        acts.report(stage, found)
        acts.never_two(stage, found)
        await acts.copies_agree(stage, service, lost)
    stage.check(f"no row of {KEPT} was lost", stage.events[-1].lost_rows == 0)


async def open_by_certificate(stage: Stage, service: str, survivor: str, lost: str) -> None:
    words = ("failover", service, "--certify-down", lost, "--accept-loss", "any", *plays.BECAUSE)
    await plays.ordered(stage, survivor, *words)
    await acts.served_at(stage, service, survivor)
    stage.screen.say(f"{survivor} serves {service} by broken glass")


async def reconciled(stage: Stage, survivor: str, *services: str) -> None:
    """When there is a quorum again, write to it what was certified."""
    stage.screen.say(f"{WITNESS} is back: there is a quorum")
    await stage.until(
        f"{survivor} reaches a store with a quorum",
        lambda now: (status := now.controllers.get(survivor)) is not None and not unreachable(status.store),
        within_seconds=SERVED_WITHIN_SECONDS,
    )
    for service in services:
        await plays.ordered(stage, survivor, "reconcile", service, *plays.BECAUSE[:2])
