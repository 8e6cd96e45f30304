"""What every vantage point has beside its eyes: the probes from here, and who tries the ways to the others.
Used by the controllers and by the witness. Puts together and keeps what was seen; names and decides nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from orchestrator.scouting import Scouts
from orchestrator.store.status import StoreStatus
from probes.catalogue import make_probe, sites_probed
from probes.model import Observation, ProbeResult
from probes.patrol import Patrol
from probes.place import ProbeContext
from probes.trial import PatrolEntry
from sites.identity import CertificateFiles
from sites.model import Estate
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

# The witness sees instances by its eyes already, and need not have a key to the hosts.
NOT_FROM_OUTSIDE = frozenset({"replication", "ssh"})


def _nobody(_service: str, _site: str) -> None:
    """Nobody wants to know."""


def context_at(
    estate: Estate,
    site: str,
    base: Path,
    *,
    transport: Transport,
    drivers: Mapping[str, ReplicationDriver],
    on_lost: Callable[[str, str], None] = _nobody,
) -> ProbeContext:
    """What probes from `site` may use; its own certificate is shown to controllers."""
    files = estate.sites[site].tls
    own = CertificateFiles.of(files, base) if files is not None else None
    return ProbeContext(transport, drivers, base, on_lost=on_lost, own=own)


class Vantage:
    """The probes and scouts of one place."""

    def __init__(
        self,
        estate: Estate,
        site: str,
        context: ProbeContext,
        *,
        store_status: Callable[[], Awaitable[StoreStatus]] | None,
        on_store: Callable[[StoreStatus], None] = lambda status: None,
        leaving_out: frozenset[str] = frozenset(),
    ) -> None:
        """`on_store` is told how the store's members are, each time they are asked. `leaving_out`: kinds of
        probe that are not tried from here. Raises ProbesError."""
        self.scouts = Scouts(estate, site, context, store_status=store_status, on_store=on_store)
        self.patrol = Patrol(
            _entries(estate, context, leaving_out), on_observation=self._take, now_ns=context.now_ns
        )
        self._seen: dict[tuple[str, str, str], Observation] = {}

    async def run(self) -> None:
        """Try the probes until cancelled, be there any or not."""
        await self.patrol.run()
        await asyncio.Event().wait()

    def seen(self) -> tuple[Observation, ...]:
        """What every probe was last seen to say, those that were tried at all."""
        return tuple(self._seen.values())

    def _take(self, observation: Observation, result: ProbeResult) -> None:
        self._seen[observation.service, observation.site, observation.probe] = observation


def _entries(estate: Estate, context: ProbeContext, leaving_out: frozenset[str]) -> list[PatrolEntry]:
    entries = []
    for service in estate.services.values():
        for spec in service.probes:
            if spec.kind in leaving_out:
                continue
            for site in sites_probed(spec, service):
                probe = make_probe(
                    spec, service=service, site=estate.sites[site], estate=estate, context=context
                )
                entries.append(PatrolEntry.of(spec, service=service.name, site=site, probe=probe))
    return entries
