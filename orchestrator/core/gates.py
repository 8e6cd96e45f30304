"""The gates before any promotion: each recorded with its evidence, one red gate is a refusal (protocol).

`ok` None is "not known", which counts as no.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.records import Mode, ServiceRecord
from orchestrator.core.standstill import Still
from orchestrator.core.view import ServiceView, View
from sites.model import FencePolicy, Service
from sites.replication.positions import reached
from sites.replication.words import Position, Role

FRESH_WORD_SECONDS = 6.0
CUT_BELIEVED_SECONDS = 3.0  # until whoever saw it writable has looked again
PROOF_WITHIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's answer. `code` is the refusal's code when it is not open."""

    number: int
    name: str
    ok: bool | None
    code: str
    evidence: str

    @property
    def open(self) -> bool:
        """Only a positive yes opens a gate."""
        return self.ok is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be promoted where, and by whose wish. `planned`: the old primary closes in order.

    `holder_lives`: an unplanned move away from a site whose database is down while its keeper lives, which is
    asked to shut it and give it up (P23): waiting for its lease would wait for ever. `broken_glass`: P31, by
    a certificate, without the store. `reopens`: the site was its primary itself, as far as is known.
    `power_off`: P28, a person has the old site's hosts switched off first; `not_covered`: services whose
    hosts would have to be off too, and cannot be. `over_capacity`: somebody has accepted by name that the
    site may be short of capacity.
    """

    to_site: str
    from_site: str | None
    planned: bool
    automatic: bool
    certified_down: bool = False
    holder_lives: bool = False
    broken_glass: bool = False
    reopens: bool = False
    power_off: bool = False
    not_covered: tuple[str, ...] = ()
    accept_loss_seconds: float | None = None
    over_capacity: bool = False

    @property
    def any_loss_accepted(self) -> bool:
        """Somebody has accepted by name that it is not known how much would be lost."""
        return self.accept_loss_seconds == math.inf


Look = Callable[[View, ServiceView, Wish], Gate]


@dataclass(frozen=True, slots=True)
class Check:
    """One gate: `opens` goes on after "opens when", for the page of decisions; `codes` are all that it may
    refuse with."""

    number: int
    name: str
    opens: str
    codes: tuple[str, ...]
    look: Look


def gates(view: View, service: ServiceView, wish: Wish) -> tuple[Gate, ...]:
    """Every gate's answer for this wish, in the order of their numbers."""
    return tuple(check.look(view, service, wish) for check in CHECKS)


def first_closed(answers: tuple[Gate, ...]) -> Gate | None:
    """The gate to name in a refusal."""
    return next((gate for gate in answers if not gate.open), None)


def loss_bound_seconds(view: View, service: ServiceView, wish: Wish | None = None) -> float | None:
    """At most so many seconds of writes would be lost by promoting the standby now; None: not known. For a
    `wish` that waits for the old site's lease: when that is over.

    Once it was given up nothing was written any more, so the bound does not grow while it waits; nor does it
    while the primary is proven dead or cut off. What is proven now says nothing of a wait that is to come."""
    last_ns = written_until_ns(view, service, wish)
    if service.safe_until_ns is None or last_ns is None:
        return None
    if service.record is not None and service.record.primary is None:
        last_ns -= int(service.nobody_for_seconds * 1e9)
    still = standing_still(view, service, wish)
    if still is not None:
        last_ns = min(last_ns, still.since_ns)
    return max(0, last_ns - service.safe_until_ns) / 1e9


def standing_still(view: View, service: ServiceView, wish: Wish | None = None) -> Still | None:
    """The proof that nothing was written at the primary's site since then until now; None when there is none,
    or it may have been overtaken: whatever is not certain ends it, and the bound grows again. For a `wish`
    that waits, until then."""
    still, record = service.still, service.record
    if still is None or record is None or written_until_ns(view, service, wish) != view.now_ns:
        return None
    if record.primary is None:
        # Only a look begun after the give-up joins the two without a gap; after that nobody may write there.
        return still if still.given_up_epoch == record.epoch else None
    if view.now_ns - still.seen_ns > FRESH_WORD_SECONDS * 1e9:
        return None
    if record.primary == view.peer and view.peer_is_silent:
        return None  # its word was true when it was said; what is done there since, nobody tells us
    came_back = service.role_at(record.primary) in (Role.PRIMARY, Role.STANDBY)
    return None if came_back and not still.behind_gate else still


