"""A guard's process in the simulation: the real deciding part, its disk, its line to a keeper.

The line is worse than the real one: what is sent over it may overtake, and where a site has two keepers a
guard talks to both, as it happens. Only what belongs to a connection that has ended is never delivered.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.core import messages as m
from orchestrator.simulate.clocks import MS
from orchestrator.simulate.hosts import SHUT, Host
from orchestrator.simulate.network import Link
from sites.fencing import guard as g

if TYPE_CHECKING:
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World

UNANSWERED = 3


class GuardNode:
    """The guard of one host. `memory` is on its disk; `lifted` on the host until the host boots."""

    def __init__(self, world: "World", host: Host, there: Link, back: Link) -> None:
        self.world = world
        self.host = host
        self.there = there
        self.back = back
        self.memory = g.Memory()
        self.lifted: g.Lift | None = None
        self.certified: int | None = None
        self.alive = False
        self.stalls = 0
        self.backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.life = 0
        self.lines: dict[int, KeeperNode] = {}
        self.connection = 0
        self.ordered_over: dict[int, int] = {}
        self.unanswered = 0
        self.disk_fails = False
        self.disk_slow_ns = 0
        self.wake_at = 0
        self.state = self._fresh()

    def _fresh(self) -> g.GuardState:
        timing = self.world.setting
        return g.new_guard(
            self.host.service,
            # A coarse clock may show that it is time to begin only a grain later.
            self.world.timing.fence_within_ns + self.host.clock.behind_ns,
            timing.guard_every_ns,
            self.memory,
            self.host.clock.read(self.world.now_ns),
            self.lifted,
            self.certified,
        )

    # --- its process ---------------------------------------------------------------------------------

    def start(self) -> None:
        """A process starts, with what its disk and this boot of its host still have."""
        self.alive = True
        self.life += 1
        self.backlog = []
        self.lines = {}
        self.connection = 0
        self.state = self._fresh()
        self.wake_at = 0
        self.tell(g.Ticked(self.world.number()))

    def end(self) -> None:
        """The process is gone. The gate stays as it is."""
        self.alive = False
        self.life += 1
        self.hang_up()

    def run(self, life: int, work: Callable[..., None], *arguments: Any) -> None:
        """Do it now, or when the process runs again."""
        if life != self.life or not self.alive:
            return
        if self.stalls or self.host.stalls:
            if len(self.backlog) < 200:
                self.backlog.append((work, arguments))
        else:
            work(*arguments)

    def resume(self) -> None:
        """What arrived meanwhile is taken in, in whatever order."""
        if self.stalls or self.host.stalls:
            return
        backlog, self.backlog = self.backlog, []
        if self.world.random.random() < 0.5:
            self.world.random.shuffle(backlog)
        life = self.life
        for work, arguments in backlog:
            if self.alive and life == self.life:
                work(*arguments)

    # --- the one door --------------------------------------------------------------------------------

    def tell(self, message: Any) -> None:
        """One step of the guard, and its orders in their order."""
        world = self.world
        if world.story is not None:
            world.story.guard_told(self, message)
        world.steps += 1
        for order in g.step(self.state, message, self.host.clock.read(world.now_ns)):
            if world.story is not None:
                world.story.guard_ordered(self, order)
            self._carry_out(order)
        self._plan()

    def _plan(self) -> None:
        world = self.world
        shown = self.host.clock.read(world.now_ns)
        due = g.wake_ns(self.state)
        at_ns = self.host.clock.when(due) if due > shown else world.now_ns + MS // 10
        if at_ns < self.wake_at or self.wake_at <= world.now_ns:
            self.wake_at = at_ns
            world.at(at_ns, self._wake, self.life, at_ns)

    def _wake(self, life: int, at_ns: int) -> None:
        if life == self.life and at_ns == self.wake_at:
            self.wake_at = 0
            self.run(life, self._tick)

    def _tick(self) -> None:
        self.tell(g.Ticked(self.world.number()))

    def _carry_out(self, order: Any) -> None:
        world, life = self.world, self.life
        if isinstance(order, g.Ask):
            self._ask(order)
        elif isinstance(order, g.Lift):
            self.lifted = order
            self.certified = self.state.certified
            self.host.lift(order.until_ns)
        elif isinstance(order, g.Cut):
            self.lifted = None
            self.certified = None
            if self.host.gate_until_ns == SHUT:
                world.after(MS, self.run, life, self.tell, g.CutEnded(True, "shut already"))
            else:
                if self.host.gated:
                    self.host.shut("its guard closes the gate")
                world.after(world.fence_takes(), self.run, life, self._cut_done)
        elif isinstance(order, g.Remember):
            self._remember(order.memory)
        elif isinstance(order, g.Acknowledge):
            told = m.GuardAcknowledged(
                self.host.service, order.number, order.fenced, order.incarnation, order.evidence
            )
            self._send(self.ordered_over.get(order.number, self.connection), told)

    def _cut_done(self) -> None:
        self.host.shut("its guard has cut it off")
        self.tell(g.CutEnded(True, "no write passes"))

    def _remember(self, memory: g.Memory) -> None:
        world, life = self.world, self.life

        def written() -> None:
            if life != self.life:
                if world.random.random() < 0.5:
                    self.memory = memory  # the process ended meanwhile; the write may have come through
                return
            fails = self.disk_fails
            if not fails or world.random.random() < 0.3:
                self.memory = memory
            self.run(life, self.tell, g.Remembered(memory, not fails))

        world.after(MS + (world.random.randrange(self.disk_slow_ns) if self.disk_slow_ns else 0), written)

    # --- its line ------------------------------------------------------------------------------------

    def _ask(self, order: g.Ask) -> None:
        keeper = self.lines.get(self.connection)
        if keeper is not None and (not keeper.alive or self.unanswered >= UNANSWERED):
            self.hang_up()
            self.run(self.life, self.tell, g.ConnectionLost())
            return
        if not self._dial():
            return
        self.unanswered += 1
        asked = m.GuardAsked(
            self.host.service,
            str(order.nonce),
            order.open,
            order.incarnation,
            order.epoch,
            self.state.certified is not None,
        )
        self._send(self.connection, asked)

    def _dial(self) -> bool:
        """To any keeper of the site that is there; rather the newest."""
        world = self.world
        keepers = [one for one in world.sites[self.host.site].keepers if one.alive]
        if not keepers:
            return False
        if self.connection in self.lines and (len(keepers) == 1 or world.random.random() < 0.5):
            return True
        keeper = keepers[-1] if world.random.random() < 0.6 else world.random.choice(keepers)
        known = next((number for number, one in self.lines.items() if one is keeper), 0)
        if known:
            self.connection = known
            return True
        if self.there.cut or self.back.cut:
            return self.connection in self.lines
        self.connection = world.number()
        self.lines[self.connection] = keeper
        self.unanswered = 0
        keeper.guard_lines[self.host.service] = (self, self.connection)
        keeper.run(keeper.tell, m.GuardConnected(self.host.service))
        return True

    def hang_up(self) -> None:
        """Every connection ends; the keepers hear of it when they can."""
        lines, self.lines = self.lines, {}
        for connection, keeper in lines.items():
            keeper.run(keeper.guard_gone, self.host.service, connection)
        self.connection = 0

    def _send(self, connection: int, message: m.Message) -> None:
        keeper = self.lines.get(connection)
        if keeper is None:
            return
        for delay_ns in self.there.delays():
            self.world.after(delay_ns, self._arrives_there, keeper, connection, message)

    def _arrives_there(self, keeper: "KeeperNode", connection: int, message: m.Message) -> None:
        if not self.there.cut:
            keeper.run(keeper.guard_says, self.host.service, connection, message)

    def hear(self, connection: int, message: Any) -> None:
        """The keeper sends something over this connection."""
        for delay_ns in self.back.delays():
            self.world.after(delay_ns, self._arrives_here, connection, message)

    def _arrives_here(self, connection: int, message: Any) -> None:
        if self.back.cut:
            if self.back.keeps():
                self.back.kept.append((self._arrives_here, (connection, message)))
        else:
            self.run(self.life, self._take, connection, message)

    def _take(self, connection: int, message: Any) -> None:
        if connection not in self.lines:
            return
        self.unanswered = 0
        if isinstance(message, g.Ordered):
            self.ordered_over[message.number] = connection
        self.tell(message)
