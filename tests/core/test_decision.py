"""What is done about each diagnosis: one sentence a row, each from the smallest picture that reaches it."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.core.clocks import ClockWord
from orchestrator.core.conditions import ALWAYS
from orchestrator.core.decision import ACTS_ON_THE_WORLD, TABLE, Act, Rule, automatic_wish
from orchestrator.core.devices import Device
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.reasons import REASONS
from orchestrator.core.rules import ACT_WORDS
from sites.model import FailoverPolicy, FencePolicy
from tests.core.views import (
    DOWN,
    GIVEN_AWAY,
    GIVEN_UP,
    HANDED,
    HEALTHY,
    LOST,
    MUTE,
    NO_CLIENTS,
    NOBODY,
    PRIMARY,
    STANDBY,
    STRAY,
    THEIRS,
    Instance,
    Scene,
    at,
    probe,
    still,
    word,
)

ROOT = Path(__file__).parents[2]
FOLLOWED = {"policy": FailoverPolicy.FOLLOWED}
MANUAL = {"policy": FailoverPolicy.MANUAL}
UNGUARDED = {"lab": False}
DEAD = HEALTHY.but(here=DOWN, dead_here="connection refused")
CLOSED = HEALTHY.but(here=STANDBY)
CUT_OFF = HEALTHY.but(here=DOWN, shut=True)
ORDERED_AWAY = HEALTHY.but(moving=True, target="y")
ORDERED_HERE = THEIRS.but(moving=True, target="x")
STRAYED = THEIRS.but(here=STRAY, not_a_standby_for_seconds=10.0)
UNCLAIMED = HEALTHY.but(claimed=False, here=STANDBY, there=STANDBY)
ISOLATED = HEALTHY.but(lease_left_seconds=0.0)
BEHIND = Instance(position=at(900))
GLASS = HEALTHY.but(under_glass=True, lease_left_seconds=0.0)
GONE = {"peer_lease_over": True, "peer_silent_seconds": 60.0, "there": None, "peer_reached": False}


@dataclass(frozen=True)
class Case:
    """The row that decides, and what it says."""

    row: int
    act: Act
    code: str
    scene: Scene


# Lost whole: its own host cannot be made to cut it off, and every host of it has a device.
DEVICES = LOST.but(fence=FencePolicy.CONFIRM, fence_confirmed=False, equipped=True)

CASES: dict[str, Case] = {
    # --- whose it is ---
    "a service without a driver is left to its own tools": Case(
        100, Act.HOLD, "driver-missing", HEALTHY.but(watch_only=True)
    ),
    "a followed service is not cut off when its own observer has moved it here": Case(
        105, Act.HOLD, "followed", THEIRS.but(**FOLLOWED, here=PRIMARY, there=STANDBY)
    ),
    "a followed service is not opened when its own observer has moved it away": Case(
        105, Act.HOLD, "followed", CLOSED.but(**FOLLOWED, there=PRIMARY)
    ),
    "a followed service of a lost site is left to its own observer": Case(
        105, Act.HOLD, "followed", LOST.but(**FOLLOWED)
    ),
    "a followed service is rejoined by whatever moves it": Case(
        105, Act.HOLD, "followed", STRAYED.but(**FOLLOWED)
    ),
    "a run of a service under a certificate goes on": Case(
        106, Act.HOLD, "moving", GLASS.but(run_here="run-1")
    ),
    "a service under a certificate that does not open is shown to people": Case(
        107, Act.ASK, "reopen-failed", GLASS.but(here=STANDBY, open_failures=3)
    ),
    "a service under a certificate is opened here": Case(108, Act.REOPEN, "reopen", GLASS.but(here=STANDBY)),
    "a service under a certificate is served until a person reconciles it": Case(
        109, Act.ASK, "break-glass", GLASS
    ),
    "a site that starts cold opens nothing before the other one's word": Case(
        112, Act.HOLD, "peer-word-missing", CLOSED.but(word_needed=True)
    ),
    "what was opened by hand before the other one's word is cut off": Case(
        118, Act.FENCE, "writable-without-right", HEALTHY.but(word_needed=True)
    ),
    "a site that relies on hold goes on without a lease": Case(
        900, Act.HOLD, "healthy", HEALTHY.but(lease_left_seconds=0.0, hold_relied=True)
    ),
    "nothing is done while ownership is unknown": Case(110, Act.HOLD, "no-quorum", HEALTHY.but(keeper=False)),
    "what accepts writes without a lease is cut off": Case(
        118, Act.FENCE, "writable-without-right", ISOLATED
    ),
    "what was opened by hand at a site without a lease is cut off, though another owns it": Case(
        118, Act.FENCE, "writable-without-right", THEIRS.but(**MANUAL, here=PRIMARY, lease_left_seconds=0.0)
    ),
    "a lost site is not taken over by itself while clocks run further apart than reckoned with": Case(
        309, Act.ASK, "clock-rate", LOST.but(clocks=(ClockWord(observer="w", about="y", rate=0.006),))
    ),
    "clocks that run apart stop nobody from serving": Case(
        900, Act.HOLD, "healthy", HEALTHY.but(clocks=(ClockWord(observer="w", about="x", rate=0.006),))
    ),
    "a manual service goes on without a lease": Case(120, Act.HOLD, "no-quorum", ISOLATED.but(**MANUAL)),
    "a site without a lease claims, takes and opens nothing": Case(
        120, Act.HOLD, "no-quorum", LOST.but(lease_left_seconds=0.0)
    ),
    "the first claim is its home's": Case(130, Act.HOLD, "not-home", UNCLAIMED.but(home="y")),
    "its home claims what is writable there alone": Case(
        132, Act.FIRST_CLAIM, "first-claim", UNCLAIMED.but(here=PRIMARY)
    ),
    "its home claims what is closed there and has everything": Case(
        133, Act.FIRST_CLAIM, "first-claim", UNCLAIMED
    ),
    "its home asks when the other instance has more": Case(
        134, Act.ASK, "unclaimed", UNCLAIMED.but(here=BEHIND)
    ),
    "its home asks when the other instance is of another history": Case(
        134, Act.ASK, "unclaimed", UNCLAIMED.but(there=Instance(position=at(10, "cluster/2")))
    ),
    "its home asks when the other instance does not say how far it is": Case(
        134, Act.ASK, "unclaimed", UNCLAIMED.but(there=Instance(position=None))
    ),
    "its home asks when both are writable": Case(
        134, Act.ASK, "unclaimed", UNCLAIMED.but(here=PRIMARY, there=PRIMARY)
    ),
    "its home asks when its own is writable and the other one does not answer": Case(
        134, Act.ASK, "unclaimed", UNCLAIMED.but(here=PRIMARY, there=None)
    ),
    "its home asks when the other one does not answer and its own is closed": Case(
        134, Act.ASK, "unclaimed", UNCLAIMED.but(there=None)
    ),
    "what accepts writes without a right is cut off": Case(
        140, Act.FENCE, "writable-without-right", THEIRS.but(here=PRIMARY)
    ),
    "what accepts writes without a right is cut off, paused and unguarded or not": Case(
        140, Act.FENCE, "writable-without-right", THEIRS.but(**UNGUARDED, here=PRIMARY, paused=True)
    ),
    # --- handed over ---
    "a run that is to claim it here and waits for a person is that person's": Case(
        198, Act.ASK, "run-waiting", HANDED.but(run_waits=True)
    ),
    "a run here claims what it was given": Case(200, Act.HOLD, "moving", HANDED.but(run_here="run-1")),
    "what we gave up is not taken back beside an instance that accepts writes there": Case(
        203, Act.ASK, "other-site-writable", GIVEN_AWAY.but(run_failed=True, there=PRIMARY)
    ),
    "what we gave up is taken back when its run has failed": Case(
        204, Act.CLAIM_BACK, "claim-back", GIVEN_AWAY.but(run_failed=True)
    ),
    "what we gave up is taken back when nobody comes": Case(
        204, Act.CLAIM_BACK, "claim-back", GIVEN_AWAY.but(nobody_for_seconds=15.1)
    ),
    "what we gave up is taken back when the site that was to take it is lost": Case(
        204, Act.CLAIM_BACK, "claim-back", GIVEN_AWAY.but(peer_lease_over=True)
    ),
    "what died here and nobody takes is taken back too": Case(
        204,
        Act.CLAIM_BACK,
        "claim-back",
        GIVEN_AWAY.but(planned=False, final=None, moving=False, target=None, nobody_for_seconds=15.1),
    ),
    "a pause does not keep closed what nobody took": Case(
        204, Act.CLAIM_BACK, "claim-back", GIVEN_AWAY.but(nobody_for_seconds=15.1, paused=True)
    ),
    "a step whose end is not known is looked at before the run goes on": Case(
        205, Act.ASK, "in-doubt", HANDED.but(run_in_doubt=True)
    ),
    "what a run brings here is claimed by that run": Case(206, Act.CARRY_OUT, "moving", HANDED),
    "a run that has failed here is not repeated, it is left to whoever gave the service up": Case(
        207, Act.HOLD, "handed-over", HANDED.but(run_failed=True)
    ),
    "what we gave up a moment ago is left to the other site": Case(208, Act.HOLD, "moving", GIVEN_AWAY),
    "what we gave up dead is left to the other site, however an earlier run ended": Case(
        208,
        Act.HOLD,
        "moving",
        GIVEN_AWAY.but(planned=False, final=None, moving=False, target=None, run_failed=True),
    ),
    "a paused service is not claimed": Case(210, Act.REFUSE, "paused", GIVEN_UP.but(paused=True)),
    "a manual service is claimed by a person": Case(212, Act.ASK, "manual", GIVEN_UP.but(**MANUAL)),
    "without a guard a person claims": Case(214, Act.ASK, "guard-missing", GIVEN_UP.but(**UNGUARDED)),
    "with a guard it is claimed as in a lab": Case(
        216, Act.CLAIM, "claim", GIVEN_UP.but(**UNGUARDED, guarded=True)
    ),
    "what died at the other site is claimed without waiting for the lease": Case(
        216, Act.CLAIM, "claim", GIVEN_UP
    ),
    "what died at the other site is not claimed when too much would be lost": Case(
        216, Act.REFUSE, "lag-above-limit", GIVEN_UP.but(safe_seconds_ago=90.0)
    ),
    "what died long before it was given up is claimed once that is proven": Case(
        216, Act.REFUSE, "proof-awaited", GIVEN_UP.but(safe_seconds_ago=90.0, still=still(85.0))
    ),
    "what died long before it was given up is claimed when it is proven": Case(
        216, Act.CLAIM, "claim", GIVEN_UP.but(safe_seconds_ago=90.0, still=still(85.0, given_up_epoch=7))
    ),
    "a proof that does not come is not waited for": Case(
        216,
        Act.REFUSE,
        "lag-above-limit",
        GIVEN_UP.but(safe_seconds_ago=90.0, still=still(85.0), nobody_for_seconds=3.1),
    ),
    "a proof that would not be enough is not waited for": Case(
        216, Act.REFUSE, "lag-above-limit", GIVEN_UP.but(safe_seconds_ago=90.0, still=still(29.0))
    ),
    "a proof that is not needed is not waited for": Case(
        216, Act.CLAIM, "claim", GIVEN_UP.but(still=still(0.4))
    ),
    "a proof of what is not known is not waited for": Case(
        216, Act.REFUSE, "lag-unknown", GIVEN_UP.but(safe_seconds_ago=None, still=still(85.0))
    ),
    "when a run has failed and the site that gave up is lost, the rest is claimed if all of it is here": Case(
        216, Act.CLAIM, "claim", HANDED.but(**GONE, run_failed=True)
    ),
    "when a run has failed, the site that gave up is lost and something is missing, a person is needed": Case(
        216, Act.REFUSE, "below-final-position", HANDED.but(**GONE, run_failed=True, here=BEHIND)
    ),
    # --- the other site is lost ---
    "a run here that takes it over goes on": Case(300, Act.HOLD, "moving", LOST.but(run_here="run-2")),
    "a paused service is not taken over": Case(304, Act.REFUSE, "paused", LOST.but(paused=True)),
    "a manual service is taken over by a person": Case(306, Act.ASK, "manual", LOST.but(**MANUAL)),
    "without a guard a person takes over": Case(308, Act.ASK, "guard-missing", LOST.but(**UNGUARDED)),
    "a lost site is given its time to come back": Case(
        310, Act.HOLD, "hold-down", LOST.but(peer_silent_seconds=30.0)
    ),
    "a lost site whose fence is not confirmed over SSH is switched off by its devices": Case(
        311, Act.POWER_OFF, "power-off", DEVICES
    ),
    "one that is being switched off is left to its devices": Case(
        311, Act.POWER_OFF, "power-off", DEVICES.but(device=Device.AT_WORK)
    ),
    "a lost site that is still seen writable is switched off, though it asked for no confirmation": Case(
        311,
        Act.POWER_OFF,
        "power-off",
        DEVICES.but(fence=FencePolicy.ATTEMPT, outside=(word("w", "y"),)),
    ),
    "nothing is switched off that opens no gate": Case(
        312, Act.TAKE_OVER, "take-over", DEVICES.but(fence=FencePolicy.ATTEMPT)
    ),
    "nothing is switched off while another gate is closed": Case(
        312, Act.REFUSE, "lag-unknown", DEVICES.but(safe_seconds_ago=None)
    ),
    "nothing is switched off before hold-down is over": Case(
        310, Act.HOLD, "hold-down", DEVICES.but(peer_silent_seconds=29.0)
    ),
    "nothing is switched off that holds": Case(312, Act.REFUSE, "peer-holds", DEVICES.but(peer_holds=True)),
    "nothing is switched off by who goes on by hold alone": Case(
        312, Act.REFUSE, "fence-not-confirmed", DEVICES.but(lease_left_seconds=0.0, hold_relied=True)
    ),
    "nothing is switched off on a machine that others need": Case(
        312, Act.REFUSE, "fence-not-confirmed", DEVICES.but(takes_along=("payroll",))
    ),
    "devices that failed are tried again later": Case(
        312, Act.REFUSE, "fence-not-confirmed", DEVICES.but(device=Device.FAILED)
    ),
    "what its devices have cut off is taken over": Case(
        312, Act.TAKE_OVER, "take-over", DEVICES.but(device=Device.CUT)
    ),
    "a lost site's service is taken over": Case(312, Act.TAKE_OVER, "take-over", LOST),
    "a lost site's service is taken over though a run was to bring it here": Case(
        312, Act.TAKE_OVER, "take-over", LOST.but(moving=True, target="x")
    ),
    "a lost site's service stays where it is when the loss is not known": Case(
        312, Act.REFUSE, "lag-unknown", LOST.but(safe_seconds_ago=None)
    ),
    "a lost site's service stays where it is while it flaps": Case(
        312, Act.REFUSE, "flap-damped", LOST.but(flap_left_seconds=100.0)
    ),
    "a lost site's service stays where it is while the old primary is seen writable": Case(
        312, Act.REFUSE, "old-primary-writable", LOST.but(there=PRIMARY)
    ),
    # --- runs ---
    "a run that waits for a person asks where it is carried out": Case(
        398, Act.ASK, "run-waiting", ORDERED_HERE.but(run_here="run-1", run_waits=True)
    ),
    "a run whose site is lost is not waited for, whatever it waited for": Case(
        403, Act.RELEASE, "release", ORDERED_AWAY.but(**GONE, run_waits=True)
    ),
    "a run goes on here": Case(400, Act.HOLD, "moving", ORDERED_HERE.but(run_here="run-1")),
    "a run in doubt asks": Case(401, Act.ASK, "in-doubt", ORDERED_HERE.but(run_in_doubt=True)),
    "what is being closed here is left alone": Case(
        402, Act.HOLD, "moving", ORDERED_AWAY.but(giving_up=True, here=DOWN)
    ),
    "a run whose site is lost lets its service go": Case(
        403, Act.RELEASE, "release", ORDERED_AWAY.but(**GONE)
    ),
    "a run whose site is lost lets a dead service go, so that it can be restarted": Case(
        403, Act.RELEASE, "release", ORDERED_AWAY.but(**{**GONE, "here": DOWN})
    ),
    "a run that brings it here is carried out here": Case(404, Act.CARRY_OUT, "moving", ORDERED_HERE),
    "a run that was cut off after its claim goes on here": Case(
        404, Act.CARRY_OUT, "moving", CLOSED.but(moving=True, target="x")
    ),
    "a run that takes it away is carried out over there": Case(406, Act.HOLD, "moving", ORDERED_AWAY),
    # --- the owner's instance ---
    "what was cut off is not opened while it is given up": Case(
        500, Act.HOLD, "moving", CUT_OFF.but(giving_up=True)
    ),
    "what was cut off is left to a run": Case(502, Act.HOLD, "moving", CUT_OFF.but(run_here="run-1")),
    "what was cut off is not opened while the other instance is writable": Case(
        503, Act.ASK, "other-site-writable", CUT_OFF.but(there=PRIMARY)
    ),
    "what was cut off and does not open here asks a person": Case(
        501, Act.ASK, "reopen-failed", CUT_OFF.but(open_failures=3)
    ),
    "what failed to open here twice is tried again": Case(
        504, Act.REOPEN, "reopen", CUT_OFF.but(open_failures=2)
    ),
    "a closed database that does not open here asks a person": Case(
        529, Act.ASK, "reopen-failed", CLOSED.but(open_failures=3)
    ),
    "what was cut off opens again when the right to it is back": Case(504, Act.REOPEN, "reopen", CUT_OFF),
    "what was cut off and opened by hand is made known to the keeper": Case(
        504, Act.REOPEN, "reopen", HEALTHY.but(shut=True)
    ),
    "what was cut off and opened by hand is made known to the keeper even while both are writable": Case(
        504, Act.REOPEN, "reopen", HEALTHY.but(shut=True, there=PRIMARY)
    ),
    "a dead database that is being given up is left alone": Case(
        510, Act.HOLD, "moving", DEAD.but(giving_up=True)
    ),
    "a dead database is left to a run": Case(511, Act.HOLD, "moving", DEAD.but(run_here="run-1")),
    "the other site's dead database is the other site's": Case(
        512, Act.HOLD, "not-the-holder", THEIRS.but(there=DOWN)
    ),
    "a dead database is not restarted while the other instance is writable": Case(
        513, Act.ASK, "other-site-writable", DEAD.but(there=PRIMARY, restarts_left=1)
    ),
    "a dead database is restarted while restarts are left": Case(
        514, Act.RESTART, "restart", DEAD.but(restarts_left=1, paused=True)
    ),
    "a paused service is not given up": Case(516, Act.REFUSE, "paused", DEAD.but(paused=True)),
    "a manual service is not given up": Case(518, Act.ASK, "manual", DEAD.but(**MANUAL)),
    "without a guard nothing is given up": Case(520, Act.ASK, "guard-missing", DEAD.but(**UNGUARDED)),
    "a dead database that the other site could not take is started where it is": Case(
        515, Act.RESTART, "restart", DEAD.but(there=DOWN, paused=True)
    ),
    "so it is when the other site does not answer": Case(515, Act.RESTART, "restart", DEAD.but(there=None)),
    "what does not start here, and could not be taken there, is shown to people": Case(
        522, Act.ASK, "standby-not-eligible", DEAD.but(there=None, open_failures=3)
    ),
    "a service that flaps is not given up": Case(
        524, Act.REFUSE, "flap-damped", DEAD.but(flap_left_seconds=100.0)
    ),
    "a dead database is given up at once": Case(526, Act.GIVE_UP, "give-up", DEAD),
    "a closed database is left to a run": Case(530, Act.HOLD, "moving", CLOSED.but(run_here="run-1")),
    "the other site's closed database is the other site's": Case(
        531, Act.HOLD, "not-the-holder", THEIRS.but(there=STANDBY)
    ),
    "a closed database that is being given up is left alone": Case(
        532, Act.HOLD, "moving", CLOSED.but(giving_up=True)
    ),
    "a closed database is not opened while the other instance is writable": Case(
        533, Act.ASK, "other-site-writable", CLOSED.but(there=PRIMARY)
    ),
    "a closed database is opened by its owner": Case(534, Act.REOPEN, "reopen", CLOSED),
    "a database that does not answer is left alone": Case(
        540, Act.HOLD, "primary-unknown", HEALTHY.but(here=MUTE)
    ),
    # --- the other site, and the standby here ---
    "a silent site may be serving until its lease is over": Case(
        550, Act.HOLD, "lease-still-held", THEIRS.but(peer_silent_seconds=8.0)
    ),
    "a broken link moves nothing": Case(
        560, Act.HOLD, "link-down", THEIRS.but(there=MUTE, peer_reached=False)
    ),
    "a rejoin goes on here": Case(570, Act.HOLD, "moving", STRAYED.but(run_here="run-3")),
    "nothing rejoins a primary that does not answer": Case(
        572, Act.HOLD, "primary-unknown", STRAYED.but(there=MUTE)
    ),
    "a rejoin that failed is not tried again at once": Case(
        574, Act.HOLD, "rejoin-failed", STRAYED.but(rejoin_wait_seconds=9.0)
    ),
    "an instance that stands by for nobody rejoins": Case(576, Act.REJOIN, "rejoin", STRAYED),
    "a service without a standby runs on": Case(580, Act.HOLD, "unprotected", HEALTHY.but(there=STRAY)),
    "a service with a late standby runs on": Case(590, Act.HOLD, "lagging", HEALTHY.but(lag_seconds=90.0)),
    # --- cut off from its clients ---
    "a run that is under way moves it already": Case(
        600, Act.HOLD, "moving", NO_CLIENTS.but(run_here="run-1")
    ),
    "the other site's is the other site's to hand over": Case(
        602,
        Act.HOLD,
        "not-the-holder",
        THEIRS.but(client_probes=(probe("x", "y"), probe("w", "y")), cut_off_for_seconds=31.0),
    ),
    "what is being given up is handed over already": Case(
        604, Act.HOLD, "moving", NO_CLIENTS.but(giving_up=True)
    ),
    "a paused service is not handed over": Case(606, Act.REFUSE, "paused", NO_CLIENTS.but(paused=True)),
    "a manual service is not handed over": Case(608, Act.ASK, "manual", NO_CLIENTS.but(**MANUAL)),
    "without a guard nothing is handed over": Case(
        610, Act.ASK, "guard-missing", NO_CLIENTS.but(**UNGUARDED)
    ),
    "nothing is handed over to a site that could not take it": Case(
        612, Act.ASK, "standby-not-eligible", NO_CLIENTS.but(there=DOWN)
    ),
    "a service that flaps is not handed over": Case(
        614, Act.REFUSE, "flap-damped", NO_CLIENTS.but(flap_left_seconds=100.0)
    ),
    "a hand-over that came to nothing is not tried again and again": Case(
        616, Act.ASK, "hand-over-failed", NO_CLIENTS.but(handed_over_lately=True)
    ),
    "the clients' way is given time to come back": Case(
        618, Act.HOLD, "hold-down", NO_CLIENTS.but(cut_off_for_seconds=30.0)
    ),
    "what no client reaches is handed over in order": Case(620, Act.HAND_OVER, "hand-over", NO_CLIENTS),
    "it is not handed over to a standby that is too far behind": Case(
        620, Act.REFUSE, "lag-above-limit", NO_CLIENTS.but(lag_seconds=90.0)
    ),
    "nothing is done about what is healthy": Case(900, Act.HOLD, "healthy", HEALTHY),
}


@pytest.mark.parametrize("sentence", CASES)
def test_the_row_decides(sentence: str) -> None:
    case = CASES[sentence]
    _, decision = case.scene.decide()
    assert (decision.row, decision.act, decision.code) == (case.row, case.act, case.code)
    assert decision.why


def test_every_row_of_the_table_is_covered_by_a_case() -> None:
    assert sorted({rule.row for rule in TABLE} - {case.row for case in CASES.values()}) == []


@pytest.mark.parametrize("rule", [rule for rule in TABLE if rule.gated], ids=lambda rule: str(rule.row))
def test_a_gated_row_is_seen_acting_and_refusing_with_its_gates_on_record(rule: Rule) -> None:
    seen = {case.act for case in CASES.values() if case.row == rule.row}
    assert seen == {rule.act, Act.REFUSE}
    for case in CASES.values():
        if case.row == rule.row:
            _, decision = case.scene.decide()
            assert all(gate.open for gate in decision.gates) is (decision.act is rule.act)
            assert len(decision.gates) > 1


# --- the table itself ----------------------------------------------------------------------------------


def test_rows_are_numbered_upwards_and_none_twice() -> None:
    rows = [rule.row for rule in TABLE]
    assert rows == sorted(set(rows))


@pytest.mark.parametrize("diagnosis", Diagnosis)
def test_every_diagnosis_ends_in_a_row_that_always_fits_and_has_none_behind_it(diagnosis: Diagnosis) -> None:
    rules = [rule for rule in TABLE if rule.diagnosis is diagnosis]
    assert [rule.when is ALWAYS for rule in rules] == [False] * (len(rules) - 1) + [True]


def test_only_rows_that_promote_an_instance_elsewhere_are_gated() -> None:
    promotes = {Act.CLAIM, Act.TAKE_OVER, Act.HAND_OVER}
    assert all(rule.gated is (rule.act in promotes) for rule in TABLE)


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: str(rule.row))
def test_every_row_has_words_and_a_code_that_people_can_look_up(rule: Rule) -> None:
    assert rule.code in REASONS
    assert rule.why
    assert rule.when is ALWAYS or rule.when.words
    assert not rule.when.words.endswith(".")


def test_every_act_has_words_and_a_deed() -> None:
    assert set(ACT_WORDS) == set(Act)
    source = ast.parse((ROOT / "orchestrator/deeds.py").read_text(encoding="utf-8"))
    keys = {
        key.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Attribute) and isinstance(key.value, ast.Name) and key.value.id == "Act"
    }
    assert keys == {act.name for act in ACTS_ON_THE_WORLD}


def test_what_a_controller_wants_by_itself_is_an_unplanned_promotion_of_its_own_site() -> None:
    for scene, from_site in ((LOST, "y"), (GIVEN_UP, "y"), (HEALTHY.but(claimed=False), "y")):
        wish = automatic_wish(*scene.see())
        assert (wish.to_site, wish.from_site, wish.planned, wish.automatic) == ("x", from_site, False, True)
        assert not wish.certified_down
        assert wish.accept_loss_seconds is None
    assert GIVEN_UP.owner is NOBODY
