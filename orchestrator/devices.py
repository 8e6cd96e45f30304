"""The fencing devices that one controller uses: those of the other site's hosts.

Nothing here decides that something is switched off, but it is done only here: the keeper is asked whether the
other site has any right left (P28), the order goes into the journal, then the devices are used, and what came
of it goes into the journal. Hosts that were switched off are remembered until they are seen up again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from orchestrator.clock import boottime_ns, wall_text
from orchestrator.core.devices import Device, Power
from orchestrator.core.messages import Ask, MayPowerOff, Reply
from orchestrator.journal import SqliteJournal
from orchestrator.link import KeeperGone
from orchestrator.switched_off import ENDED_EVENT, ORDERED_EVENT, SwitchedOff
from runbooks.errors import RunbooksError
from sites.fencing.devices import Cut, cut_hosts, longest_seconds
from sites.hosts_of import hosts_of
from sites.model import Estate, Host

log = structlog.get_logger(__name__)

ASK_SECONDS = 30.0
AGAIN_SECONDS = 30.0  # devices that failed are tried again after that
COUNTS_SECONDS = 120.0  # a machine may be switched on again: an older cut is made anew

CutHosts = Callable[[tuple[Host, ...], Callable[[], int]], Awaitable[Cut]]


class PowerOffRefused(Exception):
    """Nothing was switched off; `code` is the reason's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class _Try:
    device: Device
    words: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOrder:
    """Whose hosts, and why. `covers`: the services of which every host is to be off, `service` among them."""

    service: str
    covers: tuple[str, ...]
    ordered: bool
    who: str
    why: str
    run: str = ""


