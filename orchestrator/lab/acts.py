"""What stories and rows of the matrix are made of: begin, wait for what must come, check, measure, go home.

Each act works on a stage and knows nothing of what was done to the sites.
"""

import asyncio
from collections.abc import Awaitable, Callable

from orchestrator.lab.errors import StoryFailed
from orchestrator.lab.measure import EventFigures
from orchestrator.lab.places import DATA_SITES, HOME
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

STEADY_WITHIN_SECONDS = 120.0
TAKEN_WITHIN_SECONDS = 60.0
REJOINED_WITHIN_SECONDS = 150.0
REPLAY_LOOKS = 20
LEADER_LOOKS = 20
SERVICES = tuple(sorted(HOME))
MOVED = "ebs"  # the service that moves in stories and rows
KEPT = next(service for service in SERVICES if service != MOVED)
UNPLANNED = ("failover",)

Story = Callable[[Stage], Awaitable[None]]


def other(site: str) -> str:
    """The other data site."""
    return DATA_SITES[1 - DATA_SITES.index(site)]


async def everything_steady(stage: Stage) -> LabNow:
    return await stage.steady(SERVICES, within_seconds=STEADY_WITHIN_SECONDS)


async def go_home(stage: Stage) -> None:
    """Every service to its home, by planned moves; measures nothing."""
    await everything_steady(stage)
    for service in SERVICES:
        await _send_home(stage, service)


async def begin(stage: Stage) -> LabNow:
    """From a healthy lab; after a quiet while, which belongs to the event's window."""
    now = await everything_steady(stage)
    places = (f"{service} at {now.primary(service)}" for service in SERVICES)
    stage.screen.say(f"steady: {', '.join(places)}; each has a standby that follows")
    await stage.begin_window()
    return now


async def _send_home(stage: Stage, service: str) -> None:
    home = HOME[service]
    if stage.view.now.primary(service) != home:
        stage.screen.say(f"{service} goes home to {home}")
        await stage.view.switchover(service, home)
        await served_at(stage, service, home)
        await everything_steady(stage)


def primary(now: LabNow, service: str) -> str:
    return now.primary(service) or HOME[service]


async def served_at(stage: Stage, service: str, site: str) -> LabNow:
    return await stage.until(
        f"clients of {service} served at {site}",
        lambda now: now.taken_at(service) == [site],
        within_seconds=TAKEN_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(service),
    )


async def taken_over(stage: Stage, service: str, survivor: str, before: LabNow) -> LabNow:
    """Wait until the survivor serves and says that it is primary, in an epoch above the one before."""
    await served_at(stage, service, survivor)
    now = await stage.until(
        f"{survivor}'s controller says that it is primary for {service}",
        lambda now: (
            (said := now.said_by(survivor, service)) is not None
            and said.primary == survivor
            and said.movement == "steady"
        ),
        within_seconds=TAKEN_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(service),
    )
    stage.screen.say(f"{survivor} has taken {service} over")
    grown = now.epoch(service) > before.epoch(service)
    stage.check(f"the epoch of {service} grew", grown, f"{before.epoch(service)}, then {now.epoch(service)}")
    return now


async def back_as_standby(stage: Stage, service: str, site: str, name: str) -> None:
    await stage.until(
        f"{service} at {site} a streaming standby",
        lambda now: now.standby_follows(service, site),
        within_seconds=REJOINED_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(service),
    )
    stage.screen.say(f"{service} at {site} is a standby and follows")
    stage.check(name, ok=True)


def unmoved(service: str, before: LabNow, after: LabNow) -> bool:
    return before.owner(service) == after.owner(service)


def nothing_by_mistake(stage: Stage, taken: LabNow, after: LabNow) -> None:
    """Nobody's ownership changed between the takeover and the end."""
    changed = [service for service in SERVICES if not unmoved(service, taken, after)]
    stage.check("nothing was promoted by mistake", not changed, f"ownership changed: {', '.join(changed)}")


async def figures(stage: Stage, event: str, service: str, taker: str) -> EventFigures:
    """An unplanned move's cost, and whether the product said the truth about it."""
    run = await stage.view.last_run(service, taker, UNPLANNED)
    found = await stage.measure(event, service, None if run is None else run.loss_bound_seconds, at=taker)
    report(stage, found)
    reported = found.reported_loss_seconds
    lost = f"{found.lost_rows} rows over {found.lost_span_seconds:.3f} s lost"
    if reported is None:
        # Unknown is no bound: nothing is within it but nothing, and that is another thing to have shown.
        stage.check(f"{event}: nothing was lost, where no bound was said", found.lost_rows == 0, lost)
    else:
        stage.check(
            f"{event}: no more was lost than was reported",
            found.lost_rows == 0 or found.lost_span_seconds <= reported,
            f"{lost}, reported {reported:.3f} s",
        )
    never_two(stage, found)
    return found


