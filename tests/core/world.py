"""Two keepers' real core on a small world in virtual time: a linearizable store, clocks that differ,
messages that are late or lost, hosts that obey. One seed gives one run.

Only what the world does stands here; every decision is `orchestrator.core.ownership.step`'s.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from orchestrator.core import messages as m
from orchestrator.core.lease import LeaseTiming
from orchestrator.core.messages import Ask, Message, Order, Reply, ServiceItem, SiteItem
from orchestrator.core.notes import EMPTY, Note
from orchestrator.core.ownership import step
from orchestrator.core.records import (
    RUNS,
    SERVICES,
    SITES,
    Mode,
    RunRecord,
    ServiceRecord,
    SiteRecord,
    decode,
    encode,
)
from orchestrator.core.state import OwnershipState, new_state
from orchestrator.store.base import Compare, Put
from sites.replication.words import Position

MS = 1_000_000
SECOND = 1_000 * MS
TIMING = LeaseTiming(
    lease_duration_ns=3 * SECOND,
    renew_every_ns=300 * MS,
    fence_within_ns=400 * MS,
    clock_drift=0.005,
)


class SimpleStore:
    """Linearizable compare-and-set, one revision a transaction."""

    def __init__(self) -> None:
        self.revision = 0
        self.items: dict[str, tuple[int, bytes]] = {}
        self.history: list[tuple[int, str, bytes]] = []

    def transact(self, compares: tuple[Compare, ...], puts: tuple[Put, ...]) -> bool:
        if any(self.items.get(each.key, (0, b""))[0] != each.mod_revision for each in compares):
            return False
        self.revision += 1
        for put in puts:
            self.items[put.key] = (self.revision, put.value)
            self.history.append((self.revision, put.key, put.value))
        return True

    def site(self, name: str) -> SiteItem | None:
        found = self.items.get(SITES + name)
        return SiteItem(found[0], decode(SiteRecord, found[1])) if found else None

    def service(self, name: str) -> ServiceItem | None:
        found = self.items.get(SERVICES + name)
        return ServiceItem(found[0], decode(ServiceRecord, found[1])) if found else None


@dataclass
class Node:
    """One site: its keeper's state, its clock, its link to the store, its instances."""

    site: str
    state: OwnershipState
    clock: Callable[[int], int]
    reaches_store: bool = True
    stalled: bool = False
    alive: bool = True
    life: int = 0
    replies: dict[int, Reply] = field(default_factory=dict)
    fenced_at_ns: dict[str, int] = field(default_factory=dict)
    closes: list[str] = field(default_factory=list)
    exits: list[str] = field(default_factory=list)
    note: Note = EMPTY


