"""Runs that nobody will ever go on with: their controller was lost, and their service has been moved since.

Such a run would stand as `running` for ever. Whoever still is there closes it, with what came of it; its
number of executor is raised with that (P26), so that its old executor finds itself overtaken if it wakes up.
What can still be gone on with, or taken back, is not closed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from orchestrator.clock import wall_text
from orchestrator.core.records import (
    RUNS,
    RecordUnreadable,
    RunRecord,
    ServiceRecord,
    decode,
    encode,
)
from orchestrator.core.view import View
from orchestrator.mover import Mover
from orchestrator.store.base import Compare, Put, Store, StoreError
from runbooks.model import Kind

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
STORE_SECONDS = 5.0


def what_came_of_it(run: RunRecord, record: ServiceRecord | None, *, site: str, lost_site: str) -> str:
    """In words, for a run that nothing can come of any more; empty for every other one. `record` is its
    service's, `site` ours, `lost_site` the other one if it is lost."""
    lost = run.executor_site == lost_site
    if run.over or run.whole_site or run.kind == Kind.DRILL or record is None:
        return ""
    if not lost and run.executor_site != site:
        return ""
    epoch = run.plan.get("epoch")
    # Its own epoch is over, so that no step of it may ever act again.
    if not isinstance(epoch, int) or record.epoch <= epoch or record.run == run.run:
        return ""
    why = f"{run.executor_site}, which carried it out, was lost" if lost else "its controller was ended"
    by = f"{record.run} came after it" if record.run else "it has moved since"
    now = f"{record.primary} is primary" if record.primary is not None else "nobody is primary"
    return f"{why}; {by}: {now} at epoch {record.epoch}"


class LostRuns:
    """One controller's."""

    def __init__(self, runs: Mapping[str, RunRecord], mover: Mover, store: Store) -> None:
        """`runs`: the records that are known, by run."""
        self._runs = runs
        self._mover = mover
        self._store = store
        self._not_there: set[str] = set()

    async def look(self, view: View) -> None:
        """Close what there is to close; what the store does not take now is closed later."""
        services = {each.service.name: each.record for each in view.services}
        lost_site = view.peer if view.peer_lease_over else ""
        for run in list(self._runs.values()):
            record = services.get(run.service)
            words = what_came_of_it(run, record, site=view.site, lost_site=lost_site)
            if not words or self._mover.under_way(run.run) or run.run in self._not_there:
                continue
            try:
                await self._close(run, view.site, words)
            except (StoreError, RecordUnreadable) as fault:
                log.debug("lost-run-not-closed", run=run.run, problem=str(fault))

    async def _close(self, run: RunRecord, site: str, words: str) -> None:
        key = RUNS + run.run
        found = (await self._store.read(key, exact=True, timeout_seconds=STORE_SECONDS)).get(key)
        if found is None:
            self._not_there.add(run.run)  # known here alone (P31): there is nothing to close
            return
        if (there := decode(RunRecord, found.value)).over or there.executor != run.executor:
            return
        closed = replace(
            there,
            executor=there.executor + 1,
            executor_site=site,
            state="failed",
            outcome=words,
            ended=wall_text(),
            waits=(),
            left=(
                "how far it had come is shown as it was last heard of",
                f"look: `twinsite explain {run.service}`",
            ),
        )
        result = await self._store.transact(
            [Compare(key, found.mod_revision)],
            [Put(key, encode(closed))],
            [key],
            timeout_seconds=STORE_SECONDS,
        )
        if result.succeeded:
            log.warning("lost-run-closed", run=run.run, service=run.service, words=words)

    async def run(self, look: Callable[[], View]) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            now = look()
            if now.registered:
                await self.look(now)
