"""The promise: how a site goes on when it cannot reach the store but reaches its peer (P14 to P17).

The asking half earns a deadline from the peer's word; the giving half says when that word may be given.
"""

from orchestrator.core.lease import wait_of
from orchestrator.core.messages import (
    AnswerPromise,
    AskPromise,
    Order,
    PromiseAnswered,
    PromiseAsked,
    SiteItem,
)
from orchestrator.core.state import OwnershipState, Phase

KEPT_REQUESTS = 64


# --- asking ------------------------------------------------------------------------------------------------


def due_requests(state: OwnershipState, now_ns: int) -> list[Order]:
    """P14: ask once a renewal has gone unanswered for `renew_every`, and again every `renew_every`."""
    if not state.registered or state.word_needed or not state.may_renew(now_ns):
        return []
    every_ns = state.timing.renew_every_ns
    if now_ns < state.confirmed_sent_ns + 2 * every_ns or now_ns < state.promise_asked_ns + every_ns:
        return []
    number = state.next_promise
    state.next_promise += 1
    state.promise_asked_ns = now_ns
    state.promises_asked[number] = now_ns  # taken before it is sent, as t_sent of a renewal (P1, P2)
    if len(state.promises_asked) > KEPT_REQUESTS:
        del state.promises_asked[min(state.promises_asked)]
    # P15: after an acceptance (P33) also those by which a peer that has not accepted yet knows this keeper.
    # It has taken nothing over since it last saw one of them live, nor does it before it accepts; and what we
    # hold we have read since, in the store that was accepted.
    named = {*state.former_incarnations, state.confirmed_incarnation, state.incarnation}
    incarnations = tuple(sorted(named))
    return [AskPromise(number, state.keeper, incarnations, state.timing.lease_duration_ns)]


def asked_at(state: OwnershipState, message: PromiseAnswered) -> int | None:
    """When the request was sent that this grants; None: refused, unknown, or answered before (a replay)."""
    sent_at_ns = state.promises_asked.pop(message.number, None)
    return sent_at_ns if message.granted else None


# --- giving ------------------------------------------------------------------------------------------------


def promise_asked(state: OwnershipState, message: PromiseAsked, now_ns: int) -> list[Order]:
    """P15: promise only a peer known to be live and not taken over; noted before it is answered (P14)."""
    refusal = _refusal(state, message)
    if refusal is not None:
        return [AnswerPromise(message.request, False, *refusal)]
    until_ns = now_ns + wait_of(message.lease_duration_ns, state.timing.clock_drift)
    state.promised_until_ns = max(state.promised_until_ns, until_ns)
    return [AnswerPromise(message.request, True)]


def _refusal(state: OwnershipState, message: PromiseAsked) -> tuple[str, str] | None:
    if state.phase is Phase.SUPERSEDED:  # P17
        return "superseded", "another keeper of this site holds its key"
    peer = state.peer_item
    if (
        peer is not None
        and peer.record.revoked
        and _asks(message, peer.record.keeper, peer.record.incarnation)
    ):
        return "revoked", "its key is revoked: its services were taken over"
    if state.unsettled:
        return "taking-over", "a takeover was sent, and its outcome or the peer's key after it is not known"
    if not state.registered:
        return _refusal_on_note(state, message)
    if state.phase is not Phase.ACTIVE:
        return "not-registered", "this keeper is taking its key again"
    if state.peer_live is None:
        return "not-seen-live", "the peer's key has not been read live since our last renewal"
    if not _asks(message, *state.peer_live):
        return "another-incarnation", f"the peer's key shows incarnation {state.peer_live[1]}"
    return None


def _refusal_on_note(state: OwnershipState, message: PromiseAsked) -> tuple[str, str] | None:
    """P16: restarted, the store out of reach: the note says that the peer was live and nothing was sent."""
    for note in state.notes_possible:
        if not note.peer_incarnation:
            return "not-registered", "this keeper has not registered, and no note says that the peer was live"
        if not _asks(message, note.peer_keeper, note.peer_incarnation):
            return "another-incarnation", f"the note shows incarnation {note.peer_incarnation}"
    return None


def _asks(message: PromiseAsked, keeper: str, incarnation: int) -> bool:
    return message.keeper == keeper and incarnation in message.incarnations


def peer_read_with_renewal(state: OwnershipState, beat: int, peer: SiteItem | None) -> None:
    """P15: the peer's key as read by a renewal of ours that was committed."""
    state.peer_live = _live(peer)
    takeover_on_its_way = any(outstanding.takes for outstanding in state.transactions.values())
    if (
        state.unsettled
        and state.settled_at_beat
        and beat >= state.settled_at_beat
        and not takeover_on_its_way
    ):
        state.unsettled = False
        state.settled_at_beat = 0


def peer_seen(state: OwnershipState, item: SiteItem) -> None:
    """A newer revision of the peer's key than the renewal read."""
    if state.registered:
        state.peer_live = _live(item)


def _live(item: SiteItem | None) -> tuple[str, int] | None:
    if item is None or item.record.revoked:
        return None
    return item.record.keeper, item.record.incarnation


def takeover_sent(state: OwnershipState) -> None:
    """P15: from before a takeover is sent, no promise."""
    state.unsettled = True
    state.settled_at_beat = 0


def outcome_known(state: OwnershipState) -> None:
    """P15: what became of the takeover is known; a renewal sent after this may read the peer's key."""
    if state.unsettled:
        state.settled_at_beat = state.beat + 1
