"""Every input of the deciding core, decided: none is left undecided, no promotion comes without a right to
it, every refusal has a reason, and no row of the tables is there for nothing.

How they are gone through is told in `tests.core.every_input`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from zlib import crc32

import pytest

from orchestrator.core import decision as deciding
from orchestrator.core.clients import ENOUGH_OBSERVERS, cut_off_by
from orchestrator.core.decision import TABLE, Act, Decision, Rule, automatic_wish, opens_all, wish_of
from orchestrator.core.devices import Device
from orchestrator.core.diagnosis import TABLE as NAMES
from orchestrator.core.gates import CHECKS, Check, Gate, Wish, gates
from orchestrator.core.reasons import REASONS
from orchestrator.core.records import Mode
from orchestrator.core.view import ServiceView, View
from orchestrator.reference_decisions import CHECKED_COMBINATIONS, CHECKED_INPUTS
from sites.model import FailoverPolicy, FencePolicy
from sites.replication.words import Role
from tests.core.every_input import INPUTS, VALUES, Way, chosen_gates, doubles, every_choice, every_way
from tests.core.views import LEASE_NS

ANSWERS = 3 ** len(CHECKS)
PROMOTES_HERE = {Act.CLAIM, Act.TAKE_OVER}
PROMOTES = {*PROMOTES_HERE, Act.HAND_OVER}
BY_ITSELF = {*PROMOTES, Act.GIVE_UP}
OPENS = {Act.REOPEN, Act.RESTART, Act.CLAIM_BACK}


@dataclass(slots=True)
class Found:
    """What came of all of them."""

    ways: int = 0
    combinations: int = 0
    rows: Counter[int] = field(default_factory=Counter)
    names: set[int] = field(default_factory=set)
    acts: set[Act] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    otherwise: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def found() -> Found:
    """Every way, looked at once for all the tests below."""
    counted = Found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deciding, "gates", chosen_gates)
        for way in every_way():
            broken = list(_broken(way))  # may read more: that is then a way of its own
            counted.broken += [f"{why}: {way.decision} after {way.pick.chosen}" for why in broken]
            counted.ways += 1
            counted.combinations += way.pick.combinations(INPUTS * ANSWERS)
            counted.rows[way.decision.row] += 1
            counted.names.add(NAMES.index(way.row))
            counted.acts.add(way.decision.act)
            patch.setattr(deciding, "gates", gates)
            counted.otherwise += _real_types_decide_otherwise(way, counted.ways)
            patch.setattr(deciding, "gates", chosen_gates)
    print(f"{INPUTS:.3g} combinations of {len(VALUES)} inputs, decided in {counted.ways} ways")
    return counted


def _broken(way: Way) -> Iterator[str]:
    """What is wrong with this decision; nothing should be."""
    view, service, decision = way.view, way.service, way.decision
    first = next(
        rule
        for rule in deciding.TABLE
        if rule.diagnosis in (None, way.row.diagnosis)
        and rule.when.holds(view, service)
        and (not rule.opens or opens_all(rule, _answers(rule, view, service)))
    )
    if decision.row != first.row:
        yield "another row than the first that fits"
    if decision.code not in REASONS or not decision.why:
        yield "without a reason that people can look up"
    if decision.act in PROMOTES:
        if not first.gated or [gate.number for gate in decision.gates] != [one.number for one in CHECKS]:
            yield "promotes without having looked at every gate"
        if not all(gate.open for gate in decision.gates):
            yield "promotes through a closed gate"
    elif first.gated:
        closed = next(gate for gate in decision.gates if not gate.open)
        if (decision.act, decision.code) != (Act.REFUSE, closed.code):
            yield "refuses with another code than that of the first closed gate"
    elif decision.act is not first.act or decision.code != first.code:
        yield "does something else than its row says"
    if decision.act is Act.POWER_OFF:
        yield from _cuts_off_too_much(view, service, decision)
    yield from _without_right(view, service, decision.act)
    if decision.act in BY_ITSELF:
        yield from _against_policy(view, service)


def _answers(rule: Rule, view: View, service: ServiceView) -> tuple[Gate, ...]:
    return deciding.gates(view, service, wish_of(rule.act, view, service))


def _without_right(view: View, service: ServiceView, act: Act) -> Iterator[str]:
    """Acts that need a right, a loss, or an instance that is there to be acted on."""
    record, held = service.record, service.held
    under_glass = held is not None and bool(held.under_glass)
    right = view.right_lasts and not view.word_needed
    ours = record is not None and record.primary == view.site
    theirs = record is not None and record.primary == view.peer
    if act in PROMOTES | OPENS | {Act.GIVE_UP, Act.RELEASE, Act.FIRST_CLAIM} and not (right or under_glass):
        yield "acts without a lease, or without the peer's word that it needs"
    if act in PROMOTES | OPENS and service.run_here:
        yield "acts beside a run that is under way here"
    if act is Act.TAKE_OVER:
        silent = view.peer_silent_seconds
        if not theirs or not view.peer_lease_over:
            yield "takes what another site has a lease for"
        if silent is None or silent <= service.service.hold_down_seconds:
            yield "does not wait for hold-down"
    if act in (Act.CLAIM, Act.CLAIM_BACK) and (record is None or record.primary is not None):
        yield "claims what is somebody's"
    if act is Act.CLAIM_BACK and (record is None or record.previous != view.site):
        yield "takes back what it did not give up"
    if act in (Act.REOPEN, Act.RESTART, Act.GIVE_UP, Act.HAND_OVER, Act.RELEASE) and not (
        ours or under_glass
    ):
        yield "acts on what it does not own"
    beside = act is Act.CLAIM_BACK or service.writable_at(view.site) is not True
    if act in OPENS and not under_glass and beside and service.writable_at(view.peer):
        yield "opens a second writable instance"
    if act is Act.GIVE_UP and not service.dead_here and service.role_at(view.site) is not Role.DOWN:
        yield "gives up what is not dead"
    if act is Act.HAND_OVER:
        if service.writable_at(view.site) is not True:
            yield "hands over in order what is not open"
        if len(cut_off_by(service.client_probes, view.site)) < ENOUGH_OBSERVERS:
            yield "hands over on one observer's word"
        if service.cut_off_for_seconds <= service.service.hold_down_seconds:
            yield "does not wait for the clients' way to come back"
        if service.handed_over_lately:
            yield "tries on what has not worked"
    if act is Act.FENCE and (service.writable_at(view.site) is not True or service.run_here):
        yield "cuts off what is not writable, or what a run is opening"
    if act is Act.FENCE and ours and right:
        yield "cuts off what it has the right to"
    if act is Act.FIRST_CLAIM and (record is not None or service.service.home != view.site):
        yield "makes the first claim away from home, or of what was claimed"
    yield from _too_eagerly(view, service, act)
    if act is Act.REJOIN and (not theirs or service.writable_at(view.site) is True):
        yield "makes a standby of its own primary, or of what accepts writes"


def _cuts_off_too_much(view: View, service: ServiceView, decision: Decision) -> Iterator[str]:
    """What a site may lose its machines for: nothing but a takeover that lacks only that."""
    record, keeper, silent = service.record, view.keeper, view.peer_silent_seconds
    closed = {gate.number for gate in decision.gates if not gate.open}
    if not closed or not closed <= {2, 8}:
        yield "switches off though that opens no gate, or another would stay closed"
    if record is None or record.primary != view.peer or record.mode is not Mode.AUTOMATIC:
        yield "switches off for what is not the other site's, or is manual"
    if not view.peer_lease_over or silent is None or silent <= service.service.hold_down_seconds:
        yield "switches a site off that has a lease, or may still come back"
    if keeper is None or keeper.deadline_ns <= view.now_ns or view.word_needed:
        yield "switches off without a lease of its own"
    if service.pause_left_seconds is not None or not (service.guarded or view.lab):
        yield "switches off for a move that is paused, or not allowed without a person"
    if service.run_here or view.clocks_beyond:
        yield "switches off beside a run, or by clocks that are not to be trusted"
    power = service.power
    if not power.equipped or power.takes_along or power.device in (Device.FAILED, Device.CUT):
        yield "switches off what cannot be, what others need, or what is off already"
    if service.fence_confirmed is not False:
        yield "switches off before the gentler way was tried"


def _too_eagerly(view: View, service: ServiceView, act: Act) -> Iterator[str]:
    """Acts that would hide what is the matter, or gain nothing."""
    record, held = service.record, service.held
    moves = {Act.REOPEN, Act.RESTART, Act.GIVE_UP, Act.HAND_OVER}
    if act in moves and held is not None and held.giving_up and not held.under_glass:
        yield "acts on what is being given up"
    if act is Act.REOPEN and service.open_failures >= 3:
        yield "opens what has failed to open three times"
    if act is Act.RESTART and service.restarts_left < 1:
        if service.role_at(view.peer) is Role.STANDBY:
            yield "restarts more often than is allowed, though the other site could take it"
        if service.open_failures >= 3:
            yield "starts what has failed to start three times"
    if act is Act.GIVE_UP and service.role_at(view.peer) is not Role.STANDBY:
        yield "gives up to a site that could not take it"
    if act is Act.GIVE_UP and service.flap_left_seconds:
        yield "gives up what flaps"
    if act is Act.CLAIM and record is not None and record.previous == view.site:
        yield "claims as a loss what it gave up itself"
    if act in (Act.CLAIM, Act.CARRY_OUT) and service.run_in_doubt:
        yield "goes on with a run of which a step is in doubt"
    if act is Act.CARRY_OUT and service.run_waits:
        yield "goes on with a run that waits for a person"
    if act is Act.CARRY_OUT and (record is None or record.target != view.site):
        yield "carries out another site's run"
    if act is Act.RELEASE and not view.peer_lease_over:
        yield "ends a run whose site may still carry it out"
    if act is Act.REJOIN and service.role_at(view.peer) is not Role.PRIMARY:
        yield "rejoins a primary that does not answer"
    if act is Act.REJOIN and service.rejoin_wait_seconds > 0:
        yield "tries a rejoin again at once"


def _against_policy(view: View, service: ServiceView) -> Iterator[str]:
    """What moves by itself."""
    record = service.record
    if record is None or record.mode is not Mode.AUTOMATIC:
        yield "moves what is manual by itself"
    if service.service.failover is FailoverPolicy.FOLLOWED or service.service.watch_only:
        yield "moves what something else moves"
    if service.pause_left_seconds is not None:
        yield "moves what is paused"
    if not (service.guarded or view.lab):
        yield "moves without a guard outside a lab"


def _real_types_decide_otherwise(way: Way, number: int) -> Iterator[str]:
    """The same for a real View and ServiceView, what was never read having other values each time."""
    scene = way.scene(lambda name: crc32(f"{number} {name}".encode()))
    row, decision = scene.decide()
    real = (NAMES.index(row), decision.row)
    gated = next(rule for rule in TABLE if rule.row == decision.row).gated
    opening = [rule for rule in TABLE if rule.opens and rule.row in (decision.row, way.decision.row)]
    if opening:  # which of the two rows it is depends on the gates, and these are the real ones
        view, service = scene.see()
        fits = opens_all(opening[0], gates(view, service, wish_of(opening[0].act, view, service)))
        if fits is not (decision.row == opening[0].row) or row is not way.row:
            yield f"{way.decision} and {decision} of {scene}"
    elif real != (NAMES.index(way.row), way.decision.row) or (not gated and decision != way.decision):
        yield f"{way.decision} and {decision} of {scene}"
    if gated and (decision.act in PROMOTES) is not all(gate.open for gate in decision.gates):
        yield f"{decision} of {scene}"


def test_together_the_ways_are_exactly_all_combinations(found: Found) -> None:
    assert found.combinations == INPUTS * ANSWERS


def test_no_decision_breaks_a_rule_whatever_the_input(found: Found) -> None:
    assert found.broken[:3] == []


def test_the_real_types_decide_the_same_and_what_was_not_read_changes_nothing(found: Found) -> None:
    assert found.otherwise[:3] == []


def test_every_row_of_both_tables_is_reached_and_every_act(found: Found) -> None:
    assert sorted({rule.row for rule in TABLE} - set(found.rows)) == []
    assert [row.why for number, row in enumerate(NAMES) if number not in found.names] == []
    assert found.acts == set(Act)


def test_the_page_of_decisions_tells_how_many_combinations_were_checked() -> None:
    counted = (len(VALUES), INPUTS)
    assert counted == (CHECKED_INPUTS, CHECKED_COMBINATIONS), "these belong into reference_decisions.py"


# Rows without which something would be done that must not be.
NEEDED = {
    203: "second writable", 205: "in doubt", 210: "paused", 212: "manual", 214: "guard", 304: "paused",
    306: "manual", 308: "guard", 310: "hold-down", 401: "in doubt", 501: "three times",
    503: "second writable", 510: "being given up", 513: "second writable", 516: "paused", 518: "manual",
    522: "could not take it", 524: "flaps", 572: "does not answer", 574: "at once", 604: "being given up",
    606: "paused", 608: "manual", 610: "guard", 616: "has not worked", 618: "to come back",
}  # fmt: skip


@pytest.mark.parametrize("row", NEEDED)
def test_a_table_without_one_of_its_rows_is_found_out(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the checks above are known to see something."""
    diagnosis = next(rule.diagnosis for rule in TABLE if rule.row == row)
    monkeypatch.setattr(deciding, "TABLE", tuple(rule for rule in TABLE if rule.row != row))
    monkeypatch.setattr(deciding, "gates", chosen_gates)
    broken = (why for way in every_way() if way.row.diagnosis is diagnosis for why in _broken(way))
    assert NEEDED[row] in next(broken, "")


