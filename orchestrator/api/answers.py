"""Turn what the controller knows into the shapes of the local API. Reads only; decides nothing."""

from datetime import UTC, datetime

from orchestrator import PRODUCT
from orchestrator.api.clock_words import clock_warnings
from orchestrator.api.evidence import (
    disagreements,
    findings_status,
    pause_status,
    reach_status,
    sights,
)
from orchestrator.api.history_words import history_entry
from orchestrator.api.paging_words import paging_warnings
from orchestrator.api.power_words import power_lines, power_warnings
from orchestrator.api.right_words import (
    approval_warnings,
    break_glass,
    certify_peer,
    guard_lines,
    guard_warnings,
    right_warnings,
)
from orchestrator.api.run_words import (
    all_under_way,
    as_fresh,
    pace_of,
    projection_status,
    rehearsal_status,
    under_way,
    with_proof,
)
from orchestrator.api.shapes import (
    DecisionEntry,
    Evidence,
    Explanation,
    InstanceStatus,
    LagStatus,
    LastKnownStatus,
    OrderStatus,
    PauseStatus,
    ProjectionStatus,
    RunDetail,
    RunList,
    ServiceStatus,
    SiteStatus,
    Status,
    StepStatus,
    WaitStatus,
)
from orchestrator.api.store_words import distrusted, keeper_warnings, member_warnings, store_warnings
from orchestrator.breaking_glass import without_quorum
from orchestrator.certificates.words import certificate_warnings
from orchestrator.clock import wall_text, wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.decision import Act, wish_of
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import gates
from orchestrator.core.reach import findings
from orchestrator.core.reasons import REASONS
from orchestrator.core.records import RunOrder, RunRecord, RunWait
from orchestrator.core.statement import loss_if_moved_now
from orchestrator.core.view import ServiceView, View
from orchestrator.core.what_if import would_have_to_change
from orchestrator.journal_tables import JournalEvent
from orchestrator.mind import Judgement
from orchestrator.orders import gate_status
from probes.model import Observation
from runbooks.progress import Progress
from runbooks.steered import OF_A_STEP
from sites.replication.words import Role

DOWN = frozenset({Diagnosis.HANDED_OVER, Diagnosis.SITE_DARK, Diagnosis.PRIMARY_DEAD, Diagnosis.ISOLATED})
RIGHTLESS = frozenset({Diagnosis.ISOLATED, Diagnosis.UNKNOWN, Diagnosis.WORD_MISSING})
FINE = frozenset({Diagnosis.HEALTHY, Diagnosis.WATCH_ONLY})
WITNESS_FRESH_SECONDS = 10.0


def status(controller: Controller) -> Status:
    """Everything `twinsite status` shows."""
    view = controller.view()
    keeper = view.keeper
    services = [service_status(controller, view, service) for service in view.services]
    diagnoses = {controller.minds[each.service].judgement for each in services}
    names = {judged.row.diagnosis for judged in diagnoses if judged is not None}
    store_age = (
        (view.now_ns - keeper.store_answered_ns) / 1e9 if keeper and keeper.store_answered_ns else None
    )
    return Status(
        site=controller.site,
        version=PRODUCT,
        at=wall_text(),
        store=(keeper.store_problem or "answers") if keeper is not None else "unknown: no keeper",
        store_age_seconds=store_age,
        keeper=keeper.phase if keeper is not None else "absent",
        overall=_overall(names, view, quiet=not findings(view.reach)),
        warnings=_warnings(controller, view),
        sites=[_site_status(controller, view, name) for name in controller.estate.sites],
        services=sorted(services, key=lambda each: (each.rank, each.service)),
        reach=reach_status(view.reach, controller.estate.sites),
        findings=findings_status(view.reach),
    )


def _overall(names: set[Diagnosis], view: View, *, quiet: bool) -> str:
    """`quiet`: nothing is the matter between the sites."""
    if not view.registered or Diagnosis.UNKNOWN in names:
        return "unknown"
    if names & DOWN:
        return "down"
    return "ok" if names <= FINE and quiet else "degraded"


