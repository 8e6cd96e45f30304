"""A planned move whose controller is killed, at one moment after another of it."""

import asyncio
import json
import statistics
from datetime import datetime

from orchestrator.lab import acts
from orchestrator.lab.acts import MOVED, other
from orchestrator.lab.errors import LabTrouble
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow

KILLS = 10
APART_SECONDS = 0.025  # a move's steps take a quarter of a second together
ENDED_WITHIN_SECONDS = 90.0
RUN_STARTED = '"event": "run-started"'


async def killed_anywhere(stage: Stage) -> None:
    """The target's controller is killed so many moments after the order, and started anew by its site. Each
    move must end where it would have ended undisturbed, with nothing lost and nobody writable twice."""
    before = await acts.begin(stage)
    ends: list[str] = []
    resumed: list[float] = []
    for kill in range(KILLS):
        now = await acts.everything_steady(stage)
        source = acts.primary(now, MOVED)
        target = other(source)
        run = await stage.view.order_switchover(MOVED, target, asked_at=source)
        await asyncio.sleep(kill * APART_SECONDS)
        stage.sites.faults.kill(target, "controller")
        stage.screen.say(
            f"{target}'s controller is killed {kill * APART_SECONDS * 1000:.0f} ms after {run} began"
        )
        await stage.until(
            f"{MOVED} at {target}",
            lambda now, target=target: _settled(now, target),  # type: ignore[misc]
            within_seconds=ENDED_WITHIN_SECONDS,
            otherwise=lambda now: now.why_not_healthy(MOVED),
        )
        record = await stage.view.run_of(run, target)
        ends.append("nothing on file" if record is None else record.state)
        seconds = _resumed_after_seconds(stage, target, run)
        resumed += [] if seconds is None else [seconds]
    after = await acts.everything_steady(stage)
    stage.check(f"each of {KILLS} runs is done, by its record", set(ends) == {"done"}, ", ".join(ends))
    moves = after.epoch(MOVED) - before.epoch(MOVED)
    stage.check("each was one move", moves == KILLS, f"the epoch of {MOVED} grew by {moves}")
    if resumed:
        stage.screen.say(
            f"from the start of its process until a controller goes on with the run: "
            f"{statistics.median(resumed):.2f} s at the median, {max(resumed):.2f} s at the most"
        )
    found = await stage.measure("killed-anywhere", MOVED, 0.0)
    acts.report(stage, found)
    stage.check("no acknowledged row was lost", found.lost_rows == 0, f"{found.lost_rows} lost")
    acts.never_two(stage, found)


def _settled(now: LabNow, site: str) -> bool:
    said = now.said_by(site, MOVED)
    steady = said is not None and said.primary == site and said.movement == "steady"
    return steady and now.taken_at(MOVED) == [site]


def _resumed_after_seconds(stage: Stage, site: str, run: str) -> float | None:
    """From the start of the controller that runs now until it went on with the run; None: it had nothing left
    to do."""
    lines = [line for line in stage.sites.log_lines(site, "controller") if RUN_STARTED in line]
    begun = [json.loads(line) for line in lines if f'"{run}"' in line]
    processes = stage.sites.faults.found(site, "controller")
    if not begun or not processes:
        raise LabTrouble(f"no controller of {site} has begun {run}, or none runs now")
    at = datetime.fromisoformat(begun[-1]["timestamp"]).timestamp()
    seconds = at - processes[0].create_time()
    return seconds if seconds > 0 else None
