"""Look after an estate's certificates: how each one is, issue what is missing, renew what runs out.

Everything is idempotent. A key that is here is kept; one that is not (it was moved to its host) is not
missed, because a certificate is renewed for the key that it was issued for. A certificate of another
authority is never replaced.
"""

import stat
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.certificates.authority import Authority, key_pem, pem, read_key, write_file
from orchestrator.certificates.reading import (
    AUTHORITY,
    days_between,
    is_issued_by,
    names_in,
    read_certificate,
    read_certificates,
)
from orchestrator.certificates.wanted import Wanted
from sites.identity import CertificateMisuse

SOON_DAYS = 30
RENEW_BELOW = 1 / 3  # of its life


class State(StrEnum):
    """How a certificate is."""

    OK = "ok"
    SOON = "runs-out-soon"
    KEY_OPEN = "key-readable-by-others"
    ABSENT = "not-here"
    OTHER_HOSTS = "other-hosts"
    OTHER_KEY = "not-of-its-key"
    OTHER_IDENTITY = "another-identity"
    FOREIGN = "foreign"
    NOT_YET = "not-yet-valid"
    ENDED = "run-out"
    UNREADABLE = "unreadable"


FAULTS = frozenset(
    {
        State.OTHER_KEY,
        State.OTHER_IDENTITY,
        State.FOREIGN,
        State.NOT_YET,
        State.ENDED,
        State.UNREADABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One certificate as it was found. `ends` and what depends on it are None where there is none to read;
    `finding` says in words what is not as it should be."""

    identity: str
    site: str | None
    file: Path
    state: State
    ends: datetime | None = None
    days_left: float | None = None
    issuer_ok: bool | None = None
    key_here: bool = False
    finding: str = ""


def look_at(each: Wanted, now: datetime) -> Seen:
    """How the certificate is. Raises nothing."""
    files = each.files
    if not files.certificate.exists():
        return Seen(each.identity, each.site, files.certificate, State.ABSENT, key_here=files.key.exists())
    try:
        certificate = read_certificate(files.certificate)
        issuers = read_certificates(files.ca)
    except CertificateMisuse as fault:
        return Seen(each.identity, each.site, files.certificate, State.UNREADABLE, finding=str(fault))
    issuer_ok = any(is_issued_by(certificate, issuer) for issuer in issuers)
    state, finding = _judged(each, certificate, issuer_ok, now)
    return Seen(
        each.identity,
        each.site,
        files.certificate,
        state,
        certificate.not_valid_after_utc,
        days_between(now, certificate.not_valid_after_utc),
        issuer_ok,
        files.key.exists(),
        finding,
    )


def look_at_authority(folder_ca: Path, now: datetime) -> list[Seen]:
    """The authority's own certificates: one, or two while one gives way to another. Raises nothing."""
    try:
        certificates = read_certificates(folder_ca)
    except CertificateMisuse as fault:
        state = State.UNREADABLE if folder_ca.exists() else State.ABSENT
        return [Seen(AUTHORITY, None, folder_ca, state, finding=str(fault))]
    return [
        Seen(
            AUTHORITY,
            None,
            folder_ca,
            _by_date(certificate, now),
            certificate.not_valid_after_utc,
            days_between(now, certificate.not_valid_after_utc),
            is_issued_by(certificate, certificate),
            folder_ca.with_suffix(".key").exists(),
        )
        for certificate in certificates
    ]


def _judged(each: Wanted, certificate: x509.Certificate, issuer_ok: bool, now: datetime) -> tuple[State, str]:
    """The worst that is to be said of it. Ordered: first match wins."""
    names = names_in(certificate)
    dated = _by_date(certificate, now)
    if not issuer_ok:
        return (
            State.FOREIGN,
            f"{each.files.ca} did not sign it, but {certificate.issuer.rfc4514_string() or 'no name'}",
        )
    if names.identity != each.identity:
        return State.OTHER_IDENTITY, f"it names {names.identity or 'nobody'}"
    if dated in FAULTS:
        return dated, ""
    if each.key_beside and each.files.key.exists():
        try:
            if read_key(each.files.key).public_key() != certificate.public_key():
                return State.OTHER_KEY, f"{each.files.key} is another key"
        except CertificateMisuse as fault:
            return State.OTHER_KEY, str(fault)
        if stat.S_IMODE(each.files.key.stat().st_mode) & 0o077:
            return State.KEY_OPEN, f"chmod 600 {each.files.key}"
    if missing := sorted(set(each.subject.hosts) - names.hosts):
        return State.OTHER_HOSTS, f"it is not for {', '.join(missing)}"
    if each.subject.hosts and not names.serves:
        return State.OTHER_HOSTS, "it is no server's"
    return dated, ""


def _by_date(certificate: x509.Certificate, now: datetime) -> State:
    if now >= certificate.not_valid_after_utc:
        return State.ENDED
    if now < certificate.not_valid_before_utc:
        return State.NOT_YET
    soon = days_between(now, certificate.not_valid_after_utc) < SOON_DAYS
    return State.SOON if soon else State.OK


@dataclass(frozen=True, slots=True)
class Done:
    """What was done about one certificate: `issued`, `renewed`, `kept`, or `left` with a finding, when
    somebody must look. `key_file`: a new key was made there."""

    identity: str
    file: Path
    did: str
    finding: str = ""
    key_file: Path | None = None


def issue(authority: Authority, each: Wanted, *, valid_days: float, now: datetime) -> Done:
    """Make it so that the certificate is there and as the estate wants it. Raises CertificateMisuse."""
    seen = look_at(each, now)
    files = each.files
    match seen.state:
        case State.OK | State.SOON | State.KEY_OPEN:
            return Done(each.identity, files.certificate, "kept", seen.finding)
        case State.ABSENT:
            had_key = files.key.exists()
            authority.issue(each.subject, files, valid_days=valid_days)
            return Done(each.identity, files.certificate, "issued", key_file=None if had_key else files.key)
        case State.FOREIGN | State.OTHER_IDENTITY | State.UNREADABLE:
            return _left(each, seen)
        case _:
            return _signed_anew(authority, each, "renewed", valid_days, seen.finding)


def renew(
    authority: Authority, each: Wanted, *, valid_days: float, now: datetime, every: bool, new_keys: bool
) -> Done:
    """Renew the certificate if less than a third of its life is left, or `every` one. Raises
    CertificateMisuse."""
    seen = look_at(each, now)
    if seen.state is State.ABSENT:
        return Done(
            each.identity, each.files.certificate, "left", "not here; `twinsite certs issue` makes it"
        )
    if seen.state in (State.FOREIGN, State.OTHER_IDENTITY, State.UNREADABLE):
        return _left(each, seen)
    if not every and not is_due(read_certificate(each.files.certificate), now):
        return Done(each.identity, each.files.certificate, "kept", seen.finding)
    if not new_keys:
        return _signed_anew(authority, each, "renewed", valid_days, "")
    _replace_both(authority, each, valid_days)
    return Done(each.identity, each.files.certificate, "renewed", key_file=each.files.key)


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a third of its life is left."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (ends - now) < (ends - begins) * RENEW_BELOW


def _left(each: Wanted, seen: Seen) -> Done:
    finding = f"{seen.finding or seen.state}; nothing was replaced: move it away, then `twinsite certs issue`"
    return Done(each.identity, each.files.certificate, "left", finding)


def _signed_anew(authority: Authority, each: Wanted, did: str, valid_days: float, finding: str) -> Done:
    """For the key that is here, else for the one that the certificate was issued for, wherever that is."""
    files = each.files
    if files.key.exists():
        public_key = read_key(files.key).public_key()
    else:
        found = read_certificate(files.certificate).public_key()
        if not isinstance(found, ec.EllipticCurvePublicKey):
            raise CertificateMisuse(
                f"{files.certificate}: is for a key of another kind; renew it with --new-keys"
            )
        public_key = found
    write_file(files.certificate, pem(authority.signed(each.subject, public_key, valid_days=valid_days)))
    return Done(each.identity, files.certificate, did, finding)


def _replace_both(authority: Authority, each: Wanted, valid_days: float) -> None:
    """A new key and its certificate. Between the two renames they do not belong together: whoever reads them
    then refuses them and keeps what it had read before."""
    files = each.files
    key = ec.generate_private_key(ec.SECP256R1())
    signed = authority.signed(each.subject, key.public_key(), valid_days=valid_days)
    write_file(files.key, key_pem(key), mode=0o600)
    write_file(files.certificate, pem(signed))
