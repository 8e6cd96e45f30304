"""All members of one etcd as one: hedged calls, the token, the pinned cluster, and streams to one member.

Carries any gateway call; what the product may say to its store is decided in etcd.py.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from orchestrator.store.base import StoreError, StoreMisuse, StoreOtherCluster, StoreUnreachable
from orchestrator.store.gateway import Gateway, Member, MemberOfAnother, MemberTrouble, TokenRefused
from orchestrator.store.hedge import Findings, Hedge
from orchestrator.store.tokens import Tokens
from orchestrator.store.wire import Json, cluster_of

HEDGE_AFTER_SECONDS = 0.15
# Checking a password costs a member tens of milliseconds of work; asking all of them would only add to it.
HEDGE_LOGIN_AFTER_SECONDS = 0.5
LOGIN_TIMEOUT_SECONDS = 5.0

Attempt = Callable[[Member], Coroutine[Any, Any, Json]]


class EtcdClient:
    """Requests to a cluster. A call goes first to the member that answered last, then to the others."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: ssl.SSLContext | None,
        user: str | None,
        password: str | None,
        hedge_after_seconds: float = HEDGE_AFTER_SECONDS,
        allow_unsafe_versions: bool = False,
        cluster_id: str = "",
    ) -> None:
        _check_endpoints(endpoints, tls)
        if (user is None) != (password is None):
            raise StoreMisuse("the store's `user` and `password` belong together: give both or neither")
        self.members = [Member(endpoint) for endpoint in endpoints]
        self._gateway = Gateway(tls, allow_unsafe_versions=allow_unsafe_versions)
        self._login = {"name": user, "password": password}
        self._tokens = Tokens(self._fetch_token) if user is not None else None
        self._hedge_after_seconds = hedge_after_seconds
        self._cluster_id = cluster_id
        self._first = 0

    def use_tls(self, tls: ssl.SSLContext) -> None:
        """As `Gateway.use_tls`."""
        self._gateway.use_tls(tls)

    async def call(
        self, path: str, body: Json, *, what: str, timeout_seconds: float, applied_once: bool = False
    ) -> Json:
        """The first good answer of any member.

        `what` names the request in errors. `applied_once`: the request changes something, so a refusal counts
        only when no other try can have been applied. Raises StoreUnreachable, StoreMisuse.
        """

        async def attempt(member: Member) -> Json:
            return await self.ask(member, path, body)

        try:
            return await self._hedged(
                attempt,
                what,
                timeout_seconds=timeout_seconds,
                every_seconds=self._hedge_after_seconds,
                applied_once=applied_once,
            )
        except StoreUnreachable:
            if self._tokens is not None:
                self._tokens.doubt()
            raise

    async def ask(self, member: Member, path: str, body: Json, *, of_any_cluster: bool = False) -> Json:
        """One member's answer. Raises MemberTrouble, StoreMisuse; waits as long as its caller lets it.

        `of_any_cluster`: the answer is to be shown, not acted upon.
        """
        token = await self._token()
        try:
            answer = await self._gateway.post(member, path, body, token)
        except TokenRefused as error:
            token = await self._token(refused=token, why=str(error))
            try:
                answer = await self._gateway.post(member, path, body, token)
            except TokenRefused as again:
                raise MemberTrouble(f"does not know a fresh token: {again}", sent=False) from again
        if not of_any_cluster:
            self.check_cluster(member, cluster_of(answer))
        return answer

    @asynccontextmanager
    async def stream(self, member: Member, path: str, body: Json) -> AsyncIterator[aiohttp.StreamReader]:
        """One member's endless answer. Raises as `ask`, also inside the block."""
        token = await self._token()
        try:
            async with self._gateway.stream(member, path, body, token) as content:
                yield content
        except TokenRefused as error:
            await self._token(refused=token, why=str(error))
            raise MemberTrouble(f"refused the token: {error}", sent=False) from error

    async def page(self, member: Member, path: str) -> str:
        """A plain page of one member. Raises as `ask`."""
        return await self._gateway.text(member, path)

    async def renew_token(self) -> None:
        """Replaces the token, if there is one. Raises as `ask`."""
        if self._tokens is not None:
            await self._token(refused=await self._token(), why="")

    def pin(self, cluster_id: str) -> None:
        """From now on only that cluster's answers count; "" takes the next that answers."""
        self._cluster_id = cluster_id

    def check_cluster(self, member: Member, cluster_id: str) -> None:
        """Pins the first cluster seen; another one's answers do not count (P33). Raises MemberOfAnother."""
        if not self._cluster_id:
            self._cluster_id = cluster_id
        if found := self.foreign(cluster_id):
            raise MemberOfAnother(found, cluster_id)

    def foreign(self, cluster_id: str) -> str:
        """What is wrong with an answer of that cluster, "" if nothing is."""
        if not cluster_id or cluster_id == (self._cluster_id or cluster_id):
            return ""
        return (
            f"belongs to cluster {cluster_id}, not to {self._cluster_id} as before: was the store "
            f"restored from a backup, or is this endpoint another store's?"
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._tokens is not None:
            await self._tokens.aclose()
        await self._gateway.aclose()

    async def _hedged(
        self,
        attempt: Attempt,
        what: str,
        *,
        timeout_seconds: float,
        every_seconds: float,
        applied_once: bool,
    ) -> Json:
        findings = Findings(self.members)
        hedge = Hedge(
            self.members,
            attempt,
            findings,
            first=self._first,
            every_seconds=every_seconds,
            applied_once=applied_once,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                self._first, answer = await hedge.run()
        except TimeoutError as error:
            majority = len(self.members) // 2 + 1
            raise StoreUnreachable(
                f"store, {what}: no good answer in {timeout_seconds:g} s ({findings.text()}); check that at "
                f"least {majority} of {len(self.members)} members run and reach each other and this host"
            ) from error
        except StoreOtherCluster as error:
            raise StoreOtherCluster(f"store, {what}: {error}", error.cluster_id) from error
        except StoreError as error:
            raise type(error)(f"store, {what}: {error}") from error
        return answer

    async def _token(self, *, refused: str | None = None, why: str = "") -> str | None:
        if self._tokens is None:
            if why:
                raise StoreMisuse(f"{why}; give the store's `user` and `password`")
            return None
        try:
            return await (self._tokens.current() if refused is None else self._tokens.after(refused))
        except StoreUnreachable as error:
            raise MemberTrouble(f"no token: {error}", sent=False) from error

    async def _fetch_token(self) -> str:
        async def attempt(member: Member) -> Json:
            return await self._gateway.post(member, "/v3/auth/authenticate", self._login)

        answer = await self._hedged(
            attempt,
            f"login as {self._login['name']}",
            timeout_seconds=LOGIN_TIMEOUT_SECONDS,
            every_seconds=max(self._hedge_after_seconds, HEDGE_LOGIN_AFTER_SECONDS),
            applied_once=False,
        )
        return str(answer.get("token", ""))


def _check_endpoints(endpoints: Sequence[str], tls: ssl.SSLContext | None) -> None:
    if not endpoints:
        raise StoreMisuse("the store has no endpoints; list all its members")
    for endpoint in endpoints:
        scheme, separator, place = endpoint.partition("://")
        if not separator or not place or scheme not in ("http", "https"):
            raise StoreMisuse(f"{endpoint}: not a store's endpoint; write https://host:port")
        if scheme == "https" and tls is None:
            raise StoreMisuse(
                f"{endpoint}: has no certificate to show; give the store's `tls: {{ca, cert, key}}`"
            )
        if scheme == "http" and tls is not None:
            raise StoreMisuse(
                f"{endpoint}: would be spoken to in clear although `tls` is given; write https://"
            )
