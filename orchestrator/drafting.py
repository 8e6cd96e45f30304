"""Draws certificates up from what a controller knows. Nothing counts yet."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from orchestrator.api.shapes import CertificateStatus, MoveRequest
from orchestrator.certificate_desk import CertificateDesk
from orchestrator.certificate_words import Words, of_down
from orchestrator.certified import Certificate, CertificateKind
from orchestrator.clock import wall_text
from orchestrator.controller import Controller
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.records import Mode
from orchestrator.core.view import ServiceView, View
from orchestrator.refusing import OrderRefused
from sites.hosts_of import hosts_of


class Drafter:
    """One controller's."""

    def __init__(self, controller: Controller, desk: CertificateDesk) -> None:
        self.controller = controller
        self.desk = desk

    def draft(
        self,
        kind: CertificateKind,
        view: View,
        words: Words,
        *,
        who: str,
        reason: str,
        service: str = "",
        epoch: int = 0,
        covers: Mapping[str, tuple[str, ...]] | None = None,
        hosts: tuple[str, ...] = (),
    ) -> CertificateStatus:
        """A draft about the other site. Raises OrderRefused for one without a reason."""
        if not reason.strip():
            raise OrderRefused("wrong-request", "a certificate needs a --reason", wrong=True)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        certificate = Certificate(
            id=f"{kind}-{stamp}-{secrets.token_hex(3)}",
            kind=kind,
            site=view.site,
            down=view.peer,
            service=service,
            epoch=epoch,
            hosts=hosts,
            covers=covers or {},
            states=words.states,
            reason=reason,
            who=who,
            when=wall_text(),
        )
        return self.desk.draft(certificate, words.means)

    def draft_down(
        self, request: MoveRequest, view: View, service: ServiceView, epoch: int, who: str
    ) -> CertificateStatus:
        """P28: the certificate of a failover with `--certify-down`, while the store answers. While the peer
        holds, it covers every host of every service that the peer is primary for."""
        name, record = service.service.name, service.record
        peer = view.keeper.peer if view.keeper is not None else None
        holds = peer is not None and peer.hold
        covers = self.covers((*self.primary_at(view, view.peer), name) if holds else (name,), view.peer)
        words = of_down(
            service=name,
            down=view.peer,
            covers=covers,
            holds=holds,
            manual=record is not None and record.mode is Mode.MANUAL,
        )
        return self.draft(
            CertificateKind.DOWN,
            view,
            words,
            who=who,
            reason=request.reason,
            service=name,
            epoch=epoch,
            covers=covers,
        )

    def primary_at(self, view: View, site: str) -> tuple[str, ...]:
        """The services that the site is, or was last known to be, primary for."""
        found = []
        for service in view.services:
            name, record = service.service.name, service.record
            known = self.controller.last_known.of(name)
            last = (known.primary or known.previous) if known is not None else None
            if (record.primary if record is not None else last) == site:
                found.append(name)
        return tuple(found)

    def covers(self, services: Iterable[str], site: str) -> dict[str, tuple[str, ...]]:
        """The hosts of these services at a site."""
        return {name: hosts_of(self.controller.estate, name, site) for name in dict.fromkeys(services)}

    def check_covers(self, view: View, covers: tuple[str, ...]) -> None:
        """P28: a certificate that was drawn up before the other site held says too little now, and one that
        says nothing of broken glass there does not end it. Raises OrderRefused."""
        peer = view.keeper.peer if view.keeper is not None else None
        if peer is not None and peer.break_glass and view.word_needed:
            raise OrderRefused(
                "peer-broke-glass",
                f"glass was broken at {view.peer}, by the last that was heard of it: bring it back and "
                "reconcile, or give up what it accepted: "
                f"`twinsite certify {view.peer} --down --accept-broken-glass`",
            )
        missing = [name for name in self.primary_at(view, view.peer) if name not in covers]
        if peer is not None and peer.hold and missing:
            raise OrderRefused(
                "peer-holds",
                f"{view.peer} holds by now: the certificate must cover {', '.join(missing)} too; order anew",
            )

    def check_idle(self, service: str) -> None:
        """No run is at the service here. Raises OrderRefused."""
        mind = self.controller.minds[service]
        if mind.run and mind.run_waits:
            raise OrderRefused(
                "run-waiting",
                f"run {mind.run} waits for a person; end it first: `twinsite runs abort {mind.run} --reason "
                f"…`",
            )
        if mind.run or mind.busy is not None:
            raise OrderRefused("moving", f"run {mind.run or 'of the controller itself'} is at it already")


def with_quorum(view: View) -> KeeperView:
    """The keeper, whose store answers. Raises OrderRefused."""
    keeper = view.keeper
    if keeper is None:
        raise OrderRefused("no-quorum", "the keeper does not answer")
    if keeper.deadline_ns <= view.now_ns or keeper.store_problem:
        why = keeper.store_problem or "the keeper has not registered yet"
        raise OrderRefused("no-quorum", f"the store does not answer {view.site}: {why}")
    return keeper
