"""etcd while its members die, freeze and come back, and when it is asked wrongly. Real servers."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from orchestrator.certificates import authority
from orchestrator.lab.certs import create_authority, open_authority
from orchestrator.lab.etcd import configure_auth, move_leader
from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Store,
    StoreCompacted,
    StoreMisuse,
    StoreUnreachable,
)
from orchestrator.store.etcd import EtcdStore
from sites.model import StoreSpec, TlsFiles
from tests.store.cluster import ACCOUNTS, PASSWORDS, EtcdCluster, Relay
from tests.store.conftest import fresh_prefix

pytestmark = pytest.mark.slow
LIMIT = 20.0


async def write_numbers(store: Store, key: str, count: int, pause_seconds: float = 0.005) -> list[KeyValue]:
    """Writes 1, 2, 3 … one after another, as a keeper does: a write found done already is adopted."""
    written: list[KeyValue] = []
    revision = 0
    for number in range(1, count + 1):
        value = b"%d" % number
        result = await store.transact(
            [Compare(key, revision)], [Put(key, value)], [key], timeout_seconds=LIMIT
        )
        found = result.reads[0]
        assert found is not None
        assert result.succeeded or found.value == value, "refused though nobody else writes"
        written.append(found)
        revision = found.mod_revision
        await asyncio.sleep(pause_seconds)
    return written


async def next_revision(store: Store) -> int:
    return (await store.read("sites/", timeout_seconds=LIMIT)).revision + 1


async def watch_numbers(store: Store, key: str, count: int, start: int) -> list[KeyValue]:
    """The writes of one key as a watch tells them, up to the one that says `count`."""
    seen: list[KeyValue] = []
    async with asyncio.timeout(60), aclosing(store.watch(key, from_revision=start)) as events:
        async for event in events:
            seen.append(event.item)
            if event.item.value == b"%d" % count:
                return seen
    raise AssertionError("the watch ended by itself")


Blow = Callable[[EtcdCluster, int], None]


@pytest.mark.parametrize("blow", [EtcdCluster.kill, EtcdCluster.freeze], ids=["killed", "frozen"])
async def test_writes_and_watch_lose_and_repeat_nothing_while_each_member_in_turn_is(
    etcd: EtcdCluster, blow: Blow
) -> None:
    """P8: a member that hangs hides no beat from the watch, for there is another stream."""
    key, count = fresh_prefix() + "beat", 500
    async with (
        etcd.store("durham") as writer,
        etcd.store("morpeth", watch_silence_seconds=0.4) as watcher,
        asyncio.TaskGroup() as group,
    ):
        start = await next_revision(writer)
        writing = group.create_task(write_numbers(writer, key, count))
        watching = group.create_task(watch_numbers(watcher, key, count, start))
        victim = await etcd.leader()
        while not writing.done():
            blow(etcd, victim % 3)
            await asyncio.sleep(1.2)
            await etcd.healed()
            await asyncio.sleep(0.2)
            victim += 1
    assert [item.value for item in writing.result()] == [b"%d" % number for number in range(1, count + 1)]
    assert watching.result() == writing.result()


async def test_streams_that_fall_silent_are_found_out_and_moved(etcd: EtcdCluster) -> None:
    """The network between us and two members swallows everything, while the members themselves go on."""
    prefix = fresh_prefix()
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(Relay.to(place.client_port)) for place in etcd.places[:2]]
        endpoints = [*(relay.endpoint for relay in relays), etcd.endpoints[2]]
        watcher = await stack.enter_async_context(
            etcd.store("morpeth", endpoints=endpoints, watch_silence_seconds=0.2)
        )
        writer = await stack.enter_async_context(etcd.store("durham"))
        start = await next_revision(writer)
        events = await stack.enter_async_context(aclosing(watcher.watch(prefix, from_revision=start)))
        async with asyncio.timeout(LIMIT):
            await write_numbers(writer, prefix + "a", 1)
            assert (await anext(events)).item.key == prefix + "a"
            await asyncio.gather(*(relay.carried.wait() for relay in relays))
            for relay in relays:
                relay.swallow = True
            await write_numbers(writer, prefix + "b", 3)
            assert [(await anext(events)).item.value for _ in range(3)] == [b"1", b"2", b"3"]


async def test_a_quiet_watch_outlives_compaction_and_the_loss_of_its_members(etcd: EtcdCluster) -> None:
    prefix, elsewhere = fresh_prefix(), fresh_prefix()
    async with etcd.store("durham") as writer, etcd.store("morpeth", watch_silence_seconds=0.2) as watcher:
        start = (await write_numbers(writer, prefix + "a", 1))[0].mod_revision
        async with aclosing(watcher.watch(prefix, from_revision=start)) as events, asyncio.timeout(LIMIT):
            assert (await anext(events)).item.value == b"1"
            waiting = asyncio.ensure_future(anext(events))
            busy = await write_numbers(writer, elsewhere + "x", 60, pause_seconds=0.02)
            await etcd.admin("/v3/kv/compaction", {"revision": str(busy[30].mod_revision)})
            for index in (0, 1):
                etcd.kill(index)
                await etcd.healed()
            await write_numbers(writer, prefix + "b", 1)
            assert (await waiting).item.key == prefix + "b"


async def test_a_key_deleted_by_hand_makes_the_watch_ask_for_a_fresh_read(etcd: EtcdCluster) -> None:
    prefix = fresh_prefix()
    async with etcd.store() as store:
        (item,) = await write_numbers(store, prefix + "a", 1)
        async with aclosing(store.watch(prefix, from_revision=item.mod_revision)) as events:
            assert (await anext(events)).item == item
            await etcd.admin("/v3/kv/deleterange", store._wire.range(prefix + "a", exact=True))
            with pytest.raises(StoreCompacted, match="deleted by other means"):
                async with asyncio.timeout(LIMIT):
                    await anext(events)


async def test_members_that_forgot_the_token_are_given_a_fresh_one(etcd: EtcdCluster) -> None:
    prefix = fresh_prefix()
    async with etcd.store(watch_silence_seconds=0.3) as store:
        revision = (await write_numbers(store, prefix + "a", 1))[0].mod_revision
        await etcd.admin("/v3/auth/user/changepw", {"name": "durham", "password": PASSWORDS["durham"]})
        assert (await store.read(prefix, timeout_seconds=LIMIT)).items[0].value == b"1"
        await etcd.admin("/v3/auth/user/changepw", {"name": "durham", "password": PASSWORDS["durham"]})
        async with aclosing(store.watch(prefix, from_revision=revision)) as events, asyncio.timeout(LIMIT):
            assert (await anext(events)).item.value == b"1"


async def test_a_wrong_password_is_named(etcd: EtcdCluster) -> None:
    async with etcd.store("durham", password="wrong") as store:
        with pytest.raises(StoreMisuse, match=r"login as durham.*invalid user ID or password; correct"):
            await store.read("sites/", timeout_seconds=LIMIT)
        async with aclosing(store.watch("sites/", from_revision=1)) as events:
            with pytest.raises(StoreMisuse, match="invalid user ID or password"):
                async with asyncio.timeout(LIMIT):
                    await anext(events)


async def test_a_store_that_wants_a_user_says_so(etcd: EtcdCluster) -> None:
    store = EtcdStore(etcd.endpoints, tls=etcd.tls, user=None, password=None, allow_unsafe_versions=True)
    try:
        with pytest.raises(StoreMisuse, match="give `user` and `password`"):
            await store.read("sites/", timeout_seconds=LIMIT)
    finally:
        await store.aclose()


async def test_a_client_without_a_certificate_is_told(etcd: EtcdCluster) -> None:
    await refused(
        etcd, ssl.create_default_context(cafile=str(etcd.client.ca)), "does not accept our certificate"
    )


async def test_a_certificate_of_another_authority_is_told(etcd: EtcdCluster, tmp_path: Path) -> None:
    stranger = create_authority(tmp_path / "stranger").client("stranger")
    tls = ssl.create_default_context(cafile=str(etcd.client.ca))
    tls.load_cert_chain(stranger.certificate, stranger.key)
    await refused(etcd, tls, "does not accept our certificate")


async def test_a_certificate_with_a_common_name_is_told(
    etcd: EtcdCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """etcd says so in plain text, before it looks at the request."""
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "durham-controller")])
    monkeypatch.setattr(authority, "_name", lambda unit: named)
    client = open_authority(etcd.directory / "certs").client("named")
    await refused(etcd, client.client_context(), "whose subject has no common name")


async def test_members_whose_authority_is_not_ours_are_not_trusted(etcd: EtcdCluster, tmp_path: Path) -> None:
    stranger = create_authority(tmp_path / "stranger").client("stranger")
    await refused(etcd, stranger.client_context(), "its certificate is not trusted")


async def refused(etcd: EtcdCluster, tls: ssl.SSLContext, words: str) -> None:
    store = EtcdStore(
        etcd.endpoints, tls=tls, user="durham", password="durham-secret", allow_unsafe_versions=True
    )
    try:
        with pytest.raises(StoreMisuse, match=words):
            await store.read("sites/", timeout_seconds=LIMIT)
    finally:
        await store.aclose()


async def test_the_estate_files_words_open_the_store(etcd: EtcdCluster) -> None:
    files = TlsFiles(ca=etcd.client.ca.name, cert=etcd.client.certificate.name, key=etcd.client.key.name)
    spec = StoreSpec.model_validate(
        {"endpoints": etcd.endpoints, "tls": files, "user": "reader", "password": PASSWORDS["reader"]}
    )
    store = EtcdStore.from_spec(spec, etcd.client.ca.parent, allow_unsafe_versions=etcd.binary.unsafe)
    try:
        identity = await store.cluster_identity(timeout_seconds=LIMIT)
        snapshot = await store.read("sites/", timeout_seconds=LIMIT)
    finally:
        await store.aclose()
    assert (identity.cluster_id, identity.revision) == (snapshot.cluster_id, snapshot.revision)


@pytest.mark.parametrize(
    ("user", "key", "allowed"),
    [
        ("durham", "sites/morpeth-test", True),  # a taker sets the other's revoked flag (P10)
        ("durham", "runs/test", True),
        ("durham", "observations/durham", True),
        ("durham", "observations/morpeth", False),
        ("derwentside", "observations/derwentside", True),
        ("derwentside", "observations/durham", False),
        ("derwentside", "sites/durham-test", False),
        ("derwentside", "services/test", False),
        ("derwentside", "runs/test", False),
        ("reader", "services/test", False),
        ("reader", "observations/reader", False),
    ],
)
async def test_users_write_only_what_is_theirs_and_read_everything(
    etcd: EtcdCluster, user: str, key: str, allowed: bool
) -> None:
    async with etcd.store(user) as store:
        before = await store.read(key, exact=True, timeout_seconds=LIMIT)
        revision = before.items[0].mod_revision if before.items else 0
        if allowed:
            result = await store.transact(
                [Compare(key, revision)], [Put(key, b"x")], [], timeout_seconds=LIMIT
            )
            assert result.succeeded
        else:
            with pytest.raises(StoreMisuse, match="permission denied; give this user's role the right"):
                await store.transact([Compare(key, revision)], [Put(key, b"x")], [], timeout_seconds=LIMIT)
            assert await store.read(key, exact=True, timeout_seconds=LIMIT) == before


async def test_a_watch_of_keys_one_may_not_read_is_refused(etcd: EtcdCluster) -> None:
    async with (
        etcd.store("reader", namespace="elsewhere/") as store,
        aclosing(store.watch("sites/", from_revision=1)) as events,
    ):
        with pytest.raises(StoreMisuse, match="permission denied"):
            async with asyncio.timeout(LIMIT):
                await anext(events)


async def test_setting_up_users_again_changes_nothing_and_ends_no_session(etcd: EtcdCluster) -> None:
    async with etcd.store() as store:
        await store.read("sites/", timeout_seconds=LIMIT)
        await configure_auth(etcd.endpoints, etcd.tls, ACCOUNTS)
        await store.read("sites/", timeout_seconds=LIMIT)


async def test_status_tells_of_each_member_what_it_is_and_which_one_is_gone(etcd: EtcdCluster) -> None:
    async with etcd.store("reader") as store:
        for endpoint in etcd.endpoints:
            await move_leader(etcd.endpoints, etcd.tls, endpoint, root_password=PASSWORDS["root"])
            assert (await store.status(timeout_seconds=LIMIT)).leader == endpoint
        etcd.kill(0)
        etcd.freeze(1)
        status = await store.status(timeout_seconds=1.0)
    killed, frozen, well = status.members
    assert (killed.reachable, frozen.reachable, well.reachable) == (False, False, True)
    assert "Connection refused" in killed.problem
    assert "no answer in 1 s" in frozen.problem
    assert well.version == etcd.binary.version
    assert well.quota_bytes == 2 * 1024**3
    assert well.database_bytes is not None
    assert well.round_trip_seconds is not None
    assert killed.database_bytes is None


async def test_without_quorum_the_error_names_every_member_and_what_to_do(etcd: EtcdCluster) -> None:
    async with etcd.store() as store:
        await store.read("sites/", timeout_seconds=LIMIT)
        etcd.kill(0)
        etcd.kill(1)
        with pytest.raises(StoreUnreachable) as caught:
            await store.read("sites/", timeout_seconds=1.0)
    words = str(caught.value)
    assert all(place.endpoint.split("://")[1] in words for place in etcd.places)
    assert "Connection refused" in words
    assert "at least 2 of 3 members run" in words
