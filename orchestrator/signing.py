"""Signatures of certificates: an operator's key signs, anybody with the public key can tell.

ECDSA with SHA-256 over the certificate's canonical bytes, as `openssl dgst -sha256 -verify` checks it on a
database host. The private key is read where its operator sits, never by a controller.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.certified import canonical
from orchestrator.errors import OrchestratorMisuse

_ALGORITHM = ec.ECDSA(hashes.SHA256())


class KeyUnusable(OrchestratorMisuse):
    """A key that is missing, not readable, behind another passphrase, or of another kind."""


class PassphraseNeeded(KeyUnusable):
    """The key is behind a passphrase, and none was given."""


def signing_key(path: Path, passphrase: str = "") -> ec.EllipticCurvePrivateKey:
    """An operator's private key. Raises KeyUnusable, PassphraseNeeded."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
    except OSError as fault:
        raise KeyUnusable(f"{path}: cannot be read: {fault.strerror}") from fault
    except TypeError as fault:
        if passphrase:
            raise KeyUnusable(f"{path}: has no passphrase, and one was given") from fault
        raise PassphraseNeeded(f"{path}: asks for its passphrase") from fault
    except (ValueError, UnsupportedAlgorithm) as fault:
        told = "not a private key in PEM, or another passphrase"
        raise KeyUnusable(f"{path}: {told}; `twinsite certs operator NAME` makes one") from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyUnusable(f"{path}: not an ECDSA key; `twinsite certs operator NAME` makes one")
    return key


def signed(body: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """The signature of a certificate's body, in base64."""
    return base64.b64encode(key.sign(canonical(body), _ALGORITHM)).decode("ascii")


def signer_of(body: Mapping[str, Any], signature: str, keys: Iterable[tuple[str, Path]]) -> str | None:
    """The operator whose key made the signature, of those whose public keys (or certificates) these files
    are; None when it is none of theirs. A file that cannot be read is nobody's."""
    try:
        raw = base64.b64decode(signature.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return None
    for name, path in keys:
        key = _public_key(path)
        if key is not None and _made_by(key, raw, canonical(body)):
            return name
    return None


def _made_by(key: ec.EllipticCurvePublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


def _public_key(path: Path) -> ec.EllipticCurvePublicKey | None:
    try:
        pem = path.read_bytes()
        if b"BEGIN CERTIFICATE" in pem:
            found: object = x509.load_pem_x509_certificate(pem).public_key()
        else:
            found = serialization.load_pem_public_key(pem)
    except (OSError, ValueError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, ec.EllipticCurvePublicKey) else None
