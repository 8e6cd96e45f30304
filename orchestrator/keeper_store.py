"""The keeper's side of "is it still our store?" (P33): what this site keeps of it, what it tells others of
that, and how a person's acceptance is carried out. It decides nothing about ownership itself.
"""

from collections.abc import Callable
from pathlib import Path

import structlog

from orchestrator.core.adapters import adapter
from orchestrator.core.guarding import all_know
from orchestrator.core.messages import Reply
from orchestrator.core.records import SERVICES, SITES
from orchestrator.core.restored import AcceptStore, SiteWord, Word, Writer, certification, word_of
from orchestrator.core.state import OwnershipState
from orchestrator.store.base import KeyValue, Put, Store, StoreError
from orchestrator.store.continuity import Acceptance, Break, StoreTrust
from orchestrator.store.known import KnownStore
from orchestrator.store.seen_file import NAME, SeenFile

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0


def encoded(word: SiteWord) -> bytes:
    """A site's word as it is sent to the other one."""
    return adapter(SiteWord).dump_json(word)


def decoded(raw: bytes) -> SiteWord:
    """The same as it arrived. Raises ValueError."""
    word: SiteWord = adapter(SiteWord).validate_json(raw)
    return word


class KeeperStore:
    """The store of one site's keeper."""

    def __init__(self, store: Store, directory: Path, site: str, peer: str) -> None:
        self._site = site
        self._peer = peer
        self.refused: dict[str, int] = {}
        self.store = KnownStore(store, SeenFile(directory / NAME), on_break=self._broke)
        if self.store.broken is not None:
            self._broke(self.store.broken)
        self._accepting = False

    @property
    def next_incarnation(self) -> int:
        """Above every one that this site ever went by: guards refuse lower ones, whatever the store says."""
        return self.store.seen.incarnation + 1

    @property
    def problem(self) -> str:
        """Why the store is not trusted; "" while it is."""
        broken = self.store.broken
        return f"{broken.code}: {broken.message}" if broken is not None else ""

    @property
    def trust(self) -> StoreTrust:
        """What is told to the controller."""
        seen = self.store.seen
        return StoreTrust(
            cluster_id=seen.cluster_id,
            revision=seen.revision,
            accepted=seen.accepted[-1:],
            broken=seen.broken,
            problem=self.store.problem,
        )

    def note(self, state: OwnershipState) -> None:
        """Take in the epochs and incarnations that are known now: of records, guards and certificates."""
        incarnation = state.incarnation
        for name, service in state.services.items():
            if service.item is not None:
                self.store.saw_epoch(name, service.item.record.epoch)
            if service.guard is not None:
                self.store.saw_epoch(name, service.guard.epoch)
                incarnation = max(incarnation, service.guard.incarnation)
        for glass in state.glass.values():
            self.store.saw_epoch(glass.service, glass.epoch)
        self.store.saw_incarnation(incarnation)

    def words(self, state: OwnershipState, now_ns: int) -> tuple[Word, ...]:
        """What this site last knew of every service."""
        return tuple(
            word_of(self.store.seen, name, serves=_may_serve(state, name, now_ns)) for name in state.services
        )

    def site_word(self, state: OwnershipState, now_ns: int) -> SiteWord:
        """The same, for the other site."""
        seen = self.store.seen
        return SiteWord(
            site=self._site,
            cluster_id=seen.cluster_id,
            revision=seen.revision,
            trusted=seen.broken is None,
            services=self.words(state, now_ns),
        )

    def unreadable(self, key: str, problem: str) -> None:
        """A record in the store made no sense."""
        log.error("record-unreadable", key=key, problem=problem)
        self._count("record-unreadable")

    def _broke(self, found: Break) -> None:
        self._count(found.code)

    def _count(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1

    # --- acceptance --------------------------------------------------------------------------------------

    def writer(self, state: OwnershipState) -> Writer:
        """Who certifies from here."""
        noted = any(note.hold_incarnation for note in state.notes_possible)
        return Writer(
            site=self._site,
            peer=self._peer,
            incarnation=self.store.seen.incarnation,
            lease_duration_ns=state.timing.lease_duration_ns,
            holds=state.hold_relied or noted,
            guards_know=all_know(state),
        )

    async def accept(
        self, ask: AcceptStore, writer: Callable[[], Writer], tell: Callable[[Reply], None], number: int
    ) -> bool:
        """Put the store right and trust it, from this keeper's successor on. True when it is to end now."""
        if self._accepting:
            tell(_no(number, "moving", "another acceptance is being carried out"))
            return False
        self._accepting = True
        try:
            reply = await self._accept(ask, writer, number)
        except StoreError as fault:
            told = f"{fault}; what came of it is not known: look again, and accept again"
            reply = _no(number, "no-quorum", told)
        except OSError as fault:
            told = f"{fault.filename or 'the state directory'}: {fault.strerror or fault}"
            reply = _no(number, "not-on-file", told)
        finally:
            self._accepting = False
        tell(reply)
        return reply.done and self.store.broken is not None

    async def _accept(self, ask: AcceptStore, writer: Callable[[], Writer], number: int) -> Reply:
        """The order is the safety: the certificates are in the store before anybody here believes it, and
        whoever believes it is a keeper that starts anew, with nothing of the former store in mind (P4)."""
        if self.store.broken is None:
            return _no(number, "store-trusted", "this keeper trusts its store")
        services = await self.store.look(SERVICES, timeout_seconds=LOOK_SECONDS)
        sites = await self.store.look(SITES, timeout_seconds=LOOK_SECONDS)
        if ask.cluster_id not in (services.cluster_id, sites.cluster_id):
            return _no(number, "changed-since-plan", f"the store is cluster {sites.cluster_id} now")
        compares, puts = certification(
            ask,
            writer(),
            found={item.key.removeprefix(SERVICES): item for item in services.items},
            keys={item.key.removeprefix(SITES): item for item in sites.items},
            last=self.store.seen.keys,
        )
        revision = sites.revision
        if puts:
            result = await self.store.certify(compares, puts, timeout_seconds=LOOK_SECONDS)
            if not result.succeeded:
                return _no(number, "changed-since-plan", "somebody else has written to the store meanwhile")
            revision = result.revision
        for each in ask.owners:
            self.store.saw_epoch(each.service, each.epoch)
        acceptance = Acceptance(
            certificate=ask.certificate,
            cluster_id=sites.cluster_id,
            revision=revision,
            who=ask.who,
            reason=ask.why,
            at=ask.at,
        )
        await self.store.accept(acceptance, [*services.items, *_written(puts, revision)], at_once=False)
        return Reply(number, True, "", "", revision)


def _written(puts: tuple[Put, ...], revision: int) -> list[KeyValue]:
    return [KeyValue(put.key, put.value, revision) for put in puts]


def _no(number: int, code: str, message: str) -> Reply:
    return Reply(number, False, code, message)


def _may_serve(state: OwnershipState, name: str, now_ns: int) -> bool:
    """Whether it may be open to clients here, as far as anybody here can tell."""
    service = state.services[name]
    by_guard = service.guard is not None and service.guard.open
    return state.entitled(name, now_ns) or service.open_here or by_guard
