"""Everything that a report of a run says, as plain data: gathered here, laid out by the template.

Pure. What is not known is said to be unknown, and what nobody did is left out. Where the journal of the run
is at another site, what its record in the store tells has to do, and the report says so.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.chain import difference
from orchestrator.core.records import RunRecord
from orchestrator.figures import Figures
from orchestrator.gantt import Bar, Line, critical_path, picture
from orchestrator.journal_tables import JournalEvent
from orchestrator.loss import Loss
from orchestrator.made_from import changes
from orchestrator.pace import Pace
from orchestrator.rto_clock import ended_unix_seconds
from runbooks.journal import Record
from runbooks.model import APPROVE, PERSON, Kind
from runbooks.planned import Plan, PlannedStep
from runbooks.progress import Progress, fold
from runbooks.standing import FAILED, StepProgress, StepState
from runbooks.timing import Past
from runbooks.undoing import is_undo
from sites.quantities import format_size

UNKNOWN = "unknown"
KEPT, MISSED, NOT_KNOWN = "kept", "MISSED", "unknown"
OUTPUT_CHARACTERS = 400
DIGEST_CHARACTERS = 16
LINK_CHARACTERS = 16
MOST_DECISIONS = 60
SLOWER_BY = 1.5
OVERRIDING = frozenset({"skip", "done", "retry", "abort", "undo", "pause", "resume"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a report is made from. `records` and `links`: the run's own journal, empty where that is at
    another site. `sealed`: what was put on file when it ended. `events`: decisions and certificates of its
    time. `past`: of its steps. `today`: what today's plan is made from, None where that is not known."""

    record: RunRecord
    plan: Plan | None
    records: Sequence[Record]
    links: Sequence[str]
    sealed: Mapping[str, Any] | None
    seals_problem: str
    events: Sequence[JournalEvent]
    pace: Pace
    loss: Loss | None
    figures: Figures | None
    before: Figures | None
    today: Mapping[str, str] | None
    titles: Mapping[str, str]
    rpo_seconds: float | None
    site: str
    version: str
    now: str
    past: Mapping[str, Past] = field(default_factory=dict)
    rehearsed: str = ""


def evidence(of: Sources) -> dict[str, Any]:
    """The report's data."""
    record = of.record
    steps = _steps(of)
    return {
        "title": _title(of),
        "run": record.run,
        "kind": record.kind,
        "service": record.service or f"every service at {record.whole_site}",
        "service_title": of.titles.get(record.service, ""),
        "state": record.state,
        "outcome": record.outcome,
        "started": record.started,
        "ended": record.ended,
        "took": _took(of),
        "executor": record.executor_site,
        "who": record.who or UNKNOWN,
        "why": record.why,
        "version": of.version,
        "drawn_at": of.now,
        "drawn_by": of.site,
        "plan_hash": of.plan.hash if of.plan is not None else UNKNOWN,
        "objectives": _objectives(of),
        "clock": _clock(of),
        "timeline": _timeline(of, steps),
        "critical": [step["title"] for step in steps if step["critical"]],
        "steps": steps,
        "decisions": _decisions(of),
        "overrides": _overrides(of),
        "people": _people(of),
        "made_from": [
            {"name": name, "value": value, "changed": _changed_name(name, of)}
            for name, value in record.made_from.items()
        ],
        "rehearsed": of.rehearsed,
        "comparison": _comparison(of),
        "open_actions": _open_actions(of, steps),
        "accepted": list(record.report),
        "left": list(record.left),
        "journal": _journal(of),
    }


def _title(of: Sources) -> str:
    record = of.record
    to = of.titles.get(record.to_site, record.to_site)
    start = of.titles.get(record.from_site or "", record.from_site or "")
    what = record.service or f"all services at {record.whole_site}"
    if record.kind == Kind.REJOIN:
        return f"{what}: {start} becomes a standby of {to} again"
    if record.kind == Kind.DRILL:
        return f"{what}: drill, {start} to {to}"
    return f"{what}: {record.kind} from {start} to {to}"


def seconds(value: float | None) -> str:
    """For people; `unknown`."""
    if value is None:
        return UNKNOWN
    if value < 60:
        return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def _took(of: Sources) -> str:
    if of.figures is not None:
        return seconds(of.figures.seconds)
    return UNKNOWN


