"""Files that are shipped along with a runbook: what may be one, and by what it is known.

A file is read together with its runbook, stands in the plan with its SHA-256, and goes from there to the
host: what is changed on the disk while a run goes on does not change the run.
"""

import hashlib
import re
from pathlib import Path

FILE_LIMIT_BYTES = 64 * 1024
FILES_LIMIT_BYTES = 256 * 1024
SHA256 = "<sha256>"
"""The key under which an action's arguments hold the hash of its file; filled in when a plan is drawn up."""

_PATH = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")


class FileUnusable(Exception):
    """A file cannot be shipped along. `missing`: it is not there at all."""

    def __init__(self, found: str, expected: str, *, missing: bool = False) -> None:
        self.found = found
        self.expected = expected
        self.missing = missing
        super().__init__(f"{found}; expected {expected}")


def sha256_of(text: str) -> str:
    """By what a file is known."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_shipped(folder: Path, path: str) -> str:
    """The text of a file below `folder`. Raises FileUnusable."""
    if not _PATH.match(path):
        wanted = "a path below the runbook's folder, of letters, digits, dots, hyphens and underscores"
        raise FileUnusable(f"the path {path!r}", wanted)
    try:
        with (folder / path).open("rb") as file:
            raw = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        wanted = "a file that is there, its path relative to the runbook"
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise FileUnusable(f"no file {path!r}", wanted, missing=True) from error
        raise FileUnusable(f"{path!r}, which cannot be read: {error.strerror}", wanted) from error
    if len(raw) > FILE_LIMIT_BYTES:
        raise FileUnusable(
            f"{path!r} with more than {FILE_LIMIT_BYTES} bytes",
            "a smaller script; large things are put on the hosts beforehand",
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise FileUnusable(f"{path!r}, which is no text in UTF-8", "a script that is a text") from error
    if "\0" in text:
        raise FileUnusable(f"{path!r}, which holds a zero byte", "a script that is a text")
    if "\r\n" in text:
        raise FileUnusable(
            f"{path!r}, whose lines end as on Windows", "lines that end with LF alone: no shell takes others"
        )
    if not text.strip():
        raise FileUnusable(f"{path!r}, which is empty", "a script")
    return text
