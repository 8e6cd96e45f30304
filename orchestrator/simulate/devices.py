"""Fencing devices in the simulation: each switches its host off, or fails, or hangs, or does it when nobody
waits for it any more. A device that lies is not among them: what is verified is so at that instant.

Whoever uses them keeps to the product's order: the keeper is asked, all hosts are switched off, all are
looked at again, and only a cut of all of them is a right to take.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.core import messages as m
from orchestrator.simulate.clocks import MS
from orchestrator.simulate.hosts import Host

if TYPE_CHECKING:
    from orchestrator.simulate.world import World

WORKS, FAILS, HANGS, LATE = "works", "fails", "hangs", "late"
FATES = (WORKS, WORKS, WORKS, FAILS, HANGS, LATE)


def switch_off(host: Host) -> None:
    """The power is gone: its processes with it. Its disk stays as it is."""
    if not host.up:
        return
    host.up = False
    host.changed("a device has switched it off")
    if host.guard is not None:
        host.guard.end()


def switch_on(world: "World", host: Host) -> None:
    """Somebody switches it on again: it boots, its gate shut, its guard starting."""
    if host.up or not world.sites[host.site].up:
        return
    host.up = True
    host.boot(world.new_clock(f"{host.site}/{host.service}"))
    if host.guard is not None:
        host.guard.lifted = None
        host.guard.certified = None
        host.guard.start()
    host.changed("it was switched on")


def cut(
    world: "World",
    hosts: list[Host],
    fates: dict[str, str],
    hear: Callable[[bool], None],
    *,
    on_after_ns: int,
) -> None:
    """Have them switched off at once, and hear whether it was verified, at the latest when time is over.
    `fates`: by service, what becomes of its host's device; `on_after_ns`: so long after, somebody switches on
    again what went off."""
    patience_ns = 2 * world.timing.lease_duration_ns
    said: dict[str, bool] = {}

    def looked() -> None:
        if len(said) == len(hosts):
            hear(all(said.values()) and not any(host.up for host in hosts))

    def off(host: Host) -> None:
        switch_off(host)
        world.after(on_after_ns, switch_on, world, host)

    def answered(host: Host, verified: bool) -> None:
        said[host.service] = verified
        looked()

    def works(host: Host) -> None:
        off(host)
        world.after(world.random.randrange(1, 200 * MS), answered, host, True)

    for host in hosts:
        fate = fates.get(host.service, WORKS)
        takes_ns = world.random.randrange(10 * MS, patience_ns // 2)
        if fate == WORKS:
            world.after(takes_ns, works, host)
        elif fate == FAILS:
            world.after(takes_ns, answered, host, False)
        else:
            world.after(patience_ns, answered, host, False)
            if fate == LATE:
                late_ns = world.random.randrange(patience_ns // 4, 3 * patience_ns)
                world.after(late_ns, off, host)


def power_cut(world: "World", by: str, services: tuple[str, ...], ordered: bool, whole: bool) -> None:
    """A deed: the same with whatever the devices do, and somebody who switches on again what went off, a
    little later than a cut counts at the earliest. `whole`: all that must be covered is; else the first of
    the services alone."""
    random, lease_ns = world.random, world.timing.lease_duration_ns
    fates = {name: random.choice(FATES) for name in world.services}
    on_after_ns = random.randrange(7 * lease_ns // 2, random.choice((4, 12)) * lease_ns)
    covers = None if whole else services[:1]
    cut_and_take(world, by, services, ordered=ordered, fates=fates, on_after_ns=on_after_ns, covers=covers)


def cut_and_take(
    world: "World",
    by: str,
    services: tuple[str, ...],
    *,
    ordered: bool,
    fates: dict[str, str] | None = None,
    on_after_ns: int = 0,
    covers: tuple[str, ...] | None = None,
    told: Callable[[str], None] = lambda outcome: None,
) -> None:
    """A takeover that wants a verified cut: by a controller that lacks only the fence, or by a person.
    `covers` None: whatever must be covered. `told` hears what came of it."""
    controller, keeper = world.controllers[by], world.keeper(by)
    if keeper is None or not keeper.running:
        return told("no keeper")
    state, other = keeper.state, world.other(by)
    if covers is None:
        holds = state.peer_item is not None and state.peer_item.record.hold
        theirs = [
            name
            for name, held in state.services.items()
            if held.item is not None and held.item.record.primary == other
        ]
        covers = tuple(dict.fromkeys((*services, *(theirs if holds else ()))))
    hosts = [world.hosts[other, name] for name in covers]
    on_ns = on_after_ns or 6 * world.timing.lease_duration_ns

    def may(reply: m.Reply) -> None:
        if not reply.done:
            return told(reply.code)
        return cut(world, hosts, fates or {}, verified, on_after_ns=on_ns)

    def verified(so: bool) -> None:
        if not so:
            return told("not verified")
        now = world.keeper(by)
        until_ns = (now.now() if now is not None else 0) + 2 * world.timing.lease_duration_ns
        take = replace(
            controller.take_over(services, ordered=ordered, covers=covers),
            by_device=True,
            certified_down=False,
            cut_until_ns=until_ns,
        )
        return controller.ask(take, lambda reply: told("taken" if reply.done else reply.code))

    controller.ask(m.MayPowerOff(services=services, covers=covers, ordered=ordered), may)
    return None
