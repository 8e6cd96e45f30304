"""A person's order to have the lost site's hosts switched off before a failover (P28): what it may cover, and
what it means, said before it is done; and how it is carried out as a step of the run.
"""

import asyncio
import math
from dataclasses import replace

from orchestrator.api.shapes import MoveRequest
from orchestrator.controller import Controller
from orchestrator.core.gates import (
    CUT_BELIEVED_SECONDS,
    FRESH_WORD_SECONDS,
    Wish,
    gates,
)
from orchestrator.core.statement import statement
from orchestrator.core.view import ServiceView, View
from orchestrator.devices import PowerOffRefused, PowerOrder
from orchestrator.ownership_actions import Errand
from orchestrator.refusing import OrderRefused
from runbooks.errors import StepFailed
from sites.fencing.devices import levels_of

CUT_COUNTS_LEASES = 2
LOOK_SECONDS = 0.25
LOOKS = int((FRESH_WORD_SECONDS + CUT_BELIEVED_SECONDS) / LOOK_SECONDS)


async def carried_out(controller: Controller, name: str, errand: Errand) -> tuple[str, int]:
    """P28: have the hosts switched off for a run, be sure of it, see whether what is seen and what may be
    lost still allow a promotion, and say anew what may be lost; and once more when it was taken, for its own
    hosts, since until then the old site's keeper might have opened what somebody switched on again. The
    evidence, and until when it counts; raises StepFailed, and then nothing may be taken, or promoted."""
    taken = errand.cut_off
    order = PowerOrder(
        service=name,
        covers=(name,) if taken else errand.covers,
        ordered=True,
        who=errand.who,
        why=errand.why,
        run=errand.record.run,
    )
    try:
        cut = await controller.devices.cut(order)
    except PowerOffRefused as refused:
        raise StepFailed(f"{refused.code}: {refused}") from refused
    if not cut.confirmed:
        raise StepFailed(f"{cut.code}: not all of it is known to be off, so nothing is taken: {cut.words}")
    view, service = await _not_writable(controller, name)
    counts_ns = int(CUT_COUNTS_LEASES * controller.estate.ownership.lease_duration_seconds * 1e9)
    if taken:
        return cut.words, cut.as_of_ns + counts_ns
    wish = Wish(to_site=view.site, from_site=view.peer, planned=False, automatic=False, power_off=True)
    words, bound_seconds = statement(view, service, wish)
    if errand.loss_limit_seconds < math.inf and (
        bound_seconds is None or bound_seconds > errand.loss_limit_seconds
    ):
        lost = "not known how much" if bound_seconds is None else f"at most {bound_seconds:.1f} s"
        raise StepFailed(
            f"loss-not-accepted: until its hosts were off more could be written there: {lost} would be "
            f"lost, and {errand.loss_limit_seconds:g} s may be; they are off now: order it anew, with "
            "--accept-loss"
        )
    words += errand.besides
    errand.record = replace(errand.record, statement=words, loss_bound_seconds=bound_seconds)
    if errand.restate is not None:
        errand.restate(words, bound_seconds)
    return cut.words, cut.as_of_ns + counts_ns


async def _not_writable(controller: Controller, name: str) -> tuple[View, ServiceView]:
    """Gate 2, once everybody has had the time to look again. Raises StepFailed."""
    for _ in range(LOOKS):
        await controller.eyes.look(name, controller.peer)
        view = controller.view()
        service = next(each for each in view.services if each.service.name == name)
        wish = Wish(to_site=view.site, from_site=view.peer, planned=False, automatic=True)
        seen = next(gate for gate in gates(view, service, wish) if gate.number == 2)
        if seen.open:
            return view, service
        await asyncio.sleep(LOOK_SECONDS)
    raise StepFailed(f"{seen.code}: {seen.evidence}")


