"""What the commands of a run say reaches whoever asks, while they say it and until the run is over."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from orchestrator.api.client import Client, WrongRequest
from orchestrator.api.output_stream import output_of
from orchestrator.api.server import _errors
from orchestrator.api.shapes import OutputLine
from runbooks.watching import Watchers


@pytest.fixture
async def told() -> AsyncIterator[tuple[Client, Watchers, dict[str, Any]]]:
    """A client at the real handler, the watchers behind it, and the runs that the controller knows."""
    watchers = Watchers()
    runs: dict[str, Any] = {"r1": SimpleNamespace(executor_site="durham", state="running")}
    mover = SimpleNamespace(progress={}, watchers=watchers)
    controller: Any = SimpleNamespace(site="durham", run_records=runs, mover=mover)
    app = web.Application(middlewares=[_errors])

    async def handler(request: web.Request) -> web.StreamResponse:
        return await output_of(controller, request)

    app.add_routes([web.get("/v1/runs/{run}/output", handler)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    with tempfile.TemporaryDirectory(prefix="tws-") as folder:
        place = Path(folder) / "socket"
        await web.UnixSite(runner, str(place)).start()
        async with Client(place) as client:
            yield client, watchers, runs
        await runner.cleanup()


async def test_the_last_lines_come_first_then_each_as_it_comes_until_the_run_is_over(
    told: tuple[Client, Watchers, dict[str, Any]],
) -> None:
    client, watchers, _ = told
    say = watchers.listener("r1")("promote/stop")
    say("out", "before")
    lines = client.output("r1")
    assert await anext(lines) == OutputLine(step="promote/stop", stream="out", text="before")
    say("err", "now")
    assert await anext(lines) == OutputLine(step="promote/stop", stream="err", text="now")
    watchers.end("r1")
    assert [line async for line in lines] == []


async def test_a_run_that_has_ended_gives_what_is_left_and_ends(
    told: tuple[Client, Watchers, dict[str, Any]],
) -> None:
    client, watchers, runs = told
    watchers.listener("r1")("promote/stop")("out", "the last")
    runs["r1"].state = "done"
    assert [line.text async for line in client.output("r1")] == ["the last"]


async def test_a_run_of_another_controller_and_an_unknown_one_say_where_to_ask(
    told: tuple[Client, Watchers, dict[str, Any]],
) -> None:
    client, _, runs = told
    runs["r2"] = SimpleNamespace(executor_site="morpeth", state="running")
    with pytest.raises(WrongRequest, match="controller of morpeth"):
        await anext(client.output("r2"))
    with pytest.raises(WrongRequest, match="no run 'r3'"):
        await anext(client.output("r3"))


async def test_a_watcher_that_goes_away_is_forgotten(told: tuple[Client, Watchers, dict[str, Any]]) -> None:
    client, watchers, _ = told
    watchers.listener("r1")("promote/stop")("out", "x")
    lines = client.output("r1")
    await anext(lines)
    await lines.aclose()  # type: ignore[attr-defined]
    await client.aclose()
    for _ in range(400):
        watchers.listener("r1")("promote/stop")("out", "y")
        if not watchers._runs["r1"].watchers:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is still told")


async def test_a_run_that_waits_for_a_person_is_looked_at_by_many_and_goes_on_for_all_of_them(
    told: tuple[Client, Watchers, dict[str, Any]],
) -> None:
    client, watchers, runs = told
    say = watchers.listener("r1")("promote/stop")
    say("out", "before")
    first = client.output("r1")
    await anext(first)
    runs["r1"].state = "waiting"
    second = client.output("r1")
    assert (await anext(second)).text == "before"
    say("out", "after")
    assert [(await anext(lines)).text for lines in (first, second)] == ["after", "after"]
