"""The controller: once a turn it looks, names, decides, records what changed, and only then acts.

It never decides ownership by itself: it asks the keeper, whose word is the store's.
"""

import asyncio
from collections.abc import Callable

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
from orchestrator.eyes import Eyes
from orchestrator.journal import SqliteJournal
from orchestrator.last_known import LastKnown
from orchestrator.link import KeeperGone, KeeperLink
from orchestrator.mind import Judgement, ServiceMind
from orchestrator.mover import Mover
from orchestrator.ownership_actions import KeeperDesk
from orchestrator.paging.desk import PagingDesk
from orchestrator.pauses import Pauses
from orchestrator.readings import Tally
from orchestrator.sight import Sight
from orchestrator.store.status import StoreStatus
from orchestrator.store_desk import StoreDesk
from runbooks.errors import RunbooksError
from sites.errors import SitesError
from sites.model import Estate
from sites.replication.words import ChecksSettings, ReplicationDriver

log = structlog.get_logger(__name__)

TURN_SECONDS = 0.1
# The lost site's lease is over, and all that is missing is time, or the confirmation itself (gate 8).
FENCE_MEANWHILE = frozenset({"hold-down", "fence-not-confirmed"})
SETTINGS_EVERY_SECONDS = 60.0
SETTINGS_TIMEOUT_SECONDS = 20.0
POLICY_EVERY_SECONDS = 0.5


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
        self.store_status: StoreStatus | None = None
        self.own_certificate_ends: dict[str, float] = {}
        self.keeper_problem = ""
        self.loop_delay_seconds = 0.0
        self.turned_at_ns = boottime_ns()
        self.on_turn: Callable[[View], None] | None = None
        self._pauses = Pauses(journal, self.minds)
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
            wake=wake,
            look=self.view,
        )
        self.deeds.on_report = self.put_on_file
        self.last_known = LastKnown(None)
        self.certificates: CertificateDesk | None = None
        self.store_desk: StoreDesk | None = None
        self.paging: PagingDesk | None = None

    # --- the turn ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turn until cancelled."""
        loop = asyncio.get_running_loop()
        await self._pauses.recall()
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
            await self.deeds.aclose()

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
        await self._pauses.keep()
        self._link.turn()  # P1: only a completed turn keeps the lease alive
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
            self.deeds.begin(view, service, mind, decision)
        elif decision.code in FENCE_MEANWHILE:
            self.deeds.try_fence(service, mind, view)
        if row.diagnosis is not Diagnosis.SITE_DARK:
            mind.fence_confirmed = None  # what was confirmed of an earlier loss says nothing of the next

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

    def _note_protection(self, mind: ServiceMind, diagnosis: Diagnosis) -> None:
        if diagnosis in (Diagnosis.HEALTHY, Diagnosis.LAGGING):
            mind.unprotected_since_unix_seconds = None
        elif mind.unprotected_since_unix_seconds is None:
            mind.unprotected_since_unix_seconds = wall_unix_seconds()

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
