"""Who is at the other end of a TLS connection.

An identity is a URI among a certificate's subjectAltNames: `twinsite:controller/<site>`,
`twinsite:guard/<site>/<service>`, `twinsite:witness/<site>`, `twinsite:etcd/<host>`, `twinsite:store/<site>`,
`twinsite:operator/<name>`. A certificate carries exactly one. The contexts made here look at it within the
handshake, on both sides: nothing that a stranger says is ever read, though the same authority signed for it.

Only the standard library's TLS: the keeper uses this, and so do probes.
"""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sites.errors import SitesMisuse
from sites.model import TlsFiles

PREFIX = "twinsite:"

Known = Callable[[str], bool]


def controller_identity(site: str) -> str:
    """The controller and keeper of a site."""
    return f"{PREFIX}controller/{site}"


def guard_identity(site: str, service: str) -> str:
    """The guard of a service's host at a site."""
    return f"{PREFIX}guard/{site}/{service}"


def witness_identity(site: str) -> str:
    """The witness."""
    return f"{PREFIX}witness/{site}"


def etcd_identity(host: str) -> str:
    """A member of the store, by the host under which the others reach it."""
    return f"{PREFIX}etcd/{host}"


def store_identity(site: str) -> str:
    """A site as a client of the store, where it shows the store another certificate than its controller's."""
    return f"{PREFIX}store/{site}"


def operator_identity(name: str) -> str:
    """A person who may sign."""
    return f"{PREFIX}operator/{name}"


class CertificateMisuse(SitesMisuse):
    """A certificate, key or authority that is missing, unreadable, foreign or already there."""


class IdentityWrong(ssl.SSLCertVerificationError):
    """The right authority signed, but for somebody else."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where one certificate lies: the authority's certificate, its own, its key."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, spec: TlsFiles, base: Path) -> "CertificateFiles":
        """Those the estate names; `base` is its folder."""
        return cls(base / spec.ca, base / spec.cert, base / spec.key)

    def client_context(self) -> ssl.SSLContext:
        """A context for a client that shows this certificate to a server that it knows by its host alone.
        Raises CertificateMisuse."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load(context, self)
        return context


def server_context(files: CertificateFiles, known: Known) -> ssl.SSLContext:
    """A context for a server that lets in whoever `known` says yes to, and nobody else.

    Raises CertificateMisuse. Reads files: not for a loop that must not wait.
    """
    context = _KnowingContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session would not be looked at again: a certificate that ran out meanwhile would still do.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context.prepared(files, known)


def client_context(files: CertificateFiles, known: Known) -> ssl.SSLContext:
    """A context for a client whose server must have the right host name and be one that is `known`.

    Raises CertificateMisuse. Reads files: not for a loop that must not wait.
    """
    return _KnowingContext(ssl.PROTOCOL_TLS_CLIENT).prepared(files, known)


class _KnowingContext(ssl.SSLContext):
    """A context whose handshakes end only with somebody known."""

    known: Known

    def prepared(self, files: CertificateFiles, known: Known) -> ssl.SSLContext:
        self.known = known
        self.sslobject_class = _KnowingEnd
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(self, files)
        return self


class _KnowingEnd(ssl.SSLObject):
    """One end of a connection. It raises in the handshake, so that the connection never comes to be."""

    def do_handshake(self) -> None:
        super().do_handshake()
        context = self.context
        assert isinstance(context, _KnowingContext)
        identity = identity_in(self.getpeercert())
        if not context.known(identity):
            raise IdentityWrong(f"a certificate of {identity or 'nobody in particular'}")


def identity_in(certificate: Any) -> str:
    """The one identity in what `getpeercert()` gave; "" when there is none, or more than one."""
    names: Iterable[tuple[str, str]] = (certificate or {}).get("subjectAltName", ())
    found = [value for kind, value in names if kind == "URI" and value.startswith(PREFIX)]
    return found[0] if len(found) == 1 else ""


def _load(context: ssl.SSLContext, files: CertificateFiles) -> None:
    for path in (files.ca, files.certificate, files.key):
        try:
            path.open("rb").close()
        except OSError as fault:
            raise CertificateMisuse(
                f"{path}: cannot be read: {fault.strerror}; `twinsite certs show` says what is where, "
                "`twinsite certs issue` makes what is missing"
            ) from fault
    try:
        context.load_verify_locations(cafile=str(files.ca))
    except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
        raise CertificateMisuse(
            f"{files.ca}: not an authority's certificate ({fault}); copy ca.pem of your authority there"
        ) from fault
    try:
        # No passphrase: nobody is there to type it when a machine starts at night.
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except (OSError, ValueError) as fault:
        raise CertificateMisuse(
            f"{files.certificate}: cannot be used with {files.key}: {fault}; they must be of one issue, "
            "and the key without a passphrase: look with `twinsite certs show`"
        ) from fault


def _no_passphrase() -> str:
    raise ValueError("the key asks for a passphrase")


# Ordered: first match wins. OpenSSL's reason, and the code by which it is counted and shown.
_REASONS: tuple[tuple[str, str], ...] = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "certificate-missing"),
    ("HTTP_REQUEST", "not-tls"),
    ("HTTPS_PROXY_REQUEST", "not-tls"),
    ("WRONG_VERSION_NUMBER", "not-tls"),
    ("UNSUPPORTED_PROTOCOL", "tls-too-old"),
    ("UNKNOWN_PROTOCOL", "not-tls"),
    ("VERSION_TOO_LOW", "tls-too-old"),
    ("NO_SHARED_CIPHER", "tls-too-old"),
    ("PROTOCOL_VERSION", "tls-too-old"),
    ("ALERT", "certificate-refused"),
)
_VERIFY_EXPIRED, _VERIFY_NOT_YET = (10,), (9,)
_VERIFY_HOST = (62, 64)

CODES = {
    "certificate-expired": "a certificate that has run out",
    "certificate-not-yet-valid": "a certificate that does not count yet; compare the clocks",
    "certificate-foreign": "a certificate of another authority",
    "certificate-missing": "no certificate",
    "certificate-refused": "our certificate was not accepted",
    "identity-wrong": "a certificate of the right authority that names somebody else",
    "host-wrong": "a certificate that is not for this address",
    "tls-too-old": "an older TLS than 1.2",
    "not-tls": "something that is not TLS",
    "handshake-slow": "no end of the TLS handshake in time",
    "broken-off": "the connection broke during the TLS handshake",
}


def trouble_of(fault: BaseException) -> str:
    """The code of CODES for what went wrong in a handshake."""
    if isinstance(fault, IdentityWrong):
        return "identity-wrong"
    if isinstance(fault, ssl.SSLCertVerificationError):
        code = getattr(fault, "verify_code", 0)
        if code in _VERIFY_EXPIRED:
            return "certificate-expired"
        if code in _VERIFY_NOT_YET:
            return "certificate-not-yet-valid"
        return "host-wrong" if code in _VERIFY_HOST else "certificate-foreign"
    if isinstance(fault, TimeoutError) or "handshake is taking longer" in str(fault):
        return "handshake-slow"
    if isinstance(fault, ssl.SSLError):
        reason = str(getattr(fault, "reason", "") or "")
        return next((code for words, code in _REASONS if words in reason), "broken-off")
    return "broken-off"
