"""P33: a store that is not the one we knew counts as out of reach, whatever it answers. In virtual time."""

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from dataclasses import replace

import pytest

from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Store,
    StoreError,
    StoreOtherCluster,
    StoreUnreachable,
)
from orchestrator.store.continuity import Acceptance, Break, BreakCode, Seen, StoreTrust
from orchestrator.store.known import KEEP_EVERY_SECONDS, KnownStore, StoreDistrusted
from orchestrator.store.memory import Call, Fate, MemoryCluster, NoFaults
from orchestrator.store.seen_file import SeenUnreadable
from orchestrator.store.table import Table
from tests.support.virtual_time import now_seconds, run

LIMIT = 5.0


class Shelf:
    """A disk in memory: what was kept last, how often, and what stands in the way."""

    def __init__(self, kept: Seen | None = None) -> None:
        self.kept = kept
        self.writes = 0
        self.full = False
        self.takes_seconds = 0.0
        self.unreadable = False
        self.aside = 0

    def read(self) -> Seen | None:
        if self.unreadable:
            raise SeenUnreadable("store-seen.json: not what twinsite writes there")
        return self.kept

    async def keep(self, seen: Seen) -> None:
        if self.takes_seconds:
            await asyncio.sleep(self.takes_seconds)
        if self.full:
            raise OSError(28, "No space left on device", "store-seen.new")
        self.kept, self.unreadable = seen, False
        self.writes += 1

    async def set_aside(self) -> None:
        self.aside += 1


class Slow(NoFaults):
    """Replies of named clients' numbered calls arrive late."""

    def __init__(self, **late: dict[int, float]) -> None:
        self.late = late

    def call(self, call: Call) -> Fate:
        return Fate(reply_delay_seconds=self.late.get(call.client, {}).get(call.number, 0.0))


class Scene:
    """A store, one that watches over it, and somebody else who writes."""

    def __init__(self, shelf: Shelf | None = None, faults: NoFaults | None = None) -> None:
        self.cluster = MemoryCluster(faults=faults)
        self.shelf = shelf or Shelf()
        self.breaks: list[Break] = []
        self.store = self.open()
        self.other = self.cluster.client("y")

    def open(self) -> KnownStore:
        """A process that starts, on the same disk."""
        return KnownStore(self.cluster.client("x"), self.shelf, on_break=self.breaks.append)

    def restored(self, backup: Table, cluster_id: str | None = None) -> None:
        """The store is put back to a backup."""
        table = backup.copy()
        table.cluster_id = cluster_id or table.cluster_id
        self.cluster.restore(table)


async def write(store: Store, key: str, value: bytes = b"{}") -> int:
    """Over whatever is there."""
    found = (await store.read(key, exact=True, timeout_seconds=LIMIT)).get(key)
    compare = Compare(key, found.mod_revision if found else 0)
    result = await store.transact([compare], [Put(key, value)], [key], timeout_seconds=LIMIT)
    assert result.succeeded
    return result.revision


async def distrust_of(work: Awaitable[object]) -> str:
    with pytest.raises(StoreDistrusted) as met:
        await work
    assert "twinsite store accept" in str(met.value)
    return met.value.code


def acceptance(cluster_id: str, revision: int, certificate: str = "owner-1") -> Acceptance:
    return Acceptance(
        certificate=certificate,
        cluster_id=cluster_id,
        revision=revision,
        who="ann@durham",
        reason="restored from last night's backup",
        at="2026-11-23T03:00:00.000Z",
    )


def test_the_first_start_ever_adopts_the_store_that_answers_and_keeps_it() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm", b'{"epoch":1}')
        assert scene.store.broken is None
        assert scene.shelf.kept is not None
        assert scene.shelf.kept.cluster_id == "memory"
        assert scene.shelf.kept.services()["crm"].value == '{"epoch":1}'

    run(story)


def test_a_store_put_back_to_a_backup_is_found_out_at_the_next_answer() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "sites/x")
        backup = scene.cluster.table.copy()
        await write(scene.store, "sites/x")
        scene.restored(backup)
        code = await distrust_of(scene.store.read("sites/", timeout_seconds=LIMIT))
        assert code == BreakCode.RESTORED
        assert [found.code for found in scene.breaks] == [BreakCode.RESTORED]

    run(story)


