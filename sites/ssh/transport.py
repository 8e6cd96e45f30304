"""Carry commands to hosts over kept SSH connections: what is kept, who waits, what is tried again.

When a kept connection turns out to be dead *before* the command was sent, the command goes over a new
one; when it breaks later, nobody can know how far the command came, and ConnectionBroken says so.
"""

import asyncio
import logging
import time
from pathlib import Path

import asyncssh
import structlog

from sites.errors import (
    AccessDenied,
    CommandTimedOut,
    ConnectionBroken,
    HostUnreachable,
    SitesMisuse,
    SitesTrouble,
)
from sites.model import Host, SshSpec
from sites.output import last_lines
from sites.ssh.link import Link, NotSentError, Session
from sites.ssh.trust import Trust, connect_trouble, place
from sites.transport import Completed

log = structlog.get_logger(__name__)

SESSIONS_PER_HOST = 8  # OpenSSH allows ten on one connection unless told otherwise


class _Kept:
    """What is kept for one host: its connection, and the places for commands on it."""

    def __init__(self, host: Host, trust: Trust) -> None:
        self.host = host
        self.slots = asyncio.Semaphore(SESSIONS_PER_HOST)
        self._trust = trust
        self._link: Link | None = None
        self._opening: asyncio.Task[Link | SitesTrouble] | None = None

    async def link(self) -> Link:
        """The open connection, made now if need be. Everybody who waits shares one attempt and its fate."""
        if self._link is not None and not self._link.lost:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name=f"ssh-connect {self.host.address}")
        try:
            outcome = await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            # Not we but the attempt may have been cancelled, by aclose; that is no cancellation of ours.
            task = asyncio.current_task()
            if self._opening.cancelled() and task is not None and not task.cancelling():
                raise HostUnreachable(
                    f"{place(self.host)}: closed while connecting; nothing was run."
                ) from None
            raise
        if isinstance(outcome, SitesTrouble):
            # Each waiter gets an exception of its own: a shared one would grow everybody's traceback.
            raise type(outcome)(*outcome.args) from outcome.__cause__
        return outcome

    async def _open(self) -> Link | SitesTrouble:
        """One attempt. Its failure is a value, since several may be waiting for it, or nobody any more."""
        link = Link()
        try:
            async with asyncio.timeout(self._trust.spec.connect_timeout_seconds):
                await self._connect(link)
        except SitesTrouble as own:
            return own
        except (OSError, asyncssh.Error) as foreign:
            log.info("ssh_connect_failed", host=place(self.host), error=str(foreign))
            trouble = connect_trouble(self.host, foreign, link.shown, self._trust)
            trouble.__cause__ = foreign
            return trouble
        log.debug("ssh_connected", host=place(self.host))
        self._link = link
        return link

    async def _connect(self, link: Link) -> None:
        limit_seconds = self._trust.spec.connect_timeout_seconds
        files = await asyncio.to_thread(self._trust.read, self.host)
        async with files.client_keys() as keys:
            link.connection = await asyncssh.connect(
                self.host.address,
                self.host.port,
                username=self.host.user,
                client_factory=lambda: link,
                config=[],
                known_hosts=files.known_hosts,
                x509_trusted_certs=None,
                client_keys=keys,
                agent_path=None,
                preferred_auth="publickey",
                login_timeout=limit_seconds,
                # A host that went silent under a long command is noticed within two such limits.
                keepalive_interval=limit_seconds / 2,
                keepalive_count_max=3,
            )

    async def begin(self, command: str) -> tuple[Link, Session]:
        """Send the command over the kept connection or, when that was found dead before, a new one."""
        dead: NotSentError | None = None
        for _ in range(2):
            link = await self.link()
            link.users += 1
            try:
                return link, await link.begin(command, self._trust.spec.connect_timeout_seconds)
            except BaseException as failure:
                link.release()
                if isinstance(failure, asyncssh.ChannelOpenError):
                    raise HostUnreachable(
                        f"{place(self.host)}: is reached, but refuses another session ({failure.reason}). "
                        f"sshd there must allow {SESSIONS_PER_HOST} sessions on a connection (MaxSessions)."
                    ) from failure
                if not isinstance(failure, NotSentError):
                    raise
                dead = failure
                log.info("ssh_connection_dead", host=place(self.host), reason=str(failure))
                self._retire(link)
        raise HostUnreachable(
            f"{place(self.host)}: the connection died twice before the command could be sent ({dead}). "
            "Look at the host and the network between."
        ) from dead

    def _retire(self, link: Link) -> None:
        if self._link is link:
            self._link = None
        link.retire()

    async def aclose(self) -> None:
        """Close, whatever state it is in."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._link is not None:
            await self._link.aclose()


class SshTransport:
    """Runs commands on hosts over kept SSH connections (`sites.transport.Transport`).

    `base` is the folder that the paths of `ssh` are relative to: where the estate file is.
    Belongs to the event loop it is first used in.
    """

    def __init__(self, ssh: SshSpec, base: Path) -> None:
        # asyncssh reports every command at INFO; what was run is for our own log and journal to say.
        asyncssh.set_log_level(logging.WARNING)
        self._trust = Trust(ssh, base)
        self._kept: dict[tuple[str, int, str], _Kept] = {}
        self._closed = False

    async def warm(self, host: Host) -> None:
        """Open the connection ahead of its first command. Raises what `run` would."""
        await self._of(host).link()

    async def run(self, host: Host, command: str, *, timeout_seconds: float, stdin: str = "") -> Completed:
        """Run a command line of the host's shell to its end, everything included within `timeout_seconds`.

        At most SESSIONS_PER_HOST commands run on a host at a time, further ones wait their turn. A command
        ended by signal N has the status 128 + N. Output beyond OUTPUT_LIMIT_BYTES loses its middle.

        Raises HostUnreachable (not started; as ConnectionBroken: it may have run), HostKeyChanged,
        AccessDenied, or CommandTimedOut, after the command was ended.
        """
        kept = self._of(host)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            async with asyncio.timeout_at(deadline):
                await kept.slots.acquire()
        except TimeoutError:
            raise CommandTimedOut(
                f"{place(host)}: not started within {timeout_seconds:g} s, because {SESSIONS_PER_HOST} other "
                "commands are running there. See which of them hangs."
            ) from None
        try:
            session = await _carry(kept, command, stdin, deadline, timeout_seconds)
        finally:
            kept.slots.release()
        duration_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - began_ns
        return _completed(host, session, duration_ns / 1e9)

    def _of(self, host: Host) -> _Kept:
        if self._closed:
            raise SitesMisuse("this SSH transport is closed")
        return self._kept.setdefault((host.address, host.port, host.user), _Kept(host, self._trust))

    async def aclose(self) -> None:
        """Close every kept connection; commands that still run over them get ConnectionBroken."""
        self._closed = True
        await asyncio.gather(*(kept.aclose() for kept in self._kept.values()))
        self._kept.clear()


async def _carry(kept: _Kept, command: str, stdin: str, deadline: float, timeout_seconds: float) -> Session:
    """One command from its sending to its end, or to the deadline."""
    session: Session | None = None
    link: Link | None = None
    try:
        async with asyncio.timeout_at(deadline):
            link, session = await kept.begin(command)
            session.give(stdin)
            await session.ended()
            return session
    except TimeoutError:
        if session is None:
            raise HostUnreachable(
                f"{place(kept.host)}: not reached within {timeout_seconds:g} s; the command was not started. "
                "Look at the host and the network between."
            ) from None
        await session.end()
        raise _timed_out(kept.host, session, timeout_seconds) from None
    finally:
        if session is not None:
            session.abandon()
        if link is not None:
            link.release()


def _timed_out(host: Host, session: Session, timeout_seconds: float) -> CommandTimedOut:
    stdout, stderr = session.stdout.text(), session.stderr.text()
    said = last_lines(stderr) or last_lines(stdout) or "nothing"
    return CommandTimedOut(
        f"{place(host)}: the command did not end within {timeout_seconds:g} s and was ended. "
        f"The last it said: {said}",
        stdout=stdout,
        stderr=stderr,
    )


def _completed(host: Host, session: Session, duration_seconds: float) -> Completed:
    """What came back. Raises when the command's end was never reported."""
    if session.exit_status is None:
        if session.refused is not None and session.lost is None:
            raise AccessDenied(
                f"{place(host)}: logged in, but {host.user} may not run commands there "
                f"({session.refused.reason}). See ForceCommand and the shell of that user."
            ) from session.refused
        raise ConnectionBroken(
            f"{place(host)}: the connection broke while the command ran ({session.lost or 'closed'}); "
            "it may have finished, or may be running still. Ask the host before you run it again."
        ) from session.lost
    return Completed(
        exit_status=session.exit_status,
        stdout=session.stdout.text(),
        stderr=session.stderr.text(),
        duration_seconds=duration_seconds,
        truncated=session.stdout.truncated or session.stderr.truncated,
    )
