"""The certificate without which nothing is made primary by hand: P31's, made and read without a controller.

It is the one that controllers and guards know. Whether its epoch is high enough the guard says, who
remembers; whether it is signed by a known operator is looked at here and there.
"""

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.certificate_words import listed
from orchestrator.certified import (
    LONGEST_TEXT_BYTES,
    Certificate,
    CertificateKind,
    CertificateUnreadable,
    certificate_of,
)
from orchestrator.clock import wall_text
from orchestrator.errors import OrchestratorMisuse
from orchestrator.signing import signed, signer_of
from sites.hosts_of import database_hosts_of, hosts_of
from sites.model import Estate


class CertificateUnfit(OrchestratorMisuse):
    """The certificate cannot be read, or says something else than this run needs."""


def made(
    estate: Estate,
    *,
    service: str,
    site: str,
    down: str,
    epoch: int,
    reason: str,
    who: str,
    second_person: str = "",
) -> Certificate:
    """A break-glass certificate that nobody has signed yet. Raises CertificateUnfit where the estate does not
    say on which hosts it is to count."""
    hosts = database_hosts_of(estate, service, site)
    if not hosts:
        raise CertificateUnfit(
            f"services.{service}: the estate does not say on which host of {site} its database is; name it "
            "under replication, or under guard: hosts"
        )
    covers = {service: hosts_of(estate, service, down)}
    off = f"{down} is off, or every one of these hosts of it is cut off from every client: {listed(covers)}"
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return Certificate(
        id=f"{CertificateKind.BREAK_GLASS}-{stamp}-{secrets.token_hex(3)}",
        kind=CertificateKind.BREAK_GLASS,
        site=site,
        down=down,
        service=service,
        epoch=epoch,
        hosts=hosts,
        covers=covers,
        states=(
            off,
            f"{down} stays so until {service} is reconciled",
            f"{service} is served at {site} by this certificate alone, at epoch {epoch}",
            "no controller of either site is left to say otherwise",
        ),
        reason=reason,
        who=who,
        second_person=second_person,
        when=wall_text(),
    )


def signed_with(certificate: Certificate, key: ec.EllipticCurvePrivateKey) -> Certificate:
    """The same, signed."""
    return replace(certificate, signature=signed(certificate.body, key))


def read(path: Path) -> Certificate:
    """The certificate in a file. Raises CertificateUnfit."""
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(LONGEST_TEXT_BYTES + 1)
        return certificate_of(text)
    except OSError as fault:
        raise CertificateUnfit(f"{path}: cannot be read: {fault.strerror}") from fault
    except (UnicodeDecodeError, CertificateUnreadable) as fault:
        raise CertificateUnfit(
            f"{path}: {fault}; `twinsite certify SITE --down --offline FILE` makes one"
        ) from fault


def check(
    certificate: Certificate, estate: Estate, base: Path, *, service: str, from_site: str, to_site: str
) -> str:
    """Who signed it, by the estate; "" where the estate names no operators. Raises CertificateUnfit for one
    that says something else than that `from_site` is off and `service` is served at `to_site`."""
    faults = []
    if certificate.kind is not CertificateKind.BREAK_GLASS:
        faults.append(f"it is of kind {certificate.kind}, which opens nothing")
    for what, found, wanted in (
        ("service", certificate.service, service),
        ("site that serves", certificate.site, to_site),
        ("site that is down", certificate.down, from_site),
    ):
        if found != wanted:
            faults.append(f"its {what} is {found}, not {wanted}")
    missing = [host for host in database_hosts_of(estate, service, to_site) if host not in certificate.hosts]
    if missing:
        faults.append(f"it does not name {', '.join(missing)} at {to_site}")
    if estate.access.approvals.break_glass.second_person and not certificate.second_person:
        faults.append("the estate asks for a second person (access.approvals), and it names none")
    if faults:
        raise CertificateUnfit(f"certificate {certificate.id} does not fit this run: {'; '.join(faults)}")
    return _signer(certificate, estate, base, service)


def _signer(certificate: Certificate, estate: Estate, base: Path, service: str) -> str:
    operators = estate.access.operators
    if not operators:
        if estate.services[service].guard is not None:
            raise CertificateUnfit(
                f"{service} has a guard, and the estate names no operators (access.operators): its guard "
                "opens for nobody but its controller. Stop the guard on that host, if you must, and promote "
                "there by your own hand; then only you keep two sites from writing"
            )
        return ""
    keys = [(name, base / path) for name, path in operators.items()]
    signer = signer_of(certificate.body, certificate.signature, keys)
    if signer is None:
        raise CertificateUnfit(
            f"certificate {certificate.id} is signed by none of the operators that the estate names "
            f"({', '.join(operators)})"
        )
    return signer
