"""The journal on disk: durable, bounded, and plain about a file or a disk that is not as it should be."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.clock import boottime_ns
from orchestrator.journal import EVENT_LIMIT_BYTES, SqliteJournal
from orchestrator.journal_file import Reserve
from runbooks.errors import JournalDamaged, JournalFull, JournalNewer, JournalTrouble
from runbooks.journal import RunEnded, RunOutcome, RunPlanned, StepEnded, StepOutcome, StepStarted
from runbooks.steered import Order, Verb
from tests.runbooks.worlds import World, plan_of_steps, step

PLAN = plan_of_steps(step("a"), step("b", "a"))
PLANNED = RunPlanned(PLAN, "anna", "flood")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


async def test_a_journal_is_made_for_its_owner_alone_and_read_again_after_closing(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    record = await journal.append("run-1", PLANNED)
    await journal.aclose()
    assert path.stat().st_mode & 0o777 == 0o600
    again = await SqliteJournal.open(path)
    assert list(await again.read("run-1")) == [record]
    await again.aclose()


async def test_a_record_is_on_disk_before_append_returns_even_if_nobody_closes(path: Path) -> None:
    script = f"""
import asyncio, os, signal
from pathlib import Path
from orchestrator.journal import SqliteJournal
from runbooks.journal import StepStarted
async def life():
    journal = await SqliteJournal.open(Path({str(path)!r}))
    await journal.append("run-1", StepStarted("p/a", 1))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(life())
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    journal = await SqliteJournal.open(path)
    assert [record.event for record in await journal.read("run-1")] == [StepStarted("p/a", 1)]
    await journal.aclose()


