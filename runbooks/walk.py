"""Walk a plan's graph: start each step when its turn has come, and record how the run ended.

When a step fails that ends the run, the steps under way beside it are let finish, with the attempts they
have left, and nothing new is started: a command cut off half way would leave a state that nobody knows.
When the right to act is lost, steps under way are ended, because whatever they would still do is no longer
ours to do. When the journal fails, nothing more is started, and what is under way is let finish.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from runbooks.context import bounded
from runbooks.errors import JournalTrouble, LostRight
from runbooks.journal import RunEnded, RunOutcome
from runbooks.limits import Limits
from runbooks.planned import PlannedStep
from runbooks.progress import Progress, StepState
from runbooks.steps import LeftInDoubt, StepWork

log = structlog.get_logger(__name__)

STEPS_AT_ONCE = 256
FAREWELL_SECONDS = 5.0
SUMMARY_LIMIT_CHARACTERS = 500

Work = Callable[[PlannedStep], Awaitable[None]]


class Walk:
    """One walk over one plan, from wherever its records say it stands."""

    def __init__(self, work: StepWork) -> None:
        self._work = work
        self._recorder = work.recorder
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._standstill: tuple[RunOutcome, str] | None = None
        self._limits = Limits.of(work.recorder.progress.plan.steps)

    async def to_the_end(self) -> RunEnded:
        """Start steps as their turn comes until nothing is left to start; how it ended is on file, if it
        could be. When cancelled, it records what it leaves and raises CancelledError."""
        try:
            async with asyncio.TaskGroup() as group:
                for step in self._recorder.progress.started:
                    self._start(group, step, self._work.resume)
                while True:
                    self._start_ready(group)
                    if not self._tasks:
                        break
                    await self._changed.wait()
                    self._changed.clear()
        except asyncio.CancelledError:
            await self._farewell()
            raise
        ended = conclusion(self._recorder.progress, self._standstill)
        try:
            await self._recorder.note(ended)
        except JournalTrouble as error:
            log.error("run_end_not_recorded", run=self._run_id, outcome=ended.outcome, error=str(error))
            return RunEnded(RunOutcome.NOT_RECORDED, str(error), ended.left)
        log.info("run_ended", run=self._run_id, outcome=ended.outcome, summary=ended.summary)
        return ended

    @property
    def _run_id(self) -> str:
        return self._recorder.progress.plan.id

    def _start_ready(self, group: asyncio.TaskGroup) -> None:
        if self._standstill is not None:
            return
        for step in self._limits.allowed(*self._standing()):
            if len(self._tasks) >= STEPS_AT_ONCE:
                return
            if step.id not in self._tasks:
                self._start(group, step, self._work.carry_out)

    def _standing(self) -> tuple[Sequence[PlannedStep], Collection[str], Collection[str]]:
        """What is ready, what has begun and what has ended. A step whose task is not over yet has begun,
        whatever is on file; one whose turn comes again after a failed attempt keeps its place."""
        progress = self._recorder.progress
        if not self._limits.lanes:
            return progress.ready, (), ()
        waiting = {step.id for step in progress.plan.steps if progress.state(step.id) is StepState.WAITING}
        ended = progress.steps.keys() - waiting - self._tasks.keys()
        return progress.ready, (progress.steps.keys() - waiting) | self._tasks.keys(), ended

    def _start(self, group: asyncio.TaskGroup, step: PlannedStep, work: Work) -> None:
        task = group.create_task(self._guarded(step, work), name=f"step {step.id}")
        self._tasks[step.id] = task
        # By callback, since a task that is cancelled before its first turn runs no line of its own.
        task.add_done_callback(lambda _: self._over(step))

    def _over(self, step: PlannedStep) -> None:
        del self._tasks[step.id]
        self._changed.set()

    async def _guarded(self, step: PlannedStep, work: Work) -> None:
        try:
            await work(step)
        except LostRight as error:
            self._stand_still(RunOutcome.LOST_RIGHT, str(error))
            for step_id, task in self._tasks.items():
                if step_id != step.id:
                    task.cancel()
        except JournalTrouble as error:
            self._stand_still(RunOutcome.NOT_RECORDED, str(error))
        except LeftInDoubt as error:
            self._stand_still(RunOutcome.IN_DOUBT, str(error))

    def _stand_still(self, outcome: RunOutcome, why: str) -> None:
        """Start nothing more. The first reason stays, but for a lost right, which outweighs all."""
        if self._standstill is None or outcome is RunOutcome.LOST_RIGHT:
            self._standstill = (outcome, bounded(why))
        log.warning("run_stands_still", run=self._run_id, outcome=outcome, why=why)

    async def _farewell(self) -> None:
        """Told to stop: say what is left. The steps named are in doubt until the run is resumed."""
        left = tuple(step.id for step in self._recorder.progress.started)
        names = ", ".join(left) or "nothing half done"
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._recorder.note(
                    RunEnded(RunOutcome.INTERRUPTED, f"told to stop; left: {names}", left)
                )
        except (JournalTrouble, TimeoutError) as error:
            log.error("farewell_not_recorded", run=self._run_id, left=names, error=str(error))


def conclusion(progress: Progress, standstill: tuple[RunOutcome, str] | None) -> RunEnded:
    """How a run ended in which nothing is left to start. Pure."""
    left = tuple(step.id for step in progress.started)
    if standstill is not None:
        return RunEnded(*standstill, left)
    if failed := progress.failed:
        first = failed[0]
        said = progress.steps[first.id].evidence.strip().splitlines() or ["no evidence"]
        summary = f"step {first.number}, {first.title}: {progress.state(first.id)}: {said[0]}"
        return RunEnded(RunOutcome.FAILED, bounded(summary, SUMMARY_LIMIT_CHARACTERS), left)
    if not progress.complete:
        return RunEnded(RunOutcome.IN_DOUBT, "steps are left whose turn never came", left)
    steps = progress.plan.steps
    well = (StepState.DONE, StepState.ALREADY_DONE)
    without = [step for step in steps if progress.state(step.id) not in well]
    summary = f"{len(steps) - len(without)} of {len(steps)} steps are done"
    if without:
        named = ", ".join(f"{step.number} {step.title} ({progress.state(step.id)})" for step in without)
        summary = bounded(f"{summary}; went on without {named}", SUMMARY_LIMIT_CHARACTERS)
    return RunEnded(RunOutcome.DONE, summary, left)
