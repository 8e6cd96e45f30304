"""The holder's half: taking the key, renewing it, and what a view is worth (P1 to P7, P12, P13).

Each function changes the state it is given and returns orders, in the order in which they must be
carried out. No clock, no I/O.
"""

from orchestrator.core import guarding, promise
from orchestrator.core.lease import earned_deadline, fence_at, has_passed
from orchestrator.core.messages import (
    Exit,
    Order,
    OwnKeyRead,
    ReadOwnKey,
    ReadServices,
    Renew,
    RenewalAnswered,
    ServiceItem,
    ServicesRead,
    SiteItem,
)
from orchestrator.core.records import Mode, SiteRecord
from orchestrator.core.state import KEPT_BEATS, Beat, OwnershipState, Phase

FENCE_RETRY_NS = 200_000_000
READS_PER_LEASE = 3


def register(state: OwnershipState, now_ns: int, *, drop: frozenset[str] | None = None) -> list[Order]:
    """P4 (1), (2): drop the view of `drop` (None: of every service), then read the own key.

    The order is the safety: a service read before the key could be older than a takeover (P4).
    """
    for name, service in state.services.items():
        if drop is None or name in drop:
            service.known = False
            service.item = None
    if state.registered:
        state.note_is_keys = False
    if drop is None:
        state.hold_relied = False  # P29: until a renewal that carries it is known to be committed
    state.phase = Phase.READING_KEY
    state.next_incarnation = max(state.next_incarnation, state.incarnation + 1)
    state.first_read_that_counts = state.read_attempt + 1  # (2): read after (1), not before
    return read_own_key(state, now_ns)


def read_own_key(state: OwnershipState, now_ns: int) -> list[Order]:
    """Ask for the own key (again)."""
    state.read_attempt += 1
    state.read_again_at_ns = now_ns + state.timing.lease_duration_ns // READS_PER_LEASE
    return [ReadOwnKey(state.read_attempt)]


def own_key_read(state: OwnershipState, message: OwnKeyRead, now_ns: int) -> list[Order]:
    """P4 (3): renew by compare-and-set on the revision just read, with a higher incarnation."""
    late = message.attempt < state.first_read_that_counts
    if late or state.phase not in (Phase.READING_KEY, Phase.REGISTERING):
        return []
    found = message.item
    if found is not None and state.registered and supersedes(state, found):
        return superseded(state, found)
    if found is not None and adopt(state, found, now_ns) and state.incarnation == state.next_incarnation:
        return registered(state, now_ns)  # P3: the registration was committed, its reply was lost
    if not state.may_renew(now_ns):
        return []  # P1: to register is to renew; the key is read again until a turn has been completed
    highest = max(found.record.incarnation if found else 0, state.incarnation)
    state.next_incarnation = max(state.next_incarnation, highest + 1)
    state.incarnation = state.next_incarnation
    state.beats = {}
    state.beat = 0
    state.last_beat_without_hold = 0
    # P21: over a key that carries hold it is carried on, until every guard here knows this incarnation.
    state.hold_carried = found is not None and found.record.hold and not found.record.revoked
    # P30: another keeper of this site, at a later incarnation, would strike nothing from this one's note.
    noted = state.start_note.hold_incarnation if state.hold_carried and not state.registered else 0
    state.note_is_keys = found is not None and found.record.incarnation == noted
    if found is not None and found.record.revoked:
        state.former_incarnations = ()  # the peer has acted in this store: it knows later ones
    if state.word_needed and not state.word_from_incarnation:
        state.word_from_incarnation = state.incarnation
    state.own_revision = found.revision if found else 0
    state.phase = Phase.REGISTERING
    # An answer to a read from before this registration says nothing about it.
    state.first_read_that_counts = state.read_attempt + 1
    state.read_again_at_ns = now_ns + state.timing.lease_duration_ns // READS_PER_LEASE
    return send_beat(state, now_ns)


def send_beat(state: OwnershipState, now_ns: int) -> list[Order]:
    """P1: `now_ns` was taken before anything is sent, and counts as t_sent."""
    state.beat += 1
    state.beats[state.beat] = Beat(now_ns, state.hold_carried)
    state.last_sent_ns = now_ns
    if not state.hold_carried:
        state.hold_relied = False  # P29: it relies no more from before this renewal is sent
        state.last_beat_without_hold = state.beat
    if len(state.beats) > KEPT_BEATS:
        del state.beats[min(state.beats)]
    return [Renew(state.own_revision, own_record(state))]


