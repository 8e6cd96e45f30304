"""Which etcd the lab takes, how it is started, and the certificates it needs."""

import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orchestrator.lab.certs import CertificateMisuse, create_authority, open_authority
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.etcd import EtcdBinary, MemberPlace, find_etcd, member_command, wait_healthy

SAFE, UNSAFE = "3.4.23", "3.5.1"


def program(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'etcd Version: {version}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH has nothing but a folder of ours and the shell's."""
    monkeypatch.delenv("TWINSITE_ETCD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_the_projects_own_etcd_comes_before_the_systems(only_here: Path) -> None:
    program(only_here / "bin" / "etcd", SAFE)
    own = program(only_here / ".tools" / "etcd" / "usr" / "bin" / "etcd", SAFE)
    assert find_etcd(only_here / ".tools") == EtcdBinary(own, SAFE, unsafe=False)


def test_a_safe_etcd_is_taken_before_an_unsafe_one_in_front_of_it(only_here: Path) -> None:
    program(only_here / ".tools" / "etcd" / "usr" / "bin" / "etcd", UNSAFE)
    system = program(only_here / "bin" / "etcd", SAFE)
    assert find_etcd(only_here / ".tools") == EtcdBinary(system, SAFE, unsafe=False)


def test_an_unsafe_etcd_is_better_than_none_and_says_so(only_here: Path) -> None:
    own = program(only_here / ".tools" / "etcd" / "usr" / "bin" / "etcd", UNSAFE)
    assert find_etcd(only_here / ".tools") == EtcdBinary(own, UNSAFE, unsafe=True)


def test_the_named_etcd_is_taken_even_if_it_is_unsafe(
    only_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(only_here / "bin" / "etcd", SAFE)
    named = program(only_here / "named" / "etcd", UNSAFE)
    monkeypatch.setenv("TWINSITE_ETCD", str(named))
    assert find_etcd(only_here / ".tools") == EtcdBinary(named, UNSAFE, unsafe=True)


def test_a_named_etcd_that_does_not_run_is_an_error_and_not_passed_over(
    only_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(only_here / "bin" / "etcd", SAFE)
    monkeypatch.setenv("TWINSITE_ETCD", str(only_here / "none"))
    with pytest.raises(LabMisuse, match=r"TWINSITE_ETCD=.*correct it or unset it"):
        find_etcd(only_here / ".tools")


def test_programs_that_are_no_etcd_are_passed_over(only_here: Path) -> None:
    broken = only_here / ".tools" / "etcd" / "etcd"
    broken.parent.mkdir(parents=True)
    broken.write_text("no program")
    broken.chmod(0o755)
    system = program(only_here / "bin" / "etcd", SAFE)
    assert find_etcd(only_here / ".tools").path == system


def test_a_member_speaks_only_tls_and_asks_before_it_calls_an_election(tmp_path: Path) -> None:
    places = [MemberPlace(f"m{i}", f"127.3.0.{i}", 2379, 2380) for i in (1, 2, 3)]
    certificate = create_authority(tmp_path).server("m1", ["127.3.0.1"])
    command = member_command(
        EtcdBinary(Path("/opt/etcd"), SAFE, unsafe=False),
        places[0],
        members=places,
        data_directory=tmp_path / "data",
        certificate=certificate,
        heartbeat_ms=50,
        election_timeout_ms=500,
    )
    assert command[0] == "/opt/etcd"
    for wanted in (
        "--pre-vote=true",
        "--client-cert-auth=true",
        "--peer-client-cert-auth=true",
        "--listen-client-urls=https://127.3.0.1:2379",
        "--initial-cluster=m1=https://127.3.0.1:2380,m2=https://127.3.0.2:2380,m3=https://127.3.0.3:2380",
        "--heartbeat-interval=50",
        "--election-timeout=500",
        "--auto-compaction-retention=10m",
        f"--data-dir={tmp_path / 'data'}",
    ):
        assert wanted in command
    assert "http://" not in " ".join(command)


async def test_members_that_do_not_come_up_are_named(tmp_path: Path) -> None:
    tls = create_authority(tmp_path).client("lab").client_context()
    with pytest.raises(LabTrouble, match=r"https://127.0.0.1:1: .*Connection refused"):
        await wait_healthy(["https://127.0.0.1:1"], tls, timeout_seconds=0.3)


def test_a_servers_certificate_serves_both_ways_at_every_address_given(tmp_path: Path) -> None:
    files = create_authority(tmp_path).server("m1", ["127.3.0.1", "127.99.1.2", "etcd.example"])
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.3.0.1", "127.99.1.2"]
    assert names.get_values_for_type(x509.DNSName) == ["etcd.example"]


def test_a_clients_certificate_has_no_common_name(tmp_path: Path) -> None:
    files = create_authority(tmp_path).client("durham")
    subject = x509.load_pem_x509_certificate(files.certificate.read_bytes()).subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME) == []
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == "durham"


def test_keys_are_readable_by_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        authority = create_authority(tmp_path / "ca")
        files = [
            authority.server("s", ["127.0.0.1"]).key,
            authority.client("c").key,
            tmp_path / "ca" / "ca.key",
        ]
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 3
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700


def test_an_authority_is_opened_again_and_never_overwritten(tmp_path: Path) -> None:
    create_authority(tmp_path)
    files = open_authority(tmp_path).client("later")
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    with pytest.raises(CertificateMisuse, match="an authority is here already"):
        create_authority(tmp_path)
    with pytest.raises(CertificateMisuse, match="no usable authority"):
        open_authority(tmp_path / "none")
