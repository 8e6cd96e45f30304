"""Every word, spoken to a real replicated thing of files and shell scripts."""

import asyncio

import pytest

from sites.errors import DriverTrouble, WordUnknown
from sites.replication.words import Position, Role, Word
from tests.sites.command.ledgers import DURHAM, MORPETH, Ledgers, commands, driver_of


async def test_a_sample_says_what_the_thing_says(pair: Ledgers) -> None:
    pair.write()
    await pair.same()
    primary, standby = await pair.driver.sample(DURHAM), await pair.driver.sample(MORPETH)
    assert (primary.role, primary.writable, primary.system_id) == (Role.PRIMARY, True, "ledger-7")
    assert primary.position == Position("2", "first", 2)
    assert (standby.role, standby.writable, standby.streaming) == (Role.STANDBY, False, True)
    assert (standby.position, standby.replayed) == (primary.position, primary.position)


async def test_an_answer_is_shared_by_whoever_asks_within_look_every(pair: Ledgers) -> None:
    samples = await asyncio.gather(*(pair.driver.sample(DURHAM) for _ in range(5)))
    assert len({sample.taken_at_ns for sample in samples}) == 1
    assert len(pair.transport.commands) == 1
    await asyncio.sleep(0.25)
    assert (await pair.driver.sample(DURHAM)).taken_at_ns > samples[0].taken_at_ns


async def test_a_planned_move_loses_nothing(pair: Ledgers) -> None:
    for _ in range(50):
        pair.write()
    await pair.driver.prepare(DURHAM)
    closed = await pair.driver.close(DURHAM, within_seconds=10)
    assert not pair.write()
    assert closed.final_position == Position("141", "first", 141), closed.evidence
    assert await pair.driver.caught_up(MORPETH, closed.final_position, timeout_seconds=10)
    promoted = await pair.driver.promote(MORPETH, timeout_seconds=10)
    assert promoted.position.history != "first"
    assert pair.write()
    assert pair.rows(MORPETH) == list(range(1, 52))
    done = await pair.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=10)
    assert (done.method, done.divergent_bytes, done.saved_at) == ("follow", 0, None)
    await pair.follow(DURHAM)
    pair.write()
    await pair.same()


async def test_a_close_that_is_said_again_gives_the_same_final_position(pair: Ledgers) -> None:
    pair.write()
    first = await pair.driver.close(DURHAM, within_seconds=10)
    again = await pair.driver.close(DURHAM, within_seconds=10)
    assert first.final_position is not None
    assert again.final_position == first.final_position


async def test_a_standby_is_not_closed(pair: Ledgers) -> None:
    with pytest.raises(DriverTrouble, match="is a standby"):
        await pair.driver.close(MORPETH, within_seconds=10)


async def test_a_close_that_fails_leaves_a_primary_that_serves(pair: Ledgers) -> None:
    pair.spoil("close", "echo 'three users hold files open' >&2; exit 4")
    with pytest.raises(
        DriverTrouble, match="status 4; it said: three users hold files open; it still accepts"
    ):
        await pair.driver.close(DURHAM, within_seconds=10)
    assert pair.write()


async def test_a_close_that_overruns_ends_as_a_fence_without_a_final_position(pair: Ledgers) -> None:
    pair.spoil("close", "sleep 60")
    closed = await pair.driver.close(DURHAM, within_seconds=0.5)
    assert closed.final_position is None
    assert "did not end within" in closed.evidence
    assert not pair.write()


async def test_a_close_that_ends_well_and_changes_nothing_ends_as_a_fence(pair: Ledgers) -> None:
    pair.spoil("close", "true")
    closed = await pair.driver.close(DURHAM, within_seconds=0.5)
    assert (closed.final_position, pair.writable(DURHAM)) == (None, False)
    assert "ended well, but tree at durham (tree) is primary, accepts writes" in closed.evidence


async def test_a_close_of_what_crashed_has_no_final_position(pair: Ledgers) -> None:
    pair.kill(DURHAM)
    closed = await pair.driver.close(DURHAM, within_seconds=10)
    assert closed.final_position is None
    assert "it was not stopped in order" in closed.evidence


async def test_a_close_that_can_be_neither_seen_nor_fenced_is_not_known_to_be_closed(pair: Ledgers) -> None:
    pair.spoil("close", "true")
    pair.spoil("fence", "true")
    with pytest.raises(DriverTrouble, match="the fence that followed is not verified"):
        await pair.driver.close(DURHAM, within_seconds=0.5)


