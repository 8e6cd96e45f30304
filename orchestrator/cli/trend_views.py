"""Figures of past runs as people read them, and as tables for other programs. Pure but for the width."""

import csv
import io
from collections.abc import Iterable

from orchestrator.api.shapes import Figures, MonthFigures, RunFigures
from orchestrator.cli.output import duration, heading, local_time, wrapped

RUN_COLUMNS = tuple(name for name in RunFigures.model_fields if name != "steps")
STEP_COLUMNS = ("run", "service", "kind", "from_site", "to_site", "ended", "step", "seconds")
MOVES = ("failover", "switchover", "drill")
OF = {
    "used": "from detection to verified",
    "outage": "outage as seen",
    "lost": "lost",
    "step": "step",
}


def trend(found: Figures, *, steps: bool) -> list[str]:
    """Runs, newest first, then months, oldest first."""
    lines = [heading("Runs, newest first")]
    for run in found.runs:
        lines += _run(run)
    if not found.runs:
        lines.append("  none")
    lines += _months(found.months, steps=steps)
    if found.problem:
        lines += ["", *wrapped(f"These figures are not kept on disk: {found.problem}", then="  ")]
    return lines


def _run(run: RunFigures) -> list[str]:
    head = f"{local_time(run.ended)}  {run.service}: {run.kind} {run.from_site} to {run.to_site}: {run.state}"
    lines = wrapped(f"{head} in {duration(run.seconds)} ({run.run})", first="  ", then="      ")
    if run.kind not in MOVES:
        return lines
    kept = "" if run.used_seconds is None or run.rto_seconds is None or run.state != "done" else (
        ", kept" if run.used_seconds <= run.rto_seconds else ", MISSED"
    )  # fmt: skip
    text = f"against the RTO: {duration(run.used_seconds)} of {duration(run.rto_seconds)}{kept}; "
    text += f"outage as seen: {duration(run.outage_seconds)}; detect {duration(run.detect_seconds)}, "
    text += f"decide {duration(run.decide_seconds)}, execute {duration(run.execute_seconds)}, "
    text += f"verify {duration(run.verify_seconds)}"
    lines += wrapped(text, first="      ", then="        ")
    if run.loss:
        lines += wrapped(f"data loss: {run.loss}", first="      ", then="        ")
    return lines


def _months(months: Iterable[MonthFigures], *, steps: bool) -> list[str]:
    lines: list[str] = []
    for month in months:
        if (month.of == "step") is not steps:
            continue
        of = f"step {month.name}" if month.of == "step" else f"{month.name}, {OF.get(month.of, month.of)}"
        times = "once" if month.samples == 1 else f"{month.samples} times"
        text = f"{month.month}  {month.service} {of}: {times}, half of them within "
        text += f"{duration(month.p50_seconds)}, three out of four within {duration(month.p75_seconds)}, "
        text += f"at most {duration(month.longest_seconds)}"
        lines += wrapped(text, first="  ", then="      ")
    if not lines:
        return []
    return ["", heading("By month"), *lines]


def as_csv(found: Figures, *, steps: bool) -> str:
    """A table with a header: a row for each run or, with `steps`, for each step of one. What is not known is
    an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(STEP_COLUMNS if steps else RUN_COLUMNS)
    for run in found.runs:
        if not steps:
            writer.writerow([_cell(getattr(run, name)) for name in RUN_COLUMNS])
            continue
        for step, seconds in run.steps.items():
            known = [getattr(run, name) for name in STEP_COLUMNS[:-2]]
            writer.writerow([*(_cell(value) for value in known), _cell(step), seconds])
    return text.getvalue()


def _cell(value: object) -> object:
    """Spreadsheets take a text that begins so for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
