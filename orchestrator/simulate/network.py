"""Who reaches whom, each direction for itself, and what becomes of a message on its way."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

PLACES = ("x", "y", "w")
PAIRS = tuple((a, b) for a in PLACES for b in PLACES if a != b)


@dataclass(frozen=True, slots=True)
class Weather:
    """How messages fare. Shares are of 1; `slow_ns` is the most a slow one takes."""

    least_ns: int
    most_ns: int
    slow_ns: int
    slow_share: float = 0.0
    lost_share: float = 0.0
    twice_share: float = 0.0
    late_share: float = 0.0
    late_ns: int = 60_000_000_000


class Link:
    """One direction between two ends. `cut`: nothing passes; what is on its way is lost, or comes after."""

    __slots__ = ("_random", "cut", "kept", "name", "weather")

    def __init__(self, name: str, random: Random, weather: Weather) -> None:
        self.name = name
        self.cut = False
        self.weather = weather
        self.kept: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._random = random

    def delays(self) -> tuple[int, ...]:
        """When each copy of a message sent now arrives: none if it is lost, two if it is doubled."""
        if self.cut:
            return ()
        weather, random = self.weather, self._random
        fate = random.random()
        if fate < weather.lost_share:
            return ()
        first = self._delay()
        if fate > 1 - weather.twice_share:
            return (first, self._delay())
        return (first,)

    def _delay(self) -> int:
        weather, random = self.weather, self._random
        if weather.slow_share and random.random() < weather.slow_share:
            return random.randint(weather.most_ns, weather.slow_ns)
        if weather.least_ns == weather.most_ns:
            return weather.least_ns
        return random.randint(weather.least_ns, weather.most_ns)

    def late(self) -> int | None:
        """For a transaction: how much later than its sender waits it is committed; None: it is not."""
        weather = self.weather
        if weather.late_share and self._random.random() < weather.late_share:
            return self._random.randint(0, weather.late_ns)
        return None

    def keeps(self) -> bool:
        """Whether a message that meets a cut on its way comes through when the cut is over."""
        return self._random.random() < 0.3


class Network:
    """The map: a voter of the store at each place; its majority decides who reaches the store."""

    def __init__(self) -> None:
        self.broken: dict[tuple[str, str], int] = dict.fromkeys(PAIRS, 0)
        self.voter_down: dict[str, int] = dict.fromkeys(PLACES, 0)

    def passes(self, a: str, b: str) -> bool:
        """Whether a message from `a` reaches `b`."""
        return a == b or not self.broken[a, b]

    def _majority(self) -> set[str]:
        live = [place for place in PLACES if not self.voter_down[place]]
        return {
            p
            for p in live
            for q in live
            if p != q and self.passes(p, q) and self.passes(q, p)
        }  # fmt: skip

    def store_reached(self, site: str) -> tuple[bool, bool]:
        """Whether requests of `site` reach a member with a majority, and whether answers come back."""
        members = self._majority()
        return any(self.passes(site, p) for p in members), any(self.passes(p, site) for p in members)

    def voters_seen(self, site: str) -> dict[str, bool]:
        """Which members answer this site."""
        return {
            place: not self.voter_down[place] and self.passes(site, place) and self.passes(place, site)
            for place in PLACES
        }
