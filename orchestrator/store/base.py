"""The store's small interface: read, compare-and-set, watch. No unconditional put, no delete (P13).

Revisions are the store's own, growing with every write of anybody; a key's `mod_revision` is that of
its last write, 0 standing for a key that does not exist.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """Root of the store's errors."""


class StoreMisuse(StoreError):
    """Wrong address, certificate, user or password, or a permission that is missing: retrying is useless."""


class StoreUnreachable(StoreError):
    """No answer in time. A transaction's outcome is then unknown: it may yet be committed."""


class StoreCompacted(StoreError):
    """The revision a watch asked for is gone; read again and watch from there."""


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
    """`reads` are the keys asked for, as they are after the transaction (in both outcomes)."""

    succeeded: bool
    revision: int
    reads: tuple[KeyValue | None, ...]


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

    def watch(self, prefix: str, *, from_revision: int) -> AsyncIterator[WatchEvent]:
        """Writes under `prefix` at `from_revision` and later, for ever; reconnects by itself.

        Raises StoreCompacted when `from_revision` is gone, StoreMisuse when refused.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
