"""What the local API answers and takes about drills: the shapes behind `twinsite drill`.

GET  /v1/drills            DrillList
POST /v1/drills/run        DrillOrder -> MoveAccepted
POST /v1/drills/abandon    DrillOrder -> MoveAccepted
"""

from orchestrator.api.shapes import Shape


class DrillRefusal(Shape):
    """The last time that it was not begun, and why."""

    at: str
    code: str
    message: str


class DrillStatus(Shape):
    """One drill. What is None never was, or is unknown. `carried_out_at`: the site whose controller takes
    care of it, empty when nobody owns the service. `state`: ready, running, owed (missed, and to be made up
    for) or by-hand. `next_due`: as far as blackouts go. `left_at`: where a copy is still to be removed.
    `exactly_this`: whether the last success was of the very plan that would be carried out now."""

    name: str
    service: str
    kind: str
    schedule: str
    timezone: str
    carried_out_at: str
    state: str
    run: str
    next_due: str | None
    overdue: bool | None
    missed: int
    missed_at: str | None
    last_run: str
    last_outcome: str
    last_why: str
    last_ended: str | None
    success_run: str
    success_at: str | None
    success_seconds: float | None
    success_plan_hash: str
    exactly_this: bool | None
    left_at: str
    refusal: DrillRefusal | None


class DrillList(Shape):
    """Every drill of the estate, in the file's order."""

    site: str
    drills: list[DrillStatus]


class DrillOrder(Shape):
    """Begin a drill, or abandon it."""

    name: str
    reason: str = ""


class CalendarEntry(Shape):
    """A time at which a drill is due, in its own time zone. `blackout`: the one that it falls into;
    `instead`: when it is made up for then."""

    drill: str
    service: str
    kind: str
    at: str
    timezone: str
    blackout: str | None
    instead: str | None


class DrillCalendar(Shape):
    """What `twinsite drill calendar` shows. `without_schedule`: drills that are begun by hand only."""

    begins: str
    ends: str
    entries: list[CalendarEntry]
    without_schedule: list[str]
