"""P13: nothing of the product's store writes unconditionally, and nothing deletes."""

import inspect
import json
from pathlib import Path

import pytest

import orchestrator.store
from orchestrator.store.base import Compare, Put, Store, StoreMisuse
from orchestrator.store.etcd import EtcdStore
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rules import check_transaction
from orchestrator.store.wire import Wire

SHARED = {"read", "transact", "watch", "pin", "aclose"}
ONLY_LOOKING = {"status", "cluster_identity", "from_spec"}


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_the_interface_reads_compares_and_sets_and_watches_and_nothing_else() -> None:
    assert public(Store) == SHARED
    assert public(MemoryStore) == SHARED
    assert public(EtcdStore) == SHARED | ONLY_LOOKING


def test_no_module_of_the_store_names_a_gateway_call_that_writes_otherwise() -> None:
    folder = Path(orchestrator.store.__path__[0])
    named = {
        path.name: word
        for path in folder.glob("*.py")
        for word in ("kv/put", "deleterange", "delete_range", "request_delete", "kv/compaction", "lease/")
        if word in path.read_text(encoding="utf-8")
    }
    assert named == {}


@pytest.mark.parametrize("store", [Store, MemoryStore, EtcdStore])
def test_every_store_is_told_what_to_compare(store: type) -> None:
    parameters = inspect.signature(store.transact).parameters  # type: ignore[attr-defined]
    assert parameters["compares"].default is inspect.Parameter.empty
    assert parameters["timeout_seconds"].default is inspect.Parameter.empty


def test_a_write_without_a_compare_is_refused() -> None:
    with pytest.raises(StoreMisuse, match="unconditionally"):
        check_transaction([], [Put("services/crm", b"")], [])


def test_puts_stand_only_in_the_branch_whose_compares_held() -> None:
    wire = Wire("twinsite/")
    body = wire.transaction([Compare("a", 3)], [Put("a", b"1")], ["b"])
    assert "request_put" in json.dumps(body["success"])
    assert "request_put" not in json.dumps(body["failure"])
    assert body["failure"] == body["success"][1:]
