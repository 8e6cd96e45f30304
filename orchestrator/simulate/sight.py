"""A deciding controller's sight: everything that the product's decision table asks of, put together as the
product does."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.core.clients import ENOUGH_OBSERVERS, OutsideProbe, cut_off_by
from orchestrator.core.clocks import ClockTrack, ClockWord
from orchestrator.core.diagnosis import follows
from orchestrator.core.gates import flap_left_seconds
from orchestrator.core.keeper_view import KeeperView
from orchestrator.core.records import Mode, Movement, ServiceRecord
from orchestrator.core.view import ServiceView, View
from orchestrator.simulate.clocks import MS, SECOND
from orchestrator.simulate.eyes import Eyes, noun
from sites.replication.positions import PositionHistory, lag, replayed
from sites.replication.words import Sample

if TYPE_CHECKING:
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World

FRESH_SECONDS = 3.0
OPEN_FAILURES_NS = 300 * SECOND


@dataclass(slots=True)
class Mind:
    """What a controller keeps of one service between turns. Instants are its own clock's."""

    run: str = ""
    busy: bool = False
    begun_ns: int = 0
    act_again_ns: int = 0
    failed_moves: int = 0
    restarts: int = 0
    open_failures_ns: list[int] = field(default_factory=list)
    rejoin_again_ns: int = 0
    not_streaming_since_ns: int = 0
    ways_epoch: int = -1
    ways_seen_up: set[tuple[str, str]] = field(default_factory=set)
    cut_off_since_ns: int | None = None
    handed_over: bool = False
    pause_id: str = ""
    pause_ends_ns: int = 0


