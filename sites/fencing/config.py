"""From the estate to a guard's own settings: the JSON that `guard.py` reads on a database host.

Pure: names files and opens none. Units are the guard's (seconds, as its file says them).
"""

from pathlib import Path
from typing import Any

from sites.errors import SitesMisuse
from sites.identity import CertificateFiles
from sites.model import Estate, GuardSpec, Service
from sites.replication.parts.config import PartsSettings
from sites.replication.postgres.config import PostgresSettings

# Where a copied guard and its files lie on a database host.
HOME = Path("/etc/twinsite/guard")


class GuardMisuse(SitesMisuse):
    """The estate does not say enough for this guard."""


def guard_settings(estate: Estate, service: str, site: str, base: Path) -> dict[str, Any]:
    """The settings of the guard of `service` at `site`; `base` is the estate file's folder.

    Raises GuardMisuse with what is missing and where to write it.
    """
    found = estate.services.get(service)
    if found is None:
        raise GuardMisuse(f"there is no service {service!r}; there are: {', '.join(estate.services)}")
    if site not in found.sites:
        raise GuardMisuse(f"{service} has no guard at {site!r}: it is at {' and '.join(found.sites)}")
    guard = found.guard
    if guard is None:
        raise GuardMisuse(f"{service} has no guard: write `guard: {{}}` beneath services.{service}")
    here = estate.sites[site]
    if here.guards is None:
        raise GuardMisuse(
            f"{site} hears no guards: write `guards: host:port` beneath sites.{site}, its controller's host"
        )
    instance = _instance(found, site)
    if found.replication is not None and found.replication.driver == "parts":
        instance = _whole(found, site)
    host = guard.hosts.get(site) if guard.hosts is not None else (instance or {}).get("host")
    data = guard.data.get(site) if guard.data is not None else (instance or {}).get("data")
    if host is None:
        raise GuardMisuse(f"services.{service}.guard.hosts: which host of {site}?")
    files = certificate_files(estate, guard, service, site, base)
    timing = estate.ownership
    settings: dict[str, Any] = {
        "service": service,
        "site": site,
        "host": host,
        "controllers": [here.guards],
        "tls": {"ca": str(files.ca), "cert": str(files.certificate), "key": str(files.key)},
        "state": f"{guard.state}/{site}/{service}",
        "fence_within_seconds": timing.fence_within_seconds,
        "guard_every_seconds": timing.guard_every_seconds,
        "operators": [str(base / path) for path in estate.access.operators.values()],
    }
    if data is not None:
        settings["data"] = data
    parts = _parts(found, guard, site)
    if parts:
        settings["parts"] = parts
    settings |= _kinds(found, guard, site, data)
    if guard.watchdog is not None:
        settings |= {"watchdog": guard.watchdog, "watchdog_seconds": int(guard.watchdog_after_seconds)}
    return settings


def certificate_files(
    estate: Estate, guard: GuardSpec, service: str, site: str, base: Path
) -> CertificateFiles:
    """Where the guard's certificate lies. Raises GuardMisuse where the estate names no authority."""
    if guard.tls is not None and site in guard.tls:
        return CertificateFiles.of(guard.tls[site], base)
    spec = estate.sites[site].tls
    if spec is None:
        raise GuardMisuse(
            f"no certificates are named for {site}: write `tls: {{ca: …, cert: …, key: …}}` beneath "
            f"sites.{site}, or beneath services.{service}.guard.tls.{site}"
        )
    ca = base / spec.ca
    name = f"guard-{site}-{service}"
    return CertificateFiles(ca, ca.parent / f"{name}.pem", ca.parent / f"{name}.key")


def settings_on_host(settings: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[Path, Path]]]:
    """The same for a guard copied to its host, and the files to be copied along: (from here, to there)."""
    copies: list[tuple[Path, Path]] = []

    def there(path: str) -> str:
        to = HOME / Path(path).name
        copies.append((Path(path), to))
        return str(to)

    tls = {key: there(path) for key, path in settings["tls"].items()}
    operators = [there(path) for path in settings["operators"]]
    return {**settings, "tls": tls, "operators": operators}, copies


def _instance(service: Service, site: str) -> dict[str, str] | None:
    """Host and data directory as the driver's settings name them."""
    spec = service.replication
    if spec is None or spec.driver != "postgres":
        return None
    instance = PostgresSettings.model_validate(spec.settings).instances.get(site)
    return None if instance is None else {"host": instance.host, "data": instance.data}


def _whole(service: Service, site: str) -> dict[str, str]:
    """The one host that all parts of a service are on. Raises GuardMisuse where they are on several."""
    spec = service.replication
    assert spec is not None
    hosts = PartsSettings.model_validate(spec.settings).hosts_at(site)
    if len(set(hosts.values())) != 1:
        named = ", ".join(f"{part} on {host}" for part, host in hosts.items())
        raise GuardMisuse(
            f"{service.name} has parts on several hosts of {site} ({named}): a guard cuts off what is on its "
            "own"
        )
    return {"host": next(iter(hosts.values()))}


def _parts(service: Service, guard: GuardSpec, site: str) -> list[dict[str, Any]]:
    """The parts that are databases: each has a permit beside its data, and with `stop` its processes are
    ended. Of a part that is described by commands no processes are known; that one is cut off by `command` or
    the packet filter, and its permit lies beside the guard's own `data`."""
    spec = service.replication
    if spec is None or spec.driver != "parts":
        return []
    ended = {"names": guard.processes, "postgres": True} if guard.stop else {}
    return [
        {"name": part.name, "data": part.instances[site].data, **ended}
        for part in PartsSettings.model_validate(spec.settings).databases
    ]


def _kinds(service: Service, guard: GuardSpec, site: str, data: str | None) -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    if guard.stop and (service.replication is None or service.replication.driver != "parts"):
        if data is None:
            raise GuardMisuse(f"services.{service.name}.guard.data: the data directory at {site}?")
        postgres = service.replication is not None and service.replication.driver == "postgres"
        kinds["stop"] = {"names": guard.processes, "postgres": postgres}
    if guard.proxy is not None:
        if site not in guard.proxy:
            raise GuardMisuse(f"services.{service.name}.guard.proxy.{site}: listen where, and before what?")
        proxy = guard.proxy[site]
        kinds["proxy"] = {
            "listen": proxy.listen,
            "to": proxy.to,
            "most_connections": proxy.most_connections,
        }
    if guard.nftables is not None:
        kinds["nftables"] = {
            "ports": guard.nftables.ports,
            "except": guard.nftables.always,
            "suspend_drill_passed": guard.nftables.suspend_drill_passed,
        }
    if guard.command is not None:
        command = guard.command
        kinds["command"] = {"open": command.open, "close": command.close, "verify": command.verify}
    return kinds


def kinds_of(guard: GuardSpec) -> tuple[str, ...]:
    """The ways of cutting that are set, as `hello` and status call them."""
    found = {"stop": guard.stop, "proxy": guard.proxy, "nftables": guard.nftables, "command": guard.command}
    return tuple(name for name, value in found.items() if value)
