"""Three real etcd members for tests: TLS, users and roles; can be killed, frozen and healed one by one."""

import asyncio
import concurrent.futures
import contextlib
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from orchestrator.lab.certs import CertificateFiles, create_authority
from orchestrator.lab.etcd import (
    Accounts,
    EtcdBinary,
    MemberPlace,
    configure_auth,
    member_command,
    wait_healthy,
)
from orchestrator.store.client import EtcdClient
from orchestrator.store.etcd import EtcdStore

ACCOUNTS = Accounts(
    root_password="root-secret",
    site_passwords={"durham": "durham-secret", "morpeth": "morpeth-secret"},
    witness_passwords={"derwentside": "derwentside-secret"},
    reader_password="reader-secret",
)
PASSWORDS = {
    "root": ACCOUNTS.root_password,
    "reader": ACCOUNTS.reader_password,
    **ACCOUNTS.site_passwords,
    **ACCOUNTS.witness_passwords,
}


class EtcdCluster:
    """Members m0, m1, m2 on free ports of 127.0.0.1, their files below `directory`."""

    def __init__(self, binary: EtcdBinary, directory: Path) -> None:
        self.binary = binary
        self.directory = directory
        ports = _free_ports(6)
        self.places = [MemberPlace(f"m{i}", "127.0.0.1", ports[2 * i], ports[2 * i + 1]) for i in range(3)]
        authority = create_authority(directory / "certs")
        self.server = authority.server("member", ["127.0.0.1"])
        self.client: CertificateFiles = authority.client("tests")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def endpoints(self) -> list[str]:
        return [place.endpoint for place in self.places]

    @property
    def tls(self) -> ssl.SSLContext:
        return self.client.client_context()

    def start(self, index: int) -> None:
        place = self.places[index]
        command = member_command(
            self.binary,
            place,
            members=self.places,
            data_directory=self.directory / place.name,
            certificate=self.server,
            bcrypt_cost=4,
        )
        with (self.directory / f"{place.name}.log").open("ab") as log:
            self._processes[index] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, index: int) -> None:
        process = self._processes.pop(index)
        process.kill()
        process.wait()

    def freeze(self, index: int) -> None:
        self._processes[index].send_signal(signal.SIGSTOP)

    def heal(self) -> None:
        for index in range(3):
            if index in self._processes:
                self._processes[index].send_signal(signal.SIGCONT)
            else:
                self.start(index)

    async def healed(self) -> None:
        self.heal()
        await wait_healthy(self.endpoints, self.tls)

    def stop(self) -> None:
        for index in list(self._processes):
            self.kill(index)

    async def leader(self) -> int:
        """Index of the leader."""
        status = await wait_healthy(self.endpoints, self.tls)
        assert status.leader is not None
        return self.endpoints.index(status.leader)

    @contextlib.asynccontextmanager
    async def store(self, user: str = "durham", **options: object) -> AsyncIterator[EtcdStore]:
        store = EtcdStore(
            options.pop("endpoints", self.endpoints),  # type: ignore[arg-type]
            tls=self.tls,
            user=user,
            password=str(options.pop("password", PASSWORDS[user])),
            allow_unsafe_versions=self.binary.unsafe,
            **options,  # type: ignore[arg-type]
        )
        try:
            yield store
        finally:
            await store.aclose()

    async def admin(self, path: str, body: dict[str, object]) -> None:
        """One call as root, for what the store's interface does not have."""
        client = EtcdClient(
            self.endpoints, tls=self.tls, user="root", password=PASSWORDS["root"], allow_unsafe_versions=True
        )
        try:
            await client.call(path, body, what=path, timeout_seconds=10)
        finally:
            await client.aclose()


class Relay:
    """A port of our own in front of a member's, which can swallow all that passes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.endpoint = ""
        self.swallow = False
        self.carried = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port: int) -> "AsyncIterator[Relay]":
        relay = cls(port)
        server = await asyncio.start_server(relay._serve, "127.0.0.1", 0)
        relay.endpoint = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield relay
        finally:
            server.close()
            for writer in relay._writers:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                if not self.swallow:
                    writer.write(chunk)
                    self.carried.set()
            writer.close()


@contextlib.contextmanager
def running_cluster(binary: EtcdBinary, directory: Path) -> Iterator[EtcdCluster]:
    """A healthy cluster with users and roles, gone at the end."""
    cluster = EtcdCluster(binary, directory)
    try:
        for index in range(3):
            cluster.start(index)

        async def prepare() -> None:
            await wait_healthy(cluster.endpoints, cluster.tls)
            await configure_auth(cluster.endpoints, cluster.tls, ACCOUNTS)

        # In a thread: a fixture may be made while a test's own loop is already running.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(prepare())).result()
        yield cluster
    finally:
        cluster.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            found.append(listener.getsockname()[1])
        return found
