"""The record of a run while the store cannot be told of it: kept here, shown here, published later."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from orchestrator.clock import wall_text
from orchestrator.core.records import RunRecord, StepState
from runbooks.progress import Progress

DETAIL_CHARACTERS = 500


def steps_of(progress: Progress) -> tuple[StepState, ...]:
    """A run's steps as its record shows them."""
    return tuple(
        StepState(
            step=step.id,
            state=str(progress.steps[step.id].state),
            detail=progress.steps[step.id].evidence[:DETAIL_CHARACTERS],
            duration_seconds=progress.steps[step.id].duration_seconds,
        )
        for step in progress.plan.steps
    )


class LocalRun:
    """Tells this controller alone of a run, as `mover.Publisher` tells the store."""

    def __init__(self, record: RunRecord, tell: Callable[[RunRecord], None]) -> None:
        self._record = record
        self._tell = tell
        tell(record)

    def update(self, progress: Progress) -> None:
        """Take a new state in."""
        self._record = replace(self._record, steps=steps_of(progress))
        self._tell(self._record)

    def report(self, lines: tuple[str, ...]) -> None:
        """What the run found out."""
        self._record = replace(self._record, report=lines)

    async def run(self, *, create: bool) -> None:
        """There is nothing to do in the background."""

    async def finish(self, state: str, summary: str, background: "asyncio.Task[None]") -> None:
        """The end."""
        await asyncio.gather(background, return_exceptions=True)
        self._record = replace(self._record, state=state, outcome=summary, ended=wall_text())
        self._tell(self._record)