def never_two(stage: Stage, figures: EventFigures) -> None:
    stage.check(
        f"{figures.event}: never two sites writable",
        figures.two_writable_seconds == 0.0,
        f"for {figures.two_writable_seconds:.3f} s both took writes",
    )


async def copies_agree(stage: Stage, service: str, standby: str) -> None:
    """The standby holds what the primary holds, row for row, up to what was acknowledged by now."""
    highest = max((record.n for record in stage.sites.records(service)), default=0)
    wanted = await stage.sites.rows(service, primary(stage.view.now, service), highest)
    found: set[int] = set()
    for _ in range(REPLAY_LOOKS):  # the last rows may be on their way
        found = await stage.sites.rows(service, standby, highest)
        if found == wanted:
            break
        await stage.view.next_look()
    missing, extra = len(wanted - found), len(found - wanted)
    stage.check(
        f"{service} at {standby} holds the same rows",
        not missing and not extra,
        f"{missing} missing, {extra} too many",
    )


def report(stage: Stage, figures: EventFigures) -> None:
    stage.screen.say(
        f"{figures.event}: {figures.service} was out for {figures.outage_seconds:.3f} s, "
        f"{figures.lost_rows} of {figures.acknowledged_rows} rows lost"
    )


def kept_going(stage: Stage, service: str, before: LabNow, after: LabNow, while_what: str) -> None:
    """A service that nothing was done to has not waited for as long as a lease, and has not moved, by the
    word of the site that serves it: the other one may know nothing any more."""
    gap = stage.longest_gap_seconds(service)
    site = primary(before, service)
    said = after.said_by(site, service)
    still = said is not None and (said.primary, said.epoch) == (site, before.epoch(service))
    stage.check(
        f"{service} went on while {while_what}",
        gap < stage.sites.lease_duration_seconds and still,
        f"its clients waited {gap:.3f} s, {site} says {None if said is None else said.primary}",
    )
    stage.screen.say(f"{service} went on: its clients waited {gap:.3f} s at most")


def fenced_before(stage: Stage, service: str, source: str, target: str) -> float | None:
    """The old primary took no writes any more before the new one took the first; by how much."""
    margin = stage.margin_seconds(service, source, target)
    shown = "not known" if margin is None else f"{margin:.3f} s"
    stage.check(
        f"{source} was cut off before {target} took writes",
        margin is not None and margin > 0,
        f"margin {shown}; {stage.spans(service)}",
    )
    if margin is not None:
        stage.margins.append(round(margin, 3))
    stage.screen.say(f"{source} was cut off {shown} before {target} took the first write of {service}")
    return margin


async def wait(stage: Stage, seconds: float) -> LabNow:
    """Let time pass; how things are then."""
    await asyncio.sleep(seconds)
    await stage.view.next_look()
    return stage.view.now


def lag_seconds(now: LabNow, service: str) -> float | None:
    """The longest that any controller says the service's standby is behind, sample age counted."""
    said = [status.lag for status in now.said_of(service).values() if status.lag is not None]
    known = [
        max(lag.seconds, lag.sample_age_seconds or 0.0) if lag.seconds is not None else lag.sample_age_seconds
        for lag in said
    ]
    return max((seconds for seconds in known if seconds is not None), default=None)


def not_one_failed(stage: Stage, event: str, service: str, site: str) -> None:
    """No write of a service failed at its primary, for any client."""
    failed = stage.failed_writes(service, site)
    stage.failed[service] = stage.failed.get(service, 0) + len(failed)
    stage.check(
        f"{event}: not one write of {service} failed",
        not failed,
        "; ".join(f"{one.detail} after row {one.last_n}" for one in failed[:3]),
    )


async def store_leader(stage: Stage) -> str:
    """The site whose member of the store leads. Raises StoryFailed when nobody says."""
    for _ in range(LEADER_LOOKS):  # an election may be on
        if (found := await stage.sites.store_leader()) is not None:
            return found
        await stage.view.next_look()
    raise StoryFailed("no member of the store says which of them leads")


def store_silence(stage: Stage, figures: EventFigures) -> None:
    """Put on file how long the store answered nobody."""
    stage.events.append(figures)
    stage.screen.say(
        f"the store answered {figures.acknowledged_rows} times, its longest silence was "
        f"{figures.outage_seconds:.3f} s"
    )


async def unharmed(stage: Stage, event: str, service: str, site: str) -> EventFigures:
    """Nothing happened to a service: no write failed at its primary, no row is lost, nobody else took one."""
    not_one_failed(stage, event, service, site)
    found = await stage.measure(event, service, 0.0)
    report(stage, found)
    stage.check(f"{event}: no row of {service} was lost", found.lost_rows == 0, f"{found.lost_rows} lost")
    never_two(stage, found)
    return found
