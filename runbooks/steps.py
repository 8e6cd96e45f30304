"""One step's life in the journal: attempts, back-off, its end; and how one that was cut off is settled.

What an attempt does and what its errors mean is `runbooks.attempt`'s; which step's turn it is, the walk's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential

from runbooks.attempt import AttemptFailed, act, already_done, check_right, may_repeat, settled, verified
from runbooks.catalogue import ActionCatalogue, ActionSpec, Settled, Settlement
from runbooks.conditions import ask
from runbooks.context import ActionContext, Call, MayAct, Result, bounded
from runbooks.errors import LostRight, Overtaken, RunbooksMisuse, RunbooksTrouble, StepFailed
from runbooks.journal import StepEnded, StepOutcome, StepRetried, StepStarted, StepWithdrawn
from runbooks.model import IfUnreachable
from runbooks.planned import PlannedStep
from runbooks.recorder import Recorder
from sites.errors import HostUnreachable, SitesMisuse, SitesTrouble

log = structlog.get_logger(__name__)

BACKOFF_LIMIT_SECONDS = 60.0


class LeftInDoubt(RunbooksTrouble):
    """A step was cut off and nothing settles how it ended; the message is for the person who will."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """Carries out single steps of one run."""

    recorder: Recorder
    catalogue: ActionCatalogue
    context: ActionContext
    may_act: MayAct
    now_ns: Callable[[], int]

    async def carry_out(self, step: PlannedStep) -> None:
        """Attempts until one ends well or none is left; its end is on file when this returns.

        Raises LostRight or JournalTrouble.
        """
        begun_ns = self.now_ns()
        try:
            outcome, result = await self._attempts(step, self._spec(step))
        except AttemptFailed as failed:
            outcome, result = failed.outcome, Result(failed.evidence, failed.exit_status)
        await self._end(step, outcome, result, begun_ns)

    async def resume(self, step: PlannedStep) -> None:
        """Settle a step whose end is not on file: by what the action left behind, by `unless` and `verify`,
        else by running it again where that does no harm.

        Raises LeftInDoubt when only a person can tell, LostRight or JournalTrouble.
        """
        begun_ns = self.now_ns()
        try:
            spec = self._spec(step)
            call = self._call(step, spec, self._last_attempt(step))
        except AttemptFailed as failed:
            await self._end(step, failed.outcome, Result(failed.evidence), begun_ns)
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
        return Call(progress.plan, step, arguments, attempt, self.may_act, progress.values)

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
        """Raises AttemptFailed, LostRight, JournalTrouble."""
        if (evidence := await already_done(step, spec, self.context)) is not None:
            return StepOutcome.ALREADY_DONE, Result(evidence)
        # Never a number twice: a host refuses an attempt that comes late, after a higher one.
        attempt = self._last_attempt(step) + 1
        call = self._call(step, spec, attempt)
        # Intent is on disk before the deed, and the right is asked for after that write, which may take
        # long: nothing stands between the answer and the deed (P26).
        await self.recorder.note(StepStarted(step.id, attempt))
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

    async def _end(self, step: PlannedStep, outcome: StepOutcome, result: Result, begun_ns: int) -> None:
        seconds = (self.now_ns() - begun_ns) / 1e9
        attempt = self._last_attempt(step)
        run_id = self.recorder.progress.plan.id
        log.info("step_ended", run=run_id, step=step.id, outcome=outcome, seconds=round(seconds, 3))
        evidence = bounded(result.evidence)
        await self.recorder.note(
            StepEnded(step.id, attempt, outcome, evidence, result.exit_status, seconds, result.values)
        )

    # -- a step that was cut off --------------------------------------------------------------------

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
            raise LeftInDoubt(
                f"step {step.number}, {step.title} ({step.action} at {place}) was cut off, and nothing tells "
                f"whether it was done: {found.evidence}. Look there, and order the move again"
            )
