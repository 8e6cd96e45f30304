"""What `/metrics` says of runs that are not over, and when they are likely to end."""

from dataclasses import replace

from orchestrator.core.records import RunRecord, RunWait, StepState
from orchestrator.lately import Lately
from orchestrator.projecting import StepToCome, projected_seconds
from orchestrator.readings import Durations, StepKey
from orchestrator.run_readings import differs, run_readings

S = 10**9


def record(run: str = "r1", started: float = 1000.0, **fields: object) -> RunRecord:
    plain = RunRecord(
        run=run,
        kind="switchover",
        service="ebs",
        from_site="morpeth",
        to_site="durham",
        executor_site="durham",
        executor=1,
        state="running",
        plan={"steps": [{"id": "close"}, {"id": "claim", "needs": ["close"]}, {"id": "tell"}]},
        statement="",
        who="anna",
        why="",
        started="",
        started_unix_seconds=started,
        steps=(
            StepState(step="close", state="running", started_unix_seconds=1001.0),
            StepState(step="claim", state="waiting"),
            StepState(step="tell", state="done"),
        ),
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


TIMED = {
    StepKey("ebs", "close", "done"): Durations(2, 8.0),
    StepKey("ebs", "claim", "done"): Durations(1, 3.0),
    StepKey("crm", "claim", "done"): Durations(1, 100.0),
    StepKey("ebs", "claim", "failed"): Durations(1, 100.0),
}


def test_the_projected_end_is_the_longest_chain_of_steps_by_what_they_took_before() -> None:
    (found,) = run_readings([record()], {"r1": 5 * S}, TIMED, now_ns=9 * S, now_unix_seconds=1002.0)
    assert found.finish_unix_seconds == 1002.0 + 3.0 + 3.0
    assert found.changed_at_ns == 5 * S
    assert found.steps == {"running": 1, "waiting": 1, "done": 1}


def test_a_step_that_takes_longer_than_ever_is_expected_at_any_moment() -> None:
    steps = [StepToCome("a", "running", under_way_seconds=60.0), StepToCome("b", "waiting", ("a",))]
    assert projected_seconds(steps, {"a": 10.0, "b": 2.0}) == 2.0


def test_with_a_step_that_was_never_timed_nothing_is_projected() -> None:
    assert projected_seconds([StepToCome("a", "waiting")], {}) is None
    assert projected_seconds([], {}) is None
    (found,) = run_readings([record()], {}, {}, now_ns=9 * S, now_unix_seconds=1002.0)
    assert found.finish_unix_seconds is None


def test_a_run_that_waits_for_a_person_has_no_projected_end() -> None:
    (found,) = run_readings([record(state="waiting")], {}, TIMED, now_ns=0, now_unix_seconds=1002.0)
    assert found.finish_unix_seconds is None


def test_of_each_service_the_newest_run_counts_and_one_that_is_over_is_not_shown() -> None:
    cut_off, after = record("r1", 1000.0), record("r2", 2000.0, state="done")
    assert run_readings([after, cut_off], {}, {}, now_ns=0, now_unix_seconds=0.0) == ()
    (found,) = run_readings([cut_off, replace(after, state="stopped")], {}, {}, now_ns=0, now_unix_seconds=0)
    assert found.started_unix_seconds == 2000.0


def test_an_order_that_nobody_has_followed_yet_is_no_progress() -> None:
    before = record()
    assert not differs(before, replace(before, statement="more may be lost"))
    wait = RunWait(kind="person", step="claim", words="", since="")
    for after in (
        replace(before, state="waiting"),
        replace(before, executor=2),
        replace(before, steps=before.steps[:1]),
        replace(before, waits=(wait,)),
    ):
        assert differs(before, after)


def test_what_was_measured_lately_is_the_extreme_of_the_last_minute() -> None:
    highest, lowest = Lately(max), Lately(min)
    assert highest.extreme(0) is None
    for at, value in ((0, 9.0), (30, 2.0), (31, 4.0), (59, 3.0)):
        highest.note(value, at * S)
        lowest.note(value, at * S)
    assert (highest.extreme(60 * S), lowest.extreme(60 * S)) == (9.0, 2.0)
    assert (highest.extreme(70 * S), lowest.extreme(70 * S)) == (4.0, 2.0)
    assert highest.extreme(300 * S) is None
