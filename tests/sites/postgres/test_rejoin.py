"""How an old primary comes back: nothing is discarded before it is saved."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from sites.errors import DriverTrouble
from sites.replication.postgres import rejoin
from sites.replication.postgres.driver import PostgresDriver
from sites.replication.postgres.host import NoRoom, WrongData
from sites.replication.postgres.lsn import segment_name
from sites.replication.postgres.server import slot_name
from sites.replication.words import Rejoined, Role
from tests.sites.postgres.pairs import DURHAM, MORPETH, ROLES, Pair, made_pair

pytestmark = pytest.mark.slow

SLOTS = "select coalesce(string_agg(slot_name, ' '), '') from pg_replication_slots"


async def failed_over(pair: Pair, *, only_at_durham: int = 3) -> None:
    """Durham dies with transactions that Morpeth has not; Morpeth is promoted and goes on."""
    await pair.run(DURHAM, "insert into rows values (1)")
    await pair.driver.settled()
    await pair.until_row(MORPETH, 1)
    pair.kill_all(MORPETH)
    for number in range(only_at_durham):
        await pair.run(DURHAM, f"insert into rows values ({100 + number})")
    pair.kill_all(DURHAM)
    await pair.driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=20)
    # Promoted by hand, so that nobody has checkpointed the new primary before the rejoin.
    await pair.run(MORPETH, "select pg_promote()", "insert into rows values (2)")


async def rejoined(pair: Pair) -> Rejoined:
    """Durham as Morpeth's standby."""
    return await pair.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)


async def assert_follows(pair: Pair) -> None:
    """Durham has what Morpeth has, also what is written from now on; no secret was on a command line."""
    await pair.run(MORPETH, "insert into rows values (3)")
    await pair.until_row(DURHAM, 3)
    query = "select string_agg(n::text, ' ' order by n) from rows"
    assert await pair.value(DURHAM, query) == await pair.value(MORPETH, query) == "1 2 3"
    sample = await pair.driver.sample(DURHAM)
    assert (sample.role, sample.streaming, sample.timeline) == (Role.STANDBY, True, 2)
    for command in pair.transport.commands:
        assert ROLES.password.split(":")[0] not in command
        assert ROLES.replication_password.split(":")[0] not in command


def assert_saved(pair: Pair, place: str | None) -> Path:
    """The saved history is whole, and only its owner may read it."""
    assert place is not None
    folder = Path(place)
    assert folder.parent == pair.data(DURHAM).parent
    assert folder.name.startswith("data.divergent-crm-durham-2")
    owner = pair.data(DURHAM).stat().st_uid
    assert (stat.S_IMODE(folder.stat().st_mode), folder.stat().st_uid) == (0o700, owner)
    for file in folder.iterdir():
        assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_uid) == (0o600, owner), file
    assert [file for file in folder.iterdir() if len(file.name) == 24], "segments of the log"
    return folder


async def test_the_divergent_tail_is_saved_and_listed_before_the_rewind(pair: Pair) -> None:
    await failed_over(pair)
    result = await rejoined(pair)
    assert result.method == "rewind", result.evidence
    assert result.divergent_bytes is not None
    assert result.divergent_bytes > 0
    assert result.divergent_transactions == 3
    assert result.divergent_seconds is not None
    assert 0.0 < result.divergent_seconds < 60.0, "from the first of the three to the last, by its own clock"
    assert "3 transactions only here" in result.evidence
    system_id = (await pair.driver.sample(MORPETH)).system_id
    whose = f"rewound {pair.data(DURHAM)} (system identifier {system_id}, timeline 1, in production)"
    assert f"{whose} on {os.uname().nodename}" in result.evidence
    folder = assert_saved(pair, result.saved_at)
    assert (folder / "records.txt").read_text().count("desc: COMMIT") == 3
    assert "transactions 3" in (folder / "README.txt").read_text()
    await assert_follows(pair)


