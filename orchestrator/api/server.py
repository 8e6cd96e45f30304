"""The local API's server: HTTP over a Unix socket. The caller is known by the socket's peer credentials.

Nothing here decides; `orchestrator.orders` does, and `answers` shapes.
"""

import asyncio
import contextlib
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from orchestrator.api import answers
from orchestrator.api.drill_shapes import DrillOrder
from orchestrator.api.history_words import history_entry
from orchestrator.api.output_stream import output_of
from orchestrator.api.paging_shapes import TryRequest
from orchestrator.api.paging_words import paging_state, tested
from orchestrator.api.report_shapes import CountersignRequest
from orchestrator.api.run_words import month_figures, run_figures, with_proof
from orchestrator.api.shapes import (
    AdoptRequest,
    ApproveOrder,
    CertificateOrder,
    CertifyRequest,
    Figures,
    History,
    MoveAccepted,
    MoveOrder,
    MoveRequest,
    QuietRequest,
    ReconcileRequest,
    Refusal,
    RunDetail,
    Shape,
    SteerRequest,
)
from orchestrator.api.site_shapes import SiteMoveOrder, SiteMoveRequest
from orchestrator.api.store_shapes import StoreOrder, StorePlanRequest
from orchestrator.clock import wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.drills.desk import DrillDesk
from orchestrator.drills.telling import drill_list
from orchestrator.orders import Orders
from orchestrator.paging.desk import PagingDesk
from orchestrator.refusing import OrderRefused
from orchestrator.report_desk import ReportDesk
from orchestrator.reports import on_file
from orchestrator.site_orders import SiteOrders
from orchestrator.state_folder import told_of
from orchestrator.store_desk import StoreDesk
from probes.model import Observation

log = structlog.get_logger(__name__)

FOLLOW_LOOK_SECONDS = 0.05
FOLLOW_SAY_SECONDS = 2.0
REQUEST_LIMIT_BYTES = 1 << 20
HISTORY_LIMIT = 1000
FIGURES_LIMIT = 5000
GOING_ON = ("running", "waiting")
GROWING = {"duration_seconds", "pause", "clock", "projected"}
"""Of a run's detail what changes by time alone: worth no line of its own."""

