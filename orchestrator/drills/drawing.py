"""Draw a drill's plan up, and say what a tabletop drill finds. Carries nothing out."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from orchestrator.controller import Controller
from orchestrator.core.decision import automatic_wish
from orchestrator.core.gates import Wish, gates
from orchestrator.core.records import Movement, ServiceRecord
from orchestrator.core.statement import statement
from orchestrator.drills import plans
from orchestrator.drills.ground import service_in
from orchestrator.drills.moving import Moving
from orchestrator.mover import run_id
from orchestrator.orders import Orders
from orchestrator.ownership_actions import Errand
from orchestrator.refusing import OrderRefused
from runbooks.catalogue import ActionCatalogue
from runbooks.context import Call
from runbooks.errors import PlanRefused, RunbooksError
from runbooks.model import Kind
from runbooks.planned import Plan
from sites.drills import DrillKind, DrillSpec
from sites.replication.rehearsal import Rehearses
from sites.replication.words import ReplicationDriver

GIVES_WAY = "the service is being moved, or has been: the drill gives way"


class Drawing:
    """One controller's. `catalogue`: the action words that runs have here; `orders`: where moves are
    ordered."""

    def __init__(
        self,
        controller: Controller,
        drivers: Mapping[str, ReplicationDriver],
        catalogue: Callable[[], ActionCatalogue],
        orders: Callable[[], Orders],
    ) -> None:
        self._controller = controller
        self._drivers = drivers
        self._catalogue = catalogue
        self.moving = Moving(controller, orders)

    def drawn(self, drill: DrillSpec, why: str) -> Plan:
        """The drill's plan. Raises OrderRefused."""
        service = self._controller.estate.services[drill.service]
        record = self._controller.desk.record(drill.service)
        if record is None or record.primary is None:
            raise OrderRefused("no-quorum", f"who owns {drill.service} is not known here")
        from_site, to_site = record.primary, service.peer_of(record.primary)
        run, epoch = run_id(service.name, Kind.DRILL), record.epoch
        if drill.kind is DrillKind.ISOLATED:
            driver = self._drivers.get(drill.service)
            words = driver.rehearsal.words if isinstance(driver, Rehearses) else ()
            return plans.isolated(
                run,
                drill,
                from_site=from_site,
                to_site=to_site,
                to_title=self._controller.estate.sites[to_site].title or to_site,
                epoch=epoch,
                words=words,
                reason=why,
            )
        if drill.kind.moves:
            sites = self._controller.estate.sites
            return plans.live(
                run,
                drill,
                from_site=from_site,
                to_site=to_site,
                titles={site: sites[site].title or site for site in service.sites},
                epoch=epoch,
                reason=why,
            )
        try:
            moves = {
                name: self._controller.mover.draw(
                    kind,
                    service,
                    from_site=from_site,
                    to_site=to_site,
                    epoch=epoch + 1,
                    frame=frame,
                    reason=why,
                )
                for name, kind, frame in (
                    ("failover", Kind.FAILOVER, "take-over"),
                    ("switchover", Kind.SWITCHOVER, "hand-over"),
                )
            }
        except PlanRefused as refused:
            raise OrderRefused(refused.code, str(refused)) from refused
        except RunbooksError as fault:
            raise OrderRefused("plan-invalid", str(fault)) from fault
        return plans.tabletop(
            run,
            drill,
            moves,
            self._catalogue(),
            from_site=from_site,
            to_site=to_site,
            epoch=epoch,
            reason=why,
        )

    async def looked(self, call: Call) -> str:
        """What a tabletop drill finds: which gates a move would meet at this moment. Raises nothing for a
        closed one: that is what the drill is for."""
        view = self._controller.view()
        service = service_in(view, call.plan.service)
        if service is None or service.record is None:
            return "who owns the service is not known here at this moment"
        planned = Wish(
            to_site=call.plan.to_site, from_site=call.plan.from_site, planned=True, automatic=False
        )
        lines = [f"a switchover now: {statement(view, service, planned)[0]}"]
        lines += [
            f"  {gate.name}: {gate.evidence}" for gate in gates(view, service, planned) if not gate.open
        ]
        failover = replace(
            automatic_wish(view, service), to_site=call.plan.to_site, from_site=call.plan.from_site
        )
        lines.append(f"a failover now: {statement(view, service, failover)[0]}")
        return "\n".join(lines)

    def errand(self, drill: DrillSpec, plan: Plan, *, who: str, why: str) -> Errand:
        record = self._controller.mover.record_of(
            plan,
            who=who,
            why=why,
            statement=_statement(drill, plan),
            loss_bound_seconds=0.0,
        )

        def gives_way(held: ServiceRecord) -> str:
            if drill.kind.moves:
                return self.moving.gives_way(plan, held)
            moved = (held.primary, held.epoch) != (plan.from_site, plan.epoch)
            return GIVES_WAY if moved or held.movement is Movement.MOVING else ""

        return Errand(record, who=who, why=why, gives_way=gives_way)


def _statement(drill: DrillSpec, plan: Plan) -> str:
    if not drill.kind.moves:
        return f"the drill {drill.name!r}: nothing of {drill.service} is touched"
    moves = f"{drill.service} moves to {plan.to_site} and home again, in order, and loses nothing"
    return f"the drill {drill.name!r}: {moves}; it is down for a moment twice"