async def test_a_rejoin_that_is_ordered_again_is_done_already(any_pair: Pair) -> None:
    await failed_over(any_pair)
    await rejoined(any_pair)
    again = await rejoined(any_pair)
    assert (again.method, again.saved_at) == ("follow", None)
    assert len(any_pair.beside(DURHAM, "divergent")) == 1


async def test_an_old_primary_that_booted_as_a_standby_in_between_is_rewound_too(pair: Pair) -> None:
    await failed_over(pair)
    await pair.boot(DURHAM)
    await pair.until_role(DURHAM, Role.STANDBY)
    result = await rejoined(pair)
    assert result.method == "rewind", result.evidence
    assert_saved(pair, result.saved_at)
    await assert_follows(pair)


async def test_an_old_primary_that_had_nothing_of_its_own_simply_follows(pair: Pair) -> None:
    await failed_over(pair, only_at_durham=0)
    # A checkpoint, or a snapshot of running transactions, is history of its own, though no transaction.
    result = await rejoined(pair)
    assert result.method in ("follow", "rewind")
    if result.method == "rewind":
        assert "0 transactions only here" in result.evidence
    await assert_follows(pair)


async def test_after_a_rejoin_only_the_new_primary_keeps_a_slot(pair: Pair) -> None:
    await failed_over(pair)
    assert await pair.value(MORPETH, SLOTS) == ""
    await rejoined(pair)
    assert await pair.value(MORPETH, SLOTS) == slot_name("crm", DURHAM)
    assert await pair.value(DURHAM, SLOTS) == ""


async def test_one_that_booted_and_follows_by_itself_gives_up_its_slots_too(pair: Pair) -> None:
    await pair.run(DURHAM, "insert into rows values (1)")
    closed = await pair.driver.close(DURHAM, within_seconds=10)
    assert closed.final_position is not None
    assert await pair.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=10)
    await pair.driver.promote(MORPETH, timeout_seconds=20)
    await pair.driver.settled()
    await pair.boot(DURHAM)
    await pair.streaming(DURHAM)
    assert await pair.value(DURHAM, SLOTS) == slot_name("crm", MORPETH)
    result = await rejoined(pair)
    assert (result.method, result.evidence) == ("follow", "streams from morpeth already")
    assert await pair.value(DURHAM, SLOTS) == ""
    assert await pair.value(MORPETH, SLOTS) == slot_name("crm", DURHAM)


async def test_a_rewound_server_keeps_its_own_address_and_settings(any_pair: Pair) -> None:
    await failed_over(any_pair)
    before = (any_pair.data(DURHAM) / "postgresql.conf").read_text()
    assert before != (any_pair.data(MORPETH) / "postgresql.conf").read_text()
    await rejoined(any_pair)
    assert (any_pair.data(DURHAM) / "postgresql.conf").read_text() == before


async def test_without_pg_waldump_the_log_is_saved_all_the_same(any_pair: Pair) -> None:
    await failed_over(any_pair)
    driver = with_program(any_pair, "pg_waldump", None)
    result = await driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    assert result.method == "rewind", result.evidence
    assert "not counted" in result.evidence
    assert_saved(any_pair, result.saved_at)
    await assert_follows(any_pair)


async def test_no_room_to_save_is_said_and_nothing_is_changed(any_pair: Pair) -> None:
    await failed_over(any_pair)
    shims = any_pair.base / "shims"
    shims.mkdir()
    (shims / "df").write_text("#!/bin/sh\necho Filesystem\necho x 9 9 9 9 /\n")
    (shims / "df").chmod(0o755)
    any_pair.transport.environment["PATH"] = f"{shims}:/usr/bin:/bin"
    with pytest.raises(NoRoom, match=r"no room to save what only .* nothing was changed"):
        await rejoined(any_pair)
    assert any_pair.beside(DURHAM, "divergent") == []
    any_pair.transport.environment.clear()
    result = await rejoined(any_pair)
    assert result.method == "rewind", result.evidence
    assert_saved(any_pair, result.saved_at)


