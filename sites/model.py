"""The nouns: what the estate consists of, as frozen values.

These classes are at once the model the code speaks and the schema of `sites.yaml`; a field's
alias is its key in the file, its own name carries the unit. A field whose alias stands in angle
brackets is no key of the file: the loader fills it in. Loading, line numbers and checks
across several values are `sites.inventory`'s.
"""

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from sites.blackouts import Blackout
from sites.drills import DrillSpec
from sites.notify import NotifySpec, named_receivers
from sites.noun import NAME_PATTERN, Name, Noun
from sites.quantities import AboveZeroSeconds, Bytes, Seconds

__all__ = ["NAME_PATTERN", "Name", "Noun"]

JUMP_PATTERN = r"^[a-z][a-z0-9-]{0,62}(/[a-z][a-z0-9-]{0,62})?$"
NO_JUMP = "none"
OperatorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,40}$")]

_FAILS_AFTER = re.compile(r"^(\d{1,3}) of (\d{1,3})$")
MOST_RESULTS_KEPT = 100


def _check_fails_after(text: str) -> str:
    match = _FAILS_AFTER.match(text)
    if not match or not 1 <= int(match[1]) <= int(match[2]) <= MOST_RESULTS_KEPT:
        raise ValueError(f"expected k of n with 1 <= k <= n <= {MOST_RESULTS_KEPT}, such as 3 of 5")
    return text


FailsAfter = Annotated[
    str,
    AfterValidator(_check_fails_after),
    WithJsonSchema({"type": "string", "pattern": _FAILS_AFTER.pattern, "examples": ["3 of 5", "1 of 1"]}),
]