# --- the gates ------------------------------------------------------------------------------------------

WISHES: dict[str, Callable[[View, ServiceView], Wish]] = {
    "here": automatic_wish,
    "at the other site": lambda view, service: wish_of(Act.HAND_OVER, view, service),
    "when its hosts are switched off": lambda view, service: replace(
        automatic_wish(view, service), automatic=False, power_off=True
    ),
}


@pytest.mark.parametrize("where", WISHES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.number} {check.name}")
def test_a_gate_opens_only_for_what_it_says_and_refuses_with_its_codes(check: Check, where: str) -> None:
    combinations, seen, broken = 0, set(), []
    for pick in every_choice():
        view, service = doubles(pick)
        wish = WISHES[where](view, service)
        gate = check.look(view, service, wish)
        if gate.open:
            broken += [f"{why}: {pick.chosen}" for why in _opened_wrongly(view, service, wish, gate)]
        elif gate.code not in check.codes or gate.code not in REASONS or not gate.evidence:
            broken.append(f"{gate}: {pick.chosen}")
        seen.add(gate.open)
        combinations += pick.combinations(INPUTS * ANSWERS)
    assert broken[:3] == []
    assert combinations == INPUTS * ANSWERS
    assert True in seen, "a gate that never opens lets nothing through"


def _opened_wrongly(view: View, service: ServiceView, wish: Wish, gate: Gate) -> Iterator[str]:
    record = service.record
    given_up = record is not None and record.primary is None
    if gate.number == 1:
        if record is None or not view.registered:
            yield "ownership is not known"
        elif not wish.planned and not given_up:
            peer = view.keeper.peer if view.keeper is not None else None
            proves_nothing = record.mode is Mode.MANUAL or (peer is not None and peer.hold)
            if wish.power_off:
                if not proves_nothing and not view.peer_lease_over:
                    yield "a lease that runs, which a verified cut does not end"
            elif proves_nothing or not view.peer_lease_over:
                yield "a manual service, a lease that runs, or a site that holds"
    if gate.number == 2 and not wish.planned and wish.from_site is not None:
        off_first = wish.power_off and wish.from_site == view.peer and view.peer_lease_over
        if off_first and not service.power.verified:
            return  # the cut comes before anything is promoted
        fresh_seconds = min(6.0, _shut_for_seconds(view, service, given_up=given_up))
        if service.power.verified and wish.from_site == view.peer:
            cut_seconds = (view.now_ns - service.power.cut_at_ns) / 1e9
            fresh_seconds = min(fresh_seconds, cut_seconds) if cut_seconds >= 3.0 else fresh_seconds
        sample = service.samples.get(wish.from_site)
        writable = sample is not None and service.writable_at(wish.from_site)
        if writable and sample and (view.now_ns - sample.taken_at_ns) / 1e9 <= fresh_seconds:
            yield "the old primary was just seen to accept writes"
        for word in service.outside:
            outside = word.site == wish.from_site != word.observer
            if outside and word.writable and word.age_seconds <= fresh_seconds:
                yield "another observer has just seen the old primary accept writes"
    if gate.number == 3:
        yield from _loses_too_much(view, service, wish)
    if gate.number == 4:
        standby = service.samples.get(wish.to_site)
        position = standby.position if standby is not None else None
        if position is None or position.history != service.final_primary_history:
            yield "another history, or an unknown one"
    if gate.number == 6 and wish.automatic and service.flap_left_seconds:
        yield "it flaps"
    if gate.number == 7 and service.pause_left_seconds is not None:
        yield "it is paused"
    asked = gate.number == 8 and service.service.fence is FencePolicy.CONFIRM and not wish.planned
    cut = service.power.verified and wish.from_site == view.peer
    if asked and not given_up and service.fence_confirmed is not True and not cut and not wish.power_off:
        yield "no fencing level has confirmed"


