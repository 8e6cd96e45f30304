"""What was done by hand is handed in before a controller starts; its keeper knows that glass was broken."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.cabinet import Cabinet
from orchestrator.core.notes import Glass, Note
from orchestrator.emergency.certificate import CertificateUnfit, check, read
from orchestrator.emergency.handing_in import hand_in, runs_in
from orchestrator.journal import SqliteJournal
from orchestrator.keeper_disk import RightsFile
from runbooks.errors import JournalDamaged
from runbooks.journal import RunEnded, RunOutcome, RunPlanned, StepEnded, StepOutcome, StepStarted
from runbooks.model import Kind
from runbooks.planned import Part, Plan, PlannedStep
from sites.draft import named
from sites.model import Estate
from tests.emergency.worlds import DURHAM, MORPETH, certificate, operator

ESTATE = named(
    Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {
                DURHAM: {"hosts": {"db": {"address": "10.0.0.1"}}},
                MORPETH: {"hosts": {"db": {"address": "10.0.0.2"}}},
                "derwentside": {"witness": True},
            },
            "services": {
                "crm": {
                    "home": MORPETH,
                    "standby": DURHAM,
                    "guard": {"hosts": {DURHAM: "db", MORPETH: "db"}},
                }
            },
        }
    ),
    None,
)


def plan(epoch: int = 7) -> Plan:
    """A plan by hand with a certificate's step."""
    step = PlannedStep("certificate/open", "certificate", 1, "Open", "emergency.open", DURHAM)
    part = Part("certificate", "built in", "The certificate", (step,))
    return Plan("crm-failover-1", Kind.FAILOVER, "crm", MORPETH, DURHAM, epoch, (part,))


async def recorded(path: Path, *, opened: bool = True, ended: bool = True) -> None:
    """The journal of such a run."""
    journal = await SqliteJournal.open(path)
    said = certificate(ESTATE, None)
    data = {"certificate": {**said.body, "signature": said.signature}, "signer": "jo"}
    await journal.append_event("certificate", "crm", data)
    await journal.append("crm-failover-1", RunPlanned(plan(), "jo by hand", "fire"))
    await journal.append("crm-failover-1", StepStarted("certificate/open", 1))
    if opened:
        await journal.append("crm-failover-1", StepEnded("certificate/open", 1, StepOutcome.DONE, "accepted"))
    if ended:
        await journal.append("crm-failover-1", RunEnded(RunOutcome.DONE, "1 of 1 steps are done"))
    await journal.aclose()


def handed_in(file: Path, state: Path, site: str = DURHAM) -> list[str]:
    """Hand it in to a site."""

    async def work() -> list[str]:
        state.mkdir(exist_ok=True)
        journal = await SqliteJournal.open(state / "journal.sqlite")
        try:
            return await hand_in(file, journal, state, site, "ann")
        finally:
            await journal.aclose()

    return asyncio.run(work())


def test_the_keeper_finds_the_glass_in_its_note_and_the_certificate_on_file(tmp_path: Path) -> None:
    asyncio.run(recorded(tmp_path / "hand.sqlite"))
    said = handed_in(tmp_path / "hand.sqlite", tmp_path / "state")
    (glass,) = RightsFile(tmp_path / "state" / "rights.json").read().glass
    assert (glass.service, glass.epoch, glass.reconciling) == ("crm", 7, False)
    kept = Cabinet(tmp_path / "state").read(glass.certificate)
    assert kept is not None
    assert kept.down == MORPETH
    assert any("reconcile crm" in line for line in said)
    again = handed_in(tmp_path / "hand.sqlite", tmp_path / "state")
    assert any("already" in line for line in again)
    assert len(RightsFile(tmp_path / "state" / "rights.json").read().glass) == 1


def test_what_the_keeper_noted_before_stays_and_only_a_higher_epoch_replaces_its_glass(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    other, newer = Glass("ebs", 3, "break-glass-1"), Glass("crm", 9, "break-glass-2")
    RightsFile(state / "rights.json").write(Note(peer_keeper="k", peer_incarnation=4, glass=(newer, other)))
    asyncio.run(recorded(tmp_path / "hand.sqlite"))
    handed_in(tmp_path / "hand.sqlite", state)
    note = RightsFile(state / "rights.json").read()
    assert set(note.glass) == {newer, other}
    assert note.peer_incarnation == 4


def test_a_run_whose_guard_never_opened_and_another_sites_run_leave_the_note_alone(tmp_path: Path) -> None:
    asyncio.run(recorded(tmp_path / "closed.sqlite", opened=False, ended=False))
    handed_in(tmp_path / "closed.sqlite", tmp_path / "state")
    asyncio.run(recorded(tmp_path / "hand.sqlite"))
    handed_in(tmp_path / "hand.sqlite", tmp_path / "other", MORPETH)
    for state in ("state", "other"):
        assert RightsFile(tmp_path / state / "rights.json").read().glass == ()


def test_a_run_that_had_not_ended_is_on_file_as_one_that_does_not_go_on(tmp_path: Path) -> None:
    asyncio.run(recorded(tmp_path / "hand.sqlite", ended=False))
    handed_in(tmp_path / "hand.sqlite", tmp_path / "state")
    (run,) = runs_in(tmp_path / "state" / "journal.sqlite")
    assert run.summary.outcome is RunOutcome.FAILED
    assert "nothing of it goes on from here" in run.summary.summary


def test_a_file_that_is_no_journal_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "no.sqlite").write_text("not a database at all, by any means")
    with pytest.raises(JournalDamaged, match="not a sound journal"):
        runs_in(tmp_path / "no.sqlite")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"service": "ebs"}, "its service is crm, not ebs"),
        ({"from_site": DURHAM}, "its site that is down is morpeth, not durham"),
        ({"to_site": MORPETH}, "its site that serves is durham, not morpeth"),
    ],
)
def test_a_certificate_that_says_something_else_is_refused(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    services = {**ESTATE.services, "ebs": ESTATE.services["crm"].model_copy(update={"name": "ebs"})}
    estate = ESTATE.model_copy(update={"services": services})
    said = {"service": "crm", "from_site": MORPETH, "to_site": DURHAM, **changes}
    with pytest.raises(CertificateUnfit, match=words):
        check(certificate(ESTATE, None), estate, tmp_path, **said)


def test_a_guard_without_operators_opens_for_no_certificate_and_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(CertificateUnfit, match="opens for nobody but its controller"):
        check(certificate(ESTATE, None), ESTATE, tmp_path, service="crm", from_site=MORPETH, to_site=DURHAM)


def test_a_changed_certificate_is_signed_by_nobody(tmp_path: Path) -> None:
    key, public = operator(tmp_path)
    access = ESTATE.access.model_copy(update={"operators": {"jo": public}})
    estate = ESTATE.model_copy(update={"access": access})
    said = {"service": "crm", "from_site": MORPETH, "to_site": DURHAM}
    sound = certificate(estate, key)
    assert check(sound, estate, tmp_path, **said) == "jo"
    file = tmp_path / "c.json"
    file.write_text(sound.text().replace('"epoch":7', '"epoch":8'))
    with pytest.raises(CertificateUnfit, match="signed by none"):
        check(read(file), estate, tmp_path, **said)
