"""A running lab: its network, its sites hurt and healed, what its clients recorded, its end.

Owns the process trees. However it ends, `close` leaves no process of the lab behind, and says so if it
cannot. It asks the product nothing; that is `orchestrator.lab.view`'s.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from orchestrator.clock import boottime_ns
from orchestrator.lab import namespaces, processes, store_watch, wan
from orchestrator.lab.client import BROKEN, TABLE, read_ends, read_records
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.estate import LEASE_DURATION_SECONDS, Layout
from orchestrator.lab.faults import Faults, wait_for_network
from orchestrator.lab.measure import Acknowledged, Broken
from orchestrator.lab.places import DATA_SITES, HOME, PLACES, PREFIX_BITS, SITES, LabState, Network
from orchestrator.lab.processes import Blow, Tree
from orchestrator.lab.site_supervisor import LEFT_DEAD, Description
from orchestrator.paths import controller_socket

IPC_RMID = 0
CLIENTS = "clients"  # the tree of the clients outside, which are at no site
WAN = "wan"  # the network's process, the last to go
STATE_BYTES = 64 << 20  # of the file system that a site keeps its state on, so that it can be full
ROWS_WITHIN_SECONDS = 20.0
ORDER_WITHIN_SECONDS = 120.0

Connect = Mapping[str, Any]  # what asyncpg.connect takes


@dataclass(slots=True)
class RunningLab:
    """The lab in one directory. `databases`: by service and site, how to connect to the instance itself, past
    any gate."""

    layout: Layout
    network: Network
    databases: dict[str, Mapping[str, Connect]]
    kept: bool
    trees: dict[str, Tree] = field(default_factory=dict)
    ropes: dict[str, int] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    lease_duration_seconds: float = LEASE_DURATION_SECONDS

    @property
    def directory(self) -> Path:
        """Where everything of the lab is."""
        return self.layout.directory

    @property
    def dead(self) -> frozenset[str]:
        """Sites that were killed and not healed."""
        return frozenset(self.killed)

    @property
    def faults(self) -> Faults:
        """What can be done to it."""
        return Faults(state_of(self))

    @property
    def sockets(self) -> dict[str, Path]:
        """Each data site's local API."""
        return {site: controller_socket(self.layout.state(site)) for site in DATA_SITES}

    @property
    def lives(self) -> dict[str, Path]:
        """Each client's live line."""
        return {service: self.layout.live(service) for service in HOME}

    def start_tree(self, description: Description) -> None:
        """Start a site, or the clients, and let other commands know of it."""
        path = self.layout.description(description.site)
        claim = [self.network.claim.fileno()] if description.site == CLIENTS else []
        self._keep(description.site, *processes.start_tree(description, path, pass_fds=claim))

    def _keep(self, name: str, tree: Tree, rope: int | None) -> None:
        self.trees[name] = tree
        if rope is not None:
            self.ropes[name] = rope
        self.save()

    @contextlib.contextmanager
    def inside_network(self) -> Iterator[None]:
        """With the lab's network, and this thread in it; on loopback addresses there is nothing to do.

        Raises LabTrouble. The network ends with the lab, in `close`.
        """
        if not self.network.namespaces:
            yield
            return
        spec = wan.WanSpec(
            self.network.prefix,
            {place: self.network.address(place) for place in (*PLACES, namespaces.OBSERVER)},
            PREFIX_BITS,
            str(self.layout.control),
            ends_with_input=not self.kept,
        )
        path, log = self.directory / "wan.json", self.directory / "wan.log"
        path.write_text(spec.to_json(), encoding="utf-8")
        claim = [self.network.claim.fileno()]
        started = processes.start_process(
            wan.__name__, WAN, path, log, tied=spec.ends_with_input, pass_fds=claim
        )
        self._keep(WAN, *started)
        wait_for_network(self.layout.control, log)
        with namespaces.entered(self.network.prefix + namespaces.OBSERVER):
            yield

    def furnish(self, site: str) -> str:
        """What a site in a namespace has of its own: a small file system for its state, and the control
        group by which it can be paused. Returns the group, empty where there is none."""
        if not self.network.namespaces:
            return ""
        name = self.network.prefix + site
        namespaces.mount_small(name, self.layout.state(site), STATE_BYTES, 0o700)
        return str(namespaces.make_freezer(name) or "")

    def extend_tree(self, description: Description) -> None:
        """Start what a site has more than before."""
        processes.extend_tree(
            self.trees[description.site], description, self.layout.description(description.site)
        )

    def save(self) -> None:
        """Write down what `lab kill`, `lab heal` and `lab down` need."""
        state_of(self).save()

    def given_up(self) -> list[str]:
        """Programs that died so often that their supervisor does not start them any more."""
        lines = (line for site in SITES for line in self.log_lines(site, "supervisor"))
        return [line.split(maxsplit=1)[1] for line in lines if line.endswith(LEFT_DEAD)]

    def log_lines(self, site: str, program: str) -> list[str]:
        """What a program of a site has said so far."""
        try:
            text = self.layout.log(site, program).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return text.splitlines()

    def kill_site(self, site: str) -> Blow:
        """Every process of the site, at once."""
        blow = processes.kill_tree(self.trees[site])
        self.killed.add(site)
        return blow

    def kill_database(self, site: str, service: str) -> Blow:
        """Every process of one database instance, at once. Raises LabTrouble if it does not run."""
        return kill_instance(self.layout.data(site, service))

    def heal_site(self, site: str) -> None:
        """Start the site's processes again, as its machines do after a power cut."""
        if (rope := self.ropes.pop(site, None)) is not None:
            os.close(rope)
        # What a machine that boots holds to be of another boot, which this one has not had.
        (self.layout.state(site) / "keeper-note.json").unlink(missing_ok=True)
        for service in HOME:
            data = self.layout.data(site, service)
            (data.with_name(f"{data.name}.twinsite") / "permit").unlink(missing_ok=True)
        self.start_tree(read_description(self.layout, site))
        self.killed.discard(site)

    def records(self, service: str) -> list[Acknowledged]:
        """What the service's client has recorded so far."""
        return list(read_records(self.layout.records(service)))

    def inside(self, service: str) -> list[Acknowledged]:
        """What the clients inside the sites have recorded of the service so far."""
        found = [read_records(self.layout.records(service, inside=site)) for site in DATA_SITES]
        return [record for records in found for record in records]

    def ends(self, service: str) -> list[Broken]:
        """Each time that writing of the service came to an end at a site, for any of its clients."""
        paths = [self.layout.ends(service), *(self.layout.ends(service, site) for site in DATA_SITES)]
        return sorted((one for path in paths for one in read_ends(path)), key=lambda one: one.at_ns)

    async def order(self, site: str, *words: str) -> tuple[int, str]:
        """What an operator at a site types: `twinsite` with these words; its exit code, and what it said.
        Raises LabTrouble when it does not end."""
        program = str(Path(sys.executable).with_name("twinsite"))
        asked = (program, "--config", str(self.layout.estate), "--site", site, *words)
        process = await asyncio.create_subprocess_exec(
            *asked,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(ORDER_WITHIN_SECONDS):
                said, _ = await process.communicate()
        except (TimeoutError, asyncio.CancelledError) as fault:
            process.kill()
            await process.wait()
            if isinstance(fault, asyncio.CancelledError):
                raise
            raise LabTrouble(
                f"`twinsite {' '.join(words)}` did not end in {ORDER_WITHIN_SECONDS:g} s"
            ) from fault
        return process.returncode or 0, said.decode(errors="replace").strip()

    async def rows(self, service: str, site: str, up_to_n: int, from_n: int = 0) -> set[int]:
        """The numbers up to one that the database at `site` holds. Raises LabTrouble if it does not say."""
        try:
            async with asyncio.timeout(ROWS_WITHIN_SECONDS):
                connection = await asyncpg.connect(**self.databases[service][site])
                try:
                    asked = f"select n from {TABLE} where n between $1 and $2"
                    found = await connection.fetch(asked, from_n, up_to_n)
                finally:
                    connection.terminate()
        except BROKEN as fault:
            raise LabTrouble(
                f"the rows of {service} at {site} cannot be counted: {type(fault).__name__}: {fault}"
            ) from fault
        return {record["n"] for record in found}

    async def store_leader(self) -> str | None:
        """The site whose member of the store leads; None: nobody knows of one."""
        store = store_watch.open_store(self.layout, self.network)
        try:
            return await store_watch.leading_site(store, self.network)
        finally:
            await store.aclose()

    def store_watched(self, first: str) -> AbstractAsyncContextManager[store_watch.StoreWatch]:
        """The store is asked all the time within the block, the member of the site `first` before others."""
        return store_watch.watched(store_watch.open_store(self.layout, self.network, first))

    def close(self) -> list[str]:
        """End everything: databases in order, whatever is left by force. Returns what could not be ended."""
        return end_lab(state_of(self))


def state_of(lab: RunningLab) -> LabState:
    """What other commands need to know of the lab."""
    return LabState(
        str(lab.directory), lab.network.cidr, lab.kept, os.getpid(), dict(lab.trees), lab.network.prefix
    )


def read_description(layout: Layout, site: str) -> Description:
    """What the site's supervisor was told to run. Raises LabMisuse."""
    path = layout.description(site)
    try:
        return Description.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise LabMisuse(f"{path}: not a site of a lab ({fault}); sites are {', '.join(SITES)}") from fault


def end_lab(state: LabState) -> list[str]:
    """End every tree of a lab and everything else that belongs to its directory; what is left, a line each.

    Sites are told to stop, all at the same time, so that databases give back the shared memory they hold.
    """
    trees = list(state.trees.values())
    for group in namespaces.freezers(state.prefix) if state.prefix else ():
        namespaces.thaw(group)
    with ThreadPoolExecutor(max_workers=max(1, len(trees))) as pool:
        list(pool.map(processes.stop_tree, (tree for tree in trees if tree.name != WAN)))
    if WAN in state.trees:
        processes.stop_tree(state.trees[WAN])
    directory = Path(state.directory)
    processes.end_leftovers(directory)
    for left in directory.glob("*/*/*/postmaster.pid"):  # of databases that were killed
        release_shared_memory(left)
    remains = namespaces.sweep(state.prefix) if state.prefix else []
    state.forget()
    return remains + processes.leftovers(directory, state.network, trees)


def kill_instance(data: Path) -> Blow:
    """SIGKILL for a PostgreSQL server and all its processes. Raises LabTrouble if none runs there."""
    at_ns = boottime_ns()
    try:
        pid = int((data / "postmaster.pid").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError) as fault:
        raise LabTrouble(f"{data}: no database runs here ({fault})") from fault
    killed = processes.kill_with_children(pid, data)
    return Blow(at_ns, killed, (boottime_ns() - at_ns) / 1e9)


def release_shared_memory(pid_file: Path) -> bool:
    """Give back the small System V segment that a killed PostgreSQL has left; whether there was one.

    The file names it by key and id. An id is used again some day, so it counts only if the key has it.
    """
    try:
        key, number = (int(word) for word in pid_file.read_text(encoding="ascii").splitlines()[6].split())
    except (OSError, ValueError, IndexError):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.shmget(key, 0, 0) == number and libc.shmctl(number, IPC_RMID, None) == 0)


def remove_directory(directory: Path) -> None:
    """Take a lab's files away. What cannot be removed stays."""
    shutil.rmtree(directory, ignore_errors=True)
