"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sites.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1.5s", 1.5), ("10 s", 10), ("5m", 300), ("2h", 7200), ("1d", 86400)],
)
def test_a_duration_has_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["10", 10, 1.5, "", "ten seconds", "-1s", "1w", None, True])
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration with its unit"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("64MiB", 64 << 20), ("1.5TiB", 3 << 39), ("1 KiB", 1024)]
)
def test_a_size_has_its_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["64", 64, "64MB", "64M", None])
def test_anything_else_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size with its unit"):
        parse_size(value)


@given(st.integers(0, 10_000_000))
def test_a_duration_is_spelt_so_that_it_can_be_read_again(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


def test_a_size_is_shown_in_its_largest_unit() -> None:
    assert [format_size(size) for size in (0, 1023, 1024, 3 << 39)] == ["0 B", "1023 B", "1.0 KiB", "1.5 TiB"]
