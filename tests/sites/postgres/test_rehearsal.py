"""Isolated drills of real servers: a copy of the standby is promoted where nobody reaches it, and goes again
without a trace; production notices nothing."""

import asyncio
import contextlib
import os
import re
from pathlib import Path

import pytest

from sites.errors import DriverTrouble
from sites.replication.postgres.host import NoRoom
from sites.replication.postgres.rehearsal import PostgresRehearsal
from sites.replication.rehearsal import Question, Rehearses
from tests.sites.postgres.pairs import DURHAM, MORPETH, Pair

LIMIT_SECONDS = 60.0


def rehearsal(pair: Pair) -> PostgresRehearsal:
    assert isinstance(pair.driver, Rehearses)
    return pair.driver.rehearsal


def place(pair: Pair) -> Path:
    return Path(f"{pair.data(MORPETH)}.drill")


def left(pair: Pair) -> list[Path]:
    """What lies beside the standby's data because of a drill, and its sockets."""
    beside = [path for path in pair.data(MORPETH).parent.iterdir() if ".drill" in path.name]
    return beside + [path for path in Path("/tmp").glob("twinsite-drill-*") if working_in(path, pair)]


def working_in(socket: Path, pair: Pair) -> bool:
    return any(str(pair.base) in line for line in lock_lines(socket))


def lock_lines(socket: Path) -> list[str]:
    try:
        return (socket / ".s.PGSQL.5432.lock").read_text().splitlines()
    except OSError:
        return []


def processes(folder: Path) -> list[int]:
    """Every process that works in the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def opened(pair: Pair) -> PostgresRehearsal:
    """A copy that runs and is promoted."""
    drill = rehearsal(pair)
    await drill.copy(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.start(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.promote(MORPETH, timeout_seconds=LIMIT_SECONDS)
    return drill


async def slots(pair: Pair, site: str) -> list[str]:
    rows = await pair.run(site, "select slot_name from pg_replication_slots order by 1")
    return [str(row[0]) for row in rows]


async def test_a_whole_drill_leaves_nothing_and_production_as_it_was(pair: Pair) -> None:
    await pair.run(DURHAM, "insert into rows select generate_series(1, 500)")
    await pair.until_row(MORPETH, 500)
    before = (await slots(pair, DURHAM), await slots(pair, MORPETH))
    timeline = (await pair.driver.sample(MORPETH)).timeline
    drill = rehearsal(pair)
    assert "must stay" in await drill.room(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert "copied from the standby" in await drill.copy(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.start(MORPETH, timeout_seconds=LIMIT_SECONDS)
    said = await drill.promote(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert re.search(rf"written on timeline {timeline + 1}$", said), said
    rows = Question("rows", sql="select count(*) from rows", expect="500")
    assert await drill.ask(MORPETH, rows, timeout_seconds=LIMIT_SECONDS) == "it answers 500"
    assert "it answers" in await drill.ask(MORPETH, Question("tables"), timeout_seconds=LIMIT_SECONDS)
    # Production goes on meanwhile, with its own history, and knows nothing of the copy.
    await pair.run(DURHAM, "insert into rows values (501)")
    await pair.until_row(MORPETH, 501)
    assert await drill.ask(MORPETH, rows, timeout_seconds=LIMIT_SECONDS) == "it answers 500"
    assert "nothing is left" in await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert left(pair) == []
    assert (await slots(pair, DURHAM), await slots(pair, MORPETH)) == before
    assert (await pair.driver.sample(MORPETH)).timeline == timeline
    assert (await pair.driver.sample(MORPETH)).streaming


def handles(pid: int) -> list[str]:
    """What a process has open; nothing for one that has ended meanwhile, as autovacuum's do."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(handle))
    return found


async def test_nobody_but_its_own_user_can_reach_the_copy(any_pair: Pair) -> None:
    pair = any_pair
    drill = await opened(pair)
    copy = place(pair)
    pids = processes(copy)
    assert pids
    inodes = {line.split()[9] for name in ("tcp", "tcp6") for line in listening(name)}
    held = {target for pid in pids for target in handles(pid)}
    assert not [inode for inode in inodes if f"socket:[{inode}]" in held], "it listens on the network"
    (socket,) = [path for path in Path("/tmp").glob("twinsite-drill-*") if working_in(path, pair)]
    assert socket.stat().st_mode & 0o777 == 0o700
    settings = (
        "select name || '=' || setting from pg_settings where name = any('{archive_mode,primary_conninfo"
    )
    settings += ",primary_slot_name,restore_command,shared_preload_libraries}') order by name"
    said = await drill.ask(
        MORPETH, Question("alone", run=f'psql -X -A -t -c "{settings}"'), timeout_seconds=LIMIT_SECONDS
    )
    assert said.split() == [
        "yes:",
        "archive_mode=off",
        "primary_conninfo=",
        "primary_slot_name=",
        "restore_command=",
        "shared_preload_libraries=",
    ]
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert processes(copy) == []
    assert not socket.exists()


