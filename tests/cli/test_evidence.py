"""Who reaches whom, what every observer sees, and pauses that cannot be forgotten: as people read them."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.shapes import (
    Explanation,
    Finding,
    LagList,
    PauseStatus,
    ReachStatus,
    RunList,
    Sight,
    Status,
)
from tests.cli import canned
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController
from tests.cli.terminal import Terminal

PAUSE = PauseStatus(
    who="jbell@durham",
    reason="storage work",
    since="2026-11-23T03:00:00Z",
    ends="2026-11-23T04:30:00Z",
    remaining_seconds=4673.0,
)
PAUSED = "PAUSED for another 1 h 17 min, until 2026-11-23 04:30:00 UTC, by jbell@durham: storage work"
LINK_DOWN = (
    "derwentside reaches durham and morpeth, which do not reach each other: the link durham-morpeth is down, "
    "the sites are not"
)


def reach(observer: str, target: str, reached: bool | None, kind: str = "site", **more: Any) -> ReachStatus:
    told = {"age_seconds": 1.2, "detail": "controller: timed-out"} | more
    return ReachStatus(observer=observer, target=target, kind=kind, reached=reached, **told)


MATRIX = [
    reach("durham", "morpeth", False),
    reach("durham", "derwentside", True),
    reach("durham", "morpeth", False, "store member"),
    reach("morpeth", "durham", False),
    reach("morpeth", "derwentside", None, age_seconds=None, detail="there is no way to try"),
    reach("derwentside", "durham", True),
    reach("derwentside", "morpeth", True),
    reach("derwentside", "morpeth", True, "store member"),
]


def cut(status: Status) -> Status:
    found = Finding(finding="link down", about=["durham", "morpeth"], words=LINK_DOWN)
    return status.model_copy(update={"reach": MATRIX, "findings": [found], "overall": "degraded"})


def paused(status: Status) -> Status:
    services = [
        each.model_copy(update={"pause": PAUSE, "paused": "paused by jbell"})
        if each.service == "crm"
        else each
        for each in status.services
    ]
    return status.model_copy(update={"services": services})


def test_a_status_shows_who_reaches_whom_and_what_that_means(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("GET", "/v1/status", cut(canned.steady()))
    shown = twinsite("status").stdout
    assert (
        """\
Who reaches whom
  durham: morpeth NO, derwentside yes; store: morpeth NO (up to 1.2 s ago)
  morpeth: durham NO, derwentside unknown (up to 1.2 s ago)
  derwentside: durham yes, morpeth yes; store: morpeth yes (up to 1.2 s ago)
"""
        in shown
    )
    assert "  between the sites: link down: derwentside reaches durham and morpeth, which do not" in shown
    assert "the link durham-morpeth is down, the sites are not" in " ".join(shown.split())
    assert shown.startswith("DEGRADED")


def test_a_controller_that_says_nothing_of_it_gets_no_empty_matrix(
    durham: FakeController, twinsite: Command
) -> None:
    assert "Who reaches whom" not in twinsite("status").stdout


def test_explain_puts_what_every_observer_sees_side_by_side(
    durham: FakeController, twinsite: Command
) -> None:
    def sight(observer: str, seen: str, writable: bool | None, probe: str = "", reason: str = "") -> Sight:
        return Sight(
            observer=observer, site="morpeth", probe=probe, seen=seen, writable=writable, reason=reason,
            age_seconds=0.4,
        )  # fmt: skip

    told = canned.explanation().model_copy(
        update={
            "sights": [
                sight("durham", "unknown", None, reason="timed-out"),
                sight("morpeth", "primary", True),
                sight("derwentside", "standby", True),
                sight("derwentside", "down", None, "login page", "refused"),
            ],
            "disagreements": ["observers disagree about the instance at morpeth: primary: morpeth; …"],
            "would_have_to_change": ["this would have to end: automatic moves of it are paused"],
            "reach": MATRIX,
            "findings": [Finding(finding="link down", about=["durham", "morpeth"], words=LINK_DOWN)],
            "pause": PAUSE,
        }
    )
    durham.says("GET", "/v1/explain/ebs", told)
    shown = " ".join(twinsite("explain", "ebs").stdout.split())
    assert (
        "instance at morpeth: durham: unknown (timed-out), 0.4 s ago | morpeth: primary, writable, 0.4 s ago "
        "| derwentside: standby, WRITABLE, 0.4 s ago" in shown
    )
    assert "probe login page at morpeth: derwentside: down (refused), 0.4 s ago" in shown
    assert "observers disagree about the instance at morpeth" in shown
    assert "for it to act by itself this would have to end: automatic moves of it are paused" in shown
    assert "durham: morpeth NO (1.2 s ago), derwentside yes" in shown
    assert "durham to morpeth: controller: timed-out" in shown
    assert f"link down: {LINK_DOWN}" in shown
    assert PAUSED in shown
    assert Explanation.model_validate_json(twinsite("explain", "ebs", "--json").stdout) == told


@pytest.mark.parametrize("columns", [None, 60])
def test_a_pause_is_in_the_status_with_how_long_it_lasts_who_made_it_why_and_how_to_end_it(
    durham: FakeController, twinsite: Command, columns: int | None
) -> None:
    durham.says("GET", "/v1/status", paused(canned.steady()))
    shown = " ".join(twinsite("status").stdout.split())
    assert shown.count(PAUSED) == 2, "at its service, and among what is not as it should be"
    assert "when that is not needed any more: `twinsite resume crm`" in shown
    assert "What to do next: nothing" not in shown


def test_a_pause_is_in_lag_runs_and_plan_too(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/status", paused(canned.steady()))
    told = " ".join(twinsite("lag").stdout.split())
    assert told.endswith(f"receiving; {PAUSED}")
    assert LagList.model_validate_json(twinsite("lag", "--json").stdout).pauses == {"crm": PAUSE}

    durham.says("GET", "/v1/runs", RunList(runs=[], pauses={"crm": PAUSE}))
    assert twinsite("runs").stdout.splitlines()[0].startswith("crm is PAUSED for another 1 h 17 min")
    assert RunList.model_validate_json(twinsite("runs", "--json").stdout).pauses == {"crm": PAUSE}

    run = canned.run("crm").model_copy(update={"pause": PAUSE})
    durham.says("GET", f"/v1/runs/{run.run}", run)
    assert PAUSED in " ".join(twinsite("runs", "show", run.run).stdout.split())

    durham.says("POST", "/v1/plan", canned.plan("crm").model_copy(update={"pause": PAUSE}))
    assert PAUSED in " ".join(twinsite("plan", "failover", "crm").stdout.split())


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_matrix_fits_the_terminal_and_a_no_and_a_pause_are_in_it(
    durham: FakeController, estate: Path, columns: int
) -> None:
    durham.says("GET", "/v1/status", paused(cut(canned.steady())))
    with Terminal(estate, "status", columns=columns) as terminal:
        code, shown = terminal.end()
    assert code == 0
    assert max(len(line) for line in shown.splitlines()) <= columns
    for word in ("NO", "PAUSED", "link down", "twinsite resume crm"):
        assert word in shown
