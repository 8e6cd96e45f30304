"""The keeper's one door: step(state, message, now) -> orders.

Deterministic: no clock, no I/O, no randomness; the state given is changed in place, and the same state,
messages and times give the same orders. The holder (P1 to P7, P13, P32) stands in `registration`, whoever
changes ownership (P8 to P12, P23 to P28, P31, P33) in `asks` and `asking`, the promise (P14 to P17) in
`promise`, the guards (P18 to P21) in `guarding`, hold (P29, P30) in `holding`, what is kept on the disk in
`noting`, the start anew in an accepted store (P33) in `accepting`.
"""

from orchestrator.core import accepting, asking, guarding, holding, noting, promise, registration
from orchestrator.core.messages import (
    Asked,
    CloseEnded,
    FenceEnded,
    GuardAcknowledged,
    GuardAsked,
    GuardConnected,
    GuardGone,
    Message,
    NoteWritten,
    Order,
    OwnKeyRead,
    PeerRead,
    PeerSeen,
    PromiseAnswered,
    PromiseAsked,
    ReadFailed,
    RenewalAnswered,
    ServiceSeen,
    ServicesRead,
    StopRequested,
    StoreAccepted,
    StoreToBeAccepted,
    TransactionAnswered,
    TransactionLost,
    TurnCompleted,
    VotersSeen,
)
from orchestrator.core.state import OwnershipState, Phase


def step(state: OwnershipState, message: Message, now_ns: int) -> list[Order]:
    """Take a message in at `now_ns` and say what must be done, in this order."""
    orders: list[Order] = []
    if state.phase is not Phase.SUPERSEDED:
        orders += registration.lease_broken(state, now_ns)  # before what may come too late to mend it (P32)
    orders += _take_in(state, message, now_ns)
    if state.phase is not Phase.SUPERSEDED:
        orders += registration.hear_word(state, now_ns)
        orders += registration.due_fences(state, now_ns)  # before anything that may take time (P7)
        orders += asking.requested_give_ups(state, now_ns)
        holding.weigh(state, now_ns)
        orders += asking.end_glass(state, now_ns)
        orders += noting.due(state, now_ns)
        orders += asking.proceed(state, now_ns)
        if state.asks:
            orders += noting.due(state, now_ns)  # what waits for a note need not wait for the next message
        orders += guarding.due_orders(state, now_ns)
        orders += registration.due_beats(state, now_ns)
        orders += promise.due_requests(state, now_ns)
    return orders


def _take_in(state: OwnershipState, message: Message, now_ns: int) -> list[Order]:
    match message:
        case OwnKeyRead():
            return registration.own_key_read(state, message, now_ns)
        case RenewalAnswered():
            return registration.renewal_answered(state, message, now_ns)
        case ServicesRead():
            dropped = frozenset(name for name, service in state.services.items() if not service.known)
            orders = registration.services_read(state, message, now_ns)
            if state.phase is Phase.ACTIVE:
                orders += asking.withdraw_give_ups(state, dropped)
            return orders
        case ServiceSeen():
            registration.see_service(state, message.service, message.item)
        case PeerSeen():
            registration.see_peer(state, message.item, now_ns)
        case PeerRead():
            return asking.peer_read(state, message, now_ns)
        case ReadFailed(what="peer"):
            return asking.peer_read_failed(state, message.number)
        case TransactionAnswered():
            return asking.transaction_answered(state, message, now_ns)
        case TransactionLost():
            return asking.transaction_lost(state, message, now_ns)
        case FenceEnded():
            return asking.fence_ended(state, message, now_ns)
        case CloseEnded():
            return asking.close_ended(state, message, now_ns)
        case Asked():
            return asking.asked(state, message, now_ns)
        case PromiseAsked():
            return promise.promise_asked(state, message, now_ns)
        case PromiseAnswered():
            return _promise_answered(state, message, now_ns)
        case GuardAsked():
            return guarding.asked(state, message, now_ns)
        case GuardAcknowledged():
            return asking.guard_acknowledged(state, message, now_ns)
        case GuardConnected():
            guarding.connected(state, message.service)
        case GuardGone():
            guarding.gone(state, message.service)
        case NoteWritten():
            noting.written(state, message, now_ns)
        case VotersSeen():
            holding.voters_seen(state, message, now_ns)
        case StoreToBeAccepted():
            accepting.to_be_accepted(state)
        case StoreAccepted():
            return accepting.accepted(state, message, now_ns)
        case TurnCompleted():
            state.last_turn_ns = now_ns
        case StopRequested():
            state.stopping = True
        case _:
            pass  # Ticked, RenewalLost, other failed reads: time alone decides
    return []


def _promise_answered(state: OwnershipState, message: PromiseAnswered, now_ns: int) -> list[Order]:
    """P14: a promise earns what a renewal would have; P29: the peer's word that we are revoked counts too."""
    sent_at_ns = promise.asked_at(state, message)
    if message.code == "revoked" and state.phase is Phase.ACTIVE:
        return registration.register(state, now_ns)
    if sent_at_ns is not None and not state.word_needed:
        state.promise_answered_ns = now_ns
        registration.earn(state, sent_at_ns)
    return []
