"""What of all that a controller knows is worth telling people, in words for somebody who has just been woken.

Pure: facts in, events out, the same at both sites wherever they see the same. Whether a message is sent, and
to whom, is `book`'s.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.reasons import reason_of
from orchestrator.core.records import RUN_OVER, RunRecord, RunWait
from orchestrator.core.rules import Act
from orchestrator.core.statement import loss_if_moved_now
from orchestrator.core.view import ServiceView, View
from orchestrator.drills.records import DrillRecord
from orchestrator.mind import Judgement
from orchestrator.paging.event import Event
from runbooks.model import Kind
from sites.notify import Severity, Topic

RUN_TOLD_SECONDS = 600.0
"""How long after its end a run is still news to a controller that has just started."""
UNACKNOWLEDGED_SECONDS = 86_400.0
DRILL_TOLD_SECONDS = 7 * 86_400.0
DOWN_PATIENCE_SECONDS = 20.0
UNPROTECTED_PATIENCE_SECONDS = 60.0
REFUSED_PATIENCE_SECONDS = 5.0
STORE_PATIENCE_SECONDS = 30.0
SILENT_SECONDS = 60.0
CERTIFICATE_DAYS = 14.0
CERTIFICATE_CRITICAL_DAYS = 3.0
_DAY_SECONDS = 86_400.0

DOWN = frozenset(
    {
        Diagnosis.PRIMARY_DEAD,
        Diagnosis.PRIMARY_CLOSED,
        Diagnosis.PRIMARY_UNKNOWN,
        Diagnosis.HANDED_OVER,
        Diagnosis.CUT_OFF_BY_US,
        Diagnosis.CUT_OFF_FROM_CLIENTS,
    }
)
UNPROTECTED = frozenset({Diagnosis.UNPROTECTED, Diagnosis.NOT_A_STANDBY})
# A run that waits is told of as such.
OF_A_RUN = frozenset({"run-waiting", "in-doubt"})
_TYPED = re.compile(r"`(twinsite [^`]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What events are made from. `now` and `since` in Unix time: what had ended before `since` is no news.
    `heard`: by other observer, how long ago it was heard; `certificates`: by identity, when they run out."""

    view: View
    judgements: Mapping[str, Judgement]
    runs: tuple[RunRecord, ...]
    ended_at: Mapping[str, float]
    now: float
    since: float
    witness: str | None = None
    heard: Mapping[str, float] = field(default_factory=dict)
    up_seconds: float = 0.0
    certificates: Mapping[str, float] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    keeper_problem: str = ""
    drills: tuple[DrillRecord, ...] = ()


def events_of(facts: Facts) -> tuple[Event, ...]:
    """Everything that is the matter now, or has just happened."""
    found = [*_sites(facts), *_store(facts), *_silent(facts), *_certificates(facts)]
    for service in facts.view.services:
        if not service.service.watch_only:
            found += _service(facts, service)
    for drill in facts.drills:
        found += _drill(facts, drill)
    for run in facts.runs:
        found += _run(facts, run)
    return tuple(found)


# --- services ----------------------------------------------------------------------------------------


def _service(facts: Facts, service: ServiceView) -> Iterator[Event]:
    judged = facts.judgements.get(service.service.name)
    if judged is None:
        return
    name, diagnosis, decision = service.service.name, judged.row.diagnosis, judged.decision
    title = _title(service)
    common: dict[str, Any] = {
        "service": name,
        "where": _where(service),
        "loss": loss_if_moved_now(facts.view, service),
        "since": judged.at,
        "command": f"twinsite explain {name}",
    }
    if diagnosis is Diagnosis.WRITABLE_WITHOUT_RIGHT:
        yield Event(
            key=f"two-writable:{name}:{facts.view.site}",
            topic=Topic.TWO_WRITABLE,
            severity=Severity.CRITICAL,
            site=facts.view.site,
            headline=f"{title} accepts writes at {facts.view.site}, which has no right to it",
            what=f"{judged.row.why}; {decision.why}",
            page="how-it-works.md#naming-deciding-acting",
            **common,
        )
    if diagnosis in DOWN:
        yield Event(
            key=f"down:{name}",
            topic=Topic.DOWN,
            severity=Severity.CRITICAL,
            headline=f"{title} is down: {str(diagnosis).replace('-', ' ')}",
            what=f"{judged.row.why}; {decision.why}",
            page="first-failover.md#1-what-is-down",
            patience_seconds=DOWN_PATIENCE_SECONDS,
            **common,
        )
    if diagnosis in UNPROTECTED:
        yield Event(
            key=f"unprotected:{name}",
            topic=Topic.UNPROTECTED,
            severity=Severity.WARNING,
            headline=f"{title} is unprotected: no standby receives what is written",
            what=f"{judged.row.why}; {decision.why}",
            page="what-happens-when.md",
            patience_seconds=UNPROTECTED_PATIENCE_SECONDS,
            **common,
        )
    if decision.act in (Act.ASK, Act.REFUSE) and decision.code not in OF_A_RUN:
        yield _refused(name, title, judged, common)


