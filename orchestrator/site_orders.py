"""Move a whole site: one run with a part for each service, in the order of their needs and ranks.

Each part is a move like any other, with its own plan, gates and run (P26), so a whole site moves by no other
right than one service does. What is kept here is only which of them begins when; that stands in `runs/<id>`,
and a controller that is started anew goes on with it. A part whose plan would be another one by then is not
begun.
"""

import asyncio
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from orchestrator.api.shapes import MoveAccepted, MoveOrder, MovePlan, MoveRequest
from orchestrator.api.site_shapes import SiteMoveOrder, SiteMovePlan, SiteMoveRequest, SitePart
from orchestrator.clock import wall_text, wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.records import (
    RUNS,
    Movement,
    RecordUnreadable,
    RunRecord,
    StepState,
    decode,
    encode,
)
from orchestrator.core.site_plan import (
    OVER,
    CriticalPath,
    MoveState,
    PlannedMove,
    beginning,
    critical_path,
    held_back,
    in_turn,
)
from orchestrator.core.view import ServiceView, View
from orchestrator.orders import Orders
from orchestrator.refusing import OrderRefused
from orchestrator.store.base import Compare, Put, Store, StoreError, stands_at
from runbooks.journal import RunOutcome
from runbooks.planned import Plan

log = structlog.get_logger(__name__)

PLANS_KEPT = 20
LOOK_SECONDS = 0.05
ORPHANS_EVERY_SECONDS = 1.0
UNSEEN_SECONDS = 30.0
"""How long a part's run may be neither here nor in the store, or stand still, before it counts as failed."""
STORE_SECONDS = 5.0
_STATE_OF_STEP = {
    MoveState.WAITING: "waiting",
    MoveState.RUNNING: "started",
    MoveState.DONE: "done",
    MoveState.FAILED: "failed",
    MoveState.REFUSED: "failed",
    MoveState.NOT_BEGUN: "skipped",
}


@dataclass(slots=True)
class Part:
    """One service's part while the whole goes on. `plan_hash` is what was confirmed; `begun_at` and
    `stopped_at` (its run stands still since then; None: it does not) are the event loop's seconds."""

    service: str
    order: MoveOrder
    plan_hash: str
    state: MoveState = MoveState.WAITING
    detail: str = ""
    begun_at: float = 0.0
    stopped_at: float | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """A plan given out."""

    request: SiteMoveRequest
    plan: SiteMovePlan


