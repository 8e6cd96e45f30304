"""Ask the devices that this site uses, now and then, whether their machines are on: one that does not answer
is to be found out on a quiet day, and not when it is needed. Switches nothing, and decides nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from orchestrator.clock import boottime_ns
from sites.fencing.agents import PowerLook, look
from sites.fencing.devices import settings_of
from sites.model import Estate, FenceDevice

log = structlog.get_logger(__name__)

EVERY_SECONDS = 300.0
AGAIN_SECONDS = 30.0  # what did not answer is asked again soon; one that never does is told of then
MISSES = 2

LookAt = Callable[[FenceDevice], Awaitable[PowerLook]]


async def look_at(device: FenceDevice) -> PowerLook:
    """By its agent."""
    return await look(settings_of(device))


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """One device's last word about its machine. `misses`: how often in a row it has not said."""

    site: str
    host: str
    agent: str
    level: int
    on: bool | None
    evidence: str
    code: str
    at_ns: int
    misses: int = 0

    @property
    def silent(self) -> bool:
        """It has not answered for long enough to be told of."""
        return self.misses >= MISSES


class DevicePatrol:
    """One controller's."""

    def __init__(self, estate: Estate, site: str, look: LookAt = look_at) -> None:
        self._look = look
        self._devices = [
            (host.site, host.name, number, device)
            for noun in estate.sites.values()
            for host in noun.hosts.values()
            for number, device in enumerate(host.fence)
            if device.from_site == site
        ]
        self._seen: dict[tuple[str, str, int], DeviceSeen] = {}

    @property
    def seen(self) -> tuple[DeviceSeen, ...]:
        """Every device's last word."""
        return tuple(self._seen.values())

    async def run(self) -> None:
        """Ask all of them, one after another, until cancelled."""
        while self._devices:
            for site, host, number, device in self._devices:
                await self._ask(site, host, number, device)
            waiting = any(seen.misses == 1 for seen in self._seen.values())
            await asyncio.sleep(AGAIN_SECONDS if waiting else EVERY_SECONDS)

    async def _ask(self, site: str, host: str, number: int, device: FenceDevice) -> None:
        before = self._seen.get((site, host, number))
        said = await self._look(device)
        misses = 0 if said.on is not None else 1 + (before.misses if before is not None else 0)
        name = device.agent.rpartition("/")[2]
        found = DeviceSeen(
            site, host, name, device.level, said.on, said.evidence, said.code, boottime_ns(), misses
        )
        self._seen[site, host, number] = found
        if found.silent and misses == MISSES:
            log.warning("device-silent", host=f"{site}/{host}", agent=name, evidence=said.evidence)