def _objectives(of: Sources) -> list[dict[str, str]]:
    record, clock = of.record, of.pace.clock
    if clock is None:
        return []
    used, rto = clock.used_seconds, of.pace.rto_seconds
    ended_well = record.state == "done"
    verdict = NOT_KNOWN
    if used is not None and rto is not None:
        verdict = (
            KEPT if ended_well and used <= rto else MISSED if used > rto or not ended_well else NOT_KNOWN
        )
    begun = "from detection" if record.detected_unix_seconds is not None else "from the order"
    seen = "nobody saw it from both ends" if record.outage_seconds is None else seconds(record.outage_seconds)
    drill = record.kind == Kind.DRILL
    note = f"Database not writable, as the executing site saw it: {seen}."
    if drill:
        note = "A drill: the whole of it is counted, with all that it set up and removed again."
    rows = [
        {
            "name": "Time taken (RTO)" if drill else "Outage (RTO)",
            "objective": seconds(rto),
            "actual": f"{seconds(used)} {begun} until {'verified' if ended_well else 'its end'}",
            "note": note,
            "verdict": verdict,
        }
    ]
    if of.loss is not None:
        lost, rpo = of.loss.seconds, of.rpo_seconds
        known = lost is not None and rpo is not None
        verdict = (KEPT if lost <= rpo else MISSED) if known else NOT_KNOWN  # type: ignore[operator]
        bound = record.loss_bound_seconds
        told = bound is not None and rpo is not None and bound <= rpo and not of.loss.more_than_said
        if not known and told:
            verdict = "kept, by what was said"
        rows.append(
            {
                "name": "Data loss (RPO)",
                "objective": seconds(rpo),
                "actual": of.loss.words,
                "note": f"Said when it was decided: {record.statement}."
                + (
                    f" What only {record.from_site} had is kept at {of.loss.kept_at}."
                    if of.loss.kept_at
                    else ""
                ),
                "verdict": verdict,
            }
        )
    return rows


def _clock(of: Sources) -> list[dict[str, Any]]:
    clock = of.pace.clock
    if clock is None:
        return []
    return [
        {"name": name, "seconds": value, "words": seconds(value), "counts": name != "detect", "means": means}
        for name, value, means in (
            (
                "detect",
                clock.detect_seconds,
                "last seen well until its trouble had a name; before the clock",
            ),
            ("decide", clock.decide_seconds, "until the run was ordered"),
            ("execute", clock.execute_seconds, "until the last step that changes something had ended"),
            ("verify", clock.verify_seconds, "until every check had passed and the move was over"),
        )
    ]


# --- steps ----------------------------------------------------------------------------------------------


def _progress(of: Sources) -> Progress | None:
    return fold(of.plan, of.records) if of.plan is not None and of.records else None


def _steps(of: Sources) -> list[dict[str, Any]]:
    progress = _progress(of)
    if progress is None:
        return _steps_of_record(of)
    took = {step: found.duration_seconds or 0.0 for step, found in progress.steps.items()}
    needs = {step.id: step.needs for step in progress.plan.steps}
    critical = set(critical_path(needs, took)) if any(took.values()) else set()
    return [
        _step(step, progress.steps[step.id], of, critical=step.id in critical and took.get(step.id, 0.0) > 0)
        for step in progress.all_steps
    ]


def _step(step: PlannedStep, found: StepProgress, of: Sources, *, critical: bool) -> dict[str, Any]:
    return {
        "number": step.number,
        "id": step.id,
        "title": step.title,
        "place": step.place,
        "action": step.action,
        "state": state_words(str(found.state)),
        "failed": found.state in FAILED or found.state is StepState.IN_DOUBT,
        "undo": is_undo(step),
        "began": found.started_wall_seconds,
        "ended": found.ended_wall_seconds,
        "seconds": found.duration_seconds,
        "took": seconds(found.duration_seconds) if found.duration_seconds is not None else "",
        "usual": _usual(of.past.get(step.id)),
        "attempts": found.last_attempt,
        "exit_status": "" if found.exit_status is None else str(found.exit_status),
        "output": shortened(found.evidence),
        "digest": digest(found.evidence),
        "critical": critical,
    }


