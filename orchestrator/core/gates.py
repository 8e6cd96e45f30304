"""The gates before any promotion: each recorded with its evidence, one red gate is a refusal (protocol).

Gate 5 (capacity) comes with whole-site plans. `ok` None is "not known", which counts as no.
"""

from dataclasses import dataclass

from orchestrator.core.records import Mode
from orchestrator.core.view import ServiceView, View
from sites.model import FencePolicy
from sites.replication.words import Role

FRESH_WORD_SECONDS = 6.0


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
    """What is to be promoted where, and by whose wish. `planned`: the old primary closes in order."""

    to_site: str
    from_site: str | None
    planned: bool
    automatic: bool
    certified_down: bool = False
    accept_loss_seconds: float | None = None


def gates(view: View, service: ServiceView, wish: Wish) -> tuple[Gate, ...]:
    """Every gate's answer for this wish, in the order of their numbers."""
    return (
        _right(view, service, wish),
        _old_primary(view, service, wish),
        _data(view, service, wish),
        _history(service, wish),
        _flapping(service, wish),
        _paused(service),
        _fenced(service, wish),
    )


def first_closed(answers: tuple[Gate, ...]) -> Gate | None:
    """The gate to name in a refusal."""
    return next((gate for gate in answers if not gate.open), None)


def loss_bound_seconds(view: View, service: ServiceView) -> float | None:
    """At most so many seconds of writes would be lost by promoting the standby now; None: not known."""
    if service.safe_until_ns is None:
        return None
    return max(0.0, (view.now_ns - service.safe_until_ns) / 1e9)


