"""Fencing devices as doubles: machines of a `TwoSites` that lose power, and devices that fail as they do.

What they say goes by `sites.fencing.devices`; whether a machine is really off is the world's own business.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sites.fencing.agents import FAILED, TIMED_OUT, PowerLook
from sites.fencing.devices import Cut, HostCut
from sites.model import FenceDevice, Host
from tests.support.fake_driver import FakePair


class FakePower:
    """The devices of every host. `off`: the machines that are off, by site/host; `asked`: all that were ever
    to be switched off, in order. `fails`: hosts whose devices fail; `hangs`: those that never answer, until
    `late` lets them."""

    def __init__(self, pairs: Mapping[str, FakePair]) -> None:
        self._pairs = pairs
        self.off: set[str] = set()
        self.asked: list[str] = []
        self.fails: set[str] = set()
        self.hangs: set[str] = set()
        self.late = asyncio.Event()
        self.meanwhile: Callable[[], None] = lambda: None

    async def cut(self, hosts: tuple[Host, ...], now_ns: Callable[[], int]) -> Cut:
        """As `sites.fencing.devices.cut_hosts`."""
        found = await asyncio.gather(*(self._one(host) for host in hosts))
        return Cut(tuple(found), now_ns())

    async def look(self, device: FenceDevice) -> PowerLook:
        """As `sites.fencing.agents.look`; of which machine it speaks, its option says."""
        name = f"{'durham' if device.from_site == 'morpeth' else 'morpeth'}/{device.options['plug']}"
        if name in self.fails:
            return PowerLook(None, "fence_test status: ended with 3", FAILED)
        return PowerLook(name not in self.off, "fence_test status", "")

    async def _one(self, host: Host) -> HostCut:
        name = f"{host.site}/{host.name}"
        self.asked.append(name)
        if name in self.hangs:
            await self.late.wait()
        if name in self.fails:
            code = TIMED_OUT if name in self.hangs else FAILED
            return HostCut(host.site, host.name, False, "fence_test off: ended with 3", code)
        self.meanwhile()
        self.switch_off(host.site, host.name)
        return HostCut(host.site, host.name, True, "fence_test off: ended with 0; status: off")

    def switch_off(self, site: str, host: str) -> None:
        """The machine is off, and every database on it."""
        self.off.add(f"{site}/{host}")
        for pair in self._pairs.values():
            if site in pair.instances:
                pair.kill(site)
                pair.cut_off(site)


def hosts_with_devices(site: str, other: str, *names: str, bare: tuple[str, ...] = ()) -> dict[str, Any]:
    """`hosts` of a site whose machines the other one can switch off, but for those that are `bare`."""
    return {
        name: {
            "<name>": name,
            "<site>": site,
            "address": f"{'127.1' if site == 'durham' else '127.2'}.0.{number + 1}",
            "fence": []
            if name in bare
            else [{"agent": "fence_test", "from": other, "options": {"plug": name}}],
        }
        for number, name in enumerate(names)
    }
