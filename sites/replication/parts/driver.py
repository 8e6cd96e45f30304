"""The words every driver speaks, for a service of several parts: each word is said to every part.

Whatever could leave the parts apart is looked at before the first of them is touched, and what nevertheless
happened to each stands in the evidence. Closed is what is closed in every part, fenced what is fenced in
every part. Never decides whether a word should be said.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from sites.errors import DriverTrouble, SitesError, SitesTrouble
from sites.replication.deadline import Deadline
from sites.replication.parts.samples import Histories, described, together, whole_sample
from sites.replication.words import (
    ChecksSettings,
    Closed,
    Fenced,
    Position,
    Promoted,
    Rejoined,
    ReplicationDriver,
    Role,
    Sample,
    SettingFinding,
    TellsWayBack,
    Word,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")
FENCE_SECONDS = 2.0
_METHODS = ("follow", "rewind", "rebuild")  # from the least to the most that was done


def summed(sizes: Iterable[int | None]) -> int | None:
    """Of all parts together; unknown where one is."""
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)


@dataclass(frozen=True, slots=True)
class PartFinding:
    """A finding of one part's driver, with the part's name."""

    what: str
    found: str
    expected: str
    why: str
    must: bool


class PartsDriver:
    """The driver of one service. `parts` by name, in the order in which they are promoted."""

    def __init__(self, service: str, parts: Mapping[str, ReplicationDriver]) -> None:
        self.service = service
        self._parts = dict(parts)
        self._histories = Histories()
        self.unknown_words: frozenset[Word] = frozenset().union(
            *(part.unknown_words for part in self._parts.values())
        )
        self.close_within_seconds = max(
            getattr(part, "close_within_seconds", 5.0) for part in self._parts.values()
        )

    # --- what is seen ---------------------------------------------------------------------------------

    async def sample(self, site: str) -> Sample:
        """Ask every part at `site` at the same time; never raises for a sick one."""
        return whole_sample(self.service, site, await self._samples(site), self._histories)

    async def _samples(self, site: str) -> dict[str, Sample]:
        found = await self._all(lambda part: part.sample(site))
        for name, sample in found.items():
            self._histories.note(name, sample)
        return found

    async def lost(self, site: str) -> str:
        """Wait until the first part is lost: the service is not whole without it."""
        watches = {asyncio.ensure_future(part.lost(site)): name for name, part in self._parts.items()}
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            first = next(watch for watch in watches if watch in done)
            return f"{watches[first]}: {first.result()}"
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def check_settings(self, site: str) -> Sequence[SettingFinding]:
        """What the parts' drivers find not set up as they need it."""
        found: list[SettingFinding] = []
        for name, part in self._parts.items():
            if isinstance(part, ChecksSettings):
                found += [
                    PartFinding(f"{name}: {one.what}", one.found, one.expected, one.why, one.must)
                    for one in await part.check_settings(site)
                ]
        return found

    # --- a planned stop -------------------------------------------------------------------------------

    async def prepare(self, site: str) -> None:
        """Every part at the same time."""
        await self._all(lambda part: part.prepare(site))

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        """Close every part at the same time. The final position is that of all of them, or there is none.

        Nothing is touched where one of them is a standby. Where the close of one fails, the whole is fenced:
        half a service that goes on serving would be worse than none. Raises DriverTrouble where it cannot be
        shown that no part accepts writes any more.
        """
        before = await self._samples(site)
        if Role.STANDBY in {sample.role for sample in before.values()}:
            raise DriverTrouble(
                f"{self.service} at {site} cannot be closed as a whole: {described(before)}; nothing was done"
            )
        ended = await self._tried(lambda part: part.close(site, within_seconds=within_seconds))
        failed = {name: end for name, end in ended.items() if isinstance(end, SitesError)}
        closed = {name: end for name, end in ended.items() if isinstance(end, Closed)}
        said = [f"{name}: {end.evidence}" for name, end in closed.items()]
        said += [f"{name}: {type(end).__name__}: {end}" for name, end in failed.items()]
        if failed:
            return await self._ended_as_fence(site, "; ".join(said))
        final = together({name: end.final_position for name, end in closed.items()})
        return Closed(final, "; ".join(said))

    async def _ended_as_fence(self, site: str, why: str) -> Closed:
        fenced = await self.fence(site, within_seconds=FENCE_SECONDS)
        if not fenced.verified:
            raise DriverTrouble(f"{why}; the fence that followed is not verified: {fenced.evidence}")
        log.warning("close_ended_as_fence", service=self.service, site=site, evidence=why)
        return Closed(None, f"{why}; fenced: {fenced.evidence}")

    async def caught_up(self, site: str, final_position: Position, *, timeout_seconds: float) -> bool:
        """Wait until every part has replayed up to its own place. One of other parts is not reached."""
        if len(final_position.parts) != len(self._parts):
            return False
        wanted = dict(zip(self._parts, final_position.parts, strict=True))
        there = await self._named(
            lambda name, part: part.caught_up(site, wanted[name], timeout_seconds=timeout_seconds)
        )
        return all(there.values())

    # --- cut and promote ------------------------------------------------------------------------------

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        """Every part at once; verified where every one is."""
        ended = await self._tried(lambda part: part.fence(site, within_seconds=within_seconds))
        verified, said = True, []
        for name, end in ended.items():
            if isinstance(end, Fenced):
                verified = verified and end.verified
                said.append(f"{name}: {'' if end.verified else 'not verified, '}{end.evidence}")
            else:
                verified = False
                said.append(f"{name}: not verified, {type(end).__name__}: {end}")
        return Fenced(verified, "; ".join(said))

    async def promote(self, site: str, *, timeout_seconds: float) -> Promoted:
        """Promote the parts one after the other, in their order. Nothing is touched where one of them could
        not be: half a service must not be opened."""
        deadline = Deadline(timeout_seconds, f"{self.service} at {site}: promotion")
        before = await self._samples(site)
        fit = {
            name: sample.role is Role.STANDBY or (sample.role is Role.PRIMARY and sample.writable is True)
            for name, sample in before.items()
        }
        if not all(fit.values()):
            raise DriverTrouble(
                f"{self.service} at {site} cannot be promoted as a whole: {described(before)}; nothing was "
                "done"
            )
        done: dict[str, Promoted] = {}
        for name, part in self._parts.items():
            try:
                done[name] = await part.promote(site, timeout_seconds=deadline.left())
            except SitesTrouble as error:
                opened = f"; open already: {', '.join(done)}" if done else ""
                raise DriverTrouble(f"{name}: {error}{opened}") from error
        position = together({name: end.position for name, end in done.items()})
        assert position is not None
        return Promoted(position, "; ".join(f"{name}: {end.evidence}" for name, end in done.items()))

    # --- start, rejoin, rebuild -----------------------------------------------------------------------

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        """Start every part that does not run, in their order. Nothing is touched where one of them runs as
        something else."""
        if role not in (Role.PRIMARY, Role.STANDBY):
            raise ValueError(f"a service is started as primary or standby, not as {role}")
        deadline = Deadline(timeout_seconds, f"{self.service} at {site}: start as {role}")
        before = await self._samples(site)
        if any(sample.role not in (role, Role.DOWN) for sample in before.values()):
            raise DriverTrouble(
                f"{self.service} at {site} cannot be started as {role}: {described(before)}; nothing was done"
            )
        for part in self._parts.values():
            await part.start(site, role=role, timeout_seconds=deadline.left())

    async def rejoin(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """Make every part a standby of the other site's."""
        await self._before_rejoin(site, primary_site)
        return self._rejoined(
            await self._tried(
                lambda part: part.rejoin(site, primary_site=primary_site, timeout_seconds=timeout_seconds)
            )
        )

    def way_back(self) -> str:
        """See TellsWayBack; every part in its own way."""
        ways = {
            name: part.way_back() if isinstance(part, TellsWayBack) else "its driver does not say how"
            for name, part in self._parts.items()
        }
        return "; ".join(f"{name}: {way}" for name, way in ways.items())

    async def rebuild(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """The same from full copies."""
        await self._before_rejoin(site, primary_site)
        return self._rejoined(
            await self._tried(
                lambda part: part.rebuild(site, primary_site=primary_site, timeout_seconds=timeout_seconds)
            )
        )

    async def aclose(self) -> None:
        """Close what the parts keep."""
        await asyncio.gather(*(part.aclose() for part in self._parts.values()))

    # --- parts ----------------------------------------------------------------------------------------

    async def _before_rejoin(self, site: str, primary_site: str) -> None:
        primary = await self._samples(primary_site)
        if any(sample.role is not Role.PRIMARY or not sample.writable for sample in primary.values()):
            raise DriverTrouble(
                f"{self.service} at {primary_site} is not open as a whole: {described(primary)}; there is "
                "nothing to follow, and nothing was done"
            )
        here = await self._samples(site)
        if any(sample.writable for sample in here.values()):
            raise DriverTrouble(
                f"{self.service} at {site} accepts writes: {described(here)}; nothing was touched. Fence or "
                "close it first"
            )

    def _rejoined(self, ended: Mapping[str, Rejoined | SitesError]) -> Rejoined:
        """What became of all of them. What only this side had is named even where another part failed."""
        done = {name: end for name, end in ended.items() if isinstance(end, Rejoined)}
        kept = "; ".join(f"{name}: {end.saved_at}" for name, end in done.items() if end.saved_at)
        said = "; ".join(f"{name}: {end.evidence}" for name, end in done.items())
        failed = [f"{name}: {end}" for name, end in ended.items() if isinstance(end, SitesError)]
        if failed:
            rest = f"; done: {said}" if said else ""
            raise DriverTrouble("; ".join(failed) + rest)
        method = max((end.method for end in done.values()), key=_METHODS.index)
        return Rejoined(method, summed(end.divergent_bytes for end in done.values()), kept or None, said)

    async def _named(self, word: Callable[[str, ReplicationDriver], Awaitable[T]]) -> dict[str, T]:
        """A word said to every part at the same time; the first error, when all have ended."""
        ended = await asyncio.gather(
            *(word(name, part) for name, part in self._parts.items()), return_exceptions=True
        )
        for end in ended:
            if isinstance(end, BaseException):
                raise end
        return {
            name: end
            for name, end in zip(self._parts, ended, strict=True)
            if not isinstance(end, BaseException)
        }

    async def _all(self, word: Callable[[ReplicationDriver], Awaitable[T]]) -> dict[str, T]:
        return await self._named(lambda _, part: word(part))

    async def _tried(self, word: Callable[[ReplicationDriver], Awaitable[T]]) -> dict[str, T | SitesError]:
        """The same, where what the world does to one part is an answer like any other."""

        async def one(_: str, part: ReplicationDriver) -> tuple[T | SitesError]:
            try:
                return (await word(part),)
            except SitesError as error:
                return (error,)

        return {name: end for name, (end,) in (await self._named(one)).items()}
