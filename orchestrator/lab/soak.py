"""`twinsite lab --netns --soak MINUTES`: a bad day on which nothing may happen.

Links between sites are slow and lossy, every core is kept busy by somebody else's processes, and both
services are written to all the time. No site may be cut off and no service may move. Counts both, from
outside and by the product's own word, and how little of the lease was ever left.
"""

import asyncio
import os
import sys
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from rich.console import Console

from orchestrator.clock import boottime_ns
from orchestrator.lab import acts, namespaces
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.places import DATA_SITES, SITES
from orchestrator.lab.run import INTERRUPTED, running_lab, show_result, told, write_json
from orchestrator.lab.running import CLIENTS, RunningLab
from orchestrator.lab.site_supervisor import Description, Program
from orchestrator.lab.stage import Stage
from orchestrator.lab.view import LabNow
from orchestrator.result_file import check_result

DELAY_SECONDS = 0.02  # each way
LOSS = 0.01
BURNERS = "burners"  # the tree of the processes that keep the cores busy
SAY_EVERY_SECONDS = 60.0
FENCING = '"event": "fencing"'


@dataclass(slots=True)
class Found:
    """What was counted. `fences` is the product's own word, `interrupted` what clients met at a primary."""

    minutes: float = 0.0
    fences: int = 0
    takeovers: int = 0
    interrupted: int = 0
    least_lease_seconds: float | None = None
    longest_gap_seconds: float = 0.0
    rows: int = 0
    two_writable_seconds: float = 0.0


def run_soak(minutes: float, *, json_path: str | None = None) -> int:
    """Build a lab, make it a bad day, count. 0: nothing happened; 1: something did; 130: interrupted.
    Raises LabMisuse, LabTrouble, ResultNotWritten."""
    namespaces.require()
    if minutes <= 0:
        raise LabMisuse("a soak takes at least some part of a minute")
    check_result(json_path)
    console = Console(stderr=json_path == "-", highlight=False)
    found = Found()
    try:
        stage = asyncio.run(_soak(console, minutes, found))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Interrupted: the lab has been ended.")
        return INTERRUPTED
    show_result(console, stage)
    for line in _lines(found):
        console.print(line, soft_wrap=True)
    write_json(json_path, {"ok": stage.ok, **asdict(found), "checks": [asdict(one) for one in stage.checks]})
    return 0 if stage.ok else 1


async def _soak(console: Console, minutes: float, found: Found) -> Stage:
    async with running_lab(console, netns=True) as stage:

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
    fences_before = fences_said(lab.directory)
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
            _count(stage, before, fences_before, found, passed)
            stage.screen.say("; ".join(_lines(found)[:2]))
    _count(stage, before, fences_before, found, minutes * 60)
    await asyncio.to_thread(_sum_up, stage, found)
    stage.check("no site was cut off", found.fences == 0, f"{found.fences} fences")
    stage.check("no service moved", found.takeovers == 0, f"{found.takeovers} changes of ownership")
    stage.check("never two sites writable", found.two_writable_seconds == 0.0)


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


def _count(stage: Stage, before: LabNow, fences_before: int, found: Found, passed: float) -> None:
    found.minutes = round(passed / 60, 1)
    found.fences = fences_said(stage.sites.directory) - fences_before
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


def fences_said(directory: Path) -> int:
    """How often a keeper or guard of the lab has said, in its log, that it cuts a service off."""
    count = 0
    for log in (directory / "logs").glob("*.log"):
        if not log.name.startswith(CLIENTS):
            with log.open(encoding="utf-8", errors="replace") as file:
                count += sum(FENCING in line for line in file)
    return count


def _lines(found: Found) -> list[str]:
    least = "not known" if found.least_lease_seconds is None else f"{found.least_lease_seconds:.3f} s"
    return [
        f"{found.minutes:g} minutes: fences {found.fences}, takeovers {found.takeovers}",
        f"least of a lease that was ever left {least}",
        f"{found.rows} rows taken, writing interrupted {found.interrupted} times",
        f"longest wait of a client {found.longest_gap_seconds:.3f} s",
        f"two sites writable {found.two_writable_seconds:.3f} s",
    ]
