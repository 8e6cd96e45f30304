"""The verbs as a person types them: what is asked of them, what is refused, and what is written."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization

from orchestrator.cli.group import cli
from orchestrator.emergency.certificate import check, read
from sites.inventory import load_estate
from tests.emergency.worlds import DURHAM, MORPETH, operator
from tests.sites.ssh.servers import free_port

ESTATE = """
version: 1
store: {{endpoints: ["https://a.test:2379", "https://b.test:2379", "https://c.test:2379"]}}
ssh: {{connect_timeout: 2s}}
sites:
  durham: {{hosts: {{app: {{address: 127.0.0.1, port: {port}}}}}}}
  morpeth: {{hosts: {{app: {{address: 127.0.0.2, port: {port}}}}}}}
  derwentside: {{witness: true}}
services:
  crm:
    home: morpeth
    standby: durham
    guard:
      {{stop: false, command: {{open: [a], close: [b], verify: [c]}}, hosts: {{durham: app, morpeth: app}}}}
runbook_path: [runbooks]
access: {{operators: {{jo: operator-jo.pub}}}}
"""
RUNBOOK = """
runbook: promote
title: Start it
steps:
  - {id: start, title: Start it, action: ssh, host: "{{ to_site.hosts['app'] }}", run: "true"}
"""

Twinsite = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A laptop with an estate file whose hosts are off, and an operator's key."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("TWINSITE_OPERATOR_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites.yaml").write_text(ESTATE.format(port=free_port()))
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "start.yaml").write_text(RUNBOOK)
    key, _ = operator(tmp_path)
    (tmp_path / "jo.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return tmp_path


@pytest.fixture
def twinsite(folder: Path) -> Twinsite:
    """The command, at no terminal."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, list(arguments), prog_name="twinsite")

    return call


MOVE = ("--service", "crm", "--from", "morpeth", "--to", "durham")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "emergency RUNBOOK --service S --from X --to Y"),
        (("start", "--service", "crm"), "emergency RUNBOOK --service S --from X --to Y"),
        (("start", *MOVE), "needs --reason"),
        (("start", "--resume", "r1"), "name no RUNBOOK"),
        (("--resume", "r1"), "there is no such journal"),
        (("start", *MOVE[:-1], "morpeth", "--plan"), "the same site"),
        (("start", *MOVE[:-1], "derwentside", "--plan"), "crm is not at derwentside"),
        (("start", "--service", "ebs", *MOVE[2:], "--plan"), "There is no service 'ebs'"),
        (("nothing", *MOVE, "--plan"), "no runbook 'nothing'"),
        (("start", *MOVE, "--plan", "--certificate", "none.json"), "none.json: cannot be read"),
    ],
)
def test_what_is_missing_or_wrong_is_said_before_anything_is_done(
    twinsite: Twinsite, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = twinsite("emergency", *arguments)
    assert done.exit_code == 2, done.output
    assert words in " ".join(done.output.split())
    assert not (folder / "twinsite-emergency.sqlite").exists()


def test_the_plan_says_which_hosts_are_not_reached_and_changes_nothing(
    twinsite: Twinsite, folder: Path
) -> None:
    done = twinsite("emergency", "start", *MOVE, "--plan")
    assert done.exit_code == 0, done.output
    assert "Start it" in done.output
    assert "NOT REACHED" in done.output
    assert "connection refused" in " ".join(done.output.split())
    assert not (folder / "twinsite-emergency.sqlite").exists()


def test_without_a_terminal_the_sites_name_is_not_guessed(twinsite: Twinsite, folder: Path) -> None:
    done = twinsite("emergency", "start", *MOVE, "--reason", "fire")
    assert done.exit_code == 2
    assert "Add --yes to answer for the site durham" in " ".join(done.output.split())


CERTIFY = ("certify", "morpeth", "--down", "--service", "crm", "--epoch", "6", "--reason", "fire")


def test_a_certificate_is_made_where_the_key_is_and_fits_the_run(twinsite: Twinsite, folder: Path) -> None:
    done = twinsite(*CERTIFY, "--offline", "crm.json", "--key", "jo.key", "--yes")
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE((folder / "crm.json").stat().st_mode) == 0o600
    made = read(folder / "crm.json")
    assert (made.service, made.site, made.down, made.epoch, made.hosts) == (
        "crm",
        DURHAM,
        MORPETH,
        6,
        ("app",),
    )
    estate = load_estate(folder / "sites.yaml").estate
    assert check(made, estate, folder, service="crm", from_site=MORPETH, to_site=DURHAM) == "jo"
    again = twinsite(*CERTIFY, "--offline", "crm.json", "--key", "jo.key", "--yes")
    assert again.exit_code == 2
    assert "is there already" in again.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*CERTIFY, "--offline", "c.json", "--yes"), "sign with --key FILE"),
        ((*CERTIFY, "--offline", "c.json", "--key", "jo.key"), "there is no terminal"),
        ((*CERTIFY[:3], "--reason", "x", "--offline", "c.json"), "needs --service and --epoch"),
        (CERTIFY, "belong to --offline"),
    ],
)
def test_no_certificate_is_written_for_half_an_order(
    twinsite: Twinsite, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = twinsite(*arguments)
    assert done.exit_code == 2, done.output
    assert words in " ".join(done.output.split())
    assert not (folder / "c.json").exists()
