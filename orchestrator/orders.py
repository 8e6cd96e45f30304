"""What people order: a plan is drawn up and shown first, and exactly that plan is run when it is confirmed.

Refusals carry a reason's code. Nothing here is automatic.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.api.clock_words import wall_words
from orchestrator.api.evidence import pause_status
from orchestrator.api.run_words import rehearsal_status
from orchestrator.api.shapes import (
    CertificateStatus,
    GateStatus,
    MoveAccepted,
    MoveOrder,
    MovePlan,
    MoveRequest,
    Refusal,
)
from orchestrator.api.way_home_words import way_home_status
from orchestrator.breaking_glass import GlassOrders, GlassPlan, without_quorum
from orchestrator.certificate_desk import CertificateDesk
from orchestrator.controller import Controller
from orchestrator.core.clocks import WALL_LIMIT_SECONDS, apart
from orchestrator.core.gates import Gate, Wish, first_closed, gates, shed_for
from orchestrator.core.messages import StartRun
from orchestrator.core.records import ServiceRecord
from orchestrator.core.statement import lease_counted_ns, statement
from orchestrator.core.view import ServiceView, View
from orchestrator.deeds import known_of
from orchestrator.drafting import Drafter
from orchestrator.ownership_actions import Errand
from orchestrator.peer_certificates import PeerCertificates
from orchestrator.power_orders import PowerOrders
from orchestrator.quieting import Quieting, ask_keeper
from orchestrator.reconciling import Reconciling
from orchestrator.refusing import OrderRefused
from orchestrator.steering_desk import SteeringDesk
from orchestrator.store.base import Store
from runbooks.errors import PlanRefused, RunbooksError
from runbooks.model import Kind
from runbooks.planned import Plan
from runbooks.render import render_plan
from sites.model import FailoverPolicy
from sites.replication.words import Role

PLANS_KEPT = 1000
NOTHING_COMING: Mapping[str, str] = {}
ANY_LOSS_SECONDS = 1e9  # stands in a record for any loss, since JSON knows no endless number
CLEAR_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan given out, and what it was drawn from. `covers`: the services whose hosts are switched off."""

    request: MoveRequest
    wish: Wish
    plan: Plan
    revision: int
    statement: str
    loss_bound_seconds: float | None
    confirm_site: str
    certificate: CertificateStatus | None = None
    glass: GlassPlan | None = None
    covers: tuple[str, ...] = ()


def gate_status(gate: Gate) -> GateStatus:
    """A gate as shown."""
    return GateStatus(number=gate.number, name=gate.name, ok=gate.ok, code=gate.code, evidence=gate.evidence)


