"""Promises between the two keepers, over real HTTPS on loopback."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from orchestrator import PRODUCT, peer_link
from orchestrator.peer_link import PeerClient, PeerServer
from orchestrator.promise_wire import (
    LARGEST_BODY_BYTES,
    MOST_KEEPERS,
    MOST_NONCES,
    NotAnAnswer,
    PromiseReply,
    PromiseRequest,
    RequestsSeen,
    read_reply,
)
from sites.identity import CertificateFiles, controller_identity, server_context
from tests.orchestrator.pki import HOST, Pki

SITE, PEER, WITNESS = "durham", "morpeth", "derwentside"
LIMIT = 10.0
LEASE_NS = 3_000_000_000
ASKED = PromiseRequest(PEER, 1, "n1", "k1", (4,), LEASE_NS)


class Core:
    """Answers as a core would, or keeps silent."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.reply: PromiseReply | None = PromiseReply(True)
        self.server: PeerServer | None = None

    def on_promise_asked(
        self, request: int, keeper: str, incarnations: tuple[int, ...], lease_duration_ns: int
    ) -> None:
        self.asked.append((keeper, incarnations, lease_duration_ns))
        if self.reply is not None and self.server is not None:
            self.server.answer(request, self.reply.granted, self.reply.code, self.reply.message)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("peer"))


@pytest.fixture
def core() -> Core:
    return Core()


@contextlib.asynccontextmanager
async def serving(files: CertificateFiles, core: Core, port: int = 0) -> AsyncIterator[PeerServer]:
    """The peer's server: it stands at SITE and is asked by PEER."""
    server = PeerServer(
        HOST, port, files, SITE, PEER, WITNESS, core.on_promise_asked, answer_within_seconds=0.2
    )
    core.server = server
    await server.start()
    try:
        yield server
    finally:
        await server.aclose()


@pytest.fixture
async def server(pki: Pki, core: Core) -> AsyncIterator[PeerServer]:
    async with serving(pki.controller(SITE), core) as made:
        yield made


@contextlib.asynccontextmanager
async def asking(port: int, files: CertificateFiles) -> AsyncIterator[PeerClient]:
    client = PeerClient(f"https://{HOST}:{port}", files, PEER, SITE)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def client(server: PeerServer, pki: Pki) -> AsyncIterator[PeerClient]:
    async with asking(server.port, pki.controller(PEER)) as made:
        yield made


async def ask(client: PeerClient, number: int, within_seconds: float = LIMIT) -> PromiseReply:
    return await client.ask_promise(number, "k1", (4, 5), LEASE_NS, within_seconds)


async def test_a_promise_is_asked_for_and_granted(client: PeerClient, core: Core) -> None:
    assert await ask(client, 1) == PromiseReply(True)
    assert core.asked == [("k1", (4, 5), LEASE_NS)]
    assert (client.problem, client.counts) == ("", {"granted": 1})


async def test_a_refusal_comes_with_the_peers_code(client: PeerClient, core: Core) -> None:
    core.reply = PromiseReply(False, "revoked", "taken over in epoch 8")
    assert await ask(client, 1) == PromiseReply(False, "revoked", "taken over in epoch 8")
    assert client.counts == {"revoked": 1}


async def test_one_connection_is_kept(client: PeerClient, server: PeerServer) -> None:
    for number in range(1, 6):
        assert (await ask(client, number)).granted
    assert len(server._http.connections if server._http is not None else ()) == 1


async def test_silence_is_no_promise(client: PeerClient, core: Core) -> None:
    core.reply = None
    reply = await ask(client, 1, within_seconds=0.05)
    assert (reply.granted, reply.code) == (False, "no-answer")
    assert client.problem == "no-answer: no answer within 0.05 s"


async def test_a_core_that_never_answers_is_told_as_such(client: PeerClient, core: Core) -> None:
    core.reply = None
    assert (await ask(client, 1)).code == "no-answer"
    core.reply = PromiseReply(True)
    assert (await ask(client, 2)).granted


