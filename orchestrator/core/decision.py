"""What to do about a diagnosis: hold and say why, act, refuse with a code, or ask a person.

An ordered table for each diagnosis: number, condition, outcome, one line of why. The line is what the log,
`explain` and the docs show. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import Gate, Wish, first_closed, gates
from orchestrator.core.records import Mode
from orchestrator.core.view import ServiceView, View
from sites.model import FailoverPolicy
from sites.replication.words import Role

CLAIM_BACK_AFTER_SECONDS = 15.0


class Act(StrEnum):
    """What a decision may be."""

    HOLD = "hold"
    ASK = "ask"
    REFUSE = "refuse"
    FIRST_CLAIM = "first-claim"
    REOPEN = "reopen"
    RESTART = "restart"
    GIVE_UP = "give-up"
    CLAIM = "claim"
    CLAIM_BACK = "claim-back"
    TAKE_OVER = "take-over"
    REJOIN = "rejoin"
    FENCE = "fence"
    CARRY_OUT = "carry-out"


ACTS_ON_THE_WORLD = frozenset(Act) - {Act.HOLD, Act.ASK, Act.REFUSE}


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: its row, what to do, its code and reason, and the gates that were looked at."""

    row: int
    act: Act
    code: str
    why: str
    gates: tuple[Gate, ...] = ()