Asked = TypeVar("Asked", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def caller(request: web.Request) -> str:
    """Who is at the other end, by the kernel's word: the user's name."""
    transport = request.transport
    raw: socket.socket | None = transport.get_extra_info("socket") if transport is not None else None
    if raw is None:
        return "unknown"
    credentials = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class LocalApi:
    """The server of one controller."""

    def __init__(
        self,
        controller: Controller,
        orders: Orders,
        site_orders: SiteOrders,
        observations: Callable[[], tuple[Observation, ...]],
    ) -> None:
        self._controller = controller
        self._orders = orders
        self._site_orders = site_orders
        self._observations = observations

    @contextlib.asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Listen at `path` while inside. Raises StateUnusable."""
        app = web.Application(client_max_size=REQUEST_LIMIT_BYTES, middlewares=[_errors])
        app.add_routes(
            [
                web.get("/v1/status", self._status),
                web.get("/v1/explain/{service}", self._explain),
                web.get("/v1/runs", self._runs),
                web.get("/v1/runs/{run}", self._run),
                web.get("/v1/runs/{run}/follow", self._follow),
                web.post("/v1/runs/{run}/steer", self._steer),
                web.post("/v1/runs/{run}/adopt", self._adopt),
                web.get("/v1/runs/{run}/output", self._output),
                web.post("/v1/plan", self._plan),
                web.post("/v1/moves", self._move),
                web.post("/v1/sites/plan", self._plan_site),
                web.post("/v1/sites/moves", self._move_site),
                web.post("/v1/pause", self._pause),
                web.post("/v1/resume", self._resume),
                web.post("/v1/acknowledge", self._acknowledge),
                web.post("/v1/certificates", self._certify),
                web.get("/v1/certificates/{id}", self._certificate),
                web.post("/v1/certificates/{id}/approve", self._approve),
                web.post("/v1/certificates/{id}/use", self._use),
                web.post("/v1/reconcile", self._reconcile),
                web.get("/v1/history", self._history),
                web.get("/v1/figures", self._figures),
                web.post("/v1/runs/{run}/report", self._report),
                web.get("/v1/runs/{run}/chain", self._chain),
                web.post("/v1/countersign", self._countersign),
                web.get("/v1/drills", self._drills),
                web.post("/v1/drills/run", self._drill_run),
                web.post("/v1/drills/abandon", self._drill_abandon),
                web.get("/v1/store", self._store),
                web.post("/v1/store/plan", self._store_plan),
                web.post("/v1/store/accept", self._store_accept),
                web.get("/v1/paging", self._paging),
                web.post("/v1/paging/test", self._paging_test),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            with told_of(path):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                await web.UnixSite(runner, str(path)).start()
                os.chmod(path, 0o660)
            yield
        finally:
            await runner.cleanup()

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return _json(answers.status(self._controller))

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["service"]
        if name not in self._controller.estate.services:
            known = ", ".join(self._controller.estate.services)
            raise OrderRefused("unknown-service", f"no service {name!r}; there is {known}", wrong=True)
        kept = await on_file(self._controller.journal, name)
        return _json(answers.explanation(self._controller, name, self._observations(), kept))

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        limit = _number(request, "limit", 50)
        return _json(answers.run_list(self._controller, max(1, min(limit, 1000))))

    def _detail(self, request: web.Request) -> RunDetail:
        name = request.match_info["run"]
        record = self._controller.run_records.get(name)
        if record is None:
            raise OrderRefused("unknown-run", f"no run {name!r} is known here", wrong=True)
        pause = answers.pauses(self._controller).get(record.service)
        detail = answers.run_detail(record, self._controller.mover.progress.get(name), pause)
        return with_proof(self._controller, detail, record)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        return _json(self._detail(request))

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """A line at each change until the run has ended, and now and then one as a sign of life."""
        name = request.match_info["run"]
        await self._await_run(name)
        self._detail(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        said, said_at = "", 0.0
        loop = asyncio.get_running_loop()
        while True:
            detail = self._detail(request)
            key = detail.model_dump_json(exclude=GROWING)
            if key != said or loop.time() - said_at > FOLLOW_SAY_SECONDS:
                said, said_at = key, loop.time()
                await response.write(detail.model_dump_json().encode() + b"\n")
            if detail.state not in GOING_ON:
                return response
            await asyncio.sleep(FOLLOW_LOOK_SECONDS)

    async def _steer(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request, SteerRequest)
        desk = self._orders.steering
        return _json(await desk.steer(request.match_info["run"], asked, self._who(request)))

    async def _adopt(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request, AdoptRequest)
        return _json(self._orders.steering.adopt(request.match_info["run"], asked.reason, self._who(request)))

    async def _output(self, request: web.Request) -> web.StreamResponse:
        await self._await_run(request.match_info["run"])
        return await output_of(self._controller, request)

    async def _await_run(self, name: str) -> None:
        """A run just ordered is on its way through the store; give it a moment."""
        for _ in range(60):
            if name in self._controller.run_records:
                return
            await asyncio.sleep(FOLLOW_LOOK_SECONDS)

    async def _plan(self, request: web.Request) -> web.StreamResponse:
        return _json(self._orders.plan(await _body(request, MoveRequest), self._who(request)))

    async def _move(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._orders.order(await _body(request, MoveOrder), self._who(request)))

    async def _plan_site(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request, SiteMoveRequest)
        return _json(self._site_orders.plan(asked, self._who(request)))

    async def _move_site(self, request: web.Request) -> web.StreamResponse:
        order = await _body(request, SiteMoveOrder)
        return _json(await self._site_orders.order(order, self._who(request)))

    async def _pause(self, request: web.Request) -> web.StreamResponse:
        return _json(
            await self._orders.quieting.pause(await _body(request, QuietRequest), self._who(request))
        )

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        return _json(
            await self._orders.quieting.resume(await _body(request, QuietRequest), self._who(request))
        )

    async def _acknowledge(self, request: web.Request) -> web.StreamResponse:
        return _json(
            await self._orders.quieting.acknowledge(await _body(request, QuietRequest), self._who(request))
        )

    async def _certify(self, request: web.Request) -> web.StreamResponse:
        return _json(self._orders.peers.draft(await _body(request, CertifyRequest), self._who(request)))

    async def _certificate(self, request: web.Request) -> web.StreamResponse:
        return _json(self._orders.certificates.asked_for(request.match_info["id"]))

    async def _approve(self, request: web.Request) -> web.StreamResponse:
        order = await _body(request, ApproveOrder)
        desk, who = self._orders.certificates, self._who(request)
        return _json(await desk.approve(request.match_info["id"], order.confirmed_site, who))

    async def _use(self, request: web.Request) -> web.StreamResponse:
        order = await _body(request, CertificateOrder)
        return _json(await self._orders.peers.use(request.match_info["id"], order, self._who(request)))

    async def _reconcile(self, request: web.Request) -> web.StreamResponse:
        order = await _body(request, ReconcileRequest)
        return _json(await self._orders.reconciling.reconcile(order, self._who(request)))

    async def _history(self, request: web.Request) -> web.StreamResponse:
        limit = max(1, min(_number(request, "limit", 50), HISTORY_LIMIT))
        service, kind = request.query.get("service") or None, request.query.get("kind") or None
        events = await self._controller.journal.events(limit, service=service, kind=kind)
        return _json(History(entries=[history_entry(event) for event in events]))

    def _report_desk(self) -> ReportDesk:
        desk = self._controller.report_desk
        if desk is None:
            raise OrderRefused("wrong-request", "this controller draws up no reports", wrong=True)
        return desk

    async def _report(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._report_desk().draw(request.match_info["run"]))

    async def _chain(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._report_desk().chain(request.match_info["run"]))

    async def _countersign(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._report_desk().countersign(await _body(request, CountersignRequest)))

    async def _figures(self, request: web.Request) -> web.StreamResponse:
        limit = max(1, min(_number(request, "limit", 50), FIGURES_LIMIT))
        service, trend = request.query.get("service") or None, self._controller.trend
        since = float(_number(request, "since", 0))
        found = await trend.runs(limit, service=service, since_unix_seconds=since)
        months = await trend.months(service=service)
        return _json(
            Figures(
                runs=[run_figures(one, steps=request.query.get("steps") == "1") for one in found],
                months=[month_figures(one) for one in months],
                problem=trend.problem,
            )
        )

    def _drill_desk(self) -> DrillDesk:
        desk = self._controller.drills
        if desk is None:
            raise OrderRefused("wrong-request", "this controller has no drills", wrong=True)
        return desk

    async def _drills(self, request: web.Request) -> web.StreamResponse:
        return _json(drill_list(self._controller, self._drill_desk(), wall_unix_seconds()))

    async def _drill_run(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request, DrillOrder)
        run = await self._drill_desk().order(asked.name, self._who(request), asked.reason)
        return _json(MoveAccepted(run=run, message=f"the drill {asked.name!r} has begun as run {run}"))

    async def _drill_abandon(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request, DrillOrder)
        run = await self._drill_desk().abandon(asked.name, self._who(request), asked.reason)
        return _json(MoveAccepted(run=run, message=f"the drill {asked.name!r} is abandoned"))

    def _store_desk(self) -> StoreDesk:
        desk = self._controller.store_desk
        if desk is None:
            raise OrderRefused("wrong-request", "this controller has no store to look at", wrong=True)
        return desk

    async def _store(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._store_desk().state())

    async def _store_plan(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request, StorePlanRequest)
        return _json(await self._store_desk().plan(asked, self._who(request)))

    async def _store_accept(self, request: web.Request) -> web.StreamResponse:
        order = await _body(request, StoreOrder)
        return _json(await self._store_desk().accept(order, self._who(request)))

    def _paging_desk(self) -> PagingDesk:
        desk = self._controller.paging
        if desk is None:
            raise OrderRefused("wrong-request", "this controller tells nobody of anything", wrong=True)
        return desk

    async def _paging(self, request: web.Request) -> web.StreamResponse:
        return _json(paging_state(self._paging_desk(), self._controller.site))

    async def _paging_test(self, request: web.Request) -> web.StreamResponse:
        return _json(await tested(self._paging_desk(), await _body(request, TryRequest)))

    def _who(self, request: web.Request) -> str:
        return f"{caller(request)}@{self._controller.site}"


def _number(request: web.Request, name: str, default: int) -> int:
    try:
        return int(request.query.get(name, default))
    except ValueError:
        raise OrderRefused("wrong-request", f"{name} must be a number", wrong=True) from None


def _json(shape: Shape, status: int = 200) -> web.Response:
    return web.Response(text=shape.model_dump_json(), content_type="application/json", status=status)


async def _body(request: web.Request, kind: type[Asked]) -> Asked:
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OrderRefused("wrong-request", f"{where}: {first['msg']}", wrong=True) from fault


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals become answers; what nobody foresaw is logged and said to be our fault."""
    try:
        return await handler(request)
    except OrderRefused as refused:
        return _json(refused.refusal, 400 if refused.wrong else 409)
    except web.HTTPException as refused:
        what = f"{request.method} {request.path}: {refused.reason}"
        return _json(Refusal(code="wrong-request", message=what), refused.status)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as fault:
        log.error("api-failed", path=request.path, exc_info=fault)
        refusal = Refusal(code="internal-fault", message="the controller failed to answer; see its log")
        return _json(refusal, 500)
