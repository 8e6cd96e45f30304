"""Make `/metrics`' readings from what the controller knows at the end of a turn. Reads only."""

from collections import Counter
from collections.abc import Sequence

from orchestrator import PRODUCT
from orchestrator.api.evidence import disagreeing, sights
from orchestrator.api.run_words import as_fresh, pace_of
from orchestrator.clock import boottime_ns, unix_seconds_of, wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.capacity import Owned, headroom
from orchestrator.core.reach import Target, findings
from orchestrator.core.records import RunRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.paging.desk import PagingDesk
from orchestrator.paging.outbox import OUTCOMES
from orchestrator.readings import (
    CertificateReading,
    DeviceReading,
    DisagreementReading,
    FindingReading,
    HeadroomReading,
    InstanceReading,
    LagReading,
    LeaderReading,
    MoveReading,
    ProbeReading,
    ReachReading,
    Readings,
    ReceiverReading,
    ServiceReading,
    SiteReading,
    StoreReading,
)
from orchestrator.rto_clock import clock_of
from orchestrator.run_readings import run_readings
from probes.model import Observation
from runbooks.model import Kind
from sites.drills import DrillKind
from sites.notify import Severity

_STARTED_NS = boottime_ns()
_STARTED_UNIX_SECONDS = wall_unix_seconds()
CLOCKS_APART_SECONDS = 60.0


def readings(controller: Controller, view: View, observations: tuple[Observation, ...]) -> Readings:
    """The readings of this turn."""
    keeper = view.keeper
    counts = controller.tally.counts()
    runs: dict[str, list[RunRecord]] = {}
    for run in controller.run_records.values():
        runs.setdefault(run.service, []).append(run)
    return Readings(
        observer=controller.site,
        version=PRODUCT,
        turned_at_ns=view.now_ns,
        started_unix_seconds=_STARTED_UNIX_SECONDS,
        loop_delay_seconds=controller.loop_delay.extreme(view.now_ns),
        lease_duration_seconds=controller.estate.ownership.lease_duration_seconds,
        store=StoreReading(
            answered_at_ns=(keeper.store_answered_ns if keeper is not None else 0) or _STARTED_NS,
            round_trip_seconds=keeper.store_round_trip_seconds if keeper is not None else None,
            size_bytes=_fullest(controller)[0],
            quota_bytes=_fullest(controller)[1],
            trusted=_trusted(view),
        ),
        sites=_sites(controller, view),
        services=tuple(
            _service(controller, view, service, runs.get(service.service.name, ()))
            for service in view.services
        ),
        instances=tuple(found for service in view.services for found in _instances(controller, service)),
        lags=tuple(lag for service in view.services if (lag := _lag(controller, view, service)) is not None),
        drills=controller.drill_readings(),
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
        devices=_devices(controller),
        hosts_off=Counter(host.site for host in controller.devices.off.hosts),
        power_cuts=dict(controller.devices.outcomes),
        clocks=view.clocks,
        runs=run_readings(
            controller.run_records.values(),
            controller.run_changed_ns,
            lambda run: pace_of(controller, as_fresh(run, controller.mover.progress.get(run.run))),
            now_ns=view.now_ns,
        ),
        headrooms=_headrooms(controller, view),
        leaders=_leaders(controller),
        not_accepted=_not_accepted(controller, view),
        counts=counts,
    )


def _headrooms(controller: Controller, view: View) -> tuple[HeadroomReading, ...]:
    """Both ways: what a site would have left with everything of the other one."""
    sites = controller.estate.sites
    capacities = {name: found for name, site in sites.items() if (found := site.capacity) is not None}
    owned = [Owned(service.service, service.record) for service in view.services]
    ways = ((view.site, view.peer), (view.peer, view.site))
    rooms = [headroom(owned, capacities, *way) for way in ways if capacities]
    return tuple(
        HeadroomReading(
            from_site=one.from_site, to_site=one.to_site, cpu_cores=one.cpu, memory_bytes=one.memory_bytes
        )
        for one in rooms
    )


def _leaders(controller: Controller) -> tuple[LeaderReading, ...]:
    status = controller.store_status
    at = {
        site.store_member.rstrip("/"): name
        for name, site in controller.estate.sites.items()
        if site.store_member is not None
    }
    return tuple(
        LeaderReading(
            member=at.get(member.endpoint.rstrip("/"), member.endpoint),
            leads=member.leader if member.reachable else None,
        )
        for member in (status.members if status is not None else ())
    )


