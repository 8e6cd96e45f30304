"""The corner cases as tables: on a terminal after they were played, and in docs/corner-cases.md.

That page has two parts between marks. The cases (which row plays what, which test of the simulation shows
it, what is not shown and why) are made of the code alone, and a test finds them stale. What was measured is
made of results that `lab --rows … --json FILE` has kept.
"""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from orchestrator.lab.cases import CASES, NOT_SHOWN, SIMULATED, Case
from orchestrator.lab.played import Played
from orchestrator.lab.rows import ROWS
from orchestrator.result_file import put_between

CASES_MARKS = ("<!-- cases -->", "<!-- end of cases -->")
MEASURED_MARKS = ("<!-- measured -->", "<!-- end of measured -->")


def table(played: Sequence[Played]) -> Table:
    """A line a row, for a terminal. The outage is that of the service that the row is about."""
    found = Table(
        title="Corner cases on real processes, seen by clients outside and inside both sites",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    found.add_column("row", no_wrap=True)
    for heading in ("held", "outage, s\nmin", "\nmedian", "\nmax", "other's\nmax", "cut off\nbefore, s"):
        found.add_column(heading, justify="right", no_wrap=True)
    for heading in ("rows\nlost", "writes\nfailed", "two sites\nwritable, s"):
        found.add_column(heading, justify="right", no_wrap=True)
    for one in played:
        found.add_row(one.row.name, *_figures(one))
    return found


def _figures(one: Played) -> tuple[str, ...]:
    outages, others, margins = one.moved_outages, one.kept_outages, one.margins
    return (
        f"{one.held}/{len(one.plays)}",
        *(f"{of(outages):.3f}" if outages else "-" for of in (min, statistics.median, max)),
        f"{max(others):.3f}" if others else "-",
        f"{min(margins):.3f}" if margins else "-",
        str(one.lost_rows),
        "-" if one.failed_writes is None else str(one.failed_writes),
        f"{one.two_writable_seconds:.3f}",
    )


def cases_text() -> str:
    """The cases as Markdown, and what of them is not shown with real processes."""
    lines = _head("case", "rows", "in the simulation")
    lines += [_line(case.name, _rows_of(case.name), _tests_of(case)) for case in CASES.values()]
    lines += ["", "Each row, what is done in it and what must come of it:", ""]
    lines += _head("row", "what is done", "what must come of it")
    lines += [_line(f"`{row.name}`", row.case, row.expects) for row in ROWS.values()]
    lines += ["", "What one machine cannot show:", ""]
    lines += [f"- **{case}**: {reason}." for case, reason in NOT_SHOWN.items()]
    return "\n".join(lines) + "\n"


def _rows_of(case: str) -> str:
    return ", ".join(f"`{row.name}`" for row in ROWS.values() if row.of == case) or "not shown, see below"


def _tests_of(case: Case) -> str:
    names = [f"`{name}`" for name in case.simulated]
    names += [f"not there; `{name}` in `{case.where}`" for name in case.tested if not case.simulated]
    return ", ".join(names) or "not there"


def measured(played: Sequence[Played]) -> str:
    """What was measured, as Markdown."""
    plays = sum(len(one.plays) for one in played)
    held = sum(one.held for one in played)
    most = max((one.two_writable_seconds for one in played), default=0.0)
    lines = [
        f"{plays} plays of {len(played)} rows, {held} held; two sites writable for {most:.3f} s at most.",
        "",
    ]
    lines += _head(
        *("row", "held", "outage, s: min", "median", "max", "other's max", "cut off before, s: least"),
        *("rows lost", "writes failed", "two sites writable, s"),
        right=9,
    )
    lines += [_line(f"`{one.row.name}`", *_figures(one)) for one in played]
    silences = {event: seconds for one in played for event, seconds in one.store_silences.items()}
    if silences:
        lines += ["", "How long the store answered nobody, while members of it were hurt:", ""]
        lines += _head("what", "times", "longest silence, s: min", "median", "max", right=4)
        for event, seconds in silences.items():
            shown = (f"{of(seconds):.3f}" for of in (min, statistics.median, max))
            lines.append(_line(event.removeprefix("store-"), str(len(seconds)), *shown))
    missing = [name for name in ROWS if name not in {one.row.name for one in played}]
    if missing:
        lines += ["", f"Not played for this table: {', '.join(f'`{name}`' for name in missing)}."]
    return "\n".join(lines) + "\n"


def _head(*names: str, right: int = 0) -> list[str]:
    rule = ["---"] * (len(names) - right) + ["---:"] * right
    return [_line(*names), _line(*rule)]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def put_measured(page: Path, played: Sequence[Played]) -> None:
    """Put what was measured between its marks in the page. Raises ResultNotWritten, where it has none."""
    put_between(page, MEASURED_MARKS, measured(played))


def put_cases(page: Path) -> None:
    """Put the cases between their marks in the page. Raises ResultNotWritten, where it has none."""
    put_between(page, CASES_MARKS, cases_text())


def names_of_tests() -> Iterable[tuple[str, str]]:
    """Every test that a case names, as (file, test)."""
    for case in CASES.values():
        yield from ((SIMULATED, name) for name in case.simulated)
        yield from ((case.where, name) for name in case.tested)
