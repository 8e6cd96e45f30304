"""A run by hand: planned like any other, recorded like any other, and asked about when a step fails."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.by_hand import run_in
from orchestrator.emergency.drawing import CertificateMissing
from orchestrator.emergency.terminal import Verb, Verdict
from orchestrator.emergency.words import Answer
from orchestrator.journal import SqliteJournal
from runbooks.errors import PlanRefused
from runbooks.journal import RunOutcome, RunPlanned, StepStarted
from tests.emergency.worlds import Scripted, order, session_at
from tests.sites.ssh.servers import Served, openssh

pytestmark = pytest.mark.slow

RUNBOOK = """
runbook: promote
title: Move the application
parameters: {greeting: {}}
steps:
  - id: stop
    title: Stop it at {{ from_site.title }}
    action: ssh
    host: "{{ from_site.hosts['app'] }}"
    run: "echo {{ parameters.greeting }} >> NOTES"
  - id: start
    title: Start it at {{ to_site.title }}
    needs: [stop]
    action: ssh
    host: "{{ to_site.hosts['app'] }}"
    run: "echo tried >> NOTES; test -e GATE && echo started >> NOTES"
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Served]:
    """A real sshd whose logins keep what the wrapper remembers in a folder of the test's."""
    home = tmp_path / "home"
    home.mkdir()
    books = tmp_path / "runbooks"
    books.mkdir()
    text = RUNBOOK.replace("NOTES", str(tmp_path / "notes")).replace("GATE", str(tmp_path / "gate"))
    (books / "move.yaml").write_text(text)
    with openssh(tmp_path, f"SetEnv HOME={home}") as (served, _):
        yield served


def notes(place: Served) -> list[str]:
    """What the steps wrote."""
    path = place.base / "notes"
    return path.read_text().split() if path.exists() else []


def carried(place: Served, person: Scripted, **changes: object) -> tuple[object, Path]:
    """One order, planned and carried out."""
    session = session_at(place, person)
    wanted = order("move", parameters=("greeting=it's $HOME",), **changes)
    drawn = session.draw(wanted)
    drawn.check()
    journal = place.base / "journal.sqlite"
    return session.carry_out(drawn, journal, wanted), journal


def test_a_runbook_is_carried_out_and_its_record_is_one_that_the_product_shows(place: Served) -> None:
    (place.base / "gate").touch()
    person = Scripted()
    outcome, journal = carried(place, person)
    assert outcome.done
    assert (place.base / "notes").read_text() == "it's $HOME\ntried\nstarted\n"
    shown = run_in(journal, outcome.run_id)
    assert [step.state for step in shown.steps] == ["done", "done"]
    assert (shown.state, shown.who, shown.why) == ("done", "jo@laptop by hand", "both controllers are gone")
    assert "[1/2] Stop it at Morpeth: ssh at morpeth/app" in person.said
    assert "[2/2] Start it at Durham: done" in person.said


def test_a_failed_step_is_asked_about_and_tried_again(place: Served) -> None:
    class Helpful(Scripted):
        async def decide(self, step, evidence, verbs):  # type: ignore[no-untyped-def]
            if len(self.asked) == 1:
                (place.base / "gate").touch()
            return await super().decide(step, evidence, verbs)

    person = Helpful(verdicts=[Verdict(Verb.RETRY), Verdict(Verb.RETRY, "the disk is mounted now")])
    outcome, journal = carried(place, person)
    assert outcome.done
    assert notes(place)[2:] == ["tried", "tried", "tried", "started"]
    assert len(person.asked) == 2
    assert run_in(journal, outcome.run_id).state == "done"


def test_a_failed_step_may_be_skipped_with_a_reason_that_is_on_file(place: Served) -> None:
    person = Scripted(verdicts=[Verdict(Verb.SKIP, "it is started by the vendor")])
    outcome, journal = carried(place, person)
    assert outcome.done
    step = run_in(journal, outcome.run_id).steps[1]
    assert step.state == "skipped"
    assert "jo@laptop by hand said skip: it is started by the vendor" in step.detail


def test_an_aborted_run_has_failed_and_cannot_be_resumed(place: Served) -> None:
    person = Scripted(verdicts=[Verdict(Verb.ABORT)])
    outcome, journal = carried(place, person)
    assert outcome.outcome is RunOutcome.FAILED
    again = session_at(place, person).resume(outcome.run_id, journal, None, "ann")
    assert again.outcome is RunOutcome.FAILED
    assert notes(place)[2:] == ["tried"]


