"""Pending asks: examined again whenever something changed, until each is done or refused.

Here too: the order of P23 (close or fence first, then answer no, then write), and what an answered, a
refused and a lost transaction mean (P4, P5, P12).
"""

from dataclasses import replace

from orchestrator.core import guarding, noting, promise
from orchestrator.core.asks import examine
from orchestrator.core.lease import has_passed
from orchestrator.core.messages import (
    Asked,
    BreakGlass,
    CertifyPeer,
    CloseEnded,
    CloseInstance,
    FenceEnded,
    FenceHere,
    GiveUpDead,
    GiveUpPlanned,
    GuardAcknowledged,
    InstanceOpened,
    MayAct,
    MayPowerOff,
    Order,
    PeerRead,
    ReadPeer,
    Reconcile,
    Reply,
    ServiceItem,
    SetMode,
    SiteItem,
    TakeOver,
    Transact,
    TransactionAnswered,
    TransactionLost,
)
from orchestrator.core.notes import Glass
from orchestrator.core.records import (
    RUNS,
    SERVICES,
    SITES,
    Mode,
    Movement,
    ServiceRecord,
    encode,
)
from orchestrator.core.registration import (
    FENCE_RETRY_NS,
    adopt,
    hear_store,
    register,
    see_peer,
    see_service,
)
from orchestrator.core.state import Outstanding, OwnershipState, PendingAsk, Phase
from orchestrator.core.verdicts import Do, Done, ReadPeerFirst, Refuse, Wait
from orchestrator.store.base import Compare, Put

TRIES = 12
ASK_LIFE_NS = 25_000_000_000  # less than any controller waits, so that it learns what became of its ask


def asked(state: OwnershipState, message: Asked, now_ns: int) -> list[Order]:
    """Take an ask in; the simple questions are answered at once."""
    what = message.what
    if isinstance(what, MayAct | InstanceOpened | FenceHere):
        return _answer_at_once(state, message.ask, what, now_ns)
    if isinstance(what, CertifyPeer):
        return [*_certified(state, now_ns), Reply(message.ask, True)]
    orders: list[Order] = []
    if isinstance(what, TakeOver) and what.certified_down and not _peer_broke_glass(state):
        orders += _certified(state, now_ns)
    if isinstance(what, SetMode) and what.mode == Mode.AUTOMATIC and what.service in state.services:
        orders += guarding.make_automatic(state, what.service, now_ns)
    if isinstance(what, BreakGlass):
        refusal = _break_glass(state, what, now_ns)
        if refusal is not None:
            return [*orders, Reply(message.ask, False, refusal.code, refusal.message)]
    state.asks[message.ask] = PendingAsk(
        what,
        peer_revision_at_start=state.peer_item.revision if state.peer_item else 0,
        asked_at_ns=now_ns,
    )
    if isinstance(what, GiveUpDead):
        orders += _shut_first(state, what.service, planned=False, now_ns=now_ns)
    return orders


def _certified(state: OwnershipState, now_ns: int) -> list[Order]:
    """P32: an operator certifies the peer in place of its word; then P4 (1) to (4) again."""
    if not state.word_needed or not state.registered:
        state.word_needed = False
        return []
    state.word_needed = False
    return register(state, now_ns)


def _peer_broke_glass(state: OwnershipState) -> bool:
    """P31: by the last that was heard of it. That it is off now does not keep it off: to open beside what it
    would serve again takes a certificate that says so (`CertifyPeer`)."""
    return state.peer_item is not None and state.peer_item.record.break_glass