def own_record(state: OwnershipState) -> SiteRecord:
    """What the next beat says."""
    return SiteRecord(
        incarnation=state.incarnation,
        beat=state.beat,
        keeper=state.keeper,
        lease_duration_ns=state.timing.lease_duration_ns,
        hold=state.hold_carried,
        witness_seen=state.witness_seen,
        peer_incarnation=state.peer_item.record.incarnation if state.peer_item else 0,
        break_glass=state.glass_here(),
        glass_unknown=state.glass_unknown(),
    )


def adopt(state: OwnershipState, found: SiteItem, now_ns: int) -> bool:
    """P3: the key shows a beat of ours: adopt its revision and what *that beat* earned.

    True if it is a beat this incarnation sent. Never from the time of the read.
    """
    record = found.record
    beat = state.beats.get(record.beat)
    if record.keeper != state.keeper or record.incarnation != state.incarnation:
        return False
    if record.revoked or beat is None:
        return False
    state.own_revision = max(state.own_revision, found.revision)
    state.confirmed_sent_ns = max(state.confirmed_sent_ns, beat.sent_at_ns)
    # P30: an answer may come after it was decided that no renewal carries hold any more.
    goes_on = state.hold_carried and not state.hold_clearing
    if beat.hold and record.hold and goes_on and record.beat > state.last_beat_without_hold:
        state.hold_relied = True  # P29
    _unbroken(state, beat, now_ns)
    earn(state, beat.sent_at_ns)
    return True


def earn(state: OwnershipState, sent_at_ns: int) -> None:
    """P2, P14: what was asked for at `sent_at_ns` entitles for T from then."""
    earned = earned_deadline(sent_at_ns, state.timing.lease_duration_ns)
    state.deadline_ns = max(state.deadline_ns, earned)
    extend_rights(state)


def _unbroken(state: OwnershipState, beat: Beat, now_ns: int) -> None:
    """P32: the lease of the keeper before this one, on this boot, was not over when this renewal was sent (or
    it relied on hold, and what it held was open on its note all the while), so nobody can have broken the
    glass on the strength of our absence."""
    if not state.word_needed or state.registered:
        return
    if beat.sent_at_ns < state.inherited_deadline_ns:
        state.word_needed = False
        return
    relied = state.may_be_unbroken and state.hold_relied and _open_since(state, now_ns)
    # What guards said last may be of hosts that are off by now: `lease_broken` goes on to look at that.
    state.word_needed = not relied or guarding.dark(state, now_ns)
    if state.word_needed:
        state.undark = None


def _open_since(state: OwnershipState, now_ns: int) -> bool:
    """P32: something that the keeper before this one held has not been closed since: by its guard's word that
    has not run out, or, where there is none, because nobody has cut it off."""
    for name, service in state.services.items():
        if state.start_note.holds(name) is None:
            continue
        guard = service.guard
        if guard is None:
            if service.open_here:
                return True
        elif guard.open and not guard.certified and not guarding.closed(state, guard, now_ns):
            return True
    return False


def lease_broken(state: OwnershipState, now_ns: int) -> list[Order]:
    """P32: the lease has ended and nothing else entitles, or hold alone did and all may have been closed:
    open nothing until the peer's word, and take a new incarnation that its word can name."""
    if not state.registered or state.word_needed:
        return []
    ended = now_ns >= state.deadline_ns
    if not (ended and not state.hold_relied) and not guarding.dark(state, now_ns):
        return []
    state.word_needed = True
    state.may_be_unbroken = False
    state.undark = state.in_doubt_since_ns = None
    state.word_from_incarnation = 0
    return register(state, now_ns)


def hear_word(state: OwnershipState, now_ns: int) -> list[Order]:
    """P32: a beat of the peer names an incarnation taken after our start or break and says that no glass was
    broken there. Then P4 (1) to (4) again: what was read before does not count."""
    peer = state.peer_item
    if not state.word_needed or not state.registered or peer is None or state.phase is not Phase.ACTIVE:
        return []
    named = peer.record.peer_incarnation >= state.word_from_incarnation > 0
    if not named or peer.record.break_glass or peer.record.glass_unknown:
        return []
    state.word_needed = False
    return register(state, now_ns)


