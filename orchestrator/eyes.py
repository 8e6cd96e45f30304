"""What one vantage point sees of every replicated instance, and what the others say they see.

Used by the controllers and by the witness. It samples, keeps bounded histories and publishes; it names
nothing and decides nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import structlog

from orchestrator.clock import boot_id, boottime_ns, wall_unix_seconds
from orchestrator.core.clients import OutsideProbe
from orchestrator.core.clocks import ClockTrack, ClockWord
from orchestrator.core.diagnosis import follows
from orchestrator.core.reach import ReachWord, Target
from orchestrator.core.records import InstanceSeen, ObservationRecord, ProbeSeen, WaySeen
from orchestrator.core.standstill import Still, heard, told_still
from orchestrator.core.view import OutsideWord
from orchestrator.handovers import Handovers
from orchestrator.scouting import INSTANCES, STORE, Scouts, summed
from probes.model import Observation
from sites.errors import SitesError
from sites.model import Estate
from sites.replication.positions import (
    Lag,
    PositionHistory,
    lag,
    received,
    replayed,
    safe_until_ns,
    told_lag,
    told_safe_until_ns,
    written,
)
from sites.replication.words import ReplicationDriver, Role, Sample

log = structlog.get_logger(__name__)

FRESH_SECONDS = 3.0
LOST_AGAIN_SECONDS = 0.2
MOST_PROBES_PUBLISHED = 200


def sample_every_seconds(lease_duration_seconds: float) -> float:
    """How often an instance is asked: a dozen times a lease, at least once a second."""
    return max(0.2, min(1.0, lease_duration_seconds / 12))


@dataclass(slots=True)
class InstanceEye:
    """The latest sample of one instance, and when it last counted as a streaming standby."""

    sample: Sample | None = None
    dead: str = ""
    not_streaming_since_ns: int = field(default_factory=boottime_ns)


@dataclass(slots=True)
class Outside:
    """The latest observation of another observer, and when it arrived here. `lives`: it is not the first one
    from there, which may be of any age: whoever wrote it may be long gone."""

    record: ObservationRecord
    arrived_ns: int
    lives: bool = False


class Eyes:
    """Samples every service's instance at both data sites from here.

    `on_change` is called, and `changed` set, when something worth an immediate look happened: an instance was
    lost, a role changed, one accepts writes or stopped to. `watch_losses_at`: the site whose instances'
    kept connections are watched (our own).
    `scouts`: who tries the ways to the other sites; `probes`: what the probes from here have lately seen;
    `guard_clocks`: how the clocks of this site's guards run against ours; `still`: the proof that nothing was
    written by the instance at our own site since.
    """

    def __init__(
        self,
        estate: Estate,
        drivers: dict[str, ReplicationDriver],
        *,
        watch_losses_at: str | None,
        on_change: Callable[[], None],
        scouts: Scouts | None = None,
        probes: Callable[[], Iterable[Observation]] = tuple,
        guard_clocks: Callable[[], Iterable[ClockWord]] = tuple,
        still: Callable[[str], Still | None] = lambda service: None,
    ) -> None:
        self._estate = estate
        self._scouts = scouts
        self._probes = probes
        self._guard_clocks = guard_clocks
        self._still = still
        self._drivers = drivers
        self._watch_losses_at = watch_losses_at
        self.changed = asyncio.Event()
        self._on_change = on_change
        self._every_seconds = sample_every_seconds(estate.ownership.lease_duration_seconds)
        self._instances: dict[tuple[str, str], InstanceEye] = {
            (name, site): InstanceEye() for name in drivers for site in estate.services[name].sites
        }
        self._histories: dict[tuple[str, str], PositionHistory] = {
            key: PositionHistory() for key in self._instances
        }
        self._primary_history: dict[str, str] = {}
        self.handovers = Handovers()
        self._outside: dict[str, Outside] = {}
        self._still_there: dict[tuple[str, str], Still] = {}
        self._clocks: dict[str, ClockTrack] = {}
        self._boot = boot_id()
        self._nudged: dict[tuple[str, str], asyncio.Event] = {key: asyncio.Event() for key in self._instances}

    async def run(self) -> None:
        """Sample and watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, key in enumerate(self._instances):
                phase = self._every_seconds * number / max(1, len(self._instances))
                group.create_task(self._sample_for_ever(*key, phase_seconds=phase))
            if self._watch_losses_at is not None:
                for name in self._drivers:
                    group.create_task(self._watch_loss(name, self._watch_losses_at))
            if self._scouts is not None:
                group.create_task(self._scouts.run())

    # --- looking -------------------------------------------------------------------------------------

    async def _sample_for_ever(self, service: str, site: str, *, phase_seconds: float) -> None:
        await asyncio.sleep(phase_seconds)
        nudged = self._nudged[service, site]
        while True:
            await self.look(service, site)
            nudged.clear()
            try:
                async with asyncio.timeout(self._every_seconds):
                    await nudged.wait()
            except TimeoutError:
                pass

    async def look(self, service: str, site: str) -> Sample:
        """Sample one instance now and take it in."""
        sample = await self._drivers[service].sample(site)
        eye = self._instances[service, site]
        before = (eye.sample.role, eye.sample.writable) if eye.sample is not None else None
        eye.sample = sample
        note = written(sample)
        if note is not None:
            self._histories[service, site] = self._histories[service, site].add(note)
        if sample.writable and sample.role is Role.PRIMARY and sample.position is not None:
            self._primary_history[service] = sample.position.history
        if sample.writable:
            self.handovers.writable(service, site, sample.taken_at_ns, wall_unix_seconds())
        if sample.role not in (Role.DOWN, Role.UNKNOWN):
            eye.dead = ""
        if follows(sample, self.primary_history(service)):
            eye.not_streaming_since_ns = sample.taken_at_ns
        if (sample.role, sample.writable) != before:
            log.info("role-seen", service=service, site=site, role=str(sample.role), reason=sample.reason)
            self._tell()
        return sample

    def nudge(self, service: str, site: str) -> None:
        """Sample one instance at once rather than at its next beat."""
        if (service, site) in self._nudged:
            self._nudged[service, site].set()

    async def _watch_loss(self, service: str, site: str) -> None:
        """Notice a dead instance by its kept connection breaking, not at the next beat."""
        while True:
            try:
                evidence = await self._drivers[service].lost(site)
            except SitesError as fault:
                log.warning("loss-watch-failed", service=service, site=site, problem=str(fault))
                await asyncio.sleep(self._every_seconds)
                continue
            eye = self._instances[service, site]
            if not eye.dead:
                log.warning("instance-lost", service=service, site=site, evidence=evidence)
            eye.dead = evidence
            if eye.sample is not None:
                eye.sample = replace(
                    eye.sample, role=Role.DOWN, writable=False, reason=evidence, taken_at_ns=boottime_ns()
                )
            self._tell()
            await asyncio.sleep(LOST_AGAIN_SECONDS)
            self.nudge(service, site)

    def _tell(self) -> None:
        self.changed.set()
        self._on_change()

    # --- what is known -------------------------------------------------------------------------------

    def sample(self, service: str, site: str) -> Sample | None:
        """The latest sample."""
        return self._instances[service, site].sample

    def fresh_samples(self, service: str, now_ns: int) -> dict[str, Sample]:
        """The latest sample per site, stale ones left out: stale is unknown."""
        found = {}
        for site in self._estate.services[service].sites:
            sample = self._instances[service, site].sample
            if sample is not None and now_ns - sample.taken_at_ns <= FRESH_SECONDS * 1e9:
                found[site] = sample
        return found

    def dead(self, service: str, site: str) -> str:
        """Evidence that the instance is positively not running; empty if there is none."""
        return self._instances[service, site].dead

    def not_streaming_seconds(self, service: str, site: str, now_ns: int) -> float:
        """For how long the instance has not been seen as a streaming standby."""
        return max(0, now_ns - self._instances[service, site].not_streaming_since_ns) / 1e9

    def lag(self, service: str, primary_site: str, standby_site: str, now_ns: int) -> Lag:
        """How far the standby is behind, with the age of what that is made from."""
        standby = self._instances[service, standby_site].sample
        seen = replayed(standby) if standby is not None else None
        if seen is None and standby is not None and standby.behind_seconds is not None:
            return told_lag(standby, self.primary_history(service), now_ns, stale_after_seconds=FRESH_SECONDS)
        history = self._histories[service, primary_site]
        return lag(history, seen, now_ns, stale_after_seconds=FRESH_SECONDS)

    def safe_until_ns(self, service: str, primary_site: str, standby_site: str) -> int | None:
        """The instant up to which everything written at the primary is known to be at the standby."""
        standby = self._instances[service, standby_site].sample
        seen = received(standby) if standby is not None else None
        if seen is None:
            return told_safe_until_ns(standby, self.primary_history(service))
        return safe_until_ns(self._histories[service, primary_site], seen)

    def primary_history(self, service: str) -> str:
        """The history of the primary last seen writable."""
        return self._primary_history.get(service, "")

    # --- what the others say -------------------------------------------------------------------------

    def take_outside(self, record: ObservationRecord) -> None:
        """An observation of another observer has arrived."""
        now_ns = boottime_ns()
        before = self._outside.get(record.observer)
        lives = before is not None and (before.lives or before.record.number != record.number)
        self._outside[record.observer] = Outside(record, now_ns, lives)
        self._take_still(record, now_ns, lives=lives)
        if lives and record.boot:
            track = self._clocks.get(record.observer, ClockTrack(record.boot))
            self._clocks[record.observer] = track.heard(
                now_ns,
                record.clock_boottime_ns,
                boot=record.boot,
                wall_ahead_seconds=record.clock_unix_seconds - wall_unix_seconds(),
            )

    def _take_still(self, record: ObservationRecord, now_ns: int, *, lives: bool) -> None:
        """What a site says of its own instances; of another's it cannot know. Of a first word the age is not
        known: it says from when on nothing was written, and not until when."""
        for seen in record.instances:
            if seen.site != record.observer:
                continue
            key = (seen.service, seen.site)
            told = seen.still if lives or (seen.still and seen.still.given_up_epoch is not None) else None
            drift = self._estate.ownership.clock_drift
            still = heard(self._still_there.get(key), told, now_ns, clock_drift=drift)
            if still is None:
                self._still_there.pop(key, None)
            else:
                self._still_there[key] = still

    def still(self, service: str, site: str) -> Still | None:
        """The proof of the instance's own site that nothing was written there since."""
        if site == self._watch_losses_at:
            return self._still(service)
        return self._still_there.get((service, site))

    def is_down(self, service: str, site: str) -> bool:
        """The instance positively does not run, as far as is seen from here."""
        eye = self._instances[service, site]
        return bool(eye.dead) or (eye.sample is not None and eye.sample.role is Role.DOWN)

    def clocks(self, observer: str, guards: Iterable[ClockWord], now_ns: int) -> tuple[ClockWord, ...]:
        """How other clocks run, by our own word, by our guards' questions (`guards`), and by the others'.
        `observer`: us."""
        found = [
            ClockWord(
                observer=observer,
                about=about,
                rate=track.rate,
                wall_ahead_seconds=track.wall_ahead_seconds,
                age_seconds=max(0, now_ns - track.heard_ns) / 1e9,
            )
            for about, track in self._clocks.items()
        ]
        found += guards
        for name, outside in self._outside.items():
            waited_seconds = max(0, now_ns - outside.arrived_ns) / 1e9
            found += [
                ClockWord(observer=name, about=about, rate=rate, age_seconds=waited_seconds)
                for about, rate in outside.record.clock_rates.items()
                if outside.lives
            ]
        return tuple(found)

    def outside(self, service: str, now_ns: int) -> tuple[OutsideWord, ...]:
        """What the others say of this service's instances, its age counted on."""
        words = []
        for observer, outside in self._outside.items():
            waited_seconds = max(0, now_ns - outside.arrived_ns) / 1e9
            words += [
                OutsideWord(
                    observer=observer,
                    site=seen.site,
                    role=seen.role,
                    writable=seen.writable,
                    reason=seen.reason,
                    age_seconds=seen.age_seconds + waited_seconds,
                )
                for seen in outside.record.instances
                if seen.service == service
            ]
        return tuple(words)

    def outside_records(self, now_ns: int) -> tuple[tuple[ObservationRecord, float], ...]:
        """Every other observer's latest record with the seconds since it arrived."""
        return tuple((each.record, max(0, now_ns - each.arrived_ns) / 1e9) for each in self._outside.values())

    def outside_probes(self, service: str, now_ns: int) -> tuple[OutsideProbe, ...]:
        """What the others' probes say of this service, their ages counted on."""
        words = []
        for observer, outside in self._outside.items():
            waited_seconds = max(0, now_ns - outside.arrived_ns) / 1e9
            if not outside.lives:
                continue
            words += [
                OutsideProbe(
                    observer=observer,
                    site=seen.site,
                    probe=seen.probe,
                    kind=seen.kind,
                    verdict=seen.verdict,
                    reason=seen.reason,
                    age_seconds=seen.age_seconds + waited_seconds,
                )
                for seen in outside.record.probes
                if seen.service == service
            ]
        return tuple(words)

    # --- whom we reach -------------------------------------------------------------------------------

    def ways(self, now_ns: int) -> tuple[WaySeen, ...]:
        """Every way from here to every other site and every member of the store, and whether it gets
        through."""
        tried = self._scouts.ways(now_ns) if self._scouts is not None else ()
        sites = {way.site for way in tried}
        return (
            *tried,
            *(
                self._by_instance(service, site, eye.sample, now_ns, others=site in sites)
                for (service, site), eye in self._instances.items()
                if eye.sample is not None and site != self._watch_losses_at
            ),
        )

    def _by_instance(self, service: str, site: str, sample: Sample, now_ns: int, *, others: bool) -> WaySeen:
        """An instance that answers proves the way; one that does not proves little, where there are others
        to ask: it may be its account, or the database alone."""
        age_seconds = max(0, now_ns - sample.taken_at_ns) / 1e9
        reached = None
        if age_seconds <= FRESH_SECONDS:
            reached = True if sample.role is not Role.UNKNOWN else None if others else False
        reason = sample.reason or str(sample.role)
        return WaySeen(
            site=site, way=f"{INSTANCES} {service}", reached=reached, reason=reason, age_seconds=age_seconds
        )

    def reach(self, observer: str, now_ns: int) -> tuple[ReachWord, ...]:
        """Who reaches whom, by our own word and by the others', their ages counted on. `observer`: us."""
        found = list(self._reach_words(observer, self.ways(now_ns), 0.0))
        for name, outside in self._outside.items():
            if outside.lives:
                waited_seconds = max(0, now_ns - outside.arrived_ns) / 1e9
                found += self._reach_words(name, outside.record.ways, waited_seconds)
        return tuple(found)

    def _reach_words(
        self, observer: str, ways: tuple[WaySeen, ...], waited_seconds: float
    ) -> Iterator[ReachWord]:
        for target in dict.fromkeys(
            (*(site for site in self._estate.sites if site != observer), *(way.site for way in ways))
        ):
            name = target.removeprefix(STORE)
            by = summed(ways, target)
            yield ReachWord(
                observer=observer,
                target=name,
                kind=Target.MEMBER if target != name else Target.SITE,
                reached=by.reached if by is not None else None,
                age_seconds=by.age_seconds + waited_seconds if by is not None else None,
                detail=f"{by.way}: {by.reason}" if by is not None else "there is no way to try",
                of_site=name if name in self._estate.sites else None,
            )

    def heard(self, now_ns: int) -> dict[str, float]:
        """Every other observer that was heard publishing, with the seconds since it was."""
        return {
            name: max(0, now_ns - outside.arrived_ns) / 1e9
            for name, outside in self._outside.items()
            if outside.lives
        }

    # --- what we publish -----------------------------------------------------------------------------

    def observation(self, observer: str, number: int, clock_unix_seconds: float) -> ObservationRecord:
        """What we see, ready to be published."""
        now_ns = boottime_ns()
        ways = self.ways(now_ns)
        sites = dict.fromkeys(way.site for way in ways if way.site != observer)
        reaches = {site: found.reached for site in sites if (found := summed(ways, site)) is not None}
        return ObservationRecord(
            observer=observer,
            number=number,
            instances=tuple(
                _instance_seen(service, site, eye.sample, now_ns, self._own_still(service, site))
                for (service, site), eye in self._instances.items()
                if eye.sample is not None
            ),
            probes=tuple(_probe_seen(seen, now_ns) for seen in self._probes())[:MOST_PROBES_PUBLISHED],
            reaches=reaches,
            ways=tuple(way for way in ways if way.site != observer),
            clock_unix_seconds=clock_unix_seconds,
            clock_boottime_ns=boottime_ns(),
            boot=self._boot,
            clock_rates={
                word.about: word.rate
                for word in self.clocks(observer, self._guard_clocks(), now_ns)
                if word.observer == observer and word.rate is not None
            },
        )

    def _own_still(self, service: str, site: str) -> Still | None:
        return self._still(service) if site == self._watch_losses_at else None


def _probe_seen(seen: Observation, now_ns: int) -> ProbeSeen:
    at_ns = seen.last.at_ns if seen.last is not None else seen.since_ns
    return ProbeSeen(
        service=seen.service,
        site=seen.site,
        probe=seen.probe,
        kind=seen.kind,
        verdict=seen.verdict.value,
        reason=seen.last.reason if seen.last is not None else "not tried yet",
        age_seconds=max(0, now_ns - at_ns) / 1e9,
        since_seconds=max(0, now_ns - seen.since_ns) / 1e9,
    )


def _instance_seen(service: str, site: str, sample: Sample, now_ns: int, still: Still | None) -> InstanceSeen:
    return InstanceSeen(
        service=service,
        site=site,
        role=str(sample.role),
        writable=sample.writable,
        reason=sample.reason,
        age_seconds=max(0, now_ns - sample.taken_at_ns) / 1e9,
        position=sample.position,
        replayed=sample.replayed,
        system_id=sample.system_id,
        timeline=sample.timeline,
        still=told_still(still, now_ns) if still is not None else None,
    )
