"""What `/metrics` says of runs that are not over, and when they are likely to end."""

from dataclasses import replace

from orchestrator.core.records import RunRecord, RunWait, StepState
from orchestrator.lately import Lately
from orchestrator.pace import Pace
from orchestrator.rto_clock import RtoClock
from orchestrator.run_readings import differs, run_readings
from runbooks.timing import Past, Projection, Stall

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


def pace(record: RunRecord) -> Pace:
    """As if one step stood still and the rest took a minute."""
    stall = Stall("close", 30.0, Past(samples=3, p50_seconds=4.0, p75_seconds=5.0, longest_seconds=6.0))
    left = Projection(("close",), likely_seconds=60.0, cautious_seconds=90.0, stalls=(stall,))
    clock = RtoClock(began_unix_seconds=990.0, used_seconds=12.0)
    return Pace(
        clock=clock,
        projection=left,
        finish_unix_seconds=1060.0,
        cautious_unix_seconds=1090.0,
        rto_seconds=1800.0,
        within_rto=True,
    )


def no_pace(record: RunRecord) -> Pace:
    return Pace()


def test_a_run_that_goes_on_shows_its_steps_and_its_pace() -> None:
    (found,) = run_readings([record()], {"r1": 5 * S}, pace, now_ns=9 * S)
    assert (found.finish_unix_seconds, found.cautious_unix_seconds) == (1060.0, 1090.0)
    assert (found.used_seconds, found.within_rto, found.stalled) == (12.0, True, True)
    assert found.changed_at_ns == 5 * S
    assert found.steps == {"running": 1, "waiting": 1, "done": 1}


def test_of_a_run_whose_pace_is_not_known_nothing_is_claimed() -> None:
    (found,) = run_readings([record(state="waiting")], {}, no_pace, now_ns=9 * S)
    assert (found.finish_unix_seconds, found.used_seconds, found.within_rto) == (None, None, None)
    assert not found.stalled


def test_of_each_service_the_newest_run_counts_and_one_that_is_over_is_not_shown() -> None:
    cut_off, after = record("r1", 1000.0), record("r2", 2000.0, state="done")
    assert run_readings([after, cut_off], {}, no_pace, now_ns=0) == ()
    (found,) = run_readings([cut_off, replace(after, state="stopped")], {}, no_pace, now_ns=0)
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
