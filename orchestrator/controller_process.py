"""`twinsite controller`, its first moments: a keeper is started where none is on its way, before the
controller brings in all that it needs itself. The two start side by side.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from mmap import mmap
from pathlib import Path

import structlog

from orchestrator import last_words
from orchestrator.assembly import bring_later, load_ground, set_up_logging
from orchestrator.core import keeper_view, messages, notes, records, restored
from orchestrator.last_words import StartedKeeper
from orchestrator.lean import started
from orchestrator.prefork import BecomeWorker, alone
from orchestrator.state_folder import KEEPER, is_locked
from sites.inventory import EstateInvalid

log = structlog.get_logger(__name__)

LATER = (
    "cronsim",
    "jinja2",
    "orchestrator.certificates.reading",
    "orchestrator.countersigning",
    "orchestrator.signing",
    "orchestrator.store.etcd",
)
Keeper = subprocess.Popen[bytes]


def run_controller(estate_path: Path, site: str, *, become_worker: BecomeWorker = alone) -> int:
    """Run the controller of `site` until told to end. Raises AlreadyRuns, StateUnusable, and
    what the estate's own load, the journal and `/metrics` raise. `become_worker`: as
    `prefork.become_worker`."""
    set_up_logging("controller", site)

    def start_keeper() -> Keeper:
        return _start_keeper(estate_path, site)

    try:
        directory = load_ground(estate_path, site, witness=False).directory
    except EstateInvalid:
        become_worker = alone  # whoever loads it with all that is to be checked tells of every fault
        directory = None
    first = _first_keeper(directory, start_keeper) if directory is not None else None
    adopted = mmap(-1, 1)  # which a worker shares with its parent
    starter = os.getpid()

    def adopt() -> None:
        """The controller has been put together: from now on the keeper outlives it on purpose."""
        adopted[0] = 1

    try:
        from orchestrator.daemon import run

        started()
        before = become_worker(bring_all)
        mine: StartedKeeper | None = first
        if first is not None and os.getpid() != starter:
            mine = OnItsWay(first.pid) if before == 0 else None
        return run(estate_path, site, start_keeper, mine, adopt)
    except BaseException:
        if first is not None and not adopted[0] and os.getpid() == starter:
            first.terminate()
        raise


class OnItsWay:
    """A keeper that the parent has started: it alone is told with what it ends."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def poll(self) -> int | None:
        """None while it runs. Why it ended is in its last words, which the next one repeats."""
        return None if Path(f"/proc/{self._pid}").exists() else 0


def bring_all() -> None:
    """Import what a controller needs later, so that the next one has it from the start."""
    bring_later(LATER, (keeper_view, messages, notes, records, restored))


def _first_keeper(directory: Path, start: Callable[[], Keeper]) -> Keeper | None:
    """The keeper that is started now; None where one is there."""
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
