"""What befalls a world: each deed is a fault, a repair, or a person's order, by name and with its arguments.

A deed with a duration ends by itself. Whatever it names may be gone already: then it does nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.core import messages as m
from orchestrator.core.records import Pause
from orchestrator.simulate.certifying import (
    break_glass,
    certify_by_hand,
    certify_down,
    certify_hosts,
    certify_peer,
    kept_off,
    order_certified,
)
from orchestrator.simulate.clocks import MS
from orchestrator.simulate.devices import power_cut
from orchestrator.simulate.hosts import SHUT
from orchestrator.simulate.network import Link
from orchestrator.simulate.people import accept
from orchestrator.simulate.weathers import OVERTAKING
from orchestrator.simulate.world import SITES_HERE, World


@dataclass(frozen=True, slots=True)
class Deed:
    """At `at_ns` after the start, the deed of that name."""

    at_ns: int
    name: str
    arguments: tuple[Any, ...] = ()

    def words(self) -> str:
        """For a person."""
        return " ".join([self.name.replace("_", " "), *(_words(each) for each in self.arguments)])


def _words(argument: object) -> str:
    return f"{argument / 1e9:.2f} s" if isinstance(argument, int) and argument > 1_000_000 else str(argument)


# --- the network and the store ---------------------------------------------------------------------------


def cut(world: World, a: str, b: str, for_ns: int) -> None:
    """Nothing passes from `a` to `b`."""

    def change(by: int) -> None:
        world.network.broken[a, b] += by
        world.look_at_links()

    change(1)
    world.after(for_ns, change, -1)


def part(world: World, a: str, b: str, for_ns: int) -> None:
    """Nothing passes between `a` and `b`."""
    cut(world, a, b, for_ns)
    cut(world, b, a, for_ns)


def isolate(world: World, site: str, for_ns: int) -> None:
    """The site reaches nobody."""
    for place in ("x", "y", "w"):
        if place != site:
            part(world, site, place, for_ns)


def witness_lost(world: World, for_ns: int) -> None:
    """The witness and its member of the store are gone."""
    voter_lost(world, "w", for_ns)


def voter_lost(world: World, place: str, for_ns: int) -> None:
    """A member of the store is gone; the rest of its site is not."""

    def change(by: int) -> None:
        world.network.voter_down[place] += by
        world.look_at_links()

    change(1)
    world.after(for_ns, change, -1)


def store_cut(world: World, site: str, direction: str, for_ns: int) -> None:
    """This site's requests do not reach the store, or its answers do not come back."""
    _cut_link(world, world.up[site] if direction == "up" else world.down[site], for_ns)


def congest(world: World, site: str, direction: str, for_ns: int) -> None:
    """Much of what this site sends to the store, or hears from it, comes after what was sent later."""
    link = world.up[site] if direction == "up" else world.down[site]
    before, link.weather = link.weather, OVERTAKING

    def clear() -> None:
        link.weather = before

    world.after(for_ns, clear)


def guard_cut(world: World, site: str, service: str, direction: str, for_ns: int) -> None:
    """A guard's line passes nothing in one direction."""
    guard = world.guards.get((site, service))
    if guard is not None:
        _cut_link(world, guard.there if direction == "up" else guard.back, for_ns)


def _cut_link(world: World, link: Link, for_ns: int) -> None:
    world.cut(link, 1)
    world.after(for_ns, world.cut, link, -1)


def back_up(world: World) -> None:
    """Somebody makes a backup of the store."""
    world.backup = world.store.backup()


def restore(world: World, new_cluster: bool) -> None:
    """P33: the store is put back to the backup: what was written since is forgotten, and watches end with the
    members that they were of."""
    if world.backup is not None:
        world.store.restore(world.backup, new_cluster=new_cluster)
        for site in SITES_HERE:
            for keeper in world.sites[site].keepers:
                keeper.break_follow()


def election(world: World, for_ns: int) -> None:
    """The store has no leader for a while."""
    world.store.answers_from_ns = max(world.store.answers_from_ns, world.now_ns + for_ns)


# --- processes and machines ------------------------------------------------------------------------------


def stall_keeper(world: World, site: str, for_ns: int) -> None:
    """SIGSTOP of the keeper that a controller talks to, then SIGCONT."""
    keeper = world.keeper(site)
    if keeper is None:
        return
    keeper.stalls += 1

    def go_on() -> None:
        keeper.stalls -= 1
        if not keeper.stalls:
            keeper.resume()

    world.after(for_ns, go_on)


def stall_controller(world: World, site: str, for_ns: int) -> None:
    """The deciding loop hangs."""
    controller = world.controllers[site]
    controller.stalls += 1

    def go_on() -> None:
        controller.stalls -= 1

    world.after(for_ns, go_on)


