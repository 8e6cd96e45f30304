"""A lab's certificates: made by the product's own authority, as `twinsite certs` does it for an estate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.certificates import authority as product
from orchestrator.certificates.authority import Subject
from sites.identity import (
    CertificateFiles,
    CertificateMisuse,
    controller_identity,
    etcd_identity,
    guard_identity,
    witness_identity,
)

__all__ = ["Authority", "CertificateFiles", "CertificateMisuse", "create_authority", "open_authority"]


@dataclass(frozen=True, slots=True)
class Authority:
    """The lab's authority."""

    product: product.Authority

    @property
    def ca_file(self) -> Path:
        """The certificate that everybody trusts."""
        return self.product.ca_file

    def server(self, name: str, hosts: Sequence[str]) -> CertificateFiles:
        """For a member of the store, reached at `hosts`: names or IP addresses, the one the estate knows
        first."""
        return self._issue(name, Subject(etcd_identity(hosts[0]), f"etcd {name}", tuple(hosts)))

    def client(self, name: str) -> CertificateFiles:
        """For a client of the store that has no identity of its own."""
        return self._issue(name, Subject(None, name))

    def controller(self, site: str, hosts: Sequence[str]) -> CertificateFiles:
        """For a data site's controller and keeper, reached at `hosts`; a client of the store, too."""
        return self._issue(site, Subject(controller_identity(site), f"controller {site}", tuple(hosts)))

    def witness(self, site: str) -> CertificateFiles:
        """For the witness."""
        return self._issue(site, Subject(witness_identity(site), f"witness {site}"))

    def guard(self, site: str, service: str) -> CertificateFiles:
        """For the guard of a service's host."""
        subject = Subject(guard_identity(site, service), f"guard {site} {service}")
        return self._issue(f"guard-{site}-{service}", subject)

    def _issue(self, name: str, subject: Subject) -> CertificateFiles:
        return self.product.issue(subject, self.product.files(name))


def create_authority(directory: Path, *, title: str = "twinsite") -> Authority:
    """A new authority in `directory`. Raises CertificateMisuse if one is there already."""
    return Authority(product.create_authority(directory, title=title))


def open_authority(directory: Path) -> Authority:
    """The authority kept in `directory`. Raises CertificateMisuse."""
    return Authority(product.open_authority(directory))
