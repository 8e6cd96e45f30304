"""What came of rows that were played, as a value: from a stage, to the JSON that `--json` keeps and back, and
several results of one another's rows put together.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from orchestrator.lab import acts
from orchestrator.lab.cases import NOT_SHOWN
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.measure import EventFigures
from orchestrator.lab.rows import ROWS, Row
from orchestrator.lab.stage import Check, Stage
from orchestrator.lab.store_watch import STORE


@dataclass(frozen=True, slots=True)
class Play:
    """One play of a row. `failed_writes`: by service, where none may fail; `gates`: clients came by gates."""

    ok: bool
    gates: bool
    margins_seconds: tuple[float, ...]
    failed_writes: Mapping[str, int]
    events: tuple[EventFigures, ...]
    spans: Mapping[str, str]
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, stage: Stage, *, gates: bool) -> "Play":
        """What came of a play that is over."""
        return cls(
            stage.ok,
            gates,
            tuple(stage.margins),
            dict(stage.failed),
            tuple(stage.events),
            dict(stage.told_spans),
            tuple(stage.checks),
        )

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Play":
        """Raises KeyError, TypeError or AttributeError for anything `to_json` did not make."""
        return cls(
            bool(raw["ok"]),
            bool(raw["gates"]),
            tuple(float(one) for one in raw["margins_seconds"]),
            {service: int(count) for service, count in raw["failed_writes"].items()},
            tuple(EventFigures.from_json(one) for one in raw["events"]),
            dict(raw["spans"]),
            tuple(Check(**one) for one in raw["checks"]),
        )

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.ok,
            "gates": self.gates,
            "margins_seconds": list(self.margins_seconds),
            "failed_writes": dict(self.failed_writes),
            "events": [event.to_json() for event in self.events],
            "spans": dict(self.spans),
            "checks": [asdict(check) for check in self.checks],
        }


@dataclass(slots=True)
class Played:
    """One row and every play of it."""

    row: Row
    plays: list[Play] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it was played, and everything held."""
        return bool(self.plays) and all(play.ok for play in self.plays)

    @property
    def held(self) -> int:
        """In how many plays everything held."""
        return sum(play.ok for play in self.plays)

    @property
    def moved_outages(self) -> list[float]:
        """Of the service that the row is about, in seconds."""
        return [one.outage_seconds for one in self._events() if one.service == acts.MOVED]

    @property
    def kept_outages(self) -> list[float]:
        """Of the other service, where it was measured."""
        return [one.outage_seconds for one in self._events() if one.service == acts.KEPT]

    @property
    def store_silences(self) -> Mapping[str, list[float]]:
        """By event, the longest that the store answered nobody in each play that asked it."""
        found: dict[str, list[float]] = {}
        for one in self._events():
            if one.service == STORE:
                found.setdefault(one.event, []).append(one.outage_seconds)
        return found

    @property
    def two_writable_seconds(self) -> float:
        """The longest that two sites took writes at the same time."""
        return max((one.two_writable_seconds for one in self._events()), default=0.0)

    @property
    def lost_rows(self) -> int:
        """Acknowledged and gone, in all plays."""
        return sum(one.lost_rows for one in self._events())

    @property
    def failed_writes(self) -> int | None:
        """Where none may fail; None: the row is one in which some do."""
        counts = [count for play in self.plays for count in play.failed_writes.values()]
        return sum(counts) if counts else None

    @property
    def margins(self) -> list[float]:
        """From the proof that the old primary was cut off to the first row that the new one took."""
        return [margin for play in self.plays for margin in play.margins_seconds]

    def _events(self) -> Iterator[EventFigures]:
        return chain.from_iterable(play.events for play in self.plays)

    def to_json(self) -> dict[str, Any]:
        """For programs: everything that was measured and checked."""
        return {
            "row": self.row.name,
            "case": self.row.case,
            "expects": self.row.expects,
            "goal": self.row.goal,
            "played": len(self.plays),
            "held": self.held,
            "two_writable_seconds": self.two_writable_seconds,
            "plays": [play.to_json() for play in self.plays],
        }


def result(played: Sequence[Played], waiting: Iterable[Row], *, finished: bool) -> dict[str, Any]:
    """What `--json` holds; what is not finished is not ok."""
    return {
        "ok": finished and all(one.ok for one in played),
        "finished": finished,
        "rows": [one.to_json() for one in played],
        "waiting": {row.name: list(row.missing) for row in waiting},
        "not_shown": dict(NOT_SHOWN),
    }


def read_results(paths: Sequence[Path]) -> list[Played]:
    """All plays of all results, every row once and in the order of the rows. Raises LabMisuse."""
    found: dict[str, Played] = {}
    for path in paths:
        if sum(path.samefile(other) for other in paths if path.exists() and other.exists()) > 1:
            raise LabMisuse(f"{path}: named twice, and its plays would count twice")
        for one in _read(path):
            found.setdefault(one.row.name, Played(one.row)).plays.extend(one.plays)
    return [found[name] for name in ROWS if name in found]


def _read(path: Path) -> Iterator[Played]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        for one in raw["rows"]:
            if one["row"] not in ROWS:
                raise LabMisuse(
                    f"{path}: has a row {one['row']!r}, which is no row any more; take it out of the file"
                )
            yield Played(ROWS[one["row"]], [Play.from_json(play) for play in one["plays"]])
    except OSError as fault:
        raise LabMisuse(
            f"{path}: cannot be read: {fault.strerror}; name what `--json` has written"
        ) from fault
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise LabMisuse(
            f"{path}: not a result of `twinsite lab --rows … --json FILE` of this version "
            f"({type(fault).__name__}: {fault})"
        ) from fault
