"""TLS contexts for probes: which certificates are trusted, and whether they are checked at all."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from probes.settings import ProbeSettings

if TYPE_CHECKING:
    from cryptography import x509


def client_context(*, verify: bool, ca: Path | None) -> ssl.SSLContext:
    """A context that trusts the CA file, or what the system trusts. Raises OSError for an unusable file."""
    context = ssl.create_default_context(cafile=str(ca) if ca is not None else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsContext:
    """A context read from its files when first used, and again after a certificate was found bad:
    a CA renewed meanwhile must not need a restart."""

    def __init__(self, *, verify: bool, ca: Path | None) -> None:
        self._verify = verify
        self._ca = ca
        self._context: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        """The context. Raises OSError naming the CA file when it cannot be used."""
        if self._context is None:
            try:
                self._context = client_context(verify=self._verify, ca=self._ca)
            except OSError as error:
                # Also ssl.SSLError, which would look like the target's fault.
                raise OSError(f"the CA file {self._ca} cannot be used: {error}") from error
        return self._context

    def forget(self) -> None:
        """Read the files again next time."""
        self._context = None


class TlsTrust(ProbeSettings):
    """Which certificates a probe trusts."""

    verify: bool = Field(True, description="whether the certificate is checked")
    ca: str | None = Field(
        None, description="PEM file of the CA to trust instead of the system's; relative to the estate file"
    )

    def trust(self, base: Path) -> TlsContext:
        """The context these settings ask for; a relative `ca` starts at `base`."""
        return TlsContext(verify=self.verify, ca=None if self.ca is None else base / self.ca)


def verified_chain(tls: ssl.SSLObject) -> "list[x509.Certificate]":
    """The certificates by which the other side was believed, its own first, the authority's last.

    Python has a public way to ask since 3.13; before, the same question is put to the object beneath. Where
    neither answers, the other side's own certificate alone.
    """
    from cryptography import x509  # takes long, and only a probe of a certificate needs it

    found: list[bytes] = []
    if hasattr(tls, "get_verified_chain"):
        found = list(tls.get_verified_chain())
    else:
        beneath: Any = getattr(tls, "_sslobj", None)
        if hasattr(beneath, "get_verified_chain"):
            found = [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in beneath.get_verified_chain()]
    if not found:
        found = [presented for presented in (tls.getpeercert(binary_form=True),) if presented]
    return [x509.load_der_x509_certificate(one) for one in found]


def days_left(certificate: "x509.Certificate", now: datetime | None = None) -> float:
    """Days until it ends, by the wall clock, which certificates go by; negative once it has."""
    return (certificate.not_valid_after_utc - (now or datetime.now(UTC))).total_seconds() / 86400


def shown_name(name: "x509.Name") -> str:
    """A subject or issuer as people write it."""
    return name.rfc4514_string() or "nobody"
