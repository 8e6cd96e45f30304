"""A small world for stories: two sites and a client per service, played by a script instead of servers.

It does what a sound product does, and with `faults` what an unsound one would do.
"""

import asyncio
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from orchestrator.api.shapes import InstanceStatus, LagStatus, RunDetail, ServiceStatus, Status
from orchestrator.clock import boottime_ns
from orchestrator.lab.client import Live, SiteNow
from orchestrator.lab.measure import Acknowledged, Broken
from orchestrator.lab.places import DATA_SITES, HOME
from orchestrator.lab.processes import Blow
from orchestrator.lab.store_watch import StoreWatch
from orchestrator.lab.view import LabNow

MS = 1_000_000


class World:
    """Sites, View and Screen of a stage in one. `faults`: two-writable, loses-rows, no-takeover, ping-pong,
    no-rejoin, fences-late, silent-link, moves-on-link-down, fails-writes, serves-inside, dies-for-good,
    not-resumed, stopped-run, answers-late, nothing-on-its-way, silent-store, unprotected."""

    def __init__(self, *faults: str) -> None:
        self.wrong: AbstractSet[str] = frozenset(faults)
        self.directory = Path("/lab")
        self.lease_duration_seconds = 3.0
        self.dead: frozenset[str] = frozenset()
        self.link_down = False
        self.cuts: set[tuple[str, str]] = set()
        self.said: list[str] = []
        self.primary = dict(HOME)
        self.epoch = dict.fromkeys(HOME, 1)
        self.following = dict.fromkeys(HOME, True)
        self.kept: dict[str, list[Acknowledged]] = {service: [] for service in HOME}
        self.within: dict[str, list[Acknowledged]] = {service: [] for service in HOME}
        self.broken: dict[str, list[Broken]] = {service: [] for service in HOME}
        self.lost: set[int] = set()
        self.loss_said: float | None = 0.0
        self.moving = ""  # the run that is on
        self.held_inits: set[str] = set()
        self.host_waits = False  # for orders at the host of the site that takes over
        self.logs: list[str] = []
        self.frozen_ns = 0
        self.number = 0
        self.write()

    # What happens

    def write(self, service: str | None = None, site: str | None = None, *, ago_ms: int = 0) -> None:
        """A row of one service, or of all, taken where it is primary (or at `site`)."""
        for name in [service] if service else list(HOME):
            if site is None and self.primary[name] in self.dead:
                continue
            self.number += 1
            now_ns = boottime_ns() - ago_ms * MS
            where = site or self.primary[name]
            self.kept[name].append(Acknowledged(self.number, where, now_ns - MS, now_ns))

    def move(self, service: str, to_site: str) -> None:
        former, self.primary[service] = self.primary[service], to_site
        self.epoch[service] += 1
        self.following[service] = False
        if "loses-rows" in self.wrong:
            self.lost.add(self.kept[service][-1].n)
        self.write(service)
        if "two-writable" in self.wrong:
            self.write(service, former)

    # Sites

    def given_up(self) -> list[str]:
        return ["etcd has been started 21 times, and is left dead"] if "dies-for-good" in self.wrong else []

    def log_lines(self, site: str, program: str) -> list[str]:
        return self.logs

    def began(self, run: str) -> None:
        self.logs.append(f'{{"run": "{run}", "kind": "failover", "event": "run-started"}}')

    async def store_leader(self) -> str | None:
        return "derwentside"

    @asynccontextmanager
    async def store_watched(self, first: str) -> AsyncIterator[StoreWatch]:
        watch = StoreWatch()

        async def answer() -> None:
            while True:
                watch.answered_ns.append(boottime_ns())
                await asyncio.sleep(0.001)

        asked = asyncio.create_task(asyncio.sleep(60) if "silent-store" in self.wrong else answer())
        yield watch
        asked.cancel()

    def kill_site(self, site: str) -> Blow:
        self.dead = frozenset({site})
        if self.host_waits:
            self.moving = "r1"
            self.began("r1")
        for service in HOME:
            self.following[service] = False
            if self.primary[service] == site and "no-takeover" not in self.wrong:
                self.move(service, next(other for other in DATA_SITES if other != site))
        return Blow(boottime_ns(), 30, 0.01)

    def kill_database(self, site: str, service: str) -> Blow:
        self.move(service, next(other for other in DATA_SITES if other != site))
        self.rejoin()
        return Blow(boottime_ns(), 7, 0.001)

    def heal_site(self, site: str) -> None:
        self.dead = frozenset()
        self.rejoin()

    def rejoin(self) -> None:
        if "no-rejoin" not in self.wrong:
            self.following = dict.fromkeys(HOME, True)
        if "ping-pong" in self.wrong:
            self.epoch["crm"] += 1

    def records(self, service: str) -> list[Acknowledged]:
        return list(self.kept[service])

    def inside(self, service: str) -> list[Acknowledged]:
        return list(self.within[service])

    def ends(self, service: str) -> list[Broken]:
        return list(self.broken[service])

    async def rows(self, service: str, site: str, up_to_n: int, from_n: int = 0) -> set[int]:
        records = [*self.kept[service], *self.within[service]]
        return {record.n for record in records if from_n <= record.n <= up_to_n} - self.lost

    @property
    def faults(self) -> "WorldFaults":
        return WorldFaults(self)

    # View

    @property
    def now(self) -> LabNow:
        clients = {}
        for service, records in self.kept.items():
            last = records[-1]
            site = SiteNow("writing", len(records), last.n, boottime_ns())
            clients[service] = Live(boottime_ns(), {self.primary[service]: site})
        return LabNow(boottime_ns(), {site: self.status(site) for site in DATA_SITES}, clients)

    async def next_look(self) -> None:
        await asyncio.sleep(0.01)
        self.write()

    async def switchover(self, service: str, to_site: str) -> RunDetail:
        self.move(service, to_site)
        self.rejoin()
        return self.run("switchover", service)

    async def last_run(self, service: str, asked_at: str, kinds: tuple[str, ...]) -> RunDetail | None:
        return self.run("failover", service)

    async def run_of(self, run: str, asked_at: str) -> RunDetail | None:
        return self.run("failover", "ebs", "stopped" if "stopped-run" in self.wrong else "done")

    def run(self, kind: str, service: str, state: Literal["done", "stopped"] = "done") -> RunDetail:
        return RunDetail(
            run="r1",
            kind=kind,
            service=service,
            from_site=None,
            to_site=self.primary[service],
            state=state,
            outcome=state,
            statement="",
            loss_bound_seconds=self.loss_said,
            who="",
            why="",
            executor="",
            started="",
            ended="",
            duration_seconds=1.0,
            steps=[],
        )

    def status(self, site: str) -> Status | None:
        if site in self.dead:
            return None
        return Status(
            site=site,
            version="",
            at="",
            store="",
            store_age_seconds=0.0,
            keeper="",
            overall="ok",
            warnings=[
                *(["link down: the sites are not"] if self.link_down else []),
                *(["guards do not protect against host-pause"] if "unprotected" in self.wrong else []),
            ],
            sites=[],
            services=[self.service(service) for service in HOME],
        )

    def service(self, service: str) -> ServiceStatus:
        primary = self.primary[service]
        standby = next(site for site in DATA_SITES if site != primary)
        following = self.following[service]
        return ServiceStatus(
            service=service,
            title="",
            primary=primary,
            epoch=self.epoch[service],
            mode="automatic",
            movement="moving" if self.moving and service == "ebs" else "steady",
            run=self.moving if service == "ebs" else "",
            home=HOME[service],
            standby=standby,
            rank=1,
            watch_only=False,
            diagnosis="healthy" if following else "unprotected",
            decision="hold",
            why="",
            next_step="",
            instances=[
                InstanceStatus(site=primary, role="primary", writable=True, sample_age_seconds=0, reason=""),
                InstanceStatus(site=standby, role="standby", writable=False, sample_age_seconds=0, reason=""),
            ],
            lag=LagStatus(
                service=service,
                from_site=primary,
                to_site=standby,
                seconds=0.0,
                bytes=0,
                sample_age_seconds=0.1,
                streaming=following,
                detail="",
            ),
            loss_if_moved_now="",
            paused="",
            unprotected_seconds=None,
        )

    # Screen

    def say(self, text: str) -> None:
        self.said.append(text)


