"""Carry out what was decided about a service: one deed at a time for each, in the background.

A deed asks the keeper before anything that needs a right, and journals through the runs it starts. It
decides nothing; what fails is logged and decided about again at a later turn.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from orchestrator.accepted import Report, rejoined
from orchestrator.clock import boottime_ns, wall_text
from orchestrator.core.clients import cut_off_by
from orchestrator.core.decision import ACTS_ON_THE_WORLD, Act, Decision, automatic_wish, wish_of
from orchestrator.core.diagnosis import follows
from orchestrator.core.gates import PROOF_WITHIN_SECONDS, shed_for
from orchestrator.core.messages import (
    Ask,
    Claim,
    FenceHere,
    GiveUpDead,
    InstanceOpened,
    Reply,
    Settle,
    StartRun,
)
from orchestrator.core.modes import mode_of
from orchestrator.core.records import Mode, Movement, RunRecord, ServiceRecord
from orchestrator.core.statement import lease_counted_ns, statement
from orchestrator.core.view import ServiceView, View
from orchestrator.devices import Devices
from orchestrator.eyes import Eyes
from orchestrator.fences import Fences
from orchestrator.link import KeeperGone, KeeperLink
from orchestrator.mind import ServiceMind
from orchestrator.mover import Mover
from orchestrator.ownership_actions import Errand, KeeperDesk
from orchestrator.store.base import StoreError
from runbooks.errors import RunbooksError, StepFailed
from runbooks.journal import RunOutcome
from runbooks.model import Kind
from runbooks.planned import Known, Plan
from runbooks.progress import Progress
from runbooks.steered import Order, Verb
from sites.errors import SitesError
from sites.model import Estate
from sites.replication.words import ReplicationDriver, Role

log = structlog.get_logger(__name__)

RESTART_TIMEOUT_SECONDS = 60.0
REJOIN_BACKOFF_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
ACT_AGAIN_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
ASK_SECONDS = 30.0
PROOF_LOOK_SECONDS = 0.05
CANNOT_WAIT = ACTS_ON_THE_WORLD - {Act.CARRY_OUT, Act.HAND_OVER, Act.REJOIN}


class KeeperRefused(Exception):
    """The keeper refused."""


class Deeds:
    """One site's deeds."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        *,
        eyes: Eyes,
        drivers: Mapping[str, ReplicationDriver],
        link: KeeperLink,
        desk: KeeperDesk,
        mover: Mover,
        minds: Mapping[str, ServiceMind],
        run_records: Mapping[str, RunRecord],
        devices: Devices,
        wake: asyncio.Event,
        look: Callable[[], View],
    ) -> None:
        """`look`: everything as it is known now."""
        self._estate = estate
        self._site = site
        self._peer = estate.other_data_site(site)
        self._eyes = eyes
        self._drivers = drivers
        self._link = link
        self._desk = desk
        self._mover = mover
        self._minds = minds
        self._run_records = run_records
        self._wake = wake
        self._look = look
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone_on: set[str] = set()
        self.fences = Fences(site, self._peer, drivers=drivers, devices=devices, wake=wake, start=self.start)
        self.on_report: Callable[[Report], Awaitable[None]] = _kept_nowhere
        mover.on_progress = self._progressed

    async def aclose(self) -> None:
        """End what is under way; runs journal what they leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, view: View, service: ServiceView, mind: ServiceMind, decision: Decision) -> None:
        if mind.run_waits and decision.act in CANNOT_WAIT:
            # A planned move that waits for somebody must not keep a lost service down. Decided about anew.
            self._mover.stand_down(mind.run, f"it waited for a person, and {decision.why}")
            return
        if mind.busy is not None or mind.run or view.now_ns < mind.act_again_at_ns:
            return
        acts: dict[Act, Callable[[View, ServiceView], Awaitable[None]]] = {
            Act.FIRST_CLAIM: self._first_claim,
            Act.REOPEN: self._open_here,
            Act.RESTART: self._restart,
            Act.GIVE_UP: self._give_up,
            Act.HAND_OVER: self._hand_over,
            Act.CLAIM: self._claim,
            Act.CLAIM_BACK: self._claim_back,
            Act.TAKE_OVER: self._take_over,
            Act.REJOIN: self._rejoin,
            Act.FENCE: self._fence_here,
            Act.CARRY_OUT: self._carry_out_ordered,
            Act.RELEASE: self._release,
            Act.POWER_OFF: self._power_off,
        }
        name = service.service.name
        mind.busy = self.start(self._acting(name, mind, acts[decision.act](view, service)))

    async def _acting(self, name: str, mind: ServiceMind, work: Awaitable[None]) -> None:
        try:
            await work
        except (KeeperGone, SitesError, RunbooksError, KeeperRefused) as fault:
            log.warning("act-failed", service=name, problem=str(fault))
        finally:
            mind.busy = None
            pause_seconds = min(ACT_AGAIN_SECONDS * 2**mind.failed_moves, LONGEST_PAUSE_SECONDS)
            mind.act_again_at_ns = boottime_ns() + int(pause_seconds * 1e9)
            self._wake.set()

    def start(self, work: Awaitable[None]) -> asyncio.Task[None]:
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
            raise KeeperRefused(f"{reply.code}: {reply.message}")
        return reply

    async def _first_claim(self, view: View, service: ServiceView) -> None:
        await self.ask(
            Claim(
                service=service.service.name,
                run="",
                epoch=1,
                record=None,
                received=None,
                accept_loss=False,
                # P27: automatic is written when its guard has acknowledged that it fences.
                mode_if_new=Mode.MANUAL if service.guarded else mode_of(service.service),
                who=f"controller of {self._site}",
                why="first claim by its home site",
            )
        )

    async def _open_here(self, view: View, service: ServiceView) -> None:
        """P6, P26: only with the right to it, and the keeper knows first that it is open (P7)."""
        name = service.service.name
        await self.ask(InstanceOpened(service=name))
        log.warning("opening-here", service=name)
        driver, failures = self._drivers[name], self._minds[name].open_failures_ns
        try:
            sample = await self._eyes.look(name, self._site)
            if sample.role is Role.STANDBY:
                # It runs closed: promotion begins a new line of history, so nothing can be confused later.
                await driver.promote(self._site, timeout_seconds=RESTART_TIMEOUT_SECONDS)
            else:
                await driver.start(self._site, role=Role.PRIMARY, timeout_seconds=RESTART_TIMEOUT_SECONDS)
        except SitesError:
            failures.append(boottime_ns())
            raise
        failures.clear()
        await self._opened(name)

    def step_ended(self, service: str) -> None:
        """A run's step may have opened the instance here."""

        async def work() -> None:
            try:
                await self._opened(service)
            except (KeeperGone, KeeperRefused, SitesError) as fault:
                log.warning("opening-not-confirmed", service=service, problem=str(fault))

        if self._minds[service].run:
            self.start(work())

    async def _opened(self, name: str) -> None:
        """P7: what took long to open may have outlasted the lease, and the fence was over before it was open:
        the keeper is told once more, and has it cut off if it is too late."""
        sample = await self._eyes.look(name, self._site)
        if sample.writable is not True or mode_of(self._estate.services[name]) is Mode.MANUAL:
            return
        reply = await self._link.ask(InstanceOpened(service=name), timeout_seconds=ASK_SECONDS)
        if not reply.done:
            await self.ask(FenceHere(service=name, why=f"it opened too late: {reply.message}"))

    async def _restart(self, view: View, service: ServiceView) -> None:
        self._minds[service.service.name].restarts_ns.append(boottime_ns())
        await self._open_here(view, service)

    async def _give_up(self, view: View, service: ServiceView) -> None:
        await self.ask(
            GiveUpDead(service=service.service.name, why=service.dead_here or "its database is dead")
        )

    async def _hand_over(self, view: View, service: ServiceView) -> None:
        """The planned move that a person would order: the other site carries it out, and this one closes the
        service in order when it is asked to (P23, P26). Until then it stays open here."""
        record, held = service.record, service.held
        if record is None or held is None:
            return
        name, mind = service.service.name, self._minds[service.service.name]
        wish = wish_of(Act.HAND_OVER, view, service)
        words, bound = statement(view, service, wish)
        told = " and ".join(cut_off_by(service.client_probes, self._site))
        why = f"its clients cannot reach it at {self._site}: {told} say so"
        plan = self._mover.draw(
            Kind.SWITCHOVER,
            service.service,
            from_site=self._site,
            to_site=view.peer,
            epoch=record.epoch + 1,
            frame="hand-over",
            reason=why,
            known=known_of(view, service),
            shed=shed_for(service, wish),
        )
        who = f"controller of {self._site}"
        run = self._mover.record_of(plan, who=who, why=why, statement=words, loss_bound_seconds=bound)
        mind.handed_over_at_ns = view.now_ns
        await self.ask(
            StartRun(
                service=name, record=replace(run, automatic=True), revision=held.revision, who=who, why=why
            )
        )
        log.warning("handing-over", service=name, run=plan.id, why=why)

    async def _claim_back(self, view: View, service: ServiceView) -> None:
        record = service.record
        if record is None:
            return
        name = service.service.name
        await self.ask(
            Claim(
                service=name,
                run=record.run,
                epoch=record.epoch + 1,
                record=None,
                received=record.final_position,
                accept_loss=False,
                mode_if_new=record.mode,
                who=f"controller of {self._site}",
                why="nobody came for it after it was given up",
            )
        )
        await self._open_here(view, service)
        if view.peer_lease_over:
            await self._take_back(view, service, record.run)

    async def _release(self, view: View, service: ServiceView) -> None:
        record = service.record
        if record is None:
            return
        why = f"{record.target} was to carry it out, and is lost"
        await self.ask(Settle(service=service.service.name, run=record.run, why=why))
        await self._take_back(view, service, record.run)

    async def _take_back(self, view: View, service: ServiceView, run: str) -> None:
        """The service stayed here, or is here again, and the site that was carrying the run out is lost: what
        the run has done to it is undone from here. It goes nowhere by that, so the claim is not touched
        (P24)."""
        try:
            await self.adopt(run, first=self._undo_of_a_lost_run(), takes_back=True)
        except (StoreError, ValueError) as fault:
            log.warning("run-not-adopted", run=run, service=service.service.name, problem=str(fault))

    def _undo_of_a_lost_run(self) -> Order:
        return Order(
            verb=Verb.UNDO,
            who=f"controller of {self._site}",
            site=self._site,
            at=wall_text(),
            reason=f"{self._peer}, which was to carry it out, is lost",
        )

    def go_on_where_settled(self, view: View, service: ServiceView) -> None:
        """A run of this site that was cut off between its service's settling and its own end, or between its
        instance's return as a standby and that; or one of a lost site that this one was taking back, or was
        about to. The service is settled already, so that
        nothing else would go on with it. Once for each life of this controller: what stands still by then is
        a person's to look at."""
        record, name = service.record, service.service.name
        mind = self._minds[name]
        if mind.run or mind.busy is not None or record is None or record.movement is not Movement.STEADY:
            return
        if record.primary == self._peer:
            left = self._unfinished_rejoin(name, record)
            if left is not None and left.run not in self._gone_on and self._follows(view, service):
                self._gone_on.add(left.run)
                mind.busy = self.start(self._acting(name, mind, self._end_rejoin(view, service, left.run)))
            return
        if record.primary != self._site or not view.right_lasts:
            return
        last = self._run_records.get(record.run)
        if last is not None and self._is_unfinished(last, record):
            self._gone_on.add(last.run)
            mind.busy = self.start(self._acting(name, mind, self._finish(last.run)))
            return
        for run in self._run_records.values():
            ours = run.executor_site == self._site and run.executor > 1
            lost = run.executor_site == self._peer and view.peer_lease_over
            if (
                run.service == name
                and (ours or lost)
                and not run.over
                and run.run not in self._gone_on
                and (run.kind, run.to_site) in ((Kind.SWITCHOVER, self._peer), (Kind.FAILOVER, self._peer))
                # Of an older move nobody can say any more whether taking it back does good.
                and run.plan.get("epoch") in (record.epoch, record.epoch + 1)
            ):
                self._gone_on.add(run.run)
                self.order_adoption(name, run.run, first=self._undo_of_a_lost_run(), takes_back=True)
                return

    def _follows(self, view: View, service: ServiceView) -> bool:
        """Ours is a standby that follows a primary that answers, so that a rejoin has nothing left to do."""
        ours = service.samples.get(self._site)
        return (
            view.right_lasts
            and ours is not None
            and follows(ours, service.final_primary_history)
            and service.role_at(self._peer) is Role.PRIMARY
            and service.rejoin_wait_seconds == 0
            and not (service.held is not None and service.held.under_glass)
        )

    async def _end_rejoin(self, view: View, service: ServiceView, run: str) -> None:
        """P26: as executor of a higher number; not one that has ended, whatever is known of it here."""
        try:
            taken = await self._mover.adopt(run)
        except (StoreError, ValueError) as fault:
            log.warning("run-not-gone-on-with", run=run, problem=str(fault))
            return
        if taken is not None:
            await self._rejoin(view, service, taken)

    def _is_unfinished(self, run: RunRecord, record: ServiceRecord) -> bool:
        moved_here = (run.executor_site, run.to_site, run.plan.get("epoch")) == (
            self._site,
            self._site,
            record.epoch,
        )
        return moved_here and not run.over and run.run not in self._gone_on

    async def _finish(self, run: str) -> None:
        """P26: as executor of a higher number, from our own journal where that has it."""
        try:
            taken = await self._mover.adopt(run)
        except (StoreError, ValueError) as fault:
            log.warning("run-not-gone-on-with", run=run, problem=str(fault))
            return
        if taken is None:
            return
        errand = Errand(
            taken,
            ordered_by_operator=True,
            by_itself=taken.automatic,
            adopted=not await self._mover.on_file(run),
            who=taken.who,
            why=taken.why,
        )
        await self.carry_out(Plan.from_json(json.dumps(taken.plan)), errand, publish=False)

    async def adopt(self, run: str, *, first: Order | None, takes_back: bool) -> bool:
        """Adopt a run of the other site, and go on with it or take it back (P26). False when there is nothing
        to adopt any more. Raises StoreError, and ValueError for a record that cannot be read."""
        adopted = await self._mover.adopt(run)
        if adopted is None:
            return False
        plan = Plan.from_json(json.dumps(adopted.plan))
        errand = Errand(
            adopted,
            ordered_by_operator=True,
            adopted=True,
            takes_back=takes_back,
            who=adopted.who,
            why=adopted.why,
        )
        await self.carry_out(plan, errand, publish=False, first=first)
        return True

    def go_on_under_glass(self, service: str, certificate: str) -> None:
        """P31: a run that broke the glass and was cut off with its controller goes on once that is back, from
        the journal, which is all there is of it. The keeper has the glass on its disk; what it has not is not
        broken anew, because what a certificate states may not be so any more."""

        async def work() -> None:
            left = await self._mover.left_under_glass(service, certificate)
            if left is not None:
                plan, errand = left
                await self.carry_out(plan, errand, publish=False)

        mind = self._minds[service]
        if not mind.run and mind.busy is None:
            mind.busy = self.start(self._acting(service, mind, work()))

    def order_adoption(self, service: str, run: str, *, first: Order | None, takes_back: bool) -> None:
        """The same by a person's order, in the background."""

        async def work() -> None:
            try:
                await self.adopt(run, first=first, takes_back=takes_back)
            except (StoreError, ValueError) as fault:
                log.warning("run-not-adopted", run=run, service=service, problem=str(fault))

        mind = self._minds[service]
        mind.busy = self.start(self._acting(service, mind, work()))

    async def _power_off(self, view: View, service: ServiceView) -> None:
        """Gates 2 and 8; in the background, for nothing else may wait for a device."""
        self.fences.by_devices(view, service)

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
        wish = automatic_wish(view, service)
        words, bound = statement(view, service, wish)
        if service.power.verified and frame == "take-over":
            words += f"; verified cut: {service.power.words}"
        plan = self._mover.draw(
            Kind.FAILOVER,
            service.service,
            from_site=view.peer,
            to_site=view.site,
            epoch=record.epoch + 1,
            frame=frame,
            reason=why,
            known=known_of(view, service),
            shed=shed_for(service, wish),
        )
        who = f"controller of {self._site}"
        run_record = self._mover.record_of(plan, who=who, why=why, statement=words, loss_bound_seconds=bound)
        loss_until_ns = lease_counted_ns(view, automatic_wish(view, service))
        errand = Errand(run_record, automatic=True, loss_until_ns=loss_until_ns, who=who, why=why)
        if frame == "take-over":
            errand.after_take_over = lambda: self.fences.behind(service, plan.id)
        mind = self._minds[service.service.name]
        outcome = await self.carry_out(plan, errand, publish=False)
        mind.failed_moves = 0 if outcome is RunOutcome.DONE else mind.failed_moves + 1

    async def carry_out(
        self, plan: Plan, errand: Errand, *, publish: bool, first: Order | None = None
    ) -> RunOutcome:
        """Carry a plan out; the service's mind knows that a run is on."""
        mind = self._minds[plan.service]
        mind.run, mind.run_kind, mind.run_waits = plan.id, plan.kind, False
        self._wake.set()
        try:
            outcome = await self._mover.carry_out(plan, errand, publish=publish, first=first)
            await self._eyes.look(plan.service, self._site)  # what the run did is seen before anything else
        finally:
            mind.run, mind.run_kind, mind.run_waits = "", "", False
        mind.run_in_doubt = plan.id if outcome is RunOutcome.IN_DOUBT else ""
        without_success = (RunOutcome.FAILED, RunOutcome.ABORTED, RunOutcome.UNDONE)
        if outcome in without_success and plan.kind is not Kind.REJOIN:
            await self._after_failed_run(plan)
        for site in self._estate.services[plan.service].sites:
            self._eyes.nudge(plan.service, site)
        return outcome

    def _progressed(self, progress: Progress) -> None:
        mind, waits = self._minds[progress.plan.service], bool(progress.waits)
        if mind.run == progress.plan.id and mind.run_waits != waits:
            mind.run_waits = waits
            self._wake.set()

    def order(self, plan: Plan, errand: Errand, *, publish: bool) -> None:
        """Carry out a person's plan in the background."""

        async def work() -> None:
            await self.carry_out(plan, errand, publish=publish)

        mind = self._minds[plan.service]
        mind.run, mind.run_kind = plan.id, plan.kind
        mind.busy = self.start(self._acting(plan.service, mind, work()))

    async def _rejoin(self, view: View, service: ServiceView, taken: RunRecord | None = None) -> None:
        """`taken`: one that was cut off, and is gone on with by its record in the store."""
        record = service.record
        if record is None or record.primary is None:
            return
        name, mind = service.service.name, self._minds[service.service.name]
        who = f"controller of {self._site}"
        left = taken or self._unfinished_rejoin(name, record)
        if left is not None:
            plan = Plan.from_json(json.dumps(left.plan))
            run_record = replace(left, state="running", outcome="", ended="")
        else:
            plan = self._mover.draw(
                Kind.REJOIN,
                service.service,
                from_site=self._site,
                to_site=record.primary,
                epoch=record.epoch,
                frame="rejoin",
                reason=f"{self._site} is not a standby of {record.primary}",
            )
            run_record = self._mover.record_of(
                plan, who=who, why=plan.reason, statement="nothing is promoted", loss_bound_seconds=0.0
            )

        async def report(progress: Progress) -> tuple[str, ...]:
            """P31, and after every move: what each side had accepted, before anybody asks."""
            primary = self._eyes.sample(name, plan.to_site)
            found = rejoined(service=name, site=self._site, record=record, progress=progress, primary=primary)
            await self.on_report(found)
            return found.lines

        errand = Errand(run_record, who=who, why=plan.reason, report=report)
        outcome = await self.carry_out(plan, errand, publish=left is None)
        if outcome is RunOutcome.DONE:
            mind.rejoin_failures = 0
            await self._eyes.look(name, self._site)
            return
        wait = REJOIN_BACKOFF_SECONDS[min(mind.rejoin_failures, len(REJOIN_BACKOFF_SECONDS) - 1)]
        mind.rejoin_failures += 1
        mind.rejoin_again_at_ns = boottime_ns() + int(wait * 1e9)

    def _unfinished_rejoin(self, name: str, record: ServiceRecord) -> RunRecord | None:
        """A rejoin that this controller was cut off from, and that still is what is wanted."""
        found = [
            run
            for run in self._run_records.values()
            if (run.kind, run.service, run.executor_site) == (Kind.REJOIN, name, self._site)
            and not run.over
            and (run.to_site, run.plan.get("epoch")) == (record.primary, record.epoch)
        ]
        return max(found, key=lambda run: run.started_unix_seconds, default=None)

    async def _carry_out_ordered(self, view: View, service: ServiceView) -> None:
        """A run that somebody ordered, at either site, and that is this site's to carry out (P26)."""
        record = service.record
        run = self._run_records.get(record.run) if record is not None else None
        if record is None or run is None or record.movement is not Movement.MOVING:
            return
        if await self._mover.on_file(run.run):
            # P26: gone on with after a restart; what was started before it on a host and has not got there
            # yet must find a higher number.
            try:
                taken = await self._mover.adopt(run.run)
            except (StoreError, ValueError) as fault:
                log.warning("run-not-gone-on-with", run=run.run, problem=str(fault))
                return
            run = taken or run  # of one that is over nothing but its service's record is left to do
        plan = Plan.from_json(json.dumps(run.plan))
        run = replace(run, state="running", outcome="", ended="")  # it may stand as stopped: it goes on now
        errand = Errand(run, ordered_by_operator=True, by_itself=run.automatic, who=run.who, why=run.why)
        if plan.kind is Kind.FAILOVER and run.loss_bound_seconds is not None:
            errand.before_claim = lambda: self._no_more_than_said(errand)
        await self.carry_out(plan, errand, publish=False)

    async def _no_more_than_said(self, errand: Errand) -> None:
        """Gate 3 once more. What would be lost was said before the other site gave the service up: its
        database may have come back in between and been written to. The proof that it has not may still be on
        its way."""
        run = errand.record
        said_seconds = run.loss_bound_seconds or 0.0
        accepted_seconds = run.accepted_loss_seconds or 0.0
        limit_seconds = self._estate.services[run.service].max_data_loss_seconds
        until_ns = boottime_ns() + int(PROOF_WITHIN_SECONDS * 1e9)
        while True:
            view = self._look()
            service = next(each for each in view.services if each.service.name == run.service)
            words, bound = statement(view, service, automatic_wish(view, service))
            if bound is not None and bound <= max(said_seconds, limit_seconds, accepted_seconds):
                break
            if boottime_ns() > until_ns:
                raise StepFailed(
                    f"it was ordered when it would lose at most {said_seconds:.1f} s, and now {words}; "
                    "order it again, with --accept-loss if that is to be"
                )
            await asyncio.sleep(PROOF_LOOK_SECONDS)
        if bound > said_seconds and errand.restate is not None:
            log.warning("loss-restated", service=run.service, run=run.run, statement=words)
            errand.restate(words, bound)

    async def _after_failed_run(self, plan: Plan) -> None:
        """A run that failed must not hold its service for ever. Before the give-up the service stays where
        it is; after the claim it is ours, and is opened here like any instance that is ours and closed.
        Between the two nobody owns it: whoever gave it up claims it back."""
        record = self._desk.record(plan.service)
        if record is None or record.run != plan.id or record.movement is not Movement.MOVING:
            return
        if record.primary is not None:
            await self.ask(Settle(service=plan.service, run=plan.id, why="its run failed"))


async def _kept_nowhere(report: Report) -> None:
    """Until the controller says where."""


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
