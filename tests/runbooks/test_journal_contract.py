"""What every journal promises: the one in memory and the one on disk, by the same tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.clock import boottime_ns, wall_unix_seconds
from orchestrator.journal import SqliteJournal
from runbooks.journal import (
    Event,
    Journal,
    MemoryJournal,
    RunEnded,
    RunOutcome,
    RunPlanned,
    RunResumed,
    StepEnded,
    StepOutcome,
    StepRetried,
    StepStarted,
    StepWithdrawn,
)
from runbooks.progress import fold, plan_of
from tests.runbooks.worlds import World, plan_of_steps, step

Opening = Callable[[], AbstractAsyncContextManager[Journal]]
PLAN = plan_of_steps(step("a"), step("b", "a", arguments={"what": "x; $(y) 'ünï' \n"}))


@pytest.fixture(params=["memory", "sqlite"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    @contextlib.asynccontextmanager
    async def memory() -> AsyncIterator[Journal]:
        yield MemoryJournal(boottime_ns, wall_unix_seconds)

    @contextlib.asynccontextmanager
    async def sqlite() -> AsyncIterator[Journal]:
        journal = await SqliteJournal.open(tmp_path / "journal.sqlite")
        try:
            yield journal
        finally:
            await journal.aclose()

    return memory if request.param == "memory" else sqlite


EVENTS: list[Event] = [
    RunPlanned(PLAN, "anna", "flood", "at most 3 s"),
    StepStarted("p/a", 1),
    StepRetried("p/a", 1, "exit 1: 'quoted' \n ünï", 1),
    StepStarted("p/a", 2),
    StepWithdrawn("p/a", 2, "no right"),
    RunResumed(2),
    StepStarted("p/a", 3),
    StepEnded("p/a", 3, StepOutcome.DONE, "fine", 0, 1.25, {"final_position": {"offset_bytes": 1 << 60}}),
    RunEnded(RunOutcome.INTERRUPTED, "told to stop", ("p/b",)),
]


async def test_what_was_recorded_is_read_back_as_it_was_and_in_order(opening: Opening) -> None:
    async with opening() as journal:
        returned = [await journal.append("run-1", event) for event in EVENTS]
        read = list(await journal.read("run-1"))
        assert read == returned
        assert [record.event for record in read] == EVENTS
        assert [record.sequence for record in read] == list(range(1, len(EVENTS) + 1))
        assert all(a.boottime_ns <= b.boottime_ns for a, b in pairwise(read))
        plan = plan_of(read)
        assert plan == PLAN
        assert fold(PLAN, read).values == {"final_position": {"offset_bytes": 1 << 60}}


async def test_runs_do_not_mix_and_an_unknown_run_is_empty(opening: Opening) -> None:
    async with opening() as journal:
        await journal.append("run-1", EVENTS[0])
        await journal.append("run-2", EVENTS[0])
        await journal.append("run-2", StepStarted("p/a", 1))
        assert [record.sequence for record in await journal.read("run-2")] == [1, 2]
        assert len(await journal.read("run-1")) == 1
        assert list(await journal.read("run-3")) == []


async def test_the_list_of_runs_is_newest_first_and_says_how_each_stands(opening: Opening) -> None:
    async with opening() as journal:
        for number in range(5):
            await journal.append(f"run-{number}", EVENTS[0])
        await journal.append("run-1", RunEnded(RunOutcome.DONE, "2 of 2 steps are done"))
        await journal.append("run-2", RunEnded(RunOutcome.INTERRUPTED, "told to stop"))
        await journal.append("run-2", RunResumed(1))
        await journal.append("run-3", RunEnded(RunOutcome.LOST_RIGHT, "the lease is over"))
        listed = {run.run_id: run for run in await journal.runs(10)}
        assert list(listed) == ["run-4", "run-3", "run-2", "run-1", "run-0"]
        assert listed["run-1"].outcome is RunOutcome.DONE
        assert listed["run-1"].summary == "2 of 2 steps are done"
        assert (listed["run-2"].outcome, listed["run-2"].ended_wall_seconds) == (None, None)
        assert listed["run-3"].outcome is RunOutcome.LOST_RIGHT
        first = listed["run-0"]
        assert (first.kind, first.service, first.from_site, first.to_site, first.who) == (
            "failover",
            "crm",
            "durham",
            "morpeth",
            "anna",
        )
        assert [run.run_id for run in await journal.runs(2)] == ["run-4", "run-3"]


async def test_records_of_many_at_once_are_all_there_and_numbered_without_a_gap(opening: Opening) -> None:
    async with opening() as journal:
        await journal.append("run-1", EVENTS[0])
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(journal.append("run-1", StepStarted("p/a", number)))
        read = await journal.read("run-1")
        assert [record.sequence for record in read] == list(range(1, 52))


async def test_what_was_handed_in_cannot_be_changed_afterwards(opening: Opening) -> None:
    async with opening() as journal:
        values = {"x": 1}
        await journal.append("run-1", EVENTS[0])
        await journal.append("run-1", StepEnded("p/a", 1, StepOutcome.DONE, values=values))
        values["x"] = 2
        event = (await journal.read("run-1"))[1].event
        assert isinstance(event, StepEnded)
        assert event.values == {"x": 1}


async def test_the_engine_carries_a_plan_out_with_any_journal(opening: Opening) -> None:
    async with opening() as journal:
        world = World(journal=journal, now=boottime_ns)
        outcome = await world.carry_out(PLAN)
        assert outcome.done
        assert world.deeds.done == ["p/a", "p/b"]
        assert fold(PLAN, await journal.read("run-1")) == outcome.progress
