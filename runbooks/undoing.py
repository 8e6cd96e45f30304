"""Which steps are taken back, in which order, and what cannot be. Pure.

The `undo` of a step becomes a step of its own, with the journal's and the host's records of its own.
"""

from collections.abc import Mapping, Sequence

from runbooks.model import OWNERSHIP, InDoubt, OnFailure
from runbooks.planned import Plan, PlannedCondition, PlannedStep
from runbooks.standing import WELL, StepProgress, StepState
from sites.quantities import parse_duration

UNDO = "undo:"
"""What the id of a step begins with that takes another one back."""


def is_undo(step: PlannedStep) -> bool:
    """Whether the step takes another one back."""
    return step.id.startswith(UNDO)


def taking_back(plan: Plan, steps: Mapping[str, StepProgress]) -> tuple[PlannedStep, ...]:
    """The steps that take back what may have had an effect: one after the other, the last to end first."""
    made: list[PlannedStep] = []
    for step in _latest_first(plan, steps):
        if step.undo is None:
            continue
        limit = step.undo.get("timeout")  # as the file spells it: with its unit
        made.append(
            PlannedStep(
                id=f"{UNDO}{step.id}",
                part="undo",
                number=len(plan.steps) + len(made) + 1,
                title=f"Take back step {step.number}, {step.title}",
                action="ssh",
                site=str(step.undo["host"]).partition("/")[0],
                host=str(step.undo["host"]),
                arguments={"host": step.undo["host"], "run": step.undo["run"]},
                needs=(made[-1].id,) if made else (),
                timeout_seconds=parse_duration(str(limit)) if limit is not None else step.timeout_seconds,
                if_unreachable=step.if_unreachable,
                unless=_asked(step, "unless"),
                verify=_asked(step, "verify"),
                # Whatever is left half taken back is a person's to look at, not to be left without a word.
                on_failure=OnFailure.ASK,
                in_doubt=InDoubt(step.undo.get("in_doubt", InDoubt.ASK)),
            )
        )
    return tuple(made)


def _asked(step: PlannedStep, key: str) -> PlannedCondition | None:
    """What is asked at the host before or after it is taken back, if anything."""
    if step.undo is None or key not in step.undo:
        return None
    host = str(step.undo["host"])
    return PlannedCondition("run", str(step.undo[key]), host.partition("/")[0], host)


def not_taken_back(plan: Plan, steps: Mapping[str, StepProgress]) -> tuple[PlannedStep, ...]:
    """Steps that were carried out, have no `undo`, and changed something, as far as the plan tells."""
    return tuple(
        step
        for step in _latest_first(plan, steps)
        if step.undo is None and not _only_looks(step) and not step.action.startswith(OWNERSHIP)
    )


def owned(plan: Plan, steps: Mapping[str, StepProgress]) -> tuple[PlannedStep, ...]:
    """Steps that changed who owns the service: never taken back by an `undo`."""
    return tuple(
        step
        for step in plan.steps
        if step.action.startswith(OWNERSHIP) and steps[step.id].state in WELL and steps[step.id].attempts
    )


def _latest_first(plan: Plan, steps: Mapping[str, StepProgress]) -> Sequence[PlannedStep]:
    """Steps that may have had an effect: first those whose end nobody knows, then the last to end."""
    touched = [step for step in plan.steps if steps[step.id].had_an_effect]

    def ended(step: PlannedStep) -> tuple[bool, int, int]:
        state = steps[step.id]
        known = state.state not in (StepState.STARTED, StepState.IN_DOUBT)
        return (not known, state.ended_record, step.number)

    return sorted(touched, key=ended, reverse=True)


def _only_looks(step: PlannedStep) -> bool:
    return step.action in ("probe", "wait", "notify", "person", "approve", "check", "replication.verify")
