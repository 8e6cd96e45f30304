"""`/metrics` over HTTP: the last turn's readings, rendered at each scrape. No network, no waiting."""

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from orchestrator.clock import boottime_ns
from orchestrator.errors import OrchestratorTrouble
from orchestrator.metrics import CONTENT_TYPE, render
from orchestrator.readings import Readings


class MetricsAddressTaken(OrchestratorTrouble):
    """Something else listens where `/metrics` is to be."""


class MetricsPage:
    """The page of one controller."""

    def __init__(self) -> None:
        self._readings: Readings | None = None

    def take(self, fresh: Readings) -> None:
        """Show these from now on."""
        self._readings = fresh

    @contextlib.asynccontextmanager
    async def serving(self, where: str) -> AsyncIterator[None]:
        """Serve at `address:port` while inside. Raises MetricsAddressTaken."""
        address, _, port = where.rpartition(":")
        app = web.Application()
        app.add_routes([web.get("/metrics", self._show)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, address, int(port)).start()
            except OSError as fault:
                raise MetricsAddressTaken(
                    f"/metrics cannot be served at {where}: {fault.strerror}; name another address"
                ) from fault
            yield
        finally:
            await runner.cleanup()

    async def _show(self, request: web.Request) -> web.Response:
        if self._readings is None:
            return web.Response(status=503, text="no turn has been completed yet\n")
        body = render(self._readings, now_ns=boottime_ns())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})
