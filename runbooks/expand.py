"""A runbook laid out flat: nested runbooks stand in the place of the step that names them, and a step that is
carried out for each host stands there once for each.

So a plan is one graph of plain steps, whatever it was written as, and journal, resume and undo know no other.
Ids tell where a step comes from: `outer/inner`, `step@host`. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runbooks.catalogue import ActionCatalogue
from runbooks.each import NobodyChosen, hosts_of
from runbooks.errors import Problem
from runbooks.graph import in_order
from runbooks.marks import NamesRunbook, key_of
from runbooks.model import Kind, Runbook, Step
from runbooks.planned import Limit
from runbooks.scope import HostRef, Scope
from runbooks.templates import Manner, TemplateFault, plain_value, render

NESTING_LIMIT = 5


@dataclass(frozen=True, slots=True)
class Leaf:
    """One step of the flat graph. `scope` is what its texts may name, None in a runbook that is bound to
    nothing; `titles` are those of the steps it stands in, outermost first, and `outer` these steps."""

    id: str
    step: Step
    needs: tuple[str, ...]
    runbook: Runbook
    scope: Scope | None = None
    titles: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    outer: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class _Where:
    """What a runbook is laid out in: the id before its steps' own, and what those without needs wait for."""

    prefix: str = ""
    entry: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    outer: tuple[Step, ...] = ()


def steps_of_kind(runbook: Runbook, kind: Kind | None) -> list[tuple[Step, tuple[str, ...]]]:
    """The steps that belong to this kind of run (to any, when it is None); what needed a step left out needs
    what that one needed."""
    if kind is None:
        return [(step, tuple(dict.fromkeys(step.needs))) for step in runbook.steps]
    kept = {step.id for step in runbook.steps if not step.during or kind in step.during}
    by_id = {step.id: step for step in runbook.steps}
    lead: dict[str, tuple[str, ...]] = {}
    for step_id in in_order({step.id: step.needs for step in runbook.steps}):
        wanted: dict[str, None] = {}
        for need in by_id[step_id].needs:
            wanted.update(dict.fromkeys([need] if need in kept else lead[need]))
        lead[step_id] = tuple(wanted)
    return [(step, lead[step.id]) for step in runbook.steps if step.id in kept]


def nested_in(step: Step, catalogue: ActionCatalogue) -> str | None:
    """The name of the runbook that stands in this step's place, or None."""
    spec = catalogue.get(step.action)
    key = key_of(spec.arguments, NamesRunbook) if spec is not None else None
    name = step.arguments.get(key) if key is not None else None
    return name if isinstance(name, str) else None


def laid_out(
    runbook: Runbook, kind: Kind | None, catalogue: ActionCatalogue, scope: Scope | None = None
) -> tuple[list[Leaf], list[Problem]]:
    """The flat graph, and what is in its way. Without a scope every `for_each` stands for one step."""
    layout = _Layout(kind, catalogue)
    leaves, _ = layout.of(runbook, scope, _Where())
    return leaves, layout.problems


