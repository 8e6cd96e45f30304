"""A small private certificate authority: everybody in one estate who must be told apart.

Makes keys and certificates and writes them as PEM files, keys readable by their owner alone. A key that is
there is never replaced unless that is asked for in so many words; it revokes nothing: a certificate ends with
its date. ECDSA on P-256 throughout.

Two rules come from etcd. A member's certificate is also a client's, because etcd's JSON gateway dials its own
member with it. No certificate has a common name, because the gateway would take that for a user and then
refuse the call; who it is stands in the organisational unit for people, and in the subjectAltName for us. The
authority itself, which calls nobody, has one.
"""

import contextlib
import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sites.identity import CertificateFiles, CertificateMisuse

PRODUCT_ORGANISATION = "twinsite"
CLOCK_ALLOWANCE = timedelta(hours=1)  # hosts whose clock is behind must not refuse a new certificate
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
LONGEST_NAME = 64  # of X.520
CA_CERTIFICATE, CA_KEY = "ca.pem", "ca.key"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for: the identity (None: none of twinsite's), the names and IP addresses under
    which others reach it (none: it is a client only)."""

    identity: str | None
    title: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority kept in `directory` as ca.pem and ca.key."""

    directory: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def ca_file(self) -> Path:
        """The certificate that everybody trusts."""
        return self.directory / CA_CERTIFICATE

    def files(self, name: str) -> CertificateFiles:
        """Where a certificate of that name lies in the authority's folder."""
        return CertificateFiles(self.ca_file, self.directory / f"{name}.pem", self.directory / f"{name}.key")

    def issue(
        self, subject: Subject, files: CertificateFiles, *, valid_days: float = CERTIFICATE_DAYS
    ) -> CertificateFiles:
        """A certificate, and a key unless one is there, which is then kept. Raises CertificateMisuse."""
        key = read_key(files.key) if files.key.exists() else new_key(files.key)
        write_file(files.certificate, pem(self.signed(subject, key.public_key(), valid_days=valid_days)))
        return files

    def signed(
        self, subject: Subject, public_key: ec.EllipticCurvePublicKey, *, valid_days: float = CERTIFICATE_DAYS
    ) -> x509.Certificate:
        """A certificate for a key; it never outlives the authority's own. Raises CertificateMisuse."""
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if subject.hosts:
            usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
        ends = min(_now() + timedelta(days=valid_days), self.certificate.not_valid_after_utc)
        if ends <= _now():
            raise CertificateMisuse(
                f"{self.ca_file}: the authority ran out on {self.certificate.not_valid_after_utc:%Y-%m-%d}; "
                "`twinsite certs renew --authority`, then copy ca.pem to every host"
            )
        builder = _builder(_name(subject.title), self.certificate.subject, public_key, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if names := _alternatives(subject):
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def renewed(self, *, valid_days: float = AUTHORITY_DAYS) -> "Authority":
        """The authority with a new certificate of its own and the key that it has: what it signed stays good.
        The file is replaced."""
        certificate = _self_signed(self.key, self.certificate.subject, valid_days)
        write_file(self.ca_file, pem(certificate))
        return Authority(self.directory, certificate, self.key)


def create_authority(
    directory: Path, *, title: str = "twinsite", valid_days: float = AUTHORITY_DAYS
) -> Authority:
    """A new authority in `directory`. Raises CertificateMisuse if one is there already."""
    for path in (directory / CA_KEY, directory / CA_CERTIFICATE):
        if path.exists():
            raise CertificateMisuse(
                f"{path}: an authority is here already; use it, or choose another folder: "
                "certificates issued by it would stop being trusted"
            )
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as fault:
        raise CertificateMisuse(
            f"{directory}: cannot be made: {fault.strerror}; choose another folder"
        ) from fault
    key = new_key(directory / CA_KEY)
    certificate = _self_signed(key, _authority_name(title), valid_days)
    write_file(directory / CA_CERTIFICATE, pem(certificate))
    return Authority(directory, certificate, key)


def open_authority(directory: Path) -> Authority:
    """The authority kept in `directory`. Of several certificates in ca.pem (while one authority gives way to
    another) it is the one that its key belongs to. Raises CertificateMisuse."""
    ca, ca_key = directory / CA_CERTIFICATE, directory / CA_KEY
    try:
        certificates = x509.load_pem_x509_certificates(ca.read_bytes())
        key = serialization.load_pem_private_key(ca_key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise CertificateMisuse(
            f"{directory}: no usable authority ({CA_CERTIFICATE}, {CA_KEY}): {fault}; "
            "`twinsite certs init` makes one; on a host that never had its key, ask whoever keeps it"
        ) from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateMisuse(
            f"{ca_key}: not an elliptic-curve key, as twinsite makes them; issue certificates with the tools "
            "of that authority, each with its identity as a URI"
        )
    for certificate in certificates:
        if certificate.public_key() == key.public_key():
            return Authority(directory, certificate, key)
    raise CertificateMisuse(f"{ca}: is not of the key in {ca_key}; put the two together that belong together")


# --- keys and files ------------------------------------------------------------------------------------


def new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A new key in a file that was not there. Raises CertificateMisuse."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_file(path, key_pem(key), mode=0o600, replace=False)
    return key


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a file. Raises CertificateMisuse."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise CertificateMisuse(
            f"{path}: cannot be used as a key: {fault}; move it away to have a new one made"
        ) from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateMisuse(f"{path}: not an elliptic-curve key; move it away to have a new one made")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: str = "") -> bytes:
    """A private key as PEM, encrypted if there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def write_file(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """The whole file or nothing, on the disk before it has its name; never with wider rights than `mode`.
    Without `replace`, a file that is there stays as it is. Raises CertificateMisuse."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # unlike a rename, it fails when the name is taken meanwhile
            temporary.unlink()
    except OSError as fault:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CertificateMisuse(
            f"{path}: cannot be written: {fault.strerror}; what was there is as it was"
        ) from fault


# --- what stands in certificates -----------------------------------------------------------------------


def _now() -> datetime:
    # Certificates are the one thing here that must speak of wall-clock time.
    return datetime.now(UTC)


def _self_signed(key: ec.EllipticCurvePrivateKey, name: x509.Name, days: float) -> x509.Certificate:
    builder = _builder(name, name, key.public_key(), _now() + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(ca=True), critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(own, critical=False).sign(key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - CLOCK_ALLOWANCE)
        .not_valid_after(ends)
    )


def _name(unit: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, PRODUCT_ORGANISATION),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit[:LONGEST_NAME]),
        ]
    )


def _authority_name(title: str) -> x509.Name:
    common_name = f"{title[:40]} certificate authority"
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, title[:LONGEST_NAME]),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


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


def _alternatives(subject: Subject) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    if subject.identity is not None:
        found.append(x509.UniformResourceIdentifier(subject.identity))
    return found + [_alternative(host) for host in subject.hosts]


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as fault:
        raise CertificateMisuse(
            f"{host}: cannot stand in a certificate ({fault}); write it in ASCII (punycode)"
        ) from fault
