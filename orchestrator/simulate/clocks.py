"""True time and the clocks that show it: each with its own offset, rate and grain. Whole numbers only."""

SECOND = 1_000_000_000
MS = 1_000_000
PARTS = 1_000_000
"""A clock's rate is a whole number of parts in a million."""


class Clock:
    """One machine's CLOCK_BOOTTIME. `grain_ns`: it shows whole multiples only, as a coarse clock does."""

    __slots__ = ("_born_ns", "_grain_ns", "_offset_ns", "_rate", "behind_ns")

    def __init__(self, *, born_ns: int, offset_ns: int, rate: int = PARTS, grain_ns: int = 1) -> None:
        self._born_ns = born_ns
        self._offset_ns = offset_ns // grain_ns * grain_ns
        self._rate = rate
        self._grain_ns = grain_ns
        self.behind_ns = grain_ns - 1
        """By how much it may show less than a clock that shows every nanosecond."""

    def read(self, true_ns: int) -> int:
        """What it shows at that true time."""
        passed = (true_ns - self._born_ns) * self._rate // PARTS
        return self._offset_ns + passed // self._grain_ns * self._grain_ns

    def when(self, shown_ns: int) -> int:
        """The first true time at which it shows `shown_ns` or more."""
        grains = -((self._offset_ns - shown_ns) // self._grain_ns)
        return self._born_ns - (-grains * self._grain_ns * PARTS // self._rate)
