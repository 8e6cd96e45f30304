"""Records as they stand in the store: they come back as they were, and what cannot be read says so."""

import json
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.records import (
    InstanceSeen,
    LastMove,
    Mode,
    Movement,
    ObservationRecord,
    Pause,
    ProbeSeen,
    RecordUnreadable,
    RunRecord,
    ServiceRecord,
    SiteRecord,
    StepState,
    StillSeen,
    WaySeen,
    decode,
    encode,
)
from sites.replication.words import Position

FINAL = Position(text="0/5000060", history="7301/2", offset_bytes=83_886_176)

SITE = SiteRecord(
    incarnation=12,
    beat=345,
    keeper="5f0c",
    lease_duration_ns=10_000_000_000,
    revoked=True,
    hold=True,
    witness_seen=False,
    peer_incarnation=11,
    break_glass=True,
    glass_unknown=True,
)
SERVICE = ServiceRecord(
    primary=None,
    epoch=8,
    mode=Mode.AUTOMATIC,
    movement=Movement.MOVING,
    writer="morpeth/12/3",
    run="ebs-switchover-1",
    kind="switchover",
    target="durham",
    asked_to_give_up=True,
    refusal="no",
    previous="morpeth",
    planned=True,
    final_position=FINAL,
    since="2024-05-01T09:00:00+00:00",
    who="anna",
    why="patching; Größe ≥ 1",
    pause=Pause(pause_id="ab12", seconds=7200.5, since="2024-05-01", who="anna", reason="month end"),
    last_move=LastMove(run="ebs-failover-1", at_unix_seconds=1714550000.25, acknowledged_by="bob"),
)
RUN = RunRecord(
    run="ebs-switchover-1",
    kind="switchover",
    service="ebs",
    from_site="morpeth",
    to_site="durham",
    executor_site="durham",
    executor=2,
    state="running",
    plan={"id": "ebs-switchover-1", "parts": [{"steps": [{"id": "a/b", "number": 1}]}], "nothing": None},
    statement="ebs loses nothing",
    who="anna",
    why="patching",
    started="2024-05-01T09:00:00+00:00",
    started_unix_seconds=1714554000.5,
    loss_bound_seconds=0.0,
    ended="",
    outcome="",
    steps=(StepState(step="a/b", state="done", detail="said: ok", duration_seconds=0.25),),
)
OBSERVATION = ObservationRecord(
    observer="derwentside",
    number=99,
    instances=(
        InstanceSeen(
            service="ebs",
            site="durham",
            role="standby",
            writable=None,
            reason="",
            age_seconds=0.4,
            position=FINAL,
            replayed=None,
            system_id="7301",
            timeline=2,
            still=StillSeen(
                mark="4711 8192 12 1714554000",
                for_seconds=85.0,
                age_seconds=1.5,
                evidence="no process of it is left",
                behind_gate=True,
                given_up_epoch=8,
            ),
        ),
    ),
    probes=(
        ProbeSeen(
            service="ebs",
            site="durham",
            probe="login",
            kind="http",
            verdict="up",
            reason="answered",
            age_seconds=1.0,
            since_seconds=3600.0,
        ),
    ),
    reaches={"durham": True, "morpeth": False, "derwentside": None, "store:durham": True},
    ways=(WaySeen(site="morpeth", way="host db", reached=False, reason="timed-out", age_seconds=0.3),),
    clock_unix_seconds=1714554000.0,
    clock_boottime_ns=12_345,
    boot="5d0c6f6a-2a5e-4d6d-9d63-1c3f0e7b2a11",
    clock_rates={"durham": 0.0001},
)

FULL = {"site": SITE, "service": SERVICE, "run": RUN, "observation": OBSERVATION}
SMALL = {
    "site": SiteRecord(incarnation=1, beat=1, keeper="k", lease_duration_ns=1),
    "service": ServiceRecord(
        primary="durham", epoch=1, mode=Mode.MANUAL, movement=Movement.STEADY, writer=""
    ),
    "run": replace(RUN, from_site=None, loss_bound_seconds=None, steps=(), plan={}),
    "observation": ObservationRecord(observer="durham", number=1),
}


