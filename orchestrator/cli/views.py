"""Explanations, plans, runs and lags as people read them: lines of text. Pure but for the terminal's width.

Unknown is said as `unknown`; a gate that is not known is shown as closed, because that is what it counts as.
"""

from orchestrator.api.shapes import (
    Evidence,
    Explanation,
    GateStatus,
    LagStatus,
    MovePlan,
    RunDetail,
    RunList,
    ServiceStatus,
    StepStatus,
    WayHomeStage,
    WayHomeStatus,
)
from orchestrator.cli import status_words as word
from orchestrator.cli.certificate_views import certificate, history_lines
from orchestrator.cli.failures import NOTHING_TO_DO, refusal_lines
from orchestrator.cli.output import UNKNOWN, age, duration, heading, local_time, words, wrapped
from orchestrator.core.reasons import reason_of

STEP_WORDS = {
    "waiting": "waiting",
    "running": "running",
    "done": "done",
    "already-done": "already done",
    "failed": "FAILED",
    "skipped": "skipped",
    "in-doubt": "IN DOUBT",
    "asked": "WAITS FOR A PERSON",
}

STAGE_WORDS = {"done": "done", "going-on": "going on", "next": "NEXT", "later": "later"}


STEP_VERBS = {
    "retry": ("failed", "in-doubt"),
    "skip": ("failed", "in-doubt", "person"),
    "done": ("failed", "in-doubt", "person"),
    "approve": ("approval",),
}
"""Verbs that are of one step, and the kinds of waiting that each can end."""


def way(from_site: str | None, to_site: str) -> str:
    """From where to where."""
    return f"from {from_site} to {to_site}" if from_site else f"to {to_site}"


def explanation(told: Explanation) -> list[str]:
    """Why it did or did not act."""
    lines = [heading(f"{told.service}: {words(told.diagnosis)}")]
    lines += wrapped(
        f"decision: {words(told.decision)} ({told.code}, rule {told.row})", first="  ", then="    "
    )
    lines += wrapped(f"why: {told.why}", first="  ", then="    ")
    reason = reason_of(told.code)
    if reason is not None:
        lines += wrapped(f"this means: {reason.meaning}", first="  ", then="    ")
        if reason.remedy != NOTHING_TO_DO:
            lines += wrapped(f"what to do: {reason.remedy}", first="  ", then="    ")
    if told.rehearsed is not None:
        lines += wrapped(f"today's plan: {told.rehearsed.words}", first="  ", then="    ")
    if told.pause is not None:
        lines += wrapped(word.pause(told.pause), first="  ", then="    ")
    if told.would_have_to_change:
        lines += ["", heading("What would have to change for it to act by itself")]
        for one in told.would_have_to_change:
            lines += wrapped(one, first="  ", then="      ")
    lines += ["", heading("Gates before a promotion there without anybody's order"), *gates(told.gates)]
    if told.guard:
        lines += ["", heading("The guard here")]
    for one in told.guard:
        lines += wrapped(one, first="  ", then="      ")
    if told.power:
        lines += ["", heading("Devices that switch hosts off at the other site")]
    for one in told.power:
        lines += wrapped(one, first="  ", then="      ")
    lines += _side_by_side(told) + _reach(told)
    lines += ["", heading("What was seen")]
    lines += [line for one in told.evidence for line in _evidence(one)] or ["  nothing yet"]
    if told.on_file:
        lines += ["", heading("On file, newest first")]
    for kept in told.on_file:
        lines += [f"  {line}" for line in history_lines(kept)]
    lines += ["", heading("Decisions before, newest first")]
    for entry in told.history:
        decided = f"{words(entry.diagnosis)}: {words(entry.decision)} ({entry.code})"
        text = f"{local_time(entry.at)}  {decided}: {entry.why}"
        lines += wrapped(text, first="  ", then="      ")
    return lines if told.history else [*lines, "  none"]


def gates(found: list[GateStatus]) -> list[str]:
    """A line per gate; `CLOSED` in words, not in colour alone."""
    lines = []
    for gate in found:
        if gate.ok:
            state = "open"
        else:
            state = (
                f"CLOSED ({gate.code})" if gate.ok is False else f"NOT KNOWN, counts as closed ({gate.code})"
            )
        lines += wrapped(f"{gate.number} {gate.name}: {state}: {gate.evidence}", first="  ", then="      ")
    return lines or ["  none were looked at"]


