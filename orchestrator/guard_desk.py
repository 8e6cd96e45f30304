"""Where the guards of a site's database hosts reach its keeper: JSON lines over mutual TLS.

The desk checks who speaks and what is said, and hands it on; it decides nothing. It stands in the process
that keeps the lease: nothing here waits for anybody, what one guard may send and leave unread is bounded, and
one that babbles, falls silent or is slow loses its connection and nothing else.

Guard to keeper, the first line and then in any order:
    {"hello": 1, "site": …, "service": …, "host": …, "protects": […], "lacks": […]}
    {"question": nonce, "open": bool, "incarnation": n, "epoch": n, "clock_ns": n, "certified": bool}
    {"acknowledged": number, "fenced": bool, "incarnation": n, "evidence": "…"}
    {"refused": code, "evidence": "…"}
Keeper to guard:
    {"answer": nonce, "service": …, "incarnation": n, "epoch": n, "remaining_ns": n, "manual": bool}
    {"order": number, "kind": "fence|learn|automatic|ask", "service": …, "incarnation": n, "why": "…"}
    {"certificate": "the text of an operator's certificate of broken glass", "service": …}
"""

import asyncio
import json
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import structlog

from orchestrator.clock import boottime_ns
from orchestrator.core.clocks import ClockTrack
from orchestrator.tls_door import Pace, TlsDoor
from sites.identity import CertificateFiles, guard_identity, identity_in

log = structlog.get_logger(__name__)

HELLO_VERSION = 1
LONGEST_LINE_BYTES = 16 * 1024
UNREAD_LIMIT_BYTES = 64 * 1024
LINES_A_SECOND = 100
HELLO_WITHIN_SECONDS = 5.0
SILENCE_SECONDS = 15.0  # at least; a guard's host may have gone without a word
SILENCE_QUESTIONS = 10
SWEEP_SECONDS = 0.5
LONGEST_TEXT = 500
LONGEST_NONCE = 64
MOST_NAMED = 32
LARGEST_NUMBER = 1 << 62

# Why a guard lost its connection, for the log and for metrics.
NOT_UNDERSTOOD = "not-understood"
TOO_MUCH = "too-much-said"
TOO_SLOW = "reads-too-slowly"
SILENT = "silent"
NO_HELLO = "no-hello"
OTHER_SERVICE = "hello-of-another"
REPLACED = "replaced"
GONE = "gone"
CLOSED = "closed-here"


@dataclass(frozen=True, slots=True)
class Hello:
    """What a guard said of itself. `protects`: its fencing kinds; `lacks`: what this host cannot be protected
    from, in words. `certificate_ends_unix_seconds`: when the certificate it showed runs out."""

    site: str
    service: str
    host: str
    protects: tuple[str, ...]
    lacks: tuple[str, ...]
    certificate_ends_unix_seconds: float


@dataclass(frozen=True, slots=True)
class DeskStatistics:
    """What has happened at the desk so far, each counted by code. `lost`: connections that were ended here,
    for a reason; guards that went by themselves are not among them."""

    connected: Mapping[str, Hello]
    not_let_in: Mapping[str, int]
    lost: Mapping[str, int]


class GuardCallbacks(Protocol):
    """What the desk tells, at once and in the order in which it was said. None of it may wait."""

    def on_connected(self, service: str, hello: Hello) -> None:
        """The guard is there; of a service that had another connection, on_gone came before."""

    def on_gone(self, service: str) -> None:
        """The guard's connection has ended."""

    def on_question(
        self, service: str, nonce: str, open_: bool, incarnation: int, epoch: int, certified: bool
    ) -> None:
        """P18: the guard asks; reply with `GuardDesk.answer`. `certified`: by P31 it is open."""

    def on_acknowledged(
        self, service: str, number: int, fenced: bool, incarnation: int, evidence: str
    ) -> None:
        """The guard has carried the order of that number out."""

    def on_refused(self, service: str, code: str, evidence: str) -> None:
        """The guard did not accept an answer."""


