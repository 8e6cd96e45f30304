"""What a keeper leaves on disk for the next one on the same boot. It gives no right and decides nothing."""

import json
from pathlib import Path

import structlog

from orchestrator.clock import boot_id
from orchestrator.core.state import OwnershipState
from orchestrator.errors import OrchestratorTrouble

log = structlog.get_logger(__name__)


class NoteUnreadable(OrchestratorTrouble):
    """The note is there and makes no sense."""


class KeeperNote:
    """What a keeper leaves for the next one on the same boot: until when its rights last, and for what.

    It outlives the process, not the machine, and needs no sync: after a reboot nothing is open. It gives
    no right; the next keeper only learns by when to fence if it cannot register (P7).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: tuple[int, tuple[str, ...]] | None = None
        self._problem = ""

    def read(self) -> tuple[int, frozenset[str]]:
        """(deadline, services open); nothing from another boot. Raises NoteUnreadable."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0, frozenset()
        except (OSError, ValueError) as fault:
            raise self._unreadable(fault) from fault
        if not text.strip("\0\n "):
            # Left by a power cut, so of another boot: on this one a replaced file is never seen empty.
            return 0, frozenset()
        try:
            note = json.loads(text)
            if note["boot"] != boot_id():
                return 0, frozenset()
            return int(note["deadline_ns"]), frozenset(str(name) for name in note["open"])
        except (ValueError, KeyError, TypeError) as fault:
            raise self._unreadable(fault) from fault

    def _unreadable(self, fault: Exception) -> NoteUnreadable:
        return NoteUnreadable(
            f"{self._path}: not what a keeper writes ({' '.join(str(fault).split())[:200]}); what is open "
            "here, and by when it must be cut off, is not known. Make sure that no service accepts writes "
            "here (or restart this machine), then move the file away; the keeper starts by itself"
        )

    def write(self, state: OwnershipState) -> None:
        """Note the state, if it changed. A disk that takes nothing is told of, and never stops the keeper."""
        open_here = tuple(sorted(name for name, service in state.services.items() if service.open_here))
        deadline_ns = state.lease_left_to_next()
        now = (deadline_ns, open_here)
        if now == self._last:
            return
        text = json.dumps({"boot": boot_id(), "deadline_ns": deadline_ns, "open": open_here})
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self._path)
        except OSError as fault:
            if str(fault) != self._problem:
                log.error("keeper-note-not-written", path=str(self._path), problem=str(fault))
            self._problem = str(fault)
            return
        self._last, self._problem = now, ""
