"""What is known of certificates from outside their files: days left, and what status warns of."""

from pathlib import Path

import pytest

from orchestrator.certificates.reading import certificate_days, certificate_ends
from orchestrator.certificates.words import certificate_warnings
from sites.inventory import load_estate
from sites.model import Estate
from tests.orchestrator.pki import HOST, Pki

DAY = 86_400.0
DURHAM = "twinsite:controller/durham"
ESTATE = """\
version: 1
store: {endpoints: ["https://127.0.0.1:2379"]}
sites:
  durham:
    tls: {ca: ca/ca.pem, cert: ca/durham.pem, key: ca/durham.key}
    store:
      endpoints: ["https://127.0.0.1:2379"]
      tls: {ca: ca/ca.pem, cert: ca/store.pem, key: ca/store.key}
  morpeth: {tls: {ca: ca/ca.pem, cert: ca/not-there.pem, key: ca/not-there.key}}
  derwentside: {witness: true}
services:
  crm: {home: durham, standby: morpeth}
"""


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    (tmp_path / "sites.yaml").write_text(ESTATE)
    pki = Pki(tmp_path)
    pki.issue(DURHAM, "durham", (HOST,), days=40)
    pki.dated("twinsite:store/durham", "store", begins_days=-60, ends_days=-2)
    return load_estate(tmp_path / "sites.yaml").estate


def test_the_days_left_of_what_a_site_uses_are_known(estate: Estate, tmp_path: Path) -> None:
    found = certificate_days(estate, "durham", tmp_path)
    assert {who: round(days) for who, days in found.items()} == {
        DURHAM: 40,
        "twinsite:store/durham": -2,
        "authority": 3650,
    }


def test_what_cannot_be_read_is_left_out(estate: Estate, tmp_path: Path) -> None:
    assert set(certificate_ends(estate, "morpeth", tmp_path)) == {"authority"}
    assert certificate_ends(estate, "derwentside", tmp_path) == {}
    (tmp_path / "ca" / "durham.pem").write_text("rubbish")
    assert DURHAM not in certificate_ends(estate, "durham", tmp_path)


def test_status_warns_from_thirty_days_on_the_most_urgent_first() -> None:
    now = 1_800_000_000.0
    lines = certificate_warnings(
        {
            "twinsite:controller/durham": now + 30 * DAY,
            "twinsite:guard/durham/crm": now + 29.5 * DAY,
            "authority": now + 1.5 * DAY,
            "twinsite:controller/morpeth": now - 1,
        },
        now,
    )
    assert [line.split(";")[0] for line in lines] == [
        "the certificate of controller/morpeth HAS RUN OUT: who connects anew is refused",
        "the authority's certificate runs out in 36 hours",
        "the certificate of guard/durham/crm runs out in 29 days",
    ]
    assert "`twinsite certs renew --authority`" in lines[1]
    assert "`twinsite certs renew guard/durham/crm`" in lines[2]