async def test_an_answer_that_comes_too_late_is_left_alone(client: PeerClient, core: Core) -> None:
    core.reply = None
    assert not (await ask(client, 1)).granted
    assert core.server is not None
    core.server.answer(1, True)
    core.server.answer(99, True)
    core.reply = PromiseReply(False, "no")
    assert not (await ask(client, 2)).granted


async def test_an_answer_that_takes_longer_does_not_cost_the_connection(
    client: PeerClient, core: Core, server: PeerServer
) -> None:
    core.reply = None
    assert (await ask(client, 1, within_seconds=0.01)).code == "no-answer"
    assert core.server is not None
    async with asyncio.timeout(LIMIT):
        while not core.asked:
            await asyncio.sleep(0.005)
    core.server.answer(1, True)
    core.reply = PromiseReply(True)
    async with asyncio.timeout(LIMIT):
        while client._underway:
            await asyncio.sleep(0.005)
    assert (await ask(client, 2)).granted
    assert len(server._http.connections if server._http is not None else ()) == 1
    assert client.counts == {"no-answer": 1, "granted": 1}


async def test_only_so_many_requests_wait_for_a_peer_that_is_slow(client: PeerClient, core: Core) -> None:
    core.reply = None
    for number in range(1, peer_link.MOST_UNDERWAY + 4):
        assert not (await ask(client, number, within_seconds=0.001)).granted
    assert len(client._underway) <= peer_link.MOST_UNDERWAY


async def test_trouble_with_the_peer_is_known_before_a_promise_is_needed(
    server: PeerServer, pki: Pki, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_link, "GREET_EVERY_SECONDS", 0.01)
    async with asking(server.port, pki.controller(PEER)) as client:
        await client.start()
        await server.aclose()
        async with asyncio.timeout(LIMIT):
            while not client.problem.startswith("no-connection"):
                await asyncio.sleep(0.005)
        async with serving(pki.controller(SITE), core, server.port), asyncio.timeout(LIMIT):
            while client.problem:
                await asyncio.sleep(0.005)
            assert (await ask(client, 1)).granted
    assert client.counts == {"granted": 1}


async def test_nobody_there_is_no_promise(pki: Pki, unused_port: int) -> None:
    async with asking(unused_port, pki.controller(PEER)) as client:
        reply = await ask(client, 1)
        assert (reply.granted, reply.code) == (False, "no-connection")
        assert "Connect call failed" in client.problem or "refused" in client.problem


@pytest.fixture
async def unused_port() -> int:
    listener = await asyncio.start_server(lambda *_: None, HOST, 0)
    port: int = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    return port


async def test_a_peer_that_was_restarted_is_asked_again_at_once(pki: Pki, core: Core) -> None:
    files = pki.controller(SITE)
    async with serving(files, core) as first:
        port = first.port
        async with asking(port, pki.controller(PEER)) as client:
            assert (await ask(client, 1)).granted
            await first.aclose()
            async with serving(files, core, port):
                assert (await ask(client, 2)).granted


# --- who asks, and who answers -------------------------------------------------------------------------


async def refused(
    server_files: CertificateFiles, client_files: CertificateFiles, core: Core
) -> tuple[PromiseReply, PeerServer]:
    async with serving(server_files, core) as server, asking(server.port, client_files) as client:
        reply = await ask(client, 1)
        assert not reply.granted
        assert core.asked == []
        return reply, server


@pytest.mark.parametrize(
    ("identity", "begins", "ends", "code"),
    [
        (controller_identity(PEER), -60, -1, "certificate-expired"),
        (controller_identity(PEER), 1, 60, "certificate-not-yet-valid"),
        (f"twinsite:guard/{PEER}/crm", -1, 60, "identity-wrong"),
        ("twinsite:operator/jo", -1, 60, "identity-wrong"),
    ],
)
async def test_only_the_peers_controller_may_ask(
    pki: Pki, core: Core, tmp_path: Path, identity: str, begins: int, ends: int, code: str
) -> None:
    shown = pki.dated(identity, f"bad-{tmp_path.name}", begins_days=begins, ends_days=ends)
    _, server = await refused(pki.controller(SITE), shown, core)
    async with asyncio.timeout(LIMIT):
        while server.not_let_in.get(code, 0) == 0:
            await asyncio.sleep(0.005)


