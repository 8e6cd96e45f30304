"""Keeps the books of runs: their figures for the trend, what each move lost in fact, what takes too long.

Told of every run's record, wherever it was carried out, and however often. What a move lost is put on file
when it becomes known, once at each site.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, replace

import structlog

from orchestrator.core.records import RunRecord
from orchestrator.figures import Figures, figures_of
from orchestrator.journal import SqliteJournal
from orchestrator.loss import EVENT, Loss, loss_of
from orchestrator.trend import Trend
from runbooks.errors import RunbooksError
from runbooks.timing import Stall
from sites.model import Estate

log = structlog.get_logger(__name__)

EVENTS_READ = 1000
STALLS_KEPT = 1000
STALL_EVENT = "step-stalled"


class RunBooks:
    """One controller's."""

    def __init__(
        self, estate: Estate, trend: Trend, runs: Mapping[str, RunRecord], journal: SqliteJournal
    ) -> None:
        """`runs`: the records that are known, by run."""
        self._estate = estate
        self._trend = trend
        self._runs = runs
        self._journal = journal
        self._found: asyncio.Queue[tuple[RunRecord, Loss | Stall]] = asyncio.Queue()
        self._stalls: dict[tuple[str, str], None] = {}
        self._told: set[str] = set()

    def take(self, record: RunRecord) -> None:
        """A run's record as it is now; one that goes on is none of this one's business."""
        if not record.over:
            return
        self._note(record)
        for other in self._runs.values():
            # What a rejoin found out, or a later move made unknowable, is of an earlier run of the service.
            known = self._trend.of(other.run) if other.service == record.service else None
            if known is not None and not known.loss_final and other.run != record.run:
                self._note(other)

    def loss_of(self, record: RunRecord) -> Loss | None:
        """What it lost, by what is known now."""
        return loss_of(record, self._runs.values())

    def _note(self, record: RunRecord) -> None:
        loss = self.loss_of(record)
        service = self._estate.services.get(record.service)
        known = self._trend.of(record.run)
        found = figures_of(
            record,
            loss,
            rto_seconds=service.objectives.rto_seconds if service is not None else None,
            rpo_seconds=service.objectives.rpo_seconds if service is not None else None,
        )
        if found is None:
            return
        if known is not None:
            found = as_of_then(found, known)
        self._trend.take(found)
        if loss is not None and loss.final and record.run not in self._told:
            self._told.add(record.run)
            self._found.put_nowait((record, loss))

    def stalled(self, record: RunRecord, stall: Stall) -> bool:
        """A step takes too long: put on file and in the log, each once. Whether it is news."""
        key = (record.run, stall.step)
        if key in self._stalls:
            return False
        self._stalls[key] = None
        while len(self._stalls) > STALLS_KEPT:
            del self._stalls[next(iter(self._stalls))]
        self._found.put_nowait((record, stall))
        return True

    async def run(self) -> None:
        """Put on file what moves lost and what takes too long, until cancelled."""
        while True:
            record, found = await self._found.get()
            try:
                if isinstance(found, Loss):
                    await self._loss_on_file(record, found)
                else:
                    await self._stall_on_file(record, found)
            except RunbooksError as fault:
                log.error("not-recorded", run=record.run, problem=str(fault))

    async def _stall_on_file(self, record: RunRecord, stall: Stall) -> None:
        data = {
            "run": record.run,
            "step": stall.step,
            "running_seconds": stall.running_seconds,
            "p75_seconds": stall.past.p75_seconds,
            "samples": stall.past.samples,
        }
        log.warning("step-stalled", service=record.service, **data)
        await self._journal.append_event(STALL_EVENT, record.service, data)

    async def _loss_on_file(self, record: RunRecord, loss: Loss) -> None:
        known = await self._journal.events(EVENTS_READ, service=record.service, kind=EVENT)
        if any(event.data.get("run") == record.run for event in known):
            return
        data = {"run": record.run, "said": record.statement, "said_seconds": record.loss_bound_seconds}
        await self._journal.append_event(EVENT, record.service, data | asdict(loss))
        tell = log.error if loss.more_than_said else log.info
        tell("loss-reconciled", run=record.run, words=loss.words)


def as_of_then(found: Figures, known: Figures) -> Figures:
    """The objectives that counted when it ended, and what was known of its loss while its rejoin was."""
    kept = replace(found, rto_seconds=known.rto_seconds, rpo_seconds=known.rpo_seconds)
    if known.loss_final and known.loss_words and not kept.loss_final:
        kept = replace(
            kept,
            lost_seconds=known.lost_seconds,
            lost_bytes=known.lost_bytes,
            loss_words=known.loss_words,
            loss_final=True,
        )
    return kept
