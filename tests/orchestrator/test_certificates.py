"""Certificates as records: one written form, drafts that expire, signatures, files; what is last known."""

import asyncio
import base64
import json
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orchestrator.accepted import under_certificate
from orchestrator.api.history_words import history_entry
from orchestrator.cabinet import Cabinet
from orchestrator.certificate_desk import APPROVAL_SECONDS, DRAFTS_KEPT, CertificateDesk
from orchestrator.certificates.authority import key_pem
from orchestrator.certificates.operators import public_pem
from orchestrator.certified import (
    LONGEST_TEXT_BYTES,
    Certificate,
    CertificateKind,
    CertificateUnreadable,
    canonical,
    certificate_of,
)
from orchestrator.core.keeper_view import GuardHeld, KeeperView, ServiceHeld
from orchestrator.core.notes import Glass
from orchestrator.core.records import Mode, Movement, ServiceRecord
from orchestrator.journal import SqliteJournal
from orchestrator.journal_tables import JournalEvent
from orchestrator.last_known import LastKnown
from orchestrator.refusing import OrderRefused
from orchestrator.signing import KeyUnusable, PassphraseNeeded, signed, signer_of, signing_key
from sites.fencing import guard
from sites.hosts_of import database_hosts_of, hosts_of
from sites.inventory import load_estate
from sites.model import Access
from sites.replication.words import Position, Role, Sample

ROOT = Path(__file__).parents[2]
GOOD = Certificate(
    id="break-glass-1",
    kind=CertificateKind.BREAK_GLASS,
    site="durham",
    down="morpeth",
    service="ebs",
    epoch=5,
    hosts=("ebs-db",),
    covers={"ebs": ("ebs-db", "ebs-app")},
    states=("morpeth is off", "größer ≥ 1"),
    reason="no power; said “J. Bell”",
    who="jo@durham",
    when="2026-11-23T03:12:07Z",
)
PEER = replace(GOOD, id="peer-1", kind=CertificateKind.PEER, service="", epoch=0, hosts=())


# --- the written form --------------------------------------------------------------------------------------


def test_a_certificate_comes_back_as_it_was() -> None:
    kept = replace(GOOD, signature="c2ln", second_person="ann@durham")
    assert certificate_of(kept.text()) == kept


def test_the_guard_makes_the_same_bytes_of_it() -> None:
    said = json.loads(replace(GOOD, signature="c2ln").text())
    assert guard.canonical(said) == canonical(GOOD.body)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"version": 2}', '{"version": 1, "id": "x"}', GOOD.text().replace("break-glass", "x")],
)
def test_what_is_no_certificate_says_so(text: str) -> None:
    with pytest.raises(CertificateUnreadable):
        certificate_of(text)


# --- signatures --------------------------------------------------------------------------------------------


