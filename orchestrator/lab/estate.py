"""The estate file of a lab: a `sites.yaml` like any other, short timings apart, to be read as an example.

Writes text and the files of secrets that it names; checks nothing, because `sites.inventory` does that when
the file is loaded.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.certs import CertificateFiles
from orchestrator.lab.places import DATA_SITES, HOME, SITES, WITNESS, Network

ESTATE_FILE = "sites.yaml"
LEASE_DURATION_SECONDS = 3.0
HEARTBEAT_MS = 50
ELECTION_TIMEOUT_MS = 500
_ELECTION = f"{ELECTION_TIMEOUT_MS}ms"
GUARDED = True  # whether the estate has guards: then each service has one at each data site
HOST = "db"
SSH_USER = "twinsite"
SUPER = "twinsite"
REPLICATION = "replicator"
SECRETS = ("etcd-root", "etcd-reader", "postgres", "replication", *(f"etcd-{site}" for site in SITES))

TITLES = {
    "durham": "Durham County Council datacentre",
    "morpeth": "Northumberland County Council datacentre, Morpeth",
    "derwentside": "Derwentside, which keeps the witness",
    "crm": "Customer relationship management",
    "ebs": "E-Business Suite",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie below a lab's directory."""

    directory: Path

    @property
    def estate(self) -> Path:
        """The estate file."""
        return self.directory / ESTATE_FILE

    def site(self, site: str) -> Path:
        """Everything of one site but its logs."""
        return self.directory / site

    def state(self, site: str) -> Path:
        """Journal, notes and sockets of a site's controller."""
        return self.site(site) / "state"

    @property
    def guards(self) -> Path:
        """What guards remember, by site and service."""
        return self.directory / "guards"

    def data(self, site: str, service: str) -> Path:
        """A database's files. Its folder is the database user's own: copies are set aside beside it."""
        return self.site(site) / HOST / service

    def log(self, site: str, program: str) -> Path:
        """What a program says."""
        return self.directory / "logs" / f"{site}-{program}.log"

    def description(self, site: str) -> Path:
        """What the site's supervisor runs."""
        return self.site(site) / "supervisor.json"

    def secret(self, name: str) -> Path:
        """A file that holds one password."""
        return self.directory / "secrets" / name

    def records(self, service: str, inside: str = "") -> Path:
        """What the service's client was acknowledged: the one outside, or the one inside a site."""
        return self.directory / "clients" / f"{service}{inside and '-'}{inside}.acknowledged"

    def ends(self, service: str, inside: str = "") -> Path:
        """When the client's writing came to an end at a site."""
        return self.records(service, inside).with_suffix(".ends")

    def live(self, service: str, inside: str = "") -> Path:
        """What the service's client says of now."""
        return self.directory / "clients" / f"{service}{inside and '-'}{inside}.live"

    @property
    def control(self) -> Path:
        """The socket of the lab's network, where it is in network namespaces."""
        return self.directory / "wan.sock"

    def clock(self, site: str) -> Path:
        """How far the site's wall clock is off, for libfaketime."""
        return self.site(site) / "clock"


def write_secrets(layout: Layout) -> dict[str, str]:
    """A new password for everybody who needs one, each in a file that its owner alone may read."""
    folder = layout.secret("any").parent
    folder.mkdir(mode=0o700)
    made = {}
    for name in SECRETS:
        made[name] = secrets.token_urlsafe(18)
        path = layout.secret(name)
        path.touch(mode=0o600)
        path.write_text(made[name] + "\n", encoding="ascii")
    return made


def estate_text(
    network: Network, layout: Layout, programs: Path, certificates: Mapping[str, CertificateFiles]
) -> str:
    """The whole file. `programs`: the folder of PostgreSQL's programs; `certificates`: each site's, as a
    client of the store. All of them lie below the lab's directory but the programs."""
    endpoints = "".join(f"\n    - https://{network.place(site, 'etcd')}" for site in SITES)
    parts = [_HEAD.format(lease=f"{LEASE_DURATION_SECONDS:g}s", election=_ELECTION, endpoints=endpoints)]
    parts += [_SSH, *(_site(network, layout, site, certificates[site]) for site in SITES)]
    parts += [_SERVICES, *(_service(network, layout, service, programs) for service in sorted(HOME))]
    parts += [_DRILLS, *(_DRILL.format(service=service) for service in sorted(HOME))]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _relative(layout: Layout, path: Path) -> str:
    return str(path.relative_to(layout.directory))


def _site(network: Network, layout: Layout, site: str, certificate: CertificateFiles) -> str:
    endpoints = ", ".join(f"https://{network.place(member, 'etcd')}" for member in _own_first(site))
    text = _WITNESS if site == WITNESS else _DATA_SITE
    return text.format(
        site=site,
        title=TITLES[site],
        host=HOST,
        address=network.address(site),
        ssh=network.port("ssh"),
        user=SSH_USER,
        controller=f"https://{network.place(site, 'controller')}",
        guards=network.place(site, "guards"),
        metrics=network.place(site, "metrics"),
        state=_relative(layout, layout.state(site)),
        endpoints=endpoints,
        member=f"https://{network.place(site, 'etcd')}",
        election=_ELECTION,
        ca=_relative(layout, certificate.ca),
        cert=_relative(layout, certificate.certificate),
        key=_relative(layout, certificate.key),
        password=_relative(layout, layout.secret(f"etcd-{site}")),
    )


