"""Signatures of controllers under reports: with the key of the certificate that the site shows anyway.

A certificate may have run out since; that it counted when it signed is what matters. Whose certificate it is,
only the authority tells, and whoever verifies must have that from elsewhere than from the report.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from orchestrator.certificates.reading import is_issued_by, names_in, read_certificate
from orchestrator.core.records import Signature
from orchestrator.report_file import signed_bytes
from orchestrator.signing import KeyUnusable
from sites.identity import CertificateFiles, controller_identity

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def signature(statement: str, site: str, at: str, files: CertificateFiles) -> Signature:
    """This site's signature. Reads files. Raises CertificateMisuse, KeyUnusable."""
    certificate = read_certificate(files.certificate)
    key = _private_key(files.key)
    raw = _sign(key, signed_bytes(statement, site, at))
    return Signature(site=site, at=at, certificate=_pem(certificate), value=_base64(raw))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def fault_of(statement: str, one: Signature, authorities: Sequence[x509.Certificate]) -> str:
    """What is wrong with a signature, in words; "" when nothing is. Without `authorities` only whose it is
    stays open, which `unproven` says."""
    try:
        certificate = x509.load_pem_x509_certificate(one.certificate.encode("ascii"))
        raw = base64.b64decode(one.value.encode("ascii"), validate=True)
        at = datetime.fromisoformat(one.at)
    except (ValueError, binascii.Error) as fault:
        return f"cannot be read: {fault}"
    # Both forms leave room for bytes that mean nothing: each that was changed is to be found.
    if (one.certificate, one.value) != (_pem(certificate), _base64(raw)):
        return "does not stand there as it was written"
    if not _made_by(certificate, raw, signed_bytes(statement, one.site, one.at)):
        return "is not of this report, or not by the key of its certificate"
    if names_in(certificate).identity != controller_identity(one.site):
        return f"is by a certificate that does not name the controller of {one.site}"
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        return f"is by a certificate that did not count at {one.at}"
    if authorities and not any(is_issued_by(certificate, authority) for authority in authorities):
        return "is by a certificate of another authority"
    return ""


def _private_key(path: Path) -> Key:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as fault:
        raise KeyUnusable(f"{path}: cannot be read: {fault.strerror}") from fault
    except (TypeError, ValueError, UnsupportedAlgorithm) as fault:
        raise KeyUnusable(f"{path}: not a private key in PEM without a passphrase") from fault
    if not isinstance(key, Key):
        raise KeyUnusable(f"{path}: a key of a kind that cannot sign here: use ECDSA, RSA or Ed25519")
    return key


def _sign(key: Key, content: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(content, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(content)


def _made_by(certificate: x509.Certificate, raw: bytes, content: bytes) -> bool:
    try:
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(raw, content, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(raw, content, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(raw, content)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
