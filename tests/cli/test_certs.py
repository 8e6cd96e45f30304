"""`twinsite certs`: an authority, everybody's certificate, and how long they last."""

import asyncio
import json
import ssl
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orchestrator.certificates.authority import create_authority, open_authority, pem, read_key
from orchestrator.certificates.reading import names_in
from orchestrator.certificates.upkeep import State
from orchestrator.cli.group import cli
from sites.identity import CertificateFiles, client_context, server_context
from tests.cli.conftest import Command

ESTATE = """\
version: 1
store:
  endpoints: ["https://127.0.0.1:2379", "https://etcd.morpeth.example:2379"]
sites:
  durham:
    state: durham
    controller: https://dc.durham.example:8300
    guards: 10.20.1.5:8301
    tls: {ca: certs/ca.pem, cert: certs/durham.pem, key: certs/durham.key}
    store:
      endpoints: ["https://127.0.0.1:2379"]
      tls: {ca: certs/ca.pem, cert: certs/durham-store.pem, key: certs/durham-store.key}
  morpeth: {state: morpeth, controller: "https://10.30.1.5:8300", guards: "10.30.1.5:8301"}
  derwentside: {witness: true, state: derwentside}
services:
  crm: {home: durham, standby: morpeth, rank: 2, guard: {}}
  ebs: {home: morpeth, standby: durham, rank: 1}
"""
NEEDED = [
    "controller/durham",
    "controller/morpeth",
    "guard/durham/crm",
    "guard/morpeth/crm",
    "witness/derwentside",
    "etcd/127.0.0.1",
    "etcd/etcd.morpeth.example",
    "store/durham",
]


@pytest.fixture
def certs(estate: Path) -> Path:
    """The folder in which they are to be; none is there yet."""
    estate.write_text(ESTATE)
    return estate.parent / "certs"


@pytest.fixture
def issued(certs: Path, twinsite: Command) -> Path:
    for verb in ("init", "issue"):
        answer = twinsite("certs", verb)
        assert answer.exit_code == 0, answer.stderr
    return certs


def shown(twinsite: Command, *arguments: str) -> dict[str, dict[str, Any]]:
    answer = twinsite(*arguments, "certs", "show", "--json")
    found = json.loads(answer.stdout)["certificates"]
    return {each["identity"].removeprefix("twinsite:"): each for each in found}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def resigned(
    folder: Path, name: str, *, begins_days: float = -60, ends_days: float = 600, signer: Path | None = None
) -> None:
    """The certificate as it is, with other dates or another authority's signature."""
    authority = open_authority(signer or folder)
    old = certificate(folder / f"{name}.pem")
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins_days))
        .not_valid_after(now + timedelta(days=ends_days))
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    (folder / f"{name}.pem").write_bytes(pem(builder.sign(authority.key, hashes.SHA256())))


# --- making --------------------------------------------------------------------------------------------


def test_an_authority_is_made_once(certs: Path, twinsite: Command) -> None:
    first = twinsite("certs", "init", "--title", "Two councils")
    assert (first.exit_code, "ca.key: made." in first.stdout) == (0, True)
    key = (certs / "ca.key").read_bytes()
    own = certificate(certs / "ca.pem")
    assert own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == (
        "Two councils certificate authority"
    )
    assert isinstance(own.public_key(), ec.EllipticCurvePublicKey)
    assert (own.not_valid_after_utc - datetime.now(UTC)).days in (3649, 3650)
    assert stat.S_IMODE((certs / "ca.key").stat().st_mode) == 0o600
    again = twinsite("certs", "init")
    assert (again.exit_code, "an authority is here already" in again.stdout) == (0, True)
    assert (certs / "ca.key").read_bytes() == key


def test_everybody_in_the_estate_gets_a_certificate_and_a_key(issued: Path, twinsite: Command) -> None:
    found = shown(twinsite)
    assert list(found) == ["authority", *NEEDED]
    assert {each["state"] for each in found.values()} == {"ok"}
    assert {each["issuer_ok"] for each in found.values()} == {True}
    for name in NEEDED:
        path = Path(found[name]["file"])
        assert stat.S_IMODE(path.with_suffix(".key").stat().st_mode) == 0o600
        subject = certificate(path).subject
        assert subject.get_attributes_for_oid(NameOID.COMMON_NAME) == []
        files = CertificateFiles(issued / "ca.pem", path, path.with_suffix(".key"))
        assert isinstance(files.client_context(), ssl.SSLContext)


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("durham", {"dc.durham.example", "10.20.1.5"}),
        ("morpeth", {"10.30.1.5"}),
        ("etcd-127.0.0.1", {"127.0.0.1", "localhost"}),
        ("etcd-etcd.morpeth.example", {"etcd.morpeth.example", "127.0.0.1", "localhost"}),
        ("guard-durham-crm", set()),
        ("derwentside", set()),
        ("durham-store", set()),
    ],
)
def test_a_server_has_the_addresses_of_the_estate_and_a_client_none(
    issued: Path, name: str, hosts: set[str]
) -> None:
    found = certificate(issued / f"{name}.pem")
    usage = set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    wanted = {ExtendedKeyUsageOID.CLIENT_AUTH} | ({ExtendedKeyUsageOID.SERVER_AUTH} if hosts else set())
    assert (names_in(found).hosts, usage) == (hosts, wanted)


