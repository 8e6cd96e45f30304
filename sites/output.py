"""Keep what a command says, however much that is: the beginning and the end, within a bound.

Pure bookkeeping of bytes; it never reads from anything itself.
"""

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

    def text(self) -> str:
        """Everything kept, decoded as UTF-8; bytes that are none become replacement characters."""
        if not self.truncated:
            return (self._head + self._tail).decode(errors="replace")
        mark = f"\n[… {self._dropped_bytes} bytes left out …]\n"
        return self._head.decode(errors="replace") + mark + self._tail.decode(errors="replace")


def last_lines(text: str, *, lines: int = 3, limit: int = 400) -> str:
    """The last lines that say something, joined into one, for a message."""
    kept = [line.strip() for line in text.splitlines() if line.strip()][-lines:]
    joined = " | ".join(kept)
    return joined if len(joined) <= limit else "…" + joined[-limit:]
