"""What people certify in the simulation. It is true: of the hosts that a certificate names, by host, whatever
the keeper of that site is doing; where something was drawn up earlier, when it is used as well."""

from orchestrator.core import messages as m
from orchestrator.core.gates import Wish
from orchestrator.simulate.deciders import Decider
from orchestrator.simulate.keepers import KeeperNode
from orchestrator.simulate.world import World
from sites.fencing import guard as g


def off(world: World, site: str, services: tuple[str, ...]) -> bool:
    """Every host of these services at that site is off."""
    return not any(world.hosts[site, name].up for name in services)


UNKNOWN = "no-quorum"
"""The code of an order of which nobody knows whether it was carried out."""


def kept_off(world: World, site: str, service: str) -> bool:
    """A host that was certified as off stays so while the order waits, and until the keeper there has heard
    whose its service is now: that is what the certificate says, and people see to it."""
    if world.vouched[site, service] > 0:
        return True
    item, keeper = world.store.service(service), world.keeper(site)
    taken = item is not None and item.record.primary == world.other(site) and item.record.kind == "failover"
    return taken and keeper is not None and keeper.state.names_us(service)


def lost(world: World, site: str) -> bool:
    """The site is off; or all its hosts are, and its keeper has no lease by which it might open them when
    they boot. Where it has one, people would have to keep them off: here nobody certifies that."""
    here = world.sites[site]
    if not here.up:
        return True
    deadline_ns = max(disk.deadline_ns for disk in (here.disk, *(keeper.disk for keeper in here.keepers)))
    leased = deadline_ns > here.clock.read(world.now_ns)
    return not leased and off(world, site, tuple(world.services))


def _order(world: World, site: str, services: tuple[str, ...], covers: tuple[str, ...] | None) -> None:
    """A takeover by a certificate, which is true until it is known what became of the order."""
    keeper, controller = world.keeper(site), world.controllers[site]
    if keeper is None or not keeper.running:
        return
    vouched = [(world.other(site), name) for name in (world.services if covers is None else covers)]
    world.vouched.update(vouched)

    def heard(reply: m.Reply) -> None:
        if reply.done or reply.code != UNKNOWN:
            world.vouched.subtract(vouched)

    controller.ask(controller.take_over(services, ordered=True, certified=True, covers=covers), heard)


def certify_down(world: World, site: str, services: tuple[str, ...]) -> None:
    """P28: an operator certifies that the other site is off, and it is; `site` takes these services."""
    if not world.sites[world.other(site)].up:
        _order(world, site, services, None)


def order_certified(world: World, site: str, service: str) -> None:
    """P28: the same by a controller that decides: every gate is looked at first."""
    controller = world.controllers[site]
    if isinstance(controller, Decider) and not world.sites[world.other(site)].up:
        controller.certify(service)


def certify_hosts(world: World, site: str, services: tuple[str, ...], after_ns: int) -> None:
    """P28: an operator at `site` has a certificate drawn up, and uses it later: that the hosts of these
    services at the other site are off, and, where that site is seen to hold, of all that it serves."""
    keeper, other = world.keeper(site), world.other(site)
    if keeper is None or not keeper.running:
        return
    peer = keeper.state.peer_item
    covers = services
    if peer is not None and peer.record.hold:
        covers = tuple(dict.fromkeys((*services, *_primary_at(keeper, other))))
    if not off(world, other, covers):
        return

    def use() -> None:
        if off(world, other, covers):
            _order(world, site, services, covers)

    world.after(after_ns, use)


def _primary_at(keeper: KeeperNode, site: str) -> list[str]:
    return [
        name
        for name, held in keeper.state.services.items()
        if held.item is not None and held.item.record.primary == site
    ]


def certify_peer(world: World, site: str) -> None:
    """P32: an operator certifies that the other site is off and broke no glass, and it is so."""
    other = world.other(site)
    broke = any(world.checks.glass.get(service) == other for service in world.services)
    if not world.sites[other].up and not broke:
        world.controllers[site].ask(
            m.CertifyPeer(who="operator", why="it is off", certificate=f"peer-{world.number()}")
        )


def break_glass(world: World, site: str, service: str) -> None:
    """P31: the other site is off, an operator certifies it, and `site` serves without the store."""
    keeper, other = world.keeper(site), world.other(site)
    if not lost(world, other) or keeper is None or not keeper.running:
        return
    epoch, certificate = _epoch(world, site, service, keeper), f"glass-{world.number()}"
    wish = Wish(to_site=site, from_site=other, planned=False, automatic=False, certified_down=True)
    said, _ = world.controllers[site].eyes.state_loss(keeper, service, wish)

    def broken(reply: m.Reply) -> None:
        if not reply.done:
            return
        world.checks.glass_broken(service, site, epoch, said)
        _hand_over(world, site, service, epoch, certificate)

    world.controllers[site].ask(
        m.BreakGlass(service=service, epoch=epoch, certificate=certificate, who="operator", why="no quorum"),
        broken,
    )


def certify_by_hand(world: World, site: str, service: str) -> None:
    """P19, P31: no keeper of `site` lives; an operator carries the certificate to the guard, and opens the
    database there."""
    keeper, guard = world.keeper(site), world.guards.get((site, service))
    if keeper is not None or guard is None or not guard.alive or not lost(world, world.other(site)):
        return
    epoch = guard.memory.epoch + 1
    world.checks.glass_broken(service, site, epoch, None)
    _hand_over(world, site, service, epoch, f"glass-{world.number()}")
    world.hosts[site, service].open()


def _epoch(world: World, site: str, service: str, keeper: KeeperNode) -> int:
    item, guard = keeper.state.services[service].item, world.guards.get((site, service))
    known = item.record.epoch if item is not None else guard.memory.epoch if guard is not None else 0
    return known + 1


def _hand_over(world: World, site: str, service: str, epoch: int, certificate: str) -> None:
    guard = world.guards.get((site, service))
    if guard is not None and guard.alive:
        guard.run(guard.life, guard.tell, g.Certified(service, epoch, certificate))
