"""The runs that are not over, as `/metrics` shows them: of each service the newest one. Reads only, pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from orchestrator.core.records import RunRecord
from orchestrator.pace import Pace
from orchestrator.readings import RunReading


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
    pace_of: Callable[[RunRecord], Pace],
    *,
    now_ns: int,
) -> tuple[RunReading, ...]:
    """An older run that never came to its end was overtaken by the newer one and is nobody's business any
    more."""
    newest: dict[str, RunRecord] = {}
    for record in records:
        known = newest.get(record.service)
        if known is None or known.started_unix_seconds <= record.started_unix_seconds:
            newest[record.service] = record
    return tuple(
        _reading(record, changed_ns.get(record.run, now_ns), pace_of(record))
        for _, record in sorted(newest.items())
        if not record.over
    )


def _reading(record: RunRecord, changed_at_ns: int, pace: Pace) -> RunReading:
    return RunReading(
        service=record.service,
        kind=record.kind,
        changed_at_ns=changed_at_ns,
        started_unix_seconds=record.started_unix_seconds,
        finish_unix_seconds=pace.finish_unix_seconds,
        cautious_unix_seconds=pace.cautious_unix_seconds,
        used_seconds=pace.clock.used_seconds if pace.clock is not None else None,
        within_rto=pace.within_rto,
        stalled=pace.projection is not None and bool(pace.projection.stalls),
        steps=dict(Counter(step.state for step in record.steps)),
    )
