"""What the keeper tells its controller, its guards-to-be and the note on disk: one frozen picture.

Instants are CLOCK_BOOTTIME of this machine, the same for both processes, so the controller may compare
them with its own reading. Pure.
"""

from dataclasses import dataclass

from orchestrator.core.messages import GiveUpDead, GiveUpPlanned, TakeOver
from orchestrator.core.records import ServiceRecord, SiteRecord
from orchestrator.core.state import OwnershipState


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHeld:
    """One service. `record` None with `known`: nobody has ever claimed it; not `known`: see P4."""

    service: str
    known: bool
    revision: int
    record: ServiceRecord | None
    entitled: bool
    open_here: bool
    shut: bool
    giving_up: bool
    fence_evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperView:
    """The keeper's picture at `at_ns`."""

    site: str
    at_ns: int
    phase: str
    incarnation: int
    deadline_ns: int
    store_answered_ns: int
    peer: SiteRecord | None
    peer_seen_ns: int
    peer_revision: int
    peer_lease_over_ns: int | None
    taking_over: bool
    renewals_suspended: bool
    store_problem: str
    store_round_trip_seconds: float | None
    services: tuple[ServiceHeld, ...]

    def differs(self, other: "KeeperView | None") -> bool:
        """Whether more than times has changed: something that may change a decision at once."""
        return other is None or (self.phase, self.services, self.taking_over, self.store_problem) != (
            other.phase,
            other.services,
            other.taking_over,
            other.store_problem,
        )

    def service(self, name: str) -> ServiceHeld | None:
        """The service of that name."""
        return next((held for held in self.services if held.service == name), None)


def picture(
    state: OwnershipState, now_ns: int, *, store_problem: str = "", round_trip_seconds: float | None = None
) -> KeeperView:
    """The state as a picture."""
    services = tuple(
        ServiceHeld(
            service=name,
            known=service.known,
            revision=service.item.revision if service.item else 0,
            record=service.item.record if service.item else None,
            entitled=state.entitled(name, now_ns),
            open_here=service.open_here,
            shut=service.shut,
            giving_up=service.giving_up or service.closing or _being_given_up(state, name),
            fence_evidence=service.fence_evidence,
        )
        for name, service in state.services.items()
    )
    return KeeperView(
        site=state.site,
        at_ns=now_ns,
        phase=str(state.phase),
        incarnation=state.incarnation,
        deadline_ns=state.deadline_ns,
        store_answered_ns=state.store_answered_ns,
        peer=state.peer_item.record if state.peer_item else None,
        peer_seen_ns=state.peer_seen_ns,
        peer_revision=state.peer_item.revision if state.peer_item else 0,
        peer_lease_over_ns=state.may_take_at(0),
        taking_over=any(isinstance(pending.what, TakeOver) for pending in state.asks.values()),
        renewals_suspended=not state.may_renew(now_ns),
        store_problem=store_problem,
        store_round_trip_seconds=round_trip_seconds,
        services=services,
    )


def _being_given_up(state: OwnershipState, name: str) -> bool:
    return any(
        isinstance(pending.what, GiveUpDead | GiveUpPlanned) and pending.what.service == name
        for pending in state.asks.values()
    )
