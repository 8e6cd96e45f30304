"""How a standby gets what the primary writes, and how an old primary becomes a standby again.

A rejoin goes as the drivers do it: stopped first, so that nothing is written any more; then what only it has
is saved; then it is brought onto the other's line. A host that goes down, or a later step, ends it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.simulate.clocks import MS

if TYPE_CHECKING:
    from orchestrator.simulate.hosts import Host
    from orchestrator.simulate.world import World


def tail(host: "Host", other: "Host") -> tuple[int, int]:
    """The acknowledged writes that this instance has and the other has not: after the first number, up to the
    second."""
    lines = host.world.lines[host.service]
    return lines.common(host.place(), other.place()), host.written()


def diverged(host: "Host", other: "Host") -> bool:
    """It has something that the other has not, so it cannot simply follow it."""
    common, written = tail(host, other)
    return written > common


def replicate(world: "World", name: str) -> None:
    """The standby gets what the primary wrote until a moment ago, unless it has what the primary has not."""
    x, y = world.hosts["x", name], world.hosts["y", name]
    x.streams = y.streams = False
    if x.promoted == y.promoted:
        return
    source, standby = (x, y) if x.promoted else (y, x)
    if not (source.running and standby.running and world.linked("x", "y")) or standby.rejoins:
        return
    if standby.dead or source.dead:
        return
    if diverged(standby, source):
        return
    written = source.written()
    standby.streams = True
    standby.line = source.line
    reached = written - world.random.randrange(50) if source.writable() else written
    standby.position = max(standby.position, reached)


def rejoin(world: "World", host: "Host") -> None:
    """The step of a rejoin, once it has begun on its host."""
    other = world.hosts[world.other(host.site), host.service]
    if world.setting.eager or host.rejoins or not (host.promoted or diverged(host, other)):
        return
    if not _answers(world, host, other):
        return
    world.checks.made_standby(host, other)
    Rejoin(world, host, other).stop()


def _answers(world: "World", host: "Host", other: "Host") -> bool:
    """The other instance answers as a primary."""
    well = other.promoted and other.running and not (other.closed or other.dead)
    return well and world.linked(host.site, other.site)


class Rejoin:
    """One rejoin under way."""

    def __init__(self, world: "World", host: "Host", other: "Host") -> None:
        self.world = world
        self.host = host
        self.other = other
        self.token = host.token
        self.boots = host.boots

    def stop(self) -> None:
        """No client writes here from now on."""
        self.host.rejoins = True
        self.host.promoted = False
        self.host.changed("stopped for its rejoin")
        self._later(self._save)

    def _later(self, work: Callable[[], None]) -> None:
        world = self.world
        slow_ns = world.sites[self.host.site].disk.slow_ns
        takes_ns = world.random.randrange(400 * MS) + (world.random.randrange(slow_ns) if slow_ns else 0)
        world.after(takes_ns, self._go_on, work)

    def _go_on(self, work: Callable[[], None]) -> None:
        host = self.host
        if host.boots != self.boots:
            return
        if host.token != self.token or host.promoted:
            host.rejoins = False  # something later was started there (P26)
        elif host.running:
            work()
        else:
            self._later(work)

    def _save(self) -> None:
        common, written = tail(self.host, self.other)
        if written > common:
            if self.world.sites[self.host.site].disk.fails:
                self.host.rejoins = False
                return  # nothing is overwritten; it is tried again
            self.host.saved.append((common, written))
        self._later(self._follow)

    def _follow(self) -> None:
        host, other = self.host, self.other
        host.rejoins = False
        if not _answers(self.world, host, other):
            return
        common, written = tail(host, other)
        self.world.checks.overwritten(host, common, written)
        host.line, host.position = other.line, common
        host.saved = []
        host.dead = host.bad == "always"
