"""Since when each service has been unprotected, kept in the journal, so that a controller that restarts goes
on counting from the failover. What the journal does not have is taken from the store's records.
"""

from collections.abc import Mapping

import structlog

from orchestrator.clock import wall_unix_seconds
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.protection import (
    NEVER,
    Look,
    Protection,
    failed_over_unix_seconds,
    protection,
    unheard_of,
    was_back,
)
from orchestrator.core.records import RunRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.journal import SqliteJournal
from orchestrator.mind import ServiceMind
from runbooks.errors import RunbooksError

log = structlog.get_logger(__name__)

EVENT = "protection"


class Protections:
    """Of one controller's services."""

    def __init__(
        self, journal: SqliteJournal, minds: Mapping[str, ServiceMind], runs: Mapping[str, RunRecord]
    ) -> None:
        """`runs`: the records that are known, by run."""
        self._journal = journal
        self._minds = minds
        self._runs = runs
        self._kept: dict[str, Protection] = {}

    async def recall(self) -> None:
        """Take up what was kept. A journal that cannot be read stops nobody: the store tells the failover."""
        for name, mind in self._minds.items():
            try:
                events = await self._journal.events(1, service=name, kind=EVENT)
            except RunbooksError as fault:
                log.warning("protection-not-recalled", problem=str(fault))
                return
            for event in events:
                epoch, since = event.data.get("epoch"), event.data.get("since_unix_seconds")
                if isinstance(epoch, int) and isinstance(since, int | float | None):
                    self._kept[name] = mind.protection = Protection(epoch, since)

    def note(self, mind: ServiceMind, view: View, service: ServiceView, diagnosis: Diagnosis) -> None:
        """A look at a service that somebody protects."""
        name, record = service.service.name, service.record
        look = Look(
            diagnosis=diagnosis,
            epoch=record.epoch if record is not None else None,
            now_unix_seconds=wall_unix_seconds(),
            other_site_silent=view.peer_is_silent,
            failed_over_unix_seconds=failed_over_unix_seconds(record, self._runs) if record else None,
            # Every known run is looked through for it, so only where it counts.
            was_back=record is not None
            and unheard_of(mind.protection)
            and was_back(name, record, self._runs),
        )
        mind.protection = protection(mind.protection, look)

    async def keep(self) -> None:
        """Keep what is new, once there is an owner to whom it applies."""
        for name, mind in self._minds.items():
            known = mind.protection
            if known is None or known.epoch == NEVER or self._kept.get(name) == known:
                continue
            self._kept[name] = known
            data = {"epoch": known.epoch, "since_unix_seconds": known.since_unix_seconds}
            try:
                await self._journal.append_event(EVENT, name, data)
            except RunbooksError as fault:
                log.warning("protection-not-kept", service=name, problem=str(fault))
