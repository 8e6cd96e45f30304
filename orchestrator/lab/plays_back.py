"""Plays about what comes after a failover: who comes back, what it finds, and runs that were cut short."""

import asyncio
from collections.abc import Callable

from orchestrator.lab import acts
from orchestrator.lab.acts import MOVED, SERVICES, other
from orchestrator.lab.errors import LabTrouble
from orchestrator.lab.places import DATA_SITES
from orchestrator.lab.plays_faults import cut_off
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow
from sites.fencing.guard import read_memory

SERVED_WITHIN_SECONDS = 90.0
TAIL_SECONDS = 1.5  # of writes that are not replicated any more when their site dies
RUN_STARTED = '"event": "run-started"'
KEPT_AT = "kept at "


async def comes_back(stage: Stage) -> None:
    """The second half of a site's loss: nobody notices that it is back."""

    def heal(lost: str) -> None:
        stage.sites.heal_site(lost)
        stage.screen.say(f"{lost} comes back")

    await _nobody_notices(stage, "comes-back", stage.sites.kill_site, heal)


async def link_comes_back(stage: Stage) -> None:
    """The same of a site that lived, and was cut off."""

    def heal(lost: str) -> None:
        stage.sites.faults.mend_all()
        stage.screen.say(f"the links of {lost} come back")

    await _nobody_notices(stage, "link-comes-back", lambda place: cut_off(stage, place), heal)


