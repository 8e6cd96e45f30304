"""`twinsite lab --netns --rows`: corner cases on real processes, each as often as asked, and one table.

All rows are played on one lab after the other, everything at home in between; after a play that failed a new
lab is built, and the old one's logs stay. Says also which rows were not played, and why.
"""

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orchestrator.lab import acts, namespaces
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.picture import check_lines
from orchestrator.lab.rows import NOT_SHOWN, Row, rows_named
from orchestrator.lab.run import INTERRUPTED, running_lab, told, write_json
from orchestrator.lab.stage import Stage
from orchestrator.result_file import check_result

TABLE_COLUMNS = 110


@dataclass(slots=True)
class Played:
    """One row and every play of it."""

    row: Row
    stages: list[Stage] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it was played, and everything held."""
        return bool(self.stages) and all(stage.ok for stage in self.stages)

    @property
    def held(self) -> int:
        """In how many plays everything held."""
        return sum(stage.ok for stage in self.stages)

    @property
    def moved_outages(self) -> list[float]:
        """Of the service that the row is about, in seconds."""
        return [one.outage_seconds for one in self._events() if one.service == acts.MOVED]

    @property
    def kept_outages(self) -> list[float]:
        """Of the other service, where it was measured."""
        return [one.outage_seconds for one in self._events() if one.service == acts.KEPT]

    @property
    def two_writable_seconds(self) -> float:
        """The longest that two sites took writes at the same time."""
        return max((one.two_writable_seconds for one in self._events()), default=0.0)

    @property
    def lost_rows(self) -> int:
        """Acknowledged and gone, in all plays."""
        return sum(one.lost_rows for one in self._events())

    @property
    def margins(self) -> list[float]:
        """From the proof that the old primary was cut off to the first row that the new one took."""
        return [margin for stage in self.stages for margin in stage.margins]

    def _events(self) -> Iterator[Any]:
        return chain.from_iterable(stage.events for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """For programs: everything that was measured and checked."""
        return {
            "row": self.row.name,
            "case": self.row.case,
            "expects": self.row.expects,
            "goal": self.row.goal,
            "played": len(self.stages),
            "held": self.held,
            "two_writable_seconds": self.two_writable_seconds,
            "plays": [
                {
                    "ok": stage.ok,
                    "margins_seconds": stage.margins,
                    "events": [event.to_json() for event in stage.events],
                    "spans": stage.told_spans,
                    "checks": [
                        {"name": check.name, "ok": check.ok, "found": check.found} for check in stage.checks
                    ],
                }
                for stage in self.stages
            ],
        }


def run_rows(names: str, *, times: int = 1, json_path: str | None = None) -> int:
    """Play rows and print the table. 0: everything that was played held; 1: something did not; 130:
    interrupted. Raises LabMisuse, LabTrouble, ResultNotWritten."""
    namespaces.require()
    chosen = rows_named(names)
    if times < 1:
        raise LabMisuse("a row is played at least once")
    wanted = [row for row in chosen if not row.missing]
    if not wanted:
        raise LabMisuse(f"{', '.join(_waiting(row) for row in chosen)}: not played yet")
    check_result(json_path)
    console = Console(stderr=json_path == "-", highlight=False)
    played = [Played(row) for row in wanted]
    interrupted = False
    try:
        asyncio.run(_play_all(console, played, times))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
        console.print("Interrupted: the lab has been ended. What had been played by then:")
    _show(console, played, [row for row in chosen if row.missing])
    ok = not interrupted and all(one.ok for one in played)
    waiting = {row.name: list(row.missing) for row in chosen if row.missing}
    rows = [one.to_json() for one in played]
    write_json(json_path, {"ok": ok, "rows": rows, "waiting": waiting, "not_shown": dict(NOT_SHOWN)})
    return INTERRUPTED if interrupted else 0 if ok else 1


async def _play_all(console: Console, played: Sequence[Played], times: int) -> None:
    """Round by round, so that an interruption leaves something of every row."""
    queue = [one for _ in range(times) for one in played]
    while queue:
        async with running_lab(console, netns=True) as lab:
            while queue:
                one = queue.pop(0)
                number = len(one.stages) + 1
                lab.screen.say(f"--- {one.row.name}, {number} of {times}: {one.row.case}")
                stage = Stage(lab.sites, lab.view, lab.screen, lost_before=lab.lost_before)
                one.stages.append(stage)
                if await told(acts.go_home, stage):
                    await told(one.row.play, stage)
                stage.keep_spans(acts.SERVICES)
                for line in check_lines([check for check in stage.checks if not check.ok]):
                    lab.screen.say(line)
                lab.check(f"{one.row.name}, {number} of {times}", stage.ok)
                if not stage.ok:
                    break  # on a lab that was hurt nothing else is tried


def _waiting(row: Row) -> str:
    return f"{row.name} needs {', '.join(row.missing)}"


def _show(console: Console, played: Sequence[Played], waiting: Sequence[Row]) -> None:
    console.print()
    wide = Console(file=console.file, width=max(console.width, TABLE_COLUMNS), highlight=False)
    wide.print(table(played))
    for one in played:
        for number, stage in enumerate(one.stages, 1):
            for line in check_lines([check for check in stage.checks if not check.ok]):
                console.print(f"{one.row.name}, play {number}: {line}", markup=False, soft_wrap=True)
    if waiting:
        console.print("Not played, because the product does not have yet what they need:")
        for row in waiting:
            console.print(f"  {row.name} ({row.case}): {', '.join(row.missing)}", soft_wrap=True)
    console.print("Not shown on one machine:")
    for case, reason in NOT_SHOWN.items():
        console.print(f"  {case}: {reason}", soft_wrap=True)


def table(played: Sequence[Played]) -> Table:
    """A line a row. The outage is that of the service that the row is about."""
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
    for heading in ("rows\nlost", "two sites\nwritable, s"):
        found.add_column(heading, justify="right", no_wrap=True)
    for one in played:
        outages, others, margins = one.moved_outages, one.kept_outages, one.margins
        found.add_row(
            one.row.name,
            f"{one.held}/{len(one.stages)}",
            *(f"{of(outages):.3f}" if outages else "-" for of in (min, statistics.median, max)),
            f"{max(others):.3f}" if others else "-",
            f"{min(margins):.3f}" if margins else "-",
            str(one.lost_rows),
            f"{one.two_writable_seconds:.3f}",
        )
    return found
