"""Try a service's probes by name, for steps that wait until something is healthy.

Probes are made when first asked for and kept for the run, apart from the patrol's: a step needs an answer
now, not at the next beat. Judges nothing.
"""

import asyncio

from probes.catalogue import make_probe
from probes.errors import ProbesError
from probes.model import Probe, ProbeResult, Verdict
from probes.place import ProbeContext
from runbooks.errors import ActionMisused
from sites.model import Estate, ProbeSpec, Service

PAUSE_SECONDS = 0.25


class ServiceProbes:
    """The probes of one service, each at the sites it is asked for. A `WaitHealthy`."""

    def __init__(self, estate: Estate, service: Service, context: ProbeContext) -> None:
        self._estate = estate
        self._service = service
        self._context = context
        self._probes: dict[tuple[str, str], Probe] = {}

    async def __call__(self, probe: str, site: str, *, timeout_seconds: float) -> ProbeResult:
        """The first result that is UP, or the last one when the time is over.

        Raises ActionMisused when there is no such probe, or it cannot be tried.
        """
        spec = self._spec(probe)
        loop = asyncio.get_running_loop()
        give_up_at_seconds = loop.time() + timeout_seconds
        try:
            made = self._made(spec, site)
            while True:
                result = await made.try_once(timeout_seconds=spec.timeout_seconds)
                left_seconds = give_up_at_seconds - loop.time()
                if result.verdict is Verdict.UP or left_seconds <= PAUSE_SECONDS:
                    return result
                await asyncio.sleep(PAUSE_SECONDS)
        except ProbesError as error:
            raise ActionMisused(f"probe {probe!r} of {site}: {error}") from error

    def _spec(self, probe: str) -> ProbeSpec:
        for spec in self._service.probes:
            if spec.name == probe:
                return spec
        raise ActionMisused(f"{self._service.name} has no probe {probe!r}")

    def _made(self, spec: ProbeSpec, site: str) -> Probe:
        key = (spec.name, site)
        if key not in self._probes:
            self._probes[key] = make_probe(
                spec,
                service=self._service,
                site=self._estate.sites[site],
                estate=self._estate,
                context=self._context,
            )
        return self._probes[key]

    async def aclose(self) -> None:
        """Give up kept connections."""
        probes, self._probes = list(self._probes.values()), {}
        for probe in probes:
            await probe.aclose()
