"""What stands in certificates that are there: who, for which hosts, by whom, until when. Changes nothing."""

from pathlib import Path

from cryptography import x509

from sites.identity import CertificateMisuse


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


def ends_unix_seconds(path: Path) -> float:
    """When the certificate in the file runs out. Raises CertificateMisuse."""
    return read_certificate(path).not_valid_after_utc.timestamp()
