"""What people certify when machines cannot know: that a site is off, that glass is broken, who owns what.

Values and their one written form. A certificate is signed over `canonical`: the guard, which is a file of its
own, makes the same bytes (a test compares them). Pure; files are `orchestrator.cabinet`'s, keys are
`orchestrator.signing`'s.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

VERSION = 1
LONGEST_TEXT_BYTES = 12 * 1024  # a guard takes lines of 16 KiB, and a certificate in one is quoted


class CertificateKind(StrEnum):
    """What is certified."""

    DOWN = "down"  # P28: a site is off, while the store answers
    BREAK_GLASS = "break-glass"  # P31: a site is off and stays off; a service opens here without the store
    PEER = "peer"  # P32: the other site is off and has broken no glass
    OWNER = "owner"  # P33: who owns a service, after the store was restored


class CertificateUnreadable(ValueError):
    """The text is no certificate of this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate.

    `down`: the site that is certified to be off; `site`: where the certificate counts. `service` "" and
    `epoch` 0: of no service in particular. `hosts`: those at `site` whose guards may open by it; only broken
    glass names any, so that no other certificate ever opens a guard. `covers`: hosts at `down` that are
    certified to be off or cut off from clients, by service. `owner`: P33's. `states`: the sentences that
    are certified, as they were shown. `when`: time of day, for people. `signature`: base64 of an ECDSA
    signature of `canonical`; `signer`, the operator whose key it is, is found out, not said.
    """

    id: str
    kind: CertificateKind
    site: str
    down: str
    service: str = ""
    epoch: int = 0
    owner: str = ""
    hosts: tuple[str, ...] = ()
    covers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    states: tuple[str, ...] = ()
    reason: str
    who: str
    second_person: str = ""
    when: str
    signature: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """Everything but the signature, as it is signed."""
        said = asdict(self)
        del said["signature"]
        said["kind"] = str(self.kind)
        said["hosts"] = list(self.hosts)
        said["states"] = list(self.states)
        said["covers"] = {name: list(hosts) for name, hosts in self.covers.items()}
        return {"version": VERSION, **said}

    def text(self) -> str:
        """The certificate as it is kept and handed to guards."""
        return written({**self.body, "signature": self.signature}) + "\n"


def canonical(body: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: everything but the signature, in one way only."""
    return written({key: value for key, value in body.items() if key != "signature"}).encode("ascii")


def written(said: Mapping[str, Any]) -> str:
    """The one way of writing it."""
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


_FIELDS = {each.name for each in fields(Certificate)}


def certificate_of(text: str) -> Certificate:
    """The certificate in a text. Raises CertificateUnreadable."""
    try:
        said = json.loads(text)
        if said.pop("version") != VERSION:
            raise CertificateUnreadable("a certificate of another version")
        if set(said) != _FIELDS:
            odd = ", ".join(sorted(set(said) ^ _FIELDS))
            raise CertificateUnreadable(f"not a certificate of this version: {odd}")
        said["kind"] = CertificateKind(said["kind"])
        said["hosts"] = tuple(said["hosts"])
        said["states"] = tuple(said["states"])
        said["covers"] = {name: tuple(hosts) for name, hosts in said["covers"].items()}
        return Certificate(**said)
    except CertificateUnreadable:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CertificateUnreadable(f"not a certificate: {fault}") from fault
