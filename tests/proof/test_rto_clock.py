"""The clock of a move, out of its record."""

from dataclasses import replace

from orchestrator.core.records import StepState
from orchestrator.rto_clock import LOOKING, clock_of
from runbooks.actions import shipped_actions
from tests.proof.records import BEGAN, rejoin, run


def test_a_failovers_clock_begins_at_detection_and_its_stretches_add_up() -> None:
    found = clock_of(run(last_well_unix_seconds=BEGAN - 12, detected_unix_seconds=BEGAN - 3))
    assert found is not None
    assert (found.detect_seconds, found.decide_seconds) == (9.0, 3.0)
    assert (found.execute_seconds, found.verify_seconds) == (3.0, 2.0), "settling opens nothing"
    assert found.used_seconds == 8.0, "what went before detection does not count"


def test_a_planned_move_has_nothing_to_detect_and_begins_with_its_order() -> None:
    found = clock_of(run(kind="switchover"))
    assert found is not None
    assert (found.detect_seconds, found.decide_seconds, found.used_seconds) == (None, None, 5.0)


def test_what_nobody_saw_is_unknown() -> None:
    found = clock_of(run(detected_unix_seconds=BEGAN - 3))
    assert found is not None
    assert (found.detect_seconds, found.decide_seconds) == (None, 3.0)


def test_a_run_that_goes_on_uses_time_and_has_executed_nothing_yet() -> None:
    whole = run(detected_unix_seconds=BEGAN - 3)
    waiting = StepState(step=whole.steps[1].step, state="waiting")
    on = replace(whole, state="running", ended="", steps=(whole.steps[0], waiting, whole.steps[2]))
    found = clock_of(on, BEGAN + 40)
    assert found is not None
    assert (found.execute_seconds, found.verify_seconds, found.used_seconds) == (None, None, 43.0)


def test_a_run_that_failed_was_not_verified() -> None:
    found = clock_of(run(state="failed"))
    assert found is not None
    assert (found.verify_seconds, found.used_seconds) == (None, 5.0)


def test_a_rejoin_and_the_frame_of_a_whole_site_have_no_clock() -> None:
    assert clock_of(rejoin()) is None
    assert clock_of(run(whole_site="durham")) is None


def test_actions_that_only_look_are_those_that_the_catalogue_knows_as_such() -> None:
    looking = {spec.word for spec in shipped_actions() if not spec.changes} - {"runbook", "person"}
    # People's consent and the end of the move in the store open nothing either; what they are asked to do
    # may well.
    assert looking | {"approve", "ownership.settle"} == LOOKING
