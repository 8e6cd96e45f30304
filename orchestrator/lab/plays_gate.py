"""Plays for a lab with gates: clients come by a process of the guard's that looks at the clock for every
piece of what it carries (P22), and nobody reaches a database past it.
"""

from orchestrator.clock import boottime_ns
from orchestrator.lab import acts
from orchestrator.lab.acts import KEPT, MOVED, other
from orchestrator.lab.faults import SERVICES
from orchestrator.lab.places import USERS, WANTED_PORTS, WITNESS
from orchestrator.lab.plays import QUIET_SECONDS, takes_over
from orchestrator.lab.stage import Stage

UNGUARDED = ("host-pause", "guard-stall")  # as a guard names what it does not protect from
HANDED_OVER = ("switchover",)
REFUSED = "refuse"  # by the gate that asks whether the old primary is still seen to take writes


async def host_paused(stage: Stage) -> None:
    """Everything of a host stands still for longer than its lease, with rows of clients on their way to its
    database. When it wakes, the database may well run first; nothing that it says comes out."""
    woken_ns = 0

    def hurt(place: str) -> None:
        protected(stage, place)
        count = stage.sites.faults.freeze(place)
        stage.screen.say(f"{place}'s hosts are paused: {count} processes")

    def heal(place: str) -> None:
        nonlocal woken_ns
        woken_ns = boottime_ns()
        stage.sites.faults.thaw(place)

    home = acts.primary(stage.view.now, MOVED)
    await takes_over(stage, "host-paused", hurt, heal)
    on_their_way = [
        one for one in stage.sites.ends(MOVED) if one.site == home and one.sent_ns < woken_ns <= one.at_ns
    ]
    late = [r for r in stage.everybody(MOVED) if r.site == home and r.acknowledged_ns >= woken_ns]
    stage.check(
        f"rows were on their way to {home} while it was paused", bool(on_their_way), "so nothing was tried"
    )
    stage.check(f"{home} acknowledged nothing after its pause", not late, f"{len(late)} rows")
    stage.screen.say(
        f"{len(on_their_way)} rows were on their way while {home} was paused, {len(late)} answered"
    )


def protected(stage: Stage, place: str) -> None:
    """With a gate, `status` at `place` must not say that a paused host is not protected from."""
    status = stage.view.now.controllers.get(place)
    warnings = status.warnings if status is not None else ["its controller does not answer"]
    wrong = [line for line in warnings if any(word in line for word in UNGUARDED) or status is None]
    stage.check(f"{place} names no pause that it is not protected from", not wrong, "; ".join(wrong))


async def guard_stopped(stage: Stage) -> None:
    """Nobody of twinsite moves any more at a site but the gate, which was told until when: nothing passes it.
    The database behind it is well, and seen to be by the other site, which therefore promotes nothing."""
    await _all_stopped(stage, "guard-stopped", gated=True)


async def guard_stopped_no_gate(stage: Stage) -> None:
    """Nothing at all cuts it off, which only a watchdog or a device could. It is seen to take writes, and the
    other site therefore promotes nothing."""
    await _all_stopped(stage, "guard-stopped-no-gate", gated=False)


async def _all_stopped(stage: Stage, event: str, *, gated: bool) -> None:
    before = await acts.begin(stage)
    home = acts.primary(before, MOVED)
    survivor = other(home)
    if gated:
        protected(stage, home)
    names = ["controller", "keeper", *(f"guard-{service}" for service in SERVICES)]
    stopped = sum(stage.sites.faults.stop(home, name) for name in names)
    stage.screen.say(f"{', '.join(names)} of {home} stand still: {stopped} processes")
    try:
        now = await acts.wait(stage, QUIET_SECONDS)
        taken, expected = now.taken_at(MOVED), [] if gated else [home]
        stage.check(
            f"writes of {MOVED} are taken at {home if expected else 'no site'}", taken == expected, str(taken)
        )
        acts.nothing_by_mistake(stage, before, now)
        said = now.said_by(survivor, MOVED)
        found = "nothing" if said is None else said.decision
        stage.check(f"{survivor} refuses to promote beside it", found == REFUSED, found)
        acts.kept_going(stage, KEPT, before, now, f"{home} stood still")
    finally:
        stage.sites.faults.go(home)
    stage.screen.say("they go on, and find that their time was up")
    after = await acts.everything_steady(stage)
    moves = after.epoch(MOVED) - before.epoch(MOVED)
    stage.check(f"{MOVED} did not move to and fro", moves <= 1, f"{moves} changes of ownership")
    await acts.figures(stage, event, MOVED, acts.primary(after, MOVED))


async def clients_cut_off(stage: Stage) -> None:
    """No client's way leads to a service whose database is well and replicates. The other site and the
    witness see it, its own controller is told so, and hands it over in order."""
    before = await acts.begin(stage)
    home = acts.primary(before, MOVED)
    target = other(home)
    for far in (USERS, target, WITNESS):
        stage.sites.faults.cut(home, far, ports=(WANTED_PORTS[MOVED],))
    stage.screen.say(f"nobody outside reaches the port of {MOVED} at {home}; all else goes on")
    try:
        taken = await acts.taken_over(stage, MOVED, target, before)
        acts.kept_going(stage, KEPT, before, taken, f"clients were cut off from {MOVED}")
        await acts.back_as_standby(stage, MOVED, home, "former primary became standby")
    finally:
        stage.sites.faults.mend_all()
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    run = await stage.view.last_run(MOVED, target, HANDED_OVER)
    found = "no such run" if run is None else f"{run.state}: {run.who}: {run.why}"
    by_itself = run is not None and run.state == "done" and run.who == f"controller of {home}"
    stage.check(f"{home}'s controller handed it over by a planned move", by_itself, found)
    figures = await stage.measure("clients-cut-off", MOVED, 0.0)
    acts.report(stage, figures)
    stage.check("no acknowledged row was lost", figures.lost_rows == 0, f"{figures.lost_rows} lost")
    acts.never_two(stage, figures)
    await acts.copies_agree(stage, MOVED, home)
