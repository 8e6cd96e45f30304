"""Certificates: what is shown before somebody puts a name to one, who else must agree, and who signs."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.api.shapes import Acted, History, HistoryEntry, MoveAccepted, Refusal
from orchestrator.certificates.authority import key_pem
from orchestrator.certificates.operators import public_pem
from orchestrator.signing import signer_of
from tests.cli import canned
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController
from tests.cli.terminal import Terminal

CERTIFY = ("failover", "ebs", "--certify-down", "morpeth", "--reason", "no power at Morpeth")
SHOWN = """\
BROKEN GLASS: you certify (break-glass-1)
  - morpeth is off, or every one of these hosts of it is cut off from every client: ebs: ebs-db
  - morpeth stays so until ebs is reconciled
  Reason: no power at Morpeth

What that means
  There is no quorum here: the store does not answer durham.
  Nothing else keeps morpeth.

  It goes on file before anything is done: /var/lib/twinsite/durham/certificates/break-glass-1.json
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """An operator's key pair; the public one lies beside it."""
    made = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "jo.key"
    path.write_bytes(key_pem(made, ""))
    path.with_suffix(".pub").write_bytes(public_pem(made.public_key()))
    return path


def planned(controller: FakeController, **given: object) -> None:
    """The controller plans to break glass, and takes the order."""
    controller.says("POST", "/v1/plan", canned.plan(certificate=canned.certificate(**given)))  # type: ignore[arg-type]
    controller.says("POST", "/v1/moves", MoveAccepted(run="ebs-failover-7", message="Begun."))
    controller.streams(*canned.whole_run())


def test_what_is_certified_is_shown_last_and_ordered_with_the_plan(
    durham: FakeController, twinsite: Command
) -> None:
    planned(durham)
    answer = twinsite(*CERTIFY, "--yes")
    assert answer.exit_code == 0
    assert SHOWN in answer.stdout
    assert answer.stdout.index("BROKEN GLASS") > answer.stdout.index("Steps")
    assert durham.bodies("/v1/moves")[0]["signature"] == ""


def test_the_plan_alone_shows_what_would_be_certified(durham: FakeController, twinsite: Command) -> None:
    planned(durham)
    answer = twinsite("plan", *CERTIFY)
    assert answer.exit_code == 0
    assert SHOWN in answer.stdout
    assert durham.bodies("/v1/moves") == []


def test_the_name_of_the_certified_site_is_typed(durham: FakeController, estate: Path) -> None:
    planned(durham)
    with Terminal(estate, *CERTIFY) as terminal:
        assert "BROKEN GLASS" in terminal.wait_for("Site:")
        terminal.keys("durham\r")
        code, shown = terminal.end()
    assert code == 2
    assert "That is not morpeth. Nothing was done." in shown
    assert durham.bodies("/v1/moves") == []


def test_a_second_person_is_waited_for_and_stands_in_what_is_signed(
    durham: FakeController, twinsite: Command, key: Path
) -> None:
    planned(durham, needs_second=True, needs_signature=True)
    waits = canned.certificate(needs_second=True, needs_signature=True)
    has = waits.model_copy(
        update={"second_person": "ann@durham", "body": {**waits.body, "second_person": "ann@durham"}}
    )
    durham.says("GET", "/v1/certificates/break-glass-1", waits, has)
    answer = twinsite(*CERTIFY, "--key", str(key), "--yes")
    assert answer.exit_code == 0, answer.stderr
    assert "  twinsite certify approve break-glass-1\n" in answer.stdout
    assert "ann@durham has agreed to break-glass-1." in answer.stdout
    signature = durham.bodies("/v1/moves")[0]["signature"]
    assert signer_of(has.body, signature, [("jo", key.with_suffix(".pub"))]) == "jo"
    assert signer_of(waits.body, signature, [("jo", key.with_suffix(".pub"))]) is None


