"""Whoever looks on while the commands of a run speak: line by line, bounded, and never in the run's way.

Telling a line never waits. A watcher that does not keep up loses lines and is told how many; whoever comes
late is given the last ones first. Nothing here is kept on disk: a step's evidence is in the journal.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from runbooks.context import bounded
from runbooks.journal import Record, StepEnded, StepRetried, StepStarted
from sites.output import Said, last_lines

STATE: Literal["state"] = "state"
LINES_KEPT = 200
LINES_WAITING = 1000
RUNS_KEPT = 32


@dataclass(frozen=True, slots=True)
class Line:
    """One line: of which step, by `out` or `err`, or of the run itself (`state`). `missed`: so many lines
    before this one the watcher did not get."""

    step: str
    stream: Literal["out", "err", "state"]
    text: str
    missed: int = 0


class Watch:
    """One watcher's share: what it has not taken yet."""

    def __init__(self, before: tuple[Line, ...], limit: int) -> None:
        self._waiting = deque(before)
        self._limit = limit
        self._missed = 0
        self._came = asyncio.Event()
        self._ended = False
        self._came.set()

    def tell(self, line: Line) -> None:
        """A line has come. Never waits: the oldest makes room."""
        if len(self._waiting) >= self._limit:
            self._missed += 1 + self._waiting.popleft().missed
        self._waiting.append(line)
        self._came.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._came.set()

    async def lines(self) -> AsyncGenerator[Line]:
        """Each line as it comes, until the run is over."""
        while True:
            while self._waiting:
                line = self._waiting.popleft()
                missed, self._missed = self._missed, 0
                yield Line(line.step, line.stream, line.text, missed) if missed else line
            if self._ended:
                return
            self._came.clear()
            if not self._waiting and not self._ended:
                await self._came.wait()


@dataclass(slots=True)
class _Run:
    kept: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    watchers: set[Watch] = field(default_factory=set)
    ended: bool = False


class Watchers:
    """The watchers of all runs of one process. Belongs to one event loop."""

    def __init__(self, *, waiting: int = LINES_WAITING) -> None:
        self._waiting = waiting
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    def listener(self, run_id: str) -> Callable[[str], Said]:
        """For an `ActionContext`: by a step's id, whom its command is to tell its lines."""

        def of_step(step_id: str) -> Said:
            def said(stream: str, text: str) -> None:
                self.tell(run_id, Line(step_id, "err" if stream == "err" else "out", bounded(text)))

            return said

        return of_step

    def tell(self, run_id: str, line: Line) -> None:
        """A line of a run, to everybody who looks on."""
        run = self._run(run_id)
        run.kept.append(line)
        for watch in run.watchers:
            watch.tell(line)

    def note(self, run_id: str, record: Record) -> None:
        """Tell of a step's beginning, of another try and of its end."""
        match record.event:
            case StepStarted(step=step, attempt=attempt):
                self.tell(run_id, Line(step, STATE, f"started, attempt {attempt}"))
            case StepRetried(step=step, attempt=attempt, evidence=evidence):
                self.tell(run_id, Line(step, STATE, f"attempt {attempt} failed: {last_lines(evidence)}"))
            case StepEnded(step=step, outcome=outcome, duration_seconds=seconds):
                self.tell(run_id, Line(step, STATE, f"{outcome} after {seconds:.1f} s"))

    def begin(self, run_id: str) -> None:
        """The run goes on, perhaps again."""
        self._run(run_id).ended = False

    def end(self, run_id: str) -> None:
        """The run is over, or stands still here."""
        run = self._run(run_id)
        run.ended = True
        for watch in run.watchers:
            watch.end()

    @contextmanager
    def watching(self, run_id: str) -> Iterator[Watch]:
        """Look on while inside."""
        run = self._run(run_id)
        watch = Watch(tuple(run.kept), self._waiting)
        if run.ended:
            watch.end()
        run.watchers.add(watch)
        try:
            yield watch
        finally:
            run.watchers.discard(watch)

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            self._runs[run_id] = _Run()
            for old in [name for name, run in self._runs.items() if run.ended and not run.watchers]:
                if len(self._runs) <= RUNS_KEPT:
                    break
                del self._runs[old]
        return self._runs[run_id]
