"""The keeper's side of the guards: what they are answered and told (P18, P20, P21, P27, P30).

A guard is the dead man's switch on a database host. It asks; it is never told to open.
"""

from math import ceil

from orchestrator.core.lease import has_passed
from orchestrator.core.messages import (
    AnswerGuard,
    FenceInstance,
    GuardAcknowledged,
    GuardAsked,
    Order,
    OrderGuard,
)
from orchestrator.core.notes import Glass
from orchestrator.core.state import GuardState, OwnershipState, Phase


def asked(state: OwnershipState, message: GuardAsked, now_ns: int) -> list[Order]:
    """P18: the answer, or silence: what was answered before ends by itself, so silence is always safe.

    Explicit noes are for what is known to be another's; a view that was dropped (P4) is answered by silence.
    """
    service = state.services.get(message.service)
    if service is None or service.guard is None:
        return []
    guard = service.guard
    guard.connected, guard.heard, guard.open = True, True, message.open
    guard.says_closed, guard.certified = not message.open, message.certified
    guard.incarnation, guard.epoch = message.incarnation, message.epoch
    _note_word(state, guard, message, now_ns)
    _hold_was_unbroken(state, message)
    if not state.decider_lives(now_ns) or state.phase is Phase.SUPERSEDED:  # P1
        return []
    if guard.fence_order or service.fencing:
        return []  # P20: nothing that could open it overtakes the order
    glass = state.under_glass(message.service)
    if glass is not None and not service.giving_up and not reconciled(state, glass, now_ns):  # P31
        known = max(state.confirmed_incarnation, message.incarnation)
        return _answer(
            state, message, known, glass.epoch, state.timing.lease_duration_ns, now_ns, manual=True
        )
    epoch = service.item.record.epoch if service.item is not None else 0
    incarnation = state.confirmed_incarnation
    if state.entitled(message.service, now_ns):
        left_ns = max(0, state.deadline_ns - now_ns)
        by_hold = left_ns == 0 or state.undark is not None
        if by_hold and not message.open and not _others_open(state, message.service):
            # P32: hold alone keeps open what is open. It opens nothing that is closed while all may be.
            if left_ns and state.in_doubt_since_ns is None:
                state.in_doubt_since_ns = now_ns
            return [AnswerGuard(message.service, message.nonce, incarnation, epoch, 0, False)]
        if state.hold_relied:
            left_ns = max(left_ns, state.timing.lease_duration_ns)
        manual = not service.automatic and not service.made_automatic
        return _answer(state, message, incarnation, epoch, left_ns, now_ns, manual=manual)
    if not state.registered or state.noted_epoch(message.service) is not None:
        return _on_note(state, message, now_ns)
    no = service.giving_up or state.word_needed or (service.known and not state.names_us(message.service))
    return [AnswerGuard(message.service, message.nonce, incarnation, epoch, 0, False)] if no else []


def _note_word(state: OwnershipState, guard: GuardState, message: GuardAsked, now_ns: int) -> None:
    """What its question says of the time before it: one that is open still has not been closed meanwhile."""
    if not message.open:
        guard.said_closed_ns = guard.said_closed_ns or now_ns
        return
    guard.said_open_ns, guard.said_closed_ns = now_ns, 0
    if state.undark is not None and message.service in state.undark and not message.certified:
        state.undark = state.in_doubt_since_ns = None


def _others_open(state: OwnershipState, name: str) -> bool:
    """Another service of ours is open here, by a word of its guard that is later than this one's that it is
    closed: an older one may be of a host that is off by now."""
    guard = state.services[name].guard
    since_ns = guard.said_closed_ns if guard is not None else 0
    return any(
        other != name
        and state.names_us(other)
        and service.guard.connected
        and service.guard.open
        and service.guard.said_open_ns > since_ns
        for other, service in state.services.items()
        if service.guard is not None
    )


def dark(state: OwnershipState, now_ns: int) -> bool:
    """P32: hold alone entitled for a time, and at some instant of it all that is ours here may have been
    closed: then somebody may truthfully have certified this site as off, and broken the glass. A guard that
    says that it is open has been so all the while; of a manual one nothing else is known, since nothing
    closes it in time. Where the lease is back and nobody has said so for its length, that time was dark."""
    ours = {
        name: service.guard
        for name, service in state.services.items()
        if service.guard is not None and _held(state, name)
    }
    alone = now_ns >= state.deadline_ns
    if not ours or (state.undark is None and not alone):
        return False
    left = ours if state.undark is None else state.undark & ours.keys()
    state.undark = {name for name in left if not closed(state, ours[name], now_ns)}
    if not state.undark:
        return True
    doubt_ns = state.in_doubt_since_ns
    return (
        not alone and doubt_ns is not None and has_passed(doubt_ns + state.timing.lease_duration_ns, now_ns)
    )