def extend_rights(state: OwnershipState) -> None:
    """P6: services whose view names us are ours until the new deadline."""
    for name, service in state.services.items():
        if state.names_us(name) and not service.giving_up:
            service.right_until_ns = max(service.right_until_ns, state.deadline_ns)


def renewal_answered(state: OwnershipState, message: RenewalAnswered, now_ns: int) -> list[Order]:
    """A renewal came back: committed, or refused by its compare."""
    hear_store(state, now_ns)
    if message.peer is not None:
        see_peer(state, message.peer, now_ns)
    if message.incarnation != state.incarnation or state.phase is Phase.SUPERSEDED:
        return []
    if message.committed:
        beat = state.beats.get(message.beat)
        sent = SiteRecord(
            incarnation=message.incarnation,
            beat=message.beat,
            keeper=state.keeper,
            lease_duration_ns=state.timing.lease_duration_ns,
            hold=beat is not None and beat.hold,
        )
        adopt(state, SiteItem(message.revision, sent), now_ns)
        promise.peer_read_with_renewal(state, message.beat, message.peer)
        return registered(state, now_ns) if state.phase is Phase.REGISTERING else []
    return _renewal_refused(state, message.own, now_ns)


def _renewal_refused(state: OwnershipState, own: SiteItem | None, now_ns: int) -> list[Order]:
    if own is None:
        return register(state, now_ns)
    if adopt(state, own, now_ns):
        if state.phase is Phase.REGISTERING:
            return registered(state, now_ns)
        # The refused beat earned nothing; send one that can, at once.
        stale = state.beats[own.record.beat].sent_at_ns < state.last_sent_ns
        return send_beat(state, now_ns) if stale and state.may_renew(now_ns) else []
    if state.registered and supersedes(state, own):
        return superseded(state, own)
    if own.record.revoked or own.record.keeper != state.keeper:
        # P4: revoked, or another keeper's registration came first and ours has not been through yet
        return register(state, now_ns)
    return []


def registered(state: OwnershipState, now_ns: int) -> list[Order]:
    """P4 (4): only now may the services be read."""
    state.registered = True
    state.confirmed_incarnation = state.incarnation
    state.registration += 1
    promise.outcome_known(state)  # P12: every earlier transaction can no longer be committed
    state.phase = Phase.READING_SERVICES
    state.read_again_at_ns = now_ns + state.timing.renew_every_ns
    return [ReadServices(state.registration)]


def supersedes(state: OwnershipState, found: SiteItem) -> bool:
    """P4: the key shows another keeper with an incarnation at least as high as any we sent."""
    return found.record.keeper != state.keeper and found.record.incarnation >= state.incarnation


def superseded(state: OwnershipState, found: SiteItem) -> list[Order]:
    """P4: another controller of this site took the key: answer no for everything, tell the guards, and end.

    They learn the incarnation that the key shows: it was committed, so it is the higher one whoever of the
    two they hear first (P21), and nothing of ours that is still on its way to them counts any more."""
    state.phase = Phase.SUPERSEDED
    for service in state.services.values():
        service.known = False
        service.item = None
    return [
        *guarding.tell_of_successor(state, found.record.incarnation),
        Exit(
            f"superseded: the key shows incarnation {found.record.incarnation}, "
            f"this keeper is {state.incarnation}"
        ),
    ]


def services_read(state: OwnershipState, message: ServicesRead, now_ns: int) -> list[Order]:
    """P4 (4) answered: the views count again."""
    hear_store(state, now_ns)
    if message.registration != state.registration or state.phase is not Phase.READING_SERVICES:
        return []
    found = dict(message.items)
    for name, service in state.services.items():
        if not service.known:
            service.known = True
            service.item = None
            service.giving_up = False  # P23: a later renewal has succeeded, and this read is after it
            if name in found:
                take_view(state, name, found[name])
            waited, service.waiting_item = service.waiting_item, None
            if waited is not None and waited.revision > message.revision:
                # Written after this read, and the watch was faster than the read's answer: it will not
                # be told again.
                see_service(state, name, waited)
        elif name in found:
            see_service(state, name, found[name])
    state.phase = Phase.ACTIVE
    return []


