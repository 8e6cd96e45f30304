"""Try the ways from here to every other site and to every member of the store, again and again, and say which
of them get through. Whoever stands somewhere does so: each site's controller, and the witness.

A way gets through when something at its end answers, whatever it says: a refused connection is an answer of
the machine. Silence is a no. What cannot be tried from here, for want of a key say, is neither.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import structlog

from orchestrator.core.records import WaySeen
from orchestrator.store.base import StoreError
from orchestrator.store.status import MemberStatus, StoreStatus
from probes.model import Observation, Probe, ProbeResult, Verdict
from probes.patrol import Patrol
from probes.peer import PeerProbe
from probes.place import ProbeContext
from probes.reasons import Reason
from probes.settings import Endpoint
from probes.ssh import SshProbe, SshSettings
from probes.tcp import TcpProbe, TcpSettings
from probes.trial import PatrolEntry
from sites.model import Estate, Site

log = structlog.get_logger(__name__)

STORE = "store:"
CONTROLLER, MEMBER, INSTANCES, HOST = "controller", "store member", "databases", "host "
LOOK = "true"  # what is run on a host to see that it answers
SHORTEST_MEMBER_BEAT_SECONDS = 1.0
_SHORTEST_BEAT_SECONDS, _LONGEST_BEAT_SECONDS = 0.5, 2.0
_AGREEING, _OF_LAST = 2, 3
MISSES = 2  # in a row, before a member counts as not reached
STALE_BEATS = 5

_ANSWERED = frozenset({
    Reason.ANSWERED, Reason.REFUSED, Reason.RESET, Reason.WRONG_STATUS, Reason.WRONG_ANSWER,
    Reason.LOGIN_REFUSED, Reason.NOT_PERMITTED, Reason.HOST_KEY_CHANGED,
})  # fmt: skip
_SILENT = frozenset({Reason.TIMED_OUT, Reason.UNREACHABLE})


def beat_seconds(lease_duration_seconds: float) -> float:
    """How often a way is tried: five times a lease, between half a second and two."""
    return max(_SHORTEST_BEAT_SECONDS, min(_LONGEST_BEAT_SECONDS, lease_duration_seconds / 5))


def host_beat_seconds(lease_duration_seconds: float) -> float:
    """The same for a host, on which every try starts a process: less often."""
    return max(2.0, 2.5 * beat_seconds(lease_duration_seconds))


class GetsThrough:
    """A probe that only asks whether anything answers."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
        """UP: something answered. DOWN: silence. UNKNOWN: it could not be tried."""
        result = await self._probe.try_once(timeout_seconds=timeout_seconds)
        if result.reason in _ANSWERED:
            return replace(result, verdict=Verdict.UP)
        return replace(result, verdict=Verdict.DOWN if result.reason in _SILENT else Verdict.UNKNOWN)

    async def aclose(self) -> None:
        """As the probe's."""
        await self._probe.aclose()


@dataclass(slots=True)
class _Member:
    """What is known of one member of the store, and since when it has not answered."""

    status: MemberStatus
    taken_at_ns: int
    misses: int = 0


