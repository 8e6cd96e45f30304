"""A transport whose library is imported beside the first work of a process, in a thread: a daemon that starts
has more urgent things to do than to wait for SSH. The first command waits for it instead.
"""

import asyncio
from collections.abc import Callable

from sites.errors import HostUnreachable
from sites.model import Host
from sites.output import Said
from sites.transport import Completed, Transport


class LateTransport:
    """`bring` imports, in a thread; `make` then makes the real one."""

    def __init__(self, bring: Callable[[], None], make: Callable[[], Transport]) -> None:
        self._bring = bring
        self._make = make
        self._real: Transport | None = None
        self._making: asyncio.Task[Transport] | None = None
        self._closed = False

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """As `Transport.run`; the time that was waited for the library counts."""
        real = self._real
        if real is None:
            loop = asyncio.get_running_loop()
            due = loop.time() + timeout_seconds
            try:
                async with asyncio.timeout_at(due):
                    real = await self._made()
            except TimeoutError:
                raise HostUnreachable(
                    f"{host.address}: not reached within {timeout_seconds:g} s: this process has only just "
                    "started; the command was not started."
                ) from None
            timeout_seconds = due - loop.time()
        return await real.run(host, command, timeout_seconds=timeout_seconds, stdin=stdin, said=said)

    async def _made(self) -> Transport:
        if self._making is None:
            self._making = asyncio.create_task(self._work())
        return await asyncio.shield(self._making)

    async def _work(self) -> Transport:
        await asyncio.to_thread(self._bring)
        self._real = self._make()
        if self._closed:
            await self._real.aclose()
        return self._real

    async def aclose(self) -> None:
        """As `Transport.aclose`."""
        self._closed = True
        if self._real is not None:
            await self._real.aclose()
        elif self._making is not None:
            await asyncio.gather(self._making, return_exceptions=True)
