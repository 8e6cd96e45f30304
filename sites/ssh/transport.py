"""Carry commands to hosts over kept SSH connections: what is kept, who waits, what is tried again.

When a kept connection turns out to be dead *before* the command was sent, the command goes over a new
one; when it breaks later, nobody can know how far the command came, and ConnectionBroken says so.
"""

import asyncio
import logging
import time
from collections.abc import Callable
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
from sites.output import Said, last_lines
from sites.ssh.link import Link, NotSentError, Session
from sites.ssh.trust import Trust, connect_trouble, place
from sites.ssh.turns import Turns
from sites.transport import Completed

log = structlog.get_logger(__name__)

_Place = tuple[str, int, str, str | None]

SESSIONS_PER_HOST = 8  # OpenSSH allows ten on one connection unless told otherwise


class _Kept:
    """What is kept for one host: its connection, and the places for commands on it.

    `through`: what is kept for its jump host.
    """

    def __init__(self, host: Host, trust: Trust, through: "_Kept | None" = None) -> None:
        self.host = host
        self.turns = Turns(SESSIONS_PER_HOST)
        self._trust = trust
        self._through = through
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
            if self._through is not None:
                # An attempt of its own, with its own time.
                (await self._through.link()).lead(link)
            async with asyncio.timeout(self._trust.spec.connect_timeout_seconds):
                await self._connect(link)
        except SitesTrouble as own:
            return own if self._through is None or link.through is not None else _no_way(self.host, own)
        except (OSError, asyncssh.Error) as foreign:
            log.info("ssh_connect_failed", host=place(self.host), error=str(foreign))
            trouble = connect_trouble(self.host, foreign, link.shown, self._trust)
            trouble.__cause__ = foreign
            return trouble
        finally:
            if link.connection is None:
                link.let_go()
        log.debug("ssh_connected", host=place(self.host))
        self._link = link
        self.turns.raise_to(SESSIONS_PER_HOST)
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
                tunnel=link.through.connection if link.through is not None else (),
                host_key_alias=self.host.known_as or (),
                known_hosts=lambda name, address, port: files.match(self.host, address),
                server_host_key_algs=files.algorithms(self.host),
                x509_trusted_certs=None,
                client_keys=keys,
                agent_path=None,
                preferred_auth="publickey",
                login_timeout=limit_seconds,
                # A host that went silent under a long command is noticed within two such limits.
                keepalive_interval=limit_seconds / 2,
                keepalive_count_max=3,
            )

    async def begin(
        self, command: str, said: Said | None, on_wait: Callable[[], None]
    ) -> tuple[Link, Session]:
        """Send the command over the kept connection or, when that was found dead before, a new one.

        The caller has a turn. Where the host takes fewer sessions than we thought, the others' end is
        waited for (`on_wait` is told); where it takes none though we have none there, a new connection is
        tried, since sshd counts commands that outlived their channel.
        """
        dead: Exception | None = None
        fresh_tries = 2
        while fresh_tries:
            link = await self.link()
            link.sessions += 1
            try:
                return link, await link.begin(command, self._trust.spec.connect_timeout_seconds, said)
            except asyncssh.ChannelOpenError as full:
                others = link.sessions - 1
                link.release()
                if others > 0:
                    on_wait()
                    await self._wait_for_others(others, full)
                    continue
                dead = full
            except NotSentError as not_sent:
                link.release()
                dead = not_sent
                log.info("ssh_connection_dead", host=place(self.host), reason=str(not_sent))
            except BaseException:
                link.release()
                raise
            fresh_tries -= 1
            self._retire(link)
        if isinstance(dead, asyncssh.ChannelOpenError):
            raise HostUnreachable(
                f"{place(self.host)}: is reached, but refuses a session even on a new connection "
                f"({dead.reason}). See MaxSessions of sshd there; {SESSIONS_PER_HOST} are used at most."
            ) from dead
        raise HostUnreachable(
            f"{place(self.host)}: the connection died twice before the command could be sent ({dead}). "
            "Look at the host and the network between."
        ) from dead

    async def _wait_for_others(self, others: int, full: asyncssh.ChannelOpenError) -> None:
        """Until one of those that run there has ended: nothing was sent, so waiting is safe."""
        if self.turns.limit > others:
            self.turns.lower(others)
            log.warning(
                "ssh_sessions_limited",
                host=place(self.host),
                at_once=others,
                wanted=SESSIONS_PER_HOST,
                reason=full.reason,
                remedy="further commands wait for their turn; raise MaxSessions of sshd there",
            )
        self.turns.give_back()
        try:
            await self.turns.take(first=True)
        except BaseException:
            self.turns.assume()  # the caller gives back what it took
            raise

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


