"""Commands on hosts by SSH as a person would give them from a laptop: the only place that knows fabric.

The person's own SSH configuration, agent and keys count, beside those of the estate file. Host keys are
always checked, by the estate's known_hosts and the person's own, and nothing is ever added to either; that
goes for every jump host too, whoever named it. Certificates of hosts are not understood here (paramiko does
not know them): a host that is trusted only by its authority is refused, with what to do.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sites.errors import (
    AccessDenied,
    CommandTimedOut,
    ConnectionBroken,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    KnownHostsUnreadable,
    SitesTrouble,
)
from sites.model import Host, SshSpec
from sites.output import BoundedOutput, LineFeed, Said, last_lines
from sites.ssh.trust import entry_of, name_of, place
from sites.transport import OUTPUT_LIMIT_BYTES, Completed

COMMANDS_AT_ONCE = 32
PIECE_BYTES = 64 * 1024
LOOK_SECONDS = 0.02
LINGER_SECONDS = 1.0
OWN_KNOWN_HOSTS = Path("~/.ssh/known_hosts")


class ByHand:
    """Runs commands over fabric's connections (`sites.transport.Transport`), one kept for each host.

    `own` False: the estate's keys and known_hosts alone, whoever runs it.
    """

    def __init__(self, ssh: SshSpec, base: Path, *, own: bool = True) -> None:
        self._spec = ssh
        self._base = base
        self._own = own
        self._connections: dict[tuple[Host, ...], Any] = {}
        self._locks: dict[tuple[Host, ...], threading.Lock] = {}
        self._guard = threading.Lock()
        self._threads = ThreadPoolExecutor(COMMANDS_AT_ONCE, thread_name_prefix="by-hand")

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """See Transport."""
        stop = threading.Event()
        loop = asyncio.get_running_loop()

        def tell(stream: str, line: str) -> None:
            if said is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(said, stream, line)

        work = loop.run_in_executor(
            self._threads, self._run, host, command, timeout_seconds, stdin, tell if said else None, stop
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({work}, timeout=LINGER_SECONDS)
            raise

    async def aclose(self) -> None:
        """Close every connection."""
        connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(connection.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # -- in a thread --------------------------------------------------------------------------------

    def _run(
        self,
        host: Host,
        command: str,
        timeout_seconds: float,
        stdin: str,
        said: Said | None,
        stop: threading.Event,
    ) -> Completed:
        begun = time.monotonic()
        with quiet_paramiko():
            channel = self._channel(host, timeout_seconds)
            try:
                return _carried(host, channel, command, stdin, said, stop, begun, timeout_seconds)
            finally:
                with contextlib.suppress(Exception):
                    channel.close()

    def _channel(self, host: Host, timeout_seconds: float) -> Any:
        """A session on the kept connection, or on a new one where that is gone."""
        import paramiko

        for _ in range(2):
            connection = self._connected(host)
            try:
                return connection.transport.open_session(timeout=min(timeout_seconds, 10.0))
            except (paramiko.SSHException, OSError, EOFError) as gone:
                broken = gone
                self._forget(host)
        raise HostUnreachable(f"{place(host)}: no session can be opened there: {broken}") from broken

    def _connected(self, host: Host) -> Any:
        key = (*host.via, host)
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            connection = self._connections.get(key)
            if connection is not None and connection.is_connected:
                return connection
            connection = connection_to(host, self._spec, self._base, own=self._own)
            open_or_explain(connection, host, self._spec, self._base)
            self._connections[key] = connection
            return connection

    def _forget(self, host: Host) -> None:
        connection = self._connections.pop((*host.via, host), None)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def _carried(
    host: Host,
    channel: Any,
    command: str,
    stdin: str,
    said: Said | None,
    stop: threading.Event,
    begun: float,
    timeout_seconds: float,
) -> Completed:
    import paramiko

    outputs = BoundedOutput(OUTPUT_LIMIT_BYTES), BoundedOutput(OUTPUT_LIMIT_BYTES)
    feeds = [LineFeed(stream, said, time.monotonic) for stream in ("out", "err")] if said else []
    try:
        channel.settimeout(timeout_seconds)
        channel.exec_command(command)
        with contextlib.suppress(OSError):  # it may end without reading, which is its right
            channel.sendall(stdin.encode())
            channel.shutdown_write()
        ended_at = None
        while True:
            if _taken(channel, outputs, feeds):
                continue
            now = time.monotonic()
            if channel.exit_status_ready():
                # A daemon left behind may hold the output open for ever.
                ended_at = ended_at or now
                if channel.closed or channel.eof_received or now - ended_at > LINGER_SECONDS:
                    break
            elif channel.closed or not channel.get_transport().is_active():
                raise _broken(host, "closed")
            if stop.is_set():
                raise _broken(host, "given up here")
            if now - begun > timeout_seconds:
                raise _timed_out(host, outputs, timeout_seconds)
            stop.wait(LOOK_SECONDS)
        for feed in feeds:
            feed.end()
        status = int(channel.recv_exit_status())
    except (paramiko.SSHException, OSError, EOFError) as gone:
        raise _broken(host, str(gone) or type(gone).__name__) from gone
    if status < 0:
        raise _broken(host, "it ended without a status: by a signal, or with its connection")
    return Completed(
        status,
        outputs[0].text(),
        outputs[1].text(),
        time.monotonic() - begun,
        outputs[0].truncated or outputs[1].truncated,
        outputs[0].left_out_bytes + outputs[1].left_out_bytes,
    )


def _taken(channel: Any, outputs: tuple[BoundedOutput, BoundedOutput], feeds: list[LineFeed]) -> bool:
    """Take what is there; whether there was anything."""
    some = False
    for number, (ready, take) in enumerate(
        ((channel.recv_ready, channel.recv), (channel.recv_stderr_ready, channel.recv_stderr))
    ):
        if ready() and (data := take(PIECE_BYTES)):
            some = True
            outputs[number].feed(data)
            if feeds:
                feeds[number].feed(data)
    return some


def _broken(host: Host, why: str) -> ConnectionBroken:
    return ConnectionBroken(
        f"{place(host)}: the connection broke while the command ran ({why}); it may have finished, or may be "
        "running still. Ask the host before you run it again."
    )


def _timed_out(
    host: Host, outputs: tuple[BoundedOutput, BoundedOutput], timeout_seconds: float
) -> CommandTimedOut:
    stdout, stderr = outputs[0].text(), outputs[1].text()
    heard = last_lines(stderr) or last_lines(stdout) or "nothing"
    return CommandTimedOut(
        f"{place(host)}: the command did not end within {timeout_seconds:g} s and was given up. "
        f"The last it said: {heard}",
        stdout=stdout,
        stderr=stderr,
    )


# -- connections ------------------------------------------------------------------------------------


def connection_to(host: Host, ssh: SshSpec, base: Path, *, own: bool) -> Any:
    """fabric's connection to a host, through its jump hosts; not open yet. `own`: the person's configuration,
    agent and keys count too. Raises KnownHostsUnreadable."""
    # Imported here: half a second that only these commands should pay.
    import fabric
    import paramiko

    limit_seconds = ssh.connect_timeout_seconds
    gateway = connection_to(host.via[-1], ssh, base, own=own) if host.via else None
    config = fabric.Config(lazy=True) if own else fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True)
    if own:
        config.load_ssh_config()
    kwargs: dict[str, Any] = {
        "allow_agent": own or not ssh.keys,
        "look_for_keys": own,
        "banner_timeout": limit_seconds,
        "auth_timeout": limit_seconds,
    }
    # What is not on this machine is no fault here: the person may have keys of their own.
    if keys := [str(base / name) for name in ssh.keys if not own or (base / name).exists()]:
        kwargs["key_filename"] = keys
    connection = fabric.Connection(
        host.address,
        user=host.user,
        port=host.port,
        gateway=gateway,
        connect_timeout=limit_seconds,
        config=config,
        connect_kwargs=kwargs,
    )
    _trust(connection, host, ssh, base, own=own)
    return connection


def _trust(connection: Any, host: Host, ssh: SshSpec, base: Path, *, own: bool) -> None:
    """Strict, for this host and for whatever the person's own configuration puts before it."""
    import paramiko

    for path in known_hosts_files(ssh, base, own=own):
        try:
            connection.client.load_system_host_keys(str(path))
        except (OSError, ValueError, paramiko.SSHException, paramiko.hostkeys.InvalidHostKey) as fault:
            raise KnownHostsUnreadable(
                f"{place(host)}: its key cannot be checked, {path} cannot be read: {fault}. Correct it."
            ) from fault
    if host.known_as is not None:
        keys = connection.client.get_host_keys()
        known = connection.client._system_host_keys.lookup(host.known_as)
        name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
        for kind, key in (known or {}).items():
            keys.add(name, kind, key)
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    before = connection.gateway
    if before is not None and not host.via and not isinstance(before, str):
        # Named by the person's ProxyJump: fabric made it, and would take any key.
        _trust(before, Host(address=before.host, port=before.port), ssh, base, own=own)


