"""A run as the journal of an emergency has it, in the shape that a controller would show it in."""

import json
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.api.answers import run_detail
from orchestrator.api.shapes import RunDetail
from orchestrator.cli.failures import wrong
from orchestrator.core.records import RunRecord
from orchestrator.emergency.handing_in import ByHand, runs_in
from orchestrator.local_run import steps_of
from runbooks.journal import RunPlanned
from runbooks.progress import fold


def run_in(path: Path, name: str) -> RunDetail:
    """The run of that name. Ends the command where there is none."""
    if not path.is_file():
        raise wrong(f"{path}: there is no such journal")
    runs = runs_in(path)
    for run in runs:
        if run.summary.run_id == name:
            return _detail(run)
    known = ", ".join(run.summary.run_id for run in runs) or "none"
    raise wrong(f"{path}: there is no run {name!r}; there is {known}")


def _detail(run: ByHand) -> RunDetail:
    planned, plan, summary = run.records[0].event, run.plan, run.summary
    progress = fold(plan, run.records)
    final = summary.outcome is not None and summary.outcome.final
    record = RunRecord(
        run=plan.id,
        kind=plan.kind,
        service=plan.service,
        from_site=plan.from_site,
        to_site=plan.to_site,
        executor_site="by hand",
        executor=progress.executor,
        state="done" if summary.outcome == "done" else "failed" if final else "stopped",
        plan=json.loads(plan.to_json()),
        outcome=summary.summary,
        statement=_statement(run),
        loss_bound_seconds=None,
        who=summary.who,
        why=planned.why if isinstance(planned, RunPlanned) else "",
        started=_stamp(summary.started_wall_seconds),
        started_unix_seconds=summary.started_wall_seconds,
        ended="" if summary.ended_wall_seconds is None else _stamp(summary.ended_wall_seconds),
        steps=steps_of(progress),
    )
    return run_detail(record, None)


def _statement(run: ByHand) -> str:
    if run.certificate is None:
        return "unknown: carried out by hand, without a certificate"
    return f"unknown: carried out by hand under certificate {run.certificate.id}"


def _stamp(wall_seconds: float) -> str:
    return datetime.fromtimestamp(wall_seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
