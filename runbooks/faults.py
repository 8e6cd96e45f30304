"""What is wrong with the runbooks that an estate's services name, for the check of the estate file."""

from collections.abc import Sequence
from pathlib import Path

from runbooks.actions import shipped_actions
from runbooks.errors import RunbookUnknown
from runbooks.library import Library, RunbookInvalid


def faults(name: str, *, folders: Sequence[Path]) -> tuple[str, ...]:
    """A sentence for each fault of the runbook of that name, with its file, line and column; or that there is
    none. Reads the file."""
    try:
        Library(shipped_actions(), tuple(folders)).load(name)
    except RunbookInvalid as invalid:
        return tuple(
            f"the runbook {name} has a fault: {fault.render().splitlines()[0]}" for fault in invalid.faults
        )
    except RunbookUnknown as unknown:
        return (str(unknown),)
    return ()
