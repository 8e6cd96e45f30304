"""The names that a runbook's templates may use, and the values behind them.

Plain frozen values without methods: what a template can reach is exactly what stands here. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sites.model import Estate


@dataclass(frozen=True, slots=True)
class HostRef:
    """A host as runbooks name it: in a command its address, as the place of a step `site/role`."""

    name: str
    site: str
    address: str
    port: int = 22

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class SiteRef:
    """A site as runbooks name it. `hosts` maps a role, the same at both sites, to the host; `owner` is
    whom the staff there answer to."""

    name: str
    title: str
    hosts: Mapping[str, HostRef] = field(default_factory=dict)
    owner: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """The service that is moved."""

    name: str
    title: str
    home: str = ""
    standby: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RunRef:
    """The run: its id, its kind (failover, switchover, …) and the epoch it acts under."""

    id: str
    kind: str
    epoch: int

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Scope:
    """All the names a template may use. `host` is there in a step that is carried out for each host."""

    service: ServiceRef
    from_site: SiteRef
    to_site: SiteRef
    run: RunRef
    parameters: Mapping[str, Any] = field(default_factory=dict)
    host: HostRef | None = None

    def names(self) -> dict[str, Any]:
        """Name to value, as templates see them."""
        every = {item.name: getattr(self, item.name) for item in fields(self)}
        if self.host is None:
            del every["host"]
        return every


def scope_of(
    estate: Estate,
    service: str,
    *,
    from_site: str,
    to_site: str,
    run: RunRef,
    parameters: Mapping[str, Any] | None = None,
) -> Scope:
    """The names for one move of a service of the estate. Raises KeyError for what the estate lacks."""
    noun = estate.services[service]
    return Scope(
        ServiceRef(service, noun.title or service, noun.home, noun.standby),
        _site_ref(estate, from_site),
        _site_ref(estate, to_site),
        run,
        dict(parameters or {}),
    )


def _site_ref(estate: Estate, name: str) -> SiteRef:
    site = estate.sites[name]
    hosts = {role: HostRef(role, name, host.address, host.port) for role, host in site.hosts.items()}
    return SiteRef(name, site.title or name, hosts, site.owner)
