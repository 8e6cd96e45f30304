"""Probe kind `tls`: shake hands with a TLS server and look at its certificate: who signed it, for which name
it is, and how long it and those above it still last.

The handshake is a real one, as a new user's would be; nothing is said after it. The server must speak TLS
from the first byte.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from probes.connecting import connect
from probes.model import ProbeResult
from probes.names import Names
from probes.place import Place
from probes.reasons import Reason
from probes.settings import Endpoint, PerSite, Reach
from probes.trust import TlsContext, client_context, days_left, shown_name, verified_chain
from probes.trying import Outcome, Trail, attempt, down, up

if TYPE_CHECKING:
    from cryptography import x509


class TlsSettings(Reach):
    """Settings of a `tls` probe beside the common ones."""

    default_port: ClassVar[int | None] = 443

    server_name: PerSite[str] | None = Field(
        None, description="the name that the certificate must be for; without it, the one connected to"
    )
    days_left: float = Field(
        14, ge=0, description="fewest days that the certificate, and those above it, must still last"
    )
    ca: str | None = Field(
        None, description="PEM file of the CA to trust instead of the system's; relative to the estate file"
    )


class TlsProbe:
    """Watches one TLS server's certificate."""

    def __init__(
        self,
        settings: TlsSettings,
        endpoint: Endpoint,
        *,
        server_name: str,
        base: Path,
        names: Names,
        now_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._server_name = server_name
        self._trust = TlsContext(verify=True, ca=None if settings.ca is None else base / settings.ca)
        self._names = names
        self._now_ns = now_ns

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """Shake hands once."""

        async def body(trail: Trail) -> Outcome:
            return await self._look(trail, timeout_seconds)

        as_whom = "" if self._server_name == self._endpoint.host else f" as {self._server_name}"
        return await attempt(
            f"TLS handshake with {self._endpoint}{as_whom}",
            body,
            timeout_seconds=timeout_seconds,
            now_ns=self._now_ns,
        )

    async def _look(self, trail: Trail, timeout_seconds: float) -> Outcome:
        context = self._trust.get()
        try:
            tls = await self._shake_hands(context, trail, timeout_seconds)
        except ssl.SSLCertVerificationError as refused:
            self._trust.forget()
            return await self._refused(refused, trail, timeout_seconds)
        return self._judge(tls)

    async def _shake_hands(
        self, context: ssl.SSLContext, trail: Trail, timeout_seconds: float
    ) -> ssl.SSLObject:
        _, writer = await connect(
            self._endpoint, names=self._names, trail=trail, timeout_seconds=timeout_seconds
        )
        try:
            trail.reached = "connected, in the handshake"
            await writer.start_tls(
                context,
                server_hostname=self._server_name,
                # Behind the try's own deadline, so that running out of time is told in one way.
                ssl_handshake_timeout=timeout_seconds + 1,
            )
            tls = writer.get_extra_info("ssl_object")
            assert isinstance(tls, ssl.SSLObject)
            return tls
        finally:
            # Abort, not close: nothing may wait for a peer that has stopped reading.
            writer.transport.abort()

    def _judge(self, tls: ssl.SSLObject) -> Outcome:
        chain = verified_chain(tls)
        shortest = min(chain, key=days_left)
        left = days_left(shortest)
        of = "" if shortest is chain[0] else f" (the one above it, {shown_name(shortest.subject)})"
        words = f"{tls.version()}, {_told(chain[0])}; {left:.1f} days left{of}"
        if left < self._settings.days_left:
            return down(
                Reason.CERTIFICATE_EXPIRING, f"{words}; at least {self._settings.days_left:g} expected", left
            )
        return up(Reason.ANSWERED, words, left)

    async def _refused(
        self, refused: ssl.SSLCertVerificationError, trail: Trail, timeout_seconds: float
    ) -> Outcome:
        """What was wrong with it, and what it is: read in a second handshake that believes anything."""
        from cryptography import x509

        why = refused.verify_message or str(refused)
        try:
            anything = client_context(verify=False, ca=None)
            shown = (await self._shake_hands(anything, trail, timeout_seconds)).getpeercert(binary_form=True)
            certificate = x509.load_der_x509_certificate(shown or b"")
        except (OSError, ValueError, asyncio.IncompleteReadError):
            return down(Reason.CERTIFICATE_BAD, why)
        left = days_left(certificate)
        ends = f"{left:.1f} days left" if left >= 0 else f"ended {-left:.1f} days ago"
        return down(Reason.CERTIFICATE_BAD, f"{why}: {_told(certificate)}; {ends}", left)

    async def aclose(self) -> None:
        """Nothing is kept."""


def _told(certificate: "x509.Certificate") -> str:
    return f"for {shown_name(certificate.subject)} by {shown_name(certificate.issuer)}"


def build(settings: TlsSettings, place: Place) -> TlsProbe:
    """The probe of one place. Raises SettingsInvalid."""
    endpoint = settings.endpoint(place.site)
    named = None if settings.server_name is None else settings.server_name.at(place.site.name)
    return TlsProbe(
        settings,
        endpoint,
        server_name=named or endpoint.host,
        base=place.context.base,
        names=place.context.names,
        now_ns=place.context.now_ns,
    )
