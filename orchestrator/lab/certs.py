"""A small private certificate authority: servers, members and clients of one estate.

Makes keys and certificates and writes them as PEM files, keys readable by their owner alone. It never
overwrites an authority's key, and revokes nothing: a certificate ends with its date.

Two rules come from etcd. A server's certificate is also a client's, because etcd's JSON gateway dials its
own member with it. A client's certificate has no common name, because the gateway would take that for a
user and then refuses the call; the name stands in the organisation.
"""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orchestrator.errors import OrchestratorMisuse

PRODUCT_ORGANISATION = "twinsite"
CLOCK_ALLOWANCE = timedelta(hours=1)  # hosts whose clock is behind must not refuse a new certificate


class CertificateMisuse(OrchestratorMisuse):
    """An authority or certificate file that is missing, unreadable or already there."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where one certificate lies: the authority's certificate, its own, its key."""

    ca: Path
    certificate: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """A context for a client that shows this certificate. Raises CertificateMisuse."""
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one too
            raise CertificateMisuse(
                f"{self.certificate}: cannot be used as a client's certificate: {error}; "
                f"issue it anew from the authority of {self.ca}"
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority kept in `directory` as ca.pem and ca.key."""

    directory: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def ca_file(self) -> Path:
        """The certificate that everybody trusts."""
        return self.directory / "ca.pem"

    def server(self, name: str, hosts: Sequence[str], *, valid_days: int = 825) -> CertificateFiles:
        """A certificate for a server (and for that server as a client) reached at `hosts`: names or IP
        addresses. Files: <name>.pem and <name>.key."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        subject = _subject(PRODUCT_ORGANISATION, common_name=name)
        return self._issue(name, subject, usages, hosts, valid_days)

    def client(self, name: str, *, valid_days: int = 825) -> CertificateFiles:
        """A certificate for a client: no common name, `name` as organisational unit."""
        subject = _subject(PRODUCT_ORGANISATION, unit=name)
        return self._issue(name, subject, [ExtendedKeyUsageOID.CLIENT_AUTH], (), valid_days)

    def _issue(
        self,
        name: str,
        subject: x509.Name,
        usages: list[x509.ObjectIdentifier],
        hosts: Sequence[str],
        days: int,
    ) -> CertificateFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self.certificate.subject, key.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(_alternatives(hosts)), critical=False)
        files = CertificateFiles(self.ca_file, self.directory / f"{name}.pem", self.directory / f"{name}.key")
        _write(files.key, _key_pem(key), mode=0o600)
        _write(files.certificate, _pem(builder.sign(self.key, hashes.SHA256())), mode=0o644)
        return files


def create_authority(directory: Path, *, title: str = "twinsite", valid_days: int = 3650) -> Authority:
    """A new authority in `directory`. Raises CertificateMisuse if one is there already."""
    if (directory / "ca.key").exists():
        raise CertificateMisuse(
            f"{directory / 'ca.key'}: an authority is here already; use it, or choose "
            f"another folder: certificates issued by it would stop being trusted"
        )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(title, common_name=f"{title} certificate authority")
    builder = _builder(subject, subject, key.public_key(), valid_days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(ca=True), critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = builder.add_extension(own, critical=False).sign(key, hashes.SHA256())
    _write(directory / "ca.key", _key_pem(key), mode=0o600)
    _write(directory / "ca.pem", _pem(certificate), mode=0o644)
    return Authority(directory, certificate, key)


def open_authority(directory: Path) -> Authority:
    """The authority kept in `directory`. Raises CertificateMisuse."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateMisuse(f"{directory}: no usable authority (ca.pem, ca.key): {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateMisuse(f"{directory / 'ca.key'}: not an elliptic-curve key, as twinsite makes them")
    return Authority(directory, certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    # Certificates are the one thing here that must speak of wall-clock time.
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_ALLOWANCE)
        .not_valid_after(now + timedelta(days=days))
    )


def _subject(organisation: str, *, common_name: str = "", unit: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    if unit:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    if common_name:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(parts)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(hosts: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Replaces the file whole; it never exists with wider rights than `mode`."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
