"""`twinsite bench --scrape`: what Prometheus costs a controller with many services.

The page of a controller with as many services as asked, each known in every detail, is scraped by another
process over HTTP while readings come in as from turns. It measures how long a scrape takes, how much work
rendering is, and how late the loop's own work is meanwhile and without it. It judges nothing.
"""

import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator.clock import boottime_ns
from orchestrator.core.reasons import REASONS
from orchestrator.metrics import render
from orchestrator.metrics_page import MetricsPage
from orchestrator.readings import (
    DisagreementReading,
    InstanceReading,
    LagReading,
    MoveReading,
    ProbeReading,
    Readings,
    RunReading,
    ServiceReading,
    SiteReading,
    StoreReading,
    Tally,
)
from orchestrator.result_file import check_result, write_result
from probes.model import Verdict
from sites.replication.words import Role

SERVICES = 200
SCRAPES = 60
SCRAPE_EVERY_SECONDS = 0.25
TURN_SECONDS = 0.1
TICK_SECONDS = 0.005
ASKED_SCRAPE_MILLISECONDS = 150.0
_SITES = ("durham", "morpeth")
_PROBES = ("port", "query", "login page")
_STEPS = ("fence", "claim", "promote", "start the application", "verify")
_CODES = tuple(REASONS)[:8]
_SCRAPER = """
import json, sys, time, urllib.request
url, times, every = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
took, size = [], 0
for _ in range(times):
    began = time.perf_counter()
    size = len(urllib.request.urlopen(url, timeout=30).read())
    took.append(time.perf_counter() - began)
    time.sleep(every)
print(json.dumps({"took": took, "size": size}))
"""


def run_scrape_bench(json_path: str | None, services: int = SERVICES) -> int:
    """Measure and print. Raises ResultNotWritten."""
    check_result(json_path)
    found = asyncio.run(measured(services, SCRAPES))
    out = sys.stderr if json_path == "-" else sys.stdout
    for line in sentences(found):
        print(line, file=out)
    write_result(json_path, json.dumps({"scrape": found}, indent=2) + "\n")
    return 0


def sentences(found: dict[str, Any]) -> list[str]:
    """For people."""
    scrape = (
        f"A scrape of {found['services']} services, {found['series']} series, {found['bytes'] / 1e6:.1f} MB: "
        f"{found['scrape_median_ms']:.1f} ms in the middle, {found['scrape_max_ms']:.1f} ms at the most of "
        f"{found['scrapes']} (asked: under {ASKED_SCRAPE_MILLISECONDS:g} ms)."
    )
    late = (
        f"The controller's loop was at most {found['loop_late_scraped_max_ms']:.1f} ms late while it was "
        f"scraped, {found['loop_late_idle_max_ms']:.1f} ms while nobody did. Leases are renewed by the "
        "keeper, which is another process."
    )
    rendering = f"Rendering, ahead and in a thread: {found['render_median_ms']:.1f} ms of processor time."
    return [scrape, rendering, late]


async def measured(services: int, scrapes: int) -> dict[str, Any]:
    """All figures."""
    shown = estate_of(services)
    text = render(shown, now_ns=boottime_ns())
    rendering = []
    for _ in range(5):
        began = time.thread_time()
        render(shown, now_ns=boottime_ns())
        rendering.append(time.thread_time() - began)
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{trial.getsockname()[1]}"
    page = MetricsPage()
    idle, busy = Lateness(), Lateness()
    async with page.serving(where):
        seconds = scrapes * SCRAPE_EVERY_SECONDS
        async with asyncio.timeout(seconds + 60):
            await idle.during(asyncio.sleep(min(seconds, 10.0)))
            turning = asyncio.create_task(_turns(page, shown))
            try:
                told = await busy.during(_scraped(where, scrapes))
            finally:
                turning.cancel()
                await asyncio.gather(turning, return_exceptions=True)
    took = told["took"]
    return {
        "services": services,
        "series": sum(not line.startswith(b"#") for line in text.splitlines()),
        "bytes": told["size"],
        "scrapes": len(took),
        "scrape_median_ms": round(statistics.median(took) * 1e3, 2),
        "scrape_max_ms": round(max(took) * 1e3, 2),
        "render_median_ms": round(statistics.median(rendering) * 1e3, 2),
        "loop_late_idle_max_ms": round(idle.worst_seconds * 1e3, 2),
        "loop_late_scraped_max_ms": round(busy.worst_seconds * 1e3, 2),
    }


