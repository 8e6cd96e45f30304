"""The corner cases as a whole: every line of the table has rows or a reason, what was played is kept play by
play, several results make one table, and the page says what the code says."""

import ast
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from orchestrator.cli.group import cli
from orchestrator.lab import acts, matrix, rows_table, run, stage
from orchestrator.lab.cases import CASES, NOT_SHOWN, SIMULATED
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.measure import EventFigures
from orchestrator.lab.played import Play, Played, read_results, result
from orchestrator.lab.rows import OFTEN, ROWS
from orchestrator.lab.stage import Check, Stage
from tests.lab.world import World

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "corner-cases.md"
OF_NO_CASE = {  # of the simulation: rules that have no line of their own
    "test_the_other_site_has_the_word_only_when_the_disk_knows_of_no_glass",
    "test_the_other_site_has_the_word_when_the_disk_knows_of_no_glass",
    "test_a_manual_service_moves_by_a_certificate_alone",
}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(acts, "STEADY_WITHIN_SECONDS", 2.0)
    monkeypatch.setattr("orchestrator.lab.plays.QUIET_SECONDS", 0.03)


def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name for node in functions if node.name.startswith("test_")}


# --- the cases ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_every_case_is_played_by_a_row_or_it_is_said_why_not(case: str) -> None:
    assert any(row.of == case for row in ROWS.values()) or case in NOT_SHOWN


def test_rows_and_reasons_are_of_cases_that_there_are() -> None:
    assert {row.of for row in ROWS.values()} | set(NOT_SHOWN) <= set(CASES)
    assert {row.goal for row in ROWS.values()} == {3, OFTEN}
    assert {row.name for row in ROWS.values() if row.goal == OFTEN} == {
        "site-loss",
        "controller-stopped",
        "reaches-neither",
        "link-down",
    }


def test_the_tests_that_a_case_names_are_there_and_none_of_the_simulation_s_is_left_out() -> None:
    named = set(rows_table.names_of_tests())
    for file in {file for file, _ in named}:
        assert {name for of, name in named if of == file} <= names_in(file)
    assert names_in(SIMULATED) - {name for file, name in named if file == SIMULATED} == OF_NO_CASE


def test_the_page_says_of_the_cases_what_the_code_says() -> None:
    begin, end = rows_table.CASES_MARKS
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"{begin}\n")
    assert rest.partition(f"{end}\n")[0] == rows_table.cases_text(), "run tools/docs"
    assert all(mark in rest for mark in rows_table.MEASURED_MARKS)


# --- what was played ---------------------------------------------------------------------------------------


def a_play(outage_seconds: float = 0.1, *, ok: bool = True, margin: float | None = None, **more: Any) -> Play:
    events = tuple(
        EventFigures(
            event="x",
            service=service,
            outage_seconds=outage_seconds,
            acknowledged_rows=9,
            lost_rows=0,
            lost_span_seconds=0.0,
            reported_loss_seconds=None,
            two_writable_seconds=more.get("two_writable_seconds", 0.0),
        )
        for service in more.get("services", ("ebs",))
    )
    margins = () if margin is None else (margin,)
    return Play(
        ok, False, margins, more.get("failed", {}), events, {"ebs": "morpeth 0..1"}, (Check("c", ok),)
    )


def kept(path: Path, *played: Played) -> Path:
    path.write_text(json.dumps(result(played, (), finished=True)), encoding="utf-8")
    return path


def test_what_was_played_comes_back_from_its_json_as_it_was(tmp_path: Path) -> None:
    one = Played(ROWS["reaches-neither"], [a_play(3.2, margin=0.5), a_play(3.4, ok=False)])
    (found,) = read_results([kept(tmp_path / "one.json", one)])
    assert found == one
    assert (found.held, found.margins, found.ok) == (1, [0.5], False)


def test_several_results_make_one_table_in_the_order_of_the_rows(tmp_path: Path) -> None:
    monday = kept(tmp_path / "1.json", Played(ROWS["link-down"], [a_play(failed={"ebs": 0, "crm": 0})]))
    tuesday = kept(
        tmp_path / "2.json",
        Played(ROWS["link-down"], [a_play(0.3, failed={"ebs": 1})]),
        Played(ROWS["site-loss"], [a_play(3.0, margin=0.4), a_play(3.6, margin=0.2)]),
        Played(ROWS["follower-lost"], [a_play(0.12, services=("store",))]),
    )
    text = rows_table.measured(read_results([monday, tuesday]))
    lines = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert list(lines) == ["site-loss", "link-down", "follower-lost"]
    assert lines["site-loss"] == "| `site-loss` | 2/2 | 3.000 | 3.300 | 3.600 | - | 0.200 | 0 | - | 0.000 |"
    assert lines["link-down"] == "| `link-down` | 2/2 | 0.100 | 0.200 | 0.300 | - | - | 0 | 1 | 0.000 |"
    assert "| x | 1 | 0.120 | 0.120 | 0.120 |" in text
    assert text.startswith("5 plays of 3 rows, 5 held; two sites writable for 0.000 s at most.")
    assert "`host-paused`" in text.splitlines()[-1]


def test_two_writable_sites_stand_in_the_table_s_first_line(tmp_path: Path) -> None:
    bad = Played(ROWS["site-loss"], [a_play(), a_play(ok=False, two_writable_seconds=0.25)])
    assert "2 plays of 1 rows, 1 held; two sites writable for 0.250 s" in rows_table.measured([bad])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": [{"row": "site-loss", "plays": [{}]}]}', '{"rows": 3}']
)
def test_what_is_no_result_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(LabMisuse, match=r"bad\.json: not a result"):
        read_results([path])


