"""A real pair of PostgreSQL servers for one test, its driver, and what a test does to them from outside."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from orchestrator.lab.postgres import (
    LabInstance,
    LabRoles,
    PostgresBinaries,
    RunAs,
    configure_pair,
    create_pair,
    start_command,
)
from sites.model import Estate, Service
from sites.replication.catalogue import make_driver
from sites.replication.postgres.driver import PostgresDriver
from sites.replication.words import Role
from tests.support.local_transport import LocalTransport

T = TypeVar("T")
TROUBLES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
MEMORY = Path("/dev/shm")
ROOM_BYTES = 1 << 30
DURHAM, MORPETH = "durham", "morpeth"
ROLES = LabRoles("twinsite", "swordfish: a \\ and a '", "replicator", "marmalade: one's \\")


_pairs = itertools.count(1)


def new_address() -> str:
    """A loopback address of its own for each pair, so that no client's port is in the way of a restart."""
    return f"127.84.{os.getpid() % 250 + 1}.{next(_pairs) % 250 + 1}"


def free_port(address: str = "127.0.0.1") -> int:
    """A port of that address that nobody has just now."""
    with socket.socket() as trial:
        trial.bind((address, 0))
        return int(trial.getsockname()[1])


@dataclass(slots=True)
class Pair:
    """Durham and Morpeth. `driver` is theirs; `instances` says where they are."""

    base: Path
    binaries: PostgresBinaries
    whom: RunAs
    instances: Mapping[str, LabInstance]
    transport: LocalTransport
    drivers: list[PostgresDriver] = field(default_factory=list)
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)

    @property
    def driver(self) -> PostgresDriver:
        """The one driver most tests need."""
        return self.drivers[0]

    def data(self, site: str) -> Path:
        """A data directory."""
        return self.instances[site].data

    def beside(self, site: str, what: str) -> list[Path]:
        """Directories that were made beside a data directory."""
        return sorted(self.data(site).parent.glob(f"{self.data(site).name}.{what}-*"))

    def new_driver(self, transport: LocalTransport | None = None, **settings: Any) -> PostgresDriver:
        """Another driver, with other settings or over another transport; ended with the pair."""
        return self.driver_for({site: {} for site in self.instances}, transport, **settings)

    def driver_for(
        self,
        instances: Mapping[str, Mapping[str, Any]],
        transport: LocalTransport | None = None,
        **settings: Any,
    ) -> PostgresDriver:
        """The same with other settings of the instances."""
        estate = estate_of(self, instances, settings)
        driver = make_driver(estate.services["crm"], estate, transport or self.transport)
        assert isinstance(driver, PostgresDriver)
        self.drivers.append(driver)
        return driver

    async def start(self) -> None:
        """Durham as the primary, Morpeth streaming from it."""
        await self.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
        await self.driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=20)
        await self.streaming(MORPETH)

    async def streaming(self, site: str) -> None:
        """Wait until the standby's receiver is connected."""
        async with asyncio.timeout(20):
            while not (await self.driver.sample(site)).streaming:
                await asyncio.sleep(0.02)

    async def connect(self, site: str, **options: Any) -> Any:
        """A client's connection."""
        return await asyncpg.connect(
            host=self.instances[site].address,
            port=self.instances[site].port,
            user=ROLES.user,
            password=ROLES.password,
            database="postgres",
            ssl=False,
            timeout=10,
            **options,
        )

    async def run(self, site: str, *statements: str) -> list[Any]:
        """Statements one after another; the rows of the last."""
        connection = await self.connect(site)
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = list(await connection.fetch(statement))
            return rows
        finally:
            connection.terminate()

    async def value(self, site: str, query: str) -> Any:
        """The first column of the first row."""
        return (await self.run(site, query))[0][0]

    def processes(self, site: str) -> list[int]:
        """Every process whose working directory is this data directory."""
        wanted = str(self.data(site).resolve())
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if os.readlink(entry / "cwd") == wanted:
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def postmaster(self, site: str) -> int:
        """The parent process."""
        return int((self.data(site) / "postmaster.pid").read_text().split()[0])

    def named(self, site: str, title: str) -> int:
        """The process of that instance whose title holds a text."""
        for pid in self.processes(site):
            if title in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
                return pid
        raise AssertionError(f"no {title} at {site}")

    def freeze(self, site: str) -> None:
        """A host that hangs: every process stops in its tracks."""
        self._signal(site, signal.SIGSTOP)

    def thaw(self, site: str) -> None:
        """It goes on."""
        self._signal(site, signal.SIGCONT)

    def _signal(self, site: str, number: int) -> None:
        for pid in self.processes(site):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_all(self, site: str) -> None:
        """A power cut."""
        while pids := self.processes(site):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    async def boot(self, site: str) -> None:
        """Start the server as a machine would when it is switched on: knowing nothing."""
        instance = self.instances[site]
        # A zombie may hold the dead server's number, which no boot leaves behind.
        (instance.data / "postmaster.pid").unlink(missing_ok=True)
        (self.base / "s" / f".s.PGSQL.{instance.port}.lock").unlink(missing_ok=True)
        command = start_command(self.binaries, self.whom, self.data(site), self.log(site))
        await asyncio.to_thread(subprocess.run, command, check=True, cwd="/", timeout=30)

    def log(self, site: str) -> Path:
        """Where the server writes."""
        return Path(f"{self.data(site)}.twinsite") / "postgres.log"

    def keep(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Let something go on beside the test; ended with the pair."""
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_value(self, site: str, query: str, wanted: Any) -> None:
        """Wait until a query gives that."""
        async with asyncio.timeout(20):
            while await self.value(site, query) != wanted:
                await asyncio.sleep(0.02)

    async def until_row(self, site: str, number: int) -> None:
        """Wait until a row has arrived."""
        await self.until_value(site, f"select count(*) from rows where n = {number}", 1)

    async def until_role(self, site: str, role: Role) -> None:
        """Wait until the instance says that it is that."""
        async with asyncio.timeout(20):
            while (await self.driver.sample(site)).role is not role:
                await asyncio.sleep(0.02)

    def add_settings(self, site: str, *lines: str) -> None:
        """More lines for postgresql.auto.conf of a stopped server."""
        with (self.data(site) / "postgresql.auto.conf").open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))


def estate_of(pair: Pair, instances: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> Estate:
    """The estate of the pair, as `sites.yaml` would say it."""
    replication = {
        "driver": "postgres",
        "user": ROLES.user,
        "password": ROLES.password,
        "replication_user": ROLES.replication_user,
        "replication_password": ROLES.replication_password,
        "tls": "off",
        "instances": {
            site: {
                "host": "db",
                "address": pair.instances[site].address,
                "port": pair.instances[site].port,
                "data": str(pair.instances[site].data),
                "bin": str(pair.binaries.bin_dir),
                **extra,
            }
            for site, extra in instances.items()
        },
        **settings,
    }
    return Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {
                site: {"name": site, "hosts": {"db": {"name": "db", "site": site, "address": "127.0.0.1"}}}
                for site in (DURHAM, MORPETH)
            }
            | {"derwentside": {"name": "derwentside", "witness": True}},
            "services": {
                "crm": Service(name="crm", home=DURHAM, standby=MORPETH, replication=replication)  # type: ignore[arg-type]
            },
        }
    )


def new_folder() -> Path:
    """A new folder that others may pass through, its name short enough for sockets; in memory where there is
    room, since every test copies and discards some 60 MB."""
    base = Path(tempfile.mkdtemp(prefix="twinsite-pg-", dir=MEMORY if _roomy(MEMORY) else None))
    base.chmod(0o711)
    return base


def _roomy(folder: Path) -> bool:
    try:
        return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM_BYTES
    except OSError:
        return False


async def make_files(
    binaries: PostgresBinaries, whom: RunAs, base: Path, instances: Mapping[str, LabInstance]
) -> None:
    """A pair from nothing, stopped."""
    await create_pair(
        "crm",
        instances[DURHAM],
        instances[MORPETH],
        binaries=binaries,
        whom=whom,
        roles=ROLES,
        sockets=base / "s",
        durable=False,
        wal_segment_mib=1,
    )


async def copy_files(whom: RunAs, base: Path, instances: Mapping[str, LabInstance], template: Path) -> None:
    """A pair from the files of another, at its own ports."""
    sockets = base / "s"
    for folder in (sockets, *(instance.data.parent for instance in instances.values())):
        folder.mkdir(parents=True)
        whom.give(folder)
    for site, instance in instances.items():
        command = [*whom.prefix_argv, "cp", "-a", str(template / site / "data"), str(instance.data)]
        await asyncio.to_thread(subprocess.run, command, check=True, cwd="/", timeout=60)
    configure_pair(
        "crm",
        instances[DURHAM],
        instances[MORPETH],
        whom=whom,
        roles=ROLES,
        sockets=sockets,
        durable=False,
    )


@asynccontextmanager
async def made_pair(
    binaries: PostgresBinaries,
    whom: RunAs,
    *,
    folder: str = "data",
    started: bool = True,
    template: Path | None = None,
) -> AsyncIterator[Pair]:
    """A pair in a folder of its own that its user may enter; nothing of it is left afterwards.

    With `template`, the data of a pair that was made before and never started: quicker, and one cluster.
    """
    base, address = new_folder(), new_address()
    instances = {
        site: LabInstance(site, address, free_port(address), base / site / folder)
        for site in (DURHAM, MORPETH)
    }
    pair = Pair(base, binaries, whom, instances, LocalTransport(whom.prefix_argv))
    try:
        if template is None:
            await make_files(binaries, whom, base, instances)
        else:
            await copy_files(whom, base, instances, template)
        pair.new_driver()
        if started:
            await pair.start()
        yield pair
    finally:
        for task in pair.tasks:
            task.cancel()
        await asyncio.gather(*pair.tasks, return_exceptions=True)
        for driver in pair.drivers:
            await driver.aclose()
        for site in instances:
            pair.kill_all(site)
        shutil.rmtree(base)
