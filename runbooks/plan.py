"""Bind runbooks to a service, its sites and what is known, and compose the parts into one plan.

Pure: the dry run and the real run are the object made here. Everything that could go wrong for want of
a name, a host, a probe or a driver's word is refused here, all reasons at once, before anything is done.
It never decides whether a move is right; it only says what would be done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from runbooks.catalogue import ActionCatalogue, ActionSpec
from runbooks.checks import EACH_HOST
from runbooks.context import on_one_line
from runbooks.errors import PlanRefused, Problem
from runbooks.expand import Leaf, laid_out, on_its_host, parameter_problems, steps_of_kind
from runbooks.graph import in_order
from runbooks.marks import NamesFile, key_of
from runbooks.model import BY_PEOPLE, STEPS_LIMIT, Condition, Kind, Runbook, Side, Step, Undo
from runbooks.planned import Known, Part, Plan, PlannedCondition, PlannedStep
from runbooks.questions import asked_in, planned_question
from runbooks.scope import Scope
from runbooks.shipped import FILES_LIMIT_BYTES, SHA256, sha256_of
from runbooks.templates import Manner, TemplateFault, render
from runbooks.texts import filled
from sites.model import Estate, Service
from sites.replication.words import ReplicationDriver, Word
from sites.shape import file_keys

__all__ = ["Facts", "bind", "compose", "facts_of", "steps_of_kind"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the service when the plan is drawn up.

    `unknown_words` are those its driver does not speak, `probes` the names of the service's probes.
    `roles` and `owners` are those that people may have; None where that is not known.
    """

    has_driver: bool = True
    unknown_words: frozenset[Word] = frozenset()
    probes: frozenset[str] = frozenset()
    roles: frozenset[str] | None = None
    owners: frozenset[str] | None = None


def facts_of(service: Service, driver: ReplicationDriver | None, estate: Estate | None = None) -> Facts:
    """The facts of a service as the estate and its driver tell them."""
    return Facts(
        has_driver=driver is not None,
        unknown_words=driver.unknown_words if driver is not None else frozenset(),
        probes=frozenset(probe.name for probe in service.probes),
        roles=frozenset(estate.access.roles) if estate is not None else None,
        owners=frozenset(estate.owners) if estate is not None else None,
    )


def bind(runbook: Runbook, scope: Scope, facts: Facts, catalogue: ActionCatalogue, *, part: str = "") -> Part:
    """The runbook's steps for this move, with nothing left to fill in. Raises PlanRefused."""
    binder = _Binder(scope, facts, catalogue, part or runbook.runbook)
    binder.problems += list(parameter_problems(runbook, scope.parameters))
    if binder.problems:
        # Without its parameters every other text would be a fault too.
        raise PlanRefused(runbook.name, binder.problems)
    defaults = {name: one.default for name, one in runbook.parameters.items() if not one.required}
    binder.scope = replace(scope, parameters={**defaults, **scope.parameters})
    title = binder.title(runbook)
    leaves, problems = laid_out(runbook, Kind(scope.run.kind), catalogue, binder.scope)
    binder.problems += problems
    if len(leaves) > STEPS_LIMIT:
        found = f"{len(leaves)} steps, with all hosts and nested runbooks"
        raise PlanRefused(runbook.name, [Problem("steps", found, f"at most {STEPS_LIMIT}")])
    planned = tuple(binder.step(leaf) for leaf in leaves)
    binder.check_size()
    if binder.problems:
        raise PlanRefused(runbook.name, binder.problems, binder.code)
    return Part(
        binder.part,
        runbook.name,
        title,
        planned,
        runbook.source_sha256,
        dict(sorted(_included(runbook, leaves).items())),
        binder.files,
    )