def test_issuing_again_changes_nothing(issued: Path, twinsite: Command) -> None:
    before = {path: path.read_bytes() for path in issued.iterdir()}
    answer = twinsite("certs", "issue")
    assert answer.exit_code == 0
    assert [line.split(":")[0] for line in answer.stdout.splitlines()] == ["kept"] * len(NEEDED)
    assert {path: path.read_bytes() for path in issued.iterdir()} == before


def test_a_key_that_is_there_is_kept(issued: Path, twinsite: Command) -> None:
    key = (issued / "guard-durham-crm.key").read_bytes()
    (issued / "guard-durham-crm.pem").unlink()
    answer = twinsite("certs", "issue", "guard/durham/crm")
    assert answer.stdout.splitlines()[0].startswith("issued: guard/durham/crm: ")
    assert "new key" not in answer.stdout
    assert (issued / "guard-durham-crm.key").read_bytes() == key
    assert shown(twinsite)["guard/durham/crm"]["state"] == "ok"


def test_a_certificate_whose_key_is_on_its_host_is_kept_as_well(issued: Path, twinsite: Command) -> None:
    (issued / "guard-durham-crm.key").unlink()
    assert twinsite("certs", "issue").stdout.splitlines()[2].startswith("kept: guard/durham/crm")
    assert not (issued / "guard-durham-crm.key").exists()


def test_an_address_that_has_changed_makes_a_new_certificate_for_the_same_key(
    issued: Path, estate: Path, twinsite: Command
) -> None:
    key = (issued / "morpeth.key").read_bytes()
    estate.write_text(ESTATE.replace("10.30.1.5:8300", "10.30.1.6:8300"))
    assert shown(twinsite)["controller/morpeth"]["state"] == "other-hosts"
    answer = twinsite("certs", "issue")
    assert "renewed: controller/morpeth" in answer.stdout
    assert "it is not for 10.30.1.6" in answer.stdout
    assert names_in(certificate(issued / "morpeth.pem")).hosts == {"10.30.1.5", "10.30.1.6"}
    assert (issued / "morpeth.key").read_bytes() == key


def test_only_what_is_named_or_of_one_site_is_issued(certs: Path, twinsite: Command) -> None:
    twinsite("certs", "init")
    assert twinsite("certs", "issue", "guard-morpeth-crm", "twinsite:etcd/127.0.0.1").exit_code == 0
    made = {path.stem for path in certs.glob("*.pem")}
    assert made == {"ca", "guard-morpeth-crm", "etcd-127.0.0.1"}
    assert twinsite("--site", "durham", "certs", "issue").exit_code == 0
    made = {path.stem for path in certs.glob("*.pem")} - made
    assert made == {"durham", "guard-durham-crm", "etcd-etcd.morpeth.example", "durham-store"}
    answer = twinsite("certs", "issue", "guard/durham/hr")
    assert answer.exit_code == 2
    assert answer.stderr.splitlines()[0] == (
        "guard/durham/hr: the estate needs no such certificate; it needs these:"
    )


def test_without_an_authority_nothing_is_issued(certs: Path, twinsite: Command) -> None:
    answer = twinsite("certs", "issue")
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "no usable authority (ca.pem, ca.key)" in answer.stderr
    assert "`twinsite certs init` makes one" in answer.stderr


def test_a_faulty_estate_is_told_with_its_line(estate: Path, twinsite: Command) -> None:
    estate.write_text(ESTATE.replace("witness: true", "witnes: true"))
    answer = twinsite("certs", "issue")
    assert answer.exit_code == 2
    assert "sites.derwentside.witnes" in answer.stderr