def _side_by_side(told: Explanation) -> list[str]:
    """A line for each instance and probe: what every observer sees of it."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for one in told.sights:
        writable = {True: ", WRITABLE" if one.seen != "primary" else ", writable", False: "", None: ""}
        reason = f" ({one.reason})" if one.reason else ""
        seen = f"{words(one.seen)}{writable[one.writable]}{reason}, {age(one.age_seconds)}"
        subjects.setdefault((one.probe, one.site), []).append(f"{one.observer}: {seen}")
    if not subjects:
        return []
    lines = ["", heading("Seen by every observer, side by side")]
    for (probe, site), seen_by in subjects.items():
        subject = f"probe {probe} at {site}" if probe else f"instance at {site}"
        lines += wrapped(f"{subject}: {' | '.join(seen_by)}", first="  ", then="      ")
    for line in told.disagreements:
        lines += wrapped(line, first="  ", then="      ")
    return lines


def _reach(told: Explanation) -> list[str]:
    """Who reaches whom, by which way, and what follows."""
    if not told.reach:
        return []
    lines = ["", heading("Who reaches whom")]
    for observer, cells in word.matrix(told):
        said = [
            f"{word.target(kind, name)} {word.reached(cell)}"
            for (kind, name), cell in zip(word.targets(told), cells, strict=True)
            if cell is not None
        ]
        lines += wrapped(f"{observer}: {', '.join(said)}", first="  ", then="      ")
    for one in told.reach:
        if one.reached is False:
            text = f"{one.observer} to {word.target(one.kind, one.target)}: {one.detail}"
            lines += wrapped(text, first="    ", then="      ")
    for found in told.findings:
        lines += wrapped(f"{found.finding}: {found.words}", first="  ", then="      ")
    return lines


def _evidence(one: Evidence) -> list[str]:
    reason = f" ({one.reason})" if one.reason else ""
    text = f"{one.observer} sees {one.subject}: {words(one.verdict)}{reason}, {age(one.age_seconds)}"
    return wrapped(f"{text}: {one.detail}" if one.detail else text, first="  ", then="      ")


def plan(of: MovePlan) -> list[str]:
    """What would be done, and what would be lost."""
    lines = [heading(f"Plan: {of.verb} of {of.service} {way(of.from_site, of.to_site)}"), ""]
    lines += wrapped(f"Data loss: {of.statement or UNKNOWN}", then="  ")
    if of.rehearsed is not None:
        lines += wrapped(f"Tested: {of.rehearsed.words}", then="  ")
    if of.pause is not None:
        lines += wrapped(f"{of.service}: {word.pause(of.pause)}", then="  ")
    if of.way_home is not None:
        lines += ["", *way_home(of.way_home)]
    lines += ["", heading("Gates"), *gates(of.gates), "", heading("Steps")]
    lines += [part for line in of.lines for part in _own_indent(line)] or ["  none"]
    if of.power_off:
        lines += ["", heading("Switched off first")]
    for one in of.power_off:
        lines += wrapped(one, first="  ", then="    ")
    if of.certificate is not None:  # the last thing that is read before a name is asked for
        lines += ["", *certificate(of.certificate)]
    if of.refusal is not None:  # its evidence are the gates above
        refusal = of.refusal.model_copy(update={"evidence": []}) if of.gates else of.refusal
        lines += ["", *refusal_lines(refusal, service=of.service)]
    return lines


def way_home(of: WayHomeStatus) -> list[str]:
    """The stages of the way home, how far each is, and what the next one waits for."""
    since = f"; UNPROTECTED since {of.unprotected_since}" if of.unprotected_since is not None else ""
    lines = [heading(f"The way home, from {of.primary} to {of.home}{since}")]
    for one in of.stages:
        lines += wrapped(
            f"{one.number} {one.title}: {STAGE_WORDS[one.state]}: {one.words}", first="  ", then="    "
        )
        for lacks in one.waits_for:
            lines += wrapped(f"waits for {lacks}", first="    ", then="      ")
        if one.state != "done":
            lines += wrapped(f"takes {_took_before(one)}", first="    ", then="      ")
    return lines


def _took_before(one: WayHomeStage) -> str:
    if one.likely_seconds is None:
        return f"{UNKNOWN}: there is no past run to go by"
    return (
        f"usually {duration(one.likely_seconds)}, seldom more than {duration(one.cautious_seconds)}, by "
        f"{one.times} past {'run' if one.times == 1 else 'runs'}"
    )


def not_yet(of: MovePlan) -> list[str]:
    """What is said of a way home that is not open yet."""
    assert of.way_home is not None
    assert of.refusal is not None
    stage = of.way_home.stages[of.way_home.next_stage - 1]
    return wrapped(
        f"Nothing was done. The move home cannot be ordered yet ({of.refusal.code}); it comes to this first: "
        f"{stage.number} {stage.title}. Plan again at any time: twinsite plan failback {of.service}"
    )


def _own_indent(line: str) -> list[str]:
    text = line.lstrip()
    indent = " " * (2 + len(line) - len(text))
    return wrapped(text, first=indent, then=f"{indent}  ")


def step_line(step: StepStatus, count: int) -> str:
    """One step's state."""
    took = f" in {duration(step.duration_seconds)}" if step.duration_seconds is not None else ""
    if step.usual_seconds is not None and step.cautious_seconds is not None:
        took += (
            f" (usually {duration(step.usual_seconds)}, seldom more than {duration(step.cautious_seconds)})"
        )
    detail = f": {step.detail}" if step.detail else ""
    named = f"{step.title} ({step.step})" if step.title else step.step
    return f"[{step.number}/{count}] {named}: {STEP_WORDS[step.state]}{took}{detail}"


