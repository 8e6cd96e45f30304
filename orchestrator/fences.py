"""Cut the old primary off for a takeover: over SSH first, and where that proves nothing by its devices.

What is to be cut off and when is decided elsewhere; here it is only carried out, in the background.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from orchestrator.core.decision import automatic_wish
from orchestrator.core.gates import gates
from orchestrator.core.view import ServiceView, View
from orchestrator.devices import Devices, PowerOffRefused, PowerOrder
from orchestrator.mind import ServiceMind
from sites.model import FencePolicy
from sites.replication.words import ReplicationDriver

log = structlog.get_logger(__name__)

SSH_SECONDS = 5.0
SSH_AGAIN_NS = 5_000_000_000


class Fences:
    """One controller's. `start` begins work in the background."""

    def __init__(
        self,
        site: str,
        peer: str,
        *,
        drivers: Mapping[str, ReplicationDriver],
        devices: Devices,
        wake: asyncio.Event,
        start: Callable[[Awaitable[None]], object],
    ) -> None:
        self._site = site
        self._peer = peer
        self._drivers = drivers
        self._devices = devices
        self._wake = wake
        self._start = start

    def over_ssh(self, service: ServiceView, mind: ServiceMind, view: View) -> None:
        """Gate 8 for `fence: confirm`, and before devices are used: tried during the wait, once the lost
        site's lease is over."""
        if service.service.fence is not FencePolicy.CONFIRM and not service.power.equipped:
            return
        if mind.fence_confirmed or view.now_ns - mind.fence_tried_at_ns < SSH_AGAIN_NS:
            return
        mind.fence_tried_at_ns = view.now_ns
        name = service.service.name

        async def work() -> None:
            fenced = await self._drivers[name].fence(self._peer, within_seconds=SSH_SECONDS)
            mind.fence_confirmed = fenced.verified
            self._wake.set()

        self._start(work())

    def by_devices(self, view: View, service: ServiceView) -> None:
        """Gates 2 and 8: all else is open, and the old primary is not known to be cut off."""
        answers = gates(view, service, automatic_wish(view, service))
        closed = "; ".join(gate.evidence for gate in answers if not gate.open)
        self._devices.begin(self._order(service.service.name, f"{self._peer} is lost, and {closed}"))

    def behind(self, service: ServiceView, run: str) -> None:
        """After the takeover has committed, so that the old site can never be told to go on: try to cut its
        instance off as well (gate 8)."""
        name = service.service.name

        async def work() -> None:
            fenced = await self._drivers[name].fence(self._peer, within_seconds=SSH_SECONDS)
            log.info("fenced-behind", service=name, verified=fenced.verified, evidence=fenced.evidence)
            power = service.power
            if fenced.verified or not power.equipped or power.takes_along or power.verified:
                return
            why = f"{self._peer} is lost, {name} was taken over, and it is not known to be cut off there"
            try:
                await self._devices.cut(self._order(name, why, run))
            except PowerOffRefused as refused:
                log.warning("power-off-refused", service=name, code=refused.code, why=str(refused))

        self._start(work())

    def _order(self, name: str, why: str, run: str = "") -> PowerOrder:
        who = f"controller of {self._site}"
        return PowerOrder(service=name, covers=(name,), ordered=False, who=who, why=why, run=run)
