"""The plan in which a runbook's steps have their numbers, drawn up from files alone, for a page on the wall.

What stands around the runbook is what `mover` puts there; a test compares the two. Asks no controller, so it
says nothing about whether the move would be allowed, nor about lag or leases.
"""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator import frames
from runbooks.catalogue import ActionCatalogue
from runbooks.model import Kind, Runbook
from runbooks.plan import Facts, bind, compose
from runbooks.planned import Part, Plan
from runbooks.scope import RunRef, scope_of
from sites.model import Estate, Service

_NOT_SHOWN_SECONDS = 60.0
"""The time limits of twinsite's own steps depend on the lease and are not shown."""

DEFAULT_KINDS = {"promote": Kind.FAILOVER, "demote": Kind.SWITCHOVER, "rejoin": Kind.REJOIN}
PARTS = {
    Kind.FAILOVER: ("promote",),
    Kind.SWITCHOVER: ("demote", "promote"),
    Kind.REJOIN: ("rejoin",),
}
HANDED_OVER = (
    "These are the numbers when the old site is lost. Where its controller still answers and only its "
    "database is down, it gives the service up first: every number is then one higher."
)


@dataclass(frozen=True, slots=True)
class WallPlan:
    """One service's move. `load` reads a runbook by its name, `facts` says what is known of a service."""

    estate: Estate
    service: Service
    from_site: str
    to_site: str
    kind: Kind
    catalogue: ActionCatalogue
    load: Callable[[str], Runbook]
    facts: Callable[[Service], Facts]

    def around(self, runbook: Runbook, role: str) -> tuple[Plan, Part] | None:
        """The plan with this runbook in its role, and its part; None when that kind of run has no such part.

        Raises PlanRefused, RunbookUnknown or RunbookInvalid.
        """
        parts = self._parts(runbook, role)
        if not parts:
            return None
        plan = compose(
            *parts,
            run_id="",
            kind=self.kind,
            service=self.service.name,
            from_site=self.from_site,
            to_site=self.to_site,
            epoch=0,
        )
        return plan, next(part for part in plan.parts if part.name == role)

    def _parts(self, runbook: Runbook, role: str) -> tuple[Part, ...]:
        from_title, to_title = (
            self.estate.sites[name].title or name for name in (self.from_site, self.to_site)
        )
        limit = _NOT_SHOWN_SECONDS

        def part(wanted: str) -> Part:
            return self._bound(runbook if wanted == role else self.load(self._name(wanted)), wanted)

        if self.kind not in PARTS or role not in DEFAULT_KINDS:
            return (part(role),)
        if role not in PARTS[self.kind]:
            return ()
        if self.kind is Kind.REJOIN:
            return (part("rejoin"),)
        promote = (part("promote"), frames.settle(self.to_site))
        if self.kind is Kind.FAILOVER:
            return (frames.take_over(from_title, self.to_site, timeout_seconds=limit), *promote)
        return (
            part("demote"),
            frames.give_up(from_title, self.from_site, timeout_seconds=limit),
            frames.claim(to_title, self.to_site, timeout_seconds=limit),
            *promote,
        )

    def _bound(self, runbook: Runbook, role: str) -> Part:
        scope = scope_of(
            self.estate,
            self.service.name,
            from_site=self.from_site,
            to_site=self.to_site,
            run=RunRef("", self.kind, 0),
        )
        return bind(runbook, scope, self.facts(self.service), self.catalogue, part=role)

    def _name(self, role: str) -> str:
        replication = self.service.replication
        default = f"{replication.driver}/{role}" if replication is not None else role
        return self.service.runbooks.get(role, default)