async def test_a_fence_is_verified_by_what_is_seen_afterwards(pair: Ledgers) -> None:
    fenced = await pair.driver.fence(DURHAM, within_seconds=2)
    assert (fenced.verified, pair.write()) == (True, False), fenced.evidence
    assert (await pair.driver.fence(DURHAM, within_seconds=2)).verified


@pytest.mark.parametrize(
    ("word", "line", "evidence"),
    [
        ("fence", "true", "ended well, but tree at durham (tree) is primary, accepts writes"),
        ("fence", "exit 1", "ended with status 1"),
        ("fence", "sleep 60", "did not end within 0.5 s"),
        ("look", "echo role: gone", "ended well, but it is not seen what came of it"),
    ],
)
async def test_a_fence_whose_effect_is_not_seen_is_not_verified(
    pair: Ledgers, word: str, line: str, evidence: str
) -> None:
    pair.spoil(word, line)
    fenced = await pair.driver.fence(DURHAM, within_seconds=0.5)
    assert not fenced.verified
    assert evidence in fenced.evidence


async def test_a_fence_of_a_host_that_cannot_be_reached_is_not_verified(pair: Ledgers) -> None:
    pair.transport.cut.add(DURHAM)
    fenced = await pair.driver.fence(DURHAM, within_seconds=1)
    assert (fenced.verified, "HostUnreachable" in fenced.evidence) == (False, True)


async def test_a_promotion_said_again_is_done_already(pair: Ledgers) -> None:
    await pair.driver.fence(DURHAM, within_seconds=2)
    first = await pair.driver.promote(MORPETH, timeout_seconds=10)
    again = await pair.driver.promote(MORPETH, timeout_seconds=10)
    assert again.position == first.position
    assert "already" in again.evidence


async def test_what_is_down_or_unknown_is_not_promoted(pair: Ledgers) -> None:
    pair.kill(MORPETH)
    with pytest.raises(DriverTrouble, match=r"cannot be promoted: it is down \(it does not run\)"):
        await pair.driver.promote(MORPETH, timeout_seconds=5)
    pair.transport.cut.add(MORPETH)
    with pytest.raises(DriverTrouble, match="nothing was done"):
        await pair.driver.promote(MORPETH, timeout_seconds=5)


async def test_a_promotion_that_changes_nothing_is_no_promotion(pair: Ledgers) -> None:
    pair.spoil("promote", "true")
    with pytest.raises(DriverTrouble, match=r"`promote` ended well, but .* is standby"):
        await pair.driver.promote(MORPETH, timeout_seconds=0.5)


async def test_a_promotion_that_goes_on_with_the_old_history_is_named(pair: Ledgers) -> None:
    pair.spoil("promote", 'put role primary; : >"$here/open"')
    with pytest.raises(DriverTrouble, match="its history is still first"):
        await pair.driver.promote(MORPETH, timeout_seconds=5)


async def test_another_pairs_copy_is_not_promoted(pair: Ledgers) -> None:
    (pair.at(MORPETH) / "id").write_text("ledger-8\n")
    await pair.driver.sample(DURHAM)
    with pytest.raises(DriverTrouble, match="not of the same pair"):
        await pair.driver.promote(MORPETH, timeout_seconds=5)
    assert not pair.writable(MORPETH)


async def test_a_stopped_instance_is_started_as_it_was(pair: Ledgers) -> None:
    pair.kill(DURHAM)
    await pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=5)
    assert pair.write()
    await pair.driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=5)
    with pytest.raises(DriverTrouble, match="runs as primary, not as standby"):
        await pair.driver.start(DURHAM, role=Role.STANDBY, timeout_seconds=5)


async def test_what_only_the_old_primary_had_is_counted_and_kept(pair: Ledgers) -> None:
    pair.write()
    await pair.same()
    pair.followers[MORPETH].kill()
    pair.write()
    pair.kill(DURHAM)
    await pair.driver.promote(MORPETH, timeout_seconds=5)
    pair.write()
    done = await pair.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=5)
    assert (done.method, done.divergent_bytes) == ("rewind", 2)
    assert done.saved_at is not None
    assert (pair.base / done.saved_at).read_text() == "2\n"
    assert pair.rows(DURHAM) == pair.rows(MORPETH) == [1, 3]
    again = await pair.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=5)
    assert (again.method, again.divergent_bytes) == ("follow", 0)


