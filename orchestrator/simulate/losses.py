"""Invariant 3: no more is lost than was said when it was decided, and nothing is overwritten unsaved.

What was said is the product's own statement, frozen with the decision. What is lost is counted on the
instances: acknowledged writes of the last one that served which the next one has not. Only where databases
are written to in order: in eager worlds what they hold is not looked at.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.simulate.clocks import MS
from orchestrator.simulate.rejoins import tail

if TYPE_CHECKING:
    from orchestrator.simulate.checks import Checks
    from orchestrator.simulate.hosts import Host


@dataclass(frozen=True, slots=True)
class Said:
    """A statement of loss. `words`: as it stands in the run; all that may be lost was acknowledged after
    `since_ns` and no later than `until_ns`, true time. Both None: nothing may be lost. `unknown`: it was said
    that nobody knows."""

    words: str
    since_ns: int | None = None
    until_ns: int | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A planned give-up: by whom, and the position of the last write."""

    giver: str
    final_bytes: int


@dataclass(slots=True)
class Losses:
    """What was said of each run, and who served last. `glass`: what was said of a service when its glass was
    broken; `closed`: planned give-ups that nobody has followed yet."""

    checks: "Checks"
    said: dict[str, Said] = field(default_factory=dict)
    glass: dict[str, Said] = field(default_factory=dict)
    serving: dict[str, str] = field(default_factory=dict)
    closed: dict[str, Closed] = field(default_factory=dict)

    def opened(self, host: "Host", other: "Host") -> None:
        """A host has become writable, and is compared with the one that was so last."""
        before, self.serving[host.service] = self.serving.get(host.service), host.site
        if before in (None, host.site):
            return
        closed = self.closed.pop(host.service, None)
        if closed is not None and closed.giver == other.site and other.written() > closed.final_bytes:
            late = other.written() - closed.final_bytes
            self.checks.violated(
                3, f"{other.site} acknowledged {late} writes to {host.service} after its final position"
            )
            return
        common, written = tail(other, host)
        if written > common:
            in_order = closed is not None and closed.giver == other.site
            self._lost(host, other, common, written, in_order=in_order)

    def _lost(self, host: "Host", other: "Host", common: int, written: int, *, in_order: bool) -> None:
        kind, said = self._said_of(host)
        if said is not None and said.unknown:
            return
        what = f"the {kind} of {host.service} loses {written - common} acknowledged writes"
        if in_order:
            # P24: all of it is there to be had, so whatever was stated, it takes a person's name.
            self.checks.violated(3, f"{what} of a service that was closed in order; nobody accepted that")
            return
        if said is None or said.since_ns is None or said.until_ns is None:
            words = said.words if said is not None else "nothing was said"
            self.checks.violated(3, f"{what}; said: {words}")
            return
        first_ns, last_ns = other.writes.made_ns(common + 1), other.writes.made_ns(written)
        if first_ns is not None and first_ns < said.since_ns - MS:
            early = (said.since_ns - first_ns) / 1e9
            self.checks.violated(3, f"{what}, the first {early:.3f} s earlier than said: {said.words}")
        elif last_ns is not None and last_ns > said.until_ns + MS:
            late = (last_ns - said.until_ns) / 1e9
            self.checks.violated(3, f"{what}, the last {late:.3f} s later than said: {said.words}")

    def _said_of(self, host: "Host") -> tuple[str, Said | None]:
        """What was said of the decision by which it serves here."""
        service = host.service
        item = self.checks.world.store.service(service)
        ours = item is not None and item.record.primary == host.site
        reconciled = item is not None and ours and item.record.kind == "break-glass"
        if self.checks.glass.get(service) == host.site or reconciled:
            return "broken glass", self.glass.get(service)
        if item is None or not ours:
            return "opening", Said("it serves by a record that is gone", unknown=True)
        if item.record.kind == "certified":
            return "certificate", Said("its owner was named by a person", unknown=True)
        return item.record.kind, self.said.get(item.record.run)

    def overwritten(self, host: "Host", common: int, written: int) -> None:
        """What only this instance had is about to go."""
        if written > common and not any(first <= common and last >= written for first, last in host.saved):
            self.checks.violated(
                3,
                f"{written - common} acknowledged writes of {host.service} that only {host.site} had are "
                "overwritten and were not saved",
            )
