"""An estate under examination: what it says, what of that may be relied on, and the drivers' settings.

Pure values. Rules ask it whether a place is sound before they conclude anything from it, so that one
fault is never reported as several.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from sites.faults import dotted, findings_of
from sites.jumps import chain_of
from sites.marks import Document, Finding, Trail, nearest, quoted
from sites.model import Estate, ProbeSpec, ReplicationSpec, Service
from sites.notify import NotifySpec
from sites.salvage import value_at
from sites.shape import file_keys

# Drivers that are to come: a service that names one is watch only.
PLANNED_DRIVERS = ("mariadb", "dataguard", "sqlserver", "files")

Catalogue = Mapping[str, type[BaseModel]]


class ProbeSaid(Protocol):
    """One thing wrong with a probe: the way to it within the probe, and a sentence."""

    @property
    def where(self) -> Trail: ...

    @property
    def message(self) -> str: ...


class ProbeFaults(Protocol):
    """What a probe's kind has to say of a probe in this estate (a host that a site does not have)."""

    def __call__(self, spec: ProbeSpec, *, service: Service, estate: Estate) -> Iterable[ProbeSaid]: ...


class RunbookFaults(Protocol):
    """What is wrong with the runbook of that name, a sentence a fault; `folders` are searched first."""

    def __call__(self, name: str, *, folders: Sequence[Path]) -> Iterable[str]: ...


class ReceiverFaults(Protocol):
    """What is wrong with a receiver's templates and addresses, by the way to it beneath the receiver."""

    def __call__(self, spec: NotifySpec, base: Path) -> Iterable[tuple[Trail, str]]: ...


@dataclass(frozen=True, slots=True)
class Catalogues:
    """Who knows the settings of probes and drivers, the runbooks and the receivers; None: nobody asks, they
    are taken as they are. `base` is the folder that paths in the file are relative to."""

    probes: Catalogue | None = None
    drivers: Catalogue | None = None
    probe_faults: ProbeFaults | None = None
    runbook_faults: RunbookFaults | None = None
    receiver_faults: ReceiverFaults | None = None
    base: Path = Path()


@dataclass(frozen=True, slots=True)
class Draft:
    """`broken`: where the estate holds a default or a stand-in instead of what the file says."""

    estate: Estate
    data: Any
    broken: frozenset[Trail] = frozenset()
    drivers: Mapping[str, BaseModel] = field(default_factory=dict)

    def sound(self, *trail: str | int) -> bool:
        """Whether the value there is the file's own (or its default), not a stand-in."""
        return not any(trail[: len(place)] == place for place in self.broken)

    def sound_within(self, *trail: str | int) -> bool:
        """The same, for the value and everything beneath it."""
        return self.sound(*trail) and not any(place[: len(trail)] == trail for place in self.broken)

    def written(self, *trail: str | int) -> bool:
        """Whether the file says something there."""
        return value_at(self.data, trail) is not None

    def names(self, *trail: str | int) -> list[str]:
        """The keys written there, faulty entries among them: they exist, whatever is wrong with them."""
        found = value_at(self.data, trail)
        return [str(key) for key in found] if isinstance(found, dict) else []


