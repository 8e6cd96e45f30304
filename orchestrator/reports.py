"""What stands in the journal of certificates, broken glass and what each side had accepted: written once, and
found again."""

from orchestrator.accepted import EVENT
from orchestrator.certificate_desk import APPROVED_EVENT, CERTIFICATE_EVENT
from orchestrator.core.records import RunRecord
from orchestrator.journal import SqliteJournal
from orchestrator.journal_tables import JournalEvent
from orchestrator.mover import BROKEN_EVENT
from orchestrator.reconciling import RECONCILED_EVENT
from orchestrator.switched_off import BACK_EVENT, ENDED_EVENT, ORDERED_EVENT
from runbooks.errors import RunbooksError

EVENTS_READ = 500
SHOWN_OF_EACH = 5
KINDS = (
    APPROVED_EVENT,
    CERTIFICATE_EVENT,
    BROKEN_EVENT,
    RECONCILED_EVENT,
    EVENT,
    ORDERED_EVENT,
    ENDED_EVENT,
    BACK_EVENT,
)


async def keep_report(journal: SqliteJournal, record: RunRecord) -> None:
    """Put another site's report into this journal, once. Raises RunbooksError."""
    known = await journal.events(EVENTS_READ, service=record.service, kind=EVENT)
    if any(event.data.get("run") == record.run for event in known):
        return
    data = {
        "service": record.service,
        "site": record.executor_site,
        "run": record.run,
        "lines": list(record.report),
    }
    await journal.append_event(EVENT, record.service, data)


async def on_file(journal: SqliteJournal, service: str) -> tuple[JournalEvent, ...]:
    """The latest of each kind about a service, newest first; nothing from a journal that cannot be read: the
    explanation, of which it is a part, must be given all the same."""
    try:
        found = [
            event
            for kind in KINDS
            for event in await journal.events(SHOWN_OF_EACH, service=service, kind=kind)
        ]
    except RunbooksError:
        return ()
    return tuple(sorted(found, key=lambda event: event.number, reverse=True))
