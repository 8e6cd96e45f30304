"""However much a command says, what is kept is bounded and is its beginning and its end."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sites.output import BoundedOutput, LineFeed, last_lines

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


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def feed(*pieces: bytes, clock: Clock | None = None) -> list[str]:
    """The lines that these pieces make."""
    heard: list[str] = []
    lines = LineFeed("out", lambda stream, line: heard.append(line), clock or Clock())
    for piece in pieces:
        lines.feed(piece)
    lines.end()
    return heard


@settings(derandomize=True, database=None)
@given(st.text(alphabet="aé\n\r", max_size=60), st.lists(st.integers(0, 120), max_size=8))
def test_lines_are_the_same_however_the_output_is_cut_into_pieces(text: str, cuts: list[int]) -> None:
    raw = text.encode()
    places = sorted({min(cut, len(raw)) for cut in cuts})
    pieces = [raw[begin:end] for begin, end in zip([0, *places], [*places, len(raw)], strict=True)]
    assert feed(*pieces) == feed(raw)


def test_what_a_progress_bar_overwrites_is_a_line_each() -> None:
    assert feed(b"10 %\r20 %\r", b"\n30 %\r", b"40 %") == ["10 %", "20 %", "30 %", "40 %"]


def test_more_lines_than_anybody_can_read_are_counted_and_not_told() -> None:
    heard = feed(b"x\n" * 400, b"y\n" * 400, b"last")
    assert heard == ["x"] * 400 + ["[… 400 lines not shown …]", "last"]


def test_a_second_later_lines_are_told_again() -> None:
    heard: list[str] = []
    clock = Clock()
    lines = LineFeed("out", lambda stream, line: heard.append(line), clock)
    lines.feed(b"x\n" * 600)
    clock.now = 1.5
    lines.feed(b"well\n")
    assert heard == ["[… 600 lines not shown …]", "well"]


def test_a_line_without_an_end_is_cut_and_never_kept_whole() -> None:
    heard: list[str] = []
    lines = LineFeed("out", lambda stream, line: heard.append(line), Clock())
    for _ in range(100):
        lines.feed(b"z" * 30_000)
    assert len(lines._rest) <= 1000
    assert all(len(line) < 1100 for line in heard)
