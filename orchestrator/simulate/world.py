"""The world: true time, the events in their order, and who is where. Every decision is the core's."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from orchestrator.core import messages as m
from orchestrator.core.lease import LeaseTiming
from orchestrator.core.messages import Message, Order
from orchestrator.core.notes import EMPTY, Note
from orchestrator.core.records import SERVICES, SITES, Mode, Movement, ServiceRecord
from orchestrator.core.state import new_state
from orchestrator.simulate.checks import Checks
from orchestrator.simulate.clocks import MS, PARTS, SECOND, Clock
from orchestrator.simulate.controllers import ControllerNode
from orchestrator.simulate.data import Lines
from orchestrator.simulate.deciders import Decider
from orchestrator.simulate.guards import GuardNode
from orchestrator.simulate.hosts import Host
from orchestrator.simulate.keepers import KeeperNode
from orchestrator.simulate.network import Link, Network, Weather
from orchestrator.simulate.outside import Outside
from orchestrator.simulate.rejoins import replicate
from orchestrator.simulate.store import Backup, SimulatedStore, Value
from orchestrator.simulate.story import Story
from orchestrator.store.base import Compare
from orchestrator.store.continuity import Seen

SITES_HERE = ("x", "y")
BEGIN_NS = 1000 * SECOND
MOST_STEPS = 30_000


class RunawayError(Exception):
    """Time does not pass: messages cause messages without end."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a scenario's world is made of. `rates`: parts in a million for each clock's owner.

    `eager`: every database is written to as soon as its gate is open, promoted or not, which is the worst
    that can be; what it holds is then not looked at (invariant 3). `decides`: the controllers decide by the
    product's tables and gates; without it they ask for whatever might pass. `certifiable`: guards open by an
    operator's signed certificate alone.
    """

    timing: LeaseTiming
    services: dict[str, "ServiceSetting"]
    weather: Weather
    timings: dict[str, LeaseTiming] = field(default_factory=dict)
    near: Weather | None = None
    rates: dict[str, int] = field(default_factory=dict)
    guard_every_ns: int = 500 * MS
    guarded: bool = True
    gated: frozenset[str] = frozenset()
    grains: dict[str, int] = field(default_factory=dict)
    eager: bool = False
    decides: bool = False
    certifiable: bool = False
    restores: bool = False
    drivers: bool = True
    late_steps: float = 0.06
    lateness_ns: int = 0
    fence_share: float = 0.5


@dataclass(frozen=True, slots=True)
class ServiceSetting:
    """A service of the scenario."""

    home: str
    mode: Mode = Mode.AUTOMATIC


@dataclass(slots=True)
class SiteDisk:
    """What a site keeps across its keeper's life. `deadline_ns`, `open_here`: of this boot only."""

    note: Note = EMPTY
    note_boot: int = 0
    boot: int = 0
    fails: bool = False
    slow_ns: int = 0
    seen: Seen | None = None
    store_broken: bool = False
    deadline_ns: int = 0
    open_here: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Site:
    """A site: its control host's clock and disk, and its keepers, oldest first."""

    clock: Clock
    up: bool = True
    disk: SiteDisk = field(default_factory=SiteDisk)
    keepers: list[KeeperNode] = field(default_factory=list)


