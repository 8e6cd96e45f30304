"""Carry a plan out by hand: the engine that controllers have, a journal of the same format in a file, and a
person in place of everybody who would otherwise be asked.

When a step fails, the engine's verdict that the run has failed is held back until the person has spoken; what
they decide goes into the journal, and the run goes on from there. Ctrl-C leaves a run that can be resumed.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.certified import Certificate
from orchestrator.clock import boottime_ns, wall_text
from orchestrator.emergency.terminal import Person, Verb
from orchestrator.journal import SqliteJournal
from runbooks.catalogue import ActionCatalogue
from runbooks.context import ActionContext, Sql, Token, WaitHealthy, bounded
from runbooks.engine import Engine, Outcome
from runbooks.errors import ActionMisused
from runbooks.journal import (
    Event,
    Record,
    RunEnded,
    RunOutcome,
    RunSummary,
    StepEnded,
    StepOutcome,
    StepRetried,
    StepStarted,
)
from runbooks.planned import Plan, PlannedStep
from runbooks.progress import Progress, WaitKind, fold, plan_of
from runbooks.steered import Order
from runbooks.steered import Verb as Steering
from runbooks.steering import Refused
from sites.model import Estate
from sites.output import Said, last_lines
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

CERTIFICATE_EVENT = "certificate"
_HELD_BACK = (RunOutcome.FAILED, RunOutcome.IN_DOUBT)


class HeldBack:
    """A journal that does not write yet that a run has failed: a person may still decide otherwise."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self.held: RunEnded | None = None

    async def append(self, run_id: str, event: Event) -> Record:
        """See Journal."""
        if isinstance(event, RunEnded) and event.outcome in _HELD_BACK:
            self.held = event
            return Record(run_id, 0, 0.0, 0, event)
        self.held = None
        return await self._journal.append(run_id, event)

    async def read(self, run_id: str) -> Sequence[Record]:
        """See Journal."""
        return await self._journal.read(run_id)

    async def runs(self, limit: int) -> Sequence[RunSummary]:
        """See Journal."""
        return await self._journal.runs(limit)

    async def let_go(self, run_id: str) -> None:
        """Write it now: nobody decided otherwise."""
        if self.held is not None:
            await self._journal.append(run_id, self.held)


