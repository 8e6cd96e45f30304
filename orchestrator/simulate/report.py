"""What `twinsite simulate` prints: progress, failing seeds, a timeline, the table of mutants."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from orchestrator.result_file import check_result, write_result
from orchestrator.simulate.mutants import MUTANTS, Mutant
from orchestrator.simulate.run import play, shrink
from orchestrator.simulate.scenario import draw
from orchestrator.simulate.search import Finding, Tally, search

ENOUGH_SEEDS = 60_000
SHOWN = 20
PROTOCOL = tuple(f"P{number}" for number in range(1, 34))
RULES = (*PROTOCOL, "gate-3", "gate-6", "rejoin")


def _jobs(jobs: int | None) -> int:
    return jobs or os.cpu_count() or 1


def _progress(total: int, before: str = "") -> Any:
    terminal = sys.stderr.isatty()

    def tell(tally: Tally) -> None:
        if terminal:
            words = f"{before}{tally.scenarios} of {total} scenarios, {tally.per_second:.0f} a second"
            print(f"\r{words}, {len(tally.findings)} failed \033[K", end="", file=sys.stderr, flush=True)

    return tell


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _write(result: dict[str, Any], json_path: str | None) -> None:
    write_result(json_path, json.dumps(result, indent=2) + "\n")


def _result(tally: Tally, mutants: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "scenarios": tally.scenarios,
        "violations": len(tally.findings),
        "failing_seeds": [finding.seed for finding in tally.findings],
        "scenarios_per_second": round(tally.per_second, 1),
        "mutants": mutants,
    }


def many_seeds(count: int, *, first: int, jobs: int | None, json_path: str | None) -> int:
    """Run them all; 1 if any fails. Raises ResultNotWritten."""
    check_result(json_path)
    tally = search(first=first, count=count, jobs=_jobs(jobs), progress=_progress(count))
    _clear()
    out = sys.stderr if json_path == "-" else sys.stdout
    print(
        f"{tally.scenarios} scenarios in {tally.seconds:.1f} s, {tally.per_second:.0f} a second, "
        f"{tally.steps} steps of the deciding code: "
        f"{len(tally.findings)} {'violation' if len(tally.findings) == 1 else 'violations'}",
        file=out,
    )
    for finding in tally.findings[:SHOWN]:
        print(f"  seed {finding.seed} ({finding.family}): {_words(finding)}", file=out)
    if len(tally.findings) > SHOWN:
        print(f"  and {len(tally.findings) - SHOWN} more", file=out)
    if tally.findings:
        print(f"Look at one: twinsite simulate --seed {tally.findings[0].seed} --explain", file=out)
    short = tally.scenarios < count
    if short:
        print(
            f"Only {tally.scenarios} of {count} were run: {tally.unfinished or 'a process ended'}", file=out
        )
    _write(_result(tally, []), json_path)
    return 1 if tally.findings or short else 0


def _words(finding: Finding) -> str:
    what = f"invariant {finding.invariant}" if finding.invariant else "the code broke"
    return f"{what}: {finding.words}"


def one_seed(seed: int, *, explain: bool) -> int:
    """Run one; with `explain`, tell it as a timeline, shortened if it fails."""
    scenario = draw(seed)
    world = play(scenario)
    violations = world.checks.violations
    if explain:
        if violations:
            scenario = shrink(scenario)
        told = play(scenario, story=True)
        assert told.story is not None
        print(f"seed {seed}, family {scenario.family}")
        for line in scenario.words():
            print(line)
        print()
        print(told.story.text())
        print()
    for violation in violations:
        print(f"seed {seed} ({scenario.family}): invariant {violation.invariant}: {violation.words}")
    if not violations:
        print(f"seed {seed} ({scenario.family}): everything held, {world.steps} steps")
    return 1 if violations else 0


def find_mutant(mutant: Mutant, *, jobs: int, count: int = ENOUGH_SEEDS) -> Tally:
    """Search for a seed that finds this mutant out."""
    return search(
        first=0,
        count=count,
        jobs=jobs,
        edits=mutant.edits,
        families=mutant.families,
        stop=True,
        progress=_progress(count, f"{mutant.rule} {mutant.name}: "),
    )


def all_mutants(*, only: str | None, jobs: int | None, json_path: str | None, markdown: str | None) -> int:
    """Each mutant until it is found out; 1 if one is not. Raises ResultNotWritten."""
    check_result(json_path, markdown)
    rows: list[dict[str, Any]] = []
    total = Tally()
    out = sys.stderr if json_path == "-" else sys.stdout
    for mutant in MUTANTS:
        if only is not None and only not in mutant.rule.split():
            continue
        tally = find_mutant(mutant, jobs=_jobs(jobs))
        _clear()
        found = [finding for finding in tally.findings if finding.invariant]
        total.scenarios += tally.scenarios
        total.seconds += tally.seconds
        rows.append(
            {
                "rule": mutant.rule,
                "mutant": mutant.name,
                "caught": bool(found),
                "seed": found[0].seed if found else None,
                "invariant": found[0].invariant if found else None,
                "family": found[0].family if found else None,
                "words": mutant.words,
            }
        )
        word = f"seed {found[0].seed}: {_words(found[0])}" if found else "NOT FOUND OUT"
        if not found and tally.unfinished:
            word += f" ({tally.unfinished})"
        print(f"{mutant.rule:<9} {mutant.name}: {word}", file=out, flush=True)
    missed = [row for row in rows if not row["caught"]]
    print(f"{len(rows) - len(missed)} of {len(rows)} mutants found out", file=out)
    if markdown is not None:
        put_table(Path(markdown), table(rows))
    _write(_result(total, rows), json_path)
    return 1 if missed or not rows else 0


BEGIN, END = "<!-- mutants -->", "<!-- end of mutants -->"


def put_table(page: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put the table between its marks in a page that has them; otherwise it becomes the page."""
    begin, end = marks
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    if begin in old and end in old:
        before, _, rest = old.partition(begin)
        text = f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}"
    page.write_text(text, encoding="utf-8")