class SiteOrders:
    """The desk where people order moves of whole sites at one controller. Its `run` must be running."""

    def __init__(self, controller: Controller, orders: Orders, store: Store) -> None:
        self._controller = controller
        self._orders = orders
        self._store = store
        self._given: OrderedDict[str, Given] = OrderedDict()
        self._live: dict[str, asyncio.Task[None]] = {}

    # --- plans ---------------------------------------------------------------------------------------

    def plan(self, request: SiteMoveRequest, who: str) -> SiteMovePlan:
        """The plans of a site's services; changes nothing. Raises OrderRefused when there can be none."""
        view = self._controller.view()
        concerned, unowned = self._concerned(view, request)
        moves = in_turn([_move(service) for service in concerned])
        by_name = {service.service.name: service for service in concerned}
        coming: dict[str, str] = {}
        parts = []
        for move in moves:
            part = self._part(request, move, by_name, who, coming)
            if part.plan is not None and part.plan.refusal is None:
                coming[move.service] = part.plan.to_site
            parts.append(part)
        path = self._path(moves, {part.service for part in parts if part.plan is not None})
        plan = SiteMovePlan(
            run=_run_id(request),
            verb=request.verb,
            site=request.site,
            parts=parts,
            critical_path=list(path.services),
            critical_seconds=path.seconds,
            unowned=unowned,
        )
        self._given[plan.run] = Given(request, plan)
        while len(self._given) > PLANS_KEPT:
            self._given.popitem(last=False)
        return plan

    def _concerned(self, view: View, request: SiteMoveRequest) -> tuple[list[ServiceView], list[str]]:
        """The services that move away from there, or home to there; and those of which nobody is primary."""
        site = request.site
        if site not in self._controller.estate.data_sites:
            known = ", ".join(self._controller.estate.data_sites)
            raise OrderRefused(
                "unknown-site", f"{site!r} is no site with services; there are {known}", wrong=True
            )
        last_known = self._controller.last_known
        concerned, unowned = [], []
        for service in view.services:
            if service.service.watch_only:
                continue
            record = service.record
            last = last_known.of(service.service.name)
            primary = record.primary if record is not None else last.primary if last is not None else None
            if request.verb == "failback":
                moves = primary not in (None, site) and service.service.home == site
            else:
                moves = primary == site
            if moves:
                concerned.append(service)
            elif primary is None:
                unowned.append(service.service.name)
        return concerned, unowned

    def _part(
        self,
        request: SiteMoveRequest,
        move: PlannedMove,
        by_name: Mapping[str, ServiceView],
        who: str,
        coming: Mapping[str, str],
    ) -> SitePart:
        needs = [need for need in move.needs if need in by_name]
        try:
            plan: MovePlan | None = self._orders.plan(_one(request, move.service), who, coming)
            refusal = None
        except OrderRefused as refused:
            plan, refusal = None, refused.refusal
        return SitePart(service=move.service, rank=move.rank, needs=needs, plan=plan, refusal=refusal)

    def _path(self, moves: tuple[PlannedMove, ...], planned: set[str]) -> CriticalPath:
        lasted = self._lasted()
        known = [replace(move, seconds=lasted.get(move.service)) for move in moves if move.service in planned]
        return critical_path(known)

    def _lasted(self) -> dict[str, float]:
        """How long each service's last successful move took, in seconds."""
        found: dict[str, tuple[float, float]] = {}
        for run in self._controller.run_records.values():
            if run.state != "done" or not run.service or run.kind not in ("failover", "switchover"):
                continue
            took = _took_seconds(run)
            if took is not None and run.started_unix_seconds > found.get(run.service, (0.0, 0.0))[0]:
                found[run.service] = (run.started_unix_seconds, took)
        return {service: took for service, (_, took) in found.items()}

    # --- orders --------------------------------------------------------------------------------------

    async def order(self, order: SiteMoveOrder, who: str) -> MoveAccepted:
        """Begin the moves of a plan given out. Raises OrderRefused."""
        given = self._given.get(order.run)
        if given is None:
            raise OrderRefused("plan-unknown", f"no plan {order.run} here; ask for the plan again")
        plans = {part.plan.run: part.plan for part in given.plan.parts if part.plan is not None}
        parts = []
        for one in order.orders:
            plan = plans.get(one.run)
            if plan is None:
                raise OrderRefused("plan-unknown", f"{one.run} is no part of {order.run}; plan again")
            if one.confirmed_site != plan.confirm_site:
                raise OrderRefused(
                    "not-confirmed",
                    f"typed {one.confirmed_site!r}, expected {plan.confirm_site!r}; nothing was done",
                )
            parts.append(Part(plan.service, one, _hash(plan)))
        if not parts:
            raise OrderRefused("wrong-request", "no part was ordered", wrong=True)
        refused = [
            Part(part.service, MoveOrder(run="", confirmed_site=""), "", MoveState.REFUSED, _why_not(part))
            for part in given.plan.parts
            if part.service not in {one.service for one in parts}
        ]
        record = self._record(given, order, who, [*parts, *refused])
        self._given.pop(order.run)
        self._begin(
            SiteRun(
                self._controller, self._orders, self._store, record, [*parts, *refused], given.request, who
            )
        )
        return MoveAccepted(run=record.run, message=f"run {record.run} has been started")

    def _record(self, given: Given, order: SiteMoveOrder, who: str, parts: list[Part]) -> RunRecord:
        site = given.request.site
        other = self._controller.estate.other_data_site(site)
        home = given.request.verb == "failback"
        return RunRecord(
            run=given.plan.run,
            kind=given.request.verb,
            service="",
            from_site=other if home else site,
            to_site=site if home else other,
            executor_site=self._controller.site,
            executor=1,
            state="running",
            plan=_kept(given.request, parts),
            statement=_statement(given.plan, {part.service for part in parts}),
            who=who,
            why=order.reason or given.request.reason or "ordered",
            started=wall_text(),
            started_unix_seconds=wall_unix_seconds(),
            whole_site=site,
        )

    def _begin(self, run: "SiteRun") -> None:
        task = asyncio.create_task(run.carry_out(), name=f"site run {run.record.run}")
        self._live[run.record.run] = task
        task.add_done_callback(lambda _: self._live.pop(run.record.run, None))

    async def run(self) -> None:
        """Go on with what a controller that was ended has left, until cancelled."""
        try:
            while True:
                await asyncio.sleep(ORPHANS_EVERY_SECONDS)
                view = self._controller.view()
                for record in list(self._controller.run_records.values()):
                    if not record.whole_site or record.state != "running" or record.run in self._live:
                        continue
                    if record.executor_site == self._controller.site:
                        self._go_on(record)
                    elif view.registered and record.executor_site == view.peer and view.peer_lease_over:
                        await self._adopt(record)
        finally:
            for task in list(self._live.values()):
                task.cancel()
            await asyncio.gather(*self._live.values(), return_exceptions=True)

    def _go_on(self, record: RunRecord) -> None:
        request, parts = _read(record)
        log.warning("site-run-goes-on", run=record.run)
        self._begin(
            SiteRun(
                self._controller, self._orders, self._store, record, parts, request, record.who, again=True
            )
        )

    async def _adopt(self, record: RunRecord) -> None:
        """P26: its controller is lost with its site. Nothing more is begun: from a lost site nothing is
        handed over in order, and nothing goes to it. What is under way is a run of its own, which is gone on
        with or taken back by the rules for that; here it is only waited for, and the whole closed with what
        came of each."""
        try:
            ours = await self._controller.mover.adopt(record.run)
        except (StoreError, ValueError) as fault:
            log.warning("site-run-not-adopted", run=record.run, problem=str(fault))
            return
        if ours is None:
            return
        lost = record.executor_site
        request, parts = _read(ours)
        now = asyncio.get_running_loop().time()
        for part in parts:
            part.begun_at = now
            if part.state is MoveState.WAITING:
                part.state = MoveState.NOT_BEGUN
                part.detail = f"not begun: {lost}, which carried the whole out, was lost"
        self._begin(
            SiteRun(self._controller, self._orders, self._store, ours, parts, request, ours.who, lost=lost)
        )


