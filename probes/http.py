"""Probe kind `http`: ask for a page, look at its status and its text. aiohttp is known here and in `peer`.

Each try makes a connection of its own, sends no cookies and goes through no proxy: what is watched is
whether a new user would be served. Header values are secrets and are never shown.
"""

import re
import socket
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from yarl import URL

from probes.model import ProbeResult
from probes.names import Names, is_address
from probes.place import Place
from probes.reasons import Reason
from probes.settings import Pattern, PerSite, host_of, one_or_many
from probes.trust import TlsTrust
from probes.trying import Outcome, Trail, attempt, bounded, down, outcome_of, up
from sites.model import Name

BODY_LIMIT_BYTES = 64 * 1024
MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Redirects(StrEnum):
    """What to do with an answer that points elsewhere."""

    REFUSE = "refuse"  # it is an answer like any other
    SAME_HOST = "same-host"
    FOLLOW = "follow"


def _checked_url(text: str) -> str:
    try:
        url = URL(text)
        good = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        good = False
    if not good:
        raise ValueError("expected an address such as https://crm.example/login")
    return text


def _as_list(value: Any) -> Any:
    items = value if isinstance(value, list | tuple) else [value]
    return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]


_STATUS = r"^[1-5](\d\d|xx)$"
Statuses = Annotated[
    tuple[Annotated[str, Field(pattern=_STATUS)], ...],
    BeforeValidator(_as_list),
    one_or_many({"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": _STATUS}),
]


class HttpSettings(TlsTrust):
    """Settings of an `http` probe beside the common ones."""

    url: PerSite[Annotated[str, AfterValidator(_checked_url)]] = Field(description="the page to ask for")
    host: PerSite[Name] | None = Field(
        None, description="the host of the site to connect to, whatever the name in `url` resolves to"
    )
    method: Literal["GET", "HEAD"] = Field("GET", description="how to ask")
    status: Statuses = Field(("2xx",), description="the good statuses, such as 200 or 2xx; one or a list")
    contains: str | None = Field(None, description="text that the page must contain")
    matches: Pattern | None = Field(None, description="regular expression that something in the page matches")
    never_matches: Pattern | None = Field(
        None, description="regular expression that nothing in the page may match"
    )
    redirects: Redirects = Field(Redirects.REFUSE, description="what to do when the answer points elsewhere")
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="further request headers; their values are never shown"
    )

    @model_validator(mode="after")
    def _holds_together(self) -> "HttpSettings":
        if self.method == "HEAD" and (self.contains or self.matches or self.never_matches):
            raise ValueError("HEAD has no text to look at; use GET, or leave the text out")
        if self.host is not None and any(is_address(URL(url).host or "") for url in self.url.values):
            raise ValueError("with `host`, the `url` must carry the name that users see, not an address")
        return self

    def accepts(self, status: int) -> bool:
        """Whether this status is one of those expected."""
        return any(wanted in (str(status), f"{status // 100}xx") for wanted in self.status)


def shown(url: URL) -> str:
    """The URL as it may be shown: without user, password and query."""
    plain = (url.with_user(None) if url.host else url).with_query(None).with_fragment(None)
    return f"{plain}?…" if url.query_string else str(plain)