class PowerOrders:
    """One controller's."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def wish(self, view: View, service: ServiceView, request: MoveRequest, wish: Wish) -> Wish:
        """The wish with the devices in it, where they are asked for. Raises OrderRefused."""
        if request.power_off is None:
            return wish
        name = request.service
        if request.verb != "failover":
            raise OrderRefused(
                "wrong-request", "nothing is switched off for a planned move; leave it out", wrong=True
            )
        if request.certify_down is not None:
            raise OrderRefused(
                "wrong-request",
                f"either you certify {request.certify_down} down, or devices switch it off: give one of them",
                wrong=True,
            )
        if request.power_off != wish.from_site:
            raise OrderRefused(
                "wrong-request",
                f"{name} is {wish.from_site}'s: have {wish.from_site} switched off, not {request.power_off}",
                wrong=True,
            )
        if service.record is not None and service.record.primary is None:
            raise OrderRefused("handed-over", f"{name} was given up: nothing needs to be switched off for it")
        if not request.reason.strip():
            raise OrderRefused("wrong-request", "switching hosts off needs a --reason", wrong=True)
        covers = self.covers(view, service)
        bare = tuple(each for each in covers if not self._controller.devices.equipped(each))
        return replace(wish, power_off=True, not_covered=bare)

    def covers(self, view: View, service: ServiceView) -> tuple[str, ...]:
        """The services of which every host is to be off: while the other site holds, all that it is, or was
        last known to be, primary for (P28)."""
        name = service.service.name
        peer = view.keeper.peer if view.keeper is not None else None
        if peer is None or not peer.hold:
            return (name,)
        others = [each for each in view.services if each.service.name != name]
        return (name, *(each.service.name for each in others if self._is_there(view, each)))

    def _is_there(self, view: View, service: ServiceView) -> bool:
        """Without a record nobody knows: it counts as there."""
        if service.record is not None:
            return service.record.primary == view.peer
        known = self._controller.last_known.of(service.service.name)
        return known is not None and (known.primary or known.previous) == view.peer

    def check(self, view: View, service: ServiceView, covers: tuple[str, ...]) -> None:
        """P28: a plan from before the other site held covers too little now. Raises OrderRefused."""
        missing = [name for name in self.covers(view, service) if name not in covers]
        if missing:
            raise OrderRefused(
                "peer-holds",
                f"{view.peer} holds by now: {', '.join(missing)} must be switched off too; order anew",
            )

    def hosts(self, covers: tuple[str, ...]) -> str:
        """The hosts of these services, in words."""
        return ", ".join(f"{host.site}/{host.name}" for host in self._controller.devices.hosts(covers))

    def longest_seconds(self, covers: tuple[str, ...]) -> float:
        """How long the step may take: the devices, and the keeper's answer before."""
        return self._controller.devices.longest_seconds(covers) + 60.0

    def words(self, view: View, service: ServiceView, covers: tuple[str, ...]) -> tuple[str, ...]:
        """What is done first, and what that means, a line each."""
        devices = self._controller.devices
        lines = []
        for host in devices.hosts(covers):
            levels = [
                " and ".join(device.agent.rpartition("/")[2] for device in level) for level in levels_of(host)
            ]
            by = ", then ".join(levels) or "no device"
            lines.append(f"{host.site}/{host.name} is switched off, at once and without a shutdown ({by})")
        peer = view.keeper.peer if view.keeper is not None else None
        if peer is not None and peer.hold:
            lines.append(
                f"{view.peer} holds: it may be serving without any contact, so every host of every service "
                f"that it is primary for goes off: {', '.join(covers)}"
            )
        along = sorted({name for each in covers for name in devices.beside(each)} - set(covers))
        if along:
            lines.append(f"these share a machine with it and go off too: {', '.join(along)}")
        lines.append(
            "nothing is taken unless every one of them is known to be off; those that are stay off either "
            "way, until somebody switches them on; they then start closed"
        )
        return tuple(lines)
