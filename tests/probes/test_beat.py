"""The starts of probes: spread, never in step, the same after every restart."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from probes.beat import spread

keys = st.lists(st.text("abcdef/-", min_size=1, max_size=12), min_size=1, max_size=40, unique=True)


def test_ten_probes_of_five_seconds_start_half_a_second_apart() -> None:
    beats = spread((f"crm/durham/{number}", 5.0) for number in range(10))
    starts = sorted(beat.slot_seconds for beat in beats.values())
    assert starts == [number * 0.5 for number in range(10)]


def test_the_same_probes_have_the_same_starts_after_a_restart_in_any_order() -> None:
    names = [f"crm/durham/{number}" for number in range(7)]
    assert spread((name, 5.0) for name in names) == spread((name, 5.0) for name in reversed(names))


def test_starts_sway_from_turn_to_turn() -> None:
    beat = spread([("crm/durham/login", 10.0)])["crm/durham/login"]
    gaps = {round(beat.start_seconds(turn + 1) - beat.start_seconds(turn), 6) for turn in range(20)}
    assert len(gaps) > 10
    assert all(9.5 <= gap <= 10.5 for gap in gaps)


@given(keys, st.floats(0.1, 3600), st.integers(0, 1000))
def test_no_two_probes_of_one_interval_ever_start_together(
    names: list[str], every_seconds: float, turn: int
) -> None:
    beats = spread((name, every_seconds) for name in names)
    starts = sorted(beat.start_seconds(turn) for beat in beats.values())
    least = every_seconds / len(names) / 4
    assert all(later - earlier > least for earlier, later in itertools.pairwise(starts))


@given(keys, st.floats(0.1, 3600), st.floats(-1, 100_000))
def test_the_next_start_is_the_first_one_that_is_not_over(
    names: list[str], every_seconds: float, elapsed_seconds: float
) -> None:
    for beat in spread((name, every_seconds) for name in names).values():
        turn = beat.first_turn_after(elapsed_seconds)
        assert beat.start_seconds(turn) > elapsed_seconds
        assert turn == 0 or beat.start_seconds(turn - 1) <= elapsed_seconds
