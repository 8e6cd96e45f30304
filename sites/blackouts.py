"""Blackouts: named times at which no drill begins by itself, as `sites.yaml` writes them. Pure.

Whether a moment lies in one is said by `orchestrator.drills.blackouts`; the calendar file that one may name
is read by `sites.calendars`.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from sites.noun import Name, Noun

Weekday = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
_LEAP_YEAR = 2024
_MONTH_AND_DAY = re.compile(r"^(\d\d)-(\d\d)$")
MOST_DAYS = 3660


def check_timezone(name: str) -> str:
    """A zone of the IANA database. Raises ValueError for any other name."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("expected a time zone such as Europe/London or UTC") from None
    return name


Timezone = Annotated[
    str,
    AfterValidator(check_timezone),
    WithJsonSchema({"type": "string", "examples": ["Europe/London", "UTC"]}),
]


def parse_dates(text: str) -> tuple[date, date]:
    """First and last day of `2027-05-06` or `2027-05-01..2027-05-08`. Raises ValueError."""
    first, dots, last = text.partition("..")
    try:
        begins = date.fromisoformat(first.strip())
        ends = date.fromisoformat(last.strip()) if dots else begins
    except ValueError:
        raise ValueError("expected a day or first and last: 2027-05-06 or 2027-05-01..2027-05-08") from None
    if not 0 <= (ends - begins).days <= MOST_DAYS:
        raise ValueError("expected a last day after the first one, and no more than ten years later")
    return begins, ends


def parse_yearly(text: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last (month, day) of `12-25` or `12-20..01-03`. Raises ValueError."""
    first, dots, last = text.partition("..")
    begins = _month_and_day(first.strip())
    return begins, _month_and_day(last.strip()) if dots else begins


def _month_and_day(text: str) -> tuple[int, int]:
    match = _MONTH_AND_DAY.match(text)
    try:
        day = date(_LEAP_YEAR, int(match[1]), int(match[2])) if match else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError("expected month and day, or first and last: 12-25 or 12-20..01-03")
    return day.month, day.day


def parse_days(text: str) -> tuple[int, int]:
    """First and last day of the month in `25` or `25..28`. Raises ValueError."""
    first, dots, last = text.partition("..")
    numbers = [first.strip(), last.strip()] if dots else [first.strip(), first.strip()]
    if not all(each.isascii() and each.isdigit() and 1 <= int(each) <= 31 for each in numbers):
        raise ValueError("expected days of the month, first and last: 25 or 25..28")
    begins, ends = (int(each) for each in numbers)
    if begins > ends:
        raise ValueError("expected the first day before the last one; write 28..31 and 1..2 apart")
    return begins, ends


def _checked(parse: Callable[[str], object]) -> AfterValidator:
    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


Dates = Annotated[str, _checked(parse_dates), WithJsonSchema({"type": "string", "examples": ["2027-05-06"]})]
Yearly = Annotated[
    str, _checked(parse_yearly), WithJsonSchema({"type": "string", "examples": ["12-20..01-03"]})
]
Days = Annotated[str, _checked(parse_days), WithJsonSchema({"type": "string", "examples": ["25..28"]})]


class Blackout(Noun):
    """A named time at which no drill begins by itself: everything that is written here together.

    Days are whole days in its time zone.
    """

    title: str = Field("", description="what people call it")
    timezone: Timezone = Field("UTC", description="where its days begin and end")
    dates: list[Dates] = Field(
        default_factory=list, description="days, or first and last: `2027-05-01..2027-05-08`"
    )
    yearly: list[Yearly] = Field(
        default_factory=list, description="the same every year, as month and day: `12-20..01-03`"
    )
    days: list[Days] = Field(default_factory=list, description="days of every month: `25..28`")
    weekdays: list[Weekday] = Field(default_factory=list, description="days of every week")
    first_working_days: int = Field(0, ge=0, le=20, description="so many at the beginning of every month")
    last_working_days: int = Field(0, ge=0, le=20, description="so many at the end of every month")
    holidays: Name | None = Field(
        None, description="the blackout whose days are no working days either, beside Saturday and Sunday"
    )
    calendar: str | None = Field(
        None,
        min_length=1,
        description="an iCalendar file (.ics), relative to the estate file: the times of its events",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        written = (
            self.dates,
            self.yearly,
            self.days,
            self.weekdays,
            self.first_working_days,
            self.last_working_days,
            self.calendar,
        )
        if not any(written):
            raise ValueError(
                "expected when: dates, yearly, days, weekdays, first_working_days, last_working_days or "
                "calendar"
            )
        if self.holidays is not None and not (self.first_working_days or self.last_working_days):
            raise ValueError("expected first_working_days or last_working_days beside holidays")
        return self
