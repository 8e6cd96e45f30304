"""The desk where people look at the store itself, and accept one that is not the one known (P33).

A plan is drawn up and shown first; exactly that one is certified, put on file and handed to the keeper, which
puts the store right in one transaction and starts anew in it. What is open stays open.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from orchestrator.api.shapes import Acted, CertificateStatus, Refusal
from orchestrator.api.store_shapes import (
    MemberState,
    ServiceCertified,
    ServiceOwners,
    StoreAcceptance,
    StoreDoubt,
    StoreOrder,
    StorePlan,
    StorePlanRequest,
    StoreState,
)
from orchestrator.api.store_words import owner_known
from orchestrator.certificate_desk import CertificateDesk
from orchestrator.certified import Certificate, CertificateKind
from orchestrator.clock import wall_text
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.records import SERVICES
from orchestrator.core.restored import (
    AcceptStore,
    Certified,
    Proposal,
    SiteWord,
    Word,
    found_in,
    propose,
)
from orchestrator.journal import SqliteJournal
from orchestrator.link import KeeperGone, KeeperLink
from orchestrator.peer_store import PeerWord
from orchestrator.refusing import OrderRefused
from orchestrator.store.base import KeyValue, StoreError
from orchestrator.store.continuity import StoreTrust
from orchestrator.store.known import KnownStore
from orchestrator.store.status import StoreStatus
from runbooks.errors import RunbooksError
from sites.model import Estate

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
ASK_SECONDS = 25.0
PLANS_KEPT = 20

MEANS = (
    (
        "This store is believed from then on. Owner, pause and last move of a service are written as the "
        "sites last knew them; runs that it forgot are forgotten."
    ),
    (
        "Nothing is moved. Whoever is certified opens the service as its owner always does; services are "
        "moved afterwards with `switchover` and `failover`, past all their gates."
    ),
    "Every service is manual until its holder's guards have said again that they fence.",
    (
        "The other site must accept this store for itself, as soon as you can: until then it goes on by its "
        "own lease or hold, and nothing is taken from it by itself."
    ),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The store as it answers now, and the other site's word."""

    items: Mapping[str, KeyValue]
    cluster_id: str
    revision: int
    peer: PeerWord


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan given out."""

    ask: AcceptStore


class StoreDesk:
    """One controller's."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        *,
        store: KnownStore,
        link: KeeperLink,
        view: Callable[[], KeeperView | None],
        certificates: CertificateDesk,
        journal: SqliteJournal,
        store_status: Callable[[], Awaitable[StoreStatus]] | None,
        peer_store: Callable[[], Awaitable[PeerWord]] | None,
    ) -> None:
        self._estate = estate
        self._site = site
        self._peer = estate.other_data_site(site)
        self._store = store
        self._link = link
        self._view = view
        self._certificates = certificates
        self._journal = journal
        self._store_status = store_status
        self._peer_store = peer_store
        self._drawn: OrderedDict[str, Drawn] = OrderedDict()

    # --- looking -------------------------------------------------------------------------------------

    async def state(self) -> StoreState:
        """What is known, what is found, and how its members are."""
        peer, members = await asyncio.gather(self._ask_peer(), self._members())
        problem, found = "", None
        try:
            found = await self._look(peer)
        except StoreError as fault:
            problem = str(fault)
        return self._state(found, peer, members, problem)

    def _state(
        self, found: Found | None, peer: PeerWord, members: list[MemberState], problem: str
    ) -> StoreState:
        view = self._view()
        trust = view.store_trust if view is not None else None
        seen = self._store.seen
        doubt = (trust.broken if trust is not None else None) or seen.broken
        accepted = trust.accepted if trust is not None else seen.accepted
        trusted: bool | None = doubt is None
        if trust is None and doubt is None:
            trusted = None  # the keeper alone knows, and it is not there
        return StoreState(
            site=self._site,
            trusted=trusted,
            doubt=StoreDoubt(
                code=doubt.code,
                message=doubt.message,
                cluster_id=doubt.cluster_id or (found.cluster_id if found is not None else ""),
                revision=doubt.revision,
                at=doubt.at,
            )
            if doubt is not None
            else None,
            known_cluster_id=trust.cluster_id if trust is not None else seen.cluster_id,
            known_revision=max(trust.revision if trust is not None else 0, seen.revision),
            members=members,
            last_accepted=StoreAcceptance.model_validate(accepted[-1], from_attributes=True)
            if accepted
            else None,
            disk_problem=trust.problem if trust is not None else "",
            peer=self._peer,
            peer_trusts=peer.word.trusted if peer.word is not None else None,
            peer_problem=peer.problem,
            services=[self._owners(name, view, found, peer) for name in self._services()],
            problem=problem,
        )

    def _owners(
        self, name: str, view: KeeperView | None, found: Found | None, peer: PeerWord
    ) -> ServiceOwners:
        item = found.items.get(name) if found is not None else None
        record = found_in(item)
        there = peer.word.of(name) if peer.word is not None else None
        return ServiceOwners(
            service=name,
            in_store=item is not None,
            store_owner=record.primary if record is not None else None,
            store_epoch=record.epoch if record is not None else None,
            here=owner_known(_here(view, name)),
            there=owner_known(there) if there is not None else None,
        )

    def _services(self) -> list[str]:
        return [name for name, service in self._estate.services.items() if not service.watch_only]

    async def _members(self) -> list[MemberState]:
        if self._store_status is None:
            return []
        status = await self._store_status()
        return [MemberState.model_validate(member, from_attributes=True) for member in status.members]

    async def _ask_peer(self) -> PeerWord:
        if self._peer_store is None:
            return PeerWord(None, f"{self._peer} cannot be asked from here")
        return await self._peer_store()

    async def _look(self, peer: PeerWord) -> Found:
        """Raises StoreError."""
        read = self._store.read if self._store.broken is None else self._store.look
        snapshot = await read(SERVICES, timeout_seconds=LOOK_SECONDS)
        items = {item.key.removeprefix(SERVICES): item for item in snapshot.items}
        return Found(items, snapshot.cluster_id, snapshot.revision, peer)

    # --- accepting -----------------------------------------------------------------------------------

    async def plan(self, request: StorePlanRequest, who: str) -> StorePlan:
        """What would be certified. Raises OrderRefused when there is nothing to accept."""
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "accepting a store needs a --reason", wrong=True)
        unknown = sorted(set(request.owners) - set(self._services()))
        if unknown:
            known = ", ".join(self._services())
            raise OrderRefused("unknown-service", f"no service {unknown[0]!r}; there is {known}", wrong=True)
        trust = self._doubting()
        peer, members = await asyncio.gather(self._ask_peer(), self._members())
        try:
            found = await self._look(peer)
        except StoreError as fault:
            raise OrderRefused("no-quorum", f"the store cannot be read: {fault}") from fault
        proposals = [self._propose(name, found, request.owners.get(name)) for name in self._services()]
        refusal = _first_refusal(proposals)
        certificate = None if refusal is not None else self._draft(request, who, found, proposals, trust)
        return StorePlan(
            site=self._site,
            confirm_site=self._site,
            cluster_id=found.cluster_id,
            revision=found.revision,
            state=self._state(found, peer, members, ""),
            services=[_certified(each) for each in proposals],
            refusal=refusal,
            certificate=certificate,
        )

    def _doubting(self) -> StoreTrust:
        """Raises OrderRefused where there is nothing to accept, or nobody who could."""
        view = self._view()
        trust = view.store_trust if view is not None else None
        if trust is None:
            raise OrderRefused(
                "no-quorum", "the keeper does not answer, and it keeps what is known of the store"
            )
        if trust.broken is None or self._store.broken is None:
            raise OrderRefused(
                "store-trusted",
                f"{self._site} trusts its store, cluster {trust.cluster_id} at revision {trust.revision}",
            )
        return trust

    def _propose(self, name: str, found: Found, named: str | None) -> Proposal:
        service = self._estate.services[name]
        there = found.peer.word
        if there is not None:
            there = replace(there, trusted=there.trusted and there.cluster_id == found.cluster_id)
        return propose(
            name,
            sites=service.sites,
            site=self._site,
            item=found.items.get(name),
            here=_here(self._view(), name),
            there=there,
            named=named,
        )

    def _draft(
        self,
        request: StorePlanRequest,
        who: str,
        found: Found,
        proposals: list[Proposal],
        trust: StoreTrust,
    ) -> CertificateStatus:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        name = f"{CertificateKind.OWNER}-{stamp}-{secrets.token_hex(3)}"
        ask = AcceptStore(
            certificate=name,
            cluster_id=found.cluster_id,
            owners=tuple(
                Certified(
                    service=each.service,
                    owner=each.owner or "",
                    epoch=each.epoch,
                    found_revision=each.found_revision,
                )
                for each in proposals
                if each.writes
            ),
            peer_trusts=_trusts(found.peer.word, found.cluster_id),
            who=who,
            why=request.reason,
            at=wall_text(),
        )
        certificate = Certificate(
            id=name,
            kind=CertificateKind.OWNER,
            site=self._site,
            down="",
            states=_states(ask, found, proposals, trust),
            reason=request.reason,
            who=who,
            when=ask.at,
        )
        self._drawn[name] = Drawn(ask)
        while len(self._drawn) > PLANS_KEPT:
            self._drawn.popitem(last=False)
        return self._certificates.draft(certificate, MEANS)

    async def accept(self, order: StoreOrder, who: str) -> Acted:
        """Certify what the plan showed, and have the keeper carry it out. Raises OrderRefused."""
        drawn = self._drawn.get(order.certificate)
        if drawn is None:
            raise OrderRefused("certificate-unknown", f"no certificate {order.certificate!r} waits here")
        if order.confirmed_site != self._site:
            raise OrderRefused(
                "not-confirmed", f"typed {order.confirmed_site!r}, expected {self._site!r}; nothing was done"
            )
        self._doubting()
        await self._check_unchanged(drawn)
        await self._certificates.put_on_file(order.certificate, who, order.signature)
        self._drawn.pop(order.certificate, None)
        try:
            reply = await self._link.ask(drawn.ask, timeout_seconds=ASK_SECONDS)
        except KeeperGone as gone:
            told = f"the keeper did not say what came of it ({gone}); look with `twinsite store status`"
            raise OrderRefused("no-quorum", told) from gone
        if not reply.done:
            raise OrderRefused(reply.code, reply.message)
        await self._record(drawn.ask, reply.revision)
        return Acted(lines=_told(self._site, self._peer, drawn.ask))

    async def _record(self, ask: AcceptStore, revision: int) -> None:
        owners = {each.service: {"owner": each.owner, "epoch": each.epoch} for each in ask.owners}
        data = {"certificate": ask.certificate, "cluster_id": ask.cluster_id, "revision": revision}
        try:
            await self._journal.append_event("store-accepted", "", {**data, "owners": owners, "who": ask.who})
        except RunbooksError as fault:
            log.error("acceptance-not-recorded", certificate=ask.certificate, problem=str(fault))

    async def _check_unchanged(self, drawn: Drawn) -> None:
        """The other site may have accepted, or opened something, since the plan was shown."""
        peer = await self._ask_peer()
        if _trusts(peer.word, drawn.ask.cluster_id) != drawn.ask.peer_trusts:
            raise OrderRefused("changed-since-plan", f"{self._peer} has accepted the store meanwhile")
        view = self._view()
        for each in drawn.ask.owners:
            words = {self._site: _here(view, each.service)}
            if peer.word is not None:
                words[self._peer] = peer.word.of(each.service)
            for site, word in words.items():
                if word.highest >= each.epoch or (word.serves and site != each.owner):
                    raise OrderRefused(
                        "changed-since-plan", f"{each.service} has moved on at {site} since the plan was made"
                    )


