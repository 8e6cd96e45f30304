"""Hand the record of runs by hand to a site's controller, before it is started again.

What counts is the certificate: with it in the keeper's note, this site knows that glass was broken here
(P31), says so to the other one (P32), and `reconcile` ends it as if a controller had broken it. Without it, a
store that comes back says that the lost site is primary, and that site would open. No run goes on from here.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.cabinet import Cabinet
from orchestrator.certified import Certificate, CertificateUnreadable, certificate_of, written
from orchestrator.core.notes import Glass
from orchestrator.journal import SqliteJournal
from orchestrator.journal_file import APPLICATION_ID, SCHEMA_VERSION, damaged, errors_named
from orchestrator.journal_tables import JournalEvent, Tables
from orchestrator.keeper_disk import RightsFile
from runbooks.journal import Record, RunEnded, RunOutcome, RunSummary, StepEnded, StepOutcome
from runbooks.planned import Plan
from runbooks.progress import plan_of

IMPORTED_EVENT = "broken-glass"
CERTIFICATE_EVENT = "certificate"
MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class ByHand:
    """One run of the file: its records, and the certificate it rests on."""

    summary: RunSummary
    records: tuple[Record, ...]
    plan: Plan
    certificate: Certificate | None

    @property
    def opened(self) -> bool:
        """Whether a guard, or anybody, was given the certificate."""
        return any(
            isinstance(record.event, StepEnded)
            and record.event.step.startswith("certificate/")
            and record.event.outcome in (StepOutcome.DONE, StepOutcome.ALREADY_DONE)
            for record in self.records
        )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Tables]:
    """A journal's tables, read and never changed, whoever else uses it. Raises JournalTrouble."""
    with errors_named(path):
        connection = sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True, isolation_level=None)
        try:
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise damaged(path, "not a journal of twinsite")
            if connection.execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION:
                raise damaged(path, "written by a newer twinsite")
            yield Tables(connection, path)
        finally:
            connection.close()


def runs_in(path: Path) -> list[ByHand]:
    """Every run of the file, oldest first."""
    with reading(path) as tables:
        events = tables.events(MOST_RUNS, service=None, kind=CERTIFICATE_EVENT, after=None, before=None)
        found = []
        for summary in reversed(tables.runs(MOST_RUNS)):
            records = tuple(tables.read(summary.run_id))
            plan = plan_of(records)
            if plan is not None:
                found.append(ByHand(summary, records, plan, _certificate_of(plan, events)))
        return found


def _certificate_of(plan: Plan, events: Any) -> Certificate | None:
    event: JournalEvent
    for event in events:
        try:
            found = certificate_of(written(event.data["certificate"]))
        except (CertificateUnreadable, KeyError, TypeError):
            continue
        if (found.service, found.epoch, found.site) == (plan.service, plan.epoch, plan.to_site):
            return found
    return None


async def hand_in(path: Path, journal: SqliteJournal, state: Path, site: str, who: str) -> list[str]:
    """Take the file's runs into the site's journal, and its certificates into the keeper's note; in sentences
    what was done. The site's controller and keeper must not run. Raises JournalTrouble and OSError."""
    said = []
    rights = RightsFile(state / "rights.json")
    known = {summary.run_id for summary in await journal.runs(MOST_RUNS)}
    for run in runs_in(path):
        name = run.summary.run_id
        certificate = run.certificate
        if run.opened and certificate is not None and run.plan.to_site == site:
            said += await _note_glass(run, certificate, journal, rights, Cabinet(state), who)
        if name in known:
            said.append(f"{name}: on file here already")
            continue
        for record in run.records:
            await journal.append(name, record.event)
        if run.summary.outcome is None or not run.summary.outcome.final:
            left = "its record was handed in before it had ended; nothing of it goes on from here"
            await journal.append(name, RunEnded(RunOutcome.FAILED, left))
        said.append(f"{name}: taken into the journal ({run.summary.outcome or 'not ended'})")
    return said or [f"{path}: no runs"]


async def _note_glass(
    run: ByHand,
    certificate: Certificate,
    journal: SqliteJournal,
    rights: RightsFile,
    cabinet: Cabinet,
    who: str,
) -> list[str]:
    note, service = rights.read(), run.plan.service
    held = next((glass for glass in note.glass if glass.service == service), None)
    if held is not None and held.epoch >= certificate.epoch:
        return [
            f"{service}: the keeper's note has certificate {held.certificate} at epoch {held.epoch} already"
        ]
    # On file first, then the note: what the keeper acts by can be read.
    if cabinet.text(certificate.id) is None:
        cabinet.keep(certificate)
    data = {"certificate": {**certificate.body, "signature": certificate.signature}, "signer": ""}
    await journal.append_event(CERTIFICATE_EVENT, service, data)
    broken = {
        "certificate": certificate.id,
        "run": run.summary.run_id,
        "at": certificate.when,
        "epoch": certificate.epoch,
        "position": None,
        "peer_position": None,
        "statement": f"by hand, without a controller; handed in by {who}",
    }
    await journal.append_event(IMPORTED_EVENT, service, broken)
    others = tuple(glass for glass in note.glass if glass.service != service)
    glass = Glass(service, certificate.epoch, certificate.id)
    rights.write(replace(note, glass=(*others, glass)))
    told = f"this site's keeper knows now that it is served here by certificate {certificate.id}"
    return [f"{service}: {told}, at epoch {certificate.epoch}; `twinsite reconcile {service}` ends that"]
