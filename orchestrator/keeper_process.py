"""`twinsite keeper`: assemble one site's keeper and run it, without probes, runbooks or the web."""

import asyncio
from pathlib import Path

from orchestrator import last_words
from orchestrator.assembly import (
    Ground,
    load_ground,
    make_drivers,
    open_store,
    open_transport,
    set_up_logging,
)
from orchestrator.keeper import Keeper, raise_priority, serve_keeper
from orchestrator.keeper_doors import TlsDoors
from orchestrator.keeper_store import encoded
from orchestrator.paths import keeper_socket
from orchestrator.state_folder import lock_directory
from sites.identity import CertificateFiles


def run_keeper(estate_path: Path, site: str) -> int:
    """Run the keeper of `site` until told to end. Raises AlreadyRuns, StateUnusable, RightsUnreadable,
    NoteUnreadable, and what its doors raise when they cannot open; the last words are in the state directory
    then."""
    set_up_logging("keeper", site)
    ground = load_ground(estate_path, site)
    raise_priority()
    try:
        with lock_directory(ground.directory, "keeper"):
            return asyncio.run(_run(ground))
    except Exception as fault:
        last_words.leave(ground.directory, fault)  # the controller shows them, and starts it less often
        raise


async def _run(ground: Ground) -> int:
    transport = open_transport(ground)
    guarded = guarded_services(ground)
    doors = _doors(ground, guarded)
    keeper = Keeper(
        ground.estate,
        ground.site.name,
        open_store(ground),
        make_drivers(ground, transport),
        ground.directory,
        keeper_socket(ground.directory),
        doors,
        guarded,
    )
    if doors is not None:
        doors.offer_store_word(lambda: encoded(keeper.store_word()))
    try:
        return await serve_keeper(keeper)
    finally:
        await transport.aclose()


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