def _right(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 1: P10, P24 or P28. The transaction itself decides; this says what it would find."""
    record = service.record
    if not view.registered or record is None:
        return Gate(1, "right to it", None, "no-quorum", "ownership is not known here at this moment")
    if wish.planned:
        return Gate(1, "right to it", True, "", f"{record.primary} gives it up, {wish.to_site} claims it")
    if record.primary is None:
        return Gate(1, "right to it", True, "", f"given up by {record.previous}, nobody is primary")
    if record.mode is Mode.MANUAL and not wish.certified_down:
        return Gate(
            1, "right to it", False, "manual", "a manual service needs a certificate that its site is down"
        )
    if record.mode is Mode.MANUAL:
        return Gate(1, "right to it", True, "", f"{wish.from_site} is certified down")
    if view.peer_lease_over:
        return Gate(1, "right to it", True, "", f"{view.peer}'s lease is over, silent {_silent(view)}")
    if not wish.automatic:
        return Gate(1, "right to it", True, "", f"the run waits until {view.peer}'s lease is over")
    return Gate(1, "right to it", False, "lease-still-held", f"{view.peer} was last seen {_silent(view)} ago")


def _silent(view: View) -> str:
    silent = view.peer_silent_seconds
    return "never" if silent is None else f"{silent:.1f} s"


def _old_primary(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 2: the old primary does not answer as writable, to us or to anybody else who looked lately.

    After a give-up only what was seen since counts: before it the old primary was rightly writable.
    """
    name = "old primary not writable"
    if wish.planned or wish.from_site is None:
        return Gate(2, name, True, "", "it is closed before anything is promoted")
    given_up = service.record is not None and service.record.primary is None
    since_seconds = min(FRESH_WORD_SECONDS, service.nobody_for_seconds) if given_up else FRESH_WORD_SECONDS
    witnesses = []
    sample = service.samples.get(wish.from_site)
    seen_seconds = (view.now_ns - sample.taken_at_ns) / 1e9 if sample is not None else 0.0
    if service.writable_at(wish.from_site) and seen_seconds <= since_seconds:
        witnesses.append(f"it answered us as writable {seen_seconds:.1f} s ago")
    for word in service.outside:
        fresh = word.age_seconds <= since_seconds
        if word.site == wish.from_site and word.writable and fresh and word.observer != wish.from_site:
            witnesses.append(f"{word.observer} saw it writable {word.age_seconds:.1f} s ago")
    if witnesses:
        return Gate(2, name, False, "old-primary-writable", "; ".join(witnesses))
    seen = f"{sample.role} ({sample.reason})" if sample is not None else "no answer"
    return Gate(2, name, True, "", f"{wish.from_site} from here: {seen}; nobody else sees it writable")


def _data(view: View, service: ServiceView, wish: Wish) -> Gate:
    """Gate 3: what could be lost, the age of what is known counted in, within `max_data_loss`."""
    name = "data loss within the limit"
    limit = service.service.max_data_loss_seconds
    if wish.planned:
        return _data_of_planned(service, wish)
    record = service.record
    if record is not None and record.primary is None and record.final_position is not None:
        return Gate(3, name, True, "", f"closed in order at {record.final_position.text}: nothing is lost")
    bound = loss_bound_seconds(view, service)
    accepted = wish.accept_loss_seconds
    if bound is None:
        if accepted is not None and accepted == float("inf"):
            return Gate(3, name, True, "", "not known how much; any loss was accepted by name")
        return Gate(3, name, None, "lag-unknown", "no position of the old primary is known to be here")
    words = f"at most {bound:.1f} s of writes; limit {limit:g} s"
    if bound <= limit:
        return Gate(3, name, True, "", words)
    if accepted is None:
        return Gate(3, name, False, "lag-above-limit", words)
    if accepted < bound:
        return Gate(3, name, False, "loss-not-accepted", f"{words}; accepted {accepted:g} s")
    return Gate(3, name, True, "", f"{words}; {accepted:g} s accepted by name")


def _data_of_planned(service: ServiceView, wish: Wish) -> Gate:
    name = "data loss within the limit"
    standby = service.samples.get(wish.to_site)
    if standby is None or standby.role is not Role.STANDBY:
        return Gate(3, name, None, "lag-unknown", f"{wish.to_site} does not answer as a standby")
    if not standby.streaming or service.lag_seconds is None:
        return Gate(3, name, False, "lag-unknown", f"{wish.to_site} is not receiving from {wish.from_site}")
    words = f"{service.lag_seconds:.1f} s behind; all of it is waited for"
    limit = service.service.max_data_loss_seconds
    if service.lag_seconds > limit:
        return Gate(3, name, False, "lag-above-limit", f"{words}; above {limit:g} s that would take long")
    return Gate(3, name, True, "", words)


def _history(service: ServiceView, wish: Wish) -> Gate:
    """Gate 4: the standby continues the primary's own history."""
    name = "same history"
    standby = service.samples.get(wish.to_site)
    position = standby.position if standby is not None else None
    if position is None:
        return Gate(4, name, None, "history-unknown", f"{wish.to_site} has not said which history it has")
    expected = service.final_primary_history
    if not expected:
        return Gate(
            4, name, None, "history-unknown", "the primary's history has not been seen since our start"
        )
    if position.history != expected:
        words = f"{wish.to_site} has {position.history}, the primary had {expected}"
        return Gate(4, name, False, "history-diverged", words)
    return Gate(4, name, True, "", position.history)


def _flapping(service: ServiceView, wish: Wish) -> Gate:
    """Gate 6: no second automatic move within `min_time_between_failovers` unless somebody looked."""
    name = "not flapping"
    left = service.flap_left_seconds
    if not wish.automatic or not left:
        return Gate(6, name, True, "", "no unacknowledged automatic move lately")
    return Gate(
        6, name, False, "flap-damped", f"moved by itself lately; {left:.0f} s left, or acknowledge it"
    )


def _paused(service: ServiceView) -> Gate:
    """Gate 7: not paused."""
    if service.pause_left_seconds is None:
        return Gate(7, "not paused", True, "", "not paused")
    return Gate(7, "not paused", False, "paused", service.pause_words)


def _fenced(service: ServiceView, wish: Wish) -> Gate:
    """Gate 8: services with `fence: confirm` need one fencing level confirmed."""
    name = "old primary fenced"
    if service.service.fence is not FencePolicy.CONFIRM or wish.planned:
        return Gate(8, name, True, "", "no confirmation asked for")
    if wish.certified_down:
        return Gate(8, name, True, "", "certified down by an operator")
    record = service.record
    if record is not None and record.primary is None:
        return Gate(8, name, True, "", f"{record.previous} gave it up after its own fence")
    if service.fence_confirmed:
        return Gate(8, name, True, "", "a fencing level has confirmed")
    return Gate(8, name, service.fence_confirmed, "fence-not-confirmed", "no fencing level has confirmed")