class GuardDesk:
    """The desk of one site."""

    def __init__(
        self,
        host: str | None,
        port: int,
        files: CertificateFiles,
        site: str,
        services: Collection[str],
        callbacks: GuardCallbacks,
        *,
        guard_every_seconds: float,
    ) -> None:
        """`host` None: all addresses of this machine (see `tls_door.bind_address`). `services`: those whose
        guards may come. `guard_every_seconds`: how often each of them asks."""
        self._site = site
        self._silence_seconds = max(SILENCE_SECONDS, SILENCE_QUESTIONS * guard_every_seconds)
        self._callbacks = callbacks
        self._expected = {guard_identity(site, service): service for service in services}
        self._door = TlsDoor("guards", host, port, files, self._expected.__contains__, self._new)
        self._there: dict[str, _GuardLine] = {}
        self._strangers: set[_GuardLine] = set()
        self._lost: dict[str, int] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port listened at."""
        return self._door.port

    @property
    def connected(self) -> Mapping[str, Hello]:
        """The guards that are there, by service."""
        return {service: line.hello for service, line in self._there.items() if line.hello is not None}

    def clock_rates(self) -> Mapping[str, float]:
        """How the guards' clocks run against this machine's (`ClockTrack.rate`), where that is known."""
        rates = {service: line.clock.rate for service, line in self._there.items()}
        return {service: rate for service, rate in rates.items() if rate is not None}

    def statistics(self) -> DeskStatistics:
        """A snapshot for metrics and status."""
        return DeskStatistics(self.connected, self._door.refused, MappingProxyType(dict(self._lost)))

    async def start(self) -> None:
        """Listen. Raises DoorTaken, CertificateMisuse."""
        await self._door.start()
        self._sweep()

    async def reload(self) -> None:
        """Read the certificates again; guards that are connected stay so. Raises CertificateMisuse, and then
        what was read before still counts."""
        await self._door.reload()

    async def aclose(self) -> None:
        """Close every connection and listen no more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for line in [*self._strangers, *self._there.values()]:
            line.end(CLOSED)
        await self._door.aclose()

    def answer(
        self, service: str, nonce: str, incarnation: int, epoch: int, remaining_ns: int, manual: bool
    ) -> None:
        """P18: answer a question. One that was asked over a connection which is no more is not answered: its
        guard has asked again, or will."""
        line = self._there.get(service)
        if line is not None and line.asked == nonce:
            line.asked = None
            line.say(
                {
                    "answer": nonce,
                    "service": service,
                    "incarnation": incarnation,
                    "epoch": epoch,
                    "remaining_ns": remaining_ns,
                    "manual": manual,
                }
            )

    def order(self, service: str, number: int, kind: str, incarnation: int, why: str) -> bool:
        """Order something of a guard; false when none is there to take it. True says that it was sent, not
        that it arrived: only the acknowledgement says that."""
        line = self._there.get(service)
        return line is not None and line.say(
            {"order": number, "kind": kind, "service": service, "incarnation": incarnation, "why": why}
        )

    def hand_certificate(self, service: str, text: str) -> bool:
        """P31: hand an operator's certificate on; false when no guard is there to take it. The guard itself
        checks whose it is, and records it."""
        line = self._there.get(service)
        return line is not None and line.say({"certificate": text, "service": service})

    # --- the connections -----------------------------------------------------------------------------

    def _new(self) -> "_GuardLine":
        return _GuardLine(self)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(SWEEP_SECONDS, self._sweep)
        now = loop.time()
        for line in list(self._strangers):
            if now - line.heard_at > HELLO_WITHIN_SECONDS:
                line.end(NO_HELLO)
        for line in list(self._there.values()):
            if now - line.heard_at > self._silence_seconds:
                line.end(SILENT)

    def came(self, line: "_GuardLine") -> None:
        """A connection of a known identity; it has said nothing yet."""
        self._strangers.add(line)

    def service_of(self, identity: str) -> str:
        """The service whose guard has this identity; the handshake let in no other."""
        return self._expected[identity]

    def introduced(self, line: "_GuardLine", hello: Hello) -> None:
        """It has said hello: from now on it is the service's guard, and an older connection is not."""
        self._strangers.discard(line)
        older = self._there.get(hello.service)
        if older is not None:
            older.end(REPLACED)
        self._there[hello.service] = line
        log.info(
            "guard-connected",
            service=hello.service,
            host=hello.host,
            protects=hello.protects,
            lacks=hello.lacks,
        )
        self._callbacks.on_connected(hello.service, hello)

    def said(self, line: "_GuardLine", hello: Hello, message: "_Said") -> None:
        """A message of an introduced guard."""
        service = hello.service
        match message:
            case _Question():
                line.asked = message.nonce
                if message.clock_ns is not None:
                    line.clock = line.clock.heard(boottime_ns(), message.clock_ns)
                self._callbacks.on_question(
                    service,
                    message.nonce,
                    message.open,
                    message.incarnation,
                    message.epoch,
                    message.certified,
                )
            case _Acknowledged():
                self._callbacks.on_acknowledged(
                    service, message.number, message.fenced, message.incarnation, message.evidence
                )
            case _Refused():
                self._callbacks.on_refused(service, message.code, message.evidence)

    def gone(self, line: "_GuardLine", code: str, evidence: str) -> None:
        """A connection has ended, called once for each."""
        self._strangers.discard(line)
        service = line.service
        usual = code in (GONE, CLOSED)
        if not usual:
            self._lost[code] = self._lost.get(code, 0) + 1
        say = log.info if usual else log.warning
        say("guard-gone", service=service, code=code, evidence=evidence)
        if self._there.get(service) is line:
            del self._there[service]
            self._callbacks.on_gone(service)


