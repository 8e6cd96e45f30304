"""When a run under way is likely to end, from how long its steps have taken before. Pure.

A step that was never seen to its end has no length here, and a run with such a step to come has no
projection: unknown is not guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OVER = frozenset({"done", "already-done", "skipped", "failed"})


@dataclass(frozen=True, slots=True)
class StepToCome:
    """One step of a run: what it needs, its state, how long it has been under way."""

    step: str
    state: str
    needs: tuple[str, ...] = ()
    under_way_seconds: float = 0.0


def projected_seconds(steps: Sequence[StepToCome], usual_seconds: Mapping[str, float]) -> float | None:
    """How long the run will go on if every step to come takes as long as usual: the longest chain of steps
    that need each other. `steps` stand in an order in which each comes after what it needs."""
    ends: dict[str, float] = {}
    for step in steps:
        starts = max((ends.get(needed, 0.0) for needed in step.needs), default=0.0)
        if step.state in OVER:
            left = 0.0
        elif step.step not in usual_seconds:
            return None
        else:
            left = max(0.0, usual_seconds[step.step] - step.under_way_seconds)
        ends[step.step] = starts + left
    return max(ends.values(), default=None)
