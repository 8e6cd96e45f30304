"""Plays about sites, processes, links, disks and clocks. A play begins and ends with a healthy lab."""

from collections.abc import Callable
from contextlib import suppress

from orchestrator.lab import acts, plays, stories
from orchestrator.lab.acts import KEPT, MOVED, other
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.faults import STORE_PORTS
from orchestrator.lab.places import DATA_SITES, WITNESS
from orchestrator.lab.plays import stays, survives, takes_over, within_bound
from orchestrator.lab.stage import Stage

BLINK_SECONDS = 1.0
BACK_AFTER_LEASES = 2.0
HOLD_DOWN = "30s"
JUMP_SECONDS = 90.0


async def site_loss(stage: Stage) -> None:
    await stories.site_loss(stage)
    within_bound(stage, "site-loss")


async def database_loss(stage: Stage) -> None:
    await stories.database_loss(stage)
    within_bound(stage, "database-loss")


async def controller_stopped(stage: Stage) -> None:
    await stories.controller_loss(stage)
    within_bound(stage, "controller-loss")


async def controller_killed(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.kill(place, "controller", with_parent=True)
        stage.screen.say(f"{place}'s controller is killed, and its parent; its keeper lives on")

    await survives(stage, "controller-killed", hurt, lambda place: None, seconds=plays.QUIET_SECONDS)


async def keeper_killed(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.kill(place, "keeper", with_parent=True)
        stage.screen.say(f"{place}'s keeper is killed, and its parent, and started again")

    await survives(stage, "keeper-killed", hurt, lambda place: None, seconds=plays.QUIET_SECONDS)


async def controller_crashes(stage: Stage) -> None:
    await _crashes(stage, "controller")


async def keeper_crashes(stage: Stage) -> None:
    await _crashes(stage, "keeper")


async def _crashes(stage: Stage, process: str) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.kill(place, process)
        stage.screen.say(f"{place}'s {process} is killed; its parent forks another one")

    await stays(stage, f"{process}-crashes", hurt, lambda place: None)


async def controller_gone(stage: Stage) -> None:
    """Nothing starts them again: the site's init stands still."""

    def hurt(place: str) -> None:
        stage.sites.faults.hold_init(place)
        for process in ("controller", "keeper"):
            with suppress(LabMisuse):
                stage.sites.faults.kill(place, process, with_parent=True)
        stage.screen.say(f"{place}'s controller and keeper are killed, and nothing starts them again")

    await takes_over(stage, "controller-gone", hurt, lambda place: stage.sites.faults.release_init(place))


def mend_all(stage: Stage) -> Callable[[str], object]:
    return lambda place: stage.sites.faults.mend_all()


async def store_out_of_reach(stage: Stage) -> None:
    def hurt(place: str) -> None:
        for far in (other(place), WITNESS):
            stage.sites.faults.cut(place, far, ports=STORE_PORTS)
        stage.screen.say(f"{place} reaches no other store member, but it reaches {other(place)}")

    await stays(stage, "store-out-of-reach", hurt, mend_all(stage), seconds=2 * plays.QUIET_SECONDS)


def cut_off(stage: Stage, place: str) -> None:
    for far in (other(place), WITNESS):
        stage.sites.faults.cut(place, far)
    stage.screen.say(f"{place} reaches neither {other(place)} nor {WITNESS}; clients reach it all the same")


async def reaches_neither(stage: Stage) -> None:
    await takes_over(stage, "reaches-neither", lambda place: cut_off(stage, place), mend_all(stage))


async def blink(stage: Stage) -> None:
    await stays(stage, "blink", lambda place: cut_off(stage, place), mend_all(stage), seconds=BLINK_SECONDS)


async def back_in_time(stage: Stage) -> None:
    """Fenced when its lease ended, and back while the other site still waits for it: nothing moves."""
    faults = stage.sites.faults
    faults.set_policy(MOVED, "hold_down", HOLD_DOWN)
    restart_controllers(stage)
    try:
        await acts.wait(stage, stage.sites.lease_duration_seconds)
        before = await acts.begin(stage)
        place = acts.primary(before, MOVED)
        cut_off(stage, place)
        try:
            now = await acts.wait(stage, BACK_AFTER_LEASES * stage.sites.lease_duration_seconds)
            stage.check(
                f"{MOVED} was cut off at {place}", now.taken_at(MOVED) == [], str(now.taken_at(MOVED))
            )
        finally:
            faults.mend_all()
        stage.screen.say(f"{place} is back before {HOLD_DOWN} have passed")
        after = await acts.everything_steady(stage)
        acts.nothing_by_mistake(stage, before, after)
        found = await stage.measure("back-in-time", MOVED, 0.0)
        acts.report(stage, found)
        stage.check(f"no row of {MOVED} was lost", found.lost_rows == 0, f"{found.lost_rows} lost")
        acts.never_two(stage, found)
        await acts.unharmed(stage, "back-in-time", KEPT, acts.primary(before, KEPT))
    finally:
        faults.set_policy(MOVED, "hold_down", "0s")
        restart_controllers(stage)
    await acts.wait(stage, stage.sites.lease_duration_seconds)
    await acts.everything_steady(stage)


async def one_way_out(stage: Stage) -> None:
    def hurt(place: str) -> None:
        for far in (other(place), WITNESS):
            stage.sites.faults.cut(place, far, one_way=True)
        stage.screen.say(f"nothing from {place} reaches {other(place)} or {WITNESS}; it hears both")

    await takes_over(stage, "one-way-out", hurt, mend_all(stage))


async def one_way_in(stage: Stage) -> None:
    def hurt(place: str) -> None:
        for far in (other(place), WITNESS):
            stage.sites.faults.cut(far, place, one_way=True)
        stage.screen.say(f"nothing from {other(place)} or {WITNESS} reaches {place}; both hear it")

    await takes_over(stage, "one-way-in", hurt, mend_all(stage))


async def one_way_link(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.cut(place, other(place), one_way=True)
        stage.screen.say(f"nothing from {place} reaches {other(place)}; both reach {WITNESS}")

    await stays(stage, "one-way-link", hurt, mend_all(stage))


async def not_transitive(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.cut(place, WITNESS)
        stage.screen.say(f"{place} does not reach {WITNESS}; {other(place)} reaches both")

    await stays(stage, "not-transitive", hurt, mend_all(stage))


async def clock_jumps(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.clock(place, JUMP_SECONDS)
        stage.screen.say(f"{place}'s wall clock jumps by {JUMP_SECONDS:g} s")

    await stays(stage, "clock-jumps", hurt, lambda place: stage.sites.faults.clock(place, 0.0))


async def flapping(stage: Stage) -> None:
    """A service that moved by itself does not move by itself again soon, unless a person has seen it."""
    faults = stage.sites.faults
    faults.set_policy(MOVED, "min_time_between_failovers", "1h")
    restart_controllers(stage)
    try:
        await acts.wait(stage, stage.sites.lease_duration_seconds)
        first = acts.primary(await acts.everything_steady(stage), MOVED)
        # A move of the play before counts, too, now that a time between moves is set; there may be none.
        await stage.sites.order(first, "acknowledge", MOVED, *plays.BECAUSE[:2])
        before = await acts.begin(stage)
        faults.kill(first, f"postgres-{MOVED}")
        stage.screen.say(f"{MOVED}'s database at {first} is killed")
        await acts.taken_over(stage, MOVED, other(first), before)
        await acts.back_as_standby(stage, MOVED, first, "killed database rejoined as standby")
        between = await acts.everything_steady(stage)
        faults.kill(other(first), f"postgres-{MOVED}")
        stage.screen.say(f"then the one at {other(first)} is killed")
        now = await acts.wait(stage, plays.QUIET_SECONDS)
        stage.check("it did not move by itself again", now.taken_at(MOVED) == [], str(now.taken_at(MOVED)))
        await plays.ordered(stage, first, "acknowledge", MOVED, *plays.BECAUSE[:2])
        await acts.taken_over(stage, MOVED, first, between)
        stage.check("it moved once a person had acknowledged", ok=True)
        found = await stage.measure("flapping", MOVED, None)
        acts.report(stage, found)
    finally:
        faults.set_policy(MOVED, "min_time_between_failovers", "0s")
        restart_controllers(stage)
    await acts.wait(stage, stage.sites.lease_duration_seconds)
    await acts.everything_steady(stage)


def restart_controllers(stage: Stage) -> None:
    for site in DATA_SITES:
        for process in ("controller", "keeper"):
            with suppress(LabMisuse):
                stage.sites.faults.kill(site, process)


async def both_bad(stage: Stage) -> None:
    """A release that does not start, at both sites: the database dies, and neither can be opened."""
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    faults = stage.sites.faults
    for site in DATA_SITES:
        faults.spoil(site, MOVED)
    for site in DATA_SITES:
        with suppress(LabMisuse):
            faults.kill(site, f"postgres-{MOVED}")
    stage.screen.say(f"{MOVED}'s databases are dead at both sites, and do not start: a bad release")
    try:
        now = await acts.wait(stage, 2 * plays.QUIET_SECONDS)
        moves = now.epoch(MOVED) - before.epoch(MOVED)
        stage.check("no ping-pong", moves <= 2, f"{moves} changes of ownership")
        stage.check(f"{KEPT} went on", now.taken_at(KEPT) == [other(place)])
    finally:
        for site in DATA_SITES:
            faults.unspoil(site, MOVED)
    stage.screen.say("the release is taken back, and the machines start again")
    for site in DATA_SITES:
        stage.sites.kill_site(site)
    for site in DATA_SITES:
        stage.sites.heal_site(site)
    await acts.everything_steady(stage)
    found = await stage.measure("bad-release", MOVED, None)
    acts.report(stage, found)
    acts.never_two(stage, found)


async def disk_full(stage: Stage) -> None:
    def hurt(place: str) -> None:
        stage.sites.faults.fill(place)
        stage.screen.say(f"the disk of {place}'s state is full")

    await stays(stage, "disk-full", hurt, lambda place: stage.sites.faults.empty(place))
