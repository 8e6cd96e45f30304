"""The local socket between a site's keeper and its controller: one JSON object a line.

Controller to keeper: `{"turn": 1}`, `{"voters": {"own": true, "peer": true, "witness": null}}`,
`{"distrust": {…}}`, `{"ask": 7, "kind": "TakeOver", "what": {…}}`.
Keeper to controller: `{"view": {…}}`, `{"reply": {…}}`. The asks are those of `orchestrator.core.messages`.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from orchestrator.core import messages
from orchestrator.core.adapters import adapter
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.messages import Ask, Reply
from orchestrator.core.restored import AcceptStore
from orchestrator.state_folder import told_of
from orchestrator.store.continuity import Break

log = structlog.get_logger(__name__)

LINE_LIMIT_BYTES = 8 * 1024 * 1024
UNREAD_LIMIT_BYTES = 8 * 1024 * 1024

_ASKS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        messages.StartRun,
        messages.RequestGiveUp,
        messages.GiveUpDead,
        messages.TakeOver,
        messages.MayPowerOff,
        messages.Claim,
        messages.Settle,
        messages.SetPause,
        messages.Acknowledge,
        messages.SetMode,
        messages.MayAct,
        messages.InstanceOpened,
        messages.FenceHere,
        messages.CertifyPeer,
        messages.BreakGlass,
        messages.Reconcile,
        messages.CertifyOwner,
        AcceptStore,
    )
}


class KeeperGone(Exception):
    """The keeper's socket does not answer (any more)."""


def encode_ask(number: int, what: Ask | AcceptStore) -> bytes:
    """An ask as a line."""
    kind = type(what).__name__
    return json.dumps(
        {"ask": number, "kind": kind, "what": adapter(type(what)).dump_python(what, mode="json")}
    ).encode()


def decode_ask(line: dict[str, Any]) -> Ask | AcceptStore:
    """The ask in a parsed line. Raises ValueError for one this version does not know."""
    kind = _ASKS.get(line["kind"])
    if kind is None:
        raise ValueError(f"unknown ask {line['kind']}")
    ask: Ask | AcceptStore = adapter(kind).validate_python(line["what"])
    return ask


def encode_view(view: KeeperView) -> bytes:
    """A picture as a line."""
    return b'{"view":' + adapter(KeeperView).dump_json(view) + b"}"


def encode_reply(reply: Reply) -> bytes:
    """A reply as a line."""
    return b'{"reply":' + adapter(Reply).dump_json(reply) + b"}"


