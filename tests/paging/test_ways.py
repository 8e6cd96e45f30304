"""The ways out, against real receivers."""

import asyncio
import sys
from pathlib import Path

import pytest

from orchestrator.paging import ways
from orchestrator.paging.apprise_child import _without_secrets
from orchestrator.paging.ways import Alert, Mail, Tried, address_fault, send
from sites.notify import Severity
from tests.support.receivers import ALERTMANAGER, Alertmanager, MailServer, WebHook, free_port

pytest.importorskip("apprise", reason="the extra `notify` is not installed")

ALERT = Alert(
    labels={"alertname": "TwinsiteDown", "severity": "critical", "service": 'odd "one" ü\n'},
    annotations={"summary": "crm is down", "command": "twinsite explain crm"},
    starts_at=1_700_000_000.0,
)
MAIL = Mail(
    title="CRITICAL: Café (crm) is down", body="line one\n\n  Type: twinsite explain crm\n",
    severity=Severity.CRITICAL, over=False, alerts=(ALERT,),
)  # fmt: skip


async def sent(address: str, *, seconds: float = 60.0, mail: Mail = MAIL, base: Path = Path()) -> Tried:
    return await send(address, mail, timeout_seconds=seconds, base=base)


async def test_a_mail_arrives_as_it_was_written() -> None:
    async with MailServer().serving() as server:
        assert await sent(server.url) == Tried(ok=True)
    [mail] = server.mails
    assert mail["Subject"] == MAIL.title
    assert "oncall@council.example" in mail["To"]
    assert "twinsite@council.example" in mail["From"]
    part = mail.get_body(("plain", "html"))
    assert part is not None
    assert "Type: twinsite explain crm" in part.get_content()


async def test_a_mail_server_that_hangs_is_given_up_in_time_and_nothing_is_left_behind() -> None:
    async with MailServer(hangs=True).serving() as server:
        tried = await sent(server.url, seconds=3.0)
        assert tried == Tried(ok=False, words="no answer within 3 s; the try was ended")
        while server.connections == 0:
            await asyncio.sleep(0.01)
    assert server.mails == []


async def test_a_mail_server_that_takes_nothing_is_tried_again() -> None:
    async with MailServer(refuses=True).serving() as server:
        tried = await sent(server.url)
    assert (tried.ok, tried.again) == (False, True)
    assert tried.words


async def test_nobody_listens() -> None:
    tried = await sent(f"json://127.0.0.1:{free_port()}/hook")
    assert (tried.ok, tried.again) == (False, True)


async def test_a_web_hook_is_given_title_text_and_kind() -> None:
    async with WebHook().serving() as hook:
        assert await sent(hook.url) == Tried(ok=True)
    [given] = hook.given
    assert (given["title"], given["type"]) == (MAIL.title, "failure")
    assert "Type: twinsite explain crm" in given["message"]


@pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (401, True), (400, False)])
async def test_what_a_web_hook_answers(status: int, again: bool) -> None:
    async with WebHook(status=status).serving() as hook:
        tried = await sent(hook.url)
    assert (tried.ok, tried.again) == (False, again)
    assert f"error={status}" in tried.words


async def test_an_address_that_apprise_does_not_know() -> None:
    assert address_fault("carrier-pigeon://loft") == "apprise makes nothing of this address"
    assert address_fault("json://127.0.0.1/hook") == ""
    assert (await sent("carrier-pigeon://loft")).words == "apprise makes nothing of this address"


async def test_without_apprise_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apprise.py").write_text("raise ImportError('none here')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tried = await sent("json://127.0.0.1/hook")
    assert tried.words == ways.MISSING
    assert sys.executable


def test_no_secret_of_an_address_gets_into_words() -> None:
    words = _without_secrets(
        "failed: TokenTokenA and s3cret-pass at mail.example",
        "slack://u:s3cret-pass@mail.example/TokenTokenA",
    )
    assert words == "failed: *** and *** at mail.example"


@pytest.mark.slow
@pytest.mark.skipif(ALERTMANAGER is None, reason="there is no Alertmanager on this machine")
async def test_alertmanager_fires_and_resolves(tmp_path: Path) -> None:
    async with Alertmanager(tmp_path).serving() as manager:
        assert await sent(manager.url) == Tried(ok=True)
        assert await sent(manager.url) == Tried(ok=True)
        [alert] = await manager.alerts()
        assert alert["labels"] == dict(ALERT.labels)
        assert alert["annotations"] == dict(ALERT.annotations)
        assert alert["startsAt"].startswith("2023-11-14")
        over = Mail(title="", body="", severity=Severity.CRITICAL, over=True, alerts=(ALERT,))
        assert await sent(manager.url, mail=over) == Tried(ok=True)
        assert await manager.alerts() == []


@pytest.mark.slow
@pytest.mark.skipif(ALERTMANAGER is None, reason="there is no Alertmanager on this machine")
async def test_alertmanager_says_what_it_does_not_take(tmp_path: Path) -> None:
    wrong = Mail(
        title="", body="", severity=Severity.INFO, over=False,
        alerts=(Alert(labels={"no good": "x"}, annotations={}, starts_at=0.0),),
    )  # fmt: skip
    async with Alertmanager(tmp_path).serving() as manager:
        tried = await sent(manager.url, mail=wrong)
        assert (tried.ok, tried.again) == (False, False)
        assert "400" in tried.words
        missing = await sent(f"{manager.url}/somewhere/else")
        assert (missing.ok, missing.again) == (False, True)


async def test_an_alertmanager_that_is_not_there() -> None:
    tried = await sent(f"alertmanager://127.0.0.1:{free_port()}")
    assert (tried.ok, tried.again) == (False, True)
    assert "127.0.0.1" in tried.words
