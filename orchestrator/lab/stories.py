"""The stories: what is done to the two sites, what must come of it, and what is checked afterwards.

Each is a story of one event, from a healthy lab to a healthy lab, so that they can follow each other in any
order; the tour is all of them in a row. They act on processes and ask the product by its public face.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from orchestrator.lab.measure import EventFigures
from orchestrator.lab.places import DATA_SITES, HOME
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

STEADY_WITHIN_SECONDS = 120.0
TAKEN_WITHIN_SECONDS = 60.0
REJOINED_WITHIN_SECONDS = 150.0
REPLAY_LOOKS = 20
SERVICES = tuple(sorted(HOME))
MOVED = "ebs"  # the service that moves in these stories
UNPLANNED = ("failover",)

Story = Callable[[Stage], Awaitable[None]]


def other(site: str) -> str:
    """The other data site."""
    return DATA_SITES[1 - DATA_SITES.index(site)]


async def _everything_steady(stage: Stage) -> LabNow:
    return await stage.steady(SERVICES, within_seconds=STEADY_WITHIN_SECONDS)


async def site_loss(stage: Stage) -> None:
    """A site is killed whole. The other takes its service; the site comes back and rejoins as standby."""
    before = await _begin(stage)
    lost = _primary(before, MOVED)
    survivor = other(lost)
    staying = next(service for service in SERVICES if service != MOVED)
    blow = stage.sites.kill_site(lost)
    stage.screen.say(f"{lost} is killed: {blow.processes} processes in {blow.duration_seconds * 1000:.0f} ms")
    taken = await _taken_over(stage, MOVED, survivor, before)
    gap = stage.longest_gap_seconds(staying)
    stage.check(
        f"{staying} went on while {lost} was dead",
        gap < stage.sites.lease_duration_seconds and _unmoved(staying, before, taken),
        f"its clients waited {gap:.3f} s, primary {taken.primary(staying)}",
    )
    stage.screen.say(f"{staying} went on: its clients waited {gap:.3f} s at most")
    stage.sites.heal_site(lost)
    stage.screen.say(f"{lost} comes back: its machines start, as after a power cut")
    await _back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    await _back_as_standby(stage, staying, lost, f"{staying}'s standby rejoined as standby")
    after = await _everything_steady(stage)
    _nothing_by_mistake(stage, taken, after)
    await _figures(stage, "site-loss", MOVED, survivor)
    await _copies_agree(stage, MOVED, lost)


async def database_loss(stage: Stage) -> None:
    """One database is killed, its controller alive. The other site takes it; it rejoins as standby."""
    before = await _begin(stage)
    hurt = _primary(before, MOVED)
    blow = stage.sites.kill_database(hurt, MOVED)
    stage.screen.say(f"{MOVED}'s database at {hurt} is killed: {blow.processes} processes, controller alive")
    taken = await _taken_over(stage, MOVED, other(hurt), before)
    await _back_as_standby(stage, MOVED, hurt, "killed database rejoined as standby")
    after = await _everything_steady(stage)
    _nothing_by_mistake(stage, taken, after)
    await _figures(stage, "database-loss", MOVED, other(hurt))
    await _copies_agree(stage, MOVED, hurt)


async def switchover(stage: Stage) -> None:
    """The planned move of a service to the other site."""
    source = _primary(await _begin(stage), MOVED)
    target = other(source)
    stage.screen.say(f"planned switchover of {MOVED} from {source} to {target}")
    run = await stage.view.switchover(MOVED, target)
    stage.check("the switchover's run ended as done", run.state == "done", f"{run.state}: {run.outcome}")
    await _served_at(stage, MOVED, target)
    await _back_as_standby(stage, MOVED, source, "former primary became standby")
    await _everything_steady(stage)
    figures = await stage.measure("switchover", MOVED, run.loss_bound_seconds or 0.0)
    _report(stage, figures)
    stage.check(
        "the switchover lost no acknowledged row", figures.lost_rows == 0, f"{figures.lost_rows} lost"
    )
    _never_two(stage, figures)
    await _copies_agree(stage, MOVED, source)


async def tour(stage: Stage) -> None:
    """A site dies and comes back, its service goes home by a planned move, then its database dies."""
    for story in (site_loss, switchover, database_loss):
        await story(stage)


async def go_home(stage: Stage) -> None:
    """Every service to its home, by planned moves; measures nothing."""
    await _everything_steady(stage)
    for service in SERVICES:
        await _go_home(stage, service)


async def _begin(stage: Stage) -> LabNow:
    """From a healthy lab; after a quiet while, which belongs to the event's window."""
    now = await _everything_steady(stage)
    places = (f"{service} at {now.primary(service)}" for service in SERVICES)
    stage.screen.say(f"steady: {', '.join(places)}; each has a standby that follows")
    await stage.begin_window()
    return now


