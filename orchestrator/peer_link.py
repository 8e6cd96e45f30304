"""Between the two sites' keepers: HTTPS with certificates on both sides, one request for each promise.

    POST /v1/promise   {"site", "number", "nonce", "keeper", "incarnations": […], "lease_duration_ns"}
                       -> {"number", "nonce", "granted", "code", "message"}         from the peer alone
    GET  /v1/hello     -> {"site", "version", "certificate_ends_unix_seconds"}      from any site's controller
                                                                                    and from the witness
    GET  /v1/store  -> what this keeper knows of its store (P33)                    from the peer alone

P14: silence and refusal are the same, so every trouble is "not granted", with a reason that is kept. What is
seen a second time binds nobody (`promise_wire`). What either end may send and leave open is bounded.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog

from orchestrator import PRODUCT
from orchestrator.promise_wire import (
    LONGEST_TEXT,
    NotAnAnswer,
    PromiseReply,
    PromiseRequest,
    RequestsSeen,
    bounded,
    read_greeting,
    read_reply,
    reply_body,
)
from orchestrator.tls_door import Pace, TlsDoor
from sites.identity import (
    CODES,
    CertificateFiles,
    CertificateMisuse,
    client_context,
    controller_identity,
    identity_in,
    trouble_of,
    witness_identity,
)

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

log = structlog.get_logger(__name__)

BODY_WITHIN_SECONDS = 2.0
IDLE_CONNECTION_SECONDS = 75.0
REQUESTS_A_SECOND = 50
MOST_OPEN_REQUESTS = 4
MOST_CONNECTIONS = 64
GREET_EVERY_SECONDS = 5.0
GIVEN_UP_AFTER_SECONDS = 5.0
MOST_UNDERWAY = 8
ADDRESSES_KEPT_SECONDS = 3600  # a lost link often takes the way to the name servers with it
SHOWN_BY_PEER = frozenset(
    {
        "certificate-expired",
        "certificate-not-yet-valid",
        "certificate-foreign",
        "identity-wrong",
        "host-wrong",
    }
)
NOT_BELIEVED = SHOWN_BY_PEER | {"reply-of-another", "not-understood"}
PROMISE = "/v1/promise"
HELLO = "/v1/hello"
STORE = "/v1/store"


class PeerServer:
    """This site's end that is asked. Each request that is new and understood becomes one call of
    `on_promise_asked(request, keeper, incarnations, lease_duration_ns)`, which must not wait. It is answered
    by `answer`: at once, later or never."""

    def __init__(
        self,
        host: str | None,
        port: int,
        files: CertificateFiles,
        site: str,
        peer: str,
        witness: str | None,
        on_promise_asked: Callable[[int, str, tuple[int, ...], int], None],
        *,
        answer_within_seconds: float,
    ) -> None:
        """`host` None: all addresses of this machine. `answer_within_seconds`: after that long without an
        `answer` the peer is told no; it has given up waiting long before."""
        self._site = site
        self._peer = controller_identity(peer)
        self._peer_site = peer
        self._files = files
        self._on_promise_asked = on_promise_asked
        self._answer_within_seconds = answer_within_seconds
        known = {self._peer, controller_identity(site)}
        if witness is not None:
            known.add(witness_identity(witness))
        self._door = TlsDoor("peer", host, port, files, known.__contains__, self._new)
        self._http: web.Server | None = None
        self._waiting: dict[int, asyncio.Future[PromiseReply]] = {}
        self._next = 1
        self._seen = RequestsSeen()
        self._pace = Pace(REQUESTS_A_SECOND, 1.0)
        self._refused: dict[str, int] = {}
        self._certificate_ends: float | None = None
        self._noting: asyncio.Task[None] | None = None
        self.store_word: Callable[[], bytes] | None = None

    @property
    def port(self) -> int:
        """The port listened at."""
        return self._door.port

    @property
    def not_let_in(self) -> Mapping[str, int]:
        """Who was refused in the handshake, by code."""
        return self._door.refused

    @property
    def refused(self) -> Mapping[str, int]:
        """Requests that were refused here without asking anybody, by code."""
        return MappingProxyType(dict(self._refused))

    async def start(self) -> None:
        """Listen. Raises DoorTaken, CertificateMisuse."""
        from aiohttp import web

        self._http = web.Server(
            self._serve,
            access_log=None,
            keepalive_timeout=IDLE_CONNECTION_SECONDS,
            lingering_time=BODY_WITHIN_SECONDS,
            tcp_keepalive=True,
        )
        await self._door.start()
        self._noting = asyncio.create_task(self._note_end())  # whoever asks need not wait for it

    async def reload(self) -> None:
        """Read the certificates again; connections that are there stay. Raises CertificateMisuse, and then
        what was read before still counts."""
        await self._door.reload()
        await self._note_end()

    async def aclose(self) -> None:
        """Listen no more; who waits for an answer gets none."""
        if self._noting is not None:
            await asyncio.gather(self._noting, return_exceptions=True)
        await self._door.aclose()
        for waiting in self._waiting.values():
            waiting.cancel()
        if self._http is not None:
            await self._http.shutdown(timeout=1.0)

    def answer(self, request: int, granted: bool, code: str = "", message: str = "") -> None:
        """Answer a request; one that nobody waits for any more is left alone."""
        waiting = self._waiting.pop(request, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(PromiseReply(granted, code, message))

    async def _note_end(self) -> None:
        def look() -> float:
            from orchestrator.certificates.reading import ends_unix_seconds

            return ends_unix_seconds(self._files.certificate)

        try:
            self._certificate_ends = await asyncio.to_thread(look)
        except CertificateMisuse as fault:
            log.warning("certificate-end-unknown", problem=str(fault))

    def _new(self) -> asyncio.Protocol:
        assert self._http is not None
        return _TooMany() if len(self._http.connections) >= MOST_CONNECTIONS else self._http()

    # --- requests ------------------------------------------------------------------------------------

    async def _serve(self, request: "web.BaseRequest") -> "web.StreamResponse":
        if not self._pace.allows(asyncio.get_running_loop().time()):
            return self._no(429, "too-many-requests")
        who = identity_in(request.get_extra_info("peercert"))
        if request.path == HELLO and request.method == "GET":
            return _json(
                200,
                {
                    "site": self._site,
                    "version": PRODUCT,
                    "certificate_ends_unix_seconds": self._certificate_ends,
                },
            )
        if request.path == STORE and request.method == "GET" and who == self._peer and self.store_word:
            return _raw(self.store_word())
        if request.path != PROMISE or request.method != "POST":
            return self._no(404, "not-a-request")
        if who != self._peer:
            return self._no(403, "not-the-peer")
        return await self._serve_promise(request)

    async def _serve_promise(self, request: "web.BaseRequest") -> "web.StreamResponse":
        try:
            async with asyncio.timeout(BODY_WITHIN_SECONDS):
                raw = await bounded(request.content)
            asked = PromiseRequest.of(raw)
        except (ValueError, TimeoutError, OSError, aiohttp.ClientError) as fault:
            log.warning("promise-not-understood", problem=str(fault)[:200])
            return self._no(400, "not-understood")
        if asked.site != self._peer_site:
            return self._no(400, "not-understood")
        if len(self._waiting) >= MOST_OPEN_REQUESTS:
            return self._no(429, "too-many-requests", asked)
        if not self._seen.is_new(asked.keeper, asked.number, asked.nonce):
            log.warning("promise-replayed", keeper=asked.keeper, number=asked.number)
            return self._no(409, "replayed", asked)
        reply = await self._ask_core(asked)
        return _json(200, reply_body(asked, reply))

    async def _ask_core(self, asked: "PromiseRequest") -> PromiseReply:
        request = self._next
        self._next += 1
        waiting: asyncio.Future[PromiseReply] = asyncio.get_running_loop().create_future()
        self._waiting[request] = waiting
        try:
            self._on_promise_asked(request, asked.keeper, asked.incarnations, asked.lease_duration_ns)
            async with asyncio.timeout(self._answer_within_seconds):
                return await waiting
        except TimeoutError:
            return PromiseReply(False, "no-answer", "this keeper did not answer in time")
        finally:
            self._waiting.pop(request, None)

    def _no(self, status: int, code: str, asked: "PromiseRequest | None" = None) -> "web.StreamResponse":
        self._refused[code] = self._refused.get(code, 0) + 1
        no = PromiseReply(False, code)
        return _json(status, reply_body(asked, no) if asked is not None else {"granted": False, "code": code})


class _TooMany(asyncio.Protocol):
    """A connection beyond the bound: it ends at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class PeerClient:
    """This site's end that asks. Connections are kept, and one is there before it is needed: a greeting now
    and then keeps it warm, and tells of trouble with the peer while no promise is needed yet."""

    def __init__(self, url: str, files: CertificateFiles, site: str, peer: str) -> None:
        """`url`: the peer's controller, `https://host:port`."""
        self._url = url.rstrip("/")
        self._files = files
        self._site = site
        self.peer = controller_identity(peer)
        self._certificate_ends: float | None = None
        self._session: aiohttp.ClientSession | None = None
        self._context: ssl.SSLContext | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._underway: dict[asyncio.Task[PromiseReply], None] = {}  # in the order of their sending
        self._problem = ""
        self._counts: dict[str, int] = {}

    @property
    def problem(self) -> str:
        """Why the last request or greeting was not answered as it should be; "" when it was."""
        return self._problem

    @property
    def counts(self) -> Mapping[str, int]:
        """What came of all requests so far, by code; `granted` and the peer's own codes among them."""
        return MappingProxyType(dict(self._counts))

    @property
    def refused(self) -> Mapping[str, int]:
        """What the peer's address showed or said so far that was not believed, by code."""
        return {f"peer-{code}": count for code, count in self._counts.items() if code in NOT_BELIEVED}

    @property
    def certificate_ends_unix_seconds(self) -> float | None:
        """When the peer's certificate runs out, by its own word; None until it has said so."""
        return self._certificate_ends

    async def start(self) -> None:
        """Greet the peer now and then from now on. Whether it answers is told by `problem`."""
        self._greeting = asyncio.create_task(self._keep_greeting())

    async def ask_promise(
        self,
        number: int,
        keeper: str,
        incarnations: tuple[int, ...],
        lease_duration_ns: int,
        timeout_seconds: float,
    ) -> PromiseReply:
        """P14: ask, and over a new connection once more if the kept one had broken meanwhile. Whatever goes
        wrong is not granted. `number` is never used for another request of this `keeper`."""
        asked = PromiseRequest(self._site, number, "", keeper, incarnations, lease_duration_ns)
        sent = asyncio.create_task(self._ask(asked))
        if len(self._underway) >= MOST_UNDERWAY:
            next(iter(self._underway)).cancel()
        self._underway[sent] = None
        sent.add_done_callback(lambda done: self._underway.pop(done, None))
        # One that takes longer is not cut off: on a busy machine none would ever get through its handshake.
        # Its answer is let fall, and the next one finds the connection.
        await asyncio.wait({sent}, timeout=timeout_seconds)
        if sent.done() and not sent.cancelled():
            reply = sent.result()
        else:
            reply = self._failed("no-answer", f"no answer within {timeout_seconds:g} s")
        name = "granted" if reply.granted else reply.code or "refused"
        self._counts[name] = self._counts.get(name, 0) + 1
        return reply

    async def reload(self) -> None:
        """Read the certificates again; the next request goes over a new connection. Raises CertificateMisuse,
        and then what was read before still counts."""
        self._context = await self._read_context()
        await self._forget_session()

    async def _read_context(self) -> "ssl.SSLContext":
        return await asyncio.to_thread(client_context, self._files, lambda found: found == self.peer)

    async def aclose(self) -> None:
        """Close the connections; whoever waits is told that there was no answer."""
        tasks: list[asyncio.Task[Any]] = [*self._underway]
        tasks += [self._greeting] if self._greeting is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._forget_session()

    async def _forget_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _keep_greeting(self) -> None:
        while True:
            if (trouble := await self._mapped(self._greet())) is not None:
                self._failed(*trouble)
            await asyncio.sleep(GREET_EVERY_SECONDS)

    async def _greet(self) -> None:
        async with (await self._open()).get(self._url + HELLO, allow_redirects=False) as response:
            raw = await bounded(response.content)
            if response.status != 200:
                raise NotAnAnswer("not-understood", f"HTTP {response.status} to a greeting")
        self._certificate_ends = read_greeting(raw)
        self._problem = ""

    async def _ask(self, asked: PromiseRequest) -> PromiseReply:
        replies: list[PromiseReply] = []
        trouble = await self._mapped(self._ask_twice(asked, replies))
        return replies[0] if trouble is None else self._failed(*trouble)

    async def _ask_twice(self, asked: PromiseRequest, replies: list[PromiseReply]) -> None:
        try:
            replies.append(await self._post(replace(asked, nonce=secrets.token_hex(16))))
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as fault:
            if isinstance(fault, aiohttp.ClientConnectorError):
                raise
            replies.append(await self._post(replace(asked, nonce=secrets.token_hex(16))))

    async def _post(self, asked: PromiseRequest) -> PromiseReply:
        async with (await self._open()).post(
            self._url + PROMISE, data=asked.body(), allow_redirects=False
        ) as response:
            raw = await bounded(response.content)
            status = response.status
        reply = read_reply(asked, status, raw)
        self._problem = ""
        return reply

    async def _mapped(self, work: Coroutine[Any, Any, None]) -> tuple[str, str] | None:
        """Code and words of what went wrong with it; None when nothing did."""
        try:
            async with asyncio.timeout(GIVEN_UP_AFTER_SECONDS):
                await work
        except TimeoutError:
            return "no-answer", f"no answer within {GIVEN_UP_AFTER_SECONDS:g} s"
        except NotAnAnswer as fault:
            return fault.code, str(fault)
        except aiohttp.ClientError as fault:
            code = _code_of(fault)
            return code, _words_of(code, fault)
        except CertificateMisuse as fault:
            return "certificates-unusable", str(fault)
        except ValueError as fault:
            return "not-understood", str(fault)
        except OSError as fault:
            return "no-connection", str(fault)
        return None

    def _failed(self, code: str, problem: str) -> PromiseReply:
        problem = problem[:LONGEST_TEXT]
        if code != self._problem.partition(":")[0]:
            log.warning("peer-not-heard", code=code, problem=problem)
        self._problem = f"{code}: {problem}"
        return PromiseReply(False, code, problem)

    async def _open(self) -> aiohttp.ClientSession:
        if self._context is None:
            found = await self._read_context()
            self._context = self._context or found  # another request may have been quicker
        if self._session is None:
            assert self._context is not None
            connector = aiohttp.TCPConnector(
                ssl=self._context,
                limit=MOST_UNDERWAY + 1,
                ttl_dns_cache=ADDRESSES_KEPT_SECONDS,
                keepalive_timeout=IDLE_CONNECTION_SECONDS - GREET_EVERY_SECONDS,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # one deadline stands around all tries
                headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
            )
        return self._session


def _code_of(fault: aiohttp.ClientError) -> str:
    found: BaseException | None = fault
    while found is not None:
        for one in (found, *found.args, getattr(found, "os_error", None)):
            if isinstance(one, Exception) and one is not fault and (code := trouble_of(one)) != "broken-off":
                return code
        found = found.__cause__ or found.__context__
    return "no-connection" if isinstance(fault, aiohttp.ClientConnectorError) else "broken-off"


def _words_of(code: str, fault: aiohttp.ClientError) -> str:
    if code == "broken-off":
        return "it broke the connection off; if this lasts, its log says whether it accepts our certificate"
    inner = getattr(fault, "certificate_error", None) or getattr(fault, "os_error", None) or fault
    evidence = str(getattr(inner, "verify_message", "") or inner or type(inner).__name__)
    return f"it showed {CODES[code]}: {evidence}" if code in SHOWN_BY_PEER else evidence


def _raw(said: bytes) -> "web.StreamResponse":
    from aiohttp import web

    return web.Response(body=said, content_type="application/json")


def _json(status: int, said: dict[str, Any]) -> "web.StreamResponse":
    from aiohttp import web

    return web.json_response(said, status=status)
