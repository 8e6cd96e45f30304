"""What stands in certificates that are there: who, for which hosts, by whom, until when. Changes nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from sites.identity import (
    PREFIX,
    CertificateMisuse,
    controller_identity,
    store_identity,
    witness_identity,
)
from sites.model import Estate

DAY_SECONDS = 86_400.0
AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class Names:
    """Whom a certificate names. `identity` "": nobody of twinsite's, or more than one. `hosts`: DNS names
    and IP addresses; `serves`: it may be a server's."""

    identity: str
    hosts: frozenset[str]
    serves: bool


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file. Raises CertificateMisuse."""
    return read_certificates(path)[0]


def read_certificates(path: Path) -> list[x509.Certificate]:
    """All certificates in a PEM file, at least one. Raises CertificateMisuse."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as fault:
        raise CertificateMisuse(
            f"{path}: cannot be read: {fault.strerror}; `twinsite certs issue` makes what is missing"
        ) from fault
    except ValueError as fault:
        raise CertificateMisuse(
            f"{path}: holds no certificate in PEM ({fault}); copy the right file there"
        ) from fault


def names_in(certificate: x509.Certificate) -> Names:
    """Whom it names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return Names("", frozenset(), serves=False)
    uris = [
        uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(PREFIX)
    ]
    hosts = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    hosts |= set(names.get_values_for_type(x509.DNSName))
    return Names(uris[0] if len(uris) == 1 else "", frozenset(hosts), _serves(certificate))


def _serves(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True  # without the extension it may be anything
    return ExtendedKeyUsageOID.SERVER_AUTH in usage


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def days_between(now: datetime, then: datetime) -> float:
    """Days from `now` to `then`; negative when that is over."""
    return (then - now).total_seconds() / DAY_SECONDS


def ends_unix_seconds(path: Path) -> float:
    """When the certificate in the file runs out. Raises CertificateMisuse."""
    return read_certificate(path).not_valid_after_utc.timestamp()


def certificate_ends(estate: Estate, site: str, base: Path) -> dict[str, float]:
    """When the certificates that `site` itself uses run out, as Unix time by identity; the authority's is the
    last of those in its file. What cannot be read is left out: unknown, not well. Reads files.

    `base`: the estate file's folder.
    """
    own = estate.sites[site]
    found: dict[str, float] = {}
    store = own.store.tls if own.store is not None and own.store.tls is not None else estate.store.tls
    identity = witness_identity(site) if own.witness else controller_identity(site)
    for who, spec in ((identity, own.tls), (store_identity(site), store)):
        if spec is None:
            continue
        _note(found, who, base / spec.cert)
        _note(found, AUTHORITY, base / spec.ca)
    return found


def _note(found: dict[str, float], who: str, path: Path) -> None:
    try:
        ends = max(each.not_valid_after_utc.timestamp() for each in read_certificates(path))
    except CertificateMisuse:
        return
    found[who] = min(ends, found.get(who, ends))


def certificate_days(estate: Estate, site: str, base: Path) -> dict[str, float]:
    """Days left, by identity, of the certificates that `site` itself uses; negative when one has run out."""
    now = datetime.now(UTC).timestamp()
    return {who: (ends - now) / DAY_SECONDS for who, ends in certificate_ends(estate, site, base).items()}
