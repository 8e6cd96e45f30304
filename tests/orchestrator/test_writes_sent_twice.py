"""A store that is slow for a moment: every write reaches it by two of its members, and what is heard is that
the later one was refused. Whoever wrote tells by the value that it was theirs (P3): nothing is done twice,
and nothing that was written counts as not written.
"""

import pytest

from orchestrator.controller import Controller
from orchestrator.store.base import Compare, KeyValue, Put, TransactionResult, took_effect
from orchestrator.store.memory import Call, Fate, MemoryCluster, NoFaults
from tests.orchestrator import test_drills as drills
from tests.orchestrator import test_steering_runs as steering
from tests.orchestrator.two_sites import DURHAM, MORPETH, two_sites


class Twice(NoFaults):
    """Each write is sent to two members."""

    def call(self, call: Call) -> Fate:
        return Fate(twice=call.kind == "transact")


async def test_a_committed_write_is_known_by_its_value_and_anybody_elses_is_not() -> None:
    store = MemoryCluster(faults=Twice()).client("x")
    puts = [Put("runs/a", b"mine"), Put("runs/b", b"mine too")]
    compares = [Compare("runs/a", 0), Compare("runs/b", 0)]
    result = await store.transact(compares, puts, ["runs/a", "runs/b"], timeout_seconds=1)
    assert not result.succeeded
    assert took_effect(result, puts)
    assert not took_effect(result, [Put("runs/a", b"another's"), puts[1]])
    assert not took_effect(TransactionResult(False, 1, (None, KeyValue("runs/b", b"mine too", 1))), puts)
    assert took_effect(TransactionResult(True, 2, ()), puts)


async def test_a_planned_move_goes_through() -> None:
    async with two_sites() as world:
        world.cluster.faults = Twice()
        plan = await world.durham.move("switchover")
        await world.until(lambda: world.steady(at=MORPETH))
        await world.until(lambda: steering.state_of(world, plan.run) == "done")


@pytest.mark.parametrize("ordered_at", [DURHAM, MORPETH])
async def test_an_order_from_the_other_site_is_followed_once(
    monkeypatch: pytest.MonkeyPatch, ordered_at: str
) -> None:
    async with steering.waiting(monkeypatch) as (world, run, hosts):
        world.cluster.faults = Twice()
        given = await steering.order(world.sites[ordered_at], run, "done", "demote/tell", evidence="told")
        assert given.number == 1
        await world.until(lambda: world.steady(at=MORPETH))
        await world.until(lambda: steering.state_of(world, run) == "done")
        ended = await world.detail(run, world.durham)
        assert [(order.verb, order.site) for order in ended.orders] == [("done", ordered_at)]
        assert hosts.ran == [(DURHAM, "appctl stop")]


async def test_a_drill_that_was_begun_is_carried_out() -> None:
    async with drills.world() as there:
        there.cluster.faults = Twice()
        run = await drills.order(there.durham)
        await there.until(lambda: drills.ended(there))
        assert drills.record(there).success_run == run
        assert len(there.runs("drill")) == 1


async def test_a_run_that_was_cut_off_is_gone_on_with_by_whoever_raised_its_number() -> None:
    async with drills.world() as there:
        there.pair.copies.hangs.add("copy")
        run = await drills.order(there.durham)
        await there.until(lambda: "copy" in there.pair.copies.said)
        there.cluster.faults = Twice()
        controller: Controller = there.durham.controller
        adopted = await controller.mover.adopt(run)
        assert adopted is not None
        assert adopted.executor_site == DURHAM
        there.pair.copies.hangs.clear()
        await there.until(lambda: drills.ended(there))