class World:
    """Events in order of true time. `delay` says how long a message takes, `fate` what becomes of one."""

    def __init__(
        self, services: dict[str, str], *, seed: int = 0, modes: dict[str, Mode] | None = None
    ) -> None:
        self.random = Random(seed)
        self.now_ns = 1000 * SECOND
        self.store = SimpleStore()
        self.services = services
        self.modes = modes or dict.fromkeys(services, Mode.AUTOMATIC)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._asks = 0
        self.delay: Callable[[], int] = lambda: 5 * MS
        self.fate: Callable[[str, Order], str] = lambda site, order: "answered"
        self.close_result: Callable[[str], tuple[bool, Position | None]] = lambda s: (True, position(100))
        self.fence_works = True
        self.link_up = False
        self.disk_takes = True
        self._promises: dict[int, tuple[Node, int, int]] = {}
        self.writable: dict[tuple[str, str], bool] = {}
        self.violations: list[str] = []
        self.nodes = {site: self._node(site, rate=1.0) for site in ("x", "y")}

    def _node(self, site: str, *, rate: float, life: int = 0, note: Note = EMPTY) -> Node:
        born_ns = self.now_ns
        offset_ns = self.random.randrange(SECOND)

        def clock(true_ns: int) -> int:
            return offset_ns + int((true_ns - born_ns) * rate)

        state = new_state(
            site=site,
            peer="y" if site == "x" else "x",
            keeper=f"{site}-{life}-{self.random.randrange(1 << 30)}",
            home_services=frozenset(name for name, home in self.services.items() if home == site),
            modes=self.modes,
            timing=TIMING,
            now_ns=clock(born_ns),
            note=note,
        )
        return Node(site, state, clock, life=life, note=note)

    # --- time ----------------------------------------------------------------------------------------

    def at(self, after_ns: int, work: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now_ns + after_ns, self._sequence, work))

    def start(self, *sites: str) -> None:
        for site in sites or ("x", "y"):
            self._beat(site, self.nodes[site].life)

    def restart(self, site: str, *, rate: float = 1.0) -> None:
        """The keeper ends and another one starts: everything volatile is gone."""
        before = self.nodes[site]
        fresh = self._node(site, rate=rate, life=before.life + 1, note=before.note)
        fresh.reaches_store = before.reaches_store
        left_ns = before.state.deadline_ns - before.clock(self.now_ns)
        fresh.state.inherited_deadline_ns = fresh.clock(self.now_ns) + left_ns
        for name in self.services:
            if before.state.services[name].open_here:
                fresh.state.services[name].open_here = True
                left = before.state.services[name].right_until_ns - before.clock(self.now_ns)
                fresh.state.services[name].right_until_ns = fresh.clock(self.now_ns) + left
        self.nodes[site] = fresh
        self._beat(site, fresh.life)

    def kill(self, site: str) -> None:
        """The whole site goes: keeper, hosts, databases."""
        self.nodes[site].alive = False
        self.nodes[site].life += 1
        for name in self.services:
            self.writable[site, name] = False

    def _beat(self, site: str, life: int) -> None:
        node = self.nodes[site]
        if node.life != life or not node.alive:
            return
        if not node.stalled:
            self.tell(site, m.TurnCompleted())
            self.tell(site, m.Ticked())
        self.at(20 * MS, lambda: self._beat(site, life))

    def run(self, for_ns: int) -> None:
        end_ns = self.now_ns + for_ns
        while self._events and self._events[0][0] <= end_ns:
            at_ns, _, work = heapq.heappop(self._events)
            self.now_ns = max(self.now_ns, at_ns)
            work()
            self._check()
        self.now_ns = end_ns

    def run_until(self, fits: Callable[[], bool], *, within_ns: int) -> None:
        end_ns = self.now_ns + within_ns
        while not fits():
            assert self.now_ns < end_ns, "what was waited for did not come"
            self.run(5 * MS)

    # --- messages ------------------------------------------------------------------------------------

    def tell(self, site: str, message: Message) -> None:
        node = self.nodes[site]
        if not node.alive:
            return
        life = node.life
        for order in step(node.state, message, node.clock(self.now_ns)):
            self._carry_out(node, life, order)

    def later(self, node: Node, life: int, message: Message, after_ns: int) -> None:
        def arrive() -> None:
            current = self.nodes[node.site]
            if current.life != life:
                return
            if current.stalled:
                self.at(10 * MS, arrive)
            else:
                self.tell(node.site, message)

        self.at(after_ns, arrive)

    def ask(self, site: str, what: Ask) -> int:
        self._asks += 1
        self.tell(site, m.Asked(self._asks, what))
        return self._asks

    def reply(self, site: str, ask: int) -> Reply | None:
        return self.nodes[site].replies.get(ask)

    def _carry_out(self, node: Node, life: int, order: Order) -> None:
        match order:
            case Reply():
                node.replies[order.ask] = order
                return
            case m.Exit():
                node.exits.append(order.why)
                return
            case m.FenceInstance():
                self._fence(node, life, order.service)
                return
            case m.WriteNote():
                self.later(node, life, m.NoteWritten(order.number, self.disk_takes), 2 * MS)
                if self.disk_takes:
                    node.note = order.note
                return
            case m.AskPromise():
                self._ask_promise(node, life, order)
                return
            case m.AnswerPromise():
                asker, asker_life, number = self._promises.pop(order.request)
                answered = m.PromiseAnswered(number, order.granted, order.code)
                self.later(asker, asker_life, answered, self.delay())
                return
            case m.CloseInstance():
                node.closes.append(order.service)
                closed, final = self.close_result(order.service)
                if closed:
                    self.writable[node.site, order.service] = False
                self.later(node, life, m.CloseEnded(order.service, closed, final, "closed"), 50 * MS)
                return
        self._to_store(node, life, order)

    def _ask_promise(self, node: Node, life: int, order: m.AskPromise) -> None:
        if not self.link_up:
            return
        self._asks += 1
        self._promises[self._asks] = (node, life, order.number)
        asked = m.PromiseAsked(self._asks, order.keeper, order.incarnations, order.lease_duration_ns)
        peer = self.nodes[node.state.peer]
        self.later(peer, peer.life, asked, self.delay())

    def _fence(self, node: Node, life: int, service: str) -> None:
        def fenced() -> None:
            if self.fence_works:
                self.writable[node.site, service] = False
                node.fenced_at_ns[service] = self.now_ns
            if self.nodes[node.site].life == life:
                self.tell(node.site, m.FenceEnded(service, self.fence_works, "tried"))

        self.at(100 * MS, fenced)

    def _to_store(self, node: Node, life: int, order: Order) -> None:
        """Fates: answered; lost (never arrives); unanswered (arrives, the reply is lost); late (times out,
        and is committed a long while after)."""
        fate = self.fate(node.site, order) if node.reaches_store else "lost"
        there_ns, back_ns = self.delay(), self.delay()
        timeout_ns = 1500 * MS
        if fate == "lost":
            self._lost(node, life, order, timeout_ns)
            return
        if fate == "late":
            self._lost(node, life, order, timeout_ns)
            self.at(self.random.randrange(2, 60) * SECOND, lambda: self._apply(order))
            return

        def arrive() -> None:
            answer = self._apply(order)
            if fate == "unanswered" or not self.nodes[node.site].reaches_store:
                self._lost(node, life, order, timeout_ns)
            else:
                self.later(node, life, answer, back_ns)

        self.at(there_ns, arrive)

    def _lost(self, node: Node, life: int, order: Order, after_ns: int) -> None:
        match order:
            case m.Renew():
                lost: Message = m.RenewalLost(order.record.incarnation, order.record.beat)
            case m.Transact():
                lost = m.TransactionLost(order.transaction)
            case m.ReadPeer():
                lost = m.ReadFailed("peer", order.ask)
            case _:
                return
        self.later(node, life, lost, after_ns)

    def _apply(self, order: Order) -> Message:
        store, peer_of = self.store, {"x": "y", "y": "x"}
        before = store.revision
        match order:
            case m.ReadOwnKey():
                raise AssertionError("needs its site")
            case m.Renew():
                site = order.record.keeper[0]
                done = store.transact(
                    (Compare(SITES + site, order.compare_revision),),
                    (Put(SITES + site, encode(order.record)),),
                )
                answer: Message = m.RenewalAnswered(
                    order.record.incarnation,
                    order.record.beat,
                    done,
                    store.revision,
                    store.site(site),
                    store.site(peer_of[site]),
                )
            case m.Transact():
                site = order.compares[0].key.removeprefix(SITES)
                done = store.transact(order.compares, order.puts)
                answer = m.TransactionAnswered(
                    order.transaction,
                    done,
                    store.revision,
                    store.site(site),
                    store.site(peer_of[site]),
                    tuple((name, store.service(name)) for name in order.services),
                )
            case _:
                raise AssertionError(order)
        if store.revision != before:
            self._spread()
        return answer

    def _spread(self) -> None:
        """The watch: both sites see what was written, if the store reaches them."""
        written = [item for item in self.store.history if item[0] == self.store.revision]
        for node in list(self.nodes.values()):
            if not node.reaches_store or not node.alive:
                continue
            for revision, key, value in written:
                if key == SITES + node.state.peer:
                    seen: Message = m.PeerSeen(SiteItem(revision, decode(SiteRecord, value)))
                elif key.startswith(SERVICES):
                    item = ServiceItem(revision, decode(ServiceRecord, value))
                    seen = m.ServiceSeen(key.removeprefix(SERVICES), item)
                else:
                    continue
                self.later(node, node.life, seen, self.delay())

    # --- promotion and invariants --------------------------------------------------------------------

    def open(self, site: str, service: str) -> bool:
        """Open the instance if the keeper says so at this instant, as the controller would."""
        node = self.nodes[site]
        if not node.alive or not node.state.entitled(service, node.clock(self.now_ns)):
            return False
        ask = self.ask(site, m.InstanceOpened(service=service))
        reply = node.replies.get(ask)
        if reply is None or not reply.done:
            return False
        self.writable[site, service] = True
        return True

    def _check(self) -> None:
        for name in self.services:
            if self.writable.get(("x", name)) and self.writable.get(("y", name)):
                self.violations.append(f"{name} is writable at both sites at {self.now_ns}")
        epochs: dict[tuple[str, int], str] = {}
        for _, key, value in self.store.history:
            if key.startswith(SERVICES):
                record = decode(ServiceRecord, value)
                if record.primary is None:
                    continue
                owner = epochs.setdefault((key, record.epoch), record.primary)
                if owner != record.primary:
                    self.violations.append(
                        f"{key}: epoch {record.epoch} of both {owner} and {record.primary}"
                    )


