"""TLS contexts for probes: which certificates are trusted, and whether they are checked at all."""

import ssl
from pathlib import Path

from pydantic import Field

from probes.settings import ProbeSettings


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
