"""Real receivers on loopback: an SMTP server, a web hook, and Debian's Alertmanager.

Each keeps what it was given. They can hang or refuse, which is what receivers do at the worst moment.
"""

import asyncio
import contextlib
import email
import email.policy
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
START_SECONDS = 30.0


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class MailServer:
    """An SMTP server (RFC 5321, as much of it as mail clients use). `hangs`: it takes connections and says
    nothing; `refuses`: it takes no recipient, with a temporary error."""

    port: int = 0
    hangs: bool = False
    refuses: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """As apprise writes it."""
        return f"mailto://127.0.0.1:{self.port}?from=twinsite@council.example&to=oncall@council.example"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["MailServer"]:
        """Listen while inside."""
        conversations: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            conversations.add(task)
            self.connections += 1
            try:
                await self._converse(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # whoever wrote has gone away, or the server ends
            finally:
                conversations.discard(task)
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in conversations:
                task.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        if self.hangs:
            await asyncio.Event().wait()
        await say("220 mail.example ESMTP")
        while line := (await reader.readline()).decode(errors="replace").strip():
            verb = line.upper().split(" ")[0]
            if verb == "EHLO":
                await say("250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8")
            elif verb == "RCPT" and self.refuses:
                await say("451 4.7.1 try again later")
            elif verb == "DATA":
                await say("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                body = raw[:-5].replace(b"\r\n..", b"\r\n.")
                self.mails.append(email.message_from_bytes(body, policy=email.policy.default))  # type: ignore[arg-type]
                self.arrived.set()
                await say("250 taken")
            elif verb == "QUIT":
                await say("221 bye")
                return
            else:
                await say("250 ok")


@dataclass
class WebHook:
    """A web hook, and a door like Alertmanager's beside it, which needs no process to be written to.
    `status`: what they answer; `hangs`: they never do; `titles`: of the alerts that were taken."""

    status: int = 200
    hangs: bool = False
    port: int = 0
    given: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """As apprise writes it."""
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def door(self) -> str:
        """Where alerts are taken, as sites.yaml writes it."""
        return f"alertmanager://127.0.0.1:{self.port}"

    @property
    def titles(self) -> list[str]:
        """What the alerts say first."""
        return [alert["annotations"]["summary"] for alert in self.alerts]

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["WebHook"]:
        """Listen while inside."""
        app = web.Application()
        app.add_routes([web.post("/hook", self._take), web.post("/api/v2/alerts", self._take)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self.port = self.port or free_port()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.status == 200:
            said = await request.json()
            if isinstance(said, list):
                self.alerts += said
            else:
                self.given.append(said)
            self.arrived.set()
        return web.Response(status=self.status, text="as told")


@dataclass
class Alertmanager:
    """Debian's, alone and with nobody to tell."""

    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """As sites.yaml writes it."""
        return f"alertmanager://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Alertmanager"]:
        """Run while inside."""
        assert ALERTMANAGER is not None
        config = self.folder / "alertmanager.yml"
        config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n", encoding="utf-8")
        process = subprocess.Popen(
            [
                ALERTMANAGER,
                f"--config.file={config}",
                f"--storage.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._ready():
                    assert process.poll() is None, "alertmanager has ended"
                    await asyncio.sleep(0.1)
            yield self
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)

    async def _ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/-/ready") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def alerts(self) -> list[dict[str, Any]]:
        """What is firing there now."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/api/v2/alerts") as answer,
        ):
            found: list[dict[str, Any]] = await answer.json()
            return found
