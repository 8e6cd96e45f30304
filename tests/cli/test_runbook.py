"""Runbooks at the command: checked, drawn, printed; with an estate and without."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.group import cli
from orchestrator.cli.runbook import show
from runbooks.rules import RULES
from tests.cli import canned
from tests.cli.conftest import Command

RUNBOOK = """\
runbook: promote
title: Open it
for: postgres
inverse: postgres/demote
steps:
  - {id: database, action: replication.promote, timeout: 1m, verify: {role: primary}}
"""
UNTIMED = RUNBOOK.replace(", timeout: 1m", "")
HOST = """\
  - {id: app, action: ssh, host: "{{ to_site.hosts['crm-web'] }}", run: x, timeout: 1m, unless: "true"}
"""


@pytest.fixture
def own(estate: Path) -> Path:
    """A folder of runbooks that the estate names; crm uses `open` in it."""
    folder = estate.parent / "runbooks"
    folder.mkdir()
    text = canned.ESTATE.replace("rank: 2}", "rank: 2, runbooks: {promote: open}}")
    estate.write_text(text + "runbook_path: [runbooks]\n")
    (folder / "open.yaml").write_text(RUNBOOK)
    return folder


def test_a_sound_runbook_is_said_to_be_in_order(tmp_path: Path, twinsite: Command) -> None:
    path = tmp_path / "promote.yaml"
    path.write_text(RUNBOOK)
    answer = twinsite("runbook", "check", str(path))
    assert (answer.exit_code, answer.stdout) == (0, f"{path}: in order: Open it, 1 step\n")


def test_a_warning_has_its_line_its_code_and_what_to_do_and_does_not_fail_the_check(
    tmp_path: Path, twinsite: Command
) -> None:
    path = tmp_path / "start.yaml"
    path.write_text(UNTIMED)
    answer = twinsite("runbook", "check", str(path))
    assert answer.exit_code == 0
    lines = answer.stdout.splitlines()
    assert lines[0].startswith(f"{path}:6:5: warning no-timeout: steps[0]: step database changes something")
    assert lines[3] == f"    do: {RULES['no-timeout'].remedy}"
    assert lines[-1] == f"{path}: in order: Open it, 1 step, 1 warning"


def test_strict_lets_warnings_fail_but_not_those_that_are_allowed(tmp_path: Path, twinsite: Command) -> None:
    path = tmp_path / "start.yaml"
    path.write_text(UNTIMED)
    answer = twinsite("runbook", "check", "--strict", str(path))
    assert answer.exit_code == 2
    assert answer.stderr.endswith("1 of 1 runbooks have warnings, and --strict is given.\n")
    path.write_text(UNTIMED.replace("  - {", "  # twinsite: allow no-timeout because it is quick\n  - {"))
    answer = twinsite("runbook", "check", "--strict", str(path))
    assert answer.exit_code == 0
    assert answer.stdout.endswith("in order: Open it, 1 step, 1 warning allowed\n")


def test_faults_of_one_runbook_do_not_hide_those_of_the_next(tmp_path: Path, twinsite: Command) -> None:
    bad, worse, good = (tmp_path / name for name in ("bad.yaml", "worse.yaml", "good.yaml"))
    bad.write_text(RUNBOOK.replace("replication.promote", "replication.promot"))
    worse.write_text(RUNBOOK.replace("timeout: 1m", "timeout: 1m, needs: [nobody]"))
    good.write_text(RUNBOOK)
    answer = twinsite("runbook", "check", str(bad), str(worse), str(good))
    assert answer.exit_code == 2
    assert f"{bad}:6:28: fault unknown-action: steps[0].action: found the unknown action" in answer.stderr
    assert f"{worse}:6:" in answer.stderr
    assert answer.stderr.endswith("2 of 3 runbooks have faults.\n")
    assert f"{good}: in order" in answer.stdout


def test_a_runbook_that_cannot_be_read_is_wrong_usage(tmp_path: Path, twinsite: Command) -> None:
    path = tmp_path / "none.yaml"
    answer = twinsite("runbook", "check", str(path))
    assert answer.exit_code == 2
    assert answer.stderr.splitlines()[0].startswith(f"{path}: fault unreadable: cannot be read")


def test_without_a_name_all_of_the_estate_and_all_that_ship_are_checked(own: Path, twinsite: Command) -> None:
    answer = twinsite("runbook", "check", "--strict")
    assert (answer.exit_code, answer.stderr) == (0, "")
    said = answer.stdout
    assert f"{own / 'open.yaml'}: in order: Open it, 1 step, used by crm\n" in said
    for name in ("demote", "promote", "rejoin"):
        assert f"postgres/{name}.yaml: in order: " in said


def test_a_runbook_is_bound_to_the_services_that_use_it_in_both_directions(
    own: Path, twinsite: Command
) -> None:
    (own / "open.yaml").write_text(RUNBOOK + HOST)
    answer = twinsite("runbook", "check", "open")
    assert answer.exit_code == 2
    assert "open.yaml:7:34: fault cannot-be-planned: steps[1].host: found nothing called" in answer.stderr
    assert "'crm-web', for crm in both directions; expected" in answer.stderr


def test_a_faulty_estate_does_not_stand_in_the_way_and_what_was_not_looked_up_is_said(
    own: Path, estate: Path, twinsite: Command
) -> None:
    (own / "open.yaml").write_text(RUNBOOK + HOST)
    estate.write_text("version: 1\nservices: []\n")
    answer = twinsite("runbook", "check", str(own / "open.yaml"))
    assert answer.exit_code == 0
    assert "its folders and services are not looked up" in " ".join(answer.stderr.split())


def test_without_an_estate_file_runbooks_are_checked_by_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.cli.connect.PLACES", (Path("sites.yaml"),))
    monkeypatch.delenv("TWINSITE_CONFIG", raising=False)
    answer = CliRunner().invoke(cli, ["runbook", "check", "postgres/rejoin"], prog_name="twinsite")
    assert answer.exit_code == 0
    assert answer.stderr.startswith("No estate file here")


def test_an_unknown_name_says_what_there_is(own: Path, twinsite: Command) -> None:
    answer = twinsite("runbook", "check", "opn")
    assert answer.exit_code == 2
    assert "perhaps open" in answer.stderr


def test_findings_as_json_have_the_same_codes_and_places(own: Path, twinsite: Command) -> None:
    (own / "open.yaml").write_text(UNTIMED.replace("  - {", "  # twinsite: allow no-verify because x\n  - {"))
    answer = twinsite("runbook", "check", "--json", "open")
    assert answer.exit_code == 0
    said = json.loads(answer.stdout)
    assert (said["faults"], said["warnings"]) == (0, 2)
    (one,) = said["runbooks"]
    assert (one["name"], one["steps"], one["used_by"]) == ("open", 1, [{"service": "crm", "role": "promote"}])
    found = [(each["code"], each["severity"], each["line"], each["column"]) for each in one["findings"]]
    assert found == [("allow-without-effect", "warning", 6, 3), ("no-timeout", "warning", 7, 5)]
    assert one["findings"][1]["remedy"] == RULES["no-timeout"].remedy


def test_json_of_a_faulty_runbook_is_whole_and_the_check_fails(own: Path, twinsite: Command) -> None:
    (own / "open.yaml").write_text("runbook: [")
    answer = twinsite("runbook", "check", "--json", "open")
    assert answer.exit_code == 2
    (one,) = json.loads(answer.stdout)["runbooks"]
    assert (one["title"], [each["code"] for each in one["findings"]]) == (None, ["broken-yaml"])


# -- graph and show -----------------------------------------------------------------------------------


def test_a_graph_goes_to_the_screen_or_into_a_file_that_wikis_show(
    own: Path, tmp_path: Path, twinsite: Command
) -> None:
    drawn = twinsite("runbook", "graph", "open", "--kind", "failover")
    assert (drawn.exit_code, drawn.stdout.splitlines()[2]) == (0, "flowchart TD")
    plain, page = tmp_path / "open.mmd", tmp_path / "open.md"
    for path in (plain, page):
        assert (
            twinsite("runbook", "graph", "open", "--kind", "failover", "--output", str(path)).exit_code == 0
        )
    assert plain.read_text() == drawn.stdout
    assert page.read_text() == f"```mermaid\n{drawn.stdout}```\n"
    nowhere = twinsite("runbook", "graph", "open", "--output", str(tmp_path / "none" / "open.md"))
    assert nowhere.exit_code == 2
    assert "cannot be written" in nowhere.stderr


def test_the_page_of_a_service_has_the_numbers_of_its_plan(own: Path, twinsite: Command) -> None:
    lost = twinsite("runbook", "show", "open", "--service", "crm", "--to", "morpeth").stdout
    assert "Failover of crm from durham to morpeth. Runbook open, " in lost
    assert " 1. (Take it over from Durham as soon as its lease is over; done by" in lost
    assert "[ ]  2. database\n      where       morpeth\n" in lost
    assert " 3. (The move is over; done by twinsite itself)" in lost


def test_the_page_as_json_says_the_same(own: Path, twinsite: Command) -> None:
    said = json.loads(
        twinsite("runbook", "show", "open", "--service", "crm", "--to", "morpeth", "--json").stdout
    )
    assert [(one["number"], one["id"], one["where"]) for one in said["steps"]] == [
        (2, "promote/database", "morpeth")
    ]
    assert [one["number"] for one in said["around"]] == [1, 3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--service", "crm"], "--service and --to belong together"),
        (["--service", "crn", "--to", "morpeth"], "no service 'crn'; there are: crm, ebs"),
        (["--service", "crm", "--to", "gateshead"], "no site 'gateshead'"),
        (["--service", "crm", "--to", "derwentside"], "its sites are durham and morpeth"),
        (["--service", "crm", "--to", "morpeth", "--kind", "rejoin"], "A rejoin has no promote runbook"),
    ],
)
def test_a_page_that_there_is_not_is_wrong_usage(
    own: Path, twinsite: Command, arguments: list[str], said: str
) -> None:
    answer = twinsite("runbook", "show", "open", *arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr


def test_names_of_runbooks_are_completed_and_so_are_files(own: Path, estate: Path) -> None:
    context = click.Context(show, parent=click.Context(cli, info_name="twinsite"))
    context.find_root().params["config"] = estate
    found = show.params[0].shell_complete(context, "p")
    assert [(one.value, one.type) for one in found] == [
        ("parts/demote", "plain"),
        ("parts/promote", "plain"),
        ("parts/rejoin", "plain"),
        ("postgres/demote", "plain"),
        ("postgres/promote", "plain"),
        ("postgres/rejoin", "plain"),
        ("p", "file"),
    ]
    assert show.params[0].shell_complete(context, "op")[0].value == "open"
