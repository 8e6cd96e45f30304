"""Requests as steps and as questions, against real web servers on the loopback interface."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.clock import boottime_ns, wall_unix_seconds
from runbooks.actions import shipped_actions
from runbooks.engine import Outcome
from runbooks.journal import MemoryJournal, event_adapter
from runbooks.planned import Plan
from runbooks.progress import StepState
from runbooks.render import render_plan
from tests.probes.certificates import Authority
from tests.probes.test_http import Handler, says, site
from tests.probes.worlds import closed_port, hang, hang_up, listening
from tests.runbooks.kinds.folders import codes, faults, planned, written
from tests.runbooks.worlds import ESTATE, World

STEP = "steps:\n  - id: a\n    action: http\n{}"


def lines(**keys: object) -> str:
    return "".join(f"    {key}: {value}\n" for key, value in keys.items())


def plan_of(folder: Path, **keys: object) -> Plan:
    return planned(written(folder, outer=STEP.format(lines(**keys))))


def world(folder: Path) -> World:
    return World(journal=MemoryJournal(boottime_ns, wall_unix_seconds), now=boottime_ns, base=folder)


async def carried_out(folder: Path, **keys: object) -> tuple[Outcome, str, World]:
    here = world(folder)
    outcome = await here.carry_out(plan_of(folder, **keys))
    return outcome, outcome.progress.steps["p/a"].evidence, here


@pytest.mark.parametrize(
    ("keys", "good", "said"),
    [
        ({}, True, "status 200 OK"),
        ({"contains": "Welcome"}, True, "begins: Welcome to CRM"),
        ({"contains": "Farewell"}, False, "'Farewell' is not in it"),
        ({"matches": "'^Welcome .*CRM$'"}, True, "status 200"),
        ({"never_matches": "CRM"}, False, "which it must not have"),
        ({"status": 204}, False, "expected 204"),
        ({"status": "[404, 2xx]"}, True, "status 200"),
    ],
)
async def test_status_and_text_are_judged_as_the_step_says(
    tmp_path: Path, keys: dict[str, object], good: bool, said: str
) -> None:
    async with site() as port:
        outcome, evidence, _ = await carried_out(tmp_path, url=f"http://127.0.0.1:{port}/", **keys)
    assert outcome.done is good
    assert said in evidence


async def serving(handler: Handler, used: Callable[[int], "asyncio.Future[object]"]) -> None:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await used(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_what_is_sent_as_json_keeps_its_values_whatever_they_hold(tmp_path: Path) -> None:
    seen: list[tuple[str, str, str]] = []

    async def posting(request: web.Request) -> web.Response:
        seen.append((request.method, request.headers.get("Content-Type", ""), await request.text()))
        return web.Response(status=201)

    async def used(port: int) -> None:
        outcome, _, _ = await carried_out(
            tmp_path,
            url=f"http://127.0.0.1:{port}/purge",
            method="POST",
            json="{name: '{{ service.title }}', quote: '\"', many: [1, 2]}",
            status=201,
        )
        assert outcome.done

    await serving(posting, used)
    assert seen == [
        ("POST", "application/json", '{"name": "Customer records", "quote": "\\"", "many": [1, 2]}')
    ]


async def test_a_secret_is_sent_and_stands_in_no_plan_no_journal_and_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDN_TOKEN", "Bearer s3cret-s3cret")
    authority = Authority(tmp_path)
    seen: list[str] = []

    async def echo(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(text=f"you said {seen[-1]}", status=403)

    async with site({"/": echo}, tls=authority.server("127.0.0.1")) as port:
        plan = plan_of(
            tmp_path,
            url=f"https://127.0.0.1:{port}/",
            headers="{Authorization: !env CDN_TOKEN}",
            ca="ca.pem",
        )
        here = world(tmp_path)
        outcome = await here.carry_out(plan)
    assert seen == ["Bearer s3cret-s3cret"]
    assert not outcome.done
    journal = b"".join(
        [event_adapter().dump_json(record.event) for record in await here.journal.read("run-1")]
    )
    assert b"you said ***" in journal
    for text in (journal.decode(), plan.to_json(), "\n".join(render_plan(plan))):
        assert "s3cret" not in text
        assert "!env CDN_TOKEN" in text


async def test_a_secret_that_is_not_there_fails_the_step_before_anything_is_sent(tmp_path: Path) -> None:
    outcome, evidence, _ = await carried_out(
        tmp_path,
        url=f"https://127.0.0.1:{closed_port()}/",
        method="POST",
        headers="{Authorization: !file token}",
    )
    assert not outcome.done
    assert "the header Authorization of this request needs !file token" in evidence


def test_secrets_may_stand_in_headers_only_and_never_on_an_open_line(tmp_path: Path) -> None:
    def found(**keys: object) -> list[str]:
        return codes(written(tmp_path, outer=STEP.format(lines(**keys))))

    assert found(url="https://a.example/", headers="{A: !env X}") == []
    assert found(url="https://a.example/", headers="{A: !env X}", body="!env Y", method="POST") == [
        "secret-named"
    ]
    assert "secret-named" in found(url="!env X")
    assert found(url="http://a.example/", headers="{A: !env X}") == ["wrong-value"]
    assert found(url="https://me:pw@a.example/") == ["wrong-value"]


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "ftp://a.example/"},
        {"url": "a.example"},
        {"url": "https://a.example/a b"},
        {"url": "https://a.example/", "body": "x"},
        {"url": "https://a.example/", "method": "POST", "body": "x", "json": "{a: 1}"},
        {"url": "https://a.example/", "method": "POST", "redirects": "follow"},
        {"url": "https://a.example/", "method": "HEAD", "contains": "x"},
        {"url": "https://a.example/", "headers": "{'a b': x}"},
        {"url": "https://a.example/", "matches": "'('"},
        {"url": "https://a.example/", "status": 99},
    ],
)
def test_keys_that_do_not_go_together_are_faults(tmp_path: Path, keys: dict[str, object]) -> None:
    assert codes(written(tmp_path, outer=STEP.format(lines(**keys)))) == ["wrong-value"]


async def test_a_certificate_that_is_not_trusted_is_never_accepted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with site(tls=authority.server("127.0.0.1")) as port:
        outcome, evidence, _ = await carried_out(tmp_path, url=f"https://127.0.0.1:{port}/")
        assert not outcome.done
        assert "certificate is not accepted" in evidence
        trusted, _, _ = await carried_out(tmp_path, url=f"https://127.0.0.1:{port}/", ca="ca.pem")
        assert trusted.done
        missing, evidence, _ = await carried_out(tmp_path, url=f"https://127.0.0.1:{port}/", ca="none.pem")
        assert not missing.done
        assert "none.pem cannot be used" in evidence


def test_nothing_switches_the_check_of_certificates_off() -> None:
    assert "verify" not in shipped_actions()["http"].arguments.model_fields


async def test_redirects_are_refused_unless_wanted_and_end(tmp_path: Path) -> None:
    pages = {
        "/": says("", 302, Location="/there"),
        "/there": says("here"),
        "/round": says("", 302, Location="/round"),
    }
    async with site(pages) as port:
        at = f"http://127.0.0.1:{port}"
        refused, _, _ = await carried_out(tmp_path, url=f"{at}/")
        followed, evidence, _ = await carried_out(tmp_path, url=f"{at}/", redirects="same-host")
        endless, said, _ = await carried_out(tmp_path, url=f"{at}/round", redirects="follow")
    assert (refused.done, followed.done, endless.done) == (False, True, False)
    assert evidence.startswith(f"GET {at}/there: status 200")
    assert "more than 5 redirects" in said


async def test_an_endless_answer_is_read_only_to_its_bound(tmp_path: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"\xff\x1b[31m more " * 300)
        except ConnectionError:
            return response

    async with site({"/": endless}) as port:
        outcome, evidence, _ = await carried_out(tmp_path, url=f"http://127.0.0.1:{port}/")
    assert outcome.done
    assert len(evidence) < 2000
    assert "\x1b" not in evidence


async def test_nobody_there_is_unreachable_and_silence_is_a_time_limit(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/"
    gone, evidence, _ = await carried_out(tmp_path, url=url, if_unreachable="continue")
    assert gone.progress.state("p/a") is StepState.UNREACHABLE_CONTINUED
    assert "cannot be reached" in evidence
    async with listening(hang) as port:
        silent, _, _ = await carried_out(tmp_path, url=f"http://127.0.0.1:{port}/", timeout="200ms")
    assert silent.progress.state("p/a") is StepState.TIMED_OUT


async def test_a_post_whose_answer_was_lost_is_not_sent_again_and_a_get_is(tmp_path: Path) -> None:
    for method, attempts in (("POST", 1), ("PUT", 3), ("GET", 3)):
        seen: list[int] = []

        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen=seen) -> None:
            await reader.readuntil(b"\r\n\r\n")
            seen.append(1)
            await hang_up(reader, writer)

        async with listening(cut) as port:
            outcome, evidence, _ = await carried_out(
                tmp_path, url=f"http://127.0.0.1:{port}/", method=method, retries=2, backoff="1ms"
            )
        assert not outcome.done
        # What may be sent twice, the library sends twice by itself on one attempt.
        assert outcome.progress.steps["p/a"].attempts == attempts, evidence
        assert len(seen) == 1 or method != "POST"


async def test_a_host_may_be_named_whatever_the_name_resolves_to(tmp_path: Path) -> None:
    async with site() as port:
        here = world(tmp_path)
        local = ESTATE.sites["morpeth"].hosts["crm-app"].model_copy(update={"address": "127.0.0.1"})
        morpeth = ESTATE.sites["morpeth"].model_copy(update={"hosts": {"crm-app": local}})
        here.estate = ESTATE.model_copy(update={"sites": {**ESTATE.sites, "morpeth": morpeth}})
        plan = plan_of(
            tmp_path,
            url=f"http://crm.example:{port}/",
            host="\"{{ to_site.hosts['crm-app'] }}\"",
        )
        assert plan.steps[0].host == "morpeth/crm-app"
        assert (await here.carry_out(plan)).done


async def test_an_address_can_be_a_question(tmp_path: Path) -> None:
    async with site({"/": says("open", 200), "/closed": says("closed", 503)}) as port:
        at = f"http://127.0.0.1:{port}"
        text = (
            "steps:\n"
            f"  - {{id: a, action: notify, message: m, unless: {{http: '{at}/closed'}},\n"
            f"     verify: {{http: {{url: '{at}/', contains: open}}}}}}\n"
            "  - {id: b, action: notify, message: m,\n"
            f"     unless: {{http: {{url: '{at}/closed', status: 503}}}}}}\n"
        )
        outcome = await world(tmp_path).carry_out(planned(written(tmp_path, outer=text)))
    assert outcome.progress.state("p/a") is StepState.DONE
    assert outcome.progress.state("p/b") is StepState.ALREADY_DONE
    assert "status 503" in outcome.progress.steps["p/b"].evidence


def test_a_question_that_sends_something_is_no_question(tmp_path: Path) -> None:
    asked = "{http: {url: 'https://a.example/', method: POST}}"
    text = f"steps:\n  - {{id: a, action: notify, message: m, verify: {asked}}}\n"
    assert faults(written(tmp_path, outer=text))[0].code == "unknown-key"
