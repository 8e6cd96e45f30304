"""Whoever accepts a store that was put back (P33): what they are shown, what they certify, and what becomes
of it. They certify what is so, and order nothing where they cannot know; the rest is the product's own code.
"""

from typing import TYPE_CHECKING

from orchestrator.core import accepting
from orchestrator.core import messages as m
from orchestrator.core.records import SERVICES, SITES
from orchestrator.core.restored import (
    AcceptStore,
    Certified,
    Proposal,
    SiteWord,
    Word,
    Writer,
    certification,
    may_serve,
    propose,
    word_of,
    writer_of,
)
from orchestrator.simulate.clocks import MS, SECOND
from orchestrator.simulate.store import value_of
from orchestrator.store.base import KeyValue
from orchestrator.store.continuity import Acceptance, Answer, accepted, with_answer, with_epoch

if TYPE_CHECKING:
    from orchestrator.simulate.keepers import KeeperNode
    from orchestrator.simulate.world import World

NOTED_WITHIN_NS = 5 * SECOND
LOOK_EVERY_NS = 20 * MS


def accept(world: "World", site: str) -> None:
    """Somebody at this site looks at a store that it does not trust, and accepts it if they may."""
    keeper = world.keeper(site)
    disk = world.sites[site].disk
    unreached = world.store.lost or world.up[site].cut or world.down[site].cut
    if keeper is None or not keeper.running or not disk.store_broken or unreached:
        return
    ask = _ask(world, keeper)
    if ask is not None:
        keeper.tell(m.StoreToBeAccepted())
        _when_noted(world, keeper, ask, world.now_ns + NOTED_WITHIN_NS)


def _ask(world: "World", keeper: "KeeperNode") -> AcceptStore | None:
    """What would be certified; None where it is refused, or nobody can say that it is so."""
    there = _word_of_the_peer(world, keeper)
    proposals = []
    for name in world.services:
        proposed = _proposed(world, keeper, name, there, None)
        if proposed.refusal is not None:
            owner = world.checks.truth.get(name) or world.services[name].home
            proposed = _proposed(world, keeper, name, there, owner)
        proposals.append(proposed)
    if any(each.refusal is not None or (each.writes and not _is_so(world, each)) for each in proposals):
        return None
    return AcceptStore(
        certificate=f"owner-{world.number()}",
        cluster_id=world.store.cluster_id,
        owners=tuple(
            Certified(
                service=each.service,
                owner=each.owner or "",
                epoch=each.epoch,
                found_revision=each.found_revision,
            )
            for each in proposals
            if each.writes
        ),
        peer_trusts=there is not None and there.trusted and there.cluster_id == world.store.cluster_id,
        who="operator",
        why="it was put back",
        at="",
    )


def _proposed(
    world: "World", keeper: "KeeperNode", name: str, there: SiteWord | None, named: str | None
) -> Proposal:
    found = {item.key: item for item in world.store.raw(SERVICES)}
    sites = (keeper.site, keeper.peer)
    here = _word(world, keeper, name)
    return propose(
        name,
        sites=sites,
        site=keeper.site,
        item=found.get(SERVICES + name),
        here=here,
        there=there,
        named=named,
    )


def _word(world: "World", keeper: "KeeperNode", name: str) -> Word:
    seen = world.sites[keeper.site].disk.seen
    assert seen is not None
    serves = may_serve(keeper.state, name, keeper.now())
    return word_of(seen, name, serves=serves, glass=name in keeper.state.glass)


def _word_of_the_peer(world: "World", keeper: "KeeperNode") -> SiteWord | None:
    there = world.keeper(keeper.peer)
    reached = not world.across[keeper.site].cut and not world.across[keeper.peer].cut
    if there is None or not there.running or not reached:
        return None
    disk = world.sites[keeper.peer].disk
    assert disk.seen is not None
    return SiteWord(
        site=keeper.peer,
        cluster_id=disk.seen.cluster_id,
        revision=disk.seen.revision,
        trusted=not disk.store_broken,
        services=tuple(_word(world, there, name) for name in world.services),
    )


def _is_so(world: "World", each: Proposal) -> bool:
    """The certificate is true: its owner is the last there was, and its epoch a new one. Where nobody was the
    owner, the service must be shut at the site that is not named."""
    checks = world.checks
    last = checks.truth.get(each.service)
    if each.owner is None or each.epoch <= checks.highest.get(each.service, 0):
        return False
    if last is None:
        return not world.hosts[world.other(each.owner), each.service].writable()
    return each.owner == last


# --- carried out -----------------------------------------------------------------------------------------


def _when_noted(world: "World", keeper: "KeeperNode", ask: AcceptStore, until_ns: int) -> None:
    """What must stand on the disk stands there; then it is looked at once more, and written."""
    if not keeper.running or world.now_ns > until_ns:
        return
    if not accepting.may_be_written(keeper.state):
        world.after(LOOK_EVERY_NS, _when_noted, world, keeper, ask, until_ns)
        return
    seen = world.sites[keeper.site].disk.seen
    assert seen is not None
    writer = writer_of(keeper.state, seen.incarnation)
    for delay_ns in world.up[keeper.site].delays()[:1]:
        world.after(delay_ns, _written, world, keeper, ask, writer, world.store.life)


def _written(world: "World", keeper: "KeeperNode", ask: AcceptStore, writer: Writer, life: int) -> None:
    store, seen = world.store, world.sites[keeper.site].disk.seen
    if seen is None or store.life != life or world.up[keeper.site].cut or not world.store_open(lambda: None):
        return
    compares, puts = certification(
        ask,
        writer,
        found={item.key.removeprefix(SERVICES): item for item in store.raw(SERVICES)},
        keys={item.key.removeprefix(SITES): item for item in store.raw(SITES)},
        last=seen.keys,
    )
    if puts:
        named = tuple(each.service for each in ask.owners)
        values = tuple((put.key, value_of(put.key, put.value)) for put in puts)
        if not world.commit(keeper.site, compares, values, m.Transact(0, compares, puts, named)):
            return
    for delay_ns in world.down[keeper.site].delays()[:1]:
        world.after(delay_ns, keeper.run, _trusted, world, keeper, ask, life, store.raw(), store.revision)


def _trusted(
    world: "World",
    keeper: "KeeperNode",
    ask: AcceptStore,
    life: int,
    items: tuple[KeyValue, ...],
    revision: int,
) -> None:
    """It is on the disk, and from this moment on it is trusted."""
    disk = world.sites[keeper.site].disk
    if disk.seen is None or world.down[keeper.site].cut or not disk.store_broken:
        return
    acceptance = Acceptance(
        certificate=ask.certificate,
        cluster_id=ask.cluster_id,
        revision=revision,
        who=ask.who,
        reason=ask.why,
        at=ask.at,
    )
    seen = disk.seen
    for each in ask.owners:
        seen = with_epoch(seen, each.service, each.epoch)
    fresh = accepted(seen, acceptance, items)
    disk.seen = with_answer(fresh, Answer(cluster_id=ask.cluster_id, revision=revision, items=items))
    disk.store_broken = False
    if world.story is not None:
        world.story.say(f"keeper {keeper.name}", f"the store is accepted ({ask.certificate})")
    keeper.start_anew(disk.seen.incarnation + 1)
