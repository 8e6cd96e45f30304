"""What is known of every drill at both sites: `drills/` in the store, followed and written by
compare-and-set.

Decides nothing. A write that others were quicker with is read again and tried again; whether it is still
wanted then is the caller's to say.
"""

from collections.abc import Callable

import structlog

from orchestrator.core.records import RecordUnreadable
from orchestrator.drills.records import DRILLS, TURN, DrillRecord, TurnRecord, decode, encode
from orchestrator.store.base import Compare, KeyValue, Put, Snapshot, Store, StoreError, took_effect

log = structlog.get_logger(__name__)

STORE_SECONDS = 5.0
TRIES = 5


class NotWritten(Exception):
    """The store did not take it; nothing counts that was to follow. `unwanted`: others were quicker."""

    def __init__(self, message: str, *, unwanted: bool = False) -> None:
        super().__init__(message)
        self.unwanted = unwanted


class DrillBoard:
    """One controller's picture of it. `turn` is whose turn it is; `known`: a whole picture has come."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.records: dict[str, DrillRecord] = {}
        self.turn = TurnRecord()
        self._revisions: dict[str, int] = {}
        self._cluster_id = ""
        self.known = False

    def begin(self, snapshot: Snapshot) -> None:
        """A whole picture comes. One of another store, or of one that went back (P33), is what holds now: no
        revision known before is later than its."""
        went_back = snapshot.revision < max(self._revisions.values(), default=0)
        if went_back or snapshot.cluster_id != self._cluster_id:
            self._revisions.clear()
            self.records.clear()
            self.turn = TurnRecord()
        self._cluster_id = snapshot.cluster_id
        self.known = True

    def take(self, item: KeyValue) -> None:
        """Something under `drills/` was written. Our own writes are known sooner than they are told."""
        if item.mod_revision < self._revisions.get(item.key, 0):
            return
        self._revisions[item.key] = item.mod_revision
        try:
            if item.key == TURN:
                self.turn = decode(TurnRecord, item.value)
            else:
                self.records[item.key.removeprefix(DRILLS)] = decode(DrillRecord, item.value)
        except RecordUnreadable as fault:
            log.warning("record-unreadable", key=item.key, problem=str(fault))

    async def write(
        self,
        drill: str,
        change: Callable[[DrillRecord | None], DrillRecord | None],
        turn: Callable[[TurnRecord], TurnRecord | None] | None = None,
    ) -> DrillRecord:
        """Write what `change` makes of the record as it stands, and with it what `turn` makes of the turn;
        either may say None: not wanted any more. Raises NotWritten, and what these raise."""
        key = DRILLS + drill
        try:
            for _ in range(TRIES):
                found = await self._read(key)
                before = decode(DrillRecord, found.value) if found is not None else None
                after = change(before)
                if after is None:
                    raise NotWritten(f"{drill}: not wanted any more", unwanted=True)
                compares = [Compare(key, found.mod_revision if found is not None else 0)]
                puts = [Put(key, encode(after))]
                turned: TurnRecord | None = None
                if turn is not None:
                    there = await self._read(TURN)
                    turned = turn(decode(TurnRecord, there.value) if there is not None else TurnRecord())
                    if turned is None:
                        raise NotWritten(f"{drill}: it is not its turn", unwanted=True)
                    compares.append(Compare(TURN, there.mod_revision if there is not None else 0))
                    puts.append(Put(TURN, encode(turned)))
                keys = [put.key for put in puts]
                result = await self._store.transact(compares, puts, keys, timeout_seconds=STORE_SECONDS)
                if took_effect(result, puts):
                    for item in filter(None, result.reads):
                        self._revisions[item.key] = max(item.mod_revision, self._revisions.get(item.key, 0))
                    self.records[drill] = after
                    self.turn = turned if turned is not None else self.turn
                    return after
        except (StoreError, RecordUnreadable) as fault:
            raise NotWritten(f"{drill}: {fault}") from fault
        raise NotWritten(f"{drill}: others wrote it again and again")

    async def _read(self, key: str) -> KeyValue | None:
        snapshot = await self._store.read(key, exact=True, timeout_seconds=STORE_SECONDS)
        return snapshot.get(key)