def test_a_transaction_finds_it_out_as_a_read_does_and_its_outcome_is_unknown() -> None:
    async def story() -> None:
        scene = Scene()
        revision = await write(scene.store, "sites/x")
        backup = scene.cluster.table.copy()
        await write(scene.store, "observations/x")
        await write(scene.store, "observations/x")
        await write(scene.store, "observations/x")
        scene.restored(backup)
        taken = scene.store.transact(
            [Compare("sites/x", revision)], [Put("sites/x", b"{}")], [], timeout_seconds=LIMIT
        )
        assert await distrust_of(taken) == BreakCode.RESTORED

    run(story)


def test_a_takeover_that_was_forgotten_shows_though_the_store_has_grown_beyond_what_was_known() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm", b'{"epoch":1}')
        backup = scene.cluster.table.copy()
        await write(scene.store, "services/crm", b'{"epoch":2}')
        scene.restored(backup)
        for _ in range(50):
            await write(scene.other, "observations/y")
        assert scene.cluster.table.revision > scene.store.seen.revision
        code = await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        assert code == BreakCode.RESTORED

    run(story)


def test_a_wiped_store_shows_by_the_keys_that_are_gone() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm")
        scene.restored(Table())
        for _ in range(50):
            await write(scene.other, "observations/y")
        code = await distrust_of(scene.store.read("services/crm", exact=True, timeout_seconds=LIMIT))
        assert code == BreakCode.RESTORED
        assert "does not exist" in scene.breaks[0].message

    run(story)


def test_the_same_revision_with_another_content_is_another_history() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "observations/x")
        backup = scene.cluster.table.copy()
        revision = await write(scene.store, "services/crm", b'{"primary":"durham"}')
        scene.restored(backup)
        assert await write(scene.other, "services/crm", b'{"primary":"morpeth"}') == revision
        code = await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        assert code == BreakCode.RESTORED

    run(story)


def test_another_cluster_is_told_apart_from_one_that_went_back() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm")
        scene.restored(scene.cluster.table, cluster_id="forced-new")
        code = await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        assert code == BreakCode.OTHER_CLUSTER
        assert scene.breaks[0].cluster_id == "forced-new"

    run(story)


def test_answers_out_of_order_are_no_going_back() -> None:
    """A slow answer says an older revision than one that was sent later and came first."""

    async def story() -> None:
        scene = Scene(faults=Slow(x={2: 3.0}))
        await scene.store.read("sites/", timeout_seconds=LIMIT)
        slow = asyncio.ensure_future(scene.store.read("sites/", timeout_seconds=LIMIT))
        await asyncio.sleep(0.1)
        await write(scene.other, "sites/y")
        quick = await scene.store.read("sites/", timeout_seconds=LIMIT)
        assert (await slow).revision < quick.revision
        assert scene.store.broken is None

    run(story)


def test_a_slow_transaction_and_a_watch_that_is_ahead_of_it_are_no_going_back() -> None:
    async def story() -> None:
        scene = Scene(faults=Slow(x={3: 3.0}))
        start = await write(scene.store, "sites/x")
        async with aclosing(scene.store.watch("sites/", from_revision=start + 1)) as events:
            slow = asyncio.ensure_future(
                scene.store.transact([Compare("sites/y", 0)], [], ["sites/y"], timeout_seconds=LIMIT)
            )
            await asyncio.sleep(0.1)
            written = await write(scene.other, "sites/y")
            assert (await anext(events)).item.mod_revision == written
            assert scene.store.seen.revision == written
            assert (await slow).revision < written
        assert scene.store.broken is None

    run(story)


def test_once_found_out_nothing_gets_through_any_more_however_well_the_store_answers_then() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "sites/x")
        whole = scene.cluster.table.copy()
        scene.restored(Table())
        await distrust_of(scene.store.read("sites/", timeout_seconds=LIMIT))
        scene.restored(whole)
        before = scene.cluster.table.revision
        put = [Put("sites/x", b"{}")]
        await distrust_of(scene.store.read("sites/", timeout_seconds=LIMIT))
        await distrust_of(scene.store.transact([Compare("sites/x", 2)], put, [], timeout_seconds=LIMIT))
        async with aclosing(scene.store.watch("sites/", from_revision=1)) as events:
            await distrust_of(anext(events))
        assert scene.cluster.table.revision == before
        assert len(scene.breaks) == 1, "said once"

    run(story)


