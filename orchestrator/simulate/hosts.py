"""A database host in the simulation: its database, its cut, and what clients find there.

A database that was promoted stays so until it is made a standby: only its cut keeps clients out, which is
the worst that can be.
"""

from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.simulate.clocks import MS, Clock
from sites.replication.words import Position

if TYPE_CHECKING:
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World


class Host:
    """The host of one service at one site."""

    def __init__(self, world: "World", site: str, service: str, clock: Clock) -> None:
        self.world = world
        self.site = site
        self.service = service
        self.clock = clock
        self.up = True
        self.stalls = 0
        self.promoted = False
        self.closed = False
        self.cut = True
        self.position = 0
        self.writing_since_ns: int | None = None

    def writable(self) -> bool:
        """Whether a client's write is acknowledged at this instant."""
        return self.promoted and not self.closed and not self.cut and self.up and not self.stalls

    def written(self) -> int:
        """Acknowledged writes this instance has: one a millisecond while it is writable."""
        since = self.writing_since_ns
        return self.position + ((self.world.now_ns - since) // MS if since is not None else 0)

    def changed(self, why: str) -> None:
        """Something that clients could notice: the invariants are looked at."""
        writable = self.writable()
        if writable == (self.writing_since_ns is not None):
            return
        world = self.world
        if world.story is not None:
            word = "accepts client writes" if writable else "accepts no writes any more"
            world.story.say(f"{self.site}/{self.service}", f"{word}: {why}")
        if writable:
            world.checks.opened(self)
            self.writing_since_ns = world.now_ns
        else:
            self.position = self.written()
            self.writing_since_ns = None
            world.checks.shut(self, why)

    # --- what the keeper and its controller do -------------------------------------------------------

    def open(self) -> None:
        """Promoted, and open to clients."""
        self.promoted = True
        self.closed = False
        self.cut = False
        self.changed("promoted")

    def close(self, keeper: "KeeperNode") -> None:
        """P23: no client can write; the position after the last write is read."""
        world = self.world
        within_ns = world.random.randrange(world.timing.fence_within_ns)

        def done() -> None:
            if not self.up or self.stalls:
                keeper.run(keeper.tell, m.CloseEnded(self.service, False, None, "the host does not answer"))
                return
            self.closed = True
            self.changed("closed in order")
            final = position(self.written())
            world.after(5 * MS, keeper.run, keeper.tell, m.CloseEnded(self.service, True, final, "closed"))

        world.after(within_ns, done)

    def fence_by_driver(self, keeper: "KeeperNode") -> None:
        """P7 by the driver, at the last allowed moment at times."""
        world = self.world
        within_ns = world.fence_takes()

        def done() -> None:
            if not self.up or self.stalls:
                keeper.run(keeper.tell, m.FenceEnded(self.service, False, "the host does not answer"))
                return
            self.cut = True
            self.changed("fenced by its keeper")
            keeper.run(keeper.tell, m.FenceEnded(self.service, True, "no write passes"))

        world.after(within_ns, done)


def position(written: int) -> Position:
    """A position on the one history of the simulation."""
    return Position(text=str(written), history="cluster/1", offset_bytes=written)