def _refused(name: str, title: str, judged: Judgement, common: dict[str, Any]) -> Event:
    decision = judged.decision
    reason = reason_of(decision.code)
    remedy = (reason.remedy if reason is not None else "").replace("SERVICE", name)
    typed = _TYPED.search(remedy)
    serious = judged.row.diagnosis in DOWN or judged.row.diagnosis is Diagnosis.SITE_DARK
    return Event(
        key=f"refused:{name}",
        topic=Topic.REFUSED,
        severity=Severity.CRITICAL if serious else Severity.WARNING,
        headline=f"{title} is not moved by itself ({decision.code}): a person decides",
        what=f"{judged.row.why}; {decision.why}. {remedy}".strip(),
        page="first-failover.md#2-why-has-it-not-moved-by-itself",
        patience_seconds=REFUSED_PATIENCE_SECONDS,
        **{**common, "command": typed[1] if typed is not None else common["command"]},
    )


def _title(service: ServiceView) -> str:
    noun = service.service
    return f"{noun.title} ({noun.name})" if noun.title and noun.title != noun.name else noun.name


def _where(service: ServiceView) -> str:
    record = service.record
    if record is None:
        return f"{service.service.home} or {service.service.standby}: who owns it is not known here"
    if record.primary is None:
        return f"nobody owns it; {record.previous} gave it up"
    return f"{record.primary}; the other site is {service.service.peer_of(record.primary)}"


# --- sites -------------------------------------------------------------------------------------------


def _sites(facts: Facts) -> Iterator[Event]:
    view, keeper = facts.view, facts.view.keeper
    here, peer = view.site, view.peer
    # Who does not hear the store hears nobody, which says nothing of the other site.
    hears = keeper is not None and not keeper.store_problem and view.right_lasts and not view.word_needed
    if view.peer_lease_over and hears:
        lost = [s.service.name for s in view.services if s.record is not None and s.record.primary == peer]
        yield Event(
            key=f"site-dark:{peer}",
            topic=Topic.SITE_DARK,
            severity=Severity.CRITICAL,
            headline=f"{facts.titles.get(peer, peer)} is down: silent, and its lease is over",
            what=f"what it had: {', '.join(lost)}" if lost else "no service is primary there",
            where=peer,
            site=peer,
            loss="see each service",
            command="twinsite status",
            page="first-failover.md#1-what-is-down",
            patience_seconds=2.0,
        )
    if keeper is None or not view.right_lasts or view.word_needed:
        problem = facts.keeper_problem or "the store and the other site are out of reach"
        if view.word_needed:
            problem = f"its lease was broken, and {peer} has not said that no glass was broken there"
        yield Event(
            key=f"isolated:{here}",
            topic=Topic.ISOLATED,
            severity=Severity.CRITICAL,
            headline=f"{facts.titles.get(here, here)} has no right to act: its lease cannot be renewed",
            what=problem,
            where=here,
            site=here,
            command="twinsite status",
            page="how-it-works.md#the-lease",
            patience_seconds=10.0,
        )
    elif keeper.hold_carried:
        yield Event(
            key=f"hold:{here}",
            topic=Topic.HOLD,
            severity=Severity.WARNING,
            headline=f"{facts.titles.get(here, here)} holds: it may serve without any contact",
            what=f"it is not taken over by itself meanwhile; if it is lost, a person certifies {here} down",
            where=here,
            site=here,
            command="twinsite status",
            page="how-it-works.md#hold-when-a-second-loss-would-darken-everything",
            patience_seconds=10.0,
        )


