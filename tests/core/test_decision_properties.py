"""What must be true of every decision, over every combination of what matters to one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.decision import Act, Decision
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import CHECKS
from orchestrator.core.reasons import REASONS
from sites.model import FailoverPolicy, FencePolicy
from tests.core.views import DOWN, MUTE, NOBODY, PRIMARY, STANDBY, STRAY, Instance, Scene, at

PROMOTES = {Act.CLAIM, Act.TAKE_OVER}
OPENS = {Act.CLAIM, Act.TAKE_OVER, Act.CLAIM_BACK, Act.REOPEN, Act.RESTART}

Changes = dict[str, Any]

DIED_THERE: Changes = {"owner": NOBODY, "previous": "y", "nobody_for_seconds": 1.0}
DIED_HERE: Changes = {"owner": NOBODY, "previous": "x", "nobody_for_seconds": 1.0}
CLOSED: Changes = {"planned": True, "final": at(1000), "moving": True}

OWNERSHIP: dict[str, Changes] = {
    "not known": {"known": False},
    "unclaimed": {"claimed": False},
    "ours": {},
    "ours, moving there": {"moving": True, "target": "y"},
    "ours, moving here": {"moving": True, "target": "x"},
    "theirs": {"owner": "y"},
    "theirs, moving here": {"owner": "y", "moving": True, "target": "x"},
    "theirs, moving there": {"owner": "y", "moving": True, "target": "y"},
    "given up there, dead": DIED_THERE,
    "given up there, closed": {**DIED_THERE, **CLOSED, "target": "x"},
    "given up here, dead": DIED_HERE,
    "given up here, closed": {**DIED_HERE, **CLOSED, "target": "y"},
}
THEIR_OWN = ("theirs", "theirs, moving here", "theirs, moving there")
TO_TAKE = (*THEIR_OWN, "given up there, dead", "given up there, closed")
GUARDS: tuple[Changes, ...] = ({"lab": True}, {"lab": False, "guarded": True}, {"lab": False})
LAGS: dict[str, Changes] = {
    "within": {"safe_seconds_ago": 1.0},
    "above": {"safe_seconds_ago": 90.0},
    "unknown": {"safe_seconds_ago": None},
}
ROLES = (PRIMARY, STANDBY, DOWN, MUTE)


@dataclass(frozen=True)
class Seen:
    """One combination, and what came of it."""

    scene: Scene
    ownership: str
    lag: str
    diagnosis: Diagnosis
    decision: Decision = field(repr=False)


def _scene(ownership: str, lag: str, *changes: Changes) -> Scene:
    said: Changes = {**OWNERSHIP[ownership], **LAGS[lag]}
    for more in changes:
        said |= more
    return Scene(**said)


def _silence(lease_over: bool, *, hold_down_over: bool) -> Changes:
    silent = (40.0 if hold_down_over else 12.0) if lease_over else 0.5
    return {"peer_lease_over": lease_over, "peer_silent_seconds": silent}


def _whose() -> Iterator[tuple[str, str, Scene]]:
    """Everything about ownership, runs and roles; lag and hold-down out of the way."""
    yes_no = (False, True)
    for name, own, over, policy, paused, guard, here, there, running in product(
        OWNERSHIP, (0.0, 8.0), yes_no, FailoverPolicy, yes_no, GUARDS, ROLES, ROLES, ("", "run-1")
    ):
        state: Changes = {"lease_left_seconds": own, "policy": policy, "paused": paused, "run_here": running}
        silence = _silence(over, hold_down_over=True)
        yield name, "within", _scene(name, "within", state, silence, guard, {"here": here, "there": there})


def _takeable() -> Iterator[tuple[str, str, Scene]]:
    """Everything about lag, hold-down and gates, for what might be taken."""
    yes_no = (False, True)
    for name, lag, over, waited, policy, paused, guard, there, here in product(
        TO_TAKE, LAGS, yes_no, yes_no, FailoverPolicy, yes_no, GUARDS, ROLES, (PRIMARY, STANDBY)
    ):
        state: Changes = {"policy": policy, "paused": paused, "here": here, "there": there}
        yield name, lag, _scene(name, lag, state, guard, _silence(over, hold_down_over=waited))


@cache
def everything() -> tuple[Seen, ...]:
    """Every combination, decided once for all the tests below."""
    found = []
    for ownership, lag, scene in (*_whose(), *_takeable()):
        row, decision = scene.decide()
        found.append(Seen(scene, ownership, lag, row.diagnosis, decision))
    return tuple(found)


def _holds(seen: Seen) -> list[str]:
    """What is broken about this decision; nothing should be."""
    scene, decision = seen.scene, seen.decision
    broken = []
    if decision.code not in REASONS or not decision.why:
        broken.append("has no reason that people can look up")
    if decision.act in PROMOTES:
        if [gate.number for gate in decision.gates] != [check.number for check in CHECKS]:
            broken.append("promotes without having looked at every gate")
        if not all(gate.open for gate in decision.gates):
            broken.append("promotes through a closed gate")
        if scene.policy is not FailoverPolicy.AUTOMATIC:
            broken.append("promotes what is manual or followed")
        if scene.paused:
            broken.append("promotes what is paused")
        if not (scene.lab or scene.guarded):
            broken.append("promotes without a guard outside a lab")
        if scene.owner == "y" and not scene.peer_lease_over:
            broken.append("takes what another site has a lease for")
        if scene.peer_silent_seconds <= scene.hold_down_seconds and scene.owner == "y":
            broken.append("does not wait for hold-down")
        if seen.lag != "within" and scene.final is None:
            broken.append("promotes although the loss is unknown or too large")
        if scene.there is PRIMARY and scene.owner == "y":
            broken.append("promotes although the old primary is seen writable")
    if decision.act in OPENS:
        if scene.lease_left_seconds <= 0 or not scene.known:
            broken.append("opens without a lease")
        if scene.run_here:
            broken.append("acts beside a run that is under way here")
    if decision.act in {Act.REOPEN, Act.RESTART} and (scene.owner != "x" or not scene.claimed):
        broken.append("opens what it does not own")
    if decision.act in {Act.REOPEN, Act.RESTART} and scene.there is PRIMARY and scene.here is not PRIMARY:
        broken.append("opens a second writable instance")
    if decision.act is Act.GIVE_UP and (scene.owner != "x" or scene.here is PRIMARY or scene.paused):
        broken.append("gives up what is not dead, not its own, or paused")
    if decision.act is Act.GIVE_UP and not (scene.lab or scene.guarded):
        broken.append("gives up without a guard outside a lab")
    if decision.act is Act.GIVE_UP and scene.policy is not FailoverPolicy.AUTOMATIC:
        broken.append("gives up what is manual or followed")
    if decision.act is Act.FENCE:
        if scene.here is not PRIMARY or scene.run_here:
            broken.append("cuts off what is not writable, or is being opened by a run")
        if scene.owner == "x" and scene.lease_left_seconds > 0:
            broken.append("cuts off what it has the right to")
    if scene.policy is FailoverPolicy.FOLLOWED and decision.act not in {Act.HOLD, Act.FIRST_CLAIM, Act.ASK}:
        broken.append("touches what something else moves")
    if decision.gates and decision.act not in PROMOTES | {Act.REFUSE}:
        broken.append("looked at gates and did something else")
    return broken


def test_every_picture_gets_exactly_one_decision_and_no_decision_breaks_a_rule() -> None:
    broken = [(why, seen) for seen in everything() for why in _holds(seen)]
    assert broken[:3] == []


def test_what_accepts_writes_without_a_right_is_always_cut_off() -> None:
    missed = [
        seen
        for seen in everything()
        if seen.scene.here is PRIMARY
        and seen.scene.owner != "x"
        and seen.scene.claimed
        and seen.scene.known
        and not seen.scene.run_here
        and seen.scene.policy is not FailoverPolicy.FOLLOWED
        and seen.decision.act is not Act.FENCE
    ]
    assert missed == []


def test_an_automatic_service_without_a_lease_is_never_left_writable() -> None:
    missed = [
        seen
        for seen in everything()
        if seen.scene.here is PRIMARY
        and seen.scene.lease_left_seconds <= 0
        and seen.scene.claimed
        and seen.scene.known
        and not seen.scene.run_here
        and seen.scene.policy is FailoverPolicy.AUTOMATIC
        and seen.decision.act is not Act.FENCE
    ]
    assert missed == []


def test_every_act_is_reached_by_some_combination() -> None:
    reached = {seen.decision.act for seen in everything()}
    assert reached >= set(Act) - {
        Act.REJOIN, Act.RESTART, Act.CLAIM_BACK, Act.HAND_OVER, Act.POWER_OFF,
    }  # fmt: skip


def test_nothing_but_the_gates_holds_a_lost_automatic_service_up() -> None:
    """Invariant 5: the site stays lost, hold-down is over, nobody paused it, nothing is unknown."""
    lost = [
        seen
        for seen in everything()
        if seen.ownership in THEIR_OWN
        and seen.lag == "within"
        and seen.scene.peer_lease_over
        and seen.scene.peer_silent_seconds > seen.scene.hold_down_seconds
        and seen.scene.lease_left_seconds > 0
        and seen.scene.policy is FailoverPolicy.AUTOMATIC
        and not seen.scene.paused
        and (seen.scene.lab or seen.scene.guarded)
        and seen.scene.here is STANDBY
        and seen.scene.there is not PRIMARY
        and not seen.scene.run_here
    ]
    assert lost
    assert {seen.decision.act for seen in lost} == {Act.TAKE_OVER}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[str, str, Scene]:
    """Anything at all, however unlikely together."""
    ownership, lag = draw(st.sampled_from(sorted(OWNERSHIP))), draw(st.sampled_from(sorted(LAGS)))
    instances = st.sampled_from((*ROLES, STRAY, Instance(position=at(5)), Instance(position=at(5000)), None))
    seconds = st.sampled_from((0.0, 0.05, 2.0, 14.9, 15.1, 3600.0))
    flags = {
        name: draw(st.booleans())
        for name in (
            "watch_only", "keeper", "paused", "peer_seen", "peer_lease_over", "peer_holds", "shut",
            "giving_up", "run_failed", "run_in_doubt", "run_waits", "lab", "guarded",
        )
    }  # fmt: skip
    more: Changes = {
        "home": draw(st.sampled_from(("x", "y"))),
        "policy": draw(st.sampled_from(FailoverPolicy)),
        "fence": draw(st.sampled_from(FencePolicy)),
        "here": draw(instances),
        "there": draw(instances),
        "dead_here": draw(st.sampled_from(("", "refused"))),
        "lease_left_seconds": draw(st.sampled_from((0.0, 8.0))),
        "peer_silent_seconds": draw(st.sampled_from((0.5, 6.0, 12.0, 40.0))),
        "peer_reached": draw(st.sampled_from((None, False, True))),
        "lag_seconds": draw(st.sampled_from((None, 0.0, 61.0))),
        "history_seen": draw(st.sampled_from(("", "cluster/1", "cluster/2"))),
        "flap_left_seconds": draw(st.sampled_from((None, 100.0))),
        "restarts_left": draw(st.integers(0, 2)),
        "fence_confirmed": draw(st.sampled_from((None, False, True))),
        "nobody_for_seconds": draw(seconds),
        "not_a_standby_for_seconds": draw(seconds),
        "rejoin_wait_seconds": draw(seconds),
        "run_here": draw(st.sampled_from(("", "run-1"))),
    }
    return ownership, lag, _scene(ownership, lag, flags, more)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(scenes())
def test_no_combination_however_unlikely_breaks_a_rule(drawn: tuple[str, str, Scene]) -> None:
    ownership, lag, scene = drawn
    row, decision = scene.decide()
    assert _holds(Seen(scene, ownership, lag, row.diagnosis, decision)) == []
    assert scene.decide() == (row, decision), "the same picture always gets the same decision"
    if scene.watch_only:
        assert decision.act is Act.HOLD
