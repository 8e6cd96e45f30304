"""One step's life in the journal: attempts, back-off, its end; and how one that was cut off is settled.

What an attempt does and what its errors mean is `runbooks.attempt`'s; which step's turn it is, the walk's.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential

from runbooks.attempt import AttemptFailed, act, already_done, check_right, may_repeat, settled, verified
from runbooks.catalogue import ActionCatalogue, ActionSpec, Settled, Settlement
from runbooks.conditions import ask
from runbooks.context import ActionContext, Call, MayAct, Result, bounded
from runbooks.errors import LostRight, Overtaken, RunbooksMisuse, Steered, StepFailed
from runbooks.journal import StepEnded, StepInDoubt, StepOutcome, StepRetried, StepStarted, StepWithdrawn
from runbooks.model import IfUnreachable
from runbooks.planned import PlannedStep
from runbooks.progress import Progress, StepState
from runbooks.recorder import Recorder
from sites.errors import HostUnreachable, SitesMisuse, SitesTrouble

log = structlog.get_logger(__name__)

BACKOFF_LIMIT_SECONDS = 60.0
_OPEN = (StepState.WAITING, StepState.STARTED, StepState.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class StepWork:
    """Carries out single steps of one run."""

    recorder: Recorder
    catalogue: ActionCatalogue
    context: ActionContext
    may_act: MayAct
    now_ns: Callable[[], int]

    async def carry_out(self, step: PlannedStep) -> None:
        """Attempts until one ends well or none is left; its end is on file when this returns, unless a
        person's order has taken its turn away.

        Raises LostRight or JournalTrouble.
        """
        begun_ns = self.now_ns()
        try:
            outcome, result = await self._attempts(step, self._spec(step))
        except AttemptFailed as failed:
            outcome, result = failed.outcome, Result(failed.evidence, failed.exit_status)
        except Steered:
            return
        await self._end(step, outcome, result, begun_ns)

    async def resume(self, step: PlannedStep) -> None:
        """Settle a step whose end is not on file: by what the action left behind, by `unless` and `verify`,
        else by running it again where that does no harm, else by asking a person.

        Raises LostRight or JournalTrouble.
        """
        begun_ns = self.now_ns()
        try:
            spec = self._spec(step)
            call = self._call(step, spec, self._last_attempt(step))
        except AttemptFailed as failed:
            await self._end(step, failed.outcome, Result(failed.evidence), begun_ns)
            return
        if spec.waits_for_people:
            await self._wait_on(step, spec, call, begun_ns)
            return
        found = await settled(spec, self.context, call)
        log.info("step_resumed", run=call.plan.id, step=step.id, found=found.settlement)
        try:
            done = await self._found_done(step, found)
        except HostUnreachable as error:
            if step.if_unreachable is IfUnreachable.CONTINUE:
                await self._end(step, StepOutcome.UNREACHABLE_CONTINUED, Result(str(error)), begun_ns)
                return
            done, found = None, Settled(found.settlement, f"{found.evidence}; {error}")
        except (SitesTrouble, SitesMisuse, RunbooksMisuse, StepFailed) as error:
            done, found = None, Settled(found.settlement, f"{found.evidence}; {error}")
        if done is not None:
            await self._end(step, StepOutcome.DONE, done, begun_ns)
        else:
            await self._rerun_or_leave(step, spec, found, begun_ns)

    # -- attempts -----------------------------------------------------------------------------------

    def _spec(self, step: PlannedStep) -> ActionSpec:
        spec = self.catalogue.get(step.action)
        if spec is None:
            evidence = f"this twinsite does not know the action {step.action}"
            raise AttemptFailed(StepOutcome.FAILED, evidence, None, again=False)
        return spec

    def _call(self, step: PlannedStep, spec: ActionSpec, attempt: int) -> Call:
        try:
            arguments = spec.arguments.model_validate(dict(step.arguments))
        except ValidationError as error:
            evidence = f"this twinsite's {step.action} takes other keys than the plan has: {error}"
            raise AttemptFailed(StepOutcome.FAILED, evidence, None, again=False) from error
        progress = self.recorder.progress
        until = self.recorder.until
        return Call(progress.plan, step, arguments, attempt, self.may_act, progress.values, until)

    def _attempts_on_file(self, step: PlannedStep) -> int:
        return self.recorder.progress.steps[step.id].attempts

    def _last_attempt(self, step: PlannedStep) -> int:
        return self.recorder.progress.steps[step.id].last_attempt

    async def _attempts(self, step: PlannedStep, spec: ActionSpec) -> tuple[StepOutcome, Result]:
        async def noted(state: RetryCallState) -> None:
            await self._note_retry(step, state)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(max(1, step.retries + 1 - self._attempts_on_file(step))),
            wait=wait_exponential(multiplier=step.backoff_seconds, max=BACKOFF_LIMIT_SECONDS),
            retry=retry_if_exception(lambda error: isinstance(error, AttemptFailed) and error.again),
            before_sleep=noted,
            sleep=lambda seconds: self._pause(step, seconds),
            reraise=True,
        )
        ended: tuple[StepOutcome, Result] = await retrying(self._attempt, step, spec)
        return ended

    async def _note_retry(self, step: PlannedStep, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, AttemptFailed):
            attempt = self._last_attempt(step)
            await self.recorder.note(StepRetried(step.id, attempt, error.evidence, error.exit_status))

    async def _attempt(self, step: PlannedStep, spec: ActionSpec) -> tuple[StepOutcome, Result]:
        """Raises AttemptFailed, LostRight, Steered, JournalTrouble."""
        # Never a number twice: a host refuses an attempt that comes late, after a higher one.
        attempt = self._last_attempt(step) + 1
        call = self._call(step, spec, attempt)
        while True:
            await self._turn(step)
            if (evidence := await already_done(step, spec, self.context)) is not None:
                return StepOutcome.ALREADY_DONE, Result(evidence)
            # Intent is on disk before the deed, and the right is asked for after that write, which may take
            # long: nothing stands between the answer and the deed (P26). An order that was accepted
            # meanwhile is seen in the same write: nobody is told that a step is skipped which then starts.
            if await self.recorder.note_if(
                lambda progress: StepStarted(step.id, attempt) if progress.may_start(step) else None
            ):
                break
        try:
            await check_right(call)
        except LostRight as error:
            await self.recorder.note(StepWithdrawn(step.id, attempt, str(error)))
            raise
        log.info("step_started", run=call.plan.id, step=step.id, attempt=attempt)
        try:
            return StepOutcome.DONE, await act(step, spec, self.context, call)
        except Overtaken as error:
            await self.recorder.note(StepWithdrawn(step.id, attempt, str(error)))
            raise
        except Steered as error:
            await self._withdraw(step, attempt, str(error))
            raise

    async def _turn(self, step: PlannedStep) -> None:
        """Wait while the run is paused. Raises Steered when the step's turn is over."""

        def decided(progress: Progress) -> bool:
            return progress.paused is None or not _wanted(progress, step)

        if not _wanted(await self.recorder.until(decided), step):
            raise Steered("a person's order has ended its turn")

    async def _pause(self, step: PlannedStep, seconds: float) -> None:
        """The wait before a further attempt; over at once when none is to come."""
        try:
            async with asyncio.timeout(seconds):
                await self.recorder.until(lambda progress: not _wanted(progress, step))
        except TimeoutError:
            return

    async def _withdraw(self, step: PlannedStep, attempt: int, why: str) -> None:
        """Nobody waits for it any more; what a person's order has made of it stands."""
        await self.recorder.note_if(
            lambda progress: (
                StepWithdrawn(step.id, attempt, why) if progress.state(step.id) is StepState.STARTED else None
            )
        )

    async def _end(self, step: PlannedStep, outcome: StepOutcome, result: Result, begun_ns: int) -> None:
        seconds = (self.now_ns() - begun_ns) / 1e9
        attempt = self._last_attempt(step)
        run_id = self.recorder.progress.plan.id
        log.info("step_ended", run=run_id, step=step.id, outcome=outcome, seconds=round(seconds, 3))
        evidence = bounded(result.evidence)
        ended = StepEnded(step.id, attempt, outcome, evidence, result.exit_status, seconds, result.values)
        # What a person has said of it meanwhile stands.
        await self.recorder.note_if(lambda p: ended if p.state(step.id) in _OPEN else None)

    # -- a step that was cut off --------------------------------------------------------------------

    async def _wait_on(self, step: PlannedStep, spec: ActionSpec, call: Call, begun_ns: int) -> None:
        """Nothing was cut off in the world: whoever is asked is still asked, and may have answered."""
        try:
            result = await act(step, spec, self.context, call)
        except AttemptFailed as failed:
            await self._end(step, failed.outcome, Result(failed.evidence), begun_ns)
        except Steered as error:
            await self._withdraw(step, call.attempt, str(error))
        else:
            await self._end(step, StepOutcome.DONE, result, begun_ns)

    async def _found_done(self, step: PlannedStep, found: Settled) -> Result | None:
        """The step's good end, if the world shows that it was done."""
        if found.settlement is Settlement.DONE:
            return await verified(step, self.context, Result(found.evidence, found.exit_status))
        if found.settlement is Settlement.NEVER_STARTED:
            return None
        for question in (step.unless, step.verify):
            if question is not None:
                answer = await ask(question, self.context, timeout_seconds=step.timeout_seconds)
                if answer.holds:
                    return Result(f"cut off, and found done: {answer.evidence}")
        return None

    async def _rerun_or_leave(
        self, step: PlannedStep, spec: ActionSpec, found: Settled, begun_ns: int
    ) -> None:
        attempt = self._last_attempt(step)
        ended = found.settlement in (Settlement.DONE, Settlement.FAILED)
        if found.settlement is Settlement.NEVER_STARTED:
            await self.recorder.note(StepWithdrawn(step.id, attempt, found.evidence))
            await self.carry_out(step)
        elif may_repeat(step, spec) and not (ended and self._attempts_on_file(step) > step.retries):
            evidence = bounded(f"cut off, run again: {found.evidence}")
            await self.recorder.note(StepRetried(step.id, attempt, evidence, found.exit_status))
            await self.carry_out(step)
        elif ended:
            # How it ended is known, and it is not well: it failed, or `verify` does not hold.
            await self._end(step, StepOutcome.FAILED, Result(found.evidence, found.exit_status), begun_ns)
        else:
            place = step.place or "this controller"
            evidence = bounded(
                f"cut off, and nothing tells whether {step.action} at {place} was done: {found.evidence}"
            )
            log.warning("step_in_doubt", run=self.recorder.progress.plan.id, step=step.id, found=evidence)
            await self.recorder.note(StepInDoubt(step.id, attempt, evidence))


def _wanted(progress: Progress, step: PlannedStep) -> bool:
    """Whether the step is still to be attempted."""
    waiting = progress.state(step.id) is StepState.WAITING
    return waiting and not progress.halted(step) and not progress.final
