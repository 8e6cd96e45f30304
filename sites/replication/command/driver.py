"""The words every driver speaks, for anything replicated that is described by commands.

Every word asks first, acts, and asks again: what counts is what the commands show afterwards, never that one
of them ended well. Nothing is kept open, so a death is noticed by looking again and again, and an answer is
shared by whoever asks within `look_every`. Never decides whether a word should be said: that is the
caller's, who holds the lease.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from sites.errors import CommandTimedOut, DriverTrouble, SitesTrouble
from sites.model import Estate, Service
from sites.quantities import format_duration
from sites.replication.command.answers import REJOINED_KEYS, Answer, understand_rejoined
from sites.replication.command.config import CommandSettings
from sites.replication.command.host import CommandFailed, Instance, instances_of, said_of
from sites.replication.command.rehearsal import CommandRehearsal
from sites.replication.deadline import Deadline, boottime_ns
from sites.replication.positions import reached
from sites.replication.words import Closed, Fenced, Position, Promoted, Rejoined, Role, Sample, Word
from sites.transport import Transport

log = structlog.get_logger(__name__)

MISS_PAUSE_SECONDS = 0.2
LOOK_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


@dataclass(slots=True)
class Eye:
    """The latest look at one instance. `told`: its death was told, and it was not seen alive since."""

    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    sample: Sample | None = None
    ended_ns: int = 0
    told: bool = False


class CommandDriver:
    """The driver of one service. Built for an estate that was checked (`CommandSettings.check`)."""

    def __init__(
        self, service: Service, estate: Estate, settings: CommandSettings, transport: Transport
    ) -> None:
        self.service = service.name
        self.settings = settings
        self.unknown_words: frozenset[Word] = settings.unknown_words
        self.close_within_seconds = settings.limit_seconds("close")
        self._instances = instances_of(service, estate, settings, transport)
        self._eyes = {site: Eye() for site in self._instances}
        self.rehearsal = CommandRehearsal(service.name, settings, self._instances)

    # --- what is seen ---------------------------------------------------------------------------------

    async def sample(self, site: str) -> Sample:
        """Ask the instance at `site`, or take what was answered less than `look_every` ago; never raises for
        a sick instance. An answer that is none is UNKNOWN, with what is wrong with it."""
        eye = self._eyes[site]
        async with eye.asking:
            age_seconds = (boottime_ns() - eye.ended_ns) / 1e9
            if eye.sample is not None and age_seconds < self.settings.look_every_seconds:
                return eye.sample
            sample, _ = await self._look(site)
            return sample

    async def lost(self, site: str) -> str:
        """Wait until the instance says `role: down` so many looks in a row; return the evidence.

        Only its own commands' word counts. A host that cannot be reached, a command that fails or prints
        nonsense says nothing of the instance, and the count begins anew.
        """
        eye = self._eyes[site]
        missed, since_ns = 0, 0
        while True:
            if missed:
                sample, _ = await self._look(site)
            else:
                sample = await self.sample(site)
            if sample.role is not Role.DOWN:
                missed = 0
                eye.told = eye.told and sample.role is Role.UNKNOWN
                await asyncio.sleep(self.settings.look_every_seconds)
                continue
            missed += 1
            since_ns = since_ns if missed > 1 else sample.taken_at_ns
            if missed >= self.settings.misses:
                eye.told = True
                span_ms = (boottime_ns() - since_ns) / 1e6
                return f"{sample.reason}, {missed} times in {span_ms:.0f} ms"
            # One that is known to be dead is looked at no oftener than any other.
            await asyncio.sleep(self.settings.look_every_seconds if eye.told else MISS_PAUSE_SECONDS)

    async def _look(self, site: str, *, within_seconds: float | None = None) -> tuple[Sample, Answer | None]:
        """Look now, whatever was seen before."""
        instance, eye = self._instances[site], self._eyes[site]
        # Before the question: what was written before this instant lies at or below the answer.
        taken_at_ns = boottime_ns()
        answer: Answer | None = None
        try:
            answer = await instance.ask(within_seconds=within_seconds)
        except SitesTrouble as error:
            sample = Sample(self.service, site, Role.UNKNOWN, taken_at_ns, reason=str(error))
        else:
            sample = sample_of(self.service, site, taken_at_ns, answer)
        if eye.sample is None or eye.sample.taken_at_ns <= taken_at_ns:
            eye.sample, eye.ended_ns = sample, boottime_ns()
        return sample, answer

    async def _asked(self, site: str) -> Answer:
        """Look now; raises for an answer that is none, as every word must know where it stands."""
        sample, answer = await self._look(site)
        if answer is None:
            raise DriverTrouble(f"nothing was done: {sample.reason}")
        return answer

    # --- a planned stop -------------------------------------------------------------------------------

    async def prepare(self, site: str) -> None:
        """Run `prepare`, if there is one: without, there is nothing that would shorten a close."""
        if self.settings.prepare is not None:
            limit_seconds = self.settings.limit_seconds("prepare")
            await self._instances[site].run("prepare", timeout_seconds=limit_seconds)

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        """Run `close`, then see that nothing can be written, and only then read where it ended (P23).

        Nothing is touched where no position is printed: nobody could say later when everything has arrived.
        A close that fails while the instance still accepts writes is an error and leaves it serving. One
        that overruns, or after which no end can be read, ends as a fence without a final position.
        """
        instance = self._instances[site]
        deadline = Deadline(within_seconds, f"{instance.name}: close")
        before = await self._asked(site)
        if before.role is Role.STANDBY:
            raise DriverTrouble(f"{instance.name} is a standby; there is nothing to close")
        if before.role is Role.PRIMARY and not before.placed:
            raise DriverTrouble(
                f"{instance.name} prints neither offset nor position, so nobody could say when everything is "
                "at the other site; nothing was closed. Only a failover, with a named acceptance of loss, "
                "moves it"
            )
        try:
            await instance.run("close", timeout_seconds=deadline.left())
        except CommandFailed as error:
            _, after = await self._look(site)
            if after is not None and after.writable:
                raise DriverTrouble(f"{error}; it still accepts writes and goes on serving") from error
            return await self._ended_as_fence(site, str(error))
        except CommandTimedOut as error:
            return await self._ended_as_fence(site, str(error))
        # The first look shows that nothing is written any more, the second where that was.
        shut, evidence = await self._until(site, lambda answer: not answer.writable, deadline)
        if not shut:
            return await self._ended_as_fence(site, f"`close` ended well, but {evidence}")
        _, end = await self._look(site)
        final = end.reached() if end is not None and not end.writable and end.placed else None
        if final is None:
            return await self._ended_as_fence(site, "`close` ended well, but where it ended cannot be read")
        return Closed(
            final, f"`close` ended well; {evidence}; last written at {final.text} of {final.history}"
        )

    async def _ended_as_fence(self, site: str, why: str) -> Closed:
        """Raises DriverTrouble where it cannot be shown to be cut off: it is not known to be closed then."""
        fenced = await self.fence(site, within_seconds=self.settings.limit_seconds("fence"))
        if not fenced.verified:
            raise DriverTrouble(f"{why}; the fence that followed is not verified: {fenced.evidence}")
        log.warning("close_ended_as_fence", service=self.service, site=site, evidence=why)
        return Closed(None, f"{why}; fenced: {fenced.evidence}")

    async def caught_up(self, site: str, final_position: Position, *, timeout_seconds: float) -> bool:
        """Wait until the standby has replayed up to there; a place without an order, until it is the very
        same. What cannot be compared is not there."""
        deadline = Deadline(timeout_seconds, f"{self.service} at {site}: catching up")
        pause_seconds = LOOK_PAUSE_SECONDS
        while not deadline.passed:
            _, answer = await self._look(site)
            if answer is not None and reached(answer.applied(), final_position) is True:
                return True
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        return False

    # --- cut and promote ------------------------------------------------------------------------------

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        """Run `fence` at once, without asking first, then look (P7). Verified where the command ended well
        and the instance is seen down or not writable; a host that cannot be reached proves nothing."""
        instance = self._instances[site]
        instance.fences += 1
        if self.settings.fence is None:
            return Fenced(False, f"{instance.name}: there is no command for `fence`")
        try:
            await instance.run("fence", timeout_seconds=within_seconds)
        except SitesTrouble as error:
            return Fenced(False, said_of(error))
        sample, answer = await self._look(site)
        if answer is None:
            return Fenced(False, f"`fence` ended well, but it is not seen what came of it: {sample.reason}")
        if answer.writable:
            return Fenced(False, f"`fence` ended well, but {instance.name} {_words(answer)}")
        return Fenced(True, f"`fence` ended well; {instance.name} {_words(answer)}")

    async def promote(self, site: str, *, timeout_seconds: float) -> Promoted:
        """Run `promote` and wait until it is seen to be a writable primary, on a new line of its history.

        With a guard, right behind its permit (P19). Raises DriverTrouble; also where the history is still
        the old one, because nobody could then tell the two sides' writes apart.
        """
        instance = self._instances[site]
        deadline = Deadline(timeout_seconds, f"{instance.name}: promotion")
        before = await self._asked(site)
        self._check_identity(site)
        if before.role is Role.PRIMARY and before.writable:
            return Promoted(_place_of(before), "was primary already")
        if before.role is not Role.STANDBY:
            raise DriverTrouble(f"{instance.name} cannot be promoted: it {_words(before)}")
        begun_ns = boottime_ns()
        given = {"position": before.position}
        await instance.run("promote", given, timeout_seconds=deadline.left(), opens=True)
        opened: list[Answer] = []  # at first it may be seen writable on its old history, for a moment

        def begun_anew(answer: Answer) -> bool:
            opened[:] = [answer] if answer.role is Role.PRIMARY and answer.writable else []
            return bool(opened) and answer.history != before.history

        done, evidence = await self._until(site, begun_anew, deadline)
        if done is None and not opened:
            raise DriverTrouble(f"{instance.name}: `promote` ended well, but {evidence}")
        if done is None:
            raise DriverTrouble(
                f"{instance.name} is a writable primary, but its history is still {before.history}: "
                "`promote` must begin a new one, or what the two sides write can never be told apart"
            )
        took_ms = (boottime_ns() - begun_ns) / 1e6
        return Promoted(_place_of(done), f"promoted in {took_ms:.0f} ms; {evidence}")

    # --- start, rejoin, rebuild -----------------------------------------------------------------------

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        """Start a stopped instance. Runs already: checked. A primary's start waits for its guard's permit."""
        if role not in (Role.PRIMARY, Role.STANDBY):
            raise ValueError(f"an instance is started as primary or standby, not as {role}")
        instance = self._instances[site]
        fences = instance.fences
        deadline = Deadline(timeout_seconds, f"{instance.name}: start as {role}")
        before = await self._asked(site)
        if before.role not in (role, Role.DOWN):
            raise DriverTrouble(f"{instance.name} runs as {before.role}, not as {role}")
        if before.role is role and (role is Role.STANDBY or before.writable):
            return
        if instance.fences != fences:
            raise DriverTrouble(f"{instance.name}: fenced while it was to be started")
        opens = role is Role.PRIMARY
        await instance.run("start", {"role": str(role)}, timeout_seconds=deadline.left(), opens=opens)
        done, evidence = await self._until(
            site, lambda answer: answer.role is role and answer.writable is opens, deadline
        )
        if done is None:
            raise DriverTrouble(f"{instance.name}: `start` ended well, but {evidence}")

    async def rejoin(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """Make `site` a standby of `primary_site`; one that receives from it already is left alone."""
        before, primary = await self._before_rejoin("rejoin", site, primary_site)
        if _follows(before, primary):
            return Rejoined("follow", 0, None, f"receives from {primary_site} already")
        return await self._rejoined("rejoin", site, primary, primary_site, timeout_seconds)

    def way_back(self) -> str:
        """See TellsWayBack."""
        if Word.REJOIN in self.unknown_words:
            return "there is no command `rejoin`, so a person does it"
        limit_seconds = self.settings.limit_seconds("rejoin")
        return (
            f"by its command `rejoin`, which has {format_duration(limit_seconds)} for it and says how it went"
        )

    async def rebuild(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        """The same from a full copy, whatever it is now."""
        _, primary = await self._before_rejoin("rebuild", site, primary_site)
        return await self._rejoined("rebuild", site, primary, primary_site, timeout_seconds)

    async def aclose(self) -> None:
        """Nothing is kept."""

    # --- parts ----------------------------------------------------------------------------------------

    async def _before_rejoin(self, word: str, site: str, primary_site: str) -> tuple[Answer, Answer]:
        """Both instances as they are: one to be followed, and one that accepts nobody's writes."""
        instance, source = self._instances[site], self._instances[primary_site]
        instance.line(word, _source(source))  # a word that is not known is said before anybody is asked
        primary = await self._asked(primary_site)
        if primary.role is not Role.PRIMARY or not primary.writable:
            raise DriverTrouble(f"{source.name} {_words(primary)}; there is nothing to follow")
        before = await self._asked(site)
        if before.writable:
            raise DriverTrouble(
                f"{instance.name} accepts writes; nothing was touched. Fence or close it first"
            )
        self._check_identity(site)
        return before, primary

    async def _rejoined(
        self, word: str, site: str, primary: Answer, primary_site: str, timeout_seconds: float
    ) -> Rejoined:
        instance = self._instances[site]
        deadline = Deadline(timeout_seconds, f"{instance.name}: {word}")
        given = _source(self._instances[primary_site])
        done = await instance.run(word, given, timeout_seconds=deadline.left())
        said = understand_rejoined(instance.lines_of(word, done, REJOINED_KEYS))
        kept = f"{said.divergent_bytes} B that only it had are kept at {said.saved_at}"
        after, evidence = await self._until(site, lambda answer: _follows(answer, primary), deadline)
        if after is None:
            lost = f"; {kept}" if said.saved_at else ""
            raise DriverTrouble(f"{instance.name}: `{word}` ended well, but {evidence}{lost}")
        evidence = (
            f"{said.method} of {primary_site}; {kept}" if said.saved_at else f"{said.method}; {evidence}"
        )
        return Rejoined(said.method, said.divergent_bytes, said.saved_at, evidence)

    async def _until(
        self, site: str, holds: Callable[[Answer], bool], deadline: Deadline
    ) -> tuple[Answer | None, str]:
        """Look until it holds; at least once, however late it is. The answer, or None, and what was seen."""
        pause_seconds = LOOK_PAUSE_SECONDS
        while True:
            sample, answer = await self._look(site)
            seen = sample.reason if answer is None else f"{self._instances[site].name} {_words(answer)}"
            if answer is not None and holds(answer):
                return answer, seen
            if deadline.passed:
                return None, seen
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _check_identity(self, site: str) -> None:
        here = self._instances[site]
        for other in self._instances.values():
            if other is not here and here.system_id and other.system_id not in ("", here.system_id):
                raise DriverTrouble(
                    f"{here.name} is not of the same pair: it calls itself {here.system_id}, "
                    f"{other.name} {other.system_id}; nothing was touched"
                )


