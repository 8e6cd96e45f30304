"""Renewed certificates count without a restart: the files are looked at now and then, beside the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from sites.identity import CertificateFiles, CertificateMisuse

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 10.0

Marks = tuple[tuple[int, int, int] | None, ...]


async def follow_renewals(files: CertificateFiles, reload: Callable[[], Awaitable[None]]) -> None:
    """Call `reload` when one of the files has been replaced, until cancelled.

    Files that do not belong together (yet) are tried again at the next look; what was read before counts.
    """
    seen: Marks | None = None  # so that nothing replaced between start and the first look is missed
    complained: Marks | None = None
    while True:
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        found = await asyncio.to_thread(_marks, files)
        if found == seen:
            continue
        try:
            await reload()
        except CertificateMisuse as fault:
            if found != complained:
                log.warning("certificates-not-renewed", problem=str(fault), in_force="those read before")
            complained = found
            continue
        if seen is not None:
            log.info("certificates-renewed", certificate=str(files.certificate))
        seen = found


def _marks(files: CertificateFiles) -> Marks:
    return tuple(_mark(path) for path in (files.ca, files.certificate, files.key))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
