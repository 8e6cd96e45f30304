"""When drills are due, in virtual time: the nights in which the clock is changed, what is missed and made up
for, blackouts. Nothing here waits or looks at a clock."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.drills.blackouts import Blackouts, moment, read_files
from orchestrator.drills.calendar import (
    Memory,
    begin,
    entries,
    next_due,
    overdue,
    slots,
    times,
    turn,
)
from orchestrator.drills.calendar import after as after_slot
from sites.blackouts import Blackout
from sites.drills import DrillSpec

LONDON = ZoneInfo("Europe/London")
SPRING, AUTUMN = (2026, 3, 29), (2026, 10, 25)
FREE = Blackouts({}, {})

CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//a council//freezes//EN
BEGIN:VEVENT
UID:1
SUMMARY:Change freeze
DTSTART;VALUE=DATE:20261221
DTEND;VALUE=DATE:20270104
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Payroll
DTSTART;TZID=Europe/London:20260925T060000
DTEND;TZID=Europe/London:20260925T120000
RRULE:FREQ=MONTHLY
END:VEVENT
BEGIN:VEVENT
UID:3
SUMMARY:Called off
STATUS:CANCELLED
DTSTART;VALUE=DATE:20261112
END:VEVENT
END:VCALENDAR
"""


def drill(**given: Any) -> DrillSpec:
    return DrillSpec.model_validate(
        {
            "name": "quarterly",
            "service": "crm",
            "kind": "tabletop",
            "schedule": "30 1 * * *",
            "timezone": "Europe/London",
            **given,
        }
    )


def london(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=LONDON, fold=fold).astimezone(UTC)  # type: ignore[misc, arg-type]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def blackouts(files: Mapping[str, str] | None = None, **named: Mapping[str, Any]) -> Blackouts:
    return Blackouts(
        {name.replace("_", "-"): Blackout.model_validate(each) for name, each in named.items()}, files or {}
    )


# --- the nights in which the clock is changed ---------------------------------------------------------


def test_what_falls_into_the_hour_that_is_left_out_begins_once_at_its_end() -> None:
    night = list(times("30 1 * * *", "Europe/London", utc(2026, 3, 28, 12), utc(2026, 3, 30, 12)))
    assert night == [utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30)]
    assert [at.astimezone(LONDON).hour for at in night] == [2, 1]


def test_what_falls_into_the_hour_that_comes_twice_begins_once_in_the_first() -> None:
    night = list(times("30 1 * * *", "Europe/London", utc(2026, 10, 24, 12), utc(2026, 10, 26, 12)))
    assert night == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


def test_a_controller_that_is_started_within_that_hour_does_not_begin_it_again() -> None:
    for minute in range(0, 60, 7):
        started = utc(2026, 10, 25, 1, minute)  # the second half past one has not been yet, or has
        assert list(times("30 1 * * *", "Europe/London", started, utc(2026, 10, 26))) == []


@given(
    st.sampled_from(["30 1 * * *", "0 2 * * SUN", "15 1,2 * * *", "0 7 * * SUN#2", "59 0 * * *"]),
    st.sampled_from([SPRING, AUTUMN]),
    st.lists(st.integers(-48 * 60, 48 * 60), min_size=1, max_size=6),
)
def test_stopping_and_starting_anew_gives_the_same_times(
    expression: str, night: tuple[int, int, int], cuts_minutes: list[int]
) -> None:
    """Each cut is a moment at which a controller was started and went on from there."""
    middle = datetime(*night, 1, 30, tzinfo=UTC)
    begins, ends = middle - timedelta(days=3), middle + timedelta(days=3)
    whole = list(times(expression, "Europe/London", begins, ends))
    pieces: list[datetime] = []
    at = begins
    for cut in sorted({middle + timedelta(minutes=minutes) for minutes in cuts_minutes}):
        pieces += times(expression, "Europe/London", at, cut)
        at = cut
    pieces += times(expression, "Europe/London", at, ends)
    assert pieces == whole
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("night", [SPRING, AUTUMN])
def test_minute_by_minute_through_the_night_it_is_begun_once(night: tuple[int, int, int]) -> None:
    one = drill()
    now = datetime(*night, tzinfo=UTC) - timedelta(hours=6)
    memory, begun = begin(now), []
    for _ in range(24 * 60):
        now += timedelta(minutes=1)
        found = turn(one, memory, now)
        assert found.missed == ()
        memory = found.memory
        if found.due is not None:
            begun.append(found.due.at)
            memory = after_slot(one, memory, found.due, done=True)
    assert len(begun) == 1


# --- missed, and made up for --------------------------------------------------------------------------


