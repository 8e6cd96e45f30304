"""What must always hold, checked at every change: real writability and real records, never belief."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.core.records import SERVICES, Mode, ServiceRecord
from orchestrator.simulate.eyes import MIN_TIME_SECONDS
from orchestrator.simulate.losses import Closed, Losses, Said
from orchestrator.simulate.rejoins import tail
from sites.replication.positions import reached

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
class Checks:
    """The invariants' memory. It outlives a restore of the store: an epoch is used once for ever."""

    world: "World"
    violations: list[Violation] = field(default_factory=list)
    owners: dict[tuple[str, int], str] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    healthy: set[tuple[str, str]] = field(default_factory=set)
    glass: dict[str, str] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)
    truth: dict[str, str | None] = field(default_factory=dict)
    """Who owned each service last, whatever the store has forgotten of it."""
    losses: Losses = field(init=False)

    def __post_init__(self) -> None:
        self.losses = Losses(self)

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
        if not self.world.setting.eager:
            self.losses.opened(host, other)

    def shut(self, host: "Host", why: str) -> None:
        """A host has stopped being writable."""
        if (host.site, host.service) in self.healthy:
            self.violated(4, f"{host.service} at {host.site} is cut off though that site is healthy: {why}")

    def watch_health(self, site: str, services: tuple[str, ...] = (), *, holds: bool = False) -> None:
        """Invariant 4: from now on this site is healthy and reaches a majority or a promising peer, or relies
        on hold. `services`: those of it that nothing befalls; empty: all that are at home there."""
        keeper = self.world.keeper(site)
        if holds and (keeper is None or not keeper.state.hold_relied):
            return
        for name, service in self.world.services.items():
            if services and name not in services:
                continue
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
            host, final = self.world.hosts[site, name], item.record.final_position
            if item.record.primary is None and final is not None and not reached(host.said(), final):
                continue  # P24: closed in order, and its end is not here: a person decides
            if not host.writable():
                self.violated(5, f"{dead} is lost, and {name} is still not served at {site}")

    def made_standby(self, host: "Host", other: "Host") -> None:
        """A step makes an instance a standby: never the owner's, with what only it has."""
        item = self.world.store.service(host.service)
        common, written = tail(host, other)
        lost = written - common
        if item is not None and item.record.primary == host.site and lost > 0 and host.writable():
            self.violated(
                3, f"{lost} acknowledged writes of {host.service} at {host.site} are lost by a late step"
            )

    def overwritten(self, host: "Host", common: int, written: int) -> None:
        """A rejoin brings an instance onto the other's line."""
        self.losses.overwritten(host, common, written)

    # --- invariant 2: whenever services/S is written -------------------------------------------------

    def recorded(self, key: str, before: ServiceRecord | None, after: ServiceRecord) -> None:
        """`services/S` was written."""
        service = key.removeprefix(SERVICES)
        stood = before.epoch if before is not None else 0
        highest = self.highest.get(service, 0)
        if after.epoch < stood or (after.epoch > stood and after.epoch <= highest):
            self.violated(2, f"{service} is given epoch {after.epoch} after {max(stood, highest)}")
        self.highest[service] = max(self.highest.get(service, 0), after.epoch)
        if self.world.setting.decides and before is not None:
            self._by_itself(service, before, after)
        self.truth[service] = after.primary
        ended = after.kind == "break-glass" or after.writer.startswith(f"{after.primary}/owner-")
        if self.glass.get(service) == after.primary and ended:
            del self.glass[service]
        if after.primary is not None:
            self.owns(service, after.epoch, after.primary)
        closed = self.losses.closed
        if before is not None and before.primary is not None and after.primary is None:
            final = after.final_position
            if after.planned and final is not None and final.offset_bytes is not None:
                closed[service] = Closed(before.primary, final.offset_bytes)
            else:
                closed.pop(service, None)
        elif after.primary is not None and (before is None or before.primary not in (None, after.primary)):
            closed.pop(service, None)

    def _by_itself(self, service: str, before: ServiceRecord, after: ServiceRecord) -> None:
        """Gate 6: it does not move by itself again so soon, unless somebody has looked at the last move."""
        last, move = before.last_move, after.last_move
        if last is None or move is None or move.run == last.run or last.acknowledged_by:
            return
        passed = move.at_unix_seconds - last.at_unix_seconds
        if after.run not in self.ordered and passed < MIN_TIME_SECONDS:
            self.violated(7, f"{service} moves by itself again {passed:.0f} s after it did before (gate 6)")

    def glass_broken(self, service: str, site: str, epoch: int, said: Said | None = None) -> None:
        """An operator's certificate opened it there. `said`: what it was said to lose; None: nobody knows."""
        self.glass[service] = site
        self.truth[service] = site
        self.losses.glass[service] = said or Said("nobody was there to say it", unknown=True)
        self.losses.closed.pop(service, None)

    def owns(self, service: str, epoch: int, site: str) -> None:
        """A site holds a service at an epoch, by the store or by a certificate."""
        owner = self.owners.setdefault((service, epoch), site)
        if owner != site:
            self.violated(2, f"epoch {epoch} of {service} is held by {owner} and by {site}")