class SiteWorld(World):
    """World whose reads know their site."""

    def _to_store(self, node: Node, life: int, order: Order) -> None:
        if not isinstance(order, m.ReadOwnKey | m.ReadServices | m.ReadPeer):
            super()._to_store(node, life, order)
            return
        fate = self.fate(node.site, order) if node.reaches_store else "lost"
        if fate != "answered":
            self._lost(node, life, order, 1500 * MS)
            return
        back_ns = self.delay()

        def arrive() -> None:
            match order:
                case m.ReadOwnKey():
                    answer: Message = m.OwnKeyRead(order.attempt, self.store.site(node.site))
                case m.ReadServices():
                    found = tuple(
                        (name, item)
                        for name in self.services
                        if (item := self.store.service(name)) is not None
                    )
                    answer = m.ServicesRead(order.registration, self.store.revision, found)
                case m.ReadPeer():
                    answer = m.PeerRead(order.ask, self.store.site(node.state.peer))
            self.later(node, life, answer, back_ns)

        self.at(self.delay(), arrive)


def position(offset_bytes: int) -> Position:
    """A position on the one history of these tests."""
    return Position(text=str(offset_bytes), history="cluster/1", offset_bytes=offset_bytes)


def run_record(run: str, service: str, *, to_site: str, from_site: str, kind: str = "failover") -> RunRecord:
    """A run as the controller would publish it."""
    return RunRecord(
        run=run,
        kind=kind,
        service=service,
        from_site=from_site,
        to_site=to_site,
        executor_site=to_site,
        executor=1,
        state="running",
        plan={},
        statement="",
        who="test",
        why="test",
        started="",
    )


