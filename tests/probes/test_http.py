"""The http probe against real web servers on the loopback interface."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.probes.certificates import Authority
from tests.probes.worlds import closed_port, context, estate, hang, hang_up, listening, probe, summary, tried

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def site(
    pages: dict[str, Handler] | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A web server with these pages; without any, `/` says `Welcome to CRM`."""

    async def welcome(_request: web.Request) -> web.Response:
        return web.Response(text="Welcome to CRM")

    app = web.Application()
    for path, handler in (pages or {"/": welcome}).items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await listener.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def says(text: str, status: int = 200, **headers: str) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=text, status=status, headers=headers)

    return handler


async def test_a_page_that_answers_is_up() -> None:
    async with site() as port:
        result = await tried("http", url=f"http://127.0.0.1:{port}/")
    assert summary(result) == ("up", "answered")
    assert result.tried == f"GET http://127.0.0.1:{port}/"
    assert result.answered == "status 200 OK, 14 characters"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"contains": "Welcome"}, ("up", "answered")),
        ({"contains": "welcome"}, ("down", "wrong-answer")),
        ({"matches": "(?i)welcome to (crm|ebs)$"}, ("up", "answered")),
        ({"matches": "^to"}, ("down", "wrong-answer")),
        ({"never_matches": "(?i)maintenance"}, ("up", "answered")),
        ({"never_matches": "CRM"}, ("down", "wrong-answer")),
        ({"method": "HEAD"}, ("up", "answered")),
        ({"status": 200}, ("up", "answered")),
        ({"status": [200, "3xx"]}, ("up", "answered")),
        ({"status": 204}, ("down", "wrong-status")),
    ],
)
async def test_status_and_text_are_judged_as_the_settings_say(
    keys: dict[str, object], expected: tuple[str, str]
) -> None:
    async with site() as port:
        result = await tried("http", url=f"http://127.0.0.1:{port}/", **keys)
    assert summary(result) == expected


async def test_an_error_page_is_down_and_its_beginning_is_the_evidence() -> None:
    async with site({"/": says("ORA-01034: ORACLE not available\n" + "x" * 9000, 500)}) as port:
        result = await tried("http", url=f"http://127.0.0.1:{port}/")
    assert summary(result) == ("down", "wrong-status")
    assert "status 500" in result.answered
    assert "ORA-01034" in result.answered
    assert len(result.answered) <= 500


async def test_only_the_beginning_of_an_endless_page_is_read() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"more and more ")
        except ConnectionError:
            return response

    async with site({"/": endless}) as port:
        found = await tried("http", url=f"http://127.0.0.1:{port}/", contains="and")
        missing = await tried("http", url=f"http://127.0.0.1:{port}/", contains="the end")
    assert summary(found) == ("up", "answered")
    assert summary(missing) == ("down", "wrong-answer")


async def test_nobody_listening_is_refused_and_silence_is_timed_out() -> None:
    assert summary(await tried("http", url=f"http://127.0.0.1:{closed_port()}/")) == ("down", "refused")
    async with listening(hang) as port:
        result = await tried("http", timeout_seconds=0.2, url=f"http://127.0.0.1:{port}/")
    assert summary(result) == ("down", "timed-out")


async def test_a_connection_that_ends_without_an_answer_is_reset_and_no_http_is_a_wrong_answer() -> None:
    async def ssh_banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        await reader.read()

    async with listening(hang_up) as port:
        assert summary(await tried("http", url=f"http://127.0.0.1:{port}/")) == ("down", "reset")
    async with listening(ssh_banner) as port:
        assert summary(await tried("http", url=f"http://127.0.0.1:{port}/")) == ("down", "wrong-answer")


async def test_a_page_that_breaks_off_is_reset() -> None:
    async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nWelc")
        await writer.drain()

    async with listening(breaks_off) as port:
        result = await tried("http", url=f"http://127.0.0.1:{port}/", contains="Welcome")
    assert summary(result) == ("down", "reset")


async def test_a_redirect_is_an_answer_like_any_other_unless_it_is_to_be_followed() -> None:
    pages = {"/": says("", 302, Location="/login?session=secret"), "/login": says("Sign in")}
    async with site(pages) as port:
        url = f"http://127.0.0.1:{port}/"
        refused = await tried("http", url=url)
        assert summary(refused) == ("down", "wrong-status")
        assert f"to {url}login?…" in refused.answered
        assert "secret" not in refused.answered
        assert summary(await tried("http", url=url, status=302)) == ("up", "answered")
        for redirects in ("same-host", "follow"):
            followed = await tried("http", url=url, redirects=redirects, contains="Sign in")
            assert summary(followed) == ("up", "answered")


async def test_same_host_does_not_go_to_another_host_and_follow_does_without_the_headers() -> None:
    seen: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text="elsewhere")

    async with contextlib.AsyncExitStack() as stack:
        other = await stack.enter_async_context(site({"/": elsewhere}))
        pages = {"/": says("", 302, Location=f"http://localhost:{other}/")}
        port = await stack.enter_async_context(site(pages))
        url, headers = f"http://127.0.0.1:{port}/", {"Authorization": "Bearer s3cret"}
        same = await tried("http", url=url, redirects="same-host", headers=headers)
        assert summary(same) == ("down", "wrong-redirect")
        assert "another host" in same.answered
        assert seen == []
        followed = await tried("http", url=url, redirects="follow", headers=headers)
        assert summary(followed) == ("up", "answered")
        assert seen == [None]


async def test_redirects_in_a_circle_or_to_nowhere_end() -> None:
    pages = {
        "/": says("", 302, Location="/"),
        "/nowhere": says("", 302),
        "/mail": says("", 302, Location="mailto:a@b.example"),
    }
    async with site(pages) as port:
        for path in ("", "nowhere", "mail"):
            result = await tried("http", url=f"http://127.0.0.1:{port}/{path}", redirects="follow")
            assert summary(result) == ("down", "wrong-redirect")


