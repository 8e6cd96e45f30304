"""The words of an isolated drill: a copy of the standby is made, promoted where nobody can reach it, asked,
and removed again. A driver that can do it has a `rehearsal`; one that has none refuses such drills.

Nothing here ever touches production: the copy is taken from the standby, which goes on receiving.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Question:
    """What a copy is asked: in SQL (`expect`: its first value) or by a command on its host. Without either,
    whatever the driver itself asks to see that it works."""

    name: str
    sql: str | None = None
    run: str | None = None
    expect: str | None = None


class Rehearsal(Protocol):
    """One service's. Each word may be said again; errors are those of `sites.errors`.

    `words`: those it has, of room, copy, start, promote and ask, in this order; `remove` it always has.
    `missing`: what it would need to have them, in words; empty when nothing is.
    """

    @property
    def words(self) -> tuple[str, ...]:
        """What it can do, in order."""
        ...

    @property
    def missing(self) -> str:
        """Why it can do nothing."""
        ...

    async def room(self, site: str, *, timeout_seconds: float) -> str:
        """Is there room for a copy, and will there be enough left? Changes nothing. Raises DriverTrouble."""
        ...

    async def copy(self, site: str, *, timeout_seconds: float) -> str:
        """Make the copy from the standby at `site`, on its host. What an earlier drill left goes first."""
        ...

    async def start(self, site: str, *, timeout_seconds: float) -> str:
        """Start the copy as a standby of nobody, reachable by nobody but its own user."""
        ...

    async def promote(self, site: str, *, timeout_seconds: float) -> str:
        """Make the copy writable, and see that it is."""
        ...

    async def ask(self, site: str, question: Question, *, timeout_seconds: float) -> str:
        """Ask the copy. Raises DriverTrouble for a no."""
        ...

    async def remove(self, site: str, *, timeout_seconds: float) -> str:
        """End whatever works on the copy, and remove all of it: nothing is left when this returns."""
        ...


@runtime_checkable
class Rehearses(Protocol):
    """A driver that can do isolated drills."""

    @property
    def rehearsal(self) -> Rehearsal:
        """The words of its drills."""
        ...
