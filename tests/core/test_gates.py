"""Every gate: what opens it, what closes it, and that not knowing closes it."""

import math
from dataclasses import dataclass, replace

import pytest

from orchestrator.core.capacity import Room
from orchestrator.core.devices import Device
from orchestrator.core.gates import (
    CHECKS,
    Check,
    Gate,
    Wish,
    first_closed,
    gates,
    loss_bound_seconds,
    standing_still,
)
from sites.model import FailoverPolicy, FencePolicy
from sites.replication.words import Position
from tests.core.views import (
    DOWN,
    GIVEN_UP,
    HANDED,
    HISTORY,
    LOST,
    MUTE,
    PRIMARY,
    STANDBY,
    STRAY,
    THEIRS,
    Instance,
    Scene,
    at,
    still,
    word,
)

ITSELF = Wish(to_site="x", from_site="y", planned=False, automatic=True)
BY_A_PERSON = replace(ITSELF, automatic=False)
CERTIFIED = replace(BY_A_PERSON, certified_down=True)
ANY_LOSS = replace(BY_A_PERSON, accept_loss_seconds=math.inf)
POWER_OFF = replace(BY_A_PERSON, power_off=True)
PLANNED = replace(BY_A_PERSON, planned=True)
MANUAL = {"policy": FailoverPolicy.MANUAL}


def accepting(seconds: float) -> Wish:
    return replace(BY_A_PERSON, accept_loss_seconds=seconds)


@dataclass(frozen=True)
class Case:
    """`ok` and `code` of gate `number` when `wish` is examined in `scene`."""

    number: int
    ok: bool | None
    code: str
    scene: Scene
    wish: Wish = ITSELF


FAR_BEHIND = {"safe_seconds_ago": 90.0}
UNKNOWN_LOSS = {"safe_seconds_ago": None}
SHORT = Instance(position=at(900))
NOWHERE = Instance(position=Position("", HISTORY, None))
FORKED = Instance(position=at(2000, "cluster/2"))
CUT = Device.CUT
FULL = {"x": Room(False, "12 of 10 cores")}
CONFIRM = {"fence": FencePolicy.CONFIRM}

