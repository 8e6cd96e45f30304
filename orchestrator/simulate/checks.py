"""What must always hold, checked at every change: real writability and real records, never belief."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.core.records import SERVICES, Mode, ServiceRecord

if TYPE_CHECKING:
    from orchestrator.simulate.hosts import Host
    from orchestrator.simulate.world import World


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold, when, and in words."""

    invariant: int
    at_ns: int
    words: str


@dataclass(slots=True)
class Promise:
    """A planned move's final position, which the claimant must have."""

    giver: str
    final_bytes: int
    loss_accepted: bool = False


@dataclass(slots=True)
class Checks:
    """The invariants' memory. It outlives a restore of the store: an epoch is used once for ever."""

    world: "World"
    violations: list[Violation] = field(default_factory=list)
    owners: dict[tuple[str, int], str] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    planned: dict[str, Promise] = field(default_factory=dict)
    healthy: set[tuple[str, str]] = field(default_factory=set)
    glass: dict[str, str] = field(default_factory=dict)
    truth: dict[str, str | None] = field(default_factory=dict)
    """Who owned each service last, whatever the store has forgotten of it."""

    def violated(self, invariant: int, words: str) -> None:
        """Note it, and tell the story."""
        self.violations.append(Violation(invariant, self.world.now_ns, words))
        if self.world.story is not None:
            self.world.story.say("", f"INVARIANT {invariant} VIOLATED: {words}")

    # --- invariant 1, 3, 4: whenever a host's writability changes ------------------------------------

    def opened(self, host: "Host") -> None:
        """A host has become writable."""
        other = self.world.hosts[self.world.other(host.site), host.service]
        if other.writable():
            self.violated(
                1, f"{host.service} accepts client writes at {host.site} and at {other.site} at once"
            )
        planned = None if self.world.setting.eager else self.planned.get(host.service)
        if planned is not None and planned.giver != host.site and not planned.loss_accepted:
            if host.written() < planned.final_bytes:
                lost = planned.final_bytes - host.written()
                self.violated(3, f"the switchover of {host.service} loses {lost} acknowledged writes")
            elif other.written() > planned.final_bytes:
                lost = other.written() - planned.final_bytes
                self.violated(
                    3, f"{other.site} acknowledged {lost} writes to {host.service} after its final position"
                )
            del self.planned[host.service]

    def shut(self, host: "Host", why: str) -> None:
        """A host has stopped being writable."""
        if (host.site, host.service) in self.healthy:
            self.violated(4, f"{host.service} at {host.site} is cut off though that site is healthy: {why}")

    def watch_health(self, site: str) -> None:
        """Invariant 4: from now on this site is healthy and reaches a majority or a promising peer."""
        for name, service in self.world.services.items():
            if service.home == site and service.mode is Mode.AUTOMATIC:
                self.healthy.add((site, name))
                if not self.world.hosts[site, name].writable():
                    self.violated(4, f"{name} at {site} is not open though that site is healthy")

    def must_serve(self, dead: str) -> None:
        """Invariant 5: the other site has had its time; what is automatic is served there."""
        site = self.world.other(dead)
        key = self.world.store.site(dead)
        if key is not None and key.record.hold:
            return
        for name in self.world.services:
            item = self.world.store.service(name)
            if item is None or item.record.mode is not Mode.AUTOMATIC:
                continue
            if not self.world.hosts[site, name].writable():
                self.violated(5, f"{dead} is lost, and {name} is still not served at {site}")

    def made_standby(self, host: "Host", other: "Host") -> None:
        """A step makes an instance a standby: never the owner's, with what only it has."""
        item = self.world.store.service(host.service)
        lost = host.written() - other.written()
        if item is not None and item.record.primary == host.site and lost > 0 and host.writable():
            self.violated(
                3, f"{lost} acknowledged writes of {host.service} at {host.site} are lost by a late step"
            )

    # --- invariant 2: whenever services/S is written -------------------------------------------------

    def recorded(self, key: str, before: ServiceRecord | None, after: ServiceRecord) -> None:
        """`services/S` was written."""
        service = key.removeprefix(SERVICES)
        stood = before.epoch if before is not None else 0
        highest = self.highest.get(service, 0)
        if after.epoch < stood or (after.epoch > stood and after.epoch <= highest):
            self.violated(2, f"{service} is given epoch {after.epoch} after {max(stood, highest)}")
        self.highest[service] = max(self.highest.get(service, 0), after.epoch)
        self.truth[service] = after.primary
        ended = after.kind == "break-glass" or after.writer.startswith(f"{after.primary}/owner-")
        if self.glass.get(service) == after.primary and ended:
            del self.glass[service]
        if after.primary is not None:
            self.owns(service, after.epoch, after.primary)
        if before is not None and before.primary is not None and after.primary is None:
            final = after.final_position
            if after.planned and final is not None and final.offset_bytes is not None:
                self.planned[service] = Promise(before.primary, final.offset_bytes)
            else:
                self.planned.pop(service, None)
        elif after.primary is not None and (before is None or before.primary not in (None, after.primary)):
            self.planned.pop(service, None)

    def glass_broken(self, service: str, site: str, epoch: int) -> None:
        """An operator's certificate opened it there."""
        self.glass[service] = site
        self.truth[service] = site
        self.planned.pop(service, None)

    def owns(self, service: str, epoch: int, site: str) -> None:
        """A site holds a service at an epoch, by the store or by a certificate."""
        owner = self.owners.setdefault((service, epoch), site)
        if owner != site:
            self.violated(2, f"epoch {epoch} of {service} is held by {owner} and by {site}")
