"""What a live drill does to its service: away by a planned move, a stay, and home by another one.

The moves are ordered at the desk where people order theirs, with the same gates, and are runs of their own.
The drill waits for them and moves nothing itself, so it goes on after a crash by looking where the service
is.
"""

import asyncio
from collections.abc import Callable

from orchestrator.api.shapes import MoveOrder, MoveRequest
from orchestrator.controller import Controller
from orchestrator.core.records import Movement, RunRecord, ServiceRecord
from orchestrator.drills.ground import PROTECTED
from orchestrator.orders import Orders
from orchestrator.refusing import OrderRefused
from probes.model import Verdict
from runbooks.context import ActionContext, Call
from runbooks.errors import StepFailed
from runbooks.planned import Plan

LOOK_SECONDS = 0.1
UNSEEN_SECONDS = 30.0
PROBE_SECONDS = 30.0


def orderer(run: str) -> str:
    """Who orders a drill's moves: by it they are known to be the drill's own."""
    return f"drill {run}"


class Moving:
    """One controller's. `orders`: the desk where moves are ordered."""

    def __init__(self, controller: Controller, orders: Callable[[], Orders]) -> None:
        self._controller = controller
        self._orders = orders
        self.stopped: set[str] = set()
        """Drills that were told to end: what they wait for is not waited for any more."""

    async def away(self, call: Call) -> str:
        """Move the service to the other site."""
        return await self._moved(call, call.plan.to_site)

    async def home(self, call: Call) -> str:
        """Move it home again."""
        return await self._moved(call, call.plan.from_site)

    async def stay(self, context: ActionContext, call: Call, for_seconds: float) -> str:
        """Stay, and make sure that the service works there and is protected again. The time without
        protection is told."""
        loop = asyncio.get_running_loop()
        begun, protected_after = loop.time(), None
        while True:
            mind = self._controller.minds[call.plan.service]
            diagnosis = mind.judgement.row.diagnosis if mind.judgement is not None else None
            stayed = loop.time() - begun
            if protected_after is None and diagnosis in PROTECTED:
                protected_after = stayed
            if stayed >= for_seconds and diagnosis in PROTECTED:
                break
            await self._a_moment(call)
        works = await self._works(context, call)
        return f"stayed {stayed:.0f} s; protected again after {protected_after or 0.0:.0f} s; {works}"

    async def _works(self, context: ActionContext, call: Call) -> str:
        """Every probe of the service is healthy where it is now. Raises StepFailed."""
        tried: list[str] = []
        for probe in context.service.probes:
            if context.wait_healthy is None or probe.site not in (None, call.plan.to_site):
                continue
            found = await context.wait_healthy(probe.name, call.plan.to_site, timeout_seconds=PROBE_SECONDS)
            if found.verdict is not Verdict.UP:
                raise StepFailed(f"the probe {probe.name} at {call.plan.to_site}: {found.reason}")
            tried.append(probe.name)
        return f"healthy there: {', '.join(tried)}" if tried else "it has no probes that could be asked"

    async def _a_moment(self, call: Call) -> None:
        """Between two looks; the step's own deadline ends them. Raises StepFailed and LostRight."""
        if call.plan.id in self.stopped:
            raise StepFailed("the drill was told to end")
        await call.may_act()
        await asyncio.sleep(LOOK_SECONDS)

    async def _moved(self, call: Call, to_site: str) -> str:
        plan = call.plan
        mine = self._own(plan, to_site)
        run = mine.run if mine is not None else await self._ordered(plan, to_site)
        ended = await self._end_of(run, call)
        if ended.state != "done":
            raise StepFailed(f"run {run}: {ended.state}: {ended.outcome}")
        record = self._controller.desk.record(plan.service)
        if record is None or record.primary != to_site:
            raise StepFailed(f"run {run} was done, and {plan.service} is not at {to_site}")
        return f"{plan.service} is primary at {to_site}, by run {run}"

    def _own(self, plan: Plan, to_site: str) -> RunRecord | None:
        """The drill's own move there, if it was ordered already."""
        return next(
            (
                run
                for run in self._controller.run_records.values()
                if run.who == orderer(plan.id) and run.to_site == to_site and run.service == plan.service
            ),
            None,
        )

    async def _ordered(self, plan: Plan, to_site: str) -> str:
        reason = f"{plan.reason} ({plan.id})"
        request = MoveRequest(verb="switchover", service=plan.service, to_site=to_site, reason=reason)
        try:
            drawn = self._orders().plan(request, orderer(plan.id))
            order = MoveOrder(run=drawn.run, confirmed_site=drawn.confirm_site, reason=reason)
            await self._orders().order(order, orderer(plan.id))
        except OrderRefused as refused:
            refusal = refused.refusal
            raise StepFailed(f"the move was refused: {refusal.code}: {refusal.message}") from refused
        return drawn.run

    async def _end_of(self, run: str, call: Call) -> RunRecord:
        """The run's record once it is over."""
        loop = asyncio.get_running_loop()
        unseen_until = loop.time() + UNSEEN_SECONDS
        while True:
            record = self._controller.run_records.get(run)
            if record is not None and record.over:
                return record
            if record is None and loop.time() > unseen_until:
                raise StepFailed(f"nothing is known of run {run}")
            await self._a_moment(call)

    def gives_way(self, plan: Plan, held: ServiceRecord) -> str:
        """Why a live drill must not go on: the service is moved by somebody else, or is not where the
        drill's own moves have brought it."""
        if held.movement is Movement.MOVING:
            run = self._controller.run_records.get(held.run)
            return "" if run is None or run.who == orderer(plan.id) else f"run {held.run} moves the service"
        places = {plan.epoch: plan.from_site, plan.epoch + 1: plan.to_site, plan.epoch + 2: plan.from_site}
        if places.get(held.epoch) != held.primary:
            return f"the service is at {held.primary} at epoch {held.epoch}, not by this drill"
        if held.epoch > plan.epoch and self._own(plan, places[held.epoch]) is None:
            return f"the service came to {held.primary} by another run"
        return ""


def still_away(record: ServiceRecord | None, away: str) -> bool:
    """Whether the service is at the site where a live drill took it, as far as is known."""
    return record is None or record.primary in (away, None)
