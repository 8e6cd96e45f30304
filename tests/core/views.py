"""One service as a controller may see it, said in a few words: a Scene becomes a View and a ServiceView.

The controller is always x's, its peer is y; without further words x owns a healthy service. Each field is
something that the world does; nothing here knows what should be decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.capacity import Room
from orchestrator.core.clients import OutsideProbe
from orchestrator.core.clocks import ClockWord
from orchestrator.core.decision import Decision, decide
from orchestrator.core.devices import Device, Power
from orchestrator.core.diagnosis import Row, diagnose
from orchestrator.core.keeper_view import KeeperView, ServiceHeld
from orchestrator.core.records import Mode, Movement, ServiceRecord, SiteRecord
from orchestrator.core.standstill import Still
from orchestrator.core.view import OutsideWord, ServiceView, View
from sites.model import FailoverPolicy, FencePolicy, Service
from sites.replication.words import Position, Role, Sample

SECOND_NS = 1_000_000_000
NOW_NS = 100_000 * SECOND_NS
LEASE_NS = 10 * SECOND_NS
HISTORY = "cluster/1"
NOBODY = None


def at(offset_bytes: int, history: str = HISTORY) -> Position:
    """A position."""
    return Position(text=str(offset_bytes), history=history, offset_bytes=offset_bytes)


SOMEWHERE = at(1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What an instance said of itself; `writable` None: a primary accepts writes, a standby does not."""

    role: Role = Role.STANDBY
    writable: bool | None = None
    streaming: bool = True
    position: Position | None = SOMEWHERE
    age_seconds: float = 0.1

    def sample(self, site: str) -> Sample:
        """As a sample."""
        answers = self.role in (Role.PRIMARY, Role.STANDBY)
        writable = self.role is Role.PRIMARY if self.writable is None and answers else self.writable
        return Sample(
            service="s",
            site=site,
            role=self.role,
            taken_at_ns=NOW_NS - int(self.age_seconds * SECOND_NS),
            writable=writable,
            position=self.position if answers else None,
            streaming=self.streaming if self.role is Role.STANDBY else None,
            reason="" if answers else f"it is {self.role}",
        )


