"""The store's meaning as a plain table: keys, revisions, history, compaction. Pure and synchronous.

What the in-memory store applies its calls to, and what simulation may use directly.
"""

from collections.abc import Sequence

from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Snapshot,
    StoreBehind,
    StoreCompacted,
    TransactionResult,
)
from orchestrator.store.rules import check_transaction, check_watch


class Table:
    """One store's contents. Revisions start at 1, as an empty etcd's do."""

    def __init__(self, cluster_id: str = "memory") -> None:
        self.cluster_id = cluster_id
        self.revision = 1
        self._items: dict[str, KeyValue] = {}
        self._history: list[KeyValue] = []
        self._compacted = 0

    def read(self, prefix: str, *, exact: bool = False) -> Snapshot:
        """As `Store.read`; items in the order of their keys."""
        keys = [prefix] if exact else sorted(key for key in self._items if key.startswith(prefix))
        items = tuple(self._items[key] for key in keys if key in self._items)
        return Snapshot(self.revision, items, self.cluster_id)

    def transact(
        self, compares: Sequence[Compare], puts: Sequence[Put], reads: Sequence[str]
    ) -> TransactionResult:
        """As `Store.transact`, applied at once."""
        check_transaction(compares, puts, reads)
        holds = all(self._mod_revision(compare.key) == compare.mod_revision for compare in compares)
        if holds and puts:
            self.revision += 1
            for put in puts:
                item = KeyValue(put.key, put.value, self.revision)
                self._items[put.key] = item
                self._history.append(item)
        found = tuple(self._items.get(key) for key in reads)
        return TransactionResult(holds, self.revision, found, self.cluster_id)

    def since(self, prefix: str, from_revision: int) -> tuple[KeyValue, ...]:
        """Every write under `prefix` at `from_revision` and later, oldest first.

        Raises StoreCompacted when some of them may be gone, and StoreBehind when that revision is further
        ahead than a watch from a past answer can be: the store went back in time.
        """
        check_watch(from_revision)
        newest = max((item.mod_revision for item in self.read(prefix).items), default=0)
        if from_revision < self._compacted and newest >= from_revision:
            raise StoreCompacted(f"revision {from_revision} is compacted up to {self._compacted}: read again")
        if from_revision > self.revision + 1:
            raise StoreBehind(
                f"the store is at revision {self.revision}, behind {from_revision}: read again", self.revision
            )
        return tuple(
            item
            for item in self._history
            if item.mod_revision >= from_revision and item.key.startswith(prefix)
        )

    def compact(self, revision: int) -> None:
        """Forgets the history before `revision`; the keys stay."""
        self._compacted = max(self._compacted, min(revision, self.revision))
        self._history = [item for item in self._history if item.mod_revision >= self._compacted]

    def copy(self) -> "Table":
        """What a backup holds: everything as it is now, for another store to begin with."""
        other = Table(self.cluster_id)
        other.revision, other._compacted = self.revision, self._compacted
        other._items, other._history = dict(self._items), list(self._history)
        return other

    def _mod_revision(self, key: str) -> int:
        item = self._items.get(key)
        return item.mod_revision if item else 0
