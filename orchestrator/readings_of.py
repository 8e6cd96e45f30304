"""Make `/metrics`' readings from what the controller knows at the end of a turn. Reads only."""

from orchestrator import PRODUCT
from orchestrator.api.evidence import disagreeing, sights
from orchestrator.clock import boottime_ns, unix_seconds_of, wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.reach import Target, findings
from orchestrator.core.view import ServiceView, View
from orchestrator.paging.desk import PagingDesk
from orchestrator.paging.outbox import OUTCOMES
from orchestrator.readings import (
    CertificateReading,
    DisagreementReading,
    FindingReading,
    InstanceReading,
    LagReading,
    MoveReading,
    ProbeReading,
    ReachReading,
    Readings,
    ReceiverReading,
    ServiceReading,
    SiteReading,
    StoreReading,
)
from probes.model import Observation
from runbooks.model import Kind
from sites.notify import Severity

_STARTED_NS = boottime_ns()
CLOCKS_APART_SECONDS = 60.0


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
            trusted=_trusted(view),
        ),
        sites=_sites(controller, view),
        services=tuple(_service(controller, view, service) for service in view.services),
        instances=tuple(found for service in view.services for found in _instances(controller, service)),
        lags=tuple(lag for service in view.services if (lag := _lag(controller, view, service)) is not None),
        probes=tuple(_probe(seen) for seen in observations),
        reaches=_reaches(view),
        disagreements=_disagreements(controller, view),
        findings=tuple(
            FindingReading(finding=found.finding.value, about="-".join(found.about))
            for found in findings(view.reach)
        ),
        certificates=tuple(
            CertificateReading(identity=who, ends_unix_seconds=ends)
            for who, ends in sorted(controller.certificate_ends.items())
        ),
        receivers=_receivers(controller.paging),
        unacknowledged=_unacknowledged(controller.paging),
        clocks=view.clocks,
        not_accepted=_not_accepted(controller, view),
        counts=controller.tally.counts(),
    )


def _receivers(paging: PagingDesk | None) -> tuple[ReceiverReading, ...]:
    return tuple(
        ReceiverReading(
            receiver=name,
            waiting=len(one.waiting),
            troubled=one.trouble is not None,
            oldest_unix_seconds=one.waiting[0].written_at if one.waiting else None,
            last_sent_unix_seconds=one.counted.last_sent_at,
            outcomes={outcome: one.counted.outcomes.get(outcome, 0) for outcome in OUTCOMES},
        )
        for name, one in (paging.receivers.items() if paging is not None else ())
    )


def _unacknowledged(paging: PagingDesk | None) -> dict[str, int]:
    if paging is None or not paging.receivers:
        return {}
    open_ones = [page.event.severity for page in paging.pages if page.acknowledged is None]
    return {str(severity): open_ones.count(severity) for severity in Severity}


def _trusted(view: View) -> bool | None:
    """P33: whether the store is the one that was known all along."""
    trust = view.keeper.store_trust if view.keeper is not None else None
    return trust.broken is None if trust is not None else None


def _not_accepted(controller: Controller, view: View) -> dict[str, int]:
    """Of the keeper and of the controller together, by code."""
    found = dict(controller.tally.counts().not_accepted)
    for code, count in view.keeper.doors_refused if view.keeper is not None else ():
        found[code] = found.get(code, 0) + count
    return found


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
        SiteReading(
            site=view.site,
            lease_until_ns=keeper.deadline_ns or None,
            hold=keeper.hold_carried,
            word_missing=keeper.word_needed,
        ),
        SiteReading(
            site=view.peer,
            lease_until_ns=keeper.peer_lease_over_ns,
            hold=peer_hold,
            promised_until_ns=keeper.promised_until_ns,
        ),
    )


def _service(controller: Controller, view: View, service: ServiceView) -> ServiceReading:
    noun = service.service
    mind = controller.minds[noun.name]
    record = service.record
    since = mind.unprotected_since_unix_seconds
    watched = noun.watch_only
    left = service.pause_left_seconds
    return ServiceReading(
        service=noun.name,
        sites=noun.sites,
        rpo_seconds=noun.objectives.rpo_seconds,
        rto_seconds=noun.objectives.rto_seconds,
        owner_known=record is not None,
        primary=record.primary if record is not None else None,
        epoch=record.epoch if record is not None else None,
        glass_site=view.site,
        under_glass=bool(service.held.under_glass) if service.held is not None else None,
        diagnosis=str(mind.judgement.row.diagnosis) if mind.judgement is not None else None,
        paused=None if record is None else left is not None,
        pause_until_ns=None if left is None else view.now_ns + int(left * 1e9),
        pause_ends_unix_seconds=None if left is None else wall_unix_seconds() + left,
        protected=None if watched or mind.judgement is None else since is None,
        unprotected_since_unix_seconds=None if watched else since,
        last_move=_last_move(controller, noun.name),
        run_waits=None if watched else _run_waits(controller, noun.name),
    )


def _run_waits(controller: Controller, service: str) -> bool:
    """Of the runs that are known, whichever controller carries them out."""
    runs = controller.run_records.values()
    return any(run.service == service and run.state == "waiting" for run in runs)


def _last_move(controller: Controller, service: str) -> MoveReading | None:
    """Of the runs that are known, the move of this service that was done last."""
    ended = {
        run.run: unix
        for run in controller.run_records.values()
        if run.service == service
        and run.kind in (Kind.FAILOVER, Kind.SWITCHOVER)
        and run.state == "done"
        and (unix := unix_seconds_of(run.ended)) is not None
    }
    if not ended:
        return None
    last = controller.run_records[max(ended, key=lambda run: ended[run])]
    outage_seconds = controller.eyes.handovers.outage_seconds(
        service,
        last.from_site,
        last.to_site,
        # The run's instants are by the clock of the site that carried it out.
        last.started_unix_seconds - CLOCKS_APART_SECONDS,
        ended[last.run] + CLOCKS_APART_SECONDS,
    )
    return MoveReading(ended_unix_seconds=ended[last.run], outage_seconds=outage_seconds)


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


def _reaches(view: View) -> tuple[ReachReading, ...]:
    return tuple(
        ReachReading(
            from_site=word.observer,
            to_site=word.target,
            reached=word.said,
            at_ns=None if word.age_seconds is None else view.now_ns - int(word.age_seconds * 1e9),
            member=word.kind is Target.MEMBER,
        )
        for word in view.reach.words
    )


def _disagreements(controller: Controller, view: View) -> tuple[DisagreementReading, ...]:
    about = view.reach.disagreements()
    found = [
        DisagreementReading(service="", site=site, disagree=site in about)
        for site in controller.estate.sites
        if any(word.target == site and word.said is not None for word in view.reach.words)
    ]
    for service in view.services:
        differ = disagreeing(sights(view, service, ()))
        found += [
            DisagreementReading(service=service.service.name, site=site, disagree=(site, "") in differ)
            for site in service.service.sites
            if service.samples.get(site) is not None
        ]
    return tuple(found)