def still_words(view: View, still: Still) -> str:
    """What the proof says, for people."""
    since_seconds = max(0, view.now_ns - still.since_ns) / 1e9
    return f"nothing was written in the last {since_seconds:.1f} s, by its own site's proof: {still.evidence}"


def written_until_ns(view: View, service: ServiceView, wish: Wish | None) -> int | None:
    """Until when the old primary may accept writes if this wish is carried out: a site that nobody hears from
    may go on until its lease is over, and what it accepts meanwhile is lost too. None: not known."""
    record = service.record
    if wish is None or wish.planned or wish.certified_down or wish.holder_lives:
        return view.now_ns
    if wish.power_off and service.power.verified:
        return view.now_ns
    if record is None:
        return None  # whoever serves it may go on doing so
    if record.primary != view.peer or view.keeper is None:
        return view.now_ns
    over_ns = view.keeper.peer_lease_over_ns
    return max(view.now_ns, over_ns) if over_ns is not None else None


def final_position(service: ServiceView) -> Position | None:
    """Where the service was closed in order, while nobody is primary for it."""
    record = service.record
    return record.final_position if record is not None and record.primary is None else None


def reaches(service: ServiceView, site: str, final: Position) -> bool:
    """The instance at `site` is seen to have everything up to the final position."""
    sample = service.samples.get(site)
    return reached(sample.position if sample is not None else None, final) is True