def test_it_stays_so_over_a_restart() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "sites/x")
        whole = scene.cluster.table.copy()
        scene.restored(Table())
        await distrust_of(scene.store.read("sites/", timeout_seconds=LIMIT))
        await scene.store.aclose()
        scene.restored(whole)
        again = scene.open()
        assert await distrust_of(again.read("sites/", timeout_seconds=LIMIT)) == BreakCode.RESTORED

    run(story)


def test_a_store_that_was_put_back_while_nobody_ran_is_found_out_at_the_start() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "sites/x")
        backup = scene.cluster.table.copy()
        await write(scene.store, "services/crm")
        await scene.store.aclose()
        scene.restored(backup)
        again = scene.open()
        assert again.broken is None, "nothing is said before anything is known"
        assert await distrust_of(again.read("sites/", timeout_seconds=LIMIT)) == BreakCode.RESTORED

    run(story)


@pytest.mark.parametrize("cluster_id", ["memory", "another"])
def test_a_watch_under_way_ends_when_the_store_is_put_back(cluster_id: str) -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "sites/x")
        backup = scene.cluster.table.copy()
        start = await write(scene.store, "sites/x")
        async with aclosing(scene.store.watch("services/", from_revision=start + 1)) as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(1)
            scene.restored(backup, cluster_id)
            assert await distrust_of(waiting) == BreakCode.RESTORED

    run(story)


def test_a_watch_that_hears_nothing_ends_when_another_call_finds_it_out() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm")
        waiting = asyncio.ensure_future(anext(scene.store.watch("services/", from_revision=1000)))
        with pytest.raises(StoreError, match="behind"):
            await waiting
        assert scene.store.broken is None, "to begin beyond what was ever known proves nothing"
        async with aclosing(scene.store.watch("runs/", from_revision=3)) as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(1)
            scene.store.distrust(Break(code=BreakCode.RESTORED, message="the keeper says so"))
            assert await distrust_of(waiting) == BreakCode.RESTORED

    run(story)


def test_a_store_that_does_not_answer_is_not_distrusted() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "sites/x")
        scene.cluster.cut("x")
        with pytest.raises(StoreUnreachable) as met:
            await scene.store.read("sites/", timeout_seconds=LIMIT)
        assert not isinstance(met.value, StoreDistrusted)
        scene.cluster.heal("x")
        await scene.store.read("sites/", timeout_seconds=LIMIT)

    run(story)


# --- the disk --------------------------------------------------------------------------------------------


def test_a_change_of_ownership_is_on_the_disk_before_it_counts() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm", b"1")
        scene.shelf.takes_seconds = 0.2
        began = now_seconds()
        await write(scene.store, "services/crm", b"2")
        assert scene.shelf.kept is not None
        assert scene.shelf.kept.services()["crm"].value == "2"
        assert now_seconds() - began == pytest.approx(0.2)

    run(story)


def test_a_disk_that_hangs_holds_a_change_up_for_half_a_second_and_renewals_not_at_all() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm", b"1")
        scene.shelf.takes_seconds = 3600.0
        began = now_seconds()
        await write(scene.store, "services/crm", b"2")
        assert now_seconds() - began == pytest.approx(0.5)
        for _ in range(20):
            await write(scene.store, "sites/x")
        assert now_seconds() - began == pytest.approx(0.5)
        assert scene.store.broken is None

    run(story)


def test_what_another_site_changed_is_kept_at_once_when_a_watch_tells_of_it() -> None:
    async def story() -> None:
        scene = Scene()
        start = await write(scene.store, "sites/x")
        async with aclosing(scene.store.watch("services/", from_revision=start + 1)) as events:
            await write(scene.other, "services/crm", b"taken")
            await anext(events)
            await asyncio.sleep(0.001)
        assert scene.shelf.kept is not None
        assert scene.shelf.kept.services()["crm"].value == "taken"

    run(story)


