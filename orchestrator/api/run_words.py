"""How a run gets on, what it lost, and whether it was rehearsed, in the shapes of the local API. Reads
only."""

from datetime import UTC, datetime

from orchestrator.api.shapes import (
    ClockStatus,
    LossStatus,
    MonthFigures,
    ProjectionStatus,
    RehearsalStatus,
    RunDetail,
    RunFigures,
)
from orchestrator.clock import wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.records import RunRecord
from orchestrator.figures import Figures
from orchestrator.history_file import Month
from orchestrator.local_run import shown
from orchestrator.loss import Loss
from orchestrator.pace import GOING_ON, Pace
from orchestrator.rehearsed import Rehearsal
from runbooks.progress import Progress
from runbooks.timing import Projection, Stall


def as_fresh(record: RunRecord, progress: Progress | None) -> RunRecord:
    """The record with the fresher state of our own executor, where there is one."""
    if progress is None or record.over or record.executor > max(1, progress.executor):
        return record
    return shown(record, progress)


def with_proof(controller: Controller, detail: RunDetail, record: RunRecord) -> RunDetail:
    """The run with its clock, what is left of it, and what it lost."""
    fresh = as_fresh(record, controller.mover.progress.get(record.run))
    pace = pace_of(controller, fresh)
    past = controller.trend.past(record.service)
    steps = [
        step.model_copy(update={"usual_seconds": one.p50_seconds, "cautious_seconds": one.p75_seconds})
        if (one := past.get(step.step)) is not None
        else step
        for step in detail.steps
    ]
    loss = controller.books.loss_of(record)
    known = controller.trend.of(record.run)
    words = None
    if loss is not None:
        words = _loss(loss)
        if not loss.final and known is not None and known.loss_final and known.loss_words:
            words = words.model_copy(
                update={
                    "known": True,
                    "final": True,
                    "words": known.loss_words,
                    "bytes": known.lost_bytes,
                    "seconds": known.lost_seconds,
                }
            )
    return detail.model_copy(
        update={
            "steps": steps,
            "clock": _clock(pace),
            "projected": projection_status(record, pace),
            "loss": words,
            "outage_seconds": record.outage_seconds,
            "made_from": dict(record.made_from),
        }
    )


def pace_of(controller: Controller, record: RunRecord) -> Pace:
    """How it gets on now."""
    service = controller.estate.services.get(record.service)
    rto = service.objectives.rto_seconds if service is not None else None
    known = controller.trend.of(record.run)
    if known is not None and known.rto_seconds is not None:
        rto = known.rto_seconds  # what counted when it ended
    return controller.paces.of(record, wall_unix_seconds(), rto)


def under_way(controller: Controller, service: str) -> RunRecord | None:
    """The newest run of a service that goes on, as fresh as it is known here."""
    return all_under_way(controller).get(service)


def all_under_way(controller: Controller) -> dict[str, RunRecord]:
    """The same by service, of all that have one."""
    newest: dict[str, RunRecord] = {}
    for run in controller.run_records.values():
        if run.state in GOING_ON and run.service:
            before = newest.get(run.service)
            if before is None or run.started_unix_seconds > before.started_unix_seconds:
                newest[run.service] = run
    progress = controller.mover.progress
    return {service: as_fresh(run, progress.get(run.run)) for service, run in newest.items()}


def _clock(pace: Pace) -> ClockStatus | None:
    of = pace.clock
    if of is None:
        return None
    return ClockStatus(
        detect_seconds=of.detect_seconds,
        decide_seconds=of.decide_seconds,
        execute_seconds=of.execute_seconds,
        verify_seconds=of.verify_seconds,
        used_seconds=of.used_seconds,
        rto_seconds=pace.rto_seconds,
        within_rto=pace.within_rto if pace.projection is None else None,
    )


def projection_status(record: RunRecord, pace: Pace) -> ProjectionStatus | None:
    """What is left; None of a run that goes on no more."""
    left: Projection | None = pace.projection
    if left is None:
        return None
    return ProjectionStatus(
        likely_seconds=left.likely_seconds,
        cautious_seconds=left.cautious_seconds,
        likely_finish=stamp(pace.finish_unix_seconds),
        cautious_finish=stamp(pace.cautious_unix_seconds),
        within_rto=pace.within_rto,
        chain=list(left.chain),
        unknown_steps=list(left.unknown),
        stalls=[stall_words(stall) for stall in left.stalls],
    )


def stall_words(stall: Stall) -> str:
    """For people."""
    past = stall.past
    return (
        f"{stall.step} has been running for {stall.running_seconds:.0f} s; three times out of four it took "
        f"at most {past.p75_seconds:.1f} s (of {past.samples} times)"
    )


def _loss(loss: Loss) -> LossStatus:
    return LossStatus(
        known=loss.known,
        final=loss.final,
        words=loss.words,
        bytes=loss.bytes,
        transactions=loss.transactions,
        seconds=loss.seconds,
        kept_at=loss.kept_at,
        more_than_said=loss.more_than_said,
    )


def rehearsal_status(found: Rehearsal) -> RehearsalStatus:
    """Whether today's plan was tested."""
    words, tested = found.words(wall_unix_seconds()), found.tested
    if tested is None:
        return RehearsalStatus(exactly=found.exactly, words=words)
    success = tested.success
    return RehearsalStatus(
        exactly=found.exactly,
        words=words,
        run=success.run,
        kind=success.kind,
        ended=stamp(success.ended_unix_seconds) or "",
        took_seconds=success.seconds,
        changed=list(tested.changed),
    )


def run_figures(of: Figures, *, steps: bool) -> RunFigures:
    """One past run; the durations of its steps only where they are asked for: there are many."""
    return RunFigures(
        run=of.run,
        service=of.service,
        kind=of.kind,
        from_site=of.from_site,
        to_site=of.to_site,
        site=of.site,
        state=of.state,
        started=stamp(of.started_unix_seconds) or "",
        ended=stamp(of.ended_unix_seconds) or "",
        seconds=of.seconds,
        outage_seconds=of.outage_seconds,
        detect_seconds=of.detect_seconds,
        decide_seconds=of.decide_seconds,
        execute_seconds=of.execute_seconds,
        verify_seconds=of.verify_seconds,
        used_seconds=of.used_seconds,
        rto_seconds=of.rto_seconds,
        rpo_seconds=of.rpo_seconds,
        said_loss_seconds=of.said_loss_seconds,
        lost_seconds=of.lost_seconds,
        lost_bytes=of.lost_bytes,
        loss=of.loss_words,
        steps=dict(of.steps) if steps else {},
    )


def month_figures(of: Month) -> MonthFigures:
    """One month."""
    return MonthFigures(
        month=of.month,
        service=of.service,
        name=of.name,
        of=of.of,
        samples=of.samples,
        p50_seconds=of.p50_seconds,
        p75_seconds=of.p75_seconds,
        longest_seconds=of.longest_seconds,
    )


def stamp(unix_seconds: float | None) -> str | None:
    """A time of day, ISO 8601 UTC."""
    if unix_seconds is None:
        return None
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