def _break_glass(state: OwnershipState, what: BreakGlass, now_ns: int) -> Refuse | None:
    """P31: only without a right by the store, and once; it counts when the disk has it."""
    if what.service not in state.services:
        return Refuse("unknown-service", f"no service {what.service} in the estate")
    if now_ns < state.deadline_ns and not state.word_needed:
        return Refuse(
            "quorum-there", "this site has its lease: order a failover, which needs no broken glass"
        )
    item = state.services[what.service].item
    if item is not None and what.epoch <= item.record.epoch:
        return Refuse("epoch-too-low", f"{what.service} is at epoch {item.record.epoch} already")
    state.glass[what.service] = Glass(what.service, what.epoch, what.certificate)
    state.glass_in_question -= {what.service}
    service = state.services[what.service]
    service.shut = False
    if service.guard is not None:
        service.guard.automatic = False  # P31: until it says again that it has taken a lease's deadline
    return None


def _answer_at_once(
    state: OwnershipState, ask: int, what: MayAct | InstanceOpened | FenceHere, now_ns: int
) -> list[Order]:
    service = state.services.get(what.service)
    if service is None:
        return [Reply(ask, False, "unknown-service", f"no service {what.service} in the estate")]
    ends_soon = state.ends_soon(what.service, now_ns)
    if isinstance(what, FenceHere):
        if state.entitled(what.service, now_ns) and not ends_soon:
            return [Reply(ask, False, "entitled", f"{state.site} has the right to {what.service}")]
        service.open_here = True
        if service.fencing:
            return [Reply(ask, True)]
        return [*guarding.fence(state, what.service, what.why, now_ns), Reply(ask, True)]
    epoch = state.epoch(what.service)
    if not state.entitled(what.service, now_ns):
        return [
            Reply(ask, False, "right-lost", f"{state.site} has no right to {what.service} at this moment")
        ]
    if ends_soon:
        return [Reply(ask, False, "right-lost", f"{state.site}'s lease ends too soon to begin anything")]
    if service.closing or service.fencing:
        # P23: perhaps closed on the host already; opened again it would write beyond its final position.
        return [Reply(ask, False, "right-lost", f"{what.service} is being shut here at this moment")]
    if isinstance(what, MayAct) and what.epoch != epoch:
        return [Reply(ask, False, "right-lost", f"{what.service} is at epoch {epoch}, not {what.epoch}")]
    if (
        isinstance(what, InstanceOpened)
        and service.guard is None
        and _by_hold_alone(state, what.service, now_ns)
    ):
        # P32: without a guard nobody knows whether all was closed, and this site certified as off.
        return [Reply(ask, False, "right-lost", f"hold alone opens nothing: {state.site} has no lease")]
    if isinstance(what, InstanceOpened):
        service.shut = False
        service.open_here = True
        service.right_until_ns = max(service.right_until_ns, state.deadline_ns)
    return [Reply(ask, True)]


def _by_hold_alone(state: OwnershipState, name: str, now_ns: int) -> bool:
    return state.hold_relied and now_ns >= state.deadline_ns and state.under_glass(name) is None


def _shut_first(state: OwnershipState, name: str, *, planned: bool, now_ns: int) -> list[Order]:
    """P23: close (planned) or fence (dead database) before anything is written."""
    service = state.services.get(name)
    if service is None or service.closing or service.fencing:
        return []
    service.final_position = None
    if planned:
        service.closing = True
        return [CloseInstance(name)]
    return guarding.fence(state, name, "it does not serve, and is given up", now_ns)


def close_ended(state: OwnershipState, message: CloseEnded, now_ns: int) -> list[Order]:
    """P23: closed: from now on the answer for this service is no, the guard is told so, and when it has
    acknowledged the give-up is written."""
    service = state.services[message.service]
    service.closing = False
    if not message.closed:
        return _refuse_give_up(state, message.service, message.evidence, now_ns)
    service.open_here = False
    service.shut = True
    # P33: whoever asked for it may have been told meanwhile that it ended, and then nobody gives it up.
    service.giving_up = not _given_up_already(state, message.service) and any(
        isinstance(pending.what, GiveUpPlanned) and pending.what.service == message.service
        for pending in state.asks.values()
    )
    service.final_position = message.final_position
    return guarding.order_fence(state, message.service, "it is given up", now_ns)