def see_service(state: OwnershipState, name: str, item: ServiceItem) -> None:
    """P5: a view is replaced only by one of a higher revision; a dropped view waits for P4 (4)."""
    service = state.services.get(name)
    if service is None:
        return
    if not service.known:
        if service.waiting_item is None or item.revision > service.waiting_item.revision:
            service.waiting_item = item
        return
    if service.item is None or item.revision > service.item.revision:
        take_view(state, name, item)


def take_view(state: OwnershipState, name: str, item: ServiceItem) -> None:
    """Replace the view and draw what follows for this site's right."""
    service = state.services[name]
    service.item = item
    service.automatic = item.record.mode is Mode.AUTOMATIC
    if service.automatic:
        service.made_automatic = False  # P27: it is known to be written
    if item.record.primary == state.site:
        if not service.shut:
            service.open_here = True
        if not service.giving_up:
            service.right_until_ns = max(service.right_until_ns, state.deadline_ns)
    else:
        service.giving_up = False
        service.shut = False


def hear_store(state: OwnershipState, now_ns: int) -> None:
    """P9, P33: the store answers. If it was put back while it was out of reach, the peer's later renewals are
    forgotten: the wait for its lease begins here."""
    if not state.in_touch(now_ns):
        state.in_touch_since_ns = now_ns
        state.peer_revoked_revision = 0
    state.store_answered_ns = now_ns


def see_peer(state: OwnershipState, item: SiteItem, now_ns: int) -> None:
    """P8: t_seen is when the answer arrived; the first sight of a revision counts.

    A revision that carries the beat we know is no sign of life: it is our own revoked flag (P10), and a
    wait that began with that beat goes on (P11).
    """
    before = state.peer_item
    if before is not None and item.revision <= before.revision:
        return
    state.peer_item = item
    if before is None or _beat_of(before) != _beat_of(item):
        state.peer_seen_ns = now_ns
    if state.registered and item.record.peer_incarnation >= state.confirmed_incarnation:
        state.former_incarnations = ()
    promise.peer_seen(state, item)


def _beat_of(item: SiteItem) -> tuple[str, int, int]:
    return item.record.keeper, item.record.incarnation, item.record.beat


def due_fences(state: OwnershipState, now_ns: int) -> list[Order]:
    """P7, and what is open here though another owns it: fence by the driver (until the guard exists)."""
    orders: list[Order] = []
    for name, service in state.services.items():
        # One that is being closed is fenced as well: a close that hangs may not have cut anybody off yet.
        if not service.open_here or service.fencing:
            continue
        if not has_passed(service.fence_again_at_ns, now_ns):
            continue
        if state.under_glass(name) is not None:
            continue  # P31: an operator's certificate stands above what the store said last
        others = service.known and service.item is not None and service.item.record.primary != state.site
        ends = (service.automatic or service.made_automatic) and not _held_open(state, name)
        if others or (ends and now_ns >= fence_at(service.right_until_ns, state.timing)):
            why = "another site owns it" if others else "the lease ends"
            orders.extend(guarding.fence(state, name, why, now_ns))
    return orders


def _held_open(state: OwnershipState, name: str) -> bool:
    """P7, P30: relying on hold, or restarted on the note of one that did and not read the services yet: the
    key carried hold on, so nobody has taken anything."""
    if state.hold_relied and state.names_us(name):
        return True
    if not state.registered:
        return state.start_note.holds(name) is not None
    return state.noted_epoch(name) is not None


def due_beats(state: OwnershipState, now_ns: int) -> list[Order]:
    """Renewals and repeated reads whose time has come."""
    if state.phase is Phase.SUPERSEDED:
        return []
    if state.phase in (Phase.READING_KEY, Phase.REGISTERING):
        return read_own_key(state, now_ns) if now_ns >= state.read_again_at_ns else []
    orders: list[Order] = []
    if state.phase is Phase.READING_SERVICES and now_ns >= state.read_again_at_ns:
        state.read_again_at_ns = now_ns + state.timing.renew_every_ns
        orders.append(ReadServices(state.registration))
    if now_ns >= state.last_sent_ns + state.timing.renew_every_ns and state.may_renew(now_ns):
        orders.extend(send_beat(state, now_ns))
    return orders