async def test_a_foreign_authoritys_controller_may_not_ask(pki: Pki, core: Core, tmp_path: Path) -> None:
    stranger = Pki(tmp_path).controller(PEER)
    shown = CertificateFiles(pki.authority.ca_file, stranger.certificate, stranger.key)
    _, server = await refused(pki.controller(SITE), shown, core)
    assert server.not_let_in["certificate-foreign"] >= 1


@pytest.mark.parametrize("who", ["witness", "own controller"])
async def test_who_may_say_hello_may_not_ask_for_a_promise(
    server: PeerServer, pki: Pki, core: Core, who: str
) -> None:
    files = pki.witness(WITNESS) if who == "witness" else pki.controller(SITE)
    async with asking(server.port, files) as client:
        reply = await ask(client, 1)
        assert (reply.granted, reply.code) == (False, "refused")
        assert "not-the-peer" in client.problem
    assert core.asked == []
    assert server.refused == {"not-the-peer": 1}


@pytest.mark.parametrize(
    ("identity", "begins", "ends", "host", "code"),
    [
        (controller_identity(SITE), -60, -1, HOST, "certificate-expired"),
        (controller_identity(PEER), -1, 60, HOST, "identity-wrong"),
        (f"twinsite:guard/{SITE}/crm", -1, 60, HOST, "identity-wrong"),
        (controller_identity(SITE), -1, 60, "127.0.0.9", "host-wrong"),
    ],
    ids=["expired", "the asker itself", "a guard", "wrong host"],
)
async def test_only_the_peers_controller_is_believed(
    pki: Pki, core: Core, tmp_path: Path, identity: str, begins: int, ends: int, host: str, code: str
) -> None:
    name = f"server-{tmp_path.name}"
    shown = pki.dated(identity, name, begins_days=begins, ends_days=ends, hosts=(host,))
    reply, _ = await refused(shown, pki.controller(PEER), core)
    assert reply.code == code


async def test_a_server_of_a_foreign_authority_is_not_believed(pki: Pki, core: Core, tmp_path: Path) -> None:
    reply, _ = await refused(Pki(tmp_path).controller(SITE), pki.controller(PEER), core)
    assert reply.code == "certificate-foreign"


async def test_certificates_that_are_not_there_are_no_promise(server: PeerServer, pki: Pki) -> None:
    async with asking(server.port, pki.authority.files("never-issued")) as client:
        assert not (await ask(client, 1)).granted
        assert "certificates-unusable: " in client.problem
        assert "never-issued.pem: cannot be read" in client.problem


async def test_renewed_certificates_count_without_a_restart(tmp_path: Path, core: Core) -> None:
    pki = Pki(tmp_path)
    identity = controller_identity(SITE)
    old = pki.dated(identity, "server", begins_days=-60, ends_days=-1, hosts=(HOST,))
    mine = pki.dated(controller_identity(PEER), "client", begins_days=-60, ends_days=-1)
    async with serving(old, core) as server, asking(server.port, mine) as client:
        assert (await ask(client, 1)).code == "certificate-expired"
        pki.issue(identity, "server", (HOST,))
        await server.reload()
        assert not (await ask(client, 2)).granted  # the client's own has run out, too
        assert server.not_let_in["certificate-expired"] >= 1
        pki.issue(controller_identity(PEER), "client")
        await client.reload()
        assert (await ask(client, 3)).granted
        await server.reload()
        assert (await ask(client, 4)).granted


# --- what is said twice, wrongly or at length ----------------------------------------------------------


@contextlib.asynccontextmanager
async def browsing(pki: Pki, files: CertificateFiles) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=files.client_context())
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def post(server: PeerServer, pki: Pki, *bodies: bytes) -> list[tuple[int, Any]]:
    answers = []
    async with browsing(pki, pki.controller(PEER)) as session:
        for body in bodies:
            async with session.post(f"https://{HOST}:{server.port}/v1/promise", data=body) as response:
                answers.append((response.status, await response.json()))
    return answers


