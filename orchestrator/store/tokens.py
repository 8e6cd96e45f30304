"""The token that etcd gives for user and password: fetched once, shared by all, renewed when refused.

A member forgets a token after minutes without use, and when it starts anew, so an unused member would
refuse the first request it gets, in the middle of another member's failure. Hence a token is replaced in
the background while it is still good. Fetching it (and its deadline) is the client's.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

RENEW_AFTER_SECONDS = 120.0  # etcd's own --auth-token-ttl is 300
DOUBT_EVERY_SECONDS = 5.0


class Tokens:
    """One token at a time, and at most one request for the next."""

    def __init__(
        self,
        fetch: Callable[[], Coroutine[Any, Any, str]],
        *,
        renew_after_seconds: float = RENEW_AFTER_SECONDS,
    ) -> None:
        self._fetch = fetch
        self._renew_after_seconds = renew_after_seconds
        self._token: str | None = None
        self._asked_at = 0.0
        self._doubted_at = float("-inf")
        self._fetching: asyncio.Task[str] | None = None

    async def current(self) -> str:
        """The token at hand, or the first one. Raises what fetching raises."""
        if self._token is None:
            return await self._fetched()
        if asyncio.get_running_loop().time() - self._asked_at > self._renew_after_seconds:
            self._start()
        return self._token

    async def after(self, refused: str) -> str:
        """A token other than the refused one. Raises what fetching raises."""
        if self._token is not None and self._token != refused:
            return self._token
        return await self._fetched()

    def doubt(self) -> None:
        """A request was not answered. That may be the token: a member that was put back to before it was
        given waits, without a word, until its log has grown up to it. So the next one is fetched meanwhile,
        now and then; the one at hand goes on being used."""
        now = asyncio.get_running_loop().time()
        if self._token is not None and now - self._doubted_at > DOUBT_EVERY_SECONDS:
            self._doubted_at = now
            self._start()

    async def aclose(self) -> None:
        """Ends a fetch under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _fetched(self) -> str:
        # Shielded: one of several tries may be cancelled while the others still wait for this token.
        return await asyncio.shield(self._start())

    def _start(self) -> "asyncio.Task[str]":
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._renew())
            # Its error goes to those who wait; without any, the next request asks again.
            self._fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._fetching

    async def _renew(self) -> str:
        asked_at = asyncio.get_running_loop().time()
        self._token = await self._fetch()
        self._asked_at = asked_at
        return self._token
