"""Prove, for the instances at this site, since when nothing can have been written there.

Looks on the host of an instance that is down, again and again while it is; takes in what the guards have
acknowledged. It proves and publishes; what follows from it is the core's to say (`core.standstill`).
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from orchestrator.clock import boottime_ns
from orchestrator.core.keeper_view import KeeperView, ServiceHeld
from orchestrator.core.standstill import Still, closed, earliest, looked
from sites.errors import SitesError
from sites.replication.words import ReplicationDriver, SeesStandstill

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 2.0
LOOK_WITHIN_SECONDS = 10.0


class Standstills:
    """One site's proofs. `is_down`: the service's instance here does not run, as far as is seen. `keeper`:
    its latest picture. `on_proof` is called when one has begun, or covers a give-up."""

    def __init__(
        self,
        site: str,
        drivers: Mapping[str, ReplicationDriver],
        *,
        is_down: Callable[[str], bool],
        keeper: Callable[[], KeeperView | None],
        on_proof: Callable[[], None],
        now_ns: Callable[[], int] = boottime_ns,
    ) -> None:
        self._site = site
        self._drivers = {
            name: driver for name, driver in drivers.items() if isinstance(driver, SeesStandstill)
        }
        self._is_down = is_down
        self._keeper = keeper
        self._on_proof = on_proof
        self._now_ns = now_ns
        self._still: dict[str, Still] = {}
        self._woken = {name: asyncio.Event() for name in self._drivers}
        self._problems: dict[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, driver in self._drivers.items():
                group.create_task(self._watch(name, driver))
            await asyncio.Event().wait()

    def wake(self) -> None:
        """Something has changed: look at once where that is due."""
        for woken in self._woken.values():
            woken.set()

    def of(self, service: str) -> Still | None:
        """The proof that goes back furthest."""
        keeper = self._keeper()
        held = keeper.service(service) if keeper is not None else None
        by_guard = closed(
            held,
            keeper.at_ns if keeper is not None else 0,
            given_up_epoch=self._given_up_epoch(held),
        )
        by_host = self._still.get(service) if self._is_down(service) else None
        return earliest(by_host, by_guard)

    # --- looking -------------------------------------------------------------------------------------

    async def _watch(self, service: str, driver: SeesStandstill) -> None:
        woken = self._woken[service]
        while True:
            woken.clear()
            if self._is_down(service) and self._due(service):
                await self._look(service, driver)
            try:
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await woken.wait()
            except TimeoutError:
                pass

    def _due(self, service: str) -> bool:
        still, given_up = self._still.get(service), self._epoch_given_up(service)
        if still is None or (given_up is not None and still.given_up_epoch != given_up):
            return True
        return self._now_ns() - still.seen_ns >= LOOK_EVERY_SECONDS * 1e9

    async def _look(self, service: str, driver: SeesStandstill) -> None:
        given_up_epoch = self._epoch_given_up(service)  # before the question: what is seen came after it
        try:
            async with asyncio.timeout(LOOK_WITHIN_SECONDS):
                found = await driver.standstill(self._site)
        except (SitesError, TimeoutError) as fault:
            # Not told this time. Whether it was started meanwhile, the next look's mark will tell.
            self._say(service, str(fault) or "no answer in time")
            return
        if found is None:
            self._still.pop(service, None)
            self._say(service, "something of it runs, or it cannot be told")
            return
        self._say(service, "")
        before = self._still.get(service)
        after = self._still[service] = looked(before, found, given_up_epoch=given_up_epoch)
        if before is None or (before.mark, before.given_up_epoch) != (after.mark, after.given_up_epoch):
            self._on_proof()

    def _say(self, service: str, problem: str) -> None:
        if problem != self._problems.get(service):
            self._problems[service] = problem
            log.info("stands-still" if not problem else "standstill-not-proven", service=service, why=problem)

    def _epoch_given_up(self, service: str) -> int | None:
        keeper = self._keeper()
        return self._given_up_epoch(keeper.service(service) if keeper is not None else None)

    def _given_up_epoch(self, held: ServiceHeld | None) -> int | None:
        """P23: by then the instance was proven shut, and nobody may open it before somebody claims it."""
        record = held.record if held is not None and held.known else None
        if record is None or record.primary is not None or record.previous != self._site:
            return None
        return record.epoch
