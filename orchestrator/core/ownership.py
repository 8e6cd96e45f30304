"""The keeper's one door: step(state, message, now) -> orders.

Deterministic: no clock, no I/O, no randomness; the state given is changed in place, and the same state,
messages and times give the same orders. What P1 to P13 and P23 to P28 ask for stands in
`registration` (the holder), `asks` and `asking` (whoever changes ownership). Their place is kept for the
guard and the promise (P14 to P22), hold, cold start and break-glass (P29 to P33): they are further
messages and orders of this same step.
"""

from orchestrator.core import asking, registration
from orchestrator.core.messages import (
    Asked,
    CloseEnded,
    FenceEnded,
    Message,
    Order,
    OwnKeyRead,
    PeerRead,
    PeerSeen,
    ReadFailed,
    RenewalAnswered,
    ServiceSeen,
    ServicesRead,
    StopRequested,
    TransactionAnswered,
    TransactionLost,
    TurnCompleted,
)
from orchestrator.core.state import OwnershipState, Phase


def step(state: OwnershipState, message: Message, now_ns: int) -> list[Order]:
    """Take a message in at `now_ns` and say what must be done, in this order."""
    orders = _take_in(state, message, now_ns)
    if state.phase is not Phase.SUPERSEDED:
        orders += registration.due_fences(state, now_ns)  # before anything that may take time (P7)
        orders += asking.requested_give_ups(state, now_ns)
        orders += asking.proceed(state, now_ns)
        orders += registration.due_beats(state, now_ns)
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
        case TurnCompleted():
            state.last_turn_ns = now_ns
        case StopRequested():
            state.stopping = True
        case _:
            pass  # Ticked, RenewalLost, other failed reads: time alone decides
    return []
