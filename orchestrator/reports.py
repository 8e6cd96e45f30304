"""Reports of what each side had accepted, as they reach the journal of the side that did not make them."""

from orchestrator.accepted import EVENT
from orchestrator.core.records import RunRecord
from orchestrator.journal import SqliteJournal

EVENTS_READ = 500


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
