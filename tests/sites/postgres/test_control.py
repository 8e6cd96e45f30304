"""What `pg_controldata` of several versions prints, and what is made of it."""

import pytest

from sites.replication.postgres.control import final_position, of_standby, parse_control, parse_said

FIFTEEN = """\
pg_control version number:            1300
Catalog version number:               202209061
Database system identifier:           7711236107599095690
Database cluster state:               shut down
pg_control last modified:             Mon 23 Nov 2026 05:34:29 AM UTC
Latest checkpoint location:           0/842E90
Latest checkpoint's REDO location:    0/842E90
Latest checkpoint's REDO WAL file:    000000010000000000000008
Latest checkpoint's TimeLineID:       1
Latest checkpoint's PrevTimeLineID:   1
Latest checkpoint's full_page_writes: on
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
Bytes per WAL segment:                1048576
Mock authentication nonce:            2ffd1c0e4ef7fae36bbd2a3ca3a1a3b7bd5c7d2f0a3a4f5b
"""
STANDBY = (
    FIFTEEN.replace("shut down", "in archive recovery")
    .replace("ending location:     0/0", "ending location:     0/900028")
    .replace("ending loc's timeline:   0", "ending loc's timeline:   2")
)


def test_the_final_position_lies_within_the_shutdown_checkpoint() -> None:
    control = parse_control(FIFTEEN)
    assert control.clean
    final = final_position(control)
    assert (final.offset_bytes, final.history) == (0x842E90 + 1, "7711236107599095690/1")


def test_a_standby_may_be_on_a_newer_timeline_than_its_last_checkpoint() -> None:
    control = parse_control(STANDBY)
    assert not control.clean
    assert (control.timeline, control.newest_timeline, control.recovery_end_bytes) == (1, 2, 0x900028)


@pytest.mark.parametrize(
    ("state", "standby"),
    [
        ("shut down", False),
        ("shut down in recovery", True),
        ("in archive recovery", True),
        ("in crash recovery", False),
        ("in production", False),
    ],
)
def test_whether_it_was_a_standby_is_known_by_its_state_when_it_ended(state: str, standby: bool) -> None:
    said = "exists=yes\nmark=\n" + FIFTEEN.replace("shut down", state)
    assert of_standby(said) is standby


def test_data_of_which_nothing_is_said_were_not_a_standby_s() -> None:
    assert not of_standby("exists=no\n")


def test_what_is_missing_is_named_and_nothing_is_guessed() -> None:
    with pytest.raises(ValueError, match="Database cluster state"):
        parse_control(FIFTEEN.replace("Database cluster state", "Zustand des Datenbank-Clusters"))


def test_a_script_s_lines_are_read_and_other_lines_are_left_alone() -> None:
    said = parse_said("stopped=fast\nDatabase: a=b\nleg=1:2\nleg=3:4\nmark=\nx y=z\n")
    assert dict(said) == {"stopped": "fast", "leg": "1:2\n3:4", "mark": ""}
