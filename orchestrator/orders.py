"""What people order: a plan is drawn up and shown first, and exactly that plan is run when it is confirmed.

Refusals carry a reason's code. Nothing here is automatic.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from secrets import token_hex

from orchestrator.api.evidence import pause_status
from orchestrator.api.shapes import (
    Acted,
    GateStatus,
    MoveAccepted,
    MoveOrder,
    MovePlan,
    MoveRequest,
    QuietRequest,
    Refusal,
)
from orchestrator.clock import wall_text
from orchestrator.controller import Controller
from orchestrator.core.gates import Gate, Wish, first_closed, gates
from orchestrator.core.messages import Acknowledge, Ask, SetPause, StartRun
from orchestrator.core.records import Pause, ServiceRecord
from orchestrator.core.statement import statement
from orchestrator.core.view import ServiceView, View
from orchestrator.deeds import known_of
from orchestrator.link import KeeperGone
from orchestrator.ownership_actions import Errand
from orchestrator.refusing import OrderRefused
from runbooks.errors import PlanRefused, RunbooksError
from runbooks.model import Kind
from runbooks.planned import Plan
from runbooks.render import render_plan
from sites.model import FailoverPolicy
from sites.replication.words import Role

PLANS_KEPT = 50
LONGEST_PAUSE_SECONDS = 7 * 86400.0
ASK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan given out, and what it was drawn from."""

    request: MoveRequest
    wish: Wish
    plan: Plan
    revision: int
    statement: str
    loss_bound_seconds: float | None
    confirm_site: str


def gate_status(gate: Gate) -> GateStatus:
    """A gate as shown."""
    return GateStatus(number=gate.number, name=gate.name, ok=gate.ok, code=gate.code, evidence=gate.evidence)


