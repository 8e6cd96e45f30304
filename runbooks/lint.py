"""What is found in a runbook that can be read: what no plan could use, and what would go wrong on the day.

Needs no estate: what depends on one is `runbooks.uses`'. Every finding has a code of `runbooks.rules`. Pure:
the text's document and its model in, findings out.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runbooks.catalogue import ActionCatalogue, ActionSpec
from runbooks.checks import texts_of
from runbooks.expand import nested_in, parameter_problems
from runbooks.model import APPROVE, BY_PEOPLE, Condition, IfUnreachable, Kind, OnFailure, Runbook, Side, Step
from runbooks.templates import Manner, is_template, parameters_in
from runbooks.typed_secrets import spots_in
from sites.marks import Document, Finding, Trail
from sites.shape import file_keys

_PLACE = re.compile(r"^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$")
_SECRET_NAME = re.compile(r"(^|_)(password|passphrase|secret|token)$")
_HOST_WANTED = "\"{{ to_site.hosts['crm-app'] }}\", or a site and a host such as durham/crm-app"


def findings_of_sound(
    document: Document,
    runbook: Runbook,
    catalogue: ActionCatalogue,
    kinds: frozenset[Kind],
) -> list[Finding]:
    """Everything to say about a runbook that can be read, in no order. `kinds` are those of the runs it is
    used in."""
    findings = [*_head(runbook), *_parameters(runbook, catalogue)]
    by_id = {step.id: step for step in runbook.steps}
    for index, step in enumerate(runbook.steps):
        at: Trail = ("steps", index)
        spec = catalogue[step.action]
        if spec.changes_with(step.arguments):
            findings += _effect(step, at)
        findings += _lost_site(step, spec, at, kinds)
        findings += _during(by_id, step, at, kinds)
        findings += _places(catalogue, document.data["steps"][index], at)
        findings += _people(runbook, step, at, kinds)
        findings += _handed_on(runbook, step, at, catalogue)
    return findings


def _people(runbook: Runbook, step: Step, at: Trail, kinds: frozenset[Kind]) -> Iterator[Finding]:
    """What a step that fails, or waits for people, asks of them."""
    if step.on_failure is OnFailure.UNDO and not any(other.undo is not None for other in runbook.steps):
        said = f"step {step.id} has the run undone when it fails, and no step here has an `undo`"
        yield _warning((*at, "on_failure"), said, "undo-of-nothing")
    needed = {need for other in runbook.steps for need in other.needs}
    if step.action in BY_PEOPLE and Kind.FAILOVER in _kinds_of(step, kinds) and step.id in needed:
        said = f"step {step.id} waits for a person in a failover, and other steps need it"
        yield _warning(at, said, "people-in-failover")
    if step.action == APPROVE and not step.arguments.get("role") and not step.arguments.get("owner"):
        said = f"step {step.id} names neither `role` nor `owner`: anybody but whoever ordered the run counts"
        yield _warning(at, said, "anybody-approves")


def secrets_in(document: Document, lines: tuple[str, ...]) -> list[Finding]:
    """What looks like a secret in plain text. `lines` as they stand in the file, nothing hidden."""
    found = {
        spot.place.line: Finding(
            (), found=f"{spot.kind} in plain text", warning=True, place=spot.place, code="secret"
        )
        for spot in reversed(spots_in(lines))
    }
    typed = [trail for trail in document.typed_secrets if not _filled_in(_at(document.data, trail))]
    for trail in [*typed, *_secret_defaults(document.data)]:
        said = f"a secret in plain text: {trail[-2] if trail[-1] == 'default' else trail[-1]}"
        found.setdefault(document.place(trail).line, _warning(trail, said, "secret"))
    return list(found.values())


def _warning(trail: Trail, said: str, code: str, *, at_key: bool = False) -> Finding:
    return Finding(trail, found=said, at_key=at_key, warning=True, code=code)


def _head(runbook: Runbook) -> Iterator[Finding]:
    if runbook.inverse is None:
        yield _warning(("runbook",), "no `inverse`: no way back is named", "no-inverse", at_key=True)


def _effect(step: Step, at: Trail) -> Iterator[Finding]:
    """A step that changes something says how long it may take, and how one sees that it is done."""
    if "timeout_seconds" not in step.model_fields_set:
        said = f"step {step.id} changes something and has no `timeout`: it is ended after 60 seconds"
        yield _warning(at, said, "no-timeout")
    if step.verify is None and step.unless is None:
        said = f"step {step.id} changes something, and neither `verify` nor `unless` can tell whether it did"
        yield _warning(at, said, "no-verify")


def _lost_site(step: Step, spec: ActionSpec, at: Trail, kinds: frozenset[Kind]) -> Iterator[Finding]:
    if Kind.FAILOVER not in kinds or (step.during and Kind.FAILOVER not in step.during):
        return
    if step.if_unreachable is IfUnreachable.CONTINUE or step.on_failure is OnFailure.CONTINUE:
        return
    asked = [key for key in ("unless", "verify") if _asks_at(getattr(step, key), Side.FROM)]
    asked += [key for key in ("all", "any") if _asserts_at(step.arguments.get(key), Side.FROM)]
    host = str(step.arguments.get("host", ""))
    lost = "from_site, which a failover has usually lost"
    if side_of(step, spec) is Side.FROM:
        how = f"acts at {lost}"
    elif asked:
        how = f"asks in `{asked[0]}` at {lost}"
    elif _PLACE.match(host):
        how = f"acts at {host.partition('/')[0]}, lost in a failover from there"
    else:
        return
    said = f"step {step.id} {how}, and the run ends there"
    yield _warning(at, said, "needs-lost-site")


def side_of(step: Step, spec: ActionSpec) -> Side | None:
    """The side at which a step acts, as far as the file alone tells."""
    host = step.arguments.get("host")
    if isinstance(host, str) and (side := _side_in(host)) is not None:
        return side
    if step.for_each is not None:
        return step.for_each.at
    if isinstance(host, str):
        return None
    info = file_keys(spec.arguments).get("at")
    at = step.arguments.get("at", info.default if info is not None else None)
    return next((side for side in Side if side == at), None)


def _side_in(host: str) -> Side | None:
    return next((side for side in Side if is_template(host) and re.search(rf"\b{side}\b", host)), None)


def _asks_at(question: Condition | None, side: Side) -> bool:
    if question is None:
        return False
    return question.at is side or (question.host is not None and _side_in(question.host) is side)


def _asserts_at(assertions: object, side: Side) -> bool:
    """Of a `check`, as written: whether one of its assertions looks there."""
    return isinstance(assertions, list) and any(
        isinstance(one, dict) and (one.get("at") == side or _side_in(str(one.get("host", ""))) is side)
        for one in assertions
    )


def _during(by_id: Mapping[str, Step], step: Step, at: Trail, kinds: frozenset[Kind]) -> Iterator[Finding]:
    mine = _kinds_of(step, kinds)
    trail: Trail = (*at, "during")
    if not mine:
        used = ", ".join(sorted(kinds))
        only = ", ".join(step.during)
        said = f"step {step.id} belongs to {only} only, and the runbook is used for {used}"
        yield _warning(trail, said, "never-carried-out")
        return
    for position, need in enumerate(step.needs):
        theirs = _kinds_of(by_id[need], kinds)
        if theirs and not mine & theirs:
            said = f"step {step.id} needs {need}, and no kind of run has both: this need never counts"
            yield _warning((*at, "needs", position), said, "need-never-counts")


def _kinds_of(step: Step, kinds: frozenset[Kind]) -> frozenset[Kind]:
    return kinds & frozenset(step.during) if step.during else kinds


def _parameters(runbook: Runbook, catalogue: ActionCatalogue) -> Iterator[Finding]:
    used = parameters_used(runbook, catalogue)
    for name in runbook.parameters:
        if used is not None and name not in used:
            said = f"the parameter {name} is used nowhere"
            yield _warning(("parameters", name), said, "parameter-unused", at_key=True)


def parameters_used(runbook: Runbook, catalogue: ActionCatalogue) -> frozenset[str] | None:
    """The parameters that a sound runbook uses; None when it may use any. What is only handed to a nested
    runbook's parameter that is used nowhere is not used."""
    used: set[str] = set()
    for step in runbook.steps:
        inner = _nested(runbook, step, catalogue)
        inside = None if inner is None else parameters_used(inner, catalogue)
        written = step.model_dump(mode="json", by_alias=True, exclude_unset=True)
        for trail, text, manner in texts_of(catalogue, written):
            found = parameters_in(text, manner)
            if inside is not None and trail[0] == "parameters" and trail[1] not in inside:
                continue
            if found is None:
                return None
            used |= found
    return frozenset(used)


