"""Put the parts of a process together: estate, store, transport, drivers, probes. Used by keeper, controller
and witness, each of which takes only what it needs, and imports it only then. Nothing is decided here.
"""

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import structlog

from orchestrator.core.adapters import make_all
from orchestrator.errors import OrchestratorMisuse
from orchestrator.lean import started
from orchestrator.paths import state_directory
from orchestrator.state_folder import StateUnusable
from sites.inventory import Loaded, load_estate
from sites.late_transport import LateTransport
from sites.model import Estate, Site
from sites.replication import catalogue as drivers_catalogue
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

if TYPE_CHECKING:
    from orchestrator.store.etcd import EtcdStore

LOG_LEVEL = logging.INFO


def set_up_logging(process: str, site: str) -> None:
    """Structured logs, a JSON object a line, on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LOG_LEVEL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process, site=site)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")


class UnknownSite(OrchestratorMisuse):
    """The estate has no such site, or it is another process's to run."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every process of a site stands on."""

    loaded: Loaded
    site: Site
    base: Path
    directory: Path

    @property
    def estate(self) -> Estate:
        """The estate."""
        return self.loaded.estate


def load_ground(path: Path, site: str, *, witness: bool | None = None, **catalogues: object) -> Ground:
    """Load the estate for a daemon of `site`, and make its state directory. `witness`: whether the site must
    be the witness, or must not.

    Raises EstateInvalid, and UnknownSite or StateUnusable.
    """
    loaded = load_estate(
        path,
        driver_settings=drivers_catalogue.SETTINGS,
        site=site,
        **catalogues,  # type: ignore[arg-type]
    )
    if site not in loaded.estate.sites:
        known = ", ".join(loaded.estate.sites)
        raise UnknownSite(f"{path}: there is no site {site!r}; there is {known}")
    if witness is not None and loaded.estate.sites[site].witness is not witness:
        verb = "controller" if witness else "witness"
        raise UnknownSite(
            f"{site} is {'no' if witness else 'the'} witness; run there: twinsite {verb} --site {site}"
        )
    base = path.absolute().parent
    directory = state_directory(loaded.estate, site, base)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as fault:
        raise StateUnusable(
            f"{directory}: cannot be made: {fault.strerror}; make it, owned by the user who runs twinsite, "
            f"or name another one as `sites.{site}.state`"
        ) from fault
    return Ground(loaded, loaded.estate.sites[site], base, directory)


def open_store(ground: Ground) -> "EtcdStore":
    """The store, with this site's own certificate and user."""
    from orchestrator.store.etcd import EtcdStore

    spec = ground.site.store or ground.estate.store
    return EtcdStore.from_spec(spec, ground.base, allow_unsafe_versions=ground.estate.lab)


def open_transport(ground: Ground) -> Transport:
    """SSH to the estate's hosts; what it needs is imported when it is first used."""

    def make() -> Transport:
        from sites.ssh import SshTransport

        return SshTransport(ground.estate.ssh, ground.base)

    return LateTransport(bring_ssh, make)


def bring_ssh() -> None:
    """Import what SSH needs. Takes long; can be done in a thread."""
    import_module("sites.ssh")


def bring_later(names: Iterable[str], kinds: Iterable[ModuleType]) -> None:
    """Import what a daemon needs only once it is at work: SSH, every driver, and the modules of these names;
    and make the adapters of the dataclasses of `kinds`. Blocks, for half a second or so."""
    bring_ssh()
    drivers_catalogue.bring_drivers()
    for name in names:
        import_module(name)
    make_all(kinds)
    started()


def driven(estate: Estate) -> tuple[str, ...]:
    """The services that have a driver; the others are only watched."""
    return tuple(name for name, service in estate.services.items() if not service.watch_only)


def make_drivers(ground: Ground, transport: Transport) -> dict[str, ReplicationDriver]:
    """A driver for every service that has one."""
    make: Callable[..., ReplicationDriver] = drivers_catalogue.make_driver
    return {
        name: make(ground.estate.services[name], ground.estate, transport, ground.base)
        for name in driven(ground.estate)
    }