def _devices(controller: Controller) -> tuple[DeviceReading, ...]:
    """Several of one agent at a host, such as two power supplies, count together."""
    answers: dict[tuple[str, str, str], bool] = {}
    for seen in controller.device_patrol.seen:
        key = (seen.site, seen.host, seen.agent)
        answers[key] = answers.get(key, True) and seen.on is not None
    return tuple(
        DeviceReading(site=site, host=host, agent=agent, answers=said)
        for (site, host, agent), said in answers.items()
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
    quiet = _quiet_sites(view)
    witness = SiteReading(site=controller.estate.witness or "", witness=True)
    third = (witness,) if witness.site else ()
    if keeper is None:
        sites = controller.estate.data_sites
        return (*(SiteReading(site=site, maintenance=quiet.get(site)) for site in sites), *third)
    peer_hold = keeper.peer.hold if keeper.peer is not None else None
    return (
        SiteReading(
            site=view.site,
            lease_until_ns=keeper.deadline_ns or None,
            hold=keeper.hold_carried,
            word_missing=keeper.word_needed,
            lease_lowest_seconds=controller.lease_left.extreme(view.now_ns),
            maintenance=quiet.get(view.site),
        ),
        SiteReading(
            site=view.peer,
            lease_until_ns=keeper.peer_lease_over_ns,
            hold=peer_hold,
            promised_until_ns=keeper.promised_until_ns,
            maintenance=quiet.get(view.peer),
        ),
        *third,
    )


def _quiet_sites(view: View) -> dict[str, bool]:
    """By site at which anything is primary: whether all of that is paused. Nothing of what is not known."""
    movable = [service for service in view.services if not service.service.watch_only]
    if any(service.record is None for service in movable):
        return {}
    paused: dict[str, bool] = {}
    for service in movable:
        if service.record is not None and (site := service.record.primary) is not None:
            paused[site] = paused.get(site, True) and service.pause_left_seconds is not None
    return paused


def _service(
    controller: Controller, view: View, service: ServiceView, runs: Sequence[RunRecord]
) -> ServiceReading:
    noun = service.service
    mind = controller.minds[noun.name]
    record = service.record
    since = mind.unprotected_since_unix_seconds
    watched = noun.watch_only
    left = service.pause_left_seconds
    rehearsal = controller.rehearsed.of_service(noun.name, record.primary if record is not None else None)
    return ServiceReading(
        service=noun.name,
        sites=noun.sites,
        rpo_seconds=noun.objectives.rpo_seconds,
        rto_seconds=noun.objectives.rto_seconds,
        failover="watched" if watched else str(noun.failover),
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
        drill_last_success_unix_seconds=_last_drill(controller, noun.name),
        # What was never done has not changed since: that is the calendar's to complain of.
        drill_of_todays_plan=rehearsal.exactly if rehearsal.tested is not None else None,
        last_move=_last_move(controller, runs),
        # Of the runs that are known, whichever controller carries them out.
        run_waits=None if watched else any(run.state == "waiting" for run in runs),
    )


def _last_drill(controller: Controller, service: str) -> float | None:
    """A tabletop drill shows that people know what to do, not that it works."""
    ended = [
        drill.last_success_unix_seconds
        for drill in controller.drill_readings()
        if drill.service == service and drill.kind != DrillKind.TABLETOP
    ]
    return max((each for each in ended if each is not None), default=None)


def _last_move(controller: Controller, runs: Sequence[RunRecord]) -> MoveReading | None:
    """Of the runs of a service that are known, the move that was done last."""
    ended = {
        run.run: unix
        for run in runs
        if run.kind in (Kind.FAILOVER, Kind.SWITCHOVER)
        and run.state == "done"
        and (unix := unix_seconds_of(run.ended)) is not None
    }
    if not ended:
        return None
    last = controller.run_records[max(ended, key=lambda run: ended[run])]
    outage_seconds = controller.outage_seconds(last, ended[last.run])
    clock, figures = clock_of(last), controller.trend.of(last.run)
    return MoveReading(
        ended_unix_seconds=ended[last.run],
        outage_seconds=outage_seconds,
        loss_bound_seconds=last.loss_bound_seconds,
        stages={
            "detect": clock.detect_seconds,
            "decide": clock.decide_seconds,
            "execute": clock.execute_seconds,
            "verify": clock.verify_seconds,
        }
        if clock is not None
        else {},
        used_seconds=clock.used_seconds if clock is not None else None,
        lost_seconds=figures.lost_seconds if figures is not None else None,
        lost_bytes=figures.lost_bytes if figures is not None else None,
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
