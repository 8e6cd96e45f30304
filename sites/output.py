"""Keep what a command says, however much that is: the beginning and the end, within a bound; and hand its
lines on while it speaks.

Pure bookkeeping of bytes; it never reads from anything itself.
"""

import codecs
from collections.abc import Callable

_MARK_BYTES = 64  # room for the line that says how much was left out


class BoundedOutput:
    """Collects one output stream in at most a few times `limit_bytes` of memory.

    What does not fit is dropped from the middle: the beginning says what was done, the end says how it
    failed.
    """

    __slots__ = ("_dropped_bytes", "_head", "_head_limit_bytes", "_tail", "_tail_limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._tail_limit_bytes = limit_bytes // 4
        self._head_limit_bytes = max(0, limit_bytes - self._tail_limit_bytes - _MARK_BYTES)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        room = self._head_limit_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        # Cut only at twice the bound, so that many small pieces are not each moved in memory.
        if len(self._tail) > 2 * self._tail_limit_bytes:
            self._cut_tail()

    def _cut_tail(self) -> None:
        surplus = len(self._tail) - self._tail_limit_bytes
        if surplus > 0:
            del self._tail[:surplus]
            self._dropped_bytes += surplus

    @property
    def truncated(self) -> bool:
        """Whether something had to be left out."""
        self._cut_tail()
        return self._dropped_bytes > 0

    @property
    def left_out_bytes(self) -> int:
        """How much had to be left out."""
        self._cut_tail()
        return self._dropped_bytes

    def text(self) -> str:
        """Everything kept, decoded as UTF-8; bytes that are none become replacement characters."""
        if not self.truncated:
            return (self._head + self._tail).decode(errors="replace")
        mark = f"\n[… {self._dropped_bytes} bytes left out …]\n"
        return self._head.decode(errors="replace") + mark + self._tail.decode(errors="replace")


LINE_LIMIT_CHARACTERS = 1000
LINES_A_SECOND = 500

Said = Callable[[str, str], None]
"""Told each line of a command as it comes: `out` or `err`, and the text. It must not block."""


class LineFeed:
    """Makes lines of one output stream as its pieces come, in bounded time and memory.

    A line ends with a newline or a carriage return (what a progress bar overwrites is a line each). More than
    LINES_A_SECOND are not handed on but counted, since whoever looks on cannot read them, and a command that
    says a gigabyte must not hold anybody up. `now_seconds`: a clock that only goes on.
    """

    __slots__ = ("_begun", "_decoder", "_left", "_missed", "_now_seconds", "_rest", "_said", "_stream")

    def __init__(self, stream: str, said: Said, now_seconds: Callable[[], float]) -> None:
        self._stream = stream
        self._said = said
        self._now_seconds = now_seconds
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._begun = now_seconds()
        self._left = LINES_A_SECOND
        self._missed = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        now = self._now_seconds()
        if now - self._begun >= 1:
            self._begun, self._left = now, LINES_A_SECOND
        if (count := data.count(b"\n") + data.count(b"\r")) > self._left:
            self._skip(data, count)
            return
        text = self._rest + self._decoder.decode(data)
        held = "\r" if text.endswith("\r") else ""  # a newline may follow it
        lines = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + held
        for line in lines:
            self._tell(line)
        if len(self._rest) > LINE_LIMIT_CHARACTERS:
            line, self._rest = self._rest, ""  # its end may never come
            self._tell(line)

    def end(self) -> None:
        """Hand on what stands without a newline."""
        rest = (self._rest + self._decoder.decode(b"", final=True)).removesuffix("\r")
        self._rest, self._left = "", LINES_A_SECOND
        if rest:
            self._tell(rest)
        elif self._missed:
            self._said(self._stream, f"[… {self._missed} lines not shown …]")

    def _skip(self, data: bytes, count: int) -> None:
        self._missed += count
        self._decoder.reset()
        last = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self._rest = self._decoder.decode(data[last + 1 :])[-LINE_LIMIT_CHARACTERS:]

    def _tell(self, line: str) -> None:
        if self._left <= 0:
            self._missed += 1
            return
        if self._missed:
            self._said(self._stream, f"[… {self._missed} lines not shown …]")
            self._missed = 0
        self._left -= 1
        self._said(self._stream, _shortened(line))


def _shortened(line: str) -> str:
    if len(line) <= LINE_LIMIT_CHARACTERS:
        return line
    return f"{line[:LINE_LIMIT_CHARACTERS]} [… {len(line) - LINE_LIMIT_CHARACTERS} more characters …]"


def last_lines(text: str, *, lines: int = 3, limit: int = 400) -> str:
    """The last lines that say something, joined into one, for a message."""
    kept = [line.strip() for line in text.splitlines() if line.strip()][-lines:]
    joined = " | ".join(kept)
    return joined if len(joined) <= limit else "…" + joined[-limit:]
