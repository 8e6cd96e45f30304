"""When drills are due, were missed, and may be made up for. Pure: time comes in as `now`, in UTC.

A schedule goes by the clock on the wall of its time zone. In the night in which an hour is left out, what
falls into it begins at its end; in the night in which one comes twice, it begins in the first: once in both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from orchestrator.drills.blackouts import Barred, Blackouts, moment, unix
from sites.drills import DrillSpec

MOST_SLOTS = 5000
TWICE = timedelta(hours=3)
"""Longer than any hour that comes twice."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A time at which a drill is to begin. `made_up_for`: the regular one that was missed."""

    at: datetime
    made_up_for: datetime | None = None

    @property
    def of(self) -> datetime:
        """The regular time that it belongs to."""
        return self.made_up_for or self.at


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of a drill's calendar. `handled_until`: every time up to it is done, missed or refused for
    good. `owed`: the regular time that is still to be made up for."""

    handled_until: float
    owed: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done now: times whose chance has passed, the one whose chance it is, and what is known
    then."""

    missed: tuple[Slot, ...]
    due: Slot | None
    memory: Memory


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the calendar. `barred`: the blackout that it falls into; `instead`: when it is made up for
    then."""

    drill: str
    service: str
    kind: str
    at: datetime
    barred: Barred | None = None
    instead: datetime | None = None


def times(expression: str, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """The schedule's times after `after` and up to `until`, in UTC and in order, each once."""
    zone = ZoneInfo(timezone)
    # Begun within the hour that comes twice, cronsim would give times of the first pass, which are over.
    begins = (after - TWICE).astimezone(zone)
    latest = after
    for count, found in enumerate(CronSim(expression, begins)):
        at = found.astimezone(UTC)
        if at > until or count > MOST_SLOTS:
            return
        if at > latest:
            latest = at
            yield at


def make_up_expression(drill: DrillSpec) -> str:
    """When a missed time may be made up for."""
    if drill.make_up is not None or drill.schedule is None:
        return drill.make_up or ""
    minute, hour, *_ = drill.schedule.split()
    return f"{minute} {hour} * * *"


def begin(now: datetime) -> Memory:
    """Of a drill that nothing is known of: what lies before today was nobody's to do."""
    return Memory(handled_until=unix(now))


def turn(drill: DrillSpec, memory: Memory, now: datetime) -> Turn:
    """What is due and what was missed, by what was kept. Says nothing of blackouts and interlocks."""
    if drill.schedule is None:
        return Turn((), None, replace(memory, owed=None))
    missed: list[Slot] = []
    due: Slot | None = None
    within = timedelta(seconds=drill.begins_within_seconds)
    for slot in slots(drill, memory, now, now - within):
        if slot.at + within > now:
            due = slot
            break
        missed.append(slot)
        memory = after(drill, memory, slot, done=False)
    return Turn(tuple(missed), due, memory)


def slots(
    drill: DrillSpec, memory: Memory, until: datetime, made_up_from: datetime | None = None
) -> Iterator[Slot]:
    """The times after what was handled and up to `until`, with those (after `made_up_from`) at which one
    that was missed may be made up for: what is missed among these is made up for in its turn."""
    if drill.schedule is None:
        return
    from_, owed = moment(memory.handled_until), memory.owed
    for regular in (*times(drill.schedule, drill.timezone, from_, until), None):
        if owed is not None:
            before = until if regular is None else regular - timedelta(seconds=1)
            begins = from_ if made_up_from is None else max(from_, made_up_from)
            for made_up in times(make_up_expression(drill), drill.timezone, begins, before):
                yield Slot(made_up, moment(owed))
        if regular is not None:
            yield Slot(regular)
            from_ = regular
            owed = unix(regular) if drill.if_missed == "next" else None


def after(drill: DrillSpec, memory: Memory, slot: Slot, *, done: bool) -> Memory:
    """What is kept once that time is over."""
    owed = None if done or drill.if_missed == "skip" else unix(slot.of)
    return Memory(handled_until=max(memory.handled_until, unix(slot.at)), owed=owed)


def next_due(drill: DrillSpec, memory: Memory, blackouts: Blackouts, until: datetime) -> datetime | None:
    """The first time to come at which it may begin, as far as blackouts go."""
    for slot in slots(drill, memory, until):
        if blackouts.barred(drill.blackouts, slot.at) is None:
            return slot.at
    return None


def overdue(
    drill: DrillSpec, last_success_unix: float | None, since_unix: float, now: datetime
) -> bool | None:
    """Whether the last success is too long ago; None where nothing says how long it may be."""
    if drill.overdue_after_seconds is None:
        return None
    return unix(now) - (last_success_unix or since_unix) > drill.overdue_after_seconds


def entries(
    drills: Sequence[DrillSpec], blackouts: Blackouts, begins: datetime, ends: datetime
) -> list[Entry]:
    """The calendar between two moments, in order of time."""
    found: list[Entry] = []
    for drill in drills:
        if drill.schedule is None:
            continue
        regular = list(times(drill.schedule, drill.timezone, begins, ends))
        for number, at in enumerate(regular):
            barred = blackouts.barred(drill.blackouts, at)
            instead = None
            if barred is not None and drill.if_missed == "next":
                before = regular[number + 1] if number + 1 < len(regular) else ends
                instead = _instead(drill, blackouts, at, before)
            found.append(Entry(drill.name, drill.service, str(drill.kind), at, barred, instead))
    return sorted(found, key=lambda entry: (entry.at, entry.drill))


def _instead(drill: DrillSpec, blackouts: Blackouts, after_: datetime, before: datetime) -> datetime | None:
    made_up = times(make_up_expression(drill), drill.timezone, after_, before)
    return next((at for at in made_up if blackouts.barred(drill.blackouts, at) is None), None)
