"""A real Prometheus over a real lab, by the rules and dashboards that ship: what should alert does and
nothing else, and every panel of every dashboard has something to show.

Nothing here asserts how quick it was, only that it came.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.lab import alarms
from orchestrator.lab.alarms import Heard, alarm
from orchestrator.lab.places import DATA_SITES
from orchestrator.lab.prometheus import Prometheus
from orchestrator.lab.run import running_lab

DASHBOARDS = Path(__file__).parents[2] / "grafana" / "dashboards"
by_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus here: apt-get install prometheus"
)
CHOICES = {"service": ".*", "observer": ".*", "site": "durham", "__rate_interval": "10s"}
NO_DRILL = "no drill is carried out in this story"
# By dashboard and panel, or annotation: what may show nothing here, and why.
MAY_BE_EMPTY = {
    ("two-sites-at-a-glance.json", "Since the last drill"): NO_DRILL,
    ("drills-and-evidence.json", "Since the last drill"): NO_DRILL,
    ("drills-and-evidence.json", "Until the next one is due"): NO_DRILL,
    ("drills-and-evidence.json", "Of exactly today's plan"): NO_DRILL,
    ("drills-and-evidence.json", "Drills"): NO_DRILL,
    ("drills-and-evidence.json", "Overdue, or not cleaned up"): NO_DRILL,
    ("drills-and-evidence.json", "How long drills took"): NO_DRILL,
    ("drills-and-evidence.json", "Missed so far"): NO_DRILL,
    ("every dashboard", "Drills"): NO_DRILL,
}


# What a machine that is too busy for its tests is rightly warned of.
OF_LOAD = {"TwinsiteLeaseRenewalsLate", "TwinsiteEventLoopSlow", "TwinsiteRunSlow"}


def loud(one: Heard) -> set[str]:
    """What fired and should not have, load apart."""
    return {name for name, _ in one.unwanted} - OF_LOAD


def queries() -> Iterator[tuple[str, str, str]]:
    """Dashboard, panel and query; those that many share stand once."""
    shared: set[str] = set()
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield path.name, panel["title"], target["expr"]
        for annotation in board["annotations"]["list"]:
            if annotation["expr"] not in shared:
                shared.add(annotation["expr"])
                yield "every dashboard", annotation["name"], annotation["expr"]


def chosen(expr: str) -> str:
    """With a value for every choice."""
    found = re.sub(r"\$(\w+)", lambda name: CHOICES[name[1]], expr)
    assert "$" not in found
    return found


async def empty(prometheus: Prometheus) -> list[tuple[str, str, str]]:
    """Every query that has nothing to show of the whole story. A query that is wrong is refused."""
    found = []
    span = {"start": f"{prometheus.started_unix_seconds:.3f}", "end": f"{time.time():.3f}", "step": "1"}
    for board, title, expr in queries():
        answer = await prometheus.ask("query_range", query=chosen(expr), **span)
        if not answer["result"]:
            found.append((board, title, expr))
    return found


@pytest.mark.slow
@by_prometheus
async def test_what_should_alert_does_and_nothing_else_and_every_panel_has_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    heard: list[Heard] = []
    console = Console(force_terminal=False, highlight=False)
    async with running_lab(console) as stage, alarms.watched(stage) as prometheus:
        await alarms.alarms(stage, prometheus, heard)
        nothing = [each for each in await empty(prometheus) if each[:2] not in MAY_BE_EMPTY]
        await both_told(prometheus)
    wrong = [one.to_json() for one in heard if one.wanted != set(one.after_seconds) or loud(one)]
    assert (wrong, nothing) == ([], [])
    ended = [check for check in stage.checks if not check.ok and "none else fired" not in check.name]
    assert ended == []


async def both_told(prometheus: Prometheus) -> None:
    """Both controllers told of the same services, apart by `observer`."""
    told = await prometheus.ask("query", query="count by (observer) (twinsite_service_info)")
    counts: dict[str, Any] = {each["metric"]["observer"]: each["value"][1] for each in told["result"]}
    assert counts == dict.fromkeys(DATA_SITES, "2")


def test_what_may_be_empty_is_something_that_there_is() -> None:
    assert set(MAY_BE_EMPTY) <= {(board, title) for board, title, _ in queries()}


def test_an_act_holds_when_each_alert_that_should_fire_did_and_none_else() -> None:
    dark, other = alarm("TwinsiteSiteDark", site="morpeth"), alarm("TwinsiteSiteDark", site="durham")
    wanted = frozenset({dark})
    assert Heard("x", wanted, {dark: 3.0}).ok
    assert not Heard("x", wanted).ok
    assert not Heard("x", wanted, {dark: 3.0}, frozenset({other})).ok
    assert "durham" in Heard("x", wanted, {dark: 3.0}, frozenset({other})).to_json()["unwanted"]
