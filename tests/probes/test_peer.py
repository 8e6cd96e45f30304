"""The peer probe against real servers on the loopback interface, with certificates on both sides."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from probes.model import ProbeResult
from sites.identity import CertificateFiles, controller_identity, server_context, witness_identity
from tests.probes.certificates import Authority
from tests.probes.worlds import closed_port, context, estate, hang, listening, probe, summary

DURHAM, MORPETH = controller_identity("durham"), controller_identity("morpeth")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def greets(**says: Any) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response({"site": "morpeth", "version": "twinsite 0.1.0"} | says)

    return handler


def issued(authority: Authority, name: str, identity: str | None, **more: Any) -> CertificateFiles:
    files = authority.files(name, host="127.0.0.1", uri=identity, **more)
    return CertificateFiles(files.ca, files.cert, files.key)


@asynccontextmanager
async def controller(
    files: CertificateFiles, handler: Handler, *, knows: Callable[[str], bool] | None = None
) -> AsyncIterator[str]:
    """Morpeth's end: it lets in whoever is known."""
    tls = server_context(files, knows or {DURHAM, witness_identity("derwentside")}.__contains__)
    app = web.Application()
    app.router.add_get("/v1/hello", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def asked(url: str, own: CertificateFiles | None, timeout_seconds: float = 30.0) -> ProbeResult:
    """Durham's probe of Morpeth's controller, tried once."""
    made = probe("peer", world=estate(controller=url), at="morpeth", using=context(own=own))
    try:
        return await made.try_once(timeout_seconds=timeout_seconds)
    finally:
        await made.aclose()


async def test_the_other_controller_answers_and_says_who_it_is_and_how_long_its_certificate_lasts(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    own, theirs = issued(authority, "durham", DURHAM), issued(authority, "morpeth", MORPETH)
    ends = time.time() + 20 * 86400
    async with controller(theirs, greets(certificate_ends_unix_seconds=ends)) as url:
        result = await asked(url, own)
    assert summary(result) == ("up", "answered")
    assert result.measure == pytest.approx(20, abs=0.1)
    assert result.answered == "controller of morpeth, twinsite 0.1.0; its certificate has 20.0 days left"
    assert result.tried == f"GET {url}/v1/hello"


async def test_the_witness_may_ask_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = issued(authority, "derwentside", witness_identity("derwentside"))
    async with controller(issued(authority, "morpeth", MORPETH), greets(more="than we know")) as url:
        result = await asked(url, own)
    assert summary(result) == ("up", "answered")
    assert result.measure is None


@pytest.mark.parametrize(
    "identity",
    [DURHAM, "twinsite:guard/morpeth/crm", "twinsite:controller/morpeth2", None],
    ids=["another site's controller", "a guard", "a longer name", "nobody in particular"],
)
async def test_a_certificate_of_the_right_authority_that_names_somebody_else_is_bad(
    tmp_path: Path, identity: str | None
) -> None:
    authority = Authority(tmp_path)
    async with controller(issued(authority, "other", identity), greets()) as url:
        result = await asked(url, issued(authority, "durham", DURHAM))
    assert summary(result) == ("down", "certificate-bad")


@pytest.mark.parametrize("days", [-1, 30], ids=["it has ended", "another authority signed it"])
async def test_an_expired_or_foreign_certificate_is_bad(tmp_path: Path, days: int) -> None:
    (tmp_path / "other").mkdir()
    authority = Authority(tmp_path)
    signer = authority if days < 0 else Authority(tmp_path / "other")
    async with controller(issued(signer, "morpeth", MORPETH, days=days), greets()) as url:
        result = await asked(url, issued(authority, "durham", DURHAM))
    assert summary(result) == ("down", "certificate-bad")


async def test_a_controller_that_does_not_know_us_breaks_off_and_we_say_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, foreign = Authority(tmp_path), Authority(tmp_path / "other")
    ours = issued(foreign, "durham", DURHAM)
    own = CertificateFiles(authority.file, ours.certificate, ours.key)
    async with controller(issued(authority, "morpeth", MORPETH), greets()) as url:
        result = await asked(url, own)
    # Whether its alert or the end of the connection arrives first is the network's choice.
    assert summary(result) in {("unknown", "login-refused"), ("down", "reset")}
    assert "accepts our certificate" in result.answered or "does not accept our" in result.answered


async def test_a_controller_of_another_site_behind_the_right_certificate_is_told_apart(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    async with controller(issued(authority, "morpeth", MORPETH), greets(site="leeds")) as url:
        result = await asked(url, issued(authority, "durham", DURHAM))
    assert summary(result) == ("down", "wrong-answer")
    assert result.answered == "it says that it is leeds's, not morpeth's"


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"Welcome to nginx", 200, ("down", "wrong-answer")),
        (b'{"site": 7, "version": "x"}', 200, ("down", "wrong-answer")),
        (b"[" * 9000, 200, ("down", "wrong-answer")),
        (b"x" * 100_000, 200, ("down", "wrong-answer")),
        (b"", 404, ("down", "wrong-status")),
        (b"", 302, ("down", "wrong-status")),
        (b'{"granted": false}', 403, ("unknown", "not-permitted")),
    ],
    ids=[
        "no JSON",
        "another form",
        "nested without end",
        "too long",
        "no such page",
        "elsewhere",
        "not for us",
    ],
)
async def test_what_is_no_greeting_has_its_reason_and_bounded_evidence(
    tmp_path: Path, body: bytes, status: int, expected: tuple[str, str]
) -> None:
    async def odd(_request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers={"Location": "https://10.9.9.9/"})

    authority = Authority(tmp_path)
    async with controller(issued(authority, "morpeth", MORPETH), odd) as url:
        result = await asked(url, issued(authority, "durham", DURHAM))
    assert summary(result) == expected
    assert len(result.answered) <= 500


