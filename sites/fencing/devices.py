"""Cut hosts off by their devices: every host at once, level by level, and all looked at again at the end.

A verified cut is one after which the device of each host says that it is off. Of several hosts that must be
so of all of them together: one that somebody has switched on again meanwhile is found by the last look.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from sites.fencing.agents import STILL_ON, AgentSettings, cut_power, look
from sites.model import FenceDevice, Host

NO_DEVICE = "device-missing"


@dataclass(frozen=True, slots=True)
class HostCut:
    """What came of one host: known to be off or not, what its devices said, and a code when it is not."""

    site: str
    host: str
    confirmed: bool
    evidence: str
    code: str = ""

    @property
    def words(self) -> str:
        """As a person reads it."""
        return f"{self.site}/{self.host} {'is off' if self.confirmed else self.code}: {self.evidence}"


@dataclass(frozen=True, slots=True)
class Cut:
    """What came of several hosts. `as_of_ns`: all of them were seen to be off at this instant or later, by
    the clock that was given."""

    hosts: tuple[HostCut, ...]
    as_of_ns: int

    @property
    def confirmed(self) -> bool:
        """A verified cut: every host is off."""
        return bool(self.hosts) and all(host.confirmed for host in self.hosts)

    @property
    def switched(self) -> tuple[HostCut, ...]:
        """Those that are off by us, whatever became of the others."""
        return tuple(host for host in self.hosts if host.confirmed)

    @property
    def code(self) -> str:
        """Why not; "" when it is verified."""
        return next((host.code for host in self.hosts if not host.confirmed), "")

    @property
    def words(self) -> str:
        """All of it."""
        return "; ".join(host.words for host in self.hosts)


def settings_of(device: FenceDevice) -> AgentSettings:
    """What the agent is called with. Raises AgentMisuse."""
    return AgentSettings(device.agent, device.options, device.timeout_seconds)


def levels_of(host: Host) -> tuple[tuple[FenceDevice, ...], ...]:
    """The host's devices, level by level."""
    inorder = sorted(host.fence, key=lambda device: device.level)
    return tuple(tuple(level) for _, level in groupby(inorder, key=lambda device: device.level))


def longest_seconds(hosts: Iterable[Host]) -> float:
    """How long a cut of them may take: every level of the slowest host, and the last look."""
    slowest = [
        sum(max(device.timeout_seconds for device in level) for level in levels_of(host)) for host in hosts
    ]
    look_seconds = [device.timeout_seconds for host in hosts for device in host.fence]
    return max(slowest, default=0.0) + max(look_seconds, default=0.0)


async def cut_hosts(hosts: Sequence[Host], now_ns: Callable[[], int]) -> Cut:
    """Switch them off and be sure of it. Never raises for a sick device, and no host waits for another."""
    tried = await asyncio.gather(*(_cut_host(host) for host in hosts))
    as_of_ns = now_ns()
    found = tuple(cut for cut, _ in tried)
    if len(hosts) > 1 and all(cut.confirmed for cut in found):
        found = tuple(await asyncio.gather(*(_again(cut, by) for cut, by in tried)))
    return Cut(found, as_of_ns)


async def _cut_host(host: Host) -> tuple[HostCut, tuple[FenceDevice, ...]]:
    """With the devices by which it is known to be off."""
    told: list[str] = []
    code = NO_DEVICE
    for level in levels_of(host):
        cuts = await asyncio.gather(*(cut_power(settings_of(device)) for device in level))
        told += [cut.evidence for cut in cuts]
        if all(cut.confirmed for cut in cuts):
            return HostCut(host.site, host.name, True, "; ".join(told)), level
        code = next(cut.code for cut in cuts if not cut.confirmed)
    evidence = "; ".join(told) or "no device is named for it"
    return HostCut(host.site, host.name, False, evidence, code), ()


async def _again(cut: HostCut, by: tuple[FenceDevice, ...]) -> HostCut:
    looks = await asyncio.gather(*(look(settings_of(device)) for device in by))
    for seen in looks:
        if seen.on is not False:
            evidence = f"{cut.evidence}; then: {seen.evidence}"
            return replace(cut, confirmed=False, evidence=evidence, code=STILL_ON if seen.on else seen.code)
    return cut
