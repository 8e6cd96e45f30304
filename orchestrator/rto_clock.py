"""The clock of a move: it starts when the trouble was detected, and ends when the service was verified.

Pure, from the run's record. Four stretches: `detect`, from when the service was last seen well until its
trouble had a name, which comes before the clock; then `decide`, `execute` and `verify`, which together are
held against the RTO. A stretch whose ends nobody saw is unknown. Instants are wall time of the site that
carried the run out, for people and for the figures; nothing is decided by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.clock import unix_seconds_of
from orchestrator.core.records import RunRecord, StepState
from runbooks.model import Kind

LOOKING = frozenset(
    {
        "approve",
        "check",
        "notify",
        "ownership.settle",
        "probe",
        "replication.caught-up",
        "replication.verify",
        "wait",
    }
)
"""Actions that change nothing for the users: a move has been executed when the others have ended."""
MOVES = (Kind.FAILOVER, Kind.SWITCHOVER, Kind.DRILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RtoClock:
    """Seconds of each stretch; None: unknown, or not come to that. `used_seconds` is what counts against the
    RTO, of a move that has ended; of one under way it grows."""

    detect_seconds: float | None = None
    decide_seconds: float | None = None
    execute_seconds: float | None = None
    verify_seconds: float | None = None
    used_seconds: float | None = None
    began_unix_seconds: float | None = None


def clock_of(record: RunRecord, now_unix_seconds: float | None = None) -> RtoClock | None:
    """The clock of a move; None for what is none. `now_unix_seconds` for one that is under way."""
    if record.kind not in MOVES or record.whole_site or not record.started_unix_seconds:
        return None
    decided = record.started_unix_seconds
    began = record.detected_unix_seconds if record.detected_unix_seconds is not None else decided
    executed = _executed(record)
    ended = unix_seconds_of(record.ended) if record.over else None
    verified = ended if record.state == "done" else None
    upto = ended if ended is not None else now_unix_seconds
    return RtoClock(
        detect_seconds=_between(record.last_well_unix_seconds, record.detected_unix_seconds),
        decide_seconds=_between(record.detected_unix_seconds, decided),
        execute_seconds=_between(decided, executed),
        verify_seconds=_between(executed, verified),
        used_seconds=_between(began, upto),
        began_unix_seconds=began,
    )


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)


def _executed(record: RunRecord) -> float | None:
    """When the last step ended that changed something; None while one of them has not."""
    ends: list[float] = []
    for step in record.steps:
        if action_of(record, step.step) in LOOKING or step.state in ("skipped", "unreachable-continued"):
            continue
        end = ended_unix_seconds(step)
        if end is None:
            return None
        ends.append(end)
    return max(ends, default=None)


def ended_unix_seconds(step: StepState) -> float | None:
    """When a step of a record ended; None when it has not, or nobody wrote it down."""
    if step.ended_unix_seconds is not None:
        return step.ended_unix_seconds
    if step.started_unix_seconds is None or step.duration_seconds is None:
        return None
    return step.started_unix_seconds + step.duration_seconds


def planned_steps(record: RunRecord) -> Mapping[str, Mapping[str, object]]:
    """The plan's steps by id, as they stand in the record."""
    return {
        str(step.get("id")): step for part in record.plan.get("parts", ()) for step in part.get("steps", ())
    }


def action_of(record: RunRecord, step: str) -> str:
    """What the step's action is; "" for one that the plan does not have."""
    return str(planned_steps(record).get(step, {}).get("action", ""))
