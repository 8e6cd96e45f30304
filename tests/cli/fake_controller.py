"""A double of a controller's local API on a real Unix socket: says what it was given.

It notes what it was asked, and knows nothing but the API's shapes. It runs in a thread of its own, so that
the command can be tried from code without a loop and from another process.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from orchestrator.api.shapes import RunDetail, Shape

START_DEADLINE_SECONDS = 10.0


class FakeController:
    """Answers over `socket` while it is entered. Several answers to one request are given in turn, the
    last one again and again; a request without an answer is told so with status 500."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.asked: list[tuple[str, str, Any]] = []
        self._answers: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
        self._breaking: set[str] = set()
        self._hanging: set[str] = set()
        self._streams: dict[str, list[RunDetail]] = {}
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake-controller")
        self._end: Callable[[], None] = lambda: None
        self.hang_after_stream = False

    def says(self, method: str, path: str, *shapes: Shape, status: int = 200) -> None:
        """Answer with these shapes, one after another."""
        self._answers[method, path] = [(status, shape.model_dump_json().encode()) for shape in shapes]

    def says_raw(self, method: str, path: str, body: bytes, *, status: int = 200) -> None:
        """Answer with this body, whatever it is."""
        self._answers[method, path] = [(status, body)]

    def streams(self, *details: RunDetail) -> None:
        """Answer `follow` of that run with these, a line each."""
        self._streams[details[0].run] = list(details)

    def breaks(self, path: str) -> None:
        """Take the request at `path`, then break the connection without an answer."""
        self._breaking.add(path)

    def hangs(self, path: str) -> None:
        """Never answer requests at `path`."""
        self._hanging.add(path)

    def bodies(self, path: str) -> list[Any]:
        """What was sent to `path`."""
        return [body for _, asked, body in self.asked if asked == path]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body))
        if request.path in self._breaking and request.transport is not None:
            request.transport.abort()
        if request.path in self._hanging:
            await asyncio.Event().wait()
        if request.path.endswith("/follow") and self._streams:
            return await self._stream(request)
        given = self._answers.get((request.method, request.path))
        if not given:
            text = json.dumps({"message": f"no answer prepared for {request.method} {request.path}"})
            return web.Response(status=500, text=text)
        status, answer = given.pop(0) if len(given) > 1 else given[0]
        return web.Response(status=status, body=answer, content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for detail in self._streams[request.path.split("/")[3]]:
            await response.write(detail.model_dump_json().encode() + b"\n")
        if self.hang_after_stream:
            await asyncio.Event().wait()
        await response.write_eof()
        return response

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        await web.UnixSite(runner, str(self.socket)).start()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._end = lambda: loop.call_soon_threadsafe(ended.set)
        self._started.set()
        await ended.wait()
        await runner.cleanup()

    def stop(self) -> None:
        """End it, as a killed controller ends; its socket goes with it."""
        if self._thread.is_alive():
            self._end()
            self._thread.join(START_DEADLINE_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_DEADLINE_SECONDS), "the fake controller did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
