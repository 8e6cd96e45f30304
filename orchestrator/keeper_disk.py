"""What a keeper keeps on disk, synced, for the next one of its site (P16, P30, P31): `rights.json`.

The broken glass outlives boots. What concerns hold is worth nothing on another boot, after which nothing is
open. A note that cannot be read is not guessed at: it counts as one that says nothing of the peer or of hold,
and a keeper that cannot know whether glass was broken here does not start.
"""

import json
import os
from pathlib import Path

from orchestrator.clock import boot_id
from orchestrator.core.adapters import adapter
from orchestrator.core.notes import EMPTY, Note
from orchestrator.errors import OrchestratorTrouble


class RightsUnreadable(OrchestratorTrouble):
    """The note is there and makes no sense."""


class RightsFile:
    """The file below a site's state directory. `write` blocks; call it in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Note:
        """The note; EMPTY when there is none. Raises RightsUnreadable."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return EMPTY
        except OSError as fault:
            raise RightsUnreadable(
                f"{self._path}: cannot be read: {fault.strerror}; let its owner be the user who runs twinsite"
            ) from fault
        try:
            said = json.loads(text)
            note: Note = adapter(Note).validate_python(said["note"])
            same_boot = said["boot"] == boot_id()
        except (ValueError, KeyError, TypeError) as fault:
            found = " ".join(str(fault).split())[:200]
            raise RightsUnreadable(
                f"{self._path}: not what a keeper writes ({found}); whether a certificate has opened a "
                "service here is not known. Make sure of that, then move the file away; the keeper starts "
                "by itself"
            ) from fault
        return note if same_boot else Note(glass=note.glass)

    def write(self, note: Note) -> None:
        """Replace the note and see it onto the disk. A full disk still takes a note that says nothing.

        Raises OSError: then the disk may hold either.
        """
        if note == EMPTY:
            self._path.unlink(missing_ok=True)
        else:
            fresh = self._path.with_suffix(".new")
            text = json.dumps({"boot": boot_id(), "note": adapter(Note).dump_python(note, mode="json")})
            with fresh.open("w", encoding="utf-8") as handle:
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
            fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
