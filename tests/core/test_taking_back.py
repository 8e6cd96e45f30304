"""A service that was given up and not claimed goes back to whoever gave it up, free of the run that had it
given up; and a run that is let go moves nothing any more."""

from orchestrator.core import messages as m
from orchestrator.core.decision import Act
from orchestrator.core.records import Movement, ServiceRecord
from sites.replication.words import Position
from tests.core.views import DOWN, HEALTHY
from tests.core.world import MS, SECOND, SiteWorld, position, run_record, steady_world

FINAL = position(100)


def _record(world: SiteWorld) -> ServiceRecord:
    item = world.store.service("s")
    assert item is not None
    return item.record


def _claim(run: str, received: Position | None = FINAL, *, epoch: int = 2) -> m.Claim:
    return m.Claim(
        service="s",
        run=run,
        epoch=epoch,
        record=None,
        received=received,
        accept_loss=False,
        mode_if_new="automatic",
        who="controller",
        why="nobody came for it",
    )


def _done(world: SiteWorld, site: str, what: m.Ask) -> bool:
    ask = world.ask(site, what)
    world.run(500 * MS)
    reply = world.reply(site, ask)
    assert reply is not None
    return reply.done


def _ordered_to_y() -> SiteWorld:
    """A switchover from x to y has been ordered."""
    world = steady_world()
    item = world.store.service("s")
    assert item is not None
    run = run_record("run-1", "s", to_site="y", from_site="x", kind="switchover")
    assert _done(world, "y", m.StartRun(service="s", record=run, revision=item.revision, who="op", why="t"))
    return world


def _given_up() -> SiteWorld:
    """And x has given it up in order."""
    world = _ordered_to_y()
    assert _done(world, "y", m.RequestGiveUp(service="s", run="run-1"))
    world.run(SECOND)
    assert _record(world).primary is None
    return world


def test_what_is_taken_back_is_steady_and_its_old_run_brings_it_nowhere() -> None:
    world = _given_up()
    assert _done(world, "x", _claim("run-1"))
    record = _record(world)
    assert (record.primary, record.epoch) == ("x", 2)
    assert (record.movement, record.target) == (Movement.STEADY, None)
    assert world.open("x", "s")
    world.run(5 * SECOND)
    assert not world.violations


def test_what_is_taken_back_is_not_given_up_again_for_its_old_run() -> None:
    world = _given_up()
    assert _done(world, "x", _claim("run-1"))
    assert world.open("x", "s")
    assert not _done(world, "y", m.RequestGiveUp(service="s", run="run-1"))
    assert not _done(world, "y", _claim("run-1"))
    world.run(2 * SECOND)
    assert _record(world).primary == "x"
    assert world.writable["x", "s"]


def test_a_controller_that_dies_while_taking_back_leaves_a_service_that_is_just_opened_again() -> None:
    world = _given_up()
    assert _done(world, "x", _claim("run-1"))
    record = _record(world)
    moving = record.movement is Movement.MOVING
    _, decision = HEALTHY.but(here=DOWN, moving=moving, target=record.target, restarts_left=1).decide()
    assert decision.act is Act.RESTART


def test_a_dead_database_nobody_took_is_taken_back_steady_too() -> None:
    world = steady_world()
    assert _done(world, "x", m.GiveUpDead(service="s", why="dead"))
    assert _record(world).primary is None
    assert _done(world, "x", _claim(_record(world).run, received=None))
    assert (_record(world).primary, _record(world).movement) == ("x", Movement.STEADY)


def test_whoever_claims_it_for_a_run_of_its_own_holds_it_for_that_run() -> None:
    world = _given_up()
    assert _done(world, "y", _claim("run-1"))
    record = _record(world)
    assert (record.primary, record.movement, record.target) == ("y", Movement.MOVING, "y")


def test_only_one_of_the_site_that_takes_back_and_the_site_that_claims_gets_it() -> None:
    world = _given_up()
    asks = {"x": world.ask("x", _claim("run-1")), "y": world.ask("y", _claim("run-1"))}
    world.run(SECOND)
    replies = {site: world.reply(site, ask) for site, ask in asks.items()}
    won = [site for site, reply in replies.items() if reply is not None and reply.done]
    assert won == [_record(world).primary]


def test_a_run_that_is_let_go_can_have_nothing_given_up_any_more() -> None:
    world = _ordered_to_y()
    assert _done(world, "x", m.Settle(service="s", run="run-1", why="y is lost"))
    assert _record(world).movement is Movement.STEADY
    assert not _done(world, "y", m.RequestGiveUp(service="s", run="run-1"))
    world.run(SECOND)
    assert _record(world).primary == "x"
    assert world.nodes["x"].closes == []
    assert world.writable["x", "s"]


def test_letting_a_run_go_does_not_undo_the_give_up_it_had_asked_for() -> None:
    """P25: settling never changes who is primary, so what was given up still has to be claimed."""
    world = _given_up()
    assert _done(world, "x", m.Settle(service="s", run="run-1", why="y is lost"))
    record = _record(world)
    assert (record.primary, record.previous, record.final_position) == (None, "x", FINAL)


def test_what_was_taken_back_and_given_up_once_more_is_not_claimed_for_the_time_before() -> None:
    """P24: what was written since is not in the loss that was stated for that claim."""
    world = steady_world()
    assert _done(world, "x", m.GiveUpDead(service="s", why="dead"))
    assert _done(world, "x", _claim(_record(world).run, received=None))
    assert world.open("x", "s")
    world.run(2 * SECOND)
    assert _done(world, "x", m.GiveUpDead(service="s", why="dead again"))
    late = world.ask("y", _claim("decided-before", received=None))
    world.run(500 * MS)
    reply = world.reply("y", late)
    assert reply is not None
    assert (reply.done, reply.code) == (False, "changed-since-plan")
    assert _record(world).primary is None
    assert _done(world, "y", _claim("decided-since", received=None, epoch=3))