CRASHES = "<!-- crash matrix -->", "<!-- end of crash matrix -->"


def crashes(*, json_path: str | None, markdown: str | None) -> int:
    """The crash matrix; 1 if any of its cases ends otherwise than the undisturbed run. Raises
    ResultNotWritten."""
    # What it needs of the runbooks takes a second to load, and seeds need none of it.
    from orchestrator.simulate import crash_matrix

    check_result(json_path, markdown)
    out = sys.stderr if json_path == "-" else sys.stdout

    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total} cases \033[K", end="", file=sys.stderr, flush=True)

    cells = crash_matrix.matrix(tell)
    _clear()
    print("\n".join(crash_matrix.table(cells)), file=out)
    wrong = [cell for cell in cells if not cell.ok]
    print(f"\n{len(cells) - len(wrong)} of {len(cells)} cases ended as the undisturbed run does", file=out)
    for cell in wrong[:SHOWN]:
        print(f"  {cell.case}: {cell.end_state}", file=out)
    if len(wrong) > SHOWN:
        print(f"  and {len(wrong) - SHOWN} more", file=out)
    if markdown is not None:
        put_table(Path(markdown), "\n".join(crash_matrix.table(cells)) + "\n", CRASHES)
    _write(crash_matrix.as_json(cells), json_path)
    return 1 if wrong else 0


def rows_of(page: Path) -> list[tuple[str, str, int | None, int | None]]:
    """The rows of a page's table: rule, mutant, seed and invariant (None: not found out yet)."""
    found = []
    _, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    for line in rest.partition(END)[0].splitlines()[3:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        seed, invariant = (int(cell) if cell.isdigit() else None for cell in cells[3:5])
        found.append((cells[0], cells[1], seed, invariant))
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """The mutants as a Markdown table."""
    lines = [
        "| rule | taken out or weakened | what goes wrong | seed | invariant |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['rule']} | {row['mutant']} | {row['words']} | "
        + (f"{row['seed']} | {row['invariant']} |" if row["caught"] else "not found out | - |")
        for row in rows
    ]
    return "\n".join(lines) + "\n"