class Lateness:
    """How late a loop's own work came at the worst."""

    def __init__(self) -> None:
        self.worst_seconds = 0.0

    async def during(self, work: Any) -> Any:
        """Measure while something is done."""
        ticking = asyncio.create_task(self._tick())
        try:
            return await work
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.worst_seconds = max(self.worst_seconds, loop.time() - due)


async def _turns(page: MetricsPage, shown: Readings) -> None:
    """Newer readings as often as a controller has them."""
    while True:
        now_ns = boottime_ns()
        if page.due(now_ns):
            page.take(replace(shown, turned_at_ns=now_ns))
        await asyncio.sleep(TURN_SECONDS)


async def _scraped(where: str, times: int) -> dict[str, Any]:
    """By another process, as Prometheus is one."""
    await asyncio.sleep(2 * TURN_SECONDS)
    asked = (f"http://{where}/metrics", str(times), str(SCRAPE_EVERY_SECONDS))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", _SCRAPER, *asked, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    found: dict[str, Any] = json.loads(said)
    return found


def estate_of(services: int) -> Readings:
    """Readings in which everything is known of so many services."""
    now_ns = boottime_ns()
    names = [f"service-{number}" for number in range(services)]
    tally = Tally()
    for name in names:
        _count(tally, name)
    return Readings(
        observer=_SITES[0],
        version="bench",
        turned_at_ns=now_ns,
        started_unix_seconds=time.time(),
        loop_delay_seconds=0.001,
        lease_duration_seconds=10.0,
        store=StoreReading(answered_at_ns=now_ns, round_trip_seconds=0.004, trusted=True),
        sites=tuple(
            SiteReading(site=site, lease_until_ns=now_ns + 10**10, hold=False, maintenance=False)
            for site in _SITES
        ),
        services=tuple(_service(name) for name in names),
        instances=tuple(
            InstanceReading(
                service=name,
                site=site,
                role=Role.PRIMARY if site == _SITES[0] else Role.STANDBY,
                sampled_at_ns=now_ns,
                writable=site == _SITES[0],
            )
            for name in names
            for site in _SITES
        ),
        lags=tuple(
            LagReading(
                service=name,
                from_site=_SITES[0],
                to_site=_SITES[1],
                sampled_at_ns=now_ns,
                seconds=0.1234567,
                bytes=1234567,
            )
            for name in names
        ),
        probes=tuple(
            ProbeReading(
                service=name,
                site=site,
                probe=probe,
                kind="tcp",
                verdict=Verdict.UP,
                at_ns=now_ns,
                duration_seconds=0.0123,
            )
            for name in names
            for site in _SITES
            for probe in _PROBES
        ),
        disagreements=tuple(
            DisagreementReading(service=name, site=site, disagree=False) for name in names for site in _SITES
        ),
        runs=tuple(
            RunReading(
                service=name,
                kind="switchover",
                changed_at_ns=now_ns,
                started_unix_seconds=time.time(),
                finish_unix_seconds=time.time(),
                steps={"done": 3, "running": 1, "waiting": 2},
            )
            for name in names
        ),
        counts=tally.counts(),
    )


def _service(name: str) -> ServiceReading:
    return ServiceReading(
        service=name,
        sites=_SITES,
        rpo_seconds=60,
        rto_seconds=1800,
        failover="automatic",
        owner_known=True,
        primary=_SITES[0],
        epoch=5,
        glass_site=_SITES[0],
        under_glass=False,
        diagnosis="healthy",
        paused=False,
        protected=True,
        drill_last_success_unix_seconds=1.79e9,
        last_move=MoveReading(ended_unix_seconds=1.79e9, outage_seconds=3.1, loss_bound_seconds=0.5),
        run_waits=False,
    )


def _count(tally: Tally, service: str) -> None:
    codes: Sequence[str] = _CODES
    for code in codes:
        tally.decided(service, "hold", code)
        tally.refused(service, code)
    for kind in ("failover", "switchover", "rejoin"):
        tally.run_ended(service, kind, "done", 12.5)
    for step in _STEPS:
        tally.step_ended(service, step, "done", 1.25)
