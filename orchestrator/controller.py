"""The controller: once a turn it looks, names, decides, records what changed, and only then acts.

It never decides ownership by itself: it asks the keeper, whose word is the store's.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from orchestrator.clock import boottime_ns, wall_text, wall_unix_seconds
from orchestrator.core.decision import ACTS_ON_THE_WORLD, Act, Decision, automatic_wish, decide
from orchestrator.core.diagnosis import Diagnosis, Row, diagnose
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.messages import (
    Ask,
    Claim,
    FenceHere,
    GiveUpDead,
    InstanceOpened,
    Reply,
    SetMode,
    Settle,
)
from orchestrator.core.records import Movement, Pause, RunRecord, ServiceRecord
from orchestrator.core.statement import statement
from orchestrator.core.view import ServiceView, View
from orchestrator.eyes import Eyes
from orchestrator.journal import SqliteJournal
from orchestrator.keeper import mode_of
from orchestrator.link import KeeperGone, KeeperLink
from orchestrator.mover import Mover
from orchestrator.ownership_actions import Errand, KeeperDesk
from orchestrator.readings import Tally
from runbooks.errors import RunbooksError
from runbooks.journal import RunOutcome
from runbooks.model import Kind
from runbooks.planned import Known, Plan
from sites.errors import SitesError
from sites.model import Estate, FencePolicy, Service
from sites.replication.words import ChecksSettings, ReplicationDriver, Role

log = structlog.get_logger(__name__)

TURN_SECONDS = 0.1
RESTART_WINDOW_SECONDS = 3600.0
RESTART_TIMEOUT_SECONDS = 60.0
REJOIN_BACKOFF_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
ACT_AGAIN_SECONDS = 1.0
HISTORY_KEPT = 50
ASK_SECONDS = 30.0
SETTINGS_EVERY_SECONDS = 60.0
SETTINGS_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was last thought of a service."""

    row: Row
    decision: Decision
    at: str


@dataclass(slots=True)
class ServiceMind:
    """What the controller keeps of one service between turns."""

    judgement: Judgement | None = None
    history: deque[Judgement] = field(default_factory=lambda: deque(maxlen=HISTORY_KEPT))
    busy: asyncio.Task[None] | None = None
    act_again_at_ns: int = 0
    run: str = ""
    restarts_ns: deque[int] = field(default_factory=lambda: deque(maxlen=32))
    rejoin_failures: int = 0
    rejoin_again_at_ns: int = 0
    nobody_since_ns: int | None = None
    pause_id: str = ""
    pause_ends_ns: int = 0
    fence_confirmed: bool | None = None
    fence_tried_at_ns: int = 0
    unprotected_since_unix_seconds: float | None = None
    run_in_doubt: str = ""


