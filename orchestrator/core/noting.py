"""What should stand on the disk, and when it is written (P16, P30, P31)."""

from orchestrator.core.messages import NoteWritten, Order, WriteNote
from orchestrator.core.notes import Note
from orchestrator.core.state import OwnershipState

NOTE_RETRY_NS = 200_000_000


def wanted(state: OwnershipState) -> Note:
    """The note as it should be now."""
    keeper, incarnation = _peer(state)
    hold = _hold(state)
    return Note(
        peer_keeper=keeper,
        peer_incarnation=incarnation,
        hold_incarnation=hold[0],
        hold_services=hold[1],
        glass=tuple(state.glass[name] for name in sorted(state.glass)),
    )


def _peer(state: OwnershipState) -> tuple[str, int]:
    """P16: set only after the peer's key was read live with a later renewal; clear before a takeover."""
    if state.unsettled or any(pending.clears_note for pending in state.asks.values()):
        return "", 0
    if not state.registered:
        return state.start_note.peer_keeper, state.start_note.peer_incarnation
    return state.peer_live or ("", 0)


def _hold(state: OwnershipState) -> tuple[int, tuple[tuple[str, int], ...]]:
    """P30: while this keeper relies; and from a start until the services are read, what was noted."""
    if not state.registered:
        return state.start_note.hold_incarnation, state.start_note.hold_services
    if any(state.noted_epoch(name) is not None for name in state.services):
        return state.confirmed_incarnation, state.start_note.hold_services
    if not state.hold_relied or state.word_needed:  # P32: what is closed is not held open by a note
        return 0, ()
    held = tuple(
        (name, service.item.record.epoch)
        for name, service in sorted(state.services.items())
        if service.item is not None and state.names_us(name) and not service.giving_up
    )
    return state.confirmed_incarnation, held


def due(state: OwnershipState, now_ns: int) -> list[Order]:
    """One write at a time; what a failed one left on the disk is not known."""
    if state.note_writing is not None or now_ns < state.note_again_ns:
        return []
    possible = state.notes_possible
    if len(possible) == 1 and _stands(state, possible[0]):
        return []
    fresh = wanted(state)
    if possible == (fresh,):
        return []
    state.note_writing = fresh
    state.notes_possible = tuple(dict.fromkeys((*state.notes_possible, fresh)))
    number = state.next_note
    state.next_note += 1
    return [WriteNote(number, fresh)]


def _stands(state: OwnershipState, note: Note) -> bool:
    """The note says what it should, seen without making another: this is looked at in every step."""
    if state.glass or note.glass or note.hold_incarnation or state.hold_relied:
        return False
    return (note.peer_keeper, note.peer_incarnation) == _peer(state)


def written(state: OwnershipState, message: NoteWritten, now_ns: int) -> None:
    """The disk's answer."""
    note = state.note_writing
    if note is None or message.number != state.next_note - 1:
        return
    state.note_writing = None
    if message.ok:
        state.notes_possible = (note,)
    else:
        state.note_again_ns = now_ns + NOTE_RETRY_NS


def peer_is_clear(state: OwnershipState) -> bool:
    """P16: no note on the disk would let a restarted keeper promise."""
    return all(not note.peer_incarnation for note in state.notes_possible)


def hold_is_clear_of(state: OwnershipState, service: str) -> bool:
    """P30: a service is struck from the note before its give-up is sent."""
    return all(note.holds(service) is None for note in state.notes_possible)


def reconciliation_is_noted(state: OwnershipState, service: str) -> bool:
    """P31: whoever starts with any note that may stand on the disk knows that it was begun."""
    noted = [glass for note in state.notes_possible for glass in note.glass if glass.service == service]
    return state.glass[service].reconciling and all(glass.reconciling for glass in noted)
