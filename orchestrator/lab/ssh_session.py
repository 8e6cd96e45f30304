"""One command on the lab's SSH host: the process, its pipes, its end.

Each command runs in a session of its own. It is ended when its caller goes away; what it started in a
session of *its* own is not, as with any sshd.
"""

import asyncio
import grp
import os
import pwd
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import asyncssh

_END_GRACE_SECONDS = 1.0  # between TERM and KILL of a command whose caller is gone
_LINGER_SECONDS = 0.5  # how long output may stay open, silent, after the command has ended
_MINIMAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class RunAs:
    """Whom commands run as. `None` for the ids: as whoever runs the server."""

    name: str
    home: str
    uid: int | None = None
    gid: int | None = None

    @classmethod
    def parse(cls, text: str | None) -> "RunAs":
        """From a user's name or `UID:GID`. Raises ValueError for a user who does not exist."""
        if text is None:
            own = _account(os.geteuid())
            return cls(own[0], own[1])
        if ":" in text:
            uid, gid = (int(part) for part in text.split(":"))
            return cls(*_account(uid), uid, gid)
        try:
            entry = pwd.getpwnam(text)
        except KeyError:
            raise ValueError(f"there is no user {text}") from None
        return cls(entry.pw_name, entry.pw_dir, entry.pw_uid, entry.pw_gid)

    @property
    def group(self) -> str:
        """The group's name, or its number where it has none."""
        gid = os.getegid() if self.gid is None else self.gid
        try:
            return grp.getgrgid(gid).gr_name
        except KeyError:
            return str(gid)

    def with_home(self, folder: Path) -> "RunAs":
        """The same with a home of its own, made if need be: steps keep their records in it (an account such
        as nobody has none). Raises OSError."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)
        return replace(self, home=str(folder))

    @property
    def has_home(self) -> bool:
        """Whether the account has a home folder that is its own."""
        uid = os.geteuid() if self.uid is None else self.uid
        try:
            return self.home != "/" and os.stat(self.home).st_uid == uid
        except OSError:
            return False

    @property
    def folder(self) -> str:
        """Where commands start: the home folder, where there is one."""
        return self.home if os.access(self.home, os.X_OK) else "/"

    def environment(self) -> dict[str, str]:
        """What sshd would give a command; nothing of the server's own but the search path."""
        return {
            "HOME": self.folder,
            "LANG": "C.UTF-8",
            "LOGNAME": self.name,
            "PATH": os.environ.get("PATH", _MINIMAL_PATH),
            "SHELL": "/bin/sh",
            "USER": self.name,
        }


def _account(uid: int) -> tuple[str, str]:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), "/"
    return entry.pw_name, entry.pw_dir


