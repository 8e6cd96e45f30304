"""What `/metrics` shows, as one immutable value that the controller makes anew at each turn.

Only values, and the tally that counts between turns; nothing here reads a clock or renders anything.
Instants (`_ns`) are CLOCK_BOOTTIME of this controller, so that an age goes on growing at every scrape
even if no further turn comes. None means unknown and leaves its series out; it is never a zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from orchestrator.core.clocks import ClockWord
from probes.model import Verdict
from sites.replication.words import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReading:
    """One site. `lease_until_ns`: when its right to act runs out as far as is known here.
    `promised_until_ns`: until when this site has promised not to take over from it, 0 if it has not.
    `lease_lowest_seconds`: the least that was left of the lease in the last minute. `maintenance`: automatic
    moves of everything that is primary there are paused."""

    site: str
    lease_until_ns: int | None = None
    hold: bool | None = None
    promised_until_ns: int | None = None
    word_missing: bool | None = None
    witness: bool = False
    lease_lowest_seconds: float | None = None
    maintenance: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReading:
    """One service's instance at one site, by its own word. `sampled_at_ns`: the last answer; before the
    first one, when this controller began to ask."""

    service: str
    site: str
    role: Role
    sampled_at_ns: int
    writable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LagReading:
    """Replication from one site to the other. Stale is None, while `sampled_at_ns` stays where it was."""

    service: str
    from_site: str
    to_site: str
    sampled_at_ns: int
    seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReading:
    """The last move that was carried out: its outage as seen from here, None where it was not;
    `loss_bound_seconds`: what was said that it could lose at the most. `stages`: by name, how long each
    stretch of its clock took. What it lost in fact is None while that is not known."""

    ended_unix_seconds: float
    outage_seconds: float | None = None
    loss_bound_seconds: float | None = None
    stages: Mapping[str, float | None] = field(default_factory=dict)
    used_seconds: float | None = None
    lost_seconds: float | None = None
    lost_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReading:
    """One service. `primary` counts only if `owner_known`: None is then nobody, after a give-up.
    `unprotected_since_unix_seconds` is None while the service is protected, `pause_until_ns` while it is not
    paused. `drill_of_todays_plan`: whether the last successful drill was of exactly what would be carried out
    today."""

    service: str
    sites: tuple[str, str]
    rpo_seconds: float
    rto_seconds: float
    failover: str = "manual"
    owner_known: bool = False
    primary: str | None = None
    epoch: int | None = None
    glass_site: str = ""
    under_glass: bool | None = None
    diagnosis: str | None = None
    paused: bool | None = None
    pause_until_ns: int | None = None
    pause_ends_unix_seconds: float | None = None
    protected: bool | None = None
    unprotected_since_unix_seconds: float | None = None
    drill_last_success_unix_seconds: float | None = None
    drill_of_todays_plan: bool | None = None
    last_move: MoveReading | None = None
    run_waits: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReading:
    """One drill of the calendar, by what stands in the store of it. `next_due_unix_seconds`: as far as
    blackouts go. `left_behind`: a copy is still to be removed."""

    drill: str
    service: str
    kind: str
    running: bool | None = None
    next_due_unix_seconds: float | None = None
    overdue: bool | None = None
    missed: int | None = None
    last_success_unix_seconds: float | None = None
    last_success_seconds: float | None = None
    left_behind: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReading:
    """One probe. `at_ns`: its last result; before the first one, when it was first due."""

    service: str
    site: str
    probe: str
    kind: str
    verdict: Verdict
    at_ns: int
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachReading:
    """Whether `from_site` says that it reaches `to_site` or, with `member`, the store's member of that name.
    `at_ns`: when that was found out; None: never."""

    from_site: str
    to_site: str
    reached: bool | None
    at_ns: int | None
    member: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreementReading:
    """Whether observers who looked lately disagree: about the instance of a service at a site or, with no
    service, about whether the site is reached."""

    service: str
    site: str
    disagree: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingReading:
    """What everybody's words about who reaches whom together mean."""

    finding: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReading:
    """The newest run of a service, while it is not over. `changed_at_ns`: when anything of it was last seen
    to change here. `finish_unix_seconds` (half of the time) and `cautious_unix_seconds` (three times out of
    four): when it is likely to end, None where a step that is left was never timed."""

    service: str
    kind: str
    changed_at_ns: int
    started_unix_seconds: float
    finish_unix_seconds: float | None = None
    cautious_unix_seconds: float | None = None
    used_seconds: float | None = None
    within_rto: bool | None = None
    stalled: bool = False
    steps: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadroomReading:
    """What is left at `to_site` if everything of `from_site` comes there."""

    from_site: str
    to_site: str
    cpu_cores: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderReading:
    """Whether a member of the store leads, by its own word."""

    member: str
    leads: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReading:
    """The store as this controller finds it. `answered_at_ns`: its last answer, or when we began to ask."""

    answered_at_ns: int
    round_trip_seconds: float | None = None
    size_bytes: int | None = None
    quota_bytes: int | None = None
    trusted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReading:
    """One certificate, by whom it names."""

    identity: str
    ends_unix_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverReading:
    """One receiver of messages. `outcomes`: what has become of them, over restarts; `troubled`: the last try
    failed."""

    receiver: str
    waiting: int
    troubled: bool
    oldest_unix_seconds: float | None = None
    last_sent_unix_seconds: float | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReading:
    """One fencing device that this site uses. `answers` None: it was not asked yet."""

    site: str
    host: str
    agent: str
    answers: bool | None