def _refuse_give_up(state: OwnershipState, name: str, evidence: str, now_ns: int) -> list[Order]:
    """The close failed and nothing is proven: say so in the record; the service stays ours."""
    for ask, pending in list(state.asks.items()):
        if isinstance(pending.what, GiveUpPlanned) and pending.what.service == name:
            del state.asks[ask]
    item = state.services[name].item
    if item is None or item.record.primary != state.site:
        return []
    refused = replace(item.record, asked_to_give_up=False, refusal=evidence)
    return _transact(state, 0, Do(((name, refused),)), now_ns)


def fence_ended(state: OwnershipState, message: FenceEnded, now_ns: int) -> list[Order]:
    """P7, P23: only a fence verified by its effect counts."""
    service = state.services[message.service]
    service.fencing = False
    service.fence_evidence = message.evidence
    if not message.verified:
        service.fence_again_at_ns = now_ns + FENCE_RETRY_NS
        return _fence_failed(state, message, now_ns)
    _proven_shut(state, message.service)
    return []


def _proven_shut(state: OwnershipState, name: str) -> None:
    service = state.services[name]
    service.open_here = False
    service.shut = True
    if any(_gives_up(state, pending, name) for pending in state.asks.values()):
        service.giving_up = not _given_up_already(state, name)


def _given_up_already(state: OwnershipState, name: str) -> bool:
    """The view shows it as nobody's or another's: what is to be heard yet of the give-up changes nothing, and
    nothing would take the no back, should this site claim it again."""
    service = state.services[name]
    return service.known and service.item is not None and service.item.record.primary != state.site


def guard_acknowledged(state: OwnershipState, message: GuardAcknowledged, now_ns: int) -> list[Order]:
    """P20, P23: the guard's own word that it has cut the instance off."""
    if guarding.acknowledged(state, message, now_ns):
        state.services[message.service].fence_evidence = message.evidence
        _proven_shut(state, message.service)
    return []


def _gives_up(state: OwnershipState, pending: PendingAsk, name: str) -> bool:
    """This fence is what the give-up waits for. One that is being closed waits for its close."""
    what = pending.what
    if not isinstance(what, GiveUpDead | GiveUpPlanned) or what.service != name:
        return False
    return isinstance(what, GiveUpDead) or not state.services[name].closing


def _fence_failed(state: OwnershipState, message: FenceEnded, now_ns: int) -> list[Order]:
    orders: list[Order] = []
    for ask, pending in list(state.asks.items()):
        if not _gives_up(state, pending, message.service):
            continue
        if isinstance(pending.what, GiveUpPlanned):
            orders.extend(_refuse_give_up(state, message.service, message.evidence, now_ns))
        else:
            del state.asks[ask]
            orders.append(Reply(ask, False, "fence-unverified", message.evidence))
    return orders


def requested_give_ups(state: OwnershipState, now_ns: int) -> list[Order]:
    """P23: the executor's request stands in services/S; begin to close what is ours. What is to fail over
    accepts no writes any more, so there is nothing to close in order: it is fenced."""
    orders: list[Order] = []
    for name, service in state.services.items():
        if service.item is None or not service.known or service.closing or service.fencing:
            continue
        record = service.item.record
        wanted = record.asked_to_give_up and record.movement is Movement.MOVING
        if not wanted or record.primary != state.site or not state.entitled(name, now_ns):
            continue
        if any(
            isinstance(pending.what, GiveUpPlanned) and pending.what.service == name
            for pending in state.asks.values()
        ):
            continue
        if any(name in outstanding.services for outstanding in state.transactions.values()):
            continue  # a refusal of this very request may be on its way
        state.asks[state.next_internal_ask] = PendingAsk(GiveUpPlanned(service=name), asked_at_ns=now_ns)
        state.next_internal_ask -= 1
        orders.extend(_shut_first(state, name, planned=record.kind != "failover", now_ns=now_ns))
    return orders


