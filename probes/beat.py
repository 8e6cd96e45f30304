"""When each probe starts: spread evenly over its interval, never in step, the same after every restart.

Pure. Probes with the same interval share it out among themselves: n of them have n slots, and each
starts inside its own slot, a little later or sooner from beat to beat, so that it does not fall in step
with something periodic at its target. Which probe has which slot comes from a hash of its key.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_MOST_JITTER = 0.05  # of the interval
_JITTER_OF_SLOT = 0.5


def _fraction(text: str) -> float:
    """A number from 0 up to 1, the same for the same text on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / (1 << 48)


@dataclass(frozen=True, slots=True)
class Beat:
    """The starts of one probe. `slot_seconds`: its place in the interval; `sway_seconds`: how far a start
    may move inside it."""

    key: str
    every_seconds: float
    slot_seconds: float
    sway_seconds: float

    def start_seconds(self, turn: int) -> float:
        """Seconds from the patrol's beginning to start number `turn` (the first is 0)."""
        sway = self.sway_seconds * _fraction(f"{self.key}/{turn}")
        return turn * self.every_seconds + self.slot_seconds + sway

    def first_turn_after(self, elapsed_seconds: float) -> int:
        """The number of the first start later than `elapsed_seconds`. Missed starts are not made up for."""
        turn = max(0, int((elapsed_seconds - self.slot_seconds) // self.every_seconds))
        while self.start_seconds(turn) <= elapsed_seconds:
            turn += 1
        return turn


def spread(intervals: Iterable[tuple[str, float]]) -> Mapping[str, Beat]:
    """A beat for each (key, seconds between starts). Keys are unique."""
    by_interval: dict[float, list[str]] = {}
    for key, every_seconds in intervals:
        by_interval.setdefault(every_seconds, []).append(key)
    beats = {}
    for every_seconds, keys in by_interval.items():
        slot = every_seconds / len(keys)
        sway = min(_MOST_JITTER * every_seconds, _JITTER_OF_SLOT * slot)
        for place, key in enumerate(sorted(keys, key=lambda key: (_fraction(key), key))):
            beats[key] = Beat(key, every_seconds, place * slot, sway)
    return beats