class FixedResolver(AbstractResolver):
    """Resolves by the probes' own resolver; one name may be pinned to the address of a host."""

    def __init__(self, names: Names, pinned: Mapping[str, str]) -> None:
        self.timeout_seconds = 1.0
        self._names = names
        self._pinned = pinned

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        addresses = await self._names.addresses(
            self._pinned.get(host, host), timeout_seconds=self.timeout_seconds
        )
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is kept."""


class HttpProbe:
    """Watches one page. `connect_to`: connect there, whatever the name in the URL resolves to."""

    def __init__(
        self,
        settings: HttpSettings,
        url: str,
        *,
        connect_to: str | None,
        base: Path,
        names: Names,
        now_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._url = URL(url)
        self._connect_to = connect_to
        self._trust = settings.trust(base)
        self._resolver = FixedResolver(names, {self._url.host or "": connect_to} if connect_to else {})
        self._now_ns = now_ns

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Ask for the page once."""
        via = f" at {self._connect_to}" if self._connect_to else ""
        self._resolver.timeout_seconds = timeout_seconds
        return await attempt(
            f"{self._settings.method} {shown(self._url)}{via}",
            self._ask,
            timeout_seconds=timeout_seconds,
            now_ns=self._now_ns,
        )

    async def _ask(self, trail: Trail) -> Outcome:
        try:
            async with self._session() as session:
                return await self._follow(session, trail)
        except aiohttp.ClientError as error:
            outcome = outcome_of_client_error(error)
            if outcome.reason is Reason.CERTIFICATE_BAD:
                self._trust.forget()
            return outcome

    def _session(self) -> aiohttp.ClientSession:
        # Certificates are read only where they can be needed: that takes tens of milliseconds.
        tls = self._url.scheme == "https" or self._settings.redirects is not Redirects.REFUSE
        connector = aiohttp.TCPConnector(
            ssl=self._trust.get() if tls else True,
            resolver=self._resolver,
            use_dns_cache=False,
            force_close=True,
            limit=1,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The deadline is the caller's, round the whole of it; aiohttp's own would end it elsewhere.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": "twinsite-probe", "Accept-Encoding": "identity"},
            trust_env=False,
        )

    async def _follow(self, session: aiohttp.ClientSession, trail: Trail) -> Outcome:
        url = self._url
        for _ in range(MOST_REDIRECTS + 1):
            trail.reached = f"asking {shown(url)}"
            async with session.request(
                self._settings.method, url, headers=self._headers_for(url), allow_redirects=False
            ) as response:
                there = _location(response)
                if response.status not in _REDIRECTS or self._settings.redirects is Redirects.REFUSE:
                    trail.reached = f"status {response.status}, reading"
                    return _judge(self._settings, response, await _read(response))
            if there is None:
                return down(Reason.WRONG_REDIRECT, f"status {response.status} without a usable location")
            if (why := self._forbidden(url, there)) is not None:
                return down(Reason.WRONG_REDIRECT, f"status {response.status} to {shown(there)}: {why}")
            url = there
        return down(Reason.WRONG_REDIRECT, f"more than {MOST_REDIRECTS} redirects, last to {shown(url)}")

    def _forbidden(self, here: URL, there: URL) -> str | None:
        if there.scheme not in ("http", "https") or not there.host:
            return "not a web address"
        if here.scheme == "https" and there.scheme == "http":
            return "from https to http"
        if self._settings.redirects is Redirects.SAME_HOST and there.host != self._url.host:
            return "another host"
        return None

    def _headers_for(self, url: URL) -> dict[str, str]:
        # Secrets go to the place they were written for and nowhere else.
        if url.origin() != self._url.origin():
            return {}
        return {name: value.get_secret_value() for name, value in self._settings.headers.items()}

    async def aclose(self) -> None:
        """Nothing is kept."""


def _location(response: aiohttp.ClientResponse) -> URL | None:
    """Where the answer points to, if it does."""
    try:
        return response.url.join(URL(response.headers["Location"]))
    except (KeyError, ValueError):
        return None


async def _read(response: aiohttp.ClientResponse) -> str:
    body = b""
    while len(body) < BODY_LIMIT_BYTES and (
        more := await response.content.read(BODY_LIMIT_BYTES - len(body))
    ):
        body += more
    try:
        return body.decode(response.get_encoding(), errors="replace")
    except (LookupError, RuntimeError):
        return body.decode(errors="replace")


def _judge(settings: HttpSettings, response: aiohttp.ClientResponse, body: str) -> Outcome:
    answer = f"status {response.status} {response.reason or ''}".rstrip()
    beginning = bounded(body.strip(), 200)
    if not settings.accepts(response.status):
        expected = " or ".join(settings.status)
        there = _location(response)
        where = "" if there is None else f", to {shown(there)}"
        return down(Reason.WRONG_STATUS, f"{answer}{where}; expected {expected}; it begins: {beginning}")
    if settings.contains is not None and settings.contains not in body:
        return down(Reason.WRONG_ANSWER, f"{answer}, without {settings.contains!r}; it begins: {beginning}")
    if settings.matches is not None and not re.search(settings.matches, body):
        return down(Reason.WRONG_ANSWER, f"{answer}, nothing in it matches {settings.matches!r}: {beginning}")
    if settings.never_matches is not None and (found := re.search(settings.never_matches, body)):
        return down(Reason.WRONG_ANSWER, f"{answer}, with {found[0]!r}, which it must not have")
    return up(Reason.ANSWERED, f"{answer}, {len(body)} characters")


def outcome_of_client_error(error: aiohttp.ClientError) -> Outcome:
    """What an error of aiohttp says about the target."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return down(Reason.CERTIFICATE_BAD, str(error.certificate_error))
        case aiohttp.ClientSSLError():
            return down(Reason.TLS_FAILED, str(error.os_error))
        case aiohttp.ClientConnectorError():
            return outcome_of(error.os_error)
        case OSError():
            return outcome_of(error)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return down(Reason.RESET, f"the connection ended before the answer was whole: {error}")
        case _:
            return down(Reason.WRONG_ANSWER, f"what came back is not HTTP: {error}")


def build(settings: HttpSettings, place: Place) -> HttpProbe:
    """The probe of one place. Raises SettingsInvalid."""
    host = None if settings.host is None else host_of(settings.host, place.site)
    return HttpProbe(
        settings,
        settings.url.at(place.site.name),
        connect_to=None if host is None else host.address,
        base=place.context.base,
        names=place.context.names,
        now_ns=place.context.now_ns,
    )