class Controller:
    """One site's controller."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        *,
        eyes: Eyes,
        drivers: dict[str, ReplicationDriver],
        link: KeeperLink,
        desk: KeeperDesk,
        mover: Mover,
        journal: SqliteJournal,
        tally: Tally,
        wake: asyncio.Event,
    ) -> None:
        self.estate = estate
        self.site = site
        self.peer = estate.other_data_site(site)
        self.eyes = eyes
        self.mover = mover
        self.desk = desk
        self.journal = journal
        self.tally = tally
        self.minds = {name: ServiceMind() for name in estate.services}
        self.run_records: dict[str, RunRecord] = {}
        self.setting_findings: dict[str, tuple[str, ...]] = {}
        self.loop_delay_seconds = 0.0
        self.turned_at_ns = boottime_ns()
        self.on_turn: Callable[[View], None] | None = None
        self._drivers = drivers
        self._link = link
        self._wake = wake
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the turn ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turn until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                wait_seconds = self._next_turn_in_seconds()
                due = loop.time() + wait_seconds
                try:
                    async with asyncio.timeout(wait_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    self.loop_delay_seconds = max(0.0, loop.time() - due)
                self._wake.clear()
                await self._turn()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _next_turn_in_seconds(self) -> float:
        """A turn's length, or until just after the peer's lease is over if that is sooner."""
        keeper = self.desk.view()
        over_ns = keeper.peer_lease_over_ns if keeper is not None else None
        if over_ns is None:
            return TURN_SECONDS
        left_seconds = (over_ns - boottime_ns()) / 1e9 + 0.001
        return left_seconds if 0 < left_seconds < TURN_SECONDS else TURN_SECONDS

    async def _turn(self) -> None:
        view = self.view()
        for service in view.services:
            await self._consider(view, service)
        self._link.turn()  # P1: only a completed turn keeps the lease alive
        self.turned_at_ns = boottime_ns()
        if self.on_turn is not None:
            self.on_turn(view)

    async def _consider(self, view: View, service: ServiceView) -> None:
        mind = self.minds[service.service.name]
        row = diagnose(view, service)
        decision = decide(view, service, row.diagnosis)
        self._note_protection(mind, row.diagnosis)
        before = mind.judgement
        changed = before is None or (before.row, before.decision.act, before.decision.code) != (
            row,
            decision.act,
            decision.code,
        )
        mind.judgement = Judgement(row, decision, wall_text() if changed or before is None else before.at)
        if changed:
            await self._record(service.service.name, mind.judgement)
            mind.history.append(mind.judgement)
        if decision.act in ACTS_ON_THE_WORLD:
            self._act(view, service, mind, decision)
        elif decision.act is Act.HOLD and decision.code == "hold-down":
            self._try_fence(service, mind, view)

    async def _record(self, service: str, judgement: Judgement) -> None:
        """Record before anything is done about it."""
        decision = judgement.decision
        log.info(
            "decided",
            service=service,
            diagnosis=str(judgement.row.diagnosis),
            decision=str(decision.act),
            code=decision.code,
            row=decision.row,
            why=decision.why,
        )
        self.tally.decided(service, str(decision.act), decision.code)
        if decision.act in (Act.REFUSE, Act.ASK):
            self.tally.refused(service, decision.code)
        try:
            await self.journal.append_event(
                "decision",
                service,
                {
                    "diagnosis": str(judgement.row.diagnosis),
                    "decision": str(decision.act),
                    "code": decision.code,
                    "row": decision.row,
                    "why": decision.why,
                    "gates": [
                        {"number": gate.number, "ok": gate.ok, "code": gate.code, "evidence": gate.evidence}
                        for gate in decision.gates
                    ],
                },
            )
        except RunbooksError as fault:
            log.error("decision-not-recorded", service=service, problem=str(fault))

    def _note_protection(self, mind: ServiceMind, diagnosis: Diagnosis) -> None:
        if diagnosis in (Diagnosis.HEALTHY, Diagnosis.LAGGING):
            mind.unprotected_since_unix_seconds = None
        elif mind.unprotected_since_unix_seconds is None:
            mind.unprotected_since_unix_seconds = wall_unix_seconds()

    # --- the view ------------------------------------------------------------------------------------

    def view(self) -> View:
        """Everything as it is known now."""
        now_ns = boottime_ns()
        keeper = self.desk.view() if self._link.connected else None
        services = tuple(self._service_view(name, keeper, now_ns) for name in self.estate.services)
        reached = [
            view.samples[self.peer].role is not Role.UNKNOWN for view in services if self.peer in view.samples
        ]
        return View(
            site=self.site,
            peer=self.peer,
            now_ns=now_ns,
            keeper=keeper,
            services=services,
            lab=self.estate.lab,
            guarded=False,
            peer_reached=any(reached) if reached else None,
        )

    def _service_view(self, name: str, keeper: KeeperView | None, now_ns: int) -> ServiceView:
        service = self.estate.services[name]
        held = keeper.service(name) if keeper is not None else None
        if name not in self._drivers:
            return ServiceView(service=service, held=held)
        mind = self.minds[name]
        record = held.record if held is not None and held.known else None
        primary = (record.primary or record.previous) if record is not None else service.home
        primary = primary or service.home
        standby = service.peer_of(primary)
        lag = self.eyes.lag(name, primary, standby, now_ns)
        self._note_nobody(mind, record, now_ns)
        return ServiceView(
            service=service,
            held=held,
            samples=self.eyes.fresh_samples(name, now_ns),
            dead_here=self.eyes.dead(name, self.site),
            lag_seconds=lag.seconds,
            lag_bytes=lag.bytes,
            lag_age_seconds=lag.age_seconds,
            safe_until_ns=self.eyes.safe_until_ns(name, primary, standby),
            final_primary_history=self.eyes.primary_history(name),
            outside=self.eyes.outside(name, now_ns),
            run_here=mind.run,
            run_failed=self._run_failed(record),
            run_in_doubt=record is not None and bool(record.run) and mind.run_in_doubt == record.run,
            pause_left_seconds=self._pause_left(mind, record, now_ns),
            pause_words=_pause_words(record.pause) if record is not None and record.pause else "",
            flap_left_seconds=_flap_left(service, record),
            restarts_left=self._restarts_left(service, mind, now_ns),
            fence_confirmed=mind.fence_confirmed,
            nobody_for_seconds=(now_ns - mind.nobody_since_ns) / 1e9 if mind.nobody_since_ns else 0.0,
            not_a_standby_for_seconds=self.eyes.not_streaming_seconds(name, self.site, now_ns),
            rejoin_wait_seconds=max(0, mind.rejoin_again_at_ns - now_ns) / 1e9,
        )

    def _note_nobody(self, mind: ServiceMind, record: ServiceRecord | None, now_ns: int) -> None:
        nobody = record is not None and record.primary is None
        if not nobody:
            mind.nobody_since_ns = None
        elif mind.nobody_since_ns is None:
            mind.nobody_since_ns = now_ns

    def _run_failed(self, record: ServiceRecord | None) -> bool:
        run = self.run_records.get(record.run) if record is not None and record.run else None
        return run is not None and run.state in ("failed", "stopped")

    def _pause_left(self, mind: ServiceMind, record: ServiceRecord | None, now_ns: int) -> float | None:
        """Counted on this clock from when this pause was first read here; None when there is none."""
        pause = record.pause if record is not None else None
        if pause is None:
            mind.pause_id = ""
            return None
        if pause.pause_id != mind.pause_id:
            mind.pause_id = pause.pause_id
            mind.pause_ends_ns = now_ns + int(pause.seconds * 1e9)
        left = (mind.pause_ends_ns - now_ns) / 1e9
        return left if left > 0 else None

    def _restarts_left(self, service: Service, mind: ServiceMind, now_ns: int) -> int:
        window_ns = int(RESTART_WINDOW_SECONDS * 1e9)
        lately = sum(1 for at in mind.restarts_ns if now_ns - at <= window_ns)
        return max(0, service.local_restarts - lately)

    # --- acting --------------------------------------------------------------------------------------

    def _act(self, view: View, service: ServiceView, mind: ServiceMind, decision: Decision) -> None:
        if mind.busy is not None or mind.run or view.now_ns < mind.act_again_at_ns:
            return
        acts: dict[Act, Callable[[View, ServiceView], Awaitable[None]]] = {
            Act.FIRST_CLAIM: self._first_claim,
            Act.REOPEN: self._open_here,
            Act.RESTART: self._restart,
            Act.GIVE_UP: self._give_up,
            Act.CLAIM: self._claim,
            Act.CLAIM_BACK: self._claim_back,
            Act.TAKE_OVER: self._take_over,
            Act.REJOIN: self._rejoin,
            Act.FENCE: self._fence_here,
            Act.CARRY_OUT: self._carry_out_ordered,
        }
        name = service.service.name
        mind.busy = self._start(self._acting(name, mind, acts[decision.act](view, service)))

    async def _acting(self, name: str, mind: ServiceMind, work: Awaitable[None]) -> None:
        try:
            await work
        except (KeeperGone, SitesError, RunbooksError, _Refused) as fault:
            log.warning("act-failed", service=name, problem=str(fault))
        finally:
            mind.busy = None
            mind.act_again_at_ns = boottime_ns() + int(ACT_AGAIN_SECONDS * 1e9)
            self._wake.set()

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("controller-task-failed", exc_info=fault)

    async def ask(self, what: Ask) -> Reply:
        """Ask the keeper; a refusal is raised."""
        reply = await self._link.ask(what, timeout_seconds=ASK_SECONDS)
        if not reply.done:
            raise _Refused(f"{reply.code}: {reply.message}")
        return reply

    async def _first_claim(self, view: View, service: ServiceView) -> None:
        await self.ask(
            Claim(
                service=service.service.name,
                run="",
                record=None,
                received=None,
                accept_loss=False,
                mode_if_new=mode_of(service.service),
                who=f"controller of {self.site}",
                why="first claim by its home site",
            )
        )

    async def _open_here(self, view: View, service: ServiceView) -> None:
        """P6, P26: only with the right to it, and the keeper knows first that it is open (P7)."""
        name = service.service.name
        await self.ask(InstanceOpened(service=name))
        log.warning("opening-here", service=name)
        driver = self._drivers[name]
        sample = await self.eyes.look(name, self.site)
        if sample.role is Role.STANDBY:
            # It runs closed: promotion begins a new line of history, so nothing can be confused later.
            await driver.promote(self.site, timeout_seconds=RESTART_TIMEOUT_SECONDS)
        else:
            await driver.start(self.site, role=Role.PRIMARY, timeout_seconds=RESTART_TIMEOUT_SECONDS)
        await self.eyes.look(name, self.site)

    async def _restart(self, view: View, service: ServiceView) -> None:
        self.minds[service.service.name].restarts_ns.append(boottime_ns())
        await self._open_here(view, service)

    async def _give_up(self, view: View, service: ServiceView) -> None:
        await self.ask(
            GiveUpDead(service=service.service.name, why=service.dead_here or "its database is dead")
        )

    async def _claim_back(self, view: View, service: ServiceView) -> None:
        record = service.record
        if record is None:
            return
        name = service.service.name
        await self.ask(
            Claim(
                service=name,
                run=record.run,
                record=None,
                received=record.final_position,
                accept_loss=False,
                mode_if_new=record.mode,
                who=f"controller of {self.site}",
                why="nobody came for it after it was given up",
            )
        )
        await self._open_here(view, service)
        await self.ask(Settle(service=name, run=record.run, why="taken back"))

    async def _fence_here(self, view: View, service: ServiceView) -> None:
        await self.ask(FenceHere(service=service.service.name, why="writable without a right to it"))

    async def _take_over(self, view: View, service: ServiceView) -> None:
        await self._automatic(view, service, "take-over", f"{view.peer} is lost: silent, its lease over")

    async def _claim(self, view: View, service: ServiceView) -> None:
        await self._automatic(view, service, "claim", f"the database at {view.peer} died and was given up")

    async def _automatic(self, view: View, service: ServiceView, frame: str, why: str) -> None:
        record = service.record
        if record is None:
            return
        words, bound = statement(view, service, automatic_wish(view, service))
        plan = self.mover.draw(
            Kind.FAILOVER,
            service.service,
            from_site=view.peer,
            to_site=view.site,
            epoch=record.epoch + 1,
            frame=frame,
            reason=why,
            known=known_of(view, service),
        )
        who = f"controller of {self.site}"
        run_record = self.mover.record_of(plan, who=who, why=why, statement=words, loss_bound_seconds=bound)
        errand = Errand(run_record, automatic=True, who=who, why=why)
        if frame == "take-over":
            errand.after_take_over = lambda: self._fence_behind(service.service.name)
        await self.carry_out(plan, errand, publish=False)

    async def carry_out(self, plan: Plan, errand: Errand, *, publish: bool) -> RunOutcome:
        """Carry a plan out; the service's mind knows that a run is on."""
        mind = self.minds[plan.service]
        mind.run = plan.id
        self._wake.set()
        try:
            outcome = await self.mover.carry_out(plan, errand, publish=publish)
            await self.eyes.look(plan.service, self.site)  # what the run did is seen before anything else
        finally:
            mind.run = ""
        mind.run_in_doubt = plan.id if outcome is RunOutcome.IN_DOUBT else ""
        if outcome is RunOutcome.FAILED and plan.kind is not Kind.REJOIN:
            await self._after_failed_run(plan)
        for site in self.estate.services[plan.service].sites:
            self.eyes.nudge(plan.service, site)
        return outcome

    def order(self, plan: Plan, errand: Errand, *, publish: bool) -> None:
        """Carry out a person's plan in the background."""

        async def work() -> None:
            await self.carry_out(plan, errand, publish=publish)

        mind = self.minds[plan.service]
        mind.run = plan.id
        mind.busy = self._start(self._acting(plan.service, mind, work()))

    def _fence_behind(self, name: str) -> None:
        """After the takeover has committed: try to cut the old site's instance off as well (gate 8)."""

        async def work() -> None:
            fenced = await self._drivers[name].fence(self.peer, within_seconds=5.0)
            log.info("fenced-behind", service=name, verified=fenced.verified, evidence=fenced.evidence)

        self._start(work())

    def _try_fence(self, service: ServiceView, mind: ServiceMind, view: View) -> None:
        """Gate 8 for `fence: confirm`: tried during the wait, once the lost site's lease is over."""
        if service.service.fence is not FencePolicy.CONFIRM:
            return
        if mind.fence_confirmed or view.now_ns - mind.fence_tried_at_ns < 5e9:
            return
        mind.fence_tried_at_ns = view.now_ns
        name = service.service.name

        async def work() -> None:
            fenced = await self._drivers[name].fence(self.peer, within_seconds=5.0)
            mind.fence_confirmed = fenced.verified
            self._wake.set()

        self._start(work())

    async def _rejoin(self, view: View, service: ServiceView) -> None:
        record = service.record
        if record is None or record.primary is None:
            return
        name, mind = service.service.name, self.minds[service.service.name]
        plan = self.mover.draw(
            Kind.REJOIN,
            service.service,
            from_site=self.site,
            to_site=record.primary,
            epoch=record.epoch,
            frame="rejoin",
            reason=f"{self.site} is not a standby of {record.primary}",
        )
        who = f"controller of {self.site}"
        run_record = self.mover.record_of(
            plan, who=who, why=plan.reason, statement="nothing is promoted", loss_bound_seconds=0.0
        )
        outcome = await self.carry_out(plan, Errand(run_record, who=who, why=plan.reason), publish=True)
        if outcome is RunOutcome.DONE:
            mind.rejoin_failures = 0
            await self.eyes.look(name, self.site)
            return
        wait = REJOIN_BACKOFF_SECONDS[min(mind.rejoin_failures, len(REJOIN_BACKOFF_SECONDS) - 1)]
        mind.rejoin_failures += 1
        mind.rejoin_again_at_ns = boottime_ns() + int(wait * 1e9)

    async def _carry_out_ordered(self, view: View, service: ServiceView) -> None:
        """A run that somebody ordered, at either site, and that is this site's to carry out (P26)."""
        record = service.record
        run = self.run_records.get(record.run) if record is not None else None
        if record is None or run is None or record.movement is not Movement.MOVING:
            return
        plan = Plan.from_json(json.dumps(run.plan))
        errand = Errand(run, ordered_by_operator=True, who=run.who, why=run.why)
        await self.carry_out(plan, errand, publish=False)

    async def _after_failed_run(self, plan: Plan) -> None:
        """A run that failed must not hold its service for ever. Before the give-up the service stays where
        it is; after the claim it is ours, and is opened here like any instance that is ours and closed.
        Between the two nobody owns it: whoever gave it up claims it back."""
        record = self.desk.record(plan.service)
        if record is None or record.run != plan.id or record.movement is not Movement.MOVING:
            return
        if record.primary is not None:
            await self.ask(Settle(service=plan.service, run=plan.id, why="its run failed"))

    async def watch_settings(self) -> None:
        """Ask the instances here, now and then, whether they are set up as their driver needs them."""
        while True:
            for name, driver in self._drivers.items():
                if not isinstance(driver, ChecksSettings):
                    continue
                try:
                    async with asyncio.timeout(SETTINGS_TIMEOUT_SECONDS):
                        found = await driver.check_settings(self.site)
                except (SitesError, TimeoutError):
                    continue  # what was found before stands; the instance's own state is shown elsewhere
                self.setting_findings[name] = tuple(
                    f"{name} at {self.site}: {each.what} is {each.found}, not {each.expected}: {each.why}"
                    for each in found
                    if each.must
                )
            await asyncio.sleep(SETTINGS_EVERY_SECONDS)

    async def follow_policy(self) -> None:
        """P27: the stored mode follows the estate's policy, written by the holder when nothing moves."""
        while True:
            await asyncio.sleep(2.0)
            keeper = self.desk.view()
            for held in keeper.services if keeper is not None else ():
                record = held.record
                wanted = mode_of(self.estate.services[held.service])
                if record is None or record.mode is wanted or not held.entitled:
                    continue
                if record.movement is Movement.STEADY and not self.minds[held.service].run:
                    try:
                        await self.ask(SetMode(service=held.service, mode=wanted))
                    except (KeeperGone, _Refused) as fault:
                        log.warning("mode-not-set", service=held.service, problem=str(fault))


