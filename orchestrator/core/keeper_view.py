"""What the keeper tells its controller, its guards-to-be and the note on disk: one frozen picture.

Instants are CLOCK_BOOTTIME of this machine, the same for both processes, so the controller may compare
them with its own reading. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.messages import GiveUpDead, GiveUpPlanned, TakeOver
from orchestrator.core.notes import Glass
from orchestrator.core.records import ServiceRecord, SiteRecord
from orchestrator.core.restored import Word
from orchestrator.core.state import GuardState, OwnershipState
from orchestrator.store.continuity import StoreTrust


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHeld:
    """One service. `record` None with `known`: nobody has ever claimed it; not `known`: see P4."""

    service: str
    known: bool
    revision: int
    record: ServiceRecord | None
    entitled: bool
    open_here: bool
    shut: bool
    giving_up: bool
    fence_evidence: str
    under_glass: str = ""
    guard: "GuardHeld | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardHeld:
    """One service's guard at this site. `knows_us`: it has acknowledged this keeper's incarnation (P21).
    `closed_since_ns`: since when an acknowledged cut of it has stood, 0 if none does or it is not there to
    say so. `protects`, `lacks`: its own words about its host."""

    connected: bool
    open: bool
    epoch: int
    knows_us: bool
    closed_since_ns: int = 0
    protects: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperView:
    """The keeper's picture at `at_ns`."""

    site: str
    at_ns: int
    phase: str
    incarnation: int
    deadline_ns: int
    store_answered_ns: int
    peer: SiteRecord | None
    peer_seen_ns: int
    peer_revision: int
    peer_lease_over_ns: int | None
    taking_over: bool
    renewals_suspended: bool
    store_problem: str
    store_round_trip_seconds: float | None
    services: tuple[ServiceHeld, ...]
    word_needed: bool = False
    promise_needed: bool = False
    promised_until_ns: int = 0
    hold_carried: bool = False
    hold_relied: bool = False
    note_problem: str = ""
    peer_problem: str = ""
    doors_refused: tuple[tuple[str, int], ...] = ()
    certificate_ends: tuple[tuple[str, float], ...] = ()
    store_trust: StoreTrust | None = None
    store_words: tuple[Word, ...] = ()
    glass: tuple[Glass, ...] = ()
    guard_clock_rates: tuple[tuple[str, float], ...] = ()

    @property
    def right_lasts(self) -> bool:
        """This site has a right at `at_ns`: a lease that runs, or hold that it relies on."""
        return not self.word_needed and (self.at_ns < self.deadline_ns or self.hold_relied)

    def differs(self, other: "KeeperView | None") -> bool:
        """Whether more than times has changed: something that may change a decision at once."""
        return other is None or _what_matters(self) != _what_matters(other)

    def service(self, name: str) -> ServiceHeld | None:
        """The service of that name."""
        return next((held for held in self.services if held.service == name), None)


def _what_matters(view: KeeperView) -> tuple[object, ...]:
    return (
        view.phase,
        view.services,
        view.taking_over,
        view.store_problem,
        view.word_needed,
        view.hold_carried,
        view.hold_relied,
        view.glass,
    )


def picture(
    state: OwnershipState,
    now_ns: int,
    *,
    store_problem: str = "",
    round_trip_seconds: float | None = None,
    note_problem: str = "",
    peer_problem: str = "",
    doors_refused: tuple[tuple[str, int], ...] = (),
    certificate_ends: tuple[tuple[str, float], ...] = (),
    store_trust: StoreTrust | None = None,
    store_words: tuple[Word, ...] = (),
    guard_words: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] | None = None,
    guard_clock_rates: tuple[tuple[str, float], ...] = (),
) -> KeeperView:
    """The state as a picture. `guard_words`: what each guard protects from and what it lacks;
    `guard_clock_rates`: by service, how its guard's clock runs against this one (`clocks.ClockTrack.rate`).
    `certificate_ends`: by identity, when the certificates shown at the doors run out, in Unix time.
    `store_words`: what this site last knew of every service (P33)."""
    words = guard_words or {}
    services = tuple(
        ServiceHeld(
            service=name,
            known=service.known,
            revision=service.item.revision if service.item else 0,
            record=service.item.record if service.item else None,
            entitled=state.entitled(name, now_ns),
            open_here=service.open_here,
            shut=service.shut,
            giving_up=service.giving_up or service.closing or _being_given_up(state, name),
            fence_evidence=service.fence_evidence,
            under_glass=glass.certificate if (glass := state.under_glass(name)) is not None else "",
            guard=_guard(state, service.guard, words.get(name, ((), ()))),
        )
        for name, service in state.services.items()
    )
    return KeeperView(
        site=state.site,
        at_ns=now_ns,
        phase=str(state.phase),
        incarnation=state.incarnation,
        deadline_ns=state.deadline_ns,
        store_answered_ns=state.store_answered_ns,
        peer=state.peer_item.record if state.peer_item else None,
        peer_seen_ns=state.peer_seen_ns,
        peer_revision=state.peer_item.revision if state.peer_item else 0,
        peer_lease_over_ns=state.may_take_at(0),
        taking_over=any(isinstance(pending.what, TakeOver) for pending in state.asks.values()),
        renewals_suspended=not state.may_renew(now_ns),
        store_problem=store_problem,
        store_round_trip_seconds=round_trip_seconds,
        services=services,
        word_needed=state.word_needed,
        promise_needed=state.registered
        and now_ns >= state.confirmed_sent_ns + 2 * state.timing.renew_every_ns,
        promised_until_ns=state.promised_until_ns,
        hold_carried=state.hold_carried,
        hold_relied=state.hold_relied,
        note_problem=note_problem,
        peer_problem=peer_problem,
        doors_refused=doors_refused,
        certificate_ends=certificate_ends,
        store_trust=store_trust,
        store_words=store_words,
        glass=tuple(state.glass.values()),
        guard_clock_rates=guard_clock_rates,
    )


def _guard(
    state: OwnershipState, guard: GuardState | None, words: tuple[tuple[str, ...], tuple[str, ...]]
) -> GuardHeld | None:
    if guard is None:
        return None
    return GuardHeld(
        connected=guard.connected,
        open=guard.open,
        epoch=guard.epoch,
        knows_us=guard.known_incarnation >= state.confirmed_incarnation,
        closed_since_ns=guard.cut_since_ns if _stands_cut(guard) else 0,
        protects=words[0],
        lacks=words[1],
    )


def _stands_cut(guard: GuardState) -> bool:
    """A certificate may open it without our word, so one that is out of reach proves nothing."""
    return guard.cut and guard.connected and not guard.open and not guard.certified


def _being_given_up(state: OwnershipState, name: str) -> bool:
    return any(
        isinstance(pending.what, GiveUpDead | GiveUpPlanned) and pending.what.service == name
        for pending in state.asks.values()
    )
