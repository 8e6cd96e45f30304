"""`twinsite witness`: the third vantage point. It observes both sites and publishes what it sees; it owns
nothing, decides nothing and may write nothing but its own observations.
"""

import asyncio
import signal
from pathlib import Path

import structlog

from orchestrator.assembly import load_ground, make_drivers, open_store, open_transport, set_up_logging
from orchestrator.eyes import Eyes
from orchestrator.observing import publish
from orchestrator.state_folder import check_writable
from orchestrator.store.known import KnownStore
from orchestrator.store.seen_file import NAME, SeenFile
from orchestrator.store_offline import take_acceptances
from orchestrator.vantage import NOT_FROM_OUTSIDE, Vantage, context_at
from probes.catalogue import SETTINGS as PROBE_SETTINGS
from probes.catalogue import faults as probe_faults

log = structlog.get_logger(__name__)


def run_witness(estate_path: Path, site: str) -> int:
    """Observe until told to end. Raises what the estate's own load raises, and StateUnusable."""
    set_up_logging("witness", site)
    return asyncio.run(_run(estate_path, site))


async def _run(estate_path: Path, site: str) -> int:
    ground = load_ground(
        estate_path, site, witness=True, probe_settings=PROBE_SETTINGS, probe_faults=probe_faults
    )
    check_writable(ground.directory)
    etcd = open_store(ground)
    store = KnownStore(etcd, SeenFile(ground.directory / NAME))
    transport = open_transport(ground)
    drivers = make_drivers(ground, transport)
    context = context_at(ground.estate, site, ground.base, transport=transport, drivers=drivers)
    vantage = Vantage(ground.estate, site, context, store_status=etcd.status, leaving_out=NOT_FROM_OUTSIDE)
    eyes = Eyes(
        ground.estate,
        drivers,
        watch_losses_at=None,
        on_change=lambda: None,
        scouts=vantage.scouts,
        probes=vantage.seen,
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    log.info("witness-started", services=sorted(drivers))
    tasks = [
        asyncio.create_task(eyes.run()),
        asyncio.create_task(vantage.run()),
        asyncio.create_task(publish(store, site, eyes.observation, eyes.changed)),
        asyncio.create_task(take_acceptances(store, ground.directory)),
    ]
    try:
        await asyncio.wait([*tasks, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for driver in drivers.values():
            await driver.aclose()
        await store.aclose()
        await transport.aclose()
    faults = [found for found in results if isinstance(found, Exception)]
    for fault in faults:
        log.error("witness-task-failed", exc_info=fault)
    log.info("witness-ended")
    return 1 if faults else 0
