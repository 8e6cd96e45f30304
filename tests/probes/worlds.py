"""A small estate and helpers that the tests of several kinds use."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from probes.catalogue import make_probe
from probes.model import Probe, ProbeResult
from probes.place import ProbeContext
from sites.model import Estate, Host, ProbeSpec, Service
from sites.output import Said
from sites.replication.words import ReplicationDriver
from sites.transport import Completed

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class NoTransport:
    """For probes that never run a command."""

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        raise AssertionError(f"nobody may run {command!r}")

    async def aclose(self) -> None:
        """Nothing is kept."""


def estate(*, controller: str | None = None, **hosts: str) -> Estate:
    """Two sites with the same hosts, each at the given address, and one service; both controllers at
    `controller`."""
    site = {
        "hosts": {name: {"address": address} for name, address in hosts.items()},
        "controller": controller,
    }
    loaded = Estate.model_validate(
        {
            "store": {"endpoints": ["http://127.0.0.1:1"]},
            "sites": {"durham": site, "morpeth": site},
            "services": {"crm": {"home": "durham", "standby": "morpeth"}},
        }
    )
    # As the inventory does: each noun knows its own name.
    named = {
        name: site.model_copy(
            update={
                "name": name,
                "hosts": {
                    role: host.model_copy(update={"name": role, "site": name})
                    for role, host in site.hosts.items()
                },
            }
        )
        for name, site in loaded.sites.items()
    }
    services = {name: service.model_copy(update={"name": name}) for name, service in loaded.services.items()}
    return loaded.model_copy(update={"sites": named, "services": services})


def service_of(world: Estate) -> Service:
    return world.services["crm"]


def spec(kind: str, **settings: Any) -> ProbeSpec:
    return ProbeSpec.model_validate({"name": "under test", "kind": kind, **settings})


def context(
    base: Path = Path("/nonexistent"),
    drivers: Mapping[str, ReplicationDriver] | None = None,
    **more: Any,
) -> ProbeContext:
    more.setdefault("transport", NoTransport())
    return ProbeContext(drivers=drivers or {}, base=base, **more)


def probe(
    kind: str,
    *,
    world: Estate | None = None,
    at: str = "durham",
    using: ProbeContext | None = None,
    **keys: Any,
) -> Probe:
    """A probe as the catalogue makes it from a line of the estate."""
    world = world if world is not None else estate()
    return make_probe(
        spec(kind, **keys),
        service=service_of(world),
        site=world.sites[at],
        estate=world,
        context=using if using is not None else context(),
    )


async def tried(kind: str, *, timeout_seconds: float = 30.0, **more: Any) -> ProbeResult:
    """Make a probe, try it once, close it."""
    made = probe(kind, **more)
    try:
        return await made.try_once(timeout_seconds=timeout_seconds)
    finally:
        await made.aclose()


def summary(result: ProbeResult) -> tuple[str, str]:
    return result.verdict.value, result.reason


@asynccontextmanager
async def listening(
    serve: Serve, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A TCP server on a free port of the loopback interface; connections end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass  # the probe aborts its connections; that is its way of hanging up
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and never say anything."""
    await asyncio.Event().wait()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and close."""


def closed_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])
