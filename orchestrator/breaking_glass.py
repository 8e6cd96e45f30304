"""P31: a service is served without the store, by an operator's certificate that the other site is off.

Drawn up and shown first; the certificate goes on file before the run begins. The same gates are examined as
before any other promotion, and the keeper has the last word.
"""

from dataclasses import dataclass, replace
from typing import Any

from orchestrator.api.shapes import CertificateStatus, MoveRequest
from orchestrator.certificate_words import of_glass, of_reopened
from orchestrator.certified import Certificate, CertificateKind
from orchestrator.clock import wall_text
from orchestrator.core.gates import Gate, Wish, gates
from orchestrator.core.records import Mode, Movement, ServiceRecord
from orchestrator.core.statement import statement
from orchestrator.core.view import ServiceView, View
from orchestrator.deeds import known_of
from orchestrator.drafting import Drafter
from orchestrator.last_known import Known as LastKnown
from orchestrator.mover import BROKEN_EVENT
from orchestrator.ownership_actions import Errand
from orchestrator.refusing import OrderRefused
from runbooks.errors import PlanRefused, RunbooksError
from runbooks.model import Kind
from runbooks.planned import Known, Plan
from sites.hosts_of import database_hosts_of
from sites.replication.words import Sample

LONGEST_PROBLEM = 200


@dataclass(frozen=True, slots=True)
class GlassPlan:
    """A plan to break glass: what would be run, by which wish, from what was last known."""

    request: MoveRequest
    plan: Plan
    wish: Wish
    view: View
    service: ServiceView
    known: LastKnown
    statement: str
    loss_bound_seconds: float | None
    gates: tuple[Gate, ...]
    certificate: CertificateStatus


def without_quorum(view: View) -> bool:
    """The store does not answer, and neither it nor the peer keeps a lease of this site alive."""
    keeper = view.keeper
    return keeper is not None and keeper.deadline_ns <= view.now_ns and bool(keeper.store_problem)


