"""The corner cases: what is played, what is not and why, and what an unsound product would be found by."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.lab import acts, matrix, plays, plays_faults, plays_store, rows, run, soak, stage, stories
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.matrix import Played
from orchestrator.lab.rows import NOT_SHOWN, ROWS, rows_named
from orchestrator.lab.stage import Stage
from tests.lab.world import World

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lab.md"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world answers at once, so what does not come soon never comes."""
    monkeypatch.setattr(stage, "QUIET_SECONDS", 0.02)
    for name in ("STEADY_WITHIN_SECONDS", "TAKEN_WITHIN_SECONDS", "REJOINED_WITHIN_SECONDS"):
        monkeypatch.setattr(acts, name, 2.0)
    monkeypatch.setattr(plays, "QUIET_SECONDS", 0.03)
    monkeypatch.setattr(plays_faults, "BLINK_SECONDS", 0.03)
    monkeypatch.setattr(plays_store, "LEADER_EVERY_SECONDS", 0.03)
    monkeypatch.setattr(plays_store, "STORE_LOST_SECONDS", 0.05)
    monkeypatch.setattr(acts, "REPLAY_LOOKS", 3)
    monkeypatch.setattr(stories, "GUARDED", True)
    monkeypatch.setattr(stories, "LINK_DOWN_SECONDS", 0.05)


async def played(name: str, *faults: str, loss_said: float | None = 0.0) -> Stage:
    world = World(*faults)
    world.loss_said = loss_said
    found = Stage(world, world, world)
    await run.told(ROWS[name].play, found)
    return found


def failed(found: Stage) -> set[str]:
    return {check.name for check in found.checks if not check.ok}


MOVES = ("site-loss", "database-loss", "controller-stopped", "reaches-neither", "one-way-out", "one-way-in")
STAYS = (
    "link-down",
    "store-out-of-reach",
    "one-way-link",
    "not-transitive",
    "store-lost",
    "clock-jumps",
    "disk-full",
    "leader-changes",
    "controller-killed",
    "keeper-killed",
)


@pytest.mark.parametrize("name", [*MOVES, *STAYS, "comes-back"])
async def test_a_sound_product_passes_the_row(name: str) -> None:
    found = await played(name)
    assert failed(found) == set()
    assert found.ok


@pytest.mark.parametrize("name", MOVES)
async def test_two_sites_that_take_writes_are_found_in_every_row_that_moves(name: str) -> None:
    assert any(
        check.endswith("never two sites writable") for check in failed(await played(name, "two-writable"))
    )


@pytest.mark.parametrize("name", ["reaches-neither", "one-way-out", "controller-stopped"])
async def test_a_takeover_before_the_cut_is_found(name: str) -> None:
    found = await played(name, "fences-late")
    assert "morpeth was cut off before durham took writes" in failed(found)
    assert not found.margins or min(found.margins) < 0


async def test_a_client_inside_a_cut_off_site_that_is_still_served_is_found() -> None:
    found = await played("reaches-neither", "serves-inside")
    assert "reaches-neither: never two sites writable" in failed(found)
    assert any(event.two_writable_seconds > 0 for event in found.events)


@pytest.mark.parametrize("name", ["one-way-link", "not-transitive", "store-lost", "disk-full"])
async def test_a_write_that_fails_where_nothing_may_happen_is_found(name: str) -> None:
    assert any("not one write" in check for check in failed(await played(name, "fails-writes")))


async def test_a_site_that_is_taken_over_although_only_its_link_is_down_is_found() -> None:
    assert "nothing was promoted by mistake" in failed(await played("one-way-link", "moves-on-link-down"))


async def test_an_outage_beyond_the_bound_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plays, "DECISION_AND_RUNBOOK_SECONDS", -10.0)
    assert "site-loss: the outage was within the bound" in failed(await played("site-loss"))


def test_every_row_says_what_it_needs_and_is_in_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, row in ROWS.items():
        assert f"| `{name}` | {row.case} | {row.expects} |" in page
        assert name == row.name
    assert {row.goal for row in ROWS.values()} == {3, 20}
    assert NOT_SHOWN


def test_rows_are_chosen_by_name_and_wrong_names_are_answered_with_right_ones() -> None:
    assert [row.name for row in rows_named("blink, site-loss")] == ["blink", "site-loss"]
    assert len(rows_named("all")) == len(ROWS)
    for wrong in ("tornado", "", "blink,tornado"):
        with pytest.raises(LabMisuse, match="reaches-neither"):
            rows_named(wrong)


def test_without_namespaces_neither_rows_nor_a_soak_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.lab.namespaces.why_not", lambda: "no root here")
    with pytest.raises(LabMisuse, match="no root here"):
        matrix.run_rows("all")
    with pytest.raises(LabMisuse, match="no root here"):
        soak.run_soak(1.0)


def test_a_row_whose_needs_are_missing_is_not_played_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.lab.namespaces.why_not", lambda: None)
    monkeypatch.setattr(rows, "MISSING", frozenset({"guard"}))
    with pytest.raises(LabMisuse, match="controller-stopped needs guard"):
        matrix.run_rows("controller-stopped")


async def test_the_table_and_the_json_tell_of_every_play() -> None:
    one = Played(ROWS["reaches-neither"], [await played("reaches-neither") for _ in range(2)])
    bad = Played(ROWS["link-down"], [await played("link-down", "fails-writes")])
    out = io.StringIO()
    Console(file=out, width=120).print(matrix.table([one, bad]))
    lines = {line.split()[0]: line.split() for line in out.getvalue().splitlines() if line.split()}
    assert lines["reaches-neither"][1] == "2/2"
    assert lines["reaches-neither"][-1] == "0.000"
    assert lines["link-down"][1] == "0/1"
    found = json.loads(json.dumps(one.to_json()))
    assert found["held"] == found["played"] == 2
    assert found["two_writable_seconds"] == 0.0
    assert len(found["plays"][0]["margins_seconds"]) == 1
    assert all(check["ok"] for play in found["plays"] for check in play["checks"])


def test_fences_are_counted_in_what_sites_log_and_not_in_what_clients_do(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    line = '{"service": "ebs", "why": "the lease ends", "event": "fencing", "site": "morpeth"}\n'
    (logs / "morpeth-controller.log").write_text(line + '{"event": "decided"}\n' + line)
    (logs / "clients-ebs.log").write_text(line)
    assert soak.fences_said(tmp_path) == 2