@pytest.mark.parametrize("record", [*FULL.values(), *SMALL.values()], ids=lambda r: type(r).__name__)
def test_a_record_comes_back_as_it_was(record: Any) -> None:
    assert decode(type(record), encode(record)) == record


@pytest.mark.parametrize("kind", FULL)
def test_the_full_example_leaves_no_field_at_its_default(kind: str) -> None:
    """So that a field added later is looked at here."""
    same = [
        each.name
        for each in fields(FULL[kind])
        if getattr(FULL[kind], each.name) == getattr(SMALL[kind], each.name)
    ]
    allowed = {
        "run": {each.name for each in fields(RunRecord)} - {"from_site", "loss_bound_seconds", "steps"}
    }
    assert set(same) <= allowed.get(kind, set())


def test_a_record_is_plain_json_with_times_and_words_that_people_can_read() -> None:
    shown = json.loads(encode(SERVICE))
    assert (shown["mode"], shown["movement"], shown["final_position"]["text"]) == (
        "automatic",
        "moving",
        "0/5000060",
    )


@pytest.mark.parametrize("kind", FULL)
def test_a_field_of_a_later_version_is_passed_over(kind: str) -> None:
    record = FULL[kind]
    later = {**json.loads(encode(record)), "added_later": {"deep": [1]}}
    assert decode(type(record), json.dumps(later).encode()) == record


@pytest.mark.parametrize("kind", SMALL)
def test_a_record_of_an_earlier_version_gets_the_defaults_of_what_it_lacks(kind: str) -> None:
    record = SMALL[kind]
    said = json.loads(encode(record))
    optional = [each for each in fields(record) if each.name in said and _has_default(each)]
    assert optional
    for each in optional:
        earlier = {name: value for name, value in said.items() if name != each.name}
        read = decode(type(record), json.dumps(earlier).encode())
        assert replace(read, **{each.name: getattr(record, each.name)}) == record


def _has_default(each: Any) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "not a ServiceRecord"),
        (b'"a word"', "not a ServiceRecord"),
        (b"{}", "primary"),
        (encode(SERVICE).replace(b'"automatic"', b'"by-moonlight"'), "'automatic' or 'manual'"),
        (encode(SERVICE).replace(b'"epoch":8', b'"epoch":"eight"'), "epoch"),
        (encode(SITE), "epoch"),
    ],
)
def test_what_cannot_be_read_says_what_it_is_not_and_why(value: bytes, says: str) -> None:
    with pytest.raises(RecordUnreadable) as refused:
        decode(ServiceRecord, value)
    assert str(refused.value).startswith("not a ServiceRecord: ")
    assert says in str(refused.value)
    assert refused.value.__cause__ is not None


def test_what_cannot_be_read_is_an_error_of_the_value_not_of_the_program() -> None:
    assert issubclass(RecordUnreadable, ValueError)


texts = st.text(max_size=30)
positions = st.builds(
    Position, text=texts, history=texts, offset_bytes=st.integers(min_value=0, max_value=2**63)
)
services = st.builds(
    ServiceRecord,
    primary=st.none() | texts,
    epoch=st.integers(min_value=0, max_value=2**53),
    mode=st.sampled_from(Mode),
    movement=st.sampled_from(Movement),
    writer=texts,
    run=texts,
    refusal=texts,
    previous=st.none() | texts,
    planned=st.booleans(),
    final_position=st.none() | positions,
    who=texts,
    why=texts,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(services)
def test_whatever_people_wrote_into_it_a_record_comes_back_as_it_was(record: ServiceRecord) -> None:
    assert decode(ServiceRecord, encode(record)) == record