def _no_way(host: Host, own: SitesTrouble) -> SitesTrouble:
    """The jump host was not reached: said of the host, in the jump host's words."""
    jump = host.via[-1]
    there = ""
    if jump.site and jump.site != host.site:
        there = (
            f" That jump host stands at {jump.site}, not at {host.site}: while {jump.site} is lost, nothing "
            f"reaches this host through it. Name a jump host at {host.site}."
        )
    words = f"{place(host)}: nothing was run, its jump host is not reached: {own}{there}"
    return type(own)(words)


class SshTransport:
    """Runs commands on hosts over kept SSH connections (`sites.transport.Transport`).

    `base` is the folder that the paths of `ssh` are relative to: where the estate file is.
    Belongs to the event loop it is first used in.
    """

    def __init__(self, ssh: SshSpec, base: Path) -> None:
        # asyncssh reports every command at INFO; what was run is for our own log and journal to say.
        asyncssh.set_log_level(logging.WARNING)
        self._trust = Trust(ssh, base)
        self._kept: dict[tuple[_Place, ...], _Kept] = {}
        self._closed = False

    async def warm(self, host: Host) -> None:
        """Open the connection ahead of its first command. Raises what `run` would."""
        await self._of(host).link()

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """Run a command line of the host's shell to its end, everything included within `timeout_seconds`.

        At most SESSIONS_PER_HOST commands run on a host at a time, or as many as its sshd takes; further ones
        wait their turn. A command ended by signal N has the status 128 + N. Output beyond OUTPUT_LIMIT_BYTES
        loses its middle; `said` is told each line as it comes.

        Raises HostUnreachable (not started; as ConnectionBroken: it may have run), HostKeyChanged,
        AccessDenied, or CommandTimedOut, after the command was ended.
        """
        kept = self._of(host)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            async with asyncio.timeout_at(deadline):
                await kept.turns.take()
        except TimeoutError:
            raise CommandTimedOut(_no_turn(kept, timeout_seconds)) from None
        try:
            session = await _carry(kept, command, stdin, said, deadline, timeout_seconds)
        finally:
            kept.turns.give_back()
        duration_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - began_ns
        return _completed(host, session, duration_ns / 1e9)

    def _of(self, host: Host) -> _Kept:
        if self._closed:
            raise SitesMisuse("this SSH transport is closed")
        key = (*host.via, host)
        place_of_all = tuple((hop.address, hop.port, hop.user, hop.known_as) for hop in key)
        if (kept := self._kept.get(place_of_all)) is None:
            through = self._of(host.via[-1]) if host.via else None
            kept = self._kept[place_of_all] = _Kept(host, self._trust, through)
        return kept

    async def aclose(self) -> None:
        """Close every kept connection; commands that still run over them get ConnectionBroken."""
        self._closed = True
        # Those behind a jump host first: through a closed one there is no closing in order.
        for hops in sorted({len(places) for places in self._kept}, reverse=True):
            same = [kept for places, kept in self._kept.items() if len(places) == hops]
            await asyncio.gather(*(kept.aclose() for kept in same))
        self._kept.clear()


def _no_turn(kept: _Kept, timeout_seconds: float) -> str:
    limit = kept.turns.limit
    fewer = "" if limit == SESSIONS_PER_HOST else " (its sshd takes no more at once: MaxSessions)"
    others = f"{limit} other command{'s are' if limit > 1 else ' is'} running there{fewer}"
    return (
        f"{place(kept.host)}: not started within {timeout_seconds:g} s, because {others}. "
        "See which of them hangs."
    )


async def _carry(
    kept: _Kept, command: str, stdin: str, said: Said | None, deadline: float, timeout_seconds: float
) -> Session:
    """One command from its sending to its end, or to the deadline."""
    session: Session | None = None
    link: Link | None = None
    waited = False

    def note_wait() -> None:
        nonlocal waited
        waited = True

    try:
        async with asyncio.timeout_at(deadline):
            link, session = await kept.begin(command, said, note_wait)
            session.give(stdin)
            await session.ended()
            return session
    except TimeoutError:
        if session is None and waited:
            raise CommandTimedOut(_no_turn(kept, timeout_seconds)) from None
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
        left_out_bytes=session.stdout.left_out_bytes + session.stderr.left_out_bytes,
    )
