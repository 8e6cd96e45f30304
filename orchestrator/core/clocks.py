"""How other clocks run against ours, from what they showed when they sent something. Pure.

What a message shows was true when it was sent, and it arrives some delay later: between the two clocks stands
their true distance and a delay that is never negative and mostly chance. So of each half minute only the
quickest message counts. Of two such, a minute apart at least, the change of their distance is the difference
of the clocks' rates; a whole minute, because what is left of chance in it then weighs little against the
bound that every lease is reckoned with (`clock_drift`).

None of this gives a right. Beyond the bound nobody takes over by himself, for then the end of the other
site's lease is not proven; whoever holds a service goes on.
"""

from dataclasses import dataclass, replace

SPAN_NS = 30_000_000_000
LEAST_APART_NS = 60_000_000_000
LEAST_MESSAGES = 5
SPANS_KEPT = 20
FRESH_CLOCK_SECONDS = 600.0
WALL_ALARM_SECONDS = 1.0
WALL_LIMIT_SECONDS = 60.0
SLOW_MESSAGE_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Quickest:
    """The quickest message of one span. `distance_ns`: our clock at its arrival less theirs at sending."""

    began_ns: int
    at_ns: int
    distance_ns: int
    messages: int = 1


@dataclass(frozen=True, slots=True)
class ClockTrack:
    """What is known of one other clock. `boot`: which start of that machine it counts from; another one is
    another clock. `wall_ahead_seconds`: how far its time of day was ahead of ours."""

    boot: str = ""
    past: tuple[Quickest, ...] = ()
    present: Quickest | None = None
    wall_ahead_seconds: float | None = None
    heard_ns: int = 0

    def heard(
        self, here_ns: int, there_ns: int, *, boot: str = "", wall_ahead_seconds: float | None = None
    ) -> "ClockTrack":
        """One message more: it arrived at `here_ns` of our clock and was sent at `there_ns` of theirs, both
        CLOCK_BOOTTIME. `wall_ahead_seconds`: their time of day at sending less ours at arrival."""
        track = self if boot == self.boot else ClockTrack(boot)
        distance_ns = here_ns - there_ns
        present = track.present
        if present is not None and here_ns - present.began_ns >= SPAN_NS:
            if present.messages >= LEAST_MESSAGES:
                track = replace(track, past=(*track.past, present)[-SPANS_KEPT:])
            present = None
        if present is None:
            present = Quickest(here_ns, here_ns, distance_ns)
        elif distance_ns < present.distance_ns:
            present = Quickest(present.began_ns, here_ns, distance_ns, present.messages + 1)
        else:
            present = replace(present, messages=present.messages + 1)
        late = distance_ns - present.distance_ns > SLOW_MESSAGE_NS
        wall = track.wall_ahead_seconds if late or wall_ahead_seconds is None else wall_ahead_seconds
        return replace(track, present=present, wall_ahead_seconds=wall, heard_ns=here_ns)

    @property
    def rate(self) -> float | None:
        """By which part of a second it gains on ours in each of our seconds; negative: it loses. None: not
        heard for long enough."""
        if len(self.past) < 2:
            return None
        first, last = self.past[0], self.past[-1]
        apart_ns = last.at_ns - first.at_ns
        if apart_ns < LEAST_APART_NS:
            return None
        return (first.distance_ns - last.distance_ns) / apart_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockWord:
    """What `observer` says of the clock of `about`: a site, or `guard/SERVICE` of its own hosts. `rate`: see
    `ClockTrack`. `age_seconds`: since that clock was last heard."""

    observer: str
    about: str
    rate: float | None = None
    wall_ahead_seconds: float | None = None
    age_seconds: float = 0.0

    @property
    def pair(self) -> str:
        """For people."""
        return f"{self.about} against {self.observer}"


def beyond(words: tuple[ClockWord, ...], clock_drift: float) -> tuple[ClockWord, ...]:
    """The pairs of clocks that run further apart than is reckoned with; old words do not count."""
    return tuple(
        word
        for word in words
        if word.rate is not None and abs(word.rate) > clock_drift and word.age_seconds <= FRESH_CLOCK_SECONDS
    )


def apart(words: tuple[ClockWord, ...], limit_seconds: float) -> tuple[ClockWord, ...]:
    """Where times of day differ by more than `limit_seconds`; only what was heard lately counts."""
    return tuple(
        word
        for word in words
        if word.wall_ahead_seconds is not None
        and abs(word.wall_ahead_seconds) > limit_seconds
        and word.age_seconds <= FRESH_CLOCK_SECONDS
    )