async def test_headers_are_sent_and_never_shown_and_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")

    async def guarded(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.headers.get("X-Key") == "s3cret" else 403)

    async with site({"/": guarded}) as port:
        url = f"http://user:pa55@127.0.0.1:{port}/?token=t0ken"
        made = probe("http", url=url, headers={"X-Key": "s3cret"})
        result = await made.try_once(timeout_seconds=30)
        await made.aclose()
    assert summary(result) == ("up", "answered")
    shown = repr(result) + repr(vars(made))
    assert "pa55" not in result.tried
    assert "t0ken" not in result.tried
    assert "s3cret" not in shown


async def test_a_page_of_the_site_is_asked_at_its_host_by_the_name_that_users_see() -> None:
    names: list[str] = []

    async def named(request: web.Request) -> web.Response:
        names.append(request.host)
        return web.Response(text="ok")

    async with site({"/login": named}) as port:
        result = await tried(
            "http",
            world=estate(**{"crm-app": "127.0.0.1"}),
            url=f"http://crm.invalid:{port}/login",
            host="crm-app",
        )
    assert summary(result) == ("up", "answered")
    assert names == [f"crm.invalid:{port}"]
    assert result.tried.endswith(" at 127.0.0.1")


async def test_a_url_may_be_given_per_site() -> None:
    async with site() as here, site({"/": says("", 503)}) as there:
        urls = {"durham": f"http://127.0.0.1:{here}/", "morpeth": f"http://127.0.0.1:{there}/"}
        assert summary(await tried("http", at="durham", url=urls)) == ("up", "answered")
        assert summary(await tried("http", at="morpeth", url=urls)) == ("down", "wrong-status")


async def test_an_unknown_name_says_nothing_about_the_service() -> None:
    result = await tried("http", url="http://no-such-host.invalid/")
    assert result.verdict.value == "unknown"
    assert result.reason in ("name-unknown", "resolver-failed")


async def test_certificates_are_checked_against_the_ca_file_and_the_name(tmp_path: Path) -> None:
    authority, using = Authority(tmp_path), context(base=tmp_path)
    world = estate(**{"crm-app": "127.0.0.1"})
    async with site(tls=authority.server("crm.example")) as port:
        url = f"https://crm.example:{port}/"
        good = await tried("http", world=world, using=using, url=url, host="crm-app", ca="ca.pem")
        assert summary(good) == ("up", "answered")
        stranger = await tried("http", world=world, using=using, url=url, host="crm-app")
        assert summary(stranger) == ("down", "certificate-bad")
        wrong_name = await tried(
            "http",
            world=world,
            using=using,
            url=f"https://ebs.example:{port}/",
            host="crm-app",
            ca="ca.pem",
        )
        assert summary(wrong_name) == ("down", "certificate-bad")
        unchecked = await tried("http", world=world, using=using, url=url, host="crm-app", verify=False)
        assert summary(unchecked) == ("up", "answered")


async def test_an_expired_certificate_is_bad(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with site(tls=authority.server("crm.example", days=-1)) as port:
        result = await tried(
            "http",
            world=estate(**{"crm-app": "127.0.0.1"}),
            using=context(base=tmp_path),
            url=f"https://crm.example:{port}/",
            host="crm-app",
            ca="ca.pem",
        )
    assert summary(result) == ("down", "certificate-bad")
    assert "expired" in result.answered


async def test_a_ca_file_we_cannot_read_is_our_own_matter_and_a_renewed_one_is_read_again(
    tmp_path: Path,
) -> None:
    old, world = Authority(tmp_path), estate(**{"crm-app": "127.0.0.1"})
    old_ca = old.file.read_bytes()
    old.file.unlink()
    new = Authority(tmp_path)
    new.file.unlink()
    async with site(tls=new.server("crm.example")) as port:
        made = probe(
            "http",
            world=world,
            using=context(base=tmp_path),
            url=f"https://crm.example:{port}/",
            host="crm-app",
            ca="ca.pem",
        )
        missing = await made.try_once(timeout_seconds=30)
        new.file.write_bytes(old_ca)
        outdated = await made.try_once(timeout_seconds=30)
        new.write()
        renewed = await made.try_once(timeout_seconds=30)
        await made.aclose()
    assert summary(missing) == ("unknown", "own-side")
    assert "ca.pem" in missing.answered
    assert summary(outdated) == ("down", "certificate-bad")
    assert summary(renewed) == ("up", "answered")


async def test_https_to_a_server_without_tls_is_told_apart() -> None:
    async with site() as port:
        result = await tried("http", url=f"https://127.0.0.1:{port}/")
    assert summary(result) == ("down", "tls-failed")


async def test_https_is_not_left_for_http(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with site() as plain:
        pages = {"/": says("", 302, Location=f"http://127.0.0.1:{plain}/")}
        async with site(pages, tls=authority.server("crm.example")) as port:
            result = await tried(
                "http",
                world=estate(**{"crm-app": "127.0.0.1"}),
                using=context(base=tmp_path),
                url=f"https://crm.example:{port}/",
                host="crm-app",
                ca="ca.pem",
                redirects="follow",
            )
    assert summary(result) == ("down", "wrong-redirect")
    assert "from https to http" in result.answered


async def test_a_cancelled_try_leaves_nothing_open() -> None:
    connected, gone = asyncio.Event(), asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        connected.set()
        try:
            await reader.read()
        finally:
            gone.set()

    async with listening(watch) as port:
        made = probe("http", url=f"http://127.0.0.1:{port}/")
        task = asyncio.create_task(made.try_once(timeout_seconds=60))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            await gone.wait()
