"""Records of runs, as the store has them."""

from datetime import UTC, datetime
from typing import Any

from orchestrator.core.records import RunRecord, StepState

BEGAN = 1_790_000_000.0
ACTIONS = ("ownership.take-over", "replication.promote", "ownership.settle")


def at(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run(name: str = "crm-failover-1", **differs: Any) -> RunRecord:
    """A failover of crm from durham to morpeth that took 5 s: 2 s to take over, 1 s to promote."""
    epoch = differs.pop("epoch", 4)
    began = differs.pop("began", BEGAN)
    took = differs.pop("took", (2.0, 1.0, 2.0))
    actions = differs.pop("actions", ACTIONS)
    steps, parts, start = [], [], began
    for number, (action, seconds) in enumerate(zip(actions, took, strict=True), 1):
        name_of = f"part/{action.rpartition('.')[2]}"
        parts.append({"id": name_of, "number": number, "title": action, "action": action, "needs": []})
        steps.append(
            StepState(
                step=name_of,
                state="done",
                duration_seconds=seconds,
                started_unix_seconds=start,
                ended_unix_seconds=start + seconds,
            )
        )
        start += seconds
    given: dict[str, Any] = {
        "run": name,
        "kind": "failover",
        "service": "crm",
        "from_site": "durham",
        "to_site": "morpeth",
        "executor_site": "morpeth",
        "executor": 1,
        "state": "done",
        "plan": {"epoch": epoch, "parts": [{"name": "part", "steps": parts}]},
        "statement": "crm loses at most 38.0 s of writes",
        "loss_bound_seconds": 38.0,
        "who": "controller of morpeth",
        "why": "durham is lost",
        "started": at(began),
        "started_unix_seconds": began,
        "ended": at(start),
        "outcome": "done",
        "steps": tuple(steps),
    }
    return RunRecord(**{**given, **differs})


def rejoin(
    name: str = "crm-rejoin-1", *, epoch: int = 4, began: float = BEGAN + 60, **values: Any
) -> RunRecord:
    """The old primary's rejoin after that failover."""
    return run(
        name,
        kind="rejoin",
        epoch=epoch,
        began=began,
        executor_site="durham",
        actions=("replication.rejoin",),
        took=(3.0,),
        values={"rejoined": {"method": "rewind", **values}} if values else {},
        loss_bound_seconds=0.0,
    )
