"""The moves of a whole site: which begins when, which cannot begin any more, and which of them decide how
long it takes. Pure.

A service begins when what it `needs` among the others has been moved; those of the lowest rank number first,
where not all may begin at once. One that fails holds back only those that need it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

AT_ONCE = 16
"""Moves that go on at the same time: each speaks to both databases and to the keeper."""


class MoveState(StrEnum):
    """Where one service's move stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    NOT_BEGUN = "not-begun"


OVER = frozenset({MoveState.DONE, MoveState.FAILED, MoveState.REFUSED, MoveState.NOT_BEGUN})


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """One service's part. `needs`: services that must be up before it, moved with it or not. `seconds`: how
    long it took before; None: it is not known."""

    service: str
    rank: int
    needs: tuple[str, ...] = ()
    seconds: float | None = None

    @property
    def order(self) -> tuple[int, str]:
        """Who goes first is lowest."""
        return self.rank, self.service


def in_turn(moves: Sequence[PlannedMove]) -> tuple[PlannedMove, ...]:
    """In the order in which they begin if each is over before the next: by needs, then rank, then name."""
    left = {move.service: move for move in sorted(moves, key=lambda move: move.order)}
    turn: list[PlannedMove] = []
    while left:
        free = next((move for move in left.values() if not left.keys() & set(move.needs)), None)
        # A ring of needs is refused by the estate's rules; here it must only not hang.
        chosen = free if free is not None else next(iter(left.values()))
        turn.append(left.pop(chosen.service))
    return tuple(turn)


def beginning(moves: Sequence[PlannedMove], states: Mapping[str, MoveState]) -> tuple[str, ...]:
    """Which begin now, in this order."""
    running = sum(1 for state in states.values() if state is MoveState.RUNNING)
    free = [
        move.service
        for move in sorted(moves, key=lambda move: move.order)
        if states[move.service] is MoveState.WAITING
        and all(states.get(need, MoveState.DONE) is MoveState.DONE for need in move.needs)
    ]
    return tuple(free[: max(0, AT_ONCE - running)])


def held_back(moves: Sequence[PlannedMove], states: Mapping[str, MoveState]) -> dict[str, str]:
    """Which cannot begin any more, each with the need that has not been moved."""
    found: dict[str, str] = {}
    for move in in_turn(moves):
        if states[move.service] is not MoveState.WAITING:
            continue
        for need in move.needs:
            lost = need in found or states.get(need) in OVER - {MoveState.DONE}
            if lost and move.service not in found:
                found[move.service] = need
    return found


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The chain of needs that decides how long the whole takes. `seconds` is None when a part's is
    unknown."""

    services: tuple[str, ...]
    seconds: float | None


def critical_path(moves: Sequence[PlannedMove]) -> CriticalPath:
    """The longest chain, by the seconds known; where none is known of a move, it counts as one second, so
    that the chain with the most members is shown. Limits on how many go at once are not counted in."""
    by_name = {move.service: move for move in moves}
    length: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for move in in_turn(moves):
        needs = [need for need in move.needs if need in length]
        longest = max(needs, key=lambda need: length[need], default=None)
        before[move.service] = longest
        own = move.seconds if move.seconds is not None else 1.0
        length[move.service] = own + (length[longest] if longest is not None else 0.0)
    if not length:
        return CriticalPath((), None)
    at: str | None = max(length, key=lambda name: length[name])
    chain: list[str] = []
    while at is not None:
        chain.append(at)
        at = before[at]
    chain.reverse()
    seconds = [by_name[name].seconds for name in chain]
    known = [one for one in seconds if one is not None]
    return CriticalPath(tuple(chain), sum(known) if len(known) == len(seconds) else None)
