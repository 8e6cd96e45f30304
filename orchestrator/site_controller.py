"""One site's controller put together: eyes, patrol, mover, journal, orders, the local API, `/metrics`, and
the link to its keeper. Which store, drivers and hosts these work with is for whoever starts it to say.

A clean stop gives nothing up: the keeper lives on and says until when, so that the controller can be
restarted or replaced. Nothing is decided here.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from orchestrator.api.run_words import all_under_way, pace_of, stall_words
from orchestrator.api.server import LocalApi
from orchestrator.cabinet import Cabinet
from orchestrator.certificate_desk import CertificateDesk
from orchestrator.clock import boottime_ns, wall_text, wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.messages import Ask, Reply, VotersSeen
from orchestrator.core.records import OBSERVATIONS, RUNS, RecordUnreadable, RunRecord, decode
from orchestrator.core.view import View
from orchestrator.counting import keep_counts
from orchestrator.device_patrol import DevicePatrol, LookAt, look_at
from orchestrator.devices import CutHosts, Devices
from orchestrator.drills.actions import with_drills
from orchestrator.drills.desk import DrillDesk
from orchestrator.drills.records import DRILLS
from orchestrator.drills.telling import DrillReadings
from orchestrator.eyes import Eyes
from orchestrator.journal import SqliteJournal
from orchestrator.last_known import LastKnown
from orchestrator.last_words import KeeperStarts, StartedKeeper
from orchestrator.leaving import Leaving
from orchestrator.link import KeeperGone, KeeperLink
from orchestrator.lost_runs import LostRuns
from orchestrator.metrics_page import MetricsPage
from orchestrator.mover import Mover, Tools
from orchestrator.observing import follow, publish, taking_observations
from orchestrator.orders import Orders
from orchestrator.ownership_actions import Errand, KeeperDesk, with_ownership
from orchestrator.paging.desk import PagingDesk
from orchestrator.paging.looking import facts_of
from orchestrator.paging.noticing import Facts, notice
from orchestrator.paths import controller_socket, history_path, keeper_socket, last_known_path
from orchestrator.peer_store import PeerWord
from orchestrator.power_orders import carried_out
from orchestrator.readings import Tally
from orchestrator.readings_of import readings
from orchestrator.report_desk import ReportDesk
from orchestrator.reports import keep_report
from orchestrator.run_readings import differs
from orchestrator.sight import guard_clocks
from orchestrator.site_orders import SiteOrders
from orchestrator.standstill import Standstills
from orchestrator.store.base import KeyValue, Store
from orchestrator.store.continuity import Break
from orchestrator.store.known import KnownStore
from orchestrator.store.seen_file import NAME as SEEN
from orchestrator.store.seen_file import FollowedFile
from orchestrator.store.status import StoreStatus
from orchestrator.store_desk import StoreDesk
from orchestrator.vantage import Vantage, context_at
from runbooks.actions import shipped_actions
from runbooks.context import Sql
from runbooks.errors import RunbooksError
from runbooks.library import Library
from runbooks.probing import ServiceProbes
from runbooks.watching import STATE, Line
from sites.fencing.devices import cut_hosts
from sites.identity import CertificateFiles
from sites.model import Estate
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

log = structlog.get_logger(__name__)

RUNS_KEPT = 500
KEEPER_AGAIN_SECONDS = 0.05
FIRST_TURN_WITHIN_SECONDS = 1.0
CERTIFICATES_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Means:
    """What a site's controller works with. `base`: relative paths start there. `directory`: its journal and
    sockets. `start_keeper` is called when none answers; `first_keeper` has been started already;
    `store_status` when the store can tell its own; `peer_store` asks the other site what it knows of the
    store (P33); `cut_hosts` and `look_at_device` work the fencing devices."""

    estate: Estate
    site: str
    base: Path
    directory: Path
    store: Store
    transport: Transport
    drivers: dict[str, ReplicationDriver]
    journal: SqliteJournal
    sql: Mapping[str, Sql]
    start_keeper: Callable[[], StartedKeeper]
    first_keeper: StartedKeeper | None = None
    store_status: Callable[[], Awaitable[StoreStatus]] | None = None
    peer_store: Callable[[], Awaitable[PeerWord]] | None = None
    cut_hosts: CutHosts = cut_hosts
    look_at_device: LookAt = look_at


class SiteController:
    """A controller with everything round it."""

    def __init__(self, means: Means) -> None:
        """Reads every runbook that may be needed: raises RunbooksError for one that is wrong."""
        self._means = means
        self._estate, self._site = means.estate, means.site
        self._started_ns = boottime_ns()
        self._wake = asyncio.Event()
        self._view: KeeperView | None = None
        self._view_changed = asyncio.Condition()
        self._reports: asyncio.Queue[RunRecord] = asyncio.Queue()
        self._counted = asyncio.Event()
        tally = self._tally = Tally(self._counted.set)
        # What the keeper knows of the store counts here as well; it alone keeps it on the disk (P33).
        self._store = KnownStore(means.store, FollowedFile(means.directory / SEEN), on_break=self._on_break)
        self._starts = KeeperStarts(
            means.start_keeper, means.directory, tally.not_accepted, first=means.first_keeper
        )
        self._link = KeeperLink(keeper_socket(means.directory), self._on_view)
        desk = KeeperDesk(self._ask_keeper, lambda: self._view, self._view_changed, self._power_off)
        context = context_at(
            self._estate,
            self._site,
            means.base,
            transport=means.transport,
            drivers=means.drivers,
            on_lost=self._on_lost,
        )
        self._vantage = Vantage(
            self._estate, self._site, context, store_status=means.store_status, on_store=self._on_store
        )
        self._stills = Standstills(
            self._site,
            means.drivers,
            is_down=lambda service: self._eyes.is_down(service, self._site),
            keeper=lambda: self._view,
            on_proof=lambda: self._eyes.changed.set(),
        )
        self._eyes = Eyes(
            self._estate,
            means.drivers,
            watch_losses_at=self._site,
            on_change=self._on_eyes,
            scouts=self._vantage.scouts,
            probes=self._vantage.seen,
            guard_clocks=lambda: guard_clocks(self._site, self._view),
            still=self._stills.of,
        )
        self._probes = {
            name: ServiceProbes(self._estate, service, context)
            for name, service in self._estate.services.items()
        }
        mover = Mover(
            self._tools(desk), desk, tally, lambda service: self.controller.deeds.step_ended(service)
        )
        mover.preload()
        self.controller = Controller(
            self._estate,
            self._site,
            eyes=self._eyes,
            drivers=means.drivers,
            link=self._link,
            desk=desk,
            mover=mover,
            journal=means.journal,
            tally=tally,
            devices=Devices(
                self._estate,
                self._site,
                ask=self._ask_keeper,
                journal=means.journal,
                wake=self._wake.set,
                cut=means.cut_hosts,
            ),
            wake=self._wake,
        )
        self._certificates = CertificateDesk(
            self._site, means.journal, Cabinet(means.directory), self._estate.access, means.base
        )
        self.controller.certificates = self._certificates
        self.controller.device_patrol = DevicePatrol(self._estate, self._site, means.look_at_device)
        self.controller.store_desk = StoreDesk(
            self._estate,
            self._site,
            store=self._store,
            link=self._link,
            view=lambda: self._view,
            certificates=self._certificates,
            journal=means.journal,
            store_status=means.store_status,
            peer_store=means.peer_store,
        )
        self._orders = Orders(self.controller, self._certificates, self._store)
        own = means.estate.sites[means.site].tls
        files = CertificateFiles.of(own, means.base) if own is not None else None
        self._reports_desk = ReportDesk(self.controller, self._store, files)
        self.controller.report_desk = self._reports_desk
        mover.on_ended = self._reports_desk.seal
        self.controller.drills = self._drills = DrillDesk(
            self.controller,
            self._store,
            means.drivers,
            lambda: self._catalogue,
            lambda: self._orders,
            means.transport,
            means.base,
        )
        self.controller.drill_readings = DrillReadings(self._drills, wall_unix_seconds).readings
        self.controller.last_known = LastKnown(last_known_path(means.directory))
        paging = self._paging = self.controller.paging = PagingDesk(
            self._estate,
            self._site,
            means.base,
            means.directory,
            store=self._store,
            journal=means.journal,
        )
        mover.on_notice = lambda plan, text: paging.tell(
            notice(plan.id, plan.service, text, kind=str(plan.kind), at=wall_text())
        )
        mover.on_local_run = self._take_run
        mover.run_record = self.controller.run_records.get
        mover.what_it_leaves = Leaving(self.controller).lines
        self._page = MetricsPage()
        self.controller.on_turn = self._on_turn

    def _tools(self, desk: KeeperDesk) -> Tools:
        means = self._means
        catalogue = with_ownership(shipped_actions(), desk)
        catalogue = self._catalogue = with_drills(
            catalogue, lambda call: self._drills.drawing.looked(call), lambda: self._drills.drawing.moving
        )
        return Tools(
            estate=self._estate,
            site=self._site,
            library=Library(catalogue, tuple(means.base / f for f in self._estate.runbook_path)),
            catalogue=catalogue,
            drivers=means.drivers,
            transport=means.transport,
            journal=means.journal,
            store=self._store,
            probes=dict(self._probes),
            sql=means.sql,
            base=means.base,
        )

    # --- running -------------------------------------------------------------------------------------

    async def run(self, ended: asyncio.Event, adopt: Callable[[], None] = lambda: None) -> int:
        """Run until `ended` is set, or until a part of it fails; returns the exit code. `adopt` is called
        once nothing that a person has to mend stands in the way.

        Raises MetricsAddressTaken.
        """
        orders = self._orders
        site_orders = SiteOrders(self.controller, orders, self._store)
        lost_runs = LostRuns(self.controller.run_records, self.controller.mover, self._store)
        api = LocalApi(self.controller, orders, site_orders, self._vantage.seen)
        metrics = self._estate.sites[self._site].metrics
        async with contextlib.AsyncExitStack() as stack:
            for tried in self._probes.values():
                stack.push_async_callback(tried.aclose)
            await self.controller.trend.open(history_path(self._means.directory))
            stack.push_async_callback(self.controller.trend.aclose)
            await stack.enter_async_context(api.serving(controller_socket(self._means.directory)))
            if metrics:
                await stack.enter_async_context(self._page.serving(metrics))
            adopt()
            log.info("controller-started", services=sorted(self._means.drivers))
            turning = asyncio.Event()
            urgent = (
                self.controller.run(),
                self._keep_keeper(),
                follow(self._store, RUNS, self._on_run),
                self._see_first_turn(turning),
            )
            rest = (*self._works(), site_orders.run(), lost_runs.run(self.controller.view))
            # In this order: `controller.run` is ended first, since what a run asks for must not fail because
            # the link has ended.
            tasks = [asyncio.create_task(work) for work in urgent]
            tasks += [asyncio.create_task(_after(turning, work)) for work in rest]
            code = await _until(ended, tasks)
            self._say_what_is_left()
        return code

    async def _see_first_turn(self, turning: asyncio.Event) -> None:
        """P1: the keeper renews once it has been told of a turn. After a restart what is left of the lease is
        short, and all the rest that begins here takes a busy machine a second or two."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TURN_WITHIN_SECONDS):
                await self.controller.first_turn_told.wait()
        turning.set()

    def _works(self) -> tuple[Coroutine[Any, Any, None], ...]:
        store, controller = self._store, self.controller
        return (
            keep_counts(self._tally, self._means.journal, self._counted),
            controller.follow_policy(),
            self._eyes.run(),
            self._stills.run(),
            self._vantage.run(),
            controller.watch_settings(),
            controller.device_patrol.run(),
            self._watch_certificates(),
            publish(store, self._site, self._eyes.observation, self._eyes.changed),
            follow(
                store,
                OBSERVATIONS,
                taking_observations(self._site, self._eyes.take_outside, self._tally.not_accepted),
            ),
            follow(store, DRILLS, self._drills.board.take, self._drills.board.begin),
            self._drills.run(),
            self._keep_reports(),
            self._paging.run(self._facts),
            controller.trend.run(),
            controller.books.run(),
            self._reports_desk.run(),
        )

    def _facts(self, now: float, since: float) -> Facts:
        up_seconds = (boottime_ns() - self._started_ns) / 1e9
        return facts_of(self.controller, now=now, since=since, up_seconds=up_seconds)

    async def _watch_certificates(self) -> None:
        """When this site's certificates run out, now and then: they may be renewed meanwhile."""

        def look() -> dict[str, float]:
            from orchestrator.certificates.reading import certificate_ends

            return certificate_ends(self._estate, self._site, self._means.base)

        while True:
            self.controller.own_certificate_ends = await asyncio.to_thread(look)
            await asyncio.sleep(CERTIFICATES_EVERY_SECONDS)

    # --- the keeper ----------------------------------------------------------------------------------

    async def _ask_keeper(self, what: Ask, timeout_seconds: float) -> Reply:
        return await self._link.ask(what, timeout_seconds=timeout_seconds)

    async def _power_off(self, service: str, errand: Errand) -> tuple[str, int]:
        return await carried_out(self.controller, service, errand)

    def _on_eyes(self) -> None:
        self._wake.set()
        self._stills.wake()

    def _on_view(self, view: KeeperView) -> None:
        self._starts.there()
        self.controller.keeper_problem = ""
        if view.store_trust is not None:
            self._store.follow(view.store_trust)
            if self._store.broken is not None and view.store_trust.broken is None:
                self._link.distrust(self._store.broken)  # found out here first
        worth_a_turn = view.differs(self._view)
        self._view = view
        if worth_a_turn:
            self._wake.set()
            self._stills.wake()
            self._notify()

    def _notify(self) -> None:
        async def tell() -> None:
            async with self._view_changed:
                self._view_changed.notify_all()

        task = asyncio.create_task(tell())
        task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)

    async def _keep_keeper(self) -> None:
        """Connect to the keeper, starting one where none runs; again whenever it goes away."""
        while True:
            try:
                await self._link.serve()
            except KeeperGone as gone:
                self._view = None
                self._wake.set()
                self._starts.missing(str(gone))
                self.controller.keeper_problem = self._starts.problem
            await asyncio.sleep(KEEPER_AGAIN_SECONDS)

    def _say_what_is_left(self) -> None:
        view = self._view
        if view is None:
            log.warning("controller-ended", left="no keeper was there")
            return
        serving = [held.service for held in view.services if held.entitled]
        left_seconds = max(0, view.deadline_ns - boottime_ns()) / 1e9
        log.warning(
            "controller-ended",
            still_served_here=serving,
            lease_left_seconds=round(left_seconds, 2),
            what_now="nothing was given up; the keeper stays, renews no more without a controller, and cuts "
            "automatic services off here when the lease ends; start a controller before that to go on",
        )

    # --- what arrives --------------------------------------------------------------------------------

    def _on_turn(self, view: View) -> None:
        self.controller.last_known.take(view.keeper)
        if self._page.due(view.now_ns):
            self._page.take(readings(self.controller, view, self._vantage.seen()))
        self._watch_pace()

    def _watch_pace(self) -> None:
        """Whether a step of a run that is carried out here takes too long."""
        controller = self.controller
        for run in all_under_way(controller).values():
            if run.executor_site != self._site:
                continue
            left = pace_of(controller, run).projection
            for stall in left.stalls if left is not None else ():
                if controller.books.stalled(run, stall):
                    words = f"takes longer than usual: {stall_words(stall)}"
                    controller.mover.watchers.tell(run.run, Line(stall.step, STATE, words))

    def _on_break(self, found: Break) -> None:
        """P33: what the store said cannot be; it stands in the journal as well."""
        task = asyncio.ensure_future(self._put_on_file(found))
        task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)

    async def _put_on_file(self, found: Break) -> None:
        try:
            await self._means.journal.append_event("store-not-trusted", "", asdict(found))
        except RunbooksError as fault:
            log.error("distrust-not-recorded", problem=str(fault))

    def _on_store(self, status: StoreStatus) -> None:
        """How each member is: for metrics, warnings and hold, never for a decision."""
        self.controller.store_status = status
        self._link.voters(voters_of(status, self._estate, self._site))

    def _on_lost(self, service: str, site: str) -> None:
        self._eyes.nudge(service, site)
        self._vantage.patrol.nudge(service, site)

    def _on_run(self, item: KeyValue) -> None:
        try:
            record = decode(RunRecord, item.value)
        except RecordUnreadable as fault:
            log.warning("record-unreadable", key=item.key, problem=str(fault))
            self._tally.not_accepted("record-unreadable")
            return
        self._take_run(record)
        if record.report and record.executor_site != self._site:
            self._reports.put_nowait(record)

    def _take_run(self, record: RunRecord) -> None:
        records = self.controller.run_records
        known = records.get(record.run)
        if known is not None and known.executor > record.executor:
            return  # adopted meanwhile: what its old executor still says of it does not count (P26)
        if known is None or differs(known, record):
            self.controller.run_changed_ns[record.run] = boottime_ns()
        records[record.run] = record
        self.controller.mover.look(record)
        self.controller.books.take(record)
        self._reports_desk.take(record)
        if len(records) > RUNS_KEPT:
            oldest = min(records.values(), key=lambda run: run.started_unix_seconds)
            del records[oldest.run]
            self.controller.run_changed_ns.pop(oldest.run, None)
        self._wake.set()

    async def _keep_reports(self) -> None:
        """What the other site's runs found out of what each side had accepted stands in both journals."""
        while True:
            record = await self._reports.get()
            try:
                await keep_report(self._means.journal, record)
            except RunbooksError as fault:
                log.error("report-not-recorded", run=record.run, problem=str(fault))


