"""P32: an operator certifies that the other site is off and has broken no glass, in place of its word."""

from orchestrator.api.shapes import Acted, CertificateOrder, CertificateStatus, CertifyRequest
from orchestrator.certificate_words import of_peer
from orchestrator.certified import CertificateKind
from orchestrator.core.messages import CertifyPeer
from orchestrator.drafting import Drafter, with_quorum
from orchestrator.quieting import ask_keeper
from orchestrator.refusing import OrderRefused


class PeerCertificates:
    """The desk for it, of one controller."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self._controller = drafter.controller

    def draft(self, request: CertifyRequest, who: str) -> CertificateStatus:
        """Draw it up. Raises OrderRefused."""
        view = self._controller.view()
        if request.site != view.peer:
            raise OrderRefused(
                "wrong-request",
                f"the other site of {view.site} is {view.peer}, not {request.site}",
                wrong=True,
            )
        keeper = with_quorum(view)
        if not keeper.word_needed:
            raise OrderRefused("word-not-needed", f"{view.site} waits for nobody's word")
        if keeper.peer is not None and not view.peer_lease_over:
            raise OrderRefused(
                "lease-still-held",
                f"{view.peer}'s key moved {view.peer_silent_seconds or 0:.1f} s ago: it may be alive, and "
                "says its word by itself then",
            )
        broke = keeper.peer is not None and keeper.peer.break_glass
        if broke and not request.accept_broken_glass:
            raise OrderRefused(
                "peer-broke-glass",
                f"the last beat of {view.peer} says that glass was broken there; what it accepted since is "
                "not here",
            )
        own = tuple(
            held.service for held in keeper.services if held.record and held.record.primary == view.site
        )
        words = of_peer(site=view.site, peer=view.peer, own=own, broke_glass=broke)
        return self._drafter.draft(CertificateKind.PEER, view, words, who=who, reason=request.reason)

    async def use(self, name: str, order: CertificateOrder, who: str) -> Acted:
        """Have it count. Raises OrderRefused."""
        desk = self._drafter.desk
        found = desk.status(name)
        if found.kind != CertificateKind.PEER.value:
            raise OrderRefused(
                "wrong-request", f"{name} belongs to a failover: order that instead", wrong=True
            )
        if order.confirmed_site != found.down:
            raise OrderRefused(
                "not-confirmed", f"typed {order.confirmed_site!r}, expected {found.down!r}; nothing was done"
            )
        with_quorum(self._controller.view())
        certificate = await desk.put_on_file(name, who, order.signature)
        await ask_keeper(
            self._controller, CertifyPeer(who=who, why=certificate.reason, certificate=certificate.id)
        )
        told = f"{found.site} opens what the store says is its own; see `twinsite status`"
        return Acted(lines=[f"{found.down} is certified as off ({certificate.id}): {told}"])