def test_what_lay_before_the_first_look_was_nobodys_to_do() -> None:
    now = utc(2026, 6, 10, 12)
    assert turn(drill(), begin(now), now).missed == ()


def test_it_may_begin_late_by_as_much_as_it_says_and_is_missed_after_that() -> None:
    one, due = drill(begins_within="15m"), utc(2026, 6, 10, 0, 30)
    memory = begin(due - timedelta(hours=1))
    assert turn(one, memory, due - timedelta(seconds=1)).due is None
    for late_minutes in (0, 14):
        found = turn(one, memory, due + timedelta(minutes=late_minutes))
        assert (found.missed, found.due) == ((), found.due)
        assert found.due is not None
        assert found.due.at == due
    found = turn(one, memory, due + timedelta(minutes=15))
    assert [slot.at for slot in found.missed] == [due]
    assert found.due is None
    assert found.memory == Memory(handled_until=due.timestamp(), owed=None)


def test_a_missed_one_is_made_up_for_the_next_day_at_its_time_where_that_is_wished() -> None:
    one = drill(schedule="0 7 * * SUN#2", if_missed="next")
    due = london(2026, 6, 14, 7)
    memory = turn(one, begin(due - timedelta(hours=1)), due + timedelta(hours=9)).memory
    assert memory.owed == due.timestamp()
    monday = due + timedelta(days=1)
    found = turn(one, memory, monday)
    assert found.due is not None
    assert (found.due.at, found.due.made_up_for) == (monday, due)
    done = after_slot(one, memory, found.due, done=True)
    assert done.owed is None
    assert turn(one, done, monday + timedelta(days=1)).due is None


def test_it_may_say_itself_when_it_is_made_up_for() -> None:
    one = drill(schedule="0 7 * * SUN#2", if_missed="next", make_up="0 9 * * SAT,SUN")
    due = london(2026, 6, 14, 7)
    memory = Memory(handled_until=due.timestamp(), owed=due.timestamp())
    coming = [slot.at for slot in slots(one, memory, due + timedelta(days=8))]
    assert coming == [london(2026, 6, 14, 9), london(2026, 6, 20, 9), london(2026, 6, 21, 9)]


def test_controllers_that_were_down_for_months_missed_each_and_owe_the_last_one() -> None:
    one = drill(schedule="0 7 * * SUN#2", if_missed="next")
    down, back = london(2026, 1, 1, 0), london(2026, 6, 20, 12)
    found = turn(one, begin(down), back)
    regular = [slot.at for slot in found.missed if slot.made_up_for is None]
    assert [(at.month, at.day) for at in regular] == [(1, 11), (2, 8), (3, 8), (4, 12), (5, 10), (6, 14)]
    assert found.memory.owed == regular[-1].timestamp()
    assert found.due is None


def test_a_drill_by_hand_is_never_due_nor_missed() -> None:
    one = drill(schedule=None)
    found = turn(one, begin(utc(2020, 1, 1)), utc(2026, 1, 1))
    assert (found.missed, found.due) == ((), None)


def test_it_is_overdue_by_its_last_success_or_by_when_it_was_first_heard_of() -> None:
    one, now = drill(overdue_after="40d"), utc(2026, 6, 10)
    old, fresh = (now - timedelta(days=41)).timestamp(), (now - timedelta(days=39)).timestamp()
    assert overdue(one, old, old, now) is True
    assert overdue(one, fresh, old, now) is False
    assert overdue(one, None, old, now) is True
    assert overdue(one, None, fresh, now) is False
    assert overdue(drill(), None, old, now) is None


# --- blackouts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "within"),
    [
        ((2026, 5, 26), False),
        ((2026, 5, 27), True),
        ((2026, 5, 29), True),
        ((2026, 5, 31), True),  # the Sunday after the last working day is month end as well
        ((2026, 6, 1), False),
    ],
)
def test_the_last_three_working_days_of_the_month(day: tuple[int, int, int], *, within: bool) -> None:
    known = blackouts(month_end={"last_working_days": 3, "timezone": "Europe/London"})
    found = known.barred(["month-end"], datetime(*day, 7, tzinfo=UTC))
    assert (found is not None) is within


def test_bank_holidays_are_no_working_days() -> None:
    known = blackouts(
        month_end={"last_working_days": 3, "holidays": "bank"}, bank={"dates": ["2027-05-31", "2027-05-28"]}
    )
    assert known.barred(["month-end"], utc(2027, 5, 25, 7)) is not None
    assert known.barred(["month-end"], utc(2027, 5, 24, 7)) is None


