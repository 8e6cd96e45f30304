"""What plays are made of: something is done to the home of the service that moves, and afterwards either the
other site serves it, or nothing has happened at all.
"""

from collections.abc import Callable

from orchestrator.lab import acts
from orchestrator.lab.acts import KEPT, MOVED, SERVICES, other
from orchestrator.lab.errors import LabTrouble
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

CLOCK_DRIFT = 0.005
DECISION_AND_RUNBOOK_SECONDS = 5.0  # beside the lease: choose, promote, and be seen by clients
QUIET_SECONDS = 12.0  # four times the lease: whoever would fail over has done so
BECAUSE = ("--reason", "a play of the lab", "--yes")


def takeover_bound_seconds(stage: Stage) -> float:
    """Invariant 5, with no hold-down in a lab: the longest outage of an automatic takeover."""
    return stage.sites.lease_duration_seconds * (1 + CLOCK_DRIFT) + DECISION_AND_RUNBOOK_SECONDS


def within_bound(stage: Stage, event: str) -> None:
    outages = [figures.outage_seconds for figures in stage.events if figures.event == event]
    bound = takeover_bound_seconds(stage)
    stage.check(
        f"{event}: the outage was within the bound",
        bool(outages) and max(outages) <= bound,
        f"{max(outages, default=0.0):.3f} s, bound {bound:.3f} s",
    )


async def takes_over(
    stage: Stage, event: str, hurt: Callable[[str], None], heal: Callable[[str], object]
) -> None:
    """Something is done to the home of the service that moves; the other site takes it, and nobody takes
    writes for it at the same time; when that is over, the old primary rejoins."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    hurt(lost)
    try:
        taken = await acts.taken_over(stage, MOVED, survivor, before)
        acts.kept_going(stage, KEPT, before, taken, f"{lost} was hurt")
        acts.fenced_before(stage, MOVED, lost, survivor)
    finally:
        heal(lost)
    stage.screen.say(f"{lost} is healed")
    await acts.back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    await acts.figures(stage, event, MOVED, survivor)
    within_bound(stage, event)
    await acts.copies_agree(stage, MOVED, lost)


async def stays(
    stage: Stage,
    event: str,
    hurt: Callable[[str], None],
    heal: Callable[[str], object],
    *,
    seconds: float | None = None,
    during: Callable[[Stage, LabNow], None] = lambda stage, now: None,
) -> None:
    """Something is done to the home of the service that moves, and nothing happens to either service: no
    move, and not one write fails."""
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    hurt(place)
    try:
        now = await acts.wait(stage, QUIET_SECONDS if seconds is None else seconds)
        during(stage, now)
    finally:
        heal(place)
    stage.screen.say("that is over")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, event, service, acts.primary(before, service))


async def survives(
    stage: Stage, event: str, hurt: Callable[[str], None], heal: Callable[[str], object], *, seconds: float
) -> None:
    """Something is done after which a move is as good as none; both services are served again, and never
    at two sites."""
    before = await acts.begin(stage)
    place = acts.primary(before, MOVED)
    hurt(place)
    try:
        await acts.wait(stage, seconds)
    finally:
        heal(place)
    after = await acts.everything_steady(stage)
    for service in SERVICES:
        moves = after.epoch(service) - before.epoch(service)
        stage.screen.say(f"{service} is at {after.primary(service)} after {moves} changes of ownership")
        stage.check(f"{service} did not move to and fro", moves <= 1, f"{moves} changes of ownership")
        await acts.figures(stage, event, service, acts.primary(after, service))


def text(now: LabNow) -> str:
    """Everything that the controllers say, as one text."""
    return "\n".join(
        status.model_dump_json().lower() for status in now.controllers.values() if status is not None
    )


async def ordered(stage: Stage, site: str, *words: str) -> str:
    """What a person orders is done; what was said."""
    code, said = await stage.sites.order(site, *words)
    stage.screen.say(f"at {site}: twinsite {' '.join(words[:3])}")
    if code != 0:
        raise LabTrouble(f"`twinsite {' '.join(words)}` at {site} ended with {code}: {said[-600:]}")
    return said
