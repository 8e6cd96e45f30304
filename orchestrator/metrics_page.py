"""`/metrics` over HTTP, from a thread with an event loop of its own.

What is shown is rendered ahead, in that thread, each time there are newer readings; a scrape hands it out. So
a scrape neither waits for the controller's loop nor holds it up, and while that loop stands still the page is
rendered anew at each scrape, with ages that go on growing. No network, but the scrape itself.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future

from aiohttp import web

from orchestrator.clock import boottime_ns
from orchestrator.errors import OrchestratorTrouble
from orchestrator.metrics import CONTENT_TYPE, render, render_process
from orchestrator.readings import Readings

TAKE_EVERY_NS = 2 * 10**9
FRESH_NS = 5 * 10**9  # older than this only where no turns come, or the machine is overloaded
AGAIN_NS = 500_000_000
NOBODY_SCRAPES_NS = 120 * 10**9
END_SECONDS = 5.0


class MetricsAddressTaken(OrchestratorTrouble):
    """Something else listens where `/metrics` is to be."""


class MetricsPage:
    """The page of one controller. All but `_in_thread` and what it calls belongs to the controller's loop."""

    def __init__(self) -> None:
        self._readings: Readings | None = None
        self._taken_at_ns = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        # The thread's own:
        self._rendering = asyncio.Lock()
        self._body = b""
        self._rendered_at_ns = 0
        self._asked_at_ns = 0

    def due(self, now_ns: int) -> bool:
        """Whether newer readings are worth while: they cost the controller's loop some time."""
        return now_ns - self._taken_at_ns >= TAKE_EVERY_NS

    def take(self, fresh: Readings) -> None:
        """Show these from now on."""
        self._readings = fresh
        self._taken_at_ns = boottime_ns()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is being ended
                self._loop.call_soon_threadsafe(self._ahead)

    @contextlib.asynccontextmanager
    async def serving(self, where: str) -> AsyncIterator[None]:
        """Serve at `address:port` while inside. Raises MetricsAddressTaken."""
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        thread = threading.Thread(
            target=lambda: asyncio.run(self._in_thread(where, started)), name="metrics", daemon=True
        )
        thread.start()
        try:
            loop, ended = await asyncio.wrap_future(started)
        except OSError as fault:
            raise MetricsAddressTaken(
                f"/metrics cannot be served at {where}: {fault.strerror}; name another address"
            ) from fault
        self._loop = loop
        try:
            yield
        finally:
            self._loop = None
            loop.call_soon_threadsafe(ended.set)
            await asyncio.to_thread(thread.join, END_SECONDS)

    # --- in the thread ---------------------------------------------------------------------------------

    async def _in_thread(
        self, where: str, started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]"
    ) -> None:
        address, _, port = where.rpartition(":")
        app = web.Application()
        app.add_routes([web.get("/metrics", self._show)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        ended = asyncio.Event()
        try:
            await runner.setup()
            await web.TCPSite(runner, address, int(port)).start()
        except Exception as fault:  # noqa: BLE001 - told to whoever waits for the start
            await runner.cleanup()
            started.set_exception(fault)
            return
        started.set_result((asyncio.get_running_loop(), ended))
        await ended.wait()
        await runner.cleanup()

    def _ahead(self) -> None:
        """Render before anybody asks, unless nobody has asked for long, or it is being done."""
        if boottime_ns() - self._asked_at_ns < NOBODY_SCRAPES_NS and not self._rendering.locked():
            task = asyncio.ensure_future(self._render())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _render(self) -> None:
        """In a thread beside this one, so that what is there can be handed out meanwhile."""
        async with self._rendering:
            now_ns = boottime_ns()
            shown = self._readings
            if shown is None or now_ns - self._rendered_at_ns < AGAIN_NS:
                return
            self._body = await asyncio.to_thread(_page, shown, now_ns)
            self._rendered_at_ns = now_ns

    async def _show(self, request: web.Request) -> web.Response:
        self._asked_at_ns = boottime_ns()
        if self._asked_at_ns - self._rendered_at_ns > FRESH_NS:
            await self._render()
        if not self._body:
            return web.Response(status=503, text="no turn has been completed yet\n")
        return web.Response(body=self._body, headers={"Content-Type": CONTENT_TYPE})


def _page(shown: Readings, now_ns: int) -> bytes:
    return render(shown, now_ns=now_ns) + render_process()
