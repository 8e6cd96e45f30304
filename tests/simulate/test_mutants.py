"""The simulation is strong enough: every rule has a mutant, and each is found out at its recorded seed."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from orchestrator.simulate.families import NAMES
from orchestrator.simulate.loader import Edit, EditFailed, edited, install
from orchestrator.simulate.mutants import MUTANTS, Mutant
from orchestrator.simulate.report import BEGIN, END, RULES, put_table, rows_of, table
from orchestrator.simulate.search import search

NEAR = 6000
PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"


def source_of(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}-{mutant.name}")
def test_every_snippet_stands_exactly_once(mutant: Mutant) -> None:
    for module in {edit.module for edit in mutant.edits}:
        edits = [edit for edit in mutant.edits if edit.module == module]
        compile(edited(source_of(module), edits), module, "exec")
    assert set(mutant.families) <= set(NAMES)


def test_every_rule_has_a_mutant() -> None:
    covered = {rule for mutant in MUTANTS for rule in mutant.rule.split()}
    assert covered == set(RULES)
    assert {f"P{number}" for number in range(1, 34)} < covered


def test_no_two_mutants_have_one_name() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)


def test_a_snippet_that_is_gone_or_stands_twice_is_an_error() -> None:
    for source in ("nothing", "here here"):
        with pytest.raises(EditFailed, match="not once"):
            edited(source, [Edit("module", "here", "there")])


def test_a_module_that_was_imported_before_is_an_error() -> None:
    with pytest.raises(EditFailed, match="imported already"):
        install([Edit("orchestrator.simulate.loader", "x", "y")])


def test_the_page_lists_every_mutant() -> None:
    assert [(rule, name) for rule, name, _, _ in rows_of(PAGE)] == [
        (mutant.rule, mutant.name) for mutant in MUTANTS
    ]


def test_every_mutant_was_found_out() -> None:
    assert [name for _, name, seed, _ in rows_of(PAGE) if seed is None] == []


@pytest.mark.slow
def test_each_mutant_is_found_out_at_its_seed_or_not_far_from_it() -> None:
    """A change of the code changes the runs, and then another seed finds it; the page is made anew by
    `twinsite simulate --mutants --markdown docs/simulation.md`."""
    mutants = {mutant.name: mutant for mutant in MUTANTS}

    def look(row: tuple[str, str, int | None, int | None]) -> str:
        _, name, seed, _ = row
        assert seed is not None
        mutant = mutants[name]
        found = search(first=seed, count=1, jobs=1, edits=mutant.edits)
        if not found.findings:
            found = search(
                first=0, count=NEAR, jobs=1, edits=mutant.edits, families=mutant.families, stop=True
            )
        invariants = [finding.invariant for finding in found.findings if finding.invariant]
        return "" if invariants else f"{name}: not found out at seed {seed}, nor near {found.unfinished}"

    with ThreadPoolExecutor(2) as pool:
        missed = [words for words in pool.map(look, rows_of(PAGE)) if words]
    assert missed == []


@pytest.mark.slow
def test_the_code_as_it_is_holds_at_every_seed_of_the_table() -> None:
    from orchestrator.simulate.run import run_seed

    for seed in sorted({seed for _, _, seed, _ in rows_of(PAGE) if seed is not None}):
        assert run_seed(seed).violations == (), seed


def test_the_table_goes_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    row = {"rule": "P9", "mutant": "no wait", "words": "at once", "caught": True}
    row |= {"seed": 3, "invariant": 1}
    put_table(page, table([row]))
    put_table(page, table([row]))
    assert rows_of(page) == [("P9", "no wait", 3, 1)]
    assert page.read_text(encoding="utf-8").startswith("before\n")
    assert page.read_text(encoding="utf-8").endswith("\nafter\n")