Condition = Callable[[View, ServiceView], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. With `gated`, the gates of an automatic promotion here are examined before it acts."""

    row: int
    diagnosis: Diagnosis
    when: Condition
    act: Act
    code: str
    why: str
    gated: bool = False


def _always(view: View, service: ServiceView) -> bool:
    return True


def _paused(view: View, service: ServiceView) -> bool:
    return service.pause_left_seconds is not None


def _not_automatic(view: View, service: ServiceView) -> bool:
    return service.record is not None and service.record.mode is Mode.MANUAL


def _followed(view: View, service: ServiceView) -> bool:
    return service.service.failover is FailoverPolicy.FOLLOWED


def _unguarded(view: View, service: ServiceView) -> bool:
    """An automatic move outside the lab needs the guard: a stalled controller is not fenced without it."""
    return not view.guarded and not view.lab


def _running_here(view: View, service: ServiceView) -> bool:
    return bool(service.run_here)


def _being_given_up(view: View, service: ServiceView) -> bool:
    return service.held is not None and service.held.giving_up


def _ours_to_claim(view: View, service: ServiceView) -> bool:
    """Given up without order by the other site, or handed to us by a run that is not ours to carry out."""
    record = service.record
    return record is not None and record.previous == view.peer and not record.planned


def _ours_to_take_back(view: View, service: ServiceView) -> bool:
    """We gave it up in order and its taker failed, or has not come for a while."""
    record = service.record
    if record is None or record.previous != view.site:
        return False
    return service.run_failed or service.nobody_for_seconds > CLAIM_BACK_AFTER_SECONDS


def _in_doubt(view: View, service: ServiceView) -> bool:
    return service.run_in_doubt


def _handed_to_us(view: View, service: ServiceView) -> bool:
    record = service.record
    return record is not None and record.target == view.site


def _hold_down(view: View, service: ServiceView) -> bool:
    silent = view.peer_silent_seconds
    return silent is None or silent <= service.service.hold_down_seconds


def _standby_can_take_it(view: View, service: ServiceView) -> bool:
    """Giving up gains nothing when the other side could not take it."""
    standby = service.samples.get(view.peer)
    return standby is not None and standby.role is Role.STANDBY


def _writable_only_here(view: View, service: ServiceView) -> bool:
    return service.writable_at(view.site) is True and not service.writable_at(view.peer)


def _most_complete_here(view: View, service: ServiceView) -> bool:
    """Nobody accepts writes, both instances answer, they share one history and ours reaches as far."""
    here, there = service.samples.get(view.site), service.samples.get(view.peer)
    if here is None or there is None or here.role is not Role.STANDBY or there.role is not Role.STANDBY:
        return False
    if here.position is None or there.position is None or here.position.history != there.position.history:
        return False
    return here.position.offset_bytes >= there.position.offset_bytes


def _not_the_holder(view: View, service: ServiceView) -> bool:
    return service.record is not None and service.record.primary != view.site


def _first_standby_only(view: View, service: ServiceView) -> bool:
    return service.service.home != view.site


TABLE: tuple[Rule, ...] = (
    Rule(
        100,
        Diagnosis.WATCH_ONLY,
        _always,
        Act.HOLD,
        "driver-missing",
        "watched only; it is moved by other means",
    ),
    Rule(
        110,
        Diagnosis.UNKNOWN,
        _always,
        Act.HOLD,
        "no-quorum",
        "ownership is unknown here, so nothing is done",
    ),
    Rule(
        120, Diagnosis.ISOLATED, _always, Act.HOLD, "no-quorum", "without a lease this site changes nothing"
    ),
    Rule(
        130, Diagnosis.UNCLAIMED, _first_standby_only, Act.HOLD, "not-home", "its home makes the first claim"
    ),
    Rule(
        132,
        Diagnosis.UNCLAIMED,
        _writable_only_here,
        Act.FIRST_CLAIM,
        "first-claim",
        "it is at home here, writable, and nobody owns it yet",
    ),
    Rule(
        133,
        Diagnosis.UNCLAIMED,
        _most_complete_here,
        Act.FIRST_CLAIM,
        "first-claim",
        "it is at home here, both instances are closed, and this one has everything the other has",
    ),
    Rule(
        134,
        Diagnosis.UNCLAIMED,
        _always,
        Act.ASK,
        "unclaimed",
        "which instance has everything is not clear",
    ),
    Rule(
        140,
        Diagnosis.WRITABLE_WITHOUT_RIGHT,
        _always,
        Act.FENCE,
        "writable-without-right",
        "two writable sites are worse than none: it is cut off here",
    ),
    Rule(200, Diagnosis.HANDED_OVER, _running_here, Act.HOLD, "moving", "the run here claims it"),
    Rule(202, Diagnosis.HANDED_OVER, _followed, Act.HOLD, "followed", "something else moves it; we follow"),
    Rule(
        204,
        Diagnosis.HANDED_OVER,
        _ours_to_take_back,
        Act.CLAIM_BACK,
        "claim-back",
        "we gave it up in order and nobody came for it: it opens here again",
    ),
    Rule(
        205,
        Diagnosis.HANDED_OVER,
        _in_doubt,
        Act.ASK,
        "in-doubt",
        "a step's end is not known: look before going on",
    ),
    Rule(
        206,
        Diagnosis.HANDED_OVER,
        _handed_to_us,
        Act.CARRY_OUT,
        "moving",
        "the run that moves it here goes on",
    ),
    Rule(
        208,
        Diagnosis.HANDED_OVER,
        lambda v, s: not _ours_to_claim(v, s),
        Act.HOLD,
        "moving",
        "the other site is to claim it",
    ),
    Rule(210, Diagnosis.HANDED_OVER, _paused, Act.REFUSE, "paused", "automatic moves of it are paused"),
    Rule(212, Diagnosis.HANDED_OVER, _not_automatic, Act.ASK, "manual", "it is manual: a person decides"),
    Rule(214, Diagnosis.HANDED_OVER, _unguarded, Act.ASK, "guard-missing", "no guard: a person decides"),
    Rule(
        216,
        Diagnosis.HANDED_OVER,
        _always,
        Act.CLAIM,
        "claim",
        "the other site fenced it and gave it up: it opens here without waiting for the lease",
        gated=True,
    ),
    Rule(300, Diagnosis.SITE_DARK, _running_here, Act.HOLD, "moving", "the run here takes it over"),
    Rule(302, Diagnosis.SITE_DARK, _followed, Act.HOLD, "followed", "something else moves it; we follow"),
    Rule(304, Diagnosis.SITE_DARK, _paused, Act.REFUSE, "paused", "automatic moves of it are paused"),
    Rule(
        306,
        Diagnosis.SITE_DARK,
        _not_automatic,
        Act.ASK,
        "manual",
        "it is manual: a person certifies the site down",
    ),
    Rule(308, Diagnosis.SITE_DARK, _unguarded, Act.ASK, "guard-missing", "no guard: a person decides"),
    Rule(310, Diagnosis.SITE_DARK, _hold_down, Act.HOLD, "hold-down", "waiting for the site to come back"),
    Rule(
        312,
        Diagnosis.SITE_DARK,
        _always,
        Act.TAKE_OVER,
        "take-over",
        "its site is lost and its lease is over: it opens here",
        gated=True,
    ),
    Rule(400, Diagnosis.MOVING, _running_here, Act.HOLD, "moving", "the run goes on here"),
    Rule(
        401,
        Diagnosis.MOVING,
        _in_doubt,
        Act.ASK,
        "in-doubt",
        "a step's end is not known: look before going on",
    ),
    Rule(402, Diagnosis.MOVING, _being_given_up, Act.HOLD, "moving", "it is being closed here"),
    Rule(
        404, Diagnosis.MOVING, _handed_to_us, Act.CARRY_OUT, "moving", "its run is for this site to carry out"
    ),
    Rule(406, Diagnosis.MOVING, _always, Act.HOLD, "moving", "the other site carries the run out"),
    Rule(500, Diagnosis.CUT_OFF_BY_US, _being_given_up, Act.HOLD, "moving", "it is being given up"),
    Rule(502, Diagnosis.CUT_OFF_BY_US, _running_here, Act.HOLD, "moving", "a run is at it"),
    Rule(
        504,
        Diagnosis.CUT_OFF_BY_US,
        _always,
        Act.REOPEN,
        "reopen",
        "nobody took it meanwhile: it opens here again",
    ),
    Rule(510, Diagnosis.PRIMARY_DEAD, _being_given_up, Act.HOLD, "moving", "it is being given up"),
    Rule(511, Diagnosis.PRIMARY_DEAD, _running_here, Act.HOLD, "moving", "a run is at it"),
    Rule(
        512,
        Diagnosis.PRIMARY_DEAD,
        _not_the_holder,
        Act.HOLD,
        "not-the-holder",
        "the controller of its site restarts it or gives it up",
    ),
    Rule(
        514,
        Diagnosis.PRIMARY_DEAD,
        lambda v, s: s.restarts_left > 0,
        Act.RESTART,
        "restart",
        "its database is dead and may be restarted where it is",
    ),
    Rule(516, Diagnosis.PRIMARY_DEAD, _paused, Act.REFUSE, "paused", "automatic moves of it are paused"),
    Rule(518, Diagnosis.PRIMARY_DEAD, _not_automatic, Act.ASK, "manual", "it is manual: a person decides"),
    Rule(520, Diagnosis.PRIMARY_DEAD, _unguarded, Act.ASK, "guard-missing", "no guard: a person decides"),
    Rule(
        522,
        Diagnosis.PRIMARY_DEAD,
        lambda v, s: not _standby_can_take_it(v, s),
        Act.ASK,
        "standby-not-eligible",
        "the other site could not take it, so giving it up would gain nothing",
    ),
    Rule(
        524,
        Diagnosis.PRIMARY_DEAD,
        lambda v, s: bool(s.flap_left_seconds),
        Act.REFUSE,
        "flap-damped",
        "it moved by itself a short while ago",
    ),
    Rule(
        526,
        Diagnosis.PRIMARY_DEAD,
        _always,
        Act.GIVE_UP,
        "give-up",
        "its database is dead and no restart is allowed: it is fenced and given up at once",
    ),
    Rule(
        530,
        Diagnosis.PRIMARY_CLOSED,
        _running_here,
        Act.HOLD,
        "moving",
        "a run is at it",
    ),
    Rule(
        531,
        Diagnosis.PRIMARY_CLOSED,
        _not_the_holder,
        Act.HOLD,
        "not-the-holder",
        "the controller of its site opens it",
    ),
    Rule(
        532,
        Diagnosis.PRIMARY_CLOSED,
        _being_given_up,
        Act.HOLD,
        "moving",
        "it is being given up",
    ),
    Rule(
        534,
        Diagnosis.PRIMARY_CLOSED,
        _always,
        Act.REOPEN,
        "reopen",
        "this site owns it, so it is opened here",
    ),
    Rule(540, Diagnosis.PRIMARY_UNKNOWN, _always, Act.HOLD, "primary-unknown", "no answer proves nothing"),
    Rule(
        550,
        Diagnosis.PEER_SILENT,
        _always,
        Act.HOLD,
        "lease-still-held",
        "its lease is not over: it may be serving",
    ),
    Rule(
        560,
        Diagnosis.LINK_DOWN,
        _always,
        Act.HOLD,
        "link-down",
        "link down is not site down: nothing is moved",
    ),
    Rule(570, Diagnosis.NOT_A_STANDBY, _running_here, Act.HOLD, "moving", "a run is at it"),
    Rule(
        572,
        Diagnosis.NOT_A_STANDBY,
        lambda v, s: s.role_at(v.peer) is not Role.PRIMARY,
        Act.HOLD,
        "primary-unknown",
        "it rejoins when the primary answers",
    ),
    Rule(
        574,
        Diagnosis.NOT_A_STANDBY,
        lambda v, s: s.rejoin_wait_seconds > 0,
        Act.HOLD,
        "rejoin-failed",
        "the last rejoin failed; the next try is due later",
    ),
    Rule(
        576,
        Diagnosis.NOT_A_STANDBY,
        _always,
        Act.REJOIN,
        "rejoin",
        "it becomes a standby of the primary again",
    ),
    Rule(
        580, Diagnosis.UNPROTECTED, _always, Act.HOLD, "unprotected", "it runs, but nothing stands in for it"
    ),
    Rule(
        590,
        Diagnosis.LAGGING,
        _always,
        Act.HOLD,
        "lagging",
        "it runs; moving it now would lose more than allowed",
    ),
    Rule(900, Diagnosis.HEALTHY, _always, Act.HOLD, "healthy", "nothing to do"),
)


def decide(view: View, service: ServiceView, diagnosis: Diagnosis) -> Decision:
    """The first rule of this diagnosis whose condition holds, its gates examined where it is gated."""
    rule = next(rule for rule in TABLE if rule.diagnosis is diagnosis and rule.when(view, service))
    answers: tuple[Gate, ...] = ()
    if rule.gated:
        answers = gates(view, service, automatic_wish(view, service))
        closed = first_closed(answers)
        if closed is not None:
            return Decision(rule.row, Act.REFUSE, closed.code, f"{closed.name}: {closed.evidence}", answers)
    return Decision(rule.row, rule.act, rule.code, rule.why, answers)


def automatic_wish(view: View, service: ServiceView) -> Wish:
    """An unplanned promotion here, wanted by the controller itself."""
    record = service.record
    from_site = record.primary or record.previous if record is not None else view.peer
    return Wish(to_site=view.site, from_site=from_site, planned=False, automatic=True)