class Sight(Eyes):
    """One site's."""

    def __init__(self, world: "World", site: str) -> None:
        super().__init__(world, site)
        self.minds = {name: Mind(not_streaming_since_ns=self.now()) for name in world.services}
        self.tracks: dict[str, ClockTrack] = {}

    def now(self) -> int:
        """This site's clock."""
        return self.world.sites[self.site].clock.read(self.world.now_ns)

    def _take(self, name: str, site: str, sample: Sample) -> None:
        super()._take(name, site, sample)
        if site == self.site and follows(sample, self.services[name].line):
            self.minds[name].not_streaming_since_ns = sample.taken_at_ns

    # --- clocks --------------------------------------------------------------------------------------

    def look_at_clocks(self) -> None:
        """The clocks of the others as their words show them, and of our guards by their questions."""
        world, now_ns = self.world, self.now()
        outside = world.outside
        assert outside is not None
        for who, words in outside.read[self.site].items():
            clock = outside.clock if who == "w" else world.sites[who].clock
            boot = "0" if who == "w" else str(world.sites[who].disk.boot)
            late_ns = world.now_ns - words.at_ns + world.random.randrange(20 * MS)
            if late_ns < 2 * SECOND:  # written and read once a second, whichever comes first in it
                self._hear(who, boot, now_ns, clock.read(world.now_ns - late_ns))
        for name in world.services:
            host = world.hosts[self.site, name]
            if host.running and host.guard is not None and host.guard.alive:
                sent_ns = world.now_ns - world.random.randrange(5 * MS)
                self._hear(f"guard/{name}", str(host.boots), now_ns, host.clock.read(sent_ns))

    def _hear(self, about: str, boot: str, here_ns: int, there_ns: int) -> None:
        track = self.tracks.get(about, ClockTrack(boot))
        self.tracks[about] = track.heard(here_ns, there_ns, boot=boot)

    def own_clock_words(self) -> tuple[ClockWord, ...]:
        """How the clocks run that are heard here."""
        now_ns = self.now()
        return tuple(
            ClockWord(
                observer=self.site,
                about=about,
                rate=track.rate,
                age_seconds=max(0, now_ns - track.heard_ns) / 1e9,
            )
            for about, track in self.tracks.items()
        )

    def _clock_words(self) -> tuple[ClockWord, ...]:
        outside = self.world.outside
        assert outside is not None
        found = list(self.own_clock_words())
        for words in outside.read[self.site].values():
            waited = (self.world.now_ns - words.at_ns) / 1e9
            found += [replace(word, age_seconds=waited) for word in words.clocks]
        return tuple(found)

    # --- the picture ---------------------------------------------------------------------------------

    def view(self, keeper: "KeeperNode", *names: str) -> View:
        """Everything about these services as it is known now."""
        view = super().view(keeper, *names)
        reached = self.world.linked(self.site, self.peer) and self.world.sites[self.peer].up
        return replace(
            view,
            peer_reached=reached,
            clocks=self._clock_words(),
            clock_drift=self.world.timing.clock_drift,
        )

    def service(self, keeper: "KeeperNode", held: KeeperView, name: str) -> ServiceView:
        """One service, with all that the decision table asks of."""
        world, now_ns, mind = self.world, held.at_ns, self.minds[name]
        seen, setting, had = self.services[name], world.services[name], held.service(name)
        noted = noun(name, setting.home, setting.mode is Mode.MANUAL)
        record = had.record if had is not None and had.known else None
        primary = ((record.primary or record.previous) if record is not None else None) or setting.home
        standby = seen.samples.get(world.other(primary))
        behind = lag(
            seen.history.get(primary, PositionHistory()),
            replayed(standby) if standby is not None else None,
            now_ns,
            stale_after_seconds=FRESH_SECONDS,
        )
        fresh_ns = now_ns - int(FRESH_SECONDS * 1e9)
        host = world.hosts[self.site, name]
        probes = self._client_probes(mind, record, name, now_ns)
        outside = world.outside
        assert outside is not None
        found = ServiceView(
            service=noted,
            held=had,
            samples={site: each for site, each in seen.samples.items() if each.taken_at_ns >= fresh_ns},
            safe_until_ns=self.safe_until_ns(name, primary),
            final_primary_history=seen.line,
            nobody_for_seconds=(now_ns - seen.nobody_since_ns) / 1e9 if seen.nobody_since_ns else 0.0,
            dead_here="its process is gone" if host.running and host.dead else "",
            lag_seconds=behind.seconds,
            lag_age_seconds=behind.age_seconds,
            outside=outside.instances(self.site, name),
            run_here=mind.run,
            run_failed=record is not None and record.run in outside.failed_runs,
            pause_left_seconds=self._pause_left(mind, record, now_ns),
            flap_left_seconds=flap_left_seconds(noted, record, world.now_ns / 1e9),
            restarts_left=max(0, noted.local_restarts - mind.restarts),
            open_failures=sum(1 for at in mind.open_failures_ns if now_ns - at <= OPEN_FAILURES_NS),
            not_a_standby_for_seconds=(now_ns - mind.not_streaming_since_ns) / 1e9,
            rejoin_wait_seconds=max(0, mind.rejoin_again_ns - now_ns) / 1e9,
            guarded=world.setting.guarded,
            client_probes=probes,
            cut_off_for_seconds=(now_ns - mind.cut_off_since_ns) / 1e9 if mind.cut_off_since_ns else 0.0,
            handed_over_lately=mind.handed_over,
        )
        settled = record is not None and record.primary == self.peer and record.movement is Movement.STEADY
        if settled and found.writable_at(self.peer) is True:
            mind.handed_over = False
        return found

    def _pause_left(self, mind: Mind, record: ServiceRecord | None, now_ns: int) -> float | None:
        pause = record.pause if record is not None else None
        if pause is None:
            return None
        if pause.pause_id != mind.pause_id:
            mind.pause_id, mind.pause_ends_ns = pause.pause_id, now_ns + int(pause.seconds * 1e9)
        left_seconds = (mind.pause_ends_ns - now_ns) / 1e9
        return left_seconds if left_seconds > 0 else None

    def _client_probes(
        self, mind: Mind, record: ServiceRecord | None, name: str, now_ns: int
    ) -> tuple[OutsideProbe, ...]:
        outside = self.world.outside
        assert outside is not None
        words = outside.probes(self.site, name)
        primary = record.primary if record is not None else None
        epoch = record.epoch if record is not None else -1
        if epoch != mind.ways_epoch:
            mind.ways_epoch, mind.ways_seen_up = epoch, set()
        mind.ways_seen_up |= {
            (word.observer, word.probe) for word in words if word.site == primary and word.verdict == "up"
        }
        judged = tuple(
            replace(word, was_up=word.site == primary and (word.observer, word.probe) in mind.ways_seen_up)
            for word in words
        )
        if primary is None or len(cut_off_by(judged, primary)) < ENOUGH_OBSERVERS:
            mind.cut_off_since_ns = None
        elif mind.cut_off_since_ns is None:
            mind.cut_off_since_ns = now_ns
        return judged