def known_hosts_files(ssh: SshSpec, base: Path, *, own: bool) -> Iterator[Path]:
    """The files that vouch for hosts, as far as they are there."""
    candidates = [base / ssh.known_hosts, *([OWN_KNOWN_HOSTS.expanduser()] if own else [])]
    yield from (path for path in candidates if path.exists())


def open_or_explain(connection: Any, host: Host, ssh: SshSpec, base: Path) -> None:
    """Open it. Raises the errors of `sites.errors`, each with place, finding and remedy."""
    import paramiko

    files = ", ".join(str(path) for path in known_hosts_files(ssh, base, own=True)) or base / ssh.known_hosts
    for hop, of in [*zip(host.via, _gateways(connection), strict=False), (host, connection)]:
        try:
            of.open()
        except paramiko.BadHostKeyException as changed:
            raise HostKeyChanged(
                f"{_at(host, hop)}: shows the key {changed.key.fingerprint}, but {files} hold "
                f"{changed.expected_key.fingerprint}; nothing was run. Either the host was installed anew or "
                "somebody stands between. Find out at that host's own console."
            ) from changed
        except paramiko.AuthenticationException as denied:
            raise AccessDenied(
                f"{_at(host, hop)}: {hop.user} is not let in with your keys ({denied}). Load the right key "
                "into your agent (ssh-add), or correct user and ssh: keys in sites.yaml."
            ) from denied
        except paramiko.SSHException as fault:
            raise _unfit(fault, host, hop, str(files)) from fault
        except (OSError, EOFError) as fault:
            raise _unreached(fault, host, hop, ssh) from fault