def test_days_of_the_month_of_the_week_and_of_the_year() -> None:
    known = blackouts(
        payroll={"days": ["25..28"]}, mondays={"weekdays": ["MON"]}, christmas={"yearly": ["12-20..01-03"]},
        year_end={"first_working_days": 1},
    )  # fmt: skip
    assert known.barred(["payroll"], utc(2026, 6, 25)) is not None
    assert known.barred(["payroll"], utc(2026, 6, 29)) is None
    assert known.barred(["mondays"], utc(2026, 6, 8)) is not None
    for inside in (utc(2026, 12, 20), utc(2026, 12, 31), utc(2027, 1, 3, 23)):
        assert known.barred(["christmas"], inside) is not None
    assert known.barred(["christmas"], utc(2027, 1, 4)) is None
    assert known.barred(["year-end"], utc(2026, 8, 3)) is not None  # the first is a Saturday
    assert known.barred(["year-end"], utc(2026, 8, 4)) is None


def test_a_blackouts_day_begins_at_midnight_in_its_own_zone() -> None:
    known = blackouts(election={"dates": ["2027-05-06"], "timezone": "Europe/London"})
    assert known.barred(["election"], utc(2027, 5, 5, 22, 59)) is None
    assert known.barred(["election"], utc(2027, 5, 5, 23, 0)) is not None
    assert known.barred(["election"], utc(2027, 5, 6, 22, 59)) is not None
    assert known.barred(["election"], utc(2027, 5, 6, 23, 0)) is None


def test_the_events_of_an_icalendar_file_repeated_ones_too(tmp_path: Path) -> None:
    (tmp_path / "freeze.ics").write_text(CALENDAR)
    named = {"council": Blackout.model_validate({"calendar": "freeze.ics", "timezone": "Europe/London"})}
    known = Blackouts(named, read_files(named, tmp_path))
    assert known.barred(["council"], utc(2026, 12, 25, 7)) is not None
    assert known.barred(["council"], utc(2027, 1, 4, 7)) is None
    # Six to twelve in London, in summer and in winter.
    assert known.barred(["council"], utc(2026, 9, 25, 5)) is not None
    assert known.barred(["council"], utc(2026, 11, 25, 5)) is None
    assert known.barred(["council"], utc(2026, 11, 25, 11, 59)) is not None
    assert known.barred(["council"], utc(2026, 11, 25, 12)) is None
    assert known.barred(["council"], utc(2026, 11, 12, 12)) is None, "it was called off"


@pytest.mark.parametrize(
    "content", ["PAYROLL: 25th", "", "BEGIN:VEVENT\nUID:1\nEND:VEVENT\n", "<html></html>"]
)
def test_a_file_that_is_no_calendar_bars_everything_and_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "freeze.ics").write_text(content)
    named = {"council": Blackout.model_validate({"calendar": "freeze.ics"})}
    barred = Blackouts(named, read_files(named, tmp_path)).barred(["council"], utc(2026, 7, 7))
    assert barred is not None
    assert barred.unreadable
    assert "iCalendar" in str(barred)


def test_a_drill_that_falls_into_a_blackout_is_moved_where_that_is_wished_and_shown_so() -> None:
    known = blackouts(month_end={"last_working_days": 3, "timezone": "Europe/London"})
    moved = drill(schedule="0 7 29 5 *", blackouts=["month-end"], if_missed="next")
    left_out = drill(name="yearly", schedule="0 7 29 5 *", blackouts=["month-end"])
    found = entries([left_out, moved], known, utc(2026, 5, 1), utc(2026, 7, 1))
    assert [(one.drill, str(one.barred)) for one in found] == [
        ("quarterly", "month-end"),
        ("yearly", "month-end"),
    ]
    assert found[0].instead == london(2026, 6, 1, 7)
    assert found[1].instead is None
    assert next_due(moved, begin(utc(2026, 5, 1)), known, utc(2026, 7, 1)) == london(2026, 6, 1, 7)
    assert next_due(left_out, begin(utc(2026, 5, 1)), known, utc(2026, 7, 1)) is None


def test_unix_time_and_back() -> None:
    assert moment(utc(2026, 10, 25, 1, 30).timestamp()) == utc(2026, 10, 25, 1, 30)


def test_a_year_of_silence_of_a_drill_that_may_be_made_up_for_every_minute_is_soon_reckoned() -> None:
    one = drill(schedule="0 0 1 1 *", if_missed="next", make_up="* * * * *")
    found = turn(one, begin(utc(2025, 12, 1)), utc(2026, 12, 1, 12, 0, 30))
    assert [slot.at for slot in found.missed if slot.made_up_for is None] == [utc(2026, 1, 1)]
    assert len(found.missed) < 100
    assert found.due is not None
    assert found.due.made_up_for == utc(2026, 1, 1)
