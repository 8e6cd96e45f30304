"""iCalendar files that blackouts name: read, and asked for the times of their events. Decides nothing."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sites.errors import SitesMisuse

if TYPE_CHECKING:
    from icalendar import Calendar

MOST_BYTES = 2 * 1024 * 1024
MOST_EVENTS_A_DAY = 2000
MOST_DAYS_KEPT = 2000
REMEDY = "an iCalendar file (it begins with BEGIN:VCALENDAR): export it anew, or name another one"

Interval = tuple[datetime, datetime]


class CalendarUnreadable(SitesMisuse):
    """What should be an iCalendar file is none, or cannot be read. `found` is what is there instead."""

    def __init__(self, path: Path, found: str) -> None:
        self.path, self.found, self.expected = path, found, REMEDY
        super().__init__(f"{path}: found {found}; expected {REMEDY}")


@dataclass(slots=True)
class CalendarFile:
    """A calendar that was read. It remembers what it has said of a day."""

    path: Path
    calendar: "Calendar"
    _days: dict[tuple[date, str], tuple[Interval, ...]] = field(default_factory=dict)

    def busy(self, day: date, zone: ZoneInfo) -> tuple[Interval, ...]:
        """The events that touch the day, repeated ones among them; cancelled ones left out.

        Times without a zone are those of `zone`. Raises CalendarUnreadable for a rule that nobody can follow.
        """
        key = (day, zone.key)
        if key not in self._days:
            if len(self._days) >= MOST_DAYS_KEPT:
                self._days.clear()
            self._days[key] = self._read(day, zone)
        return self._days[key]

    def _read(self, day: date, zone: ZoneInfo) -> tuple[Interval, ...]:
        from recurring_ical_events import of

        begins = datetime.combine(day, time(), zone)
        ends = datetime.combine(day + timedelta(days=1), time(), zone)
        found: list[Interval] = []
        try:
            for event in of(self.calendar).between(begins, ends):
                if str(event.get("STATUS", "")).upper() == "CANCELLED":
                    continue
                found.append(_interval(event, zone))
                if len(found) > MOST_EVENTS_A_DAY:
                    raise CalendarUnreadable(self.path, f"more than {MOST_EVENTS_A_DAY} events on {day}")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as fault:
            raise CalendarUnreadable(self.path, f"an event that cannot be understood ({fault})") from fault
        return tuple(found)


def read_calendar(path: Path) -> CalendarFile:
    """The calendar in a file. Raises CalendarUnreadable."""
    from icalendar import Calendar

    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise CalendarUnreadable(path, "no such file") from None
    except OSError as fault:
        raise CalendarUnreadable(path, f"a file that cannot be read ({fault.strerror or fault})") from fault
    if len(content) > MOST_BYTES:
        raise CalendarUnreadable(path, f"more than {MOST_BYTES // 1024 // 1024} MiB")
    if not content.strip():
        raise CalendarUnreadable(path, "an empty file")
    try:
        calendar = Calendar.from_ical(content)
    except (ValueError, IndexError, KeyError, AttributeError, TypeError) as fault:
        first = content.decode(errors="replace").strip().splitlines()[0][:60]
        raise CalendarUnreadable(path, f"something else, which begins with {first!r}") from fault
    if getattr(calendar, "name", None) != "VCALENDAR":
        raise CalendarUnreadable(path, f"a {getattr(calendar, 'name', None) or 'thing'} and no calendar")
    return CalendarFile(path, calendar)


def _interval(event: Any, zone: ZoneInfo) -> Interval:
    begins = event["DTSTART"].dt
    if "DTEND" in event:
        ends = event["DTEND"].dt
    elif "DURATION" in event:
        ends = begins + event["DURATION"].dt
    else:
        ends = begins if isinstance(begins, datetime) else begins + timedelta(days=1)
    return _moment(begins, zone), _moment(ends, zone)


def _moment(value: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), zone)
    return value if value.tzinfo is not None else value.replace(tzinfo=zone)