@dataclass(slots=True)
class Hands:
    """One run by hand, and what it is carried out with."""

    estate: Estate
    transport: Transport
    drivers: dict[str, ReplicationDriver]
    catalogue: ActionCatalogue
    journal: SqliteJournal
    person: Person
    who: str
    probes: Callable[[str], WaitHealthy | None] = lambda service: None
    sql: dict[str, Sql] = field(default_factory=dict)
    _asking: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def carry_out(
        self, plan: Plan, *, why: str, certificate: Certificate | None, signer: str = ""
    ) -> Outcome:
        """Carry a new plan out. The certificate is on file before anything is done."""
        if certificate is not None:
            data = {"certificate": {**certificate.body, "signature": certificate.signature}, "signer": signer}
            await self.journal.append_event(CERTIFICATE_EVENT, plan.service, data)
        return await self._to_the_end(plan, why=why, executor=1)

    async def resume(self, run_id: str) -> Outcome:
        """Go on with a run of this journal, as it was planned. Raises ActionMisused where there is none."""
        records = await self.journal.read(run_id)
        plan = plan_of(records)
        if plan is None:
            known = ", ".join(each.run_id for each in await self.journal.runs(5)) or "none"
            raise ActionMisused(f"nothing is known of run {run_id} in {self.journal.path}; there is {known}")
        # Higher than any before, so that an older executor that is still about is refused by the hosts (P26).
        executor = fold(plan, records).executor + 1
        return await self._to_the_end(plan, why="", executor=max(2, executor))

    async def _to_the_end(self, plan: Plan, *, why: str, executor: int) -> Outcome:
        journal = HeldBack(self.journal)
        engine = Engine(
            journal,
            self.catalogue,
            may_act=_always,
            now_ns=boottime_ns,
            on_progress=lambda progress, record: self._progressed(engine, progress, record),
        )
        context = self._context(plan, executor)
        if executor == 1:
            outcome = await engine.carry_out(plan, context, who=self.who, why=why)
        else:
            outcome = await engine.resume(plan.id, context)
        while journal.held is not None and await self._decided(outcome):
            outcome = await engine.resume(plan.id, context)
        await journal.let_go(plan.id)
        return outcome

    async def _decided(self, outcome: Outcome) -> bool:
        """Ask about every step that keeps the run from going on. False: it is to end as it stands."""
        progress = outcome.progress
        doubtful = progress.started
        steps = [*progress.failed, *doubtful]
        if not steps:
            return False
        for step in steps:
            in_doubt = step in doubtful
            verbs = [Verb.RETRY, *([Verb.DONE] if in_doubt else []), Verb.SKIP, Verb.ABORT]
            evidence = progress.steps[step.id].evidence or outcome.summary
            verdict = await self.person.decide(step, evidence, verbs)
            if verdict.verb is Verb.ABORT:
                return False
            await self._note(progress, step, verdict.verb, verdict.reason)
        return True

    async def _note(self, progress: Progress, step: PlannedStep, verb: Verb, reason: str) -> None:
        state = progress.steps[step.id]
        words = f"{self.who} said {verb}{f': {reason}' if reason else ''}"
        if verb is Verb.RETRY:
            event: Event = StepRetried(step.id, state.last_attempt, f"{words}\n{state.evidence}".strip())
        else:
            ended = StepOutcome.DONE if verb is Verb.DONE else StepOutcome.SKIPPED
            event = StepEnded(step.id, state.last_attempt, ended, words)
        await self.journal.append(progress.plan.id, event)

    def _context(self, plan: Plan, executor: int) -> ActionContext:
        async def notify(text: str) -> None:
            self.person.tell([f"TELL PEOPLE: {text}"])

        return ActionContext(
            estate=self.estate,
            service=self.estate.services[plan.service],
            transport=self.transport,
            token=Token(plan.epoch, plan.id, executor),
            notify=notify,
            driver=self.drivers.get(plan.service),
            wait_healthy=self.probes(plan.service),
            sql=self.sql.get(plan.service),
            said=self._said,
        )

    def _said(self, step_id: str) -> Said:
        def said(stream: str, line: str) -> None:
            # It comes from a host, and is shown on a terminal.
            self.person.tell([f"    {'!' if stream == 'err' else '|'} {bounded(line)}"])

        return said

    def _progressed(self, engine: Engine, progress: Progress, record: Record) -> None:
        self._tell(progress, record)
        for wait in progress.waits:
            # A step that failed ends the walk, and is asked about then; one in doubt is waited for in it.
            if wait.kind is WaitKind.IN_DOUBT and wait.step is not None and wait.step.id not in self._asking:
                asking = asyncio.create_task(self._settle(engine, progress, wait.step))
                self._asking[wait.step.id] = asking

    async def _settle(self, engine: Engine, progress: Progress, step: PlannedStep) -> None:
        """Ask about a step whose end nobody knows, until an order about it is followed."""
        run, verbs = progress.plan.id, (Verb.RETRY, Verb.DONE, Verb.SKIP, Verb.ABORT)
        try:
            while True:
                verdict = await self.person.decide(step, progress.steps[step.id].evidence, verbs)
                order = Order(
                    verb=Steering(verdict.verb.value),
                    who=self.who,
                    site="by hand",
                    at=wall_text(),
                    reason=verdict.reason or "decided at the terminal",
                    step="" if verdict.verb is Verb.ABORT else step.id,
                    evidence=verdict.reason,
                    seen=progress.last_order,
                )
                answer = await engine.steer(run, order)
                if not isinstance(answer, Refused):
                    break
                self.person.tell([f"Not followed ({answer.code}): {answer.message}"])
        except EOFError as nobody:
            engine.stand_down(run, str(nobody))
        finally:
            self._asking.pop(step.id, None)

    def _tell(self, progress: Progress, record: Record) -> None:
        event, steps = record.event, progress.plan.steps
        if not isinstance(event, StepStarted | StepRetried | StepEnded):
            return
        step = progress.plan.by_id.get(event.step)
        if step is None:
            return
        named = f"[{step.number}/{len(steps)}] {step.title}"
        match event:
            case StepStarted(attempt=attempt):
                again = f", attempt {attempt}" if attempt > 1 else ""
                place = f" at {step.place}" if step.place else ""
                self.person.tell([f"{named}: {step.action}{place}{again}"])
            case StepRetried(evidence=evidence):
                self.person.tell([f"{named}: again: {last_lines(evidence)}"])
            case StepEnded(outcome=outcome, evidence=evidence, duration_seconds=seconds):
                word = str(outcome).replace("-", " ")
                shown = word if outcome in (StepOutcome.DONE, StepOutcome.ALREADY_DONE) else word.upper()
                self.person.tell([f"{named}: {shown} after {seconds:.1f} s: {last_lines(evidence, lines=1)}"])


async def _always() -> None:
    """Nobody else is there who could have the right: the certificate is the right (P31)."""
