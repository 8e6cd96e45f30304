"""However much a command says, what is kept is bounded and is its beginning and its end."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sites.output import BoundedOutput, last_lines

LIMIT_BYTES = 400


@settings(derandomize=True, database=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_what_fits_is_kept_whole_and_what_does_not_loses_its_middle(pieces: list[bytes]) -> None:
    output = BoundedOutput(LIMIT_BYTES)
    for piece in pieces:
        output.feed(bytes(byte & 0x7F for byte in piece))
    whole = bytes(byte & 0x7F for byte in b"".join(pieces)).decode()
    text = output.text()
    assert len(text.encode()) <= LIMIT_BYTES
    if output.truncated:
        head, mark, tail = text.partition("\n[… ")
        assert mark
        assert whole.startswith(head)
        assert whole.endswith(tail.partition("left out …]\n")[2])
        assert len(whole) > len(text) - 64
    else:
        assert text == whole


@settings(derandomize=True, database=None)
@given(st.lists(st.integers(0, 2000), max_size=30))
def test_no_more_than_a_few_times_the_bound_is_ever_held(sizes: list[int]) -> None:
    output = BoundedOutput(LIMIT_BYTES)
    for size in sizes:
        output.feed(b"x" * size)
        assert len(output._head) + len(output._tail) <= 2 * LIMIT_BYTES


def test_broken_text_is_replaced() -> None:
    output = BoundedOutput(LIMIT_BYTES)
    output.feed(b"a\xff")
    output.feed(b"\xc3")
    output.feed(b"\xa4b")
    assert output.text() == "a\ufffdäb"


def test_the_last_lines_are_those_that_say_something() -> None:
    assert last_lines("one\n\ntwo\n  \nthree\nfour\n\n", lines=2) == "three | four"
    assert last_lines("") == ""
    assert last_lines("x" * 1000, limit=10) == "…" + "x" * 10