class GlassOrders:
    """The desk for it, of one controller."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self._controller = drafter.controller

    def plan(self, request: MoveRequest, view: View, service: ServiceView, who: str) -> GlassPlan:
        """A plan to serve the service here without the store. Raises OrderRefused."""
        known = self._check(request, view, service)
        name = request.service
        wish = Wish(
            to_site=view.site,
            from_site=view.peer,
            planned=False,
            automatic=False,
            certified_down=True,
            broken_glass=True,
            reopens=(known.primary or known.previous) == view.site,
            accept_loss_seconds=request.accept_loss_seconds,
        )
        service = self._as_last_known(view, service, known, wish)
        epoch = self._controller.last_known.highest_epoch(name, view.keeper) + 1
        words, bound = self._statement(view, service, wish)
        return GlassPlan(
            request=request,
            plan=self._drawn(request, view, service, known, epoch),
            wish=wish,
            view=view,
            service=service,
            known=known,
            statement=words,
            loss_bound_seconds=bound,
            gates=gates(view, service, wish),
            certificate=self._certificate(request, view, known, epoch, words, who),
        )

    def _check(self, request: MoveRequest, view: View, service: ServiceView) -> LastKnown:
        name = request.service
        if request.certify_down != view.peer:
            raise OrderRefused(
                "wrong-request",
                f"the other site of {view.site} is {view.peer}: certify {view.peer} down, not "
                f"{request.certify_down}",
                wrong=True,
            )
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "a certificate needs a --reason", wrong=True)
        if request.to_site not in (None, view.site):
            raise OrderRefused(
                "ask-the-survivor", f"a failover to {request.to_site} is ordered at that site's controller"
            )
        if service.held is not None and service.held.under_glass:
            raise OrderRefused(
                "break-glass", f"{name} is served here under certificate {service.held.under_glass} already"
            )
        known = self._controller.last_known.of(name)
        if known is None:
            raise OrderRefused(
                "unclaimed", f"nothing was ever known here of who owns {name}, so no certificate can say it"
            )
        return known

    def _as_last_known(self, view: View, service: ServiceView, known: LastKnown, wish: Wish) -> ServiceView:
        """The service as the gates are to see it: with the owner that it last had."""
        held = service.held
        if held is None:
            return service
        record = ServiceRecord(
            primary=known.primary,
            previous=known.previous,
            epoch=known.epoch,
            mode=Mode(known.mode),
            movement=Movement.STEADY,
            writer="",
        )
        eyes, name = self._controller.eyes, service.service.name
        safe = None if wish.reopens else eyes.safe_until_ns(name, view.peer, view.site)
        return replace(service, held=replace(held, known=True, record=record), safe_until_ns=safe)

    def _statement(self, view: View, service: ServiceView, wish: Wish) -> tuple[str, float | None]:
        if wish.reopens:
            return of_reopened(service=service.service.name, site=view.site, peer=view.peer), 0.0
        return statement(view, service, wish)

    def _drawn(
        self, request: MoveRequest, view: View, service: ServiceView, known: LastKnown, epoch: int
    ) -> Plan:
        facts = (Known("last known", _last_known(known)), *known_of(view, service))
        try:
            return self._controller.mover.draw(
                Kind.FAILOVER,
                service.service,
                from_site=view.peer,
                to_site=view.site,
                epoch=epoch,
                frame="break-glass",
                reason=request.reason,
                known=facts,
            )
        except PlanRefused as refused:
            raise OrderRefused(refused.code, str(refused)) from refused
        except RunbooksError as fault:
            raise OrderRefused("plan-invalid", str(fault)) from fault

    def _certificate(
        self, request: MoveRequest, view: View, known: LastKnown, epoch: int, loss: str, who: str
    ) -> CertificateStatus:
        keeper, name = view.keeper, request.service
        assert keeper is not None
        covers = self._drafter.covers((*self._drafter.primary_at(view, view.peer), name), view.peer)
        silent = view.peer_silent_seconds
        words = of_glass(
            service=name,
            site=view.site,
            down=view.peer,
            epoch=epoch,
            covers=covers,
            why_no_quorum=keeper.store_problem[:LONGEST_PROBLEM],
            heard="never since this keeper started" if silent is None else f"{silent:.0f} s ago",
            holds=keeper.peer is not None and keeper.peer.hold,
            last_known=_last_known(known),
            loss=loss,
        )
        return self._drafter.draft(
            CertificateKind.BREAK_GLASS,
            view,
            words,
            who=who,
            reason=request.reason,
            service=name,
            epoch=epoch,
            covers=covers,
            hosts=database_hosts_of(self._controller.estate, name, view.site),
        )

    async def order(self, drawn: GlassPlan, wish: Wish, who: str, reason: str, signature: str) -> None:
        """Break it: the certificate goes on file first, then the run begins. `wish`: with the loss that was
        accepted meanwhile. Raises OrderRefused."""
        name = drawn.plan.service
        certificate = await self._drafter.desk.put_on_file(drawn.certificate.id, who, signature)
        await self._note_parting(drawn, certificate)
        self._drafter.check_idle(name)  # somebody else may have been quicker meanwhile
        words = f"glass broken by certificate {certificate.id}; {drawn.statement}"
        if wish.accept_loss_seconds is not None:
            words += f"; {who} accepted a loss of {wish.accept_loss_seconds:g} s: {reason}"
        record = self._controller.mover.record_of(
            drawn.plan,
            who=who,
            why=reason,
            statement=words,
            loss_bound_seconds=drawn.loss_bound_seconds,
        )
        errand = Errand(
            record,
            ordered_by_operator=True,
            certified_down=True,
            accept_loss=wish.accept_loss_seconds is not None,
            certificate=certificate.id,
            reopens=wish.reopens,
            who=who,
            why=reason,
        )
        self._controller.deeds.order(drawn.plan, errand, publish=False)

    def again(self, drawn: GlassPlan, wish: Wish) -> tuple[Gate, ...]:
        """The gates as they are now. Raises OrderRefused when there is a quorum again, another run is on, or
        the epoch has been used meanwhile."""
        view, name = self._controller.view(), drawn.plan.service
        if not without_quorum(view):
            raise OrderRefused(
                "quorum-there", "the store answers again, or this site has its lease: plan again"
            )
        self._drafter.check_idle(name)
        highest = self._controller.last_known.highest_epoch(name, view.keeper)
        if drawn.plan.epoch <= highest:
            raise OrderRefused("epoch-too-low", f"{name} is at epoch {highest} already; plan again")
        service = next(each for each in view.services if each.service.name == name)
        return gates(view, self._as_last_known(view, service, drawn.known, wish), wish)

    async def _note_parting(self, drawn: GlassPlan, certificate: Certificate) -> None:
        """Where the two sites part, for the report that will be asked for."""
        here = drawn.service.samples.get(drawn.view.site)
        there = self._controller.eyes.sample(drawn.plan.service, drawn.view.peer)
        data = {
            "certificate": certificate.id,
            "run": drawn.plan.id,
            "at": wall_text(),
            "epoch": drawn.plan.epoch,
            "position": _position(here),
            "peer_position": _position(there),
            "last_known": {
                "primary": drawn.known.primary,
                "epoch": drawn.known.epoch,
                "at": drawn.known.at,
            },
            "statement": drawn.statement,
        }
        try:
            await self._controller.journal.append_event(BROKEN_EVENT, drawn.plan.service, data)
        except RunbooksError as fault:
            raise OrderRefused("not-on-file", f"{fault}; nothing was done") from fault


def _last_known(known: LastKnown) -> str:
    return f"{known.primary or 'nobody'} was primary at epoch {known.epoch}, as of {known.at}"


def _position(sample: Sample | None) -> dict[str, Any] | None:
    if sample is None or sample.position is None:
        return None
    at = sample.position
    return {"text": at.text, "history": at.history, "offset_bytes": at.offset_bytes}