async def test_a_rebuild_sets_the_old_data_aside(pair: Ledgers) -> None:
    pair.write()
    await pair.same()
    pair.kill(DURHAM)
    await pair.driver.promote(MORPETH, timeout_seconds=5)
    done = await pair.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=5)
    assert done.method == "rebuild"
    assert (pair.at(DURHAM) / "rows.set-aside").read_text() == "1\n"


async def test_what_accepts_writes_is_never_made_a_standby(pair: Ledgers) -> None:
    with pytest.raises(DriverTrouble, match="there is nothing to follow"):
        await pair.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=5)
    (pair.at(MORPETH) / "open").touch()
    with pytest.raises(DriverTrouble, match="accepts writes; nothing was touched"):
        await pair.driver.rejoin(MORPETH, primary_site=DURHAM, timeout_seconds=5)


@pytest.mark.parametrize("said", ["method: magic", "method: rewind", "method: rewind\ndivergent: 5", ""])
async def test_a_rejoin_says_what_became_of_the_old_data_or_is_not_done(pair: Ledgers, said: str) -> None:
    await pair.driver.fence(DURHAM, within_seconds=2)
    await pair.driver.promote(MORPETH, timeout_seconds=5)
    pair.spoil("rejoin", f"printf '{said}\\n'")
    with pytest.raises(DriverTrouble, match=r"printed|did not print"):
        await pair.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=5)


async def test_the_dead_are_told_by_their_own_word_said_three_times(pair: Ledgers) -> None:
    watch = asyncio.create_task(pair.driver.lost(DURHAM))
    await asyncio.sleep(0.3)
    assert not watch.done()
    pair.kill(DURHAM)
    evidence = await asyncio.wait_for(watch, 10)
    assert evidence.startswith("it does not run, 3 times in ")


@pytest.mark.parametrize("line", ["exit 1", "echo nonsense", "sleep 60"])
async def test_a_look_that_fails_is_no_sign_of_death(pair: Ledgers, line: str) -> None:
    settings = {
        **commands(pair.script, pair.base),
        "answer_within": "200ms",
        "look_every": "200ms",
        "misses": 2,
    }
    driver = driver_of(settings, pair.transport)
    pair.spoil("look", line)
    watch = asyncio.create_task(driver.lost(DURHAM))
    await asyncio.sleep(1.0)
    assert not watch.done()
    watch.cancel()
    assert (await driver.sample(DURHAM)).role is Role.UNKNOWN


async def test_a_host_that_cannot_be_reached_is_unknown_and_never_dead(pair: Ledgers) -> None:
    pair.transport.cut.add(DURHAM)
    pair.kill(DURHAM)
    watch = asyncio.create_task(pair.driver.lost(DURHAM))
    await asyncio.sleep(0.7)
    assert not watch.done()
    sample = await pair.driver.sample(DURHAM)
    assert (sample.role, "no route to host" in sample.reason) == (Role.UNKNOWN, True)
    pair.transport.cut.clear()
    await asyncio.wait_for(watch, 10)


async def test_words_without_a_command_are_unknown_and_refused(pair: Ledgers) -> None:
    settings = commands(pair.script, pair.base)
    for word in ("close", "fence", "promote", "rejoin", "rebuild", "start"):
        settings.pop(word)
    driver = driver_of(settings, pair.transport)
    assert driver.unknown_words == {
        Word.CLOSE,
        Word.FENCE,
        Word.PROMOTE,
        Word.REJOIN,
        Word.REBUILD,
        Word.START,
    }
    with pytest.raises(WordUnknown, match=r"services\.tree\.replication\.promote\.run"):
        await driver.promote(MORPETH, timeout_seconds=5)
    assert not (await driver.fence(DURHAM, within_seconds=1)).verified
    await driver.prepare(DURHAM)


async def test_a_promotion_waits_for_the_guards_permit_and_is_refused_without(pair: Ledgers) -> None:
    guard = {"data": {site: str(pair.at(site)) for site in (DURHAM, MORPETH)}}
    driver = driver_of(commands(pair.script, pair.base), pair.transport, guard=guard)
    with pytest.raises(DriverTrouble, match="the guard does not permit opening now"):
        await driver.promote(MORPETH, timeout_seconds=10)
    assert not pair.writable(MORPETH)
    beside = pair.base / f"{MORPETH}.twinsite"
    beside.mkdir()
    with open("/proc/sys/kernel/random/boot_id") as boot:
        (beside / "permit").write_text(f"manual {boot.read().strip()} x\n")
    await driver.promote(MORPETH, timeout_seconds=10)
    assert pair.writable(MORPETH)