CASES: dict[str, Case] = {
    # --- 1: the right ---
    "without a registered keeper the right is not known": Case(1, None, "no-quorum", LOST.but(known=False)),
    "without a keeper the right is not known": Case(1, None, "no-quorum", LOST.but(keeper=False)),
    "without a record the right is not known": Case(1, None, "no-quorum", LOST.but(claimed=False)),
    "a planned move has its right by the give-up that comes first": Case(1, True, "", THEIRS, PLANNED),
    "what was given up may be claimed without waiting": Case(1, True, "", GIVEN_UP),
    "a manual service does not move by itself": Case(1, False, "manual", LOST.but(**MANUAL)),
    "a manual service needs a certificate even from a person": Case(
        1, False, "manual", LOST.but(**MANUAL), BY_A_PERSON
    ),
    "a manual service moves on a certificate": Case(1, True, "", LOST.but(**MANUAL), CERTIFIED),
    "a lease that is over gives the right": Case(1, True, "", LOST),
    "a lease that is not over keeps the right where it is": Case(
        1, False, "lease-still-held", LOST.but(peer_lease_over=False)
    ),
    "a peer that was never seen may hold a lease": Case(
        1, False, "lease-still-held", LOST.but(peer_seen=False)
    ),
    "a person's run waits for the end of the lease itself": Case(
        1, True, "", LOST.but(peer_lease_over=False), BY_A_PERSON
    ),
    "a certificate does not shorten the lease of an automatic service, its run waits too": Case(
        1, True, "", LOST.but(peer_lease_over=False), CERTIFIED
    ),
    "a site that holds may be serving without any contact": Case(
        1, False, "peer-holds", LOST.but(peer_holds=True)
    ),
    "a person's word alone does not move what a holding site serves": Case(
        1, False, "peer-holds", LOST.but(peer_holds=True), BY_A_PERSON
    ),
    "a certificate moves what a holding site served": Case(1, True, "", LOST.but(peer_holds=True), CERTIFIED),
    "a person may have a manual service's hosts switched off": Case(
        1, True, "", LOST.but(**MANUAL, equipped=True), POWER_OFF
    ),
    "a person may have what holds switched off": Case(
        1, True, "", LOST.but(peer_holds=True, equipped=True), POWER_OFF
    ),
    "what cannot be switched off with it keeps it from being taken": Case(
        1,
        False,
        "device-missing",
        LOST.but(peer_holds=True, equipped=True),
        replace(POWER_OFF, not_covered=("payroll",)),
    ),
    "a verified cut takes no lease from a site": Case(
        1, False, "lease-still-held", THEIRS.but(equipped=True), POWER_OFF
    ),
    # --- 2: the old primary ---
    "an old primary that answers as writable forbids a second one": Case(
        2, False, "old-primary-writable", LOST.but(there=PRIMARY)
    ),
    "what the witness saw writable forbids a second one": Case(
        2, False, "old-primary-writable", LOST.but(outside=(word("w", "y"),))
    ),
    "the witness's last word stands, though it was said while the lease still ran": Case(
        2, False, "old-primary-writable", LOST.but(outside=(word("w", "y", age_seconds=5.9),))
    ),
    "what the witness saw long ago does not count": Case(
        2, True, "", LOST.but(outside=(word("w", "y", age_seconds=6.1),))
    ),
    "the old site's own word of itself does not count": Case(
        2, True, "", LOST.but(outside=(word("y", "y"),))
    ),
    "what the witness saw of our own instance does not count": Case(
        2, True, "", LOST.but(outside=(word("w", "x"),))
    ),
    "an old primary that nobody sees is not seen writable": Case(2, True, "", LOST),
    "an old primary that is down is not writable": Case(2, True, "", LOST.but(there=DOWN)),
    "an old primary that answers nothing is not seen writable": Case(2, True, "", LOST.but(there=MUTE)),
    "before a planned move the old primary is rightly writable": Case(2, True, "", THEIRS, PLANNED),
    "after a give-up what was seen before it does not count": Case(
        2, True, "", GIVEN_UP.but(there=replace(PRIMARY, age_seconds=0.5), outside=(word("w", "y"),))
    ),
    "after a give-up what was seen since counts": Case(
        2, False, "old-primary-writable", GIVEN_UP.but(there=replace(PRIMARY, age_seconds=0.2))
    ),
    "what was seen before a verified cut is cleared by it": Case(
        2, True, "", LOST.but(outside=(word("w", "y", age_seconds=5.0),), device=CUT, cut_seconds_ago=4.0)
    ),
    "what was seen since a verified cut proves it wrong": Case(
        2,
        False,
        "old-primary-writable",
        LOST.but(outside=(word("w", "y", age_seconds=3.0),), device=CUT, cut_seconds_ago=4.0),
    ),
    "a cut of just now is not believed before everybody could look again": Case(
        2,
        False,
        "old-primary-writable",
        LOST.but(outside=(word("w", "y", age_seconds=5.0),), device=CUT, cut_seconds_ago=1.0),
    ),
    "a person may have switched off what goes on after its lease": Case(
        2, True, "", LOST.but(there=PRIMARY), POWER_OFF
    ),
    "what answers as writable under a lease is for a switchover": Case(
        2, False, "old-primary-writable", THEIRS, POWER_OFF
    ),
    # --- 3: the data ---
    "a loss within the limit is allowed": Case(3, True, "", LOST),
    "a loss above the limit is not": Case(3, False, "lag-above-limit", LOST.but(**FAR_BEHIND)),
    "a loss above the limit is not, though a person asks": Case(
        3, False, "lag-above-limit", LOST.but(**FAR_BEHIND), BY_A_PERSON
    ),
    "a loss that somebody accepted by name is allowed": Case(
        3, True, "", LOST.but(**FAR_BEHIND), accepting(90.0)
    ),
    "a loss above what was accepted is not": Case(
        3, False, "loss-not-accepted", LOST.but(**FAR_BEHIND), accepting(80.0)
    ),
    "a proof that is on its way is waited for": Case(
        3, None, "proof-awaited", GIVEN_UP.but(**FAR_BEHIND, still=still(85.0))
    ),
    "a proof that is on its way is waited for by a person too": Case(
        3, None, "proof-awaited", GIVEN_UP.but(**FAR_BEHIND, still=still(85.0)), BY_A_PERSON
    ),
    "a loss that somebody accepted waits for no proof": Case(
        3, True, "", GIVEN_UP.but(**FAR_BEHIND, still=still(85.0)), accepting(90.0)
    ),
    "a proof beyond an earlier give-up is not on its way": Case(
        3, False, "lag-above-limit", GIVEN_UP.but(**FAR_BEHIND, still=still(85.0, given_up_epoch=6))
    ),
    "an unknown loss is a no": Case(3, None, "lag-unknown", LOST.but(**UNKNOWN_LOSS)),
    "an unknown loss is not covered by any figure": Case(
        3, None, "lag-unknown", LOST.but(**UNKNOWN_LOSS), accepting(3600.0)
    ),
    "an unknown loss may be accepted as such": Case(3, True, "", LOST.but(**UNKNOWN_LOSS), ANY_LOSS),
    "what was closed in order and is all here loses nothing": Case(
        3, True, "", HANDED.but(safe_seconds_ago=None)
    ),
    "what was closed in order and is not all here is missing something": Case(
        3, False, "below-final-position", HANDED.but(here=SHORT)
    ),
    "what was closed in order and cannot be compared is not said to be here": Case(
        3, False, "below-final-position", HANDED.but(here=FORKED)
    ),
    "what was closed in order counts as missing when nothing answers here": Case(
        3, False, "below-final-position", HANDED.but(here=None), BY_A_PERSON
    ),
    "what is missing of a closed service may be accepted by name": Case(
        3, True, "", HANDED.but(here=SHORT), accepting(1.0)
    ),
    "what is missing of a closed service needs as much as may be lost": Case(
        3, False, "loss-not-accepted", HANDED.but(here=SHORT), accepting(0.1)
    ),
    "what is missing of a closed service may be unknown, and accepted as such": Case(
        3, True, "", HANDED.but(here=SHORT, safe_seconds_ago=None), ANY_LOSS
    ),
    "what is missing of a closed service is unknown and no figure covers it": Case(
        3, False, "loss-not-accepted", HANDED.but(here=SHORT, safe_seconds_ago=None), accepting(60.0)
    ),
    "a planned move needs a standby that answers as one": Case(
        3, None, "lag-unknown", THEIRS.but(here=DOWN), PLANNED
    ),
    "a planned move needs a standby that was seen lately": Case(
        3, None, "lag-unknown", THEIRS.but(here=None), PLANNED
    ),
    "a planned move needs a standby that receives": Case(
        3, False, "lag-unknown", THEIRS.but(here=STRAY), PLANNED
    ),
    "a planned move needs a known lag": Case(3, False, "lag-unknown", THEIRS.but(lag_seconds=None), PLANNED),
    "a planned move needs a position, to know when everything is there": Case(
        3, None, "lag-unknown", THEIRS.but(here=NOWHERE), PLANNED
    ),
    "a planned move of a standby far behind would take long": Case(
        3, False, "lag-above-limit", THEIRS.but(lag_seconds=61.0), PLANNED
    ),
    "a planned move waits for the rest": Case(3, True, "", THEIRS.but(lag_seconds=59.0), PLANNED),
    # --- 4: the history ---
    "a standby of the primary's own history may take over": Case(4, True, "", LOST),
    "a standby that says nothing has no known history": Case(4, None, "history-unknown", LOST.but(here=None)),
    "a standby without a position has no known history": Case(
        4, None, "history-unknown", LOST.but(here=replace(STANDBY, position=None)), ANY_LOSS
    ),
    "a primary's history never seen is a no": Case(4, None, "history-unknown", LOST.but(history_seen="")),
    "a primary's history never seen is a no to a person too": Case(
        4, None, "history-unknown", LOST.but(history_seen=""), accepting(3600.0)
    ),
    "nobody is left to ask for the history, so a person may name this side the right one": Case(
        4, True, "", LOST.but(history_seen=""), ANY_LOSS
    ),
    "another history is a no": Case(4, False, "history-diverged", LOST.but(here=FORKED)),
    "another history is a no whatever loss is accepted": Case(
        4, False, "history-diverged", LOST.but(here=FORKED), ANY_LOSS
    ),
    # --- 5: room for it ---
    "where no capacity is stated, nothing bounds it": Case(5, True, "", LOST),
    "what fits may come": Case(5, True, "", LOST.but(rooms={"x": Room(True, "4 of 10 cores")})),
    "what does not fit is refused": Case(5, False, "capacity-short", LOST.but(rooms=FULL)),
    "a planned move must fit too": Case(5, False, "capacity-short", THEIRS.but(rooms=FULL), PLANNED),
    "a person may accept that it is short": Case(
        5, True, "", LOST.but(rooms=FULL), replace(BY_A_PERSON, over_capacity=True)
    ),
    "room at the other site is not asked for": Case(5, True, "", LOST.but(rooms={"y": Room(False, "full")})),
    "what opens again where it was had its room": Case(
        5, True, "", LOST.but(rooms=FULL), replace(BY_A_PERSON, reopens=True)
    ),
    # --- 6: flapping ---
    "a service that moved by itself lately stays where it is": Case(
        6, False, "flap-damped", LOST.but(flap_left_seconds=60.0)
    ),
    "a person may move a service that moved lately": Case(
        6, True, "", LOST.but(flap_left_seconds=60.0), BY_A_PERSON
    ),
    "a service that has not moved lately may move": Case(6, True, "", LOST),
    # --- 7: paused ---
    "a paused service stays where it is": Case(7, False, "paused", LOST.but(paused=True)),
    "a service that is not paused may move": Case(7, True, "", LOST),
    # --- 8: fenced ---
    "without `fence: confirm` an attempt is enough": Case(8, True, "", LOST.but(fence_confirmed=False)),
    "a confirmation that has not come is a no": Case(8, None, "fence-not-confirmed", LOST.but(**CONFIRM)),
    "a fence that failed is a no": Case(
        8, False, "fence-not-confirmed", LOST.but(**CONFIRM, fence_confirmed=False)
    ),
    "a fence that failed is a no to a person too": Case(
        8, False, "fence-not-confirmed", LOST.but(**CONFIRM, fence_confirmed=False), BY_A_PERSON
    ),
    "one fencing level that confirmed is enough": Case(
        8, True, "", LOST.but(**CONFIRM, fence_confirmed=True)
    ),
    "a certificate stands for the confirmation": Case(8, True, "", LOST.but(**CONFIRM), CERTIFIED),
    "a verified cut is a confirmation": Case(8, True, "", LOST.but(**CONFIRM, device=CUT)),
    "devices at work confirm nothing yet": Case(
        8, None, "fence-not-confirmed", LOST.but(**CONFIRM, device=Device.AT_WORK)
    ),
    "a run that has it switched off first confirms it": Case(8, True, "", LOST.but(**CONFIRM), POWER_OFF),
    "what was given up was fenced by its own site first": Case(8, True, "", GIVEN_UP.but(**CONFIRM)),
    "a planned move closes the old primary itself": Case(8, True, "", THEIRS.but(**CONFIRM), PLANNED),
}


