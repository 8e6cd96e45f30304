"""Probe kind `peer`: a site's controller answers over mutual TLS, and is the one it should be.

It is asked at `sites.<site>.controller` with the certificate of whoever asks (`sites.<own site>.tls`). Who
answers is looked at within the handshake: its certificate must carry `twinsite:controller/<site>`.
"""

import asyncio
import ssl
import time
from collections.abc import Callable

import aiohttp
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from probes.errors import SettingsInvalid
from probes.http import FixedResolver, outcome_of_client_error
from probes.model import ProbeResult
from probes.names import Names
from probes.place import Place
from probes.reasons import Reason
from probes.settings import ProbeSettings
from probes.trying import Outcome, Trail, attempt, bounded, down, unknown, up
from sites.identity import (
    CertificateFiles,
    CertificateMisuse,
    client_context,
    controller_identity,
    trouble_of,
)
from sites.model import Estate, Site

HELLO = "/v1/hello"
ANSWER_LIMIT_BYTES = 16 * 1024
CERTIFICATES_KEPT_SECONDS = 60.0


class PeerSettings(ProbeSettings):
    """A `peer` probe has no settings of its own: where each controller is stands under `sites:`."""


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Hello:
    """What a controller says of itself. `certificate_ends_unix_seconds`: when its own certificate ends."""

    site: str
    version: str
    certificate_ends_unix_seconds: float | None = None


_HELLO = TypeAdapter(Hello)


class PeerProbe:
    """Watches one site's controller. `own`: the certificate to show."""

    def __init__(
        self,
        site: str,
        url: str,
        *,
        own: CertificateFiles | None,
        names: Names,
        now_ns: Callable[[], int],
    ) -> None:
        self._site = site
        self._url = url.rstrip("/") + HELLO
        self._own = own
        self._resolver = FixedResolver(names, {})
        self._now_ns = now_ns
        self._context: ssl.SSLContext | None = None
        self._context_until_ns = 0

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Ask it for a greeting once."""
        self._resolver.timeout_seconds = timeout_seconds
        return await attempt(
            f"GET {self._url}", self._ask, timeout_seconds=timeout_seconds, now_ns=self._now_ns
        )

    async def _ask(self, trail: Trail) -> Outcome:
        if self._own is None:
            return unknown(
                Reason.OWN_SIDE, "there is no certificate to show: `sites.<own site>.tls` is missing"
            )
        try:
            context = await self._read_certificates(self._own)
        except CertificateMisuse as error:
            return unknown(Reason.OWN_SIDE, str(error))
        trail.reached = "connecting"
        connector = aiohttp.TCPConnector(
            ssl=context, resolver=self._resolver, use_dns_cache=False, force_close=True, limit=1
        )
        try:
            async with aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # The deadline is the caller's, round the whole of it; aiohttp's own would end it elsewhere.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                headers={"User-Agent": "twinsite-probe", "Accept-Encoding": "identity"},
                trust_env=False,
            ) as session:
                return await self._greet(session, trail)
        except aiohttp.ClientError as error:
            self._context = None  # certificates may have been renewed meanwhile
            return _outcome(error)

    async def _read_certificates(self, own: CertificateFiles) -> ssl.SSLContext:
        """Read now and then: a certificate renewed meanwhile must not need a restart. Raises
        CertificateMisuse."""
        now_ns = self._now_ns()
        if self._context is None or now_ns > self._context_until_ns:
            known = controller_identity(self._site)
            self._context = await asyncio.to_thread(client_context, own, lambda found: found == known)
            self._context_until_ns = now_ns + int(CERTIFICATES_KEPT_SECONDS * 1e9)
        return self._context

    async def _greet(self, session: aiohttp.ClientSession, trail: Trail) -> Outcome:
        async with session.get(self._url, allow_redirects=False) as response:
            trail.reached = f"status {response.status}, reading"
            raw = b""
            while len(raw) <= ANSWER_LIMIT_BYTES and (
                more := await response.content.read(ANSWER_LIMIT_BYTES)
            ):
                raw += more
        if response.status in (401, 403):
            return unknown(Reason.NOT_PERMITTED, f"status {response.status}: {raw[:200]!r}")
        if response.status != 200:
            return down(Reason.WRONG_STATUS, f"status {response.status}; expected 200: {raw[:200]!r}")
        try:
            said = _HELLO.validate_json(raw)
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            return down(Reason.WRONG_ANSWER, f"not a controller's greeting: {why}: {bounded(repr(raw), 200)}")
        if said.site != self._site:
            return down(Reason.WRONG_ANSWER, f"it says that it is {said.site}'s, not {self._site}'s")
        return _good(said)

    async def aclose(self) -> None:
        """Nothing is kept."""


def _good(said: Hello) -> Outcome:
    ends = said.certificate_ends_unix_seconds
    words = f"controller of {said.site}, {said.version}"
    if ends is None:
        return up(Reason.ANSWERED, words)
    left = (ends - time.time()) / 86400  # certificates go by the wall clock
    return up(Reason.ANSWERED, f"{words}; its certificate has {left:.1f} days left", left)


def _outcome(error: aiohttp.ClientError) -> Outcome:
    """A refusal of our own certificate is our side's trouble, and says nothing of the controller."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLError) and trouble_of(found) == "certificate-refused":
            return unknown(Reason.LOGIN_REFUSED, f"it does not accept our certificate: {found}")
        found = getattr(found, "os_error", None) or found.__cause__ or found.__context__
    if isinstance(error, aiohttp.ServerDisconnectedError):
        words = "it broke the connection off; if this lasts, its log says whether it accepts our certificate"
        return down(Reason.RESET, words)
    return outcome_of_client_error(error)


def controller_url(settings: PeerSettings, site: Site, estate: Estate) -> str:
    """Where a site's controller is asked. Raises SettingsInvalid."""
    if site.controller is None or not site.controller.startswith("https://"):
        raise SettingsInvalid(
            f"site {site.name} does not say where its controller is; add "
            f"`controller: https://…` to `sites.{site.name}`"
        )
    return site.controller


def build(settings: PeerSettings, place: Place) -> PeerProbe:
    """The probe of one place. Raises SettingsInvalid."""
    return PeerProbe(
        place.site.name,
        controller_url(settings, place.site, place.estate),
        own=place.context.own,
        names=place.context.names,
        now_ns=place.context.now_ns,
    )