class _GuardLine(asyncio.Protocol):
    """One guard's connection. Synchronous throughout: a line is dealt with when its end has arrived."""

    def __init__(self, desk: GuardDesk) -> None:
        self._desk = desk
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._pace = Pace(LINES_A_SECOND, 1.0)
        self._certificate_ends = 0.0
        self._ended = False
        self.identity = ""
        self.service = ""
        self.hello: Hello | None = None
        self.asked: str | None = None
        self.clock = ClockTrack()  # of this connection: a host that starts anew comes over another one
        self.heard_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        certificate = transport.get_extra_info("peercert")
        self.identity = identity_in(certificate)
        self.service = self._desk.service_of(self.identity)
        self._certificate_ends = float(ssl.cert_time_to_seconds(certificate["notAfter"]))
        self.heard_at = asyncio.get_running_loop().time()
        self._desk.came(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._ended:
            line, newline, rest = self._buffer.partition(b"\n")
            if len(line) > LONGEST_LINE_BYTES:
                return self.end(TOO_MUCH, f"a line of more than {LONGEST_LINE_BYTES} bytes")
            if not newline:
                return None
            self._buffer = rest
            self._take(bytes(line))
        return None

    def _take(self, line: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if not self._pace.allows(now):
            return self.end(TOO_MUCH, f"more than {LINES_A_SECOND} lines a second")
        try:
            parsed = _object(line)
            if self.hello is None:
                return self._introduce(parsed, now)
            message = _message(parsed)
        except _NotUnderstood as fault:
            return self.end(NOT_UNDERSTOOD, str(fault))
        self.heard_at = now
        self._desk.said(self, self.hello, message)
        return None

    def _introduce(self, parsed: dict[str, Any], now: float) -> None:
        hello = _hello(parsed, self._certificate_ends)
        if guard_identity(hello.site, hello.service) != self.identity:
            # What a guard is for stands in its certificate; one that says otherwise is set up wrongly.
            said = f"says it is for {hello.service} at {hello.site}"
            return self.end(OTHER_SERVICE, f"{said}, with the certificate of {self.identity}")
        self.hello = hello
        self.heard_at = now
        self._desk.introduced(self, hello)
        return None

    def say(self, message: dict[str, Any]) -> bool:
        """Send a line; false when the connection is no more."""
        if self._transport is None or self._ended:
            return False
        if self._transport.get_write_buffer_size() > UNREAD_LIMIT_BYTES:
            self.end(TOO_SLOW, f"more than {UNREAD_LIMIT_BYTES} bytes unread")
            return False
        self._transport.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        return True

    def end(self, code: str, evidence: str = "") -> None:
        """Close it for a reason of ours."""
        if not self._ended:
            self._ended = True
            self._buffer.clear()
            if self._transport is not None:
                self._transport.abort()
            self._desk.gone(self, code, evidence)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(GONE, str(exc or ""))


# --- what guards say -----------------------------------------------------------------------------------


class _NotUnderstood(Exception):
    """Not a message of this protocol."""


@dataclass(frozen=True, slots=True)
class _Question:
    nonce: str
    open: bool
    incarnation: int
    epoch: int
    clock_ns: int | None
    certified: bool


@dataclass(frozen=True, slots=True)
class _Acknowledged:
    number: int
    fenced: bool
    incarnation: int
    evidence: str


@dataclass(frozen=True, slots=True)
class _Refused:
    code: str
    evidence: str


_Said = _Question | _Acknowledged | _Refused


def _object(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise _NotUnderstood(f"not JSON: {fault}") from fault
    if not isinstance(parsed, dict):
        raise _NotUnderstood("not a JSON object")
    return parsed


def _hello(parsed: dict[str, Any], certificate_ends: float) -> Hello:
    if parsed.get("hello") != HELLO_VERSION:
        raise _NotUnderstood(f"hello {str(parsed.get('hello'))[:20]!r}, expected {HELLO_VERSION}")
    return Hello(
        _text(parsed, "site"),
        _text(parsed, "service"),
        _text(parsed, "host"),
        _texts(parsed, "protects"),
        _texts(parsed, "lacks"),
        certificate_ends,
    )


def _message(parsed: dict[str, Any]) -> _Said:
    if "question" in parsed:
        nonce = _text(parsed, "question")
        if not 0 < len(nonce) <= LONGEST_NONCE:
            raise _NotUnderstood(f"a question of {len(nonce)} characters")
        clock_ns = _number(parsed, "clock_ns") if "clock_ns" in parsed else None  # older guards show none
        certified = _truth(parsed, "certified") if "certified" in parsed else False
        return _Question(
            nonce,
            _truth(parsed, "open"),
            _number(parsed, "incarnation"),
            _number(parsed, "epoch"),
            clock_ns,
            certified,
        )
    if "acknowledged" in parsed:
        return _Acknowledged(
            _number(parsed, "acknowledged"),
            _truth(parsed, "fenced"),
            _number(parsed, "incarnation"),
            _text(parsed, "evidence"),
        )
    if "refused" in parsed:
        return _Refused(_text(parsed, "refused"), _text(parsed, "evidence"))
    raise _NotUnderstood(f"a message of {', '.join(sorted(parsed))[:100] or 'nothing'}")


def _text(parsed: dict[str, Any], key: str) -> str:
    found = parsed.get(key)
    if not isinstance(found, str):
        raise _NotUnderstood(f"{key}: not a text")
    return found[:LONGEST_TEXT].encode(errors="replace").decode()  # half a character is none


def _texts(parsed: dict[str, Any], key: str) -> tuple[str, ...]:
    found = parsed.get(key)
    if not isinstance(found, list):
        raise _NotUnderstood(f"{key}: not a list")
    return tuple(_text({key: each}, key) for each in found[:MOST_NAMED])


def _truth(parsed: dict[str, Any], key: str) -> bool:
    found = parsed.get(key)
    if not isinstance(found, bool):
        raise _NotUnderstood(f"{key}: neither true nor false")
    return found


def _number(parsed: dict[str, Any], key: str) -> int:
    found = parsed.get(key)
    if type(found) is not int or not 0 <= found <= LARGEST_NUMBER:
        raise _NotUnderstood(f"{key}: not a whole number of ours")
    return found
