"""Draw plans up and carry runs out: the one place where a decision or an order becomes a run.

It does not decide. Every run is journaled here before its first step, and published under `runs/<id>` so
that the other site can read it.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from orchestrator import frames
from orchestrator.clock import boottime_ns, wall_text, wall_unix_seconds
from orchestrator.core.messages import MayAct
from orchestrator.core.records import (
    RUNS,
    Movement,
    RunAnswer,
    RunOrder,
    RunRecord,
    ServiceRecord,
    StepState,
    decode,
    encode,
)
from orchestrator.journal import SqliteJournal
from orchestrator.link import KeeperGone
from orchestrator.local_run import DETAIL_CHARACTERS, LocalRun, as_order, seen_in, shown
from orchestrator.made_from import hashes_of
from orchestrator.mind import NO_TROUBLE, Trouble
from orchestrator.ownership_actions import Errand, KeeperDesk
from orchestrator.publishing import Publisher
from orchestrator.readings import Tally
from orchestrator.store.base import Compare, Put, Store, StoreError, took_effect
from runbooks.catalogue import ActionCatalogue
from runbooks.changed import changed_on_disk
from runbooks.context import ActionContext, Sql, Token, WaitHealthy
from runbooks.continuing import left_of, still_so
from runbooks.engine import Engine, Outcome
from runbooks.errors import JournalTrouble, LostRight, NotUnderWay, PlanRefused, Problem, StepFailed
from runbooks.journal import Record, RunAdopted, RunOutcome, RunPlanned, StepEnded
from runbooks.library import Library
from runbooks.model import Kind, Runbook
from runbooks.plan import bind, compose, facts_of
from runbooks.planned import Known, Part, Plan
from runbooks.progress import Progress, fold, plan_of
from runbooks.scope import RunRef, scope_of
from runbooks.shedding import as_shedding
from runbooks.steered import Order, Verb
from runbooks.steering import Refused
from runbooks.uses import SHIPPED
from runbooks.watching import Watchers
from sites.model import SHED, Estate, Service
from sites.replication.words import ReplicationDriver, Word
from sites.transport import Transport

log = structlog.get_logger(__name__)

ASK_SECONDS = 5.0
TAKES = ("ownership.claim", "ownership.take-over", "ownership.break-glass")
# The words of a driver that are the keeper's to say, by the frame of a move.
NEEDS: Mapping[str, frozenset[Word]] = {
    "hand-over": frozenset({Word.CLOSE}),
    "shut-over": frozenset({Word.FENCE}),
}
# A drill is its owner's: the other site has to be free for the real thing.
EXECUTED_AT_FROM = (Kind.REJOIN, Kind.DRILL)
STAND_DOWN_SECONDS = 10.0
BROKEN_EVENT = "broken-glass"
GLASS_LOOKED_AT = 20
BEGIN_LOOK_SECONDS = 0.02
BEGIN_TRIES = 100
RUN_STATES = {
    RunOutcome.DONE: "done",
    RunOutcome.FAILED: "failed",
    RunOutcome.ABORTED: "aborted",
    RunOutcome.UNDONE: "undone",
}


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A run that is carried out here: its engine, what tells others of it, and its end."""

    plan: Plan
    engine: Engine
    publisher: Publisher | LocalRun
    ended: asyncio.Event


def run_id(service: str, kind: str) -> str:
    """A new run's name: service, kind, time of day for people, and a few random characters."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{service}-{kind}-{stamp}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs are carried out with. `base`: where relative paths in steps start."""

    estate: Estate
    site: str
    library: Library
    catalogue: ActionCatalogue
    drivers: dict[str, ReplicationDriver]
    transport: Transport
    journal: SqliteJournal
    store: Store
    probes: Mapping[str, WaitHealthy]
    sql: Mapping[str, Sql]
    base: Path = Path()


