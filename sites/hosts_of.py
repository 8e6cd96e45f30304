"""Which hosts a service has at a site, as far as the estate says: a certificate must name them. Pure."""

from collections.abc import Iterator
from typing import Any

from sites.model import Estate, Service


def hosts_of(estate: Estate, service: str, site: str) -> tuple[str, ...]:
    """The names of the service's hosts at `site`, in the estate's order. Where the estate does not say which
    are its own, every host of that site: a certificate must not cover too few."""
    known = estate.sites[site].hosts
    noun = estate.services[service]
    named = set(_named(_settings(noun), site, estate))
    own = tuple(name for name in known if name in named)
    return own or tuple(known)


def database_hosts_of(estate: Estate, service: str, site: str) -> tuple[str, ...]:
    """Where its guard is: where the estate says so, else on the hosts that its replication names."""
    noun = estate.services[service]
    guard_at = noun.guard.hosts.get(site) if noun.guard is not None and noun.guard.hosts is not None else None
    if guard_at is not None:
        return (guard_at,)
    named = set(_named(noun.replication.settings if noun.replication is not None else {}, site, estate))
    return tuple(name for name in estate.sites[site].hosts if name in named)


def _settings(service: Service) -> list[Any]:
    replication = service.replication.settings if service.replication is not None else {}
    probes = [probe.settings for probe in service.probes]
    guard = service.guard.model_dump() if service.guard is not None else {}
    return [replication, guard, probes, service.traffic]


def _named(value: Any, site: str, estate: Estate) -> Iterator[str]:
    """Every text in the settings, those under another site's name left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in estate.sites or key == site:
                yield from _named(inner, site, estate)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(inner, site, estate)
