"""The databases that guards end on their hosts, by the estate: nothing else may start these. Pure."""

from sites.model import Estate, Service, is_gated
from sites.replication.parts.config import PartsSettings
from sites.replication.postgres.config import PostgresSettings
from sites.replication.postgres.host import cluster_of
from sites.restarters import Database


def databases_of(estate: Estate) -> dict[tuple[str, str], list[Database]]:
    """By (site, host)."""
    found: dict[tuple[str, str], list[Database]] = {}
    for service in estate.services.values():
        for site in service.sites:
            for host, database in _at(service, site):
                found.setdefault((site, host), []).append(database)
    return found


def _at(service: Service, site: str) -> list[tuple[str, Database]]:
    guard = service.guard
    gated = guard is not None and is_gated(guard)
    spec = service.replication
    if spec is not None and spec.driver == "postgres":
        instance = PostgresSettings.model_validate(spec.settings).instances.get(site)
        if instance is None:
            return []
        found = Database(service.name, instance.data, cluster_of(instance), instance.owner or "", gated)
        return [(instance.host, found)]
    if spec is not None and spec.driver == "parts":
        databases = PartsSettings.model_validate(spec.settings).databases
        at = [part.instances[site] for part in databases if site in part.instances]
        return [
            (one.host, Database(service.name, one.data, cluster_of(one), one.owner or "", gated))
            for one in at
        ]
    if guard is None or guard.hosts is None or guard.data is None:
        return []
    host, data = guard.hosts.get(site), guard.data.get(site)
    return [(host, Database(service.name, data, gated=gated))] if host and data else []