class World:
    """One scenario's world."""

    def __init__(self, setting: Setting, seed: int, *, story: bool = False) -> None:
        self.random = Random(seed)
        self.now_ns = BEGIN_NS
        self.setting = setting
        self.timing = setting.timing
        self.services = setting.services
        self.steps = 0
        self._events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._numbers = 0
        self.story = Story(self) if story else None
        self.store = SimulatedStore()
        self.backup: Backup | None = None
        self.network = Network()
        self.checks = Checks(self)
        self.lines = {name: Lines() for name in self.services}
        timing = self.timing
        self.tick_ns = timing.lease_duration_ns // 2
        self.turn_ns = timing.lease_duration_ns // 4
        self.timeout_ns = timing.lease_duration_ns * 3 // 5
        weather = setting.weather
        fork = self.random.getrandbits
        self.up = {s: Link(f"{s} to the store", Random(fork(48)), weather) for s in SITES_HERE}
        self.down = {s: Link(f"the store to {s}", Random(fork(48)), weather) for s in SITES_HERE}
        self.across = {s: Link(f"{s} to {self.other(s)}", Random(fork(48)), weather) for s in SITES_HERE}
        self._extra_cuts: dict[Link, int] = {}
        self.sites = {s: Site(self.new_clock(s)) for s in SITES_HERE}
        if setting.restores:
            for here in self.sites.values():
                here.disk.seen = Seen()
        self.hosts = {
            (s, name): Host(self, s, name, self.new_clock(f"{s}/{name}"), gated=name in setting.gated)
            for s in SITES_HERE
            for name in self.services
        }
        self.guards: dict[tuple[str, str], GuardNode] = {}
        if setting.guarded:
            near = setting.near or weather
            for (s, name), host in self.hosts.items():
                there = Link(f"guard of {s}/{name} to its keeper", Random(fork(48)), near)
                back = Link(f"keeper of {s} to the guard of {name}", Random(fork(48)), near)
                host.guard = GuardNode(self, host, there, back)
                self.guards[s, name] = host.guard
        self.outside = Outside(self) if setting.decides else None
        self.vouched: Counter[tuple[str, str]] = Counter()
        controller = Decider if setting.decides else ControllerNode
        self.controllers: dict[str, ControllerNode] = {s: controller(self, s) for s in SITES_HERE}

    # --- time ----------------------------------------------------------------------------------------

    def at(self, at_ns: int, work: Callable[..., None], *arguments: Any) -> None:
        """Do it at that true time."""
        self._sequence += 1
        heapq.heappush(self._events, (at_ns, self._sequence, work, arguments))

    def after(self, after_ns: int, work: Callable[..., None], *arguments: Any) -> None:
        """Do it that much later."""
        self._sequence += 1
        heapq.heappush(self._events, (self.now_ns + after_ns, self._sequence, work, arguments))

    def run_until(self, end_ns: int) -> None:
        """Let time pass; stops at the first violation."""
        events, checks = self._events, self.checks
        while events and events[0][0] <= end_ns:
            at_ns, _, work, arguments = heapq.heappop(events)
            self.now_ns = at_ns
            work(*arguments)
            if checks.violations:
                return
            if self.steps > MOST_STEPS:
                raise RunawayError(f"more than {MOST_STEPS} steps by {(at_ns - BEGIN_NS) / 1e9:.3f} s")
        self.now_ns = end_ns

    def run(self, for_ns: int) -> None:
        """Let that much time pass."""
        self.run_until(self.now_ns + for_ns)

    def new_clock(self, owner: str) -> Clock:
        """A machine's clock as of its boot, which was some time ago."""
        return Clock(
            born_ns=self.now_ns,
            offset_ns=self.random.randrange(1000 * SECOND),
            rate=self.setting.rates.get(owner, PARTS),
            grain_ns=self.setting.grains.get(owner[0], 1),
        )

    def lateness(self) -> int:
        """How late a process looks at what is due."""
        most = self.setting.lateness_ns
        return self.random.randrange(most) if most and self.random.random() < 0.3 else 0

    def fence_takes(self) -> int:
        """How long a cut takes: at times all that it may."""
        within = self.timing.fence_within_ns
        return within if self.random.random() < self.setting.fence_share else self.random.randrange(within)

    def number(self) -> int:
        """A number never given before."""
        self._numbers += 1
        return self._numbers

    # --- who is where --------------------------------------------------------------------------------

    @staticmethod
    def other(site: str) -> str:
        """The other data site."""
        return "y" if site == "x" else "x"

    def keeper(self, site: str) -> KeeperNode | None:
        """The keeper a controller of that site talks to."""
        keepers = self.sites[site].keepers
        return next((one for one in reversed(keepers) if one.alive), None)

    def start(self) -> None:
        """Both sites' keepers and controllers."""
        for guard in self.guards.values():
            guard.start()
        for site in SITES_HERE:
            self.start_keeper(site)
            self.controllers[site].start()

    def start_keeper(self, site: str) -> KeeperNode:
        """A keeper's process at that site: everything volatile is fresh. Where one runs, this is another
        machine, since a keeper has its disk to itself: it finds nothing there."""
        here = self.sites[site]
        name = f"{site}{self.number()}"
        disk = SiteDisk() if any(one.alive for one in here.keepers) else here.disk
        note = disk.note
        if disk.note_boot != disk.boot:
            note = replace(note, hold_incarnation=0, hold_services=())  # after a boot nothing is open
        state = new_state(
            site=site,
            peer=self.other(site),
            keeper=name,
            home_services=frozenset(n for n, service in self.services.items() if service.home == site),
            modes={n: service.mode for n, service in self.services.items()},
            timing=self.setting.timings.get(site, self.timing),
            now_ns=here.clock.read(self.now_ns),
            inherited_open=frozenset(disk.open_here),
            inherited_deadline_ns=disk.deadline_ns,
            guarded=frozenset(self.services) if self.setting.guarded else frozenset(),
            note=note,
            certifiable=self.setting.certifiable,
        )
        if here.disk.seen is not None:
            state.next_incarnation = here.disk.seen.incarnation + 1
        # P9: nothing is handed over to a fresh keeper; it must see and wait afresh.
        node = KeeperNode(self, site, name, here.clock, state, disk)
        here.keepers = [*(one for one in here.keepers if one.alive), node]
        if self.story is not None:
            self.story.say(f"keeper {name}", "starts")
        node.start()
        return node

    def boot_site(self, site: str) -> None:
        """Everything of a site starts: its clocks began anew, its gates are shut."""
        here = self.sites[site]
        here.clock = self.new_clock(site)
        here.disk.boot += 1
        here.disk.deadline_ns = 0
        here.disk.open_here = []
        for name in self.services:
            host = self.hosts[site, name]
            host.up = True
            host.boot(self.new_clock(f"{site}/{name}"))
            if host.guard is not None:
                host.guard.lifted = None
                host.guard.certified = None
                host.guard.start()
            host.changed("its host has booted")
        self.start_keeper(site)
        self.controllers[site].alive = True
        self.controllers[site].start()

    def keeper_exits(self, node: KeeperNode) -> None:
        """It ends by itself; its supervisor starts another when none is left."""
        node.end()
        if not any(one.alive for one in self.sites[node.site].keepers):
            self.after(self.turn_ns, self.supervise, node.site)

    def supervise(self, site: str) -> None:
        """Its supervisor starts a keeper where none is."""
        if self.sites[site].up and not any(one.alive for one in self.sites[site].keepers):
            self.start_keeper(site)

    # --- the store -----------------------------------------------------------------------------------

    def store_open(self, again: Callable[..., None], *arguments: Any) -> bool:
        """Whether it takes a request now. While it has no leader a request waits there, or is lost."""
        store = self.store
        if store.lost:
            return False
        if store.answers_from_ns <= self.now_ns:
            return True
        if self.random.random() < 0.5:
            self.at(store.answers_from_ns + self.random.randrange(50 * MS), again, *arguments)
        return False

    def commit(
        self, site: str, compares: tuple[Compare, ...], puts: tuple[tuple[str, Value], ...], order: Order
    ) -> bool:
        """Apply a transaction, look at the invariants, and tell the watches."""
        store = self.store
        before = [(key, store.items.get(key)) for key, _ in puts if key.startswith(SERVICES)]
        done = store.transact(compares, puts)
        if self.story is not None:
            self.story.committed(site, order, done, store.revision)
        if not done:
            return False
        for key, item in before:
            old, new = item[1] if item else None, store.items[key][1]
            assert isinstance(new, ServiceRecord)
            self.checks.recorded(key, old if isinstance(old, ServiceRecord) else None, new)
        for key, _ in puts:
            for here in SITES_HERE:
                for node in self.sites[here].keepers:
                    node.see_write(key, store.revision)
        return True

    def seen(self, node: KeeperNode, key: str) -> Message | None:
        """A key as that keeper's watch would show it; None: it does not follow it."""
        if key == SITES + node.peer:
            item = self.store.site(node.peer)
            return m.PeerSeen(item) if item is not None else None
        if key.startswith(SERVICES):
            name = key.removeprefix(SERVICES)
            found = self.store.service(name)
            return m.ServiceSeen(name, found) if found is not None else None
        return None

    def settle_at_home(self) -> None:
        """Begin with every service owned by its home, at rest."""
        for name, service in self.services.items():
            self.store.revision += 1
            record = ServiceRecord(
                primary=service.home,
                epoch=1,
                mode=service.mode,
                movement=Movement.STEADY,
                writer="",
                kind="first-claim",
            )
            self.store.items[SERVICES + name] = (self.store.revision, record)
            self.checks.recorded(SERVICES + name, None, record)

    def look_at_voters(self) -> None:
        """Each keeper is told which members of the store answer."""
        for site in SITES_HERE:
            seen = self.network.voters_seen(site)
            message = m.VotersSeen(seen[site], seen[self.other(site)], seen["w"])
            for node in self.sites[site].keepers:
                node.run(node.tell, message)
        self.after(self.timing.lease_duration_ns // 2, self.look_at_voters)

    # --- the links -----------------------------------------------------------------------------------

    def cut(self, link: Link, change: int) -> None:
        """One more (1) or one less (-1) reason for this link to pass nothing."""
        self._extra_cuts[link] = self._extra_cuts.get(link, 0) + change
        self.look_at_links()

    def look_at_links(self) -> None:
        """Which links pass now; what was kept comes through."""
        for site in SITES_HERE:
            there, back = self.network.store_reached(site)
            self._set_link(self.up[site], passes=there)
            self._set_link(self.down[site], passes=back)
            self._set_link(self.across[site], passes=self.network.passes(site, self.other(site)))

    def _set_link(self, link: Link, *, passes: bool) -> None:
        link.cut = not passes or self._extra_cuts.get(link, 0) > 0
        if not link.cut and link.kept:
            kept, link.kept = link.kept, []
            for work, arguments in kept:
                self.after(self.random.randrange(10 * MS), work, *arguments)

    # --- replication ---------------------------------------------------------------------------------

    def linked(self, a: str, b: str) -> bool:
        """Whether machines of these sites reach each other, both ways."""
        return self.network.passes(a, b) and self.network.passes(b, a)

    def replicate(self) -> None:
        """The standbys get what was written until a moment ago, and the controllers look at both."""
        if self.setting.eager:
            return
        for name in self.services:
            replicate(self, name)
            for controller in self.controllers.values():
                if controller.alive:
                    controller.eyes.look(name)
        if self.outside is not None:
            self.outside.look()
        self.after(self.tick_ns if self.outside is None else self.turn_ns, self.replicate)

    def step_takes(self) -> int:
        """How long a step is on its way to a host: at times until long after its sender has given it up."""
        fate = self.random.random()
        if fate < 0.6:
            return 0
        late = fate > 1 - self.setting.late_steps
        return self.random.randrange(2 * self.timing.lease_duration_ns if late else 400 * MS)
