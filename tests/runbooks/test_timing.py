"""Projections and stalls, from past durations alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.timing import Past, Stand, StepNow, nearest_rank, past_of, projection, stalled


def step(
    name: str, *needs: str, stand: Stand = Stand.WAITING, running: float = 0.0, **more: object
) -> StepNow:
    return StepNow(name, needs, stand, running, **more)  # type: ignore[arg-type]


def past(**seconds: tuple[float, ...]) -> dict[str, Past]:
    return {name: found for name, values in seconds.items() if (found := past_of(values)) is not None}


def test_percentiles_are_by_nearest_rank() -> None:
    ordered = [15.0, 20.0, 35.0, 40.0, 50.0]
    assert [nearest_rank(ordered, share) for share in (0.05, 0.3, 0.4, 0.5, 1.0)] == [15, 20, 20, 35, 50]
    assert past_of([]) is None
    assert past_of([3.0, 1.0, 2.0, 4.0]) == Past(4, 2.0, 3.0, 4.0)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_at_least_that_share_is_not_above_the_percentile(values: list[float], share: float) -> None:
    found = nearest_rank(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_what_is_left_is_the_longest_chain_not_the_sum() -> None:
    steps = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")]
    left = projection(steps, past(a=(1.0,), b=(10.0,), c=(3.0,), d=(2.0,)))
    assert (left.chain, left.likely_seconds, left.known) == (("a", "b", "d"), 13.0, True)


def test_what_is_over_counts_no_more_and_what_runs_counts_for_the_rest() -> None:
    steps = [
        step("a", stand=Stand.OVER),
        step("b", "a", stand=Stand.RUNNING, running=4.0),
        step("c", "b"),
    ]
    left = projection(steps, past(a=(100.0,), b=(10.0,), c=(2.0,)))
    assert (left.chain, left.likely_seconds) == (("b", "c"), 8.0)
    late = projection([step("b", stand=Stand.RUNNING, running=40.0)], past(b=(10.0,)))
    assert late.likely_seconds == 0.0, "a step that is late takes no time back from the others"


def test_half_of_the_time_and_three_times_out_of_four_may_have_other_chains() -> None:
    steady, shaky = (10.0,) * 4, (1.0, 1.0, 30.0, 30.0)
    left = projection([step("steady"), step("shaky")], past(steady=steady, shaky=shaky))
    assert (left.likely_seconds, left.cautious_seconds) == (10.0, 30.0)


def test_a_step_that_was_never_timed_makes_it_unknown_unless_its_runbook_says_how_long() -> None:
    left = projection([step("a"), step("new", "a")], past(a=(5.0,)))
    assert (left.unknown, left.known, left.likely_seconds) == (("new",), False, 5.0)
    told = projection([step("a"), step("phone", "a", expected_seconds=600.0)], past(a=(5.0,)))
    assert (told.known, told.likely_seconds) == (True, 605.0)
    over = projection([step("new", stand=Stand.OVER), step("a", "new")], past(a=(5.0,)))
    assert over.known, "how long it took does not matter any more"


@pytest.mark.parametrize(
    ("times", "running", "stall"),
    [
        ((1.0, 1.0, 1.0), 2.1, True),
        ((1.0, 1.0, 1.0), 1.9, False),
        ((0.01, 0.01, 0.01), 0.9, False),
        ((0.01, 0.01, 0.01), 1.1, True),
        ((1.0, 1.0), 60.0, False),
        ((), 60.0, False),
    ],
)
def test_a_step_stalls_at_twice_its_p75_a_second_at_least_and_not_by_two_samples(
    times: tuple[float, ...], running: float, stall: bool
) -> None:
    now = step("a", stand=Stand.RUNNING, running=running)
    assert (stalled(now, past_of(times)) is not None) is stall
    assert bool(projection([now], past(a=times)).stalls) is stall


def test_a_step_that_waits_for_a_person_does_not_stall() -> None:
    waits = step("a", stand=Stand.RUNNING, running=9000.0, by_people=True)
    assert stalled(waits, past_of([1.0, 1.0, 1.0])) is None