def run_heading(run: RunDetail) -> str:
    """What run it is."""
    if run.whole_site:
        return f"{run.kind} of all services at {run.whole_site} to {run.to_site}"
    return f"{run.kind} of {run.service} {way(run.from_site, run.to_site)}"


def run_ended(run: RunDetail) -> list[str]:
    """How a run ended."""
    took = f" after {duration(run.duration_seconds)}" if run.duration_seconds is not None else ""
    state = run.state if run.state == "done" else run.state.upper()
    lines = wrapped(f"{state}{took}: {run_heading(run)}{f': {run.outcome}' if run.outcome else ''}")
    if run.statement:
        lines += wrapped(f"data loss: {run.statement}", first="  ", then="    ")
    return lines + clock(run) + left(run)


def clock(run: RunDetail) -> list[str]:
    """The clock of a move against its objective, and of one that goes on, when it should end."""
    of, lines = run.clock, []
    if of is not None:
        verdict = {True: " (kept)", False: " (MISSED)", None: ""}[of.within_rto]
        lines += wrapped(
            f"against the RTO: {duration(of.used_seconds)} of {duration(of.rto_seconds)} used{verdict}: "
            f"detect {duration(of.detect_seconds)} before it; decide {duration(of.decide_seconds)}, execute "
            f"{duration(of.execute_seconds)}, verify {duration(of.verify_seconds)}",
            first="  ",
            then="    ",
        )
    if run.outage_seconds is not None:
        lines.append(f"  outage as its executor saw it: {duration(run.outage_seconds)}")
    if run.loss is not None:
        kept = f"; kept at {run.loss.kept_at}" if run.loss.kept_at else ""
        lines += wrapped(f"lost in fact: {run.loss.words}{kept}", first="  ", then="    ")
    return lines + projected(run)


def projected(run: RunDetail) -> list[str]:
    """When a run that goes on should end."""
    of = run.projected
    if of is None:
        return []
    lines = wrapped(word.projection(of), first="  ", then="    ")
    for stall in of.stalls:
        lines += wrapped(f"STALLED: {stall}", first="  ", then="    ")
    return lines


def waits(run: RunDetail) -> list[str]:
    """What only a person can end, and the commands for it."""
    if not run.waits:
        return []
    lines = ["", heading("WAITS FOR A PERSON")]
    for wait in run.waits:
        since = f" (since {local_time(wait.since)})" if wait.since else ""
        lines += wrapped(f"{wait.words}{since}", first="  ", then="    ")
        lines += [f"      {command}" for command in wait.commands]
    return lines


