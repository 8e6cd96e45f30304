"""One member of etcd through its JSON gateway: send a body, get an answer, or one of a few mapped errors.

The only file that knows aiohttp's errors and the words etcd says no with. It retries nothing, chooses no
member and keeps no token: that is the client's (etcd.py).
"""

import json
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from orchestrator.store.base import StoreMisuse
from orchestrator.store.versions import ADVICE, unsafe_reason
from orchestrator.store.wire import Json

LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
CONNECTIONS_PER_MEMBER = 16
LONGEST_WORDS_BYTES = 300


class MemberTrouble(Exception):
    """This member gave no usable answer. `sent`: the request may have reached the store all the same."""

    def __init__(self, finding: str, *, sent: bool) -> None:
        super().__init__(finding)
        self.sent = sent


class MemberMisuse(MemberTrouble):
    """This member can never be spoken to as configured; another one may."""

    def __init__(self, finding: str) -> None:
        super().__init__(finding, sent=False)


class MemberOfAnother(MemberTrouble):
    """This member is part of another cluster than the one we know (P33)."""

    def __init__(self, finding: str, cluster_id: str) -> None:
        super().__init__(finding, sent=True)
        self.cluster_id = cluster_id


class TokenRefused(Exception):
    """The member does not know the token: it has expired, or the member was started anew."""


@dataclass(slots=True)
class Member:
    """One endpoint, and what the client has learnt about it."""

    endpoint: str
    version_checked: bool = False
    quota_bytes: int | None = None
    trouble: str = ""  # what was found when it was last asked, by whatever call; "" when it answered
    place: str = field(init=False)

    def __post_init__(self) -> None:
        self.endpoint = self.endpoint.rstrip("/")
        self.place = self.endpoint.split("://", 1)[-1]


