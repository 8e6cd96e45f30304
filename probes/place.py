"""Where a probe stands and what it may use: given to every kind's `build`.

The context is made once per process by whoever assembles it (the daemon, the witness) and shared by
all probes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from probes.names import Names
from probes.trying import boottime_ns
from sites.identity import CertificateFiles
from sites.model import Estate, Service, Site
from sites.replication.words import ReplicationDriver
from sites.transport import Transport


def _nobody(_service: str, _site: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What probes share.

    `drivers` by service name, looked up at each try, so that it may be filled later. `base`: the estate
    file's folder; relative paths start there. `on_lost(service, site)` is called when a kept connection
    breaks while nobody tries; give it `Patrol.nudge`. `own`: the certificate by which controllers know who
    asks; None: there is none to show.
    """

    transport: Transport
    drivers: Mapping[str, ReplicationDriver]
    base: Path
    on_lost: Callable[[str, str], None] = _nobody
    own: CertificateFiles | None = None
    names: Names = field(default_factory=Names)
    now_ns: Callable[[], int] = boottime_ns


@dataclass(frozen=True, slots=True)
class Place:
    """One service at one site, as a probe of it sees the world."""

    service: Service
    site: Site
    estate: Estate
    context: ProbeContext
