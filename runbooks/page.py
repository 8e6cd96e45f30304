"""What a page to hang on the wall says of a runbook: every step with its number, ready to be printed.

Two sources, one page: a runbook bound to nothing, in words for sites and hosts, or a plan of a service, with
its own hosts, values and numbers. Values only; `runbooks.page_text` lays them out. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbooks.catalogue import ActionCatalogue
from runbooks.expand import Leaf, laid_out
from runbooks.graph import in_order
from runbooks.model import IfUnreachable, InDoubt, Kind, OnFailure, Runbook, Step
from runbooks.planned import Part, Plan, PlannedStep
from runbooks.showing import argument_lines, hosts_at_a_time, in_words
from runbooks.wording import (
    LEGEND,
    place_in_words,
    question_in_words,
    text_in_words,
    times_of_leaf,
    title_of_leaf,
)
from sites.quantities import format_duration

ALONE = (
    "The numbers are those of this runbook alone. A plan counts what comes before it too: with --service and "
    "--to this page has the plan's own numbers."
)
_NOT_SHOWN = frozenset({"at", "host"})
_WHO = ("who", "role", "contact")


@dataclass(frozen=True, slots=True)
class PageStep:
    """One step as the page shows it: words, ready to be printed. Empty where there is nothing to say."""

    number: int
    id: str
    title: str
    action: str
    does: str
    where: str = ""
    who: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[int, ...] = ()
    timeout: str = ""
    attempts: str = ""
    unless: str = ""
    verify: str = ""
    if_unreachable: str = ""
    on_failure: str = ""
    in_doubt: str = ""
    undo: str = ""
    only_in: tuple[str, ...] = ()
    changes: bool = True
    times: str = ""


@dataclass(frozen=True, slots=True)
class Around:
    """A step of the plan that is none of this runbook's: twinsite's own, or another runbook's."""

    number: int
    title: str
    of: str


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page. `notes` stand below the title."""

    runbook: str
    title: str
    kind: str
    inverse: str
    sha256: str
    steps: tuple[PageStep, ...]
    service: str = ""
    from_site: str = ""
    to_site: str = ""
    around: tuple[Around, ...] = ()
    notes: tuple[str, ...] = ()


def page_of(runbook: Runbook, catalogue: ActionCatalogue, kind: Kind | None = None) -> Page:
    """The page of a runbook that is bound to nothing, numbered as it would be alone."""
    leaves, _ = laid_out(runbook, kind, catalogue)
    order = in_order({leaf.id: leaf.needs for leaf in leaves})
    numbers = {step_id: number for number, step_id in enumerate(order, start=1)}
    made = [_of_leaf(leaf, numbers, catalogue) for leaf in leaves]
    given = [
        f"{name} must be given" if parameter.required else f"{name} is {in_words(parameter.default)}"
        for name, parameter in runbook.parameters.items()
    ]
    return Page(
        runbook.name,
        text_in_words(runbook.title, runbook.parameters),
        str(kind or ""),
        runbook.inverse or "",
        runbook.source_sha256,
        tuple(sorted(made, key=lambda step: step.number)),
        notes=(
            LEGEND,
            ALONE,
            *([f"Parameters, where nothing else is given: {', '.join(given)}."] if given else []),
        ),
    )


def page_of_plan(
    plan: Plan, part: Part, runbook: Runbook, catalogue: ActionCatalogue, notes: Sequence[str] = ()
) -> Page:
    """The page of one runbook's part in a plan, with the plan's numbers."""
    around = [
        Around(step.number, step.title, other.runbook)
        for other in plan.parts
        for step in other.steps
        if other.name != part.name
    ]
    return Page(
        runbook.name,
        part.title,
        str(plan.kind),
        runbook.inverse or "",
        part.source_sha256,
        tuple(_of_planned(plan, step, catalogue) for step in part.steps),
        plan.service,
        plan.from_site,
        plan.to_site,
        tuple(sorted(around, key=lambda step: step.number)),
        tuple(notes),
    )


def _of_leaf(leaf: Leaf, numbers: Mapping[str, int], catalogue: ActionCatalogue) -> PageStep:
    step, parameters = leaf.step, leaf.runbook.parameters
    place = place_in_words(step, catalogue)
    arguments = {
        key: text_in_words(str(value), parameters) if key == "message" else value
        for key, value in step.arguments.items()
    }
    return PageStep(
        numbers[leaf.id],
        leaf.id,
        title_of_leaf(leaf),
        step.action,
        catalogue[step.action].summary,
        place,
        _who(arguments),
        _shown(arguments),
        tuple(sorted(numbers[need] for need in leaf.needs)),
        format_duration(step.timeout_seconds),
        _attempts(step),
        question_in_words(step.unless, place) if step.unless is not None else "",
        _verified(question_in_words(step.verify, place), step.verify.within_seconds) if step.verify else "",
        *_outcomes(step),
        undo=step.undo.run if step.undo is not None else "",
        only_in=tuple(str(kind) for kind in step.during),
        changes=catalogue[step.action].changes_with(step.arguments),
        times=times_of_leaf(leaf),
    )


def _of_planned(plan: Plan, step: PlannedStep, catalogue: ActionCatalogue) -> PageStep:
    return PageStep(
        step.number,
        step.id,
        step.title,
        step.action,
        catalogue[step.action].summary,
        step.place,
        _who(step.arguments),
        _shown(step.arguments),
        tuple(sorted(plan.by_id[need].number for need in step.needs)),
        format_duration(step.timeout_seconds),
        _attempts(step),
        str(step.unless) if step.unless is not None else "",
        _verified(str(step.verify), step.verify.within_seconds) if step.verify is not None else "",
        *_outcomes(step),
        undo=str(step.undo["run"]) if step.undo is not None else "",
        changes=catalogue[step.action].changes_with(step.arguments),
        times="; ".join(hosts_at_a_time(limit.at_most) for limit in step.limits),
    )


def _who(arguments: Mapping[str, Any]) -> str:
    return ", ".join(str(arguments[key]) for key in _WHO if key in arguments and "who" in arguments)


def _shown(arguments: Mapping[str, Any]) -> dict[str, str]:
    hidden = _NOT_SHOWN | (frozenset(_WHO) if "who" in arguments else frozenset())
    shown: dict[str, str] = {}
    for key, text in argument_lines(arguments, hidden):
        shown[key] = f"{shown[key]}\n{text.strip()}" if key in shown else text.strip()
    return shown


def _attempts(step: Step | PlannedStep) -> str:
    if not step.retries:
        return "one"
    wait = format_duration(step.backoff_seconds)
    return f"up to {step.retries + 1}, waiting {wait} at first and twice as long each time"


def _verified(question: str, within_seconds: float | None) -> str:
    return f"{question}, within {format_duration(within_seconds)}" if within_seconds else question


def _outcomes(step: Step | PlannedStep) -> tuple[str, str, str]:
    """What becomes of it when its host is silent, when it fails, and when a crash cuts it off."""
    silent = step.if_unreachable is IfUnreachable.CONTINUE
    failed = {
        OnFailure.ABORT: "stop: start nothing more",
        OnFailure.CONTINUE: "go on as if it had ended well",
        OnFailure.ASK: "wait for a person: twinsite runs show says what to type",
        OnFailure.UNDO: "take back what was done, the last first, and end",
    }
    asked = step.unless is not None or step.verify is not None
    doubt = "run it again" if step.in_doubt is InDoubt.RERUN else "look before doing anything"
    return (
        "go on at once, without further attempts" if silent else "as if it had failed",
        failed[step.on_failure],
        f"go by the check; if that cannot tell, {doubt}" if asked else doubt,
    )
