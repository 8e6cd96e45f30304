"""An estate on real SSH servers, a person who has been told what to say, and certificates."""

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.certificates.operators import public_pem
from orchestrator.certified import Certificate
from orchestrator.cli.emergency_session import Order, Session
from orchestrator.emergency.certificate import made, signed_with
from orchestrator.emergency.terminal import Verb, Verdict
from orchestrator.emergency.words import Answer
from runbooks.planned import PlannedStep
from sites.draft import named
from sites.model import Estate
from sites.ssh.by_hand import ByHand
from tests.sites.ssh.servers import LOOPBACK, Served

DURHAM, MORPETH = "durham", "morpeth"


@dataclass
class Scripted:
    """A person who says what a test has told them to."""

    verdicts: list[Verdict] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def tell(self, lines: Sequence[str]) -> None:
        """See Person."""
        self.heard += lines

    async def ask(self, step: PlannedStep, question: str) -> Answer:
        """See Person."""
        self.asked.append(question)
        return self.answers.pop(0)

    async def decide(self, step: PlannedStep, evidence: str, verbs: Sequence[Verb]) -> Verdict:
        """See Person."""
        self.asked.append(f"{step.id}: {evidence}")
        assert self.verdicts, f"nobody has said what to do about {step.id}: {evidence}"
        verdict = self.verdicts.pop(0)
        assert verdict.verb in verbs
        return verdict

    @property
    def said(self) -> str:
        """All that was shown."""
        return "\n".join(self.heard)


def estate_at(place: Served, **service: Any) -> Estate:
    """Both sites' application hosts are that one server."""
    host = {"address": LOOPBACK, "port": place.host.port, "user": getpass.getuser()}
    estate = Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "ssh": {"known_hosts": "known_hosts", "keys": ["client_key"], "connect_timeout": "3s"},
            "sites": {
                DURHAM: {"title": "Durham", "hosts": {"app": host}},
                MORPETH: {"title": "Morpeth", "hosts": {"app": host}},
                "derwentside": {"witness": True},
            },
            "services": {"crm": {"home": MORPETH, "standby": DURHAM, **service}},
            "runbook_path": ["runbooks"],
        }
    )
    return named(estate, None)


def session_at(place: Served, person: Scripted, estate: Estate | None = None) -> Session:
    """A sitting with that server."""
    return Session(
        estate or estate_at(place), place.base, person, lambda of, base: ByHand(of.ssh, base, own=False)
    )


def order(runbook: str, **changes: Any) -> Order:
    """An order to run it from Morpeth to Durham."""
    said: dict[str, Any] = {
        "runbook": runbook,
        "service": "crm",
        "from_site": MORPETH,
        "to_site": DURHAM,
        "parameters": (),
        "kind": "failover",
        "certificate": None,
        "epoch": None,
        "reason": "both controllers are gone",
        "who": "jo@laptop by hand",
    }
    return Order(**{**said, **changes})


def operator(folder: Path, name: str = "jo") -> tuple[ec.EllipticCurvePrivateKey, str]:
    """A key, and the path of its public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / f"operator-{name}.pub"
    path.write_bytes(public_pem(key.public_key()))
    return key, str(path)


def certificate(
    estate: Estate, key: ec.EllipticCurvePrivateKey | None, *, site: str = DURHAM, epoch: int = 7
) -> Certificate:
    """One that the other site is off."""
    draft = made(
        estate,
        service="crm",
        site=site,
        down=estate.services["crm"].peer_of(site),
        epoch=epoch,
        reason="fire",
        who="jo@laptop",
    )
    return draft if key is None else signed_with(draft, key)