def stall_guard(world: World, site: str, service: str, for_ns: int) -> None:
    """SIGSTOP of a guard; only where a gate closes without it (P22)."""
    guard = world.guards.get((site, service))
    if guard is None or not guard.host.gated:
        return
    guard.stalls += 1

    def go_on() -> None:
        guard.stalls -= 1
        guard.resume()

    world.after(for_ns, go_on)


def pause_host(world: World, site: str, service: str, for_ns: int) -> None:
    """A virtual machine is paused and resumed; only where a gate stands (P22)."""
    host = world.hosts[site, service]
    if not host.gated and world.setting.guarded:
        return
    host.stalls += 1
    host.changed("paused")

    def go_on() -> None:
        host.stalls -= 1
        host.changed("resumed")
        guard = world.guards.get((site, service))
        if guard is not None:
            guard.resume()

    world.after(for_ns, go_on)


def crash_keeper(world: World, site: str, for_ns: int) -> None:
    """SIGKILL of the keeper; its supervisor starts another."""
    keeper = world.keeper(site)
    if keeper is not None:
        keeper.end()
        world.after(for_ns, world.supervise, site)


def crash_controller(world: World, site: str, for_ns: int) -> None:
    """The controller ends and starts anew."""
    controller = world.controllers[site]
    controller.alive = False

    def again() -> None:
        if not controller.alive and world.sites[site].up:
            controller.alive = True
            controller.start()

    world.after(for_ns, again)


def crash_guard(world: World, site: str, service: str, for_ns: int) -> None:
    """SIGKILL of a guard; only where a gate closes without it."""
    guard = world.guards.get((site, service))
    if guard is None or not guard.host.gated:
        return
    guard.end()

    def again() -> None:
        if not guard.alive and guard.host.up:
            guard.start()

    world.after(for_ns, again)


def reboot_host(world: World, site: str, service: str, for_ns: int) -> None:
    """A database host goes down and boots: its database is as it was, its gate is shut, its guard starts."""
    host = world.hosts[site, service]
    if not host.up:
        return
    guard = world.guards.get((site, service))
    host.up = False
    host.changed("its host is down")
    if guard is not None:
        guard.end()

    def boot() -> None:
        if not world.sites[site].up or host.up:
            return
        if kept_off(world, site, service):
            world.after(500 * MS, boot)
            return
        host.up = True
        host.boot(world.new_clock(f"{site}/{service}"))
        if guard is not None:
            guard.lifted = None
            guard.certified = None
            guard.start()
        host.changed("its host has booted")

    world.after(for_ns, boot)


def site_down(world: World, site: str, for_ns: int) -> None:
    """The whole site loses power, and boots later."""
    here = world.sites[site]
    if not here.up:
        return
    here.up = False
    for keeper in here.keepers:
        keeper.end()
    world.controllers[site].alive = False
    for service in world.services:
        host, guard = world.hosts[site, service], world.guards.get((site, service))
        host.up = False
        host.changed("its site is down")
        if guard is not None:
            guard.end()
    isolate(world, site, for_ns)
    voter_lost(world, site, for_ns)

    def boot() -> None:
        if any(world.vouched[site, service] > 0 for service in world.services):
            world.after(500 * MS, boot)
            return
        here.up = True
        world.boot_site(site)

    world.after(for_ns, boot)


def spare(world: World, site: str) -> None:
    """A second keeper of the site starts beside the first."""
    if world.sites[site].up:
        world.start_keeper(site)


def spare_apart(world: World, site: str, for_ns: int) -> None:
    """A second keeper of the site starts on another machine; the first does not reach the store any more."""
    keeper = world.keeper(site)
    if keeper is None or not world.sites[site].up:
        return
    keeper.cut += 1

    def mend() -> None:
        keeper.cut -= 1

    world.after(for_ns, mend)
    world.start_keeper(site)


def slow_disk(
    world: World, site: str, slow_ns: int, fails: bool, for_ns: int, everywhere: bool = True
) -> None:
    """The disks of this site's machines, or the keeper's alone, are slow or take nothing."""

    def set_disks(slow: int, failing: bool) -> None:
        disk = world.sites[site].disk
        disk.slow_ns, disk.fails = slow, failing
        for (where, _), guard in world.guards.items():
            if where == site and everywhere:
                guard.disk_slow_ns, guard.disk_fails = slow, failing

    set_disks(slow_ns, fails)
    world.after(for_ns, set_disks, 0, False)