def _warnings(controller: Controller, view: View) -> list[str]:
    lines = [*store_warnings(view), *keeper_warnings(view, controller.keeper_problem)]
    lines += guard_warnings(view) + right_warnings(view) + clock_warnings(view)
    ways = controller.eyes.ways(view.now_ns)
    lines += power_warnings(view, controller.devices, controller.device_patrol.seen, ways)
    if view.keeper is not None and view.keeper.store_problem and not distrusted(view):
        lines.append(f"the store is out of reach from here: {view.keeper.store_problem}")
    if view.keeper is not None and view.keeper.renewals_suspended:
        lines.append("renewals are suspended: the controller has not completed a turn in time")
    lines += _witness_warning(controller, view)
    if controller.certificates is not None:
        lines += approval_warnings(controller.certificates.waiting())
        lines += controller.certificates.unreadable_keys()
    lines += member_warnings(controller.store_status)
    lines += [line for found in controller.setting_findings.values() for line in found]
    if controller.paging is not None:
        lines += paging_warnings(controller.paging)
    lines += certificate_warnings(controller.certificate_ends, wall_unix_seconds())
    lines += _stalls(controller)
    if controller.trend.problem:
        lines.append(f"the figures of past runs are not kept on disk: {controller.trend.problem}")
    return lines


def _stalls(controller: Controller) -> list[str]:
    lines = []
    for run in all_under_way(controller).values():
        found = projection_status(run, pace_of(controller, run))
        lines += [f"STALLED: run {run.run}: {words}" for words in (found.stalls if found else ())]
    return lines


def _witness_warning(controller: Controller, view: View) -> list[str]:
    witness = controller.estate.witness
    ages = {record.observer: age for record, age in controller.eyes.outside_records(view.now_ns)}
    if witness is None or ages.get(witness, WITNESS_FRESH_SECONDS + 1) <= WITNESS_FRESH_SECONDS:
        return []
    if witness not in ages:
        return [f"{witness} (witness) has not been heard since this controller started"]
    return [f"{witness} (witness) has been silent for {ages[witness]:.0f} s"]


def _site_status(controller: Controller, view: View, name: str) -> SiteStatus:
    site = controller.estate.sites[name]
    keeper = view.keeper
    base = {"site": name, "title": site.title or name, "witness": site.witness}
    if name == controller.site:
        left = view.lease_left_ns / 1e9 if keeper is not None else None
        detail = "this controller" if keeper is not None else "this controller; its keeper is absent"
        return SiteStatus(
            **base, here=True, seen=True, seen_age_seconds=0.0, lease_remaining_seconds=left,
            incarnation=keeper.incarnation if keeper else None, revoked=False if keeper else None,
            hold=keeper.hold_carried if keeper else None, detail=detail,
        )  # fmt: skip
    if site.witness:
        ages = {record.observer: age for record, age in controller.eyes.outside_records(view.now_ns)}
        age = ages.get(name)
        return SiteStatus(
            **base, here=False, seen=None if age is None else age <= WITNESS_FRESH_SECONDS,
            seen_age_seconds=age, lease_remaining_seconds=None, incarnation=None, revoked=None, hold=None,
            detail="observes" if age is not None else "never heard",
        )  # fmt: skip
    return _peer_status(view, base)


def _peer_status(view: View, base: dict[str, object]) -> SiteStatus:
    keeper = view.keeper
    peer = keeper.peer if keeper is not None else None
    silent = view.peer_silent_seconds
    over = keeper.peer_lease_over_ns if keeper is not None else None
    left = max(0, over - view.now_ns) / 1e9 if over is not None else None
    if peer is None:
        detail = "its lease has never been seen from here"
    elif peer.revoked:
        detail = "its lease was revoked"
    elif view.peer_lease_over:
        detail = "silent, its lease is over"
    else:
        detail = "renews its lease"
    return SiteStatus(
        **base, here=False, seen=None if silent is None else not view.peer_lease_over,
        seen_age_seconds=silent, lease_remaining_seconds=left,
        incarnation=peer.incarnation if peer else None, revoked=peer.revoked if peer else None,
        hold=peer.hold if peer else None, detail=detail,
    )  # fmt: skip


