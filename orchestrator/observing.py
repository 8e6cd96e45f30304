"""Publish what a vantage point sees under `observations/<site>`, and take in what the others publish.

Grants no right to anybody; a store that does not answer costs a publication and nothing else.
"""

import asyncio
from collections.abc import Callable

import structlog

from orchestrator.clock import wall_unix_seconds
from orchestrator.core.records import (
    OBSERVATIONS,
    ObservationRecord,
    RecordUnreadable,
    decode,
    encode,
)
from orchestrator.store.base import (
    Compare,
    KeyValue,
    Put,
    Snapshot,
    Store,
    StoreCompacted,
    StoreError,
    stands_at,
)

log = structlog.get_logger(__name__)

PUBLISH_EVERY_SECONDS = 2.0
CHANGES_TOGETHER_SECONDS = 0.05
STORE_SECONDS = 3.0
AGAIN_SECONDS = 0.5


async def publish(
    store: Store,
    observer: str,
    observation: Callable[[str, int, float], ObservationRecord],
    changed: asyncio.Event,
) -> None:
    """Write our observation every two seconds, and soon after `changed`, until cancelled.

    Gate 2 takes the last word of an observer for what it still sees: so an instance that stopped accepting
    writes is told of at once.
    """
    key = OBSERVATIONS + observer
    revision: int | None = None
    number = 0
    while True:
        number += 1
        changed.clear()
        try:
            if revision is None:
                found = (await store.read(key, exact=True, timeout_seconds=STORE_SECONDS)).get(key)
                revision = found.mod_revision if found is not None else 0
            put = Put(key, encode(observation(observer, number, wall_unix_seconds())))
            compares = [Compare(key, revision)]
            result = await store.transact(compares, [put], [key], timeout_seconds=STORE_SECONDS)
            revision = stands_at(result, put)
        except StoreError as fault:
            revision = None
            log.debug("observation-not-published", problem=str(fault))
        try:
            async with asyncio.timeout(PUBLISH_EVERY_SECONDS):
                await changed.wait()
                await asyncio.sleep(CHANGES_TOGETHER_SECONDS)
        except TimeoutError:
            pass


async def follow(
    store: Store,
    prefix: str,
    take: Callable[[KeyValue], None],
    begin: Callable[[Snapshot], None] = lambda snapshot: None,
) -> None:
    """Hand over everything under `prefix`, then every write, until cancelled. `begin` is told first of each
    whole picture: it may be that of a store which was restored, and so be older than what was known."""
    while True:
        try:
            snapshot = await store.read(prefix, timeout_seconds=STORE_SECONDS)
            begin(snapshot)
            for item in snapshot.items:
                take(item)
            async for event in store.watch(prefix, from_revision=snapshot.revision + 1):
                take(event.item)
        except StoreCompacted:
            continue
        except StoreError as fault:
            log.debug("watch-interrupted", prefix=prefix, problem=str(fault))
        await asyncio.sleep(AGAIN_SECONDS)


def taking_observations(
    observer: str,
    take: Callable[[ObservationRecord], None],
    not_accepted: Callable[[str], None] = lambda code: None,
) -> Callable[[KeyValue], None]:
    """Decode the others' observations; an unreadable one is left out, and its code told."""

    def handler(item: KeyValue) -> None:
        try:
            record = decode(ObservationRecord, item.value)
        except RecordUnreadable as fault:
            log.warning("record-unreadable", key=item.key, problem=str(fault))
            not_accepted("record-unreadable")
            return
        if record.observer != observer:
            take(record)

    return handler
