"""When each pause was first read here, kept in the journal, so that a controller that restarts goes on
counting where it was: a pause must end, however often that happens. After a reboot it counts from the
beginning, for the clock does too: a pause then lasts longer, never shorter.
"""

from collections.abc import Mapping

import structlog

from orchestrator.clock import boot_id
from orchestrator.journal import SqliteJournal
from orchestrator.mind import ServiceMind
from runbooks.errors import RunbooksError

log = structlog.get_logger(__name__)

EVENT = "pause-read"


class Pauses:
    """The pauses of one controller. What `orchestrator.sight` notes in the minds is kept here."""

    def __init__(self, journal: SqliteJournal, minds: Mapping[str, ServiceMind]) -> None:
        self._journal = journal
        self._minds = minds
        self._kept: dict[str, str] = {}

    async def recall(self) -> None:
        """Take up what was kept. A journal that cannot be read makes pauses longer, and stops nobody."""
        for name, mind in self._minds.items():
            try:
                events = await self._journal.events(1, service=name, kind=EVENT)
            except RunbooksError as fault:
                log.warning("pauses-not-recalled", problem=str(fault))
                return
            for event in events:
                pause, ends_ns = event.data.get("pause"), event.data.get("ends_ns")
                if event.data.get("boot") != boot_id() or not isinstance(ends_ns, int):
                    continue
                if mind.pause_id in ("", pause):  # it may have been read already: then it was read anew
                    mind.pause_id, mind.pause_ends_ns = str(pause), ends_ns
                    self._kept[name] = str(pause)

    async def keep(self) -> None:
        """Keep what is new."""
        for name, mind in self._minds.items():
            if mind.pause_id and self._kept.get(name) != mind.pause_id:
                self._kept[name] = mind.pause_id
                data = {"pause": mind.pause_id, "ends_ns": mind.pause_ends_ns, "boot": boot_id()}
                try:
                    await self._journal.append_event(EVENT, name, data)
                except RunbooksError as fault:
                    log.warning("pause-not-kept", service=name, problem=str(fault))