def listening(name: str) -> list[str]:
    return [
        line for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:] if line.split()[3] == "0A"
    ]


async def test_a_question_that_is_answered_with_no_is_a_no(any_pair: Pair) -> None:
    drill = await opened(any_pair)
    for question, words in (
        (Question("empty", sql="select count(*) from rows"), "expected a value that says yes"),
        (Question("other", sql="select 7", expect="8"), "expected 8"),
        (Question("broken", sql="select * from nowhere"), "nowhere"),
        (Question("command", run="echo it is not there; exit 3"), "it is not there"),
    ):
        with pytest.raises(DriverTrouble, match=re.escape(words)):
            await drill.ask(MORPETH, question, timeout_seconds=LIMIT_SECONDS)
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)


async def test_removing_twice_and_removing_nothing_is_well(any_pair: Pair) -> None:
    drill = rehearsal(any_pair)
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.copy(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert left(any_pair) == []


async def test_what_an_earlier_drill_left_running_goes_before_the_next_copy(any_pair: Pair) -> None:
    drill = await opened(any_pair)
    first = processes(place(any_pair))
    await opened(any_pair)
    assert not set(first).intersection(processes(place(any_pair)))
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)


async def test_what_is_not_ours_is_never_removed(any_pair: Pair) -> None:
    theirs = place(any_pair)
    theirs.mkdir()
    (theirs / "precious").write_text("somebody's")
    with pytest.raises(DriverTrouble, match="is in the way and is not ours"):
        await rehearsal(any_pair).copy(MORPETH, timeout_seconds=LIMIT_SECONDS)
    with pytest.raises(DriverTrouble, match="is in the way and is not ours"):
        await rehearsal(any_pair).remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert (theirs / "precious").read_text() == "somebody's"


async def test_a_copy_for_which_there_is_no_room_is_never_begun(any_pair: Pair) -> None:
    """As the host's own tools tell it: a file system of which all but 50 MiB are taken."""
    tools = any_pair.base / "tools"
    tools.mkdir(mode=0o755)
    fake = tools / "df"
    fake.write_text(
        "#!/bin/sh\necho Filesystem 1024-blocks Used Available\necho /dev/x 1000000 948800 51200\n"
    )
    fake.chmod(0o755)
    any_pair.transport.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
    with pytest.raises(NoRoom, match=r"no room for a copy in .*: it takes up to .* must stay for production"):
        await rehearsal(any_pair).room(MORPETH, timeout_seconds=LIMIT_SECONDS)
    with pytest.raises(NoRoom):
        await rehearsal(any_pair).copy(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert not place(any_pair).exists()


async def test_a_copy_that_does_not_start_says_why_and_can_be_removed(any_pair: Pair) -> None:
    drill = rehearsal(any_pair)
    await drill.copy(MORPETH, timeout_seconds=LIMIT_SECONDS)
    (place(any_pair) / "global" / "pg_control").unlink()
    with pytest.raises(DriverTrouble, match=r"did not start.*pg_control"):
        await drill.start(MORPETH, timeout_seconds=LIMIT_SECONDS)
    await drill.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    assert left(any_pair) == []


async def test_a_copy_under_way_is_ended_at_once_when_the_drill_is_abandoned(any_pair: Pair) -> None:
    slow = any_pair.new_driver(drill_rate="64KiB").rehearsal
    copying = any_pair.keep(slow.copy(MORPETH, timeout_seconds=LIMIT_SECONDS))
    await any_pair.until(lambda: (Path(f"{place(any_pair)}.twinsite") / "copying").exists())
    await asyncio.sleep(0)
    await slow.remove(MORPETH, timeout_seconds=LIMIT_SECONDS)
    with pytest.raises(DriverTrouble):
        await copying
    assert left(any_pair) == []
    assert (await any_pair.driver.sample(MORPETH)).streaming


async def test_the_primary_is_never_copied(any_pair: Pair) -> None:
    with pytest.raises(DriverTrouble, match="is no standby at this moment"):
        await rehearsal(any_pair).copy(DURHAM, timeout_seconds=LIMIT_SECONDS)
