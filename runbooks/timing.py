"""How long a run will still take, by how long its steps took before; and which step takes too long.

Pure: durations, the steps as they stand, and `now` by what the caller has measured. A step that was never
carried out has no figure, and what depends on it is said to be unknown; it is never taken for nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runbooks.graph import longest_chain
from runbooks.model import BY_PEOPLE
from runbooks.planned import PlannedStep
from sites.quantities import parse_duration

DURATIONS_KEPT = 50
"""Of each step the latest count: a host that was replaced years ago says nothing of tonight."""
STALL_SAMPLES = 3
STALL_LEAST_SECONDS = 1.0
STALL_TIMES = 2.0


@dataclass(frozen=True, slots=True)
class Past:
    """How long a step took before, in seconds."""

    samples: int
    p50_seconds: float
    p75_seconds: float
    longest_seconds: float

    @property
    def stall_after_seconds(self) -> float | None:
        """From when on it takes too long; None with too few samples to tell."""
        if self.samples < STALL_SAMPLES:
            return None
        return max(STALL_TIMES * self.p75_seconds, STALL_LEAST_SECONDS)


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed. `ordered` must not be empty."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def past_of(durations: Iterable[float]) -> Past | None:
    """Of these durations; None of none."""
    ordered = sorted(durations)
    if not ordered:
        return None
    return Past(len(ordered), nearest_rank(ordered, 0.5), nearest_rank(ordered, 0.75), ordered[-1])


class Stand(StrEnum):
    """Whether a step's time is to come, is passing, or has passed."""

    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class StepNow:
    """One step of a run. `running_seconds`: since it began, while it runs. `expected_seconds`: what its
    runbook says of how long it takes. `by_people`: nobody can say when a person answers."""

    step: str
    needs: tuple[str, ...]
    stand: Stand
    running_seconds: float = 0.0
    expected_seconds: float | None = None
    by_people: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """A step that takes longer than it should by what it took before."""

    step: str
    running_seconds: float
    past: Past


@dataclass(frozen=True, slots=True)
class Projection:
    """What is left of a run: its longest chain, how long that takes half of the time (`likely`) and three
    times out of four (`cautious`). `unknown`: steps on the way that were never timed, so that both are the
    least it takes. `stalls`: steps that take too long now."""

    chain: tuple[str, ...]
    likely_seconds: float
    cautious_seconds: float
    unknown: tuple[str, ...] = ()
    stalls: tuple[Stall, ...] = ()

    @property
    def known(self) -> bool:
        """Whether every step that is left was timed before."""
        return not self.unknown


def expected_of(step: PlannedStep) -> float | None:
    """How long the step takes by its own keys: people are given a time, and `wait` lets one pass."""
    written = step.arguments.get("expect") if step.action in BY_PEOPLE else None
    written = step.arguments.get("for") if step.action == "wait" else written
    if not isinstance(written, str):
        return None
    try:
        return parse_duration(written)
    except ValueError:
        return None


def projection(steps: Sequence[StepNow], past: Mapping[str, Past]) -> Projection:
    """What is left, from each step's past durations by its id."""
    left = [step for step in steps if step.stand is not Stand.OVER]
    unknown = tuple(step.step for step in left if _usual(step, past, cautious=False) is None)
    needs = {step.step: step.needs for step in steps}
    likely = {step.step: _left(step, past, cautious=False) for step in steps}
    cautious = {step.step: _left(step, past, cautious=True) for step in steps}
    over = {step.step for step in steps if step.stand is Stand.OVER}
    chain = longest_chain(needs, likely)
    return Projection(
        chain=tuple(step for step in chain if step not in over),
        likely_seconds=sum(likely[step] for step in chain),
        cautious_seconds=sum(cautious[step] for step in longest_chain(needs, cautious)),
        unknown=unknown,
        stalls=tuple(stall for step in left if (stall := stalled(step, past.get(step.step))) is not None),
    )


def stalled(step: StepNow, past: Past | None) -> Stall | None:
    """Whether the step takes too long. One that waits for a person is told of as that, not as this."""
    limit = past.stall_after_seconds if past is not None else None
    if step.stand is not Stand.RUNNING or step.by_people or past is None or limit is None:
        return None
    return Stall(step.step, step.running_seconds, past) if step.running_seconds > limit else None


def _usual(step: StepNow, past: Mapping[str, Past], *, cautious: bool) -> float | None:
    found = past.get(step.step)
    if found is None:
        return step.expected_seconds
    return found.p75_seconds if cautious else found.p50_seconds


def _left(step: StepNow, past: Mapping[str, Past], *, cautious: bool) -> float:
    usual = _usual(step, past, cautious=cautious)
    if step.stand is Stand.OVER or usual is None:
        return 0.0
    return max(0.0, usual - step.running_seconds)