@dataclass(frozen=True, slots=True)
class Durations:
    """How many there were, and how long they took together."""

    count: int = 0
    sum_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DecisionKey:
    """What decisions are counted by."""

    service: str
    decision: str
    code: str

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order in which they are exported and kept."""
        return (self.service, self.decision, self.code)


@dataclass(frozen=True, slots=True)
class RefusalKey:
    """What refusals are counted by."""

    service: str
    code: str

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order in which they are exported and kept."""
        return (self.service, self.code)


@dataclass(frozen=True, slots=True)
class RunKey:
    """What runs are counted by."""

    service: str
    kind: str
    outcome: str

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order in which they are exported and kept."""
        return (self.service, self.kind, self.outcome)


@dataclass(frozen=True, slots=True)
class StepKey:
    """What steps are counted by."""

    service: str
    step: str
    outcome: str

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order in which they are exported and kept."""
        return (self.service, self.step, self.outcome)


@dataclass(frozen=True, slots=True)
class NotAcceptedKey:
    """What is counted of what was not accepted."""

    code: str

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order in which they are exported and kept."""
        return (self.code,)


CountKey = DecisionKey | RefusalKey | RunKey | StepKey | NotAcceptedKey


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that is counted: since the controller started, or over all of them where it is kept."""

    decisions: Mapping[DecisionKey, int] = field(default_factory=dict)
    refusals: Mapping[RefusalKey, int] = field(default_factory=dict)
    runs: Mapping[RunKey, Durations] = field(default_factory=dict)
    steps: Mapping[StepKey, Durations] = field(default_factory=dict)
    not_accepted: Mapping[str, int] = field(default_factory=dict)


class Tally:
    """Counts between turns; `counts()` freezes what has been counted so far. Its size is bounded by the
    services, codes and steps there are.

    With `on_counted` somebody keeps the counts on file, and only what is there is shown, so that no counter
    goes back when the controller is started anew: `on_counted` is called when there is something to keep,
    `unkept` hands it over, `show` has it shown.
    """

    def __init__(self, on_counted: Callable[[], None] | None = None) -> None:
        self._on_counted = on_counted
        self._shown: dict[CountKey, Durations] = {}
        self._unkept: dict[CountKey, Durations] = {}

    def decided(self, service: str, decision: str, code: str) -> None:
        """A decision was taken (count changes of mind, not turns)."""
        self._count(DecisionKey(service, decision, code))

    def refused(self, service: str, code: str) -> None:
        """Something was refused, to a person or by a gate."""
        self._count(RefusalKey(service, code))

    def not_accepted(self, code: str) -> None:
        """Something from outside made no sense or was not believed, by a code of ours."""
        self._count(NotAcceptedKey(code))

    def run_ended(self, service: str, kind: str, outcome: str, seconds: float) -> None:
        """A run ended."""
        self._count(RunKey(service, kind, outcome), seconds)

    def step_ended(self, service: str, step: str, outcome: str, seconds: float) -> None:
        """A step of a run ended."""
        self._count(StepKey(service, step, outcome), seconds)

    def _count(self, key: CountKey, seconds: float = 0.0) -> None:
        once = {key: Durations(1, seconds)}
        if self._on_counted is None:
            self.show(once)
            return
        _add(self._unkept, once)
        self._on_counted()

    def unkept(self) -> dict[CountKey, Durations]:
        """What has been counted and is not on file yet; handed over once."""
        found, self._unkept = self._unkept, {}
        return found

    def show(self, counted: Mapping[CountKey, Durations]) -> None:
        """Add this to what is shown."""
        _add(self._shown, counted)

    def counts(self) -> Counts:
        """What is shown, as a value that will not change any more."""
        shown = self._shown
        return Counts(
            decisions=MappingProxyType({k: n.count for k, n in shown.items() if isinstance(k, DecisionKey)}),
            refusals=MappingProxyType({k: n.count for k, n in shown.items() if isinstance(k, RefusalKey)}),
            runs=MappingProxyType({k: spent for k, spent in shown.items() if isinstance(k, RunKey)}),
            steps=MappingProxyType({k: spent for k, spent in shown.items() if isinstance(k, StepKey)}),
            not_accepted=MappingProxyType(
                {k.code: n.count for k, n in shown.items() if isinstance(k, NotAcceptedKey)}
            ),
        )


def _add(totals: dict[CountKey, Durations], counted: Mapping[CountKey, Durations]) -> None:
    for key, spent in counted.items():
        before = totals.get(key, Durations())
        totals[key] = Durations(before.count + spent.count, before.sum_seconds + spent.sum_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Everything that is shown. `turned_at_ns`: when the controller's deciding loop last completed a turn."""

    observer: str
    version: str
    turned_at_ns: int
    started_unix_seconds: float | None = None
    loop_delay_seconds: float | None = None
    lease_duration_seconds: float | None = None
    store: StoreReading | None = None
    sites: tuple[SiteReading, ...] = ()
    services: tuple[ServiceReading, ...] = ()
    instances: tuple[InstanceReading, ...] = ()
    lags: tuple[LagReading, ...] = ()
    drills: tuple[DrillReading, ...] = ()
    probes: tuple[ProbeReading, ...] = ()
    reaches: tuple[ReachReading, ...] = ()
    disagreements: tuple[DisagreementReading, ...] = ()
    findings: tuple[FindingReading, ...] = ()
    certificates: tuple[CertificateReading, ...] = ()
    receivers: tuple[ReceiverReading, ...] = ()
    unacknowledged: Mapping[str, int] = field(default_factory=dict)
    devices: tuple[DeviceReading, ...] = ()
    hosts_off: Mapping[str, int] = field(default_factory=dict)
    power_cuts: Mapping[str, int] = field(default_factory=dict)
    runs: tuple[RunReading, ...] = ()
    headrooms: tuple[HeadroomReading, ...] = ()
    leaders: tuple[LeaderReading, ...] = ()
    clocks: tuple[ClockWord, ...] = ()
    not_accepted: Mapping[str, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