async def test_a_write_torn_by_a_crash_is_left_out_and_everything_before_it_is_there(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    await journal.append("run-1", PLANNED)
    await journal.append("run-1", StepStarted("p/a", 1))
    before = path.with_name("journal.sqlite-wal").stat().st_size
    await journal.append("run-1", StepEnded("p/a", 1, StepOutcome.DONE, "x" * 3000))
    torn = path.with_name("torn.sqlite")
    # As the disk would be after a crash in the middle of the last write.
    torn.write_bytes(path.read_bytes())
    log = path.with_name("journal.sqlite-wal").read_bytes()
    path.with_name("torn.sqlite-wal").write_bytes(log[: before + 2000] + b"\xff" * 1000)
    await journal.aclose()
    again = await SqliteJournal.open(torn)
    assert [record.event for record in await again.read("run-1")] == [PLANNED, StepStarted("p/a", 1)]
    await again.aclose()


async def test_two_controllers_cannot_write_one_journal(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    with pytest.raises(JournalTrouble, match="another controller"):
        await SqliteJournal.open(path)
    await journal.aclose()
    await (await SqliteJournal.open(path)).aclose()


# -- a file that is not as it should be -------------------------------------------------------------


async def refused(path: Path, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        await SqliteJournal.open(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_what_is_no_database_is_said_so_with_the_remedy(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is not a database, and long enough to be looked at" * 100)
    assert "Move it aside" in await refused(path, JournalDamaged)


async def test_another_programs_database_is_not_written_to(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE important (x)")
    other.close()
    assert "other program" in await refused(path, JournalDamaged)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("important",)]
    other.close()


async def test_a_damaged_file_is_found_at_start_and_not_in_the_middle_of_a_run(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    for number in range(50):
        await journal.append(f"run-{number}", PLANNED)
    await journal.aclose()
    content = bytearray(path.read_bytes())
    for place in range(4096 * 3, len(content) - 4096, 4096):
        content[place : place + 200] = b"\xa5" * 200
    path.write_bytes(content)
    assert "Move it aside" in await refused(path, JournalDamaged)


async def test_a_truncated_file_is_found_at_start(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    for number in range(50):
        await journal.append(f"run-{number}", PLANNED)
    await journal.aclose()
    os.truncate(path, path.stat().st_size // 2)
    assert "Move it aside" in await refused(path, JournalDamaged)


async def test_a_journal_of_a_newer_version_is_left_alone(path: Path) -> None:
    await (await SqliteJournal.open(path)).aclose()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    assert "newer twinsite" in await refused(path, JournalNewer)


async def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await refused(tmp_path / "file" / "journal.sqlite", JournalTrouble)
    (tmp_path / "folder.sqlite").mkdir()
    await refused(tmp_path / "folder.sqlite", JournalTrouble)


async def test_a_record_that_cannot_be_read_is_damage_and_no_traceback(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    await journal.append("run-1", PLANNED)
    await journal.aclose()
    with sqlite3.connect(path) as other:
        other.execute('UPDATE records SET event = \'{"event": "from the future"}\'')
    other.close()
    journal = await SqliteJournal.open(path)
    with pytest.raises(JournalDamaged, match="record 1 of run run-1"):
        await journal.read("run-1")
    await journal.aclose()


async def test_a_closed_journal_says_so(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    await journal.aclose()
    with pytest.raises(JournalTrouble, match="closed"):
        await journal.append("run-1", PLANNED)


# -- a full disk ------------------------------------------------------------------------------------


async def filled(path: Path) -> SqliteJournal:
    """A journal that SQLite itself says is full: its file may not grow any more."""
    journal = await SqliteJournal.open(path)
    await journal.append("run-1", PLANNED)

    def fill() -> None:
        connection = journal._tables._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await journal._in_thread(fill)
    return journal


async def append_for_ever(journal: SqliteJournal, run_id: str) -> None:
    for number in range(100_000):
        await journal.append(run_id, StepStarted("p/a", number))


async def test_on_a_full_disk_nothing_is_written_by_half_and_the_message_says_what_to_do(path: Path) -> None:
    journal = await filled(path)
    with pytest.raises(JournalFull, match="Free some space"):
        await append_for_ever(journal, "run-1")
    read = await journal.read("run-1")
    assert [record.sequence for record in read] == list(range(1, len(read) + 1))
    await journal.aclose()
    await (await SqliteJournal.open(path)).aclose()


async def test_a_disk_that_fills_up_in_mid_run_stops_the_run_before_its_next_step(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    world = World(journal=journal, now=boottime_ns)
    plan = plan_of_steps(step("a"), step("b", "a"), step("c", "b"))

    async def fill() -> None:
        def no_more() -> None:
            connection = journal._tables._connection
            connection.execute("PRAGMA max_page_count = 1")  # no more than there are

        await journal._in_thread(no_more)
        with pytest.raises(JournalFull):
            await append_for_ever(journal, "filler")

    world.deeds.scripts["p/b"] = lambda call: fill()
    outcome = await world.carry_out(plan)
    assert outcome.outcome is RunOutcome.NOT_RECORDED
    assert world.deeds.done == ["p/a", "p/b"]
    await journal.aclose()

    # With space again the run goes on; what was cut off is in doubt, and nothing runs twice by itself.
    journal = await SqliteJournal.open(path)
    world.journal = journal
    engine, context = world.engine(), world.context()
    going = asyncio.ensure_future(engine.carry_out(plan, context, who="anna", why="a test"))
    while not going.done() and not (world.seen and world.seen[-1].waits):
        await asyncio.sleep(0.001)
    if not going.done():
        ordered = Order(
            verb=Verb.DONE, step="p/b", who="ben@durham", site="durham", at="", reason="r", evidence="e"
        )
        assert isinstance(await engine.steer("run-1", ordered), Order)
    assert (await going).outcome is RunOutcome.DONE
    assert world.deeds.done.count("p/a") == world.deeds.done.count("p/b") == 1
    await journal.aclose()


async def test_an_intent_is_refused_while_there_would_be_no_room_for_its_end(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    await journal.append("run-1", PLANNED)
    # A disk too small for the reserve stands for one that has filled up since.
    journal._reserve.give_up()
    journal._reserve = Reserve(path, size_bytes=1 << 62)
    with pytest.raises(JournalTrouble):
        await journal.append("run-1", StepStarted("p/a", 1))
    with pytest.raises(JournalTrouble):
        await journal.append_event("decision", "crm", {})
    # The end of what is under way needs no reserve of its own.
    await journal.append("run-1", StepEnded("p/a", 1, StepOutcome.DONE))
    await journal.append("run-1", RunEnded(RunOutcome.DONE, "all"))
    assert len(await journal.read("run-1")) == 3
    await journal.aclose()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_on_a_disk_that_is_really_full_the_end_of_a_step_under_way_is_still_recorded(
    tmp_path: Path,
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount")
    try:
        journal = await SqliteJournal.open(small / "journal.sqlite")
        world = World(journal=journal, now=boottime_ns)
        filler = small / "filler"

        def fill(call: object) -> None:
            try:
                with filler.open("wb") as file:
                    while True:
                        file.write(b"x" * 4096)
            except OSError:
                pass

        world.deeds.scripts["p/b"] = fill
        plan = plan_of_steps(step("a"), step("b", "a"), step("c", "b"))
        outcome = await world.carry_out(plan)
        assert outcome.outcome is RunOutcome.NOT_RECORDED
        assert world.deeds.done == ["p/a", "p/b"]
        assert outcome.progress.started == ()
        assert "Free some space" in outcome.summary
        filler.unlink()
        assert (await world.carry_out(plan)).done
        assert world.deeds.done == ["p/a", "p/b", "p/c"]
        await journal.aclose()
    finally:
        subprocess.run(["umount", str(small)], check=False)


# -- the stream of decisions ------------------------------------------------------------------------


async def test_decisions_are_read_newest_first_or_followed_in_order(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    for number in range(6):
        await journal.append_event(
            "decision" if number % 2 else "diagnosis", "crm" if number < 4 else "ebs", {"n": number}
        )
    assert [entry.data["n"] for entry in await journal.events(3)] == [5, 4, 3]
    assert [entry.data["n"] for entry in await journal.events(service="crm", kind="decision")] == [3, 1]
    third = (await journal.events(4))[-1]
    assert [entry.data["n"] for entry in await journal.events(after=third.number)] == [3, 4, 5]
    assert [entry.data["n"] for entry in await journal.events(before=third.number)] == [1, 0]
    await journal.aclose()


async def test_the_stream_and_the_list_of_runs_stay_within_their_bounds(path: Path) -> None:
    journal = await SqliteJournal.open(path, runs_kept=3, events_kept=100)
    for number in range(1000):
        await journal.append_event("decision", "crm", {"n": number})
    assert len(await journal.events(10_000)) <= 100 + 500
    for number in range(8):
        await journal.append(f"run-{number}", PLANNED)
        if number != 1:
            await journal.append(f"run-{number}", RunEnded(RunOutcome.DONE, "x"))
    kept = [run.run_id for run in await journal.runs(100)]
    assert kept == ["run-7", "run-6", "run-5", "run-1"]
    assert list(await journal.read("run-0")) == []
    assert await journal.read("run-1")
    await journal.aclose()


async def test_an_entry_out_of_all_proportion_is_refused(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    with pytest.raises(ValueError, match="at most"):
        await journal.append_event("decision", "crm", {"x": "y" * EVENT_LIMIT_BYTES})
    with pytest.raises(ValueError):
        await journal.append_event("decision", "crm", {"x": float("nan")})
    await journal.aclose()
