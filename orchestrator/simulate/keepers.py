"""One keeper process in the simulation: the real core, and a shell that does what the keeper's does.

What is late, lost, doubled or stuck is decided by the links and the disk, never here.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.core.lease import fence_at
from orchestrator.core.messages import Message, Order
from orchestrator.core.ownership import step
from orchestrator.core.records import SERVICES, SITES
from orchestrator.core.state import OwnershipState, Phase
from orchestrator.simulate.clocks import MS, Clock
from orchestrator.simulate.store import value_of
from orchestrator.store.base import Compare
from orchestrator.store.continuity import Answer, Seen, contradiction, with_answer, with_epoch
from sites.fencing import guard as g

if TYPE_CHECKING:
    from orchestrator.simulate.guards import GuardNode
    from orchestrator.simulate.world import SiteDisk, World

NEVER = 1 << 62


class Call:
    """A request that waits for its answer. `known`: what was known of the store when it was sent (P33), and
    `life`: which life of it that was."""

    __slots__ = ("ended", "known", "life", "lost")

    def __init__(self, lost: Message | None, known: Seen | None = None, life: int = 0) -> None:
        self.ended = False
        self.lost = lost
        self.known = known
        self.life = life


class KeeperNode:
    """A keeper's process: alive or not, running or stopped, and what waits for it meanwhile. `disk`: what its
    machine keeps."""

    def __init__(
        self,
        world: "World",
        site: str,
        name: str,
        clock: Clock,
        state: OwnershipState,
        disk: "SiteDisk",
    ) -> None:
        self.world = world
        self.site = site
        self.disk = disk
        self.peer = state.peer
        self.name = name
        self.clock = clock
        self.state = state
        self.alive = True
        self.stalls = 0
        self.backlog: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        self.wake_at = NEVER
        self.replies: dict[int, Callable[[m.Reply], None]] = {}
        self.follows: dict[str, int] = {}
        self.follow_broken = False
        self.exited = ""
        self.cut = 0
        self.guard_lines: dict[str, tuple[GuardNode, int]] = {}
        self.peer_requests: dict[int, Callable[[m.AnswerPromise], None]] = {}
        self.calls: list[Call] = []
        self.accepted = 0

    # --- running -------------------------------------------------------------------------------------

    def start(self) -> None:
        """The first step, the first tick, the watch."""
        self.tell(m.Ticked())
        self.tick()
        self.follow_again()

    def tick(self) -> None:
        """Time passes for it, now and then."""
        if not self.alive:
            return
        self.run(self.tell, m.Ticked())
        self.world.after(self.world.tick_ns, self.tick)

    def run(self, work: Callable[..., None], *arguments: object) -> None:
        """Do it now, or when the process runs again."""
        if not self.alive:
            return
        if self.stalls:
            if len(self.backlog) < 200:
                self.backlog.append((work, arguments))
        else:
            work(*arguments)

    def resume(self) -> None:
        """What arrived meanwhile is taken in, in whatever order."""
        backlog, self.backlog = self.backlog, []
        if self.world.random.random() < 0.5:
            self.world.random.shuffle(backlog)
        for work, arguments in backlog:
            if self.alive:
                work(*arguments)

    def end(self) -> None:
        """The process is gone; what it has sent is not."""
        self.alive = False
        self.backlog = []

    @property
    def running(self) -> bool:
        """Alive, and not stopped."""
        return self.alive and not self.stalls

    def now(self) -> int:
        """Its own clock."""
        return self.clock.read(self.world.now_ns)

    # --- the one door --------------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """One step of the core, and its orders in their order."""
        world = self.world
        if world.story is not None:
            world.story.keeper_told(self, message)
        orders = step(self.state, message, self.clock.read(world.now_ns))
        world.steps += 1
        for order in orders:
            if world.story is not None:
                world.story.keeper_ordered(self, order)
            self._carry_out(order)
        self._keep_note()
        if world.setting.restores:
            self._keep_seen()
        self._plan()
        if world.setting.eager and isinstance(message, m.ServiceSeen):
            world.after(0, world.controllers[self.site].look_now)

    def _keep_note(self) -> None:
        self.disk.deadline_ns = self.state.unbroken_until_ns
        self.disk.open_here = [name for name, held in self.state.services.items() if held.open_here]

    def _keep_seen(self) -> None:
        """P33: epochs and incarnations that anybody here has heard of."""
        disk, state = self.world.sites[self.site].disk, self.state
        assert disk.seen is not None
        seen, highest = disk.seen, max(disk.seen.incarnation, state.incarnation)
        for name, service in state.services.items():
            if service.item is not None:
                seen = with_epoch(seen, name, service.item.record.epoch)
            if service.guard is not None:
                seen = with_epoch(seen, name, service.guard.epoch)
                highest = max(highest, service.guard.incarnation)
        for glass in state.glass.values():
            seen = with_epoch(seen, glass.service, glass.epoch)
        disk.seen = seen if highest == seen.incarnation else replace(seen, incarnation=highest)

    def _plan(self) -> None:
        """Wake when something is due; a real keeper looks every 25 ms."""
        shown = self.clock.read(self.world.now_ns)
        due = self._due()
        if due <= shown:
            return
        at_ns = self.clock.when(due) + self.world.lateness()
        if at_ns < self.wake_at or self.wake_at <= self.world.now_ns:
            self.wake_at = at_ns
            self.world.at(at_ns, self._wake, at_ns)

    def _wake(self, at_ns: int) -> None:
        if at_ns == self.wake_at:
            self.wake_at = NEVER
        self.run(self.tell, m.Ticked())

    def _due(self) -> int:
        state = self.state
        due = NEVER
        phase = state.phase
        if phase is Phase.ACTIVE or phase is Phase.READING_SERVICES:
            due = state.last_sent_ns + state.timing.renew_every_ns
        if phase is not Phase.ACTIVE:
            due = min(due, state.read_again_at_ns)
        for service in state.services.values():
            if service.open_here and not service.fencing:
                due = min(
                    due, max(fence_at(service.right_until_ns, state.timing), service.fence_again_at_ns + 1)
                )
        shown = self.clock.read(self.world.now_ns)
        for pending in state.asks.values():
            if isinstance(pending.what, m.TakeOver):
                earliest = state.may_take_at(pending.what.hold_down_ns)
                # What is past was looked at, and must not hide what is still to come.
                if earliest is not None and earliest >= shown:
                    due = min(due, earliest if earliest > shown else earliest + 1)
        return due

    # --- orders --------------------------------------------------------------------------------------

    def _carry_out(self, order: Order) -> None:
        store = self.world.store
        site, peer = self.site, self.peer
        match order:
            case m.Renew():
                record = order.record
                own = SITES + site

                def renew() -> Message:
                    done = self.world.commit(
                        site, (Compare(own, order.compare_revision),), ((own, record),), order
                    )
                    return m.RenewalAnswered(
                        record.incarnation,
                        record.beat,
                        done,
                        store.revision,
                        store.site(site),
                        store.site(peer),
                    )

                self.call(order, renew, m.RenewalLost(record.incarnation, record.beat), writes=True)
            case m.Transact():
                puts = tuple((put.key, value_of(put.key, put.value)) for put in order.puts)

                def transact() -> Message:
                    done = self.world.commit(site, order.compares, puts, order)
                    return m.TransactionAnswered(
                        order.transaction,
                        done,
                        store.revision,
                        store.site(site),
                        store.site(peer),
                        tuple((name, store.service(name)) for name in order.services),
                    )

                self.call(order, transact, m.TransactionLost(order.transaction), writes=True)
            case m.ReadOwnKey():
                self.call(order, lambda: m.OwnKeyRead(order.attempt, store.site(site)), None)
            case m.ReadServices():

                def read() -> Message:
                    found = tuple(
                        (name, item)
                        for name in self.world.services
                        if (item := store.service(name)) is not None
                    )
                    return m.ServicesRead(order.registration, store.revision, found)

                self.call(order, read, None)
            case m.ReadPeer():
                self.call(
                    order, lambda: m.PeerRead(order.ask, store.site(peer)), m.ReadFailed("peer", order.ask)
                )
            case m.FenceInstance():
                self.world.hosts[site, order.service].fence_by_driver(self)
            case m.CloseInstance():
                self.world.hosts[site, order.service].close(self)
            case m.AnswerGuard():
                answer = g.Answered(
                    int(order.nonce),
                    order.service,
                    order.incarnation,
                    order.epoch,
                    self._left(order.remaining_ns),
                    order.manual,
                )
                self._to_guard(order.service, answer)
            case m.OrderGuard():
                self._to_guard(
                    order.service, g.Ordered(order.number, order.kind, order.service, order.incarnation)
                )
            case m.AskPromise():
                self._ask_promise(order)
            case m.AnswerPromise():
                answer_peer = self.peer_requests.pop(order.request, None)
                if answer_peer is not None:
                    answer_peer(order)
            case m.WriteNote():
                self._write_note(order)
            case m.Reply():
                hear = self.replies.pop(order.ask, None)
                if hear is not None:
                    hear(order)
            case m.Exit():
                self.exited = order.why
                self.world.keeper_exits(self)

    # --- the store -----------------------------------------------------------------------------------

    def call(
        self, order: Order, apply: Callable[[], Message], lost: Message | None, *, writes: bool = False
    ) -> None:
        """A request to the store. Its fate is the links': it may be applied long after its sender has given
        up, or twice, or not at all."""
        world = self.world
        disk = world.sites[self.site].disk
        call = Call(lost, disk.seen, world.store.life)
        if world.setting.restores:
            self.calls = [*(each for each in self.calls if not each.ended), call]
        world.after(world.timeout_ns, self.run, self._given_up, call)
        if self.cut or disk.store_broken:
            return
        link = world.up[self.site]
        late = link.late() if writes else None
        if late is not None:
            world.after(world.timeout_ns + late, self._arrive_late, call, apply)
            return
        for delay_ns in link.delays():
            world.after(delay_ns, self._arrive, call, apply)

    def _arrive_late(self, call: Call, apply: Callable[[], Message]) -> None:
        world = self.world
        if call.life == world.store.life and world.store_open(self._arrive_late, call, apply):
            apply()

    def _arrive(self, call: Call, apply: Callable[[], Message]) -> None:
        world = self.world
        if call.life != world.store.life:
            return
        link = world.up[self.site]
        if link.cut:
            if link.keeps():
                link.kept.append((self._arrive, (call, apply)))
            return
        if not world.store_open(self._arrive, call, apply):
            return
        answer = apply()
        if call.known is not None and not self._trusted(call.known):
            return
        for delay_ns in world.down[self.site].delays():
            world.after(delay_ns, self._answered, call, answer)

    def _trusted(self, known: Seen) -> bool:
        """P33: what the store answers must be one history with what was known when it was asked."""
        store, disk = self.world.store, self.world.sites[self.site].disk
        items = store.raw()
        missing = tuple(key for key in known.keys if key not in store.items)
        answer = Answer(cluster_id=store.cluster_id, revision=store.revision, items=items, missing=missing)
        if contradiction(known, answer) is not None:
            disk.store_broken = True
            if self.world.story is not None:
                self.world.story.say(f"keeper {self.name}", "this is not the store that it knew (P33)")
            return False
        disk.seen = with_answer(disk.seen or known, answer)
        return True

    def _answered(self, call: Call, answer: Message) -> None:
        if self.world.down[self.site].cut or self.cut:
            return  # by the time of a resend nobody waits for it
        self.run(self._take_answer, call, answer)

    def _take_answer(self, call: Call, answer: Message) -> None:
        if not call.ended:
            call.ended = True
            self.tell(answer)

    def _given_up(self, call: Call) -> None:
        if not call.ended:
            call.ended = True
            if call.lost is not None:
                self.tell(call.lost)

    # --- guards, the peer, the disk ------------------------------------------------------------------

    def _left(self, remaining_ns: int) -> int:
        """What is left of a lease, rounded down as t_sent is: a coarse clock shows less than has passed."""
        return max(1, remaining_ns - self.clock.behind_ns) if remaining_ns else 0

    def _to_guard(self, service: str, message: object) -> None:
        line = self.guard_lines.get(service)
        if line is not None:
            guard, connection = line
            guard.hear(connection, message)

    def guard_says(self, service: str, connection: int, message: Message) -> None:
        """A guard's word over a connection; of an older connection it is no more."""
        line = self.guard_lines.get(service)
        if line is not None and line[1] == connection:
            self.tell(message)

    def guard_gone(self, service: str, connection: int) -> None:
        """The connection has ended."""
        line = self.guard_lines.get(service)
        if line is not None and line[1] == connection:
            del self.guard_lines[service]
            self.tell(m.GuardGone(service))

    def _ask_promise(self, order: m.AskPromise) -> None:
        """P14: one request to the peer's keeper, one reply, however late as long as it is worth anything."""
        world = self.world
        call = Call(m.PromiseAnswered(order.number, False))
        waits_ns = max(world.timeout_ns, order.lease_duration_ns)
        world.after(waits_ns, self.run, self._given_up, call)
        for delay_ns in world.across[self.site].delays():
            world.after(delay_ns, self._promise_arrives, call, order)

    def _promise_arrives(self, call: Call, order: m.AskPromise) -> None:
        world = self.world
        link = world.across[self.site]
        if link.cut:
            if link.keeps():
                link.kept.append((self._promise_arrives, (call, order)))
            return
        keepers = [one for one in world.sites[self.peer].keepers if one.alive]
        if not keepers:
            return
        # P17: a lock lets one keeper of a site run on a machine; a spare elsewhere takes the site's address.
        there = keepers[-1]
        request = world.number()

        def answer(answered: m.AnswerPromise) -> None:
            reply = m.PromiseAnswered(order.number, answered.granted, answered.code)
            for delay_ns in world.across[self.peer].delays():
                world.after(delay_ns, self._promise_answered, call, reply)

        there.peer_requests[request] = answer
        there.run(
            there.tell,
            m.PromiseAsked(request, order.keeper, order.incarnations, order.lease_duration_ns),
        )

    def _promise_answered(self, call: Call, reply: Message) -> None:
        link = self.world.across[self.peer]
        if not link.cut:
            self.run(self._take_answer, call, reply)
        elif link.keeps():
            link.kept.append((self._promise_answered, (call, reply)))

    def _write_note(self, order: m.WriteNote) -> None:
        """The disk takes it, now or late or not; whoever ends meanwhile leaves either note."""
        world, disk = self.world, self.disk
        boot, how = disk.boot, world.sites[self.site].disk

        def written() -> None:
            if not self.alive:
                if world.random.random() < 0.5:
                    disk.note, disk.note_boot = order.note, boot
                return
            fails = how.fails
            if not fails or world.random.random() < 0.3:
                disk.note, disk.note_boot = order.note, boot
            self.run(self.tell, m.NoteWritten(order.number, not fails))

        world.after(MS + (world.random.randrange(how.slow_ns) if how.slow_ns else 0), written)

    # --- the watch -----------------------------------------------------------------------------------

    def see_write(self, key: str, revision: int) -> None:
        """A write was committed: it comes by the watch, in order, if the watch stands."""
        if not self.alive or self.follow_broken:
            return
        if self.cut or self.world.sites[self.site].disk.store_broken:
            self.break_follow()
            return
        message = self.world.seen(self, key)
        if message is None:
            return
        delays = self.world.down[self.site].delays()
        if not delays:
            self.break_follow()
            return
        prefix = SITES if key.startswith(SITES) else SERVICES
        at_ns = max(self.follows.get(prefix, 0), self.world.now_ns + delays[0])
        self.follows[prefix] = at_ns
        self.world.at(at_ns, self._watch_arrives, message, self.accepted)

    def _watch_arrives(self, message: Message, accepted: int) -> None:
        if accepted != self.accepted:
            return  # of a watch over the store of before
        if self.world.down[self.site].cut:
            self.break_follow()
        else:
            self.run(self._take_seen, message, accepted)

    def _take_seen(self, message: Message, accepted: int) -> None:
        if accepted == self.accepted:
            self.tell(message)

    def break_follow(self) -> None:
        """The watch ends, and is begun again after a while."""
        if not self.follow_broken:
            self.follow_broken = True
            self.world.after(self.world.timeout_ns // 2, self.follow_again)

    def start_anew(self, next_incarnation: int) -> None:
        """P33: the store is accepted: nothing that was asked of the former one is answered any more."""
        for call in self.calls:
            call.ended = True
        self.calls = []
        self.accepted += 1
        self.follow_broken = True
        self.tell(m.StoreAccepted(next_incarnation))
        self.follow_again()

    def follow_again(self) -> None:
        """Read, then watch from there."""
        world = self.world
        if not self.alive:
            return
        there = world.up[self.site].delays()
        back = world.down[self.site].delays()
        if (
            self.cut
            or not there
            or not back
            or world.store.lost
            or world.store.answers_from_ns > world.now_ns
        ):
            world.after(world.timeout_ns, self.follow_again)
            return
        world.after(there[0], self._read_all, back[0])

    def _read_all(self, back_ns: int) -> None:
        seen = self.world.sites[self.site].disk.seen
        if seen is not None and not self._trusted(seen):
            return
        self.follow_broken = False
        for key in list(self.world.store.items):
            message = self.world.seen(self, key)
            if message is not None:
                prefix = SITES if key.startswith(SITES) else SERVICES
                at_ns = max(self.follows.get(prefix, 0), self.world.now_ns + back_ns)
                self.follows[prefix] = at_ns
                self.world.at(at_ns, self._watch_arrives, message, self.accepted)
