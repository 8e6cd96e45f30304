"""Whether a moment lies in a blackout. Pure but for the calendar files, which were read before.

A blackout that cannot be told, because its file is none or is gone, counts as one: nothing begins by itself
on a guess.
"""

import calendar as months
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sites.blackouts import Blackout, parse_dates, parse_days, parse_yearly
from sites.calendars import CalendarFile, CalendarUnreadable, read_calendar

_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Barred:
    """Why a moment is not free: the blackout, and what is wrong with it if it cannot be told."""

    blackout: str
    unreadable: str = ""

    def __str__(self) -> str:
        if self.unreadable:
            return f"{self.blackout}, of which nobody can tell: {self.unreadable}"
        return self.blackout


@dataclass(frozen=True, slots=True)
class Blackouts:
    """The estate's blackouts; of each calendar file that one names, what was read, or why it could not be."""

    named: Mapping[str, Blackout]
    files: Mapping[str, CalendarFile | str]

    def barred(self, names: Iterable[str], at: datetime) -> Barred | None:
        """The first of these blackouts that the moment lies in, or that cannot be told."""
        for name in names:
            if name not in self.named:
                return Barred(name, "sites.yaml does not say when it is")
            try:
                if self._within(self.named[name], at):
                    return Barred(name)
            except CalendarUnreadable as fault:
                return Barred(name, str(fault))
        return None

    def _within(self, blackout: Blackout, at: datetime) -> bool:
        zone = ZoneInfo(blackout.timezone)
        day = at.astimezone(zone).date()
        return self._on(blackout, day) or any(
            begins <= at < ends or begins == ends == at for begins, ends in self._busy(blackout, day)
        )

    def _on(self, blackout: Blackout, day: date) -> bool:
        """Whether the whole day is one, by what stands in sites.yaml itself."""
        return (
            any(first <= day <= last for first, last in map(parse_dates, blackout.dates))
            or any(_in_year(day, *each) for each in map(parse_yearly, blackout.yearly))
            or any(first <= day.day <= last for first, last in map(parse_days, blackout.days))
            or _WEEKDAYS[day.weekday()] in blackout.weekdays
            or self._at_an_end_of_the_month(blackout, day)
        )

    def _at_an_end_of_the_month(self, blackout: Blackout, day: date) -> bool:
        """From the n-th last working day on to the month's end, and the same of its beginning: a Saturday
        among them is one of these days too."""
        if not blackout.first_working_days and not blackout.last_working_days:
            return False
        length = months.monthrange(day.year, day.month)[1]
        every = [day.replace(day=number) for number in range(1, length + 1)]
        working = [each for each in every if self._works(blackout, each)]
        first, last = blackout.first_working_days, blackout.last_working_days
        if first and working and day <= working[min(first, len(working)) - 1]:
            return True
        return bool(last and working and day >= working[-min(last, len(working))])

    def _works(self, blackout: Blackout, day: date) -> bool:
        if day.weekday() >= _SATURDAY:
            return False
        holidays = self.named.get(blackout.holidays) if blackout.holidays is not None else None
        if holidays is None:
            return True
        return not self._on(holidays, day) and not self._busy(holidays, day)

    def _busy(self, blackout: Blackout, day: date) -> tuple[tuple[datetime, datetime], ...]:
        if blackout.calendar is None:
            return ()
        file = self.files.get(blackout.calendar, "it has not been read")
        if isinstance(file, str):
            raise CalendarUnreadable(Path(blackout.calendar), file)
        return file.busy(day, ZoneInfo(blackout.timezone))


def _in_year(day: date, first: tuple[int, int], last: tuple[int, int]) -> bool:
    here = (day.month, day.day)
    return first <= here <= last if first <= last else here >= first or here <= last


def read_files(named: Mapping[str, Blackout], base: Path) -> dict[str, CalendarFile | str]:
    """Every calendar file that these blackouts name, or what is there instead. Blocks."""
    found: dict[str, CalendarFile | str] = {}
    for blackout in named.values():
        if blackout.calendar is None or blackout.calendar in found:
            continue
        try:
            found[blackout.calendar] = read_calendar(base / blackout.calendar)
        except CalendarUnreadable as fault:
            found[blackout.calendar] = fault.found
    return found


def unix(at: datetime) -> float:
    """A moment in Unix time."""
    return at.timestamp()


def moment(unix_seconds: float) -> datetime:
    """A moment out of Unix time, in UTC: sums with it pass a clock change unharmed."""
    return datetime.fromtimestamp(unix_seconds, UTC)
