"""An ordered failover away from a site that lives: its keeper shuts what does not serve, and gives it up."""

from orchestrator.core import messages as m
from orchestrator.core.records import ServiceRecord
from tests.core.world import MS, SECOND, SiteWorld, run_record, steady_world


def _record(world: SiteWorld) -> ServiceRecord:
    item = world.store.service("s")
    assert item is not None
    return item.record


def _asked_to_shut() -> SiteWorld:
    """y's run for a failover has asked x to give its service up."""
    world = steady_world()
    item = world.store.service("s")
    assert item is not None
    run = run_record("run-1", "s", to_site="y", from_site="x", kind="failover")
    world.ask("y", m.StartRun(service="s", record=run, revision=item.revision, who="op", why="t"))
    world.run(200 * MS)
    world.ask("y", m.RequestGiveUp(service="s", run="run-1"))
    return world


def test_it_is_fenced_not_closed_and_given_up_without_a_position() -> None:
    world = _asked_to_shut()
    world.run(SECOND)
    record = _record(world)
    assert (record.primary, record.previous, record.planned) == (None, "x", False)
    assert record.final_position is None
    assert world.nodes["x"].closes == []
    assert "s" in world.nodes["x"].fenced_at_ns
    assert not world.open("x", "s")


def test_a_fence_that_proves_nothing_leaves_it_where_it_is_and_says_why() -> None:
    world = steady_world()
    world.fence_works = False
    item = world.store.service("s")
    assert item is not None
    run = run_record("run-1", "s", to_site="y", from_site="x", kind="failover")
    world.ask("y", m.StartRun(service="s", record=run, revision=item.revision, who="op", why="t"))
    world.run(200 * MS)
    world.ask("y", m.RequestGiveUp(service="s", run="run-1"))
    world.run(SECOND)
    record = _record(world)
    assert (record.primary, record.asked_to_give_up, record.refusal) == ("x", False, "tried")
    assert not world.nodes["x"].state.services["s"].giving_up
    assert world.open("x", "s")
