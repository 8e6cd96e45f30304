"""Keep what is counted in the journal, so that no counter goes back when a controller is started anew.

What has been counted is written first and shown then. A journal that cannot be written costs nothing but
that: the counts are shown all the same, and begin lower after the next start.
"""

import asyncio
from collections.abc import Iterable

import structlog

from orchestrator.journal import SqliteJournal
from orchestrator.journal_tables import Counted
from orchestrator.readings import (
    CountKey,
    DecisionKey,
    Durations,
    NotAcceptedKey,
    RefusalKey,
    RunKey,
    StepKey,
    Tally,
)
from runbooks.errors import RunbooksError

log = structlog.get_logger(__name__)

TOGETHER_SECONDS = 0.2  # what is counted at once is written at once
_KINDS: dict[str, type[CountKey]] = {
    "decision": DecisionKey,
    "refusal": RefusalKey,
    "run": RunKey,
    "step": StepKey,
    "not-accepted": NotAcceptedKey,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def recalled(counted: Iterable[Counted]) -> dict[CountKey, Durations]:
    """What stands in the journal; what a newer release counted besides is left alone."""
    found: dict[CountKey, Durations] = {}
    for one in counted:
        kind = _KINDS.get(one.what)
        if kind is not None and len(one.labels) == len(kind.__dataclass_fields__):
            found[kind(*one.labels)] = Durations(one.number, one.seconds)
    return found


async def keep_counts(tally: Tally, journal: SqliteJournal, changed: asyncio.Event) -> None:
    """Take up what was counted before, then keep whatever is counted, until cancelled; at the end once more.
    `changed` is set by the tally's `on_counted`."""
    try:
        await _recall(tally, journal)
        while True:
            await changed.wait()
            await asyncio.sleep(TOGETHER_SECONDS)
            changed.clear()
            await _keep(tally, journal)
    finally:
        await _keep(tally, journal)


async def _recall(tally: Tally, journal: SqliteJournal) -> None:
    try:
        tally.show(recalled(await journal.counts()))
    except RunbooksError as fault:
        log.warning("counts-not-recalled", problem=str(fault))


async def _keep(tally: Tally, journal: SqliteJournal) -> None:
    fresh = tally.unkept()
    if not fresh:
        return
    try:
        await journal.add_counts(
            [
                Counted(_NAMES[type(key)], key.labels, spent.count, spent.sum_seconds)
                for key, spent in fresh.items()
            ]
        )
    except RunbooksError as fault:
        log.warning("counts-not-kept", problem=str(fault))
    finally:
        tally.show(fresh)
