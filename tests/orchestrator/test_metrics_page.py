"""`/metrics` over HTTP: rendered ahead, answered while the controller's own loop stands still."""

import asyncio
import contextlib
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator import metrics_page
from orchestrator.clock import boottime_ns
from orchestrator.metrics import CONTENT_TYPE
from orchestrator.metrics_page import MetricsAddressTaken, MetricsPage
from orchestrator.readings import Readings


@pytest.fixture
def where() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"127.0.0.1:{port}"


def readings(turned_at_ns: int = 0) -> Readings:
    return Readings(observer="durham", version="1", turned_at_ns=turned_at_ns or boottime_ns())


def scraped(where: str) -> tuple[int, str, str]:
    """Status, type and text, as Prometheus would get them; blocks."""
    try:
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, "", refused.read().decode()


def turn_age(text: str) -> float:
    found = re.search(r'^twinsite_turn_age_seconds\{observer="durham"\} (\S+)$', text, flags=re.MULTILINE)
    assert found is not None
    return float(found[1])


async def test_before_the_first_turn_there_is_nothing_to_show(where: str) -> None:
    async with MetricsPage().serving(where):
        status, _, text = await asyncio.to_thread(scraped, where)
    assert (status, text) == (503, "no turn has been completed yet\n")


async def test_a_scrape_is_answered_while_the_controllers_loop_stands_still(where: str) -> None:
    page = MetricsPage()
    async with page.serving(where):
        page.take(readings(boottime_ns() - 7 * 10**9))
        status, kind, text = scraped(where)  # on this loop's own thread: nothing else runs here meanwhile
    assert (status, kind) == (200, CONTENT_TYPE)
    assert turn_age(text) >= 7
    shown = {family.name for family in text_string_to_metric_families(text)}
    assert shown >= {"twinsite_build_info", "process_resident_memory_bytes", "process_open_fds"}


async def test_ages_go_on_growing_when_no_turn_comes(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_page, "FRESH_NS", 0)
    monkeypatch.setattr(metrics_page, "AGAIN_NS", 0)
    page = MetricsPage()
    async with page.serving(where):
        page.take(readings())
        first, second = scraped(where)[2], scraped(where)[2]
    assert turn_age(second) > turn_age(first)


async def test_what_was_rendered_ahead_is_handed_out_as_it_is(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    real = metrics_page.render

    def noted(shown: Readings, *, now_ns: int) -> bytes:
        threads.append(threading.current_thread())
        return real(shown, now_ns=now_ns)

    monkeypatch.setattr(metrics_page, "render", noted)
    monkeypatch.setattr(metrics_page, "FRESH_NS", 10 * 10**9)
    monkeypatch.setattr(metrics_page, "AGAIN_NS", 0)
    page = MetricsPage()
    async with page.serving(where):
        page.take(readings())
        await asyncio.to_thread(scraped, where)  # somebody scrapes, so from now on it is rendered ahead
        page.take(readings(boottime_ns() - 10**9))
        await until(lambda: len(threads) == 2)
        before = list(threads)
        text = (await asyncio.to_thread(scraped, where))[2]
    assert turn_age(text) >= 1
    assert threads == before
    assert threading.main_thread() not in threads


async def test_while_it_is_rendered_anew_what_is_there_is_handed_out(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun = threading.Event(), threading.Event()
    real = metrics_page.render

    def slow(shown: Readings, *, now_ns: int) -> bytes:
        if shown.version == "2":
            begun.set()
            assert held.wait(10)
        return real(shown, now_ns=now_ns)

    monkeypatch.setattr(metrics_page, "render", slow)
    monkeypatch.setattr(metrics_page, "AGAIN_NS", 0)
    page = MetricsPage()
    async with page.serving(where):
        page.take(readings())
        await asyncio.to_thread(scraped, where)
        page.take(replace(readings(), version="2"))
        assert await asyncio.to_thread(begun.wait, 10)
        meanwhile = (await asyncio.to_thread(scraped, where))[2]
        held.set()
    assert 'version="1"' in meanwhile


async def test_where_nobody_scrapes_nothing_is_rendered(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_page, "render", lambda shown, now_ns: pytest.fail("rendered for nobody"))
    page = MetricsPage()
    async with page.serving(where):
        page.take(readings())
    assert not page._body


def test_newer_readings_are_worth_while_every_two_seconds() -> None:
    page = MetricsPage()
    assert page.due(boottime_ns())
    page.take(readings())
    assert not page.due(boottime_ns())
    assert page.due(boottime_ns() + 2 * 10**9)


async def test_an_address_that_is_taken_is_named_with_what_to_do(where: str) -> None:
    with socket.socket() as holder:
        address, _, port = where.rpartition(":")
        holder.bind((address, int(port)))
        holder.listen()
        with pytest.raises(MetricsAddressTaken, match="name another address"):
            async with MetricsPage().serving(where):
                pass


async def test_when_it_ends_its_thread_is_gone_and_the_address_free(where: str) -> None:
    async with MetricsPage().serving(where):
        assert any(thread.name == "metrics" for thread in threading.enumerate())
    assert not any(thread.name == "metrics" for thread in threading.enumerate())
    async with MetricsPage().serving(where):
        pass


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "this did not come"
        with contextlib.suppress(TimeoutError):
            await asyncio.sleep(0.01)