def _store(facts: Facts) -> Iterator[Event]:
    keeper = facts.view.keeper
    if keeper is None:
        return
    broken = keeper.store_trust.broken if keeper.store_trust is not None else None
    if broken is not None:
        yield Event(
            key="store-not-trusted",
            topic=Topic.STORE,
            severity=Severity.CRITICAL,
            headline="The store is not trusted any more: nothing is promoted or written until it is accepted",
            what=broken.message,
            where="the store",
            command="twinsite store status",
            page="store.md#when-it-was-restored-wiped-or-replaced",
        )
    elif keeper.store_problem:
        yield Event(
            key=f"store:{facts.view.site}",
            topic=Topic.STORE,
            severity=Severity.WARNING,
            headline=f"The store is out of reach from {facts.view.site}",
            what=keeper.store_problem,
            where=facts.view.site,
            site=facts.view.site,
            command="twinsite store status",
            page="store.md#a-member-is-lost",
            patience_seconds=STORE_PATIENCE_SECONDS,
        )


def _silent(facts: Facts) -> Iterator[Event]:
    """Those who should be heard and are not, while nothing else says that they are lost."""
    view = facts.view
    store_answers = view.keeper is not None and not view.keeper.store_problem
    if not store_answers or facts.up_seconds < SILENT_SECONDS:
        return
    wanted = {view.peer: "controller"} if not view.peer_lease_over else {}
    if facts.witness is not None:
        wanted[facts.witness] = "witness"
    for name, role in wanted.items():
        silent_seconds = facts.heard.get(name)
        if silent_seconds is not None and silent_seconds < SILENT_SECONDS:
            continue
        yield Event(
            key=f"silent:{name}",
            topic=Topic.SILENT,
            severity=Severity.WARNING,
            headline=f"{facts.titles.get(name, name)}'s {role} is silent",
            what="it has not been heard since this controller started"
            if silent_seconds is None
            else "it publishes nothing any more; see whether its process runs",
            where=name,
            site=name,
            command="twinsite status",
            page="what-happens-when.md",
        )


def _certificates(facts: Facts) -> Iterator[Event]:
    for identity, ends in facts.certificates.items():
        days = (ends - facts.now) / _DAY_SECONDS
        if days >= CERTIFICATE_DAYS:
            continue
        left = f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"
        when = "has run out" if days <= 0 else f"runs out in {left}"
        yield Event(
            key=f"certificate:{identity}",
            topic=Topic.CERTIFICATE,
            severity=Severity.CRITICAL if days < CERTIFICATE_CRITICAL_DAYS else Severity.WARNING,
            headline=f"The certificate of {identity} {when}",
            what="whoever has it is refused from then on: guards, controllers and the store hear it no more",
            where=identity,
            command="twinsite status",
            page="certificates.md#before-they-run-out",
            patience_seconds=60.0,
        )


# --- runs --------------------------------------------------------------------------------------------

_STAGES = {"running": "begun", "waiting": "begun", "done": "done", "aborted": "ended", "undone": "ended"}


def _run(facts: Facts, run: RunRecord) -> Iterator[Event]:
    ended = facts.ended_at.get(run.run)
    if run.state in RUN_OVER:
        if ended is None or ended < facts.since or not _still_news(facts, run, ended):
            return
    elif run.state == "waiting":
        for wait in run.waits:
            yield _waiting(facts, run, wait)
    stage = _STAGES.get(run.state, "failed")
    severity = _severity(run, stage)
    if severity is None:
        return
    name = run.service or f"everything at {run.whole_site}"
    kind = run.kind.replace("-", " ")
    words = {
        "begun": "has begun",
        "done": "is done",
        "ended": "was ended by a person",
        "failed": "HAS FAILED",
    }
    yield Event(
        key=f"run:{run.run}",
        topic=_topic(run),
        severity=severity,
        stage=stage,
        service=run.service,
        headline=f"The {kind} of {name} to {run.to_site} {words[stage]}",
        what=run.outcome or run.why or "see its steps",
        where=f"from {run.from_site or 'nowhere'} to {run.to_site}, carried out at {run.executor_site}",
        loss=run.statement,
        since=run.started,
        command=_next_command(run, stage),
        page="first-failover.md#5-afterwards" if stage == "done" else "steering-a-run.md",
        tells_over=False,
        once=True,
    )


def _still_news(facts: Facts, run: RunRecord, ended: float) -> bool:
    """A failover until somebody has acknowledged it, anything else for a while."""
    if run.kind != Kind.FAILOVER or run.whole_site:
        return facts.now - ended < RUN_TOLD_SECONDS
    service = next((one for one in facts.view.services if one.service.name == run.service), None)
    move = service.record.last_move if service is not None and service.record is not None else None
    if move is not None and move.run == run.run and move.acknowledged_by:
        return False
    return facts.now - ended < UNACKNOWLEDGED_SECONDS


