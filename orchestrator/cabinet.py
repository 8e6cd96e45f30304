"""Where certificates lie: one file each below the state directory, readable by their owner alone.

A certificate is written once, synced, and never changed. What was not written is not acted upon. Synchronous;
decides nothing.
"""

import contextlib
import os
import re
from pathlib import Path

from orchestrator.certified import LONGEST_TEXT_BYTES, Certificate, CertificateUnreadable, certificate_of

_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,80}$")


class Cabinet:
    """The certificates of one site."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "certificates"

    def place(self, name: str) -> Path:
        """Where the certificate of that id is, or would be. Raises ValueError for what is no id."""
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is no certificate's id")
        return self.folder / f"{name}.json"

    def keep(self, certificate: Certificate) -> Path:
        """Write it, and see it onto the disk. Raises OSError, also when that id has one already, and
        ValueError for one that is too long to be handed to a guard."""
        text = certificate.text().encode("ascii")
        if len(text) > LONGEST_TEXT_BYTES:
            raise ValueError(f"a certificate of {len(text)} bytes; at most {LONGEST_TEXT_BYTES}")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self.place(certificate.id)
        fresh = place.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(fresh, place)  # unlike a rename, never over one that is there
        finally:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return place

    def withdraw(self, name: str) -> None:
        """Take one away that never counted, because it could not be journaled."""
        with contextlib.suppress(OSError):
            self.place(name).unlink()

    def text(self, name: str) -> str | None:
        """The written text of a certificate; None when there is none, or it cannot be read."""
        try:
            with self.place(name).open(encoding="ascii") as file:
                return file.read(LONGEST_TEXT_BYTES)
        except (OSError, ValueError):
            return None

    def read(self, name: str) -> Certificate | None:
        """The certificate of that id; None when there is none, or it is not understood."""
        text = self.text(name)
        try:
            return certificate_of(text) if text is not None else None
        except CertificateUnreadable:
            return None
