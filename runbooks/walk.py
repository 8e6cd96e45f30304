"""Walk a plan's graph: start each step when its turn has come, and record how the run ended.

When a step fails that ends the run, the steps under way beside it are let finish, with the attempts they
have left, and nothing new is started: a command cut off half way would leave a state that nobody knows.
When the right to act is lost, steps under way are ended, because whatever they would still do is no longer
ours to do. When the journal fails, nothing more is started, and what is under way is let finish.

While only a person can tell how it goes on, the walk waits for that person's order, for as long as it takes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from runbooks.context import bounded
from runbooks.endings import conclusion
from runbooks.errors import JournalTrouble, LostRight
from runbooks.journal import RunEnded, RunOutcome, UndoBegun
from runbooks.limits import Limits
from runbooks.model import BY_PEOPLE
from runbooks.planned import PlannedStep
from runbooks.progress import StepState
from runbooks.steps import StepWork

log = structlog.get_logger(__name__)

STEPS_AT_ONCE = 256
FAREWELL_SECONDS = 5.0

Work = Callable[[PlannedStep], Awaitable[None]]


class Walk:
    """One walk over one plan, from wherever its records say it stands."""

    def __init__(self, work: StepWork) -> None:
        self._work = work
        self._recorder = work.recorder
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._standstill: tuple[RunOutcome, str] | None = None
        self._recorder.on_order = self._changed.set
        self._limits = Limits.of(work.recorder.progress.plan.steps)

    async def to_the_end(self) -> RunEnded:
        """Start steps as their turn comes until nothing is left to start; how it ended is on file, if it
        could be. When cancelled, it records what it leaves and raises CancelledError."""
        try:
            async with asyncio.TaskGroup() as group:
                for step in self._recorder.progress.started:
                    self._start(group, step, self._work.resume)
                while True:
                    self._changed.clear()
                    self._start_ready(group)
                    if not self._tasks and not await self._goes_on():
                        break
                    await self._changed.wait()
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

    def stand_down(self, why: str) -> None:
        """The right to act is lost, as somebody else found: end what is under way and start nothing more."""
        self._stand_still(RunOutcome.LOST_RIGHT, why)
        for task in self._tasks.values():
            task.cancel()

    @property
    def _run_id(self) -> str:
        return self._recorder.progress.plan.id

    async def _goes_on(self) -> bool:
        """Nothing is under way: whether there is anything to wait for, or to take back."""
        progress = self._recorder.progress
        if self._standstill is not None:
            return False
        if progress.undo_wanted and progress.undo is None and progress.aborted is None:
            return await self._begin_undo()
        return bool(progress.waits) or bool(progress.ready)

    async def _begin_undo(self) -> bool:
        progress = self._recorder.progress
        ordered = progress.undo_ordered
        why = str(ordered) if ordered is not None else "a step failed that says `on_failure: undo`"
        try:
            await self._recorder.note(UndoBegun(why))
        except JournalTrouble as error:
            self._stand_still(RunOutcome.NOT_RECORDED, str(error))
            return False
        self._changed.set()
        return True

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
            self._end_others(step, lambda other: True)
        except JournalTrouble as error:
            self._stand_still(RunOutcome.NOT_RECORDED, str(error))
            # Nothing of the world is cut off by that, and what people say could not be recorded either.
            self._end_others(step, lambda other: other.action in BY_PEOPLE)

    def _end_others(self, step: PlannedStep, which: Callable[[PlannedStep], bool]) -> None:
        for step_id, task in self._tasks.items():
            other = self._recorder.progress.step(step_id)
            if step_id != step.id and other is not None and which(other):
                task.cancel()

    def _stand_still(self, outcome: RunOutcome, why: str) -> None:
        """Start nothing more. The first reason stays, but for a lost right, which outweighs all."""
        if self._standstill is None or outcome is RunOutcome.LOST_RIGHT:
            self._standstill = (outcome, bounded(why))
        self._changed.set()
        log.warning("run_stands_still", run=self._run_id, outcome=outcome, why=why)

    async def _farewell(self) -> None:
        """Told to stop: say what is left. The steps named are in doubt until the run is resumed."""
        left = tuple(step.id for step in self._recorder.progress.left)
        names = ", ".join(left) or "nothing half done"
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._recorder.note(
                    RunEnded(RunOutcome.INTERRUPTED, f"told to stop; left: {names}", left)
                )
        except (JournalTrouble, TimeoutError) as error:
            log.error("farewell_not_recorded", run=self._run_id, left=names, error=str(error))
