"""A transport that runs a host's commands on this machine, as the user whom the databases run as.

It keeps to `sites.transport.Transport`: no connection, so nothing is kept; a host can be cut off.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

from sites.errors import CommandTimedOut, HostUnreachable
from sites.model import Host
from sites.output import Said
from sites.transport import OUTPUT_LIMIT_BYTES, Completed


class LocalTransport:
    """Runs commands with /bin/sh. `cut`: names of sites whose hosts cannot be reached. `commands` keeps what
    was run: everybody on the host could have seen it. `environment` is added to the commands' own. `before`
    is called with each command before it starts, so that a test can let something happen in between."""

    def __init__(self, prefix_argv: Sequence[str] = ()) -> None:
        self._prefix = tuple(prefix_argv)
        self.cut: set[str] = set()
        self.commands: list[str] = []
        self.environment: dict[str, str] = {}
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """Run it to its end; at the timeout its process group is killed."""
        if host.site in self.cut:
            raise HostUnreachable(f"{host.name} ({host.site}): no route to host")
        if self.before is not None:
            await self.before(command)
        self.commands.append(command)
        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *self._prefix,
            "/bin/sh",
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env={**os.environ, **self.environment},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                stdout, stderr = await process.communicate(stdin.encode())
        except TimeoutError as error:
            raise CommandTimedOut(f"{host.name}: not done within {timeout_seconds:g} s") from error
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        assert process.returncode is not None
        return Completed(
            exit_status=process.returncode,
            stdout=stdout[:OUTPUT_LIMIT_BYTES].decode(errors="replace"),
            stderr=stderr[:OUTPUT_LIMIT_BYTES].decode(errors="replace"),
            duration_seconds=time.monotonic() - begun,
        )

    async def aclose(self) -> None:
        """Nothing is kept."""
