"""What is told of drills: to people by `drill list`, to Prometheus by the readings. Changes nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from orchestrator.api.drill_shapes import DrillList, DrillRefusal, DrillStatus
from orchestrator.controller import Controller
from orchestrator.drills import calendar
from orchestrator.drills.blackouts import moment
from orchestrator.drills.calendar import Memory
from orchestrator.drills.desk import DrillDesk
from orchestrator.drills.ground import service_in
from orchestrator.drills.records import DrillRecord
from orchestrator.readings import DrillReading
from orchestrator.refusing import OrderRefused
from sites.drills import DrillSpec

HORIZON = timedelta(days=400)


def drill_list(controller: Controller, desk: DrillDesk, now_unix: float) -> DrillList:
    """Every drill as it stands."""
    shown = [_status(controller, desk, drill, now_unix) for drill in desk.drills.values()]
    return DrillList(site=controller.site, drills=shown)


def _status(controller: Controller, desk: DrillDesk, drill: DrillSpec, now_unix: float) -> DrillStatus:
    kept = desk.board.records.get(drill.name)
    found = service_in(controller.view(), drill.service)
    owner = found.record.primary if found is not None and found.record is not None else None
    refused = kept is not None and kept.refused_at is not None
    return DrillStatus(
        name=drill.name,
        service=drill.service,
        kind=str(drill.kind),
        schedule=drill.schedule or "",
        timezone=drill.timezone,
        carried_out_at=owner or "",
        state=_state(drill, kept),
        run=kept.run if kept is not None else "",
        next_due=_text(_next_due(desk, drill, kept, now_unix)),
        overdue=_overdue(drill, kept, now_unix),
        missed=kept.missed if kept is not None else 0,
        missed_at=_text(kept.missed_at if kept is not None else None),
        last_run=kept.last_run if kept is not None else "",
        last_outcome=kept.last_outcome if kept is not None else "",
        last_why=kept.last_why if kept is not None else "",
        last_ended=_text(kept.last_ended if kept is not None else None),
        success_run=kept.success_run if kept is not None else "",
        success_at=_text(kept.success_ended if kept is not None else None),
        success_seconds=kept.success_seconds if kept is not None else None,
        success_plan_hash=kept.success_plan_hash if kept is not None else "",
        exactly_this=exactly_this(desk, drill),
        left_at=kept.left_at if kept is not None and not kept.run else "",
        refusal=DrillRefusal(
            at=_text(kept.refused_at) or "", code=kept.refused_code, message=kept.refused_why
        )
        if kept is not None and refused
        else None,
    )


def _state(drill: DrillSpec, kept: DrillRecord | None) -> str:
    if kept is not None and kept.run:
        return "running"
    if drill.schedule is None:
        return "by-hand"
    return "owed" if kept is not None and kept.owed is not None else "ready"


def _next_due(desk: DrillDesk, drill: DrillSpec, kept: DrillRecord | None, now_unix: float) -> float | None:
    now = moment(now_unix)
    memory = Memory(max(kept.handled_until, now_unix), kept.owed) if kept is not None else calendar.begin(now)
    found = calendar.next_due(drill, memory, desk.grounds.blackouts, now + HORIZON)
    return found.timestamp() if found is not None else None


def _overdue(drill: DrillSpec, kept: DrillRecord | None, now_unix: float) -> bool | None:
    if kept is None:
        return None
    return calendar.overdue(drill, kept.success_ended, kept.since, moment(now_unix))


def exactly_this(desk: DrillDesk, drill: DrillSpec) -> bool | None:
    """Whether the last success was of the very plan that would be carried out now; None without one, or where
    no plan can be drawn up at this moment. Draws one up: not for every turn."""
    kept = desk.board.records.get(drill.name)
    if kept is None or not kept.success_plan_hash:
        return None
    try:
        return desk.drawing.drawn(drill, "").hash == kept.success_plan_hash
    except OrderRefused:
        return None


class DrillReadings:
    """The readings of drills. When one is due next takes sums over a calendar, so it is kept for a while."""

    KEPT_SECONDS = 60.0

    def __init__(self, desk: DrillDesk, now: Callable[[], float]) -> None:
        """`now`: the time of day, in Unix time."""
        self._desk = desk
        self._now = now
        self._due: dict[str, float | None] = {}
        self._due_at = float("-inf")

    def readings(self) -> tuple[DrillReading, ...]:
        """One for each drill."""
        desk, now_unix = self._desk, self._now()
        kept = desk.board.records
        if not 0 <= now_unix - self._due_at < self.KEPT_SECONDS:
            self._due_at = now_unix
            self._due = {
                name: _next_due(desk, drill, kept.get(name), now_unix) for name, drill in desk.drills.items()
            }
        return tuple(self._reading(drill, kept.get(name), now_unix) for name, drill in desk.drills.items())

    def _reading(self, drill: DrillSpec, kept: DrillRecord | None, now_unix: float) -> DrillReading:
        return DrillReading(
            drill=drill.name,
            service=drill.service,
            kind=str(drill.kind),
            running=bool(kept.run) if kept is not None else None,
            next_due_unix_seconds=self._due.get(drill.name),
            overdue=_overdue(drill, kept, now_unix),
            missed=kept.missed if kept is not None else None,
            last_success_unix_seconds=kept.success_ended if kept is not None else None,
            last_success_seconds=kept.success_seconds if kept is not None else None,
            left_behind=bool(kept.left_at and not kept.run) if kept is not None else None,
        )


def _text(unix_seconds: float | None) -> str | None:
    if unix_seconds is None:
        return None
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