def _held(state: OwnershipState, name: str) -> bool:
    """It is served here, by what is known at this stage of a start: the note, or the services' own keys."""
    if not state.registered:
        return state.start_note.holds(name) is not None
    unread = not state.services[name].known
    return state.names_us(name) or (unread and state.noted_epoch(name) is not None)


def closed(state: OwnershipState, guard: GuardState, now_ns: int) -> bool:
    """Every process of it: by its word, or because all that it was ever answered has run out."""
    if guard.cut or guard.says_closed:
        return True
    slack_ns = ceil(state.timing.lease_duration_ns * state.timing.clock_drift)
    return not guard.told_manual and has_passed(guard.told_until_ns + slack_ns, now_ns)


def _hold_was_unbroken(state: OwnershipState, message: GuardAsked) -> None:
    """P32: what the keeper before this one held is open still, so it never closed, and nobody can truthfully
    have certified that this site is off."""
    noted = state.start_note.holds(message.service) is not None
    if noted and message.open and not message.certified and state.may_be_unbroken and state.hold_relied:
        state.word_needed = False


def reconciled(state: OwnershipState, glass: Glass, now_ns: int) -> bool:
    """P31: the store names this site above the certificate's epoch, and its lease runs. From here on the
    guard is answered by the lease: one that a certificate has opened minds nothing but a higher epoch."""
    item = state.services[glass.service].item
    return (
        state.phase is Phase.ACTIVE
        and item is not None
        and state.names_us(glass.service)
        and item.record.epoch > glass.epoch
        and not state.word_needed
        and now_ns < state.deadline_ns
    )


def _answer(
    state: OwnershipState,
    message: GuardAsked,
    incarnation: int,
    epoch: int,
    left_ns: int,
    now_ns: int,
    *,
    manual: bool,
) -> list[Order]:
    guard = state.services[message.service].guard
    if guard is not None and left_ns > 0:
        guard.cut = guard.says_closed = False
        guard.told_until_ns = max(guard.told_until_ns, now_ns + left_ns)
        guard.told_manual = manual
        guard.automatic = guard.automatic and not manual
    return [AnswerGuard(message.service, message.nonce, incarnation, epoch, left_ns, manual)]


def _on_note(state: OwnershipState, message: GuardAsked, now_ns: int) -> list[Order]:
    """P30: restarted, the store out of reach, on the note of one that relied on hold: an open guard is kept
    open, a closed one is not opened."""
    epoch = state.start_note.holds(message.service)
    if epoch is None or not message.open:
        return []
    if any(note.holds(message.service) != epoch for note in state.notes_possible):
        return []
    if state.registered and state.word_needed:  # P32
        return []
    incarnation = state.confirmed_incarnation if state.registered else state.start_note.hold_incarnation
    return _answer(state, message, incarnation, epoch, state.timing.lease_duration_ns, now_ns, manual=False)


def fence(state: OwnershipState, name: str, why: str, now_ns: int) -> list[Order]:
    """Cut the instance here off: by its guard where one listens, and by the driver in any case."""
    state.services[name].fencing = True
    return [*order_fence(state, name, why, now_ns), FenceInstance(name, why)]


def order_fence(state: OwnershipState, name: str, why: str, now_ns: int) -> list[Order]:
    """P20: the guard drops its outstanding question; nothing asked before this counts."""
    guard = state.services[name].guard
    if guard is None or not guard.connected:
        return []
    guard.cut = False
    guard.fence_order = state.next_guard_order
    guard.ordered_at_ns = now_ns
    return _order(state, name, "fence", why)


def _order(state: OwnershipState, name: str, kind: str, why: str) -> list[Order]:
    number = state.next_guard_order
    state.next_guard_order += 1
    return [OrderGuard(name, number, kind, state.confirmed_incarnation, why)]


def tell_of_successor(state: OwnershipState, incarnation: int) -> list[Order]:
    """P4: every guard that is there hears that another keeper holds this site's key. Nothing is cut: the
    right is still this site's."""
    orders: list[Order] = []
    for name, service in state.services.items():
        if service.guard is not None and service.guard.connected:
            number = state.next_guard_order
            state.next_guard_order += 1
            why = "another keeper of this site holds its key"
            orders.append(OrderGuard(name, number, "learn", incarnation, why))
    return orders


