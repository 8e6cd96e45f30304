"""The nouns: what the estate consists of, as frozen values.

These classes are at once the model the code speaks and the schema of `sites.yaml`; a field's
alias is its key in the file, its own name carries the unit. Loading, line numbers and checks
across several values are `sites.inventory`'s.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sites.quantities import Bytes, Seconds

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Noun(BaseModel):
    """A frozen value whose unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=False)


class FailoverPolicy(StrEnum):
    """Who may start an unplanned move of a service."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    FOLLOWED = "followed"


class FencePolicy(StrEnum):
    """Whether one fencing level must have confirmed before a promotion."""

    ATTEMPT = "attempt"
    CONFIRM = "confirm"


class Timing(Noun):
    """The lease's parameters; see the rule in `sites.inventory` that they must satisfy."""

    lease_duration_seconds: Seconds = Field(
        10.0, alias="lease_duration", description="how long one renewal entitles a site"
    )
    renew_every_seconds: Seconds = Field(1.5, alias="renew_every", description="time between renewals")
    fence_within_seconds: Seconds = Field(
        2.0, alias="fence_within", description="time in which client writes are cut off on the hosts"
    )
    guard_every_seconds: Seconds = Field(0.5, alias="guard_every", description="how often a guard asks")
    stall_seconds: Seconds = Field(
        1.0, alias="stall", description="longest pause of the keeper that must not cost the lease"
    )
    hold_clear_seconds: Seconds = Field(
        60.0, alias="hold_clear", description="how long everybody must be seen before hold is given up"
    )
    clock_drift: float = Field(
        0.005, ge=0, lt=0.1, description="bound on the difference of rate between any two clocks used"
    )


class TlsFiles(Noun):
    """Paths of PEM files, relative to the estate file."""

    ca: str
    cert: str
    key: str


class StoreSpec(Noun):
    """Where the compare-and-set store is."""

    kind: Annotated[str, Field(pattern="^etcd$")] = "etcd"
    endpoints: list[str] = Field(min_length=1)
    election_timeout_seconds: Seconds = Field(1.0, alias="election_timeout")
    round_trip_seconds: Seconds = Field(0.05, alias="round_trip")
    tls: TlsFiles | None = None
    user: str | None = None
    password: str | None = None


class Host(Noun):
    """A machine reached by SSH. Its key in the file is its role, the same at both sites."""

    name: str = ""
    site: str = ""
    address: str
    port: int = Field(22, ge=1, le=65535)
    user: str = "twinsite"


class SshSpec(Noun):
    """How hosts are spoken to: key files and the list of known host keys, always checked."""

    known_hosts: str = "known_hosts"
    keys: list[str] = Field(default_factory=list)
    connect_timeout_seconds: Seconds = Field(4.0, alias="connect_timeout")


class Capacity(Noun):
    """What a site offers, or a service needs."""

    cpu: float = Field(0, ge=0)
    memory_bytes: Bytes = Field(0, alias="memory")


class Site(Noun):
    """A datacentre, or the witness."""

    name: str = ""
    title: str = ""
    owner: str = ""
    witness: bool = False
    controller: str | None = Field(None, description="where the other site's controller reaches this one")
    metrics: str | None = Field(None, description="address:port that serves /metrics")
    state_directory: str | None = Field(
        None, alias="state", description="where the controller keeps journal, notes and sockets"
    )
    store: StoreSpec | None = Field(
        None, description="this site's own view of the store: its certificate and user"
    )
    hosts: dict[str, Host] = Field(default_factory=dict)
    capacity: Capacity | None = None


class Objectives(Noun):
    """Recovery objectives: how long down, how much lost."""

    rto_seconds: Seconds = Field(1800.0, alias="rto")
    rpo_seconds: Seconds = Field(60.0, alias="rpo")


class ProbeSpec(Noun):
    """One probe as written in the file; `settings` are checked by its kind's own model."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    name: str
    kind: str
    site: str | None = Field(None, description="the site probed; without it, both data sites")
    every_seconds: Seconds = Field(5.0, alias="every")
    timeout_seconds: Seconds = Field(3.0, alias="timeout")
    fails_after: str = Field(
        "3 of 5", pattern=r"^\d+ of \d+$", description="k of the last n results change the verdict"
    )

    @property
    def settings(self) -> dict[str, Any]:
        """The keys that belong to the probe's kind."""
        return dict(self.model_extra or {})

    @property
    def fails_after_counts(self) -> tuple[int, int]:
        """(k, n) of `fails_after`."""
        k, _, n = self.fails_after.split()
        return int(k), int(n)


class ReplicationSpec(Noun):
    """The driver's name, and the driver's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    driver: str

    @property
    def settings(self) -> dict[str, Any]:
        """The keys that belong to the driver."""
        return dict(self.model_extra or {})


class Service(Noun):
    """What users know by one name, with its database, application tier and address."""

    name: str = ""
    title: str = ""
    tenants: list[str] = Field(default_factory=list)
    home: str
    standby: str
    failover: FailoverPolicy = FailoverPolicy.MANUAL
    hold_down_seconds: Seconds = Field(30.0, alias="hold_down")
    min_time_between_failovers_seconds: Seconds = Field(3600.0, alias="min_time_between_failovers")
    local_restarts: int = Field(0, ge=0, le=10)
    objectives: Objectives = Field(default_factory=lambda: Objectives.model_validate({}))
    max_data_loss_seconds: Seconds = Field(60.0, alias="max_data_loss")
    rank: int = Field(100, ge=1)
    needs: list[str] = Field(default_factory=list)
    load: Capacity | None = None
    replication: ReplicationSpec | None = None
    guard: dict[str, Any] | None = None
    fence: FencePolicy = FencePolicy.ATTEMPT
    probes: list[ProbeSpec] = Field(default_factory=list)
    traffic: list[dict[str, Any]] = Field(default_factory=list)
    runbooks: dict[str, str] = Field(default_factory=dict)
    watch_only: bool = Field(False, exclude=True)

    def peer_of(self, site: str) -> str:
        """The other data site of this service."""
        return self.standby if site == self.home else self.home

    @property
    def sites(self) -> tuple[str, str]:
        """Home first, then standby."""
        return self.home, self.standby


class Estate(Noun):
    """Everything `sites.yaml` says."""

    version: int = Field(1, ge=1, le=1)
    lab: bool = Field(
        False, description="this estate was written by `twinsite lab`; automatic moves need no guard there"
    )
    ownership: Timing = Field(default_factory=lambda: Timing.model_validate({}))
    store: StoreSpec
    ssh: SshSpec = Field(default_factory=lambda: SshSpec.model_validate({}))
    sites: dict[Name, Site]
    services: dict[Name, Service]
    runbook_path: list[str] = Field(
        default_factory=list, description="folders searched for runbooks before the shipped ones"
    )
    drills: list[dict[str, Any]] = Field(default_factory=list)
    notify: list[dict[str, Any]] = Field(default_factory=list)
    access: dict[str, Any] = Field(default_factory=dict)

    @property
    def data_sites(self) -> tuple[str, ...]:
        """Names of the sites that run services."""
        return tuple(name for name, site in self.sites.items() if not site.witness)

    @property
    def witness(self) -> str | None:
        """Name of the witness, if there is one."""
        return next((name for name, site in self.sites.items() if site.witness), None)

    def other_data_site(self, site: str) -> str:
        """The peer of a data site."""
        return next(name for name in self.data_sites if name != site)
