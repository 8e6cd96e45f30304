"""What the lab knows of its own: the controllers asked by their public API, the clients by their live line.

The one place where the lab speaks to the product, and it does so as any other program would. It never
reads the store or the databases to find out who is primary, and never changes anything but by `switchover`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.api.client import AnswerUnreadable, Client, NobodyAnswers, Refused, WrongRequest
from orchestrator.api.shapes import MoveOrder, MoveRequest, RunDetail, ServiceStatus, Status
from orchestrator.clock import boottime_ns
from orchestrator.errors import OrchestratorError
from orchestrator.lab.client import Live, read_live
from orchestrator.lab.errors import LabTrouble

ASK_EVERY_SECONDS = 0.25
ANSWER_WITHIN_SECONDS = 1.0
RUN_WITHIN_SECONDS = 60.0
RECENT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class LabNow:
    """One look at everything. `controllers`: what each data site's controller answered, None: nothing."""

    at_ns: int = 0
    controllers: Mapping[str, Status | None] = field(default_factory=dict)
    clients: Mapping[str, Live] = field(default_factory=dict)

    def said_by(self, site: str, service: str) -> ServiceStatus | None:
        """What the controller of `site` says of a service."""
        status = self.controllers.get(site)
        if status is None:
            return None
        return next((found for found in status.services if found.service == service), None)

    def said_of(self, service: str) -> dict[str, ServiceStatus]:
        """What every controller that answers says of a service."""
        said = {site: self.said_by(site, service) for site in self.controllers}
        return {site: status for site, status in said.items() if status is not None}

    def primary(self, service: str) -> str | None:
        """Who is primary, if all that answer agree on it and somebody answers."""
        primaries = {status.primary for status in self.said_of(service).values()}
        return primaries.pop() if len(primaries) == 1 else None

    def owner(self, service: str) -> tuple[str | None, int]:
        """Who is primary in the highest epoch that anybody who answers knows of, and that epoch. A site that
        is cut off answers too, with what it knew."""
        said = [(status.epoch or 0, status.primary) for status in self.said_of(service).values()]
        if not said:
            return None, 0
        epoch = max(number for number, _ in said)
        primaries = {primary for number, primary in said if number == epoch}
        return (primaries.pop() if len(primaries) == 1 else None), epoch

    def epoch(self, service: str) -> int:
        """The highest epoch that anybody knows; 0: none."""
        return max((status.epoch or 0 for status in self.said_of(service).values()), default=0)

    def taken_at(self, service: str) -> list[str]:
        """The sites that the client's writes are taken at, if any was taken lately."""
        live = self.clients.get(service, Live(0))
        oldest_ns = self.at_ns - int(RECENT_SECONDS * 1e9)
        return [site for site in live.writing_at if live.sites[site].last_acknowledged_ns >= oldest_ns]

    def standby_follows(self, service: str, site: str) -> bool:
        """Whether the instance at `site` is a streaming standby, by its own controller's word."""
        status = self.said_by(site, service)
        if status is None or status.primary in (None, site):
            return False
        role = next((instance.role for instance in status.instances if instance.site == site), "")
        return role == "standby" and status.lag is not None and bool(status.lag.streaming)

    def healthy(self, service: str) -> bool:
        """Both controllers answer, agree, call the service healthy, steady and automatic, no site holds any
        more, and clients are served."""
        said = self.said_of(service)
        if len(said) < len(self.controllers) or not said:
            return False
        fine = all(
            s.diagnosis == "healthy" and s.movement == "steady" and s.mode == "automatic"
            for s in said.values()
        )
        held = any(site.hold for status in self.controllers.values() if status for site in status.sites)
        return fine and not held and self.taken_at(service) == [self.primary(service)]

    def why_not_healthy(self, service: str) -> str:
        """What keeps a service from being healthy, for a message."""
        parts = [self._said(site, service) for site in self.controllers]
        taken = ", ".join(self.taken_at(service)) or "nobody"
        return f"{service}: {'; '.join(parts)}; writes taken by {taken}"

    def _said(self, site: str, service: str) -> str:
        status = self.said_by(site, service)
        if status is None:
            return f"{site}'s controller does not answer"
        owned = f"{status.movement}, {status.mode}, primary {status.primary}"
        return f"{site} says {status.diagnosis}, {owned}: {status.why}"


