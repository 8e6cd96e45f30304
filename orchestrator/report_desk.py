"""The desk where reports are drawn up and signed, here and by the other site's controller.

What is signed goes into the run's record in the store, where the other controller finds it: it signs what
agrees with what it knows of the run itself, now or whenever it is there again. It decides nothing about runs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from orchestrator.api.report_shapes import ChainStatus, CountersignRequest, ReportAnswer, SignatureStatus
from orchestrator.api.run_words import as_fresh, pace_of, stamp
from orchestrator.chain import SEALED, seal_of, seals_broken
from orchestrator.clock import unix_seconds_of, wall_text, wall_unix_seconds
from orchestrator.controller import Controller
from orchestrator.core.records import RUNS, RecordUnreadable, ReportSeal, RunRecord, Signature, decode, encode
from orchestrator.countersigning import fault_of, signature
from orchestrator.evidence import Sources, evidence
from orchestrator.journal_tables import JournalEvent
from orchestrator.made_from import PLAN
from orchestrator.refusing import OrderRefused
from orchestrator.rehearsed import VERSION
from orchestrator.report_file import NotAReport, ReportFile, merged, statement_of, with_signatures
from orchestrator.report_page import page
from orchestrator.signing import KeyUnusable
from orchestrator.store.base import Compare, Put, Store, StoreError
from runbooks.errors import RunbooksError
from runbooks.planned import Plan, PlanUnreadable
from runbooks.progress import plan_of
from sites.identity import CertificateFiles, CertificateMisuse

log = structlog.get_logger(__name__)

STORE_SECONDS = 5.0
PEER_PATIENCE_SECONDS = 4.0
LOOK_SECONDS = 0.05
TRIES = 5
EVENTS_READ = 2000
SEALS_READ = 500
BEFORE_SECONDS = 120.0
PRODUCT_NAME = "twinsite"


class ReportDesk:
    """One controller's. `files`: its certificate; None where the estate names none."""

    def __init__(self, controller: Controller, store: Store, files: CertificateFiles | None) -> None:
        self._controller = controller
        self._store = store
        self._files = files
        self._asked: asyncio.Queue[RunRecord] = asyncio.Queue()
        self._answered: dict[tuple[str, str], None] = {}

    # --- seals --------------------------------------------------------------------------------------

    async def seal(self, run: str) -> None:
        """Put on file how a run's chain ends. What cannot be is told in the log: the run has ended all the
        same."""
        journal = self._controller.journal
        try:
            links = await journal.chain(run)
            if not links:
                return
            last = await journal.events(1, kind=SEALED)
            await journal.append_event(
                SEALED, self._service_of(run), seal_of(run, links, last[0].data if last else None)
            )
        except RunbooksError as fault:
            log.error("run-not-sealed", run=run, problem=str(fault))

    def _service_of(self, run: str) -> str:
        record = self._controller.run_records.get(run)
        return record.service if record is not None else ""

    async def chain(self, run: str) -> ChainStatus:
        """A run's chain as the journal here has it now. Raises OrderRefused."""
        try:
            links = await self._controller.journal.chain(run)
            sealed, problem = await self._seals(run)
        except RunbooksError as fault:
            raise OrderRefused("not-on-file", str(fault)) from fault
        return ChainStatus(
            run=run,
            site=self._controller.site,
            links=list(links),
            sealed_records=int(sealed["records"]) if sealed is not None else None,
            sealed_head=str(sealed["head"]) if sealed is not None else "",
            problem=problem,
        )

    async def _seals(self, run: str) -> tuple[dict[str, Any] | None, str]:
        found = await self._controller.journal.events(SEALS_READ, kind=SEALED)
        seals = [dict(event.data) for event in reversed(found)]
        own = [seal for seal in seals if seal.get("run") == run]
        return (own[-1] if own else None), seals_broken(seals)

    # --- drawing up ---------------------------------------------------------------------------------

    async def draw(self, run: str) -> ReportAnswer:
        """The report, signed here, and by the other site if it answers soon. Raises OrderRefused."""
        record = self._controller.run_records.get(run)
        if record is None:
            raise OrderRefused("unknown-run", f"no run {run!r} is known here", wrong=True)
        try:
            sources = await self._sources(as_fresh(record, self._controller.mover.progress.get(run)))
        except RunbooksError as fault:
            raise OrderRefused("not-on-file", str(fault)) from fault
        told = await asyncio.to_thread(evidence, sources)
        body = await asyncio.to_thread(page, told)
        statement = statement_of(body, self._facts(sources))
        seal = ReportSeal(statement=statement)
        problem = await self._signed_here(statement)
        if isinstance(problem, Signature):
            seal, problem = replace(seal, signatures=(problem,)), ""
        if seal.signatures and record.over:
            seal, problem = await self._ask_peer(record, seal)
        return ReportAnswer(
            run=run,
            html=with_signatures(body, seal),
            signed_by=[one.site for one in seal.signatures],
            problem=problem,
        )

    async def _signed_here(self, statement: str) -> Signature | str:
        """Our signature, or why there is none."""
        if self._files is None:
            return f"{self._controller.site} has no certificate (`sites.{self._controller.site}.tls`)"
        try:
            return await asyncio.to_thread(
                signature, statement, self._controller.site, wall_text(), self._files
            )
        except (CertificateMisuse, KeyUnusable) as fault:
            return str(fault)

    def _facts(self, of: Sources) -> dict[str, Any]:
        """What the statement says of the run: what the other controller compares with what it knows."""
        record = of.record
        return {
            "run": record.run,
            "service": record.service,
            "kind": record.kind,
            "state": record.state,
            "ended": record.ended,
            "plan": record.made_from.get(PLAN, ""),
            "drawn_at": of.now,
            "drawn_by": of.site,
            "journal": {
                "site": of.record.executor_site,
                "records": len(of.links),
                "head": of.links[-1] if of.links else "",
            },
        }

    async def _sources(self, record: RunRecord) -> Sources:
        controller, journal = self._controller, self._controller.journal
        records = await journal.read(record.run)
        links = await journal.chain(record.run)
        sealed, problem = await self._seals(record.run)
        loss = controller.books.loss_of(record)
        figures = controller.trend.of(record.run)
        service = controller.estate.services.get(record.service)
        movable = service is not None and not service.watch_only
        plan = plan_of(records) or _plan_in(record)
        rpo = service.objectives.rpo_seconds if service is not None else None
        return Sources(
            record=record,
            plan=plan,
            records=records,
            links=links,
            sealed=sealed,
            seals_problem=problem,
            events=await self._events(record),
            pace=pace_of(controller, record),
            loss=loss,
            figures=figures,
            before=controller.trend.before(figures) if figures is not None else None,
            today=self._today(record, plan) if movable else None,
            titles={
                **{name: one.title or name for name, one in controller.estate.sites.items()},
                **{name: one.title or name for name, one in controller.estate.services.items()},
            },
            rpo_seconds=figures.rpo_seconds if figures is not None and figures.rpo_seconds else rpo,
            site=controller.site,
            version=f"{PRODUCT_NAME} {VERSION}",
            now=stamp(wall_unix_seconds()) or "",
            past=controller.trend.past(record.service),
            rehearsed=self._rehearsed(record) if movable else "",
        )

    def _today(self, record: RunRecord, plan: Plan | None) -> dict[str, str] | None:
        """What that very plan would be made from today, as far as it is loaded here."""
        if plan is None or not record.made_from:
            return None
        try:
            return self._controller.rehearsed.again(plan)
        except RunbooksError:
            return None

    def _rehearsed(self, record: RunRecord) -> str:
        view = self._controller.view()
        found = next((one for one in view.services if one.service.name == record.service), None)
        primary = found.record.primary if found is not None and found.record is not None else None
        return self._controller.rehearsed.of_service(record.service, primary).words(wall_unix_seconds())

    async def _events(self, record: RunRecord) -> Sequence[JournalEvent]:
        """Decisions and certificates about the service, from shortly before its trouble until the run
        ended."""
        begin = (record.detected_unix_seconds or record.started_unix_seconds) - BEFORE_SECONDS
        before = [
            one.ended_unix_seconds
            for one in self._controller.trend.figures
            if one.service == record.service and one.ended_unix_seconds < record.started_unix_seconds
        ]
        begin = max([begin, *before])  # what was decided about the run before is in that one's report
        end = unix_seconds_of(record.ended) or wall_unix_seconds()
        found: list[JournalEvent] = []
        for kind in ("decision", "certificate"):
            found += await self._controller.journal.events(EVENTS_READ, service=record.service, kind=kind)
        fitting = [one for one in found if begin <= one.wall_seconds <= end + 1.0]
        return sorted(fitting, key=lambda event: event.number)

    # --- the other site -----------------------------------------------------------------------------

    async def countersign(self, request: CountersignRequest) -> ReportAnswer:
        """Have a report that exists signed by who has not signed it yet. Raises OrderRefused."""
        seal = ReportSeal(
            statement=request.statement,
            signatures=tuple(
                Signature(site=one.site, at=one.at, certificate=one.certificate, value=one.value)
                for one in request.signatures
            ),
        )
        try:
            run = str(ReportFile("", seal).statement.get("run", ""))
        except NotAReport as fault:
            raise OrderRefused("wrong-request", str(fault), wrong=True) from fault
        record = self._controller.run_records.get(run)
        if record is None:
            raise OrderRefused("unknown-run", f"no run {run!r} is known here", wrong=True)
        if (why := await self._why_not(record, seal)) != "":
            raise OrderRefused("report-not-ours", f"not signed: {why}")
        own = await self._signed_here(request.statement)
        if isinstance(own, str):
            raise OrderRefused("report-not-signed", own)
        seal = replace(seal, signatures=merged(seal.signatures, (own,)))
        seal, problem = await self._ask_peer(record, seal)
        return ReportAnswer(
            run=run,
            html="",
            signed_by=[one.site for one in seal.signatures],
            signatures=[_status(one) for one in seal.signatures],
            problem=problem,
        )

    async def _ask_peer(self, record: RunRecord, seal: ReportSeal) -> tuple[ReportSeal, str]:
        """Put it where the other controller finds it, and wait a moment. The seal as it is then, and why it
        lacks a signature."""
        peer = self._controller.peer
        try:
            await self._publish(record.run, seal)
        except (StoreError, RecordUnreadable) as fault:
            return seal, f"{peer} could not be asked: the store does not take it: {fault}"
        for _ in range(int(PEER_PATIENCE_SECONDS / LOOK_SECONDS)):
            known = self._controller.run_records.get(record.run)
            there = known.sealed if known is not None else None
            if there is not None and there.statement == seal.statement:
                seal = replace(seal, signatures=merged(seal.signatures, there.signatures))
            if any(one.site == peer for one in seal.signatures):
                return seal, ""
            await asyncio.sleep(LOOK_SECONDS)
        return seal, (
            f"{peer}'s controller did not countersign within {PEER_PATIENCE_SECONDS:g} s: it signs when it "
            "is there again, and `twinsite report countersign FILE` puts that into the file"
        )

    async def _publish(self, run: str, seal: ReportSeal) -> None:
        """Into the run's record, by compare-and-set; signatures that are there for the same stay. Raises
        StoreError, RecordUnreadable."""
        key = RUNS + run
        for _ in range(TRIES):
            found = (await self._store.read(key, exact=True, timeout_seconds=STORE_SECONDS)).get(key)
            if found is None:
                raise StoreError(f"the store has no record of run {run}")
            there = decode(RunRecord, found.value)
            if not there.over:
                raise StoreError(f"run {run} goes on")
            known = there.sealed
            same = known is not None and known.statement == seal.statement
            signatures = merged(seal.signatures, known.signatures if known is not None and same else ())
            wanted = replace(there, sealed=ReportSeal(statement=seal.statement, signatures=signatures))
            if wanted == there:
                return
            result = await self._store.transact(
                [Compare(key, found.mod_revision)],
                [Put(key, encode(wanted))],
                [key],
                timeout_seconds=STORE_SECONDS,
            )
            if result.succeeded:
                return
        raise StoreError(f"the record of run {run} is written to by others all the time")

    def take(self, record: RunRecord) -> None:
        """A run's record as it stands in the store: there may be something to countersign."""
        seal = record.sealed
        if seal is None or self._files is None or not seal.signatures:
            return
        if any(one.site == self._controller.site for one in seal.signatures):
            return
        self._asked.put_nowait(record)

    async def run(self) -> None:
        """Countersign what comes, until cancelled."""
        while True:
            record = await self._asked.get()
            seal = record.sealed
            key = (record.run, seal.statement if seal is not None else "")
            if seal is None or key in self._answered:
                continue
            self._answered[key] = None
            while len(self._answered) > SEALS_READ:
                del self._answered[next(iter(self._answered))]
            await self._countersigned(record, seal)

    async def _countersigned(self, record: RunRecord, seal: ReportSeal) -> None:
        why = await self._why_not(record, seal)
        own = why or await self._signed_here(seal.statement)
        if isinstance(own, str):
            log.warning("report-not-countersigned", run=record.run, problem=own)
            return
        try:
            await self._publish(record.run, replace(seal, signatures=(*seal.signatures, own)))
        except (StoreError, RecordUnreadable) as fault:
            self._answered.pop((record.run, seal.statement), None)
            log.warning("report-not-countersigned", run=record.run, problem=str(fault))
            return
        log.info("report-countersigned", run=record.run)

    async def _why_not(self, record: RunRecord, seal: ReportSeal) -> str:
        """Why it cannot be signed here; "" when it agrees with what is known here."""
        try:
            said = ReportFile("", seal).statement
        except NotAReport as fault:
            return str(fault)
        known = self._controller.run_records.get(record.run, record)
        for name, ours in (
            ("run", known.run),
            ("service", known.service),
            ("kind", known.kind),
            ("state", known.state),
            ("ended", known.ended),
            ("plan", known.made_from.get(PLAN, "")),
        ):
            if said.get(name) != ours:
                return f"it says {name} {said.get(name)!r}, and {ours!r} is known at {self._controller.site}"
        if self._files is None:
            return f"{self._controller.site} has no certificate"
        from orchestrator.certificates.reading import read_certificates

        try:
            authorities = await asyncio.to_thread(read_certificates, self._files.ca)
        except CertificateMisuse as fault:
            return str(fault)
        found = {one.site: fault_of(seal.statement, one, authorities) for one in seal.signatures}
        faults = [f"the signature of {site} {fault}" for site, fault in found.items() if fault]
        return "; ".join(faults) or ("" if found else "nobody has signed it")


def _plan_in(record: RunRecord) -> Plan | None:
    import json

    if not record.plan:
        return None
    try:
        return Plan.from_json(json.dumps(record.plan))
    except PlanUnreadable:
        return None


def _status(one: Signature) -> SignatureStatus:
    return SignatureStatus(site=one.site, at=one.at, certificate=one.certificate, value=one.value)