def _steps_of_record(of: Sources) -> list[dict[str, Any]]:
    """By what the run's record tells: shorter outputs, and no exit status."""
    by_id = {} if of.plan is None else {step.id: step for step in of.plan.steps}
    took = {step.step: step.duration_seconds or 0.0 for step in of.record.steps}
    critical = set(critical_path({step.id: step.needs for step in by_id.values()}, took)) if by_id else set()
    rows = []
    for number, step in enumerate(of.record.steps, 1):
        planned = by_id.get(step.step)
        rows.append(
            {
                "number": planned.number if planned is not None else step.number or number,
                "id": step.step,
                "title": planned.title if planned is not None else step.title or step.step,
                "place": planned.place if planned is not None else "",
                "action": planned.action if planned is not None else "",
                "state": state_words(step.state),
                "failed": step.state in ("failed", "timed-out", "in-doubt"),
                "undo": step.step.startswith("undo:"),
                "began": step.started_unix_seconds,
                "ended": ended_unix_seconds(step),
                "seconds": step.duration_seconds,
                "took": seconds(step.duration_seconds) if step.duration_seconds is not None else "",
                "usual": _usual(of.past.get(step.step)),
                "attempts": step.last_attempt,
                "exit_status": "",
                "output": shortened(step.detail),
                "digest": digest(step.detail),
                "critical": step.step in critical and took[step.step] > 0,
            }
        )
    return sorted(rows, key=lambda row: (row["undo"], row["number"]))


def state_words(state: str) -> str:
    """A step's state for people."""
    words = {"unreachable-continued": "not reached, went on", "started": "not ended"}
    return words.get(state, state.replace("-", " "))


def _usual(past: Past | None) -> str:
    return "" if past is None or past.samples < 2 else f"{seconds(past.p50_seconds)} (of {past.samples})"


def digest(text: str) -> str:
    """Of an output as it was recorded; "" of none."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS] if text else ""


def shortened(text: str) -> str:
    """The beginning of an output."""
    text = text.strip()
    return text if len(text) <= OUTPUT_CHARACTERS else f"{text[:OUTPUT_CHARACTERS]}\N{HORIZONTAL ELLIPSIS}"


def _timeline(of: Sources, steps: Sequence[Mapping[str, Any]]) -> str:
    """The picture; it begins with the detection where there was one, else with the order."""
    clock = of.pace.clock
    ordered = of.record.started_unix_seconds
    zero = clock.began_unix_seconds if clock is not None and clock.began_unix_seconds else ordered
    bars = []
    if ordered - zero > 0:
        bars.append(Bar("Detected, and decided", 0.0, ordered - zero, seconds(ordered - zero)))
    for step in steps:
        began, ended = step["began"], step["ended"]
        if began is None:
            continue
        if ended is None:
            ended = began + (step["seconds"] or 0.0)
        bars.append(
            Bar(
                f"{step['number']} {step['title']}",
                max(0.0, began - zero),
                max(0.0, ended - zero),
                step["took"] or ("not ended" if step["ended"] is None else ""),
                critical=bool(step["critical"]),
                failed=bool(step["failed"]),
            )
        )
    rto = of.pace.rto_seconds
    lines = [Line(f"RTO {seconds(rto)}", rto)] if rto is not None and clock is not None else []
    return picture(bars, lines, title=f"Timeline of {of.record.run}")


# --- people and decisions -------------------------------------------------------------------------------


def _decisions(of: Sources) -> list[dict[str, Any]]:
    rows = []
    for event in of.events:
        if event.kind != "decision":
            continue
        data = event.data
        gates = [
            {
                "number": gate.get("number"),
                "ok": {True: "open", False: "CLOSED", None: "not known"}.get(gate.get("ok")),
                "evidence": gate.get("evidence", ""),
            }
            for gate in data.get("gates", ())
        ]
        rows.append(
            {
                "at": stamp(event.wall_seconds),
                "diagnosis": str(data.get("diagnosis", "")).replace("-", " "),
                "decision": str(data.get("decision", "")).replace("-", " "),
                "code": data.get("code", ""),
                "row": data.get("row", ""),
                "why": data.get("why", ""),
                "gates": gates,
            }
        )
    return rows[-MOST_DECISIONS:]


def _overrides(of: Sources) -> list[dict[str, str]]:
    """Where a person's word stood in for what was planned or known."""
    record, rows = of.record, []
    if record.accepted_loss_seconds is not None:
        what = f"accepted a loss of at most {seconds(record.accepted_loss_seconds)}"
        rows.append({"at": record.started, "who": record.who, "what": what, "why": record.why})
    for event in of.events:
        said = event.data.get("certificate") or {}
        if event.kind == "certificate" and said:
            second = f" and {said['second_person']}" if said.get("second_person") else ""
            rows.append(
                {
                    "at": stamp(event.wall_seconds),
                    "who": f"{said.get('who', UNKNOWN)}{second}",
                    "what": f"certified: {'; '.join(said.get('states', ()))} ({said.get('id')})",
                    "why": str(said.get("reason", "")),
                }
            )
    for order in record.orders:
        if order.verb in OVERRIDING and not (order.verb == "done" and _is_peoples(of, order.step)):
            what = f"ordered: {order.verb} {order.step}".strip()
            rows.append({"at": order.at, "who": order.who, "what": what, "why": order.reason})
    return sorted(rows, key=lambda row: row["at"])


