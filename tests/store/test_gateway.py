"""What the client makes of members that answer oddly: small HTTP servers that speak as etcd does, almost."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.lab.certs import CertificateFiles, create_authority
from orchestrator.store.base import Compare, Put, StoreMisuse, StoreUnreachable
from orchestrator.store.etcd import EtcdStore
from sites.model import StoreSpec, TlsFiles

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HEADER = {"cluster_id": "1", "member_id": "1", "revision": "7", "raft_term": "2"}


def says(body: object, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return handle


def plainly(text: str, status: int) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    return handle


class Impostor:
    """One server; `paths` counts what it was asked."""

    def __init__(self, answers: dict[str, Handler], version: str = "3.4.23") -> None:
        self.answers = {"/version": says({"etcdserver": version}), **answers}
        self.paths: list[str] = []
        self.endpoint = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        if request.path not in self.answers:
            return web.Response(status=404, text="404 page not found")
        return await self.answers[request.path](request)


@asynccontextmanager
async def serving(*impostors: Impostor, **options: object) -> AsyncIterator[EtcdStore]:
    runners = []
    for impostor in impostors:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", impostor.handle)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        impostor.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    store = EtcdStore(
        [impostor.endpoint for impostor in impostors],
        **{"tls": None, "user": None, "password": None, **options},  # type: ignore[arg-type]
    )
    try:
        yield store
    finally:
        await store.aclose()
        for runner in runners:
            await runner.cleanup()


GOOD = {"/v3/kv/range": says({"header": HEADER})}


@pytest.mark.parametrize("version", ["3.5.0", "3.5.5", "3.4.10"])
async def test_a_release_that_loses_writes_is_refused_with_the_reason(version: str) -> None:
    async with serving(Impostor(GOOD, version)) as store:
        with pytest.raises(StoreMisuse, match=rf"etcd {version} .*mended.*run 3\.4\.22 or later"):
            await store.read("", timeout_seconds=10)


async def test_an_unsafe_release_is_spoken_to_when_allowed() -> None:
    async with serving(Impostor(GOOD, "3.5.1"), allow_unsafe_versions=True) as store:
        assert (await store.read("", timeout_seconds=10)).revision == 7


async def test_a_members_version_is_asked_once() -> None:
    member = Impostor(GOOD)
    async with serving(member) as store:
        for _ in range(3):
            await store.read("", timeout_seconds=10)
    assert member.paths == ["/version", *["/v3/kv/range"] * 3]


async def test_answers_of_another_cluster_do_not_count() -> None:
    stranger = says({"header": {**HEADER, "cluster_id": "2", "revision": "900"}})
    ours, theirs = Impostor(dict(GOOD)), Impostor({"/v3/kv/range": stranger})
    async with serving(ours, theirs) as store:
        assert (await store.read("", timeout_seconds=10)).cluster_id == "1"
        ours.answers["/v3/kv/range"] = says({"error": "etcdserver: no leader", "code": 14}, 503)
        with pytest.raises(StoreUnreachable, match="belongs to cluster 2, not to 1 as before"):
            await store.read("", timeout_seconds=0.5)


async def test_the_cluster_expected_from_the_start_is_the_only_one() -> None:
    async with serving(Impostor(GOOD), cluster_id="5") as store:
        with pytest.raises(StoreUnreachable, match="belongs to cluster 1, not to 5"):
            await store.read("", timeout_seconds=0.3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says({"error": "etcdserver: no leader", "code": 14}, 503), "no leader"),
        (says({"message": "mvcc: database space exceeded", "code": 8}, 429), "alarm disarm"),
        (says({"message": "etcdserver: request timed out", "code": 14}, 503), "timed out"),
        (says(["not", "an", "object"]), "not as etcd does"),
        (plainly("Request is nil\n", 400), "not as etcd does: HTTP 400: Request is nil"),
        (plainly("\x00\x01", 502), "not as etcd does: HTTP 502"),
    ],
)
async def test_a_store_in_trouble_is_unreachable_and_says_why(answer: Handler, words: str) -> None:
    async with serving(Impostor({"/v3/kv/range": answer})) as store:
        with pytest.raises(StoreUnreachable, match=words):
            await store.read("", timeout_seconds=0.3)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "--enable-grpc-gateway"),
        (
            {"/v3/kv/range": says({"error": "etcdserver: user name is empty", "code": 3}, 400)},
            "give `user` and",
        ),
        (
            {"/v3/kv/range": says({"error": "CommonName of client sending a request…", "code": 3}, 400)},
            "no common name",
        ),
        (
            {"/v3/kv/range": plainly("CommonName of client sending a request against gateway …\n", 400)},
            "give the client a certificate whose subject has no common name",
        ),
    ],
)
async def test_a_configuration_that_can_never_work_says_what_to_change(
    answers: dict[str, Handler], words: str
) -> None:
    async with serving(Impostor(answers)) as store:
        with pytest.raises(StoreMisuse, match=words):
            await store.read("", timeout_seconds=10)


async def test_a_user_for_a_store_without_users_is_told() -> None:
    denied = says({"error": "etcdserver: authentication is not enabled", "code": 9}, 400)
    member = Impostor({**GOOD, "/v3/auth/authenticate": denied})
    async with serving(member, user="durham", password="secret") as store:
        with pytest.raises(StoreMisuse, match="enable authentication in etcd") as caught:
            await store.read("", timeout_seconds=10)
    assert "secret" not in str(caught.value)


async def test_an_expired_token_is_renewed_once_for_everybody_who_waits() -> None:
    logins = 0

    async def login(request: web.Request) -> web.StreamResponse:
        nonlocal logins
        logins += 1
        await asyncio.sleep(0.05)
        return web.json_response({"header": HEADER, "token": f"token-{logins}"})

    async def read(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "token-2":
            return web.json_response({"error": "etcdserver: invalid auth token", "code": 16}, status=401)
        return web.json_response({"header": HEADER})

    member = Impostor({"/v3/kv/range": read, "/v3/auth/authenticate": login})
    async with serving(member, user="durham", password="secret", hedge_after_seconds=5) as store:
        await asyncio.gather(*(store.read("", timeout_seconds=10) for _ in range(5)))
    assert logins == 2


async def test_a_store_that_refuses_every_token_is_unreachable() -> None:
    refused = says({"error": "etcdserver: invalid auth token", "code": 16}, 401)
    login = says({"header": HEADER, "token": "t"})
    member = Impostor({"/v3/kv/range": refused, "/v3/auth/authenticate": login})
    async with serving(member, user="durham", password="secret") as store:
        with pytest.raises(StoreUnreachable, match="does not know a fresh token"):
            await store.read("", timeout_seconds=0.3)


async def test_only_compare_and_set_reaches_a_member_when_writing() -> None:
    member = Impostor({"/v3/kv/txn": says({"header": HEADER, "succeeded": True, "responses": [{}]})})
    async with serving(member) as store:
        await store.transact([Compare("a", 0)], [Put("a", b"1")], [], timeout_seconds=10)
    assert member.paths == ["/version", "/v3/kv/txn"]


async def test_a_watch_that_is_sent_rubbish_asks_another_member() -> None:
    async def rubbish(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>\n")

    async def good(request: web.Request) -> web.StreamResponse:
        event = {
            "kv": {"key": base64.b64encode(b"twinsite/a").decode(), "mod_revision": "8", "value": "MQ=="}
        }
        stream = web.StreamResponse()
        await stream.prepare(request)
        # Cut in the middle of a line: it is put together again.
        text = '{"result": {"header": {"cluster_id": "1"}, "created": true}}\n'
        text += (
            '{"result": {"header": {"cluster_id": "1"}, "events": [' + str(event).replace("'", '"') + "]}}\n"
        )
        await stream.write(text[:90].encode())
        await asyncio.sleep(0.02)
        await stream.write(text[90:].encode())
        await asyncio.sleep(0.5)
        return stream

    bad = [Impostor({**GOOD, "/v3/watch": rubbish}) for _ in range(2)]
    async with (
        serving(*bad, Impostor({**GOOD, "/v3/watch": good})) as store,
        aclosing(store.watch("", from_revision=5)) as events,
        asyncio.timeout(10),
    ):
        assert (await anext(events)).item.mod_revision == 8


async def test_nobody_listening_is_unreachable_and_a_bad_address_a_misuse() -> None:
    async with serving(Impostor(GOOD)) as store:
        await store.read("", timeout_seconds=10)
        endpoint = store._client.members[0].endpoint
    gone = EtcdStore([endpoint], tls=None, user=None, password=None)
    with pytest.raises(StoreUnreachable, match="Connection refused"):
        await gone.read("", timeout_seconds=0.2)
    await gone.aclose()
    for wrong in ([], ["10.0.0.1:2379"], ["ftp://a:1"], ["https://a:2379"]):
        with pytest.raises(StoreMisuse):
            EtcdStore(wrong, tls=None, user=None, password=None)
    with pytest.raises(StoreMisuse, match="belong together"):
        EtcdStore(["http://a:2379"], tls=None, user="durham", password=None)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda files: files.ca.unlink(), r"ca\.pem: cannot be read: No such file"),
        (lambda files: files.key.unlink(), r"durham\.key: cannot be read: No such file"),
        (lambda files: files.ca.write_text("rubbish"), r"ca\.pem: not a PEM certificate"),
        (
            lambda files: files.certificate.write_text("rubbish"),
            r"durham\.pem with .*: not a PEM certificate",
        ),
        (
            lambda files: files.key.write_bytes((files.ca.parent / "ca.key").read_bytes()),
            "its own unencrypted key",
        ),
    ],
    ids=["no authority", "no key", "authority unreadable", "certificate unreadable", "another's key"],
)
def test_certificate_files_that_cannot_be_used_are_named(
    tmp_path: Path, spoil: Callable[[CertificateFiles], object], words: str
) -> None:
    files = create_authority(tmp_path / "certs").client("durham")
    spoil(files)
    spec = StoreSpec(
        endpoints=["https://127.0.0.1:1"],
        tls=TlsFiles(ca="certs/ca.pem", cert="certs/durham.pem", key="certs/durham.key"),
    )
    with pytest.raises(StoreMisuse, match=words):
        EtcdStore.from_spec(spec, tmp_path)
