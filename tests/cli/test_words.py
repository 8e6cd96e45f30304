"""Durations, ages and sizes in words."""

import pytest

from orchestrator.cli.output import age, duration, local_time, size, words, wrapped


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "unknown"),
        (0.0, "0 s"),
        (0.0004, "0.0004 s"),
        (0.34, "0.34 s"),
        (8.24, "8.2 s"),
        (14.2, "14.2 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (60.0, "1 min"),
        (200.0, "3 min 20 s"),
        (3599.9, "1 h"),
        (7500.0, "2 h 5 min"),
        (273600.0, "3 d 4 h"),
        (float("inf"), "for ever"),
    ],
)
def test_durations_read_as_one_would_say_them(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_unknown_is_never_zero_nor_blank() -> None:
    assert {duration(None), age(None), size(None), words("")} == {"unknown"}


def test_sizes_read_in_the_largest_unit() -> None:
    assert (size(0), size(1536)) == ("0 B", "1.5 KiB")


def test_a_time_of_day_that_is_none_is_shown_as_it_is() -> None:
    assert local_time("yesterday") == "yesterday"
    assert local_time("") == "unknown"


def test_lines_are_wrapped_with_an_indent_and_keep_their_own_ends() -> None:
    assert wrapped("a b c\nd", first="- ", then="  ", columns=5) == ["- a b", "  c", "  d"]


def test_a_command_to_be_copied_stays_in_one_piece() -> None:
    lines = wrapped("then use `twinsite failover ebs` at once", columns=26)
    assert lines == ["then use", "  `twinsite failover ebs`", "  at once"]
