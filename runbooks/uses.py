"""Who uses a runbook, for which runs, and whether a plan can be drawn up for each of them.

By the estate where there is one: every service that uses the runbook, in both directions. Without one, by
what the runbook calls itself. Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from runbooks.catalogue import ActionCatalogue
from runbooks.errors import PlanRefused, Problem
from runbooks.model import Kind, Runbook
from runbooks.plan import Facts, bind
from runbooks.scope import RunRef, scope_of
from runbooks.shedding import not_for_shedding
from sites.marks import Finding, Trail
from sites.model import SHED, Estate, Service

ROLES: Mapping[str, tuple[Kind, ...]] = {
    "promote": (Kind.FAILOVER, Kind.SWITCHOVER, Kind.DRILL),
    "demote": (Kind.SWITCHOVER, Kind.DRILL),
    "rejoin": (Kind.REJOIN, Kind.DRILL),
    SHED: (Kind.FAILOVER, Kind.SWITCHOVER),
}
"""What each purpose of a runbook is carried out in; in a drill, whatever is rehearsed."""

SHIPPED = ("promote", "demote", "rejoin")
"""The purposes for which every driver ships a runbook."""

_STEP = re.compile(r"^step ([^:]+): (.+)$")


@dataclass(frozen=True, slots=True)
class Use:
    """One service's use of a runbook. `role` is what for: promote, demote, rejoin, shed, or a word of its
    own."""

    service: Service
    role: str
    runbook: str


def uses_in(estate: Estate) -> tuple[Use, ...]:
    """Every use of a runbook in the estate: those that services name, and those that go by their driver."""
    found = []
    for service in estate.services.values():
        names = dict(service.runbooks)
        if service.replication is not None and not service.watch_only:
            names = {role: f"{service.replication.driver}/{role}" for role in SHIPPED} | names
        found += [Use(service, role, name) for role, name in names.items()]
    return tuple(found)


def role_of(runbook: Runbook) -> str | None:
    """What the runbook is for, by what it calls itself, or else by its name."""
    words = (runbook.runbook, runbook.name.rpartition("/")[2])
    return next((word for word in words if word in ROLES), None)


def kinds_of(runbook: Runbook, uses: Iterable[Use]) -> frozenset[Kind]:
    """The kinds of run that it is used in; all, when nothing says what it is for."""
    roles = {use.role for use in uses} or {role_of(runbook) or ""}
    return frozenset(kind for role in roles for kind in ROLES.get(role, tuple(Kind)))


def problems_of(
    runbook: Runbook,
    uses: Iterable[Use],
    estate: Estate,
    catalogue: ActionCatalogue,
    facts: Callable[[Service], Facts],
) -> list[Finding]:
    """Why no plan can be drawn up for a service that uses the runbook, each reason once."""
    first: dict[tuple[str, str], Problem] = {}  # what is expected lists the hosts of one direction
    reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
    for use in uses:
        for kind in ROLES.get(use.role, ()):
            for from_site, to_site in (use.service.sites, use.service.sites[::-1]):
                direction = f"from {from_site} to {to_site}"
                for problem in _tried(runbook, use, kind, from_site, to_site, estate, catalogue, facts):
                    same = (problem.where, problem.found)
                    first.setdefault(same, problem)
                    seen = reasons.setdefault(same, {}).setdefault(use.service.name, [])
                    if direction not in seen:
                        seen.append(direction)
    index = {step.id: number for number, step in enumerate(runbook.steps)}
    return [
        Finding(
            _trail(first[same].where, index),
            first[same].expected,
            f"{_inside(first[same].where)}{first[same].found}, for {_services(services)}",
            code="cannot-be-planned",
        )
        for same, services in reasons.items()
    ]


def _tried(
    runbook: Runbook,
    use: Use,
    kind: Kind,
    from_site: str,
    to_site: str,
    estate: Estate,
    catalogue: ActionCatalogue,
    facts: Callable[[Service], Facts],
) -> tuple[Problem, ...]:
    if use.role == SHED and (misplaced := tuple(not_for_shedding(runbook, catalogue))):
        return misplaced
    run = RunRef("check", kind, 0)
    scope = scope_of(estate, use.service.name, from_site=from_site, to_site=to_site, run=run)
    try:
        bind(runbook, scope, facts(use.service), catalogue, part=use.role)
    except PlanRefused as refused:
        return refused.problems
    return ()


def _services(services: Mapping[str, list[str]]) -> str:
    return "; ".join(
        f"{name} {'in both directions' if len(directions) > 1 else directions[0]}"
        for name, directions in services.items()
    )


def _inside(where: str) -> str:
    """Which step of a nested runbook it is about, if it is about one."""
    return f"{where}: " if (match := _STEP.match(where)) is not None and "/" in match[1] else ""


def _trail(where: str, index: Mapping[str, int]) -> Trail:
    """The way in the file to what the plan calls `step database: verify.probe`."""
    if (match := _STEP.match(where)) is None:
        return (where,)
    parts = tuple(int(part) if part.isdigit() else part for part in match[2].split("."))
    # What is wrong with a step of a nested runbook is shown at the step that names that one.
    outer, *inner = re.split(r"[/@]", match[1], maxsplit=1)
    return ("steps", index[outer], *(() if inner and "/" in match[1] else parts))
