"""`hosts check` against a real SSH host: every trouble is a line that says what to do."""

import getpass
import socket
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from orchestrator.hosts_check import check_hosts
from orchestrator.hosts_report import HostCheck, HostReport
from sites.model import Estate
from sites.restarters import Database
from tests.sites.ssh.servers import LOOPBACK, Served, free_port, lab_process, openssh

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Served]:
    """The lab's SSH host."""
    with lab_process(tmp_path) as (served, _):
        yield served


def estate(*ports: int, keys: tuple[str, ...] = ("client_key",), connect_timeout: str = "5s") -> Estate:
    """An estate with a host for each port."""
    hosts = {
        f"host{n}": {"address": LOOPBACK, "port": port, "user": getpass.getuser()}
        for n, port in enumerate(ports)
    }
    return Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "ssh": {"keys": list(keys), "connect_timeout": connect_timeout},
            "sites": {
                "durham": {"hosts": hosts, "state": "not/made/yet"},
                "morpeth": {},
            },
            "services": {},
        }
    )


def one(place: Served, look: Estate, tools: tuple[str, ...] = ()) -> dict[str, HostCheck]:
    """The checks of the only host, by name."""
    (report,) = check_hosts(look, place.base, tools={("durham", "host0"): tools})
    return {check.name: check for check in report.checks}


def test_a_host_where_all_is_well_has_every_check(place: Served) -> None:
    checks = one(place, estate(place.host.port), tools=("cat", "/bin/sh"))
    assert set(checks) == {"reach", "host key", "login", "tools", "clock", "disk"}
    assert [name for name, check in checks.items() if check.ok is False] == []
    assert checks["clock"].ok is True
    assert f"free at {place.base}/not/made/yet" in checks["disk"].detail
    assert not (place.base / "not").exists(), "nothing is made"


def test_what_starts_a_database_there_is_looked_at(place: Served) -> None:
    database = Database("crm", "/nonexistent/twinsite/data")
    look = estate(place.host.port)
    (report,) = check_hosts(look, place.base, databases={("durham", "host0"): [database]})
    check = {each.name: each for each in report.checks}["restarters of crm"]
    assert check.ok is not False
    assert "did not come to its end" not in check.detail


def test_openssh_is_checked_alike(tmp_path: Path) -> None:
    with openssh(tmp_path) as (place, _):
        checks = one(place, estate(place.host.port))
        assert [name for name, check in checks.items() if check.ok is False] == []


def test_a_missing_tool_is_named(place: Served) -> None:
    check = one(place, estate(place.host.port), tools=("/no/such/bin/pg_rewind", "it's; $(false)"))["tools"]
    assert check.ok is False
    assert "missing: /no/such/bin/pg_rewind, it's; $(false)" in check.detail


def test_an_unknown_host_key_says_how_to_make_it_known(place: Served) -> None:
    place.files.known_hosts.write_text("")
    check = one(place, estate(place.host.port))["host key"]
    assert check.ok is False
    assert f"ssh-keyscan -p {place.host.port} {LOOPBACK} >> {place.files.known_hosts}" in check.remedy
    place.files.known_hosts.unlink()
    assert one(place, estate(place.host.port))["host key"].ok is False
    assert not place.files.known_hosts.exists(), "nothing is added by itself"


def test_a_changed_host_key_names_both(place: Served) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    line = f"[{LOOPBACK}]:{place.host.port} {other.export_public_key().decode()}"
    place.files.known_hosts.write_text(line)
    check = one(place, estate(place.host.port))["host key"]
    shown = asyncssh.read_private_key(str(place.files.host_keys["durham"]))
    assert check.ok is False
    assert other.get_fingerprint() in check.detail
    assert shown.get_fingerprint() in check.detail


def test_a_wrong_key_is_a_login_fault_on_a_known_host(place: Served) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(place.base / "stranger"))
    checks = one(place, estate(place.host.port, keys=("stranger",)))
    assert checks["host key"].ok is True
    assert checks["login"].ok is False
    assert "authorized_keys" in checks["login"].remedy


def test_an_encrypted_or_missing_key_file_is_a_login_fault(place: Served) -> None:
    key = asyncssh.read_private_key(str(place.files.client_key))
    key.write_private_key(str(place.base / "locked"), passphrase="secret")
    assert "encrypted" in one(place, estate(place.host.port, keys=("locked",)))["login"].detail
    assert "cannot be read" in one(place, estate(place.host.port, keys=("missing",)))["login"].detail


def test_a_damaged_known_hosts_file_is_named(place: Served) -> None:
    place.files.known_hosts.write_bytes(b"\xff\xfe\x00nonsense\n")
    check = one(place, estate(place.host.port))["host key"]
    assert check.ok is False
    assert "known_hosts" in check.detail


def test_every_host_is_tried_in_turn_whatever_the_others_do(
    place: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as silent:
        silent.bind((LOOPBACK, 0))
        silent.listen(8)
        ports = (free_port(), silent.getsockname()[1], place.host.port)
        seen: list[HostReport] = []
        started: list[tuple[str, str]] = []
        reports = check_hosts(
            estate(*ports, connect_timeout="2s"),
            place.base,
            on_report=seen.append,
            on_start=lambda site, host: started.append((site, host)),
        )
    assert reports == seen
    assert started == [("durham", "host0"), ("durham", "host1"), ("durham", "host2")]
    refused, hung, well = reports
    assert refused.checks == (
        HostCheck("reach", False, "connection refused", f"is sshd running on port {ports[0]}?"),
    )
    assert hung.ok is False
    assert "accepts connections" in hung.checks[0].detail
    assert well.ok is not False
    assert "Traceback" not in capfd.readouterr().err