def one_of(names: Iterable[str], word: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`; `none` when there is none."""
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed) or "none"
    return f"{', '.join(listed[:-1])} {word} {listed[-1]}"


def unknown_name(trail: Trail, name: str, what: str, known: Iterable[str]) -> Finding:
    """A value that should name something and names nothing."""
    listed = list(known)
    guess = nearest(name, listed) if len(listed) > 1 else None
    hint = f", perhaps {guess}" if guess else ""
    choice = f"{one_of(listed)}{hint}" if listed else "there is no other here"
    return Finding(trail, f"{what} ({choice})", quoted(name))


def named(estate: Estate, drivers: Catalogue | None) -> Estate:
    """The estate with what its keys say written into its values: names, sites, and watch only."""
    sites = {
        name: site.model_copy(
            update={
                "name": name,
                "hosts": {
                    role: host.model_copy(
                        update={"name": role, "site": name, "via": chain_of(estate.sites, name, role)}
                    )
                    for role, host in site.hosts.items()
                },
            }
        )
        for name, site in estate.sites.items()
    }
    services = {
        name: service.model_copy(update={"name": name, "watch_only": is_watch_only(service, drivers)})
        for name, service in estate.services.items()
    }
    return estate.model_copy(update={"sites": sites, "services": services})


def is_watch_only(service: Service, drivers: Catalogue | None) -> bool:
    """Whether there is nothing to move the service with: no replication, or a driver yet to come."""
    if service.replication is None:
        return True
    driver = service.replication.driver
    return driver in PLANNED_DRIVERS and (drivers is None or driver not in drivers)


def check_settings(
    draft: Draft, document: Document, catalogues: Catalogues
) -> tuple[list[Finding], dict[str, BaseModel]]:
    """What the probes' kinds and the drivers say of their settings, and the drivers' settings by service."""
    findings: list[Finding] = []
    settings: dict[str, BaseModel] = {}
    for name, service in draft.estate.services.items():
        at: Trail = ("services", name)
        drivers = catalogues.drivers
        if drivers is not None and service.replication and draft.sound(*at, "replication", "driver"):
            said, driver = _check_driver(draft, document, service, service.replication, drivers)
            findings += said
            if driver is not None:
                settings[name] = driver
        for index, probe in enumerate(service.probes):
            if catalogues.probes is not None and draft.sound(*at, "probes", index, "kind"):
                place = (*at, "probes", index)
                findings += _check_probe(draft, document, service, probe, place, catalogues)
    return findings, settings


def _check_driver(
    draft: Draft, document: Document, service: Service, spec: ReplicationSpec, drivers: Catalogue
) -> tuple[list[Finding], BaseModel | None]:
    at: Trail = ("services", service.name, "replication")
    if spec.driver not in drivers:
        if spec.driver in PLANNED_DRIVERS:
            return [], None
        known = [*drivers, *(name for name in PLANNED_DRIVERS if name not in drivers)]
        return [unknown_name((*at, "driver"), spec.driver, "a driver", known)], None
    return _check_model(draft, document, service, drivers[spec.driver], spec, at)


def _check_probe(
    draft: Draft, document: Document, service: Service, spec: ProbeSpec, at: Trail, catalogues: Catalogues
) -> list[Finding]:
    probes = catalogues.probes or {}
    if spec.kind not in probes:
        return [unknown_name((*at, "kind"), spec.kind, "a kind of probe", probes)]
    findings, settings = _check_model(draft, document, service, probes[spec.kind], spec, at)
    if settings is None or catalogues.probe_faults is None or not _stands(draft, service):
        return findings
    for one in catalogues.probe_faults(spec, service=service, estate=draft.estate):
        if one.where != ("site",):  # which site a probe may name is a rule of the whole file, and said there
            findings.append(Finding((*at, *one.where), found=one.message))
    return findings


def check_runbooks(draft: Draft, catalogues: Catalogues) -> list[Finding]:
    """What is wrong with the runbooks that services name: all of it where one is first named, and elsewhere
    that it is."""
    if catalogues.runbook_faults is None or not draft.sound_within("runbook_path"):
        return []
    folders = [catalogues.base / folder for folder in draft.estate.runbook_path]
    findings: list[Finding] = []
    first: dict[str, Trail] = {}
    for service in draft.estate.services.values():
        for use, name in service.runbooks.items():
            at: Trail = ("services", service.name, "runbooks", use)
            if not draft.sound(*at):
                continue
            if name in first:
                said: Iterable[str] = [f"the runbook {name} again; see {dotted(first[name])}"]
            else:
                said = list(catalogues.runbook_faults(name, folders=folders))
                if said:
                    first[name] = at
            findings += [Finding(at, found=message) for message in said]
    return findings


def check_receivers(draft: Draft, catalogues: Catalogues) -> list[Finding]:
    """What is wrong with the templates and addresses of receivers."""
    if catalogues.receiver_faults is None:
        return []
    return [
        Finding(("notify", number, *at), found=message)
        for number, spec in enumerate(draft.estate.notify)
        if draft.sound_within("notify", number)
        for at, message in catalogues.receiver_faults(spec, catalogues.base)
    ]


def _check_model(
    draft: Draft,
    document: Document,
    service: Service,
    model: type[BaseModel],
    spec: ProbeSpec | ReplicationSpec,
    at: Trail,
) -> tuple[list[Finding], BaseModel | None]:
    try:
        settings = model.model_validate(spec.settings, by_alias=True, by_name=False)
    except ValidationError as error:
        return findings_of(error, document, model, at=at, also_known=file_keys(type(spec))), None
    check = getattr(settings, "check", None)
    if check is None or not _stands(draft, service):
        return [], settings
    said = check(draft.estate, service)
    return [Finding((*at, *parts), expected, found) for parts, found, expected in said], settings


def _stands(draft: Draft, service: Service) -> bool:
    """Whether the service's two sites, and all of their hosts, are known: it can be asked what fits them."""
    at: Trail = ("services", service.name)
    if not all(draft.sound(*at, key) for key in ("home", "standby")):
        return False
    sites = draft.estate.sites
    return all(
        name in draft.estate.data_sites
        and not set(draft.names("sites", name, "hosts")) - set(sites[name].hosts)
        for name in service.sites
    )