def service_status(controller: Controller, view: View, service: ServiceView) -> ServiceStatus:
    """One service's line."""
    noun = service.service
    mind = controller.minds[noun.name]
    judged = mind.judgement
    record = service.record
    since = mind.unprotected_since_unix_seconds
    return ServiceStatus(
        service=noun.name,
        title=noun.title or noun.name,
        primary=record.primary if record is not None else None,
        epoch=record.epoch if record is not None else None,
        mode="watch-only" if noun.watch_only else str(record.mode if record is not None else noun.failover),
        movement=str(record.movement) if record is not None else "unknown",
        run=record.run if record is not None and service.moving else mind.run,
        home=noun.home,
        standby=noun.standby,
        rank=noun.rank,
        watch_only=noun.watch_only,
        diagnosis=str(judged.row.diagnosis) if judged else "unknown",
        decision=str(judged.decision.act) if judged else "hold",
        why=judged.row.why if judged else "nothing has been decided yet",
        next_step=_next_step(view, judged),
        instances=[_instance(view, service, site) for site in noun.sites],
        lag=lag_status(controller, view, service),
        loss_if_moved_now="" if noun.watch_only else loss_if_moved_now(view, service),
        paused=service.pause_words if service.pause_left_seconds is not None else "",
        pause=pause_status(service),
        under_glass=service.held.under_glass if service.held is not None else "",
        last_known=_last_known(controller, service),
        unprotected_seconds=max(0.0, wall_unix_seconds() - since) if since is not None else None,
        rehearsed=None
        if noun.watch_only
        else rehearsal_status(
            controller.rehearsed.of_service(noun.name, record.primary if record is not None else None)
        ),
        projected=_projected(controller, noun.name),
    )


def _projected(controller: Controller, service: str) -> ProjectionStatus | None:
    run = under_way(controller, service)
    return projection_status(run, pace_of(controller, run)) if run is not None else None


def _last_known(controller: Controller, service: ServiceView) -> LastKnownStatus | None:
    """What was known of it, while it is not."""
    known = controller.last_known.of(service.service.name) if service.record is None else None
    if known is None:
        return None
    return LastKnownStatus(primary=known.primary or known.previous, epoch=known.epoch, at=known.at)


def _next_step(view: View, judged: Judgement | None) -> str:
    if judged is None:
        return ""
    if judged.row.diagnosis in RIGHTLESS and without_quorum(view):
        return f"bring the store or {view.peer} back; if {view.peer} is known to be off: {break_glass(view)}"
    if judged.row.diagnosis is Diagnosis.WORD_MISSING:
        return f"bring {view.peer}'s controller back; if it is known to be off: {certify_peer(view)}"
    if judged.decision.act not in (Act.ASK, Act.REFUSE):
        return ""
    reason = REASONS.get(judged.decision.code)
    return reason.remedy if reason is not None else ""


def _instance(view: View, service: ServiceView, site: str) -> InstanceStatus:
    sample = service.samples.get(site)
    if sample is None:
        return InstanceStatus(
            site=site, role="unknown", writable=None, sample_age_seconds=None, reason="no fresh answer"
        )
    return InstanceStatus(
        site=site,
        role=str(sample.role),
        writable=service.writable_at(site),
        sample_age_seconds=max(0, view.now_ns - sample.taken_at_ns) / 1e9,
        reason=sample.reason,
    )


def lag_status(controller: Controller, view: View, service: ServiceView) -> LagStatus | None:
    """Replication of a service; None for one that is only watched. Without a known owner nobody can say which
    copy is behind which: then it is from home to standby, and every figure is unknown."""
    record, held = service.record, service.held
    if service.service.watch_only:
        return None
    if record is None:
        known = held is not None and held.known
        return LagStatus(
            service=service.service.name,
            from_site=service.service.home,
            to_site=service.service.standby,
            seconds=None,
            bytes=None,
            sample_age_seconds=None,
            streaming=None,
            detail="unknown: nobody has owned it yet" if known else "unknown: its owner is not known",
        )
    primary = record.primary or record.previous or service.service.home
    standby = service.service.peer_of(primary)
    sample = service.samples.get(standby)
    streaming = sample.streaming if sample is not None and sample.role is Role.STANDBY else None
    return LagStatus(
        service=service.service.name,
        from_site=primary,
        to_site=standby,
        seconds=service.lag_seconds,
        bytes=service.lag_bytes,
        sample_age_seconds=service.lag_age_seconds,
        streaming=streaming,
        detail="" if service.lag_seconds is not None else "unknown: no fresh pair of samples",
    )


