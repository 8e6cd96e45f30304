"""A double of a replicated pair, and of the driver that speaks to it.

`FakePair` is the two databases as they are; everybody who looks shares it. `FakeDriver` is one observer's
driver, since what can be reached depends on where one stands. It keeps to `sites.replication.words`; the
contract test (tests/sites/test_driver_contract.py) tries it and the command driver with the same story.

A position counts rows. A history is `cluster/line`; every promotion begins a new line, as a timeline does.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.clock import boottime_ns
from sites.errors import DriverTrouble, HostUnreachable
from sites.replication.words import (
    Closed,
    Fenced,
    Position,
    Promoted,
    Rejoined,
    Role,
    Sample,
    Standstill,
    Word,
)
from tests.support.fake_rehearsal import FakeCopies, FakeRehearsal

LOOK_SECONDS = 0.005


@dataclass(slots=True)
class Instance:
    """One database. `clean`: it was shut in order, so where it ended is known."""

    site: str
    role: Role = Role.STANDBY
    running: bool = True
    cluster: str = "cluster"
    line: int = 1
    rows: list[int] = field(default_factory=list)
    receiving: bool = True
    clean: bool = False
    starts: int = 0

    @property
    def history(self) -> str:
        """Cluster and line, as positions name it."""
        return f"{self.cluster}/{self.line}"

    @property
    def writable(self) -> bool:
        """It accepts what clients write."""
        return self.running and self.role is Role.PRIMARY

    def position(self) -> Position:
        """How far it reaches."""
        return Position(str(len(self.rows)), self.history, len(self.rows))


class FakePair:
    """Two databases of one service, and what a test does to them.

    `unreachable`: pairs of (who looks, site looked at). `unfenced`: sites whose fence does not take.
    `overrunning`: sites whose close ends as a fence. `hung`: sites where every word but `sample` hangs.
    `kept`: the rows that a rejoin saved, by place. `unproven`: sites where a look on the host proves nothing.
    `promote_fails`: sites where a promotion fails, and how often it still will. `permitted`: where a guard
    stands, whether it is open (P19).
    """

    def __init__(self, service: str, home: str, standby: str) -> None:
        self.service = service
        self.instances = {home: Instance(home, Role.PRIMARY), standby: Instance(standby)}
        self.unreachable: set[tuple[str, str]] = set()
        self.unfenced: set[str] = set()
        self.overrunning: set[str] = set()
        self.hung: set[str] = set()
        self.promote_fails: dict[str, int] = {}
        self.broken_fences: dict[str, Exception] = {}
        self.permitted: dict[str, bool] = {}
        self.said: list[tuple[str, str, str]] = []
        self.doubly_writable = False
        self.kept: dict[str, list[int]] = {}
        self.unproven: set[str] = set()
        self.copies = FakeCopies()
        self._changed = asyncio.Event()
        self._next_row = 1

    # --- what a test does and sees --------------------------------------------------------------------

    @property
    def writable(self) -> list[str]:
        """The sites that accept writes now: never two."""
        return [site for site, instance in self.instances.items() if instance.writable]

    def write(self) -> bool:
        """A client writes one row wherever it is accepted; whether it was acknowledged."""
        for instance in self.instances.values():
            if instance.writable:
                instance.rows.append(self._next_row)
                self._next_row += 1
                self._ship()
                return True
        return False

    def kill(self, site: str) -> None:
        """Its processes are gone; its data is not."""
        self.instances[site].running = False
        self.instances[site].clean = False
        self.changed()

    def revive(self, site: str) -> None:
        """Somebody starts it on its host, as it was."""
        self.instances[site].running = True
        self.instances[site].starts += 1
        self.changed()

    def cut_off(self, *sites: str, by: tuple[str, ...] = ()) -> None:
        """Nobody (or nobody of `by`) reaches these sites' instances any more."""
        for site in sites:
            self.unreachable |= {(who, site) for who in by or ("durham", "morpeth", "derwentside")}
        self.changed()

    def reach_again(self) -> None:
        """Everybody reaches everything."""
        self.unreachable.clear()
        self.changed()

    def changed(self) -> None:
        """Replication goes on, and whoever waits looks again."""
        self._ship()
        self.doubly_writable = self.doubly_writable or len(self.writable) > 1
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds of this pair."""
        while not holds():
            await self._changed.wait()

    def peer(self, site: str) -> Instance:
        """The other instance."""
        return next(instance for name, instance in self.instances.items() if name != site)

    def streams(self, site: str) -> bool:
        """The instance is a standby that receives from the primary, whose history goes on from its own."""
        here, primary = self.instances[site], self.peer(site)
        linked = (site, primary.site) not in self.unreachable
        same = here.cluster == primary.cluster and here.rows == primary.rows[: len(here.rows)]
        follows = here.running and here.role is Role.STANDBY and here.receiving
        return follows and primary.writable and linked and same

    def _ship(self) -> None:
        for site, instance in self.instances.items():
            if self.streams(site):
                instance.rows, instance.line = list(self.peer(site).rows), self.peer(site).line


class FakeDriver:
    """The driver as one observer (`where`) has it."""

    unknown_words: frozenset[Word] = frozenset()

    def __init__(self, pair: FakePair, where: str) -> None:
        self.pair = pair
        self.where = where
        self.rehearsal = FakeRehearsal(pair.copies)

    # --- what is seen ---------------------------------------------------------------------------------

    async def sample(self, site: str) -> Sample:
        """The instance's own word."""
        taken_at_ns = boottime_ns()
        instance, service = self.pair.instances[site], self.pair.service
        if not self._reaches(site):
            return Sample(service, site, Role.UNKNOWN, taken_at_ns, reason="no route to host")
        if not instance.running:
            return Sample(service, site, Role.DOWN, taken_at_ns, writable=False, reason="refused")
        standby = instance.role is Role.STANDBY
        return Sample(
            service=service,
            site=site,
            role=instance.role,
            taken_at_ns=taken_at_ns,
            writable=instance.writable,
            position=instance.position(),
            replayed=instance.position() if standby else None,
            streaming=self.pair.streams(site) if standby else None,
            synchronous=None if standby else False,
            system_id=instance.cluster,
            timeline=instance.line,
        )

    async def standstill(self, site: str) -> Standstill | None:
        """By a look on its host."""
        asked_at_ns = boottime_ns()
        await asyncio.sleep(0)
        if not self._reaches(site):
            raise HostUnreachable(f"{site}: no route to host")
        instance = self.pair.instances[site]
        if instance.running or site in self.pair.unproven:
            return None
        mark = f"{instance.history} {instance.starts}"
        return Standstill(asked_at_ns, boottime_ns(), mark, "no process of it is left")

    async def lost(self, site: str) -> str:
        """Wait until it is not running, and can be asked."""
        await self.pair.until(lambda: self._reaches(site) and not self.pair.instances[site].running)
        return "connection refused, 4 times in 60 ms"

    async def caught_up(self, site: str, final_position: Position, *, timeout_seconds: float) -> bool:
        """Wait until it has every row up to there."""
        instance = self.pair.instances[site]

        def there() -> bool:
            same = instance.history == final_position.history
            answers = instance.running and site not in self.pair.hung
            return answers and same and len(instance.rows) >= final_position.offset_bytes

        try:
            async with asyncio.timeout(timeout_seconds):
                while not there():
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    # --- a planned stop -------------------------------------------------------------------------------

    async def prepare(self, site: str) -> None:
        """Nothing to write out here."""
        await self._at(site, "prepare")

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        """Stop in order, everything sent; or, overrun, cut off without a final position."""
        instance = await self._at(site, "close")
        if instance.running and instance.role is Role.STANDBY:
            raise DriverTrouble(f"{site} is a standby; there is nothing to close")
        if instance.running:
            self.pair.changed()
            instance.running, instance.clean = False, site not in self.pair.overrunning
            self.pair.changed()
        if not instance.clean:
            return Closed(None, "stop: immediate")
        return Closed(instance.position(), "stop: fast")

    # --- cut and promote ------------------------------------------------------------------------------

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        """Every process of it, at once."""
        try:
            async with asyncio.timeout(within_seconds):
                instance = await self._at(site, "fence")
        except (HostUnreachable, TimeoutError) as error:
            return Fenced(False, f"{type(error).__name__}: {error}")
        if site in self.pair.broken_fences:
            raise self.pair.broken_fences.pop(site)
        if site in self.pair.unfenced:
            return Fenced(False, "3 processes found; still there: 4711")
        if instance.running:
            instance.running = instance.clean = False
        self.pair.changed()
        return Fenced(True, "3 processes found, none left; no connection")

    async def promote(self, site: str, *, timeout_seconds: float) -> Promoted:
        """A new line of history, writable."""
        instance = await self._at(site, "promote")
        if self.pair.promote_fails.get(site, 0) > 0:
            self.pair.promote_fails[site] -= 1
            raise DriverTrouble(f"{site} cannot be promoted: its disk is read-only")
        if not instance.running:
            raise DriverTrouble(f"{site} cannot be promoted: it does not run")
        if instance.role is not Role.PRIMARY:
            await self._permit(site, timeout_seconds)
            instance.role = Role.PRIMARY
            instance.line = max(each.line for each in self.pair.instances.values()) + 1
        self.pair.changed()
        return Promoted(instance.position(), "promoted")

    # --- start, rejoin, rebuild -----------------------------------------------------------------------

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        """Start a stopped instance."""
        instance = await self._at(site, f"start as {role}")
        if instance.running and instance.role is not role:
            raise DriverTrouble(f"{site} runs as {instance.role}, not as {role}")
        if role is Role.PRIMARY:
            await self._permit(site, timeout_seconds)
        instance.running, instance.role = True, role
        self.pair.changed()

    async def rejoin(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """A standby of the other one; what only this side had is discarded, and counted."""
        instance, primary = await self._at(site, "rejoin"), await self._at(primary_site, "rejoin from")
        if not primary.writable:
            raise DriverTrouble(f"{primary_site} is no primary")
        if instance.cluster != primary.cluster:
            raise DriverTrouble(f"{site} is of another cluster")
        gone = [row for row in instance.rows if row not in primary.rows]
        self.pair.kept.setdefault(f"/saved/{site}", []).extend(gone)
        lost = len(gone)
        method = "rewind" if lost else "follow"
        instance.running, instance.role, instance.line = True, Role.STANDBY, primary.line
        instance.rows = list(primary.rows)
        self.pair.changed()
        return Rejoined(method, lost, f"/saved/{site}" if lost else None, f"{method} of {primary_site}")

    async def rebuild(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """From a full copy."""
        instance, primary = await self._at(site, "rebuild"), await self._at(primary_site, "rebuild from")
        instance.cluster, instance.receiving = primary.cluster, True
        done = await self.rejoin(site, primary_site=primary_site, timeout_seconds=timeout_seconds)
        return Rejoined("rebuild", done.divergent_bytes, done.saved_at, "full copy")

    async def aclose(self) -> None:
        """Nothing is kept."""

    # --- parts ----------------------------------------------------------------------------------------

    async def _permit(self, site: str, timeout_seconds: float) -> None:
        """P19: the guard's permit is looked for on the host, for a while."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.pair.until(lambda: self.pair.permitted.get(site, True))
        except TimeoutError:
            raise DriverTrouble(f"{site}: the guard has not opened") from None

    def _reaches(self, site: str) -> bool:
        return (self.where, site) not in self.pair.unreachable

    async def _at(self, site: str, word: str) -> Instance:
        """The instance, when its host can be reached and answers."""
        self.pair.said.append((self.where, word, site))
        await asyncio.sleep(0)
        if not self._reaches(site):
            raise HostUnreachable(f"{site}: no route to host")
        await self.pair.until(lambda: site not in self.pair.hung)
        return self.pair.instances[site]
