"""Two whole sites in one event loop: real keepers, controllers, sockets, journals and runbooks, over a store
in memory and databases that are doubles. What a test does is done to the world; what it sees is what people
and programs see.

Time is real and the lease short. Nothing here waits for a time to pass: only for something to be so.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.api.client import Client
from orchestrator.api.shapes import MoveOrder, MovePlan, MoveRequest, RunDetail
from orchestrator.clock import boottime_ns
from orchestrator.controller import Controller
from orchestrator.core.modes import mode_of
from orchestrator.core.records import (
    RUNS,
    SERVICES,
    RunRecord,
    ServiceRecord,
    decode,
)
from orchestrator.eyes import Eyes
from orchestrator.hands import ReadyHands
from orchestrator.journal import SqliteJournal
from orchestrator.keeper import Keeper
from orchestrator.keeper_store import decoded, encoded
from orchestrator.metrics import render
from orchestrator.observing import publish
from orchestrator.paths import controller_socket, journal_path, keeper_socket
from orchestrator.peer_store import PeerWord
from orchestrator.readings_of import readings
from orchestrator.site_controller import Means, SiteController
from orchestrator.store.memory import MemoryCluster
from orchestrator.vantage import NOT_FROM_OUTSIDE, Vantage, context_at
from sites.errors import HostUnreachable
from sites.model import Estate, Host
from sites.output import Said
from sites.replication.words import ReplicationDriver, Role
from sites.transport import Completed
from tests.support.fake_doors import TICK_SECONDS, FakeDoors, FakeGuard, FakeLink
from tests.support.fake_driver import FakeDriver, FakePair
from tests.support.fake_power import FakePower, hosts_with_devices

DURHAM, MORPETH, DERWENTSIDE = "durham", "morpeth", "derwentside"
PATIENCE_SECONDS = 30.0
# The doors are doubles, so nobody dials there and no file is read.
GUARDED = {"guards": "127.0.0.1:1", "tls": {"ca": "ca", "cert": "cert", "key": "key"}}
SHIPPED = {role: f"postgres/{role}" for role in ("promote", "demote", "rejoin")}


def estate(
    *,
    services: dict[str, dict[str, Any]] | None = None,
    lab: bool = True,
    lease: str = "1s",
    guards: bool = False,
    devices: tuple[str, ...] = (),
    bare: tuple[str, ...] = (),
    drills: Sequence[Mapping[str, Any]] = (),
    blackouts: Mapping[str, Any] | None = None,
    **everywhere: Any,
) -> Estate:
    """Two sites and a witness. `services`: what differs from an automatic service that is at home in Durham
    and may move at once; `everywhere`: what differs for every service. `guards`: a guard at every host, and a
    way between the keepers. `devices`: hosts at each site that the other one can switch off, but for those
    that are `bare`; a service is on all of them unless its replication names some."""
    if guards:
        everywhere.setdefault("guard", {})
    hosts = {
        site: hosts_with_devices(site, other, *devices, bare=bare)
        for site, other in ((DURHAM, MORPETH), (MORPETH, DURHAM))
    }
    return Estate.model_validate(
        {
            "lab": lab,
            "ownership": {
                "lease_duration": lease,
                "renew_every": "100ms",
                "fence_within": "200ms",
                "guard_every": "100ms",
                "stall": "200ms",
            },
            "store": {
                "endpoints": ["http://127.0.0.1:1"],
                "election_timeout": "100ms",
                "round_trip": "10ms",
            },
            "sites": {
                DURHAM: {
                    "name": DURHAM,
                    "title": "Durham",
                    "hosts": hosts[DURHAM],
                    **(GUARDED if guards else {}),
                },
                MORPETH: {
                    "name": MORPETH,
                    "title": "Morpeth",
                    "hosts": hosts[MORPETH],
                    **(GUARDED if guards else {}),
                },
                DERWENTSIDE: {"name": DERWENTSIDE, "title": "Derwentside", "witness": True},
            },
            "services": {
                name: {
                    "name": name,
                    "home": DURHAM,
                    "standby": MORPETH,
                    "failover": "automatic",
                    "hold_down": "0s",
                    "min_time_between_failovers": "0s",
                    "replication": {"driver": "postgres"},
                    "runbooks": SHIPPED,
                    **everywhere,
                    **differs,
                }
                for name, differs in (services or {"crm": {}}).items()
            },
            "drills": list(drills),
            "blackouts": dict(blackouts or {}),
        }
    )


class NoHosts:
    """The shipped runbooks run nothing on hosts."""

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """Nothing is there."""
        raise HostUnreachable(f"{host.name}: no hosts here")

    async def aclose(self) -> None:
        """Nothing is kept."""


class HangingJournal(SqliteJournal):
    """A journal whose disk can hang: decisions are then not recorded, and nobody is told so."""

    hangs = False

    async def append_event(self, kind: str, service: str, data: Any) -> Any:
        """As the journal's, or not at all."""
        while self.hangs:
            await asyncio.sleep(0.01)
        return await super().append_event(kind, service, data)


