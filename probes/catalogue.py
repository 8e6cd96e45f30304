"""The kinds of probe there are, and how a line of `sites.yaml` becomes a probe.

Adding a kind: its file with a settings model and a `build`, one line in KINDS, one section in
docs/probes.md. Nothing here connects to anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from probes import dns, http, peer, replication, sql, ssh, tcp, tls
from probes.errors import KindUnknown, SettingsInvalid
from probes.model import Probe
from probes.place import Place, ProbeContext
from probes.settings import PerSite, ProbeSettings
from sites.model import Estate, ProbeSpec, Service, Site

S = TypeVar("S", bound=ProbeSettings)


@dataclass(frozen=True, slots=True)
class Kind(Generic[S]):
    """A kind of probe: the model of its own keys, and how to make one. `checks`: by key, what raises
    SettingsInvalid where settings that are good by themselves do not fit the estate."""

    settings: type[S]
    build: Callable[[S, Place], Probe]
    checks: Mapping[str, Callable[[S, Site, Estate], object]] = field(default_factory=dict)


KINDS: Mapping[str, Kind[Any]] = MappingProxyType(
    {
        "dns": Kind(dns.DnsSettings, dns.build, {"expect": dns.expected_at}),
        "http": Kind(http.HttpSettings, http.build),
        "peer": Kind(peer.PeerSettings, peer.build, {"": peer.controller_url}),
        "replication": Kind(replication.ReplicationSettings, replication.build),
        "sql": Kind(sql.SqlSettings, sql.build),
        "ssh": Kind(ssh.SshSettings, ssh.build),
        "tcp": Kind(tcp.TcpSettings, tcp.build),
        "tls": Kind(tls.TlsSettings, tls.build),
    }
)

SETTINGS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {name: kind.settings for name, kind in KINDS.items()}
)


@dataclass(frozen=True, slots=True)
class ProbeFault:
    """One fault of a probe as written. `where`: the path of keys inside the probe; empty means all of it."""

    where: tuple[str | int, ...]
    message: str


def sites_probed(spec: ProbeSpec, service: Service) -> tuple[str, ...]:
    """Names of the sites this probe is run against: the one it names, else home and standby."""
    return (spec.site,) if spec.site is not None else service.sites


def faults(spec: ProbeSpec, *, service: Service, estate: Estate) -> tuple[ProbeFault, ...]:
    """Everything that its kind finds wrong with a probe as written, in this estate, for `config check`.

    The keys common to all kinds are the estate's own to check. Reads no files, connects to nothing.
    """
    kind = KINDS.get(spec.kind)
    if kind is None:
        return (ProbeFault(("kind",), _no_kind(spec.kind)),)
    try:
        settings = kind.settings.model_validate(spec.settings)
    except ValidationError as error:
        return tuple(ProbeFault(_where(detail), _said(detail)) for detail in error.errors())
    found = _faults_per_site(settings, sites_probed(spec, service), estate)
    return tuple(found or _faults_by_kind(kind, settings, sites_probed(spec, service), estate))


def make_probe(
    spec: ProbeSpec, *, service: Service, site: Site, estate: Estate, context: ProbeContext
) -> Probe:
    """The probe of `spec` against `site`. Raises KindUnknown or SettingsInvalid (every fault listed)."""
    kind = KINDS.get(spec.kind)
    if kind is None:
        raise KindUnknown(f"{_named(spec, service)}: {_no_kind(spec.kind)}")
    try:
        settings = kind.settings.model_validate(spec.settings)
        return kind.build(settings, Place(service, site, estate, context))
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(map(str, _where(detail))) or 'settings'}: {_said(detail)}"
            for detail in error.errors()
        )
        raise SettingsInvalid(f"{_named(spec, service)}: {lines}") from error
    except SettingsInvalid as error:
        raise SettingsInvalid(f"{_named(spec, service)} at {site.name}: {error}") from error


def _faults_per_site(
    settings: ProbeSettings, site_names: tuple[str, ...], estate: Estate
) -> list[ProbeFault]:
    """Settings that hold together by themselves but not with the estate."""
    found = []
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        if not isinstance(value, PerSite):
            continue
        found += [
            ProbeFault((key, name), f"there is no site {name!r} (there is: {', '.join(estate.sites)})")
            for name, _ in value.by_site
            if name not in estate.sites
        ]
        for name in site_names:
            site = estate.sites.get(name)
            if site is None:
                continue
            try:
                host = value.at(name)
            except SettingsInvalid as error:
                found.append(ProbeFault((key,), str(error)))
                continue
            if key == "host" and host not in site.hosts:
                known = ", ".join(sorted(site.hosts)) or "none"
                found.append(ProbeFault((key,), f"site {name} has no host {host!r} (it has: {known})"))
    return found


def _faults_by_kind(
    kind: Kind[Any], settings: ProbeSettings, site_names: tuple[str, ...], estate: Estate
) -> list[ProbeFault]:
    """What the kind itself finds; the same words about two sites are one fault."""
    found: dict[tuple[str, str], ProbeFault] = {}
    for key, check in kind.checks.items():
        for site in (estate.sites[name] for name in site_names if name in estate.sites):
            try:
                check(settings, site, estate)
            except SettingsInvalid as error:
                found[key, str(error)] = ProbeFault((key,) if key else (), str(error))
    return list(found.values())


def _named(spec: ProbeSpec, service: Service) -> str:
    return f"probe {spec.name!r} of {service.name}"


def _no_kind(kind: str) -> str:
    return f"there is no kind {kind!r} of probe (there is: {', '.join(KINDS)})"


def _where(detail: Any) -> tuple[str | int, ...]:
    """pydantic's path without the mark of a mapping's key, which is no key in the file."""
    return tuple(part for part in detail["loc"] if part != "[key]")


def _said(detail: Any) -> str:
    """pydantic's message without its prefix."""
    return str(detail["msg"]).removeprefix("Value error, ")
