"""What stands in the store, as frozen values, and their JSON. Nothing here is ever timed by a wall clock:
`since` and the like are for people to read.

Keys: `sites/<site>` one lease per site; `services/<service>` who owns it; `runs/<id>` a run's plan and
steps; `observations/<site>` what a site or the witness sees, which grants no right.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter

from sites.replication.words import Position

SITES = "sites/"
SERVICES = "services/"
RUNS = "runs/"
OBSERVATIONS = "observations/"


class Mode(StrEnum):
    """Whether a lost lease costs the service (P27, P28)."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Movement(StrEnum):
    """Whether a run is on (P26)."""

    STEADY = "steady"
    MOVING = "moving"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRecord:
    """`sites/<site>`: written by that site's keeper every `renew_every`; a taker sets `revoked` (P10).

    `keeper` is unique to the keeper process: two that start at once may choose the same incarnation, and
    the one whose registration lost must not take the other's beat for its own (P3).
    """

    incarnation: int
    beat: int
    keeper: str
    lease_duration_ns: int
    revoked: bool = False
    hold: bool = False
    witness_seen: bool | None = None
    peer_incarnation: int = 0
    break_glass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """No move until it has run out. Every controller counts `seconds` on its own clock from when it first
    read this pause; a reboot of its machine makes it longer, never shorter."""

    pause_id: str
    seconds: float
    since: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastMove:
    """The last unplanned move, for gate 6."""

    run: str
    at_unix_seconds: float
    acknowledged_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRecord:
    """`services/<service>`: written only by transactions that compare the writer's own key (P12).

    `primary` is None between a give-up and a claim. `asked_to_give_up` is the executor's request to the
    holder, `refusal` the holder's answer when it does not. `writer` names the transaction, so that one
    that was committed though its reply was lost is recognised.
    """

    primary: str | None
    epoch: int
    mode: Mode
    movement: Movement
    writer: str
    run: str = ""
    kind: str = ""
    target: str | None = None
    asked_to_give_up: bool = False
    refusal: str = ""
    previous: str | None = None
    planned: bool = False
    final_position: Position | None = None
    since: str = ""
    who: str = ""
    why: str = ""
    pause: Pause | None = None
    last_move: LastMove | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """One step of a run as published for the other site to read."""

    step: str
    state: str
    detail: str = ""
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """`runs/<id>`: the plan and how far it is. Never evidence that a site is not writable (P25).

    `whole_site`: the site whose services it moves, each in a run of its own; the steps are then services, and
    `service` is empty. `automatic`: a controller started it by itself, so that it counts as such a move for
    gate 6. `report`: what each side had accepted since they parted, as far as this run found out.
    """

    run: str
    kind: str
    service: str
    from_site: str | None
    to_site: str
    executor_site: str
    executor: int
    state: str
    plan: dict[str, Any]
    statement: str
    who: str
    why: str
    started: str
    started_unix_seconds: float = 0.0
    loss_bound_seconds: float | None = None
    ended: str = ""
    outcome: str = ""
    automatic: bool = False
    steps: tuple[StepState, ...] = ()
    report: tuple[str, ...] = ()
    whole_site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSeen:
    """One instance as an observer lately saw it; ages are as of sending."""

    service: str
    site: str
    role: str
    writable: bool | None
    reason: str
    age_seconds: float
    position: Position | None = None
    replayed: Position | None = None
    system_id: str = ""
    timeline: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSeen:
    """One probe's verdict as an observer lately saw it. `since_seconds`: how long it has had that verdict."""

    service: str
    site: str
    probe: str
    verdict: str
    reason: str
    age_seconds: float
    kind: str = ""
    since_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaySeen:
    """One way to a site, as an observer lately found it: its controller, one of its hosts, its member of the
    store, its instances. `reached` None: it could not be tried, or not lately."""

    site: str
    way: str
    reached: bool | None
    reason: str
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationRecord:
    """`observations/<site>`: what that site or the witness sees, every two seconds.

    `reaches`: by site, and by member of the store as `store:<site>` or `store:<host>:<port>`; `ways`: what
    that was made from. `clock_boottime_ns` and `boot`: this machine's CLOCK_BOOTTIME at sending, and since
    which start it counts; compared with nothing but its own former words. `clock_rates`: how the clocks that
    this observer hears run against its own.
    """

    observer: str
    number: int
    instances: tuple[InstanceSeen, ...] = ()
    probes: tuple[ProbeSeen, ...] = ()
    reaches: dict[str, bool | None] = field(default_factory=dict)
    ways: tuple[WaySeen, ...] = ()
    clock_unix_seconds: float = 0.0
    clock_boottime_ns: int = 0
    boot: str = ""
    clock_rates: dict[str, float] = field(default_factory=dict)


Record = TypeVar("Record", SiteRecord, ServiceRecord, RunRecord, ObservationRecord)
_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (SiteRecord, ServiceRecord, RunRecord, ObservationRecord)
}


class RecordUnreadable(ValueError):
    """A value in the store is not what this version writes."""


def encode(record: SiteRecord | ServiceRecord | RunRecord | ObservationRecord) -> bytes:
    """The record as JSON."""
    return _ADAPTERS[type(record)].dump_json(record)


def decode(kind: type[Record], value: bytes) -> Record:
    """The record in `value`. Raises RecordUnreadable with what is wrong."""
    try:
        record: Record = _ADAPTERS[kind].validate_json(value)
    except ValueError as fault:
        raise RecordUnreadable(f"not a {kind.__name__}: {fault}") from fault
    return record