async def test_an_interrupted_rewind_is_never_started_and_ends_in_a_full_copy(any_pair: Pair) -> None:
    await failed_over(any_pair)
    marker = Path(f"{any_pair.data(DURHAM)}.twinsite") / "rewinding"
    marker.touch()
    any_pair.whom.give(marker)
    with pytest.raises(DriverTrouble, match="interrupted; rebuild it"):
        await any_pair.driver.start(DURHAM, role=Role.STANDBY, timeout_seconds=20)
    result = await rejoined(any_pair)
    assert result.method == "rebuild", result.evidence
    assert not marker.exists()
    await assert_follows(any_pair)


async def test_two_promotions_of_one_number_are_told_apart(pair: Pair) -> None:
    """Both sides were promoted at the same place and call it timeline 2: pg_rewind takes them for one."""
    await pair.run(DURHAM, "insert into rows values (1)")
    closed = await pair.driver.close(DURHAM, within_seconds=10)
    assert closed.final_position is not None
    assert await pair.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=10)
    await pair.run(MORPETH, "select pg_promote()", "insert into rows values (2)")
    await pair.driver.close(MORPETH, within_seconds=10)
    await pair.driver.start(DURHAM, role=Role.STANDBY, timeout_seconds=20)
    await pair.run(DURHAM, "select pg_promote()", "insert into rows values (100)")
    await pair.driver.close(DURHAM, within_seconds=10)
    await pair.driver.start(MORPETH, role=Role.PRIMARY, timeout_seconds=20)
    result = await rejoined(pair)
    assert result.method == "rebuild", result.evidence
    assert "both sides took timeline 2" in result.evidence
    folder = assert_saved(pair, result.saved_at)
    assert "desc: COMMIT" in (folder / "records.txt").read_text()
    await assert_follows(pair)


async def log_gone(pair: Pair) -> None:
    """Durham is down in order, and Morpeth has thrown away what Durham would need to follow."""
    await pair.run(DURHAM, "insert into rows values (1)")
    closed = await pair.driver.close(DURHAM, within_seconds=10)
    assert closed.final_position is not None
    assert await pair.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=10)
    await pair.driver.promote(MORPETH, timeout_seconds=20)
    await pair.driver.settled()
    await pair.run(
        MORPETH,
        f"select pg_drop_replication_slot('{slot_name('crm', DURHAM)}')",
        "alter system set wal_keep_size = 0",
        "alter system set max_wal_size = '2MB'",
        "select pg_reload_conf()",
        "insert into rows values (2)",
    )
    needed = segment_name(2, closed.final_position.offset_bytes, 1 << 20)[8:]
    oldest = "select min(substr(name, 9)) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'"
    async with asyncio.timeout(20):
        while await pair.value(MORPETH, oldest) <= needed:
            await pair.run(MORPETH, "select pg_switch_wal()", "create table filler ()", "drop table filler")
            await pair.run(MORPETH, "checkpoint")


async def test_a_full_copy_sets_the_old_data_aside(any_pair: Pair) -> None:
    await log_gone(any_pair)
    old = (any_pair.data(DURHAM)).stat().st_ino
    result = await any_pair.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    assert result.method == "rebuild"
    (aside,) = any_pair.beside(DURHAM, "set-aside")
    assert aside.stat().st_ino == old, "set aside, not deleted"
    assert result.saved_at == str(aside)
    await assert_follows(any_pair)


async def test_a_standby_whose_log_is_gone_from_the_primary_is_copied_anew(
    any_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejoin, "STREAM_PATIENCE_SECONDS", 1.0)
    await log_gone(any_pair)
    result = await rejoined(any_pair)
    assert result.method == "rebuild", (result.evidence, any_pair.log(DURHAM).read_text()[-3000:])
    assert "receives nothing" in result.evidence
    await assert_follows(any_pair)


