"""Everything a decision is made from, in one immutable value. What is not known is None, never a guess.

Instants are CLOCK_BOOTTIME of this machine in nanoseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.capacity import Room
from orchestrator.core.clients import OutsideProbe
from orchestrator.core.clocks import ClockWord, beyond
from orchestrator.core.devices import Power
from orchestrator.core.keeper_view import KeeperView, ServiceHeld
from orchestrator.core.reach import Reach
from orchestrator.core.records import Movement, ServiceRecord
from orchestrator.core.standstill import Still
from sites.model import Service
from sites.replication.words import Role, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideWord:
    """What another observer (the peer, the witness) says of an instance. `age_seconds` counts from its
    measurement to now, as far as that is known here."""

    observer: str
    site: str
    role: str
    writable: bool | None
    reason: str
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """One service as this controller sees it now.

    `samples`: the latest fresh sample per site. `dead_here`: evidence that our instance is positively not
    running. `safe_until_ns`: everything written at the primary up to then is known to be at the standby.
    `still`: the proof of the primary's own site that nothing was written there since.
    `flap_left_seconds`: until gate 6 opens by itself. `run_here`: the run this controller carries out.
    `nobody_for_seconds`: how long the service has had no primary. `run_failed`: the run that holds it has
    ended without success. `run_in_doubt`: it stands still because a step's end is not known, `run_waits`: it
    goes on when a person has said how. A planned move that waits does not count as `run_here`, so that it
    holds nothing up that cannot wait. `open_failures`: how often opening it here failed lately. `guarded`: a
    guard stands at the database host of either site, as the estate says, so that a stalled controller is
    fenced. `rooms`: by site that states its capacity, how the service would fit there. `power`: the devices
    that switch its hosts at the other site off.
    """

    service: Service
    held: ServiceHeld | None
    samples: dict[str, Sample] = field(default_factory=dict)
    dead_here: str = ""
    lag_seconds: float | None = None
    lag_bytes: int | None = None
    lag_age_seconds: float | None = None
    safe_until_ns: int | None = None
    still: Still | None = None
    final_primary_history: str = ""
    outside: tuple[OutsideWord, ...] = ()
    run_here: str = ""
    run_failed: bool = False
    run_in_doubt: bool = False
    run_waits: bool = False
    pause_left_seconds: float | None = None
    pause_words: str = ""
    flap_left_seconds: float | None = None
    restarts_left: int = 0
    open_failures: int = 0
    fence_confirmed: bool | None = None
    nobody_for_seconds: float = 0.0
    not_a_standby_for_seconds: float = 0.0
    rejoin_wait_seconds: float = 0.0
    guarded: bool = False
    client_probes: tuple[OutsideProbe, ...] = ()
    cut_off_for_seconds: float = 0.0
    handed_over_lately: bool = False
    power: Power = field(default_factory=Power)
    rooms: Mapping[str, Room] = field(default_factory=dict)

    @property
    def record(self) -> ServiceRecord | None:
        """The service's record, if its view is known."""
        return self.held.record if self.held is not None and self.held.known else None

    def role_at(self, site: str) -> Role:
        """What the instance at `site` is, by its own word; UNKNOWN without a fresh sample."""
        sample = self.samples.get(site)
        return sample.role if sample is not None else Role.UNKNOWN

    def writable_at(self, site: str) -> bool | None:
        """Whether the instance at `site` accepts writes, by its own word."""
        sample = self.samples.get(site)
        if sample is None or (sample.role is Role.UNKNOWN and not sample.writable):
            return None
        # Of several parts one may be known to accept writes while another does not answer.
        return bool(sample.writable)

    @property
    def moving(self) -> bool:
        """A run holds the service."""
        return self.record is not None and self.record.movement is Movement.MOVING


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The whole picture of one turn. `lab`: the estate is a lab's, where automatic moves need no guard.
    `reach`: who reaches whom, by everybody's word; `clocks`: likewise how their clocks run, and `clock_drift`
    the bound on that which every lease is reckoned with."""

    site: str
    peer: str
    now_ns: int
    keeper: KeeperView | None
    services: tuple[ServiceView, ...]
    lab: bool = False
    peer_reached: bool | None = None
    reach: Reach = field(default_factory=Reach)
    clocks: tuple[ClockWord, ...] = ()
    clock_drift: float = 0.005

    @property
    def registered(self) -> bool:
        """The keeper is there, registered, and has read the services."""
        return self.keeper is not None and self.keeper.phase == "active"

    @property
    def lease_left_ns(self) -> int:
        """What is left of our own lease; 0 when it is over."""
        return max(0, self.keeper.deadline_ns - self.now_ns) if self.keeper is not None else 0

    @property
    def clocks_beyond(self) -> tuple[ClockWord, ...]:
        """The pairs of clocks that run further apart than a lease is reckoned with."""
        return beyond(self.clocks, self.clock_drift)

    @property
    def right_lasts(self) -> bool:
        """This site has a right at all: a lease that runs, or hold that it relies on (P6, P29)."""
        return self.lease_left_ns > 0 or (self.keeper is not None and self.keeper.hold_relied)

    @property
    def word_needed(self) -> bool:
        """P32: this site's lease was broken and the peer's word is missing."""
        return self.keeper is not None and self.keeper.word_needed

    @property
    def peer_lease_over(self) -> bool:
        """P9: the peer's lease is over by our clock (its hold-down apart)."""
        over_ns = self.keeper.peer_lease_over_ns if self.keeper is not None else None
        return over_ns is not None and self.now_ns > over_ns

    @property
    def peer_silent_seconds(self) -> float | None:
        """How long the peer's key has not moved; None: never seen."""
        if self.keeper is None or self.keeper.peer is None:
            return None
        return max(0, self.now_ns - self.keeper.peer_seen_ns) / 1e9

    @property
    def peer_is_silent(self) -> bool:
        """The peer's key has not moved for half a lease, or was never seen."""
        silent = self.peer_silent_seconds
        if self.keeper is None or self.keeper.peer is None or silent is None:
            return True
        return silent * 1e9 > self.keeper.peer.lease_duration_ns / 2
