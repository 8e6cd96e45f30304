"""One SSH connection, and one command on its way over it.

Knows when a command has left and when it has not: a command is sent at most once. Decides nothing about
trying again, and maps no errors.
"""

import asyncio
import signal
from typing import Any

import asyncssh
import structlog

from sites.output import BoundedOutput, LineFeed, Said
from sites.ssh.trust import Shown, shown_key
from sites.transport import OUTPUT_LIMIT_BYTES

log = structlog.get_logger(__name__)

_END_GRACE_SECONDS = 0.5  # between TERM and KILL of a command whose time is up
_LINGER_SECONDS = 1.0  # how long the output may stay open, silent, after the command has ended
_CLOSE_SECONDS = 1.0


class NotSentError(Exception):
    """The connection was found dead before the command was sent; sending it elsewhere is safe."""


class Session(asyncssh.SSHClientSession[bytes]):
    """One command on its way: what it said, how it ended. Reading never pauses, so it never blocks.

    `said` is told its lines as they come.
    """

    def __init__(self, said: Said | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._feeds = (
            None if said is None else tuple(LineFeed(one, said, loop.time) for one in ("out", "err"))
        )
        self.stdout = BoundedOutput(OUTPUT_LIMIT_BYTES)
        self.stderr = BoundedOutput(OUTPUT_LIMIT_BYTES)
        self.opened: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.exit_status: int | None = None
        self.refused: asyncssh.ChannelOpenError | None = None
        self.lost: Exception | None = None
        self._pieces = 0
        self._abandoned = False
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The host gave us a channel; asyncssh sends the command right after this returns."""
        self._channel = chan
        if self._abandoned:
            chan.abort()  # nobody waits any more: closing here keeps the command from being sent
        else:
            _settle(self.opened)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Output of the command."""
        self._pieces += 1
        (self.stdout if datatype is None else self.stderr).feed(data)
        if self._feeds is not None:
            try:
                self._feeds[0 if datatype is None else 1].feed(data)
            except Exception:  # asyncssh would close the connection under every other command for it
                self._feeds = None
                log.exception("ssh_listener_failed")

    def exit_status_received(self, status: int) -> None:
        """The command ended by itself."""
        self.exit_status = status
        _settle(self.exited)

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """The command was ended by a signal; its status is what a shell would make of that."""
        self.exit_status = 128 + _signal_number(signal)
        _settle(self.exited)

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed, by the host or with its connection."""
        self.lost = exc
        _settle(self.closed)

    def give(self, stdin: str) -> None:
        """Send all of standard input, and its end."""
        try:
            if stdin and self._channel is not None:
                self._channel.write(stdin.encode())
            if self._channel is not None:
                self._channel.write_eof()
        except OSError:
            pass  # the command ended without reading it, which is its right

    async def ended(self) -> None:
        """Wait until the command has ended and, for a moment longer, its output too."""
        await asyncio.wait({self.exited, self.closed}, return_when=asyncio.FIRST_COMPLETED)
        # A daemon that the command left behind may hold the output open for ever. The command is done once
        # nothing more comes; much output may still be on its way when the status is here.
        heard = -1
        while not self.closed.done() and heard != self._pieces:
            heard = self._pieces
            await asyncio.wait({self.closed}, timeout=_LINGER_SECONDS)
        self.abandon()

    async def end(self) -> None:
        """End a command whose time is up: TERM, a moment, KILL."""
        self._signal("TERM")
        if self._channel is not None:
            await asyncio.wait({self.closed}, timeout=_END_GRACE_SECONDS)
        self.abandon()

    def abandon(self) -> None:
        """Give the command up at once, without waiting for anything."""
        self._abandoned = True
        feeds, self._feeds = self._feeds, None
        for feed in feeds or ():
            try:
                feed.end()
            except Exception:
                log.exception("ssh_listener_failed")
        if not self.closed.done():
            if not self.exited.done():
                self._signal("KILL")
            if self._channel is not None:
                self._channel.abort()

    def _signal(self, name: str) -> None:
        try:
            if self._channel is not None and not self.closed.done():
                self._channel.send_signal(name)
        except OSError:
            pass  # already closed


class Link(asyncssh.SSHClient):
    """One SSH connection: notes the key it was shown, and when it was lost."""

    def __init__(self) -> None:
        self.connection: asyncssh.SSHClientConnection | None = None
        self.shown = Shown()
        self.lost = False
        self.sessions = 0  # commands on their way over it
        self.tunnels = 0  # connections to other hosts through it
        self.retired = False
        self.through: Link | None = None  # the jump host's, held while this one lives
        self._openings: set[asyncio.Task[Any]] = set()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """TCP is up; SSH has yet to begin."""
        self.shown.connected = True
        self.shown.address = str(conn.get_extra_info("peername", ("",))[0])

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Asked only for a key that known_hosts does not hold: remember it for the message, refuse it."""
        self.shown.key = key
        return False

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Asked only for an authority that known_hosts does not trust for this host: likewise."""
        self.shown.authority = shown_key(key)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.lost = True
        self.let_go()

    async def begin(self, command: str, open_within_seconds: float, said: Said | None = None) -> Session:
        """Send the command; returns once it is on its way. Raises NotSentError while it is not, and
        asyncssh's ChannelOpenError where the host takes no further session."""
        session = Session(said)
        connection = self.connection
        if connection is None or self.lost:
            raise NotSentError("the kept connection is closed")
        # The opening is a task of its own: a caller that gives up while the host is silent must not
        # leave a channel behind that nobody closes.
        opening = asyncio.create_task(
            connection.create_session(lambda: session, command, encoding=None),
            name="ssh-session",
        )
        self._openings.add(opening)
        opening.add_done_callback(lambda done: self._opening_ended(done, session))
        try:
            either: set[asyncio.Future[Any]] = {opening, session.opened}
            await asyncio.wait(either, timeout=open_within_seconds, return_when=asyncio.FIRST_COMPLETED)
            if session.opened.done():
                return session
            if not opening.done():
                raise NotSentError(f"no answer to the request for a session in {open_within_seconds:g} s")
            if self.lost or session.refused is None or connection.is_closed():
                raise NotSentError("the kept connection was found dead") from session.refused
            raise session.refused
        except BaseException:
            session.abandon()
            raise

    def _opening_ended(self, opening: asyncio.Task[Any], session: Session) -> None:
        self._openings.discard(opening)
        if not opening.cancelled() and isinstance(failure := opening.exception(), asyncssh.ChannelOpenError):
            session.refused = failure

    def release(self) -> None:
        """A command is over; a retired connection is closed with its last user."""
        self.sessions -= 1
        self._close_if_retired()

    def lead(self, link: "Link") -> None:
        """Carry another connection, until it lets go."""
        self.tunnels += 1
        link.through = self

    def let_go(self) -> None:
        """Give the jump host's connection up, if there is one."""
        through, self.through = self.through, None
        if through is not None:
            through.tunnels -= 1
            through._close_if_retired()

    def retire(self) -> None:
        """Use it for nothing new; what runs over it goes on until it ends or the keepalive gives up."""
        self.retired = True
        self._close_if_retired()

    def _close_if_retired(self) -> None:
        if self.retired and self.sessions <= 0 and self.tunnels <= 0:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self.connection is not None:
            self.connection.abort()

    async def aclose(self) -> None:
        """Close in order, or at once when the host does not answer."""
        if self.connection is None:
            return
        self.connection.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.connection.wait_closed()
        except TimeoutError:
            self.connection.abort()
        if self._openings:
            await asyncio.wait(self._openings, timeout=_CLOSE_SECONDS)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _signal_number(name: str) -> int:
    return int(getattr(signal, f"SIG{name}", 0))
