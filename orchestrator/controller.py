"""The controller: once a turn it looks, names, decides, records what changed, and only then acts.

It never decides ownership by itself: it asks the keeper, whose word is the store's.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from orchestrator.accepted import EVENT as ACCEPTED
from orchestrator.accepted import Report
from orchestrator.certificate_desk import CertificateDesk
from orchestrator.clock import boottime_ns, wall_text, wall_unix_seconds
from orchestrator.core.decision import ACTS_ON_THE_WORLD, Act, decide
from orchestrator.core.diagnosis import Diagnosis, diagnose
from orchestrator.core.messages import SetMode
from orchestrator.core.modes import mode_of
from orchestrator.core.records import Movement, RunRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.deeds import Deeds, KeeperRefused
from orchestrator.device_patrol import DevicePatrol
from orchestrator.devices import Devices
from orchestrator.eyes import Eyes
from orchestrator.journal import SqliteJournal
from orchestrator.last_known import LastKnown
from orchestrator.lately import Lately
from orchestrator.link import KeeperGone, KeeperLink
from orchestrator.mind import NO_TROUBLE, Judgement, ServiceMind, Trouble
from orchestrator.mover import Mover
from orchestrator.ownership_actions import KeeperDesk
from orchestrator.pace import Paces
from orchestrator.paging.desk import PagingDesk
from orchestrator.pauses import Pauses
from orchestrator.protections import Protections
from orchestrator.readings import DrillReading, Tally
from orchestrator.rehearsed import Rehearsed
from orchestrator.run_books import RunBooks
from orchestrator.sight import Sight
from orchestrator.store.status import StoreStatus
from orchestrator.store_desk import StoreDesk
from orchestrator.trend import Trend
from orchestrator.ways_home import WaysHome
from runbooks.errors import RunbooksError
from sites.errors import SitesError
from sites.model import Estate
from sites.replication.words import ChecksSettings, ReplicationDriver

if TYPE_CHECKING:
    from orchestrator.drills.desk import DrillDesk
    from orchestrator.report_desk import ReportDesk

log = structlog.get_logger(__name__)

TURN_SECONDS = 0.1
# The lost site's lease is over, and all that is missing is time, or the confirmation itself (gate 8).
FENCE_MEANWHILE = frozenset({"hold-down", "fence-not-confirmed", "old-primary-writable"})
SETTINGS_EVERY_SECONDS = 60.0
SETTINGS_TIMEOUT_SECONDS = 20.0
POLICY_EVERY_SECONDS = 0.5
CLOCKS_APART_SECONDS = 60.0
# Users are without the service, as far as is known here: from the first of these on the RTO counts. A site
# that gives no sign of life is one of them, though its lease has yet to run out.
DOWN = frozenset(
    {
        Diagnosis.CUT_OFF_FROM_CLIENTS,
        Diagnosis.HANDED_OVER,
        Diagnosis.ISOLATED,
        Diagnosis.PEER_SILENT,
        Diagnosis.PRIMARY_CLOSED,
        Diagnosis.PRIMARY_DEAD,
        Diagnosis.PRIMARY_UNKNOWN,
        Diagnosis.SITE_DARK,
    }
)


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
        devices: Devices,
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
        self.devices = devices
        self.minds = {name: ServiceMind() for name in estate.services}
        self.run_records: dict[str, RunRecord] = {}
        self.setting_findings: dict[str, tuple[str, ...]] = {}
        self.store_status: StoreStatus | None = None
        self.own_certificate_ends: dict[str, float] = {}
        self.keeper_problem = ""
        self.run_changed_ns: dict[str, int] = {}
        self.loop_delay = Lately(max)
        self.lease_left = Lately(min)
        self.turned_at_ns = boottime_ns()
        self.first_turn_told = asyncio.Event()
        self.on_turn: Callable[[View], None] | None = None
        self._pauses = Pauses(journal, self.minds)
        self._protections = Protections(journal, self.minds, self.run_records)
        self._drivers = drivers
        self._link = link
        self._wake = wake
        self.sight = Sight(
            estate,
            site,
            eyes=eyes,
            drivers=drivers,
            link=link,
            desk=desk,
            minds=self.minds,
            run_records=self.run_records,
            devices=devices,
        )
        self.deeds = Deeds(
            estate,
            site,
            eyes=eyes,
            drivers=drivers,
            link=link,
            desk=desk,
            mover=mover,
            minds=self.minds,
            run_records=self.run_records,
            devices=devices,
            wake=wake,
            look=self.view,
        )
        self.deeds.on_report = self.put_on_file
        self.trend = Trend()
        self.paces = Paces(self.trend)
        self.rehearsed = Rehearsed(
            estate, site, mover=mover, eyes=eyes, trend=self.trend, runs=self.run_records
        )
        self.books = RunBooks(estate, self.trend, self.run_records, journal)
        self.ways_home = WaysHome(drivers, self.run_records, self.trend)
        mover.trouble = lambda service: self.minds[service].trouble
        mover.made_from = self.rehearsed.made_from
        mover.outage = self._outage
        self.last_known = LastKnown(None)
        self.certificates: CertificateDesk | None = None
        self.store_desk: StoreDesk | None = None
        self.paging: PagingDesk | None = None
        self.device_patrol = DevicePatrol(estate, site)
        self.report_desk: ReportDesk | None = None
        self.drills: DrillDesk | None = None
        self.drill_readings: Callable[[], tuple[DrillReading, ...]] = tuple

    # --- the turn ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turn until cancelled."""
        loop = asyncio.get_running_loop()
        await self._pauses.recall()
        await self._protections.recall()
        await self.devices.off.recall()
        try:
            while True:
                wait_seconds = self._next_turn_in_seconds()
                due = loop.time() + wait_seconds
                try:
                    async with asyncio.timeout(wait_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    self.loop_delay.note(max(0.0, loop.time() - due), boottime_ns())
                self._wake.clear()
                await self._turn()
        finally:
            await self.deeds.aclose()
            await self.devices.aclose()

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
        if view.registered:
            self.lease_left.note(view.lease_left_ns / 1e9, view.now_ns)
        for service in view.services:
            await self._consider(view, service)
        await self._pauses.keep()
        await self._protections.keep()
        if self.devices.off.hosts:
            await self.devices.off.see(self.eyes.ways(view.now_ns), view.now_ns)
        self._link.turn()  # P1: only a completed turn keeps the lease alive
        if self._link.connected:
            self.first_turn_told.set()
        self.turned_at_ns = boottime_ns()
        if self.on_turn is not None:
            self.on_turn(view)

    async def _consider(self, view: View, service: ServiceView) -> None:
        mind = self.minds[service.service.name]
        if service.held is not None and service.held.under_glass and not mind.glass_gone_on:
            mind.glass_gone_on = True
            self.deeds.go_on_under_glass(service.service.name, service.held.under_glass)
        row = diagnose(view, service)
        decision = decide(view, service, row.diagnosis)
        self._protections.note(mind, view, service, row.diagnosis)
        self._note_trouble(mind, service, row.diagnosis)
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
            self.deeds.begin(view, service, mind, decision)
        else:
            self.deeds.go_on_where_settled(view, service)
        if decision.act not in ACTS_ON_THE_WORLD and decision.code in FENCE_MEANWHILE:
            self.deeds.fences.over_ssh(service, mind, view)
        if row.diagnosis is not Diagnosis.SITE_DARK:
            # What was confirmed of an earlier loss says nothing of the next.
            mind.fence_confirmed = None
            if not mind.run:
                self.devices.forget(service.service.name)

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

    async def put_on_file(self, report: Report) -> None:
        """What each side had accepted, into the journal; a disk that takes nothing is told of."""
        try:
            await self.journal.append_event(ACCEPTED, str(report.data["service"]), report.data)
        except RunbooksError as fault:
            log.error("report-not-recorded", service=report.data["service"], problem=str(fault))

    def _note_trouble(self, mind: ServiceMind, service: ServiceView, diagnosis: Diagnosis) -> None:
        """When it was detected: what its move is held against begins there. A move under way ends nothing."""
        well = diagnosis is Diagnosis.PEER_SILENT and self._serves(service)
        if diagnosis in DOWN and not well:
            if mind.trouble.detected_unix_seconds is None:
                record, name = service.record, service.service.name
                primary = (record.primary or record.previous) if record is not None else None
                seen = self.eyes.handovers.last_unix_seconds(name, primary) if primary is not None else None
                mind.trouble = Trouble(wall_unix_seconds(), seen)
        elif diagnosis is not Diagnosis.MOVING:
            mind.trouble = NO_TROUBLE

    def _serves(self, service: ServiceView) -> bool:
        """Its primary is seen to accept writes, whatever its site's keeper says or does not say."""
        record = service.record
        return (
            record is not None and record.primary is not None and service.writable_at(record.primary) is True
        )

    async def _outage(self, record: RunRecord) -> float | None:
        """Of a move that this controller has carried out: as it saw the two instances."""
        await self.eyes.look(record.service, self.site)
        return self.outage_seconds(record, wall_unix_seconds())

    def outage_seconds(self, record: RunRecord, ended_unix_seconds: float) -> float | None:
        """From when this controller last saw the old primary accept writes until it first saw the new one do
        so; None where it did not see both."""
        return self.eyes.handovers.outage_seconds(
            record.service,
            record.from_site,
            record.to_site,
            # The run's instants are by the clock of the site that carried it out.
            record.started_unix_seconds - CLOCKS_APART_SECONDS,
            ended_unix_seconds + CLOCKS_APART_SECONDS,
        )

    @property
    def certificate_ends(self) -> dict[str, float]:
        """By identity, when the certificates known of here run out, in Unix time."""
        keeper = self.desk.view()
        shown = dict(keeper.certificate_ends) if keeper is not None else {}
        return shown | self.own_certificate_ends

    def view(self) -> View:
        """Everything as it is known now."""
        return self.sight.view()

    # --- upkeep --------------------------------------------------------------------------------------

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
            await asyncio.sleep(POLICY_EVERY_SECONDS)
            keeper = self.desk.view()
            for held in keeper.services if keeper is not None else ():
                record = held.record
                wanted = mode_of(self.estate.services[held.service])
                if record is None or record.mode is wanted or not held.entitled:
                    continue
                if record.movement is Movement.STEADY and not self.minds[held.service].run:
                    try:
                        await self.deeds.ask(SetMode(service=held.service, mode=wanted))
                    except (KeeperGone, KeeperRefused) as fault:
                        log.warning("mode-not-set", service=held.service, problem=str(fault))
