"""`twinsite lab --netns --soak MINUTES`: a bad day on which nothing may happen.

Links between sites are slow and lossy, every core is kept busy by somebody else's processes, and both
services are written to all the time. No site may be cut off, no service may move, nobody may decide anything
but to hold, no process may die, and no client may meet a failure. Counts all of it, from outside and by the
product's own words, and how little of the lease was ever left.
"""

import asyncio
import os
import sys
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from rich.console import Console

from orchestrator.clock import boottime_ns
from orchestrator.lab import acts, namespaces
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.places import DATA_SITES, SITES
from orchestrator.lab.run import INTERRUPTED, running_lab, show_result, told, write_json
from orchestrator.lab.running import CLIENTS, RunningLab
from orchestrator.lab.site_supervisor import Description, Program
from orchestrator.lab.soak_words import Said, said_in
from orchestrator.lab.stage import Check, Stage
from orchestrator.lab.view import LabNow
from orchestrator.result_file import check_result

DELAY_SECONDS = 0.02  # each way
LOSS = 0.01
BURNERS = "burners"  # the tree of the processes that keep the cores busy
SAY_EVERY_SECONDS = 60.0


@dataclass(slots=True)
class Found:
    """What was counted. `said` is the product's own word, `interrupted` what clients met at a primary."""

    minutes: float = 0.0
    said: Said = field(default_factory=Said)
    takeovers: int = 0
    interrupted: int = 0
    least_lease_seconds: float | None = None
    longest_gap_seconds: float = 0.0
    rows: int = 0
    two_writable_seconds: float = 0.0
    finished: bool = False


def run_soak(minutes: float, *, json_path: str | None = None, gates: bool = False) -> int:
    """Build a lab, make it a bad day, count. 0: nothing happened; 1: something did; 130: interrupted, and
    what had been counted by then is kept. Raises LabMisuse, LabTrouble, ResultNotWritten."""
    namespaces.require()
    if minutes <= 0:
        raise LabMisuse("a soak takes at least some part of a minute")
    check_result(json_path)
    console = Console(stderr=json_path == "-", highlight=False)
    found = Found()
    try:
        stage = asyncio.run(_soak(console, minutes, found, gates=gates))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Interrupted: the lab has been ended. What had been counted by then:")
        for line in lines_of(found):
            console.print(line, soft_wrap=True)
        write_json(json_path, result(found, verdict(found), gates=gates))
        return INTERRUPTED
    show_result(console, stage)
    for line in lines_of(found):
        console.print(line, soft_wrap=True)
    answer = result(found, stage.checks, gates=gates)
    write_json(json_path, answer)
    return 0 if answer["ok"] else 1


def result(found: Found, checks: list[Check], *, gates: bool) -> dict[str, Any]:
    """What `--json` holds; a soak that did not come to its end is not ok."""
    ok = found.finished and bool(checks) and all(check.ok for check in checks)
    return {"ok": ok, "gates": gates, **asdict(found), "checks": [asdict(one) for one in checks]}


def verdict(found: Found) -> list[Check]:
    """Everything that must not have happened, a check each."""
    said = found.said
    return [
        Check("it came to its end", found.finished, f"{found.minutes:g} minutes"),
        Check("no keeper cut a service off", said.fences == 0, f"{said.fences} times"),
        Check("no guard cut a service off", said.cuts == 0, f"{said.cuts} times"),
        Check("no service was given up", said.give_ups == 0, f"{said.give_ups} times"),
        Check("nobody decided anything but to hold", said.decisions == 0, f"{said.decisions} decisions"),
        Check("no run was begun", said.runs == 0, f"{said.runs} runs"),
        Check("no process died", said.deaths == 0, f"{said.deaths} times"),
        Check("no service moved", found.takeovers == 0, f"{found.takeovers} changes of ownership"),
        Check("no client's write failed at a primary", found.interrupted == 0, f"{found.interrupted} times"),
        Check("never two sites writable", found.two_writable_seconds == 0.0),
        Check("rows were taken all the time", found.rows > 0, f"{found.rows} rows"),
    ]