class LabView:
    """Asks both controllers and reads the clients' lines. `sockets`: each data site's local API."""

    def __init__(self, sockets: Mapping[str, Path], lives: Mapping[str, Path]) -> None:
        self._clients = {site: Client(socket) for site, socket in sockets.items()}
        self._lives = dict(lives)
        self.now = LabNow()
        self._looked = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def watch(self) -> None:
        """Look again and again, until cancelled; the latest look is `now`."""
        while True:
            await self.look()
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def look(self) -> LabNow:
        """One look. A controller that does not answer in time, or not sensibly, counts as silent."""
        answers = await asyncio.gather(*(self._status(client) for client in self._clients.values()))
        self.now = LabNow(
            boottime_ns(),
            dict(zip(self._clients, answers, strict=True)),
            {service: read_live(path) for service, path in self._lives.items()},
        )
        self._looked.set()
        self._looked = asyncio.Event()
        return self.now

    async def next_look(self) -> None:
        """Wait until `now` is a newer one."""
        await self._looked.wait()

    async def _status(self, client: Client) -> Status | None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                return await client.status()
        except (OrchestratorError, TimeoutError):
            return None

    async def switchover(self, service: str, to_site: str) -> RunDetail:
        """The planned move, as `twinsite switchover SERVICE` does it. Raises LabTrouble if it is refused or
        does not end in time; a run that ended otherwise than done is returned as it is."""
        try:
            async with asyncio.timeout(RUN_WITHIN_SECONDS):
                return await self._move(self._clients[to_site], service, to_site)
        except TimeoutError as fault:
            raise LabTrouble(
                f"the switchover of {service} to {to_site} did not end within {RUN_WITHIN_SECONDS:g} s"
            ) from fault
        except (NobodyAnswers, AnswerUnreadable, Refused, WrongRequest) as fault:
            raise LabTrouble(f"the switchover of {service} to {to_site}: {fault}") from fault

    async def order_switchover(self, service: str, to_site: str, *, asked_at: str) -> str:
        """The same, asked of that controller and not waited for; the run's id. Raises as `switchover`."""
        try:
            async with asyncio.timeout(RUN_WITHIN_SECONDS):
                return await self._ordered(self._clients[asked_at], service, to_site)
        except (TimeoutError, NobodyAnswers, AnswerUnreadable, Refused, WrongRequest) as fault:
            raise LabTrouble(f"the switchover of {service} to {to_site}: {fault}") from fault

    async def _ordered(self, client: Client, service: str, to_site: str) -> str:
        request = MoveRequest(verb="switchover", service=service, to_site=to_site, reason="lab")
        plan = await client.plan(request)
        if plan.refusal is not None:
            raise LabTrouble(f"the switchover of {service} was refused: {plan.refusal.message}")
        order = MoveOrder(run=plan.run, confirmed_site=plan.confirm_site, reason="lab")
        return (await client.move(order)).run

    async def _move(self, client: Client, service: str, to_site: str) -> RunDetail:
        run = await self._ordered(client, service, to_site)
        last = None
        async for detail in client.follow(run):
            last = detail
        if last is None:
            raise LabTrouble(f"nothing is known of the run {run}")
        return last

    async def last_run(self, service: str, asked_at: str, kinds: tuple[str, ...]) -> RunDetail | None:
        """The newest run of a service of one of these kinds, as the controller of `asked_at` knows it."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS * 3):
                runs = (await self._clients[asked_at].runs()).runs
        except (OrchestratorError, TimeoutError):
            return None
        return next((run for run in runs if run.service == service and run.kind in kinds), None)

    async def run_of(self, run: str, asked_at: str) -> RunDetail | None:
        """One run, as the controller of `asked_at` has it on file; None: it does not say."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS * 3):
                return await self._clients[asked_at].run(run)
        except (OrchestratorError, TimeoutError):
            return None
