"""A plan as people read it before it runs: numbered, in order, with what is known and how long at most.

Pure: lines out. The console, `twinsite plan` and the question before a destructive verb all show these.
"""

from collections.abc import Iterator

from runbooks.context import on_one_line
from runbooks.graph import longest_chain
from runbooks.model import IfUnreachable, InDoubt, OnFailure
from runbooks.planned import Plan, PlannedStep
from runbooks.showing import argument_lines, hosts_at_a_time, numbers_in_words
from sites.quantities import format_duration

_QUIET = frozenset({"at", "host"})
_SHOWN_CHARACTERS = 160


def render_plan(plan: Plan) -> list[str]:
    """The plan line by line. The same plan gives the same lines."""
    lines = [f"{str(plan.kind).capitalize()} of {plan.service} from {plan.from_site} to {plan.to_site}"]
    if plan.reason:
        lines.append(f"  why: {plan.reason}")
    width = max((len(known.label) for known in plan.known), default=0)
    lines += [f"  {known.label + ':':<{width + 1}} {known.value}" for known in plan.known]
    for part in plan.parts:
        lines += ["", f"{part.title} ({part.runbook})"]
        if not part.steps:
            lines.append("  nothing to do in this kind of run")
        for step in part.steps:
            lines += _step(plan, step)
    return [*lines, "", _summary(plan)]


def _step(plan: Plan, step: PlannedStep) -> Iterator[str]:
    numbers = [plan.by_id[need].number for need in step.needs]
    after = f"  after {numbers_in_words(numbers)}" if numbers else ""
    place = f" at {step.place}" if step.place else ""
    yield f"{step.number:>4}. {step.title}{after}"
    yield f"      {step.action}{place}, at most {format_duration(step.timeout_seconds)}{_manner(step)}"
    for key, value in argument_lines(step.arguments, _QUIET):
        yield f"      {key}: {_short(value)}"
    if step.unless is not None:
        yield f"      not if already so: {_short(step.unless)}"
    if step.verify is not None:
        yield f"      then it must hold: {_short(step.verify)}"


def _manner(step: PlannedStep) -> str:
    notes = []
    if step.retries:
        notes.append(f"up to {step.retries + 1} attempts")
    if step.if_unreachable is IfUnreachable.CONTINUE:
        notes.append("goes on if the host does not answer")
    if step.on_failure is OnFailure.CONTINUE:
        notes.append("goes on if it fails")
    if step.on_failure is OnFailure.ASK:
        notes.append("asks a person if it fails")
    if step.on_failure is OnFailure.UNDO:
        notes.append("has the run undone if it fails")
    if step.undo is not None:
        notes.append("can be undone")
    if step.in_doubt is InDoubt.RERUN:
        notes.append("may be run again")
    notes += [hosts_at_a_time(limit.at_most) for limit in step.limits]
    return "".join(f"; {note}" for note in notes)


def _short(value: object) -> str:
    text = " ⏎ ".join(on_one_line(line) for line in str(value).strip().splitlines())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _summary(plan: Plan) -> str:
    if not plan.steps:
        return "No steps."
    weights = {step.id: step.timeout_seconds for step in plan.steps}
    chain = longest_chain({step.id: step.needs for step in plan.steps}, weights)
    numbers = ", ".join(str(plan.by_id[step_id].number) for step_id in chain)
    most = format_duration(sum(weights[step_id] for step_id in chain))
    count = "1 step" if len(plan.steps) == 1 else f"{len(plan.steps)} steps"
    return f"{count}; the longest chain by time limits is {numbers}, at most {most} for one attempt each."
