"""What etcd's JSON gateway reads and writes: bodies out, answers in. Pure.

The gateway's habits, all met here: int64 are strings, bytes are base64, and a field that is false, zero or
empty is absent.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.store.base import Compare, KeyValue, Put, Snapshot, TransactionResult

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WatchMessage:
    """One message of a watch stream. `deleted` names keys that somebody removed by other means."""

    created: bool
    cancelled: bool
    why: str
    compact_revision: int
    cluster_id: str
    events: tuple[KeyValue, ...]
    deleted: tuple[str, ...]


class Wire:
    """Bodies and answers for keys below one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def range(self, prefix: str, *, exact: bool) -> Json:
        """Key and range end for one key, or for all that start with `prefix`."""
        start = (self._namespace + prefix).encode()
        return {"key": _b64(start)} if exact else {"key": _b64(start), "range_end": _b64(after_prefix(start))}

    def read(self, prefix: str, *, exact: bool) -> Json:
        """A linearizable range request: the gateway's default, said aloud."""
        return {**self.range(prefix, exact=exact), "serializable": False}

    def newest(self, prefix: str, *, above: int) -> Json:
        """Asks for the key under `prefix` written last, if that was after revision `above`."""
        return {
            **self.read(prefix, exact=False),
            "min_mod_revision": str(above + 1),
            "sort_order": "DESCEND",
            "sort_target": "MOD",
            "limit": "1",
            "keys_only": True,
        }

    def transaction(self, compares: Sequence[Compare], puts: Sequence[Put], reads: Sequence[str]) -> Json:
        """Puts, then reads, if every compare holds; else the reads alone."""
        asked = [{"request_range": self.read(key, exact=True)} for key in reads]
        written = [
            {"request_put": {**self.range(put.key, exact=True), "value": _b64(put.value)}} for put in puts
        ]
        return {
            "compare": [
                {
                    **self.range(compare.key, exact=True),
                    "target": "MOD",
                    "result": "EQUAL",
                    "mod_revision": str(compare.mod_revision),
                }
                for compare in compares
            ],
            "success": [*written, *asked],
            "failure": asked,
        }

    def watch(self, prefix: str, *, from_revision: int) -> Json:
        """Opens a watch. Progress notices are not asked for: 3.4 was seen to send one that names a
        revision before it had sent that revision's events."""
        return {"create_request": {**self.range(prefix, exact=False), "start_revision": str(from_revision)}}

    def item(self, found: Mapping[str, Any]) -> KeyValue:
        """One key as stored, its namespace taken off."""
        key = base64.b64decode(found["key"]).decode()
        value = base64.b64decode(found.get("value", ""))
        return KeyValue(key.removeprefix(self._namespace), value, int(found.get("mod_revision", 0)))

    def snapshot(self, answer: Json) -> Snapshot:
        """A range's answer."""
        items = tuple(self.item(found) for found in answer.get("kvs", ()))
        return Snapshot(revision_of(answer), items, cluster_of(answer))

    def result(self, answer: Json, reads: int) -> TransactionResult:
        """A transaction's answer; the last `reads` of its responses are the keys asked for."""
        responses = answer.get("responses", [])
        found = [one.get("response_range", {}).get("kvs", ()) for one in responses[len(responses) - reads :]]
        values = tuple(self.item(kvs[0]) if kvs else None for kvs in found)
        succeeded = bool(answer.get("succeeded", False))
        return TransactionResult(succeeded, revision_of(answer), values, cluster_of(answer))

    def watch_message(self, result: Json) -> WatchMessage:
        """The `result` of one line of a watch stream."""
        puts: list[KeyValue] = []
        deleted: list[str] = []
        for event in result.get("events", ()):
            item = self.item(event["kv"])
            if event.get("type", "PUT") == "PUT":
                puts.append(item)
            else:
                deleted.append(item.key)
        return WatchMessage(
            bool(result.get("created", False)),
            bool(result.get("canceled", False)),
            str(result.get("cancel_reason", "")),
            int(result.get("compact_revision", 0)),
            cluster_of(result),
            tuple(puts),
            tuple(deleted),
        )


def revision_of(answer: Json) -> int:
    """The store's revision when it answered."""
    return int(answer.get("header", {}).get("revision", 0))


def cluster_of(answer: Json) -> str:
    """The cluster's id as decimal digits, "" if the answer names none."""
    return str(answer.get("header", {}).get("cluster_id", ""))


def after_prefix(prefix: bytes) -> bytes:
    """The first key behind all that start with `prefix`; a zero byte (no end) if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\x00"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
