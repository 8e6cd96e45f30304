"""What `replication:` says for a service whose driver is `postgres`, and what must fit the estate.

Only shape and fit are judged here; whether the servers are set up as they should be is asked of the servers
themselves (`requirements`).
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from sites.addresses import no_address
from sites.model import Estate, Service
from sites.quantities import Bytes, Seconds
from sites.replication.postgres.tls import VERIFYING

# Paths are compared with what the kernel says of a process, and named in files that know no escapes for
# control characters.
AbsolutePath = Annotated[str, Field(pattern=r"^(/[^/\x00-\x1f\x7f]+)+$")]
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
LibraryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_$./-]{1,200}$")]


def _fits_a_line(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value or not value.isprintable():
        raise ValueError("expected a password of printable characters, on one line")
    return secret


# A password travels in a line of a password file. Nothing here ever prints it.
Password = Annotated[SecretStr, AfterValidator(_fits_a_line)]

Trail = tuple[str, ...]


class Part(BaseModel):
    """A frozen value whose unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Instance(Part):
    """One PostgreSQL server: on which host it runs, where it listens, where its files are."""

    host: str = Field(description="name of the host, among this site's hosts, that the server runs on")
    address: str | None = Field(None, description="where the server listens; without it, the host's address")
    port: int = Field(5432, ge=1, le=65535)
    data: AbsolutePath = Field(description="the data directory on the host")
    bin: AbsolutePath = Field(description="the directory of the server's programs on the host")
    config: AbsolutePath | None = Field(
        None, description="postgresql.conf, where it is not in the data directory"
    )
    log: AbsolutePath | None = Field(
        None, description="where the server's own output goes; without it, beside the data directory"
    )
    drill: AbsolutePath | None = Field(
        None,
        description="where the copy of an isolated drill goes; without it, beside the data directory",
    )
    ca: AbsolutePath | None = Field(
        None,
        description="the authority's PEM file on this host, by which a standby here checks the other server; "
        "without it, ~/.postgresql/root.crt of the server's user",
    )
    owner: RoleName | None = Field(
        None, description="the user the server runs as, reached by sudo -n; without it, the host's user"
    )


class PostgresSettings(Part):
    """The settings of the `postgres` driver."""

    database: str = Field("postgres", description="any database that exists; questions are asked there")
    user: RoleName = Field("twinsite", description="the role that measures, checkpoints and promotes")
    password: Password = Field(description="its password: !file PATH or !env NAME")
    replication_user: RoleName = Field("replicator", description="the role a standby connects with")
    replication_password: Password = Field(description="its password: !file PATH or !env NAME")
    tls: Literal["off", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", description="encryption of connections, by this driver and by a standby"
    )
    ca: str | None = Field(
        None,
        description="PEM file of the authority whose servers are believed with verify-ca and verify-full, "
        "relative to the estate file, on every machine that runs twinsite; without it, libpq's "
        "~/.postgresql/root.crt",
    )
    synchronous: bool = Field(
        False, description="keep a commit waiting for the standby while the pair is whole"
    )
    close_within_seconds: Seconds = Field(
        5.0, alias="close_within", description="longest planned stop; one that overruns ends as a fence"
    )
    answer_within_seconds: Seconds = Field(
        1.0, alias="answer_within", description="longest wait for the answer to one question"
    )
    checkpoint_within_seconds: Seconds = Field(
        300.0, alias="checkpoint_within", description="longest wait for a checkpoint before a planned stop"
    )
    rebuild_rate_bytes: Bytes | None = Field(
        None, alias="rebuild_rate", description="a full copy takes at most this much a second"
    )
    drill_rate_bytes: Bytes | None = Field(
        None,
        alias="drill_rate",
        description="the copy of an isolated drill takes at most this much a second; without it, as "
        "`rebuild_rate`",
    )
    drill_libraries: list[LibraryName] = Field(
        default_factory=list,
        description="`shared_preload_libraries` of that copy, where it does not start without; none that "
        "acts by itself, such as pg_cron",
    )
    instances: dict[str, Instance] = Field(description="one server at each of the service's two sites")

    def check(self, estate: Estate, service: Service) -> Iterator[tuple[Trail, str, str]]:
        """What does not fit the estate: (where beneath `replication`, what was found, what is expected)."""
        if self.ca is not None and self.tls not in VERIFYING:
            yield ("ca",), f"a `ca` beside tls: {self.tls}", "tls: verify-full or verify-ca, which use it"
        for site in service.sites:
            if site not in self.instances:
                yield ("instances",), f"no instance at {site}", f"one instance at each of {_both(service)}"
        for site, instance in self.instances.items():
            if instance.address is not None and no_address(instance.address):
                found = f"{instance.address}, which is neither"
                yield ("instances", site, "address"), found, "an IP address or a name"
            if site not in service.sites:
                yield ("instances", site), f"an instance at {site}", f"instances at {_both(service)} only"
                continue
            hosts = estate.sites[site].hosts if site in estate.sites else {}
            if instance.host not in hosts:
                known = ", ".join(sorted(hosts)) or "none"
                yield ("instances", site, "host"), instance.host, f"a host of {site} (it has: {known})"
        yield from self._check_apart(estate, service)

    def _check_apart(self, estate: Estate, service: Service) -> Iterator[tuple[Trail, str, str]]:
        """The two must be two: one server named twice would be promoted over itself."""
        seen: dict[tuple[str, int], str] = {}
        for site in service.sites:
            instance = self.instances.get(site)
            host = estate.sites[site].hosts.get(instance.host) if instance and site in estate.sites else None
            if instance is None or (instance.address is None and host is None):
                continue
            address = (instance.address or (host.address if host else ""), instance.port)
            if address in seen:
                found = f"{address[0]} port {address[1]}, which is also the instance at {seen[address]}"
                yield ("instances", site, "port"), found, "two different servers"
            seen[address] = site


def _both(service: Service) -> str:
    return " and ".join(service.sites)


def conninfo(**parameters: str | int) -> str:
    """A libpq connection string; values may hold anything."""
    return " ".join(f"{key}='{_escaped(str(value))}'" for key, value in parameters.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def setting_line(name: str, value: str) -> str:
    """A line of `postgresql.auto.conf`, quoted as ALTER SYSTEM does."""
    return f"{name} = '" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def password_line(host: str, port: int, database: str, user: str, password: str) -> str:
    """A line of a libpq password file."""
    return ":".join(_field(part) for part in (host, str(port), database, user, password))


def _field(part: str) -> str:
    return part if part == "*" else part.replace("\\", "\\\\").replace(":", "\\:")
