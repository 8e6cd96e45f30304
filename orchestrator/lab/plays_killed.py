"""A planned move whose controller is killed, at one moment after another of it."""

import asyncio
import json
import statistics
from datetime import datetime

from orchestrator.api.shapes import RunDetail
from orchestrator.lab import acts
from orchestrator.lab.acts import MOVED, other
from orchestrator.lab.errors import StoryFailed
from orchestrator.lab.stage import Stage

KILLS = 10
APART_SECONDS = 0.025  # a move's steps take a quarter of a second together
ENDED_WITHIN_SECONDS = 90.0
ENDS = ("done", "undone", "failed", "aborted")
RUN_STARTED = '"event": "run-started"'


async def killed_anywhere(stage: Stage) -> None:
    """The target's controller is killed so many moments after the order, and started anew by its parent. Each
    move must end as it would have ended undisturbed; or be taken back whole, where the controller was not
    back before the site's lease was over, as on a busy machine. Nothing is lost, and nobody is doubled."""
    before = await acts.begin(stage)
    ends: list[str] = []
    resumed: list[float] = []
    for kill in range(KILLS):
        source = acts.primary(await acts.everything_steady(stage), MOVED)
        await stage.begin_window()
        target = other(source)
        run = await stage.view.order_switchover(MOVED, target, asked_at=source)
        await asyncio.sleep(kill * APART_SECONDS)
        stage.sites.faults.kill(target, "controller")
        stage.screen.say(
            f"{target}'s controller is killed {kill * APART_SECONDS * 1000:.0f} ms after {run} began"
        )
        record = await _end_of(stage, run, source)
        ends.append(record.state)
        at = target if record.state == "done" else source
        await acts.served_at(stage, MOVED, at)
        found = await stage.measure("killed-anywhere", MOVED, 0.0, at=at)
        lost = f"{found.lost_rows} lost"
        stage.check(f"kill {kill + 1}: no acknowledged row was lost", found.lost_rows == 0, lost)
        acts.never_two(stage, found)
        seconds = _resumed_after_seconds(stage, target, run)
        resumed += [seconds] if seconds is not None and record.state == "done" else []
    after = await acts.everything_steady(stage)
    done, back = ends.count("done"), ends.count("undone")
    stage.check(f"each of {KILLS} runs is done, or taken back whole", done + back == KILLS, ", ".join(ends))
    moves = after.epoch(MOVED) - before.epoch(MOVED)
    once = done <= moves <= done + back  # what was given up and claimed back has a new epoch too
    stage.check("each that is done was one move", once, f"{done} done; the epoch grew by {moves}")
    if resumed:
        stage.screen.say(
            f"{done} done, {back} taken back; from the start of its process until a controller goes on with "
            f"the run: {statistics.median(resumed):.2f} s at the median, {max(resumed):.2f} s at the most"
        )


async def _end_of(stage: Stage, run: str, asked_at: str) -> RunDetail:
    """The run as it ended, by the other site's word, which has it from the store."""
    try:
        async with asyncio.timeout(ENDED_WITHIN_SECONDS):
            while True:
                record = await stage.view.run_of(run, asked_at)
                if record is not None and record.state in ENDS:
                    return record
                await stage.view.next_look()
    except TimeoutError as fault:
        raise StoryFailed(f"{run} has not ended within {ENDED_WITHIN_SECONDS:g} s") from fault


def _resumed_after_seconds(stage: Stage, site: str, run: str) -> float | None:
    """From the start of the controller that runs now until it went on with the run; None: it had nothing left
    to do."""
    lines = [line for line in stage.sites.log_lines(site, "controller") if RUN_STARTED in line]
    begun = [json.loads(line) for line in lines if f'"{run}"' in line]
    processes = stage.sites.faults.workers(site, "controller")
    if not begun or not processes:  # it was over already
        return None
    at = datetime.fromisoformat(begun[-1]["timestamp"]).timestamp()
    seconds = at - processes[0].create_time()
    return seconds if seconds > 0 else None
