"""Carry a command to a host: the seam, and what comes back. (The implementation is asyncssh's.)"""

from dataclasses import dataclass
from typing import Protocol

from sites.model import Host
from sites.output import Said

OUTPUT_LIMIT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended by itself. Output is decoded with replacement and cut at OUTPUT_LIMIT_BYTES;
    `left_out_bytes` is how much of both streams did not fit."""

    exit_status: int
    stdout: str
    stderr: str
    duration_seconds: float
    truncated: bool = False
    left_out_bytes: int = 0


class Transport(Protocol):
    """One kept connection per host; errors are those of `sites.errors`."""

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """Run a POSIX shell command line to its end. A non-zero exit status is a result, not an error.

        `said` is told its lines as they come, from the event loop; one that raises is told nothing more.

        Raises HostUnreachable, HostKeyChanged, AccessDenied or CommandTimedOut.
        """
        ...

    async def aclose(self) -> None:
        """Close every kept connection."""
        ...