def voters_of(status: StoreStatus, estate: Estate, site: str) -> VotersSeen:
    """Which sites' members answer, as far as the estate says which member stands where (P29)."""
    answers = {member.endpoint.rstrip("/"): member.reachable for member in status.members}

    def seen(name: str | None) -> bool | None:
        member = estate.sites[name].store_member if name is not None else None
        return answers.get(member.rstrip("/")) if member is not None else None

    return VotersSeen(own=seen(site), peer=seen(estate.other_data_site(site)), witness=seen(estate.witness))


async def _after(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    try:
        await event.wait()
    except asyncio.CancelledError:
        work.close()
        raise
    await work


async def _until(ended: asyncio.Event, tasks: "list[asyncio.Task[None]]") -> int:
    """Wait for the end, or for a part that fails; then end them one after another. A part that has nothing to
    do, such as the patrol of an estate without probes, may end well."""
    told = asyncio.create_task(ended.wait())
    waited: set[asyncio.Task[None] | asyncio.Task[bool]] = {*tasks, told}
    try:
        while not ended.is_set():
            done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if any(task.cancelled() or task.exception() is not None for task in done):
                break
    finally:
        results: list[object] = []
        for task in [told, *tasks]:
            task.cancel()
            results += await asyncio.gather(task, return_exceptions=True)
    faults = [found for found in results if isinstance(found, Exception)]
    for fault in faults:
        log.error("controller-task-failed", exc_info=fault)
    return 1 if faults else 0