def test_a_result_named_twice_is_not_counted_twice(tmp_path: Path) -> None:
    path = kept(tmp_path / "one.json", Played(ROWS["blink"], [a_play()]))
    with pytest.raises(LabMisuse, match="named twice"):
        read_results([path, path])
    with pytest.raises(LabMisuse, match=r"none\.json: cannot be read"):
        read_results([tmp_path / "none.json"])


def test_the_table_goes_between_its_marks_and_leaves_the_rest_of_the_page_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, end = rows_table.MEASURED_MARKS
    page.write_text(f"before\n{begin}\nlast week\n{end}\nafter\n")
    path = kept(tmp_path / "one.json", Played(ROWS["blink"], [a_play()]))
    answer = CliRunner().invoke(cli, ["lab", "table", str(path), "--markdown", str(page)])
    assert answer.exit_code == 0, answer.output
    text = page.read_text()
    assert text.startswith(f"before\n{begin}\n1 plays of 1 rows")
    assert text.endswith(f"{end}\nafter\n")
    assert "last week" not in text
    page.write_text("no marks\n")
    answer = CliRunner().invoke(cli, ["lab", "table", str(path), "--markdown", str(page)])
    assert answer.exit_code == 2
    assert begin in answer.output
    assert page.read_text() == "no marks\n"


def test_a_table_of_what_did_not_hold_is_printed_and_is_no_success(tmp_path: Path) -> None:
    path = kept(tmp_path / "one.json", Played(ROWS["blink"], [a_play(ok=False)]))
    answer = CliRunner().invoke(cli, ["lab", "table", str(path)])
    assert answer.exit_code == 1
    assert "| `blink` | 0/1 |" in answer.output


# --- playing them ------------------------------------------------------------------------------------------


class Labs:
    """Labs of a scripted world, in the place of real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *faults: str) -> None:
        self.faults = faults
        self.built: list[bool] = []  # whether with gates
        self.stages: list[Stage] = []
        monkeypatch.setattr("orchestrator.lab.namespaces.why_not", lambda: None)
        monkeypatch.setattr(matrix, "running_lab", self.running)

    @asynccontextmanager
    async def running(self, console: Console, *, netns: bool, gates: bool) -> AsyncIterator[Stage]:
        self.built.append(gates)
        world = World(*self.faults)
        self.stages.append(Stage(world, world, world))
        yield self.stages[-1]


def test_every_play_is_kept_and_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labs = Labs(monkeypatch)
    path = tmp_path / "rows.json"
    assert matrix.run_rows("one-way-link,not-transitive", times=2, json_path=str(path)) == 0
    found = json.loads(path.read_text())
    assert found["finished"]
    assert found["ok"]
    assert {row["row"]: (row["played"], row["held"]) for row in found["rows"]} == {
        "one-way-link": (2, 2),
        "not-transitive": (2, 2),
    }
    assert found["rows"][0]["plays"][0]["failed_writes"] == {"crm": 0, "ebs": 0}
    assert labs.built == [False]
    shown = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    assert shown["one-way-link"][1] == "2/2"
    assert shown["one-way-link"][-2:] == ["0", "0.000"]


def test_what_was_played_before_an_interruption_is_kept_and_the_play_cut_short_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Labs(monkeypatch)
    told, number = run.told, 0

    async def interrupted(story: Any, on: Stage) -> bool:
        nonlocal number
        number += 1
        if number == 4:  # in the second play, after everything went home
            raise KeyboardInterrupt
        return await told(story, on)

    monkeypatch.setattr(matrix, "told", interrupted)
    path = tmp_path / "rows.json"
    assert matrix.run_rows("one-way-link,not-transitive", times=2, json_path=str(path)) == run.INTERRUPTED
    found = json.loads(path.read_text())
    assert not found["finished"]
    assert not found["ok"]
    assert [(row["row"], row["played"], row["held"]) for row in found["rows"]] == [
        ("one-way-link", 1, 1),
        ("not-transitive", 0, 0),
    ]
    assert [one.row.name for one in read_results([path]) if one.plays] == ["one-way-link"]


def test_a_process_that_is_killed_leaves_what_had_been_played(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Labs(monkeypatch)
    path = tmp_path / "rows.json"
    seen = []
    said = World.say

    def say(world: World, text: str) -> None:
        if text.startswith("--- not-transitive"):
            seen.append(json.loads(path.read_text()))
        said(world, text)

    monkeypatch.setattr(World, "say", say)
    assert matrix.run_rows("one-way-link,not-transitive", json_path=str(path)) == 0
    (before,) = seen
    assert [row["played"] for row in before["rows"]] == [1, 0]
    assert not before["ok"]


def test_a_play_that_does_not_hold_is_counted_so_and_the_next_one_gets_another_lab(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    labs = Labs(monkeypatch, "fails-writes")
    path = tmp_path / "rows.json"
    assert matrix.run_rows("not-transitive", times=2, json_path=str(path)) == 1
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["played"], row["held"]) == (2, 0)
    assert row["plays"][0]["failed_writes"]["ebs"] > 0
    assert len(labs.built) == 2


def test_rows_that_need_gates_are_played_on_labs_that_have_them_and_no_lab_is_built_twice_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labs = Labs(monkeypatch)
    monkeypatch.setattr(acts, "TAKEN_WITHIN_SECONDS", 2.0)
    assert matrix.run_rows("host-paused,one-way-link", times=3) == 0
    assert labs.built == [False, True, False, True]
    labs.built.clear()
    assert matrix.run_rows("host-paused,one-way-link", times=3, gates=True) == 0
    assert labs.built == [True]


def test_a_terminal_shows_a_row_that_was_not_reached_as_that() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(rows_table.table([Played(ROWS["blink"])]))
    assert "0/0" in out.getvalue()