def test_an_authority_elsewhere_signs_into_its_own_folder(
    certs: Path, tmp_path: Path, twinsite: Command
) -> None:
    folder = tmp_path / "stick"
    assert twinsite("certs", "init", "--folder", str(folder)).exit_code == 0
    answer = twinsite("certs", "issue", "guard/durham/crm", "--folder", str(folder))
    assert answer.exit_code == 0
    assert (folder / "guard-durham-crm.pem").exists()
    assert not certs.exists()


# --- looking -------------------------------------------------------------------------------------------


def run_out(folder: Path) -> None:
    resigned(folder, "guard-durham-crm", begins_days=-60, ends_days=-1)


def not_yet(folder: Path) -> None:
    resigned(folder, "guard-durham-crm", begins_days=1, ends_days=60)


def foreign(folder: Path) -> None:
    create_authority(folder / "other")
    resigned(folder, "guard-durham-crm", signer=folder / "other")


def swapped(folder: Path) -> None:
    for suffix in ("pem", "key"):
        (folder / f"guard-morpeth-crm.{suffix}").replace(folder / f"guard-durham-crm.{suffix}")


def wrong_key(folder: Path) -> None:
    (folder / "guard-morpeth-crm.key").replace(folder / "guard-durham-crm.key")


def rubbish(folder: Path) -> None:
    (folder / "guard-durham-crm.pem").write_text("rubbish")


def rubbish_key(folder: Path) -> None:
    (folder / "guard-durham-crm.key").write_text("rubbish")


@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (run_out, State.ENDED),
        (not_yet, State.NOT_YET),
        (foreign, State.FOREIGN),
        (swapped, State.OTHER_IDENTITY),
        (wrong_key, State.OTHER_KEY),
        (rubbish, State.UNREADABLE),
        (rubbish_key, State.OTHER_KEY),
    ],
)
def test_a_certificate_that_will_not_do_is_shown_and_ends_with_1(
    issued: Path, twinsite: Command, spoil: Callable[[Path], None], state: State
) -> None:
    spoil(issued)
    assert shown(twinsite)["guard/durham/crm"]["state"] == state
    answer = twinsite("certs", "show")
    assert answer.exit_code == 1
    assert f"guard/durham/crm: {state.value.replace('-', ' ')}; " in " ".join(answer.stdout.split())
    assert "certificates will not do" in answer.stderr


def test_one_that_runs_out_soon_or_whose_key_others_may_read_is_shown_and_does_not_fail(
    issued: Path, twinsite: Command
) -> None:
    resigned(issued, "guard-durham-crm", ends_days=29)
    (issued / "durham.key").chmod(0o640)
    found = shown(twinsite)
    assert found["guard/durham/crm"]["state"] == "runs-out-soon"
    assert 28 < found["guard/durham/crm"]["days_left"] < 29.01
    assert found["controller/durham"]["state"] == "key-readable-by-others"
    assert found["controller/durham"]["finding"] == f"chmod 600 {issued / 'durham.key'}"
    assert twinsite("certs", "show").exit_code == 0


def test_one_that_is_on_its_host_is_said_to_be_not_here(issued: Path, twinsite: Command) -> None:
    for path in issued.glob("guard-morpeth-crm.*"):
        path.unlink()
    found = shown(twinsite)["guard/morpeth/crm"]
    assert (found["state"], found["days_left"], found["issuer_ok"]) == ("not-here", None, None)
    assert twinsite("certs", "show").exit_code == 0


def test_an_authority_that_has_run_out_is_shown_and_issues_nothing(issued: Path, twinsite: Command) -> None:
    resigned(issued, "ca", begins_days=-60, ends_days=-1)
    assert shown(twinsite)["authority"]["state"] == "run-out"
    assert twinsite("certs", "show").exit_code == 1
    answer = twinsite("certs", "renew", "--all")
    assert answer.exit_code == 2
    assert "the authority ran out on" in answer.stderr
    assert twinsite("certs", "renew", "--authority").exit_code == 0
    assert {each["state"] for each in shown(twinsite).values()} == {"ok"}


def test_of_one_site_only_its_own_are_shown(issued: Path, twinsite: Command) -> None:
    assert list(shown(twinsite, "--site", "morpeth")) == [
        "authority",
        "controller/morpeth",
        "guard/morpeth/crm",
        "etcd/127.0.0.1",
        "etcd/etcd.morpeth.example",
    ]


# --- renewing ------------------------------------------------------------------------------------------


