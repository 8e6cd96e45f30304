"""How a keeper reaches the databases of its site: by drivers that are there, or that are made beside its
first work. What drivers need takes longer to import than all the rest of a keeper, and the lease, the promise
and the guards must not wait for it; a fence or close that is ordered meanwhile does.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from sites.replication.words import Closed, Fenced
from sites.transport import Transport


class Cutter(Protocol):
    """What a keeper says to a driver: as `ReplicationDriver`'s."""

    async def fence(self, site: str, *, within_seconds: float) -> Fenced: ...

    async def close(self, site: str, *, within_seconds: float) -> Closed: ...

    async def aclose(self) -> None: ...


class Hands(Protocol):
    """The drivers of a keeper."""

    @property
    def services(self) -> frozenset[str]:
        """Those that there is a driver for."""
        ...

    async def of(self, service: str) -> Cutter:
        """The service's driver, as soon as it is there. Raises what making it does."""
        ...

    async def ready(self) -> None:
        """Have them all. Raises what making them does."""
        ...

    async def aclose(self) -> None:
        """Close what there is."""
        ...


class ReadyHands:
    """Drivers that are there."""

    def __init__(self, drivers: Mapping[str, Cutter]) -> None:
        self.drivers = dict(drivers)

    @property
    def services(self) -> frozenset[str]:
        """As `Hands.services`."""
        return frozenset(self.drivers)

    async def of(self, service: str) -> Cutter:
        """As `Hands.of`."""
        return self.drivers[service]

    async def ready(self) -> None:
        """They are."""

    async def aclose(self) -> None:
        """As `Hands.aclose`."""
        for driver in self.drivers.values():
            await driver.aclose()


class LateHands:
    """Drivers that are made once they are wanted. `bring` imports what they need, in a thread beside the
    loop; `make` makes them, and the transport that they use."""

    def __init__(
        self,
        services: Iterable[str],
        bring: Callable[[], None],
        make: Callable[[], tuple[Mapping[str, Cutter], Transport]],
    ) -> None:
        self.services = frozenset(services)
        self._bring = bring
        self._make = make
        self._making: asyncio.Task[ReadyHands] | None = None
        self._transport: Transport | None = None

    async def of(self, service: str) -> Cutter:
        """As `Hands.of`."""
        return await (await self._made()).of(service)

    async def ready(self) -> None:
        """As `Hands.ready`."""
        await self._made()

    async def _made(self) -> ReadyHands:
        if self._making is None or (self._making.done() and self._failed(self._making)):
            self._making = asyncio.create_task(self._work())
        return await asyncio.shield(self._making)

    def _failed(self, making: "asyncio.Task[ReadyHands]") -> bool:
        return making.cancelled() or making.exception() is not None

    async def _work(self) -> ReadyHands:
        await asyncio.to_thread(self._bring)
        drivers, self._transport = self._make()
        return ReadyHands(drivers)

    async def aclose(self) -> None:
        """As `Hands.aclose`."""
        if self._making is not None:
            await asyncio.gather(self._making, return_exceptions=True)
            if not self._failed(self._making):
                await self._making.result().aclose()
        if self._transport is not None:
            await self._transport.aclose()
