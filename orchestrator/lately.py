"""The highest or the lowest of what was measured lately, in bounded room: what a scrape every fifteen seconds
would otherwise miss. Values; the time comes in.
"""

from collections import deque
from collections.abc import Callable, Iterable

WINDOW_NS = 60 * 10**9
BUCKET_NS = 5 * 10**9


class Lately:
    """The extreme, by `pick` (max or min), of the last minute, to five seconds."""

    def __init__(self, pick: Callable[[Iterable[float]], float]) -> None:
        self._pick = pick
        self._buckets: deque[tuple[int, float]] = deque(maxlen=WINDOW_NS // BUCKET_NS + 1)

    def note(self, value: float, now_ns: int) -> None:
        """Something was measured now."""
        bucket = now_ns // BUCKET_NS
        if self._buckets and self._buckets[-1][0] == bucket:
            value = self._pick((self._buckets.pop()[1], value))
        self._buckets.append((bucket, value))

    def extreme(self, now_ns: int) -> float | None:
        """Of the last minute; None if nothing was measured in it."""
        oldest = (now_ns - WINDOW_NS) // BUCKET_NS
        return self._pick(found) if (found := [v for b, v in self._buckets if b >= oldest]) else None