def _nested(runbook: Runbook, step: Step, catalogue: ActionCatalogue) -> Runbook | None:
    name = nested_in(step, catalogue)
    return runbook.nested.get(name) if name is not None else None


def _handed_on(runbook: Runbook, step: Step, at: Trail, catalogue: ActionCatalogue) -> Iterator[Finding]:
    """Values for parameters that the nested runbook does not have or does not use, and those it lacks."""
    inner = _nested(runbook, step, catalogue)
    if inner is None:
        return
    given = step.arguments.get("parameters")
    names = list(given) if isinstance(given, Mapping) else []
    for problem in parameter_problems(inner, names):
        trail: Trail = (*at, "parameters" if names else "runbook")
        yield Finding(trail, problem.expected, problem.found, code="nested-parameter")
    used = parameters_used(inner, catalogue)
    for name in names:
        if used is not None and name in inner.parameters and name not in used:
            said = f"{inner.name} takes the parameter {name} and uses it nowhere"
            yield _warning((*at, "parameters", name), said, "parameter-unused", at_key=True)


def _places(catalogue: ActionCatalogue, step: Mapping[str, Any], at: Trail) -> Iterator[Finding]:
    for trail, text, manner in texts_of(catalogue, step):
        if manner is Manner.HOST and not is_template(text) and not _PLACE.match(text):
            yield Finding((*at, *trail), _HOST_WANTED, code="unknown-host")


def _secret_defaults(data: Any) -> Iterator[Trail]:
    """Parameters whose name says that they are secrets, with a default."""
    parameters = data.get("parameters") if isinstance(data, Mapping) else None
    for name, parameter in parameters.items() if isinstance(parameters, Mapping) else ():
        default = parameter.get("default") if isinstance(parameter, Mapping) else None
        if _SECRET_NAME.search(str(name)) and default not in (None, "") and not _filled_in(default):
            yield ("parameters", name, "default")


def _filled_in(value: Any) -> bool:
    return isinstance(value, str) and (is_template(value) or value.startswith(("$", "<", "!")))


def _at(data: Any, trail: Trail) -> Any:
    for part in trail:
        data = data[part]
    return data