@dataclass(slots=True)
class _Layout:
    kind: Kind | None
    catalogue: ActionCatalogue
    problems: list[Problem] = field(default_factory=list)

    def of(self, runbook: Runbook, scope: Scope | None, where: _Where) -> tuple[list[Leaf], tuple[str, ...]]:
        """The runbook's leaves, and those with which it has ended."""
        listed = steps_of_kind(runbook, self.kind)
        needs = {step.id: wanted for step, wanted in listed}
        by_id = {step.id: step for step, _ in listed}
        ends: dict[str, tuple[str, ...]] = {}
        made: dict[str, list[Leaf]] = {}
        for step_id in in_order(needs):
            before = _together(ends[need] for need in needs[step_id]) if needs[step_id] else where.entry
            made[step_id], ends[step_id] = self._step(runbook, by_id[step_id], scope, where, before)
        needed = {need for wanted in needs.values() for need in wanted}
        last = _together(ends[step_id] for step_id in needs if step_id not in needed)
        return [leaf for step, _ in listed for leaf in made[step.id]], last if listed else where.entry

    def _step(
        self, runbook: Runbook, step: Step, scope: Scope | None, where: _Where, before: tuple[str, ...]
    ) -> tuple[list[Leaf], tuple[str, ...]]:
        leaves: list[Leaf] = []
        ends: list[tuple[str, ...]] = []
        for suffix, own, limits in self._instances(step, scope, where):
            inner = replace(where, prefix=f"{where.prefix}{step.id}{suffix}", entry=before, limits=limits)
            if (name := nested_in(step, self.catalogue)) is None:
                one = Leaf(inner.prefix, step, before, runbook, own, where.titles, limits, where.outer)
                leaves.append(one)
                ends.append((one.id,))
                continue
            more, last = self._nested(runbook, step, name, own, inner)
            leaves += more
            ends.append(last)
        return leaves, _together(ends)

    def _instances(
        self, step: Step, scope: Scope | None, where: _Where
    ) -> Iterator[tuple[str, Scope | None, tuple[Limit, ...]]]:
        """Once, or once for each host: what is added to the id, the names, and the limits."""
        if step.for_each is None or scope is None:
            yield "", scope, where.limits
            return
        try:
            hosts = hosts_of(step.for_each, scope)
        except NobodyChosen as nobody:
            self._problem(f"{where.prefix}{step.id}", nobody.problem)
            return
        for host in hosts:
            limits = where.limits
            if step.at_most is not None and step.at_most < len(hosts):
                limits = (*limits, Limit(f"{where.prefix}{step.id}", host.name, step.at_most))
            yield f"@{host.name}", replace(scope, host=host), limits

    def _nested(
        self, runbook: Runbook, step: Step, name: str, scope: Scope | None, where: _Where
    ) -> tuple[list[Leaf], tuple[str, ...]]:
        inner = runbook.nested.get(name)
        if inner is None:  # a runbook that no library has read
            self._problem(where.prefix, Problem("runbook", f"{name}, which was not read", "a runbook file"))
            return [], where.entry
        titles = where.titles
        if step.title or step.for_each is not None:
            titles = (*titles, self._title(step, scope))
        if scope is not None:
            scope = replace(scope, parameters=self._parameters(step, inner, scope, where.prefix), host=None)
        outer = (*where.outer, step)
        return self.of(inner, scope, replace(where, prefix=f"{where.prefix}/", titles=titles, outer=outer))

    def _title(self, step: Step, scope: Scope | None) -> str:
        title = step.title or step.id
        if scope is None:
            return title
        try:
            title = render(title, scope, Manner.TEXT)
        except TemplateFault:
            pass  # it is only a title, and its fault is told by the check of the file
        return on_its_host(title, scope.host)

    def _parameters(self, step: Step, inner: Runbook, scope: Scope, step_id: str) -> Mapping[str, Any]:
        given: dict[str, Any] = {}
        written = step.arguments.get("parameters")
        for name, value in written.items() if isinstance(written, Mapping) else ():
            try:
                given[name] = filled_value(value, scope)
            except TemplateFault as fault:
                self._problem(step_id, Problem(f"parameters.{name}", fault.found, fault.expected))
        for problem in parameter_problems(inner, given):
            self._problem(step_id, problem)
        defaults = {key: one.default for key, one in inner.parameters.items() if not one.required}
        return {**defaults, **given}

    def _problem(self, step_id: str, problem: Problem) -> None:
        self.problems.append(replace(problem, where=f"step {step_id}: {problem.where}"))


def on_its_host(title: str, host: HostRef | None, place: str = "") -> str:
    """The title of a step that is carried out for each host, with that host where it does not name it."""
    if host is None or host.name in title:
        return title
    return f"{title} on {place or f'{host.site}/{host.name}'}"


def filled_value(value: Any, scope: Scope) -> Any:
    """A parameter's value: a text that is one name alone keeps what that is, a list as a list."""
    if isinstance(value, str):
        return plain_value(value, scope)
    return [filled_value(item, scope) for item in value] if isinstance(value, list) else value


def parameter_problems(runbook: Runbook, given: Iterable[str]) -> Iterator[Problem]:
    """Values for parameters that there are not, and parameters without a value."""
    names = set(given)
    for name in sorted(names - set(runbook.parameters)):
        listed = ", ".join(runbook.parameters) or "none: it has no parameters"
        yield Problem("parameters", f"the unknown parameter {name}", f"one of {listed}")
    for name, parameter in runbook.parameters.items():
        if parameter.required and name not in names:
            yield Problem("parameters", f"no value for {name}", "one: it has no default")


def _together(many: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for ids in many for one in ids))