def test_what_only_shows_that_time_passed_is_kept_every_ten_seconds() -> None:
    async def story() -> None:
        scene = Scene()
        await asyncio.sleep(100)
        await write(scene.store, "sites/x")
        writes = scene.shelf.writes
        for _ in range(60):
            await asyncio.sleep(1)
            await write(scene.store, "sites/x")
        assert scene.shelf.writes - writes == 60 // KEEP_EVERY_SECONDS
        await scene.store.aclose()
        assert scene.shelf.kept is not None
        assert scene.shelf.kept.revision == scene.cluster.table.revision, "and at the end"

    run(story)


def test_a_full_disk_is_said_and_stops_nothing() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm", b"1")
        scene.shelf.full = True
        await write(scene.store, "services/crm", b"2")
        assert scene.store.problem == "store-seen.new: No space left on device"
        scene.shelf.full = False
        await write(scene.store, "services/crm", b"3")
        await asyncio.sleep(0.001)
        assert scene.store.problem == ""
        assert scene.shelf.kept is not None
        assert scene.shelf.kept.services()["crm"].value == "3"

    run(story)


def test_a_memory_that_makes_no_sense_is_not_guessed_at_and_not_written_over() -> None:
    async def story() -> None:
        shelf = Shelf()
        shelf.unreadable = True
        scene = Scene(shelf)
        code = await distrust_of(scene.store.read("sites/", timeout_seconds=LIMIT))
        assert code == BreakCode.MEMORY_UNREADABLE
        scene.store.saw_epoch("crm", 7)
        await scene.store.aclose()
        assert shelf.writes == 0

    run(story)


def test_epochs_and_incarnations_never_go_back_and_are_kept_at_once() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "sites/x")
        scene.store.saw_epoch("crm", 7)
        scene.store.saw_epoch("crm", 5)
        scene.store.saw_incarnation(12)
        scene.store.saw_incarnation(3)
        await asyncio.sleep(0.001)
        assert scene.shelf.kept is not None
        assert (scene.shelf.kept.epochs, scene.shelf.kept.incarnation) == ({"crm": 7}, 12)

    run(story)


# --- the person's word -----------------------------------------------------------------------------------


def test_a_store_is_looked_at_and_certified_before_it_is_trusted_and_trusted_from_then_on() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm", b'{"epoch":4}')
        scene.store.saw_epoch("crm", 4)
        scene.store.saw_incarnation(9)
        scene.restored(Table("forced-new"))
        await distrust_of(scene.store.read("sites/", timeout_seconds=LIMIT))
        found = await scene.store.look("services/", timeout_seconds=LIMIT)
        assert (found.items, found.cluster_id) == ((), "forced-new")
        certified = [Put("services/crm", b'{"epoch":5}')]
        result = await scene.store.certify([Compare("services/crm", 0)], certified, timeout_seconds=LIMIT)
        assert result.succeeded
        items = [KeyValue("services/crm", b'{"epoch":5}', result.revision)]
        await distrust_of(scene.store.read("sites/", timeout_seconds=LIMIT))
        scene.store.saw_epoch("crm", 5)
        await scene.store.accept(acceptance("forced-new", result.revision), items)
        assert (await scene.store.read("services/", timeout_seconds=LIMIT)).items == tuple(items)
        again = scene.open()
        await again.read("services/", timeout_seconds=LIMIT)
        assert again.seen.epochs == {"crm": 5}
        assert again.seen.incarnation == 9
        assert again.seen.certificate == "owner-1"

    run(story)


def test_a_store_that_is_put_back_again_after_it_was_accepted_is_found_out_again() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm", b"1")
        scene.restored(Table())
        await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        await scene.store.accept(acceptance("memory", 1), [])
        await write(scene.store, "services/crm", b"2")
        scene.restored(Table())
        code = await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        assert code == BreakCode.RESTORED

    run(story)