def test_nobody_agreed_in_time_is_a_refusal_and_orders_nothing(
    durham: FakeController, twinsite: Command
) -> None:
    planned(durham, needs_second=True)
    late = canned.certificate(needs_second=True, expires_in_seconds=0.0)
    durham.says("GET", "/v1/certificates/break-glass-1", late)
    answer = twinsite(*CERTIFY, "--yes")
    assert answer.exit_code == 3
    assert "Refused (second-person-missing)" in answer.stderr
    assert durham.bodies("/v1/moves") == []


def test_ctrl_c_while_a_second_person_is_waited_for_does_nothing(
    durham: FakeController, estate: Path
) -> None:
    planned(durham, needs_second=True)
    durham.says("GET", "/v1/certificates/break-glass-1", canned.certificate(needs_second=True))
    with Terminal(estate, *CERTIFY, "--yes") as terminal:
        terminal.wait_for("certify approve break-glass-1")
        code, shown = terminal.press_ctrl_c_until_the_end()
    assert code == 130
    assert "Nothing was done: it counts only when this command goes on." in shown
    assert durham.bodies("/v1/moves") == []


def test_what_must_be_signed_is_refused_without_a_key_before_anybody_is_asked(
    durham: FakeController, twinsite: Command
) -> None:
    planned(durham, needs_second=True, needs_signature=True)
    answer = twinsite(*CERTIFY, "--yes")
    assert answer.exit_code == 3
    assert "Refused (signature-missing)" in answer.stderr
    assert "certify approve" not in answer.stdout


def test_a_key_that_is_none_is_wrong_usage(durham: FakeController, twinsite: Command, tmp_path: Path) -> None:
    planned(durham, needs_signature=True)
    (tmp_path / "no.key").write_text("hello")
    for path, said in ((tmp_path / "no.key", "not a private key"), (tmp_path / "gone", "cannot be read")):
        answer = twinsite(*CERTIFY, "--key", str(path), "--yes")
        assert answer.exit_code == 2
        assert said in answer.stderr


def test_a_key_behind_a_passphrase_asks_for_it(durham: FakeController, estate: Path, tmp_path: Path) -> None:
    planned(durham, needs_signature=True)
    path = tmp_path / "jo.key"
    path.write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1()), "open sesame"))
    with Terminal(estate, *CERTIFY, "--key", str(path), "--yes") as terminal:
        terminal.wait_for("Passphrase of")
        terminal.keys("open sesame\r")
        code, shown = terminal.end()
    assert code == 0
    assert "open sesame" not in shown
    assert durham.bodies("/v1/moves")[0]["signature"] != ""


def test_the_glass_of_a_lost_site_is_broken_for_all_its_services_by_one_order(
    durham: FakeController, twinsite: Command
) -> None:
    plans = [
        canned.plan(name, certificate=canned.certificate(f"break-glass-{name}", service=name))
        for name in ("ebs", "crm")
    ]
    durham.says("POST", "/v1/sites/plan", canned.site_plan(*(canned.site_part(each) for each in plans)))
    durham.says("POST", "/v1/sites/moves", MoveAccepted(run="morpeth-failover-9", message=""))
    durham.streams(canned.site_run("done", ebs="done", crm="done"))
    answer = twinsite("failover", "--site", "morpeth", *CERTIFY[2:], "--yes")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.count("you certify (break-glass-") == 2, "each is read before it counts"
    order = durham.bodies("/v1/sites/moves")[0]
    assert [one["run"] for one in order["orders"]] == ["ebs-failover-7", "crm-failover-7"]


# --- certify SITE --down -----------------------------------------------------------------------------------