def _gateways(connection: Any) -> list[Any]:
    found: list[Any] = []
    while (connection := connection.gateway) is not None and not isinstance(connection, str):
        found.insert(0, connection)
    return found


def _at(host: Host, hop: Host) -> str:
    return place(host) if hop is host else f"{place(host)}: its jump host {name_of(hop)} ({place(hop)})"


def _unfit(fault: Exception, host: Host, hop: Host, files: str) -> SitesTrouble:
    if "not found in known_hosts" in str(fault):
        return HostKeyUnknown(
            f"{_at(host, hop)}: its key is not in {files}; nothing was run. Compare it with what `ssh-keygen "
            "-lf /etc/ssh/ssh_host_ed25519_key.pub` says on that host's own console; only if it is the same: "
            f"ssh-keyscan -p {hop.port} {hop.address}, as {entry_of(hop)}, into your known_hosts. (An "
            "authority of host certificates does not count here: the key itself must be known.)"
        )
    if isinstance(fault, Exception) and "encrypted" in str(fault).lower():
        return AccessDenied(
            f"{_at(host, hop)}: the key file is encrypted; load it into your agent (ssh-add)."
        )
    return HostUnreachable(
        f"{_at(host, hop)}: the SSH conversation failed: {fault}. The host hangs, or something else answers."
    )


def _unreached(fault: OSError | EOFError, host: Host, hop: Host, ssh: SshSpec) -> SitesTrouble:
    at = _at(host, hop)
    if isinstance(fault, socket.gaierror):
        return HostUnreachable(f"{at}: the name {hop.address} does not resolve.")
    if isinstance(fault, TimeoutError):
        return HostUnreachable(
            f"{at}: no answer within {ssh.connect_timeout_seconds:g} s. The host is off, or the network "
            "between is cut."
        )
    causes = list(getattr(fault, "errors", {}).values()) or [fault]
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return HostUnreachable(f"{at}: connection refused: no sshd listens on port {hop.port}.")
    words = str(getattr(causes[0], "strerror", None) or causes[0] or "connection closed")
    return HostUnreachable(f"{at}: {words}. Look at the network between.")


@contextlib.contextmanager
def quiet_paramiko() -> Iterator[None]:
    """paramiko's threads print tracebacks of their own for what is reported as an error here."""
    logger = logging.getLogger("paramiko")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