async def _soak(console: Console, minutes: float, found: Found, *, gates: bool) -> Stage:
    async with running_lab(console, netns=True, gates=gates) as stage:

        async def day(stage: Stage) -> None:
            await _bad_day(stage, minutes, found)

        if await told(acts.go_home, stage):
            await told(day, stage)
    return stage


async def _bad_day(stage: Stage, minutes: float, found: Found) -> None:
    lab = stage.sites
    if not isinstance(lab, RunningLab):
        raise LabTrouble("a soak needs a lab of its own")
    before = await acts.begin(stage)
    said_before = _said(lab)
    for one, other in combinations(SITES, 2):
        lab.faults.delay(one, other, delay_seconds=DELAY_SECONDS, loss=LOSS)
    cores = os.cpu_count() or 1
    lab.start_tree(_burners(lab, cores))
    stage.screen.say(
        f"links between sites: {DELAY_SECONDS * 1000:g} ms each way, {LOSS * 100:g} % lost; "
        f"{cores} cores busy; for {minutes:g} minutes nothing may happen"
    )
    started_ns = boottime_ns()
    say_at = SAY_EVERY_SECONDS
    while (passed := (boottime_ns() - started_ns) / 1e9) < minutes * 60:
        await stage.view.next_look()
        _note_lease(stage.view.now, found)
        if passed >= say_at:
            say_at += SAY_EVERY_SECONDS
            _count(stage, lab, before, said_before, found, passed)
            stage.screen.say("; ".join(lines_of(found)[:3]))
    _count(stage, lab, before, said_before, found, minutes * 60)
    await asyncio.to_thread(_sum_up, stage, found)
    found.finished = True
    for check in verdict(found):
        stage.check(check.name, check.ok, check.found)


def _burners(lab: RunningLab, cores: int) -> Description:
    folder = lab.layout.site(BURNERS)
    folder.mkdir(mode=0o700, exist_ok=True)
    log = str(lab.layout.log(BURNERS, "supervisor"))
    burner = (sys.executable, "-P", "-c", "while True: pass")
    programs = tuple(Program(f"burner-{number}", burner, log, str(folder)) for number in range(cores))
    return Description(BURNERS, log, programs, ends_with_input=not lab.kept)


def _note_lease(now: LabNow, found: Found) -> None:
    for site in DATA_SITES:
        status = now.controllers.get(site)
        own = next((one for one in status.sites if one.site == site), None) if status is not None else None
        left = own.lease_remaining_seconds if own is not None else None
        if left is not None:
            least = found.least_lease_seconds
            found.least_lease_seconds = round(left if least is None else min(least, left), 3)


def _said(lab: RunningLab) -> Said:
    return said_in(lab.directory / "logs", but_not=CLIENTS)


def _count(
    stage: Stage, lab: RunningLab, before: LabNow, said_before: Said, found: Found, passed: float
) -> None:
    found.minutes = round(passed / 60, 1)
    found.said = _said(lab) - said_before
    now = stage.view.now
    found.takeovers = sum(now.epoch(service) - before.epoch(service) for service in acts.SERVICES)
    found.interrupted = sum(
        len(stage.failed_writes(service, acts.primary(before, service))) for service in acts.SERVICES
    )


def _sum_up(stage: Stage, found: Found) -> None:
    """What has to read everything that clients have recorded."""
    found.longest_gap_seconds = round(max(map(stage.longest_gap_seconds, acts.SERVICES)), 3)
    found.rows = sum(len(stage.everybody(service)) for service in acts.SERVICES)
    found.two_writable_seconds = max(map(stage.two_writable_seconds, acts.SERVICES))


def lines_of(found: Found) -> list[str]:
    """What was counted, for people."""
    least = "not known" if found.least_lease_seconds is None else f"{found.least_lease_seconds:.3f} s"
    said = found.said
    return [
        f"{found.minutes:g} minutes: cuts by keepers {said.fences}, by guards {said.cuts}",
        f"give-ups {said.give_ups}, takeovers {found.takeovers}",
        f"least of a lease that was ever left {least}",
        f"decisions other than hold {said.decisions}, runs {said.runs}, processes that died {said.deaths}",
        f"{found.rows} rows taken, writing interrupted {found.interrupted} times",
        f"longest wait of a client {found.longest_gap_seconds:.3f} s",
        f"two sites writable {found.two_writable_seconds:.3f} s",
    ]
