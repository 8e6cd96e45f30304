"""Keys of the people who may sign a certificate of death or break glass: ECDSA on P-256.

The private key stays with its operator, behind a passphrase if there is one; guards are given the public key,
controllers and auditors may use the certificate, in which the authority says whose key it is.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.certificates.authority import CA_CERTIFICATE, Authority, Subject, key_pem, pem, write_file
from orchestrator.certificates.wanted import Wanted
from sites.identity import CertificateFiles, CertificateMisuse, operator_identity

FILE_PREFIX = "operator-"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.-]{0,40}$")


def is_operator_name(name: str) -> bool:
    """Whether files and identities can be called so."""
    return _NAME.match(name) is not None


@dataclass(frozen=True, slots=True)
class OperatorFiles:
    """Where one operator's things lie."""

    key: Path
    public: Path
    certificate: Path


def operator_files(folder: Path, name: str) -> OperatorFiles:
    """Their places in the authority's folder."""
    stem = f"{FILE_PREFIX}{name}"
    return OperatorFiles(folder / f"{stem}.key", folder / f"{stem}.pub", folder / f"{stem}.pem")


def create_operator(authority: Authority, name: str, *, passphrase: str, valid_days: float) -> OperatorFiles:
    """A new key pair and its certificate. Raises CertificateMisuse, and leaves alone what is there."""
    files = operator_files(authority.directory, name)
    for path in (files.key, files.public, files.certificate):
        if path.exists():
            raise CertificateMisuse(
                f"{path}: {name} has a key already, and guards may know it; choose another name, or move the "
                "old files away and take the old public key from every guard"
            )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = Subject(operator_identity(name), f"operator {name}")
    certificate = authority.signed(subject, key.public_key(), valid_days=valid_days)
    write_file(files.key, key_pem(key, passphrase), mode=0o600, replace=False)
    write_file(files.public, public_pem(key.public_key()), replace=False)
    write_file(files.certificate, pem(certificate), replace=False)
    return files


def operators_in(folder: Path) -> list[Wanted]:
    """The operators whose certificates are in the authority's folder."""
    found = []
    for path in sorted(folder.glob(f"{FILE_PREFIX}*.pem")):
        name = path.stem.removeprefix(FILE_PREFIX)
        files = CertificateFiles(folder / CA_CERTIFICATE, path, path.with_suffix(".key"))
        subject = Subject(operator_identity(name), f"operator {name}")
        # The key may ask for its passphrase, and should be with its operator anyway.
        found.append(Wanted(subject, files, None, key_beside=False))
    return found


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