async def test_a_replayed_request_promises_nothing_and_is_counted(
    server: PeerServer, pki: Pki, core: Core
) -> None:
    first = ASKED.body()
    later = PromiseRequest(PEER, 2, "n2", "k1", (4,), LEASE_NS).body()
    granted, again, newer, old = await post(server, pki, first, first, later, first)
    assert [status for status, _ in (granted, again, newer, old)] == [200, 409, 200, 409]
    assert [said["granted"] for _, said in (granted, again, newer, old)] == [True, False, True, False]
    assert old[1]["code"] == "replayed"
    assert len(core.asked) == 2
    assert server.refused == {"replayed": 2}


def test_requests_are_told_apart_by_keeper_number_and_nonce() -> None:
    seen = RequestsSeen()
    assert seen.is_new("k1", 1, "a")
    assert not seen.is_new("k1", 1, "a")
    assert seen.is_new("k1", 1, "b")  # sent a second time by its asker, over a new connection
    assert seen.is_new("k1", 2, "a")
    assert not seen.is_new("k1", 1, "c")
    assert seen.is_new("k2", 1, "a")


def test_what_is_remembered_of_requests_is_bounded() -> None:
    seen = RequestsSeen()
    assert [seen.is_new("k", 1, str(nonce)) for nonce in range(MOST_NONCES + 1)] == [True] * MOST_NONCES + [
        False
    ]
    for keeper in range(MOST_KEEPERS * 3):
        seen.is_new(f"k{keeper}", 1, "a")
    assert len(seen._keepers) == MOST_KEEPERS


GOOD = {"number": 1, "nonce": "n1", "granted": True, "code": "", "message": ""}


def test_the_reply_to_this_very_request_counts() -> None:
    assert read_reply(ASKED, 200, json.dumps(GOOD).encode()) == PromiseReply(True)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (GOOD | {"nonce": "n0"}, "reply-of-another"),
        (GOOD | {"number": 2}, "reply-of-another"),
        (GOOD | {"nonce": None}, "reply-of-another"),
        ({"granted": True}, "reply-of-another"),
        ({"granted": False, "code": "revoked"}, "refused"),
        (GOOD | {"granted": "yes"}, "not-understood"),
        (["granted"], "not-understood"),
        ({}, "not-understood"),
    ],
)
def test_any_other_reply_is_none(said: Any, code: str) -> None:
    with pytest.raises(NotAnAnswer) as raised:
        read_reply(ASKED, 200, json.dumps(said).encode())
    assert raised.value.code == code


def test_a_grant_that_comes_as_an_error_is_none() -> None:
    assert read_reply(ASKED, 500, json.dumps(GOOD).encode()) == PromiseReply(False, "refused")


async def test_a_replayed_reply_is_no_promise_and_is_counted(pki: Pki) -> None:
    """A server with the peer's own certificate that says again what it once said."""
    once = json.dumps(GOOD).encode()
    replaying = impostor(pki, lambda _: web.Response(body=once))
    async with replaying as port, asking(port, pki.controller(PEER)) as client:
        reply = await ask(client, 1)
        assert (reply.granted, reply.code) == (False, "reply-of-another")
        assert client.counts == {"reply-of-another": 1}
        assert client.refused == {"peer-reply-of-another": 1}


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (lambda: web.Response(text="granted"), "not-understood"),
        (lambda: web.Response(body=b"[" * 15_000), "not-understood"),
        (lambda: web.Response(body=b" " * 1_000_000), "not-understood"),
        (
            lambda: web.Response(status=302, headers={"Location": "https://elsewhere.example/"}),
            "not-understood",
        ),
        (lambda: web.Response(status=204), "not-understood"),
    ],
    ids=["text", "nested", "a megabyte", "elsewhere", "nothing"],
)
async def test_a_reply_that_is_none_of_ours_is_no_promise(
    pki: Pki, response: Callable[[], web.StreamResponse], code: str
) -> None:
    async with impostor(pki, lambda _: response()) as port, asking(port, pki.controller(PEER)) as client:
        reply = await ask(client, 1)
        assert (reply.granted, reply.code) == (False, code)


