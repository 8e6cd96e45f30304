"""Counters that do not go back when a controller is started anew."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator import counting
from orchestrator.counting import keep_counts, recalled
from orchestrator.journal import SqliteJournal
from orchestrator.journal_tables import Counted
from orchestrator.readings import DecisionKey, Durations, RunKey, StepKey, Tally
from runbooks.errors import JournalFull


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "TOGETHER_SECONDS", 0.0)


@contextlib.asynccontextmanager
async def controller(path: Path) -> AsyncIterator[Tally]:
    """What of a controller counts, on a journal; ended in order, or killed when left by an error."""
    journal = await SqliteJournal.open(path)
    changed = asyncio.Event()
    tally = Tally(changed.set)
    task = asyncio.create_task(keep_counts(tally, journal, changed))
    try:
        yield tally
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.aclose()


async def shown(tally: Tally, decisions: int) -> None:
    async with asyncio.timeout(10):
        while sum(tally.counts().decisions.values()) < decisions:
            await asyncio.sleep(0.001)


def one_of_each(tally: Tally) -> None:
    tally.refused("ebs", "guard-missing")
    tally.not_accepted("record-unreadable")
    tally.run_ended("ebs", "failover", "done", 2.5)
    tally.step_ended("ebs", "promote", "done", 0.25)
    tally.decided("ebs", "hold", "healthy")


async def test_a_controller_that_is_started_anew_counts_on(path: Path) -> None:
    for lives in (1, 2, 3):
        async with controller(path) as tally:
            one_of_each(tally)
            await shown(tally, lives)
            counts = tally.counts()
        assert counts.decisions == {DecisionKey("ebs", "hold", "healthy"): lives}
        assert sum(counts.refusals.values()) == lives
        assert counts.not_accepted == {"record-unreadable": lives}
        assert counts.runs == {RunKey("ebs", "failover", "done"): Durations(lives, lives * 2.5)}
        assert counts.steps == {StepKey("ebs", "promote", "done"): Durations(lives, lives * 0.25)}


async def test_what_is_shown_is_on_file_already_so_that_a_kill_takes_nothing_back(path: Path) -> None:
    async with controller(path) as tally:
        for number in range(1, 6):
            tally.decided("ebs", "hold", "healthy")
            await shown(tally, number)
            # Read past the controller, as its successor would after a kill at this moment.
            with contextlib.closing(sqlite3.connect(path)) as other:
                assert other.execute("SELECT number FROM counts").fetchone() == (number,)


async def test_what_was_counted_last_is_kept_when_a_controller_is_ended_in_order(path: Path) -> None:
    async with controller(path) as tally:
        await asyncio.sleep(0)
        tally.decided("ebs", "hold", "healthy")
    async with controller(path) as tally:
        await shown(tally, 1)


async def test_a_journal_without_counts_or_that_takes_none_costs_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: SqliteJournal, counted: object) -> None:
        raise JournalFull("no room")

    monkeypatch.setattr(SqliteJournal, "add_counts", full)
    async with controller(path) as tally:
        tally.decided("ebs", "hold", "healthy")
        await shown(tally, 1)
    journal = await SqliteJournal.open(path)
    assert await journal.counts() == ()
    await journal.aclose()


async def test_pruning_takes_nothing_from_what_was_counted(path: Path) -> None:
    journal = await SqliteJournal.open(path, events_kept=1)
    await journal.add_counts([Counted("decision", ("ebs", "hold", "healthy"), 1)])
    for _ in range(501):
        await journal.append_event("decision", "ebs", {})
    assert len(await journal.events(1000)) < 500
    assert await journal.counts() == (Counted("decision", ("ebs", "hold", "healthy"), 1),)
    await journal.aclose()


def test_what_another_release_counted_is_left_alone() -> None:
    assert recalled([Counted("weather", ("fine",), 3), Counted("run", ("ebs",), 1)]) == {}


def test_without_a_keeper_of_counts_they_are_shown_at_once() -> None:
    tally = Tally()
    tally.decided("ebs", "hold", "healthy")
    assert sum(tally.counts().decisions.values()) == 1
