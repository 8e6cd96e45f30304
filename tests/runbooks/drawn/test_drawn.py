"""Runbooks drawn and printed: word for word what stands in the files beside this one.

After a change that is meant, write them anew: `TWINSITE_WRITE_DRAWN=1 pytest tests/runbooks/drawn`.
"""

import os
import re
from pathlib import Path

import pytest

from runbooks.actions import shipped_actions
from runbooks.flowchart import escaped, flowchart
from runbooks.library import Library
from runbooks.model import Kind, Runbook
from runbooks.page import page_of, page_of_plan
from runbooks.page_text import COLUMNS, render_page
from runbooks.plan import bind, compose
from tests.runbooks.worlds import FACTS, scope

HERE = Path(__file__).parent
LIBRARY = Library(shipped_actions(), (HERE,))
CASES = [("postgres/promote", None), ("postgres/rejoin", None), ("move", None), ("move", Kind.FAILOVER)]


def load(name: str) -> Runbook:
    """The runbook; its text's hash would change the files with every comment."""
    return LIBRARY.load(name).model_copy(update={"source_sha256": "0" * 64})


def is_in_the_file(lines: list[str], name: str) -> None:
    path = HERE / name
    text = "\n".join(lines) + "\n"
    if os.environ.get("TWINSITE_WRITE_DRAWN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def stem(name: str, kind: Kind | None) -> str:
    return f"{name.replace('/', '-')}{f'-{kind}' if kind else ''}"


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_runbook_is_drawn_the_same_every_time(name: str, kind: Kind | None) -> None:
    is_in_the_file(flowchart(load(name), LIBRARY.catalogue, kind), f"{stem(name, kind)}.mmd")


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_runbook_is_printed_the_same_every_time(name: str, kind: Kind | None) -> None:
    is_in_the_file(render_page(page_of(load(name), LIBRARY.catalogue, kind)), f"{stem(name, kind)}.txt")


def test_a_runbook_of_a_service_is_printed_with_its_hosts_and_values() -> None:
    runbook = load("move")
    bound = bind(runbook, scope(parameters={"banner": "Back at noon"}), FACTS, LIBRARY.catalogue)
    plan = compose(
        bound,
        run_id="",
        kind=Kind.FAILOVER,
        service="crm",
        from_site="durham",
        to_site="morpeth",
        epoch=0,
    )
    page = page_of_plan(plan, plan.parts[0], runbook, LIBRARY.catalogue, ["A note."])
    is_in_the_file(render_page(page), "move-of-crm.txt")


@pytest.mark.parametrize("name", [name for name, _ in CASES[:3]])
def test_a_page_prints_at_80_columns_and_holds_every_step_in_the_order_of_its_number(name: str) -> None:
    page = page_of(load(name), LIBRARY.catalogue)
    lines = render_page(page)
    assert max(len(line) for line in lines) <= COLUMNS
    boxes = [int(found[1]) for line in lines if (found := re.match(r"\[ \] +(\d+)\. ", line))]
    assert boxes == list(range(1, len(load(name).steps) + 1))


def test_the_numbers_drawn_and_printed_are_those_of_the_plan() -> None:
    runbook = load("move")
    for kind in (Kind.FAILOVER, Kind.SWITCHOVER):
        part = bind(runbook, scope(kind, {"banner": "x"}), FACTS, LIBRARY.catalogue)
        plan = compose(
            part, run_id="", kind=kind, service="crm", from_site="durham", to_site="morpeth", epoch=0
        )
        planned = {step.id.rpartition("/")[2]: step.number for step in plan.steps}
        printed = {step.id: step.number for step in page_of(runbook, LIBRARY.catalogue, kind).steps}
        chart = "\n".join(flowchart(runbook, LIBRARY.catalogue, kind))
        drawn = {
            found[0].replace("_", "-"): int(found[1]) for found in re.findall(r"step_(\w+)\W+(\d+):", chart)
        }
        assert printed == planned
        assert drawn == planned


def test_what_a_step_left_out_of_a_kind_needed_is_needed_instead() -> None:
    chart = flowchart(load("move"), LIBRARY.catalogue, Kind.SWITCHOVER)
    arrows = {line.strip().replace("==>", "-->") for line in chart if "-->" in line or "==>" in line}
    assert "step_check_point --> step_database" in arrows
    assert "step_database --> step_tell" in arrows
    assert not any("step_look" in line for line in chart)


def test_nothing_in_a_title_can_break_the_drawing_out_of_its_quotes() -> None:
    assert escaped('"]; x --> y `<b>&#1') == "#34;#93;; x --#62; y #96;#60;b#62;#38;#35;1"
    for line in flowchart(load("move"), LIBRARY.catalogue):
        if line.startswith("    step_end["):
            assert line.count('"') == 2
            assert not re.search(r"[<>&`]", line.replace("<br/>", ""))


def test_a_kind_that_no_step_belongs_to_is_drawn_and_printed_as_that() -> None:
    text = (HERE / "move.yaml").read_text().replace("timeout: 90s", "timeout: 90s\n    during: failover")
    only = re.sub(r"  - id: check-point.*", "", text, flags=re.DOTALL)
    runbook = LIBRARY.parse(only, file="x.yaml", name="x")
    assert flowchart(runbook, LIBRARY.catalogue, Kind.REJOIN)[-1] == '    none["No step belongs to rejoin"]'
    assert render_page(page_of(runbook, LIBRARY.catalogue, Kind.REJOIN))[-1].startswith("No step belongs")


def test_the_longest_chain_is_told_in_words_and_by_thick_lines_and_never_by_colour() -> None:
    chart = flowchart(load("move"), LIBRARY.catalogue)
    told = [line for line in chart if "on the longest chain" in line]
    thick = [line for line in chart if "==>" in line]
    assert len(told) == len(thick) + 1
    assert not any(re.search(r"fill|color", line) for line in chart)