async def _nobody_notices(
    stage: Stage, event: str, hurt: Callable[[str], object], heal: Callable[[str], None]
) -> None:
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    hurt(lost)
    try:
        taken = await acts.taken_over(stage, MOVED, survivor, before)
        # The takeover's own cost, which other rows show: it must not be counted as the return's.
        stage.events.remove(await acts.figures(stage, f"{event}, the takeover", MOVED, survivor))
        await acts.wait(stage, stage.sites.lease_duration_seconds)
        await stage.begin_window()
    finally:
        heal(lost)
    for service in SERVICES:
        await acts.back_as_standby(stage, service, lost, f"{service} rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    for service in SERVICES:
        await acts.unharmed(stage, event, service, survivor)


async def old_primary_boots(stage: Stage) -> None:
    """It dies with writes that nobody else has, and boots when another one has long taken over: it opens
    nothing, what it alone had is saved before anything else is done to it, and it becomes a standby."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    stage.sites.faults.cut(*DATA_SITES)
    stage.screen.say(f"the link is cut: what {lost} takes from now on, it alone has")
    await asyncio.sleep(TAIL_SECONDS)
    stage.sites.kill_site(lost)
    stage.screen.say(f"{lost} is killed")
    try:
        taken = await acts.taken_over(stage, MOVED, survivor, before)
    finally:
        stage.sites.faults.mend_all()
        known = guard_epoch(stage, lost)
        acknowledged = len(at(stage, lost))
        stage.sites.heal_site(lost)
    stage.screen.say(f"{lost} boots; its guard was told of epoch {known} at last")
    stage.check(
        f"the epoch that {lost} knew is too low",
        known < taken.epoch(MOVED),
        f"{known}, {survivor} serves in {taken.epoch(MOVED)}",
    )
    await acts.back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    more = len(at(stage, lost)) - acknowledged
    stage.check(f"{lost} opened nothing after its boot", more == 0, f"{more} rows")
    figures = await acts.figures(stage, "old-primary-boots", MOVED, survivor)
    stage.check(f"{lost} died with rows that it alone had", figures.lost_rows > 0)
    await _saved_first(stage, lost)
    await acts.copies_agree(stage, MOVED, lost)


def guard_epoch(stage: Stage, site: str) -> int:
    """The highest epoch that the guard of the service that moves has on its disk."""
    path = stage.sites.faults.layout.guards / site / MOVED / "memory"
    return int(read_memory(str(path), MOVED).epoch)


def at(stage: Stage, site: str) -> list[int]:
    """The rows that a site has ever acknowledged of the service that moves, to any client."""
    return [record.n for record in stage.everybody(MOVED) if record.site == site]


async def _saved_first(stage: Stage, lost: str) -> None:
    """The rejoin's own report names the place, and something is there."""
    run = await stage.view.last_run(MOVED, lost, ("rejoin",))
    said = " ".join(run.report) if run is not None else ""
    kept = said.partition(KEPT_AT)[2].partition(" on its host")[0]
    folder = stage.sites.faults.layout.directory
    saved = [path for path in folder.glob("*/db/**/*") if kept and str(path).startswith(kept)]
    size = sum(path.stat().st_size for path in saved if path.is_file())
    stage.check("what only it had was saved, and its place is named", size > 0, said or "no rejoin on file")
    stage.screen.say(f"saved before it rejoined: {size} B in {kept or 'no place'}")


async def two_operators(stage: Stage) -> None:
    before = await acts.begin(stage)
    source = acts.primary(before, MOVED)
    target = other(source)
    stage.screen.say(f"two operators order the switchover of {MOVED} to {target} at the same time")
    orders = (stage.view.switchover(MOVED, target), stage.view.switchover(MOVED, target))
    answers = await asyncio.gather(*orders, return_exceptions=True)
    refused = [str(answer) for answer in answers if isinstance(answer, LabTrouble)]
    runs = {answer.run for answer in answers if not isinstance(answer, BaseException)}
    stage.check("the two orders are one move", len(runs) == 1, f"runs {runs}, refused {refused}")
    await acts.served_at(stage, MOVED, target)
    await acts.back_as_standby(stage, MOVED, source, "former primary became standby")
    after = await acts.everything_steady(stage)
    moves = after.epoch(MOVED) - before.epoch(MOVED)
    once = after.primary(MOVED) == target and moves == 1
    stage.check("the service moved once", once, f"it is at {after.primary(MOVED)}, its epoch grew by {moves}")
    found = await stage.measure("two-operators", MOVED, 0.0)
    acts.report(stage, found)
    stage.check("no acknowledged row was lost", found.lost_rows == 0, f"{found.lost_rows} lost")
    acts.never_two(stage, found)


async def half_done(stage: Stage) -> None:
    """The run stands in its middle, since the host that it promotes at does not answer, when its controller
    is killed; then the host answers, and whoever is started in the controller's place goes on with it."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    faults = stage.sites.faults
    faults.stop(survivor, "sshd")
    stage.sites.kill_site(lost)
    stage.screen.say(f"{lost} is killed, and the host at {survivor} takes no orders")
    try:
        run = await _in_its_middle(stage, survivor)
        faults.kill(survivor, "controller")
        stage.screen.say(f"{survivor}'s controller is killed in the middle of {run}")
    finally:
        faults.go(survivor, "sshd")
    now = await stage.until(
        f"{survivor} has done it, or waits for the other site's word because its lease is broken",
        lambda now: _is_done(now, survivor) or waits_for_word(now, survivor),
        within_seconds=SERVED_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(MOVED),
    )
    broken = not _is_done(now, survivor)
    if broken:  # it was not back within its lease, and alone it opens nothing
        stage.screen.say(f"{survivor} was not back within its lease: it waits for {lost}'s word")
        stage.sites.heal_site(lost)
        taken = await acts.taken_over(stage, MOVED, survivor, before)
    else:
        taken = await acts.taken_over(stage, MOVED, survivor, before)
        stage.sites.heal_site(lost)
    await acts.back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    await _resumed(stage, run, survivor, broken=broken)
    await acts.figures(stage, "half-done", MOVED, survivor)


async def _in_its_middle(stage: Stage, survivor: str) -> str:
    """Wait until the failover is on, and its controller has begun to carry it out; its id."""

    def on(now: LabNow) -> bool:
        said = now.said_by(survivor, MOVED)
        return said is not None and said.movement == "moving" and bool(_starts(stage, said.run, survivor))

    now = await stage.until(
        f"{survivor} is in the middle of the failover",
        on,
        within_seconds=acts.TAKEN_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(MOVED),
    )
    said = now.said_by(survivor, MOVED)
    return said.run if said is not None else ""


def _starts(stage: Stage, run: str, site: str) -> int:
    """How often a controller of the site has begun to carry the run out, or to go on with it."""
    lines = stage.sites.log_lines(site, "controller")
    return sum(RUN_STARTED in line and f'"{run}"' in line for line in lines) if run else 0


async def _resumed(stage: Stage, run: str, site: str, *, broken: bool) -> None:
    """By its own record the very run that was cut short is done, and by another controller than the one that
    began it. With a lease that was broken meanwhile its guard has ended the database that it was to promote:
    then the run may end as failed, and the service is opened as one that is this site's own."""
    record = await stage.view.run_of(run, site)
    ends = ("done", "failed") if broken else ("done",)
    found = "nothing on file" if record is None else f"{record.state}: {record.outcome}"
    ended = record is not None and record.state in ends
    stage.check("the run that was cut short is done, by its record", ended, f"{run}: {found}")
    starts = _starts(stage, run, site)
    stage.check("another controller went on with it", starts >= 2, f"{run} was begun {starts} times")


def _is_done(now: LabNow, site: str) -> bool:
    said = now.said_by(site, MOVED)
    settled = said is not None and said.primary == site and said.movement == "steady"
    return settled and now.taken_at(MOVED) == [site]


def waits_for_word(now: LabNow, site: str) -> bool:
    said = now.said_by(site, MOVED)
    return said is not None and said.diagnosis == "peer-word-missing"
