"""What `status` and refusals say of clocks."""

from orchestrator.core.clocks import WALL_ALARM_SECONDS, ClockWord, apart
from orchestrator.core.view import View


def wall_words(word: ClockWord) -> str:
    """Whose time of day differs from whose, and by how much."""
    ahead = word.wall_ahead_seconds or 0.0
    way = "ahead of" if ahead > 0 else "behind"
    return f"{word.about}'s time of day is {abs(ahead):.1f} s {way} {word.observer}'s"


def clock_warnings(view: View) -> list[str]:
    """Clocks that run further apart than every lease is reckoned with, and times of day that differ."""
    lines = []
    beyond = view.clocks_beyond
    if beyond:
        pairs = ", ".join(f"{word.pair} by {abs(word.rate or 0.0):.2%}" for word in beyond)
        lines.append(
            f"CLOCKS run further apart than `clock_drift` ({view.clock_drift:.2%}): {pairs}; what is served "
            "goes on, nothing is taken over automatically until that is mended"
        )
    lines += [
        f"{wall_words(word)}: times in records and logs mislead"
        for word in apart(view.clocks, WALL_ALARM_SECONDS)
    ]
    return lines