def kill_database(world: World, site: str, service: str) -> None:
    """The database of a service dies by itself."""
    host = world.hosts[site, service]
    if host.running:
        host.die()


def bad_release(world: World, service: str, how: str) -> None:
    """The same bad release at both sites: the databases die of it, at once and whenever they are started
    ("always"), or as soon as one is a primary ("promoted")."""
    for site in SITES_HERE:
        host = world.hosts[site, service]
        host.bad = how
        if host.running and (how == "always" or host.promoted):
            host.die()


def clients_cut(world: World, site: str, service: str, for_ns: int) -> None:
    """No client's way leads to a service at that site; everything else finds it well."""
    outside = world.outside
    if outside is None:
        return
    cut_off = outside.cut_off
    cut_off[site, service] = cut_off.get((site, service), 0) + 1

    def mend() -> None:
        cut_off[site, service] -= 1

    world.after(for_ns, mend)


# --- people and controllers, wise or not -----------------------------------------------------------------


def switch_over(world: World, service: str, by: str, to_site: str, kind: str = "switchover") -> None:
    """An operator moves a service."""
    world.controllers[by].switch_over(service, to_site, kind)


def move_on(world: World, service: str) -> None:
    """An operator moves a service to the site that does not own it."""
    item = world.store.service(service)
    if item is not None and item.record.primary is not None:
        other = world.other(item.record.primary)
        world.controllers[other].switch_over(service, other)


def give_up_dead(world: World, site: str, service: str) -> None:
    """A controller thinks that its database is dead."""
    world.controllers[site].ask(m.GiveUpDead(service=service, why="it seems dead"))


def take_over(world: World, site: str, services: tuple[str, ...], ordered: bool) -> None:
    """A takeover is asked for, with or without a reason."""
    controller = world.controllers[site]
    controller.ask(controller.take_over(services, ordered=ordered))


def claim(world: World, site: str, service: str, accept_loss: bool) -> None:
    """A claim is asked for, with or without a reason."""
    controller = world.controllers[site]
    controller.ask(controller.claim(service, accept_loss=accept_loss))


def set_mode(world: World, site: str, service: str, mode: str) -> None:
    """The mode of a service is changed."""
    world.controllers[site].ask(m.SetMode(service=service, mode=mode))


def eager(world: World, site: str, takes: bool, claims: bool) -> None:
    """How a site's controller behaves from now on."""
    world.controllers[site].takes = takes
    world.controllers[site].claims = claims


def touch(world: World, site: str, service: str) -> None:
    """Something small about a service is written, as a pause of its automatic moves is."""
    pause = Pause(
        pause_id=f"pause-{world.number()}", seconds=60.0, since="", who="operator", reason="looking at it"
    )
    world.controllers[site].ask(m.SetPause(service=service, pause=pause))


def acknowledge(world: World, site: str, service: str) -> None:
    """Somebody has looked at the last move, and lets the next one happen by itself (gate 6)."""
    world.controllers[site].ask(m.Acknowledge(service=service, who="operator"))


def fence_here(world: World, site: str, service: str) -> None:
    """A controller thinks that its instance must not be writable."""
    world.controllers[site].ask(m.FenceHere(service=service, why="it should not be writable"))


DEEDS: dict[str, Callable[..., None]] = {
    each.__name__: each
    for each in (
        cut, part, isolate, witness_lost, voter_lost, store_cut, congest, guard_cut, election, stall_keeper,
        stall_controller, stall_guard, pause_host, crash_keeper, crash_controller, crash_guard, reboot_host,
        site_down, spare, spare_apart, slow_disk, switch_over, move_on, give_up_dead, take_over, claim,
        set_mode, eager, back_up, restore, accept, fence_here, touch, certify_down, certify_hosts,
        certify_peer, certify_by_hand, break_glass, acknowledge, kill_database, bad_release, clients_cut,
        order_certified, power_cut,
    )
}  # fmt: skip


def dies_reconciled(world: World, site: str, service: str, after_ns: int, for_ns: int) -> None:
    """The site loses power that long after its broken glass was reconciled in the store."""
    item = world.store.service(service)
    if item is not None and item.record.kind == "break-glass":
        world.after(after_ns, site_down, world, site, for_ns)
    else:
        world.after(10 * MS, dies_reconciled, world, site, service, after_ns, for_ns)


DEEDS["dies_reconciled"] = dies_reconciled


def carry_out(world: World, deed: Deed) -> None:
    """Do it, and tell the story."""
    if world.story is not None:
        world.story.say("---", deed.words())
    DEEDS[deed.name](world, *deed.arguments)


__all__ = ["DEEDS", "MS", "SHUT", "SITES_HERE", "Deed", "carry_out"]