class Scouts:
    """The ways from one place. `store_status`: how the store's members are asked, and `on_store` who else is
    told; None where it cannot tell."""

    def __init__(
        self,
        estate: Estate,
        observer: str,
        context: ProbeContext,
        *,
        store_status: Callable[[], Awaitable[StoreStatus]] | None,
        on_store: Callable[[StoreStatus], None] = lambda status: None,
    ) -> None:
        self._on_store = on_store
        self._estate = estate
        self._observer = observer
        self._every_seconds = beat_seconds(estate.ownership.lease_duration_seconds)
        self._members_every_seconds = max(SHORTEST_MEMBER_BEAT_SECONDS, self._every_seconds)
        self._hosts_every_seconds = host_beat_seconds(estate.ownership.lease_duration_seconds)
        self._store_status = store_status
        self._members: dict[str, _Member] = {}
        self._ways: dict[tuple[str, str], Observation] = {}
        self._stands_at = {
            _place(site.store_member): name
            for name, site in estate.sites.items()
            if site.store_member is not None
        }
        self._now_ns = context.now_ns
        self._patrol = Patrol(self._entries(context), on_observation=self._take, now_ns=context.now_ns)

    async def run(self) -> None:
        """Try until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._patrol.run())
            group.create_task(self._ask_members())

    # --- ways ----------------------------------------------------------------------------------------

    def _entries(self, context: ProbeContext) -> Iterator[PatrolEntry]:
        for name, site in self._estate.sites.items():
            if name == self._observer:
                continue
            for way, probe in _ways_to(site, context):
                every_seconds = self._beat_of(way)
                yield PatrolEntry(
                    probe=GetsThrough(probe),
                    name=way,
                    service="",
                    site=name,
                    kind="way",
                    every_seconds=every_seconds,
                    timeout_seconds=every_seconds * 0.75,
                    k=_AGREEING,
                    n=_OF_LAST,
                )

    def _beat_of(self, way: str) -> float:
        return self._hosts_every_seconds if way.startswith(HOST) else self._every_seconds

    def _take(self, observation: Observation, result: ProbeResult) -> None:
        self._ways[observation.site, observation.probe] = observation

    async def _ask_members(self) -> None:
        while self._store_status is not None:
            try:
                self.take_members(await self._store_status())
            except StoreError as fault:
                log.debug("store-status-unknown", problem=str(fault))
            await asyncio.sleep(self._members_every_seconds)

    def take_members(self, status: StoreStatus) -> None:
        """How the members of the store were found just now."""
        now_ns = self._now_ns()
        for found in status.members:
            before = self._members.get(found.endpoint)
            misses = 0 if found.reachable else (before.misses if before is not None else 0) + 1
            self._members[found.endpoint] = _Member(found, now_ns, misses)
        self._on_store(status)

    # --- what is known -------------------------------------------------------------------------------

    def ways(self, now_ns: int) -> tuple[WaySeen, ...]:
        """Every way to every other site, and to every member of the store (by `store:` and the site it stands
        at, or its address), with its age; what is stale is unknown."""
        found = [
            WaySeen(
                site=seen.site,
                way=seen.probe,
                reached=None
                if self._stale(at_ns, now_ns, self._beat_of(seen.probe))
                else _reached(seen.verdict),
                reason=seen.last.reason if seen.last is not None else "not tried yet",
                age_seconds=max(0, now_ns - at_ns) / 1e9,
            )
            for seen in self._ways.values()
            for at_ns in (seen.last.at_ns if seen.last is not None else seen.since_ns,)
        ]
        for endpoint, member in self._members.items():
            site = self._stands_at.get(_place(endpoint))
            reached = self._member_reached(member, now_ns)
            way = WaySeen(
                site=STORE + (site or _place(endpoint)),
                way=MEMBER,
                reached=reached,
                reason=member.status.problem or Reason.ANSWERED.value,
                age_seconds=max(0, now_ns - member.taken_at_ns) / 1e9,
            )
            found.append(way)
            if site is not None and site != self._observer:
                refused = "refused" in member.status.problem.lower()
                found.append(replace(way, site=site, reached=True if refused else reached))
        return tuple(found)

    def _member_reached(self, member: _Member, now_ns: int) -> bool | None:
        if self._stale(member.taken_at_ns, now_ns, self._members_every_seconds):
            return None
        if member.status.reachable:
            return True
        silent = member.status.problem.startswith(("no answer", "no connection"))
        return False if silent and member.misses >= MISSES else None

    def _stale(self, at_ns: int, now_ns: int, every_seconds: float) -> bool:
        return now_ns - at_ns > STALE_BEATS * every_seconds * 1e9


def _reached(verdict: Verdict) -> bool | None:
    return {Verdict.UP: True, Verdict.DOWN: False, Verdict.UNKNOWN: None}[verdict]


def _place(endpoint: str) -> str:
    """`host:port` of a store's endpoint."""
    return urlsplit(endpoint).netloc or endpoint


def _ways_to(site: Site, context: ProbeContext) -> Iterator[tuple[str, Probe]]:
    """Its controller, by its greeting where we have a certificate to show, and all its hosts by SSH."""
    if site.controller is not None:
        where = urlsplit(site.controller)
        if context.own is not None and where.scheme == "https":
            yield (
                CONTROLLER,
                PeerProbe(
                    site.name, site.controller, own=context.own, names=context.names, now_ns=context.now_ns
                ),
            )
        elif where.hostname:
            there = Endpoint(where.hostname, where.port or 443)
            plain = TcpSettings.model_validate({"address": str(there)})
            yield CONTROLLER, TcpProbe(plain, there, names=context.names, now_ns=context.now_ns)
    for role, host in site.hosts.items():
        look = SshSettings.model_validate({"host": role, "run": LOOK})
        yield (
            f"{HOST}{role}",
            SshProbe(look, host, transport=context.transport, now_ns=context.now_ns),
        )


def summed(ways: Iterable[WaySeen], site: str) -> WaySeen | None:
    """Whether a site is reached: yes if any way gets through, no if none does and one certainly does not; the
    youngest way that says so. None: there is no way to it at all."""
    there = [way for way in ways if way.site == site]
    for said in (True, False, None):
        agreeing = [way for way in there if way.reached is said]
        if agreeing:
            return min(agreeing, key=lambda way: way.age_seconds)
    return None