def proceed(state: OwnershipState, now_ns: int) -> list[Order]:
    """Examine every ask that waits for nothing of its own."""
    orders: list[Order] = []
    for ask, pending in list(state.asks.items()):
        if pending.transaction is not None or pending.reading_peer:
            continue
        if _not_shut_yet(state, pending, now_ns):
            if _too_old(pending, now_ns):
                orders.extend(_withdraw(state, ask, "it could not be shut in time"))
            continue
        verdict = examine(state, pending, now_ns)
        again = isinstance(verdict, Do) and pending.unanswered
        if (isinstance(verdict, Wait) or again) and _too_old(pending, now_ns):
            unknown = "whether it was done is not known" if pending.unanswered else "nothing was changed"
            verdict = Refuse("no-quorum", f"the store did not answer in time; {unknown}")
        if isinstance(verdict, Wait) or (again and not has_passed(pending.again_at_ns, now_ns)):
            continue
        if isinstance(verdict, ReadPeerFirst):
            pending.reading_peer = True
            orders.append(ReadPeer(ask))
            continue
        if isinstance(verdict, Do) and verdict.revoke_peer and not noting.peer_is_clear(state):
            pending.clears_note = True  # P16: cleared and synced before it is sent
            continue
        if isinstance(verdict, Do) and isinstance(pending.what, Reconcile):
            glass = state.glass[pending.what.service]
            if not noting.reconciliation_is_noted(state, glass.service):
                # P31: whoever starts after it was committed must not serve by the certificate beside a taker.
                state.glass[glass.service] = replace(glass, reconciling=True)
                continue
        if isinstance(verdict, Do):
            pending.tries += 1
            if pending.tries <= TRIES:
                orders.extend(_transact(state, ask, verdict, now_ns))
                continue
            verdict = Refuse("store-busy", f"{TRIES} transactions in a row were refused by their compares")
        del state.asks[ask]
        if isinstance(pending.what, SetMode) and isinstance(verdict, Refuse):
            # Nothing is on its way, by the compares of what was sent (P27).
            state.services[pending.what.service].made_automatic = False
        if isinstance(pending.what, GiveUpDead | GiveUpPlanned) and isinstance(verdict, Refuse):
            # Every give-up sent was refused by its compares, which can never hold again: nothing is on
            # its way, so the answer for this service may be yes again.
            state.services[pending.what.service].giving_up = False
        orders.extend(_reply(state, ask, verdict))
    return orders


def _too_old(pending: PendingAsk, now_ns: int) -> bool:
    """A takeover says itself how long it waits; everything else has one life."""
    return not isinstance(pending.what, TakeOver) and now_ns - pending.asked_at_ns > ASK_LIFE_NS


def _withdraw(state: OwnershipState, ask: int, why: str) -> list[Order]:
    """End an ask of which nothing is on its way."""
    pending = state.asks.pop(ask)
    if isinstance(pending.what, GiveUpDead | GiveUpPlanned):
        state.services[pending.what.service].giving_up = False
    if isinstance(pending.what, SetMode):
        state.services[pending.what.service].made_automatic = False
    return _reply(state, ask, Refuse("give-up-overtaken", why))


def withdraw_give_ups(state: OwnershipState, names: frozenset[str]) -> list[Order]:
    """P23: after a give-up of unknown outcome, a later renewal and a read after it, the answer for these
    services is theirs again, and whoever asked decides anew. Otherwise the ask would wait for a fence that
    nobody orders."""
    orders: list[Order] = []
    for ask, pending in list(state.asks.items()):
        gives_up = isinstance(pending.what, GiveUpDead | GiveUpPlanned) and pending.what.service in names
        if gives_up and pending.transaction is None:
            orders += _withdraw(state, ask, "the give-up's outcome was unknown; it is decided anew")
    return orders