def test_a_run_that_was_stopped_goes_on_from_the_step_that_failed(place: Served) -> None:
    class Tired(Scripted):
        async def decide(self, step, evidence, verbs):  # type: ignore[no-untyped-def]
            raise asyncio.CancelledError

    session = session_at(place, Tired())
    wanted = order("move", parameters=("greeting=well",))
    drawn = session.draw(wanted)
    journal = place.base / "journal.sqlite"
    with pytest.raises(asyncio.CancelledError):
        session.carry_out(drawn, journal, wanted)
    assert run_in(journal, drawn.plan.id).state == "stopped"
    (place.base / "gate").touch()
    person = Scripted(verdicts=[Verdict(Verb.RETRY)])
    outcome = session_at(place, person).resume(drawn.plan.id, journal, None, "ann")
    assert outcome.done
    assert notes(place) == ["well", "tried", "tried", "started"]


def test_the_hosts_epoch_is_found_out_and_used_and_a_lower_one_is_warned_of(place: Served) -> None:
    folder = place.base / "home" / ".twinsite" / "steps" / "crm"
    folder.mkdir(parents=True)
    (folder / "token").write_text("41 r0 1\n")
    session = session_at(place, Scripted())
    drawn = session.draw(order("move", parameters=("greeting=x",)))
    assert drawn.plan.epoch == 41
    assert any("reached; has seen epoch 41" in known.value for known in drawn.plan.known)
    low = session.draw(order("move", parameters=("greeting=x",), epoch=5))
    assert any("has seen epoch 41 of crm, and this run has 5" in warning for warning in low.warnings)


def test_a_parameter_that_is_missing_is_told_before_any_host_is_asked(place: Served) -> None:
    with pytest.raises(PlanRefused, match="no value for greeting"):
        session_at(place, Scripted()).draw(order("move"))
    with pytest.raises(PlanRefused, match="NAME=VALUE"):
        session_at(place, Scripted()).draw(order("move", parameters=("greeting",)))


def test_what_a_keeper_would_do_is_asked_of_the_person_and_named_before(place: Served) -> None:
    (place.base / "runbooks" / "close.yaml").write_text(
        "runbook: demote\ntitle: Close\nsteps:\n"
        "  - {id: close, title: Close it, action: ownership.give-up}\n"
        "  - {id: over, title: Over, needs: [close], action: ownership.settle}\n"
    )
    person = Scripted(answers=[Answer(True, "closed at 03:12")])
    session = session_at(place, person)
    drawn = session.draw(order("close"))
    assert any("ownership.give-up" in warning for warning in drawn.warnings)
    outcome = session.carry_out(drawn, place.base / "journal.sqlite", order("close"))
    assert outcome.done
    assert "Nobody closes crm at morpeth for you" in person.asked[0]
    assert "closed at 03:12" in outcome.progress.steps["demote/close"].evidence


def test_a_step_that_decides_who_is_primary_needs_the_certificate(place: Served) -> None:
    (place.base / "runbooks" / "claim.yaml").write_text(
        "runbook: promote\ntitle: Claim\nsteps:\n  - {id: claim, title: Claim it, action: ownership.claim}\n"
    )
    drawn = session_at(place, Scripted()).draw(order("claim"))
    with pytest.raises(CertificateMissing, match=r"certify morpeth --down --service crm --epoch 1"):
        drawn.check()


def test_a_step_whose_end_nobody_knows_is_asked_about_and_may_be_said_to_be_done(place: Served) -> None:
    (place.base / "gate").touch()
    person = Scripted(verdicts=[Verdict(Verb.DONE, "I looked: it is stopped")])
    session = session_at(place, person)
    drawn = session.draw(order("move", parameters=("greeting=x",)))
    run, journal = drawn.plan.id, place.base / "journal.sqlite"

    async def begun() -> None:
        kept = await SqliteJournal.open(journal)
        await kept.append(run, RunPlanned(drawn.plan, "jo by hand", "fire"))
        await kept.append(run, StepStarted("promote/stop", 1))
        await kept.aclose()

    asyncio.run(begun())
    # The host started it, and was switched off before its end.
    records = place.base / "home" / ".twinsite" / "steps" / "crm" / "records"
    records.mkdir(parents=True)
    (records / f"{run}@promote:stop").write_text("started 1 1 99999999 1 99999998 1 another-boot\n")
    outcome = session.resume(run, journal, None, "ann by hand")
    assert outcome.done
    assert notes(place) == ["tried", "started"], "the step in doubt was not run again"
    assert "went down before its end" in person.asked[0]
    assert run_in(journal, run).steps[0].state == "done"
