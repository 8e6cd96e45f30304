"""What databases hold: lines of history, when each write was acknowledged, what one has and another lacks.

A write is a number on a line: the first write of a line has the number after the one that it forked at.
"""

from dataclasses import dataclass, field

FIRST_LINE = 1
STRETCHES_KEPT = 64


@dataclass(slots=True)
class Lines:
    """The lines of one service's history, and where each left the one before it."""

    forks: dict[int, tuple[int, int]] = field(default_factory=dict)

    def begin(self, line: int, position: int) -> int:
        """A promotion at that place: a line of its own."""
        fresh = FIRST_LINE + len(self.forks) + 1
        self.forks[fresh] = (line, position)
        return fresh

    def common(self, one: tuple[int, int], other: tuple[int, int]) -> int:
        """The last write that both have, each given by its line and how far it has come."""
        if one[0] == other[0]:
            return min(one[1], other[1])
        line, upto = one
        reached = {line: upto}
        while line in self.forks:
            line, forked = self.forks[line]
            upto = min(upto, forked)
            reached[line] = upto
        line, upto = other
        while line not in reached:
            line, forked = self.forks[line]
            upto = min(upto, forked)
        return min(upto, reached[line])


@dataclass(slots=True)
class Writes:
    """One instance's acknowledged writes: one a millisecond from where each stretch began."""

    stretches: list[tuple[int, int]] = field(default_factory=list)

    def begin(self, position: int, at_ns: int) -> None:
        """From now on clients write here, after the write of that number."""
        self.stretches.append((position, at_ns))
        del self.stretches[:-STRETCHES_KEPT]

    def made_ns(self, number: int) -> int | None:
        """When the write of that number was acknowledged here; None: it came from elsewhere."""
        for position, at_ns in reversed(self.stretches):
            if position < number:
                return at_ns + (number - position) * 1_000_000
        return None