@dataclass(slots=True)
class RunningKeeper:
    """A keeper in a task of its own, as a process would be."""

    keeper: Keeper
    task: "asyncio.Task[int]"

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if not self.task.done():
            return None
        return -9 if self.task.cancelled() else self.task.result()


class Site:
    """One site's two processes, each with its own drivers and its own clients of the store."""

    def __init__(self, world: "TwoSites", name: str) -> None:
        self.name = name
        self.directory = world.folder / name
        self.directory.mkdir()
        self.keepers: list[RunningKeeper] = []
        self.may_start_keepers = True
        self.hands = ReadyHands({})
        self.guards = {
            service: FakeGuard(service, name, world.estate, pair)
            for service, pair in world.pairs.items()
            if world.estate.services[service].guard is not None
        }
        self._world = world
        self._process: SiteController | None = None
        self._journal: HangingJournal | None = None
        self._task: asyncio.Task[int] | None = None
        self._ended = asyncio.Event()

    # --- its processes --------------------------------------------------------------------------------

    def _drivers(self) -> dict[str, ReplicationDriver]:
        return {name: FakeDriver(pair, self.name) for name, pair in self._world.pairs.items()}

    def start_keeper(self) -> RunningKeeper:
        """As the controller does when none answers."""
        if not self.may_start_keepers and self.keepers:
            return self.keepers[-1]
        self.hands = ReadyHands(self._drivers())
        keeper = Keeper(
            self._world.estate,
            self.name,
            self._world.cluster.client(f"{self.name} keeper"),
            self.hands,
            self.directory,
            keeper_socket(self.directory),
            doors=FakeDoors(self.guards, self._world.link, self.name) if self.guards else None,
            guarded=frozenset(self.guards),
        )
        running = RunningKeeper(keeper, asyncio.create_task(keeper.run()))
        self.keepers.append(running)
        return running

    async def start(self) -> None:
        """Start the controller, which starts or finds its keeper."""
        self._journal = await HangingJournal.open(journal_path(self.directory))
        self._ended = asyncio.Event()
        means = Means(
            estate=self._world.estate,
            site=self.name,
            base=self.directory,
            directory=self.directory,
            store=self._world.cluster.client(f"{self.name} controller"),
            transport=NoHosts(),
            drivers=self._drivers(),
            journal=self._journal,
            sql={},
            start_keeper=self.start_keeper,
            peer_store=self._ask_peer,
            cut_hosts=self._world.power.cut,
            look_at_device=self._world.power.look,
        )
        self._process = SiteController(means)
        self._task = asyncio.create_task(self._process.run(self._ended))

    async def _ask_peer(self) -> PeerWord:
        """What the other site's keeper says of its store, over the way between the two."""
        peer = next(site for site in self._world.sites.values() if site is not self)
        if not self._world.link.up or not peer.keepers or peer.keepers[-1].poll() is not None:
            return PeerWord(None, f"{peer.name} did not answer")
        return PeerWord(decoded(encoded(peer.keeper.store_word())))

    async def stop_controller(self) -> int:
        """SIGTERM; its exit code."""
        assert self._task is not None
        self._ended.set()
        code = await self._task
        await self._close()
        return code

    async def kill_controller(self) -> None:
        """It is gone without a word. (In one process its tasks must be ended, which journals what they
        leave; nobody outside is told.)"""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._close()

    async def _close(self) -> None:
        self._task = None
        if self._journal is not None:
            await self._journal.aclose()
            self._journal = None

    async def kill_keeper(self) -> None:
        """It is gone without a word; what is open stays open."""
        for running in self.keepers:
            running.task.cancel()
        await asyncio.gather(*(running.task for running in self.keepers), return_exceptions=True)

    async def kill(self) -> None:
        """Both processes are gone."""
        await self.kill_controller()
        await self.kill_keeper()

    @property
    def keeper(self) -> Keeper:
        """The keeper that was started last."""
        return self.keepers[-1].keeper

    def hang_journal(self, *, hangs: bool = True) -> None:
        """The disk under the journal."""
        assert self._journal is not None
        self._journal.hangs = hangs

    # --- what it says ---------------------------------------------------------------------------------

    @property
    def controller(self) -> Controller:
        """The running controller."""
        assert self._process is not None
        return self._process.controller

    def decision(self, service: str = "crm") -> str:
        """The code of what is decided now."""
        judged = self.controller.minds[service].judgement
        return judged.decision.code if judged is not None else ""

    def decisions(self, service: str = "crm") -> list[str]:
        """Every code decided so far, oldest first."""
        return [judged.decision.code for judged in self.controller.minds[service].history]

    def api(self) -> Client:
        """A client over the controller's socket."""
        return Client(controller_socket(self.directory))

    def metrics(self) -> str:
        """What `/metrics` would show now."""
        shown = readings(self.controller, self.controller.view(), ())
        return render(shown, now_ns=boottime_ns()).decode()

    async def move(self, verb: str, service: str = "crm", **fields: Any) -> MovePlan:
        """Ask for the plan and order it; the plan. Raises Refused."""
        order = {name: fields.pop(name) for name in ("accept_loss_seconds",) if name in fields}
        async with self.api() as client:
            plan = await client.plan(MoveRequest(verb=verb, service=service, **fields))
            reason = fields.get("reason", "a test")
            await client.move(
                MoveOrder(run=plan.run, confirmed_site=plan.confirm_site, reason=reason, **order)
            )
        return plan