def _here(view: KeeperView | None, name: str) -> Word:
    words = view.store_words if view is not None else ()
    return next((word for word in words if word.service == name), Word(service=name))


def _trusts(word: SiteWord | None, cluster_id: str) -> bool:
    return word is not None and word.trusted and word.cluster_id == cluster_id


def _first_refusal(proposals: list[Proposal]) -> Refusal | None:
    refused = [each.refusal for each in proposals if each.refusal is not None]
    if not refused:
        return None
    first, *others = refused
    return Refusal(
        code=first.code, message=first.message, evidence=[f"{each.code}: {each.message}" for each in others]
    )


def _certified(each: Proposal) -> ServiceCertified:
    refusal = each.refusal
    return ServiceCertified(
        service=each.service,
        owner=each.owner,
        epoch=each.epoch,
        writes=each.writes,
        notes=list(each.notes),
        refusal=Refusal(code=refusal.code, message=refusal.message) if refusal is not None else None,
    )


def _states(ask: AcceptStore, found: Found, proposals: list[Proposal], trust: StoreTrust) -> tuple[str, ...]:
    known = f"cluster {trust.cluster_id or 'unknown'} at revision {trust.revision}"
    lines = [f"The store is cluster {found.cluster_id} at revision {found.revision}; known was {known}."]
    lines += [f"{each.owner} owns {each.service}, at epoch {each.epoch}." for each in ask.owners]
    for each in proposals:
        if not each.writes and each.owner is not None:
            lines.append(f"{each.owner} owns {each.service}, epoch {each.epoch}, as it stands in the store.")
        lines += [f"{each.service}: {note}." for note in each.notes]
    if found.peer.word is None:
        lines.append(f"The other site was not heard: {found.peer.problem}.")
    return tuple(lines)


def _told(site: str, peer: str, ask: AcceptStore) -> list[str]:
    lines = [f"{site} trusts the store from now on ({ask.certificate}); what is open there stays open"]
    lines += [f"{each.service}: {each.owner} is its owner, at epoch {each.epoch}" for each in ask.owners]
    if not ask.peer_trusts:
        lines.append(f"now accept it at {peer} too: twinsite --site {peer} store accept --reason …")
    return lines
