"""Which certificates an estate needs, for whom, and in which files. Pure, from `sites.yaml` alone.

A controller's and the witness's stand where the estate says (`sites.<site>.tls`); the others by their name in
the authority's folder, from where they are copied to their hosts.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.certificates.authority import CA_CERTIFICATE, Subject
from sites.identity import (
    CertificateFiles,
    controller_identity,
    etcd_identity,
    guard_identity,
    store_identity,
    witness_identity,
)
from sites.model import Estate, Service, Site, TlsFiles

CERTS_FOLDER = "certs"
LOCAL_HOSTS = ("127.0.0.1", "localhost")  # whoever looks after a member calls it from its own host


@dataclass(frozen=True, slots=True)
class Wanted:
    """One certificate that the estate needs. `site`: where it is used; None: not at one site alone.
    `key_beside`: its key may lie beside it, and is then looked at."""

    subject: Subject
    files: CertificateFiles
    site: str | None
    key_beside: bool = True

    @property
    def identity(self) -> str:
        """Whom it names."""
        return self.subject.identity or ""

    def is_called(self, name: str) -> bool:
        """Whether people mean it by `name`: its identity, with or without the prefix, or its file."""
        short = self.identity.partition(":")[2]
        return name in (self.identity, short, self.files.certificate.name, self.files.certificate.stem)


def default_folder(estate: Estate, base: Path) -> Path:
    """Where the authority is unless somebody says otherwise: where the sites look for its certificate, else
    in `certs` beside the estate file. `base`: the estate file's folder."""
    for site in estate.sites.values():
        spec = site.tls or (site.store.tls if site.store is not None else None)
        if spec is not None:
            return (base / spec.ca).parent
    spec = estate.store.tls
    return (base / spec.ca).parent if spec is not None else base / CERTS_FOLDER


def wanted(estate: Estate, base: Path, folder: Path) -> list[Wanted]:
    """Everything the estate needs, in the order in which people read it. `folder`: the authority's."""
    found: dict[Path, Wanted] = {}
    for name in estate.data_sites:
        _add(found, _controller(estate.sites[name], base, folder))
    for name in estate.data_sites:
        for service in estate.services.values():
            if service.guard is not None and name in service.sites:
                _add(found, _guard(service, name, base, folder))
    if estate.witness is not None:
        _add(found, _witness(estate.sites[estate.witness], base, folder))
    for each in _members(estate, folder):
        _add(found, each)
    for each in _store_clients(estate, base):
        _add(found, each)
    return list(found.values())


def _add(found: dict[Path, Wanted], each: Wanted) -> None:
    """One file is one certificate: a controller's that is also shown to the store is needed once."""
    found.setdefault(each.files.certificate, each)


def _named(folder: Path, name: str) -> CertificateFiles:
    return CertificateFiles(folder / CA_CERTIFICATE, folder / f"{name}.pem", folder / f"{name}.key")


def _files(spec: TlsFiles | None, base: Path, folder: Path, name: str) -> CertificateFiles:
    return CertificateFiles.of(spec, base) if spec is not None else _named(folder, name)


def _controller(site: Site, base: Path, folder: Path) -> Wanted:
    hosts: list[str] = []
    if site.controller is not None:
        hosts.append(urlsplit(site.controller).hostname or "")
    if site.guards is not None:
        hosts.append(site.guards.rpartition(":")[0].strip("[]"))
    subject = Subject(controller_identity(site.name), f"controller {site.name}", _once(hosts))
    return Wanted(subject, _files(site.tls, base, folder, site.name), site.name)


def _guard(service: Service, site: str, base: Path, folder: Path) -> Wanted:
    subject = Subject(guard_identity(site, service.name), f"guard {site} {service.name}")
    named = service.guard.tls if service.guard is not None else None
    spec = named.get(site) if named is not None else None
    return Wanted(subject, _files(spec, base, folder, f"guard-{site}-{service.name}"), site)


def _witness(site: Site, base: Path, folder: Path) -> Wanted:
    spec = site.tls or (site.store.tls if site.store is not None else None)
    subject = Subject(witness_identity(site.name), f"witness {site.name}")
    return Wanted(subject, _files(spec, base, folder, site.name), site.name)


def _members(estate: Estate, folder: Path) -> list[Wanted]:
    at = {
        site.store_member.rstrip("/"): site.name
        for site in estate.sites.values()
        if site.store_member is not None
    }
    found = []
    for endpoint in estate.store.endpoints:
        host = urlsplit(endpoint).hostname
        if endpoint.startswith("https://") and host:
            subject = Subject(etcd_identity(host), f"etcd {host}", _once([host, *LOCAL_HOSTS]))
            found.append(Wanted(subject, _named(folder, f"etcd-{host}"), at.get(endpoint.rstrip("/"))))
    return found


def _store_clients(estate: Estate, base: Path) -> list[Wanted]:
    """For a store that is shown another certificate than the controller's own."""
    specs = [(site.name, site.store.tls) for site in estate.sites.values() if site.store and site.store.tls]
    found = [
        Wanted(Subject(store_identity(name), f"store {name}"), CertificateFiles.of(spec, base), name)
        for name, spec in specs
    ]
    if estate.store.tls is not None:
        subject = Subject(store_identity("all"), "store, all sites")
        found.append(Wanted(subject, CertificateFiles.of(estate.store.tls, base), None))
    return found


def _once(hosts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(host for host in hosts if host))