def test_what_has_less_than_a_third_of_its_life_left_is_renewed_for_its_key(
    issued: Path, twinsite: Command
) -> None:
    resigned(issued, "guard-durham-crm", begins_days=-70, ends_days=30)
    resigned(issued, "guard-morpeth-crm", begins_days=-60, ends_days=40)
    key = certificate(issued / "guard-durham-crm.pem").public_key()
    (issued / "guard-durham-crm.key").unlink()  # it is on its host
    answer = twinsite("certs", "renew")
    assert answer.exit_code == 0
    did = dict(reversed(line.split(": ")[:2]) for line in answer.stdout.splitlines() if ": " in line)
    assert did["guard/durham/crm"] == "renewed"
    assert {did[name] for name in NEEDED if name != "guard/durham/crm"} == {"kept"}
    assert certificate(issued / "guard-durham-crm.pem").public_key() == key
    assert not (issued / "guard-durham-crm.key").exists()
    assert shown(twinsite)["guard/durham/crm"]["days_left"] > 800


def test_one_that_has_run_out_is_renewed(issued: Path, twinsite: Command) -> None:
    run_out(issued)
    assert "renewed: guard/durham/crm" in twinsite("certs", "renew").stdout
    assert twinsite("certs", "show").exit_code == 0


def test_all_are_renewed_when_that_is_asked_for_and_new_keys_as_well(issued: Path, twinsite: Command) -> None:
    before = {path.name: path.read_bytes() for path in issued.iterdir()}
    assert twinsite("certs", "renew", "--all").exit_code == 0
    renewed = {path.name: path.read_bytes() for path in issued.iterdir()}
    changed = {name for name in before if before[name] != renewed[name]}
    assert changed == {name for name in before if name.endswith(".pem")} - {"ca.pem"}
    answer = twinsite("certs", "renew", "--new-keys", "durham")
    assert "with a new key, durham.key" in answer.stdout
    assert (issued / "durham.key").read_bytes() != before["durham.key"]
    assert stat.S_IMODE((issued / "durham.key").stat().st_mode) == 0o600
    assert read_key(issued / "durham.key").public_key() == certificate(issued / "durham.pem").public_key()
    assert twinsite("certs", "show").exit_code == 0


@pytest.mark.parametrize("spoil", [foreign, swapped, rubbish])
@pytest.mark.parametrize("verb", [("renew", "--all"), ("renew", "--all", "--new-keys"), ("issue",)])
def test_a_certificate_that_is_not_ours_to_replace_is_left_and_told(
    issued: Path, twinsite: Command, spoil: Callable[[Path], None], verb: tuple[str, ...]
) -> None:
    spoil(issued)
    before = [(issued / f"guard-durham-crm.{suffix}").read_bytes() for suffix in ("pem", "key")]
    answer = twinsite("certs", *verb)
    assert answer.exit_code == 1
    assert "left: guard/durham/crm: " in answer.stdout
    assert "1 of " in answer.stderr
    assert [(issued / f"guard-durham-crm.{suffix}").read_bytes() for suffix in ("pem", "key")] == before


def test_the_authoritys_own_certificate_is_renewed_for_its_key(issued: Path, twinsite: Command) -> None:
    resigned(issued, "ca", begins_days=-60, ends_days=10)
    key = (issued / "ca.key").read_bytes()
    answer = twinsite("certs", "renew", "--authority")
    assert (answer.exit_code, "Copy it to every host" in " ".join(answer.stdout.split())) == (0, True)
    assert (issued / "ca.key").read_bytes() == key
    found = shown(twinsite)
    assert found["authority"]["days_left"] > 3600
    assert {each["state"] for each in found.values()} == {"ok"}
    assert twinsite("certs", "renew", "--authority", "durham").exit_code == 2


def test_a_certificate_never_outlives_its_authority(certs: Path, twinsite: Command) -> None:
    twinsite("certs", "init", "--days", "100")
    twinsite("certs", "issue", "--days", "800")
    ends = certificate(certs / "ca.pem").not_valid_after_utc
    assert certificate(certs / "durham.pem").not_valid_after_utc == ends


def test_while_one_authority_gives_way_to_another_both_are_trusted(issued: Path, twinsite: Command) -> None:
    other = create_authority(issued / "other")
    both = (issued / "ca.pem").read_bytes() + pem(other.certificate)
    (issued / "ca.pem").write_bytes(both)
    resigned(issued, "guard-durham-crm", signer=issued / "other")
    answer = twinsite("certs", "show", "--json")
    assert answer.exit_code == 0
    assert [each["identity"] for each in json.loads(answer.stdout)["certificates"]][:2] == ["authority"] * 2
    assert twinsite("certs", "issue").exit_code == 0


