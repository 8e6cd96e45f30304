"""Carry drills out, have them give way, go on with what was cut off, and clean up after them.

A drill is a run in the journal like any other, but it holds no service: whatever is real goes first.
Whether one may begin is not asked here.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from orchestrator.clock import wall_text, wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.records import RunRecord
from orchestrator.core.view import View
from orchestrator.drills.board import DrillBoard, NotWritten
from orchestrator.drills.drawing import GIVES_WAY, Drawing
from orchestrator.drills.ground import service_in
from orchestrator.drills.moving import still_away
from orchestrator.drills.records import DrillRecord, TurnRecord
from orchestrator.ownership_actions import Errand
from runbooks.errors import NotUnderWay, RunbooksError
from runbooks.journal import RunOutcome, RunSteered
from runbooks.planned import Plan
from runbooks.progress import fold, plan_of
from runbooks.steered import Order, Verb
from sites.drills import DrillSpec
from sites.errors import DriverTrouble, SitesError
from sites.replication.rehearsal import Rehearses
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 1.0
CLEAN_SECONDS = 60.0
CLEAN_AGAIN_SECONDS = 30.0
ENDED, CLEANED, NOT_CLEANED = "drill-ended", "drill-cleaned", "drill-not-cleaned"

Filed = Callable[[str, DrillSpec, Mapping[str, object]], Awaitable[None]]


@dataclass(slots=True)
class Live:
    """A drill that is carried out here. `stopped`: why it was told to end before its end."""

    drill: DrillSpec
    run: str
    task: "asyncio.Task[None]"
    errand: Errand
    stopped: str = ""


class Carrying:
    """One controller's drills under way. `filed`: puts something about a drill on file."""

    def __init__(
        self,
        controller: Controller,
        drivers: Mapping[str, ReplicationDriver],
        board: DrillBoard,
        drawing: Drawing,
        filed: Filed,
        transport: Transport,
    ) -> None:
        self._controller = controller
        self._drivers = drivers
        self._site = controller.site
        self._drawing = drawing
        self._filed = filed
        self._transport = transport
        self.board = board
        self.live: dict[str, Live] = {}
        self.starting: set[str] = set()
        self._clean_again: dict[str, float] = {}
        self._said: dict[str, str] = {}

    async def aclose(self) -> None:
        """End what is under way; runs journal what they leave, and are gone on with later."""
        tasks = [live.task for live in self.live.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def carry(self, drill: DrillSpec, plan: Plan, errand: Errand, *, publish: bool) -> None:
        task = asyncio.ensure_future(self._carried(drill, plan, errand, publish=publish))
        self.live[drill.name] = Live(drill, plan.id, task, errand)
        task.add_done_callback(lambda done: self._ended(drill.name, done))

    def _ended(self, name: str, done: "asyncio.Task[None]") -> None:
        self.live.pop(name, None)
        if not done.cancelled() and (fault := done.exception()) is not None:
            log.error("drill-task-failed", drill=name, exc_info=fault)

    async def _carried(self, drill: DrillSpec, plan: Plan, errand: Errand, *, publish: bool) -> None:
        mover = self._controller.mover
        outcome = await mover.carry_out(plan, errand, publish=publish)
        live = self.live.get(drill.name)
        why = live.stopped if live is not None else ""
        if not outcome.final:
            why = why or GIVES_WAY
            outcome = await self._end_for_good(plan, errand, why)
        await self._finish(drill, plan.id, outcome, why)

    async def _end_for_good(self, plan: Plan, errand: Errand, why: str) -> RunOutcome:
        """A drill that gave way stands still; nobody will ever go on with it, so it is aborted, on file."""
        records = await self._controller.journal.read(plan.id)
        number = fold(plan, records).last_order + 1
        order = replace(self._order(why), number=number)
        await self._controller.journal.append(plan.id, RunSteered(order))
        errand.gives_way = lambda held: ""
        return await self._controller.mover.carry_out(plan, errand, publish=False)

    def _order(self, why: str) -> Order:
        return Order(
            verb=Verb.ABORT,
            who=f"controller of {self._site}",
            site=self._site,
            at=wall_text(),
            reason=why,
        )

    async def _finish(self, drill: DrillSpec, run: str, outcome: RunOutcome, why: str) -> None:
        """The drill has ended: what it left is removed, and only what was done to its end counts."""
        kept = self.board.records.get(drill.name)
        left_at = kept.left_at if kept is not None else ""
        if outcome is RunOutcome.DONE:
            left_at = ""  # the copy's removal was its last step
        elif left_at and await self._removed(drill, left_at):
            left_at = ""
        records = await self._controller.journal.read(run)
        plan = plan_of(records)
        seconds = records[-1].wall_seconds - records[0].wall_seconds if records else None
        ended = wall_unix_seconds()

        def change(there: DrillRecord | None) -> DrillRecord | None:
            if there is None or there.run != run:
                return None
            after = replace(
                there,
                run="",
                site="",
                began=None,
                slot=None,
                left_at=left_at,
                last_run=run,
                last_outcome=str(outcome),
                last_why=why,
                last_ended=ended,
            )
            if outcome is not RunOutcome.DONE:
                return after
            return replace(
                after,
                success_run=run,
                success_ended=ended,
                success_seconds=seconds,
                success_plan_hash=plan.hash if plan is not None else "",
            )

        await self._filed(ENDED, drill, {"run": run, "outcome": str(outcome), "why": why})
        await self._written(drill.name, change, lambda turn: TurnRecord() if turn.run in (run, "") else turn)

    async def _written(
        self,
        name: str,
        change: Callable[[DrillRecord | None], DrillRecord | None],
        turn: Callable[[TurnRecord], TurnRecord | None] | None = None,
    ) -> None:
        """Write, for as long as it takes: until then the drill stands as under way, and nothing else
        begins."""
        while True:
            try:
                await self.board.write(name, change, turn)
            except NotWritten as fault:
                if fault.unwanted:
                    return
                log.warning("drill-end-not-written", drill=name, problem=str(fault))
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def watch(self, view: View) -> None:
        """What is carried out here gives way to what is real, whoever owns the service by now."""
        for live in list(self.live.values()):
            record = self.board.records.get(live.drill.name)
            if live.stopped or record is None or record.run != live.run:
                continue
            if why := self._must_end(view, live, record):
                await self.stop(live, why)

    async def take_up(self, drill: DrillSpec) -> None:
        """What this controller was cut off from goes on, whoever owns the service by now: a live drill
        has moved it away itself, and any other one gives way."""
        record = self.board.records.get(drill.name)
        if drill.name in self.live or drill.name in self.starting:
            return
        if record is not None and record.run and record.site == self._site:
            await self._go_on(drill, record)

    async def see_to(self, view: View, drill: DrillSpec, record: DrillRecord) -> None:
        """A drill that stands as under way, of a service that is ours."""
        if drill.name in self.live or record.site == self._site:
            return
        if view.peer_is_silent or view.peer_lease_over:
            await self._end_of_another(drill, record)

    def _must_end(self, view: View, live: Live, record: DrillRecord) -> str:
        drill, found = live.drill, service_in(view, live.drill.service)
        held = found.record if found is not None else None
        gives_way = live.errand.gives_way
        if held is not None and gives_way is not None and (why := gives_way(held)):
            return why
        late_seconds = wall_unix_seconds() - (record.began or 0.0)
        if late_seconds > drill.ends_within_seconds:
            return f"it took longer than its ends_within, {drill.ends_within_seconds:g} s"
        return ""

    async def stop(self, live: Live, why: str) -> None:
        """Nothing more is begun, then what works on the copy is ended: so the step under way ends too."""
        live.stopped = why
        self._drawing.moving.stopped.add(live.run)
        log.warning("drill-abandoned", drill=live.drill.name, run=live.run, why=why)
        try:
            await self._controller.mover.steer(live.run, self._seen(live.run, why))
        except (NotUnderWay, RunbooksError) as fault:
            log.warning("drill-not-steered", drill=live.drill.name, problem=str(fault))
        kept = self.board.records.get(live.drill.name)
        if kept is not None and kept.left_at:
            await self._removed(live.drill, kept.left_at)

    def _seen(self, run: str, why: str) -> Order:
        progress = self._controller.mover.progress.get(run)
        return replace(self._order(why), seen=progress.last_order if progress is not None else 0)

    async def _go_on(self, drill: DrillSpec, record: DrillRecord) -> None:
        """This controller was cut off in the middle: go on from the journal, which says how far it is."""
        records = await self._controller.journal.read(record.run)
        plan = plan_of(records)
        if plan is None:
            await self._finish(drill, record.run, RunOutcome.FAILED, "cut off before anything was begun")
            return
        progress = fold(plan, records)
        if progress.final and progress.ended is not None:
            await self._finish(drill, record.run, progress.ended.outcome, "")
            return
        errand = self._drawing.errand(drill, plan, who=progress.who, why=plan.reason)
        self.carry(drill, plan, errand, publish=False)

    async def _end_of_another(self, drill: DrillSpec, record: DrillRecord) -> None:
        """The controller that carried it out is lost, and the service is ours now: the drill is over."""
        run = self._controller.run_records.get(record.run)
        if run is not None and not run.over:
            await self._adopted(run)
        await self._finish(
            drill, record.run, RunOutcome.ABORTED, f"{record.site}, which carried it out, is lost"
        )

    async def _adopted(self, run: RunRecord) -> None:
        adopted = await self._controller.mover.adopt(run.run)
        if adopted is None:
            return
        plan = Plan.from_json(json.dumps(adopted.plan))
        errand = Errand(adopted, adopted=True, who=adopted.who, why=adopted.why, gives_way=lambda held: "")
        first = self._order(f"{run.executor_site}, which carried it out, is lost")
        await self._controller.mover.carry_out(plan, errand, publish=False, first=first)

    async def clean(self, drill: DrillSpec, site: str) -> None:
        """What an ended drill could not remove is tried again and again."""
        now = asyncio.get_running_loop().time()
        if now < self._clean_again.get(drill.name, 0.0):
            return
        self._clean_again[drill.name] = now + CLEAN_AGAIN_SECONDS
        if await self._removed(drill, site):
            await self.board.write(
                drill.name,
                lambda there: replace(there, left_at="") if there is not None else None,
            )

    async def _removed(self, drill: DrillSpec, site: str) -> bool:
        """Whether nothing of the drill is left there; what is, is on file once, however often it is tried."""
        try:
            said = await self._left_nothing(drill, site)
        except SitesError as fault:
            if self._said.get(drill.name) != str(fault):
                self._said[drill.name] = str(fault)
                await self._filed(NOT_CLEANED, drill, {"site": site, "why": str(fault)})
            return False
        self._said.pop(drill.name, None)
        await self._filed(CLEANED, drill, {"site": site, "how": said})
        return True

    async def _left_nothing(self, drill: DrillSpec, site: str) -> str:
        """Remove what is left; what was removed. Raises SitesError."""
        driver = self._drivers.get(drill.service)
        if not drill.kind.moves:
            if not isinstance(driver, Rehearses):
                return "there is nothing to remove"
            return await driver.rehearsal.remove(site, timeout_seconds=CLEAN_SECONDS)
        for name, block in drill.block.items():
            host_site, _, role = block.host.partition("/")
            host = self._controller.estate.sites[host_site].hosts[role]
            done = await self._transport.run(host, block.unblock, timeout_seconds=block.timeout_seconds)
            if done.exit_status != 0:
                raise DriverTrouble(f"{name} could not be made reachable again: status {done.exit_status}")
        if still_away(self._controller.desk.record(drill.service), site):
            home = f"`twinsite failback {drill.service}`"
            raise DriverTrouble(f"{drill.service} is still at {site}, where the drill took it: {home}")
        return "the service is home, and nothing is blocked"