class Owner(Protocol):
    """What a session needs of its server."""

    run_as: RunAs
    sessions: "set[CommandSession]"

    def own(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it is done."""
        ...


class _Pipes(asyncio.SubprocessProtocol):
    """The process's side: its output goes into the channel, its end ends the session."""

    def __init__(self, session: "CommandSession") -> None:
        self._session = session
        self._open = {1, 2}
        self._transport: asyncio.SubprocessTransport | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.exited = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process runs."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Output."""
        self._session.channel.write(data, asyncssh.EXTENDED_DATA_STDERR if fd == 2 else None)
        if self.exited:
            self._wait_for_silence()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """One of the pipes was closed by the process, and by whatever it left behind."""
        self._open.discard(fd)
        self._finish_if_done()

    def process_exited(self) -> None:
        """The command has ended; a daemon it left behind may hold its output open."""
        self.exited = True
        self._finish_if_done()
        if self._open:
            self._wait_for_silence()

    def pause_writing(self) -> None:
        """The process does not read its input for now."""
        self._session.channel.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        # Not right here: the pipe calls from the middle of its own writing, and if the end of the input were
        # handed to it there, it would drop what it could not write at once.
        asyncio.get_running_loop().call_soon(self._session.channel.resume_reading)

    def _wait_for_silence(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self._linger = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._finish)

    def _finish_if_done(self) -> None:
        if self.exited and not self._open:
            self._finish()

    def _finish(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._transport is not None:
            status = self._transport.get_returncode()
            self._transport.close()
            self._transport = None
            self._session.report(status)


class CommandSession(asyncssh.SSHServerSession[bytes]):
    """One command, from the request to its exit status."""

    def __init__(self, server: Owner) -> None:
        self._server = server
        self._command = ""
        self._process: asyncio.SubprocessTransport | None = None
        self._pipes = _Pipes(self)
        self._early: list[bytes] = []  # input that came before the process; bounded by the SSH window
        self._input_ended = False
        self._gone = False
        self.channel: asyncssh.SSHServerChannel[bytes]

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is open; the command comes next."""
        self.channel = chan

    def exec_requested(self, command: str) -> bool:
        """Only commands: a shell or a subsystem is refused by asyncssh's defaults."""
        self._command = command
        return True

    def session_started(self) -> None:
        """Start it."""
        self._server.own(asyncio.create_task(self._start(), name="lab-sshd-command"))

    async def _start(self) -> None:
        run_as = self._server.run_as
        identity: dict[str, Any] = {}
        if run_as.uid is not None:
            identity = {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}
        try:
            process, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: self._pipes,
                "/bin/sh",
                "-c",
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=run_as.folder,
                env=run_as.environment(),
                start_new_session=True,
                **identity,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as fault:
            self.channel.write(f"cannot start the command: {fault}\n".encode(), asyncssh.EXTENDED_DATA_STDERR)
            self.report(126)
            return
        self._process = process
        if self._gone:
            await self._end()
            return
        early, self._early = self._early, []
        for data in early:
            self.data_received(data, None)
        if self._input_ended:
            self.eof_received()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Input for the command."""
        if self._process is None:
            self._early.append(data)
            return
        stdin = self._process.get_pipe_transport(0)
        if isinstance(stdin, asyncio.WriteTransport) and not stdin.is_closing():
            stdin.write(data)

    def eof_received(self) -> bool:
        """The end of its input; its output goes on."""
        self._input_ended = True
        if self._process is not None and (stdin := self._process.get_pipe_transport(0)) is not None:
            stdin.close()
        return True

    def pause_writing(self) -> None:
        """The caller does not take more output for now: let the process wait."""
        for pipe in self._outputs():
            pipe.pause_reading()

    def resume_writing(self) -> None:
        """The caller takes output again."""
        for pipe in self._outputs():
            pipe.resume_reading()

    def _outputs(self) -> list[asyncio.ReadTransport]:
        pipes = [self._process.get_pipe_transport(fd) for fd in (1, 2)] if self._process else []
        return [pipe for pipe in pipes if isinstance(pipe, asyncio.ReadTransport) and not pipe.is_closing()]

    def signal_received(self, signal: str) -> None:
        """Pass a signal on to the command and everything it started in its group."""
        self._signal(signal)

    def report(self, status: int | None) -> None:
        """Tell the caller how it ended."""
        if status is not None and status < 0:
            self.channel.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            self.channel.exit(status or 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed: nobody waits for the command any more."""
        self._gone = True
        self._server.sessions.discard(self)
        if self._process is not None:
            self._server.own(asyncio.create_task(self._end(), name="lab-sshd-end"))

    async def _end(self) -> None:
        if self._process is not None and self._signal("TERM"):
            await asyncio.sleep(_END_GRACE_SECONDS)
            # The command itself may be gone by now; what it started may be more stubborn.
            with suppress(ProcessLookupError):
                os.killpg(self._process.get_pid(), signal.SIGKILL)
        if self._process is not None:
            self._process.close()

    def end_now(self) -> None:
        """The server stops: no command outlives it."""
        self._gone = True
        self._signal("KILL")

    def _signal(self, name: str) -> bool:
        """Signal the command's group; False where there is nobody to signal. A process that left the group
        (a daemon with a session of its own) is not reached, as with any sshd."""
        number = getattr(signal, f"SIG{name}", None)
        if self._process is None or self._pipes.exited or number is None:
            return False
        try:
            os.killpg(self._process.get_pid(), number)
        except ProcessLookupError:
            return False
        return True
