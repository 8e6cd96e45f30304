"""What a person at a terminal sees and is asked."""

from pathlib import Path

import pytest

from orchestrator.api.shapes import MoveAccepted, RunList
from tests.cli import canned
from tests.cli.fake_controller import FakeController
from tests.cli.terminal import Terminal


@pytest.fixture
def movable(durham: FakeController) -> FakeController:
    """A controller that plans a failover of ebs and takes the order."""
    durham.says("POST", "/v1/plan", canned.plan())
    durham.says("POST", "/v1/moves", MoveAccepted(run="ebs-failover-7", message="Begun."))
    durham.streams(*canned.whole_run())
    return durham


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_a_status_fits_the_terminal_and_is_never_wider_than_100_columns(
    durham: FakeController, estate: Path, columns: int
) -> None:
    durham.says("GET", "/v1/status", canned.morpeth_lost())
    with Terminal(estate, "status", columns=columns) as terminal:
        code, shown = terminal.end()
    assert code == 0
    assert max(len(line) for line in shown.splitlines()) <= min(columns, 100)
    for word in ("DOWN", "RUN OUT", "UNPROTECTED", "site dark", "14.2 s ago", "twinsite failover ebs"):
        assert word in shown


def test_the_sites_name_is_asked_for_and_typing_it_goes_on(movable: FakeController, estate: Path) -> None:
    with Terminal(estate, "failover", "ebs") as terminal:
        asked = terminal.wait_for("Site:")
        assert "Data loss: at most 0.8 s of changes would be lost" in asked
        assert "type the name of the site: morpeth" in asked
        assert movable.bodies("/v1/moves") == []
        terminal.keys("morpeth\r")
        code, shown = terminal.end()
    assert code == 0
    assert "done after 2.1 s: failover of ebs from morpeth to durham" in shown
    assert movable.bodies("/v1/moves")[0]["confirmed_site"] == "morpeth"


@pytest.mark.parametrize("typed", ["yes", "durham", ""])
def test_any_other_word_does_nothing(movable: FakeController, estate: Path, typed: str) -> None:
    with Terminal(estate, "failover", "ebs") as terminal:
        terminal.wait_for("Site:")
        terminal.keys(f"{typed}\r")
        code, shown = terminal.end()
    assert code == 2
    assert "That is not morpeth. Nothing was done." in shown
    assert movable.bodies("/v1/moves") == []


def test_ctrl_c_at_the_question_does_nothing(movable: FakeController, estate: Path) -> None:
    with Terminal(estate, "failover", "ebs") as terminal:
        terminal.wait_for("Site:")
        code, shown = terminal.press_ctrl_c_until_the_end()
    assert code == 130
    assert "Nothing was done." in shown
    assert movable.bodies("/v1/moves") == []


def test_ctrl_c_while_looking_on_leaves_the_run_alone_and_says_how_to_look_again(
    movable: FakeController, estate: Path
) -> None:
    movable.streams(*canned.whole_run()[:2])
    movable.hang_after_stream = True
    with Terminal(estate, "failover", "ebs", "--yes") as terminal:
        terminal.wait_for("running")
        terminal.keys("\x03")
        code, shown = terminal.end()
    assert code == 130
    assert "Stopped looking; the run goes on without you." in shown
    assert "Look again: twinsite runs show ebs-failover-7" in shown
    assert {path for _, path, _ in movable.asked} == {
        "/v1/plan",
        "/v1/moves",
        "/v1/runs/ebs-failover-7/follow",
    }


def test_watching_survives_the_controller_going_away_and_says_so(estate: Path) -> None:
    with FakeController(estate.parent / "durham" / "controller.sock") as controller:
        controller.says("GET", "/v1/status", canned.steady())
        with Terminal(estate, "status", "--watch") as terminal:
            terminal.wait_for("every service is well")
            controller.stop()
            terminal.wait_for("THE CONTROLLER DOES NOT ANSWER")
            terminal.wait_for("What follows is what it said")
            terminal.keys("\x03")
            code, shown = terminal.end()
    assert code == 0
    assert "The controller does not answer:" in shown
    assert "Traceback" not in shown


def test_a_status_without_colour_has_the_same_words(
    durham: FakeController, estate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durham.says("GET", "/v1/status", canned.morpeth_lost())
    with Terminal(estate, "status") as terminal:
        coloured = terminal.end()
    with Terminal(estate, "status", colour=False) as terminal:
        plain = terminal.end()
        assert "\x1b[1;31m" not in terminal.raw
    assert plain == coloured


def test_ctrl_c_while_a_site_is_moved_ends_only_the_looking(movable: FakeController, estate: Path) -> None:
    plan = canned.site_plan(canned.site_part(canned.plan("ebs")), canned.site_part(canned.plan("crm")))
    movable.says("POST", "/v1/sites/plan", plan)
    movable.says("POST", "/v1/sites/moves", MoveAccepted(run="morpeth-failover-9", message=""))
    movable.streams(canned.site_run("running", ebs="running", crm="waiting"))
    movable.hang_after_stream = True
    with Terminal(estate, "failover", "--site", "morpeth", "--yes") as terminal:
        terminal.wait_for("waiting")
        terminal.keys("\x03")
        code, shown = terminal.end()
    assert code == 130
    assert "the run goes on without you" in shown
    assert len(movable.bodies("/v1/sites/moves")) == 1


def test_runs_are_a_table_that_fits_and_whose_names_can_be_copied(
    durham: FakeController, estate: Path
) -> None:
    name = "ebs-switchover-20261123-060013-3654"
    durham.says("GET", "/v1/runs", RunList(runs=[canned.run("ebs", run=name)]))
    with Terminal(estate, "runs", columns=80) as terminal:
        code, shown = terminal.end()
    assert code == 0
    assert name in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