def explanation(
    controller: Controller,
    name: str,
    observations: tuple[Observation, ...],
    on_file: tuple[JournalEvent, ...] = (),
) -> Explanation:
    """Why it did or did not act about a service. `on_file`: its certificates and reports, newest first."""
    view = controller.view()
    service = next(found for found in view.services if found.service.name == name)
    mind = controller.minds[name]
    judged = mind.judgement
    if service.service.watch_only or service.record is None:
        answers = []
    else:
        wish = wish_of(_wished(view, service, judged), view, service)
        answers = [gate_status(gate) for gate in gates(view, service, wish)]
    seen = sights(view, service, observations)
    return Explanation(
        service=name,
        diagnosis=str(judged.row.diagnosis) if judged else "unknown",
        decision=str(judged.decision.act) if judged else "hold",
        code=judged.decision.code if judged else "",
        row=judged.decision.row if judged else 0,
        why=f"{judged.row.why}; {judged.decision.why}" if judged else "nothing has been decided yet",
        gates=answers,
        evidence=_evidence(controller, view, service, observations),
        history=[
            DecisionEntry(
                at=past.at,
                diagnosis=str(past.row.diagnosis),
                decision=str(past.decision.act),
                code=past.decision.code,
                why=past.decision.why,
            )
            for past in reversed(mind.history)
        ],
        pause=pause_status(service),
        sights=seen,
        disagreements=disagreements(seen),
        would_have_to_change=list(_would_have_to_change(view, service, judged)),
        reach=reach_status(view.reach, controller.estate.sites),
        findings=findings_status(view.reach),
        guard=guard_lines(service, view.site),
        power=power_lines(service, controller.devices),
        on_file=[history_entry(event) for event in on_file],
        rehearsed=None
        if service.service.watch_only
        else rehearsal_status(
            controller.rehearsed.of_service(name, service.record.primary if service.record else None)
        ),
    )


def _wished(view: View, service: ServiceView, judged: Judgement | None) -> Act:
    """The promotion whose gates are of interest: away from here only where that would be done."""
    ours = service.record is not None and service.record.primary == view.site
    cut_off = judged is not None and judged.row.diagnosis is Diagnosis.CUT_OFF_FROM_CLIENTS
    return Act.HAND_OVER if ours and cut_off else Act.TAKE_OVER


def _would_have_to_change(view: View, service: ServiceView, judged: Judgement | None) -> tuple[str, ...]:
    """Of what was decided, as far as it is still so: a moment may have passed since."""
    if judged is None:
        return ("it would have to be decided about first: this controller has just started",)
    return would_have_to_change(view, service, judged.row.diagnosis, judged.decision)


def _evidence(
    controller: Controller, view: View, service: ServiceView, observations: tuple[Observation, ...]
) -> list[Evidence]:
    found = []
    for site, sample in service.samples.items():
        at = (sample.position.text if sample.position is not None else "") or "no position"
        found.append(
            Evidence(
                observer=controller.site,
                subject=f"{service.service.name} at {site}",
                verdict=str(sample.role),
                reason=sample.reason,
                detail=f"{at}, writable {_word(sample.writable)}",
                age_seconds=max(0, view.now_ns - sample.taken_at_ns) / 1e9,
            )
        )
    found += [
        Evidence(
            observer=word.observer,
            subject=f"{service.service.name} at {word.site}",
            verdict=word.role,
            reason=word.reason,
            detail=f"writable {_word(word.writable)}",
            age_seconds=word.age_seconds,
        )
        for word in service.outside
    ]
    found += [
        Evidence(
            observer=controller.site,
            subject=f"probe {seen.probe} at {seen.site}",
            verdict=str(seen.verdict),
            reason=seen.last.reason if seen.last is not None else "not tried yet",
            detail=f"{seen.last.tried}: {seen.last.answered}" if seen.last is not None else "",
            age_seconds=max(0, view.now_ns - seen.last.at_ns) / 1e9 if seen.last is not None else None,
        )
        for seen in observations
        if seen.service == service.service.name
    ]
    return found


def _word(value: bool | None) -> str:
    return "unknown" if value is None else ("yes" if value else "no")


# --- runs ----------------------------------------------------------------------------------------------