def sample_of(service: str, site: str, taken_at_ns: int, answer: Answer) -> Sample:
    """An answer as the value every driver gives."""
    if answer.role is Role.DOWN:
        reason = answer.reason or "its command says role: down"
        return Sample(service, site, Role.DOWN, taken_at_ns, writable=False, reason=reason)
    return Sample(
        service=service,
        site=site,
        role=answer.role,
        taken_at_ns=taken_at_ns,
        writable=answer.writable,
        position=answer.reached(),
        replayed=answer.applied(),
        streaming=answer.streaming,
        system_id=answer.system_id,
        behind_seconds=answer.behind_seconds,
    )


def _place_of(answer: Answer) -> Position:
    return Position(answer.position, answer.history, answer.offset)


def _source(primary: Instance) -> dict[str, str]:
    return {"primary_site": primary.site, "primary_address": primary.host.address}


def _follows(answer: Answer, primary: Answer) -> bool:
    return (
        answer.role is Role.STANDBY
        and not answer.writable
        and answer.streaming is True
        and answer.history == primary.history
    )


def _words(answer: Answer) -> str:
    """What it is, to go on after its name."""
    if answer.role is Role.DOWN:
        return "is down" + (f" ({answer.reason})" if answer.reason else "")
    streaming = "" if answer.streaming is None else ", streaming" if answer.streaming else ", not streaming"
    writable = "accepts writes" if answer.writable else "accepts no writes"
    return f"is {answer.role}{streaming}, {writable}"
