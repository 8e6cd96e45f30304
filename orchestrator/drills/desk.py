"""When drills begin at one controller, by the calendar or because somebody says so; and how they are
abandoned.

Of each service's drills the controller of the site that owns it takes care, and no other: who owns it is
the keeper's word, and that a drill is begun once is the store's. Whether it may begin is the interlocks' to
say, how it is carried out and cleaned up after `carrying`'s.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from orchestrator.clock import wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.view import View
from orchestrator.drills import calendar
from orchestrator.drills.asking import Asking
from orchestrator.drills.blackouts import Blackouts, moment, read_files
from orchestrator.drills.board import DrillBoard, NotWritten
from orchestrator.drills.calendar import Memory, Slot
from orchestrator.drills.carrying import Carrying
from orchestrator.drills.drawing import Drawing
from orchestrator.drills.ground import Grounds, service_in
from orchestrator.drills.interlocks import Held, first_held
from orchestrator.drills.records import DrillAsk, DrillRecord, DrillVerb, TurnRecord
from orchestrator.orders import Orders
from orchestrator.refusing import OrderRefused
from orchestrator.store.base import Store
from runbooks.catalogue import ActionCatalogue
from runbooks.errors import RunbooksError
from sites.drills import DrillKind, DrillSpec
from sites.errors import SitesError
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
FILES_EVERY_SECONDS = 300.0
MISSED_TOLD = 10
"""So many of the times that were missed together are put on file one by one; `together` counts all."""
BEGAN, REFUSED, MISSED = "drill-began", "drill-refused", "drill-missed"


class DrillDesk:
    """One controller's. Its `run` must be running."""

    def __init__(
        self,
        controller: Controller,
        store: Store,
        drivers: Mapping[str, ReplicationDriver],
        catalogue: Callable[[], ActionCatalogue],
        orders: Callable[[], Orders],
        transport: Transport,
        base: Path,
    ) -> None:
        """`catalogue`: the action words that runs have here; `orders`: the desk where moves are ordered."""
        self._controller = controller
        self._base = base
        self._site = controller.site
        self.drills = {drill.name: drill for drill in controller.estate.drills}
        self.board = DrillBoard(store)
        self.grounds = Grounds(controller, drivers, self.board)
        self.drawing = Drawing(controller, drivers, catalogue, orders)
        self._asking = Asking(self._site, self.board)
        self._carrying = Carrying(controller, drivers, self.board, self.drawing, self._file, transport)
        self._files_read_at = float("-inf")
        self._problems: dict[str, str] = {}
        self._beginning = asyncio.Lock()
        self._told: dict[str, tuple[float | None, str]] = {}

    # --- running --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look again and again until cancelled; then what is under way journals what it leaves."""
        try:
            while self.drills:
                await self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._carrying.aclose()

    async def look(self) -> None:
        """Go on with what was cut off, give way, clean up, note what was missed, and begin what is due."""
        await self._read_files()
        view = self._controller.view()
        await self._carrying.watch(view)
        if not view.registered:
            return  # whose the services are is not known
        due: list[tuple[DrillSpec, Slot]] = []
        for drill in self.drills.values():
            try:
                await self._carrying.take_up(drill)
                owned = self._owned_here(view, drill.service)
                ours = owned or drill.name in self._carrying.live
                await self._asking.look(drill.name, ours=ours, obey=partial(self._obey, drill.name))
                slot = await self._take_care(view, drill) if owned else None
            except (NotWritten, RunbooksError, SitesError) as fault:
                self._problem(drill, str(fault))
                continue
            if slot is not None:
                due.append((drill, slot))
        for drill, slot in sorted(due, key=lambda each: self._tested_at(each[0])):
            try:
                await self._begin_due(drill, slot)
            except NotWritten as fault:
                self._problem(drill, str(fault))

    def _problem(self, drill: DrillSpec, problem: str) -> None:
        """Told once, not at each look."""
        if self._problems.get(drill.name) != problem:
            self._problems[drill.name] = problem
            log.warning("drill-not-looked-at", drill=drill.name, problem=problem)

    def _tested_at(self, drill: DrillSpec) -> tuple[float, str]:
        """Least recently tested first."""
        record = self.board.records.get(drill.name)
        return (record.success_ended or 0.0) if record is not None else 0.0, drill.name

    def _owned_here(self, view: View, service: str) -> bool:
        found = service_in(view, service)
        held = found.held if found is not None else None
        record = found.record if found is not None else None
        return held is not None and held.entitled and record is not None and record.primary == self._site

    async def _read_files(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._files_read_at < FILES_EVERY_SECONDS:
            return
        self._files_read_at = now
        named = self._controller.estate.blackouts
        if any(blackout.calendar for blackout in named.values()):
            self.grounds.blackouts = Blackouts(named, await asyncio.to_thread(read_files, named, self._base))

    async def _take_care(self, view: View, drill: DrillSpec) -> Slot | None:
        """The time at which the drill is to begin now, if there is one."""
        record = self.board.records.get(drill.name)
        if record is None:
            await self.board.write(drill.name, lambda there: there or self._new(drill))
            return None
        if record.run:
            await self._carrying.see_to(view, drill, record)
            return None
        if record.left_at:
            await self._carrying.clean(drill, record.left_at)
        memory = Memory(record.handled_until, record.owed)
        turn = calendar.turn(drill, memory, moment(wall_unix_seconds()))
        if turn.memory != memory:
            await self._missed(drill, turn)
        return turn.due

    def _new(self, drill: DrillSpec) -> DrillRecord:
        now = wall_unix_seconds()
        begun = calendar.begin(moment(now))
        return DrillRecord(
            drill=drill.name,
            service=drill.service,
            kind=str(drill.kind),
            since=now,
            handled_until=begun.handled_until,
        )

    async def _missed(self, drill: DrillSpec, turn: calendar.Turn) -> None:
        """What nobody began in its time. One that is to be made up for is missed once, not each day anew."""
        missed = [slot for slot in turn.missed if slot.made_up_for is None]

        def change(there: DrillRecord | None) -> DrillRecord | None:
            if there is None or there.handled_until >= turn.memory.handled_until:
                return None
            return replace(
                there,
                handled_until=turn.memory.handled_until,
                owed=turn.memory.owed,
                missed=there.missed + len(missed),
                missed_at=missed[-1].at.timestamp() if missed else there.missed_at,
            )

        before = self.board.records[drill.name]
        await self.board.write(drill.name, change)
        for slot in missed[-MISSED_TOLD:]:
            refused = before.refused_slot == slot.at.timestamp()
            code = before.refused_code if refused else "drill-missed"
            why = before.refused_why if refused else "no controller that could have begun it was there"
            made_up = turn.memory.owed is not None
            await self._file(
                MISSED,
                drill,
                {
                    "at": slot.at.isoformat(),
                    "code": code,
                    "why": why,
                    "to_be_made_up_for": made_up and slot is missed[-1],
                    "together": len(missed),
                },
            )

    async def _file(self, kind: str, drill: DrillSpec, data: Mapping[str, object]) -> None:
        log.info(kind, drill=drill.name, service=drill.service, **data)
        try:
            await self._controller.journal.append_event(
                kind, drill.service, {"drill": drill.name, "kind": str(drill.kind), **data}
            )
        except RunbooksError as fault:
            log.error("drill-not-recorded", drill=drill.name, problem=str(fault))

    # --- beginning ------------------------------------------------------------------------------------

    async def _begin_due(self, drill: DrillSpec, slot: Slot) -> None:
        held = first_held(self.grounds.ground(drill, by_itself=True))
        at = slot.at.timestamp()
        if held is not None:
            await self._refused(drill, held, at)
            return
        made_up = f", made up for {slot.made_up_for:%Y-%m-%d %H:%M} UTC" if slot.made_up_for else ""
        try:
            await self._begin(drill, slot, f"controller of {self._site}", f"it was due{made_up}")
        except OrderRefused as refused:
            await self._refused(drill, Held(0, refused.refusal.code, refused.refusal.message), at)

    async def _refused(self, drill: DrillSpec, held: Held, slot: float | None) -> None:
        """A refusal is on file once for each time and code, however often it is tried."""
        if self._told.get(drill.name) == (slot, held.code):
            return
        self._told[drill.name] = (slot, held.code)
        self._controller.tally.refused(drill.service, held.code)
        now = wall_unix_seconds()
        await self._file(REFUSED, drill, {"code": held.code, "why": held.message, "row": held.number})

        def change(there: DrillRecord | None) -> DrillRecord:
            return replace(
                there or self._new(drill),
                refused_code=held.code,
                refused_why=held.message,
                refused_at=now,
                refused_slot=slot,
            )

        await self.board.write(drill.name, change)

    async def order(self, name: str, who: str, reason: str) -> str:
        """Begin a drill because somebody says so, at the site that takes care of it; its run. Raises
        OrderRefused."""
        drill = self._known(name)
        if not reason.strip():
            raise OrderRefused(
                "reason-missing", "a drill that is ordered by hand needs a --reason", wrong=True
            )
        view = self._controller.view()
        found = service_in(view, drill.service)
        owner = found.record.primary if found is not None and found.record is not None else None
        if owner == view.peer and not view.peer_is_silent:
            return await self._asking.ask(self._new(drill), DrillVerb.RUN, who, reason, view.peer)
        return await self._ordered(drill, who, reason)

    async def _obey(self, name: str, ask: DrillAsk) -> str:
        """An order from the other site; never passed on back to it. Raises OrderRefused."""
        drill = self._known(name)
        if ask.verb is DrillVerb.ABANDON:
            return await self._abandoned(drill, ask.who, ask.reason)
        return await self._ordered(drill, ask.who, ask.reason)

    async def _ordered(self, drill: DrillSpec, who: str, reason: str) -> str:
        name = drill.name
        held = first_held(self.grounds.ground(drill, by_itself=False))
        if held is not None:
            self._told.pop(name, None)
            try:
                await self._refused(drill, held, None)
            except NotWritten as fault:
                log.warning("refusal-not-published", drill=name, problem=str(fault))
            raise OrderRefused(held.code, held.message)
        return await self._begin(drill, None, who, reason)

    def _known(self, name: str) -> DrillSpec:
        if name not in self.drills:
            known = ", ".join(self.drills) or "none"
            raise OrderRefused("unknown-drill", f"no drill {name!r}; there is {known}", wrong=True)
        return self.drills[name]

    async def _begin(self, drill: DrillSpec, slot: Slot | None, who: str, why: str) -> str:
        """Take the turn, in the store, and begin; one at a time. Raises OrderRefused."""
        async with self._beginning:
            # From the write on it stands as under way here: it is not to be taken for one that was cut off.
            self._carrying.starting.add(drill.name)
            try:
                return await self._begun(drill, slot, who, why)
            finally:
                self._carrying.starting.discard(drill.name)

    async def _begun(self, drill: DrillSpec, slot: Slot | None, who: str, why: str) -> str:
        plan = self.drawing.drawn(drill, why)
        now = wall_unix_seconds()

        def change(there: DrillRecord | None) -> DrillRecord | None:
            record = there or self._new(drill)
            if record.run or (slot is not None and record.handled_until >= slot.at.timestamp()):
                return None  # somebody else was quicker
            handled = record.handled_until if slot is None else slot.at.timestamp()
            return replace(
                record,
                handled_until=handled,
                owed=None if slot is not None else record.owed,
                run=plan.id,
                site=self._site,
                began=now,
                slot=slot.at.timestamp() if slot is not None else None,
                left_at=plan.to_site if drill.kind is not DrillKind.TABLETOP else "",
            )

        def turn(there: TurnRecord) -> TurnRecord | None:
            return None if there.drill else TurnRecord(drill=drill.name, run=plan.id, site=self._site)

        try:
            await self.board.write(drill.name, change, turn)
        except NotWritten as fault:
            code = "drill-under-way" if fault.unwanted else "drill-not-kept"
            raise OrderRefused(code, f"it was not begun: {fault}") from fault
        await self._file(BEGAN, drill, {"run": plan.id, "who": who, "why": why, "plan_hash": plan.hash})
        errand = self.drawing.errand(drill, plan, who=who, why=why)
        self._carrying.carry(drill, plan, errand, publish=True)
        return plan.id

    async def abandon(self, name: str, who: str, reason: str) -> str:
        """End a drill before its end, because somebody says so; its run. Raises OrderRefused."""
        drill = self._known(name)
        if not reason.strip():
            raise OrderRefused("reason-missing", "abandoning a drill needs a --reason", wrong=True)
        record, view = self.board.records.get(name), self._controller.view()
        there = record.site if record is not None and record.run else ""
        if name not in self._carrying.live and there == view.peer and not view.peer_is_silent:
            return await self._asking.ask(self._new(drill), DrillVerb.ABANDON, who, reason, there)
        return await self._abandoned(drill, who, reason)

    async def _abandoned(self, drill: DrillSpec, who: str, reason: str) -> str:
        live = self._carrying.live.get(drill.name)
        if live is None:
            record = self.board.records.get(drill.name)
            if record is not None and record.run:
                raise OrderRefused(
                    "steer-there",
                    f"it is carried out at {record.site}, which does not answer; if that site is lost, its "
                    f"drill is ended and cleaned up after by the other one",
                )
            raise OrderRefused("drill-not-under-way", f"{drill.name!r} is not under way")
        await self._carrying.stop(live, f"{who}: {reason}")
        return live.run
