"""What a site's controller sees of the instances, and the picture that the deciding code makes its statements
and decisions from. Samples are taken as the product takes them: its own instant before each question."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.core.gates import Wish
from orchestrator.core.keeper_view import KeeperView, picture
from orchestrator.core.records import Mode
from orchestrator.core.statement import statement
from orchestrator.core.view import ServiceView, View
from orchestrator.simulate.losses import Said
from sites.model import Service
from sites.replication.positions import PositionHistory, received, safe_until_ns, written
from sites.replication.words import Role, Sample

if TYPE_CHECKING:
    from orchestrator.simulate.hosts import Host
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World


HOLD_DOWN = "1s"
MIN_TIME_SECONDS = 600
RESTARTS = 1


@lru_cache(maxsize=256)
def noun(name: str, home: str, manual: bool) -> Service:
    """A service as an estate says it."""
    said = Service.model_validate(
        {
            "home": home,
            "standby": "y" if home == "x" else "x",
            "failover": "manual" if manual else "automatic",
            "hold_down": HOLD_DOWN,
            "min_time_between_failovers": f"{MIN_TIME_SECONDS}s",
            "local_restarts": RESTARTS,
        }
    )
    return said.model_copy(update={"name": name})


@dataclass(slots=True)
class Seen:
    """What is known of one service: the primary's positions, the latest sample of each instance, the history
    of the last that was writable, and since when nobody owns it."""

    history: dict[str, PositionHistory] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    line: str = ""
    nobody_since_ns: int | None = None


class Eyes:
    """One site's."""

    def __init__(self, world: "World", site: str) -> None:
        self.world = world
        self.site = site
        self.peer = world.other(site)
        self.services = {name: Seen() for name in world.services}

    def look(self, name: str) -> None:
        """Sample both instances."""
        world = self.world
        now_ns = world.sites[self.site].clock.read(world.now_ns)
        self._take(name, self.site, self._sample(world.hosts[self.site, name], now_ns))
        if world.linked(self.site, self.peer):
            self._take(name, self.peer, self._sample(world.hosts[self.peer, name], now_ns))

    def _sample(self, host: "Host", now_ns: int) -> Sample:
        if not host.running:
            return Sample(host.service, host.site, Role.UNKNOWN, now_ns)
        if host.dead:
            return Sample(host.service, host.site, Role.DOWN, now_ns, False)
        if not host.promoted:
            place = host.said()
            return Sample(
                host.service,
                host.site,
                Role.STANDBY,
                now_ns,
                False,
                place,
                replayed=place,
                streaming=host.streams,
            )
        if not host.writable():
            return Sample(host.service, host.site, Role.DOWN, now_ns, False)
        return Sample(host.service, host.site, Role.PRIMARY, now_ns, True, host.said())

    def _take(self, name: str, site: str, sample: Sample) -> None:
        seen = self.services[name]
        seen.samples[site] = sample
        note = written(sample)
        if note is not None:
            seen.history[site] = seen.history.get(site, PositionHistory()).add(note)
            seen.line = note.line

    def note_nobody(self, name: str, now_ns: int | None) -> None:
        """Nobody owns it, as of now; None: somebody does."""
        seen = self.services[name]
        if now_ns is None or seen.nobody_since_ns is None:
            seen.nobody_since_ns = now_ns

    # --- the picture ---------------------------------------------------------------------------------

    def view(self, keeper: "KeeperNode", *names: str) -> View:
        """Everything about these services as it is known now."""
        now_ns = keeper.now()
        held = picture(keeper.state, now_ns)
        services = tuple(self.service(keeper, held, name) for name in names)
        return View(site=self.site, peer=self.peer, now_ns=now_ns, keeper=held, services=services)

    def service(self, keeper: "KeeperNode", held: KeeperView, name: str) -> ServiceView:
        """One service."""
        now_ns, seen = held.at_ns, self.services[name]
        known = keeper.state.services[name]
        record = known.item.record if known.item is not None else None
        primary = (record.primary or record.previous) if record is not None else None
        setting = self.world.services[name]
        primary = primary or setting.home
        return ServiceView(
            service=noun(name, setting.home, setting.mode is Mode.MANUAL),
            held=held.service(name),
            samples=seen.samples,
            safe_until_ns=self.safe_until_ns(name, primary),
            final_primary_history=seen.line,
            nobody_for_seconds=(now_ns - seen.nobody_since_ns) / 1e9 if seen.nobody_since_ns else 0.0,
        )

    def safe_until_ns(self, name: str, primary: str) -> int | None:
        """Everything written at the primary until then is known to be at the standby."""
        seen = self.services[name]
        standby, history = seen.samples.get(self.world.other(primary)), seen.history.get(primary)
        there = received(standby) if standby is not None else None
        return safe_until_ns(history, there) if history is not None else None

    def state_loss(self, keeper: "KeeperNode", name: str, wish: Wish) -> tuple[Said, View]:
        """The statement that the product would make of this wish at this moment."""
        view = self.view(keeper, name)
        service = view.services[0]
        words, bound_seconds = statement(view, service, wish)
        if bound_seconds is None:
            return Said(words, unknown=True), view
        if bound_seconds == 0.0 or service.safe_until_ns is None:
            return Said(words), view
        clock = keeper.clock
        since_ns = clock.when(service.safe_until_ns)
        until_ns = clock.when(service.safe_until_ns + int(bound_seconds * 1e9) + 1 + clock.behind_ns)
        return Said(words, since_ns, until_ns), view
