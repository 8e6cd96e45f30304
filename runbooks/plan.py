"""Bind runbooks to a service, its sites and what is known, and compose the parts into one plan.

Pure: the dry run and the real run are the object made here. Everything that could go wrong for want of
a name, a host, a probe or a driver's word is refused here, all reasons at once, before anything is done.
It never decides whether a move is right; it only says what would be done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from runbooks.catalogue import ActionCatalogue, ActionSpec
from runbooks.errors import PlanRefused, Problem
from runbooks.graph import in_order
from runbooks.model import BY_PEOPLE, Condition, Kind, Runbook, Side, Step, Undo
from runbooks.planned import Known, Part, Plan, PlannedCondition, PlannedStep
from runbooks.scope import Scope
from runbooks.templates import Manner, TemplateFault, render
from runbooks.texts import filled
from sites.model import Estate, Service
from sites.replication.words import ReplicationDriver, Word


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
    binder = _Binder(runbook, scope, facts, catalogue, part or runbook.runbook)
    problems = list(binder.parameters())
    binder.problems += problems
    if problems:
        # Without its parameters every other text would be a fault too.
        raise PlanRefused(runbook.name, problems)
    steps = steps_of_kind(runbook, Kind(scope.run.kind))
    planned = tuple(binder.step(step, needs) for step, needs in steps)
    if binder.problems:
        raise PlanRefused(runbook.name, binder.problems, binder.code)
    return Part(binder.part, runbook.name, binder.title(), planned, runbook.source_sha256)


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


def steps_of_kind(runbook: Runbook, kind: Kind) -> list[tuple[Step, tuple[str, ...]]]:
    """The steps that belong to this kind of run; what needed a step left out needs what that one needed."""
    kept = {step.id for step in runbook.steps if not step.during or kind in step.during}
    by_id = {step.id: step for step in runbook.steps}
    lead: dict[str, tuple[str, ...]] = {}
    for step_id in in_order({step.id: step.needs for step in runbook.steps}):
        wanted: dict[str, None] = {}
        for need in by_id[step_id].needs:
            wanted.update(dict.fromkeys([need] if need in kept else lead[need]))
        lead[step_id] = tuple(wanted)
    return [(step, lead[step.id]) for step in runbook.steps if step.id in kept]


@dataclass(slots=True)
class _Binder:
    """One binding: collects problems while it fills the steps in."""

    runbook: Runbook
    scope: Scope
    facts: Facts
    catalogue: ActionCatalogue
    part: str
    problems: list[Problem] = field(default_factory=list)
    code: str = "plan-invalid"

    def parameters(self) -> Iterator[Problem]:
        """Settle the parameters: what was given, else the default."""
        given, declared = self.scope.parameters, self.runbook.parameters
        for name in given:
            if name not in declared:
                listed = ", ".join(declared) or "none: it has no parameters"
                yield Problem("parameters", f"the unknown parameter {name}", f"one of {listed}")
        for name, parameter in declared.items():
            if parameter.required and name not in given:
                yield Problem("parameters", f"no value for {name}", "one: it has no default")
        defaults = {name: parameter.default for name, parameter in declared.items() if not parameter.required}
        self.scope = replace(self.scope, parameters={**defaults, **given})

    def title(self) -> str:
        """The runbook's title with its values; as it is written where that cannot be: it is only a title."""
        try:
            return render(self.runbook.title, self.scope, Manner.TEXT)
        except TemplateFault:
            return self.runbook.title

    def step(self, step: Step, needs: tuple[str, ...]) -> PlannedStep:
        """The step with everything filled in; its problems are noted."""
        spec = self.catalogue.get(step.action)
        arguments = self._arguments(step, spec) if spec else {}
        if spec is None:
            self._problem(step, "action", f"the unknown action {step.action!r}", "an action that exists here")
        else:
            self._driver(step, spec)
        host = self._host(step, "host", arguments.get("host"))
        site = host.partition("/")[0] or self._site(arguments.get("at"))
        self._probe(step, "probe", arguments.get("probe") if step.action == "probe" else None)
        self._people(step, arguments)
        least = spec.least_seconds(arguments) if spec and spec.least_seconds and arguments else 0.0
        return PlannedStep(
            id=f"{self.part}/{step.id}",
            part=self.part,
            number=0,
            title=self._text(step, "title", step.title or step.id),
            action=step.action,
            site=site,
            host=host,
            arguments=arguments,
            needs=tuple(f"{self.part}/{need}" for need in needs),
            timeout_seconds=max(step.timeout_seconds, least),
            retries=step.retries,
            backoff_seconds=step.backoff_seconds,
            unless=self._question(step, "unless", step.unless, site, host),
            verify=self._question(step, "verify", step.verify, site, host),
            if_unreachable=step.if_unreachable,
            on_failure=step.on_failure,
            in_doubt=step.in_doubt,
            undo=self._undo(step, host),
        )

    def _problem(self, step: Step, key: str, found: str, expected: str, code: str = "") -> None:
        where = f"step {step.id}: {key}"
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

    def _arguments(self, step: Step, spec: ActionSpec) -> dict[str, Any]:
        done, faults = filled(spec.arguments, step.arguments, self.scope)
        for trail, fault in faults:
            self._template(step, ".".join(str(part) for part in trail), fault)
        if faults:
            return {}
        try:
            return spec.arguments.model_validate(done).model_dump(
                mode="json", by_alias=True, exclude_none=True
            )
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                where = ".".join(str(part) for part in detail["loc"]) or step.action
                message = detail["msg"].removeprefix("Value error, ").removeprefix("expected ")
                self._problem(step, where, repr(detail["input"]), message.removeprefix("Input should be "))
            return {}

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
        known = {
            f"{site.name}/{role}": role
            for site in (self.scope.from_site, self.scope.to_site)
            for role in site.hosts
        }
        if reference not in known:
            self._problem(step, key, f"the host {reference!r}", f"one of {', '.join(known) or 'none'}")
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
        written = question.model_dump(exclude_none=True, exclude={"within_seconds", "at"})
        done, faults = filled(Condition, written, self.scope)
        for trail, fault in faults:
            self._template(step, f"{key}.{trail[0]}", fault)
        kind = next(name for name in ("run", "probe", "sql", "role") if name in done)
        asked_host = self._host(step, f"{key}.host", done.get("host")) or host
        asked_site = asked_host.partition("/")[0] if kind == "run" else self._site(question.at) or site
        if not asked_site and "host" not in step.arguments:  # a host that is not there has been told already
            self._problem(step, key, "no place to ask at", "`at: from_site` or `at: to_site`")
        if kind == "probe":
            self._probe(step, key, done["probe"])
        if kind == "role" and not self.facts.has_driver:
            self._problem(
                step, key, "a role without a driver", "a service whose driver exists", "driver-missing"
            )
        return PlannedCondition(
            kind,
            done[kind],
            asked_site,
            asked_host if kind == "run" else "",
            question.within_seconds,
        )

    def _undo(self, step: Step, host: str) -> Mapping[str, Any] | None:
        if step.undo is None:
            return None
        written = step.undo.model_dump(mode="json", by_alias=True, exclude_none=True)
        done, faults = filled(Undo, written, self.scope)
        for trail, fault in faults:
            self._template(step, f"undo.{trail[0]}", fault)
        return {**done, "host": self._host(step, "undo.host", done.get("host")) or host}
