"""Which hosts of the other site were switched off from here, by the journal, until they answer again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from orchestrator.clock import wall_text
from orchestrator.core.records import WaySeen
from orchestrator.journal import SqliteJournal
from orchestrator.journal_tables import JournalEvent
from orchestrator.scouting import HOST
from runbooks.errors import RunbooksError
from sites.fencing.agents import MISSING, STILL_ON
from sites.fencing.devices import NO_DEVICE

log = structlog.get_logger(__name__)

ORDERED_EVENT = "power-off"
ENDED_EVENT = "powered-off"
BACK_EVENT = "power-back"
EVENTS_READ = 1000
SURELY_ON = (STILL_ON, MISSING, NO_DEVICE)


@dataclass(frozen=True, slots=True)
class OffHost:
    """A host that was switched off from here. `known` False: it was ordered, and whether it is off was never
    known. `at`: time of day; `at_ns`: CLOCK_BOOTTIME, 0 for what was before this controller started."""

    site: str
    host: str
    at: str
    service: str
    who: str
    why: str
    run: str
    known: bool
    evidence: str
    at_ns: int


class SwitchedOff:
    """The hosts by `site/host`."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self._hosts: dict[str, OffHost] = {}

    @property
    def hosts(self) -> tuple[OffHost, ...]:
        """All that are not known to be on again."""
        return tuple(self._hosts.values())

    async def recall(self) -> None:
        """What stands in the journal of the time before this controller started."""
        found: list[JournalEvent] = []
        try:
            for kind in (ORDERED_EVENT, ENDED_EVENT, BACK_EVENT):
                found += await self._journal.events(EVENTS_READ, kind=kind)
        except RunbooksError as fault:
            log.error("powered-off-not-recalled", problem=str(fault))
            return
        for event in sorted(found, key=lambda each: each.number):
            if event.kind == BACK_EVENT:
                self._hosts.pop(str(event.data.get("host")), None)
            else:
                self.note(event.data, 0)

    def note(self, data: Mapping[str, Any], at_ns: int) -> None:
        """An order, or what came of it, as it stands in the journal."""
        for place, said in data.get("hosts", {}).items():
            if said.get("code") in SURELY_ON:
                self._hosts.pop(place, None)
                continue
            site, _, host = str(place).partition("/")
            self._hosts[place] = OffHost(
                site=site,
                host=host,
                at=str(data.get("at", "")),
                service=str(data.get("service", "")),
                who=str(data.get("who", "")),
                why=str(data.get("why", "")),
                run=str(data.get("run", "")),
                known=bool(said.get("off")),
                evidence=str(said.get("evidence", "")),
                at_ns=at_ns,
            )

    async def see(self, ways: Iterable[WaySeen], now_ns: int) -> None:
        """Hosts that answer are on again; the ways to them are tried all the time."""
        for way in ways:
            place = f"{way.site}/{way.way.removeprefix(HOST)}"
            gone = self._hosts.get(place)
            if gone is None or not way.way.startswith(HOST) or way.reached is not True:
                continue
            if now_ns - way.age_seconds * 1e9 <= gone.at_ns:
                continue  # it answered before it was switched off
            del self._hosts[place]
            log.warning("host-on-again", host=place)
            try:
                await self._journal.append_event(BACK_EVENT, gone.service, {"host": place, "at": wall_text()})
            except RunbooksError as fault:
                log.error("power-back-not-recorded", host=place, problem=str(fault))