@pytest.fixture
def jo(tmp_path: Path) -> ec.EllipticCurvePrivateKey:
    """An operator; the public key is jo.pub."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "jo.pub").write_bytes(public_pem(key.public_key()))
    return key


def test_a_signature_is_of_one_key_and_one_text(tmp_path: Path, jo: ec.EllipticCurvePrivateKey) -> None:
    known = [("gone", tmp_path / "gone.pub"), ("jo", tmp_path / "jo.pub")]
    signature = signed(GOOD.body, jo)
    assert signer_of(GOOD.body, signature, known) == "jo"
    assert signer_of(replace(GOOD, epoch=6).body, signature, known) is None
    assert signer_of(GOOD.body, signed(GOOD.body, ec.generate_private_key(ec.SECP256R1())), known) is None
    for nonsense in ("", "ä", "c2ln", base64.b64encode(os.urandom(70)).decode()):
        assert signer_of(GOOD.body, nonsense, known) is None


def test_a_private_key_says_what_is_wrong_with_it(tmp_path: Path, jo: ec.EllipticCurvePrivateKey) -> None:
    (tmp_path / "open.key").write_bytes(key_pem(jo, ""))
    (tmp_path / "shut.key").write_bytes(key_pem(jo, "open sesame"))
    other = rsa.generate_private_key(65537, 2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "rsa.key").write_bytes(pem)
    assert signed(GOOD.body, signing_key(tmp_path / "open.key"))
    assert signed(GOOD.body, signing_key(tmp_path / "shut.key", "open sesame"))
    with pytest.raises(PassphraseNeeded):
        signing_key(tmp_path / "shut.key")
    for name, passphrase, said in (
        ("shut.key", "wrong", "another passphrase"),
        ("open.key", "given", "has no passphrase"),
        ("rsa.key", "", "not an ECDSA key"),
        ("gone.key", "", "cannot be read"),
    ):
        with pytest.raises(KeyUnusable, match=said):
            signing_key(tmp_path / name, passphrase)


# --- files -------------------------------------------------------------------------------------------------


def test_a_certificate_is_kept_once_readable_by_its_owner_alone(tmp_path: Path) -> None:
    cabinet = Cabinet(tmp_path)
    place = cabinet.keep(GOOD)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert cabinet.read(GOOD.id) == GOOD
    with pytest.raises(FileExistsError):
        cabinet.keep(replace(GOOD, reason="another one"))
    assert cabinet.read(GOOD.id) == GOOD
    assert [path.name for path in place.parent.iterdir()] == ["break-glass-1.json"]


def test_an_id_is_no_path_and_a_certificate_fits_a_guards_line(tmp_path: Path) -> None:
    cabinet = Cabinet(tmp_path)
    assert cabinet.read("../journal") is None
    with pytest.raises(ValueError, match="no certificate's id"):
        cabinet.place("../journal")
    with pytest.raises(ValueError, match="at most"):
        cabinet.keep(replace(GOOD, reason="x" * LONGEST_TEXT_BYTES))
    (tmp_path / "certificates").mkdir(exist_ok=True)
    (tmp_path / "certificates" / "odd.json").write_text("{}")
    assert cabinet.read("odd") is None


# --- the desk ----------------------------------------------------------------------------------------------


class World:
    """A desk whose clock is the test's."""

    def __init__(self, folder: Path, journal: SqliteJournal, access: dict[str, Any]) -> None:
        self.now_ns = 10**18
        self.folder = folder
        self.journal = journal
        self.desk = CertificateDesk(
            "durham", journal, Cabinet(folder), Access.model_validate(access), folder, lambda: self.now_ns
        )

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    """An empty journal."""
    found = await SqliteJournal.open(tmp_path / "journal.sqlite")
    yield found
    await found.aclose()


async def code_of(work: Any) -> str:
    """The code of the refusal that this meets."""
    with pytest.raises(OrderRefused) as met:
        await work
    return met.value.refusal.code


TWO = {"approvals": {"break_glass": {"second_person": True}}}


async def test_a_draft_counts_for_fifteen_minutes(tmp_path: Path, journal: SqliteJournal) -> None:
    world = World(tmp_path, journal, TWO)
    assert world.desk.draft(GOOD).expires_in_seconds == APPROVAL_SECONDS
    world.wait(APPROVAL_SECONDS - 1)
    assert (await world.desk.approve(GOOD.id, "morpeth", "ann@durham")).second_person == "ann@durham"
    world.wait(1)
    assert await code_of(world.desk.put_on_file(GOOD.id, "jo@durham", "")) == "certificate-expired"
    assert await code_of(world.desk.approve(GOOD.id, "morpeth", "bob@durham")) == "certificate-expired"
    assert world.desk.status(GOOD.id).expires_in_seconds == 0
    assert list(tmp_path.glob("certificates/*")) == []


