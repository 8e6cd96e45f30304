"""Whose turn it is: at most so many at a time, in the order in which they came, and fewer once that is known.

Pure bookkeeping for one event loop; it knows neither hosts nor connections.
"""

import asyncio
from collections import deque


class Turns:
    """Like a semaphore whose limit can be lowered while turns are taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, *, first: bool = False) -> None:
        """Wait for a turn. `first`: before everybody else who waits."""
        if self._taken < self.limit and (first or not self._waiting):
            self._taken += 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(mine)
        else:
            self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back()  # it was given in the same moment, and nobody will use it
            elif mine in self._waiting:
                self._waiting.remove(mine)
            raise

    def give_back(self) -> None:
        """A turn is over."""
        self._taken -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and self._taken < self.limit:
            following = self._waiting.popleft()
            if not following.done():
                self._taken += 1
                following.set_result(None)

    def assume(self) -> None:
        """Have a turn at once, whatever the limit: for somebody who will give back what he does not have."""
        self._taken += 1

    def lower(self, limit: int) -> None:
        """Never more than this many at a time from now on; turns that are taken last until given back."""
        self.limit = max(1, min(self.limit, limit))

    def raise_to(self, limit: int) -> None:
        """As many as this at a time again."""
        self.limit = limit
        self._next()
