"""Each interlock alone refuses with its code; together the first one does; a person is held up by danger
only."""

from typing import Any

import pytest

from orchestrator.core.reasons import REASONS
from orchestrator.drills.blackouts import Barred
from orchestrator.drills.interlocks import INTERLOCKS, Ground, first_held
from sites.drills import DrillSpec


def ground(kind: str = "isolated", **given: Any) -> Ground:
    """All is well, but for what is given."""
    drill = {"name": "weekly", "service": "crm", "kind": kind, **given.pop("drill", {})}
    calm: dict[str, Any] = {
        "by_itself": True,
        "here": "durham",
        "rpo_seconds": 60.0,
        "owner_known": True,
        "primary": "durham",
        "entitled": True,
        "protected": True,
        "diagnosis": "healthy",
        "lag_seconds": 0.1,
    }
    return Ground(drill=DrillSpec.model_validate(drill), **(calm | given))


DANGER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("driver-missing", {"watch_only": True}),
    ("drill-kind-missing", {"no_copy": "the driver of crm cannot promote a copy"}),
    ("no-quorum", {"owner_known": False}),
    ("not-the-holder", {"primary": "morpeth"}),
    ("not-the-holder", {"primary": None}),
    ("not-the-holder", {"entitled": False}),
    ("moving", {"moved_by": "crm-switchover-1"}),
    ("drill-under-way", {"under_way": "monthly"}),
    ("run-under-way", {"runs": ("ebs-failover-1",)}),
    ("incident", {"troubles": ("ebs is primary-dead",)}),
    ("drill-hold", {"holding": ("morpeth",)}),
    ("paused", {"paused": "paused by anna: payroll"}),
    ("drill-unprotected", {"protected": False, "diagnosis": "unprotected"}),
    ("drill-unprotected", {"protected": None}),
    ("drill-lag", {"lag_seconds": 61.0}),
    ("drill-lag", {"lag_seconds": 6.0, "drill": {"max_lag": "5s"}}),
    ("drill-lag-unknown", {"lag_seconds": None}),
)
CALENDAR: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drill-blackout", {"barred": Barred("month-end")}),
    ("drill-blackout-unknown", {"barred": Barred("council", "no such file")}),
    ("drilled-recently", {"ended_ago_seconds": 3600.0}),
)


def test_when_all_is_well_it_may_begin() -> None:
    assert first_held(ground()) is None
    assert first_held(ground(ended_ago_seconds=86401.0)) is None


@pytest.mark.parametrize(("code", "given"), [*DANGER, *CALENDAR])
def test_each_alone_refuses_with_its_code_and_words(code: str, given: dict[str, Any]) -> None:
    held = first_held(ground(**given))
    assert held is not None
    assert held.code == code
    assert held.message
    assert code in REASONS


@pytest.mark.parametrize(("code", "given"), DANGER)
def test_danger_holds_a_person_up_too(code: str, given: dict[str, Any]) -> None:
    held = first_held(ground(**given, by_itself=False))
    assert held is not None
    assert held.code == code


@pytest.mark.parametrize(("code", "given"), CALENDAR)
def test_the_calendar_does_not_hold_a_person_up(code: str, given: dict[str, Any]) -> None:
    assert first_held(ground(**given, by_itself=False)) is None


def test_a_tabletop_drill_touches_nothing_so_fewer_rows_hold_it_up() -> None:
    nothing = {
        "runs": ("ebs-failover-1",),
        "troubles": ("ebs is primary-dead",),
        "paused": "paused",
        "protected": False,
        "lag_seconds": None,
        "no_copy": "the driver of crm cannot promote a copy",
    }
    assert first_held(ground("tabletop", **nothing)) is None
    assert first_held(ground("tabletop", barred=Barred("month-end"))) is not None


def test_the_first_row_wins_and_rows_are_numbered_upwards() -> None:
    everything = {key: value for _, given in (*CALENDAR, *DANGER) for key, value in given.items()}
    held = first_held(ground(**everything))
    assert held is not None
    assert held.number == INTERLOCKS[0].number
    numbers = [row.number for row in INTERLOCKS]
    assert numbers == sorted(set(numbers))
    assert all(row.why for row in INTERLOCKS)
    assert {row.code for row in INTERLOCKS} == {code for code, _ in (*DANGER, *CALENDAR)}