def _not_shut_yet(state: OwnershipState, pending: PendingAsk, now_ns: int) -> bool:
    """P23: nothing is written before the close or fence is proven, the guard has acknowledged (P20, P21), and
    the service is struck from the note on the disk (P30). P27: likewise for an order to fence."""
    what = pending.what
    if isinstance(what, SetMode) and what.mode == Mode.AUTOMATIC:
        guard = state.services[what.service].guard if what.service in state.services else None
        return guard is not None and not guard.automatic and not _is_automatic(state, what.service)
    if not isinstance(what, GiveUpDead | GiveUpPlanned):
        return False
    service, name = state.services.get(what.service), what.service
    if service is None or not state.names_us(name):
        return False
    proven = service.giving_up and guarding.cut_off(state, name, now_ns)
    return not (proven and noting.hold_is_clear_of(state, name))


def _is_automatic(state: OwnershipState, name: str) -> bool:
    item = state.services[name].item
    return item is not None and item.record.mode is Mode.AUTOMATIC


def _reply(state: OwnershipState, ask: int, verdict: Done | Refuse) -> list[Order]:
    if ask <= 0:
        return []
    if isinstance(verdict, Refuse):
        return [Reply(ask, False, verdict.code, verdict.message)]
    return [Reply(ask, True)]


def _transact(state: OwnershipState, ask: int, do: Do, now_ns: int) -> list[Order]:
    """Every transaction compares the writer's own key and everything it replaces (P10, P12)."""
    number = state.next_transaction
    state.next_transaction += 1
    writer = f"{state.site}/{state.incarnation}/{number}"
    compares = [Compare(SITES + state.site, state.own_revision)]
    puts: list[Put] = []
    for name, record in do.services:
        item = state.services[name].item
        compares.append(Compare(SERVICES + name, item.revision if item else 0))
        puts.append(Put(SERVICES + name, encode(replace(record, writer=writer))))
    for run in do.runs:
        compares.append(Compare(RUNS + run.run, 0))
        puts.append(Put(RUNS + run.run, encode(run)))
    if do.revoke_peer and state.peer_item is not None:
        compares.append(Compare(SITES + state.peer, state.peer_item.revision))
        puts.append(
            Put(SITES + state.peer, encode(replace(state.peer_item.record, revoked=True, hold=False)))
        )
    names = tuple(name for name, _ in do.services)
    over_ns = state.may_take_at(0)
    waited = over_ns is not None and has_passed(over_ns, now_ns)
    neutral = not do.revoke_peer and all(_neutral(state, name, record) for name, record in do.services)
    state.transactions[number] = Outstanding(
        ask, names, state.registration, writer, do.revoke_peer, waited, neutral
    )
    if do.revoke_peer:
        promise.takeover_sent(state)  # P15
    if ask in state.asks:
        state.asks[ask].transaction = number
    return [Transact(number, tuple(compares), tuple(puts), names)]


def _neutral(state: OwnershipState, name: str, after: ServiceRecord) -> bool:
    """A pause, a run's beginning or end: whoever was the owner is so still, at the same epoch and mode."""
    item = state.services[name].item
    if item is None:
        return False
    before = item.record
    return (before.primary, before.epoch, before.mode) == (after.primary, after.epoch, after.mode)


def transaction_answered(state: OwnershipState, message: TransactionAnswered, now_ns: int) -> list[Order]:
    """Take in what was read with it; its ask is examined again against that."""
    hear_store(state, now_ns)
    outstanding = state.transactions.pop(message.transaction, None)
    if outstanding is None:
        return []
    _release(state, outstanding.ask)
    if message.committed and outstanding.ask in state.asks:
        state.asks[outstanding.ask].committed = True
    if outstanding.takes:
        promise.outcome_known(state)
    if outstanding.registration != state.registration:
        return []  # P5: sent before the last registration; P4 (4) has read or will read what came of it
    if message.own is not None and not adopt(state, message.own, now_ns):
        return register(state, now_ns)  # P4: revoked or superseded: the renewal path tells which
    if message.peer is not None:
        ours = _we_revoked(outstanding, message)
        see_peer(state, message.peer, now_ns)
        if ours and outstanding.waited:
            state.peer_revoked_revision = message.peer.revision
            if outstanding.ask in state.asks:  # P11: the rest needs no further wait and no further read
                state.asks[outstanding.ask].peer_read_at = message.peer.revision
                state.asks[outstanding.ask].peer_revision_at_start = message.peer.revision
    for name, item in message.services:
        if item is not None:
            see_service(state, name, item)
    return []


