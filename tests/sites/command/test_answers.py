"""The output contract: what is understood, and that everything else is no answer, with what is wrong."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sites.errors import DriverTrouble
from sites.replication.command.answers import (
    ALL_KEYS,
    BadAnswer,
    read_lines,
    understand,
    understand_rejoined,
)
from sites.replication.words import Position, Role
from tests.sites.command.ledgers import DURHAM, MORPETH, Ledgers, commands, driver_of

PRIMARY = "role: primary\nwritable: yes\nhistory: a\n"
STANDBY = "role: standby\nwritable: no\nhistory: a\nstreaming: yes\n"
BAD = {
    "nothing at all": ("", "did not print role"),
    "an unknown key": (PRIMARY + "colour: blue\n", "printed the key 'colour'; its keys are role, writable"),
    "a key twice": (PRIMARY + "role: primary\n", "printed the key role twice"),
    "no key": (PRIMARY + "all is well\n", "'all is well', which is no line of `key: value`"),
    "no value": (PRIMARY + "reason:\n", "'reason:', which is no line"),
    "a carriage return": ("role: primary\r\n", r"'role: primary\\r', which is no line"),
    "an escape sequence": (PRIMARY + "system-id: \x1b[2J\n", "which is no line of `key: value`"),
    "broken UTF-8": (PRIMARY + "system-id: \ufffd\n", "bytes that are no UTF-8"),
    "a flood": (PRIMARY + "x" * 20_000, "printed 20039 characters; at most 16384"),
    "a long value": (PRIMARY + f"system-id: {'x' * 300}", "300 characters for system-id; at most 256"),
    "another role": ("role: master\n", "printed role: 'master'; it is one of primary, standby, down"),
    "no writable": ("role: primary\nhistory: a\n", "did not print writable, which a primary must say"),
    "writable of sorts": (PRIMARY.replace("yes", "true"), "printed writable: 'true'; it is one of yes, no"),
    "no history": ("role: primary\nwritable: yes\n", "did not print history"),
    "no streaming": ("role: standby\nwritable: no\nhistory: a\n", "did not print streaming"),
    "a primary that streams": (PRIMARY + "streaming: yes\n", "printed streaming beside role: primary"),
    "a primary's lag": (PRIMARY + "lag: 0\n", "printed lag beside role: primary"),
    "two kinds of position": (PRIMARY + "offset: 1\nposition: x\n", "printed offset and position; one of"),
    "a negative offset": (PRIMARY + "offset: -1\n", "expected a whole number from 0"),
    "a broken offset": (PRIMARY + "offset: 1.5\n", "expected a whole number from 0"),
    "a huge offset": (PRIMARY + f"offset: {1 << 63}\n", "expected a whole number from 0"),
    "digits of another script": (PRIMARY + "offset: ١٢\n", "expected a whole number from 0"),
    "not replayed": (STANDBY + "offset: 1\n", "did not print replayed"),
    "replayed nothing": (STANDBY + "replayed: 1\n", "printed replayed without offset or position"),
    "replayed in words": (
        STANDBY + "offset: 1\nreplayed: all\n",
        "printed replayed: 'all'; expected a whole",
    ),
    "lag in words": (STANDBY + "lag: none\n", "printed lag: 'none'; expected seconds"),
    "lag below zero": (STANDBY + "lag: -3\n", "expected seconds"),
    "lag for ever": (STANDBY + "lag: inf\n", "expected seconds"),
    "age of no lag": (STANDBY + "lag-age: 3\n", "printed lag-age without lag"),
    "down and writable": ("role: down\nwritable: yes\n", "contradict each other"),
    "down and streaming": ("role: down\nstreaming: no\n", "printed streaming beside role: down"),
    "down somewhere": ("role: down\noffset: 3\n", "printed a position without its history"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_keep_to_the_contract_is_no_answer(name: str) -> None:
    text, wrong = BAD[name]
    with pytest.raises(BadAnswer, match=wrong):
        understand(read_lines(text, ALL_KEYS))


def test_what_was_cut_is_no_answer() -> None:
    with pytest.raises(BadAnswer, match="more than can be held"):
        read_lines(PRIMARY, ALL_KEYS, truncated=True)


def test_a_primary_with_a_number_that_grows() -> None:
    answer = understand(read_lines(PRIMARY + "\n\noffset:   42  \nsystem-id: crm 7\n", ALL_KEYS))
    assert (answer.role, answer.writable, answer.system_id) == (Role.PRIMARY, True, "crm 7")
    assert answer.reached() == Position("42", "a", 42)


def test_a_standby_with_a_text_that_has_no_order() -> None:
    answer = understand(read_lines(STANDBY + "position: 3f1a\nreplayed: 77c0\n", ALL_KEYS))
    assert (answer.reached(), answer.applied()) == (Position("3f1a", "a", None), Position("77c0", "a", None))


def test_a_standby_that_knows_nothing_but_the_age_of_its_last_copy() -> None:
    answer = understand(read_lines(STANDBY + "lag: 140\nlag-age: 2.5\n", ALL_KEYS))
    assert (answer.behind_seconds, answer.placed, answer.applied()) == (142.5, False, None)
    assert answer.reached() == Position("", "a", None)


def test_down_with_where_it_ended() -> None:
    answer = understand(read_lines("role: down\nreason: no process\nhistory: a\noffset: 9\n", ALL_KEYS))
    assert (answer.role, answer.writable, answer.reason) == (Role.DOWN, False, "no process")
    assert answer.reached() == Position("9", "a", 9)


def test_a_rejoin_counts_what_only_the_old_side_had_and_says_where_it_is_kept() -> None:
    said = understand_rejoined({"method": "rewind", "divergent": "12", "saved-at": "/srv/kept"})
    assert (said.method, said.divergent_bytes, said.saved_at) == ("rewind", 12, "/srv/kept")
    with pytest.raises(BadAnswer, match="without saved-at, where that is kept"):
        understand_rejoined({"method": "rewind", "divergent": "12"})


@given(st.text())
def test_no_output_whatever_raises_anything_but_what_is_wrong_with_it(text: str) -> None:
    with suppress(DriverTrouble):
        understand(read_lines(text, ALL_KEYS))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("exit 3", "tree at durham (tree): `look` ended with status 3; it said: nothing"),
        ("echo 'no such table' >&2; exit 1", "`look` ended with status 1; it said: no such table"),
        ("sleep 60", "`look` did not end within 0.5 s and was ended; it said: "),
        ("printf 'role: \\377\\n'", "`look` printed bytes that are no UTF-8"),
        ("head -c 3000000 /dev/zero", "characters; at most 16384 are an answer"),
        ("echo role: primary", "`look` did not print writable, which a primary must say"),
    ],
)
async def test_a_broken_look_of_a_real_command_is_unknown_with_its_reason(
    pair: Ledgers, line: str, reason: str
) -> None:
    driver = driver_of(
        {**commands(pair.script, pair.base), "answer_within": "500ms", "look_every": "200ms"}, pair.transport
    )
    pair.spoil("look", line)
    sample = await driver.sample(DURHAM)
    assert (sample.role, sample.writable, sample.position) == (Role.UNKNOWN, None, None)
    assert reason in sample.reason


async def test_the_parts_of_a_look_can_be_asked_one_by_one(pair: Ledgers) -> None:
    settings = commands(pair.script, pair.base)
    look = settings.pop("look")["run"]
    parts = {
        "role": "^(role|writable|streaming|reason)",
        "position": "^(history|offset|replayed)",
        "identity": "^system-id",
    }
    for part, keys in parts.items():
        settings[part] = {"run": f"{look} | grep -E '{keys}'"}
    driver = driver_of(settings, pair.transport)
    whole = await pair.driver.sample(MORPETH)
    sample = await driver.sample(MORPETH)
    assert (sample.role, sample.position, sample.streaming, sample.system_id) == (
        whole.role,
        whole.position,
        whole.streaming,
        whole.system_id,
    )
    pair.kill(MORPETH)
    await asyncio.sleep(0.25)
    assert (await driver.sample(MORPETH)).reason == "it does not run"


async def test_a_part_prints_its_own_keys_only(pair: Ledgers) -> None:
    settings = commands(pair.script, pair.base)
    settings["role"] = settings.pop("look")
    sample = await driver_of(settings, pair.transport).sample(DURHAM)
    assert (
        "`role` printed the key 'system-id'; its keys are role, writable, streaming, reason" in sample.reason
    )
