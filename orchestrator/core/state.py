"""The keeper's state, and the questions one can put to it without changing it."""

from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.lease import LeaseTiming, fence_at, has_passed, takeover_after, wait_of
from orchestrator.core.messages import Ask, ServiceItem, SiteItem
from orchestrator.core.notes import EMPTY, Glass, Note
from orchestrator.core.records import Mode
from sites.replication.words import Position

KEPT_BEATS = 256


class Phase(StrEnum):
    """Where the keeper is on its way through P4."""

    READING_KEY = "reading-key"
    REGISTERING = "registering"
    READING_SERVICES = "reading-services"
    ACTIVE = "active"
    SUPERSEDED = "superseded"


@dataclass(slots=True)
class ServiceState:
    """One service as the keeper knows it.

    `known` False: the view was dropped (P4) and nothing may be answered from it. `right_until_ns`: the
    deadline that went with the last view that named this site. `open_here`: the instance here may be open
    to clients and nothing has proven otherwise; P7 covers exactly these. `shut`: closed or fenced by us;
    only InstanceOpened undoes it. `waiting_item`: the newest record that arrived while the view was dropped;
    it counts only if it is newer than the read of P4 (4).
    """

    item: ServiceItem | None = None
    known: bool = False
    waiting_item: ServiceItem | None = None
    automatic: bool = True
    right_until_ns: int = 0
    open_here: bool = False
    giving_up: bool = False
    closing: bool = False
    fencing: bool = False
    shut: bool = False
    fence_again_at_ns: int = 0
    fence_evidence: str = ""
    final_position: Position | None = None
    made_automatic: bool = False
    guard: "GuardState | None" = None


@dataclass(slots=True)
class GuardState:
    """What is known of one service's guard at this site, from its own word and what it was told.

    `heard`: it has asked since it came. `known_incarnation`: the highest it has acknowledged (P21).
    `told_until_ns`: until when, at the latest, it may stay open on what it was answered, our clock.
    `told_manual`: it may stay open for ever.
    `fence_order`, `automatic_order`, `learn_order`: numbers of orders not acknowledged yet, 0 for none.
    `cut`: it has acknowledged a fence, and was answered nothing since that would open it; `cut_since_ns`:
    since when. `says_closed`: the same by its own last question. `certified`: it says that a certificate
    keeps it open (P31). `said_open_ns`: when it last said that it is open; `said_closed_ns`: when it first
    said that it is closed since then.
    """

    connected: bool = False
    heard: bool = False
    open: bool = False
    incarnation: int = 0
    epoch: int = 0
    known_incarnation: int = 0
    told_until_ns: int = 0
    told_manual: bool = False
    cut: bool = False
    cut_since_ns: int = 0
    says_closed: bool = False
    certified: bool = False
    said_open_ns: int = 0
    said_closed_ns: int = 0
    automatic: bool = False
    fence_order: int = 0
    automatic_order: int = 0
    learn_order: int = 0
    ordered_at_ns: int = 0
    nudged_at_ns: int = 0
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Beat:
    """A renewal that was sent: when, and whether it carried hold."""

    sent_at_ns: int
    hold: bool


@dataclass(slots=True)
class Outstanding:
    """A transaction without an answer yet; one sent before the last `registration` is ignored (P5). `waited`:
    when it was sent, the peer's lease was over by our clock (P9), not only by somebody's word (P28, P31).
    `neutral`: it leaves owner, epoch and mode as they are, so that nobody's right depends on its outcome."""

    ask: int
    services: tuple[str, ...]
    registration: int
    writer: str
    takes: bool = False
    waited: bool = False
    neutral: bool = False


@dataclass(slots=True)
class PendingAsk:
    """An ask without a reply yet. `peer_read_at`: where the read before P10 found the peer's key.
    `committed`: a transaction of it was; `unanswered`: of one of it nobody knows, and what it asks is not
    sent again before `again_at_ns`."""

    what: Ask
    tries: int = 0
    transaction: int | None = None
    committed: bool = False
    unanswered: bool = False
    again_at_ns: int = 0
    reading_peer: bool = False
    peer_read_at: int = 0
    peer_revision_at_start: int = 0
    clears_note: bool = False
    remaining: tuple[str, ...] = ()
    asked_at_ns: int = 0