def left(run: RunDetail) -> list[str]:
    """What a run left that ended before its end."""
    if not run.left:
        return []
    lines = ["", heading("What it leaves")]
    for line in run.left:
        lines += wrapped(line, first="  ", then="      ")
    return lines


def orders(run: RunDetail) -> list[str]:
    """What people have ordered of it."""
    if not run.orders:
        return []
    lines = ["", heading("Ordered meanwhile")]
    for order in run.orders:
        of = f" {order.step}" if order.step else ""
        evidence = f" ({order.evidence})" if order.evidence else ""
        said = f"{order.number} {order.verb}{of} by {order.who}, {local_time(order.at)}"
        lines += wrapped(f"{said}: {order.reason}{evidence}", first="  ", then="      ")
    return lines


def before_steering(run: RunDetail, step: str) -> list[str]:
    """What whoever is about to end or leave something out looks at last."""
    lines = wrapped(f"{run.run}: {run_heading(run)}: {run.state}")
    for one in run.steps:
        if one.step == step or (not step and one.state != "waiting"):
            lines += wrapped(step_line(one, len(run.steps)), first="  ", then="      ")
    return lines + orders(run)[-2:]


def run_detail(run: RunDetail) -> list[str]:
    """Everything about one run."""
    lines = [heading(f"{run.run}: {run_heading(run)}")]
    lines += wrapped(
        f"state: {run.state}{f': {run.outcome}' if run.outcome else ''}", first="  ", then="    "
    )
    lines += wrapped(f"data loss: {run.statement or UNKNOWN}", first="  ", then="    ")
    lines += wrapped(
        f"ordered by: {run.who or UNKNOWN}{f': {run.why}' if run.why else ''}", first="  ", then="    "
    )
    lines.append(f"  carried out by: {run.executor or UNKNOWN}")
    if run.continues:
        lines.append(f"  goes on with: {run.continues}, which had ended")
    if run.pause is not None:
        lines += wrapped(f"{run.service} is {word.pause(run.pause)}", first="  ", then="    ")
    _, _, _, started, took, _ = run_cells(run)
    lines += wrapped(f"started: {started}; took: {took}", first="  ", then="    ")
    lines += clock(run) + waits(run)
    lines += ["", heading("Steps")]
    for step in run.steps:
        lines += wrapped(step_line(step, len(run.steps)), first="  ", then="      ")
    if not run.steps:
        lines.append("  none")
    lines += orders(run) + left(run)
    if run.report:
        lines += ["", heading("What each side had accepted")]
    for told in run.report:
        lines += wrapped(told, first="  ", then="      ")
    return lines


def run_cells(run: RunDetail) -> tuple[str, ...]:
    """One run as a row: id, what, state, started, took, by whom."""
    started = local_time(run.started)
    took = "not ended" if run.state in ("running", "waiting") else duration(run.duration_seconds)
    return (run.run, run_heading(run), run.state, started, took, run.who or UNKNOWN)


def lag_line(service: ServiceStatus) -> str:
    """One service's lag."""
    of: LagStatus | None = service.lag
    paused = f"; {word.pause(service.pause)}" if service.pause is not None else ""
    if of is None:
        return f"{service.service}: unknown, never sampled{paused}"
    if of.sample_age_seconds is None and of.seconds is None and of.detail:
        return f"{of.service} {of.from_site} to {of.to_site}: {of.detail}{paused}"
    receiving = {True: "receiving", False: "NOT receiving", None: "receiving: unknown"}[of.streaming]
    text = f"{of.service} {of.from_site} to {of.to_site}: {word.lag(of)}, {word.lag_age(of)}, {receiving}"
    return f"{text}: {of.detail}{paused}" if of.detail else f"{text}{paused}"


def pauses(found: RunList) -> list[str]:
    """The pauses that are on: none of these services moves by itself."""
    return [
        line
        for name, pause in found.pauses.items()
        for line in wrapped(f"{name} is {word.pause(pause)}", then="  ")
    ]