def steady_world(
    services: dict[str, str] | None = None, *, seed: int = 0, modes: dict[str, Mode] | None = None
) -> SiteWorld:
    """Both keepers registered, every service claimed by its home and open there."""
    world = SiteWorld(services or {"s": "x"}, seed=seed, modes=modes)
    world.start()
    world.run(SECOND)
    for name, home in world.services.items():
        ask = world.ask(home, first_claim(name, world.modes[name]))
        world.run(SECOND)
        reply = world.reply(home, ask)
        assert reply is not None
        assert reply.done, reply
        assert world.open(home, name)
    world.run(4 * SECOND)
    return world


def first_claim(service: str, mode: Mode = Mode.AUTOMATIC) -> m.Claim:
    """The home site's first claim."""
    return m.Claim(
        service=service,
        run="",
        epoch=1,
        record=None,
        received=None,
        accept_loss=False,
        mode_if_new=mode,
        who="test",
        why="first",
    )


def take_over(world: World, *services: str, by: str = "y", **changes: object) -> m.TakeOver:
    """An ask to take services over from the other site."""
    from_site = "x" if by == "y" else "y"
    values: dict[str, object] = {
        "services": services,
        "records": tuple(
            run_record(f"run-{name}", name, to_site=by, from_site=from_site) for name in services
        ),
        "ordered_by_operator": False,
        "hold_down_ns": 0,
        "who": "test",
        "why": "test",
        "wait_until_ns": world.nodes[by].clock(world.now_ns) + 20 * SECOND,
    }
    return m.TakeOver(**{**values, **changes})  # type: ignore[arg-type]


__all__ = [
    "RUNS",
    "TIMING",
    "SiteWorld",
    "World",
    "first_claim",
    "position",
    "run_record",
    "steady_world",
    "take_over",
]
