"""Certificates of all kinds for tests: good ones by the product's authority, bad ones by hand."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orchestrator.certificates.authority import (
    Authority,
    Subject,
    create_authority,
    new_key,
    pem,
    write_file,
)
from sites.identity import CertificateFiles, controller_identity, guard_identity, witness_identity

HOST = "127.0.0.1"


class Pki:
    """An authority, and certificates that it signed."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.authority: Authority = create_authority(folder / name)

    def issue(
        self, identity: str | None, name: str, hosts: tuple[str, ...] = (), *, days: float = 30
    ) -> CertificateFiles:
        subject = Subject(identity, name, hosts)
        return self.authority.issue(subject, self.authority.files(name), valid_days=days)

    def controller(self, site: str, host: str = HOST) -> CertificateFiles:
        return self.issue(controller_identity(site), f"{site}-{host}", (host,))

    def guard(self, site: str, service: str) -> CertificateFiles:
        return self.issue(guard_identity(site, service), f"guard-{site}-{service}")

    def witness(self, site: str) -> CertificateFiles:
        return self.issue(witness_identity(site), site)

    def dated(
        self, identity: str, name: str, *, begins_days: float, ends_days: float, hosts: tuple[str, ...] = ()
    ) -> CertificateFiles:
        """A certificate that counts from and until so many days from now, negative ones being in the past."""
        files = self.authority.files(name)
        key = new_key(files.key)
        now = datetime.now(UTC)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity)]
        names += [x509.IPAddress(ip_address(host)) for host in hosts]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, name)]))
            .issuer_name(self.authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins_days))
            .not_valid_after(now + timedelta(days=ends_days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.key.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.authority.key, hashes.SHA256())
        )
        write_file(files.certificate, pem(certificate))
        return files