def test_the_other_site_is_certified_in_place_of_its_word(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/certificates", canned.certificate("peer-1", "peer", ""))
    durham.says("POST", "/v1/certificates/peer-1/use", Acted(lines=["morpeth is certified as off"]))
    answer = twinsite("certify", "morpeth", "--down", "--reason", "it burnt down", "--yes")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.startswith("You certify (peer-1)\n  - morpeth is off")
    assert answer.stdout.endswith("morpeth is certified as off\n")
    assert durham.bodies("/v1/certificates") == [
        {"site": "morpeth", "reason": "it burnt down", "accept_broken_glass": False}
    ]
    assert durham.bodies("/v1/certificates/peer-1/use") == [{"confirmed_site": "morpeth", "signature": ""}]


def test_a_refusal_to_certify_has_its_code(durham: FakeController, twinsite: Command) -> None:
    no = Refusal(code="word-not-needed", message="durham waits for nobody's word")
    durham.says("POST", "/v1/certificates", no, status=409)
    answer = twinsite("certify", "morpeth", "--down", "--reason", "x", "--yes")
    assert answer.exit_code == 3
    assert "Refused (word-not-needed)" in answer.stderr


# --- certify approve ---------------------------------------------------------------------------------------


def test_a_second_person_reads_what_is_certified_and_agrees(
    durham: FakeController, twinsite: Command
) -> None:
    waits = canned.certificate(needs_second=True)
    durham.says("GET", "/v1/certificates/break-glass-1", waits)
    agreed = waits.model_copy(update={"second_person": "ann@durham"})
    durham.says("POST", "/v1/certificates/break-glass-1/approve", agreed)
    answer = twinsite("certify", "approve", "break-glass-1", "--yes")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.startswith("jo@durham certifies, and asks you to agree (break-glass-1)\n")
    assert "morpeth stays so until ebs is reconciled" in answer.stdout
    assert durham.bodies("/v1/certificates/break-glass-1/approve") == [{"confirmed_site": "morpeth"}]


def test_whoever_drew_it_up_is_no_second_person(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/certificates/break-glass-1", canned.certificate(needs_second=True))
    no = Refusal(code="second-person-same", message="it was drawn up by jo@durham")
    durham.says("POST", "/v1/certificates/break-glass-1/approve", no, status=409)
    answer = twinsite("certify", "approve", "break-glass-1", "--yes")
    assert answer.exit_code == 3
    assert "Refused (second-person-same)" in answer.stderr


# --- reconcile, history ------------------------------------------------------------------------------------


def test_reconciling_tells_what_each_side_had_accepted(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/reconcile", Acted(lines=["ebs is durham's by the store again"]))
    answer = twinsite("reconcile", "ebs", "--reason", "the store is back")
    assert (answer.exit_code, answer.stdout) == (0, "ebs is durham's by the store again\n")
    assert durham.bodies("/v1/reconcile") == [{"service": "ebs", "reason": "the store is back"}]


def test_what_is_on_file_is_told_newest_first(durham: FakeController, twinsite: Command) -> None:
    kept = HistoryEntry(
        number=7,
        at="2026-11-23T03:12:07Z",
        kind="accepted",
        service="ebs",
        text="morpeth alone had accepted 12 B of history: kept at /saved",
        data={},
    )
    durham.says("GET", "/v1/history", History(entries=[kept]))
    answer = twinsite("history", "ebs", "--kind", "accepted")
    assert answer.exit_code == 0
    told = "accepted ebs: morpeth alone had accepted 12 B of history: kept at /saved"
    assert answer.stdout == f"2026-11-23 03:12:07 UTC  {told}\n"
    assert History.model_validate_json(twinsite("history", "--json").stdout).entries == [kept]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["certify"], "Missing argument"),
        (["certify", "morpeth"], "--down --reason"),
        (["certify", "morpeth", "--down"], "certify needs --reason"),
        (["certify", "morpeth", "durham", "--down", "--reason", "x"], "one SITE"),
        (["certify", "approve"], "approve ID"),
        (["certify", "approve", "x", "--down"], "approve ID"),
        (["reconcile", "ebs"], "reconcile needs --reason"),
        (["history", "--kind", "gossip"], "not one of"),
    ],
)
def test_what_is_missing_is_said_before_anybody_is_asked(
    durham: FakeController, twinsite: Command, arguments: list[str], said: str
) -> None:
    answer = twinsite(*arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert durham.asked == []
