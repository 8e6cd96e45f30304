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
    ServiceStatus,
    StepStatus,
)
from orchestrator.cli import status_words as word
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
}


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
    lines += ["", heading("Gates before a promotion there without anybody's order"), *gates(told.gates)]
    lines += ["", heading("What was seen")]
    lines += [line for one in told.evidence for line in _evidence(one)] or ["  nothing yet"]
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


def _evidence(one: Evidence) -> list[str]:
    reason = f" ({one.reason})" if one.reason else ""
    text = f"{one.observer} sees {one.subject}: {words(one.verdict)}{reason}, {age(one.age_seconds)}"
    return wrapped(f"{text}: {one.detail}" if one.detail else text, first="  ", then="      ")


def plan(of: MovePlan) -> list[str]:
    """What would be done, and what would be lost."""
    lines = [heading(f"Plan: {of.verb} of {of.service} {way(of.from_site, of.to_site)}"), ""]
    lines += wrapped(f"Data loss: {of.statement or UNKNOWN}", then="  ")
    lines += ["", heading("Gates"), *gates(of.gates), "", heading("Steps")]
    lines += [part for line in of.lines for part in _own_indent(line)] or ["  none"]
    if of.refusal is not None:  # its evidence are the gates above
        refusal = of.refusal.model_copy(update={"evidence": []}) if of.gates else of.refusal
        lines += ["", *refusal_lines(refusal, service=of.service)]
    return lines


def _own_indent(line: str) -> list[str]:
    text = line.lstrip()
    indent = " " * (2 + len(line) - len(text))
    return wrapped(text, first=indent, then=f"{indent}  ")


def step_line(step: StepStatus, count: int) -> str:
    """One step's state."""
    took = f" in {duration(step.duration_seconds)}" if step.duration_seconds is not None else ""
    detail = f": {step.detail}" if step.detail else ""
    named = f"{step.title} ({step.step})" if step.title else step.step
    return f"[{step.number}/{count}] {named}: {STEP_WORDS[step.state]}{took}{detail}"


def run_heading(run: RunDetail) -> str:
    """What run it is."""
    return f"{run.kind} of {run.service} {way(run.from_site, run.to_site)}"


def run_ended(run: RunDetail) -> list[str]:
    """How a run ended."""
    took = f" after {duration(run.duration_seconds)}" if run.duration_seconds is not None else ""
    state = run.state if run.state == "done" else run.state.upper()
    lines = wrapped(f"{state}{took}: {run_heading(run)}{f': {run.outcome}' if run.outcome else ''}")
    if run.statement:
        lines += wrapped(f"data loss: {run.statement}", first="  ", then="    ")
    return lines


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
    _, _, _, started, took, _ = run_cells(run)
    lines += wrapped(f"started: {started}; took: {took}", first="  ", then="    ")
    lines += ["", heading("Steps")]
    for step in run.steps:
        lines += wrapped(step_line(step, len(run.steps)), first="  ", then="      ")
    return lines if run.steps else [*lines, "  none"]


def run_cells(run: RunDetail) -> tuple[str, ...]:
    """One run as a row: id, what, state, started, took, by whom."""
    started = local_time(run.started)
    took = "not ended" if run.state == "running" else duration(run.duration_seconds)
    return (run.run, run_heading(run), run.state, started, took, run.who or UNKNOWN)


def lag_line(service: ServiceStatus) -> str:
    """One service's lag."""
    of: LagStatus | None = service.lag
    if of is None:
        return f"{service.service}: unknown, never sampled"
    receiving = {True: "receiving", False: "NOT receiving", None: "receiving: unknown"}[of.streaming]
    text = f"{of.service} {of.from_site} to {of.to_site}: {word.lag(of)}, {word.lag_age(of)}, {receiving}"
    return f"{text}: {of.detail}" if of.detail else text
