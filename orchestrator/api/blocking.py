"""The client of the local API for code that is not asynchronous: the command line.

Adds nothing to `orchestrator.api.client` but an event loop of its own, kept from call to call.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from orchestrator.api.client import Client
from orchestrator.api.drill_shapes import DrillList, DrillOrder
from orchestrator.api.paging_shapes import PagingState, TriedReceivers, TryRequest
from orchestrator.api.report_shapes import ChainStatus, CountersignRequest, ReportAnswer
from orchestrator.api.shapes import (
    Acted,
    AdoptRequest,
    ApproveOrder,
    CertificateOrder,
    CertificateStatus,
    CertifyRequest,
    Explanation,
    Figures,
    History,
    MoveAccepted,
    MoveOrder,
    MovePlan,
    MoveRequest,
    OutputLine,
    QuietRequest,
    ReconcileRequest,
    RunDetail,
    RunList,
    Status,
    Steered,
    SteerRequest,
)
from orchestrator.api.site_shapes import SiteMoveOrder, SiteMovePlan, SiteMoveRequest
from orchestrator.api.store_shapes import StoreOrder, StorePlan, StorePlanRequest, StoreState

Result = TypeVar("Result")


class Controller:
    """`Client` for code that is not asynchronous. Not to be used inside a running event loop."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._client = Client(socket)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)

    def status(self) -> Status:
        """See Client.status."""
        return self._run(self._client.status())

    def explain(self, service: str) -> Explanation:
        """See Client.explain."""
        return self._run(self._client.explain(service))

    def runs(self, limit: int = 20) -> RunList:
        """See Client.runs."""
        return self._run(self._client.runs(limit))

    def run(self, run: str) -> RunDetail:
        """See Client.run."""
        return self._run(self._client.run(run))

    def steer(self, run: str, request: SteerRequest) -> Steered:
        """See Client.steer."""
        return self._run(self._client.steer(run, request))

    def adopt(self, run: str, request: AdoptRequest) -> Steered:
        """See Client.adopt."""
        return self._run(self._client.adopt(run, request))

    def plan(self, request: MoveRequest) -> MovePlan:
        """See Client.plan."""
        return self._run(self._client.plan(request))

    def move(self, order: MoveOrder) -> MoveAccepted:
        """See Client.move."""
        return self._run(self._client.move(order))

    def plan_site(self, request: SiteMoveRequest) -> SiteMovePlan:
        """See Client.plan_site."""
        return self._run(self._client.plan_site(request))

    def move_site(self, order: SiteMoveOrder) -> MoveAccepted:
        """See Client.move_site."""
        return self._run(self._client.move_site(order))

    def pause(self, request: QuietRequest) -> Acted:
        """See Client.pause."""
        return self._run(self._client.pause(request))

    def resume(self, request: QuietRequest) -> Acted:
        """See Client.resume."""
        return self._run(self._client.resume(request))

    def acknowledge(self, request: QuietRequest) -> Acted:
        """See Client.acknowledge."""
        return self._run(self._client.acknowledge(request))

    def paging(self) -> PagingState:
        """See Client.paging."""
        return self._run(self._client.paging())

    def test_paging(self, request: TryRequest, *, within_seconds: float) -> TriedReceivers:
        """See Client.test_paging."""
        return self._run(self._client.test_paging(request, within_seconds=within_seconds))

    def certify(self, request: CertifyRequest) -> CertificateStatus:
        """See Client.certify."""
        return self._run(self._client.certify(request))

    def certificate(self, name: str) -> CertificateStatus:
        """See Client.certificate."""
        return self._run(self._client.certificate(name))

    def approve(self, name: str, order: ApproveOrder) -> CertificateStatus:
        """See Client.approve."""
        return self._run(self._client.approve(name, order))

    def use(self, name: str, order: CertificateOrder) -> Acted:
        """See Client.use."""
        return self._run(self._client.use(name, order))

    def reconcile(self, request: ReconcileRequest) -> Acted:
        """See Client.reconcile."""
        return self._run(self._client.reconcile(request))

    def drills(self) -> DrillList:
        """See Client.drills."""
        return self._run(self._client.drills())

    def run_drill(self, order: DrillOrder) -> MoveAccepted:
        """See Client.run_drill."""
        return self._run(self._client.run_drill(order))

    def abandon_drill(self, order: DrillOrder) -> MoveAccepted:
        """See Client.abandon_drill."""
        return self._run(self._client.abandon_drill(order))

    def store(self) -> StoreState:
        """See Client.store."""
        return self._run(self._client.store())

    def plan_store(self, request: StorePlanRequest) -> StorePlan:
        """See Client.plan_store."""
        return self._run(self._client.plan_store(request))

    def accept_store(self, order: StoreOrder) -> Acted:
        """See Client.accept_store."""
        return self._run(self._client.accept_store(order))

    def history(self, *, service: str = "", kind: str = "", limit: int = 50) -> History:
        """See Client.history."""
        return self._run(self._client.history(service=service, kind=kind, limit=limit))

    def figures(
        self, *, service: str = "", limit: int = 50, since_unix_seconds: int = 0, steps: bool = False
    ) -> Figures:
        """See Client.figures."""
        found = self._client.figures(
            service=service, limit=limit, since_unix_seconds=since_unix_seconds, steps=steps
        )
        return self._run(found)

    def report(self, run: str) -> ReportAnswer:
        """See Client.report."""
        return self._run(self._client.report(run))

    def chain(self, run: str) -> ChainStatus:
        """See Client.chain."""
        return self._run(self._client.chain(run))

    def countersign(self, request: CountersignRequest) -> ReportAnswer:
        """See Client.countersign."""
        return self._run(self._client.countersign(request))

    def follow(self, run: str) -> Iterator[RunDetail]:
        """See Client.follow."""
        return self._each(self._client.follow(run))

    def output(self, run: str) -> Iterator[OutputLine]:
        """See Client.output."""
        return self._each(self._client.output(run))

    def _each(self, stream: AsyncIterator[Result]) -> Iterator[Result]:
        async def following() -> Result | None:
            return await anext(stream, None)

        async def closing() -> None:
            await stream.aclose()  # type: ignore[attr-defined]  # an async generator, typed as its protocol

        try:
            while (each := self._run(following())) is not None:
                yield each
        finally:
            self._run(closing())