class TwoSites:
    """The world of one test."""

    def __init__(self, of: Estate, folder: Path) -> None:
        self.estate = of
        self.folder = folder
        self.cluster = MemoryCluster()
        self.pairs = {
            name: FakePair(name, service.home, service.standby)
            for name, service in of.services.items()
            if not service.watch_only
        }
        self.power = FakePower(self.pairs)
        self.link = FakeLink()
        self.sites = {name: Site(self, name) for name in of.data_sites}
        self._background: list[asyncio.Task[None]] = []

    @property
    def durham(self) -> Site:
        """Home of every service."""
        return self.sites[DURHAM]

    @property
    def morpeth(self) -> Site:
        """The other one."""
        return self.sites[MORPETH]

    @property
    def pair(self) -> FakePair:
        """The databases of the service that there is always."""
        return self.pairs["crm"]

    async def start(self) -> None:
        """Both sites, until every service is claimed, open and protected."""
        self._background.append(asyncio.create_task(self._tick_guards()))
        for site in self.sites.values():
            await site.start()
        await self.until(self.settled)

    async def _tick_guards(self) -> None:
        while True:
            for site in self.sites.values():
                for guard in site.guards.values():
                    guard.tick()
            await asyncio.sleep(TICK_SECONDS)

    def settled(self) -> bool:
        """Every service has an owner whose instance accepts writes, and both controllers agree."""
        return all(self.steady(name) for name in self.pairs)

    def steady(self, service: str = "crm", at: str | None = None) -> bool:
        """The service is owned, open (at that site) and seen to be healthy by both."""
        record = self.record(service)
        if record is None or record.primary is None or record.movement != "steady":
            return False
        healthy = all(site.decision(service) == "healthy" for site in self.sites.values())
        if record.mode is not mode_of(self.estate.services[service]):
            return False
        return record.primary == (at or record.primary) and self.open_at(record.primary, service) and healthy

    def open_at(self, site: str, service: str = "crm") -> bool:
        """That site alone accepts writes."""
        return self.pairs[service].writable == [site]

    def witness(self) -> None:
        """The third vantage point begins to observe, with the probes that it runs."""
        drivers: dict[str, ReplicationDriver] = {
            name: FakeDriver(pair, DERWENTSIDE) for name, pair in self.pairs.items()
        }
        context = context_at(self.estate, DERWENTSIDE, self.folder, transport=NoHosts(), drivers=drivers)
        vantage = Vantage(self.estate, DERWENTSIDE, context, store_status=None, leaving_out=NOT_FROM_OUTSIDE)
        eyes = Eyes(
            self.estate,
            drivers,
            watch_losses_at=None,
            on_change=lambda: None,
            scouts=vantage.scouts,
            probes=vantage.seen,
        )
        client = self.cluster.client(DERWENTSIDE)
        self._background += [
            asyncio.create_task(eyes.run()),
            asyncio.create_task(vantage.run()),
            asyncio.create_task(publish(client, DERWENTSIDE, eyes.observation, eyes.changed)),
        ]

    def writer(self, service: str = "crm") -> None:
        """A client that writes a row every few milliseconds, wherever it is let."""

        async def write() -> None:
            while True:
                self.pairs[service].write()
                await asyncio.sleep(0.005)

        self._background.append(asyncio.create_task(write()))

    # --- what is in the store -------------------------------------------------------------------------

    def record(self, service: str = "crm") -> ServiceRecord | None:
        """`services/<service>` as it stands."""
        found = self.cluster.table.read(SERVICES + service, exact=True).get(SERVICES + service)
        return decode(ServiceRecord, found.value) if found is not None else None

    def owned(self, service: str = "crm") -> ServiceRecord:
        """The same of a service that was claimed."""
        record = self.record(service)
        assert record is not None
        return record

    def runs(self, *kinds: str) -> list[RunRecord]:
        """Everything under `runs/` (of these kinds), oldest first."""
        found = [decode(RunRecord, item.value) for item in self.cluster.table.read(RUNS).items]
        fitting = [run for run in found if not kinds or run.kind in kinds]
        return sorted(fitting, key=lambda run: run.started_unix_seconds)

    async def detail(self, run: str, at: Site) -> RunDetail:
        """A run that has ended, as that site tells it."""
        async with at.api() as client:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (told := await client.run(run)).state == "running":
                    await asyncio.sleep(0.02)
        return told

    # --- what happens to it ---------------------------------------------------------------------------

    async def lose(self, site: str) -> None:
        """A whole site: its processes, its databases, its network."""
        for pair in self.pairs.values():
            pair.kill(site)
            pair.cut_off(site)
        await self.sites[site].kill()

    async def bring_back(self, site: str) -> None:
        """Machines boot: databases come up closed; what keepers knew of the last boot is void."""
        (self.sites[site].directory / "keeper-note.json").unlink(missing_ok=True)
        for pair in self.pairs.values():
            pair.reach_again()
            pair.instances[site].role, pair.instances[site].running = Role.STANDBY, True
            pair.changed()
        for guard in self.sites[site].guards.values():
            guard.boot()
        await self.sites[site].start()

    def cut_store(self, *sites: str) -> None:
        """These sites' processes do not reach the store any more."""
        for site in sites:
            self.cluster.cut(f"{site} keeper")
            self.cluster.cut(f"{site} controller")

    def heal_store(self, *sites: str) -> None:
        """They do again."""
        for site in sites:
            self.cluster.heal(f"{site} keeper")
            self.cluster.heal(f"{site} controller")

    # --- waiting --------------------------------------------------------------------------------------

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds; with much patience, and saying what was there instead."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not holds():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"it never came to this; instead:\n{self.described()}") from None

    def described(self) -> str:
        """What the world looks like, for a test that failed."""
        lines = []
        for name, pair in self.pairs.items():
            lines.append(f"{name}: {self.record(name)}")
            lines += [f"  {instance}" for instance in pair.instances.values()]
            lines += [f"  {site.name}: {site.decisions(name)[-12:]}" for site in self._deciding()]
        lines += [f"{run.run}: {run.state}: {run.outcome}" for run in self.runs()]
        return "\n".join(lines)

    def _deciding(self) -> list[Site]:
        return [site for site in self.sites.values() if site.keepers]

    async def aclose(self) -> None:
        """End everything."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for site in self.sites.values():
            await site.kill()
        await self.cluster.aclose()


@contextlib.asynccontextmanager
async def two_sites(
    of: Estate | None = None, *, prepare: Callable[[TwoSites], None] | None = None, start: bool = True
) -> AsyncIterator[TwoSites]:
    """A world that is up, or only `prepare`d; no service of it was ever writable at two sites."""
    folder = Path(tempfile.mkdtemp(prefix="twinsite-"))  # sockets need a short path
    world = TwoSites(of or estate(), folder)
    try:
        if prepare is not None:
            prepare(world)
        if start:
            await world.start()
        yield world
    finally:
        await world.aclose()
        shutil.rmtree(folder)
    assert not [name for name, pair in world.pairs.items() if pair.doubly_writable], world.described()