def with_program(pair: Pair, name: str, text: str | None) -> PostgresDriver:
    """A driver for which one of Durham's programs is another one, or is missing."""
    programs = pair.base / "bin"
    programs.mkdir()
    for program in pair.binaries.bin_dir.iterdir():
        if program.name != name:
            (programs / program.name).symlink_to(program)
    if text is not None:
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return pair.driver_for({DURHAM: {"bin": str(programs)}, MORPETH: {}})


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("echo 'pg_rewind: no rewind required'", "saw no reason to rewind"),
        ("echo 'servers diverged at WAL location 0/1'; echo 'could not open file' >&2; exit 1", "could not"),
    ],
    ids=["needless", "failed"],
)
async def test_a_rewind_that_did_not_do_its_work_ends_in_a_full_copy(
    any_pair: Pair, program: str, why: str
) -> None:
    await failed_over(any_pair)
    driver = with_program(any_pair, "pg_rewind", f"#!/bin/sh\n{program}\n")
    result = await driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    assert result.method == "rebuild", result.evidence
    assert why in result.evidence
    assert result.divergent_bytes > 0
    assert_saved(any_pair, result.saved_at)
    await assert_follows(any_pair)


async def test_a_full_copy_of_tablespaces_outside_the_data_directory_is_refused(any_pair: Pair) -> None:
    outside = any_pair.base / "outside"
    outside.mkdir()
    any_pair.whom.give(outside)
    any_pair.kill_all(DURHAM)
    await any_pair.run(MORPETH, "select pg_promote()")
    await any_pair.run(MORPETH, f"create tablespace outside location '{outside}'")
    with pytest.raises(DriverTrouble, match="1 tablespaces outside its data directory"):
        await any_pair.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=20)


async def test_a_server_that_accepts_writes_is_not_copied_over(any_pair: Pair) -> None:
    await any_pair.run(MORPETH, "select pg_promote()")
    with pytest.raises(DriverTrouble, match="accepts writes"):
        await any_pair.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=20)


async def test_nobody_rejoins_a_standby(any_pair: Pair) -> None:
    any_pair.kill_all(DURHAM)
    with pytest.raises(DriverTrouble, match="is a standby itself"):
        await rejoined(any_pair)


async def test_an_empty_data_directory_is_not_taken_for_one_that_may_be_filled(any_pair: Pair) -> None:
    """A disk that is not mounted looks like that."""
    await failed_over(any_pair)
    data = any_pair.data(DURHAM)
    data.rename(data.with_name("elsewhere"))
    data.mkdir(mode=0o700)
    any_pair.whom.give(data)
    with pytest.raises(DriverTrouble, match="if the right disk is mounted there, rebuild it"):
        await rejoined(any_pair)


async def test_with_synchronous_replication_a_commit_waits_for_the_standby_once_there_is_one(
    pair: Pair,
) -> None:
    driver = pair.new_driver(synchronous=True)
    await failed_over(pair)
    assert (await driver.sample(MORPETH)).synchronous is False
    await driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    await pair.until_value(MORPETH, "select sync_state from pg_stat_replication", "sync")
    assert (await driver.sample(MORPETH)).synchronous is True
    pair.kill_all(MORPETH)
    await driver.promote(DURHAM, timeout_seconds=20)
    await pair.run(DURHAM, "insert into rows values (4)")
    assert (await driver.sample(DURHAM)).synchronous is False


# --- a full copy: whose data, how fast, and what becomes of them --------------------------------------


async def test_a_full_copy_says_over_whose_data_on_which_host_and_where_they_are_now(any_pair: Pair) -> None:
    await log_gone(any_pair)
    driver = any_pair.new_driver(rebuild_rate="64MiB")
    system_id = (await driver.sample(MORPETH)).system_id
    result = await driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    data = any_pair.data(DURHAM)
    assert f"over {data} (system identifier {system_id}, timeline 1, shut down)" in result.evidence
    assert f"on {os.uname().nodename}" in result.evidence
    assert "full copy at no more than 64.0 MiB a second" in result.evidence
    assert f"the old data are in {result.saved_at}" in result.evidence
    await assert_follows(any_pair)