class Gateway:
    """The connections to all members."""

    def __init__(self, tls: ssl.SSLContext | None, *, allow_unsafe_versions: bool) -> None:
        self._tls = tls
        self._allow_unsafe = allow_unsafe_versions
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(self, member: Member, path: str, body: Json, token: str | None = None) -> Json:
        """One request, one JSON answer. Raises MemberTrouble, MemberMisuse, TokenRefused, StoreMisuse.

        Waits as long as its caller lets it.
        """
        await self._check_version(member)
        with _mapped(member):
            async with self._open().post(
                member.endpoint + path, json=body, headers=_headers(token), ssl=self._tls or True
            ) as response:
                raw = await _bounded(response)
        if response.status != 200:
            raise refusal(member, response.status, raw)
        return _decoded(member, raw)

    @asynccontextmanager
    async def stream(
        self, member: Member, path: str, body: Json, token: str | None = None
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """One request, an endless answer. Raises as `post`, also while it is read inside the block."""
        await self._check_version(member)
        with _mapped(member):
            async with self._open().post(
                member.endpoint + path, json=body, headers=_headers(token), ssl=self._tls or True
            ) as response:
                if response.status != 200:
                    raise refusal(member, response.status, await _bounded(response))
                yield response.content

    async def text(self, member: Member, path: str) -> str:
        """A plain page of the member, such as /metrics. Raises as `post`."""
        with _mapped(member):
            async with self._open().get(member.endpoint + path, ssl=self._tls or True) as response:
                raw = await _bounded(response)
        if response.status != 200:
            raise MemberTrouble(f"{path}: HTTP {response.status}", sent=False)
        return raw.decode(errors="replace")

    def use_tls(self, tls: ssl.SSLContext) -> None:
        """From now on new connections are made with this; those that are there go on."""
        self._tls = tls

    async def aclose(self) -> None:
        """Closes the connections."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _check_version(self, member: Member) -> None:
        """Asks each member once, and again after it was away: it may have come back as another version."""
        if self._allow_unsafe or member.version_checked:
            return
        said = _decoded(member, (await self.text(member, "/version")).encode())
        version = str(said.get("etcdserver", ""))
        if why := unsafe_reason(version):
            raise StoreMisuse(f"{member.place}: etcd {version} {why}; {ADVICE}")
        member.version_checked = True

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise StoreMisuse("this store client was closed; open a new one")
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_MEMBER)
            # Deadlines are the callers': one around all the tries of a call, one around a watch's silence.
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"Accept-Encoding": "identity"},  # answers are small, and both ends are busy enough
            )
        return self._session


def refusal(member: Member, status: int, raw: bytes) -> Exception:
    """What an answer other than 200 means."""
    try:
        said: Any = json.loads(raw)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        if b"HTTP request to an HTTPS server" in raw:
            return MemberMisuse("speaks TLS: write https:// and give the store's `tls`")
        if status == 404:
            return MemberMisuse(
                "has no JSON gateway here: start etcd with --enable-grpc-gateway (the default)"
            )
        words = " ".join(raw[:LONGEST_WORDS_BYTES].decode(errors="replace").split())
        if "CommonName of client" in words:  # said in plain text, before the request is looked at
            return spoken_refusal(member, 0, words)
        told = f": {words}" if words.isprintable() and words else ""
        return MemberTrouble(f"answered, but not as etcd does: HTTP {status}{told}", sent=True)
    return spoken_refusal(member, int(said.get("code", 0)), str(said.get("message") or said.get("error", "")))


# Ordered: first match wins. gRPC code (None: any), words in the message, what to do about it.
_MISUSES: tuple[tuple[int | None, str, str], ...] = (
    (None, "invalid user ID or password", "correct `user` and `password` of the store"),
    (None, "authentication is not enabled", "enable authentication in etcd, or give no `user`"),
    (None, "user name is empty", "the store asks who you are: give `user` and `password`"),
    (None, "CommonName of client", "give the client a certificate whose subject has no common name"),
    (7, "", "give this user's role the right to these keys"),
    (9, "", "ask only when it is not so"),
    (3, "", "a fault of this program: report it"),
)


def spoken_refusal(member: Member, code: int, message: str) -> Exception:
    """What etcd's own words of refusal mean, by gRPC code and message."""
    if code == 16 or "invalid auth token" in message or "revision of auth store is old" in message:
        return TokenRefused(message)
    if "not leader" in message:  # with the code of a precondition, but another member will do it
        return MemberTrouble(message, sent=False)
    for wanted, words, remedy in _MISUSES:
        if (wanted is None or wanted == code) and words in message:
            return StoreMisuse(f"{member.place}: {message}; {remedy}")
    if "database space exceeded" in message:
        message += (
            "; compact and defragment the members, then disarm the NOSPACE alarm (etcdctl alarm disarm)"
        )
    return MemberTrouble(message or f"refused with code {code}", sent=True)


_NOT_ACCEPTED = "it does not accept our certificate: {}; check `cert` and `key`"
_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


@contextmanager
def _mapped(member: Member) -> Iterator[None]:
    """Maps what aiohttp and the network raise; the cause is kept."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise MemberMisuse(
            f"its certificate is not trusted: {error.certificate_error}; check `ca`"
        ) from error
    except aiohttp.ClientConnectorSSLError as error:
        if isinstance(error.os_error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            raise MemberTrouble("it broke off the TLS handshake", sent=False) from error
        alert = _certificate_alert(error)
        raise MemberMisuse(
            _NOT_ACCEPTED.format(alert)
            if alert
            else f"no TLS with it: {error.os_error}; check `tls` and the endpoint's scheme"
        ) from error
    except aiohttp.ClientConnectorError as error:
        member.version_checked, member.quota_bytes = False, None
        raise MemberTrouble(f"no connection: {_network_words(error.os_error)}", sent=False) from error
    except aiohttp.ClientPayloadError as error:
        member.version_checked, member.quota_bytes = False, None
        raise MemberTrouble("it broke off its answer", sent=True) from error
    except aiohttp.InvalidURL as error:
        raise StoreMisuse(f"{member.endpoint}: not an address; write https://host:port") from error
    except (aiohttp.ClientError, OSError) as error:
        if (alert := _certificate_alert(error)) is not None:
            raise MemberMisuse(_NOT_ACCEPTED.format(alert)) from error
        member.version_checked, member.quota_bytes = False, None
        finding = "the connection broke" if not isinstance(error, TimeoutError) else "no answer"
        raise MemberTrouble(f"{finding}: {error or type(error).__name__}", sent=True) from error


def _network_words(error: OSError) -> str:
    """The system's words, such as Connection refused, rather than the event loop's."""
    return os.strerror(error.errno) if error.errno else str(error)


def _certificate_alert(error: BaseException) -> str | None:
    """The reason, if somewhere below stands a TLS alert about our certificate."""
    seen: BaseException | None = error
    while seen is not None:
        for one in (seen, *seen.args):
            # aiohttp's own subclasses of it lack the attribute.
            reason = str(getattr(one, "reason", "")) if isinstance(one, ssl.SSLError) else ""
            if "ALERT" in reason and any(word in reason for word in _CERTIFICATE_ALERTS):
                return reason.lower().replace("_", " ")
        seen = seen.__cause__ or seen.__context__
    return None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > LARGEST_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {LARGEST_ANSWER_BYTES} bytes")
    return bytes(raw)


def _decoded(member: Member, raw: bytes) -> Json:
    try:
        answer: Any = json.loads(raw)
    except ValueError as error:
        raise MemberTrouble("answered, but not with JSON", sent=True) from error
    if not isinstance(answer, dict):
        raise MemberTrouble("answered, but not as etcd does", sent=True)
    return answer


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": token}
