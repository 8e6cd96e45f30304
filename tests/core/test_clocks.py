"""How clocks are compared: by the quickest messages only, over a minute at least, of one boot."""

import random

import pytest

from orchestrator.core.clocks import ClockTrack, ClockWord, apart, beyond

SECOND = 1_000_000_000
DRIFT = 0.005


def told(
    rate: float,
    *,
    seconds: int = 200,
    delay_seconds: tuple[float, float] = (0.001, 0.02),
    every_seconds: float = 2.0,
    boot: str = "a",
    track: ClockTrack | None = None,
    from_seconds: float = 1000.0,
) -> ClockTrack:
    """Messages of a clock that gains `rate` seconds a second on ours, each delayed by chance."""
    chance = random.Random(7)
    track = track or ClockTrack(boot)
    sent = from_seconds
    while sent < from_seconds + seconds:
        here = sent + chance.uniform(*delay_seconds)
        there = 5_000.0 + sent * (1 + rate)
        track = track.heard(int(here * SECOND), int(there * SECOND), boot=boot)
        sent += every_seconds
    return track


@pytest.mark.parametrize("rate", [0.0, 0.004, -0.004, 0.0101, -0.05])
def test_the_difference_of_rates_is_found_within_what_delays_leave_of_it(rate: float) -> None:
    assert told(rate).rate == pytest.approx(rate, abs=0.0005)


def test_nothing_is_said_before_a_minute_has_passed() -> None:
    assert told(0.05, seconds=60).rate is None
    assert told(0.05, seconds=200).rate is not None


def test_slow_messages_among_quick_ones_do_not_look_like_a_clock() -> None:
    """A store that hangs now and then delivers late what was sent in time."""
    track = told(0.0, seconds=45)
    for number in range(60):
        sent = 1045.0 + 2.0 * number
        late = 3.0 if number % 3 else 0.002
        track = track.heard(int((sent + late) * SECOND), int((5_000.0 + sent) * SECOND), boot="a")
    assert abs(track.rate or 0.0) < 0.0005


def test_a_machine_that_started_anew_is_another_clock() -> None:
    again = told(0.0, boot="b", track=told(0.0, seconds=90), seconds=50)
    assert again.rate is None


def test_a_span_with_too_few_messages_counts_for_nothing() -> None:
    assert told(0.05, every_seconds=10.0, seconds=600).rate is None


def test_what_is_kept_of_a_clock_is_bounded_and_the_oldest_goes() -> None:
    track = told(0.0, seconds=3600)
    assert len(track.past) == 20


def test_the_time_of_day_is_taken_from_quick_messages_at_once() -> None:
    track = ClockTrack("a").heard(10 * SECOND, 0, boot="a", wall_ahead_seconds=0.01)
    assert track.heard(12 * SECOND, 2 * SECOND, boot="a", wall_ahead_seconds=90.0).wall_ahead_seconds == 90.0
    late = track.heard(15 * SECOND, 2 * SECOND, boot="a", wall_ahead_seconds=-3.0)
    assert late.wall_ahead_seconds == 0.01


def test_only_fresh_words_beyond_the_bound_are_named() -> None:
    words = (
        ClockWord(observer="x", about="y", rate=0.0051),
        ClockWord(observer="w", about="y", rate=-0.0051),
        ClockWord(observer="w", about="x", rate=0.0049),
        ClockWord(observer="x", about="guard/crm", rate=None),
        ClockWord(observer="w", about="y", rate=0.5, age_seconds=601.0),
    )
    assert [word.pair for word in beyond(words, DRIFT)] == ["y against x", "y against w"]


def test_times_of_day_that_differ_are_named_on_either_side() -> None:
    words = (
        ClockWord(observer="x", about="y", wall_ahead_seconds=61.0),
        ClockWord(observer="x", about="w", wall_ahead_seconds=-61.0),
        ClockWord(observer="x", about="v", wall_ahead_seconds=0.4),
        ClockWord(observer="x", about="u", wall_ahead_seconds=99.0, age_seconds=601.0),
    )
    assert [word.about for word in apart(words, 60.0)] == ["y", "w"]
