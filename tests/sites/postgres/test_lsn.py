"""Places in the log, and where two lines of history part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sites.replication.postgres.lsn import (
    Ancestor,
    Fork,
    Leg,
    Line,
    fork_of,
    format_lsn,
    parse_history,
    parse_lsn,
    segment_name,
)

MIB = 1 << 20


@given(st.integers(min_value=0, max_value=(1 << 64) - 1))
def test_a_place_is_read_as_it_was_written(offset: int) -> None:
    assert parse_lsn(format_lsn(offset)) == offset


@pytest.mark.parametrize("text", ["", "0", "0/", "x/1", "0/123456789", "-1/0"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write-ahead log"):
        parse_lsn(text)


def test_segments_are_named_as_the_server_names_them() -> None:
    assert segment_name(1, 0x1000060, 16 * MIB) == "000000010000000000000001"
    assert segment_name(2, parse_lsn("16/B374D848"), 16 * MIB) == "0000000200000016000000B3"
    assert segment_name(2, parse_lsn("16/B374D848"), MIB) == "000000020000001600000B37"


def test_a_history_file_names_the_ancestors() -> None:
    text = "1\t0/3000060\tno recovery target specified\n\n2\t0/5000000\tno recovery target specified\n"
    line = parse_history(3, text)
    assert line == Line(3, (Ancestor(1, 0x3000060), Ancestor(2, 0x5000000)))
    assert line.begins_bytes == 0x5000000
    assert parse_history(1, "") == Line(1)
    assert Line(1).begins_bytes == 0


@pytest.mark.parametrize(("timeline", "text"), [(2, ""), (2, "one 0/3"), (2, "1"), (2, "1\tnowhere")])
def test_a_history_that_cannot_be_read_is_refused(timeline: int, text: str) -> None:
    with pytest.raises(ValueError):
        parse_history(timeline, text)


FIRST = Line(1)
SECOND = Line(2, (Ancestor(1, 500),))
THIRD = Line(3, (Ancestor(1, 500), Ancestor(2, 700)))


@pytest.mark.parametrize(
    ("ours", "theirs", "fork"),
    [
        (FIRST, FIRST, None),
        (THIRD, THIRD, None),
        # The old primary after a failover; and one that missed two of them.
        (FIRST, SECOND, Fork(1, 500, (Leg(1, 500),))),
        (FIRST, THIRD, Fork(1, 500, (Leg(1, 500),))),
        (SECOND, THIRD, Fork(2, 700, (Leg(2, 700),))),
        # Promoted here, and then ownership went back to the other side.
        (SECOND, FIRST, Fork(1, 500, (Leg(2, 500),))),
        # Both sides were promoted, and took the same number or different ones.
        (SECOND, Line(2, (Ancestor(1, 400),)), Fork(1, 400, (Leg(1, 400, 500), Leg(2, 500)))),
        (Line(2, (Ancestor(1, 400),)), SECOND, Fork(1, 400, (Leg(2, 400),))),
        (SECOND, Line(3, (Ancestor(1, 500),)), Fork(1, 500, (Leg(2, 500),))),
        (
            THIRD,
            Line(4, (Ancestor(1, 450),)),
            Fork(1, 450, (Leg(1, 450, 500), Leg(2, 500, 700), Leg(3, 700))),
        ),
        # Nothing in common.
        (FIRST, Line(9), Fork(1, 0, (Leg(1, 0),))),
    ],
)
def test_two_lines_part_where_the_first_of_them_left_the_last_they_share(
    ours: Line, theirs: Line, fork: Fork | None
) -> None:
    assert fork_of(ours, theirs) == fork