@dataclass(slots=True)
class OwnershipState:
    """Everything the keeper decides from. Volatile on purpose (P9): a restart must see and wait afresh."""

    site: str
    peer: str
    keeper: str
    home_services: frozenset[str]
    timing: LeaseTiming
    started_at_ns: int
    services: dict[str, ServiceState]
    phase: Phase = Phase.READING_KEY
    registered: bool = False
    incarnation: int = 0
    next_incarnation: int = 1
    beat: int = 0
    own_revision: int = 0
    confirmed_incarnation: int = 0
    # P15, P33: those of before this store was accepted, until the peer is known to have heard of this one.
    former_incarnations: tuple[int, ...] = ()
    beats: dict[int, Beat] = field(default_factory=dict)
    last_sent_ns: int = 0
    confirmed_sent_ns: int = 0
    deadline_ns: int = 0
    last_turn_ns: int = 0
    stopping: bool = False
    registration: int = 0
    read_attempt: int = 0
    first_read_that_counts: int = 0
    read_again_at_ns: int = 0
    peer_item: SiteItem | None = None
    peer_seen_ns: int = 0
    peer_revoked_revision: int = 0
    asks: dict[int, PendingAsk] = field(default_factory=dict)
    transactions: dict[int, Outstanding] = field(default_factory=dict)
    next_transaction: int = 1
    next_internal_ask: int = -1
    store_answered_ns: int = 0
    in_touch_since_ns: int = 0
    # P14 to P17: promises asked for, and given.
    promises_asked: dict[int, int] = field(default_factory=dict)
    next_promise: int = 1
    promise_asked_ns: int = 0
    promise_answered_ns: int = 0
    promised_until_ns: int = 0
    peer_live: tuple[str, int] | None = None
    unsettled: bool = False
    settled_at_beat: int = 0
    # P16, P30, P31: what may stand on the disk; several while a write is under way or has failed.
    notes_possible: tuple[Note, ...] = (EMPTY,)
    note_writing: Note | None = None
    next_note: int = 1
    note_again_ns: int = 0
    start_note: Note = EMPTY
    # P29, P30: hold. `note_is_keys`: the key that this keeper's first registration replaced was of the very
    # incarnation that its start note is of.
    hold_carried: bool = False
    hold_relied: bool = False
    note_is_keys: bool = False
    hold_clearing: bool = False
    last_beat_without_hold: int = 0
    witness_seen: bool | None = None
    witness_missing_since_ns: int | None = None
    all_seen_since_ns: int | None = None
    own_voter_seen: bool | None = None
    peer_voter_seen: bool | None = None
    # P31, P32: cold start and break-glass. `undark`: since hold alone began to entitle, one of these services
    # may have been open all the time; None: no such time is left to be judged. `in_doubt_since_ns`: since
    # when a guard is kept closed for that.
    word_needed: bool = True
    word_from_incarnation: int = 0
    inherited_deadline_ns: int = 0
    may_be_unbroken: bool = False
    undark: set[str] | None = None
    in_doubt_since_ns: int | None = None
    certifiable: bool = False
    glass: dict[str, Glass] = field(default_factory=dict)
    glass_in_question: frozenset[str] = frozenset()
    next_guard_order: int = 1

    def entitled(self, service: str, now_ns: int) -> bool:
        """P6: this site may act as primary of `service` at `now_ns`; P31: or by a certificate."""
        state = self.services[service]
        if self.under_glass(service) is not None:
            return not state.giving_up
        return (
            state.known
            and state.item is not None
            and state.item.record.primary == self.site
            and not state.giving_up
            and not self.word_needed
            and (now_ns < self.deadline_ns or self.hold_relied)
        )

    def noted_epoch(self, service: str) -> int | None:
        """P30: registered by a renewal that carries hold on, and the services not read yet: what the keeper
        before this one held by its note is held, at this epoch. The key went from its incarnation to ours
        with hold in it and nobody's between, so nothing was taken; what it gave up, it would have struck."""
        unread = self.note_is_keys and self.phase is Phase.READING_SERVICES
        return self.start_note.holds(service) if unread and self.hold_relied else None

    def ends_soon(self, service: str, now_ns: int) -> bool:
        """P7: the lease ends within D and nothing else entitles: the fence has begun or is about to, and may
        be over before something that is opened now is open."""
        state = self.services[service]
        fenced = (state.automatic or state.made_automatic) and not self.hold_relied
        late = has_passed(fence_at(self.deadline_ns, self.timing), now_ns)
        return fenced and late and self.under_glass(service) is None

    def under_glass(self, service: str) -> Glass | None:
        """P31: the certificate under which it is served here; it counts once the disk has it."""
        glass = self.glass.get(service)
        if glass is None or not all(any(map(glass.same, note.glass)) for note in self.notes_possible):
            return None
        if service in self.glass_in_question and not self._glass_stands(glass):
            return None
        return glass

    def _glass_stands(self, glass: Glass) -> bool:
        """The keeper before this one had begun to reconcile: it counts only where the store, read after our
        own registration (P4, P12), shows that nothing came of that."""
        service = self.services[glass.service]
        return service.known and (service.item is None or service.item.record.epoch <= glass.epoch)

    def glass_here(self) -> bool:
        """P31, P32: glass was broken here, or the next keeper of this site may still find so on the disk, and
        would serve by it, or a guard says that a certificate keeps it open: until none of it is so, the peer
        has not our word."""
        guards = [service.guard for service in self.services.values() if service.guard is not None]
        return (
            bool(self.glass)
            or any(note.glass for note in self.notes_possible)
            or any(guard.certified for guard in guards)
        )

    def glass_unknown(self) -> bool:
        """P32: a site answers only from its whole journal, and a guard that an operator's signed certificate
        opens keeps a part of it: one that has not been heard since it came may be open by one."""
        guards = [service.guard for service in self.services.values() if service.guard is not None]
        return self.certifiable and not all(guard.connected and guard.heard for guard in guards)

    def epoch(self, service: str) -> int:
        """The epoch at which this site would act for `service`."""
        glass = self.under_glass(service)
        item = self.services[service].item
        return glass.epoch if glass is not None else item.record.epoch if item is not None else 0

    def names_us(self, service: str) -> bool:
        """The view (if any) says this site is primary."""
        state = self.services[service]
        return state.known and state.item is not None and state.item.record.primary == self.site

    def may_take_at(self, hold_down_ns: int) -> int | None:
        """P9: the instant strictly after which the peer's lease is over; None: it was never seen."""
        if self.peer_item is None:
            return None
        if self.peer_item.record.revoked and self.peer_item.revision == self.peer_revoked_revision:
            return self.started_at_ns  # P11: we revoked it ourselves, after the wait
        seen_ns = max(self.peer_seen_ns, self.in_touch_since_ns)
        return max(
            takeover_after(seen_ns, self.peer_item.record.lease_duration_ns, self.timing.clock_drift),
            self.started_at_ns + wait_of(self.timing.lease_duration_ns, self.timing.clock_drift),
            self.peer_seen_ns + hold_down_ns,
            self.promised_until_ns,
        )

    def in_touch(self, now_ns: int) -> bool:
        """P9, P33: the store has answered within T. One that has not may have been put back meanwhile to
        where it was last seen, so what was seen then says nothing of how long the peer's lease lasts."""
        return not has_passed(self.store_answered_ns + self.timing.lease_duration_ns, now_ns)

    @property
    def unbroken_until_ns(self) -> int:
        """P7, P32: the deadline of a lease that the next keeper of this boot may count as unbroken; 0: none.
        One without the peer's word entitles to nothing, and one before which all may have been dark must not
        look unbroken. A keeper that has not registered passes on what was left to it."""
        if not self.registered:
            return self.inherited_deadline_ns
        return 0 if self.word_needed or self.undark is not None else self.deadline_ns

    def decider_lives(self, now_ns: int) -> bool:
        """P1: the deciding loop has completed a turn within T/2."""
        return not has_passed(self.last_turn_ns + self.timing.lease_duration_ns // 2, now_ns)

    def may_renew(self, now_ns: int) -> bool:
        """P1: a hung decider must not keep a lease alive."""
        return not self.stopping and self.decider_lives(now_ns)


def new_state(
    *,
    site: str,
    peer: str,
    keeper: str,
    home_services: frozenset[str],
    modes: dict[str, Mode],
    timing: LeaseTiming,
    now_ns: int,
    inherited_open: frozenset[str] = frozenset(),
    inherited_deadline_ns: int = 0,
    guarded: frozenset[str] = frozenset(),
    note: Note = EMPTY,
    certifiable: bool = False,
) -> OwnershipState:
    """A keeper that starts. `inherited_*`: what the keeper before it on this boot had open, and until when;
    it gives no right, it only says by when to fence if no right comes, and whether the lease was unbroken
    (P32). `guarded`: services whose host here has a guard. `note`: what stands on the disk (P16, P30, P31);
    without `hold_*` if it is of another boot, after which nothing is open. `certifiable`: a guard here may be
    opened by a certificate that we never saw (P31)."""
    services = {
        name: ServiceState(
            automatic=mode is Mode.AUTOMATIC,
            open_here=name in inherited_open,
            right_until_ns=inherited_deadline_ns if name in inherited_open else 0,
            # What a keeper before this one answered may keep it open as long as a lease (P18), or for ever.
            guard=GuardState(told_until_ns=now_ns + timing.lease_duration_ns, told_manual=True)
            if name in guarded
            else None,
        )
        for name, mode in modes.items()
    }
    return OwnershipState(
        site=site,
        peer=peer,
        keeper=keeper,
        home_services=home_services,
        timing=timing,
        started_at_ns=now_ns,
        last_turn_ns=now_ns,
        services=services,
        inherited_deadline_ns=inherited_deadline_ns,
        notes_possible=(note,),
        start_note=note,
        certifiable=certifiable,
        may_be_unbroken=note.hold_incarnation > 0,
        glass={glass.service: glass for glass in note.glass},
        glass_in_question=frozenset(glass.service for glass in note.glass if glass.reconciling),
    )