class Orders:
    """The desk where people order moves, pauses and acknowledgements of one controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._drawn: OrderedDict[str, Drawn] = OrderedDict()

    # --- plans ---------------------------------------------------------------------------------------

    def plan(self, request: MoveRequest) -> MovePlan:
        """Draw a plan up; changes nothing. Raises OrderRefused when there can be no plan at all."""
        view, service = self._look(request.service)
        wish = self._wish(view, service, request)
        kind = Kind.SWITCHOVER if wish.planned else Kind.FAILOVER
        record = service.record
        if record is None or wish.from_site is None:
            raise OrderRefused("unclaimed", f"nobody has ever been primary for {request.service}")
        frame = _frame(wish, record)
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
            )
        except PlanRefused as refused:
            raise OrderRefused(refused.code, str(refused)) from refused
        except RunbooksError as fault:
            raise OrderRefused("plan-invalid", str(fault)) from fault
        words, bound = statement(view, service, wish)
        answers = gates(view, service, wish)
        confirm = wish.to_site if wish.planned else wish.from_site
        revision = service.held.revision if service.held is not None else 0
        self._keep(Drawn(request, wish, plan, revision, words, bound, confirm))
        return MovePlan(
            run=plan.id,
            verb=request.verb,
            service=request.service,
            from_site=wish.from_site,
            to_site=wish.to_site,
            statement=words,
            loss_bound_seconds=bound,
            lines=list(render_plan(plan)),
            gates=[gate_status(gate) for gate in answers],
            refusal=_refusal(answers),
            confirm_site=confirm,
            plan=json.loads(plan.to_json()),
            pause=pause_status(service),
        )

    def _keep(self, drawn: Drawn) -> None:
        self._drawn[drawn.plan.id] = drawn
        while len(self._drawn) > PLANS_KEPT:
            self._drawn.popitem(last=False)

    def _look(self, name: str) -> tuple[View, ServiceView]:
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
        if not view.registered or service.record is None:
            raise OrderRefused(
                "no-quorum", "who owns it is not known here: the keeper has not registered with the store"
            )
        return view, service

    def _wish(self, view: View, service: ServiceView, request: MoveRequest) -> Wish:
        record = service.record
        primary = record.primary if record is not None else None
        if request.verb == "switchover":
            return self._planned_wish(service, request, primary)
        if request.verb != "failover":
            raise OrderRefused("wrong-request", f"{request.verb} is not carried out yet", wrong=True)
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
            holder_lives=request.certify_down is None and _only_its_database_is_down(view, service),
            accept_loss_seconds=request.accept_loss_seconds,
        )

    def _planned_wish(self, service: ServiceView, request: MoveRequest, primary: str | None) -> Wish:
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
        return Wish(to_site=to_site, from_site=primary, planned=True, automatic=False)

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

    async def order(self, order: MoveOrder, who: str) -> MoveAccepted:
        """Start the run of a plan given out. Raises OrderRefused."""
        drawn = self._drawn.get(order.run)
        if drawn is None:
            raise OrderRefused("plan-unknown", f"no plan {order.run} here; ask for the plan again")
        if order.confirmed_site != drawn.confirm_site:
            raise OrderRefused(
                "not-confirmed",
                f"typed {order.confirmed_site!r}, expected {drawn.confirm_site!r}; nothing was done",
            )
        if order.accept_loss_seconds is not None and not (order.reason or drawn.request.reason).strip():
            raise OrderRefused("wrong-request", "accepting a loss needs a --reason", wrong=True)
        wish = drawn.wish
        if order.accept_loss_seconds is not None:
            wish = replace(wish, accept_loss_seconds=order.accept_loss_seconds)
        view, service = self._look(drawn.request.service)
        if service.record is None or service.record.epoch + 1 != drawn.plan.epoch:
            raise OrderRefused(
                "changed-since-plan", f"{drawn.request.service} has moved since the plan was made; plan again"
            )
        answers = gates(view, service, wish)
        refusal = _refusal(answers)
        if refusal is not None:
            self._controller.tally.refused(drawn.request.service, refusal.code)
            raise OrderRefused(refusal.code, refusal.message, refusal.evidence)
        reason = order.reason or drawn.request.reason
        if wish.planned or wish.holder_lives:
            await self._start_planned(drawn, who, reason)
        else:
            self._start_failover(drawn, wish, view, service, who, reason)
        self._drawn.pop(order.run, None)
        return MoveAccepted(run=drawn.plan.id, message=f"run {drawn.plan.id} has been started")

    async def _start_planned(self, drawn: Drawn, who: str, reason: str) -> None:
        """P26: by compare-and-set at the plan's revision; the target's controller carries it out."""
        record = self._controller.mover.record_of(
            drawn.plan,
            who=who,
            why=reason or "ordered",
            statement=drawn.statement,
            loss_bound_seconds=drawn.loss_bound_seconds,
        )
        await self._ask(
            StartRun(
                service=drawn.plan.service,
                record=record,
                revision=drawn.revision,
                who=who,
                why=reason or "ordered",
            )
        )

    def _start_failover(
        self, drawn: Drawn, wish: Wish, view: View, service: ServiceView, who: str, reason: str
    ) -> None:
        mind = self._controller.minds[drawn.plan.service]
        if mind.run or mind.busy is not None:
            raise OrderRefused("moving", f"run {mind.run or 'of the controller itself'} is at it already")
        words, bound = statement(view, service, wish)  # frozen at the moment of decision
        if wish.certified_down:
            words += f"; {who} certified {wish.from_site} down: {reason}"
        if wish.accept_loss_seconds is not None:
            words += f"; {who} accepted a loss of {wish.accept_loss_seconds:g} s: {reason}"
        record = self._controller.mover.record_of(
            drawn.plan, who=who, why=reason or "ordered", statement=words, loss_bound_seconds=bound
        )
        errand = Errand(
            record,
            ordered_by_operator=True,
            certified_down=wish.certified_down,
            accept_loss=wish.accept_loss_seconds is not None,
            who=who,
            why=reason or "ordered",
        )
        claims = service.record is not None and service.record.primary is None
        self._controller.deeds.order(drawn.plan, errand, publish=claims)

    async def _ask(self, what: Ask) -> None:
        try:
            reply = await self._controller.desk.ask(what, ASK_SECONDS)
        except KeeperGone as gone:
            raise OrderRefused("no-quorum", f"the keeper does not answer: {gone}") from gone
        if not reply.done:
            raise OrderRefused(reply.code, reply.message)

    # --- pause, resume, acknowledge ------------------------------------------------------------------

    def _chosen(self, request: QuietRequest) -> list[str]:
        estate = self._controller.estate
        movable = [name for name, service in estate.services.items() if not service.watch_only]
        if (request.service is not None) + (request.site is not None) + request.everything != 1:
            raise OrderRefused("wrong-request", "say either a service, or a site, or everything", wrong=True)
        if request.everything:
            return movable
        if request.site is not None:
            return self._primary_at(request.site, movable)
        if request.service is None or request.service not in estate.services:
            known = ", ".join(estate.services)
            raise OrderRefused(
                "unknown-service", f"no service {request.service!r}; there is {known}", wrong=True
            )
        if request.service not in movable:
            raise OrderRefused("driver-missing", f"{request.service} is watched only and never moved")
        return [request.service]

    def _primary_at(self, site: str, movable: list[str]) -> list[str]:
        """The services that are primary at a site; what is not known must not be left out silently."""
        if site not in self._controller.estate.sites:
            raise OrderRefused("unknown-site", f"no site {site!r}", wrong=True)
        held = {name: self._controller.desk.record(name) for name in movable}
        unknown = [name for name, record in held.items() if record is None]
        if unknown:
            raise OrderRefused("no-quorum", f"who owns {', '.join(unknown)} is not known here")
        return [name for name, record in held.items() if record is not None and record.primary == site]

    async def pause(self, request: QuietRequest, who: str) -> Acted:
        """No automatic move for a time; it ends by itself."""
        if request.seconds is None or not 0 < request.seconds <= LONGEST_PAUSE_SECONDS:
            raise OrderRefused(
                "wrong-request", "a pause needs a length of up to 7 days: --for 2h", wrong=True
            )
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "a pause needs a --reason", wrong=True)
        pause = Pause(
            pause_id=token_hex(4),
            seconds=request.seconds,
            since=wall_text(),
            who=who,
            reason=request.reason,
        )
        lines = []
        for name in self._chosen(request):
            await self._ask(SetPause(service=name, pause=pause))
            lines.append(f"{name}: paused for {request.seconds:g} s; it ends by itself")
        return _acted(request, lines)

    async def resume(self, request: QuietRequest, who: str) -> Acted:
        """End pauses now."""
        lines = []
        for name in self._chosen(request):
            await self._ask(SetPause(service=name, pause=None))
            lines.append(f"{name}: automatic moves are allowed again")
        return _acted(request, lines)

    async def acknowledge(self, request: QuietRequest, who: str) -> Acted:
        """Take note of the last unplanned move (gate 6)."""
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "an acknowledgement needs a --reason", wrong=True)
        lines = []
        for name in self._chosen(request):
            await self._ask(Acknowledge(service=name, who=f"{who}: {request.reason}"))
            lines.append(f"{name}: the last unplanned move is acknowledged")
        return _acted(request, lines)


def _acted(request: QuietRequest, lines: list[str]) -> Acted:
    where = f"at {request.site}" if request.site is not None else "in the estate"
    return Acted(lines=lines or [f"there is no such service {where}: nothing was changed"])


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