def _right(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 1: P10, P24 or P28. The transaction itself decides; this says what it would find."""
    record = service.record
    if wish.broken_glass:
        words = f"no quorum here; whoever orders it certifies that {view.peer} is off and stays off"
        return Gate(1, "right to it", True, "", words)
    if not view.registered or record is None:
        return Gate(1, "right to it", None, "no-quorum", "ownership is not known here at this moment")
    if wish.holder_lives:
        return Gate(1, "right to it", True, "", f"{record.primary}'s keeper shuts it and gives it up itself")
    if wish.planned:
        return Gate(1, "right to it", True, "", f"{record.primary} gives it up, {wish.to_site} claims it")
    if record.primary is None:
        return Gate(1, "right to it", True, "", f"given up by {record.previous}, nobody is primary")
    if wish.power_off and wish.not_covered:
        words = f"{view.peer} would go on serving {', '.join(wish.not_covered)}: not every host has a device"
        return Gate(1, "right to it", False, "device-missing", words)
    certain = wish.certified_down or wish.power_off
    if record.mode is Mode.MANUAL and not certain:
        words = "a manual service needs a certificate that its site is down, or a verified cut of its hosts"
        return Gate(1, "right to it", False, "manual", words)
    peer = view.keeper.peer if view.keeper is not None else None
    holds = peer is not None and peer.hold
    if wish.power_off and (holds or record.mode is Mode.MANUAL):
        return Gate(1, "right to it", True, "", f"the run has {_hosts(service, wish)} switched off first")
    if record.mode is Mode.MANUAL:
        return Gate(1, "right to it", True, "", f"{wish.from_site} is certified down")
    if wish.power_off and not view.peer_lease_over:
        words = f"{view.peer} still has its lease, and a verified cut does not take that from it"
        return Gate(1, "right to it", False, "lease-still-held", words)
    if holds and not certain:
        return Gate(1, "right to it", False, "peer-holds", f"{view.peer} may be serving without any contact")
    if view.peer_lease_over:
        return Gate(1, "right to it", True, "", f"{view.peer}'s lease is over, silent {_silent(view)}")
    if not wish.automatic:
        return Gate(1, "right to it", True, "", f"the run waits until {view.peer}'s lease is over")
    return Gate(1, "right to it", False, "lease-still-held", f"{view.peer} was last seen {_silent(view)} ago")


def _hosts(service: ServiceView, wish: Wish) -> str:
    return f"{', '.join(service.power.hosts) or 'every host'} at {wish.from_site}"


def _silent(view: View) -> str:
    silent = view.peer_silent_seconds
    return "never" if silent is None else f"{silent:.1f} s"


def _old_primary(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 2: the old primary does not answer as writable, to us or to anybody else who looked lately.

    After a give-up, which its own keeper proved shut, only what was seen since counts: until then it was
    rightly writable. After the end of its lease nobody has proved anything: the last word of whoever saw it
    writable stands until the same one sees it otherwise, which observers publish at once, or is too old. A
    verified cut proves it, once everybody has had the time to look again: then only what was seen since
    counts, and that would prove the cut wrong.
    """
    name = "old primary not writable"
    if wish.planned or wish.from_site is None:
        return Gate(2, name, True, "", "it is closed before anything is promoted")
    if wish.holder_lives and service.role_at(wish.from_site) is Role.DOWN:
        # Of a service of several parts one may still accept writes; its keeper shuts them all, and proves it.
        return Gate(2, name, True, "", "it is down, and whatever is left of it is shut before it is given up")
    given_up = service.record is not None and service.record.primary is None
    since_seconds = min(FRESH_WORD_SECONDS, service.nobody_for_seconds) if given_up else FRESH_WORD_SECONDS
    theirs = wish.from_site == view.peer
    cut = service.power.verified and theirs
    cut_seconds = (view.now_ns - service.power.cut_at_ns) / 1e9 if cut else 0.0
    if cut_seconds >= CUT_BELIEVED_SECONDS:
        since_seconds = min(since_seconds, cut_seconds)
    witnesses = []
    sample = service.samples.get(wish.from_site)
    seen_seconds = (view.now_ns - sample.taken_at_ns) / 1e9 if sample is not None else 0.0
    if service.writable_at(wish.from_site) and seen_seconds <= since_seconds:
        witnesses.append(f"it answered us as writable {seen_seconds:.1f} s ago")
    for word in service.outside:
        fresh = word.age_seconds <= since_seconds
        if word.site == wish.from_site and word.writable and fresh and word.observer != wish.from_site:
            witnesses.append(f"{word.observer} saw it writable {word.age_seconds:.1f} s ago")
    if witnesses and theirs and wish.power_off and view.peer_lease_over and not cut:
        words = f"{'; '.join(witnesses)}; the run has {_hosts(service, wish)} switched off first"
        return Gate(2, name, True, "", words)
    if witnesses:
        after = f"; {cut_seconds:.1f} s ago it was said to be off: {service.power.words}" if cut else ""
        return Gate(2, name, False, "old-primary-writable", "; ".join(witnesses) + after)
    if cut:
        return Gate(2, name, True, "", f"{wish.from_site}'s hosts are off: {service.power.words}")
    seen = f"{sample.role} ({sample.reason})" if sample is not None else "no answer"
    return Gate(2, name, True, "", f"{wish.from_site} from here: {seen}; nobody else sees it writable")


def _data(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 3: what could be lost, the age of what is known counted in, within `max_data_loss`."""
    name = "data loss within the limit"
    limit = service.service.max_data_loss_seconds
    if wish.planned:
        return _data_of_planned(service, wish)
    if wish.reopens:
        return Gate(3, name, True, "", f"{wish.to_site} was its primary itself, so what it wrote is there")
    final = final_position(service)
    if final is not None:
        return _data_of_closed(view, service, wish, final)
    bound = loss_bound_seconds(view, service, wish)
    accepted = wish.accept_loss_seconds
    if bound is None:
        if wish.any_loss_accepted:
            return Gate(3, name, True, "", "not known how much; any loss was accepted by name")
        return Gate(3, name, None, "lag-unknown", "no position of the old primary is known to be here")
    still = standing_still(view, service, wish)
    proof = f" ({still_words(view, still)})" if still is not None else ""
    words = f"at most {bound:.1f} s of writes{proof}; limit {limit:g} s"
    if bound <= limit:
        return Gate(3, name, True, "", words)
    if accepted is None and _proof_is_on_its_way(view, service):
        return Gate(3, name, None, "proof-awaited", f"{words}; its site looks whether it stood still since")
    if accepted is None:
        return Gate(3, name, False, "lag-above-limit", words)
    if accepted < bound:
        return Gate(3, name, False, "loss-not-accepted", f"{words}; accepted {accepted:g} s")
    return Gate(3, name, True, "", f"{words}; {accepted:g} s accepted by name")


def _proof_is_on_its_way(view: View, service: ServiceView) -> bool:
    """What was proven before a give-up is proven up to it by one more look, which its site takes at once."""
    record, still, safe_ns = service.record, service.still, service.safe_until_ns
    if record is None or record.primary is not None or still is None or safe_ns is None:
        return False
    within = (still.since_ns - safe_ns) / 1e9 <= service.service.max_data_loss_seconds
    return within and still.given_up_epoch is None and service.nobody_for_seconds <= PROOF_WITHIN_SECONDS


def _data_of_closed(view: View, service: ServiceView, wish: Wish, final: Position) -> Gate:
    """P24: closed in order, so everything is there to be had; to go on without it takes a person's name,
    however little it is."""
    name = "data loss within the limit"
    if reaches(service, wish.to_site, final):
        return Gate(3, name, True, "", f"closed in order at {final.text}, and all of it is at {wish.to_site}")
    bound, accepted = loss_bound_seconds(view, service, wish), wish.accept_loss_seconds
    words = f"closed in order at {final.text}, which {wish.to_site} is not seen to have reached"
    if accepted is None:
        return Gate(3, name, False, "below-final-position", words)
    if wish.any_loss_accepted or (bound is not None and accepted >= bound):
        return Gate(3, name, True, "", f"{words}; {accepted:g} s accepted by name")
    at_most = "not known how much would be lost" if bound is None else f"at most {bound:.1f} s of writes"
    return Gate(3, name, False, "loss-not-accepted", f"{words}; {at_most}, accepted {accepted:g} s")


def _data_of_planned(service: ServiceView, wish: Wish) -> Gate:
    name = "data loss within the limit"
    standby = service.samples.get(wish.to_site)
    if standby is None or standby.role is not Role.STANDBY:
        return Gate(3, name, None, "lag-unknown", f"{wish.to_site} does not answer as a standby")
    if not standby.streaming or service.lag_seconds is None:
        return Gate(3, name, False, "lag-unknown", f"{wish.to_site} is not receiving from {wish.from_site}")
    if standby.position is not None and not standby.position.text:
        words = (
            f"{wish.to_site} gives no position, so nobody could tell when it has everything that was written"
        )
        return Gate(3, name, None, "lag-unknown", words)
    words = f"{service.lag_seconds:.1f} s behind; all of it is waited for"
    limit = service.service.max_data_loss_seconds
    if service.lag_seconds > limit:
        return Gate(3, name, False, "lag-above-limit", f"{words}; above {limit:g} s that would take long")
    return Gate(3, name, True, "", words)


def _history(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 4: the standby continues the primary's own history."""
    name = "same history"
    if wish.reopens:
        return Gate(4, name, True, "", f"{wish.to_site} was its primary itself")
    standby = service.samples.get(wish.to_site)
    position = standby.position if standby is not None else None
    if position is None:
        return Gate(4, name, None, "history-unknown", f"{wish.to_site} has not said which history it has")
    expected = service.final_primary_history
    if not expected:
        words = "the primary's history has not been seen since our start"
        if wish.any_loss_accepted:
            # Nobody is left to ask once the primary is gone: a person names this side the right one.
            return Gate(4, name, True, "", f"{words}; any loss was accepted by name")
        return Gate(4, name, None, "history-unknown", words)
    if position.history != expected:
        words = f"{wish.to_site} has {position.history}, the primary had {expected}"
        return Gate(4, name, False, "history-diverged", words)
    return Gate(4, name, True, "", position.history)


def flap_left_seconds(service: Service, record: ServiceRecord | None, unix_seconds: float) -> float | None:
    """How long gate 6 stays closed by itself. The time of day may be wrong, and then the wait is the whole
    time, never less."""
    if record is None or record.last_move is None or record.last_move.acknowledged_by:
        return None
    passed_seconds = unix_seconds - record.last_move.at_unix_seconds
    if passed_seconds < 0:
        return service.min_time_between_failovers_seconds or None
    left_seconds = service.min_time_between_failovers_seconds - passed_seconds
    return left_seconds if left_seconds > 0 else None


def _capacity(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 5: it fits at the site, beside what is there and what goes before it from a lost site."""
    name = "room for it"
    room = service.rooms.get(wish.to_site)
    if room is None:
        return Gate(5, name, True, "", f"the capacity of {wish.to_site} is not stated, so nothing bounds it")
    if wish.reopens:
        return Gate(5, name, True, "", f"{wish.to_site} was its primary itself")
    if room.fits:
        return Gate(5, name, True, "", room.words)
    if wish.over_capacity:
        return Gate(5, name, True, "", f"{room.words}; accepted by name")
    return Gate(5, name, False, "capacity-short", room.words)


def shed_for(service: ServiceView, wish: Wish) -> tuple[str, ...]:
    """The services to be shed at the site that is moved to, in this order."""
    room = service.rooms.get(wish.to_site)
    return room.shed if room is not None and not wish.reopens else ()


def _flapping(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 6: no second automatic move within `min_time_between_failovers` unless somebody looked."""
    name = "not flapping"
    left = service.flap_left_seconds
    if not wish.automatic or not left:
        return Gate(6, name, True, "", "no unacknowledged automatic move lately")
    return Gate(
        6, name, False, "flap-damped", f"moved by itself lately; {left:.0f} s left, or acknowledge it"
    )


def _paused(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 7: not paused."""
    if service.pause_left_seconds is None:
        return Gate(7, "not paused", True, "", "not paused")
    return Gate(7, "not paused", False, "paused", service.pause_words)


def _fenced(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 8: services with `fence: confirm` need one fencing level confirmed."""
    name = "old primary fenced"
    if service.service.fence is not FencePolicy.CONFIRM or wish.planned:
        return Gate(8, name, True, "", "no confirmation asked for")
    if wish.certified_down:
        return Gate(8, name, True, "", "certified down by an operator")
    if service.power.verified and wish.from_site == view.peer:
        return Gate(8, name, True, "", f"verified cut: {service.power.words}")
    if wish.power_off:
        return Gate(8, name, True, "", f"the run has {_hosts(service, wish)} switched off first")
    record = service.record
    if record is not None and record.primary is None:
        return Gate(8, name, True, "", f"{record.previous} gave it up after its own fence")
    if service.fence_confirmed:
        return Gate(8, name, True, "", "a fencing level has confirmed")
    tried = f": {service.power.words}" if service.power.words else ""
    words = f"no fencing level has confirmed{tried}"
    return Gate(8, name, service.fence_confirmed, "fence-not-confirmed", words)


CHECKS: tuple[Check, ...] = (
    Check(
        1,
        "right to it",
        "the move is planned, and the old site gives it up first; or it was given up; or it is automatic and "
        "the old site's lease is over (a run that a person ordered waits for that); or it is manual and a "
        "person certified that site down, or has all its hosts switched off and verified; or there is no "
        "quorum here, and a person breaks the glass",
        ("no-quorum", "manual", "lease-still-held", "peer-holds", "device-missing"),
        _right,
    ),
    Check(
        2,
        "old primary not writable",
        f"neither this site nor any other observer but the old one has seen the old primary accept writes "
        f"in the last {FRESH_WORD_SECONDS:.0f} s, unless the same one has seen otherwise since (after a "
        "give-up or a verified cut: since that)",
        ("old-primary-writable",),
        _old_primary,
    ),
    Check(
        3,
        "data loss within the limit",
        "what could be lost, the age of what is known counted in until the old primary is proven to stand "
        "still, and whatever a site that is still to lose its lease may accept until then, is within "
        "`max_data_loss`, or a person accepted it by name; what was closed in order must be here to its end, "
        "or a person must say so; for a planned move the standby must be receiving, and no further behind "
        "than `max_data_loss`; of a service that is opened again where it was, nothing is lost",
        ("lag-unknown", "lag-above-limit", "proof-awaited", "loss-not-accepted", "below-final-position"),
        _data,
    ),
    Check(
        4,
        "same history",
        "the standby continues the history in which the primary was last seen writable; if that was not "
        "seen since this controller started, only a person's `--accept-loss any` opens it",
        ("history-unknown", "history-diverged"),
        _history,
    ),
    Check(
        5,
        "room for it",
        "what the service and those before it take of the site's stated capacity is there, if need be after "
        "shedding services of lower rank that have a `shed` runbook; or no capacity is stated; or a person "
        "accepted by name that it is short",
        ("capacity-short",),
        _capacity,
    ),
    Check(
        6,
        "not flapping",
        "the last unplanned move is longer ago than `min_time_between_failovers`, or somebody acknowledged "
        "it; asked of automatic moves only",
        ("flap-damped",),
        _flapping,
    ),
    Check(7, "not paused", "nobody has paused the service", ("paused",), _paused),
    Check(
        8,
        "old primary fenced",
        "the service does not ask for `fence: confirm`; or its old primary was cut off to give it up, a "
        "fencing level has confirmed (its own host over SSH, or devices that cut every host of it off), or a "
        "person certified the old site down",
        ("fence-not-confirmed",),
        _fenced,
    ),
)
