"""Rules of drills and blackouts: what they name must exist, and what cannot be carried out is said.

Pure but for `calendars_are_calendars`, which reads the calendar files that are named; a file that is none is
a warning, because a controller must start all the same. No drill begins by itself while it lasts.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sites.calendars import CalendarUnreadable, read_calendar
from sites.draft import Draft, unknown_name
from sites.drills import DrillKind, DrillSpec
from sites.marks import Finding, Trail

CAN_ISOLATE = ("postgres", "command")
"""The drivers that can promote a copy where nobody reaches it."""


def drills_name_what_exists(draft: Draft) -> Iterator[Finding]:
    """A service, blackouts and hosts that are there, and a name of its own."""
    seen: set[str] = set()
    for index, drill in _sound(draft):
        at: Trail = ("drills", index)
        if drill.name in seen:
            yield Finding((*at, "name"), "a name that no other drill has", repr(drill.name))
        seen.add(drill.name)
        services = draft.names("services")
        if drill.service not in services:
            yield unknown_name((*at, "service"), drill.service, "a service", services)
        for number, name in enumerate(drill.blackouts):
            if name not in draft.names("blackouts"):
                known = draft.names("blackouts")
                yield unknown_name((*at, "blackouts", number), name, "one of the `blackouts`", known)
        for name, block in drill.block.items():
            site, _, role = block.host.partition("/")
            if draft.sound_within("sites") and role not in _hosts(draft, site):
                place = (*at, "block", name, "host")
                yield Finding(place, "site/role of a host that is there", repr(block.host))


def holidays_are_blackouts(draft: Draft) -> Iterator[Finding]:
    """Days that are no working days are those of another blackout, which asks for no others itself."""
    for name, blackout in draft.estate.blackouts.items():
        trail: Trail = ("blackouts", name, "holidays")
        if blackout.holidays is None or not draft.sound(*trail):
            continue
        other = draft.estate.blackouts.get(blackout.holidays)
        if blackout.holidays not in draft.names("blackouts"):
            yield unknown_name(trail, blackout.holidays, "one of the `blackouts`", draft.names("blackouts"))
        elif other is not None and (other.first_working_days or other.last_working_days):
            yield Finding(trail, "a blackout that counts no working days itself", repr(blackout.holidays))


def drills_that_cannot_be_are_said(draft: Draft) -> Iterator[Finding]:
    """One that would be refused each time, for what its service is."""
    for index, drill in _sound(draft):
        service = draft.estate.services.get(drill.service)
        if service is None or not draft.sound_within("services", drill.service, "replication"):
            continue
        at: Trail = ("drills", index, "kind")
        driver = service.replication.driver if service.replication is not None else "none"
        if service.watch_only:
            sentence = f"{drill.service} is watch only: this drill is refused each time with driver-missing"
            yield Finding(at, found=sentence, warning=True)
        elif drill.kind is DrillKind.ISOLATED and driver not in CAN_ISOLATE:
            sentence = (
                f"the driver {driver} cannot promote a copy: this drill is refused each time with "
                "drill-kind-missing"
            )
            yield Finding(at, found=sentence, warning=True)


def calendars_are_calendars(draft: Draft, base: Path) -> Iterator[Finding]:
    """What a blackout names as its calendar can be read as one."""
    for name, blackout in draft.estate.blackouts.items():
        trail: Trail = ("blackouts", name, "calendar")
        if blackout.calendar is None or not draft.sound(*trail):
            continue
        try:
            read_calendar(base / blackout.calendar)
        except CalendarUnreadable as fault:
            sentence = (
                f"{blackout.calendar} is {fault.found}; expected {fault.expected}: until then no drill that "
                "names this blackout begins by itself"
            )
            yield Finding(trail, found=sentence, warning=True)


def _sound(draft: Draft) -> Iterator[tuple[int, DrillSpec]]:
    for index, drill in enumerate(draft.estate.drills):
        if draft.sound("drills", index):
            yield index, drill


def _hosts(draft: Draft, site: str) -> Iterable[str]:
    found = draft.estate.sites.get(site)
    return found.hosts if found is not None else ()


DRILL_RULES: tuple[Callable[[Draft], Iterable[Finding]], ...] = (
    drills_name_what_exists,
    holidays_are_blackouts,
    drills_that_cannot_be_are_said,
)
