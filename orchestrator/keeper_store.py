"""The keeper's side of "is it still our store?" (P33): what this site keeps of it, what it tells others of
that, and how a person's acceptance is carried out. It decides nothing about ownership itself.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from orchestrator.core.adapters import adapter
from orchestrator.core.messages import Reply
from orchestrator.core.records import SERVICES, SITES
from orchestrator.core.restored import (
    AcceptStore,
    SiteWord,
    Word,
    Writer,
    certification,
    may_serve,
    word_of,
    writer_of,
)
from orchestrator.core.state import OwnershipState
from orchestrator.store.base import KeyValue, Put, Store, StoreError
from orchestrator.store.continuity import Acceptance, Break, StoreTrust
from orchestrator.store.known import KnownStore
from orchestrator.store.seen_file import NAME, SeenFile

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
TRIES = 5
NOTED_LOOKS = 250
NOTED_EVERY_SECONDS = 0.02


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
            word_of(self.store.seen, name, serves=may_serve(state, name, now_ns), glass=name in state.glass)
            for name in state.services
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
        return writer_of(state, self.store.seen.incarnation)

    async def accept(
        self,
        ask: AcceptStore,
        writer: Callable[[], Writer],
        may_be_written: Callable[[], bool],
        tell: Callable[[Reply], None],
        number: int,
    ) -> bool:
        """Put the store right and trust it. True: it is trusted from this very moment on, and before anything
        else is done the keeper must start anew in it. `may_be_written`: the disk says what it must."""
        if self._accepting:
            tell(_no(number, "moving", "another acceptance is being carried out"))
            return False
        self._accepting = True
        try:
            reply = await self._accept(ask, writer, may_be_written, number)
        except StoreError as fault:
            told = f"{fault}; what came of it is not known: look again, and accept again"
            reply = _no(number, "no-quorum", told)
        except OSError as fault:
            told = f"{fault.filename or 'the state directory'}: {fault.strerror or fault}"
            reply = _no(number, "not-on-file", told)
        finally:
            self._accepting = False
        tell(reply)
        return reply.done

    async def _accept(
        self,
        ask: AcceptStore,
        writer: Callable[[], Writer],
        may_be_written: Callable[[], bool],
        number: int,
    ) -> Reply:
        """The order is the safety: what was broken glass is on the disk as being ended before it is ended in
        the store (P31); the certificates are in the store before anybody here believes it; and whoever
        believes it has nothing of the former store in mind (P4)."""
        if self.store.broken is None:
            return _no(number, "store-trusted", "this keeper trusts its store")
        if not await _soon(may_be_written):
            told = "the keeper's note cannot be kept on disk, so nothing was certified"
            return _no(number, "not-on-file", told)
        services = await self.store.look(SERVICES, timeout_seconds=LOOK_SECONDS)
        for _ in range(TRIES):
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
            if not puts:
                break
            result = await self.store.certify(compares, puts, timeout_seconds=LOOK_SECONDS)
            revision = result.revision
            if result.succeeded:
                break
            # The other site, if it has accepted, renews meanwhile; a service must be what was shown.
        else:
            return _no(number, "changed-since-plan", "somebody else has written to the store meanwhile")
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
        await self.store.accept(acceptance, [*services.items, *_written(puts, revision)])
        return Reply(number, True, "", "", revision)


async def _soon(fits: Callable[[], bool]) -> bool:
    """Whether it is so, or becomes so within the time that a disk may take."""
    for _ in range(NOTED_LOOKS):
        if fits():
            return True
        await asyncio.sleep(NOTED_EVERY_SECONDS)
    return fits()


def _written(puts: tuple[Put, ...], revision: int) -> list[KeyValue]:
    return [KeyValue(put.key, put.value, revision) for put in puts]


def _no(number: int, code: str, message: str) -> Reply:
    return Reply(number, False, code, message)