class SiteRun:
    """One whole site's move while it goes on. `again`: it goes on after its controller was ended. `lost`: the
    site that had begun it and is lost, so that it is only brought to an end here."""

    def __init__(
        self,
        controller: Controller,
        orders: Orders,
        store: Store,
        record: RunRecord,
        parts: list[Part],
        request: SiteMoveRequest,
        who: str,
        *,
        again: bool = False,
        lost: str = "",
    ) -> None:
        self._controller = controller
        self._orders = orders
        self._store = store
        self._request = request
        self._who = who
        self._again = again
        self._lost = lost
        self._parts = {part.service: part for part in parts}
        self._moves = [self._planned(part.service) for part in parts]
        self._revision: int | None = None if again or lost else 0
        self.record = record

    def _planned(self, service: str) -> PlannedMove:
        noun = self._controller.estate.services[service]
        return PlannedMove(service, noun.rank, tuple(noun.needs))

    async def carry_out(self) -> None:
        """Begin each part when its turn has come, until none is left. Never raises for a failed part."""
        loop = asyncio.get_running_loop()
        await self._publish()
        while True:
            if self._overtaken():
                log.warning("site-run-adopted-elsewhere", run=self.record.run)
                return
            changed = self._look(loop.time())
            for service, need in held_back(self._moves, self._states()).items():
                part = self._parts[service]
                part.state, part.detail = (
                    MoveState.NOT_BEGUN,
                    f"not begun: it needs {need}, which was not moved",
                )
                changed = True
            for service in beginning(self._moves, self._states()):
                await self._start(self._parts[service], loop.time())
                changed = True
            if all(part.state in OVER for part in self._parts.values()):
                break
            if changed:
                await self._publish()
            await asyncio.sleep(LOOK_SECONDS)
        await self._end()

    def _overtaken(self) -> bool:
        """The other site has adopted it (P26): nothing more is begun here, and nothing is said of it."""
        known = self._controller.run_records.get(self.record.run)
        return known is not None and known.executor > self.record.executor

    def _states(self) -> dict[str, MoveState]:
        return {name: part.state for name, part in self._parts.items()}

    async def _start(self, part: Part, now: float) -> None:
        coming = {
            name: self.record.to_site
            for name, other in self._parts.items()
            if other.state in (MoveState.RUNNING, MoveState.DONE)
        }
        try:
            if self._again and part.order.run not in self._controller.run_records:
                part.order = self._anew(part, coming)
            await self._orders.order(part.order, self._who, coming)
        except OrderRefused as refused:
            part.state, part.detail = MoveState.REFUSED, f"{refused.refusal.code}: {refused.refusal.message}"
            return
        except Exception as fault:  # one part's fault must not end the others
            log.error("site-part-failed", run=self.record.run, service=part.service, exc_info=fault)
            part.state, part.detail = MoveState.FAILED, f"an error of twinsite itself: {fault}"
            return
        part.state, part.detail, part.begun_at = MoveState.RUNNING, part.order.run, now

    def _anew(self, part: Part, coming: Mapping[str, str]) -> MoveOrder:
        """The plans given out are gone with the process that gave them: the same plan, or none."""
        plan = self._orders.plan(_one(self._request, part.service), self._who, coming)
        if _hash(plan) != part.plan_hash or plan.certificate is not None:
            raise OrderRefused(
                "changed-since-plan",
                f"the controller was started anew and {part.service} would be moved otherwise now; "
                f"look at it: twinsite plan {self._request.verb} {part.service}",
            )
        return part.order.model_copy(update={"run": plan.run})

    def _look(self, now: float) -> bool:
        """Take in how the parts under way stand."""
        changed = False
        for part in self._parts.values():
            if part.state is not MoveState.RUNNING:
                continue
            state, detail = self._seen(part, now)
            changed = changed or state is not part.state
            part.state, part.detail = state, detail
        return changed

    def _seen(self, part: Part, now: float) -> tuple[MoveState, str]:
        run = part.order.run
        record = self._controller.run_records.get(run)
        if record is not None and record.state == "done":
            return MoveState.DONE, run
        if self._controller.minds[part.service].run == run:
            return MoveState.RUNNING, run
        if self._lost and self._left_for_good(part, record, now):
            return MoveState.FAILED, f"{run}: {self._lost}, which carried it out, was lost"
        if record is not None and (record.over or self._stopped_for_good(part, record, now)):
            return MoveState.FAILED, f"{run}: {record.outcome}"
        progress = self._controller.mover.progress.get(run)
        if progress is not None and progress.ended is not None and progress.ended.outcome.final:
            ended = progress.ended
            state = MoveState.DONE if ended.outcome is RunOutcome.DONE else MoveState.FAILED
            return state, run if state is MoveState.DONE else f"{run}: {ended.summary}"
        if record is None and now - part.begun_at > UNSEEN_SECONDS:
            return MoveState.FAILED, f"{run}: nothing is known of it any more"
        return MoveState.RUNNING, run

    def _stopped_for_good(self, part: Part, record: RunRecord, now: float) -> bool:
        """Whether its run has stood still for long enough. One whose controller was told to end does so until
        that is up again, and then goes on; the whole must not have been ended as failed by then."""
        if record.state != "stopped":
            part.stopped_at = None
            return False
        if part.stopped_at is None:
            part.stopped_at = now
        return now - part.stopped_at > UNSEEN_SECONDS

    def _left_for_good(self, part: Part, record: RunRecord | None, now: float) -> bool:
        """Whether nobody goes on with the part's run: its executor is lost, it does not hold the service, and
        it has had time enough to be adopted."""
        if record is None or record.over or record.executor_site != self._lost:
            return False
        service = self._controller.desk.record(part.service)
        held = service is not None and service.movement is Movement.MOVING and service.run == part.order.run
        if held:
            part.begun_at = now
        return now - part.begun_at > UNSEEN_SECONDS

    async def _end(self) -> None:
        ends = [part.state for part in self._parts.values()]
        well = ends.count(MoveState.DONE)
        others = [
            f"{part.service} ({part.state})"
            for part in self._parts.values()
            if part.state is not MoveState.DONE
        ]
        outcome = f"{well} of {len(ends)} services are moved"
        if others:
            outcome += f"; not {', '.join(others)}"
        state = "done" if not others else "failed"
        if self._lost:
            outcome += f"; {self._lost} was lost, and {self._controller.site} brought it to its end"
        self.record = replace(
            self.record, state=state, outcome=outcome, ended=wall_text(), left=self._what_is_left()
        )
        log.info("site-run-ended", run=self.record.run, outcome=outcome)
        await self._publish()

    def _what_is_left(self) -> tuple[str, ...]:
        """What to do about the parts that whoever is lost has not begun."""
        waiting = [part.service for part in self._parts.values() if part.state is MoveState.NOT_BEGUN]
        if not self._lost or not waiting:
            return ()
        lines = [
            f"not begun: {', '.join(waiting)}; each stays where it is, or moves by the rules of a lost site"
        ]
        if self._lost == self.record.from_site:
            lines.append(f"what has not moved by itself: `twinsite plan failover --site {self._lost}`")
        else:
            lines.append(
                f"once {self._lost} is back: `twinsite plan {self._request.verb} --site {self._request.site}`"
            )
        return tuple(lines)

    async def _publish(self) -> None:
        """Here at once, and in the store as far as it answers: it holds nothing up."""
        steps = tuple(
            StepState(step=part.service, state=_STATE_OF_STEP[part.state], detail=part.detail)
            for part in self._parts.values()
        )
        plan = _kept(self._request, list(self._parts.values()))
        self.record = replace(self.record, steps=steps, plan=plan)
        if self._overtaken():
            return
        self._controller.run_records[self.record.run] = self.record
        key = RUNS + self.record.run
        try:
            if self._revision is None:
                found = (await self._store.read(key, exact=True, timeout_seconds=STORE_SECONDS)).get(key)
                if found is not None:
                    there = decode(RunRecord, found.value)
                    if there.executor > self.record.executor:
                        self._controller.run_records[self.record.run] = there
                        return
                self._revision = found.mod_revision if found is not None else 0
            put = Put(key, encode(self.record))
            compares = [Compare(key, self._revision)]
            result = await self._store.transact(compares, [put], [key], timeout_seconds=STORE_SECONDS)
            self._revision = stands_at(result, put)
        except (StoreError, RecordUnreadable) as fault:
            self._revision = None
            log.debug("site-run-not-published", run=self.record.run, problem=str(fault))