class _Refused(Exception):
    """The keeper refused."""


def known_of(view: View, service: ServiceView) -> tuple[Known, ...]:
    """What was known when a plan was drawn, for people."""
    facts = []
    if service.lag_seconds is not None:
        facts.append(
            Known("lag", f"{service.lag_seconds:.1f} s, measured {service.lag_age_seconds or 0:.1f} s ago")
        )
    else:
        facts.append(Known("lag", "unknown"))
    for site, sample in service.samples.items():
        facts.append(Known(f"{site}", f"{sample.role}{' ' + sample.reason if sample.reason else ''}"))
    silent = view.peer_silent_seconds
    facts.append(Known(view.peer, "never seen" if silent is None else f"last seen {silent:.1f} s ago"))
    return tuple(facts)


def _pause_words(pause: Pause) -> str:
    return f"paused by {pause.who} at {pause.since} for {pause.seconds:g} s: {pause.reason}"


def _flap_left(service: Service, record: ServiceRecord | None) -> float | None:
    """Gate 6. The wall clock may be wrong, and then the wait is the whole time, never less."""
    if record is None or record.last_move is None or record.last_move.acknowledged_by:
        return None
    passed = time.time() - record.last_move.at_unix_seconds
    if passed < 0:
        return service.min_time_between_failovers_seconds or None
    left = service.min_time_between_failovers_seconds - passed
    return left if left > 0 else None
