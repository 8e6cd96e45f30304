"""What one key of a runbook alone cannot tell: names of steps, circles, actions and their keys, templates.

Works on the plain values of a file and expects nothing of their shape, so that these faults are found
together with those of the model. Pure: findings out, never an exception.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from runbooks.catalogue import ActionCatalogue, ActionSpec
from runbooks.graph import cycle_in
from runbooks.marks import NamesRunbook, key_of
from runbooks.model import Condition, Step, Undo
from runbooks.nested import OWN_KEYS
from runbooks.templates import NAMES, NAMES_OF_EACH, Manner, check, is_template
from runbooks.texts import texts
from sites.faults import findings_of
from sites.marks import Document, Finding, Trail, nearest
from sites.shape import file_keys

EACH_HOST = "{{ host }}"
"""Where a step acts that is carried out for each host, unless it says otherwise."""

_QUESTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("unless", Condition),
    ("verify", Condition),
    ("undo", Undo),
)


def findings_in(document: Document, catalogue: ActionCatalogue) -> list[Finding]:
    """Everything wrong with the steps of a runbook, and with its texts."""
    data = document.data if isinstance(document.data, Mapping) else {}
    listed = data.get("steps")
    steps = {
        index: step for index, step in enumerate(listed if isinstance(listed, list) else ()) if _is_step(step)
    }
    declared = data.get("parameters")
    parameters = [str(key) for key in declared] if isinstance(declared, Mapping) else []
    findings = [*_names(steps), *_circle(steps)]
    for index, step in steps.items():
        at: Trail = ("steps", index)
        findings += _action(document, catalogue, step, at)
        findings += _texts(catalogue, step, at, parameters)
        findings += _questions(step, at)
        findings += _nested(catalogue, step, at)
    return findings


def _is_step(step: Any) -> bool:
    return isinstance(step, Mapping)


def _names(steps: Mapping[int, Mapping[str, Any]]) -> Iterator[Finding]:
    """Ids given twice, and needs that name no step."""
    first: dict[str, int] = {}
    for index, step in steps.items():
        step_id = step.get("id")
        if not isinstance(step_id, str):
            continue
        if step_id in first:
            again = f"the id {step_id!r} again (first in step {first[step_id] + 1})"
            yield Finding(("steps", index, "id"), "an id of its own for each step", again, code="id-twice")
        first.setdefault(step_id, index)
    for index, step in steps.items():
        for position, need in enumerate(_needs(step)):
            trail: Trail = ("steps", index, "needs", position)
            if need == step.get("id"):
                yield Finding(trail, "other steps only", f"the step {need!r} itself", code="circle")
            elif need not in first:
                guess = nearest(need, list(first))
                there_is = (
                    f"perhaps {guess!r}" if guess else f"one of {', '.join(first) or 'no steps at all'}"
                )
                yield Finding(trail, there_is, f"the unknown step {need!r}", code="unknown-step")


def _needs(step: Mapping[str, Any]) -> list[str]:
    needs = step.get("needs")
    return [need for need in needs if isinstance(need, str)] if isinstance(needs, list) else []


def _circle(steps: Mapping[int, Mapping[str, Any]]) -> Iterator[Finding]:
    by_id: dict[str, int] = {}
    for index, step in steps.items():
        if isinstance(step.get("id"), str):
            by_id.setdefault(step["id"], index)
    needs = {
        step_id: [need for need in _needs(steps[index]) if need != step_id]
        for step_id, index in by_id.items()
    }
    circle = cycle_in(needs)
    if circle:
        shown = " needs ".join([*circle, circle[0]])
        trail: Trail = ("steps", by_id[circle[0]], "needs")
        wanted = "an order in which every step can have its turn"
        yield Finding(trail, wanted, f"a circle: {shown}", code="circle")


def _action(
    document: Document, catalogue: ActionCatalogue, step: Mapping[str, Any], at: Trail
) -> Iterator[Finding]:
    """The action's word, and its own keys."""
    word = step.get("action")
    if not isinstance(word, str):
        return
    spec = catalogue.get(word)
    if spec is None:
        guess = catalogue.suggestion(word)
        there_is = f"perhaps {guess!r}" if guess else f"one of {', '.join(catalogue.words)}"
        found = f"the unknown action {word!r}"
        yield Finding((*at, "action"), there_is, found, code="unknown-action")
        return
    common = file_keys(Step)
    own = own_arguments(spec, step)
    try:
        spec.arguments.model_validate(own)
    except ValidationError as error:
        for finding in findings_of(error, document, spec.arguments, at=at, also_known=common):
            # What is still to be filled in is judged when it is: by the plan.
            if finding.at_key or not _holds_template(_value(step, finding.trail[len(at) :])):
                yield finding


