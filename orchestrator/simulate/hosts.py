"""A database host in the simulation: its database, its gate, and what clients find there.

A database that was promoted stays so until it is made a standby: only its gate keeps clients out, which is
the worst that can be.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.simulate.clocks import MS, Clock
from orchestrator.simulate.data import FIRST_LINE, Writes
from sites.replication.words import Position

if TYPE_CHECKING:
    from orchestrator.simulate.guards import GuardNode
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World

FOREVER = 1 << 62
SHUT = -1


class Host:
    """The host of one service at one site.

    `gated`: client writes pass a gate that closes by itself at its instant (P22); without it only the
    guard's cut closes, and nobody does while both are stopped. Without a guard there is no gate at all, and
    only the keeper's driver cuts.
    """

    def __init__(self, world: "World", site: str, service: str, clock: Clock, *, gated: bool) -> None:
        self.world = world
        self.site = site
        self.service = service
        self.clock = clock
        self.gated = gated
        self.guard: GuardNode | None = None
        self.up = True
        self.stalls = 0
        self.promoted = world.setting.eager
        self.closed = False
        self.token = (0, 0)
        self.gate_until_ns = SHUT
        self.line = FIRST_LINE
        self.position = 0
        self.writing_since_ns: int | None = None
        self.writes = Writes()
        self.saved: list[tuple[int, int]] = []
        self.rejoins = False
        self.streams = False
        self.boots = 0
        self.dead = False
        self.bad = ""

    def writable(self) -> bool:
        """Whether a client's write is acknowledged at this instant."""
        return self.promoted and not (self.closed or self.dead) and self.running and self.gate_open()

    def gate_open(self) -> bool:
        """Whether clients get through to the database."""
        if self.guard is None or not self.gated:
            return self.guard is None or self.gate_until_ns != SHUT
        return self.clock.read(self.world.now_ns) < self.gate_until_ns

    @property
    def running(self) -> bool:
        """Up, and not stopped."""
        return self.up and not self.stalls

    def written(self) -> int:
        """Acknowledged writes this instance has: one a millisecond while it is writable."""
        since = self.writing_since_ns
        return self.position + ((self.world.now_ns - since) // MS if since is not None else 0)

    def place(self) -> tuple[int, int]:
        """The line of its history, and how far it has come on it."""
        return self.line, self.written()

    def said(self) -> Position:
        """How far it has come, in its own words."""
        written = self.written()
        return Position(text=str(written), history=f"cluster/{self.line}", offset_bytes=written)

    def changed(self, why: str) -> None:
        """Something that clients could notice: the invariants are looked at."""
        writable = self.writable()
        if writable == (self.writing_since_ns is not None):
            return
        world = self.world
        if world.story is not None:
            word = "ACCEPTS CLIENT WRITES" if writable else "accepts no writes any more"
            world.story.say(f"{self.site}/{self.service}", f"{word}: {why}")
        if writable:
            world.checks.opened(self)
            self.writing_since_ns = world.now_ns
            self.writes.begin(self.position, world.now_ns)
        else:
            self.position = self.written()
            self.writing_since_ns = None
            world.checks.shut(self, why)

    def boot(self, clock: Clock) -> None:
        """It has booted: its clock began anew, and its gate is shut (P19)."""
        self.clock = clock
        self.gate_until_ns = SHUT
        self.boots += 1
        self.rejoins = False

    # --- the gate ------------------------------------------------------------------------------------

    def lift(self, until_ns: int | None) -> None:
        """The guard lets clients in until that instant of the host's clock."""
        self.gate_until_ns = FOREVER if until_ns is None else until_ns
        self.changed("its guard opens it")
        if self.gated and until_ns is not None:
            self.world.at(self.clock.when(until_ns), self.changed, "its gate's time ran out")

    def shut(self, why: str) -> None:
        """The cut is done."""
        self.gate_until_ns = SHUT
        self.changed(why)

    # --- what the keeper and its controller do -------------------------------------------------------

    def step(self, token: tuple[int, int], work: Callable[[], None]) -> None:
        """P26: a step on this host, unless something later was started here before it arrived."""
        if not self.running:
            return
        if token < self.token:
            return
        self.token = token
        work()

    def open(self) -> None:
        """Started and promoted, and open to clients as far as the gate lets them. With a bad release it dies
        of it, at once or as soon as it is a primary."""
        if not self.running:
            return
        self.dead = bool(self.bad)
        if self.dead and not (self.promoted or self.bad == "promoted"):
            return
        if not self.promoted:
            self.line = self.world.lines[self.service].begin(self.line, self.position)
        self.promoted = True
        self.closed = False
        self.changed("promoted")

    def die(self) -> None:
        """The database ends by itself."""
        self.dead = True
        self.streams = False
        self.changed("its database is dead")

    def _shut_for_good(self, epoch: int) -> None:
        """P26: no step that was ordered before this one opens it again."""
        self.closed = True
        self.token = (max(self.token[0], epoch), self.world.number())

    def close(self, keeper: "KeeperNode") -> None:
        """P23: no client can write; the position after the last write is read."""
        world = self.world
        within_ns = world.random.randrange(world.timing.fence_within_ns)
        epoch = keeper.state.epoch(self.service)

        def done() -> None:
            if not self.running:
                keeper.run(keeper.tell, m.CloseEnded(self.service, False, None, "the host does not answer"))
                return
            self._shut_for_good(epoch)
            self.changed("closed in order")
            ended = m.CloseEnded(self.service, True, self.said(), "closed")
            world.after(5 * MS, keeper.run, keeper.tell, ended)

        world.after(within_ns, done)

    def fence_by_driver(self, keeper: "KeeperNode") -> None:
        """P7 by the driver, at the last allowed moment at times."""
        world = self.world
        epoch = keeper.state.epoch(self.service)

        def fails() -> None:
            keeper.run(keeper.tell, m.FenceEnded(self.service, False, "its driver does not get through"))

        def done() -> None:
            if not self.running:
                keeper.run(keeper.tell, m.FenceEnded(self.service, False, "the host does not answer"))
                return
            self._shut_for_good(epoch)
            self.changed("fenced by its keeper")
            keeper.run(keeper.tell, m.FenceEnded(self.service, True, "no write passes"))

        if world.setting.drivers:
            world.after(world.fence_takes(), done)
        else:
            world.after(world.timeout_ns, fails)