def _shut_for_seconds(view: View, service: ServiceView, *, given_up: bool) -> float:
    """For how long the old primary should have been shut by now."""
    if given_up:
        return service.nobody_for_seconds
    over_ns = view.keeper.peer_lease_over_ns if view.keeper is not None else None
    over = over_ns is not None and over_ns < view.now_ns
    return (view.now_ns - (over_ns or 0)) / 1e9 + 1.0 if over else float("inf")


def _loses_too_much(view: View, service: ServiceView, wish: Wish) -> Iterator[str]:
    limit_seconds = service.service.max_data_loss_seconds
    record, standby = service.record, service.samples.get(wish.to_site)
    if wish.planned:
        lag_seconds = service.lag_seconds
        receives = standby is not None and standby.role is Role.STANDBY and standby.streaming
        if not receives or lag_seconds is None or lag_seconds > limit_seconds:
            yield "the standby does not receive, or is too far behind"
        return
    final = record.final_position if record is not None and record.primary is None else None
    position = standby.position if standby is not None else None
    if final is not None:
        there = position is not None and position.history == final.history
        if position is None or not there or position.offset_bytes < final.offset_bytes:
            yield "what was closed in order is not here to its end"
        return
    if service.safe_until_ns is None:
        yield "how much would be lost is not known"
    else:
        bound_seconds = (view.now_ns - service.safe_until_ns) / 1e9
        bound_seconds -= service.nobody_for_seconds if record is not None and record.primary is None else 0.0
        if bound_seconds > limit_seconds and not _proven_dead(view, service):
            yield "more would be lost than is allowed"


def _proven_dead(view: View, service: ServiceView) -> bool:
    """By its own site, for long enough that what is missing is little; and nothing speaks against it."""
    still, record = service.still, service.record
    if still is None or record is None:
        return False
    if record.primary is None:
        return still.given_up_epoch == record.epoch
    if (view.now_ns - still.seen_ns) / 1e9 > 6.0:
        return False
    if record.primary == view.peer:
        keeper = view.keeper
        if keeper is None or keeper.peer is None or (view.now_ns - keeper.peer_seen_ns) * 2 > LEASE_NS:
            return False
    sample = service.samples.get(record.primary)
    runs = sample is not None and sample.role in (Role.PRIMARY, Role.STANDBY)
    return still.behind_gate or not runs


def test_the_wish_of_an_act_is_what_the_act_does() -> None:
    for pick in every_choice():
        view, service = doubles(pick)
        assert wish_of(Act.TAKE_OVER, view, service) == automatic_wish(view, service)
        over = wish_of(Act.HAND_OVER, view, service)
        assert (over.to_site, over.from_site, over.planned, over.automatic) == ("y", "x", True, True)