class Orders:
    """The desk where people order moves of one controller; `quieting`, `steering`, `peers`, `reconciling`
    and `certificates` are the desks beside it."""

    def __init__(self, controller: Controller, certificates: CertificateDesk, store: Store) -> None:
        self._controller = controller
        self._drafter = Drafter(controller, certificates)
        self._power = PowerOrders(controller)
        self._glass = GlassOrders(self._drafter)
        self._drawn: OrderedDict[str, Drawn] = OrderedDict()
        self.certificates = certificates
        self.peers = PeerCertificates(self._drafter)
        self.reconciling = Reconciling(self._drafter)
        self.quieting = Quieting(controller)
        self.steering = SteeringDesk(controller, store)

    # --- plans ---------------------------------------------------------------------------------------

    def plan(self, request: MoveRequest, who: str, coming: Mapping[str, str] = NOTHING_COMING) -> MovePlan:
        """Draw a plan up for somebody; changes nothing. Raises OrderRefused when there can be no plan.

        `coming`: services that will have been moved before this one, with the site they go to (gate 5)."""
        view, service = self._find(request.service, coming)
        if request.verb == "failover" and request.certify_down is not None and without_quorum(view):
            return self._plan_glass(request, view, service, who)
        self._owned(view, service)
        wish = self._power.wish(view, service, request, self._wish(view, service, request))
        kind = Kind.SWITCHOVER if wish.planned else Kind.FAILOVER
        record = service.record
        if record is None or wish.from_site is None:
            raise OrderRefused("unclaimed", f"nobody has ever been primary for {request.service}")
        frame = _frame(wish, record)
        covers = self._power.covers(view, service) if wish.power_off else ()
        try:
            plan = self._controller.mover.draw(
                kind,
                service.service,
                from_site=wish.from_site,
                to_site=wish.to_site,
                epoch=record.epoch + 1,
                frame=frame,
                reason=request.reason,
                known=known_of(view, service),
                shed=shed_for(service, wish),
                switched_off=self._power.hosts(covers),
                switching_seconds=self._power.longest_seconds(covers),
            )
        except PlanRefused as refused:
            raise OrderRefused(refused.code, str(refused)) from refused
        except RunbooksError as fault:
            raise OrderRefused("plan-invalid", str(fault)) from fault
        words, bound = statement(view, service, wish)
        answers = gates(view, service, wish)
        confirm = wish.to_site if wish.planned else wish.from_site
        revision = service.held.revision if service.held is not None else 0
        certificate = None
        if wish.certified_down:
            certificate = self._drafter.draft_down(request, view, service, plan.epoch, who)
        drawn = Drawn(request, wish, plan, revision, words, bound, confirm, certificate, covers=covers)
        power_off = self._power.words(view, service, covers) if wish.power_off else ()
        shown = self._shown(drawn, answers, service, power_off)
        if request.verb != "failback":
            return shown
        stages = self._controller.ways_home.of(view, service, answers)
        since = self._controller.minds[request.service].unprotected_since_unix_seconds
        return shown.model_copy(update={"way_home": way_home_status(service, stages, since)})

    def _plan_glass(self, request: MoveRequest, view: View, service: ServiceView, who: str) -> MovePlan:
        """P31: the store does not answer, and a person certifies the other site."""
        glass = self._glass.plan(request, view, service, who)
        drawn = Drawn(
            request,
            glass.wish,
            glass.plan,
            0,
            glass.statement,
            glass.loss_bound_seconds,
            view.peer,
            glass.certificate,
            glass,
        )
        return self._shown(drawn, glass.gates, service)

    def _shown(
        self, drawn: Drawn, answers: tuple[Gate, ...], service: ServiceView, power_off: tuple[str, ...] = ()
    ) -> MovePlan:
        """Keep a plan so that it can be ordered, and show it."""
        self._drawn[drawn.plan.id] = drawn
        while len(self._drawn) > PLANS_KEPT:
            self._drawn.popitem(last=False)
        return MovePlan(
            run=drawn.plan.id,
            verb=drawn.request.verb,
            service=drawn.request.service,
            from_site=drawn.wish.from_site,
            to_site=drawn.wish.to_site,
            statement=drawn.statement,
            loss_bound_seconds=drawn.loss_bound_seconds,
            lines=list(render_plan(drawn.plan)),
            gates=[gate_status(gate) for gate in answers],
            refusal=_refusal(answers),
            confirm_site=drawn.confirm_site,
            plan=json.loads(drawn.plan.to_json()),
            certificate=drawn.certificate,
            power_off=list(power_off),
            pause=pause_status(service),
            shed=list(shed_for(service, drawn.wish)),
            rehearsed=rehearsal_status(self._controller.rehearsed.of_plan(drawn.plan)),
        )

    def _look(self, name: str, coming: Mapping[str, str]) -> tuple[View, ServiceView]:
        view, service = self._find(name, coming)
        self._owned(view, service)
        return view, service

    def _find(self, name: str, coming: Mapping[str, str]) -> tuple[View, ServiceView]:
        view = self._controller.view()
        service = next((found for found in view.services if found.service.name == name), None)
        if service is None:
            known = ", ".join(found.service.name for found in view.services)
            raise OrderRefused("unknown-service", f"no service {name!r}; there is {known}", wrong=True)
        if service.service.watch_only:
            raise OrderRefused(
                "driver-missing", f"{name} is watched only: twinsite does not know how to move it"
            )
        if service.service.failover is FailoverPolicy.FOLLOWED:
            raise OrderRefused("followed", f"{name} is moved by something else; twinsite only follows")
        if coming:
            service = self._controller.sight.beside(view, service, coming)
        return view, service

    def _owned(self, view: View, service: ServiceView) -> None:
        """Who owns it is known, and by the store."""
        name = service.service.name
        if service.held is not None and service.held.under_glass:
            raise OrderRefused(
                "break-glass", f"{name} is served here under certificate {service.held.under_glass}"
            )
        if view.registered and service.record is not None:
            return
        last_way = ""
        if without_quorum(view):
            order = f"twinsite failover {name} --certify-down {view.peer} --reason …"
            last_way = f"; if {view.peer} is known to be off, glass can be broken: `{order}`"
        raise OrderRefused(
            "no-quorum",
            f"who owns it is not known here: the keeper has not registered with the store{last_way}",
        )

    def _wish(self, view: View, service: ServiceView, request: MoveRequest) -> Wish:
        record = service.record
        primary = record.primary if record is not None else None
        if request.verb == "failback":
            request = request.model_copy(update={"to_site": service.service.home})
        if request.verb in ("switchover", "failback"):
            return self._planned_wish(view, service, request, primary)
        from_site = primary or view.peer
        if primary == view.site:
            raise OrderRefused(
                "ask-the-survivor",
                f"{request.service} is primary here, at {view.site}; a failover away from it is ordered at "
                f"{view.peer}'s controller, and `switchover` moves it in order",
            )
        if request.to_site not in (None, view.site):
            raise OrderRefused(
                "ask-the-survivor", f"a failover to {request.to_site} is ordered at that site's controller"
            )
        if request.certify_down is not None:
            self._check_certificate(request, from_site)
        return Wish(
            to_site=view.site,
            from_site=from_site,
            planned=False,
            automatic=False,
            certified_down=request.certify_down is not None,
            holder_lives=request.certify_down is None
            and request.power_off is None
            and _only_its_database_is_down(view, service),
            accept_loss_seconds=request.accept_loss_seconds,
            over_capacity=request.over_capacity,
        )

    def _planned_wish(
        self, view: View, service: ServiceView, request: MoveRequest, primary: str | None
    ) -> Wish:
        if primary is None:
            raise OrderRefused(
                "handed-over",
                f"nobody is primary for {request.service} at this moment; use `failover` to claim it",
            )
        to_site = request.to_site or service.service.peer_of(primary)
        if to_site not in service.service.sites:
            sites = " or ".join(service.service.sites)
            raise OrderRefused(
                "unknown-site", f"{request.service} runs at {sites}, not {to_site}", wrong=True
            )
        if to_site == primary:
            raise OrderRefused("owned", f"{request.service} is primary at {to_site} already")
        differ = apart(view.clocks, WALL_LIMIT_SECONDS)
        if differ:
            raise OrderRefused(
                "clocks-differ",
                f"{'; '.join(wall_words(word) for word in differ)}: set the one that is wrong",
            )
        return Wish(
            to_site=to_site,
            from_site=primary,
            planned=True,
            automatic=False,
            over_capacity=request.over_capacity,
        )

    def _check_certificate(self, request: MoveRequest, from_site: str | None) -> None:
        if request.certify_down != from_site:
            raise OrderRefused(
                "wrong-request",
                f"{request.service} is {from_site}'s: certify {from_site} down, not {request.certify_down}",
                wrong=True,
            )
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "a certificate needs a --reason", wrong=True)

    # --- orders --------------------------------------------------------------------------------------

    async def order(
        self, order: MoveOrder, who: str, coming: Mapping[str, str] = NOTHING_COMING
    ) -> MoveAccepted:
        """Start the run of a plan given out. `coming` as for `plan`. Raises OrderRefused."""
        drawn = self._drawn.get(order.run)
        if drawn is None:
            raise OrderRefused("plan-unknown", f"no plan {order.run} here; ask for the plan again")
        if order.confirmed_site != drawn.confirm_site:
            raise OrderRefused(
                "not-confirmed",
                f"typed {order.confirmed_site!r}, expected {drawn.confirm_site!r}; nothing was done",
            )
        reasoned = (order.reason or drawn.request.reason).strip()
        if order.accept_loss_seconds is not None and not reasoned:
            raise OrderRefused("wrong-request", "accepting a loss needs a --reason", wrong=True)
        if drawn.wish.over_capacity and not reasoned:
            raise OrderRefused("wrong-request", "going over a site's capacity needs a --reason", wrong=True)
        wish = drawn.wish
        if order.accept_loss_seconds is not None:
            wish = replace(wish, accept_loss_seconds=order.accept_loss_seconds)
        if drawn.glass is not None:
            self._open(drawn, self._glass.again(drawn.glass, wish))
            await self._glass.order(drawn.glass, wish, who, drawn.request.reason, order.signature)
            return self._accepted(drawn)
        view, service = self._look(drawn.request.service, coming)
        if service.record is None or service.record.epoch + 1 != drawn.plan.epoch:
            raise OrderRefused(
                "changed-since-plan", f"{drawn.request.service} has moved since the plan was made; plan again"
            )
        self._open(drawn, gates(view, service, wish))
        reason = order.reason or drawn.request.reason
        if wish.planned or wish.holder_lives:
            await self._start_planned(drawn, wish, who, reason)
        else:
            await self._start_failover(drawn, wish, view, service, who, reason, order.signature)
        return self._accepted(drawn)

    async def _clear_the_way(self, plan: Plan, who: str) -> None:
        """An emergency order goes before a run that waits for a person: that one is aborted, and says so."""
        mind = self._controller.minds[plan.service]
        if not mind.run or not mind.run_waits:
            return
        why = f"run {plan.id} was ordered, which cannot wait for it"
        try:
            await self._controller.mover.clear_the_way(mind.run, who, why)
            if mind.busy is not None:
                async with asyncio.timeout(CLEAR_SECONDS):
                    await asyncio.wait({mind.busy})
        except (RunbooksError, TimeoutError) as fault:
            raise OrderRefused("moving", f"run {mind.run} does not end: {fault}") from fault

    def _open(self, drawn: Drawn, answers: tuple[Gate, ...]) -> None:
        """Every gate is open at this moment. Raises OrderRefused."""
        refusal = _refusal(answers)
        if refusal is not None:
            self._controller.tally.refused(drawn.request.service, refusal.code)
            raise OrderRefused(refusal.code, refusal.message, refusal.evidence)

    def _accepted(self, drawn: Drawn) -> MoveAccepted:
        self._drawn.pop(drawn.plan.id, None)
        return MoveAccepted(run=drawn.plan.id, message=f"run {drawn.plan.id} has been started")

    async def _start_planned(self, drawn: Drawn, wish: Wish, who: str, reason: str) -> None:
        """P26: by compare-and-set at the plan's revision; the target's controller carries it out."""
        record = self._controller.mover.record_of(
            drawn.plan,
            who=who,
            why=reason or "ordered",
            statement=drawn.statement,
            loss_bound_seconds=drawn.loss_bound_seconds,
        )
        if wish.accept_loss_seconds is not None:
            record = replace(record, accepted_loss_seconds=min(wish.accept_loss_seconds, ANY_LOSS_SECONDS))
        await ask_keeper(
            self._controller,
            StartRun(
                service=drawn.plan.service,
                record=record,
                revision=drawn.revision,
                who=who,
                why=reason or "ordered",
            ),
        )

    async def _start_failover(
        self,
        drawn: Drawn,
        wish: Wish,
        view: View,
        service: ServiceView,
        who: str,
        reason: str,
        signature: str,
    ) -> None:
        await self._clear_the_way(drawn.plan, who)
        self._drafter.check_idle(drawn.plan.service)
        words, bound = statement(view, service, wish)  # frozen at the moment of decision
        covers: tuple[str, ...] = ()
        besides = ""
        if wish.power_off:
            covers = drawn.covers
            self._power.check(view, service, covers)
            besides += f"; {who} has {self._power.hosts(covers)} switched off first: {reason}"
        if drawn.certificate is not None:
            covers = tuple(drawn.certificate.body["covers"])
            self._drafter.check_covers(view, covers)
            reason = drawn.request.reason
            kept = await self.certificates.put_on_file(drawn.certificate.id, who, signature)
            besides += f"; {who} certified {wish.from_site} down: {reason} (certificate {kept.id})"
            self._drafter.check_idle(drawn.plan.service)  # somebody else may have been quicker meanwhile
        if wish.accept_loss_seconds is not None:
            besides += f"; {who} accepted a loss of {wish.accept_loss_seconds:g} s: {reason}"
        record = self._controller.mover.record_of(
            drawn.plan, who=who, why=reason or "ordered", statement=words + besides, loss_bound_seconds=bound
        )
        errand = Errand(
            record,
            ordered_by_operator=True,
            certified_down=wish.certified_down,
            covers=covers,
            loss_until_ns=lease_counted_ns(view, wish),
            power_off=wish.power_off,
            loss_limit_seconds=_loss_limit(service, wish),
            besides=besides,
            accept_loss=wish.accept_loss_seconds is not None,
            who=who,
            why=reason or "ordered",
        )
        claims = service.record is not None and service.record.primary is None
        self._controller.deeds.order(drawn.plan, errand, publish=claims)


def _loss_limit(service: ServiceView, wish: Wish) -> float:
    accepted = wish.accept_loss_seconds
    return service.service.max_data_loss_seconds if accepted is None else accepted


def _only_its_database_is_down(view: View, service: ServiceView) -> bool:
    """The other site renews its lease, and its instance positively accepts no writes."""
    record = service.record
    holds = record is not None and record.primary == view.peer and not view.peer_lease_over
    return holds and service.role_at(view.peer) in (Role.DOWN, Role.STANDBY)


def _frame(wish: Wish, record: ServiceRecord) -> str:
    """Which built-in parts the plan has."""
    if wish.planned:
        return "hand-over"
    if record.primary is None:
        return "claim"
    if wish.power_off:
        return "power-over"
    return "shut-over" if wish.holder_lives else "take-over"


def _refusal(answers: tuple[Gate, ...]) -> Refusal | None:
    closed = first_closed(answers)
    if closed is None:
        return None
    return Refusal(
        code=closed.code,
        message=f"{closed.name}: {closed.evidence}",
        evidence=[f"gate {gate.number} {gate.name}: {gate.evidence}" for gate in answers if not gate.open],
    )