def test_what_the_former_store_was_asked_is_never_answered_by_the_accepted_one() -> None:
    """Neither may its answer count, nor be held against the store that is trusted now."""

    async def story() -> None:
        scene = Scene(faults=Slow(x={3: 3.0}))
        await write(scene.store, "services/crm")
        slow = asyncio.ensure_future(scene.store.read("services/", timeout_seconds=LIMIT))
        await asyncio.sleep(0.1)
        scene.restored(Table())
        await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        await scene.store.accept(acceptance("memory", 1), [])
        assert await distrust_of(slow) == BreakCode.RESTORED
        assert scene.store.broken is None
        await scene.store.read("services/", timeout_seconds=LIMIT)

    run(story)


def test_the_doubt_is_not_put_back_onto_the_disk_while_the_acceptance_is_written() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm")
        scene.restored(Table())
        await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        scene.shelf.takes_seconds = 0.2
        accepting = asyncio.ensure_future(scene.store.accept(acceptance("memory", 1), []))
        await asyncio.sleep(0.1)
        scene.store.saw_epoch("crm", 7)
        await accepting
        assert scene.store.seen.epochs == {"crm": 7}
        await asyncio.sleep(1)
        assert scene.shelf.kept is not None
        assert (scene.shelf.kept.broken, scene.shelf.kept.epochs) == (None, {"crm": 7})

    run(story)


def test_an_acceptance_that_could_not_be_kept_does_not_count() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm")
        scene.restored(Table())
        await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        scene.shelf.full = True
        with pytest.raises(OSError, match="No space left"):
            await scene.store.accept(acceptance("memory", 1), [])
        await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))

    run(story)


def test_what_made_no_sense_is_set_aside_before_another_file_takes_its_place() -> None:
    async def story() -> None:
        shelf = Shelf()
        shelf.unreadable = True
        scene = Scene(shelf)
        await scene.store.accept(acceptance("memory", 1), [])
        assert (shelf.aside, shelf.writes) == (1, 1)
        await scene.store.read("services/", timeout_seconds=LIMIT)

    run(story)


# --- two processes of one site ---------------------------------------------------------------------------


def trust_of(store: KnownStore) -> StoreTrust:
    seen = store.seen
    return StoreTrust(
        cluster_id=seen.cluster_id, revision=seen.revision, accepted=seen.accepted, broken=seen.broken
    )


def test_a_process_goes_by_what_its_keeper_has_seen_doubts_and_was_told_to_accept() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm")
        backup = scene.cluster.table.copy()
        await write(scene.store, "services/crm")
        follower = KnownStore(scene.cluster.client("z"), Shelf(replace(scene.store.seen)))
        follower.follow(trust_of(scene.store))
        scene.restored(backup)
        code = await distrust_of(follower.read("runs/", timeout_seconds=LIMIT))
        assert code == BreakCode.RESTORED, "by the revision it had only heard of"

        scene.store.distrust(follower.broken or Break(code="", message=""))
        await scene.store.accept(acceptance("memory", backup.revision), [])
        follower.follow(trust_of(scene.store))
        await follower.read("services/", timeout_seconds=LIMIT)

        scene.store.distrust(Break(code=BreakCode.OTHER_CLUSTER, message="again"))
        follower.follow(trust_of(scene.store))
        code = await distrust_of(follower.read("services/", timeout_seconds=LIMIT))
        assert code == BreakCode.OTHER_CLUSTER

    run(story)


def test_to_hear_of_another_cluster_is_to_doubt_ones_own() -> None:
    async def story() -> None:
        scene = Scene()
        await write(scene.store, "services/crm")
        scene.store.heard("another", 5)
        code = await distrust_of(scene.store.read("services/", timeout_seconds=LIMIT))
        assert code == BreakCode.OTHER_CLUSTER

    run(story)


def test_a_store_in_memory_answers_only_whom_it_belongs_to() -> None:
    async def story() -> None:
        scene = Scene()
        client = scene.cluster.client("y")
        await client.read("", timeout_seconds=LIMIT)
        scene.restored(Table("another"))
        with pytest.raises(StoreOtherCluster) as met:
            await client.read("", timeout_seconds=LIMIT)
        assert met.value.cluster_id == "another"
        client.pin("another")
        await client.read("", timeout_seconds=LIMIT)

    run(story)
