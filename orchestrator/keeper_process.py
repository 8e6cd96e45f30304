"""`twinsite keeper`: assemble one site's keeper and run it, without probes, runbooks or the web."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from orchestrator import last_words
from orchestrator.assembly import (
    Ground,
    bring_later,
    bring_ssh,
    driven,
    load_ground,
    make_drivers,
    open_store,
    open_transport,
    set_up_logging,
)
from orchestrator.core import keeper_view, messages, notes, records, restored
from orchestrator.hands import Cutter, LateHands
from orchestrator.keeper import Keeper, raise_priority, serve_keeper
from orchestrator.keeper_doors import TlsDoors
from orchestrator.keeper_store import encoded
from orchestrator.paths import keeper_socket
from orchestrator.prefork import BecomeWorker, alone
from orchestrator.state_folder import KEEPER, is_locked, lock_directory
from orchestrator.store import continuity
from sites.identity import CertificateFiles
from sites.replication.catalogue import bring_driver
from sites.transport import Transport

log = structlog.get_logger(__name__)

LATER = ("aiohttp.web", "orchestrator.certificates.reading", "orchestrator.store.etcd")


def run_keeper(
    estate_path: Path, site: str, *, at_once: bool = False, become_worker: BecomeWorker = alone
) -> int:
    """Run the keeper of `site` until told to end. Where another one runs it waits for that one's end, and is
    there in no time then; or, `at_once`, raises AlreadyRuns. Raises StateUnusable, RightsUnreadable,
    NoteUnreadable, and what its doors raise when they cannot open; the last words are in the state directory
    then. `become_worker`: as `prefork.become_worker`."""
    set_up_logging("keeper", site)
    ground = load_ground(estate_path, site, witness=False)
    if become_worker(bring_all):  # the one before has been killed, and the file may say something else by now
        ground = load_ground(estate_path, site, witness=False)
    raise_priority()
    try:
        waits = not at_once and is_locked(ground.directory, KEEPER)
        if waits:
            log.info("keeper-waits", why="another keeper of this site runs on this machine")
        with lock_directory(ground.directory, KEEPER, wait=not at_once):
            if waits:  # the file may say something else by now
                ground = load_ground(estate_path, site, witness=False)
            return asyncio.run(_run(ground))
    except Exception as fault:
        last_words.leave(ground.directory, fault)  # the controller shows them, and starts it less often
        raise


async def _run(ground: Ground) -> int:
    guarded = guarded_services(ground)
    doors = _doors(ground, guarded)
    keeper = Keeper(
        ground.estate,
        ground.site.name,
        open_store(ground),
        late_hands(ground),
        ground.directory,
        keeper_socket(ground.directory),
        doors,
        guarded,
    )
    if doors is not None:
        doors.offer_store_word(lambda: encoded(keeper.store_word()))
    return await serve_keeper(keeper)


def bring_all() -> None:
    """Import and make all that a keeper may ever need, so that the next one starts with it."""
    bring_later(LATER, (continuity, keeper_view, messages, notes, records, restored))


def late_hands(ground: Ground) -> LateHands:
    """The drivers of the services that have one; imported while the keeper is at work already."""

    def bring() -> None:
        bring_ssh()
        for service in ground.estate.services.values():
            bring_driver(service)

    def make() -> tuple[Mapping[str, Cutter], Transport]:
        transport = open_transport(ground)
        return make_drivers(ground, transport), transport

    return LateHands(driven(ground.estate), bring, make)


def guarded_services(ground: Ground) -> frozenset[str]:
    """Services whose database host at this site has a guard that can reach its keeper."""
    if ground.site.guards is None or ground.site.tls is None:
        return frozenset()
    return frozenset(name for name, service in ground.estate.services.items() if service.guard is not None)


def _doors(ground: Ground, guarded: frozenset[str]) -> TlsDoors | None:
    if ground.site.tls is None:
        return None
    files = CertificateFiles.of(ground.site.tls, ground.base)
    return TlsDoors(ground.estate, ground.site.name, files, guarded)
