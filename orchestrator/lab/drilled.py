"""The story of an isolated drill: a copy of a standby is promoted where nobody reaches it, while clients
write.

What is checked is what people were promised: it is quick, production is no further behind than before, and
nothing is left of it.
"""

import asyncio
import json
import time

from orchestrator.lab import acts
from orchestrator.lab.acts import MOVED, other
from orchestrator.lab.errors import StoryFailed
from orchestrator.lab.stage import Stage

QUIET_SECONDS = 15.0
LAG_EVERY_SECONDS = 0.25
PROMISED_SECONDS = 30.0
# One look of the controllers: a lag below it cannot be told from none.
BLUR_SECONDS = 1.0


async def drill(stage: Stage) -> None:
    """The standby of a service is copied, the copy promoted, asked and removed. Production goes on."""
    before = await acts.begin(stage)
    primary = acts.primary(before, MOVED)
    standby = other(primary)
    quiet = await _lags(stage, primary, asyncio.create_task(asyncio.sleep(QUIET_SECONDS)))
    stage.screen.say(f"the lag of {MOVED} in quiet: {_told(quiet)}")
    begun = time.monotonic()
    ordered = asyncio.create_task(
        stage.sites.order(primary, "drill", "run", f"{MOVED} isolated", "--reason", "the lab's story")
    )
    during = await _lags(stage, primary, ordered)
    code, said = await ordered
    took_seconds = time.monotonic() - begun
    if code != 0:
        raise StoryFailed(f"the drill ended with {code}: {said}")
    stage.screen.say(
        f"the drill was over {took_seconds:.1f} s after it was typed; the lag of {MOVED} meanwhile: "
        f"{_told(during)}"
    )
    most = max(quiet) + BLUR_SECONDS
    stage.check(
        "production was no further behind during the drill than before",
        max(during) <= most,
        f"{_told(during)}, before it {_told(quiet)}",
    )
    after = await acts.everything_steady(stage)
    stage.check(
        "nobody became primary by the drill",
        after.owner(MOVED) == before.owner(MOVED),
        f"{before.owner(MOVED)}, now {after.owner(MOVED)}",
    )
    code, said = await stage.sites.order(standby, "drill", "list", "--json")
    if code != 0:
        raise StoryFailed(f"drill list at {standby} ended with {code}: {said}")
    told = next(each for each in json.loads(said)["drills"] if each["name"] == f"{MOVED} isolated")
    stage.check("the other site knows that it was done", bool(told["success_at"]), said)
    seconds = told["success_seconds"] or 0.0
    stage.check(
        f"the drill took less than {PROMISED_SECONDS:g} s", 0 < seconds < PROMISED_SECONDS, f"{seconds:.1f} s"
    )
    stage.screen.say(f"the drill itself took {seconds:.1f} s:")
    run = await stage.view.run_of(told["success_run"], standby)
    for step in run.steps if run is not None else ():
        stage.screen.say(f"  {step.duration_seconds or 0.0:5.1f} s  {step.title}: {step.detail}")
    stage.check("nothing is left of the copy", told["left_at"] == "", said)


async def _lags(stage: Stage, primary: str, until: "asyncio.Task[object]") -> list[float]:
    """How far production was behind, looked at again and again until the task has ended, in seconds."""
    found: list[float] = []
    while not until.done() or not found:
        status = stage.view.now.said_by(primary, MOVED)
        if status is not None and status.lag is not None and status.lag.seconds is not None:
            found.append(status.lag.seconds)
        await asyncio.sleep(LAG_EVERY_SECONDS)
    return found


def _told(lags: list[float]) -> str:
    return f"at most {max(lags):.2f} s, {sum(lags) / len(lags):.2f} s on average, {len(lags)} looks"
