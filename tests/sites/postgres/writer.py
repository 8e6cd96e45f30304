"""A client that writes while a test moves its database."""

import asyncio
from collections.abc import Sequence

from tests.sites.postgres.pairs import TROUBLES, Pair


class Writer:
    """A client that writes numbered rows at whichever site takes them, and keeps what was acknowledged."""

    def __init__(self, pair: Pair, sites: Sequence[str]) -> None:
        self._pair = pair
        self._sites = sites
        self._next = 1
        self.acknowledged: list[int] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Writer":
        self._task = asyncio.create_task(self._write())
        await self.more(5)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def more(self, rows: int) -> None:
        """Wait until that many more rows were acknowledged."""
        wanted = len(self.acknowledged) + rows
        async with asyncio.timeout(20):
            while len(self.acknowledged) < wanted:
                assert self._task is not None
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.005)

    async def _write(self) -> None:
        while True:
            for site in self._sites:
                try:
                    await self._write_at(site)
                except TROUBLES:
                    await asyncio.sleep(0.005)

    async def _write_at(self, site: str) -> None:
        connection = await self._pair.connect(site)
        try:
            while True:
                # Numbered anew each time: a commit whose answer was lost may have happened.
                number, self._next = self._next, self._next + 1
                await connection.execute("insert into rows values ($1)", number, timeout=2)
                self.acknowledged.append(number)
        finally:
            connection.terminate()