def without_what_was_left_out(dumped: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """The keys as the plan holds them: empty lists and mappings that nobody wrote are in the way."""
    kept: dict[str, Any] = {}
    for key, value in dumped.items():
        before = written.get(key)
        if value in ([], {}) and before is None:
            continue
        if isinstance(value, dict):
            value = without_what_was_left_out(value, before if isinstance(before, Mapping) else {})
        elif isinstance(value, list):
            rows = before if isinstance(before, list) and len(before) == len(value) else [None] * len(value)
            value = [
                without_what_was_left_out(item, row if isinstance(row, Mapping) else {})
                if isinstance(item, dict)
                else item
                for item, row in zip(value, rows, strict=True)
            ]
        kept[key] = value
    return kept


def _included(runbook: Runbook, leaves: Sequence[Leaf]) -> dict[str, str]:
    """What else was read for these steps: nested runbooks and shipped files, by name."""
    found: dict[str, str] = {}
    for inner in {leaf.runbook.name: leaf.runbook for leaf in leaves}.values():
        if inner.name != runbook.name:
            found[inner.name] = inner.source_sha256
        found |= {f"{inner.name}: {path}": sha256_of(text) for path, text in inner.files.items()}
    return found


def compose(
    *parts: Part,
    run_id: str,
    kind: Kind,
    service: str,
    from_site: str,
    to_site: str,
    epoch: int,
    reason: str = "",
    known: Sequence[Known] = (),
) -> Plan:
    """One plan of the parts, each beginning when the one before has ended. Raises PlanRefused."""
    names = [part.name for part in parts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PlanRefused(", ".join(twice), [Problem("parts", "two parts of one name", "a name each")])
    joined: list[PlannedStep] = []
    sinks: tuple[str, ...] = ()
    for part in parts:
        first = set(part.first)
        joined += [
            replace(step, needs=(*step.needs, *sinks)) if step.id in first else step for step in part.steps
        ]
        sinks = part.last or sinks
    order = in_order({step.id: step.needs for step in joined})
    numbers = {step_id: number for number, step_id in enumerate(order, start=1)}
    numbered = {step.id: replace(step, number=numbers[step.id]) for step in joined}
    ordered_parts = tuple(
        replace(
            part,
            steps=tuple(sorted((numbered[step.id] for step in part.steps), key=lambda step: step.number)),
        )
        for part in parts
    )
    return Plan(
        run_id, kind, service, from_site, to_site, epoch, ordered_parts, reason=reason, known=tuple(known)
    )


@dataclass(slots=True)
class _Binder:
    """One binding: collects problems while it fills the steps in. `scope` is that of the step at hand."""

    scope: Scope
    facts: Facts
    catalogue: ActionCatalogue
    part: str
    at: str = ""
    problems: list[Problem] = field(default_factory=list)
    code: str = "plan-invalid"
    files: dict[str, str] = field(default_factory=dict)

    def title(self, runbook: Runbook) -> str:
        """The runbook's title with its values; as it is written where that cannot be: it is only a title."""
        try:
            return on_one_line(render(runbook.title, self.scope, Manner.TEXT))
        except TemplateFault:
            return runbook.title

    def step(self, leaf: Leaf) -> PlannedStep:
        """The step with everything filled in; its problems are noted."""
        step, self.at = leaf.step, leaf.id
        self.scope = leaf.scope or self.scope
        spec = self.catalogue.get(step.action)
        arguments, model = self._arguments(leaf, spec) if spec else ({}, None)
        if spec is None:
            self._problem(step, "action", f"the unknown action {step.action!r}", "an action that exists here")
        else:
            self._driver(step, spec)
        host = self._host(step, "host", arguments.get("host"))
        site = host.partition("/")[0] or self._site(arguments.get("at"))
        self._probe(step, "probe", arguments.get("probe") if step.action == "probe" else None)
        self._people(step, arguments)
        if model is not None:
            self._asked(step, model, host)
        least = spec.least_seconds(arguments) if spec and spec.least_seconds and arguments else 0.0
        return PlannedStep(
            id=f"{self.part}/{leaf.id}",
            part=self.part,
            number=0,
            title=self._title(leaf, host),
            action=step.action,
            site=site,
            host=host,
            arguments=arguments,
            needs=tuple(f"{self.part}/{need}" for need in leaf.needs),
            timeout_seconds=max(step.timeout_seconds, least),
            retries=step.retries,
            backoff_seconds=step.backoff_seconds,
            unless=self._question(step, "unless", step.unless, site, host),
            verify=self._question(step, "verify", step.verify, site, host),
            if_unreachable=step.if_unreachable,
            on_failure=step.on_failure,
            in_doubt=step.in_doubt,
            undo=self._undo(step, host),
            limits=tuple(replace(one, group=f"{self.part}/{one.group}") for one in leaf.limits),
        )

    def check_size(self) -> None:
        """What is shipped along travels in the plan, which has to fit into one record."""
        size = sum(len(text.encode()) for text in self.files.values())
        if size > FILES_LIMIT_BYTES:
            found = f"{size} bytes of scripts in one runbook"
            self.problems.append(Problem("script", found, f"at most {FILES_LIMIT_BYTES}"))

    def _title(self, leaf: Leaf, host: str) -> str:
        """The title, with those of the steps it stands in, and the host where it is carried out for many."""
        step = leaf.step
        own = self._text(step, "title", step.title or step.id)
        return on_one_line(": ".join((*leaf.titles, on_its_host(own, self.scope.host, host))))

    def _problem(self, step: Step, key: str, found: str, expected: str, code: str = "") -> None:
        where = f"step {self.at}: {key}"
        self.problems.append(Problem(where, found, expected))
        self.code = code or self.code

    def _template(self, step: Step, key: str, fault: TemplateFault) -> None:
        self._problem(step, key, fault.found, fault.expected)

    def _text(self, step: Step, key: str, text: str) -> str:
        try:
            return render(text, self.scope, Manner.TEXT)
        except TemplateFault as fault:
            self._template(step, key, fault)
            return text

    def _arguments(self, leaf: Leaf, spec: ActionSpec) -> tuple[dict[str, Any], BaseModel | None]:
        """The action's keys as the plan holds them, and as its model."""
        step, written = leaf.step, dict(leaf.step.arguments)
        if self.scope.host is not None and "host" in file_keys(spec.arguments):
            written.setdefault("host", EACH_HOST)
        done, faults = filled(spec.arguments, written, self.scope)
        if (key := key_of(spec.arguments, NamesFile)) is not None:
            text = leaf.runbook.files.get(str(written.get(key)), "")
            done[SHA256] = sha256_of(text)
            self.files[done[SHA256]] = text
        for trail, fault in faults:
            self._template(step, ".".join(str(part) for part in trail), fault)
        if faults:
            return {}, None
        try:
            model = spec.arguments.model_validate(done)
        except ValidationError as error:
            self._invalid(step, error)
            return {}, None
        dumped = model.model_dump(mode="json", by_alias=True, exclude_none=True)
        return without_what_was_left_out(dumped, done), model

    def _invalid(self, step: Step, error: ValidationError, *at: str) -> None:
        for detail in error.errors(include_url=False):
            where = ".".join(str(part) for part in (*at, *detail["loc"])) or step.action
            message = detail["msg"].removeprefix("Value error, ").removeprefix("expected ")
            self._problem(step, where, repr(detail["input"]), message.removeprefix("Input should be "))

    def _asked(self, step: Step, model: BaseModel, host: str) -> None:
        """The questions that stand among an action's own keys: do their hosts and probes exist?"""
        for key, asked in asked_in(model):
            on = self._host(step, f"{key}.host", asked.host) or host
            if asked.kind == "run" and not on and asked.host is None and "host" not in step.arguments:
                self._problem(step, key, "a command without a host", "`host`, here or beside `all` or `any`")
            self._answerable(step, key, asked.kind, getattr(asked, asked.kind))

    def _answerable(self, step: Step, key: str, kind: str, asked: Any) -> None:
        if kind == "probe":
            self._probe(step, key, asked)
        if kind == "http":
            self._host(step, f"{key}.http.host", asked.host)
        if kind in ("role", "sample") and not self.facts.has_driver:
            self._problem(
                step, key, f"a {kind} without a driver", "a service whose driver exists", "driver-missing"
            )

    def _driver(self, step: Step, spec: ActionSpec) -> None:
        service = self.scope.service.name
        if spec.needs_words and not self.facts.has_driver:
            found = f"{service} has no replication driver here"
            self._problem(step, "action", found, "a service whose driver exists", "driver-missing")
        for word in sorted(spec.needs_words & self.facts.unknown_words):
            found = f"the driver of {service} does not know the word {word}"
            self._problem(step, "action", found, "a driver that has it, or a step without", "word-missing")

    def _site(self, side: object) -> str:
        if side not in list(Side):
            return ""
        return (self.scope.from_site if side == Side.FROM else self.scope.to_site).name

    def _host(self, step: Step, key: str, reference: object) -> str:
        if reference is None:
            return ""
        sites = (self.scope.from_site, self.scope.to_site)
        place, _, role = str(reference).partition("/")
        if not any(place == site.name and role in site.hosts for site in sites):
            known = ", ".join(f"{site.name}/{role}" for site in sites for role in site.hosts)
            self._problem(step, key, f"the host {reference!r}", f"one of {known or 'none'}")
            return ""
        return str(reference)

    def _probe(self, step: Step, key: str, name: object) -> None:
        if name is not None and name not in self.facts.probes:
            listed = ", ".join(sorted(self.facts.probes)) or "none: it has no probes"
            found = f"the probe {name!r}"
            self._problem(step, key, found, f"one of the probes of {self.scope.service.name}: {listed}")

    def _people(self, step: Step, arguments: Mapping[str, Any]) -> None:
        """Nobody could ever do what is asked of a role that nobody has."""
        if step.action not in BY_PEOPLE:
            return
        for key, known in (("role", self.facts.roles), ("owner", self.facts.owners)):
            name = arguments.get(key)
            if name and known is not None and name not in known:
                listed = ", ".join(sorted(known)) or "none: sites.yaml names none"
                self._problem(step, key, f"the {key} {name!r}", f"one of {listed}", "role-unknown")

    def _question(
        self, step: Step, key: str, question: Condition | None, site: str, host: str
    ) -> PlannedCondition | None:
        if question is None:
            return None
        written = question.model_dump(mode="json", by_alias=True, exclude_unset=True)
        done, faults = filled(Condition, written, self.scope)
        for trail, fault in faults:
            self._template(step, ".".join(str(part) for part in (key, *trail)), fault)
        if faults:
            return None
        try:
            asked = Condition.model_validate(done)
        except ValidationError as error:
            self._invalid(step, error, key)
            return None
        on = self._host(step, f"{key}.host", asked.host) or host
        sides = {Side.FROM: self.scope.from_site.name, Side.TO: self.scope.to_site.name}
        planned = planned_question(asked.model_copy(update={"host": None}), site=site, host=on, sides=sides)
        if not planned.site and asked.kind != "http" and "host" not in step.arguments:
            # A host that is not there has been told already.
            self._problem(step, key, "no place to ask at", "`at: from_site` or `at: to_site`")
        self._answerable(step, key, asked.kind, getattr(asked, asked.kind))
        return planned

    def _undo(self, step: Step, host: str) -> Mapping[str, Any] | None:
        if step.undo is None:
            return None
        written = step.undo.model_dump(mode="json", by_alias=True, exclude_none=True)
        done, faults = filled(Undo, written, self.scope)
        for trail, fault in faults:
            self._template(step, f"undo.{trail[0]}", fault)
        return {**done, "host": self._host(step, "undo.host", done.get("host")) or host}
