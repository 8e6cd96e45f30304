"""Which authority's servers are believed: the file that `ca` names, read anew for every connection."""

import ssl
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runbooks.sql import PostgresSql
from sites.errors import DriverTrouble
from sites.model import Estate, Service
from sites.replication.catalogue import make_driver
from sites.replication.postgres.config import PostgresSettings
from sites.replication.postgres.server import client_tls, standby_lines
from sites.replication.words import Role
from tests.probes.certificates import Authority
from tests.support.local_transport import LocalTransport

INSTANCE = {"host": "db", "data": "/srv/data", "bin": "/usr/lib/postgresql/bin"}
SETTINGS = {
    "password": "one",
    "replication_password": "two",
    "tls": "verify-full",
    "instances": {"durham": INSTANCE, "morpeth": INSTANCE},
}


class Asked:
    """What the client library was asked for; it connects to nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ssl: list[Any] = []
        monkeypatch.setattr(asyncpg, "connect", self._connect)

    async def _connect(self, **parameters: Any) -> None:
        self.ssl.append(parameters["ssl"])
        raise ConnectionResetError("no server here")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def estate(**settings: Any) -> tuple[Estate, Service, PostgresSettings]:
    replication = {"driver": "postgres", **SETTINGS, **settings}
    made = Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {
                "durham": {"hosts": {"db": {"address": "10.1.1.1"}}},
                "morpeth": {"hosts": {"db": {"address": "10.1.2.1"}}},
                "derwentside": {"witness": True},
            },
            "services": {
                "crm": {"name": "crm", "home": "durham", "standby": "morpeth", "replication": replication}
            },
        }
    )
    return made, made.services["crm"], PostgresSettings.model_validate({**SETTINGS, **settings})


def believed(context: ssl.SSLContext) -> list[str]:
    """Whom a context believes, by their serial numbers."""
    return [str(one["serialNumber"]) for one in context.get_ca_certs()]


@pytest.mark.parametrize(("mode", "by_name"), [("verify-full", True), ("verify-ca", False)])
async def test_the_ca_beside_the_estate_file_is_whom_the_driver_and_steps_believe(
    tmp_path: Path, asked: Asked, mode: str, by_name: bool
) -> None:
    Authority(tmp_path)
    made, service, settings = estate(tls=mode, ca="ca.pem")
    driver = make_driver(service, made, LocalTransport(), tmp_path)
    await driver.sample("durham")
    await driver.aclose()
    with pytest.raises(Exception, match="no server here"):
        await PostgresSql(made, settings, tmp_path)("morpeth", "select 1", (), timeout_seconds=5)
    assert len(asked.ssl) == 2
    for context in asked.ssl:
        assert len(believed(context)) == 1
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, by_name)


async def test_a_ca_that_was_renewed_needs_no_restart(tmp_path: Path, asked: Asked) -> None:
    made, service, _ = estate(ca="ca.pem")
    driver = make_driver(service, made, LocalTransport(), tmp_path)
    for _ in range(2):
        Authority(tmp_path)
        await driver.sample("durham")
    await driver.aclose()
    first, second = map(believed, asked.ssl)
    assert first != second


@pytest.mark.parametrize(("content", "found"), [(None, "No such file or directory"), ("hello", "")])
async def test_a_ca_that_cannot_be_used_is_named_and_nothing_is_connected_to(
    tmp_path: Path, asked: Asked, content: str | None, found: str
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    made, service, settings = estate(ca="ca.pem")
    driver = make_driver(service, made, LocalTransport(), tmp_path)
    sample = await driver.sample("durham")
    await driver.aclose()
    said = f"crm at durham: the CA file {tmp_path}/ca.pem cannot be used: {found}"
    assert sample.role is Role.UNKNOWN
    assert sample.reason.startswith(said)
    assert "correct `ca` under replication" in sample.reason
    with pytest.raises(DriverTrouble, match=r"ca\.pem cannot be used"):
        await PostgresSql(made, settings, tmp_path)("morpeth", "select 1", (), timeout_seconds=5)
    assert asked.ssl == []


async def test_without_a_ca_it_is_the_client_librarys_own_place_and_that_is_said_when_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made, service, _ = estate()
    driver = make_driver(service, made, LocalTransport(), tmp_path)
    sample = await driver.sample("durham")
    await driver.aclose()
    assert sample.role is Role.UNKNOWN
    assert ".postgresql/root.crt" in sample.reason
    assert "name the authority's file as `ca`" in sample.reason


def test_a_mode_that_checks_nothing_asks_for_no_file(tmp_path: Path) -> None:
    for mode, expected in (("off", False), ("prefer", "prefer"), ("require", "require")):
        settings = PostgresSettings.model_validate({**SETTINGS, "tls": mode})
        assert client_tls(settings, tmp_path).for_connection() == expected


def test_a_ca_that_nothing_would_use_is_a_fault() -> None:
    made, service, settings = estate(tls="require", ca="ca.pem")
    assert (("ca",), "a `ca` beside tls: require", "tls: verify-full or verify-ca, which use it") in list(
        settings.check(made, service)
    )


def test_a_standby_checks_its_primary_with_the_file_on_its_own_host() -> None:
    common = {"data": "/d", "upstream_address": "10.1.1.1", "upstream_port": 5432, "user": "replicator"}
    with_ca = standby_lines("crm", "morpeth", **common, tls="verify-full", ca="/etc/ssl/ca.pem")
    assert "sslmode=''verify-full'' sslrootcert=''/etc/ssl/ca.pem''" in with_ca
    assert "sslrootcert" not in standby_lines("crm", "morpeth", **common, tls="verify-full")