async def _go_home(stage: Stage, service: str) -> None:
    home = HOME[service]
    if stage.view.now.primary(service) != home:
        stage.screen.say(f"{service} goes home to {home}")
        await stage.view.switchover(service, home)
        await _served_at(stage, service, home)
        await _everything_steady(stage)


def _primary(now: LabNow, service: str) -> str:
    return now.primary(service) or HOME[service]


async def _served_at(stage: Stage, service: str, site: str) -> LabNow:
    return await stage.until(
        f"clients of {service} served at {site}",
        lambda now: now.taken_at(service) == [site],
        within_seconds=TAKEN_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(service),
    )


async def _taken_over(stage: Stage, service: str, survivor: str, before: LabNow) -> LabNow:
    """Wait until the survivor serves and says that it is primary, in an epoch above the one before."""
    await _served_at(stage, service, survivor)
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


async def _back_as_standby(stage: Stage, service: str, site: str, name: str) -> None:
    await stage.until(
        f"{service} at {site} a streaming standby",
        lambda now: now.standby_follows(service, site),
        within_seconds=REJOINED_WITHIN_SECONDS,
        otherwise=lambda now: now.why_not_healthy(service),
    )
    stage.screen.say(f"{service} at {site} is a standby and follows")
    stage.check(name, ok=True)


def _unmoved(service: str, before: LabNow, after: LabNow) -> bool:
    owners = {(now.primary(service), now.epoch(service)) for now in (before, after)}
    return len(owners) == 1


def _nothing_by_mistake(stage: Stage, taken: LabNow, after: LabNow) -> None:
    """Nobody's ownership changed between the takeover and the end."""
    changed = [service for service in SERVICES if not _unmoved(service, taken, after)]
    stage.check("nothing was promoted by mistake", not changed, f"ownership changed: {', '.join(changed)}")


async def _figures(stage: Stage, event: str, service: str, taker: str) -> None:
    """An unplanned move's cost, and whether the product said the truth about it."""
    run = await stage.view.last_run(service, taker, UNPLANNED)
    figures = await stage.measure(event, service, None if run is None else run.loss_bound_seconds)
    _report(stage, figures)
    reported = figures.reported_loss_seconds
    stage.check(
        f"{event}: no more was lost than was reported",
        figures.lost_rows == 0 or (reported is not None and figures.lost_span_seconds <= reported),
        f"{figures.lost_rows} rows over {figures.lost_span_seconds:.3f} s lost, reported {reported}",
    )
    _never_two(stage, figures)


def _never_two(stage: Stage, figures: EventFigures) -> None:
    stage.check(
        f"{figures.event}: never two sites writable",
        figures.two_writable_seconds == 0.0,
        f"for {figures.two_writable_seconds:.3f} s both took writes",
    )


async def _copies_agree(stage: Stage, service: str, standby: str) -> None:
    """The standby holds what the primary holds, row for row, up to what was acknowledged by now."""
    highest = max((record.n for record in stage.sites.records(service)), default=0)
    wanted = await stage.sites.rows(service, _primary(stage.view.now, service), highest)
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


def _report(stage: Stage, figures: EventFigures) -> None:
    stage.screen.say(
        f"{figures.event}: {figures.service} was out for {figures.outage_seconds:.3f} s, "
        f"{figures.lost_rows} of {figures.acknowledged_rows} rows lost"
    )


STORIES: Mapping[str, Story] = MappingProxyType(
    {"tour": tour, "site-loss": site_loss, "database-loss": database_loss, "switchover": switchover}
)
