"""Break glass (P31): what an operator's certificate opens, and what it does not."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.certificates.operators import public_pem
from orchestrator.certified import Certificate, CertificateKind
from orchestrator.certified import canonical as product_canonical
from orchestrator.signing import signed
from sites.fencing.guard import CertificateRefused, boot_id, canonical, check_certificate
from tests.sites.fencing.bench import Host
from tests.sites.fencing.fake_keeper import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine"),
]

CERTIFICATE = Certificate(
    id="bg-20260101-1",
    kind=CertificateKind.BREAK_GLASS,
    site="durham",
    down="morpeth",
    service="crm",
    epoch=8,
    hosts=("crm-db",),
    states=("Morpeth is off and stays off until the two are reconciled.",),
    reason="fire at Morpeth: the café too",
    who="vera@durham",
    when="2026-01-01T03:12:00Z",
)


@pytest.fixture
def key(host: Host) -> ec.EllipticCurvePrivateKey:
    """An operator's, known to the guard beside another's."""
    made = ec.generate_private_key(ec.SECP256R1())
    other = ec.generate_private_key(ec.SECP256R1())
    paths = []
    for number, one in enumerate((other, made)):
        path = host.folder / f"operator-{number}.pub"
        path.write_bytes(public_pem(one.public_key()))
        paths.append(str(path))
    host.settings["operators"] = [str(host.folder / "missing.pub"), *paths]
    return made


def signed_text(certificate: Certificate, key: ec.EllipticCurvePrivateKey) -> str:
    return replace(certificate, signature=signed(certificate.body, key)).text()


def handed_in(host: Host, text: str) -> tuple[int, str]:
    path = host.folder / "certificate.json"
    path.write_text(text)
    done = host.run("--certificate", str(path))
    return done.returncode, done.stdout + done.stderr


def checked(host: Host, text: str) -> dict[str, Any]:
    """What the guard makes of it."""
    host.state.mkdir(exist_ok=True)
    keys = host.settings["operators"]
    found: dict[str, Any] = check_certificate(text, "crm", "durham", "crm-db", keys, str(host.state))
    return found


def record(host: Host) -> list[dict[str, Any]]:
    path = host.state / "certificates.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_guard_and_product_sign_the_same_bytes() -> None:
    said = json.loads(CERTIFICATE.text())
    assert canonical(said) == product_canonical(CERTIFICATE.body)


def test_opens_without_a_controller_is_recorded_and_outlives_the_guard_but_not_the_boot(
    host: Host, key: ec.EllipticCurvePrivateKey
) -> None:
    host.start()
    status, said = handed_in(host, signed_text(CERTIFICATE, key))
    assert status == 0, said
    assert "vera@durham certifies morpeth down" in said
    host.opened()
    assert host.permit.read_text().split() == ["manual", boot_id(), "8"]
    assert record(host)[0]["certificate"]["id"] == CERTIFICATE.id
    assert json.loads((host.state / "memory").read_text().splitlines()[0])["epoch"] == 8
    host.pretend()
    host.signal(signal.SIGKILL)
    host.start()
    assert "goes on where" in host.said()
    assert host.pretenders()
    host.signal(signal.SIGKILL)
    kept = host.state / "permit"
    kept.write_text(kept.read_text().replace(boot_id(), "another-boot"))
    host.start()
    until(lambda: not host.pretenders(), "closed after the boot")
    assert handed_in(host, signed_text(CERTIFICATE, key))[0] == 0
    host.opened()


def test_comes_over_the_line_too(host: Host, key: ec.EllipticCurvePrivateKey) -> None:
    host.start()
    host.keeper.send({"certificate": signed_text(CERTIFICATE, key)})
    host.opened()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"service": "ebs"}, "it is for service 'ebs'"),
        ({"hosts": ("ebs-db",)}, "it names the hosts ebs-db"),
        ({"hosts": ()}, "it names the hosts"),
        ({"down": "durham"}, "certifies durham itself as down"),
        ({"site": "morpeth", "down": "durham"}, "it counts at 'morpeth'"),
        ({"kind": CertificateKind.DOWN}, "which opens nothing"),
        ({"reason": " "}, "does not say who, when, why"),
        ({"epoch": 0}, "not of version 1"),
    ],
)
def test_signed_and_yet_not_for_this(
    host: Host, key: ec.EllipticCurvePrivateKey, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(CertificateRefused) as caught:
        checked(host, signed_text(replace(CERTIFICATE, **change), key))
    assert told in str(caught.value)


def _altered(text: str) -> str:
    return text.replace("2026-01-01", "2026-01-02")


def _raised(text: str) -> str:
    return text.replace('"epoch":8', '"epoch":9')


def _unsigned(text: str) -> str:
    return json.dumps({**json.loads(text), "signature": ""})


@pytest.mark.parametrize(
    "spoil", [_altered, _raised, _unsigned, str.upper, lambda text: text[:-9], lambda _: "[]"]
)
def test_what_no_known_operator_signed_opens_nothing(
    host: Host, key: ec.EllipticCurvePrivateKey, spoil: Callable[[str], str]
) -> None:
    text = signed_text(CERTIFICATE, key)
    assert checked(host, text)["epoch"] == 8
    with pytest.raises(CertificateRefused):
        checked(host, spoil(text))


def test_what_is_refused_is_said_on_both_ways_and_not_recorded(
    host: Host, key: ec.EllipticCurvePrivateKey
) -> None:
    host.start()
    status, said = handed_in(host, signed_text(CERTIFICATE, ec.generate_private_key(ec.SECP256R1())))
    assert status == 3
    assert "no operator known here has signed it" in said
    until(
        lambda: [one for one in host.keeper.said("refused") if one["refused"] == "certificate"], "a refusal"
    )
    assert not host.permit.exists()
    assert not record(host)


def test_without_operators_nobody_can_sign(host: Host, key: ec.EllipticCurvePrivateKey) -> None:
    host.settings["operators"] = []
    with pytest.raises(CertificateRefused, match="no operator's key is known"):
        checked(host, signed_text(CERTIFICATE, key))


def test_an_epoch_lower_than_what_was_ever_told_opens_nothing(
    host: Host, key: ec.EllipticCurvePrivateKey
) -> None:
    host.keeper.allow(0, epoch=9)
    host.start()
    memory = host.state / "memory"
    until(lambda: memory.exists() and '"epoch": 9' in memory.read_text(), "epoch 9 on disk")
    handed_in(host, signed_text(CERTIFICATE, key))
    until(
        lambda: [one for one in host.keeper.said("refused") if one["refused"] == "older-epoch"], "a refusal"
    )
    assert not host.permit.exists()


def test_what_an_order_closed_the_same_certificate_does_not_open_again(
    host: Host, key: ec.EllipticCurvePrivateKey
) -> None:
    host.start()
    assert handed_in(host, signed_text(CERTIFICATE, key))[0] == 0
    host.opened()
    host.keeper.order(1, "fence")
    host.keeper.acknowledged(1)
    until(lambda: record(host)[-1].get("ended") == 8, "the end on record")
    status, said = handed_in(host, signed_text(CERTIFICATE, key))
    assert status == 3
    assert "a new one is needed" in said
    assert handed_in(host, signed_text(replace(CERTIFICATE, epoch=9), key))[0] == 0
    host.opened()


def test_what_cannot_be_recorded_opens_nothing(host: Host, key: ec.EllipticCurvePrivateKey) -> None:
    host.start()
    (host.state / "certificates.log").mkdir()
    path = host.state / "inbox" / "one.json"
    path.write_text(signed_text(CERTIFICATE, key))
    until(lambda: "certificates: " in host.said() or "certificate: refused" in host.said(), "a complaint")
    assert not host.permit.exists()


def test_nobody_there_to_take_it_is_said(host: Host, key: ec.EllipticCurvePrivateKey) -> None:
    text = signed_text(CERTIFICATE, key)
    status, said = handed_in(host, text)
    assert status == 4
    assert "no guard has ever run" in said
    (host.state / "inbox").mkdir(parents=True)
    status, said = handed_in(host, text)
    assert status == 4
    assert "no guard runs with the state" in said