@dataclass(frozen=True, slots=True)
class Turn:
    """The controller has completed a turn (P1)."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """An ask, by the number its controller gave it."""

    number: int
    what: Ask | AcceptStore


class KeeperLink:
    """The controller's end. `on_view` is called for every picture, in order."""

    def __init__(self, path: Path, on_view: Callable[[KeeperView], None]) -> None:
        self._path = path
        self._on_view = on_view
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._next = 1
        self._writer: asyncio.StreamWriter | None = None

    @property
    def connected(self) -> bool:
        """Whether the keeper is at the other end."""
        return self._writer is not None

    async def serve(self) -> None:
        """Connect and read until the keeper goes away. Raises KeeperGone."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_unix_connection(str(self._path), limit=LINE_LIMIT_BYTES)
        except (OSError, TimeoutError) as fault:
            raise KeeperGone(f"no keeper at {self._path}: {fault}") from fault
        self._writer = writer
        try:
            while line := await reader.readline():
                parsed = json.loads(line)
                if "view" in parsed:
                    self._on_view(adapter(KeeperView).validate_python(parsed["view"]))
                elif "reply" in parsed:
                    reply = adapter(Reply).validate_python(parsed["reply"])
                    future = self._waiting.pop(reply.ask, None)
                    if future is not None and not future.done():
                        future.set_result(reply)
        except OSError as fault:
            raise KeeperGone(str(fault)) from fault
        except ValueError as fault:
            raise KeeperGone(
                f"what the keeper says is not understood; is it of another version? {fault}"
            ) from fault
        finally:
            self._writer = None
            writer.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(KeeperGone("the keeper went away before it answered"))
            self._waiting.clear()
        raise KeeperGone("the keeper closed the connection")

    def voters(self, seen: messages.VotersSeen) -> None:
        """Tell which members of the store answer (P29)."""
        if self._writer is not None:
            self._writer.write(b'{"voters":' + adapter(messages.VotersSeen).dump_json(seen) + b"}\n")

    def distrust(self, found: Break) -> None:
        """Tell that the store is not the one we knew (P33)."""
        if self._writer is not None:
            self._writer.write(b'{"distrust":' + adapter(Break).dump_json(found) + b"}\n")

    def turn(self) -> None:
        """Tell that a turn was completed (P1)."""
        if self._writer is not None:
            self._writer.write(b'{"turn":1}\n')

    async def ask(self, what: Ask | AcceptStore, *, timeout_seconds: float) -> Reply:
        """Ask and wait for the reply. Raises KeeperGone, also when no reply comes in time."""
        if self._writer is None:
            raise KeeperGone(f"no keeper at {self._path}")
        number = self._next
        self._next += 1
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._writer.write(encode_ask(number, what) + b"\n")
        try:
            async with asyncio.timeout(timeout_seconds):
                return await future
        except TimeoutError as fault:
            raise KeeperGone(f"no reply to {type(what).__name__} within {timeout_seconds:g} s") from fault
        finally:
            self._waiting.pop(number, None)


class KeeperServer:
    """The keeper's end: hands asks and turns to callbacks, sends pictures to every controller connected."""

    def __init__(
        self,
        path: Path,
        on_ask: Callable[[int, Ask | AcceptStore], None],
        on_turn: Callable[[], None],
        on_voters: Callable[[messages.VotersSeen], None] = lambda seen: None,
        on_distrust: Callable[[Break], None] = lambda found: None,
    ) -> None:
        self._path = path
        self._on_ask = on_ask
        self._on_turn = on_turn
        self._on_voters = on_voters
        self._on_distrust = on_distrust
        self._asked: dict[int, tuple[asyncio.StreamWriter, int]] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._talks: set[asyncio.Task[None]] = set()
        self._next = 1
        self._last_view: bytes = b""
        self._server: asyncio.Server | None = None

    @property
    def controllers(self) -> int:
        """How many controllers are connected."""
        return len(self._writers)

    async def start(self) -> None:
        """Listen; the socket is for this user alone. Raises StateUnusable."""
        with told_of(self._path):
            self._path.unlink(missing_ok=True)
            path = str(self._path)
            self._server = await asyncio.start_unix_server(self._talk, path, limit=LINE_LIMIT_BYTES)
            self._path.chmod(0o600)

    async def aclose(self) -> None:
        """Listen no more, and close every connection."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def show(self, view: KeeperView) -> None:
        """Send a picture to all. One that reads no more (it is stopped, or hangs) loses its connection: what
        it has not read must not grow without end here."""
        self._last_view = encode_view(view) + b"\n"
        for writer in self._writers:
            if writer.transport.get_write_buffer_size() > UNREAD_LIMIT_BYTES:
                writer.transport.abort()
            else:
                writer.write(self._last_view)

    def reply(self, reply: Reply) -> None:
        """Send a reply to whoever asked."""
        writer, number = self._asked.pop(reply.ask, (None, 0))
        if writer is not None and writer in self._writers:
            sent = Reply(number, reply.done, reply.code, reply.message, reply.revision)
            writer.write(encode_reply(sent) + b"\n")

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        self._writers.add(writer)
        if self._last_view:
            writer.write(self._last_view)
        try:
            while (said := await _heard(reader)) is not None:
                if isinstance(said, Turn):
                    self._on_turn()
                elif isinstance(said, messages.VotersSeen):
                    self._on_voters(said)
                elif isinstance(said, Break):
                    self._on_distrust(said)
                else:
                    self._take(said, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(self, asked: Numbered, writer: asyncio.StreamWriter) -> None:
        number = self._next
        self._next += 1
        self._asked[number] = (writer, asked.number)
        self._on_ask(number, asked.what)


async def _heard(reader: asyncio.StreamReader) -> Turn | messages.VotersSeen | Break | Numbered | None:
    """The next thing a controller said; None when it went away. One that babbles loses its connection too,
    and nothing else: an ask half understood must not be carried out."""
    try:
        line = await reader.readline()
        if not line:
            return None
        parsed = json.loads(line)
        if "voters" in parsed:
            seen: messages.VotersSeen = adapter(messages.VotersSeen).validate_python(parsed["voters"])
            return seen
        if "distrust" in parsed:
            found: Break = adapter(Break).validate_python(parsed["distrust"])
            return found
        return Turn() if "turn" in parsed else Numbered(int(parsed["ask"]), decode_ask(parsed))
    except OSError:
        return None
    except (ValueError, KeyError, TypeError) as fault:
        log.warning("controller-not-understood", problem=str(fault))
        return None
