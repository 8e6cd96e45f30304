"""The runs that are not over, as `/metrics` shows them: of each service the newest one. Reads only, pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from orchestrator.core.records import RunRecord
from orchestrator.projecting import StepToCome, projected_seconds
from orchestrator.readings import Durations, RunReading, StepKey


def differs(before: RunRecord, after: RunRecord) -> bool:
    """Whether the run has got on, or stands differently: not an order that nobody has followed yet."""
    return (before.state, before.executor, before.steps, before.waits) != (
        after.state,
        after.executor,
        after.steps,
        after.waits,
    )


def run_readings(
    records: Iterable[RunRecord],
    changed_ns: Mapping[str, int],
    steps: Mapping[StepKey, Durations],
    *,
    now_ns: int,
    now_unix_seconds: float,
) -> tuple[RunReading, ...]:
    """`steps`: how long steps have taken so far. An older run that never came to its end was overtaken by the
    newer one and is nobody's business any more."""
    newest: dict[str, RunRecord] = {}
    for record in records:
        known = newest.get(record.service)
        if known is None or known.started_unix_seconds <= record.started_unix_seconds:
            newest[record.service] = record
    return tuple(
        RunReading(
            service=service,
            kind=record.kind,
            changed_at_ns=changed_ns.get(record.run, now_ns),
            started_unix_seconds=record.started_unix_seconds,
            finish_unix_seconds=_finish(record, steps, now_unix_seconds),
            steps=dict(Counter(step.state for step in record.steps)),
        )
        for service, record in sorted(newest.items())
        if not record.over
    )


def _finish(record: RunRecord, timed: Mapping[StepKey, Durations], now_unix_seconds: float) -> float | None:
    """None for a run that waits for a person or stands still: nobody knows for how long."""
    if record.state != "running":
        return None
    needs = {str(step.get("id")): tuple(step.get("needs", ())) for step in record.plan.get("steps", ())}
    usual = {
        key.step: spent.sum_seconds / spent.count
        for key, spent in timed.items()
        if key.service == record.service and key.outcome == "done" and spent.count
    }
    to_come = [
        StepToCome(
            step.step,
            step.state,
            needs.get(step.step, ()),
            max(0.0, now_unix_seconds - step.started_unix_seconds) if step.started_unix_seconds else 0.0,
        )
        for step in record.steps
    ]
    left_seconds = projected_seconds(to_come, usual)
    return None if left_seconds is None else now_unix_seconds + left_seconds