@contextlib.asynccontextmanager
async def impostor(pki: Pki, answer: Callable[[web.BaseRequest], web.StreamResponse]) -> AsyncIterator[int]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return answer(request)

    context = server_context(pki.controller(SITE), lambda _: True)
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "body",
    [
        b"babble",
        b"[1]",
        b"[" * 10_000,
        b" " * (LARGEST_BODY_BYTES + 1),
        json.dumps(json.loads(ASKED.body()) | {"incarnations": [True]}).encode(),
        json.dumps(json.loads(ASKED.body()) | {"incarnations": list(range(1000))}).encode(),
        json.dumps(json.loads(ASKED.body()) | {"lease_duration_ns": -1}).encode(),
        json.dumps(json.loads(ASKED.body()) | {"number": "1"}).encode(),
        json.dumps(json.loads(ASKED.body()) | {"keeper": ""}).encode(),
        json.dumps(json.loads(ASKED.body()) | {"site": SITE}).encode(),
    ],
)
async def test_a_request_that_is_none_of_ours_asks_nobody(
    server: PeerServer, pki: Pki, core: Core, body: bytes
) -> None:
    assert [status for status, _ in await post(server, pki, body)] == [400]
    assert core.asked == []
    assert server.refused == {"not-understood": 1}


async def test_a_request_that_stops_halfway_is_given_up(
    server: PeerServer, pki: Pki, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_link, "BODY_WITHIN_SECONDS", 0.05)
    context = pki.controller(PEER).client_context()
    reader, writer = await asyncio.open_connection(HOST, server.port, ssl=context)
    writer.write(b"POST /v1/promise HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n{")
    async with asyncio.timeout(LIMIT):
        assert b" 400 " in await reader.readline()
    writer.transport.abort()
    assert core.asked == []


async def test_only_so_many_requests_are_open_and_only_so_many_come_in_a_second(
    server: PeerServer, pki: Pki, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.reply = None
    async with asking(server.port, pki.controller(PEER)) as client:
        asked = [
            post(server, pki, PromiseRequest(PEER, 1, f"n{number}", "k1", (4,), LEASE_NS).body())
            for number in range(peer_link.MOST_OPEN_REQUESTS + 1)
        ]
        answers = [status for [(status, _)] in await asyncio.gather(*asked)]
        assert sorted(answers) == [200] * peer_link.MOST_OPEN_REQUESTS + [429]
        monkeypatch.setattr(server._pace, "_most", 0)
        assert "too-many-requests" in (await ask(client, 2)).message


@pytest.mark.parametrize("who", [PEER, SITE, WITNESS])
async def test_hello_is_said_to_every_site(server: PeerServer, pki: Pki, who: str) -> None:
    files = pki.witness(who) if who == WITNESS else pki.controller(who)
    async with browsing(pki, files) as session:
        said: dict[str, Any] = {"certificate_ends_unix_seconds": None}
        async with asyncio.timeout(20):
            while said["certificate_ends_unix_seconds"] is None:  # it is read beside the first answers
                async with session.get(f"https://{HOST}:{server.port}/v1/hello") as response:
                    said = await response.json()
        async with session.get(f"https://{HOST}:{server.port}/v1/journal") as response:
            assert response.status == 404
    assert (said["site"], said["version"]) == (SITE, PRODUCT)
    assert said["certificate_ends_unix_seconds"] > 0


async def test_hello_is_not_said_in_plain_text(server: PeerServer, pki: Pki) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{HOST}:{server.port}/v1/hello")
    async with asyncio.timeout(LIMIT):
        while server.not_let_in.get("not-tls", 0) == 0:
            await asyncio.sleep(0.005)


async def test_an_older_tls_is_not_spoken(server: PeerServer, pki: Pki) -> None:
    context = pki.controller(PEER).client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):
        await asyncio.open_connection(HOST, server.port, ssl=context)
    async with asyncio.timeout(LIMIT):
        while server.not_let_in.get("tls-too-old", 0) == 0:
            await asyncio.sleep(0.005)
