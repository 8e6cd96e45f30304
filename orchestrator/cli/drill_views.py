"""Drills and their calendar, as lines for people."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from orchestrator.api.drill_shapes import CalendarEntry, DrillCalendar, DrillList, DrillStatus
from orchestrator.cli.output import duration, local_time, wrapped


def calendar_lines(shown: DrillCalendar) -> Iterator[str]:
    """A line for each time, under its month."""
    month = ""
    widest = max((len(one.drill) for one in shown.entries), default=0)
    for one in shown.entries:
        at = datetime.fromisoformat(one.at).astimezone(ZoneInfo(one.timezone))
        if f"{at:%B %Y}" != month:
            if month:
                yield ""
            month = f"{at:%B %Y}"
            yield month
        yield f"  {at:%a %d}  {at:%H:%M %Z}  {one.drill:{widest}}  {one.kind} of {one.service}{_barred(one)}"
    if not shown.entries:
        yield "No drill is due in that time."
    if shown.without_schedule:
        yield ""
        yield from wrapped(f"Only by hand: {', '.join(shown.without_schedule)}.", then="  ")


def _barred(one: CalendarEntry) -> str:
    if one.blackout is None:
        return ""
    if one.instead is None:
        return f"  BLACKOUT {one.blackout}: left out"
    return f"  BLACKOUT {one.blackout}: on {datetime.fromisoformat(one.instead):%a %d %b at %H:%M} instead"


def list_lines(shown: DrillList) -> Iterator[str]:
    """A few lines for each drill."""
    if not shown.drills:
        yield "There are no drills in sites.yaml."
    for number, one in enumerate(shown.drills):
        if number:
            yield ""
        yield from _drill(one)


def _drill(one: DrillStatus) -> Iterator[str]:
    where = f"carried out at {one.carried_out_at}" if one.carried_out_at else "nobody owns the service now"
    yield f"{one.name}: {one.kind} drill of {one.service}, {where}"
    lines = [_when(one), _success(one)]
    if one.run:
        lines.insert(0, f"UNDER WAY: twinsite runs show {one.run}")
    if one.last_run and one.last_run != one.success_run:
        why = f": {one.last_why}" if one.last_why else ""
        lines.append(f"last run: {one.last_outcome}{why} (twinsite runs show {one.last_run})")
    if one.refusal is not None:
        refusal = one.refusal
        lines.append(f"last refused {local_time(refusal.at)}: {refusal.code}: {refusal.message}")
    if one.missed:
        lines.append(f"missed {one.missed} time{'s' if one.missed > 1 else ''}, last {_at(one.missed_at)}")
    if one.left_at:
        lines.append(f"LEFT BEHIND: a copy at {one.left_at} is still to be removed; it is tried again")
    for line in lines:
        yield from (f"  {part}" for part in wrapped(line, then="  "))


def _when(one: DrillStatus) -> str:
    if not one.schedule:
        return "begun by hand only"
    made_up = " (to make up for a missed one)" if one.state == "owed" else ""
    due = f"due {_at(one.next_due)}{made_up}" if one.next_due else "not due in the next year"
    late = "; OVERDUE" if one.overdue else ""
    return f"{due}{late}; schedule {one.schedule}, {one.timezone}"


def _success(one: DrillStatus) -> str:
    if one.success_at is None:
        return "never done with success"
    same = {True: ", of exactly today's plan", False: ", of ANOTHER PLAN THAN TODAY'S", None: ""}
    took = f" in {duration(one.success_seconds)}" if one.success_seconds is not None else ""
    return f"last success {_at(one.success_at)}{took}{same[one.exactly_this]}"


def _at(stamp: str | None) -> str:
    return local_time(stamp) if stamp else "unknown"