class Devices:
    """One controller's. `ask` is the keeper's ear."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        *,
        ask: Callable[[Ask, float], Awaitable[Reply]],
        journal: SqliteJournal,
        wake: Callable[[], None],
        cut: CutHosts = cut_hosts,
        now_ns: Callable[[], int] = boottime_ns,
    ) -> None:
        self._peer = estate.other_data_site(site)
        self._ask = ask
        self._journal = journal
        self._wake = wake
        self._cut = cut
        self._now_ns = now_ns
        known = estate.sites[self._peer].hosts
        self._hosts = {
            name: tuple(known[role] for role in hosts_of(estate, name, self._peer))
            for name, service in estate.services.items()
            if self._peer in service.sites
        }
        self._tries: dict[str, _Try] = {}
        self._episodes: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.off = SwitchedOff(journal)
        self.outcomes: dict[str, int] = {}

    async def aclose(self) -> None:
        """End what is under way: what became of it then stands nowhere."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what there is -------------------------------------------------------------------------------

    def hosts(self, services: Iterable[str]) -> tuple[Host, ...]:
        """All hosts of these services at the other site, each once."""
        found = {host.name: host for name in services for host in self._hosts.get(name, ())}
        return tuple(found.values())

    def equipped(self, service: str) -> bool:
        """Every host of it at the other site has a device."""
        hosts = self._hosts.get(service, ())
        return bool(hosts) and all(host.fence for host in hosts)

    def beside(self, service: str) -> tuple[str, ...]:
        """Other services on one of its machines there."""
        machines = {host.address for host in self._hosts.get(service, ())}
        return tuple(
            name
            for name, hosts in self._hosts.items()
            if name != service and machines & {host.address for host in hosts}
        )

    def longest_seconds(self, services: Iterable[str]) -> float:
        """How long it may take to cut these off."""
        return longest_seconds(self.hosts(services))

    def power(self, service: str, takes_along: tuple[str, ...] = ()) -> Power:
        """What is known of the devices of a service now."""
        tried = self._tries.get(service)
        passed_seconds = (self._now_ns() - tried.at_ns) / 1e9 if tried is not None else 0.0
        counts = {Device.CUT: COUNTS_SECONDS, Device.FAILED: AGAIN_SECONDS}
        if tried is None or passed_seconds > counts.get(tried.device, passed_seconds):
            tried = _Try(Device.IDLE, tried.words if tried is not None else "", 0)
        return Power(
            hosts=tuple(host.name for host in self._hosts.get(service, ())),
            equipped=self.equipped(service),
            takes_along=takes_along,
            device=tried.device,
            words=tried.words,
            cut_at_ns=tried.at_ns if tried.device is Device.CUT else 0,
        )

    # --- switching off -------------------------------------------------------------------------------

    def begin(self, order: PowerOrder) -> None:
        """Have it done in the background, unless it is under way."""
        tried = self._tries.get(order.service)
        if tried is not None and tried.device is Device.AT_WORK:
            return
        task = asyncio.create_task(self._by_itself(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _by_itself(self, order: PowerOrder) -> None:
        try:
            await self.cut(order)
        except PowerOffRefused as refused:
            log.warning("power-off-refused", service=order.service, code=refused.code, why=str(refused))

    def forget(self, service: str) -> None:
        """The site is not lost any more: what was found out of this loss says nothing of the next."""
        if service in self._tries:
            self._episodes[service] = self._episodes.get(service, 0) + 1
            if self._tries[service].device is not Device.AT_WORK:
                del self._tries[service]

    async def cut(self, order: PowerOrder) -> Cut:
        """Cut the hosts off and be sure of it. Raises PowerOffRefused; then nothing was switched."""
        name, episode = order.service, self._episodes.get(order.service, 0)
        if name in self._tries and self._tries[name].device is Device.AT_WORK:
            raise PowerOffRefused("moving", f"the devices of {name} are at work already")
        self._note(name, Device.AT_WORK, "at work")
        try:
            await self._allowed(order)
            hosts = self.hosts(order.covers)
            await self._on_file(ORDERED_EVENT, order, hosts)
        except PowerOffRefused as refused:
            self._note(name, Device.FAILED, f"{refused.code}: {refused}")
            raise
        except BaseException:
            del self._tries[name]
            raise
        log.warning("powering-off", service=name, hosts=[host.name for host in hosts], why=order.why)
        try:
            cut = await self._cut(hosts, self._now_ns)
        except BaseException:
            self._note(name, Device.FAILED, "what became of it is not known")
            raise
        await self._ended(order, cut)
        still = episode == self._episodes.get(name, 0)
        counts = cut.confirmed and still
        self._note(name, Device.CUT if counts else Device.FAILED, cut.words)
        if counts:
            self._tries[name].at_ns = cut.as_of_ns
        elif not still:
            del self._tries[name]  # it came too late, and says nothing of what is now
        self._wake()
        return cut

    async def _allowed(self, order: PowerOrder) -> None:
        missing = [name for name in order.covers if not self.equipped(name)]
        if missing:
            words = f"not every host of {', '.join(missing)} at {self._peer} has a device"
            raise PowerOffRefused("device-missing", words)
        asked = MayPowerOff(services=(order.service,), covers=order.covers, ordered=order.ordered)
        try:
            reply = await self._ask(asked, ASK_SECONDS)
        except KeeperGone as gone:
            raise PowerOffRefused("no-quorum", f"the keeper does not answer: {gone}") from gone
        if not reply.done:
            raise PowerOffRefused(reply.code, reply.message)

    def _note(self, service: str, device: Device, words: str) -> None:
        self._tries[service] = _Try(device, words, self._now_ns())

    async def _ended(self, order: PowerOrder, cut: Cut) -> None:
        outcome = "verified" if cut.confirmed else cut.code
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        log.warning("powered-off", service=order.service, verified=cut.confirmed, evidence=cut.words)
        data = {
            **_said(order),
            "verified": cut.confirmed,
            "code": cut.code,
            "hosts": {
                f"{host.site}/{host.host}": {
                    "off": host.confirmed,
                    "code": host.code,
                    "evidence": host.evidence,
                }
                for host in cut.hosts
            },
        }
        self.off.note(data, self._now_ns())
        try:
            await self._journal.append_event(ENDED_EVENT, order.service, data)
        except RunbooksError as fault:
            log.error("power-off-not-recorded", service=order.service, problem=str(fault))

    async def _on_file(self, kind: str, order: PowerOrder, hosts: tuple[Host, ...]) -> None:
        """Before the deed, always."""
        data = {**_said(order), "hosts": {f"{host.site}/{host.name}": {} for host in hosts}}
        try:
            await self._journal.append_event(kind, order.service, data)
        except RunbooksError as fault:
            raise PowerOffRefused("not-on-file", f"{fault}; nothing was switched off") from fault
        self.off.note(data, self._now_ns())


def _said(order: PowerOrder) -> dict[str, Any]:
    return {
        "service": order.service,
        "covers": list(order.covers),
        "ordered": order.ordered,
        "who": order.who,
        "why": order.why,
        "run": order.run,
        "at": wall_text(),
    }
