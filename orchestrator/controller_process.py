"""`twinsite controller`, its first moments: a keeper is started where none is on its way, before the
controller brings in all that it needs itself. The two start side by side.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from orchestrator import last_words
from orchestrator.assembly import load_ground, set_up_logging
from orchestrator.lean import started
from orchestrator.state_folder import KEEPER, is_locked
from sites.inventory import EstateInvalid

log = structlog.get_logger(__name__)

Keeper = subprocess.Popen[bytes]


def run_controller(estate_path: Path, site: str) -> int:
    """Run the controller of `site` until told to end. Raises AlreadyRuns, StateUnusable, and
    what the estate's own load, the journal and `/metrics` raise."""
    set_up_logging("controller", site)

    def start_keeper() -> Keeper:
        return _start_keeper(estate_path, site)

    first = _first_keeper(estate_path, site, start_keeper)
    adopted: list[int] = []

    def adopt() -> None:
        """The controller has been put together: from now on the keeper outlives it on purpose."""
        adopted.append(1)

    try:
        from orchestrator.daemon import run

        started()
        return run(estate_path, site, start_keeper, first, adopt)
    except BaseException:
        if first is not None and not adopted:
            first.terminate()
        raise


def _first_keeper(estate_path: Path, site: str, start: Callable[[], Keeper]) -> Keeper | None:
    """The keeper that is started now; None where one is there, or nothing is clear yet."""
    try:
        directory = load_ground(estate_path, site, witness=False).directory
    except EstateInvalid:
        return None  # whoever loads it with all that is to be checked tells of every fault
    if is_locked(directory, KEEPER):
        return None
    log.info("keeper-starting", reason="none runs here")
    last_words.forget(directory)
    return start()


def _start_keeper(estate_path: Path, site: str) -> Keeper:
    """A keeper of its own session: it outlives this controller on purpose."""
    program = [sys.executable, "-P", sys.argv[0], "--config", str(estate_path)]
    command = [*program, "keeper", "--site", site, "--at-once"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, env=dict(os.environ))
