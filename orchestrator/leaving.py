"""What a run leaves that ended before its end: whose the service is, whether it is written to and protected,
and what to do next. In words; it changes nothing."""

from orchestrator.controller import Controller
from orchestrator.core.records import ServiceRecord
from orchestrator.core.view import ServiceView, View
from runbooks.journal import RunOutcome
from runbooks.model import Kind
from runbooks.progress import Progress, StepState
from runbooks.standing import FAILED
from runbooks.undoing import owned

SAID_OF = (RunOutcome.ABORTED, RunOutcome.UNDONE, RunOutcome.FAILED)


class Leaving:
    """One controller's words for it."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    async def lines(self, progress: Progress, outcome: RunOutcome) -> tuple[str, ...]:
        """A line for each thing somebody has to know; none for a run that was done."""
        if outcome not in SAID_OF:
            return ()
        plan = progress.plan
        await self._controller.eyes.look(plan.service, self._controller.site)
        view = self._controller.view()
        service = next(each for each in view.services if each.service.name == plan.service)
        return (*_steps(progress), *_state(view, service), *_next(progress, outcome, view, service))


def _steps(progress: Progress) -> list[str]:
    """The plan's steps by what became of them, by number."""
    of: dict[str, list[str]] = {}
    for step in progress.plan.steps:
        state = progress.state(step.id)
        back = progress.steps.get(f"undo:{step.id}")
        if back is not None and back.state is StepState.DONE:
            words = "taken back"
        elif state in FAILED:
            words = "failed, perhaps half done"
        elif state in (StepState.STARTED, StepState.IN_DOUBT):
            words = "not known how they ended: look there"
        elif state is StepState.WAITING:
            words = "never started"
        else:
            words = "done and left so" if state is StepState.DONE else str(state).replace("-", " ")
        of.setdefault(words, []).append(f"{step.number} {step.title}")
    return [f"steps {words}: {', '.join(named)}" for words, named in of.items()]


def _state(view: View, service: ServiceView) -> list[str]:
    record, name = service.record, service.service.name
    if record is None:
        return [f"who owns {name} is not known here at this moment"]
    if record.primary is None:
        return [f"nobody is primary for {name}: {record.previous or 'its last primary'} gave it up"]
    writable = service.writable_at(record.primary)
    told = {
        True: "and accepts writes there",
        False: "and DOES NOT ACCEPT WRITES there",
        None: "whether it accepts writes there is unknown",
    }
    lines = [f"{name} is primary at {record.primary} at epoch {record.epoch}, {told[writable]}"]
    standby = service.service.peer_of(record.primary)
    sample = service.samples.get(standby)
    if sample is not None and sample.streaming:
        lines.append(f"protected: {standby} receives what is written")
    else:
        known = "does not receive what is written" if sample is not None else "does not answer"
        lines.append(f"NOT PROTECTED, as far as is known: {standby} {known}")
    return lines


def _next(progress: Progress, outcome: RunOutcome, view: View, service: ServiceView) -> list[str]:
    plan, record = progress.plan, service.record
    name = plan.service
    lines = []
    if plan.kind is not Kind.REJOIN and _ours_by_this_run(progress, record):
        if outcome in (RunOutcome.FAILED, RunOutcome.ABORTED):
            lines.append(
                f"to go on where it stopped, once the cause is mended: `twinsite runs retry {plan.id} "
                f"--reason …`"
            )
        lines.append(
            f"not taken back: {plan.to_site} has become primary; the way home: `twinsite switchover {name} "
            f"--to "
            f"{plan.from_site}`"
        )
    elif record is not None and record.primary is None and owned(plan, progress.steps):
        lines.append(f"{record.previous} takes it back by itself; if it does not: `twinsite explain {name}`")
    elif plan.kind is Kind.REJOIN:
        lines.append("the rejoin is tried again by itself after a while")
    else:
        lines.append(f"nothing has changed owner; to move it after all: `twinsite plan switchover {name}`")
    lines.append(f"look: `twinsite status`, `twinsite explain {name}`")
    return lines


def _ours_by_this_run(progress: Progress, record: ServiceRecord | None) -> bool:
    return (
        record is not None and record.epoch >= progress.plan.epoch and record.primary == progress.plan.to_site
    )
