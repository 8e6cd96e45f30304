"""However many faults a file has, all of them are told, once each and in the order of the file."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sites.inventory import EstateInvalid, Fault
from sites.salvage import salvage, value_at
from tests.sites.inventory.catalogue import HERE, load

VALID = (HERE / "valid.yaml").read_text(encoding="utf-8")

# Each a change of the valid file that is independent of all others: what is replaced, by what, and where
# the fault must be told.
CHANGES = {
    "version": ("version: 1", "version: 7", "version"),
    "unknown section": ("store:\n", "printers: []\nstore:\n", "printers"),
    "lease": ("sites:\n", "ownership: {lease_duration: 4s}\nsites:\n", "ownership.lease_duration"),
    "endpoint": ("https://b.example:2379", "b", "store.endpoints[1]"),
    "address": ("10.0.2.1}", "10.0.2.1, adress: x}", "sites.morpeth.hosts.db.adress"),
    "port": ("10.0.1.1}", "10.0.1.1, port: ssh}", "sites.durham.hosts.db.port"),
    "metrics": ("  morpeth: {", "  morpeth: {metrics: here, ", "sites.morpeth.metrics"),
    "second witness": (
        "{witness: true}",
        "{witness: true}\n  consett: {witness: true}",
        "sites.consett.witness",
    ),
    "home": ("home: durham", "home: durhan", "services.crm.home"),
    "loss": ("    replication:", "    max_data_loss: 5\n    replication:", "services.crm.max_data_loss"),
    "ring": ("    replication:", "    needs: [crm]\n    replication:", "services.crm.needs[0]"),
    "driver": ("driver: pair", "driver: pear", "services.crm.replication.driver"),
    "setting": (" port: 5432,", " port: many,", "services.crm.probes[0].port"),
    "timeout": ("timeout: 1s", "timeout: 6s", "services.crm.probes[0].timeout"),
    "later probe": ("timeout: 1s}\n", "timeout: 1s}\n      - 5\n", "services.crm.probes[1]"),
}
APART = {"timeout", "later probe"}  # these two change the same words


@given(st.sets(st.sampled_from(sorted(CHANGES)), min_size=1))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_faults_of_a_file_are_told_together(tmp_path: Path, chosen: set[str]) -> None:
    if chosen >= APART:
        chosen = chosen - {"timeout"}
    text = VALID
    for name in sorted(chosen):
        old, new, _ = CHANGES[name]
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "sites.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(EstateInvalid) as caught:
        load(path)

    faults = caught.value.faults
    assert sorted(fault.where for fault in faults) == sorted(CHANGES[name][2] for name in chosen)
    assert [(fault.line, fault.column) for fault in faults] == sorted((f.line, f.column) for f in faults)
    assert str(caught.value) == "\n".join(fault.render() for fault in faults)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value within, itself included."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        items = ()
    return [at, *(place for key, inner in items for place in places(inner, (*at, key)))]


COUNCILS = yaml.safe_load(
    Path(__file__).parents[3].joinpath("sites.yaml").read_text(encoding="utf-8").replace("!file", "")
)
PLACES = [place for place in places(COUNCILS) if place]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "?", "10s", "durham", "1 of 2"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["home", "kind", "address", "x y", "endpoints"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def changed(changes: dict[tuple[Any, ...], Any]) -> Any:
    """The councils' estate with other values at some places (those that another change left standing)."""
    data = copy.deepcopy(COUNCILS)
    for place, value in changes.items():
        parent = value_at(data, place[:-1])
        if isinstance(parent, dict | list) and value_at(data, place) is not None:
            parent[place[-1]] = value
    return data


def outcome(path: Path) -> tuple[Fault, ...] | None:
    """The faults of a file; None when it loads."""
    try:
        load(path)
    except EstateInvalid as error:
        return error.faults
    return None


@given(st.dictionaries(st.sampled_from(PLACES), ANYTHING, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_file_the_answer_is_an_estate_or_its_faults(
    tmp_path: Path, changes: dict[tuple[Any, ...], Any]
) -> None:
    path = tmp_path / "sites.yaml"
    path.write_text(yaml.safe_dump(changed(changes)), encoding="utf-8")
    faults = outcome(path)
    assert faults is None or faults
    assert all(fault.line and fault.column and fault.where for fault in faults or ())


@given(st.dictionaries(st.sampled_from(PLACES), ANYTHING, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_something_to_examine_is_left_of_every_estate(changes: dict[tuple[Any, ...], Any]) -> None:
    estate, refused, broken = salvage(changed(changes))
    assert estate is not None
    assert bool(broken) == (refused is not None)


@given(st.integers(0, len(VALID)), st.integers(0, 30), st.text(max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_torn_anywhere_never_ends_in_a_traceback(tmp_path: Path, at: int, gone: int, put: str) -> None:
    path = tmp_path / "sites.yaml"
    torn = VALID[:at] + put + VALID[at + gone :]
    path.write_bytes(torn.encode("utf-8", errors="surrogatepass"))
    faults = outcome(path)
    assert faults is None or faults
