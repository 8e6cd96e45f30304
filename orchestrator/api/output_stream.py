"""What the commands of a run say, line by line to whoever asks, while this controller carries the run out.

A line that nobody takes in time is lost to that watcher alone, and counted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from aiohttp import web

from orchestrator.api.shapes import OutputLine
from orchestrator.controller import Controller
from orchestrator.refusing import OrderRefused
from runbooks.watching import Line, Watch

SAY_SECONDS = 2.0
LIVE = frozenset({"running", "waiting"})  # one that waits for a person goes on when they have spoken


SIGN_OF_LIFE = OutputLine(step="", stream="state", text="")


async def output_of(controller: Controller, request: web.Request) -> web.StreamResponse:
    """An OutputLine per line (NDJSON): the last ones first, then each as it comes, until the run has ended.

    Raises OrderRefused for a run that is not carried out here.
    """
    name = request.match_info["run"]
    record = controller.run_records.get(name)
    if record is None:
        raise OrderRefused("unknown-run", f"no run {name!r} is known here", wrong=True)
    if record.executor_site != controller.site and name not in controller.mover.progress:
        raise OrderRefused(
            "wrong-request",
            f"{name} is carried out by the controller of {record.executor_site}: ask there (--site)",
            wrong=True,
        )
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    watchers = controller.mover.watchers
    if record.state not in LIVE:
        watchers.end(name)
    with watchers.watching(name) as watch:
        async for line in _with_signs_of_life(watch):
            await response.write(line.model_dump_json().encode() + b"\n")
    return response


async def _with_signs_of_life(watch: Watch) -> AsyncIterator[OutputLine]:
    async with aclosing(watch.lines()) as lines:
        following: asyncio.Future[Line] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(anext(lines))
                await asyncio.wait({following}, timeout=SAY_SECONDS)
                if not following.done():
                    yield SIGN_OF_LIFE
                    continue
                try:
                    line = following.result()
                except StopAsyncIteration:
                    return
                following = None
                yield OutputLine(step=line.step, stream=line.stream, text=line.text, missed=line.missed)
        finally:
            if following is not None:
                following.cancel()
                await asyncio.wait({following})
