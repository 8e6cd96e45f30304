"""A site's controller put on its feet: read the estate, open store, hosts and journal, and run until told to
end. How its keeper is started is for whoever starts it to say (`controller_process`).
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import structlog

from orchestrator.assembly import (
    Ground,
    load_ground,
    make_drivers,
    open_store,
    open_transport,
)
from orchestrator.journal import SqliteJournal
from orchestrator.last_words import StartedKeeper
from orchestrator.paths import journal_path
from orchestrator.peer_store import PeerStore
from orchestrator.site_controller import Means, SiteController
from orchestrator.state_folder import lock_directory
from probes.catalogue import SETTINGS as PROBE_SETTINGS
from probes.catalogue import faults as probe_faults
from runbooks.faults import faults as runbook_faults
from runbooks.sql import PostgresSql
from sites.identity import CertificateFiles
from sites.model import Estate
from sites.replication.catalogue import databases_of

log = structlog.get_logger(__name__)


def run(
    estate_path: Path,
    site: str,
    start_keeper: Callable[[], StartedKeeper],
    first: StartedKeeper | None,
    adopt: Callable[[], None],
) -> int:
    """Run until told to end. `first`: the keeper that has been started already; `adopt` is called once a
    controller is there for it, and serves. Raises AlreadyRuns, StateUnusable, and what the estate's own load,
    the journal and `/metrics` raise."""
    return asyncio.run(_run(estate_path, site, start_keeper, first, adopt))


async def _run(
    estate_path: Path,
    site: str,
    start_keeper: Callable[[], StartedKeeper],
    first: StartedKeeper | None,
    adopt: Callable[[], None],
) -> int:
    ground = load_ground(
        estate_path,
        site,
        witness=False,
        probe_settings=PROBE_SETTINGS,
        probe_faults=probe_faults,
        runbook_faults=runbook_faults,
    )
    for warning in ground.loaded.warnings:
        log.warning("estate", warning=warning.render().splitlines()[0])
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(lock_directory(ground.directory, "controller"))
        controller = SiteController(await _means(ground, start_keeper, first, stack))
        return await controller.run(ended, adopt)


async def _means(
    ground: Ground,
    start_keeper: Callable[[], StartedKeeper],
    first: StartedKeeper | None,
    stack: contextlib.AsyncExitStack,
) -> Means:
    """What the estate file says this site works with; closed with the stack."""
    store = open_store(ground)
    stack.push_async_callback(store.aclose)
    transport = open_transport(ground)
    stack.push_async_callback(transport.aclose)
    drivers = make_drivers(ground, transport)
    for driver in drivers.values():
        stack.push_async_callback(driver.aclose)
    journal = await SqliteJournal.open(journal_path(ground.directory))
    stack.push_async_callback(journal.aclose)
    site = ground.site.name
    return Means(
        estate=ground.estate,
        site=site,
        base=ground.base,
        directory=ground.directory,
        store=store,
        transport=transport,
        drivers=drivers,
        journal=journal,
        sql=_sql_of(ground.estate, ground.base),
        start_keeper=start_keeper,
        first_keeper=first,
        store_status=store.status,
        peer_store=_peer_store(ground).ask,
    )


def _peer_store(ground: Ground) -> PeerStore:
    peer = ground.estate.other_data_site(ground.site.name)
    files = CertificateFiles.of(ground.site.tls, ground.base) if ground.site.tls is not None else None
    return PeerStore(ground.estate.sites[peer].controller, files, peer)


def _sql_of(estate: Estate, base: Path) -> dict[str, PostgresSql]:
    """For a service of several parts, the first that is a database."""
    databases = {name: databases_of(service) for name, service in estate.services.items()}
    return {name: PostgresSql(estate, found[0], base) for name, found in databases.items() if found}
