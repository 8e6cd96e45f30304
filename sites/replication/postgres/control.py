"""What `pg_controldata` and our own host scripts print, as values. Pure.

Never guesses: a field that is missing is an error, since every decision about a data directory (stopped
in order? whose data? which timeline?) is made from these.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sites.replication.postgres.lsn import format_lsn, parse_lsn
from sites.replication.words import Position

CLEAN_PRIMARY = "shut down"
CLEAN_STANDBY = "shut down in recovery"
STANDBYS = frozenset({CLEAN_STANDBY, "in archive recovery"})


@dataclass(frozen=True, slots=True)
class Control:
    """The control file of a data directory: the last word of a server that is not running."""

    system_id: str
    state: str
    timeline: int
    checkpoint_bytes: int
    recovery_end_bytes: int
    recovery_timeline: int
    segment_bytes: int

    @property
    def newest_timeline(self) -> int:
        """The timeline its data belong to; a standby may have gone beyond its last checkpoint's."""
        return max(self.timeline, self.recovery_timeline)

    @property
    def clean(self) -> bool:
        """Stopped in order: nothing to recover before it is compared or rewound."""
        return self.state in (CLEAN_PRIMARY, CLEAN_STANDBY)


_FIELDS = {
    "Database system identifier": "system_id",
    "Database cluster state": "state",
    "Latest checkpoint location": "checkpoint",
    "Latest checkpoint's TimeLineID": "timeline",
    "Minimum recovery ending location": "recovery_end",
    "Min recovery ending loc's timeline": "recovery_timeline",
    "Bytes per WAL segment": "segment_bytes",
}


def of_standby(text: str) -> bool:
    """Whether the data, by the output of `pg_controldata`, are those of a server that was a standby when it
    ended. Data of which nothing is said are not."""
    label = next(label for label, key in _FIELDS.items() if key == "state")
    states = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{label}:"))
    return any(state in STANDBYS for state in states)


def parse_control(text: str) -> Control:
    """The output of `pg_controldata` under LC_ALL=C. Raises ValueError naming what is missing."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        label, colon, value = line.partition(":")
        if colon and (key := _FIELDS.get(label.strip())):
            found[key] = value.strip()
    missing = [label for label, key in _FIELDS.items() if key not in found]
    if missing:
        raise ValueError(f"pg_controldata said nothing of: {', '.join(missing)}")
    return Control(
        system_id=found["system_id"],
        state=found["state"],
        timeline=int(found["timeline"]),
        checkpoint_bytes=parse_lsn(found["checkpoint"]),
        recovery_end_bytes=parse_lsn(found["recovery_end"]),
        recovery_timeline=int(found["recovery_timeline"]),
        segment_bytes=int(found["segment_bytes"]),
    )


def parse_said(text: str) -> Mapping[str, str]:
    """The `key=value` lines of a host script; a key said again adds a line to its value."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.isidentifier():
            said[key] = f"{said[key]}\n{value}" if key in said else value
    return said


def history_of(system_id: str, timeline: int) -> str:
    """The name of a line of history, as `Position.history` carries it."""
    return f"{system_id}/{timeline}"


def position(system_id: str, timeline: int, offset_bytes: int) -> Position:
    """A place in the log as the value every driver speaks in."""
    return Position(format_lsn(offset_bytes), history_of(system_id, timeline), offset_bytes)


def final_position(control: Control) -> Position:
    """Where a primary that was stopped in order ended: one byte into its shutdown checkpoint.

    Everything ever acknowledged lies before that record. A standby that has *received* up to here lacks no
    row; one that has *replayed* up to here has replayed the record whole, because replay goes by records,
    and can then be promoted without parting from the old primary's history.
    """
    return position(control.system_id, control.timeline, control.checkpoint_bytes + 1)
