"""A certificate authority of the tests' own."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Files:
    """PEM files of one certificate: what `tls: {ca, cert, key}` names."""

    ca: Path
    cert: Path
    key: Path


class Authority:
    """Writes `ca.pem` into its folder, and signs for servers and clients. `above`: the authority that signed
    this one, whose `ca.pem` is then the one to trust."""

    def __init__(self, folder: Path, *, above: "Authority | None" = None, days: int = 30) -> None:
        self.folder = folder
        self.above = above
        self.key = ec.generate_private_key(ec.SECP256R1())
        title = "Test CA" if above is None else "Test intermediate CA"
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        self.file = folder / "ca.pem"
        signer = above or self
        self.certificate = signer._signed(self.name, self.key.public_key(), is_ca=True, days=days)
        if above is None:
            self.write()

    def write(self) -> None:
        self.file.write_bytes(_pem(self.certificate))

    def server(self, host: str, *, days: int = 30, uri: str | None = None) -> ssl.SSLContext:
        """A server's context, with a certificate for `host` that ends in so many days."""
        files = self.files(host, host=host, days=days, uri=uri)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.cert, files.key)
        return tls

    def files(self, name: str, *, host: str | None = None, days: int = 30, uri: str | None = None) -> Files:
        """A certificate and its key, for a host's name, an identity, or both."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key.public_key(), host=host, days=days, uri=uri)
        files = Files(self.file, self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        chain = [certificate] if self.above is None else [certificate, self.certificate]
        files.cert.write_bytes(b"".join(_pem(each) for each in chain))
        return files

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        host: str | None = None,
        uri: str | None = None,
        days: int = 30,
        is_ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        ends = now + datetime.timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, ends) - datetime.timedelta(days=60))
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        names: list[x509.GeneralName] = []
        names += [_host(host)] if host is not None else []
        names += [x509.UniformResourceIdentifier(uri)] if uri is not None else []
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if is_ca:
            builder = builder.add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        return builder.sign(self.key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