def _answers(scene: Scene, wish: Wish) -> dict[int, Gate]:
    view, service = scene.see()
    return {gate.number: gate for gate in gates(view, service, wish)}


@pytest.mark.parametrize("sentence", CASES)
def test_a_gate_opens_only_on_a_positive_yes(sentence: str) -> None:
    case = CASES[sentence]
    gate = _answers(case.scene, case.wish)[case.number]
    assert (gate.ok, gate.code) == (case.ok, case.code)
    assert gate.open is (case.ok is True)
    assert gate.evidence


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"gate {check.number}")
def test_every_gate_is_seen_open_and_closed_with_each_of_its_codes(check: Check) -> None:
    cases = [case for case in CASES.values() if case.number == check.number]
    assert any(case.ok for case in cases)
    assert {case.code for case in cases if not case.ok} == set(check.codes)


def test_all_gates_answer_in_order_under_their_own_names_and_codes() -> None:
    for case in CASES.values():
        view, service = case.scene.see()
        answers = gates(view, service, case.wish)
        assert [(gate.number, gate.name) for gate in answers] == [(c.number, c.name) for c in CHECKS]
        for gate, check in zip(answers, CHECKS, strict=True):
            assert gate.code == "" if gate.open else gate.code in check.codes


def test_the_first_closed_gate_gives_the_refusal_its_code() -> None:
    view, service = LOST.but(paused=True, safe_seconds_ago=None).see()
    closed = first_closed(gates(view, service, ITSELF))
    assert closed is not None
    assert closed.code == "lag-unknown"
    view, service = LOST.see()
    assert first_closed(gates(view, service, ITSELF)) is None


