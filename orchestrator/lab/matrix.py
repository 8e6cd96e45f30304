"""`twinsite lab --netns --rows`: corner cases on real processes, each as often as asked, and one table.

All rows are played on one lab after the other, everything at home in between. A new one is built after a play
that failed (the old one's logs stay), and for rows whose clients come by gates. Says also which rows were not
played, and why.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.lab import acts, namespaces
from orchestrator.lab.cases import NOT_SHOWN
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.picture import check_lines
from orchestrator.lab.played import Play, Played, read_results, result
from orchestrator.lab.rows import Row, rows_named
from orchestrator.lab.rows_table import measured, put_measured, table
from orchestrator.lab.run import INTERRUPTED, running_lab, told, write_json
from orchestrator.lab.stage import Stage
from orchestrator.result_file import check_result

TABLE_COLUMNS = 110


def run_rows(names: str, *, times: int = 1, json_path: str | None = None, gates: bool = False) -> int:
    """Play rows and print the table. 0: everything that was played held; 1: something did not; 130:
    interrupted. `json_path`, unless it is "-", holds what has been played after every play, so that an
    interruption leaves that; `gates`: every row on a lab with gates. Raises LabMisuse, LabTrouble,
    ResultNotWritten."""
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
    waiting = [row for row in chosen if row.missing]

    def keep() -> None:
        if json_path != "-":
            write_json(json_path, result(played, waiting, finished=False))

    interrupted = False
    try:
        asyncio.run(_play_all(console, in_turn(played, times, gates=gates), keep, gates=gates))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
        console.print("Interrupted: the lab has been ended. What had been played by then:")
    _show(console, played, waiting)
    found = result(played, waiting, finished=not interrupted)
    write_json(json_path, found)
    return INTERRUPTED if interrupted else 0 if found["ok"] else 1


def in_turn(played: Sequence[Played], times: int, *, gates: bool) -> list[Played]:
    """Round by round, so that an interruption leaves something of every row; those that need gates together,
    and every other round the other way round, so that labs are built as seldom as can be."""
    without = [one for one in played if not (gates or one.row.gates)]
    behind = [one for one in played if gates or one.row.gates]
    return [one for turn in range(times) for one in (behind + without if turn % 2 else without + behind)]


async def _play_all(console: Console, queue: list[Played], keep: Callable[[], None], *, gates: bool) -> None:
    times = {one.row.name: queue.count(one) for one in queue}
    while queue:
        behind = gates or queue[0].row.gates
        async with running_lab(console, netns=True, gates=behind) as lab:
            while queue and (gates or queue[0].row.gates) == behind:
                one = queue.pop(0)
                turn = f"{one.row.name}, {len(one.plays) + 1} of {times[one.row.name]}"
                lab.screen.say(f"--- {turn}: {one.row.case}")
                stage = Stage(lab.sites, lab.view, lab.screen, lost_before=lab.lost_before)
                if await told(acts.go_home, stage):
                    await told(one.row.play, stage)
                stage.keep_spans(acts.SERVICES)
                one.plays.append(Play.of(stage, gates=behind))
                keep()
                for line in check_lines([check for check in stage.checks if not check.ok]):
                    lab.screen.say(line)
                lab.check(turn, stage.ok)
                if not stage.ok:
                    break  # on a lab that was hurt nothing else is tried


def _waiting(row: Row) -> str:
    return f"{row.name} needs {', '.join(row.missing)}"


def _show(console: Console, played: Sequence[Played], waiting: Sequence[Row]) -> None:
    console.print()
    wide = Console(file=console.file, width=max(console.width, TABLE_COLUMNS), highlight=False)
    wide.print(table(played))
    for one in played:
        for number, play in enumerate(one.plays, 1):
            for line in check_lines([check for check in play.checks if not check.ok]):
                console.print(f"{one.row.name}, play {number}: {line}", markup=False, soft_wrap=True)
    if waiting:
        console.print("Not played, because the product does not have yet what they need:")
        for row in waiting:
            console.print(f"  {row.name} ({row.case}): {', '.join(row.missing)}", soft_wrap=True)
    console.print("Not shown on one machine:")
    for case, reason in NOT_SHOWN.items():
        console.print(f"  {case}: {reason}", soft_wrap=True)


def table_command(paths: Sequence[Path], *, markdown: str | None = None) -> int:
    """One table of several results: printed, or put between its marks in a page. 1 if anything did not hold.
    Raises LabMisuse, ResultNotWritten."""
    check_result(markdown)
    played = read_results(paths)
    if not played:
        raise LabMisuse("nothing was played in these results")
    if markdown is None:
        print(measured(played), end="")
    else:
        put_measured(Path(markdown), played)
        print(f"{sum(len(one.plays) for one in played)} plays of {len(played)} rows: {markdown}")
    return 0 if all(one.ok for one in played) else 1
