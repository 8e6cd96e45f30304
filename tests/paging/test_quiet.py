"""Quiet hours by the clock on the wall, over both nights in which it is changed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from orchestrator.paging.quiet import quiet_until
from sites.notify import QuietHours

LONDON = ZoneInfo("Europe/London")


def hours(begin: str, end: str) -> QuietHours:
    return QuietHours.model_validate({"from": begin, "to": end})


def until(quiet: QuietHours, local: str, fold: int = 0) -> str | None:
    at = datetime.fromisoformat(local).replace(tzinfo=LONDON, fold=fold).timestamp()
    found = quiet_until(quiet, at)
    return datetime.fromtimestamp(found, LONDON).isoformat() if found is not None else None


@pytest.mark.parametrize(
    ("local", "ends"),
    [
        ("2026-01-10 21:59", None),
        ("2026-01-10 22:00", "2026-01-11T07:00:00+00:00"),
        ("2026-01-11 03:00", "2026-01-11T07:00:00+00:00"),
        ("2026-01-11 07:00", None),
        ("2026-07-10 23:00", "2026-07-11T07:00:00+01:00"),
        ("2026-03-28 23:00", "2026-03-29T07:00:00+01:00"),
        ("2026-10-24 23:00", "2026-10-25T07:00:00+00:00"),
    ],
)
def test_a_night(local: str, ends: str | None) -> None:
    assert until(hours("22:00", "07:00"), local) == ends


def test_a_lunch_hour() -> None:
    assert until(hours("12:00", "13:00"), "2026-07-10 12:30") == "2026-07-10T13:00:00+01:00"
    assert until(hours("12:00", "13:00"), "2026-07-10 13:30") is None


def test_the_hour_that_comes_twice_is_quiet_twice() -> None:
    assert until(hours("01:00", "02:00"), "2026-10-25 01:30", fold=0) == "2026-10-25T02:00:00+00:00"
    assert until(hours("01:00", "02:00"), "2026-10-25 01:30", fold=1) == "2026-10-25T02:00:00+00:00"


def test_without_quiet_hours_nothing_is_held_back() -> None:
    assert quiet_until(None, 0.0) is None
