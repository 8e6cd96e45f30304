"""The lab's SSH host: a real SSH server on a loopback address, a process of its own for each site.

It speaks the real protocol (asyncssh's server side), checks real keys and runs real commands with
`/bin/sh -c`, each in a session of its own, as sshd does. What it leaves out is what the lab does not need:
no terminals, no forwarding, no passwords, no logins other than one. It never runs a command whose caller has
not shown an authorised key, and it leaves no command behind when it is told to stop.

Started by its parent as `python -c "from orchestrator.lab.sshd import main; main()" --listen …`; says
`listening ADDRESS PORT` on standard output once it does.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from orchestrator.lab.ssh_session import CommandSession, RunAs

_MOST_SESSIONS = 64
_CLOSE_SECONDS = 2.0
_KEEPALIVE_SECONDS = 15


class _Owner(asyncssh.SSHServer):
    """One connection: who may log in, and how many sessions there may be."""

    def __init__(self, server: "LabServer") -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """TCP is up."""
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        """Keys decide; a user who does not exist here has none."""
        if self._server.login not in (None, username) and self._connection is not None:
            self._connection.set_authorized_keys(asyncssh.import_authorized_keys(""))
        return True

    def session_requested(self) -> CommandSession:
        """Open a session, within the bound."""
        if len(self._server.sessions) >= _MOST_SESSIONS:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_RESOURCE_SHORTAGE, f"{_MOST_SESSIONS} sessions are open already"
            )
        session = CommandSession(self._server)
        self._server.sessions.add(session)
        return session


class LabServer:
    """The server: listens, owns its sessions and the tasks that end them."""

    def __init__(self, run_as: RunAs, *, login: str | None = None) -> None:
        self.run_as = run_as
        self.login = login
        self.sessions: set[CommandSession] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    def own(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def listen(self, address: str, port: int, host_key: Path, authorized_keys: Path) -> int:
        """Start to listen; returns the port (a free one for 0). Raises OSError or ValueError."""
        asyncssh.set_log_level(logging.ERROR)
        self._acceptor = await asyncssh.create_server(
            lambda: _Owner(self),
            address,
            port,
            server_host_keys=[str(host_key)],
            authorized_client_keys=str(authorized_keys),
            config=[],
            encoding=None,
            allow_pty=False,
            agent_forwarding=False,
            password_auth=False,
            kbdint_auth=False,
            keepalive_interval=_KEEPALIVE_SECONDS,
            reuse_address=True,
        )
        return int(self._acceptor.get_port())

    async def aclose(self) -> None:
        """Stop listening, end every command, close every connection."""
        if self._acceptor is None:
            return
        for session in tuple(self.sessions):
            session.end_now()
        self._acceptor.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._acceptor.wait_closed()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        self._acceptor = None


@dataclass(frozen=True, slots=True)
class SshFiles:
    """What `generate_ssh_files` made; `known_hosts` and `client_key` go into the estate file."""

    host_keys: Mapping[str, Path]
    client_key: Path
    authorized_keys: Path
    known_hosts: Path


def generate_ssh_files(directory: Path, hosts: Mapping[str, tuple[str, int]]) -> SshFiles:
    """Keys for an SSH host per entry of `hosts` (name -> address, port), and for one client of them all.

    Keys that exist already are kept, the list of known hosts is written anew. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    client = _key(directory / "client_key", "twinsite lab")
    authorized = directory / "authorized_keys"
    authorized.write_bytes(client.export_public_key())
    lines = []
    paths = {}
    for name, (address, port) in hosts.items():
        paths[name] = directory / f"host_key_{name}"
        public = _key(paths[name], name).export_public_key().decode().split()
        entry = address if port == 22 else f"[{address}]:{port}"
        lines.append(f"{entry} {public[0]} {public[1]}\n")
    known = directory / "known_hosts"
    known.write_text("".join(lines))
    return SshFiles(paths, directory / "client_key", authorized, known)


def _key(path: Path, comment: str) -> asyncssh.SSHKey:
    if path.exists():
        return asyncssh.read_private_key(str(path))
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    # Created closed to others; never open for a moment first.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.export_private_key())
    return key


async def _serve(options: argparse.Namespace) -> None:
    run_as = RunAs.parse(options.run_as)
    if options.home is not None or not run_as.has_home:
        run_as = run_as.with_home(options.home or options.host_key.with_name(f"home_{options.host_key.name}"))
    server = LabServer(run_as, login=options.login)
    port = await server.listen(options.listen, options.port, options.host_key, options.authorized_keys)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"listening {options.listen} {port}", flush=True)
    await stop.wait()
    await server.aclose()


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Exits with 2 and one line where it cannot start."""
    parser = argparse.ArgumentParser(prog="lab-sshd", description="The lab's SSH host.")
    parser.add_argument("--listen", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--host-key", type=Path, required=True)
    parser.add_argument("--authorized-keys", type=Path, required=True)
    parser.add_argument("--run-as", help="USER or UID:GID; needs root")
    parser.add_argument("--home", type=Path, help="the home folder; one beside the key for who has none")
    parser.add_argument("--login", help="the only user name that may log in")
    options = parser.parse_args(argv)
    try:
        asyncio.run(_serve(options))
    except (OSError, ValueError) as fault:
        print(f"lab-sshd on {options.listen}:{options.port}: {fault}", file=sys.stderr)
        raise SystemExit(2) from None