async def test_the_second_person_is_another_one_wherever_they_sit(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    desk = World(tmp_path, journal, TWO).desk
    desk.draft(GOOD)
    assert await code_of(desk.approve(GOOD.id, "morpeth", "jo@morpeth")) == "second-person-same"
    assert await code_of(desk.approve("break-glass-2", "morpeth", "ann@durham")) == "certificate-unknown"
    await desk.approve(GOOD.id, "morpeth", "ann@morpeth")
    assert (await desk.approve(GOOD.id, "morpeth", "bob@durham")).second_person == "ann@morpeth"
    kept = await desk.put_on_file(GOOD.id, "jo@durham", "")
    assert kept.second_person == "ann@morpeth"


async def test_each_kind_asks_for_its_own_approval(tmp_path: Path, journal: SqliteJournal) -> None:
    desk = World(tmp_path, journal, TWO).desk
    asked = {kind: desk.needs_second(kind) for kind in CertificateKind}
    assert asked[CertificateKind.BREAK_GLASS]
    assert asked[CertificateKind.PEER]
    assert not asked[CertificateKind.DOWN]


async def test_only_what_somebody_waits_for_is_told_of_and_old_drafts_go(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    world = World(tmp_path, journal, TWO)
    world.desk.draft(GOOD)
    assert world.desk.waiting() == []
    world.desk.asked_for(GOOD.id)
    assert [each.id for each in world.desk.waiting()] == [GOOD.id]
    for number in range(DRAFTS_KEPT):
        world.desk.draft(replace(GOOD, id=f"break-glass-x{number}"))
    assert world.desk.waiting() == []
    assert await code_of(world.desk.put_on_file(GOOD.id, "jo@durham", "")) == "certificate-unknown"


async def test_what_the_journal_does_not_take_is_not_on_file(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.sqlite")
    desk = World(tmp_path, journal, {}).desk
    desk.draft(GOOD)
    await journal.aclose()
    assert await code_of(desk.put_on_file(GOOD.id, "jo@durham", "")) == "not-on-file"
    assert list(tmp_path.glob("certificates/*")) == []


async def test_what_is_on_file_is_in_the_journal_too(tmp_path: Path, journal: SqliteJournal) -> None:
    desk = World(tmp_path, journal, {}).desk
    desk.draft(GOOD)
    await desk.put_on_file(GOOD.id, "jo@durham", "")
    (event,) = await journal.events()
    assert (event.kind, event.service) == ("certificate", "ebs")
    assert event.data["certificate"] == GOOD.body


async def test_what_people_certified_is_never_pruned_from_the_journal(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "small.sqlite", events_kept=10)
    try:
        await journal.append_event("certificate", "ebs", {"certificate": GOOD.body})
        await journal.append_event("accepted", "ebs", {"lines": []})
        for number in range(1000):
            await journal.append_event("decision", "ebs", {"row": number})
        kinds = [event.kind for event in await journal.events(2000)]
    finally:
        await journal.aclose()
    assert kinds.count("decision") < 600
    assert {"certificate", "accepted"} <= set(kinds)


# --- what is last known ------------------------------------------------------------------------------------


def picture(record: ServiceRecord | None, **given: Any) -> KeeperView:
    """A keeper's picture of ebs."""
    held = ServiceHeld(
        service="ebs", known=record is not None, revision=3, record=record, entitled=False, open_here=False,
        shut=False, giving_up=False, fence_evidence="", guard=given.pop("guard", None),
    )  # fmt: skip
    told: dict[str, Any] = {
        "site": "durham", "at_ns": 0, "phase": "active", "incarnation": 1, "deadline_ns": 0,
        "store_answered_ns": 0, "peer": None, "peer_seen_ns": 0, "peer_revision": 0,
        "peer_lease_over_ns": None, "taking_over": False, "renewals_suspended": False, "store_problem": "",
        "store_round_trip_seconds": None, "services": (held,),
    }  # fmt: skip
    return KeeperView(**told | given)


RECORD = ServiceRecord(
    primary="morpeth", epoch=4, mode=Mode.AUTOMATIC, movement=Movement.STEADY, writer="w", previous="durham"
)


async def test_what_was_last_known_outlives_the_controller_and_the_store(tmp_path: Path) -> None:
    path = tmp_path / "last-known.json"
    known = LastKnown(path)
    known.take(picture(RECORD))
    while not path.exists():
        await asyncio.sleep(0.01)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = LastKnown(path)
    again.take(picture(None))
    again.take(None)
    found = again.of("ebs")
    assert found is not None
    assert (found.primary, found.epoch, found.mode) == ("morpeth", 4, "automatic")
    before = found.at
    again.take(picture(RECORD, store_problem="unreachable"))
    assert again.of("ebs") == found
    assert again.of("ebs") is not None
    assert before == found.at, "what is relied on without the store is not heard from it"


def test_the_highest_epoch_is_that_of_anybody_who_has_heard_one(tmp_path: Path) -> None:
    known = LastKnown(None)
    assert known.highest_epoch("ebs", None) == 0
    guarded = GuardHeld(connected=True, open=False, epoch=9, knows_us=True)
    glass = (Glass("crm", 99, "c"), Glass("ebs", 12, "c"))
    assert known.highest_epoch("ebs", picture(RECORD)) == 4
    assert known.highest_epoch("ebs", picture(None, guard=guarded)) == 9
    assert known.highest_epoch("ebs", picture(None, guard=guarded, glass=glass)) == 12


@pytest.mark.parametrize("text", ["", "[]", '{"ebs": {"odd": 1}}', '{"ebs": 3}'])
def test_a_file_that_is_none_of_ours_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "last-known.json").write_text(text)
    assert LastKnown(tmp_path / "last-known.json").of("ebs") is None


# --- hosts -------------------------------------------------------------------------------------------------


def test_a_certificate_names_a_services_hosts_and_rather_too_many_than_too_few() -> None:
    estate = load_estate(ROOT / "sites.yaml", resolve_secrets=False).estate
    assert hosts_of(estate, "revenues", "durham") == ("revenues-db", "revenues-app")
    assert database_hosts_of(estate, "revenues", "durham") == ("revenues-db",)
    bare = estate.services["revenues"].model_copy(update={"replication": None, "probes": [], "guard": None})
    unsaid = estate.model_copy(update={"services": {"revenues": bare}})
    assert hosts_of(unsaid, "revenues", "durham") == tuple(estate.sites["durham"].hosts)


# --- the report --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begun", "end", "size"),
    [
        ({"text": "0/10", "history": "7/1", "offset_bytes": 16}, Position("0/40", "7/2", 64), 48),
        ({"text": "0/10", "history": "8/1", "offset_bytes": 16}, Position("0/40", "7/2", 64), None),
        (None, Position("0/40", "7/2", 64), None),
        ({"text": "0/10", "history": "7/1", "offset_bytes": 16}, None, None),
    ],
)
def test_what_nobody_counted_is_said_to_be_unknown(
    begun: dict[str, Any] | None, end: Position | None, size: int | None
) -> None:
    sample = Sample("ebs", "durham", Role.PRIMARY, 0, position=end)
    told = under_certificate(
        service="ebs",
        site="durham",
        certificate="c",
        begun={"at": "03:12", "position": begun},
        now_text="04:00",
        sample=sample,
    )
    assert told.data["bytes"] == size
    assert ("how much is not known" in told.lines[0]) == (size is None)


def test_every_kind_of_entry_is_told_in_a_sentence_and_others_as_they_are() -> None:
    def told(kind: str, data: dict[str, Any]) -> str:
        return history_entry(JournalEvent(1, 0.0, 0, kind, "ebs", data)).text

    assert told("certificate", {"certificate": GOOD.body, "signer": "jo"}).startswith(
        "break-glass-1: jo@durham certified, signed by jo: morpeth is off; "
    )
    agreed = replace(GOOD, second_person="ann@durham").body
    assert told("certificate-approved", {"certificate": agreed}) == (
        "ann@durham agreed to break-glass-1, which jo@durham had drawn up"
    )
    doubt = {"code": "store-restored", "message": "it went back", "cluster_id": "17", "revision": 90}
    assert told("store-not-trusted", doubt) == (
        "the store is not trusted any more (store-restored): it went back; found was cluster 17 at "
        "revision 90"
    )
    taken = {"certificate": "owner-1", "cluster_id": "17", "revision": 91, "who": "ann@durham"}
    accepted = "ann@durham accepted the store by owner-1: cluster 17 at revision 91; "
    owners = {"ebs": {"owner": "durham", "epoch": 6}}
    assert told("store-accepted", {**taken, "owners": owners}) == accepted + (
        "certified ebs: durham at epoch 6"
    )
    assert told("store-accepted", taken) == accepted + "every service stays as it stood in it"
    kinds = ("decision", "broken-glass", "reconciled", "accepted", "store-not-trusted", "store-accepted")
    for kind in (*kinds, "gossip"):
        assert isinstance(told(kind, {}), str)
