"""What every store promises, kept by the one in memory and by three real etcd members alike."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Store,
    StoreCompacted,
    StoreMisuse,
    StoreUnreachable,
    TransactionResult,
    WatchEvent,
)
from orchestrator.store.rules import LARGEST_TRANSACTION
from orchestrator.store.table import Table
from tests.store.conftest import World

LIMIT = 10.0


async def write(store: Store, key: str, value: bytes, revision: int = 0) -> int:
    """Writes a key last seen at `revision`; its new revision."""
    result = await store.transact([Compare(key, revision)], [Put(key, value)], [], timeout_seconds=LIMIT)
    assert result.succeeded
    return result.revision


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[KeyValue]:
    async with asyncio.timeout(LIMIT):
        return [(await anext(events)).item for _ in range(count)]


async def test_a_key_that_does_not_exist_is_at_revision_zero(world: World) -> None:
    key = world.prefix + "a"
    first = await world.store.transact([Compare(key, 0)], [Put(key, b"1")], [key], timeout_seconds=LIMIT)
    again = await world.store.transact([Compare(key, 0)], [Put(key, b"2")], [key], timeout_seconds=LIMIT)
    assert first == TransactionResult(True, first.revision, (KeyValue(key, b"1", first.revision),))
    assert again == TransactionResult(False, first.revision, first.reads)


async def test_a_refused_transaction_changes_nothing(world: World) -> None:
    held, other = world.prefix + "held", world.prefix + "other"
    revision = await write(world.store, held, b"1")
    before = await world.store.read(world.prefix, timeout_seconds=LIMIT)
    compares = [Compare(other, 0), Compare(held, revision - 1)]
    result = await world.store.transact(
        compares, [Put(held, b"2"), Put(other, b"2")], [other, held], timeout_seconds=LIMIT
    )
    assert not result.succeeded
    assert result.reads == (None, KeyValue(held, b"1", revision))
    assert await world.store.read(world.prefix, timeout_seconds=LIMIT) == before


async def test_one_transaction_writes_all_its_keys_at_one_revision(world: World) -> None:
    keys = [world.prefix + name for name in ("c", "a", "b")]
    result = await world.store.transact(
        [Compare(key, 0) for key in keys],
        [Put(key, key.encode()) for key in keys],
        [*keys, world.prefix + "none"],
        timeout_seconds=LIMIT,
    )
    assert result.succeeded
    assert result.reads == (*(KeyValue(key, key.encode(), result.revision) for key in keys), None)
    snapshot = await world.store.read(world.prefix, timeout_seconds=LIMIT)
    assert [item.key for item in snapshot.items] == sorted(keys)
    assert {item.mod_revision for item in snapshot.items} == {result.revision}


async def test_a_transaction_may_only_read(world: World) -> None:
    key = world.prefix + "a"
    revision = await write(world.store, key, b"1")
    result = await world.store.transact([Compare(key, revision)], [], [key], timeout_seconds=LIMIT)
    assert result == TransactionResult(True, revision, (KeyValue(key, b"1", revision),))


async def test_a_repeated_transaction_is_refused_and_shows_what_it_wrote(world: World) -> None:
    key, beat = world.prefix + "site", b"incarnation 7, beat 12"
    revision = await write(world.store, key, b"incarnation 7, beat 11")
    once = ([Compare(key, revision)], [Put(key, beat)], [key])
    first = await world.store.transact(*once, timeout_seconds=LIMIT)
    second = await world.store.transact(*once, timeout_seconds=LIMIT)
    assert first.succeeded
    assert not second.succeeded
    assert second.reads == first.reads == (KeyValue(key, beat, first.revision),)


async def test_what_one_client_wrote_the_other_reads_at_once(world: World) -> None:
    revision = 0
    for number in range(20):
        revision = await write(world.store, world.prefix + "a", b"%d" % number, revision)
        snapshot = await world.other.read(world.prefix, timeout_seconds=LIMIT)
        assert snapshot.items == (KeyValue(world.prefix + "a", b"%d" % number, revision),)
        assert snapshot.revision == revision


async def test_a_read_gives_the_keys_under_its_prefix_or_the_one_key(world: World) -> None:
    for name in ("a", "ab", "b"):
        await write(world.store, world.prefix + name, name.encode())
    under = await world.store.read(world.prefix + "a", timeout_seconds=LIMIT)
    exact = await world.store.read(world.prefix + "a", exact=True, timeout_seconds=LIMIT)
    missing = await world.store.read(world.prefix + "none", exact=True, timeout_seconds=LIMIT)
    assert [item.value for item in under.items] == [b"a", b"ab"]
    assert [item.value for item in exact.items] == [b"a"]
    assert missing.items == ()
    assert missing.revision == under.revision
    assert under.cluster_id == missing.cluster_id != ""


async def test_values_are_any_bytes(world: World) -> None:
    for number, value in enumerate((b"", bytes(range(256)), "später".encode(), b"x" * 300_000)):
        revision = await write(world.store, f"{world.prefix}ü{number}", value)
        snapshot = await world.store.read(f"{world.prefix}ü{number}", exact=True, timeout_seconds=LIMIT)
        assert snapshot.items == (KeyValue(f"{world.prefix}ü{number}", value, revision),)


async def test_the_largest_transaction_is_taken_whole(world: World) -> None:
    keys = [f"{world.prefix}{number:03}" for number in range(LARGEST_TRANSACTION)]
    compares = [Compare(key, 0) for key in keys]
    puts = [Put(key, b"x") for key in keys[:-1]]
    result = await world.store.transact(compares, puts, [keys[0]], timeout_seconds=LIMIT)
    assert result.succeeded
    assert len((await world.store.read(world.prefix, timeout_seconds=LIMIT)).items) == len(puts)


async def test_a_watch_begins_in_the_past_and_goes_on(world: World) -> None:
    a, b = world.prefix + "a", world.prefix + "b"
    start = await write(world.store, a, b"1")
    both = await world.store.transact(
        [Compare(a, start), Compare(b, 0)], [Put(b, b"2"), Put(a, b"2")], [], timeout_seconds=LIMIT
    )
    async with aclosing(world.store.watch(world.prefix, from_revision=start)) as events:
        past = await take(events, 3)
        last = await write(world.other, a, b"3", both.revision)
        present = await take(events, 1)
    assert past == [
        KeyValue(a, b"1", start),
        KeyValue(b, b"2", both.revision),
        KeyValue(a, b"2", both.revision),
    ]
    assert present == [KeyValue(a, b"3", last)]


async def test_a_watch_resumed_behind_its_last_event_repeats_and_misses_nothing(world: World) -> None:
    revisions = [await write(world.store, f"{world.prefix}{number}", b"x") for number in range(6)]
    seen: list[int] = []
    resume_at = revisions[0]
    while len(seen) < 6:
        async with aclosing(world.store.watch(world.prefix, from_revision=resume_at)) as events:
            seen += [item.mod_revision for item in await take(events, 2)]
        resume_at = seen[-1] + 1
    assert seen == revisions


async def test_a_watch_hears_only_its_prefix(world: World) -> None:
    start = await write(world.store, world.prefix + "other", b"1")
    async with aclosing(world.store.watch(world.prefix + "mine-", from_revision=start)) as events:
        await write(world.other, world.prefix + "other", b"2", start)
        revision = await write(world.other, world.prefix + "mine-1", b"3")
        assert await take(events, 1) == [KeyValue(world.prefix + "mine-1", b"3", revision)]


async def test_a_watch_that_begins_before_compaction_says_so(world: World) -> None:
    key = world.prefix + "a"
    start = revision = await write(world.store, key, b"0")
    for number in range(1, 5):
        revision = await write(world.store, key, b"%d" % number, revision)
    await world.compact(revision)
    async with aclosing(world.store.watch(world.prefix, from_revision=start)) as events:
        with pytest.raises(StoreCompacted, match="read again"):
            await take(events, 1)
    async with aclosing(world.store.watch(world.prefix, from_revision=revision)) as events:
        assert await take(events, 1) == [KeyValue(key, b"4", revision)]


async def test_a_watch_of_keys_not_written_since_is_untouched_by_compaction(world: World) -> None:
    quiet, busy = world.prefix + "quiet-", world.prefix + "busy"
    start = await write(world.store, quiet + "a", b"0")
    revision = 0
    for number in range(5):
        revision = await write(world.store, busy, b"%d" % number, revision)
    await world.compact(revision)
    async with aclosing(world.store.watch(quiet, from_revision=start + 1)) as events:
        waiting = asyncio.create_task(take(events, 1))
        await asyncio.sleep(0)
        revision = await write(world.other, quiet + "b", b"1")
        # Either is right: told of the write, or told to read again because it came before the streams stood.
        try:
            assert await waiting == [KeyValue(quiet + "b", b"1", revision)]
        except StoreCompacted:
            assert world.kind == "etcd"


async def test_a_watch_from_beyond_the_stores_revision_says_that_it_went_back(world: World) -> None:
    now = (await world.store.read(world.prefix, timeout_seconds=LIMIT)).revision
    async with aclosing(world.store.watch(world.prefix, from_revision=now + 1000)) as events:
        with pytest.raises(StoreCompacted, match="behind"):
            await take(events, 1)


async def test_a_watch_from_revision_zero_is_refused(world: World) -> None:
    async with aclosing(world.store.watch(world.prefix, from_revision=0)) as events:
        with pytest.raises(StoreMisuse, match="would miss writes"):
            await take(events, 1)


@pytest.mark.parametrize(
    ("compares", "puts", "words"),
    [
        ([], [Put("services/a", b"")], "without compares"),
        ([Compare("services/b", 0)], [Put("services/a", b"")], "applied twice"),
        ([Compare("services/a", 0)], [Put("services/a", b"1"), Put("services/a", b"2")], "twice"),
        ([Compare(f"services/{n}", 0) for n in range(LARGEST_TRANSACTION + 1)], [], "split it"),
    ],
)
async def test_a_transaction_that_could_do_harm_is_refused_unsent(
    world: World, compares: list[Compare], puts: list[Put], words: str
) -> None:
    with pytest.raises(StoreMisuse, match=words):
        await world.store.transact(compares, puts, [], timeout_seconds=LIMIT)


async def test_a_store_without_quorum_is_unreachable(world: World) -> None:
    await write(world.store, world.prefix + "a", b"1")
    await world.lose()
    with pytest.raises(StoreUnreachable):
        await world.store.read(world.prefix, timeout_seconds=0.5)
    with pytest.raises(StoreUnreachable):
        await world.store.transact(
            [Compare(world.prefix + "b", 0)], [Put(world.prefix + "b", b"")], [], timeout_seconds=0.5
        )


async def test_closing_the_client_ends_its_watches_and_refuses_further_calls(world: World) -> None:
    start = await write(world.store, world.prefix + "a", b"1")
    async with aclosing(world.store.watch(world.prefix, from_revision=start)) as events:
        await take(events, 1)
        waiting = asyncio.create_task(take(events, 1))
        await asyncio.sleep(0)
        await world.store.aclose()
        with pytest.raises(StoreUnreachable, match="closed"):
            await waiting
    with pytest.raises(StoreMisuse, match="closed"):
        await world.store.read(world.prefix, timeout_seconds=LIMIT)


async def test_a_random_story_ends_as_in_the_plain_table(world: World) -> None:
    """The same calls, in the same order, on the store and on the table that defines it."""
    chance = random.Random(20)
    table = Table()
    keys = [f"{world.prefix}{name}" for name in "abcd"]
    start = (await world.store.read(world.prefix, timeout_seconds=LIMIT)).revision
    shift = start - table.revision

    def moved(item: KeyValue | None) -> KeyValue | None:
        return item and KeyValue(item.key, item.value, item.mod_revision + shift)

    for step in range(120):
        some = chance.sample(keys, chance.randint(1, 3))
        known = {item.key: item.mod_revision for item in table.read(world.prefix).items}
        compares = [Compare(key, known.get(key, 0) if chance.random() < 0.8 else 2) for key in some]
        puts = [Put(key, b"%d" % step) for key in some[: chance.randint(0, 3)]]
        reads = chance.sample(keys, 2)
        expected = table.transact(compares, puts, reads)
        here = [Compare(one.key, one.mod_revision + shift if one.mod_revision else 0) for one in compares]
        result = await world.store.transact(here, puts, reads, timeout_seconds=LIMIT)
        assert result.succeeded == expected.succeeded
        assert result.revision == expected.revision + shift
        assert result.reads == tuple(moved(item) for item in expected.reads)
    async with aclosing(world.other.watch(world.prefix, from_revision=start + 1)) as events:
        history = table.since(world.prefix, 2)
        assert await take(events, len(history)) == [moved(item) for item in history]
