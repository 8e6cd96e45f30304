"""`twinsite driver check`: try a service's driver for real, at both sites, from where one stands.

The reading words are asked with the very settings that a controller would use. Words that act are carried
out only on demand, one at a time, and past the lease: whoever asks for one has been told so. Judges nothing;
see `driver_report`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.driver_report import (
    ActReport,
    Asked,
    DriverReport,
    SiteReport,
    Tried,
    report_of,
    site_report,
)
from orchestrator.refusing import OrderRefused
from sites.errors import SitesError, SitesTrouble
from sites.model import Estate, Host
from sites.output import Said
from sites.replication.catalogue import make_driver
from sites.replication.words import (
    ChecksSettings,
    ReplicationDriver,
    Role,
    Sample,
    Word,
)
from sites.transport import Completed, Transport

READING = (Word.SAMPLE, Word.VERIFY)
ACTING = tuple(word for word in Word if word not in READING)
LIMITS_SECONDS = {Word.FENCE: 10.0, Word.CLOSE: 60.0, Word.REJOIN: 3600.0, Word.REBUILD: 6 * 3600.0}
USUAL_LIMIT_SECONDS = 300.0


@dataclass(slots=True)
class Listening:
    """A transport that notes what is run over it."""

    inner: Transport
    heard: list[Asked] = field(default_factory=list)

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """As the one beneath; noted, however it ends."""
        begun = time.monotonic()
        try:
            done = await self.inner.run(
                host, command, timeout_seconds=timeout_seconds, stdin=stdin, said=said
            )
        except SitesTrouble as trouble:
            self._note(host, command, begun, trouble=f"{type(trouble).__name__}: {trouble}")
            raise
        self._note(host, command, begun, done=done)
        return done

    def _note(
        self, host: Host, command: str, begun: float, *, done: Completed | None = None, trouble: str = ""
    ) -> None:
        self.heard.append(
            Asked(
                host=host.name,
                command=command,
                exit_status=done.exit_status if done is not None else None,
                stdout=done.stdout if done is not None else "",
                stderr=done.stderr if done is not None else "",
                trouble=trouble,
                seconds=round(time.monotonic() - begun, 3),
            )
        )

    def taken(self) -> list[Asked]:
        """What was heard since the last time."""
        heard, self.heard = self.heard, []
        return heard

    async def aclose(self) -> None:
        """The one beneath has an owner."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A word to be carried out at a site."""

    word: Word
    site: str
    role: Role = Role.STANDBY


class DriverCheck:
    """One service's driver under examination."""

    def __init__(self, estate: Estate, service: str, transport: Transport, base: Path) -> None:
        self.service = estate.services[service]
        self._ear = Listening(transport)
        self.driver: ReplicationDriver = make_driver(self.service, estate, self._ear, base)

    async def read(self, sites: Sequence[str]) -> DriverReport:
        """Ask the reading words at these sites. Changes nothing; trouble is part of the report."""
        reports, samples = [], []
        for site in sites:
            report, sample = await self._read_one(site)
            reports.append(report)
            samples.append(sample)
        return report_of(self.service, reports, samples, self.driver.unknown_words)

    async def _read_one(self, site: str) -> tuple[SiteReport, Sample]:
        begun = time.monotonic()
        sample = await self.driver.sample(site)
        seconds = time.monotonic() - begun
        asked = self._ear.taken()
        findings: list[str] = []
        if isinstance(self.driver, ChecksSettings) and sample.role in (Role.PRIMARY, Role.STANDBY):
            try:
                found = await self.driver.check_settings(site)
            except SitesTrouble as trouble:
                findings.append(f"its settings could not be asked for: {trouble}")
            else:
                findings += [
                    f"{one.what} is {one.found}, not {one.expected}: {one.why}" for one in found if one.must
                ]
            asked += self._ear.taken()
        return site_report(Tried(sample, asked, seconds, findings)), sample

    async def check_safe(self, wanted: Wanted) -> None:
        """Raises OrderRefused where carrying it out could make two primaries: the other site must be seen
        not to accept writes, and silence is no sight."""
        opens = wanted.word is Word.PROMOTE or (wanted.word is Word.START and wanted.role is Role.PRIMARY)
        if wanted.word in self.driver.unknown_words:
            raise OrderRefused("word-missing", f"the driver of {self.service.name} has no `{wanted.word}`")
        if not opens:
            return
        peer = self.service.peer_of(wanted.site)
        sample = await self.driver.sample(peer)
        self._ear.taken()
        if sample.writable is not False:
            seen = "accepts writes" if sample.writable else f"is {sample.role}: {sample.reason or 'not said'}"
            raise OrderRefused(
                "old-primary-writable",
                f"{wanted.word} at {wanted.site} could make two primaries: {self.service.name} at {peer} "
                f"{seen}",
            )

    async def act(self, wanted: Wanted) -> ActReport:
        """Carry one word out, past the lease, and say what came of it."""
        begun = time.monotonic()
        try:
            ok, outcome = await self._act(wanted)
        except SitesError as error:
            ok, outcome = False, f"{type(error).__name__}: {error}"
        return ActReport(
            word=str(wanted.word),
            site=wanted.site,
            asked=self._ear.taken(),
            ok=ok,
            outcome=outcome,
            seconds=round(time.monotonic() - begun, 3),
        )

    async def _act(self, wanted: Wanted) -> tuple[bool, str]:
        site, peer = wanted.site, self.service.peer_of(wanted.site)
        limit_seconds = LIMITS_SECONDS.get(wanted.word, USUAL_LIMIT_SECONDS)
        match wanted.word:
            case Word.PREPARE:
                await self.driver.prepare(site)
                return True, "it ended well"
            case Word.CLOSE:
                closed = await self.driver.close(site, within_seconds=limit_seconds)
                return closed.final_position is not None, closed.evidence
            case Word.FENCE:
                fenced = await self.driver.fence(site, within_seconds=limit_seconds)
                return fenced.verified, fenced.evidence
            case Word.PROMOTE:
                promoted = await self.driver.promote(site, timeout_seconds=limit_seconds)
                return True, promoted.evidence
            case Word.START:
                await self.driver.start(site, role=wanted.role, timeout_seconds=limit_seconds)
                return True, f"runs as {wanted.role}"
            case Word.REJOIN:
                done = await self.driver.rejoin(site, primary_site=peer, timeout_seconds=limit_seconds)
                return True, done.evidence
            case Word.REBUILD:
                done = await self.driver.rebuild(site, primary_site=peer, timeout_seconds=limit_seconds)
                return True, done.evidence
            case _:
                raise ValueError(f"{wanted.word} is no word that acts")

    async def aclose(self) -> None:
        """Drop what the driver keeps."""
        await self.driver.aclose()