def own_arguments(spec: ActionSpec, step: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that belong to the action; where the step is for each host, that one is its host."""
    common = file_keys(Step)
    own = {key: value for key, value in step.items() if key not in common}
    if "for_each" in step and "host" in file_keys(spec.arguments):
        own.setdefault("host", EACH_HOST)
    return own


def _nested(catalogue: ActionCatalogue, step: Mapping[str, Any], at: Trail) -> Iterator[Finding]:
    """Keys that belong to the steps of the other runbook, not to the one that names it."""
    spec = catalogue.get(step["action"]) if isinstance(step.get("action"), str) else None
    if spec is None or key_of(spec.arguments, NamesRunbook) is None:
        return
    for key in step:
        if key in file_keys(Step) and key not in OWN_KEYS:
            wanted = "it at the steps of that runbook: there is no one attempt here that it could be said of"
            found = f"`{key}` where a whole runbook stands"
            yield Finding((*at, key), wanted, found, at_key=True, code="nested-key")


def _value(step: Any, trail: Trail) -> Any:
    for part in trail:
        try:
            step = step[part]
        except (LookupError, TypeError):
            return None
    return step


def _holds_template(value: Any) -> bool:
    return isinstance(value, str) and is_template(value)


def _texts(
    catalogue: ActionCatalogue, step: Mapping[str, Any], at: Trail, parameters: list[str]
) -> Iterator[Finding]:
    """Templates that name what there is not, or put a value where the shell would run it."""
    names = NAMES_OF_EACH if "for_each" in step else NAMES
    for trail, text, manner in texts_of(catalogue, step):
        for fault in check(text, manner, parameters, names):
            yield Finding((*at, *trail), fault.expected, fault.found, code=fault.code)


def texts_of(catalogue: ActionCatalogue, step: Mapping[str, Any]) -> list[tuple[Trail, str, Manner]]:
    """Every text of a step in which values may stand, with the way to it."""
    spec = catalogue.get(step["action"]) if isinstance(step.get("action"), str) else None
    found = list(texts(spec.arguments, own_arguments(spec, step))) if spec else []
    if isinstance(step.get("title"), str):
        found.append((("title",), step["title"], Manner.TEXT))
    if "for_each" in step:
        found += texts(Step, {"for_each": step["for_each"]})
    for key, model in _QUESTIONS:
        question = step.get(key)
        if isinstance(question, str):
            found.append(((key,), question, Manner.SHELL))
        elif isinstance(question, Mapping):
            found += [((key, *trail), text, manner) for trail, text, manner in texts(model, question)]
    return found


def _questions(step: Mapping[str, Any], at: Trail) -> Iterator[Finding]:
    """Keys of `unless`, `verify` and `undo` that do not go together."""
    for key, _ in _QUESTIONS:
        written = step.get(key)
        question = {"run": written} if isinstance(written, str) else written
        if not isinstance(question, Mapping):
            continue
        if "run" in question and "host" not in question and "host" not in step and "for_each" not in step:
            found = "a command without a host"
            yield Finding((*at, key), "a host: the step has none of its own", found, code="question")
        if "run" not in question and "host" in question:
            found = "a host for a question without a command"
            yield Finding((*at, key, "host"), "`at`, the site asked", found, code="question")
        if key == "unless" and "within" in question:
            wanted = "`within` in `verify` only: `unless` is asked once"
            yield Finding((*at, key, "within"), wanted, "`within` here", code="question")