def _people(of: Sources) -> list[dict[str, str]]:
    """Who ordered, agreed and did."""
    record = of.record
    rows = [
        {"at": record.started, "who": record.who or UNKNOWN, "what": "ordered the run", "why": record.why}
    ]
    for order in record.orders:
        if order.verb == "approve":
            rows.append(
                {
                    "at": order.at,
                    "who": _with_role(order.who, order.owner, order.roles),
                    "what": f"approved {order.step}",
                    "why": order.reason,
                }
            )
        elif order.verb == "done" and _is_peoples(of, order.step):
            rows.append(
                {
                    "at": order.at,
                    "who": _with_role(order.who, order.owner, order.roles),
                    "what": f"did {order.step}",
                    "why": "; ".join(part for part in (order.reason, order.evidence) if part),
                }
            )
    return rows


def _is_peoples(of: Sources, step: str) -> bool:
    planned = of.plan.by_id.get(step) if of.plan is not None else None
    return planned is not None and planned.action in (PERSON, APPROVE)


def _with_role(who: str, owner: str, roles: Sequence[str]) -> str:
    told = ", ".join(part for part in (owner, *roles) if part)
    return f"{who} ({told})" if told else who


# --- before and after -----------------------------------------------------------------------------------


def _changed_name(name: str, of: Sources) -> str:
    """Whether it is another by today."""
    if of.today is None or name == "plan":
        return ""
    now = of.today.get(name)
    return "" if now == of.record.made_from[name] else f"today: {now}" if now is not None else "today: gone"


def _comparison(of: Sources) -> dict[str, Any] | None:
    now, before = of.figures, of.before
    if now is None or before is None:
        return None
    rows = []
    for name, was, is_ in (
        ("From detection to verified", before.used_seconds, now.used_seconds),
        ("Outage as seen", before.outage_seconds, now.outage_seconds),
        ("Detect", before.detect_seconds, now.detect_seconds),
        ("Decide", before.decide_seconds, now.decide_seconds),
        ("Execute", before.execute_seconds, now.execute_seconds),
        ("Verify", before.verify_seconds, now.verify_seconds),
        ("The run as a whole", before.seconds, now.seconds),
    ):
        if was is not None or is_ is not None:
            rows.append(_compared(name, was, is_))
    for step, took in now.steps.items():
        was = before.steps.get(step)
        if was is None or not _apart(was, took):
            continue
        rows.append(_compared(f"Step {step}", was, took))
    return {
        "run": before.run,
        "ended": stamp(before.ended_unix_seconds),
        "way": f"{before.from_site} to {before.to_site}",
        "same_way": before.to_site == now.to_site,
        "rows": rows,
        "lost": before.loss_words,
        "changed": list(changes(before.made_from, now.made_from)) if before.made_from else [],
        "changes_known": bool(before.made_from),
        "new_steps": [step for step in now.steps if before.steps and step not in before.steps],
    }


