"""`twinsite keeper`: assemble one site's keeper and run it, without probes, runbooks or the web."""

import asyncio
import sys
from pathlib import Path

from orchestrator.assembly import (
    Ground,
    load_ground,
    make_drivers,
    open_store,
    open_transport,
    set_up_logging,
)
from orchestrator.keeper import AnotherKeeper, Keeper, lock_directory, raise_priority, serve_keeper
from orchestrator.paths import keeper_socket


def run_keeper(estate_path: Path, site: str) -> int:
    """Run the keeper of `site` until told to end; 1 when another one already runs."""
    set_up_logging("keeper", site)
    ground = load_ground(estate_path, site)
    raise_priority()
    try:
        lock = lock_directory(ground.directory)
    except AnotherKeeper as fault:
        print(f"twinsite keeper: {fault}", file=sys.stderr)
        return 1
    with lock:
        return asyncio.run(_run(ground))


async def _run(ground: Ground) -> int:
    transport = open_transport(ground)
    keeper = Keeper(
        ground.estate,
        ground.site.name,
        open_store(ground),
        make_drivers(ground, transport),
        ground.directory,
        keeper_socket(ground.directory),
    )
    try:
        return await serve_keeper(keeper)
    finally:
        await transport.aclose()
