"""The store: linearizable compare-and-set, one revision a transaction, and a watch for each site.

Values are the records themselves; what comes as bytes is decoded once. It may pause (no leader), lose
everything, and come back as it was some time ago.
"""

from dataclasses import dataclass
from functools import lru_cache

from orchestrator.core.messages import ServiceItem, SiteItem
from orchestrator.core.records import SERVICES, SITES, ServiceRecord, SiteRecord, decode, encode
from orchestrator.store.base import Compare, KeyValue

Value = SiteRecord | ServiceRecord | bytes


@lru_cache(maxsize=4096)
def value_of(key: str, value: bytes) -> Value:
    """The record in a transaction's bytes; runs stay bytes."""
    if key.startswith(SITES):
        return decode(SiteRecord, value)
    if key.startswith(SERVICES):
        return decode(ServiceRecord, value)
    return value


@dataclass(frozen=True, slots=True)
class Backup:
    """What the store held at one moment."""

    revision: int
    items: tuple[tuple[str, tuple[int, Value]], ...]


class SimulatedStore:
    """Keys, revisions, and when it answers again after a pause. `life`: how often it was put back; whoever
    asked it in an earlier life is not answered, for its members were started anew meanwhile."""

    __slots__ = ("_raw", "answers_from_ns", "cluster_id", "items", "life", "lost", "revision")

    def __init__(self) -> None:
        self.revision = 1
        self.items: dict[str, tuple[int, Value]] = {}
        self.answers_from_ns = 0
        self.cluster_id = "first"
        self.lost = False
        self.life = 0
        self._raw: dict[str, KeyValue] = {}

    def transact(self, compares: tuple[Compare, ...], puts: tuple[tuple[str, Value], ...]) -> bool:
        """All of `puts` if all of `compares` hold."""
        items = self.items
        for compare in compares:
            found = items.get(compare.key)
            if (found[0] if found else 0) != compare.mod_revision:
                return False
        self.revision += 1
        for key, value in puts:
            items[key] = (self.revision, value)
        return True

    def site(self, name: str) -> SiteItem | None:
        """`sites/<name>`."""
        found = self.items.get(SITES + name)
        return SiteItem(found[0], found[1]) if found else None  # type: ignore[arg-type]

    def service(self, name: str) -> ServiceItem | None:
        """`services/<name>`."""
        found = self.items.get(SERVICES + name)
        return ServiceItem(found[0], found[1]) if found else None  # type: ignore[arg-type]

    def raw(self, prefix: str = "") -> tuple[KeyValue, ...]:
        """The keys as the store has them: in bytes."""
        found = []
        for key, (revision, value) in self.items.items():
            if not key.startswith(prefix):
                continue
            raw = self._raw.get(key)
            if raw is None or raw.mod_revision != revision:
                said = value if isinstance(value, bytes) else encode(value)
                raw = self._raw[key] = KeyValue(key, said, revision)
            found.append(raw)
        return tuple(found)

    def backup(self) -> Backup:
        """A copy of now."""
        return Backup(self.revision, tuple(self.items.items()))

    def restore(self, backup: Backup, *, new_cluster: bool) -> None:
        """Back to that copy: everything since is forgotten."""
        self.revision = backup.revision
        self.items = dict(backup.items)
        self.life += 1
        self._raw = {}
        if new_cluster:
            self.cluster_id += "+"
