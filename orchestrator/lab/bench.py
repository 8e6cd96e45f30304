"""`twinsite bench`: every story several times, and for each event the least, the middle and the most.

A lab per story, played on again and again, with everything at home in between. It measures as the stories
do, from outside, and asserts nothing of its own: what must hold is the stories' checks.
"""

import asyncio
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.estate import GUARDED
from orchestrator.lab.measure import EventFigures
from orchestrator.lab.run import INTERRUPTED, result, running_lab, show_result, told, write_json
from orchestrator.lab.stage import Stage
from orchestrator.lab.stories import STORIES, go_home
from orchestrator.result_file import check_result

TIMES = 5
UNMEASURED = {"tour", "link-loss", "drill"} | (set() if GUARDED else {"controller-loss"})
MEASURED = tuple(name for name in STORIES if name not in UNMEASURED)


def run_bench(*, times: int = TIMES, stories: Sequence[str] = MEASURED, json_path: str | None = None) -> int:
    """Play each story `times` times and print the summary. 0: all of it held; 1: something did not;
    130: interrupted. `json_path`, unless it is "-", holds what has been played after every round, so that an
    interruption leaves that. Raises LabMisuse, LabTrouble, ResultNotWritten."""
    if times < 1:
        raise LabMisuse("a benchmark needs at least one time")
    if unknown := [name for name in stories if name not in MEASURED]:
        raise LabMisuse(f"no such story: {', '.join(unknown)}; there are: {', '.join(MEASURED)}")
    check_result(json_path)
    console = Console(stderr=json_path == "-", highlight=False)
    stages: list[Stage] = []

    def keep() -> None:
        if json_path != "-":
            write_json(json_path, benched(stages, finished=False))

    try:
        asyncio.run(_play_all(console, stories, times, stages, keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Interrupted: the lab has been ended. What had been played by then:")
        console.print(summary_table(_events(stages)))
        write_json(json_path, benched(stages, finished=False))
        return INTERRUPTED
    console.print(summary_table(_events(stages)))
    found = benched(stages, finished=True)
    write_json(json_path, found)
    return 0 if found["ok"] else 1


def benched(stages: Sequence[Stage], *, finished: bool) -> dict[str, Any]:
    """What `--json` prints; what is not finished is not ok."""
    found = result("bench", stages)
    ok = finished and found["ok"]
    return {**found, "ok": ok, "finished": finished, "summary": summary(_events(stages))}


def _events(stages: Iterable[Stage]) -> list[EventFigures]:
    return [figures for stage in stages for figures in stage.events]


async def _play_all(
    console: Console, stories: Sequence[str], times: int, stages: list[Stage], keep: Callable[[], None]
) -> None:
    """Each story on a lab of its own, whose stage is in `stages` from its beginning."""
    for name in stories:
        async with running_lab(console) as stage:
            stages.append(stage)
            for number in range(1, times + 1):
                stage.screen.say(f"{name}, {number} of {times}")
                if not (await told(go_home, stage) and await told(STORIES[name], stage)):
                    break
                keep()
        show_result(console, stage)


def _by_event(events: Iterable[EventFigures]) -> dict[str, list[EventFigures]]:
    found: dict[str, list[EventFigures]] = {}
    for figures in events:
        found.setdefault(figures.event, []).append(figures)
    return found


def summary(events: Iterable[EventFigures]) -> list[dict[str, Any]]:
    """For each event the least, the middle and the longest outage, in seconds."""
    found = []
    for event, figures in _by_event(events).items():
        outages = [one.outage_seconds for one in figures]
        middle = round(statistics.median(outages), 3)
        found.append({"event": event, "min": min(outages), "median": middle, "max": max(outages)})
    return found


def summary_table(events: Sequence[EventFigures]) -> Table:
    """The summary for people, with what must be zero beside it."""
    table = Table(title="Outage seen by clients, in seconds", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("event", no_wrap=True)
    for column in ("times", "min", "median", "max", "rows lost", "two sites writable"):
        table.add_column(column, justify="right")
    grouped = _by_event(events)
    for line in summary(events):
        figures = grouped[line["event"]]
        table.add_row(
            line["event"],
            str(len(figures)),
            *(f"{line[column]:.3f}" for column in ("min", "median", "max")),
            str(sum(one.lost_rows for one in figures)),
            f"{max(one.two_writable_seconds for one in figures):.3f} s",
        )
    return table
