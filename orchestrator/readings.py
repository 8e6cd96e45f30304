"""What `/metrics` shows, as one immutable value that the controller makes anew at each turn.

Only values, and the tally that counts between turns; nothing here reads a clock or renders anything.
Instants (`_ns`) are CLOCK_BOOTTIME of this controller, so that an age goes on growing at every scrape
even if no further turn comes. None means unknown and leaves its series out; it is never a zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from orchestrator.core.clocks import ClockWord
from probes.model import Verdict
from sites.replication.words import Role

Key = TypeVar("Key")


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
    paused. `drill_due_unix_seconds`: by when its next drill is to have succeeded; `drill_of_todays_plan`:
    whether the last one that did was of exactly what would be carried out today."""

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
    drill_due_unix_seconds: float | None = None
    drill_of_todays_plan: bool | None = None
    last_move: MoveReading | None = None
    run_waits: bool | None = None


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


class DecisionKey(NamedTuple):
    """What decisions are counted by."""

    service: str
    decision: str
    code: str


class RefusalKey(NamedTuple):
    """What refusals are counted by."""

    service: str
    code: str


class RunKey(NamedTuple):
    """What runs are counted by."""

    service: str
    kind: str
    outcome: str


class StepKey(NamedTuple):
    """What steps are counted by."""

    service: str
    step: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that is counted since the controller started."""

    decisions: Mapping[DecisionKey, int] = field(default_factory=dict)
    refusals: Mapping[RefusalKey, int] = field(default_factory=dict)
    runs: Mapping[RunKey, Durations] = field(default_factory=dict)
    steps: Mapping[StepKey, Durations] = field(default_factory=dict)
    not_accepted: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """Counts between turns; `counts()` freezes what has been counted so far. Its size is bounded by the
    services, codes and steps there are."""

    _decisions: dict[DecisionKey, int] = field(default_factory=dict)
    _refusals: dict[RefusalKey, int] = field(default_factory=dict)
    _runs: dict[RunKey, Durations] = field(default_factory=dict)
    _steps: dict[StepKey, Durations] = field(default_factory=dict)
    _not_accepted: dict[str, int] = field(default_factory=dict)

    def decided(self, service: str, decision: str, code: str) -> None:
        """A decision was taken (count changes of mind, not turns)."""
        key = DecisionKey(service, decision, code)
        self._decisions[key] = self._decisions.get(key, 0) + 1

    def refused(self, service: str, code: str) -> None:
        """Something was refused, to a person or by a gate."""
        key = RefusalKey(service, code)
        self._refusals[key] = self._refusals.get(key, 0) + 1

    def not_accepted(self, code: str) -> None:
        """Something from outside made no sense or was not believed, by a code of ours."""
        self._not_accepted[code] = self._not_accepted.get(code, 0) + 1

    def run_ended(self, service: str, kind: str, outcome: str, seconds: float) -> None:
        """A run ended."""
        _add(self._runs, RunKey(service, kind, outcome), seconds)

    def step_ended(self, service: str, step: str, outcome: str, seconds: float) -> None:
        """A step of a run ended."""
        _add(self._steps, StepKey(service, step, outcome), seconds)

    def counts(self) -> Counts:
        """What has been counted so far, as a value that will not change any more."""
        return Counts(
            decisions=MappingProxyType(dict(self._decisions)),
            refusals=MappingProxyType(dict(self._refusals)),
            runs=MappingProxyType(dict(self._runs)),
            steps=MappingProxyType(dict(self._steps)),
            not_accepted=MappingProxyType(dict(self._not_accepted)),
        )


def _add(totals: dict[Key, Durations], key: Key, seconds: float) -> None:
    before = totals.get(key, Durations())
    totals[key] = Durations(before.count + 1, before.sum_seconds + seconds)


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
    probes: tuple[ProbeReading, ...] = ()
    reaches: tuple[ReachReading, ...] = ()
    disagreements: tuple[DisagreementReading, ...] = ()
    findings: tuple[FindingReading, ...] = ()
    certificates: tuple[CertificateReading, ...] = ()
    devices: tuple[DeviceReading, ...] = ()
    hosts_off: Mapping[str, int] = field(default_factory=dict)
    power_cuts: Mapping[str, int] = field(default_factory=dict)
    runs: tuple[RunReading, ...] = ()
    headrooms: tuple[HeadroomReading, ...] = ()
    leaders: tuple[LeaderReading, ...] = ()
    clocks: tuple[ClockWord, ...] = ()
    not_accepted: Mapping[str, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