_STATES = {
    "waiting": "waiting",
    "started": "running",
    "in-doubt": "in-doubt",
    "done": "done",
    "already-done": "already-done",
    "failed": "failed",
    "timed-out": "failed",
    "unreachable-continued": "skipped",
    "skipped": "skipped",
}


def run_detail(record: RunRecord, progress: Progress | None, pause: PauseStatus | None = None) -> RunDetail:
    """A run as published, with the fresher state of our own executor where there is one. `pause`: its
    service's."""
    titles = {
        step["id"]: (step["number"], step["title"])
        for part in record.plan.get("parts", [])
        for step in part.get("steps", [])
    }
    if record.whole_site:
        titles = {step.step: (number, "") for number, step in enumerate(record.steps, start=1)}
    record = as_fresh(record, progress)
    titles |= {step.step: (step.number, step.title) for step in record.steps if step.title}
    states = {step.step: (step.state, step.detail, step.duration_seconds) for step in record.steps}
    asked = {wait.step for wait in record.waits if wait.kind in ("person", "approval")}
    steps = [
        StepStatus(
            number=titles.get(step_id, (0, step_id))[0],
            step=step_id,
            title=titles.get(step_id, (0, step_id))[1],
            state="asked" if step_id in asked else _STATES.get(state, "waiting"),
            detail=detail[:500],
            duration_seconds=duration,
        )
        for step_id, (state, detail, duration) in states.items()
    ]
    return RunDetail(
        run=record.run,
        kind=record.kind,
        service=record.service,
        from_site=record.from_site,
        to_site=record.to_site,
        state=record.state,
        outcome=record.outcome,
        statement=record.statement,
        loss_bound_seconds=record.loss_bound_seconds,
        who=record.who,
        why=record.why,
        executor=record.executor_site,
        started=record.started,
        ended=record.ended,
        duration_seconds=_duration(record),
        steps=sorted(steps, key=lambda step: step.number),
        pause=pause,
        report=list(record.report),
        whole_site=record.whole_site,
        waits=[_wait(record, wait) for wait in record.waits],
        orders=[_order(order) for order in record.orders],
        last_order=record.orders[-1].number if record.orders else 0,
        left=list(record.left),
        continues=record.continues,
    )


def _order(order: RunOrder) -> OrderStatus:
    return OrderStatus(
        number=order.number, verb=order.verb, step=order.step, who=order.who, site=order.site, at=order.at,
        reason=order.reason, evidence=order.evidence,
    )  # fmt: skip


def _wait(record: RunRecord, wait: RunWait) -> WaitStatus:
    verbs = {
        "paused": ("resume", "abort", "undo"),
        "failed": ("retry", "skip", "done", "abort", "undo"),
        "in-doubt": ("done", "retry", "skip", "abort", "undo"),
        "person": ("done", "skip", "abort", "undo"),
        "approval": ("approve", "abort", "undo"),
    }
    ending = record.outcome or wait.step.startswith("undo:")
    commands = [
        f"twinsite runs {verb} {record.run}{f' {wait.step}' if verb in OF_A_STEP and wait.step else ''}"
        f"{' --evidence …' if verb == 'done' else ''} --reason …"
        for verb in verbs.get(wait.kind, ())
        if not (ending and verb == "undo")
    ]
    return WaitStatus(kind=wait.kind, step=wait.step, words=wait.words, since=wait.since, commands=commands)


def _duration(record: RunRecord) -> float | None:
    if not record.started:
        return None
    try:
        begun = datetime.fromisoformat(record.started)
        ended = datetime.fromisoformat(record.ended) if record.ended else datetime.now(UTC)
    except ValueError:
        return None
    return max(0.0, (ended - begun).total_seconds())


def run_list(controller: Controller, limit: int) -> RunList:
    """Runs, newest first."""
    records = sorted(controller.run_records.values(), key=lambda run: run.started_unix_seconds, reverse=True)
    on = pauses(controller)
    return RunList(
        runs=[
            with_proof(
                controller,
                run_detail(record, controller.mover.progress.get(record.run), on.get(record.service)),
                record,
            )
            for record in records[:limit]
        ],
        pauses=on,
    )


def pauses(controller: Controller) -> dict[str, PauseStatus]:
    """The pauses that are on, by service."""
    found = {each.service.name: pause_status(each) for each in controller.view().services}
    return {name: pause for name, pause in found.items() if pause is not None}
