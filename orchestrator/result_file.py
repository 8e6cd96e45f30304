"""The file that `--json FILE` names: looked at before hours of work are done for it, and written whole.

"-" is standard output.
"""

import os
import sys
from pathlib import Path

from orchestrator.errors import OrchestratorMisuse


class ResultNotWritten(OrchestratorMisuse):
    """The result cannot be written where it was asked for."""


def check_result(*paths: str | None) -> None:
    """Whether results can be written there; changes nothing. Raises ResultNotWritten."""
    for path in paths:
        if path is None or path == "-":
            continue
        place = Path(path)
        there = place.exists()
        try:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666))
            if not there:
                place.unlink()
        except OSError as fault:
            raise ResultNotWritten(
                f"{path}: the result cannot be written there: {fault.strerror}; name another file"
            ) from fault


def write_result(path: str | None, text: str) -> None:
    """Nowhere, to standard output or to the file, which holds the old text or the new one and nothing
    between. Raises ResultNotWritten."""
    if path is None:
        return
    if path == "-":
        sys.stdout.write(text)
        return
    place = Path(path)
    try:
        if place.is_symlink() or (place.exists() and not place.is_file()):
            place.write_text(text, encoding="utf-8")
            return
        fresh = place.with_name(f".{place.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(place)
    except OSError as fault:
        raise ResultNotWritten(f"{path}: the result cannot be written there: {fault.strerror}") from fault


def put_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Put a text between two marks, each a line of a page that has them. Raises ResultNotWritten."""
    begin, end = marks
    try:
        old = page.read_text(encoding="utf-8")
    except OSError as fault:
        raise ResultNotWritten(f"{page}: cannot be read: {fault.strerror}; name the page") from fault
    before, found, rest = old.partition(f"{begin}\n")
    _, ended, after = rest.partition(f"{end}\n")
    if not found or not ended:
        raise ResultNotWritten(f"{page}: has no lines {begin} and {end}, between which the text would stand")
    write_result(str(page), f"{before}{begin}\n{text}{end}\n{after}")
