"""The figures of a run that has ended: what history, trend, comparison and timing are made from.

Pure: from the run's record, what it lost in fact, and the objectives that counted when it ended. Small enough
to be kept for years.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.clock import unix_seconds_of
from orchestrator.core.records import RunRecord
from orchestrator.loss import Loss
from orchestrator.rto_clock import clock_of
from runbooks.undoing import UNDO

TIMED = "done"
"""A step that was found done, skipped or failed says nothing of how long it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run. `site`: who carried it out. None is unknown, never zero. `steps`: seconds of each step that
    was carried out, by its id."""

    run: str
    service: str
    kind: str
    from_site: str
    to_site: str
    site: str
    state: str
    started_unix_seconds: float
    ended_unix_seconds: float
    seconds: float | None = None
    outage_seconds: float | None = None
    detect_seconds: float | None = None
    decide_seconds: float | None = None
    execute_seconds: float | None = None
    verify_seconds: float | None = None
    used_seconds: float | None = None
    rto_seconds: float | None = None
    rpo_seconds: float | None = None
    said_loss_seconds: float | None = None
    lost_seconds: float | None = None
    lost_bytes: int | None = None
    loss_words: str = ""
    loss_final: bool = True
    made_from: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)


def figures_of(
    record: RunRecord, loss: Loss | None, *, rto_seconds: float | None, rpo_seconds: float | None
) -> Figures | None:
    """Of a run that has ended for good; None of any other, and of one without instants."""
    ended = unix_seconds_of(record.ended)
    # The run of a whole site has no figures of its own: each of its services has a run.
    if not record.over or ended is None or not record.started_unix_seconds or record.whole_site:
        return None
    clock = clock_of(record)
    return Figures(
        run=record.run,
        service=record.service,
        kind=record.kind,
        from_site=record.from_site or "",
        to_site=record.to_site,
        site=record.executor_site,
        state=record.state,
        started_unix_seconds=record.started_unix_seconds,
        ended_unix_seconds=ended,
        seconds=max(0.0, ended - record.started_unix_seconds),
        outage_seconds=record.outage_seconds,
        detect_seconds=clock.detect_seconds if clock is not None else None,
        decide_seconds=clock.decide_seconds if clock is not None else None,
        execute_seconds=clock.execute_seconds if clock is not None else None,
        verify_seconds=clock.verify_seconds if clock is not None else None,
        used_seconds=clock.used_seconds if clock is not None else None,
        rto_seconds=rto_seconds,
        rpo_seconds=rpo_seconds,
        said_loss_seconds=record.loss_bound_seconds if loss is not None else None,
        lost_seconds=loss.seconds if loss is not None else None,
        lost_bytes=loss.bytes if loss is not None else None,
        loss_words=loss.words if loss is not None else "",
        loss_final=loss is None or loss.final,
        made_from=dict(record.made_from),
        steps={
            step.step: step.duration_seconds
            for step in record.steps
            if step.state == TIMED and step.duration_seconds is not None and not step.step.startswith(UNDO)
        },
    )
