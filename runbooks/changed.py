"""What stands on the disk now and is not what a plan was drawn up from: runbooks, nested ones, and scripts.

A run keeps what it was planned with, whatever becomes of the files; this only says so. Reads the files.
"""

from collections.abc import Iterator
from pathlib import Path

from runbooks.errors import RunbooksMisuse
from runbooks.library import Library
from runbooks.planned import Plan
from runbooks.shipped import FileUnusable, read_shipped, sha256_of


def changed_on_disk(plan: Plan, library: Library) -> tuple[str, ...]:
    """The files that are others now, or are gone: `postgres/promote`, `crm/move: tools/clean.sh`."""
    found: dict[str, None] = {}
    for part in plan.parts:
        if not part.source_sha256:
            continue  # twinsite's own, in no file
        for name, sha256 in ((part.runbook, part.source_sha256), *part.includes.items()):
            found.update(dict.fromkeys(_other(name, sha256, library)))
    return tuple(found)


def _other(name: str, sha256: str, library: Library) -> Iterator[str]:
    runbook, _, path = name.partition(": ")
    try:
        file = library.find(runbook)
        text = read_shipped(Path(file).parent, path) if path else library.read(file)
    except (RunbooksMisuse, FileUnusable):
        yield f"{name} (gone, or not readable)"
        return
    if sha256_of(text) != sha256:
        yield name
