"""`twinsite simulate`: its arguments, its answers and its exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.simulate import crash_matrix, report
from orchestrator.simulate.search import Finding, Tally
from runbooks.planned import Plan
from tests.cli.conftest import Command


def test_it_runs_seeds_and_says_how_many(twinsite: Command, tmp_path: Path) -> None:
    answer = twinsite("simulate", "--seeds", "3", "--jobs", "1", "--json", str(tmp_path / "out.json"))
    assert answer.exit_code == 0, answer.stderr
    assert "3 scenarios" in answer.stdout
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (found["scenarios"], found["violations"], found["failing_seeds"], found["mutants"]) == (
        3,
        0,
        [],
        [],
    )
    assert found["scenarios_per_second"] > 0


def test_one_seed_is_explained_in_words(twinsite: Command) -> None:
    answer = twinsite("simulate", "--seed", "3", "--explain")
    assert answer.exit_code == 0, answer.stderr
    assert "everything held" in answer.stdout
    assert "sends renewal" in answer.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--explain",), ("--mutants", "--seeds", "4"), ("--seeds", "0"), ("--mutants", "--only", "P99")],
)
def test_what_makes_no_sense_is_wrong_usage(twinsite: Command, arguments: tuple[str, ...]) -> None:
    answer = twinsite("simulate", *arguments)
    assert answer.exit_code == 2
    assert "Traceback" not in answer.stderr


def test_a_failing_seed_is_named_and_ends_with_1(twinsite: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Tally(scenarios=5, seconds=1.0, findings=[Finding(4, "lease", 1, "s is open twice")])
    monkeypatch.setattr(report, "search", lambda **options: found)
    answer = twinsite("simulate", "--seeds", "5")
    assert answer.exit_code == 1
    assert "seed 4 (lease): invariant 1: s is open twice" in answer.stdout
    assert "--seed 4 --explain" in answer.stdout


def test_seeds_that_were_not_run_are_no_success(twinsite: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Tally(scenarios=2, seconds=1.0, unfinished="killed")
    monkeypatch.setattr(report, "search", lambda **options: short)
    answer = twinsite("simulate", "--seeds", "5")
    assert answer.exit_code == 1
    assert "Only 2 of 5" in answer.stdout


def test_the_crash_matrix_is_printed_and_written_as_json(
    twinsite: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = crash_matrix.cases

    def some(moves: dict[str, Plan]) -> Iterator[crash_matrix.Case]:
        return (case for case in every(moves) if case.move == "postgres: rejoin")

    monkeypatch.setattr(crash_matrix, "cases", some)
    answer = twinsite("simulate", "--crash-matrix", "--json", "-")
    assert answer.exit_code == 0
    cells = json.loads(answer.stdout)["crash_matrix"]
    assert set(cells[0]) == {"runbook", "step", "killed", "again", "recovery", "ok", "end_state"}
    assert all(cell["ok"] and cell["end_state"] == "same" for cell in cells)
    assert f"{len(cells)} of {len(cells)} cases ended as the undisturbed run does" in answer.stderr
    alone = twinsite("simulate", "--crash-matrix", "--seeds", "5")
    assert (alone.exit_code, "goes alone" in alone.stderr) == (2, True)