def _we_revoked(outstanding: Outstanding, message: TransactionAnswered) -> bool:
    """P11: the peer's key stands at the revision this very transaction wrote, with the revoked flag."""
    peer: SiteItem | None = message.peer
    if peer is None or not peer.record.revoked:
        return False
    written: list[ServiceItem] = [
        item for _, item in message.services if item is not None and item.record.writer == outstanding.writer
    ]
    return any(item.revision == peer.revision for item in written)


def _release(state: OwnershipState, ask: int) -> None:
    if ask in state.asks:
        state.asks[ask].transaction = None


def transaction_lost(state: OwnershipState, message: TransactionLost, now_ns: int) -> list[Order]:
    """P4: outcome unknown: drop the view of these services, and go through (2) to (4). Not for what changes
    nobody's right: whether it was committed shows when it is sent again, and a pause that was ordered while
    the store was being lost must not cost this site its services, nor the other one our promise."""
    outstanding = state.transactions.pop(message.transaction, None)
    if outstanding is None:
        return []
    _release(state, outstanding.ask)
    if outstanding.ask in state.asks:
        pending = state.asks[outstanding.ask]
        pending.unanswered = True
        if outstanding.neutral:
            # No registration delays it, and a store that refuses connections says so in no time.
            pending.again_at_ns = now_ns + state.timing.renew_every_ns
            pending.tries -= 1
    if outstanding.registration != state.registration or outstanding.neutral:
        return []
    return register(state, now_ns, drop=frozenset(outstanding.services))


def peer_read(state: OwnershipState, message: PeerRead, now_ns: int) -> list[Order]:
    """P8: the linearizable read before P10 has come back."""
    hear_store(state, now_ns)
    if message.item is not None:
        see_peer(state, message.item, now_ns)
    pending = state.asks.get(message.ask)
    if pending is None:
        return []
    pending.reading_peer = False
    pending.peer_read_at = message.item.revision if message.item else 0
    return []


def peer_read_failed(state: OwnershipState, ask: int) -> list[Order]:
    """The read before P10 got no answer: refuse; the controller decides whether to ask again."""
    pending = state.asks.get(ask)
    if pending is None or not isinstance(pending.what, TakeOver | MayPowerOff):
        return []
    pending.reading_peer = False
    del state.asks[ask]
    return [Reply(ask, False, "no-quorum", "the store did not answer the read before the takeover")]


def end_glass(state: OwnershipState, now_ns: int) -> list[Order]:
    """P31: break-glass ends when the store names this site above its epoch (which revoked the peer in the
    same transaction) and the guard here has taken a lease's deadline."""
    orders: list[Order] = []
    for name, glass in list(state.glass.items()):
        service = state.services.get(name)
        if name in state.glass_in_question and _taken_from_us(state, glass):
            del state.glass[name]
            continue
        if service is None or not guarding.reconciled(state, glass, now_ns):
            continue
        if service.guard is not None and _is_automatic(state, name) and not service.guard.automatic:
            orders += guarding.make_automatic(state, name, now_ns)
            continue
        del state.glass[name]
    return orders


def _taken_from_us(state: OwnershipState, glass: Glass) -> bool:
    """The reconciliation that had been begun was committed, and the other site has taken over since."""
    service = state.services[glass.service]
    item = service.item if service.known and state.phase is Phase.ACTIVE else None
    return item is not None and item.record.epoch > glass.epoch and item.record.primary == state.peer
