"""`twinsite drill`: what is due and when, what is told of each, and exactly what is ordered."""

import json
from pathlib import Path

from orchestrator.api.drill_shapes import DrillList, DrillRefusal, DrillStatus
from orchestrator.api.shapes import MoveAccepted, Refusal
from tests.cli import canned
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController

DRILLS = """
drills:
  - {name: crm weekly, service: crm, kind: tabletop, schedule: "0 7 * * SUN", timezone: Europe/London,
     blackouts: [never, always], if_missed: next}
  - {name: crm free, service: crm, kind: tabletop, schedule: "30 6 * * SUN", timezone: Europe/London}
  - {name: crm by hand, service: crm, kind: tabletop}
blackouts:
  always: {weekdays: [SUN]}
  never: {dates: ["1999-12-31"]}
"""


def with_drills(estate: Path, drills: str = DRILLS) -> None:
    estate.write_text(canned.ESTATE + drills)


def status(**given: object) -> DrillStatus:
    plain: dict[str, object] = {
        "name": "crm weekly",
        "service": "crm",
        "kind": "isolated",
        "schedule": "0 7 * * SUN",
        "timezone": "Europe/London",
        "carried_out_at": "durham",
        "state": "ready",
        "run": "",
        "next_due": "2026-12-06T07:00:00Z",
        "overdue": False,
        "missed": 0,
        "missed_at": None,
        "last_run": "crm-drill-1",
        "last_outcome": "done",
        "last_why": "",
        "last_ended": "2026-11-29T07:00:21Z",
        "success_run": "crm-drill-1",
        "success_at": "2026-11-29T07:00:21Z",
        "success_seconds": 21.0,
        "success_plan_hash": "ab",
        "exactly_this": True,
        "left_at": "",
        "refusal": None,
    }
    return DrillStatus.model_validate(plain | given)


def test_the_calendar_asks_no_controller_and_shows_blackouts_with_what_comes_instead(
    estate: Path, twinsite: Command
) -> None:
    with_drills(estate)
    shown = twinsite("drill", "calendar", "--months", "2")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    moved = [line for line in lines if "crm weekly" in line]
    assert len(moved) in (8, 9)
    assert all("BLACKOUT always: on Mon" in line and "at 07:00 instead" in line for line in moved[:-1])
    free = [line for line in lines if "crm free" in line]
    assert free
    assert not any("BLACKOUT" in line for line in free)
    assert "Only by hand: crm by hand." in lines


def test_the_calendar_as_json_is_in_the_drills_own_zone(estate: Path, twinsite: Command) -> None:
    with_drills(estate)
    shown = json.loads(twinsite("drill", "calendar", "--json", "--drill", "crm free").stdout)
    assert len(shown["entries"]) in (52, 53)
    assert {entry["at"][11:16] for entry in shown["entries"]} == {"06:30"}
    assert {entry["at"][19:] for entry in shown["entries"]} == {"+00:00", "+01:00"}


def test_a_drill_that_is_not_there_is_named(estate: Path, twinsite: Command) -> None:
    with_drills(estate)
    shown = twinsite("drill", "calendar", "--drill", "crm monthly")
    assert shown.exit_code == 2
    assert "there is crm weekly, crm free, crm by hand" in shown.stderr


def test_the_list_says_when_how_and_why_not(durham: FakeController, twinsite: Command) -> None:
    durham.says(
        "GET",
        "/v1/drills",
        DrillList(
            site="durham",
            drills=[
                status(),
                status(
                    name="crm late",
                    overdue=True,
                    exactly_this=False,
                    last_run="crm-drill-2",
                    last_outcome="failed",
                    missed=2,
                    missed_at="2026-11-22T07:00:00Z",
                    state="owed",
                    left_at="morpeth",
                    refusal=DrillRefusal(at="2026-11-29T07:00:00Z", code="drill-lag", message="9 s behind"),
                ),
                status(name="crm new", run="crm-drill-3", success_at=None, last_run="", schedule=""),
            ],
        ),
    )
    lines = twinsite("drill", "list").stdout.splitlines()
    text = " ".join(" ".join(lines).split())
    assert "last success 2026-11-29 07:00:21 UTC in 21 s, of exactly today's plan" in text
    assert "(to make up for a missed one); OVERDUE; schedule 0 7 * * SUN, Europe/London" in text
    assert "of ANOTHER PLAN THAN TODAY'S" in text
    assert "last run: failed (twinsite runs show crm-drill-2)" in text
    assert "last refused 2026-11-29 07:00:00 UTC: drill-lag: 9 s behind" in text
    assert "missed 2 times, last 2026-11-22 07:00:00 UTC" in text
    assert "LEFT BEHIND: a copy at morpeth is still to be removed" in text
    assert "UNDER WAY: twinsite runs show crm-drill-3" in text
    assert "never done with success" in text


def test_a_drill_is_ordered_with_a_reason_and_by_its_name(durham: FakeController, twinsite: Command) -> None:
    assert twinsite("drill", "run", "crm weekly").exit_code == 2
    assert durham.bodies("/v1/drills/run") == []
    durham.says("POST", "/v1/drills/run", MoveAccepted(run="crm-drill-9", message="the drill has begun"))
    shown = twinsite("drill", "run", "crm weekly", "--reason", "before the upgrade", "--no-follow")
    assert shown.exit_code == 0, shown.output
    assert durham.bodies("/v1/drills/run") == [{"name": "crm weekly", "reason": "before the upgrade"}]


def test_a_refusal_ends_with_three_and_its_code(durham: FakeController, twinsite: Command) -> None:
    refusal = Refusal(code="drill-lag", message="the standby is 90.0 s behind")
    durham.says("POST", "/v1/drills/run", refusal, status=409)
    shown = twinsite("drill", "run", "crm weekly", "--reason", "x")
    assert shown.exit_code == 3
    assert "drill-lag" in shown.stderr
    assert "the standby is 90.0 s behind" in shown.stderr


def test_the_report_is_of_the_last_run(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/drills", DrillList(site="durham", drills=[status(last_run="", success_run="")]))
    never = twinsite("drill", "report", "crm weekly")
    assert (never.exit_code, "never been carried out" in never.stderr) == (1, True)
    assert twinsite("drill", "report", "crm monthly").exit_code == 2