def _check_endpoint(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError("expected host:port, such as 10.20.1.30:5432 or [fd00::3]:5432")
    return text


def _check_network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("expected an IP address or a network, such as 10.20.2.30 or 10.20.2.0/24") from None
    return text


Endpoint = Annotated[
    str,
    AfterValidator(_check_endpoint),
    WithJsonSchema({"type": "string", "pattern": r"^.+:\d{1,5}$", "examples": ["10.20.1.30:5432"]}),
]
Network = Annotated[
    str, AfterValidator(_check_network), WithJsonSchema({"type": "string", "examples": ["10.20.2.30"]})
]
Port = Annotated[int, Field(ge=1, le=65535)]
AbsolutePath = Annotated[str, Field(pattern=r"^(/[^/\x00-\x1f\x7f]+)+$")]


SHED = "shed"
"""The purpose of a runbook that makes a service take less of its site, so that another one fits there."""


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
    """The lease: how long a site may act without being heard, and how quickly the other takes over.

    Refused unless lease_duration - fence_within is more than 2 x renew_every + guard_every +
    2 x election_timeout + 3 x round_trip + stall, with the store's election_timeout and round_trip.
    """

    lease_duration_seconds: AboveZeroSeconds = Field(
        10.0, alias="lease_duration", description="how long one renewal entitles a site"
    )
    renew_every_seconds: AboveZeroSeconds = Field(
        1.5, alias="renew_every", description="time between renewals"
    )
    fence_within_seconds: AboveZeroSeconds = Field(
        2.0, alias="fence_within", description="time in which client writes are cut off on the hosts"
    )
    guard_every_seconds: AboveZeroSeconds = Field(
        0.5, alias="guard_every", description="how often a guard asks"
    )
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
    """PEM files, by paths relative to the estate file."""

    ca: str = Field(description="certificates of the authority that signed the other side's")
    cert: str = Field(description="this side's certificate")
    key: str = Field(description="the private key of that certificate")


class StoreSpec(Noun):
    """Where the compare-and-set store is."""

    kind: Literal["etcd"] = Field("etcd", description="the store's product")
    endpoints: list[str] = Field(
        min_length=1, description="URLs of all members: one at each data site and one at the witness"
    )
    election_timeout_seconds: AboveZeroSeconds = Field(
        1.0, alias="election_timeout", description="as the members run; their heartbeat is a tenth of it"
    )
    round_trip_seconds: Seconds = Field(
        0.05, alias="round_trip", description="longest usual way to a member and back"
    )
    tls: TlsFiles | None = Field(None, description="certificates, when the members ask for them")
    user: str | None = Field(None, description="name to sign on with, when the members ask for one")
    password: str | None = Field(
        None, repr=False, description="its password: `!env NAME` or `!file PATH`, never plain text"
    )


_AGENT = re.compile(r"^(/[^\x00-\x1f\x7f]*)?fence_[A-Za-z0-9_]+$")


def _check_agent(text: str) -> str:
    if not _AGENT.match(text):
        raise ValueError("expected the name of a fence agent, such as fence_ipmilan, or its absolute path")
    return text


AgentName = Annotated[
    str,
    AfterValidator(_check_agent),
    WithJsonSchema({"type": "string", "pattern": _AGENT.pattern, "examples": ["fence_ipmilan"]}),
]


def _option_text(value: Any) -> str:
    """An agent's option as it goes over its line; yes and no as the agents take them."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("expected text, a number, or yes or no")


OptionText = Annotated[
    str,
    BeforeValidator(_option_text),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]


class FenceDevice(Noun):
    """A device that switches the host off, by its packaged fence agent, for the other site to use."""

    agent: AgentName = Field(
        description="the agent: its name, such as fence_ipmilan, or its absolute path",
    )
    from_site: str = Field(
        alias="from",
        description="the data site whose controller uses it: the other one, which must reach it when this"
        " host's own site is dark",
    )
    level: int = Field(
        1,
        ge=1,
        le=9,
        description="devices of one level are used together, and all of them must confirm (two power"
        " supplies); the next level is tried when they do not",
    )
    options: dict[str, OptionText] = Field(
        default_factory=dict,
        repr=False,
        description="the agent's own options, as its `-o metadata` names them; secrets by !file or !env only",
    )
    timeout_seconds: AboveZeroSeconds = Field(
        60.0, alias="timeout", description="longest wait until it is off, and known to be"
    )


class Host(Noun):
    """A machine reached by SSH. Its key in the file is its role, the same at both sites."""

    name: str = Field("", alias="<name>", exclude=True)
    site: str = Field("", alias="<site>", exclude=True)
    address: str = Field(description="IP address, or a name that needs no other site to be resolved")
    port: int = Field(22, ge=1, le=65535, description="port of its SSH server")
    user: str = Field("twinsite", description="account to sign on with")
    fence: list[FenceDevice] = Field(
        default_factory=list, description="devices by which the other site switches it off"
    )
    known_as: str | None = Field(
        None,
        min_length=1,
        description="name by which known_hosts and its host certificate know it; without it, its address",
    )
    jump: str | None = Field(
        None,
        pattern=JUMP_PATTERN,
        description="the host through which it is reached: a role of its own site, or `site/role`; `none`:"
        " directly, where its site names one",
    )
    via: tuple["Host", ...] = Field(
        (), alias="<via>", exclude=True, description="its jump hosts, the nearest to us first"
    )

    def __hash__(self) -> int:
        return hash((self.site, self.name, self.address, self.port, self.user, self.via))


class SshSpec(Noun):
    """How hosts are spoken to: key files and the list of known host keys, always checked."""

    known_hosts: str = Field(
        "known_hosts", description="file of the hosts' keys, relative to the estate file"
    )
    keys: list[str] = Field(
        default_factory=list, description="private key files to offer, relative to the estate file"
    )
    connect_timeout_seconds: AboveZeroSeconds = Field(
        4.0, alias="connect_timeout", description="longest wait for a connection to a host"
    )


class Capacity(Noun):
    """What a site offers, or a service needs."""

    cpu: float = Field(0, ge=0, description="processor cores")
    memory_bytes: Bytes = Field(0, alias="memory", description="memory")


class Site(Noun):
    """A datacentre, or the witness."""

    name: str = Field("", alias="<name>", exclude=True)
    title: str = Field("", description="what people call it")
    owner: str = Field("", description="whom the staff there answer to; used by approvals")
    witness: bool = Field(
        False, description="a small third site that runs a store member and an observer, and no services"
    )
    controller: str | None = Field(None, description="where the other site's controller reaches this one")
    guards: str | None = Field(
        None, description="host:port where the guards on this site's database hosts reach its keeper"
    )
    tls: TlsFiles | None = Field(
        None, description="this site's own certificate, shown to guards and to the other controllers"
    )
    store_member: str | None = Field(
        None, description="which of the store's endpoints stands at this site; told apart when one is missing"
    )
    metrics: str | None = Field(None, description="address:port that serves /metrics")
    state_directory: str | None = Field(
        None, alias="state", description="where the controller keeps journal, notes and sockets"
    )
    store: StoreSpec | None = Field(
        None, description="this site's own view of the store: its certificate and user"
    )
    hosts: dict[Name, Host] = Field(
        default_factory=dict,
        description="its machines by role; a role has the same name at both sites",
    )
    jump: str | None = Field(
        None,
        pattern=JUMP_PATTERN,
        description="the host through which all its other hosts are reached: a role of this site, or"
        " `site/role`",
    )
    capacity: Capacity | None = Field(None, description="what the site offers to services")


class Objectives(Noun):
    """Recovery objectives: how long down, how much lost."""

    rto_seconds: Seconds = Field(1800.0, alias="rto", description="longest outage the users were promised")
    rpo_seconds: Seconds = Field(60.0, alias="rpo", description="most work, in time, that may be lost")


class ProbeSpec(Noun):
    """One probe. Its further keys belong to its kind and are checked by it."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    name: str = Field(min_length=1, description="what people and runbooks call it; once per service")
    kind: str = Field(description="how it looks: the kind of probe")
    site: str | None = Field(None, description="the site probed; without it, both data sites")
    every_seconds: AboveZeroSeconds = Field(5.0, alias="every", description="time between two tries")
    timeout_seconds: AboveZeroSeconds = Field(
        3.0, alias="timeout", description="longest wait for an answer; at most `every`"
    )
    fails_after: FailsAfter = Field("3 of 5", description="k of the last n results change the verdict")

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
    """How the service's data reaches the other site. Further keys belong to the driver."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    driver: str = Field(description="the product that replicates")

    @property
    def settings(self) -> dict[str, Any]:
        """The keys that belong to the driver."""
        return dict(self.model_extra or {})


class GuardProxy(Noun):
    """A gate that is a process: clients connect to it, and it looks at the clock for every chunk."""

    listen: Endpoint = Field(description="where clients connect, on the database host")
    to: Endpoint = Field(description="where the database listens; better nowhere else than there")
    most_connections: int = Field(1000, ge=1, le=100_000, description="connections carried at the same time")


class GuardNftables(Noun):
    """A gate in the kernel's packet filter: closed by default, held open by elements that run out."""

    ports: list[Port] = Field(min_length=1, description="the service's TCP ports on the host")
    always: list[Network] = Field(
        default_factory=list,
        description="what passes the closed gate too: the standby's host and the controllers, no clients",
    )
    suspend_drill_passed: bool = Field(
        False, description="it was tried on these hosts that elements run out while a host is suspended"
    )


class GuardCommand(Noun):
    """Programs of your own, each with its arguments; exit status 0 is success."""

    open: list[str] = Field(min_length=1, description="opens, however often it is called")
    close: list[str] = Field(min_length=1, description="closes, however often it is called")
    verify: list[str] = Field(min_length=1, description="succeeds only when no client can write")


class GuardSpec(Noun):
    """The dead man's switch on the database host of each site. What is named is done, all of it together.

    `{}` is the usual one for PostgreSQL: the server's processes are ended.
    """

    stop: bool = Field(True, description="end every process that works in the data directory")
    proxy: dict[Name, GuardProxy] | None = Field(
        None, description="a proxy before the database, by site; also holds when a host was paused"
    )
    nftables: GuardNftables | None = Field(None, description="a gate in the packet filter; needs root")
    command: GuardCommand | None = Field(None, description="programs that open, close and verify")
    hosts: dict[Name, Name] | None = Field(
        None, description="which host the guard runs on, by site; without it, the database's"
    )
    data: dict[Name, AbsolutePath] | None = Field(
        None, description="the data directory, by site; without it, the database's"
    )
    processes: list[str] = Field(
        default_factory=lambda: ["postgres", "postmaster"],
        min_length=1,
        description="what the database's processes are called; others in its directory are left alone",
    )
    state: AbsolutePath = Field(
        "/var/lib/twinsite-guard", description="where guards keep what they must remember, on their hosts"
    )
    tls: dict[Name, TlsFiles] | None = Field(
        None,
        description="its certificate, by site; without it, guard-SITE-SERVICE.pem and .key where the site's"
        " authority lies",
    )
    watchdog: AbsolutePath | None = Field(
        None,
        description="the host's watchdog device, such as /dev/watchdog: resets the host if the guard hangs",
    )
    watchdog_after_seconds: AboveZeroSeconds = Field(
        2.0, alias="watchdog_after", description="how long the guard may hang before that; whole seconds"
    )


def is_gated(guard: GuardSpec) -> bool:
    """Whether clients reach the service through a gate that the guard closes, whatever starts behind it."""
    return guard.proxy is not None or guard.nftables is not None


class Service(Noun):
    """What users know by one name, with its database, application tier and address."""

    name: str = Field("", alias="<name>", exclude=True)
    title: str = Field("", description="what people call it")
    tenants: list[str] = Field(default_factory=list, description="the bodies whose users work with it")
    home: str = Field(description="the data site where it belongs")
    standby: str = Field(description="the data site that takes it over")
    failover: FailoverPolicy = Field(
        FailoverPolicy.MANUAL,
        description="who starts an unplanned move: twinsite, people, or something else that is only followed",
    )
    hold_down_seconds: Seconds = Field(
        30.0, alias="hold_down", description="how long a lost site is given to come back, beside the lease"
    )
    min_time_between_failovers_seconds: Seconds = Field(
        3600.0, alias="min_time_between_failovers", description="sooner than that, a person must acknowledge"
    )
    local_restarts: int = Field(
        0,
        ge=0,
        le=10,
        description="restarts of a dead database in place before the service is given up; where the other "
        "site could not take it, it is restarted all the same",
    )
    objectives: Objectives = Field(
        default_factory=lambda: Objectives.model_validate({}), description="what the users were promised"
    )
    max_data_loss_seconds: Seconds = Field(
        60.0, alias="max_data_loss", description="above it, a move needs a named acceptance of the loss"
    )
    rank: int = Field(100, ge=1, description="who goes first (1) and who is shed last")
    needs: list[str] = Field(default_factory=list, description="services that must be up before this one")
    load: Capacity | None = Field(None, description="what the service takes of a site's capacity")
    replication: ReplicationSpec | None = Field(
        None, description="how its data reaches the other site; without it the service is watch only"
    )
    guard: GuardSpec | None = Field(None, description="the dead man's switch on its database hosts")
    fence: FencePolicy = Field(
        FencePolicy.ATTEMPT, description="whether a fencing level must have confirmed before a promotion"
    )
    probes: list[ProbeSpec] = Field(default_factory=list, description="how its health is seen")
    traffic: list[dict[str, Any]] = Field(default_factory=list, description="how users are sent to a site")
    runbooks: dict[str, str] = Field(
        default_factory=dict, description="runbooks by purpose, such as promote and demote"
    )
    watch_only: bool = Field(False, alias="<watch_only>", exclude=True)

    def peer_of(self, site: str) -> str:
        """The other data site of this service."""
        return self.standby if site == self.home else self.home

    @property
    def sites(self) -> tuple[str, str]:
        """Home first, then standby."""
        return self.home, self.standby


class Approval(Noun):
    """Whose word one kind of certificate needs."""

    second_person: bool = Field(
        False, description="another person must agree, from their own login, before it counts"
    )


class Approvals(Noun):
    """What needs more than one person."""

    certify_down: Approval = Field(
        default_factory=lambda: Approval.model_validate({}),
        description="`failover --certify-down` while the store answers",
    )
    break_glass: Approval = Field(
        default_factory=lambda: Approval.model_validate({}),
        description="the same without the store, `certify SITE --down`, and `store accept`",
    )


class AccessRole(Noun):
    """People who may do what runbooks ask of a role."""

    logins: list[str] = Field(
        min_length=1,
        description="who has it: `anna` at any site, or `anna@durham` at that site's controller only",
    )
    owner: str = Field(
        "", description="whom these people answer to; without it, as the site at whose controller they are"
    )

    def held_by(self, who: str) -> bool:
        """Whether `login@site` has it."""
        return who in self.logins or who.partition("@")[0] in self.logins


class Access(Noun):
    """Who may do what."""

    operators: dict[OperatorName, str] = Field(
        default_factory=dict,
        description="public keys (PEM files) of those who sign certificates, by name; where any is named,"
        " every certificate must be signed by one of them",
    )
    approvals: Approvals = Field(
        default_factory=lambda: Approvals.model_validate({}), description="what needs a second person"
    )
    roles: dict[Name, AccessRole] = Field(
        default_factory=dict, description="who may answer the steps of runbooks that ask for a role"
    )

    def roles_of(self, who: str) -> tuple[str, ...]:
        """The roles that `login@site` has."""
        return tuple(name for name, role in self.roles.items() if role.held_by(who))


class Estate(Noun):
    """Everything `sites.yaml` says."""

    version: Literal[1] = Field(1, description="version of this file's form")
    lab: bool = Field(
        False, description="this estate was written by `twinsite lab`; automatic moves need no guard there"
    )
    ownership: Timing = Field(
        default_factory=lambda: Timing.model_validate({}), description="the lease's timings"
    )
    store: StoreSpec = Field(description="where the sites agree on who is primary")
    ssh: SshSpec = Field(
        default_factory=lambda: SshSpec.model_validate({}), description="how hosts are reached"
    )
    sites: dict[Name, Site] = Field(description="two datacentres and the witness, by name")
    services: dict[Name, Service] = Field(description="what is kept running, by name")
    runbook_path: list[str] = Field(
        default_factory=list, description="folders searched for runbooks before the shipped ones"
    )
    drills: list[DrillSpec] = Field(default_factory=list, description="rehearsals on a calendar")
    blackouts: dict[Name, Blackout] = Field(
        default_factory=dict, description="when no drill begins by itself, by name"
    )
    notify: list[NotifySpec] = Field(default_factory=list, description="who is told of what")
    docs_url: str | None = Field(
        None, description="where people read these docs: links in messages begin with it"
    )
    access: Access = Field(default_factory=lambda: Access.model_validate({}), description="who may do what")

    @property
    def receivers(self) -> dict[str, NotifySpec]:
        """Who is told of what, by name, in the order of the list."""
        return named_receivers(self.notify)

    def owner_of(self, who: str) -> str:
        """Whom `login@site` answers to; "" when nothing says so."""
        named = [role.owner for role in self.access.roles.values() if role.owner and role.held_by(who)]
        site = self.sites.get(who.partition("@")[2])
        return named[0] if named else (site.owner if site is not None else "")

    @property
    def owners(self) -> tuple[str, ...]:
        """Everybody whom people here may answer to."""
        of_sites = [site.owner for site in self.sites.values()]
        of_roles = [role.owner for role in self.access.roles.values()]
        return tuple(dict.fromkeys(owner for owner in (*of_sites, *of_roles) if owner))

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
