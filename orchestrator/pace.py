"""How a run gets on: its clock against the RTO, what is left of it by its steps' past, what takes too long.

From the run's record, so that both sites can tell; `now` is wall time, as the record's instants are.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.records import RunRecord
from orchestrator.rto_clock import MOVES, RtoClock, clock_of
from orchestrator.trend import Trend
from runbooks.model import BY_PEOPLE
from runbooks.planned import Plan, PlanUnreadable
from runbooks.timing import Projection, Stand, StepNow, expected_of, projection

PLANS_KEPT = 32
GOING_ON = ("running", "waiting")
_OVER = frozenset({"done", "already-done", "failed", "timed-out", "unreachable-continued", "skipped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """One run's. `clock` of a move; `projection`, `finish_unix_seconds` and `cautious_unix_seconds` only
    while it goes on, the instants only where every step that is left was timed before. `within_rto`: whether
    the cautious finish is; None where that is not known, and of what is no move."""

    clock: RtoClock | None = None
    projection: Projection | None = None
    finish_unix_seconds: float | None = None
    cautious_unix_seconds: float | None = None
    rto_seconds: float | None = None
    within_rto: bool | None = None


class Paces:
    """Of all runs that one controller knows. Keeps the plans of the latest, because reading one takes
    long."""

    def __init__(self, trend: Trend) -> None:
        self._trend = trend
        self._plans: dict[str, tuple[StepNow, ...]] = {}

    def of(self, record: RunRecord, now_unix_seconds: float, rto_seconds: float | None) -> Pace:
        """The run's pace. `record`: as fresh as it is known here."""
        clock = clock_of(record, now_unix_seconds)
        rto = rto_seconds if record.kind in MOVES and not record.whole_site else None
        if record.state not in GOING_ON or record.whole_site:
            used = clock.used_seconds if clock is not None and record.state == "done" else None
            within = None if used is None or rto is None else used <= rto
            return Pace(clock=clock, rto_seconds=rto, within_rto=within)
        left = projection(self._steps(record, now_unix_seconds), self._trend.past(record.service))
        finish = now_unix_seconds + left.likely_seconds if left.known else None
        cautious = now_unix_seconds + left.cautious_seconds if left.known else None
        return Pace(
            clock=clock,
            projection=left,
            finish_unix_seconds=finish,
            cautious_unix_seconds=cautious,
            rto_seconds=rto,
            within_rto=_within(clock, now_unix_seconds + left.cautious_seconds, rto, known=left.known),
        )

    def _steps(self, record: RunRecord, now_unix_seconds: float) -> list[StepNow]:
        found = {step.step: step for step in record.steps}
        steps = []
        for planned in self._planned(record):
            step = found.get(planned.step)
            stand, running = Stand.WAITING, 0.0
            if step is not None and step.state in _OVER:
                stand = Stand.OVER
            elif step is not None and step.state != "waiting":
                stand = Stand.RUNNING
                if step.started_unix_seconds is not None:
                    running = max(0.0, now_unix_seconds - step.started_unix_seconds)
            steps.append(
                StepNow(
                    planned.step, planned.needs, stand, running, planned.expected_seconds, planned.by_people
                )
            )
        return steps

    def _planned(self, record: RunRecord) -> Iterable[StepNow]:
        if record.run not in self._plans:
            try:
                plan = Plan.from_json(json.dumps(record.plan))
            except PlanUnreadable:
                return ()
            self._plans[record.run] = tuple(
                StepNow(
                    step.id,
                    step.needs,
                    Stand.WAITING,
                    expected_seconds=expected_of(step),
                    by_people=step.action in BY_PEOPLE,
                )
                for step in plan.steps
            )
            while len(self._plans) > PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
        return self._plans[record.run]


def _within(clock: RtoClock | None, finish: float, rto: float | None, *, known: bool) -> bool | None:
    """What is missed already by what is known stays missed, whatever the unknown steps take."""
    if clock is None or clock.began_unix_seconds is None or rto is None:
        return None
    fits = finish - clock.began_unix_seconds <= rto
    return fits if known or not fits else None