def _own_first(site: str) -> list[str]:
    return [site, *(other for other in SITES if other != site)]


def _service(network: Network, layout: Layout, service: str, programs: Path) -> str:
    home = HOME[service]
    standby = next(site for site in DATA_SITES if site != home)
    addresses = ", ".join(f"{site}: {network.place(site, service)}" for site in DATA_SITES)
    instances = "\n".join(
        f"        {site}:\n"
        f"          host: {HOST}\n"
        f"          port: {network.instance_port(service)}\n"
        f"          data: {layout.data(site, service)}\n"
        f"          bin: {programs}"
        for site in DATA_SITES
    )
    return _SERVICE.format(
        service=service,
        title=TITLES[service],
        home=home,
        standby=standby,
        rank=sorted(HOME).index(service) + 1,
        guard_state=layout.guards,
        gate=_gate(network, service) if network.gates else "",
        addresses=addresses,
        instances=instances,
        user=SUPER,
        replication_user=REPLICATION,
        password=_relative(layout, layout.secret("postgres")),
        replication_password=_relative(layout, layout.secret("replication")),
    )


def _gate(network: Network, service: str) -> str:
    lines = "".join(
        f"        {site}: {{listen: {network.place(site, service)}, "
        f"to: {network.address(site)}:{network.instance_port(service)}}}\n"
        for site in DATA_SITES
    )
    return f"      proxy:                       # clients come by it; closed unless it keeps it open\n{lines}"


_HEAD = """
# The estate of a lab: two sites and a witness on one machine, written by `twinsite lab`. It is a real
# estate file: a real one differs in addresses, in longer timings, and in that it has no `lab: true`.
version: 1
lab: true                          # automatic moves without a guard; only on this machine's own addresses

ownership:
  lease_duration: {lease}               # a site may act this long after a renewal; outage is a little more
  renew_every: 300ms
  fence_within: 400ms
  guard_every: 150ms
  stall: 600ms
  hold_clear: 2s
  clock_drift: 0.005

store:
  kind: etcd
  election_timeout: {election}          # as the members run: heartbeat a tenth of it, pre-vote on
  round_trip: 10ms
  endpoints:{endpoints}
"""

_SSH = """
ssh:
  known_hosts: ssh/known_hosts     # a host whose key is not in here is refused
  keys: [ssh/client_key]

sites:
"""

_DATA_SITE = """
  {site}:
    title: {title}
    owner: {site}
    controller: {controller}
    guards: {guards}        # where the guards on its database hosts reach its keeper
    tls: &{site}-tls {{ca: {ca}, cert: {cert}, key: {key}}}
    metrics: {metrics}
    state: {state}
    hosts:                         # by role, the same names at both sites, so that runbooks work both ways
      {host}: {{address: {address}, port: {ssh}, user: {user}}}
    capacity: {{cpu: 8, memory: 32GiB}}   # everything fits at either site
    store_member: {member}
    store:                         # this site's own certificate and user
      endpoints: [{endpoints}]
      election_timeout: {election}
      round_trip: 10ms
      tls: *{site}-tls
      user: {site}
      password: !file {password}
"""

_WITNESS = """
  {site}:
    title: {title}
    owner: {site}
    witness: true                  # votes and observes; hosts no service
    tls: &{site}-tls {{ca: {ca}, cert: {cert}, key: {key}}}
    metrics: {metrics}
    state: {state}
    store_member: {member}
    store:                         # may read, and write what it observes, nothing else
      endpoints: [{endpoints}]
      election_timeout: {election}
      round_trip: 10ms
      tls: *{site}-tls
      user: {site}
      password: !file {password}
"""

_SERVICES = """
services:
"""

_DRILLS = """
drills:                              # begun by hand here: twinsite drill run "ebs isolated" --reason ...
"""

_DRILL = """
  - {{name: {service} isolated, service: {service}, kind: isolated}}
  - {{name: {service} tabletop, service: {service}, kind: tabletop}}
"""

_SERVICE = """
  {service}:
    title: {title}
    home: {home}
    standby: {standby}
    failover: automatic
    hold_down: 0s                  # the lease decides alone; a real service gives a lost site time to return
    min_time_between_failovers: 0s
    local_restarts: 0              # a dead database is given up at once, not started again in place
    objectives: {{rto: 30s, rpo: 10s}}
    max_data_loss: 10s
    rank: {rank}
    load: {{cpu: 2, memory: 8GiB}}
    guard:                         # the dead man's switch on its database host: ends its processes
      state: {guard_state}
{gate}    replication:
      driver: postgres
      user: {user}
      password: !file {password}
      replication_user: {replication_user}
      replication_password: !file {replication_password}
      tls: "off"
      instances:
{instances}
    probes:
      - name: port
        kind: tcp
        address: {{{addresses}}}
        every: 500ms
        timeout: 400ms
      - name: query
        kind: sql
        address: {{{addresses}}}
        database: postgres
        user: {user}
        password: !file {password}
        every: 500ms
        timeout: 400ms
      - name: replication
        kind: replication
        every: 1s
        timeout: 800ms
"""