class WorldFaults:
    """What is done to the world's processes and links, and what sound guards and leases make of it."""

    has_links = True

    def __init__(self, world: World) -> None:
        self.world = world

    def _cut_off(self, site: str) -> None:
        """A guard ends a site's service, then the other site takes it."""
        world = self.world
        last = world.kept["ebs"][-1]
        proof_ns = last.acknowledged_ns + (10**10 if "fences-late" in world.wrong else 1)
        world.broken["ebs"].append(Broken(site, proof_ns, proof_ns, last.n, "gone"))
        world.move("ebs", next(other for other in DATA_SITES if other != site))
        if "serves-inside" in world.wrong:
            now_ns = boottime_ns() + MS
            world.within["ebs"].append(Acknowledged(10**12, site, now_ns, now_ns + MS))

    def _disturb(self) -> None:
        """Something after which nothing may happen."""
        world = self.world
        if "fails-writes" in world.wrong:
            now_ns = boottime_ns()
            world.broken["ebs"].append(Broken(world.primary["ebs"], now_ns, now_ns, 1, "reset"))
        if "moves-on-link-down" in world.wrong and world.primary["ebs"] != "durham":
            world.move("ebs", "durham")

    def hold_init(self, site: str) -> None:
        self.world.held_inits.add(site)

    def release_init(self, site: str) -> None:
        self.world.held_inits.discard(site)
        self.world.rejoin()

    def freeze(self, site: str) -> int:
        self.world.frozen_ns = boottime_ns()
        self._cut_off(site)
        return 30

    def thaw(self, site: str) -> bool:
        world = self.world
        world.rejoin()
        if "nothing-on-its-way" not in world.wrong:
            world.broken["ebs"].append(Broken(site, world.frozen_ns, boottime_ns(), 1, "reset"))
        if "answers-late" in world.wrong:
            now_ns = boottime_ns()
            world.within["ebs"].append(Acknowledged(10**12, site, now_ns - 10**9, now_ns + MS))
        return True

    def stop(self, site: str, process: str) -> int:
        if process == "sshd":
            self.world.host_waits = True
        elif process == "keeper":
            self._cut_off(site)
        else:
            self._disturb()
        return 1

    def go(self, site: str, process: str | None = None) -> int:
        if process == "sshd":
            if "not-resumed" not in self.world.wrong:
                self.world.began(self.world.moving)
            self.world.moving = ""
        else:
            self.world.rejoin()
        return 2

    def kill(self, site: str, process: str, *, with_parent: bool = False) -> int:
        if process == "keeper" and site in self.world.held_inits:
            self._cut_off(site)
        else:
            self._disturb()
        return 1

    def cut(self, one: str, other: str, *, one_way: bool = False, ports: object = ()) -> None:
        world = self.world
        world.cuts.add((one, other))
        world.link_down = "silent-link" not in world.wrong
        whole = {site for site in DATA_SITES if len({pair for pair in world.cuts if site in pair}) == 2}
        if whole and not ports and world.primary["ebs"] in whole:
            self._cut_off(world.primary["ebs"])
        else:
            self._disturb()

    def mend(self, one: str, other: str) -> None:
        self.mend_all()

    def mend_all(self) -> None:
        self.world.cuts.clear()
        self.world.link_down = False
        self.world.rejoin()

    def clock(self, site: str, offset_seconds: float) -> None:
        self._disturb()

    def fill(self, site: str) -> int:
        self._disturb()
        return 1

    def empty(self, site: str) -> bool:
        return True