async def test_a_controller_that_does_not_run_is_refused(tmp_path: Path) -> None:
    own = issued(Authority(tmp_path), "durham", DURHAM)
    assert summary(await asked(f"https://127.0.0.1:{closed_port()}", own)) == ("down", "refused")


async def test_one_that_hangs_is_cut_off_at_the_timeout_before_and_after_the_handshake(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    own = issued(authority, "durham", DURHAM)
    async with listening(hang) as port:
        before = await asked(f"https://127.0.0.1:{port}", own, timeout_seconds=0.3)
    assert summary(before) == ("down", "timed-out")

    async def silent(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with controller(issued(authority, "morpeth", MORPETH), silent) as url:
        after = await asked(url, own, timeout_seconds=0.5)
    assert summary(after) == ("down", "timed-out")


async def test_one_that_speaks_plain_text_is_no_tls(tmp_path: Path) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n{}")
        await writer.drain()
        await reader.read()

    own = issued(Authority(tmp_path), "durham", DURHAM)
    async with listening(plain) as port:
        result = await asked(f"https://127.0.0.1:{port}", own)
    assert summary(result) == ("down", "tls-failed")


async def test_without_a_certificate_of_our_own_nothing_is_known_of_the_other(tmp_path: Path) -> None:
    missing = CertificateFiles(tmp_path / "ca.pem", tmp_path / "durham.pem", tmp_path / "durham.key")
    for own, says in ((None, "`sites.<own site>.tls` is missing"), (missing, "ca.pem: cannot be read")):
        result = await asked(f"https://127.0.0.1:{closed_port()}", own)
        assert summary(result) == ("unknown", "own-side")
        assert says in result.answered


async def test_a_certificate_renewed_meanwhile_needs_no_restart(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with controller(issued(authority, "morpeth", MORPETH), greets()) as url:
        own = issued(Authority(tmp_path), "durham", DURHAM)  # the authority that we trust is not theirs
        made = probe("peer", world=estate(controller=url), at="morpeth", using=context(own=own))
        before = await made.try_once(timeout_seconds=30)
        authority.write()
        issued(authority, "durham", DURHAM)
        after = await made.try_once(timeout_seconds=30)
    assert summary(before) == ("down", "certificate-bad")
    assert summary(after) == ("up", "answered")
