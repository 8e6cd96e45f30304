"""How a run ended, in one line: what stands in its last record and is shown in every list. Pure."""

from runbooks.context import bounded
from runbooks.journal import RunEnded, RunOutcome
from runbooks.progress import Progress, StepState
from runbooks.undoing import not_taken_back, owned

SUMMARY_LIMIT_CHARACTERS = 500
_WELL = (StepState.DONE, StepState.ALREADY_DONE)


def conclusion(progress: Progress, standstill: tuple[RunOutcome, str] | None) -> RunEnded:
    """How a run ended in which nothing is left to start."""
    left = tuple(step.id for step in progress.left)
    if standstill is not None:
        return RunEnded(*standstill, left)
    outcome, summary = _ending(progress)
    return RunEnded(outcome, bounded(summary, SUMMARY_LIMIT_CHARACTERS), left)


def _ending(progress: Progress) -> tuple[RunOutcome, str]:
    if progress.aborted is not None:
        order = progress.aborted
        words = f"aborted by {order.who}: {order.reason}; {_done(progress)}, and stay so"
        return RunOutcome.ABORTED, words
    if progress.undone:
        return RunOutcome.UNDONE, _taken_back(progress)
    if failed := progress.failed:
        first = failed[0]
        said = progress.steps[first.id].evidence.strip().splitlines() or ["no evidence"]
        return (
            RunOutcome.FAILED,
            f"step {first.number}, {first.title}: {progress.state(first.id)}: {said[0]}",
        )
    if not progress.complete:
        return RunOutcome.IN_DOUBT, "steps are left whose turn never came"
    without = [step for step in progress.plan.steps if progress.state(step.id) not in _WELL]
    summary = f"{_done(progress)}"
    if without:
        named = ", ".join(f"{step.number} {step.title} ({progress.state(step.id)})" for step in without)
        summary = f"{summary}; went on without {named}"
    return RunOutcome.DONE, summary


def _done(progress: Progress) -> str:
    steps = progress.plan.steps
    return f"{sum(progress.state(step.id) in _WELL for step in steps)} of {len(steps)} steps are done"


def _taken_back(progress: Progress) -> str:
    undo = progress.undo or ()
    done = sum(progress.state(step.id) in _WELL for step in undo)
    why = (
        f"undone by {progress.undo_ordered.who}: {progress.undo_ordered.reason}"
        if progress.undo_ordered
        else ("undone, because a step failed")
    )
    words = f"{why}; {done} of {len(undo)} steps were taken back"
    if stays := not_taken_back(progress.plan, progress.steps):
        words += f"; without an undo, as they are: {', '.join(f'{s.number} {s.title}' for s in stays)}"
    if moved := owned(progress.plan, progress.steps):
        words += f"; not touched: {', '.join(f'{s.number} {s.title}' for s in moved)}"
    return words
