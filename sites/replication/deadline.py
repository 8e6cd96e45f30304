"""Time that is allowed for something, on the clock that goes on while a machine sleeps."""

import time

from sites.errors import DriverTrouble


def boottime_ns() -> int:
    """Nanoseconds of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Deadline:
    """How much time is left of what was allowed."""

    def __init__(self, seconds: float, what: str) -> None:
        self._end_ns = boottime_ns() + int(seconds * 1e9)
        self._seconds = seconds
        self._what = what

    @property
    def passed(self) -> bool:
        """Whether there is none left."""
        return boottime_ns() >= self._end_ns

    def left(self, *, at_most: float | None = None) -> float:
        """Seconds left, at most that many. Raises DriverTrouble when there are none."""
        seconds = (self._end_ns - boottime_ns()) / 1e9
        if seconds <= 0:
            raise DriverTrouble(f"{self._what}: not done within {self._seconds:g} s")
        return seconds if at_most is None else min(seconds, at_most)