PRIMARY = Instance(role=Role.PRIMARY)
STANDBY = Instance(role=Role.STANDBY)
STRAY = Instance(role=Role.STANDBY, streaming=False)
DOWN = Instance(role=Role.DOWN)
MUTE = Instance(role=Role.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is the case. `here`, `there`: the instances at x and y; None: no fresh sample."""

    # the estate
    home: str = "x"
    policy: FailoverPolicy = FailoverPolicy.AUTOMATIC
    watch_only: bool = False
    fence: FencePolicy = FencePolicy.ATTEMPT
    hold_down_seconds: float = 30.0
    max_data_loss_seconds: float = 60.0
    lab: bool = True
    guarded: bool = False
    # the store, by the keeper
    keeper: bool = True
    known: bool = True
    claimed: bool = True
    owner: str | None = "x"
    previous: str | None = None
    planned: bool = False
    final: Position | None = None
    moving: bool = False
    target: str | None = None
    mode: Mode | None = None
    lease_left_seconds: float = 8.0
    peer_seen: bool = True
    peer_silent_seconds: float = 0.5
    peer_lease_over: bool = False
    peer_holds: bool = False
    shut: bool = False
    giving_up: bool = False
    word_needed: bool = False
    hold_relied: bool = False
    under_glass: bool = False
    # the instances
    here: Instance | None = PRIMARY
    there: Instance | None = STANDBY
    dead_here: str = ""
    outside: tuple[OutsideWord, ...] = ()
    client_probes: tuple[OutsideProbe, ...] = ()
    cut_off_for_seconds: float = 0.0
    handed_over_lately: bool = False
    peer_reached: bool | None = True
    clocks: tuple[ClockWord, ...] = ()
    lag_seconds: float | None = 0.2
    safe_seconds_ago: float | None = 0.5
    still: Still | None = None
    history_seen: str = HISTORY
    # the controller's own
    run_here: str = ""
    run_failed: bool = False
    run_in_doubt: bool = False
    run_waits: bool = False
    paused: bool = False
    flap_left_seconds: float | None = None
    restarts_left: int = 0
    open_failures: int = 0
    fence_confirmed: bool | None = None
    nobody_for_seconds: float = 0.0
    not_a_standby_for_seconds: float = 0.0
    rejoin_wait_seconds: float = 0.0
    # the devices
    equipped: bool = False
    takes_along: tuple[str, ...] = ()
    device: Device = Device.IDLE
    cut_seconds_ago: float = 0.5
    rooms: Mapping[str, Room] = field(default_factory=dict)

    def but(self, **changes: Any) -> "Scene":
        """The same with something different."""
        return replace(self, **changes)

    @property
    def stored_mode(self) -> Mode:
        """As the policy stands in the store, unless said otherwise."""
        if self.mode is not None:
            return self.mode
        return Mode.AUTOMATIC if self.policy is FailoverPolicy.AUTOMATIC else Mode.MANUAL

    @property
    def record(self) -> ServiceRecord | None:
        """services/s."""
        if not self.claimed:
            return None
        return ServiceRecord(
            primary=self.owner,
            epoch=7,
            mode=self.stored_mode,
            movement=Movement.MOVING if self.moving else Movement.STEADY,
            writer="",
            run="run-1",
            target=self.target,
            previous=self.previous,
            planned=self.planned,
            final_position=self.final,
        )

    def see(self) -> tuple[View, ServiceView]:
        """As x's controller sees it."""
        service = self._service_view()
        view = View(
            site="x",
            peer="y",
            now_ns=NOW_NS,
            keeper=self._keeper(service.held) if self.keeper else None,
            services=(service,),
            lab=self.lab,
            peer_reached=self.peer_reached,
            clocks=self.clocks,
        )
        return view, service

    def decide(self) -> tuple[Row, Decision]:
        """What is diagnosed and decided."""
        view, service = self.see()
        row = diagnose(view, service)
        return row, decide(view, service, row.diagnosis)

    def _service_view(self) -> ServiceView:
        held = ServiceHeld(
            service="s",
            known=self.known,
            revision=5,
            record=self.record if self.known else None,
            entitled=self.owner == "x" and self.lease_left_seconds > 0 and not self.giving_up,
            open_here=not self.shut,
            shut=self.shut,
            giving_up=self.giving_up,
            fence_evidence="",
            under_glass="certificate-1" if self.under_glass else "",
        )
        safe = self.safe_seconds_ago
        instances = {"x": self.here, "y": self.there}
        return ServiceView(
            service=_service(self),
            held=held if self.keeper else None,
            samples={site: one.sample(site) for site, one in instances.items() if one is not None},
            dead_here=self.dead_here,
            lag_seconds=self.lag_seconds,
            safe_until_ns=None if safe is None else NOW_NS - int(safe * SECOND_NS),
            still=self.still,
            final_primary_history=self.history_seen,
            outside=self.outside,
            run_here=self.run_here,
            run_failed=self.run_failed,
            run_in_doubt=self.run_in_doubt,
            run_waits=self.run_waits,
            pause_left_seconds=600.0 if self.paused else None,
            pause_words="paused by somebody" if self.paused else "",
            flap_left_seconds=self.flap_left_seconds,
            restarts_left=self.restarts_left,
            open_failures=self.open_failures,
            fence_confirmed=self.fence_confirmed,
            guarded=self.guarded,
            nobody_for_seconds=self.nobody_for_seconds,
            not_a_standby_for_seconds=self.not_a_standby_for_seconds,
            rejoin_wait_seconds=self.rejoin_wait_seconds,
            rooms=self.rooms,
            client_probes=self.client_probes,
            cut_off_for_seconds=self.cut_off_for_seconds,
            handed_over_lately=self.handed_over_lately,
            power=Power(
                hosts=("db",),
                equipped=self.equipped,
                takes_along=self.takes_along,
                device=self.device,
                cut_at_ns=NOW_NS - int(self.cut_seconds_ago * SECOND_NS),
            ),
        )

    def _keeper(self, held: ServiceHeld | None) -> KeeperView:
        peer = SiteRecord(incarnation=3, beat=9, keeper="k", lease_duration_ns=LEASE_NS, hold=self.peer_holds)
        over_ns = NOW_NS - 1 if self.peer_lease_over else NOW_NS + SECOND_NS
        return KeeperView(
            site="x",
            at_ns=NOW_NS,
            phase="active" if self.known else "registering",
            incarnation=4,
            deadline_ns=NOW_NS + int(self.lease_left_seconds * SECOND_NS),
            store_answered_ns=NOW_NS,
            peer=peer if self.peer_seen else None,
            peer_seen_ns=NOW_NS - int(self.peer_silent_seconds * SECOND_NS),
            peer_revision=2,
            peer_lease_over_ns=over_ns if self.peer_seen else None,
            taking_over=False,
            renewals_suspended=False,
            store_problem="",
            store_round_trip_seconds=0.01,
            services=(held,) if held is not None else (),
            word_needed=self.word_needed,
            hold_relied=self.hold_relied,
        )


_SERVICES: dict[tuple[object, ...], Service] = {}


def _service(scene: Scene) -> Service:
    """The service as `sites.yaml` says it; the same value for the same words."""
    words = (scene.home, scene.policy, scene.watch_only, scene.fence, scene.hold_down_seconds)
    key = (*words, scene.max_data_loss_seconds)
    if key not in _SERVICES:
        _SERVICES[key] = Service(
            name="s",
            home=scene.home,
            standby="y" if scene.home == "x" else "x",
            failover=scene.policy,
            watch_only=scene.watch_only,
            fence=scene.fence,
            hold_down=f"{scene.hold_down_seconds:g}s",
            max_data_loss=f"{scene.max_data_loss_seconds:g}s",
        )
    return _SERVICES[key]


def word(observer: str, site: str, *, writable: bool | None = True, age_seconds: float = 1.0) -> OutsideWord:
    """What another observer says of the instance at `site`."""
    role = "primary" if writable else "unknown"
    return OutsideWord(
        observer=observer, site=site, role=role, writable=writable, reason="", age_seconds=age_seconds
    )


def still(
    since_seconds_ago: float,
    *,
    seen_seconds_ago: float = 1.0,
    behind_gate: bool = False,
    given_up_epoch: int | None = None,
) -> Still:
    """The proof of the primary's site that nothing was written there since. The scene's epoch is 7."""
    return Still(
        mark="m",
        since_ns=NOW_NS - int(since_seconds_ago * SECOND_NS),
        seen_ns=NOW_NS - int(seen_seconds_ago * SECOND_NS),
        evidence="no process of it is left",
        behind_gate=behind_gate,
        given_up_epoch=given_up_epoch,
    )


def probe(
    observer: str,
    site: str = "x",
    *,
    verdict: str = "down",
    kind: str = "http",
    name: str = "login page",
    was_up: bool = True,
    age_seconds: float = 1.0,
) -> OutsideProbe:
    """What another observer's probe of the service at `site` says."""
    return OutsideProbe(
        observer=observer,
        site=site,
        probe=name,
        kind=kind,
        verdict=verdict,
        reason="timed-out" if verdict == "down" else "answered",
        age_seconds=age_seconds,
        was_up=was_up,
    )


HEALTHY = Scene()
# x's own instance is well, and no client reaches it: y and the witness both say so.
NO_CLIENTS = Scene(client_probes=(probe("y"), probe("w")), cut_off_for_seconds=31.0)
THEIRS = Scene(owner="y", here=STANDBY, there=PRIMARY)
# y is gone: its lease is over, its instance does not answer, and hold-down has passed.
LOST = THEIRS.but(
    there=None, peer_silent_seconds=40.0, peer_lease_over=True, peer_reached=False, safe_seconds_ago=41.0
)
# y's database died: y has fenced it and given it up, without an order.
GIVEN_UP = THEIRS.but(owner=NOBODY, previous="y", there=DOWN, nobody_for_seconds=0.3)
# y has closed it in order, for the run that brings it here.
HANDED = GIVEN_UP.but(planned=True, final=at(1000), moving=True, target="x")
# The same, seen from the other side: x has given it up.
GIVEN_AWAY = Scene(
    owner=NOBODY,
    previous="x",
    planned=True,
    final=at(1000),
    moving=True,
    target="y",
    here=DOWN,
    there=STANDBY,
)
