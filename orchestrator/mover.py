"""Draw plans up and carry runs out: the one place where a decision or an order becomes a run.

It does not decide. Every run is journaled here before its first step, and published under `runs/<id>` so
that the other site can read it.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from orchestrator import frames
from orchestrator.clock import boottime_ns, wall_text, wall_unix_seconds
from orchestrator.core.messages import MayAct
from orchestrator.core.records import (
    RUNS,
    Movement,
    RecordUnreadable,
    RunRecord,
    ServiceRecord,
    StepState,
    decode,
    encode,
)
from orchestrator.link import KeeperGone
from orchestrator.local_run import LocalRun, steps_of
from orchestrator.ownership_actions import Errand, KeeperDesk
from orchestrator.readings import Tally
from orchestrator.store.base import Compare, Put, Store, StoreError
from runbooks.catalogue import ActionCatalogue
from runbooks.context import ActionContext, Sql, Token, WaitHealthy
from runbooks.engine import Engine
from runbooks.errors import LostRight, PlanRefused, Problem
from runbooks.journal import Journal, Record, RunOutcome, StepEnded
from runbooks.library import Library
from runbooks.model import Kind, Runbook
from runbooks.plan import bind, compose, facts_of
from runbooks.planned import Known, Part, Plan
from runbooks.progress import Progress
from runbooks.scope import RunRef, scope_of
from runbooks.shedding import as_shedding
from runbooks.uses import SHIPPED
from sites.model import SHED, Estate, Service
from sites.replication.words import ReplicationDriver, Word
from sites.transport import Transport

log = structlog.get_logger(__name__)

ASK_SECONDS = 5.0
# The words of a driver that are the keeper's to say, by the frame of a move.
NEEDS: Mapping[str, frozenset[Word]] = {
    "hand-over": frozenset({Word.CLOSE}),
    "shut-over": frozenset({Word.FENCE}),
}
RUN_STATES = {RunOutcome.DONE: "done", RunOutcome.FAILED: "failed"}


def run_id(service: str, kind: str) -> str:
    """A new run's name: service, kind, time of day for people, and a few random characters."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{service}-{kind}-{stamp}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs are carried out with."""

    estate: Estate
    site: str
    library: Library
    catalogue: ActionCatalogue
    drivers: dict[str, ReplicationDriver]
    transport: Transport
    journal: Journal
    store: Store
    probes: Mapping[str, WaitHealthy]
    sql: Mapping[str, Sql]


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
        self.progress: dict[str, Progress] = {}
        self.on_local_run: Callable[[RunRecord], None] = lambda record: None

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
            facts = facts_of(service, self._tools.drivers.get(service.name))
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
        return RunRecord(
            run=plan.id,
            kind=plan.kind,
            service=plan.service,
            from_site=plan.from_site,
            to_site=plan.to_site,
            executor_site=plan.from_site if plan.kind is Kind.REJOIN else plan.to_site,
            executor=1,
            state="running",
            plan=json.loads(plan.to_json()),
            statement=statement,
            loss_bound_seconds=loss_bound_seconds,
            who=who,
            why=why,
            started=wall_text(),
            started_unix_seconds=wall_unix_seconds(),
            steps=tuple(StepState(step=step.id, state="waiting") for step in plan.steps),
        )

    # --- runs ----------------------------------------------------------------------------------------

    async def carry_out(self, plan: Plan, errand: Errand, *, publish: bool) -> RunOutcome:
        """Carry a plan out, or go on with it if the journal knows it already. Never raises for a failed run.

        `publish`: the record is not in the store yet and no ownership transaction will put it there.
        """
        publisher: Publisher | LocalRun = (
            LocalRun(errand.record, self.on_local_run)
            if errand.certificate
            else Publisher(self._tools.store, errand.record, self._tools.site)
        )
        self._desk.errands[plan.id] = errand
        started_ns = boottime_ns()

        def progressed(progress: Progress, last: Record) -> None:
            self.progress[plan.id] = progress
            publisher.update(progress)
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
        log.info("run-started", run=plan.id, kind=str(plan.kind), service=plan.service, why=errand.why)
        outcome = RunOutcome.INTERRUPTED
        summary = "the controller was ended"
        try:
            ended = await engine.carry_out(
                plan,
                self._context(plan, errand),
                who=errand.who,
                why=errand.why,
                data_loss=errand.record.statement,
            )
            outcome, summary = ended.outcome, ended.summary
            if errand.report is not None and outcome is RunOutcome.DONE:
                publisher.report(await errand.report(ended.progress))
        finally:
            self._desk.errands.pop(plan.id, None)
            seconds_taken = (boottime_ns() - started_ns) / 1e9
            self._count(plan, outcome, seconds_taken)
            await publisher.finish(RUN_STATES.get(outcome, "stopped"), summary, background)
        log.info(
            "run-ended", run=plan.id, outcome=str(outcome), summary=summary, seconds=round(seconds_taken, 3)
        )
        return outcome

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

        return ActionContext(
            estate=self._tools.estate,
            service=self._tools.estate.services[plan.service],
            transport=self._tools.transport,
            token=Token(plan.epoch, plan.id, errand.record.executor),
            notify=notify,
            driver=self._tools.drivers.get(plan.service),
            wait_healthy=self._tools.probes.get(plan.service),
            sql=self._tools.sql.get(plan.service),
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
        from the moment on when the glass is broken (P31), which needs no record and no quorum."""

        async def may_act() -> None:
            errand = self._desk.errands.get(plan.id)
            if errand is not None and errand.certificate:
                if errand.broken:
                    await entitled()
                return
            record = await self._known(plan.service)
            if record is None:
                raise LostRight("who owns the service has not been known here for a lease's length")
            if plan.kind is Kind.REJOIN:
                if record.primary != plan.to_site or record.epoch != plan.epoch:
                    raise LostRight(f"{record.primary} is primary at epoch {record.epoch} now")
                return
            if record.epoch < plan.epoch:
                held = record.movement is Movement.MOVING and record.run == plan.id
                ours_to_take = not record.run or record.primary != self._tools.site
                if not held and not ours_to_take:
                    raise LostRight(f"run {record.run} holds the service now")
                return
            await entitled()

        async def entitled() -> None:
            try:
                reply = await self._desk.ask(MayAct(service=plan.service, epoch=plan.epoch), ASK_SECONDS)
            except KeeperGone as gone:
                raise LostRight(f"the keeper does not answer: {gone}") from gone
            if not reply.done:
                raise LostRight(f"{reply.code}: {reply.message}")

        return may_act


class Publisher:
    """Writes `runs/<id>` as the run goes on; late or refused writes never hold the run up."""

    def __init__(self, store: Store, record: RunRecord, site: str) -> None:
        self._store = store
        self._record = record
        self._site = site
        self._changed = asyncio.Event()
        self._revision: int | None = None
        self._ended = False

    def update(self, progress: Progress) -> None:
        """Take a new state in."""
        self._record = replace(self._record, steps=steps_of(progress))
        self._changed.set()

    def report(self, lines: tuple[str, ...]) -> None:
        """What the run found out; written with its end."""
        self._record = replace(self._record, report=lines)

    async def run(self, *, create: bool) -> None:
        """Write whatever changed until `finish`; several changes may go in one write."""
        if create:
            self._revision = 0
            self._changed.set()
        while not self._ended:
            await self._changed.wait()
            self._changed.clear()
            await self._write()

    async def _write(self) -> None:
        key = RUNS + self._record.run
        try:
            if self._revision is None:
                snapshot = await self._store.read(key, exact=True, timeout_seconds=5.0)
                found = snapshot.get(key)
                if found is None:
                    return  # the ownership transaction that creates it has not been yet
                if decode(RunRecord, found.value).executor > self._record.executor:
                    return  # adopted by another executor (P26): it is no longer ours to write
                self._revision = found.mod_revision
            result = await self._store.transact(
                [Compare(key, self._revision)], [Put(key, encode(self._record))], [key], timeout_seconds=5.0
            )
            self._revision = result.revision if result.succeeded else None
        except (StoreError, RecordUnreadable) as fault:
            self._revision = None
            log.debug("run-not-published", run=self._record.run, problem=str(fault))

    async def finish(self, state: str, summary: str, background: "asyncio.Task[None]") -> None:
        """Write the end, and end."""
        self._ended = True
        background.cancel()
        await asyncio.gather(background, return_exceptions=True)
        self._record = replace(self._record, state=state, outcome=summary, ended=wall_text())
        self._revision = None
        await self._write()
        if self._revision is None:
            await self._write()
