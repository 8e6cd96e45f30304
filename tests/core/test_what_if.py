"""What would have to change: the tables' own words, and they hold: with the obstacle gone, it acts."""

import pytest

from orchestrator.core.decision import ACTS_ON_THE_WORLD, TABLE
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.what_if import OTHERWISE, would_have_to_change
from tests.core.test_decision import CASES
from tests.core.views import GIVEN_UP, HEALTHY, LOST, NO_CLIENTS, THEIRS, Scene


def asked(scene: Scene) -> tuple[str, ...]:
    view, service = scene.see()
    row, decision = scene.decide()
    return would_have_to_change(view, service, row.diagnosis, decision)


def test_each_obstacle_is_named_and_taking_it_away_makes_it_act() -> None:
    held_up = LOST.but(paused=True, peer_silent_seconds=12.0, safe_seconds_ago=90.0)
    assert asked(held_up) == (
        "this would have to end: automatic moves of it are paused",
        "this would have to end: the site has been silent for no longer than the service's `hold_down`",
        "gate 3, data loss within the limit, would have to open: at most 90.0 s of writes; limit 60 s",
        "gate 7, not paused, would have to open: paused by somebody",
    )
    mended = held_up.but(paused=False, peer_silent_seconds=40.0, safe_seconds_ago=41.0)
    _, decision = mended.decide()
    assert decision.act in ACTS_ON_THE_WORLD
    assert asked(mended) == ()


def test_a_gate_that_refused_is_the_only_obstacle() -> None:
    (line,) = asked(GIVEN_UP.but(flap_left_seconds=90.0))
    assert line.startswith("gate 6, not flapping, would have to open: moved by itself lately; 90 s left")


def test_where_nothing_is_ever_done_it_says_what_would_have_to_be_the_matter() -> None:
    assert asked(HEALTHY) == (OTHERWISE[Diagnosis.HEALTHY],)
    assert asked(THEIRS.but(peer_silent_seconds=8.0)) == (
        "its site would have to stay silent until its lease is over",
    )


def test_where_one_of_several_things_would_do_they_are_listed() -> None:
    both_closed = HEALTHY.but(claimed=False, here=None, there=None)
    first, *others = asked(both_closed)
    assert first == "one of these would have to be so:"
    assert others == [
        "its instance here accepts writes, and the other answers and does not",
        "both instances are closed standbys of one history, and the one here has all that the other has",
    ]


def test_a_hand_over_is_looked_at_with_its_own_gates() -> None:
    lines = asked(NO_CLIENTS.but(cut_off_for_seconds=3.0, lag_seconds=90.0))
    assert lines[0].startswith("this would have to end: its clients have been cut off for no longer than")
    assert lines[1].startswith("gate 3, data loss within the limit, would have to open: 90.0 s behind")


@pytest.mark.parametrize("sentence", CASES)
def test_every_decision_not_to_act_says_what_would_have_to_change(sentence: str) -> None:
    scene = CASES[sentence].scene
    _, decision = scene.decide()
    lines = asked(scene)
    assert bool(lines) is (decision.act not in ACTS_ON_THE_WORLD)
    assert all(line and not line.endswith(".") for line in lines)


def test_every_diagnosis_without_an_act_has_its_own_words() -> None:
    acting = {rule.diagnosis for rule in TABLE if rule.act in ACTS_ON_THE_WORLD}
    assert set(Diagnosis) - acting <= set(OTHERWISE)
