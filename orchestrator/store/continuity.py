"""Is this still the store that we knew? (P33). Pure: what has been seen of it, and what contradicts that.

A store that was restored from a backup, wiped or forced to a new cluster has forgotten takeovers, and what it
answers is no longer one history with what it answered before. It gives itself away: by another cluster id,
by a revision that went back, by a key that was written later than it says, or that is gone.

What has been seen is a value, so the one that was known when a request was sent is simply kept with it: an
answer is held against that and never against what became known meanwhile. Answers of requests that were
under way together may therefore come in any order, and from any member.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.core.records import SERVICES, SITES
from orchestrator.store.base import KeyValue

# Who owns what, and whose lease runs: keys that are only ever written over, never deleted (P13).
TRACKED = (SERVICES, SITES)
ACCEPTANCES_KEPT = 20
LONGEST_VALUE_BYTES = 64 * 1024


class BreakCode(StrEnum):
    """Why the store is not trusted."""

    RESTORED = "store-restored"
    OTHER_CLUSTER = "store-other-cluster"
    MEMORY_UNREADABLE = "store-memory-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The store is not the one we knew. `cluster_id` and `revision`: what was found; `at`: time of day."""

    code: str
    message: str
    cluster_id: str = ""
    revision: int = 0
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A person's word that this store is the one from now on."""

    certificate: str
    cluster_id: str
    revision: int
    who: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class KeySeen:
    """One key: when it was last written, and what it then said."""

    revision: int
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one site has seen of its store.

    `epochs`: the highest of each service that anybody here ever heard of, guards and certificates included;
    `incarnation`: likewise of this site. They never go back, whatever becomes of the store.
    """

    cluster_id: str = ""
    revision: int = 0
    keys: Mapping[str, KeySeen] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)
    incarnation: int = 0
    broken: Break | None = None
    accepted: tuple[Acceptance, ...] = ()

    @property
    def certificate(self) -> str:
        """The last one by which a store was accepted here; "" while it is the first one ever."""
        return self.accepted[-1].certificate if self.accepted else ""

    def services(self) -> dict[str, KeySeen]:
        """The `services/` keys by the service's name."""
        return {
            key.removeprefix(SERVICES): found for key, found in self.keys.items() if key.startswith(SERVICES)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTrust:
    """What a keeper tells of its store: what it has seen, whether it trusts it, and what its disk says."""

    cluster_id: str = ""
    revision: int = 0
    accepted: tuple[Acceptance, ...] = ()
    broken: Break | None = None
    problem: str = ""

    @property
    def certificate(self) -> str:
        """As `Seen.certificate`."""
        return self.accepted[-1].certificate if self.accepted else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a linearizable request came back with. `missing`: keys it asked for that do not exist."""

    cluster_id: str
    revision: int
    items: tuple[KeyValue, ...] = ()
    missing: tuple[str, ...] = ()


def contradiction(known: Seen, answer: Answer) -> Break | None:
    """What the answer says that cannot be, if the store is the one that `known` was seen of. `known` must be
    what was known when the request was sent."""
    if known.cluster_id and answer.cluster_id and known.cluster_id != answer.cluster_id:
        return other_cluster(known, answer.cluster_id, answer.revision)
    found = _went_back(known, answer)
    if not found:
        return None
    return Break(
        code=BreakCode.RESTORED,
        message=f"the store went back in time: {found}",
        cluster_id=answer.cluster_id,
        revision=answer.revision,
    )


def other_cluster(known: Seen, cluster_id: str, revision: int = 0) -> Break:
    """Who answers is another store."""
    return Break(
        code=BreakCode.OTHER_CLUSTER,
        message=f"the store is cluster {cluster_id}, and was {known.cluster_id or 'another one'}",
        cluster_id=cluster_id,
        revision=revision,
    )


def _went_back(known: Seen, answer: Answer) -> str:
    if answer.revision < known.revision:
        return f"it is at revision {answer.revision}, and was at {known.revision}"
    for key in answer.missing:
        if (seen := known.keys.get(key)) is not None:
            return f"{key} was written at revision {seen.revision}, and does not exist"
    for item in answer.items:
        before = known.keys.get(item.key)
        if before is None:
            continue
        if item.mod_revision < before.revision:
            return f"{item.key} was last written at revision {before.revision}, and says {item.mod_revision}"
        if item.mod_revision == before.revision and before.value and before.value != _text(item):
            return f"{item.key} says something else at revision {before.revision} than it did"
    return ""


def expected(known: Seen, prefix: str, *, exact: bool) -> Iterable[str]:
    """The known keys that a read must bring."""
    if exact:
        return (prefix,)
    return (key for key in known.keys if key.startswith(prefix))


def with_answer(seen: Seen, answer: Answer) -> Seen:
    """What is known with this answer."""
    fuller = with_items(seen, answer.items)
    return replace(
        fuller,
        cluster_id=fuller.cluster_id or answer.cluster_id,
        revision=max(fuller.revision, answer.revision),
    )


def with_items(seen: Seen, items: Iterable[KeyValue]) -> Seen:
    """What is known when these were read, written or heard of by a watch."""
    newer: dict[str, KeySeen] = {}
    revision = seen.revision
    for item in items:
        revision = max(revision, item.mod_revision)
        if not item.key.startswith(TRACKED):
            continue
        before = newer.get(item.key) or seen.keys.get(item.key)
        if before is None or item.mod_revision > before.revision:
            newer[item.key] = KeySeen(item.mod_revision, _text(item))
    if newer:
        return replace(seen, revision=revision, keys={**seen.keys, **newer})
    return seen if revision == seen.revision else replace(seen, revision=revision)


def with_epoch(seen: Seen, service: str, epoch: int) -> Seen:
    """What is known when somebody names an epoch."""
    if epoch <= seen.epochs.get(service, 0):
        return seen
    return replace(seen, epochs={**seen.epochs, service: epoch})


def urgent(before: Seen, after: Seen) -> bool:
    """What must be on the disk at once: who owns what, epochs, our incarnation, and whether it is trusted.
    The rest (that time has passed in the store) may be some seconds old."""
    return (
        before.cluster_id != after.cluster_id
        or before.epochs != after.epochs
        or before.incarnation != after.incarnation
        or before.broken != after.broken
        or before.accepted != after.accepted
        or (before.keys is not after.keys and before.services() != after.services())
    )


def accepted(seen: Seen, acceptance: Acceptance, items: Iterable[KeyValue]) -> Seen:
    """What is known from now on: nothing of the former store but the numbers that never go back."""
    fresh = Seen(
        cluster_id=acceptance.cluster_id,
        revision=acceptance.revision,
        epochs=seen.epochs,
        incarnation=seen.incarnation,
        accepted=(*seen.accepted, acceptance)[-ACCEPTANCES_KEPT:],
    )
    return with_items(fresh, items)


def _text(item: KeyValue) -> str:
    """What is kept of a value: to be shown to whoever certifies, and to put a restored store right."""
    return item.value[:LONGEST_VALUE_BYTES].decode("utf-8", errors="replace")
