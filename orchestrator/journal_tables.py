"""What stands in the journal's file: runs and their records, and the stream of decisions.

Synchronous; used from the journal's one thread. Every method is one transaction. Bounds: of runs and of
decisions the latest are kept. A run that has not ended is never forgotten, nor what people have certified and
what each side had accepted.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.journal_file import damaged, transaction
from runbooks.journal import (
    FINAL,
    Event,
    Record,
    RunAdopted,
    RunEnded,
    RunOutcome,
    RunPlanned,
    RunResumed,
    RunSummary,
    StepStarted,
    dumped,
    event_adapter,
)

RUNS_KEPT = 2_000
EVENTS_KEPT = 100_000
PRUNE_EVERY = 500
KEPT_FOR_EVER = (
    "certificate",
    "certificate-approved",
    "broken-glass",
    "reconciled",
    "accepted",
    "power-off",
    "powered-off",
    "power-back",
    "loss-reconciled",
    "run-sealed",
)


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """One entry of the stream of decisions. Wall time is for display; `number` gives the order."""

    number: int
    wall_seconds: float
    boottime_ns: int
    kind: str
    service: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counted:
    """How often something of that name and these labels came about, and how long it took together."""

    what: str
    labels: tuple[str, ...]
    number: int
    seconds: float = 0.0


# Made when first needed: a journal of an older release has none, and reading one must not need room.
_COUNTS = (
    "CREATE TABLE IF NOT EXISTS counts (what TEXT NOT NULL, labels TEXT NOT NULL, number INTEGER NOT NULL, "
    "seconds REAL NOT NULL, PRIMARY KEY (what, labels))"
)


class Tables:
    """Reads and writes of one open journal."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        runs_kept: int = RUNS_KEPT,
        events_kept: int = EVENTS_KEPT,
    ) -> None:
        self._connection = connection
        self._path = path
        self._runs_kept = runs_kept
        self._events_kept = events_kept

    def append(self, run_id: str, event: Event, wall_seconds: float, boottime_ns: int) -> Record:
        """Write a run's event with the next number of that run."""
        text = dumped(event).decode()
        with transaction(self._connection):
            sequence = self._next_sequence(run_id)
            self._connection.execute(
                "INSERT INTO records (run_id, sequence, wall_seconds, boottime_ns, event) "
                "VALUES (?, ?, ?, ?, ?)",
                (run_id, sequence, wall_seconds, boottime_ns, text),
            )
            self._note_run(run_id, event, wall_seconds)
        return Record(run_id, sequence, wall_seconds, boottime_ns, event)

    def _next_sequence(self, run_id: str) -> int:
        row = self._connection.execute(
            "SELECT max(sequence) FROM records WHERE run_id = ?", (run_id,)
        ).fetchone()
        return int(row[0] or 0) + 1

    def _note_run(self, run_id: str, event: Event, wall_seconds: float) -> None:
        """Keep the list of runs in step with its records."""
        match event:
            case RunPlanned(plan=plan, who=who):
                self._connection.execute(
                    "INSERT INTO runs (run_id, kind, service, from_site, to_site, who, started_wall_seconds) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (run_id, plan.kind, plan.service, plan.from_site, plan.to_site, who, wall_seconds),
                )
                self._forget_runs()
            case RunEnded(outcome=outcome, summary=summary):
                self._connection.execute(
                    "UPDATE runs SET ended_wall_seconds = ?, outcome = ?, summary = ? WHERE run_id = ?",
                    (wall_seconds, outcome, summary, run_id),
                )
            case RunResumed() | RunAdopted() | StepStarted():
                self._connection.execute(
                    "UPDATE runs SET ended_wall_seconds = NULL, outcome = NULL, summary = '' "
                    "WHERE run_id = ? AND outcome IS NOT NULL",
                    (run_id,),
                )

    def _forget_runs(self) -> None:
        rows = self._connection.execute(
            f"SELECT run_id FROM runs WHERE outcome IN ({', '.join('?' for _ in FINAL)}) AND rowid <= "
            "(SELECT rowid FROM runs ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
            (*FINAL, self._runs_kept),
        ).fetchall()
        self._connection.executemany("DELETE FROM records WHERE run_id = ?", rows)
        self._connection.executemany("DELETE FROM runs WHERE run_id = ?", rows)

    def read(self, run_id: str) -> tuple[Record, ...]:
        """Every record of a run, in order."""
        rows = self._connection.execute(
            "SELECT run_id, sequence, wall_seconds, boottime_ns, event FROM records "
            "WHERE run_id = ? ORDER BY sequence",
            (run_id,),
        )
        return tuple(self._record(row) for row in rows)

    def raw(self, run_id: str) -> tuple[str, ...]:
        """Every record of a run in order, each as the text that a chain is made of: as it stands on the
        disk."""
        rows = self._connection.execute(
            "SELECT sequence, wall_seconds, boottime_ns, event FROM records WHERE run_id = ? "
            "ORDER BY sequence",
            (run_id,),
        )
        return tuple(f"{sequence} {wall!r} {boottime} {event}" for sequence, wall, boottime, event in rows)

    def _record(self, row: tuple[str, int, float, int, str]) -> Record:
        try:
            return Record(*row[:4], event_adapter().validate_json(row[4]))
        except ValidationError as error:
            raise damaged(self._path, f"record {row[1]} of run {row[0]} cannot be read") from error

    def runs(self, limit: int) -> tuple[RunSummary, ...]:
        """The latest runs, newest first."""
        rows = self._connection.execute(
            "SELECT outcome, summary, run_id, kind, service, from_site, to_site, who, started_wall_seconds, "
            "ended_wall_seconds FROM runs ORDER BY rowid DESC LIMIT ?",
            (limit,),
        )
        return tuple(self._summary(*row) for row in rows)

    @staticmethod
    def _summary(outcome: str | None, summary: str, *known: Any) -> RunSummary:
        run_id, kind, service, from_site, to_site, who, started, ended = known
        ended_as = RunOutcome(outcome) if outcome is not None else None
        return RunSummary(run_id, kind, service, from_site, to_site, who, started, ended, ended_as, summary)

    def append_event(
        self, kind: str, service: str, text: str, wall_seconds: float, boottime_ns: int
    ) -> JournalEvent:
        """Write an entry of the stream; `text` is its data as JSON."""
        with transaction(self._connection):
            cursor = self._connection.execute(
                "INSERT INTO events (wall_seconds, boottime_ns, kind, service, data) VALUES (?, ?, ?, ?, ?)",
                (wall_seconds, boottime_ns, kind, service, text),
            )
            number = int(cursor.lastrowid or 0)
            if number % PRUNE_EVERY == 0:
                marks = ", ".join("?" for _ in KEPT_FOR_EVER)
                self._connection.execute(
                    f"DELETE FROM events WHERE number <= ? AND kind NOT IN ({marks})",
                    (number - self._events_kept, *KEPT_FOR_EVER),
                )
        return JournalEvent(number, wall_seconds, boottime_ns, kind, service, json.loads(text))

    def add_counts(self, counted: Sequence[Counted]) -> None:
        """Add to what was counted so far. These outlive the runs and decisions that they count."""
        with transaction(self._connection):
            self._connection.execute(_COUNTS)
            self._connection.executemany(
                "INSERT INTO counts (what, labels, number, seconds) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (what, labels) DO UPDATE SET number = number + excluded.number, "
                "seconds = seconds + excluded.seconds",
                [(one.what, json.dumps(one.labels), one.number, one.seconds) for one in counted],
            )

    def counts(self) -> tuple[Counted, ...]:
        """Everything that was counted so far."""
        there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'counts'"
        if self._connection.execute(there).fetchone() is None:
            return ()
        rows = self._connection.execute("SELECT what, labels, number, seconds FROM counts")
        return tuple(Counted(what, tuple(json.loads(labels)), n, s) for what, labels, n, s in rows)

    def events(
        self, limit: int, *, service: str | None, kind: str | None, after: int | None, before: int | None
    ) -> tuple[JournalEvent, ...]:
        """Entries of the stream: with `after` the next ones in order, else the latest, newest first."""
        given = {"service = ?": service, "kind = ?": kind, "number > ?": after, "number < ?": before}
        wanted = {condition: value for condition, value in given.items() if value is not None}
        where = f"WHERE {' AND '.join(wanted)} " if wanted else ""
        order = "ASC" if after is not None else "DESC"
        rows = self._connection.execute(
            # Nothing of a caller's is in the text: conditions are those above, values are bound.
            f"SELECT number, wall_seconds, boottime_ns, kind, service, data FROM events {where}"
            f"ORDER BY number {order} LIMIT ?",
            (*wanted.values(), limit),
        )
        return tuple(
            JournalEvent(number, wall, boottime, of_kind, of, json.loads(data))
            for number, wall, boottime, of_kind, of, data in rows
        )
