"""The stories: what is done to the two sites, what must come of it, and what is checked afterwards.

Each is a story of one event, from a healthy lab to a healthy lab, so that they can follow each other in any
order; the tour is all of them in a row. They act on processes and ask the product by its public face.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from orchestrator.lab import acts
from orchestrator.lab.acts import KEPT, MOVED, SERVICES, Story, go_home, other
from orchestrator.lab.drilled import drill
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.estate import GUARDED
from orchestrator.lab.places import DATA_SITES
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

__all__ = ["STORIES", "Story", "go_home"]

WORDS_WITHIN_SECONDS = 30.0
BEFORE_IT_IS_LOST_SECONDS = 1.0
FOLLOWER_LOST_SECONDS = 5.0
STORE_SILENT_SECONDS = 0.5
LINK_DOWN_SECONDS = 10.0  # more than three times the lease: whoever would fail over has done so


async def site_loss(stage: Stage) -> None:
    """A site is killed whole. The other takes its service; the site comes back and rejoins as standby."""
    before = await acts.begin(stage)
    lost = acts.primary(before, MOVED)
    survivor = other(lost)
    blow = stage.sites.kill_site(lost)
    stage.screen.say(f"{lost} is killed: {blow.processes} processes in {blow.duration_seconds * 1000:.0f} ms")
    taken = await acts.taken_over(stage, MOVED, survivor, before)
    acts.kept_going(stage, KEPT, before, taken, f"{lost} was dead")
    stage.sites.heal_site(lost)
    stage.screen.say(f"{lost} comes back: its machines start, as after a power cut")
    await acts.back_as_standby(stage, MOVED, lost, "old primary rejoined as standby")
    await acts.back_as_standby(stage, KEPT, lost, f"{KEPT}'s standby rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    await acts.figures(stage, "site-loss", MOVED, survivor)
    await acts.copies_agree(stage, MOVED, lost)


async def database_loss(stage: Stage) -> None:
    """One database is killed, its controller alive. The other site takes it; it rejoins as standby."""
    before = await acts.begin(stage)
    hurt = acts.primary(before, MOVED)
    blow = stage.sites.kill_database(hurt, MOVED)
    stage.screen.say(f"{MOVED}'s database at {hurt} is killed: {blow.processes} processes, controller alive")
    taken = await acts.taken_over(stage, MOVED, other(hurt), before)
    await acts.back_as_standby(stage, MOVED, hurt, "killed database rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    await acts.figures(stage, "database-loss", MOVED, other(hurt))
    await acts.copies_agree(stage, MOVED, hurt)


async def switchover(stage: Stage) -> None:
    """The planned move of a service to the other site."""
    source = acts.primary(await acts.begin(stage), MOVED)
    target = other(source)
    stage.screen.say(f"planned switchover of {MOVED} from {source} to {target}")
    run = await stage.view.switchover(MOVED, target)
    stage.check("the switchover's run ended as done", run.state == "done", f"{run.state}: {run.outcome}")
    await acts.served_at(stage, MOVED, target)
    await acts.back_as_standby(stage, MOVED, source, "former primary became standby")
    await acts.everything_steady(stage)
    figures = await stage.measure("switchover", MOVED, run.loss_bound_seconds)
    acts.report(stage, figures)
    stage.check(
        "the switchover lost no acknowledged row", figures.lost_rows == 0, f"{figures.lost_rows} lost"
    )
    acts.never_two(stage, figures)
    await acts.copies_agree(stage, MOVED, source)


async def controller_loss(stage: Stage) -> None:
    """Controller and keeper of a site stand still, its database is well. The guard cuts it off before the
    other site takes the service; when they go on they find out, and the database rejoins as standby."""
    if not GUARDED:
        raise LabMisuse("controller-loss needs guards, and this lab's estate has none")
    before = await acts.begin(stage)
    hurt = acts.primary(before, MOVED)
    survivor = other(hurt)
    stopped = sum(stage.sites.faults.stop(hurt, process) for process in ("controller", "keeper"))
    stage.screen.say(f"controller and keeper of {hurt} stand still: {stopped} processes; its databases go on")
    taken = await acts.taken_over(stage, MOVED, survivor, before)
    acts.kept_going(stage, KEPT, before, taken, f"{hurt} had no controller")
    acts.fenced_before(stage, MOVED, hurt, survivor)
    stage.sites.faults.go(hurt)
    stage.screen.say(f"controller and keeper of {hurt} go on")
    await acts.back_as_standby(stage, MOVED, hurt, "the database that was cut off rejoined as standby")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, taken, after)
    await acts.figures(stage, "controller-loss", MOVED, survivor)
    await acts.copies_agree(stage, MOVED, hurt)


async def link_loss(stage: Stage) -> None:
    """The link between the data sites is cut, both reach the store. Nothing moves; what is not replicated
    grows and is shown; when the link is mended, replication catches up."""
    before = await acts.begin(stage)
    stage.sites.faults.cut(*DATA_SITES)
    stage.screen.say(f"the link between {' and '.join(DATA_SITES)} is cut; both reach the store")
    try:
        await stage.until(
            "a controller says that the link is down and the sites are not",
            _says_link_down,
            within_seconds=WORDS_WITHIN_SECONDS,
            otherwise=lambda now: "; ".join(now.why_not_healthy(service) for service in SERVICES),
        )
        stage.screen.say("said by a controller: the link is down, the sites are not")
        stage.check("'link down' and 'site down' are told apart", ok=True)
        during = await acts.wait(stage, LINK_DOWN_SECONDS)
        acts.nothing_by_mistake(stage, before, during)
        growing = {service: acts.lag_seconds(during, service) for service in SERVICES}
        stage.check(
            "what is not replicated grows and is shown",
            all(lag is None or lag >= LINK_DOWN_SECONDS / 2 for lag in growing.values()),
            ", ".join(f"{service} {lag}" for service, lag in growing.items()),
        )
    finally:
        stage.sites.faults.mend(*DATA_SITES)
    stage.screen.say("the link is mended")
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    for service in SERVICES:
        await acts.unharmed(stage, "link-loss", service, acts.primary(before, service))
        await acts.copies_agree(stage, service, other(acts.primary(before, service)))


async def follower_loss(stage: Stage) -> None:
    """A follower of the store is lost, the one that is asked first. The store answers on by the others."""
    before = await acts.begin(stage)
    leader = await acts.store_leader(stage)
    lost = next(site for site in sorted(DATA_SITES, reverse=True) if site != leader)
    faults = stage.sites.faults
    async with stage.sites.store_watched(lost) as watch:
        await acts.wait(stage, BEFORE_IT_IS_LOST_SECONDS)
        faults.hold_init(lost)
        try:
            await asyncio.to_thread(faults.kill, lost, "etcd")  # the asking goes on meanwhile
            stage.screen.say(f"the store's member at {lost} is killed and stays dead; {leader}'s leads")
            await acts.wait(stage, FOLLOWER_LOST_SECONDS)
            figures = watch.figures("store-follower-loss")
        finally:
            faults.release_init(lost)
    acts.store_silence(stage, figures)
    stage.check(
        f"the store was silent for less than {STORE_SILENT_SECONDS:g} s",
        figures.outage_seconds < STORE_SILENT_SECONDS,
        f"{figures.outage_seconds:.3f} s",
    )
    after = await acts.everything_steady(stage)
    acts.nothing_by_mistake(stage, before, after)
    acts.not_one_failed(stage, "follower-loss", KEPT, acts.primary(before, KEPT))
    await acts.unharmed(stage, "follower-loss", MOVED, acts.primary(before, MOVED))


def _says_link_down(now: LabNow) -> bool:
    said = [status.model_dump_json().lower() for status in now.controllers.values() if status is not None]
    return any("link down" in text or "link-down" in text for text in said)


async def tour(stage: Stage) -> None:
    """A site dies and comes back, its service goes home by a planned move, then its database dies. With
    guards a controller stands still too, and where the lab has links one is cut."""
    told: list[Story] = [site_loss, switchover, database_loss]
    if GUARDED:
        told += [switchover, controller_loss]
        told += [link_loss] if stage.sites.faults.has_links else []
    for story in told:
        await story(stage)


STORIES: Mapping[str, Story] = MappingProxyType(
    {
        "tour": tour,
        "site-loss": site_loss,
        "database-loss": database_loss,
        "switchover": switchover,
        "controller-loss": controller_loss,
        "link-loss": link_loss,
        "follower-loss": follower_loss,
        "drill": drill,
    }
)
