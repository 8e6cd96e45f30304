"""Make `/metrics`' readings from what the controller knows at the end of a turn. Reads only."""

from orchestrator import PRODUCT
from orchestrator.clock import boottime_ns
from orchestrator.controller import Controller
from orchestrator.core.view import ServiceView, View
from orchestrator.readings import (
    InstanceReading,
    LagReading,
    ProbeReading,
    ReachReading,
    Readings,
    ServiceReading,
    SiteReading,
    StoreReading,
)
from probes.model import Observation

_STARTED_NS = boottime_ns()


def readings(controller: Controller, view: View, observations: tuple[Observation, ...]) -> Readings:
    """The readings of this turn."""
    keeper = view.keeper
    return Readings(
        observer=controller.site,
        version=PRODUCT,
        turned_at_ns=view.now_ns,
        loop_delay_seconds=controller.loop_delay_seconds,
        store=StoreReading(
            answered_at_ns=(keeper.store_answered_ns if keeper is not None else 0) or _STARTED_NS,
            round_trip_seconds=keeper.store_round_trip_seconds if keeper is not None else None,
            size_bytes=_fullest(controller)[0],
            quota_bytes=_fullest(controller)[1],
        ),
        sites=_sites(controller, view),
        services=tuple(_service(controller, service) for service in view.services),
        instances=tuple(found for service in view.services for found in _instances(controller, service)),
        lags=tuple(lag for service in view.services if (lag := _lag(controller, view, service)) is not None),
        probes=tuple(_probe(seen) for seen in observations),
        reaches=_reaches(controller, view),
        counts=controller.tally.counts(),
    )


def _fullest(controller: Controller) -> tuple[int | None, int | None]:
    """Size and quota of the member that is nearest to its quota, as it was last asked."""
    members = controller.store_status.members if controller.store_status is not None else ()
    known = [member for member in members if member.database_bytes is not None]
    if not known:
        return None, None
    fullest = max(known, key=lambda member: (member.database_bytes or 0) / (member.quota_bytes or 1 << 31))
    return fullest.database_bytes, fullest.quota_bytes


def _sites(controller: Controller, view: View) -> tuple[SiteReading, ...]:
    keeper = view.keeper
    if keeper is None:
        return tuple(SiteReading(site=site) for site in controller.estate.data_sites)
    peer_hold = keeper.peer.hold if keeper.peer is not None else None
    return (
        SiteReading(site=view.site, lease_until_ns=keeper.deadline_ns or None, hold=False),
        SiteReading(site=view.peer, lease_until_ns=keeper.peer_lease_over_ns, hold=peer_hold),
    )


def _service(controller: Controller, service: ServiceView) -> ServiceReading:
    noun = service.service
    mind = controller.minds[noun.name]
    record = service.record
    since = mind.unprotected_since_unix_seconds
    watched = noun.watch_only
    return ServiceReading(
        service=noun.name,
        sites=noun.sites,
        rpo_seconds=noun.objectives.rpo_seconds,
        rto_seconds=noun.objectives.rto_seconds,
        owner_known=record is not None,
        primary=record.primary if record is not None else None,
        epoch=record.epoch if record is not None else None,
        diagnosis=str(mind.judgement.row.diagnosis) if mind.judgement is not None else None,
        paused=None if record is None else service.pause_left_seconds is not None,
        protected=None if watched or mind.judgement is None else since is None,
        unprotected_since_unix_seconds=None if watched else since,
    )


def _instances(controller: Controller, service: ServiceView) -> list[InstanceReading]:
    found = []
    for site in service.service.sites:
        if service.service.watch_only:
            continue
        sample = controller.eyes.sample(service.service.name, site)
        fresh = service.samples.get(site)
        found.append(
            InstanceReading(
                service=service.service.name,
                site=site,
                role=service.role_at(site),
                sampled_at_ns=sample.taken_at_ns if sample is not None else _STARTED_NS,
                writable=fresh.writable if fresh is not None else None,
            )
        )
    return found


def _lag(controller: Controller, view: View, service: ServiceView) -> LagReading | None:
    record = service.record
    if record is None or service.service.watch_only:
        return None
    primary = record.primary or record.previous
    if primary is None:
        return None
    standby = service.service.peer_of(primary)
    age_seconds = service.lag_age_seconds
    sampled_at_ns = _STARTED_NS if age_seconds is None else view.now_ns - int(age_seconds * 1e9)
    return LagReading(
        service=service.service.name,
        from_site=primary,
        to_site=standby,
        sampled_at_ns=sampled_at_ns,
        seconds=service.lag_seconds,
        bytes=service.lag_bytes if service.lag_seconds is not None else None,
    )


def _probe(seen: Observation) -> ProbeReading:
    return ProbeReading(
        service=seen.service,
        site=seen.site,
        probe=seen.probe,
        kind=seen.kind,
        verdict=seen.verdict,
        at_ns=seen.last.at_ns if seen.last is not None else seen.since_ns,
        duration_seconds=seen.last.duration_seconds if seen.last is not None else None,
    )


def _reaches(controller: Controller, view: View) -> tuple[ReachReading, ...]:
    found = [
        ReachReading(
            from_site=record.observer, to_site=site, reached=reached, at_ns=view.now_ns - int(age * 1e9)
        )
        for record, age in controller.eyes.outside_records(view.now_ns)
        for site, reached in record.reaches.items()
        if site != record.observer
    ]
    if view.peer_reached is not None:
        found.append(
            ReachReading(from_site=view.site, to_site=view.peer, reached=view.peer_reached, at_ns=view.now_ns)
        )
    return tuple(found)