def _severity(run: RunRecord, stage: str) -> Severity | None:
    if run.kind == Kind.FAILOVER:
        return {"begun": Severity.CRITICAL, "failed": Severity.CRITICAL}.get(stage, Severity.WARNING)
    if stage == "failed":
        return Severity.WARNING
    return Severity.INFO if run.kind in (Kind.SWITCHOVER, Kind.DRILL) else None


def _topic(run: RunRecord) -> Topic:
    if run.kind == Kind.DRILL:
        return Topic.DRILL
    return Topic.FAILOVER if run.kind == Kind.FAILOVER else Topic.SWITCHOVER


def _next_command(run: RunRecord, stage: str) -> str:
    if run.kind == Kind.FAILOVER and stage == "done" and run.service:
        return f"twinsite acknowledge {run.service} --reason …"
    return f"twinsite runs show {run.run}"


def _waiting(facts: Facts, run: RunRecord, wait: RunWait) -> Event:
    serious = run.kind == Kind.FAILOVER
    return Event(
        key=f"waiting:{run.run}:{wait.kind}:{wait.step}",
        topic=Topic.WAITING,
        severity=Severity.CRITICAL if serious else Severity.WARNING,
        service=run.service,
        headline=f"The {run.kind} of {run.service or run.whole_site} waits for a person",
        what=wait.words,
        where=f"run {run.run}, carried out at {run.executor_site}",
        loss=run.statement,
        since=wait.since,
        command=f"twinsite runs show {run.run}",
        page="steering-a-run.md#a-run-that-waits",
        patience_seconds=2.0,
        over_after_seconds=5.0,
    )


# --- drills ------------------------------------------------------------------------------------------


def _drill(facts: Facts, drill: DrillRecord) -> Iterator[Event]:
    """What the calendar says of a drill; its runs are told of as runs."""
    common: dict[str, Any] = {
        "topic": Topic.DRILL,
        "service": drill.service,
        "where": drill.service,
        "command": "twinsite drill list",
        "page": "drills.md#when-a-drill-begins",
        "tells_over": False,
        "once": True,
    }
    missed, refused = drill.missed_at, drill.refused_slot
    if missed is not None and _drill_is_news(facts, missed):
        why = "no controller that could have begun it was there"
        yield Event(
            key=f"drill-missed:{drill.drill}:{missed:.0f}",
            severity=Severity.WARNING,
            headline=f"The drill {drill.drill} was missed",
            what=drill.refused_why if refused == missed and drill.refused_why else why,
            since=_text(missed),
            **common,
        )
    elif refused is not None and drill.refused_code and _drill_is_news(facts, refused):
        yield Event(
            key=f"drill-refused:{drill.drill}:{refused:.0f}:{drill.refused_code}",
            severity=Severity.INFO,
            headline=f"The drill {drill.drill} does not begin: {drill.refused_code}",
            what=drill.refused_why,
            since=_text(refused),
            **common,
        )
    if drill.left_at and not drill.run:
        yield Event(
            key=f"drill-left:{drill.drill}:{drill.last_run}",
            severity=Severity.WARNING,
            headline=f"The drill {drill.drill} has left its copy at {drill.left_at}",
            what="it takes room there, and the drill does not count until the copy is removed",
            site=drill.left_at,
            patience_seconds=UNPROTECTED_PATIENCE_SECONDS,
            **common,
        )


def _drill_is_news(facts: Facts, slot: float) -> bool:
    return slot > facts.since and facts.now - slot < DRILL_TOLD_SECONDS


def _text(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def notice(run: str, service: str, text: str, *, kind: str, at: str) -> Event:
    """What a step of a runbook says to people, once for each text of a run."""
    first = " ".join(text.split())
    return Event(
        key=f"notice:{run}:{first[:200]}",
        topic=Topic.RUNBOOK,
        severity=Severity.INFO,
        stage="said",
        service=service,
        headline=first[:150],
        what=text,
        where=f"run {run}, a {kind} of {service}",
        since=at,
        command=f"twinsite runs show {run}",
        page="writing-a-runbook.md",
        over_after_seconds=600.0,
        tells_over=False,
        once=True,
    )
