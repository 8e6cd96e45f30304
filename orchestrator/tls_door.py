"""The door of the keeper's TLS servers: who comes in, how many, and how fast.

It stands in the process that keeps the lease, so nobody outside may make it wait: connections are taken one
after another at a bounded rate, handshakes have a deadline and a bound, and the certificates are read beside
the loop. Who is not known is counted by a code and gets not one byte read.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from orchestrator.errors import OrchestratorTrouble
from sites.identity import CODES, CertificateFiles, Known, server_context, trouble_of

log = structlog.get_logger(__name__)

BACKLOG = 32
TAKE_PAUSE_SECONDS = 0.02  # at most 50 connections a second: a handshake costs the loop about 2 ms
MOST_HANDSHAKES = 16
HANDSHAKE_SECONDS = 5.0
CLOSE_SECONDS = 1.0
TROUBLE_PAUSE_SECONDS = 1.0
SAID_AGAIN_SECONDS = 60.0
MOST_SAID = 64
OTHERS_CAME = "others came meanwhile"


class DoorTaken(OrchestratorTrouble):
    """Something else listens there, or this machine has no such address."""


class Pace:
    """At most `most` events in any `within_seconds`, by the loop's clock."""

    def __init__(self, most: int, within_seconds: float) -> None:
        self._most = most
        self._within_seconds = within_seconds
        self._began = 0.0
        self._count = 0

    def allows(self, now: float) -> bool:
        """Count one more; false when it is one too many."""
        if now - self._began >= self._within_seconds:
            self._began, self._count = now, 0
        self._count += 1
        return self._count <= self._most


class TlsDoor:
    """Listens at one address and gives every known peer a protocol of `make`."""

    def __init__(
        self,
        name: str,
        host: str | None,
        port: int,
        files: CertificateFiles,
        known: Known,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        """`name` for the log; `host` None: all addresses of this machine."""
        self._name = name
        self._host = host
        self._port = port
        self._files = files
        self._known = known
        self._make = make
        self._context: ssl.SSLContext | None = None
        self._listener: socket.socket | None = None
        self._taking: asyncio.Task[None] | None = None
        self._opening: dict[asyncio.Task[None], None] = {}  # in the order of their coming
        self._refused: dict[str, int] = {}
        self._said: dict[tuple[str, str], float] = {}

    @property
    def port(self) -> int:
        """The port listened at; of interest where 0 was asked for."""
        return self._port

    @property
    def refused(self) -> Mapping[str, int]:
        """Who was not let in: how many by code (CODES of `sites.identity`), so far."""
        return MappingProxyType(dict(self._refused))

    async def start(self) -> None:
        """Listen. Raises DoorTaken and CertificateMisuse."""
        await self.reload()
        try:
            self._listener = _listening(self._host, self._port)
        except OSError as fault:
            where = f"{self._host or '*'}:{self._port}"
            raise DoorTaken(
                f"{self._name}: cannot listen at {where}: {fault.strerror}; end what listens there, or name "
                "an address of this machine"
            ) from fault
        self._port = self._listener.getsockname()[1]
        self._taking = asyncio.create_task(self._take_all(self._listener))

    async def reload(self) -> None:
        """Read the certificates again; from now on they count for whoever comes. Connections that are there
        stay. Raises CertificateMisuse, and then what was read before still counts."""
        self._context = await asyncio.to_thread(server_context, self._files, self._known)

    async def aclose(self) -> None:
        """Listen no more, and let nobody in who is still at the door."""
        tasks = [*self._opening, *([self._taking] if self._taking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    async def _take_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                taken, address = await loop.sock_accept(listener)
            except OSError as fault:  # no file descriptors left, or a caller that has gone already
                log.warning("door-trouble", door=self._name, problem=str(fault))
                await asyncio.sleep(TROUBLE_PAUSE_SECONDS)
                continue
            if len(self._opening) >= MOST_HANDSHAKES:
                slowest = next(iter(self._opening))  # who came first has had the longest time
                slowest.cancel(msg=OTHERS_CAME)
            task = asyncio.create_task(self._open(taken, str(address[0])))
            self._opening[task] = None
            task.add_done_callback(self._opened)
            await asyncio.sleep(TAKE_PAUSE_SECONDS)

    async def _open(self, taken: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                self._make,
                taken,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except OSError as fault:
            self._refuse(trouble_of(fault), address, str(fault))
        except asyncio.CancelledError as stop:
            if OTHERS_CAME in stop.args:
                self._refuse("handshake-slow", address, OTHERS_CAME)
            raise
        except BaseException:
            taken.close()
            raise

    def _opened(self, task: "asyncio.Task[None]") -> None:
        self._opening.pop(task, None)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("door-broken", door=self._name, exc_info=fault)

    def _refuse(self, code: str, address: str, evidence: str) -> None:
        self._refused[code] = self._refused.get(code, 0) + 1
        now = asyncio.get_running_loop().time()
        if now - self._said.get((code, address), -SAID_AGAIN_SECONDS) < SAID_AGAIN_SECONDS:
            return
        if len(self._said) >= MOST_SAID:
            self._said.clear()
        self._said[code, address] = now
        log.warning(
            "not-let-in", door=self._name, code=code, showed=CODES[code], address=address, evidence=evidence
        )


def _listening(host: str | None, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    everywhere = host is None and socket.has_dualstack_ipv6()
    where = host or ("::" if everywhere else "0.0.0.0")
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if everywhere:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((where, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        undo.pop_all()
        return listener


def bind_address(host: str) -> str | None:
    """Where a server listens that others reach at `host`: there if it is an IP address, at all addresses if
    it is a name. A name would have to be looked up, and a controller starts without anybody's DNS."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return host
    return None
