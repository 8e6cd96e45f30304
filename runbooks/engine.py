"""Carry a plan out: from its first record to its last, or on from where its records end.

The engine keeps nothing of its own that matters: what is next is read from the run's progress, which is a
fold over the journal, so a run can be cut off between any two records and be resumed, by this process or
another. It never decides whether a run is right; `may_act` is asked immediately before each side effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from runbooks.catalogue import ActionCatalogue
from runbooks.context import ActionContext, MayAct
from runbooks.errors import ActionMisused, JournalDamaged, NotUnderWay
from runbooks.journal import (
    Event,
    Journal,
    Record,
    RunAdopted,
    RunOutcome,
    RunPlanned,
    RunResumed,
    RunSteered,
)
from runbooks.planned import Plan
from runbooks.progress import Progress, fold, plan_of
from runbooks.recorder import OnProgress, Recorder
from runbooks.steered import Order
from runbooks.steering import Refused, judge
from runbooks.steps import StepWork
from runbooks.walk import Walk


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, or why it stands still."""

    run_id: str
    outcome: RunOutcome
    summary: str
    progress: Progress

    @property
    def done(self) -> bool:
        """Whether everything planned was done."""
        return self.outcome is RunOutcome.DONE


class Engine:
    """Carries out plans with one journal and one catalogue. `now_ns` is CLOCK_BOOTTIME.

    `may_act` raises LostRight when this executor has no right to act any more. `on_progress` is called
    after each record is on disk, in this event loop; what it raises is logged and changes nothing.
    """

    def __init__(
        self,
        journal: Journal,
        catalogue: ActionCatalogue,
        *,
        may_act: MayAct,
        now_ns: Callable[[], int],
        on_progress: OnProgress | None = None,
    ) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._may_act = may_act
        self._now_ns = now_ns
        self._on_progress = on_progress
        self._walks: dict[str, tuple[Recorder, Walk]] = {}

    async def carry_out(
        self, plan: Plan, context: ActionContext, *, who: str, why: str, data_loss: str = ""
    ) -> Outcome:
        """Carry the plan out to its end, from where its records say it stands.

        `who` ordered it and `why`; `data_loss` is what they were told it may lose.

        Raises JournalTrouble when not even the plan could be recorded (nothing was done then), and
        ActionMisused when the run of this id was planned otherwise. When cancelled, it records what it
        leaves and raises CancelledError.
        """
        records = await self._journal.read(plan.id)
        if not records:
            recorder = self._recorder(plan, ())
            await recorder.note(RunPlanned(plan, who, why, data_loss))
            return await self._walk(recorder, context)
        on_file = _planned(plan.id, records)
        if (on_file.hash, on_file.epoch) != (plan.hash, plan.epoch):
            raise ActionMisused(
                f"run {plan.id} was planned otherwise ({on_file.hash[:12]} at epoch {on_file.epoch}, "
                f"not {plan.hash[:12]} at {plan.epoch}); it can only go on as it was planned"
            )
        return await self._go_on(on_file, records, context)

    async def resume(self, run_id: str, context: ActionContext) -> Outcome:
        """Go on with a run as it was planned. Raises ActionMisused when nothing is known of it, and
        otherwise as `carry_out`."""
        records = await self._journal.read(run_id)
        if not records:
            raise ActionMisused(f"nothing is known of run {run_id}")
        return await self._go_on(_planned(run_id, records), records, context)

    async def steer(self, run_id: str, order: Order) -> Order | Refused:
        """Follow an order about a run that this engine is carrying out: on file when this returns, and
        seen by the run at once. The order with its number, or why it is not followed.

        Raises NotUnderWay, and JournalTrouble when it could not be recorded (it does not count then).
        """
        recorder, _ = self._under_way(run_id)
        verdict: list[Order | Refused] = []

        def judged(progress: Progress) -> Event | None:
            verdict.append(judge(progress, order))
            return RunSteered(verdict[0]) if isinstance(verdict[0], Order) else None

        await recorder.note_if(judged)
        return verdict[0]

    def under_way(self, run_id: str) -> bool:
        """Whether the run is walked here at this moment, so that it can be steered."""
        return run_id in self._walks

    def stand_down(self, run_id: str, why: str) -> None:
        """End a run's walk as one that has lost its right to act. Raises NotUnderWay."""
        self._under_way(run_id)[1].stand_down(why)

    def _under_way(self, run_id: str) -> tuple[Recorder, Walk]:
        found = self._walks.get(run_id)
        if found is None:
            raise NotUnderWay(f"run {run_id} is not carried out here at this moment")
        return found

    async def adopt(
        self,
        plan: Plan,
        adopted: RunAdopted,
        context: ActionContext,
        *,
        who: str,
        why: str,
        first: Order | None,
    ) -> Outcome:
        """Go on with a run of the other site's executor, from what was known of it. `first` is ordered of it
        before anything is done: an undo, where it cannot be gone on with.

        Raises as `carry_out` does.
        """
        records = await self._journal.read(plan.id)
        recorder = self._recorder(plan, records)
        if not records:
            await recorder.note(RunPlanned(plan, who, why))
        await recorder.note(adopted)
        if first is not None and not recorder.progress.undo_wanted and recorder.progress.aborted is None:
            await recorder.note(RunSteered(replace(first, number=recorder.progress.last_order + 1)))
        return await self._walk(recorder, context)

    async def _go_on(self, plan: Plan, records: Sequence[Record], context: ActionContext) -> Outcome:
        recorder = self._recorder(plan, records)
        ended = recorder.progress.ended
        if ended is not None and ended.outcome.final:
            return Outcome(plan.id, ended.outcome, ended.summary, recorder.progress)
        await recorder.note(RunResumed(context.token.executor))
        return await self._walk(recorder, context)

    def _recorder(self, plan: Plan, records: Sequence[Record]) -> Recorder:
        return Recorder(self._journal, fold(plan, records), self._on_progress)

    async def _walk(self, recorder: Recorder, context: ActionContext) -> Outcome:
        work = StepWork(recorder, self._catalogue, context, self._may_act, self._now_ns)
        walk, run_id = Walk(work), recorder.progress.plan.id
        self._walks[run_id] = recorder, walk
        try:
            ended = await walk.to_the_end()
        finally:
            del self._walks[run_id]
        return Outcome(run_id, ended.outcome, ended.summary, recorder.progress)


def _planned(run_id: str, records: Sequence[Record]) -> Plan:
    plan = plan_of(records)
    if plan is None:
        raise JournalDamaged(f"the records of run {run_id} do not begin with its plan; it cannot be resumed")
    return plan
