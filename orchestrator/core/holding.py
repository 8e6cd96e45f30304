"""Hold: when a second loss would darken everything (P29, P30). Its conditions only weigh availability; its
order (stop relying, clear the note, tell the guards, only then renew without it) is safety.
"""

from orchestrator.core import guarding
from orchestrator.core.lease import has_passed
from orchestrator.core.messages import VotersSeen
from orchestrator.core.records import Mode
from orchestrator.core.state import OwnershipState, Phase


def voters_seen(state: OwnershipState, message: VotersSeen, now_ns: int) -> None:
    """Note which members of the store answer, and since when the witness's does not."""
    state.own_voter_seen, state.peer_voter_seen = message.own, message.peer
    state.witness_seen = message.witness
    if message.witness is not False:
        state.witness_missing_since_ns = None
    elif state.witness_missing_since_ns is None:
        state.witness_missing_since_ns = now_ns


def weigh(state: OwnershipState, now_ns: int) -> None:
    """Set hold, begin to clear it, or go on with clearing."""
    if state.phase is not Phase.ACTIVE or state.word_needed:
        return
    if state.hold_clearing:
        _clear(state)
    if wanted(state, now_ns):
        state.all_seen_since_ns = None
        state.hold_clearing = False
        state.hold_carried = True
        return
    if not state.hold_carried or state.hold_clearing:
        return
    if not _all_seen(state, now_ns):
        state.all_seen_since_ns = None
        return
    if state.all_seen_since_ns is None:
        state.all_seen_since_ns = now_ns
    if has_passed(state.all_seen_since_ns + state.timing.hold_clear_ns, now_ns):
        state.hold_relied = False  # P30: first stop relying, then the note, then the renewal without it
        state.hold_clearing = True
        _clear(state)


def _clear(state: OwnershipState) -> None:
    """P30, P21: renew without hold only when the note is clear on the disk and every guard here knows this
    incarnation."""
    noted = any(note.hold_incarnation for note in state.notes_possible)
    if not noted and guarding.all_know(state):
        state.hold_carried = False
        state.hold_clearing = False


def wanted(state: OwnershipState, now_ns: int) -> bool:
    """P29: both sites miss the witness's voter for T; or a lost peer's services are all served here."""
    peer = state.peer_item
    if peer is None or None in (state.own_voter_seen, state.peer_voter_seen, state.witness_seen):
        return False  # without a word about every voter it could never be cleared again
    missing_ns = state.witness_missing_since_ns
    both_miss = (
        missing_ns is not None
        and has_passed(missing_ns + state.timing.lease_duration_ns, now_ns)
        and peer.record.witness_seen is False
    )
    return both_miss or _all_taken(state, now_ns)


def _all_taken(state: OwnershipState, now_ns: int) -> bool:
    if not _revoked(state) and now_ns <= state.peer_seen_ns + state.timing.lease_duration_ns:
        return False
    over_ns = state.may_take_at(0)
    if over_ns is None or not has_passed(over_ns, now_ns):
        return False
    records = [service.item.record for service in state.services.values() if service.item is not None]
    left = [each for each in records if each.primary == state.peer and each.mode is Mode.AUTOMATIC]
    return not left and any(each.primary == state.site for each in records)


def _all_seen(state: OwnershipState, now_ns: int) -> bool:
    voters = (state.own_voter_seen, state.peer_voter_seen, state.witness_seen)
    heard = not has_passed(state.peer_seen_ns + state.timing.lease_duration_ns, now_ns)
    return all(seen is True for seen in voters) and heard and not _revoked(state)


def _revoked(state: OwnershipState) -> bool:
    return state.peer_item is not None and state.peer_item.record.revoked
