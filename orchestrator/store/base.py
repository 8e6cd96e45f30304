"""The store's small interface: read, compare-and-set, watch. No unconditional put, no delete (P13).

Revisions are the store's own, growing with every write of anybody; a key's `mod_revision` is that of
its last write, 0 standing for a key that does not exist.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class StoreError(Exception):
    """Root of the store's errors."""


class StoreMisuse(StoreError):
    """Wrong address, certificate, user or password, or a permission that is missing: retrying is useless."""


class StoreUnreachable(StoreError):
    """No answer in time. A transaction's outcome is then unknown: it may yet be committed."""


class StoreOtherCluster(StoreUnreachable):
    """Who answers is another store than the one asked for; `cluster_id` is theirs (P33)."""

    def __init__(self, message: str, cluster_id: str = "") -> None:
        super().__init__(message)
        self.cluster_id = cluster_id


class StoreCompacted(StoreError):
    """The revision a watch asked for is gone; read again and watch from there."""


class StoreBehind(StoreCompacted):
    """The store stands at `revision`, which is before where the watch was to begin: it went back in time."""

    def __init__(self, message: str, revision: int = 0) -> None:
        super().__init__(message)
        self.revision = revision


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as stored."""

    key: str
    value: bytes
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answer of a linearizable read, and the store's revision at that instant."""

    revision: int
    items: tuple[KeyValue, ...]
    cluster_id: str = ""

    def get(self, key: str) -> KeyValue | None:
        """The item of that key."""
        return next((item for item in self.items if item.key == key), None)


@dataclass(frozen=True, slots=True)
class Compare:
    """True if `key` was last written at `mod_revision` (0: the key does not exist)."""

    key: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write `value` to `key`, inside a transaction whose compares held."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """`reads` are the keys asked for, as they are after the transaction (in both outcomes). Two of different
    stores are equal if they say the same."""

    succeeded: bool
    revision: int
    reads: tuple[KeyValue | None, ...]
    cluster_id: str = field(default="", compare=False)


def took_effect(result: TransactionResult, puts: Sequence[Put]) -> bool:
    """Whether these puts stand, told by their values where the transaction says that it was refused: its
    first try may have been committed and its second refused for that (P3). Pure.

    `result.reads` must be the keys of `puts`, in their order, and no two writers may ever write one value.
    """
    found = [item.value if item is not None else None for item in result.reads]
    return result.succeeded or found == [put.value for put in puts]


def stands_at(result: TransactionResult, put: Put) -> int | None:
    """The revision at which a transaction's only put stands, told as `took_effect` tells; None if it does
    not."""
    (found,) = result.reads
    return found.mod_revision if found is not None and took_effect(result, [put]) else None


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One write of one key; events come in revision order, none missing, none twice."""

    item: KeyValue


class Store(Protocol):
    """Linearizable in all it answers. Every call has a deadline."""

    async def read(self, prefix: str, *, timeout_seconds: float, exact: bool = False) -> Snapshot:
        """Every key that starts with `prefix` (or the one key, if `exact`)."""
        ...

    async def transact(
        self,
        compares: Sequence[Compare],
        puts: Sequence[Put],
        reads: Sequence[str],
        *,
        timeout_seconds: float,
    ) -> TransactionResult:
        """Write all of `puts` if all of `compares` hold, else nothing; then read `reads`.

        `compares` must not be empty. The request may be sent to several members, so one that was
        committed may answer `succeeded=False`: callers tell by the value they wrote (P3).
        Raises StoreUnreachable when the outcome is unknown.
        """
        ...

    def pin(self, cluster_id: str) -> None:
        """From now on only that cluster's answers count; "" takes the next that answers (P33)."""
        ...

    def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[WatchEvent]:
        """Writes under `prefix` at `from_revision` and later, for ever; reconnects by itself.

        Raises StoreCompacted when `from_revision` is gone, StoreBehind when the store has not come so far,
        StoreOtherCluster, and StoreMisuse when refused.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
