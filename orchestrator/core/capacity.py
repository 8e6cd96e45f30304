"""Whether a service fits at a site, and what is shed there so that it does (gate 5). Pure.

A service's `load` counts where it is primary, or is moving to. What has no `load` takes nothing; a site
without `capacity` has no bound, nor has a resource of which it states nothing. When a site is short, the
services that have a `shed` runbook are shed there, the one of the highest rank number first, and only until
the rest fits. Which are shed follows from the owners alone, so that nothing needs to be remembered: what
would be shed before a move has been shed by then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.records import Movement, ServiceRecord
from sites.model import SHED, Capacity, FailoverPolicy, Service
from sites.quantities import format_size


@dataclass(frozen=True, slots=True)
class Owned:
    """A service and what is known of its owner. `coming_to`: a site to which it has been ordered, whatever
    its record says yet."""

    service: Service
    record: ServiceRecord | None
    coming_to: str | None = None

    @property
    def order(self) -> tuple[int, str]:
        """Who goes first, and is shed last, is lowest."""
        return self.service.rank, self.service.name

    @property
    def at(self) -> str | None:
        """The site whose capacity it takes; None when that is not known."""
        record = self.record
        if self.coming_to is not None:
            return self.coming_to
        if record is None:
            return None
        if record.movement is Movement.MOVING and record.target is not None:
            return record.target
        return record.primary if record.primary is not None else record.previous


@dataclass(frozen=True, slots=True)
class Room:
    """How a service would fit at a site. `shed`: services to be shed there for it, in this order."""

    fits: bool
    words: str
    shed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Amounts:
    cpu: float = 0.0
    memory_bytes: int = 0

    def __add__(self, other: "_Amounts") -> "_Amounts":
        return _Amounts(self.cpu + other.cpu, self.memory_bytes + other.memory_bytes)

    def __str__(self) -> str:
        return f"{self.cpu:g} cores and {format_size(self.memory_bytes)}"

    def above(self, capacity: Capacity) -> "_Amounts":
        """What is missing; zero of what is enough or has no bound."""
        cpu = self.cpu - capacity.cpu if capacity.cpu else 0.0
        memory_bytes = self.memory_bytes - capacity.memory_bytes if capacity.memory_bytes else 0
        return _Amounts(max(0.0, cpu), max(0, memory_bytes))

    @property
    def nothing(self) -> bool:
        return not self.cpu and not self.memory_bytes


class Hosting:
    """What stands where, as the owners are known now.

    `lost`: a site whose lease is over. Its automatic services that go before another one come as well, and
    are counted before it.
    """

    def __init__(
        self, everything: Sequence[Owned], capacities: Mapping[str, Capacity], *, lost: str | None
    ) -> None:
        self._capacities = capacities
        self._lost = lost
        self._there: dict[str, list[Owned]] = {site: [] for site in capacities}
        self._coming: list[Owned] = []
        for one in everything if capacities else ():
            at = one.at
            if at in self._there:
                self._there[at].append(one)
            if lost is not None and at == lost and one.service.failover is FailoverPolicy.AUTOMATIC:
                self._coming.append(one)
        self._taken = {site: _sum(there) for site, there in self._there.items()}
        self._all_coming = _sum(self._coming)

    def rooms(self, service: Owned) -> dict[str, Room]:
        """By site that states its capacity, how the service would fit there as its primary."""
        sites = (site for site in service.service.sites if site in self._capacities)
        return {site: self._room(service, site) for site in sites}

    def _room(self, service: Owned, site: str) -> Room:
        capacity = self._capacities[site]
        own = _load(service)
        taken = self._taken[site] if service.at == site else self._taken[site] + own
        words = f"{taken} of {_Amounts(capacity.cpu, capacity.memory_bytes)} at {site}"
        if (taken + self._all_coming).above(capacity).nothing:
            return Room(True, words)
        there = [one for one in self._there[site] if one.service.name != service.service.name]
        if site != self._lost:
            there += [one for one in self._coming if one.order < service.order]
        before, _ = _shed(there, capacity, than=None)
        after, short = _shed([*there, service], capacity, than=service)
        new = tuple(name for name in after if name not in before)
        if not short.nothing:
            tried = f", also without {', '.join(after)}" if after else ""
            return Room(False, f"{words}: short of {_shortage(short)}{tried}", new)
        return Room(True, f"{words}: {', '.join(new)} is shed there first" if new else words, new)


@dataclass(frozen=True, slots=True)
class Headroom:
    """What would be left at `to_site` if everything of `from_site` came there: below zero it does not fit.
    None: the site states no capacity of that kind."""

    from_site: str
    to_site: str
    cpu: float | None
    memory_bytes: int | None


def headroom(
    everything: Sequence[Owned], capacities: Mapping[str, Capacity], from_site: str, to_site: str
) -> Headroom:
    """Shedding apart: what stays even if nothing is shed. Unknown while an owner is not known of whose
    service a load is stated."""
    capacity = capacities.get(to_site)
    if capacity is None or any(one.at is None and one.service.load is not None for one in everything):
        return Headroom(from_site, to_site, None, None)
    taken = _sum(
        one
        for one in everything
        if one.at == to_site or (one.at == from_site and to_site in one.service.sites)
    )
    return Headroom(
        from_site,
        to_site,
        capacity.cpu - taken.cpu if capacity.cpu else None,
        capacity.memory_bytes - taken.memory_bytes if capacity.memory_bytes else None,
    )


def _shortage(short: _Amounts) -> str:
    cores = [f"{short.cpu:g} cores"] if short.cpu else []
    memory = [format_size(short.memory_bytes)] if short.memory_bytes else []
    return " and ".join(cores + memory)


def _shed(
    there: Iterable[Owned], capacity: Capacity, *, than: Owned | None
) -> tuple[tuple[str, ...], _Amounts]:
    """What is shed, from the last in rank on, until the rest fits; and what is short even so. `than`: only
    what goes after this one is shed."""
    staying = {one.service.name: one for one in there}
    shed: list[str] = []
    for one in sorted(staying.values(), key=lambda one: one.order, reverse=True):
        short = _sum(staying.values()).above(capacity)
        if short.nothing:
            break
        load = _load(one)
        helps = (short.cpu and load.cpu) or (short.memory_bytes and load.memory_bytes)
        if helps and SHED in one.service.runbooks and (than is None or one.order > than.order):
            shed.append(one.service.name)
            del staying[one.service.name]
    return tuple(shed), _sum(staying.values()).above(capacity)


def _load(of: Owned) -> _Amounts:
    load = of.service.load
    return _Amounts(load.cpu, load.memory_bytes) if load is not None else _Amounts()


def _sum(services: Iterable[Owned]) -> _Amounts:
    return sum((_load(one) for one in services), _Amounts())