async def test_a_copy_under_way_is_slowed_down_and_seen_at_its_source(any_pair: Pair) -> None:
    await log_gone(any_pair)
    driver = any_pair.new_driver(rebuild_rate="1MiB")
    assert (await driver.sample(MORPETH)).copying is None
    copy = asyncio.create_task(driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=300))
    try:
        async with asyncio.timeout(60):
            while (seen := (await any_pair.driver.sample(MORPETH)).copying) is None or not seen.sent_bytes:
                assert not copy.done(), copy.result()
                await asyncio.sleep(0.02)
        assert seen.of_bytes is not None
        assert seen.sent_bytes < seen.of_bytes, "it takes its time"
    finally:
        copy.cancel()
        await asyncio.gather(copy, return_exceptions=True)


async def test_one_that_was_promoted_while_it_was_to_be_copied_over_keeps_its_data(any_pair: Pair) -> None:
    """A copy takes hours, and whoever ordered it may be gone when it ends: the host looks once more."""
    promoting = any_pair.data(DURHAM).with_name("copied")
    programs = any_pair.binaries.bin_dir
    script = (
        f'#!/bin/sh\n{programs}/pg_basebackup "$@" || exit 1\n'
        f"touch {promoting}\nwhile [ -e {promoting} ]; do sleep 0.02; done\n"
    )
    driver = with_program(any_pair, "pg_basebackup", script)
    await any_pair.run(MORPETH, "select pg_promote()")
    await any_pair.driver.close(DURHAM, within_seconds=10)
    await any_pair.boot(DURHAM)
    await any_pair.until_role(DURHAM, Role.STANDBY)
    old = any_pair.data(DURHAM).stat().st_ino
    copy = asyncio.create_task(driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=60))
    await any_pair.until(lambda: promoting.exists() or copy.done())
    await any_pair.run(DURHAM, "select pg_promote()")
    promoting.unlink()
    with pytest.raises(DriverTrouble, match=r"running primary, which accepts writes; nothing was touched"):
        await copy
    assert any_pair.data(DURHAM).stat().st_ino == old
    assert any_pair.beside(DURHAM, "set-aside") == []
    assert not any_pair.data(DURHAM).with_name("data.rebuilding").exists()
    assert (await any_pair.driver.sample(DURHAM)).role is Role.PRIMARY


async def test_data_of_another_cluster_are_not_copied_over(any_pair: Pair) -> None:
    async with made_pair(any_pair.binaries, any_pair.whom, folder="stranger") as other:
        other.kill_all(DURHAM)
        old = other.data(DURHAM).stat().st_ino
        await any_pair.run(MORPETH, "select pg_promote()")
        mixed = any_pair.driver_for({DURHAM: {"data": str(other.data(DURHAM))}, MORPETH: {}})
        with pytest.raises(WrongData, match=r"belongs to another cluster: .* nothing was touched"):
            await mixed.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=20)
        assert other.data(DURHAM).stat().st_ino == old


async def test_a_full_copy_for_which_there_is_no_room_is_not_begun(any_pair: Pair) -> None:
    await log_gone(any_pair)
    shims = any_pair.base / "shims"
    shims.mkdir()
    (shims / "df").write_text("#!/bin/sh\necho Filesystem\necho x 9 9 9000 9 /\n")
    (shims / "df").chmod(0o755)
    any_pair.transport.environment["PATH"] = f"{shims}:/usr/bin:/bin"
    with pytest.raises(NoRoom, match=r"no room for a full copy beside .* 8 MiB are free"):
        await any_pair.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=20)
    assert not any_pair.data(DURHAM).with_name("data.rebuilding").exists()
    any_pair.transport.environment.clear()