def _apart(was: float, took: float) -> bool:
    """Differences that are worth a line."""
    low, high = sorted((was, took))
    return high - low > 0.5 and high > SLOWER_BY * low


def _compared(name: str, was: float | None, is_: float | None) -> dict[str, str]:
    difference = ""
    if was is not None and is_ is not None:
        apart = is_ - was
        sign = "+" if apart >= 0 else "\N{MINUS SIGN}"
        difference = "the same" if abs(apart) < 0.05 else f"{sign}{seconds(abs(apart))}"
    return {"name": name, "before": seconds(was), "now": seconds(is_), "difference": difference}


def _journal(of: Sources) -> dict[str, Any]:
    site = of.record.executor_site
    if of.record.whole_site:
        why = "The services have a run each, with a journal of its own."
        return {"site": site, "here": False, "records": 0, "links": [], "problem": "", "words": why}
    here = bool(of.links)
    problem = of.seals_problem
    if of.sealed is not None:
        shorter = int(of.sealed.get("records", 0)) - len(of.links)
        head = of.links[-1] if of.links else ""
        if shorter > 0:
            first = len(of.links) + 1
            problem = (
                f"the journal at {of.site} was cut: it was sealed with {of.sealed['records']} records, and "
                f"{first} to {of.sealed['records']} are missing"
            )
        elif shorter == 0 and head != of.sealed.get("head"):
            problem = f"a record in the journal at {of.site} is another than when the run was sealed"
    sealed = of.sealed.get("number") if of.sealed is not None else None
    if here or of.sealed is not None:
        words = f"{len(of.links)} records in the journal at {of.site}"
        words += f", sealed as number {sealed} when the run ended." if sealed else ", not sealed."
    else:
        words = (
            f"The journal of this run is at {site}. This report was drawn up at {of.site} from the run's "
            f"record in the store: draw it up at {site} to have it chained."
        )
    return {
        "site": of.site if here else site,
        "here": here,
        "records": len(of.links),
        "links": [link[:LINK_CHARACTERS] for link in of.links],
        "head": of.links[-1] if of.links else "",
        "sealed": sealed,
        "seal": of.sealed.get("seal", "") if of.sealed is not None else "",
        "problem": problem,
        "words": words,
    }


def _open_actions(of: Sources, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What somebody still has to see to, by what stands in this report."""
    record, found = of.record, []
    if not record.over:
        found.append(f"The run has not ended: {record.state}. {record.outcome}".strip())
    elif record.state != "done":
        found.append(f"The run ended as {record.state}: {record.outcome}")
    found += list(record.left)
    found += [
        f"Step {step['number']}, {step['title']}: {step['state']}."
        for step in steps
        if step["failed"] or step["state"] in ("skipped", "not reached, went on")
    ]
    found += [
        f"{row['name']}: {row['verdict']}. {row['actual']} against {row['objective']}."
        for row in _objectives(of)
        if row["verdict"] == MISSED
    ]
    if of.loss is not None and not of.loss.final:
        found.append(f"What was lost is not known yet: {record.from_site} has not rejoined.")
    if of.loss is not None and of.loss.final and not of.loss.known:
        found.append("What was lost will not be known by itself: decide what becomes of it.")
    if of.loss is not None and of.loss.kept_at:
        size = f" ({format_size(of.loss.bytes)})" if of.loss.bytes else ""
        found.append(f"Decide what becomes of what only {record.from_site} had{size}: {of.loss.kept_at}")
    if of.loss is not None and of.loss.more_than_said:
        found.append("More was lost than was said: find out why before the next move.")
    if of.today is not None and record.made_from:
        changed = changes(record.made_from, of.today)
        if changed:
            found.append(f"Changed since, and not tested by this run any more: {', '.join(changed)}.")
    journal = _journal(of)
    if journal["problem"]:
        found.append(f"The journal cannot be relied on: {journal['problem']}.")
    return found


def stamp(unix_seconds: float) -> str:
    """A time of day, UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cut(reported: Mapping[str, Any], found: Sequence[str]) -> str:
    """What the journal as it is now lacks of a report's; "" when nothing. `reported`: its `journal`."""
    return difference(list(reported.get("links", ())), found, str(reported.get("site", "")))
