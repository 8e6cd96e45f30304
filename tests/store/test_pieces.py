"""The small pure parts: versions, prefixes, wire forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store.base import KeyValue
from orchestrator.store.versions import parse_version, unsafe_reason
from orchestrator.store.wire import Wire, after_prefix


@pytest.mark.parametrize("version", ["3.3.25", "3.4.21", "3.5.0", "3.5.1", "3.5.5", "", "unknown"])
def test_releases_that_lose_writes_are_named_unsafe(version: str) -> None:
    assert unsafe_reason(version)


@pytest.mark.parametrize("version", ["3.4.22", "3.4.23", "3.5.6", "3.5.21", "3.6.0", "3.6.4-rc.1", "4.0.0"])
def test_releases_that_were_mended_are_safe(version: str) -> None:
    assert unsafe_reason(version) is None


def test_a_version_is_read_out_of_what_the_program_says() -> None:
    assert parse_version("etcd Version: 3.4.23\nGit SHA: none\nGo Version: go1.19.8") == (3, 4, 23)


@given(st.binary(min_size=1, max_size=6), st.binary(max_size=6))
def test_every_key_with_the_prefix_lies_before_the_prefixs_end(prefix: bytes, rest: bytes) -> None:
    end = after_prefix(prefix)
    assert end == b"\x00" or prefix <= prefix + rest < end


@given(st.binary(min_size=1, max_size=6), st.binary(max_size=8))
def test_no_key_without_the_prefix_lies_inside_its_range(prefix: bytes, key: bytes) -> None:
    end = after_prefix(prefix)
    if not key.startswith(prefix) and end != b"\x00":
        assert not prefix <= key < end


def test_absent_fields_of_an_answer_are_false_and_zero() -> None:
    wire = Wire("twinsite/")
    result = wire.result({"header": {"revision": "9007199254740993"}, "responses": [{}]}, 1)
    assert (result.succeeded, result.revision, result.reads) == (False, 9007199254740993, (None,))
    assert wire.snapshot({}).items == ()
    assert wire.item({"key": "dHdpbnNpdGUvYQ=="}) == KeyValue("a", b"", 0)