class Mover:
    """Plans and runs of one controller."""

    def __init__(
        self, tools: Tools, desk: KeeperDesk, tally: Tally, on_step_ended: Callable[[str], None]
    ) -> None:
        self._tools = tools
        self._desk = desk
        self._tally = tally
        self._on_step_ended = on_step_ended
        self._runbooks: dict[str, Runbook] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self.progress: dict[str, Progress] = {}
        self.watchers = Watchers()
        self.on_local_run: Callable[[RunRecord], None] = lambda record: None
        self.on_progress: Callable[[Progress], None] = lambda progress: None
        self.on_notice: Callable[[Plan, str], None] = lambda plan, text: None
        self.run_record: Callable[[str], RunRecord | None] = lambda run: None
        self.what_it_leaves: Callable[[Progress, RunOutcome], Awaitable[tuple[str, ...]]] = _nothing_to_say
        self.trouble: Callable[[str], Trouble] = lambda service: NO_TROUBLE
        self.made_from: Callable[[Plan], dict[str, str]] = lambda plan: {}
        self.outage: Callable[[RunRecord], Awaitable[float | None]] = _not_seen
        self.on_ended: Callable[[str], Awaitable[None]] = _nothing_more

    # --- plans ---------------------------------------------------------------------------------------

    def preload(self) -> None:
        """Read every runbook the services use, so that a fault shows at start and not at 3 a.m."""
        for name in self._tools.drivers:
            service = self._tools.estate.services[name]
            for role in (*SHIPPED, *((SHED,) if SHED in service.runbooks else ())):
                self._runbook(service, role)

    def _runbook(self, service: Service, role: str) -> Runbook:
        default = f"{service.replication.driver}/{role}" if service.replication is not None else role
        name = service.runbooks.get(role, default)
        if name not in self._runbooks:
            self._runbooks[name] = self._tools.library.load(name)
        return self._runbooks[name]

    def hashes_of(self, name: str) -> dict[str, str]:
        """By name, the hashes of a runbook as it is loaded here, and of what it brings along. Raises
        RunbooksError."""
        if name not in self._runbooks:
            self._runbooks[name] = self._tools.library.load(name)
        return hashes_of(self._runbooks[name])

    def draw(
        self,
        kind: Kind,
        service: Service,
        *,
        from_site: str,
        to_site: str,
        epoch: int,
        frame: str,
        reason: str,
        known: tuple[Known, ...] = (),
        shed: tuple[str, ...] = (),
        switched_off: str = "",
        switching_seconds: float = 0.0,
    ) -> Plan:
        """The plan of a move. `frame`: take-over, power-over (the same after a verified cut), claim,
        hand-over (close, give up, claim), shut-over (the same of a dead database), break-glass, or rejoin.
        `shed`: services that are made to take less at `to_site` before this one is opened there (gate 5).
        `switched_off`: the hosts of a power-over in words, `switching_seconds` how long that may take."""
        self._check_words(service, frame)
        run = run_id(service.name, kind)
        sites = self._tools.estate.sites
        from_title = sites[from_site].title or from_site
        to_title = sites[to_site].title or to_site

        def part(role: str) -> Part:
            scope = scope_of(
                self._tools.estate,
                service.name,
                from_site=from_site,
                to_site=to_site,
                run=RunRef(run, kind, epoch),
            )
            facts = facts_of(service, self._tools.drivers.get(service.name), self._tools.estate)
            return bind(self._runbook(service, role), scope, facts, self._tools.catalogue, part=role)

        def shedding(name: str) -> Part:
            shed_service = self._tools.estate.services[name]
            run_ref = RunRef(run, kind, epoch)
            scope = scope_of(self._tools.estate, name, from_site=from_site, to_site=to_site, run=run_ref)
            bound = bind(
                self._runbook(shed_service, SHED), scope, facts_of(shed_service, None), self._tools.catalogue
            )
            return as_shedding(bound, f"{SHED}-{name}")

        def promote() -> tuple[Part, ...]:
            return (*(shedding(name) for name in shed), part("promote"))

        wait_seconds = self._lease_wait_seconds()
        settle = frames.settle(to_site)
        parts: dict[str, Callable[[], tuple[Part, ...]]] = {
            "take-over": lambda: (
                frames.take_over(from_title, to_site, timeout_seconds=wait_seconds),
                *promote(),
                settle,
            ),
            "power-over": lambda: (
                frames.power_off(switched_off, to_site, timeout_seconds=switching_seconds),
                frames.take_over(from_title, to_site, timeout_seconds=wait_seconds),
                frames.still_off(switched_off, to_site, timeout_seconds=switching_seconds),
                *promote(),
                settle,
            ),
            "break-glass": lambda: (
                frames.break_glass(to_title, to_site, timeout_seconds=180.0),
                *promote(),
            ),
            "claim": lambda: (frames.claim(to_title, to_site, timeout_seconds=60.0), *promote(), settle),
            "hand-over": lambda: (
                part("demote"),
                frames.give_up(from_title, from_site, timeout_seconds=60.0),
                frames.claim(to_title, to_site, timeout_seconds=60.0),
                *promote(),
                settle,
            ),
            "shut-over": lambda: (
                frames.give_up(from_title, from_site, timeout_seconds=60.0),
                frames.claim(to_title, to_site, timeout_seconds=60.0),
                *promote(),
                settle,
            ),
            "rejoin": lambda: (part("rejoin"),),
        }
        return compose(
            *parts[frame](),
            run_id=run,
            kind=kind,
            service=service.name,
            from_site=from_site,
            to_site=to_site,
            epoch=epoch,
            reason=reason,
            known=known,
        )

    def _check_words(self, service: Service, frame: str) -> None:
        """What the holder's keeper says to the driver stands in no runbook. Raises PlanRefused."""
        driver = self._tools.drivers.get(service.name)
        missing = NEEDS.get(frame, frozenset()) & (
            driver.unknown_words if driver is not None else frozenset()
        )
        problems = [
            Problem(
                f"{frame}: {word}",
                f"the driver of {service.name} does not know the word {word}",
                "a driver that does",
            )
            for word in sorted(missing)
        ]
        if problems:
            raise PlanRefused(frame, problems, "word-missing")

    def _lease_wait_seconds(self) -> float:
        """How long an ordered failover waits for the lost site's lease: twice its length and a margin."""
        return 2 * self._tools.estate.ownership.lease_duration_seconds + 10.0

    def record_of(
        self, plan: Plan, *, who: str, why: str, statement: str, loss_bound_seconds: float | None
    ) -> RunRecord:
        """What is published of a plan before its first step."""
        moves = plan.kind in (Kind.FAILOVER, Kind.SWITCHOVER)
        trouble = self.trouble(plan.service) if moves else NO_TROUBLE
        return RunRecord(
            run=plan.id,
            kind=plan.kind,
            service=plan.service,
            from_site=plan.from_site,
            to_site=plan.to_site,
            executor_site=plan.from_site if plan.kind in EXECUTED_AT_FROM else plan.to_site,
            executor=1,
            state="running",
            plan=json.loads(plan.to_json()),
            statement=statement,
            loss_bound_seconds=loss_bound_seconds,
            who=who,
            why=why,
            started=wall_text(),
            started_unix_seconds=wall_unix_seconds(),
            last_well_unix_seconds=trouble.last_well_unix_seconds,
            detected_unix_seconds=trouble.detected_unix_seconds,
            made_from=self.made_from(plan),
            steps=tuple(StepState(step=step.id, state="waiting") for step in plan.steps),
        )

    # --- runs ----------------------------------------------------------------------------------------

    async def carry_out(
        self, plan: Plan, errand: Errand, *, publish: bool, first: Order | None = None
    ) -> RunOutcome:
        """Carry a plan out, or go on with it if the journal knows it already. Never raises for a failed run.

        `publish`: the record is not in the store yet and no ownership transaction will put it there. A run
        that this site has adopted is gone on with from its record; `first` is ordered of it before
        anything else.
        """
        publisher = self._publisher(plan, errand)
        self._desk.errands[plan.id] = errand
        if isinstance(publisher, Publisher):
            errand.restate = publisher.restate
        started_ns = boottime_ns()

        def progressed(progress: Progress, last: Record) -> None:
            self.progress[plan.id] = progress
            publisher.update(progress)
            self.on_progress(progress)
            self.watchers.note(plan.id, last)
            if isinstance(last.event, StepEnded) and plan.to_site == self._tools.site:
                self._on_step_ended(plan.service)

        engine = Engine(
            self._tools.journal,
            self._tools.catalogue,
            may_act=self._right(plan),
            now_ns=boottime_ns,
            on_progress=progressed,
        )
        background = asyncio.create_task(publisher.run(create=publish))
        under_way = _UnderWay(plan, engine, publisher, asyncio.Event())
        self._under_way[plan.id] = under_way
        self.watchers.begin(plan.id)
        log.info("run-started", run=plan.id, kind=str(plan.kind), service=plan.service, why=errand.why)
        outcome = RunOutcome.INTERRUPTED
        summary = "the controller was ended"
        try:
            ended = await self._walked(engine, plan, errand, first)
            outcome, summary = ended.outcome, ended.summary
            if changed := await asyncio.to_thread(changed_on_disk, plan, self._tools.library):
                summary += f"; carried out as planned, though changed on the disk since: {', '.join(changed)}"
            if errand.report is not None and outcome is RunOutcome.DONE:
                publisher.report(await errand.report(ended.progress))
            if outcome is RunOutcome.DONE and plan.kind is not Kind.REJOIN:
                publisher.outage(await self.outage(errand.record))
            publisher.leave(await self.what_it_leaves(ended.progress, outcome))
        finally:
            self._desk.errands.pop(plan.id, None)
            self._under_way.pop(plan.id, None)
            under_way.ended.set()
            self.watchers.end(plan.id)
            seconds_taken = (boottime_ns() - started_ns) / 1e9
            self._count(plan, outcome, seconds_taken)
            await publisher.finish(RUN_STATES.get(outcome, "stopped"), summary, background)
        if outcome.final:
            await self.on_ended(plan.id)
        log.info(
            "run-ended", run=plan.id, outcome=str(outcome), summary=summary, seconds=round(seconds_taken, 3)
        )
        return outcome

    async def _walked(self, engine: Engine, plan: Plan, errand: Errand, first: Order | None) -> Outcome:
        context, record = self._context(plan, errand), errand.record
        if errand.adopted:
            latest = await self._latest(plan, record)
            seen = RunAdopted(record.executor, self._tools.site, seen_in(latest))
            return await engine.adopt(plan, seen, context, who=record.who, why=record.why, first=first)
        if record.continues and (begins := await self._continued(plan, record, context)) is not None:
            return await engine.adopt(plan, begins, context, who=record.who, why=record.why, first=None)
        return await engine.carry_out(
            plan, context, who=errand.who, why=errand.why, data_loss=record.statement
        )

    async def _latest(self, plan: Plan, record: RunRecord) -> RunRecord:
        """The record as what is known of the run: where this site was its last executor as well, its journal
        is never behind what it had published. Raises JournalTrouble."""
        records = await self._tools.journal.read(plan.id)
        own = fold(plan, records)
        ours = bool(records) and max(1, own.executor) == record.executor - 1
        return shown(record, own) if ours else record

    async def _continued(self, plan: Plan, record: RunRecord, context: ActionContext) -> RunAdopted | None:
        """What a run begins with that goes on with one that has ended; None when that stands in its journal
        already. By that one's own record: this one's says nothing of steps until it has begun.

        Raises JournalTrouble, and StepFailed when that record is not to be had."""
        if any(isinstance(one.event, RunAdopted) for one in await self._tools.journal.read(plan.id)):
            return None
        before = self.run_record(record.continues) or await self._in_the_store(record.continues)
        seen = await still_so(plan, left_of(plan, seen_in(before), before=before.run), context)
        return RunAdopted(record.executor, self._tools.site, seen, before.run)

    async def _in_the_store(self, run: str) -> RunRecord:
        """Raises StepFailed."""
        key = RUNS + run
        try:
            found = (await self._tools.store.read(key, exact=True, timeout_seconds=ASK_SECONDS)).get(key)
        except StoreError as fault:
            raise StepFailed(f"what {run} had done is not known here: {fault}") from fault
        if found is None:
            raise StepFailed(f"what {run} had done is not known: it does not stand in the store")
        return decode(RunRecord, found.value)

    def continued(self, before: RunRecord, *, who: str, why: str) -> RunRecord:
        """A new run that goes on from where another one ended: the same plan, without what was done."""
        plan = replace(Plan.from_json(json.dumps(before.plan)), id=run_id(before.service, before.kind))
        return RunRecord(
            run=plan.id,
            kind=before.kind,
            service=before.service,
            from_site=before.from_site,
            to_site=before.to_site,
            executor_site=before.to_site,
            executor=1,
            state="running",
            plan=json.loads(plan.to_json()),
            statement=before.statement,
            loss_bound_seconds=before.loss_bound_seconds,
            who=who,
            why=why,
            started=wall_text(),
            started_unix_seconds=wall_unix_seconds(),
            # Not of what it was made: a plan that was carried out in two halves counts as no rehearsal.
            steps=tuple(
                StepState(step=each.step, state=str(each.state), detail=each.evidence[:DETAIL_CHARACTERS])
                for each in left_of(plan, seen_in(before), before=before.run).steps
            ),
            continues=before.run,
        )

    async def left_under_glass(self, service: str, certificate: str) -> tuple[Plan, Errand] | None:
        """The run of this certificate, if it was cut off after it had broken the glass."""
        journal = self._tools.journal
        for event in await journal.events(GLASS_LOOKED_AT, service=service, kind=BROKEN_EVENT):
            if event.data.get("certificate") != certificate:
                continue
            records = await journal.read(str(event.data.get("run", "")))
            plan = plan_of(records)
            if plan is None or fold(plan, records).final or not isinstance(records[0].event, RunPlanned):
                return None
            ordered = records[0].event
            record = self.record_of(
                plan,
                who=ordered.who,
                why=ordered.why,
                statement=ordered.data_loss,
                loss_bound_seconds=None,
            )
            was = event.data.get("last_known") or {}
            errand = Errand(
                record,
                ordered_by_operator=True,
                certified_down=True,
                certificate=certificate,
                broken=True,
                reopens=was.get("primary") == self._tools.site,
                who=ordered.who,
                why=ordered.why,
            )
            return plan, errand
        return None

    async def on_file(self, run: str) -> bool:
        """Whether it was begun here before. Raises JournalTrouble."""
        return bool(await self._tools.journal.read(run))

    async def adopt(self, run: str) -> RunRecord | None:
        """P26: raise the executor's number by compare-and-set, so that this site alone goes on with the run.
        The record as it stands then; None when it has ended, or somebody else was quicker. Raises
        StoreError."""
        key = RUNS + run
        found = (await self._tools.store.read(key, exact=True, timeout_seconds=ASK_SECONDS)).get(key)
        if found is None or (there := decode(RunRecord, found.value)).over:
            return None
        ours = replace(
            there, executor=there.executor + 1, executor_site=self._tools.site, state="running", waits=()
        )
        puts = [Put(key, encode(ours))]
        result = await self._tools.store.transact(
            [Compare(key, found.mod_revision)], puts, [key], timeout_seconds=ASK_SECONDS
        )
        adopted = took_effect(result, puts)
        if adopted:
            event = "run-gone-on-with" if there.executor_site == self._tools.site else "run-adopted"
            log.warning(event, run=run, executor=ours.executor, before=there.executor_site)
        return ours if adopted else None

    def _publisher(self, plan: Plan, errand: Errand) -> Publisher | LocalRun:
        if errand.certificate:
            return LocalRun(errand.record, self.on_local_run)

        async def follow(asked: RunOrder) -> RunAnswer:
            return await self._follow(plan.id, asked)

        def adopted(by: RunRecord) -> None:
            self.stand_down(plan.id, f"{by.executor_site} has adopted the run as executor {by.executor}")

        return Publisher(self._tools.store, errand.record, follow=follow, on_adopted=adopted)

    # --- steering ------------------------------------------------------------------------------------

    def under_way(self, run: str) -> bool:
        """Whether the run is carried out here at this moment."""
        return run in self._under_way

    async def steer(self, run: str, order: Order) -> Order | Refused:
        """Have a run that is carried out here follow an order. Raises NotUnderWay and JournalTrouble."""
        found = self._under_way.get(run)
        if found is None:
            raise NotUnderWay(f"run {run} is not carried out here at this moment")
        for _ in range(BEGIN_TRIES):
            if found.engine.under_way(run) or found.ended.is_set():
                break
            await asyncio.sleep(BEGIN_LOOK_SECONDS)  # it has just begun: its first record is being written
        given = await found.engine.steer(run, order)
        log.warning("run-steered", run=run, order=str(order), accepted=isinstance(given, Order))
        return given

    async def _follow(self, run: str, asked: RunOrder) -> RunAnswer:
        """An order that came through the store."""
        try:
            given = await self.steer(run, as_order(asked))
        except NotUnderWay as fault:
            return RunAnswer(ask_id=asked.ask_id, code="run-not-under-way", message=str(fault))
        except JournalTrouble as fault:
            return RunAnswer(ask_id=asked.ask_id, code="not-on-file", message=str(fault))
        except ValueError as fault:
            return RunAnswer(ask_id=asked.ask_id, code="wrong-request", message=str(fault))
        if isinstance(given, Refused):
            return RunAnswer(ask_id=asked.ask_id, code=given.code, message=given.message)
        return RunAnswer(ask_id=asked.ask_id, number=given.number)

    def look(self, record: RunRecord) -> None:
        """A run's record in the store has changed: it may hold an order for us, or another executor's
        number."""
        found = self._under_way.get(record.run)
        if found is None or not isinstance(found.publisher, Publisher):
            return
        errand = self._desk.errands.get(record.run)
        if record.asks or (errand is not None and record.executor > errand.record.executor):
            found.publisher.look()

    def stand_down(self, run: str, why: str) -> None:
        """A run that has lost its right is ended here, whatever it waits for."""
        if (found := self._under_way.get(run)) is not None:
            with contextlib.suppress(NotUnderWay):
                found.engine.stand_down(run, why)

    async def clear_the_way(self, run: str, who: str, why: str) -> None:
        """Abort a run that waits for a person, for something that cannot wait, and wait for its end."""
        found = self._under_way.get(run)
        if found is None:
            return
        order = Order(verb=Verb.ABORT, who=who, site=self._tools.site, at=wall_text(), reason=why)
        progress = self.progress.get(run)
        await self.steer(run, replace(order, seen=progress.last_order if progress is not None else 0))
        async with asyncio.timeout(STAND_DOWN_SECONDS):
            await found.ended.wait()

    async def publish_late(self, record: RunRecord) -> bool:
        """Put the record of a run that has ended into the store, which could not be told of it before. False
        when it was not taken, or stands there already."""
        key = RUNS + record.run
        try:
            result = await self._tools.store.transact(
                [Compare(key, 0)], [Put(key, encode(record))], [key], timeout_seconds=ASK_SECONDS
            )
        except StoreError as fault:
            log.warning("run-not-published", run=record.run, problem=str(fault))
            return False
        return result.succeeded

    def _count(self, plan: Plan, outcome: RunOutcome, seconds_taken: float) -> None:
        self._tally.run_ended(plan.service, plan.kind, str(outcome), seconds_taken)
        progress = self.progress.get(plan.id)
        for step_id, step in progress.steps.items() if progress is not None else ():
            if step.duration_seconds is not None:
                self._tally.step_ended(plan.service, step_id, str(step.state), step.duration_seconds)

    def _context(self, plan: Plan, errand: Errand) -> ActionContext:
        async def notify(text: str) -> None:
            log.warning("notice", run=plan.id, service=plan.service, text=text)
            self.on_notice(plan, text)

        return ActionContext(
            estate=self._tools.estate,
            service=self._tools.estate.services[plan.service],
            transport=self._tools.transport,
            token=Token(plan.epoch, plan.id, errand.record.executor),
            notify=notify,
            driver=self._tools.drivers.get(plan.service),
            wait_healthy=self._tools.probes.get(plan.service),
            sql=self._tools.sql.get(plan.service),
            base=self._tools.base,
            said=self.watchers.listener(plan.id),
        )

    async def _known(self, service: str) -> ServiceRecord | None:
        """The service's record. A transaction whose answer was lost makes it unknown for a moment (P4), which
        is no reason to leave a move half done; waiting does no harm, for nothing is done meanwhile."""
        try:
            async with asyncio.timeout(self._tools.estate.ownership.lease_duration_seconds):
                await self._desk.wait(lambda: self._desk.record(service) is not None)
        except TimeoutError:
            return None
        return self._desk.record(service)

    def _right(self, plan: Plan) -> Callable[[], Awaitable[None]]:
        """P26: asked before every side effect. Before the claim the run must still hold the service; from
        the claim on, this site must be entitled to it at the plan's epoch, by the keeper's word. So it must
        from the moment on when the glass is broken (P31), which needs no record and no quorum.

        What stands behind the claim in the plan never goes before it, whatever became of the claim's step;
        and a run that another controller has adopted is no longer this one's."""
        ownership = [step.id for step in plan.steps if step.action in TAKES]
        behind = _behind(plan, ownership)
        started_by_transaction = any(step.action == "ownership.give-up" for step in plan.steps)

        async def may_act() -> None:
            errand = self._desk.errands.get(plan.id)
            known = self.run_record(plan.id)
            if errand is not None and known is not None and known.executor > errand.record.executor:
                raise LostRight(f"{known.executor_site} has adopted the run as executor {known.executor}")
            if errand is not None and errand.certificate:
                if errand.broken:
                    await entitled(plan.epoch)
                return
            record = await self._known(plan.service)
            if record is None:
                raise LostRight("who owns the service has not been known here for a lease's length")
            if errand is not None and errand.gives_way is not None:
                if why := errand.gives_way(record):
                    raise LostRight(why)
                return
            if plan.kind is Kind.REJOIN:
                if record.primary != plan.to_site or record.epoch != plan.epoch:
                    raise LostRight(f"{record.primary} is primary at epoch {record.epoch} now")
                return
            if errand is not None and errand.takes_back:
                await entitled(record.epoch)
                return
            if record.epoch < plan.epoch:
                progress = self.progress.get(plan.id)
                early = [s.title for s in progress.started if s.id in behind] if progress is not None else []
                if early:
                    raise LostRight(
                        f"{early[0]} comes after the claim, and {plan.to_site} has not claimed it"
                    )
                held = record.movement is Movement.MOVING and record.run == plan.id
                ours_to_take = not started_by_transaction and (
                    not record.run or record.primary != self._tools.site
                )
                if not held and not ours_to_take:
                    raise LostRight(f"run {record.run} holds the service now")
                return
            await entitled(plan.epoch)

        async def entitled(epoch: int) -> None:
            try:
                reply = await self._desk.ask(MayAct(service=plan.service, epoch=epoch), ASK_SECONDS)
            except KeeperGone as gone:
                raise LostRight(f"the keeper does not answer: {gone}") from gone
            if not reply.done:
                raise LostRight(f"{reply.code}: {reply.message}")

        return may_act


def _behind(plan: Plan, first: Sequence[str]) -> frozenset[str]:
    """Every step that needs one of these, directly or by way of others."""
    found = set(first)
    for step in plan.steps:  # by number, so that what a step needs comes before it
        if not found.isdisjoint(step.needs):
            found.add(step.id)
    return frozenset(found.difference(first))


async def _nothing_more(run: str) -> None:
    """Until somebody says what."""


async def _not_seen(record: RunRecord) -> float | None:
    return None


async def _nothing_to_say(progress: Progress, outcome: RunOutcome) -> tuple[str, ...]:
    return ()