async def test_another_authority_takes_over_host_after_host(issued: Path, twinsite: Command) -> None:
    old = issued.rename(issued.with_name("certs-old"))
    twinsite("certs", "init")
    with (issued / "ca.pem").open("ab") as file:
        file.write((old / "ca.pem").read_bytes())
    assert twinsite("certs", "issue").exit_code == 0
    assert {each["state"] for each in shown(twinsite).values()} == {"ok"}
    both = issued / "ca.pem"
    for server, client in ((issued, old), (old, issued), (issued, issued)):
        await met(
            CertificateFiles(both, server / "durham.pem", server / "durham.key"),
            CertificateFiles(both, client / "guard-durham-crm.pem", client / "guard-durham-crm.key"),
        )
    only_new = issued / "new.pem"
    only_new.write_bytes(pem(certificate(both)))
    with pytest.raises(OSError):
        await met(
            CertificateFiles(only_new, issued / "durham.pem", issued / "durham.key"),
            CertificateFiles(both, old / "guard-durham-crm.pem", old / "guard-durham-crm.key"),
        )


async def met(server: CertificateFiles, client: CertificateFiles) -> None:
    """A keeper and a guard with these files speak to each other. Raises OSError when they do not."""
    guard, keeper = "twinsite:guard/durham/crm", "twinsite:controller/durham"

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    context = server_context(server, lambda who: who == guard)
    listening = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            listening.sockets[0].getsockname()[1],
            ssl=client_context(client, lambda who: who == keeper),
            server_hostname="dc.durham.example",
        )
        heard = await reader.readline()
        writer.close()
        if heard != b"hello\n":
            raise OSError("not let in")
    finally:
        listening.close()


# --- operators -----------------------------------------------------------------------------------------


def test_an_operator_gets_a_key_pair_and_a_certificate_and_never_a_second_one(
    issued: Path, twinsite: Command, tmp_path: Path
) -> None:
    answer = twinsite("certs", "operator", "--no-passphrase", "jo.smith")
    assert answer.exit_code == 0, answer.stderr
    key = issued / "operator-jo.smith.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = load_pem_public_key((issued / "operator-jo.smith.pub").read_bytes())
    assert public == read_key(key).public_key()
    assert names_in(certificate(issued / "operator-jo.smith.pem")).identity == "twinsite:operator/jo.smith"
    assert shown(twinsite)["operator/jo.smith"]["state"] == "ok"
    before = key.read_bytes()
    again = twinsite("certs", "operator", "--no-passphrase", "jo.smith")
    assert (again.exit_code, "jo.smith has a key already" in again.stderr) == (2, True)
    assert key.read_bytes() == before


def test_what_an_operator_signs_is_verified_by_openssl_with_the_public_key(
    issued: Path, twinsite: Command, tmp_path: Path
) -> None:
    twinsite("certs", "operator", "--no-passphrase", "jo")
    said, signature = tmp_path / "said", tmp_path / "signature"
    said.write_text("durham is off")
    openssl = ["openssl", "dgst", "-sha256"]
    sign = [*openssl, "-sign", str(issued / "operator-jo.key"), "-out", str(signature), str(said)]
    verify = [*openssl, "-verify", str(issued / "operator-jo.pub"), "-signature", str(signature), str(said)]
    try:
        subprocess.run(sign, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here")
    assert subprocess.run(verify, check=True, capture_output=True, text=True).stdout == "Verified OK\n"
    said.write_text("morpeth is off")
    assert subprocess.run(verify, check=False, capture_output=True).returncode != 0


def test_an_operators_key_is_behind_a_passphrase_that_is_typed(
    issued: Path, estate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.cli.certs._is_typed", lambda: True)
    arguments = ["--config", str(estate), "certs", "operator", "jo"]
    answer = CliRunner().invoke(cli, arguments, input="swordfish\nswordfish\n", prog_name="twinsite")
    assert answer.exit_code == 0, answer.output
    assert "swordfish" not in answer.output
    raw = (issued / "operator-jo.key").read_bytes()
    with pytest.raises(TypeError, match="encrypted"):
        load_pem_private_key(raw, None)
    assert load_pem_private_key(raw, b"swordfish")


def test_without_a_terminal_no_passphrase_can_be_typed(issued: Path, twinsite: Command) -> None:
    answer = twinsite("certs", "operator", "jo")
    assert (answer.exit_code, "--no-passphrase" in answer.stderr) == (2, True)
    assert list(issued.glob("operator-*")) == []


@pytest.mark.parametrize("name", ["../jo", "jo smith", "", "-jo", "a" * 60])
def test_an_operators_name_is_one_for_files(issued: Path, twinsite: Command, name: str) -> None:
    answer = twinsite("certs", "operator", "--no-passphrase", "--", name)
    assert (answer.exit_code, "not a name for files" in answer.stderr) == (2, True)
