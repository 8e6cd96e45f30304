"""A person has accepted the store that answers (P33): the keeper starts anew in place.

It is a start in the sense of P4, and forgets what every start forgets: nothing that was read in the former
store counts in this one. But the process lives on, and with it what its successor would have to be told on
the disk, or could not know: how long the lease lasts that it has (P2, P14), what it has promised (P14), what
its guards were told, and the numbers by which answers find their questions. So nothing is closed by it: the
guards keep what they were told, and by when that ends the keeper has registered in this store.

Why that lease outlives the change of store. It was earned by renewals and promises, and the other site is
bound by each: either it counts them itself, or it has started anew since, and waits for T(1+e) from there
(P9), which is longer than a renewal of before can last; and a promise binds it through its own start, for it
is kept here. So what is served by an unbroken lease was not taken by anybody, in either store, and the
registration in this one, sent before that lease ends, makes it as good as never interrupted (P32).

The shell sees to it that nothing which the former store was asked is answered any more (`KnownStore`).
"""

from dataclasses import fields, replace

from orchestrator.core import noting
from orchestrator.core.messages import Order, Reply, StoreAccepted
from orchestrator.core.registration import register
from orchestrator.core.state import OwnershipState, Phase, ServiceState, new_state

FORMER_KEPT = 8

_LIVES_ON = (
    # Numbers go on, so that no late answer fits a later question.
    "registration",
    "read_attempt",
    "next_transaction",
    "next_internal_ask",
    "next_promise",
    "next_note",
    "next_guard_order",
    # What the disk may hold, and is about to.
    "notes_possible",
    "note_writing",
    "note_again_ns",
    # P14: what was promised binds, whatever becomes of the store.
    "promised_until_ns",
    # P21: an order to a guard carries the incarnation that it knows.
    "confirmed_incarnation",
    # P31: what it serves by a certificate it serves on, until this store says otherwise.
    "glass_in_question",
    "last_turn_ns",
    "stopping",
    "store_answered_ns",
)


def to_be_accepted(state: OwnershipState) -> None:
    """P31: certificates above broken glass here are about to be written. Whoever starts after that must ask
    the store whether the glass still counts, so the disk has to say so before they are sent."""
    for name, glass in state.glass.items():
        state.glass[name] = replace(glass, reconciling=True)


def may_be_written(state: OwnershipState) -> bool:
    """P31: whatever may stand on the disk says of every glass here that it is being ended."""
    return all(noting.reconciliation_is_noted(state, name) for name in state.glass)


def accepted(state: OwnershipState, message: StoreAccepted, now_ns: int) -> list[Order]:
    """P4 (1) and (2), in place. Whoever waits for something of the former store is told that it ended."""
    if state.phase is Phase.SUPERSEDED:
        return []
    told = "the store was accepted anew meanwhile; look, and order it again"
    replies: list[Order] = [Reply(ask, False, "no-quorum", told) for ask in state.asks if ask > 0]
    fresh = new_state(
        site=state.site,
        peer=state.peer,
        keeper=state.keeper,
        home_services=state.home_services,
        modes={},
        timing=state.timing,
        now_ns=now_ns,  # P9: it waits afresh
        inherited_deadline_ns=state.lease_left_to_next(),
        note=noting.wanted(state),
    )
    for name in _LIVES_ON:
        setattr(fresh, name, getattr(state, name))
    fresh.services = {name: _of_the_host(service) for name, service in state.services.items()}
    fresh.next_incarnation = max(state.next_incarnation, state.incarnation + 1, message.next_incarnation)
    # P15: one that has not accepted yet knows this keeper by these, and by no other.
    former = {*state.former_incarnations, state.confirmed_incarnation} - {0}
    fresh.former_incarnations = tuple(sorted(former)[-FORMER_KEPT:])
    for each in fields(OwnershipState):
        setattr(state, each.name, getattr(fresh, each.name))
    return [*replies, *register(state, now_ns)]


def _of_the_host(service: ServiceState) -> ServiceState:
    """What is so of the instance and its guard here, and of nothing else. Until it is read how it is in this
    store, one that may have been automatic is cut off when its right ends (P7)."""
    automatic = service.automatic or service.made_automatic
    return ServiceState(
        automatic=automatic,
        right_until_ns=service.right_until_ns,
        open_here=service.open_here,
        closing=service.closing,
        fencing=service.fencing,
        shut=service.shut,
        fence_again_at_ns=service.fence_again_at_ns,
        fence_evidence=service.fence_evidence,
        guard=service.guard,
    )
