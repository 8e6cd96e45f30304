"""What stands in the store, as frozen values, and their JSON. Nothing here is ever timed by a wall clock:
`since` and the like are for people to read.

Keys: `sites/<site>` one lease per site; `services/<service>` who owns it; `runs/<id>` a run's plan and
steps; `observations/<site>` what a site or the witness sees, which grants no right.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from orchestrator.core.adapters import adapter
from sites.replication.words import Position

SITES = "sites/"
SERVICES = "services/"
RUNS = "runs/"
OBSERVATIONS = "observations/"


RUN_OVER = ("done", "failed", "aborted", "undone")
RUN_WITHOUT_SUCCESS = ("failed", "aborted", "undone")


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
    `glass_unknown`: a guard that may open by a certificate alone has not said whether it has (P31), so that
    this beat is no word that no glass was broken here (P32).
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
    glass_unknown: bool = False


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
    """One step of a run as published for the other site to read, and to go on from if it adopts the run.
    `number` and `title` only of a step that the plan does not have: one that takes another one back.
    `ended_record`: the how-manieth record of the run its end was."""

    step: str
    state: str
    detail: str = ""
    duration_seconds: float | None = None
    number: int = 0
    title: str = ""
    attempts: int = 0
    last_attempt: int = 0
    ended_record: int = 0
    started_unix_seconds: float | None = None
    ended_unix_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What a person orders of a run. As asked from the other site it has an `ask_id` and no number; once it
    was accepted, its number. `seen`: the number of the last order its giver knew of."""

    verb: str
    who: str
    site: str
    at: str
    reason: str = ""
    step: str = ""
    evidence: str = ""
    owner: str = ""
    roles: tuple[str, ...] = ()
    seen: int = 0
    number: int = 0
    ask_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """The executor's answer to an order that came through the store: its number, or why not."""

    ask_id: str
    number: int = 0
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWait:
    """What only a person can end; `step` is empty for a run that is paused, `since` a time of day."""

    kind: str
    step: str = ""
    words: str = ""
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One controller's under a report: `certificate` (PEM) is the one that its key belongs to, `at` a time of
    day, `value` in base64."""

    site: str
    at: str
    certificate: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSeal:
    """The last report that was drawn up of a run: what is signed, as JSON, and by whom it has been."""

    statement: str
    signatures: tuple[Signature, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """`runs/<id>`: the plan and how far it is. Never evidence that a site is not writable (P25).

    `whole_site`: the site whose services it moves, each in a run of its own; the steps are then services, and
    `service` is empty. `automatic`: a controller started it by itself, so that it counts as such a move for
    gate 6. `accepted_loss_seconds`: what whoever ordered it accepted by name. `report`: what each side had
    accepted since they parted, as far as this run found out. `waits`: what only a person can end; `orders`:
    those that were accepted; `asks`: those that the other site has put here for the executor, `answers` what
    it said to the last of them. `left`: what an end before the end leaves, and what to do next. `values`:
    what steps left for later ones, as far as there is room. `last_well_unix_seconds`: when the service was
    last seen to accept writes before the trouble that the move answers, `detected_unix_seconds`: when that
    was named; None where there was none, or nobody saw it. `outage_seconds`: as its executor saw it.
    `made_from`: the hashes and versions of what it was made from, by name. `sealed`: its last report.
    `continues`: the run that had ended and that this one goes on with.
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
    accepted_loss_seconds: float | None = None
    ended: str = ""
    outcome: str = ""
    automatic: bool = False
    steps: tuple[StepState, ...] = ()
    report: tuple[str, ...] = ()
    waits: tuple[RunWait, ...] = ()
    orders: tuple[RunOrder, ...] = ()
    asks: tuple[RunOrder, ...] = ()
    answers: tuple[RunAnswer, ...] = ()
    left: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    whole_site: str = ""
    last_well_unix_seconds: float | None = None
    detected_unix_seconds: float | None = None
    outage_seconds: float | None = None
    made_from: dict[str, str] = field(default_factory=dict)
    sealed: ReportSeal | None = None
    continues: str = ""

    @property
    def over(self) -> bool:
        """Whether the run has ended for good."""
        return self.state in RUN_OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class StillSeen:
    """By proof of its own site nothing was written by an instance for `for_seconds`, until `age_seconds` ago
    (see `core.standstill`); ages are as of sending. `behind_gate`: it may run, and is cut off."""

    mark: str
    for_seconds: float
    age_seconds: float
    evidence: str
    behind_gate: bool = False
    given_up_epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSeen:
    """One instance as an observer lately saw it; ages are as of sending. `still`: only an instance's own site
    can know."""

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
    still: StillSeen | None = None


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


class RecordUnreadable(ValueError):
    """A value in the store is not what this version writes."""


def encode(record: SiteRecord | ServiceRecord | RunRecord | ObservationRecord) -> bytes:
    """The record as JSON."""
    return adapter(type(record)).dump_json(record)


def decode(kind: type[Record], value: bytes) -> Record:
    """The record in `value`. Raises RecordUnreadable with what is wrong."""
    try:
        record: Record = adapter(kind).validate_json(value)
    except ValueError as fault:
        raise RecordUnreadable(f"not a {kind.__name__}: {fault}") from fault
    return record