def _run_id(request: SiteMoveRequest) -> str:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{request.site}-{request.verb}-{stamp}-{secrets.token_hex(2)}"


def _move(service: ServiceView) -> PlannedMove:
    return PlannedMove(service.service.name, service.service.rank, tuple(service.service.needs))


def _one(request: SiteMoveRequest, service: str) -> MoveRequest:
    return MoveRequest(
        verb=request.verb,
        service=service,
        certify_down=request.certify_down,
        accept_loss_seconds=request.accept_loss_seconds,
        over_capacity=request.over_capacity,
        reason=request.reason,
    )


def _hash(plan: MovePlan) -> str:
    return Plan.from_json(json.dumps(plan.plan)).hash


def _why_not(part: SitePart) -> str:
    refusal = part.refusal if part.plan is None else part.plan.refusal
    return f"{refusal.code}: {refusal.message}" if refusal is not None else "not ordered"


def _statement(plan: SiteMovePlan, ordered: set[str]) -> str:
    return "; ".join(
        part.plan.statement for part in plan.parts if part.plan is not None and part.service in ordered
    )


def _kept(request: SiteMoveRequest, parts: list[Part]) -> dict[str, Any]:
    """What another process needs to go on with it, as plain values."""
    return {
        "request": request.model_dump(mode="json"),
        "moves": [
            {
                "service": part.service,
                "order": part.order.model_dump(mode="json"),
                "hash": part.plan_hash,
                "state": str(part.state),
                "detail": part.detail,
            }
            for part in parts
        ],
    }


def _read(record: RunRecord) -> tuple[SiteMoveRequest, list[Part]]:
    request = SiteMoveRequest.model_validate(record.plan["request"])
    parts = [
        Part(
            each["service"],
            MoveOrder.model_validate(each["order"]),
            each["hash"],
            MoveState(each["state"]),
            each["detail"],
        )
        for each in record.plan["moves"]
    ]
    return request, parts


def _took_seconds(run: RunRecord) -> float | None:
    try:
        begun, ended = (datetime.fromisoformat(text) for text in (run.started, run.ended))
    except ValueError:
        return None
    return max(0.0, (ended - begun).total_seconds())
