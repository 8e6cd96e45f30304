"""What only deciding controllers look at: the witness's eyes and clock, what clients find, and what is passed
on through the store by whoever observes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.core.clients import OutsideProbe
from orchestrator.core.clocks import ClockTrack, ClockWord
from orchestrator.core.view import OutsideWord
from orchestrator.simulate.clocks import MS, PARTS, SECOND, Clock
from orchestrator.simulate.sight import Sight

if TYPE_CHECKING:
    from orchestrator.simulate.hosts import Host
    from orchestrator.simulate.world import World

PROBE = "page"


def writable_word(host: "Host") -> tuple[str, bool]:
    """What the instance says of itself to whoever reaches it."""
    if host.dead or (host.promoted and not host.writable()):
        return "down", False
    return ("primary", True) if host.promoted else ("standby", False)


@dataclass(slots=True)
class Words:
    """The latest observation of one observer as it stands in the store, and when it was made."""

    at_ns: int = 0
    number: int = 0
    instances: dict[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)
    probes: dict[tuple[str, str], str] = field(default_factory=dict)
    clocks: tuple[ClockWord, ...] = ()


class Outside:
    """The observers of one world. `x` and `y` publish as well; who reaches the store, reads it."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.clock = Clock(
            born_ns=world.now_ns, offset_ns=77 * SECOND, rate=world.setting.rates.get("w", PARTS)
        )
        self.tracks: dict[str, ClockTrack] = {}
        self.stored: dict[str, Words] = {}
        self.read: dict[str, dict[str, Words]] = {"x": {}, "y": {}}
        self.cut_off: dict[tuple[str, str], int] = {}
        self.looks = 0
        self.failed_runs: set[str] = set()
        self.by_itself: set[str] = set()

    def look(self) -> None:
        """Every other time everybody looks, writes what was seen, and reads what the others wrote."""
        world = self.world
        self.looks += 1
        if self.looks % 2:
            return
        for observer in ("x", "y", "w"):
            if self._publishes(observer):
                self.stored[observer] = self._words(observer)
        for site in ("x", "y"):
            if world.network.store_reached(site) == (True, True) and not world.store.lost:
                self.read[site] = {who: words for who, words in self.stored.items() if who != site}

    def _publishes(self, observer: str) -> bool:
        world = self.world
        if world.store.lost or world.network.store_reached(observer) != (True, True):
            return False
        if observer == "w":
            return not world.network.voter_down["w"]
        return world.controllers[observer].alive and not world.controllers[observer].stalls

    def _words(self, observer: str) -> Words:
        world = self.world
        words = Words(world.now_ns, self.stored[observer].number + 1 if observer in self.stored else 1)
        for (site, name), host in world.hosts.items():
            if not host.running or (observer != site and not world.linked(observer, site)):
                continue
            words.instances[site, name] = writable_word(host)
            if observer != site:
                cut = self.cut_off.get((site, name), 0) > 0
                words.probes[site, name] = "up" if host.writable() and not cut else "down"
        words.clocks = self._clocks(observer)
        return words

    def _clocks(self, observer: str) -> tuple[ClockWord, ...]:
        world = self.world
        if observer != "w":
            eyes = world.controllers[observer].eyes
            assert isinstance(eyes, Sight)
            return eyes.own_clock_words()
        for site in ("x", "y"):
            if world.linked("w", site) and world.sites[site].up:
                sent_ns = world.now_ns - world.random.randrange(20 * MS)
                there_ns = world.sites[site].clock.read(sent_ns)
                boot = str(world.sites[site].disk.boot)
                here_ns = self.clock.read(world.now_ns)
                self.tracks[site] = self.tracks.get(site, ClockTrack(boot)).heard(
                    here_ns, there_ns, boot=boot
                )
        return tuple(
            ClockWord(observer="w", about=site, rate=track.rate) for site, track in self.tracks.items()
        )

    # --- as a site reads it --------------------------------------------------------------------------

    def instances(self, site: str, name: str) -> tuple[OutsideWord, ...]:
        """What the others say of this service's instances."""
        return tuple(
            OutsideWord(
                observer=who,
                site=where,
                role=role,
                writable=writable,
                reason="",
                age_seconds=self._age(words),
            )
            for who, words in self.read[site].items()
            for (where, service), (role, writable) in words.instances.items()
            if service == name
        )

    def probes(self, site: str, name: str) -> tuple[OutsideProbe, ...]:
        """What the others' probes say of it."""
        return tuple(
            OutsideProbe(
                observer=who,
                site=where,
                probe=PROBE,
                kind="http",
                verdict=verdict,
                reason="",
                age_seconds=self._age(words),
            )
            for who, words in self.read[site].items()
            for (where, service), verdict in words.probes.items()
            if service == name
        )

    def _age(self, words: Words) -> float:
        return (self.world.now_ns - words.at_ns) / 1e9