def acknowledged(state: OwnershipState, message: GuardAcknowledged, now_ns: int) -> bool:
    """Take an acknowledgement in; true if it proves that the instance is cut off (P20, P23)."""
    service = state.services.get(message.service)
    if service is None or service.guard is None:
        return False
    guard = service.guard
    guard.evidence = message.evidence
    guard.known_incarnation = max(guard.known_incarnation, message.incarnation)
    if message.number == guard.learn_order:
        guard.learn_order = 0
    if message.number == guard.automatic_order:
        guard.automatic_order = 0
        guard.automatic = True
    if message.number != guard.fence_order or not message.fenced:
        return False
    guard.fence_order = 0
    guard.cut, guard.cut_since_ns = True, now_ns
    guard.open = False
    return True


def connected(state: OwnershipState, name: str) -> None:
    """It is there: what was ordered before may not have reached it."""
    guard = state.services[name].guard
    if guard is not None:
        guard.connected, guard.heard = True, False
        guard.ordered_at_ns = guard.nudged_at_ns = 0


def gone(state: OwnershipState, name: str) -> None:
    """Its connection ended; it goes on by itself until its deadline."""
    guard = state.services[name].guard
    if guard is not None:
        guard.connected = False
        guard.automatic = False  # P27, P31: what opens it meanwhile may be a certificate
        guard.fence_order = guard.automatic_order = guard.learn_order = 0


def cut_off(state: OwnershipState, name: str, now_ns: int) -> bool:
    """P23: the guard has acknowledged, knowing this incarnation (P21); or it is out of reach, and all that it
    was ever answered has run out, so that it has fenced by itself (never so for a manual service)."""
    guard = state.services[name].guard
    if guard is None:
        return True
    if guard.known_incarnation < state.confirmed_incarnation:
        return False
    if guard.cut:
        return True
    slack_ns = ceil(state.timing.lease_duration_ns * state.timing.clock_drift)
    return (
        not guard.connected and not guard.told_manual and has_passed(guard.told_until_ns + slack_ns, now_ns)
    )


def make_automatic(state: OwnershipState, name: str, now_ns: int) -> list[Order]:
    """P27: tell the guard that it fences at its deadline from now on; answered as automatic from here on."""
    service = state.services[name]
    service.made_automatic = True
    guard = service.guard
    if guard is None or not guard.connected or guard.automatic_order:
        return []
    guard.automatic = False
    guard.automatic_order = state.next_guard_order
    guard.ordered_at_ns = now_ns
    return _order(state, name, "automatic", "the service is being made automatic")


def all_know(state: OwnershipState) -> bool:
    """P21: every guard of this site knows this incarnation."""
    return all(
        service.guard is None or service.guard.known_incarnation >= state.confirmed_incarnation
        for service in state.services.values()
    )


def told_no_more(state: OwnershipState) -> bool:
    """P21, P30: whatever any guard here was told, by this keeper or an older one, ends with the deadline."""
    guards = [service.guard for service in state.services.values() if service.guard is not None]
    return all_know(state) and all(guard.told_until_ns <= state.deadline_ns for guard in guards)


def due_orders(state: OwnershipState, now_ns: int) -> list[Order]:
    """Orders that were not acknowledged are given again; a guard that may open is told to ask now, and so is
    an open one whose time runs out although the lease was saved at the last moment."""
    if not state.registered or state.phase is Phase.SUPERSEDED:
        return []
    every_ns = state.timing.renew_every_ns
    orders: list[Order] = []
    for name, service in state.services.items():
        guard = service.guard
        if guard is None or not guard.connected:
            continue
        if now_ns >= guard.ordered_at_ns + every_ns:
            orders.extend(_again(state, name, guard, now_ns))
        half_ns = state.timing.lease_duration_ns // 2
        runs_out = guard.told_until_ns < now_ns + half_ns <= state.deadline_ns
        wanted = (not guard.open or runs_out) and not guard.fence_order and not service.fencing
        if wanted and now_ns >= guard.nudged_at_ns + every_ns and state.entitled(name, now_ns):
            guard.nudged_at_ns = now_ns
            orders.extend(_order(state, name, "ask", "this site has the right to the service"))
    return orders


def _again(state: OwnershipState, name: str, guard: GuardState, now_ns: int) -> list[Order]:
    service = state.services[name]
    wants_cut = service.giving_up and not guard.cut
    if guard.fence_order or wants_cut:
        return order_fence(state, name, "it is given up" if wants_cut else "cut it off", now_ns)
    if service.made_automatic and not guard.automatic:
        guard.automatic_order = 0
        return make_automatic(state, name, now_ns)
    if guard.known_incarnation < state.confirmed_incarnation:
        guard.ordered_at_ns = now_ns
        guard.learn_order = state.next_guard_order
        return _order(state, name, "learn", "this keeper holds the site's key")
    return []