def test_the_loss_grows_while_a_primary_may_be_writing_and_no_more_once_it_was_given_up() -> None:
    for age, nobody_for, bound in ((5.0, 0.0, 5.0), (65.0, 60.0, 5.0), (1.0, 60.0, 0.0)):
        view, service = GIVEN_UP.but(safe_seconds_ago=age, nobody_for_seconds=nobody_for).see()
        assert loss_bound_seconds(view, service) == pytest.approx(bound)
    view, service = LOST.but(safe_seconds_ago=65.0, nobody_for_seconds=60.0).see()
    assert loss_bound_seconds(view, service) == pytest.approx(65.0)


# y's database has lain dead for 85 s, and x had everything until 5 s before that.
DEAD = THEIRS.but(there=DOWN, safe_seconds_ago=90.0, still=still(85.0))

LOSSES: dict[str, tuple[float, Scene]] = {
    "a primary that is proven dead loses no more": (5.0, DEAD),
    "a proof as old as any fresh word counts": (5.0, DEAD.but(still=still(85.0, seen_seconds_ago=6.0))),
    "a proof that is not fresh is none": (90.0, DEAD.but(still=still(85.0, seen_seconds_ago=6.1))),
    "without a proof it may be writing still": (90.0, DEAD.but(still=None)),
    "a site that falls silent proves nothing any more": (90.0, DEAD.but(peer_silent_seconds=5.1)),
    "of a site that is lost nobody knows what became of its database": (
        90.0,
        DEAD.but(peer_silent_seconds=40.0, peer_lease_over=True),
    ),
    "without our keeper nobody knows whether its site is silent": (90.0, DEAD.but(keeper=False)),
    "one that runs again is not dead": (90.0, DEAD.but(there=PRIMARY)),
    "one that runs again as a standby is not dead either": (90.0, DEAD.but(there=STANDBY)),
    "one that does not answer may still be dead": (5.0, DEAD.but(there=MUTE)),
    "one that runs behind a closed gate loses no more": (
        5.0,
        DEAD.but(there=PRIMARY, still=still(85.0, behind_gate=True)),
    ),
    "our own that is dead loses no more, whatever becomes of the peer": (
        5.0,
        Scene(here=DOWN, safe_seconds_ago=90.0, still=still(85.0), peer_silent_seconds=40.0),
    ),
    "a proof before a give-up does not reach up to it": (
        89.7,
        GIVEN_UP.but(safe_seconds_ago=90.0, still=still(85.0)),
    ),
    "a proof that goes on after the give-up does": (
        5.0,
        GIVEN_UP.but(safe_seconds_ago=90.0, still=still(85.0, given_up_epoch=7)),
    ),
    "a proof beyond the give-up counts for ever": (
        5.0,
        GIVEN_UP.but(
            safe_seconds_ago=90.0,
            still=still(85.0, seen_seconds_ago=80.0, given_up_epoch=7),
            peer_silent_seconds=40.0,
        ),
    ),
    "a proof beyond an earlier give-up does not": (
        89.7,
        GIVEN_UP.but(safe_seconds_ago=90.0, still=still(85.0, given_up_epoch=6)),
    ),
    "what began after the give-up adds nothing": (
        5.0,
        GIVEN_UP.but(safe_seconds_ago=90.0, nobody_for_seconds=85.0, still=still(60.0, given_up_epoch=7)),
    ),
    "what is here was written after the proof's beginning": (0.0, DEAD.but(safe_seconds_ago=84.0)),
}


@pytest.mark.parametrize("sentence", LOSSES)
def test_the_loss_stops_growing_only_while_it_is_proven_that_nothing_is_written(sentence: str) -> None:
    bound_seconds, scene = LOSSES[sentence]
    view, service = scene.see()
    assert loss_bound_seconds(view, service) == pytest.approx(bound_seconds)
    gate = _answers(scene, replace(ITSELF, holder_lives=True))[3]
    assert gate.open is (bound_seconds <= 60.0)
    assert ("by its own site's proof" in gate.evidence) is (standing_still(view, service) is not None)


def test_what_is_proven_now_says_nothing_of_a_wait_that_is_to_come() -> None:
    """A move that waits for the end of y's lease may find its database up again by then."""
    view, service = DEAD.see()
    waits = replace(BY_A_PERSON, holder_lives=False)
    assert standing_still(view, service, waits) is None
    assert loss_bound_seconds(view, service, waits) == pytest.approx(91.0)


def test_what_would_be_lost_is_unknown_without_a_common_position() -> None:
    view, service = LOST.but(safe_seconds_ago=None).see()
    assert loss_bound_seconds(view, service) is None
