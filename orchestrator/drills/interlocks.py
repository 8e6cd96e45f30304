"""Whether a drill may begin: an ordered table of rows, first match refuses. Pure.

A drill is a rehearsal, so anything unclear is a no. A person who orders one by name is not held up by the
calendar (blackouts, drilled too recently), but by everything that speaks of danger.
"""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.drills.blackouts import Barred
from sites.drills import DrillKind, DrillSpec
from sites.quantities import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is known when a drill is to begin. None is unknown.

    `here`: this controller's site. `troubles`: services that are not as they should be, in words.
    `holding`: sites that hold. `runs`: runs under way, whoever's. `under_way`: the drill whose turn it is.
    `ended_ago`: how long ago this drill last ended. `no_copy`: why the driver cannot promote a copy.
    """

    drill: DrillSpec
    by_itself: bool
    here: str
    rpo_seconds: float
    watch_only: bool = False
    no_copy: str = ""
    owner_known: bool = False
    primary: str | None = None
    entitled: bool = False
    moved_by: str = ""
    under_way: str = ""
    runs: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    holding: tuple[str, ...] = ()
    paused: str = ""
    protected: bool | None = None
    diagnosis: str = ""
    lag_seconds: float | None = None
    barred: Barred | None = None
    ended_ago_seconds: float | None = None

    @property
    def touches(self) -> bool:
        """Whether the drill touches anything at all."""
        return self.drill.kind is not DrillKind.TABLETOP

    @property
    def most_lag_seconds(self) -> float:
        """Above it, no drill."""
        own = self.drill.max_lag_seconds
        return self.rpo_seconds if own is None else own


@dataclass(frozen=True, slots=True)
class Interlock:
    """One row: it refuses with `code` when `finds` returns words."""

    number: int
    code: str
    why: str
    finds: Callable[[Ground], str]


@dataclass(frozen=True, slots=True)
class Held:
    """A refusal."""

    number: int
    code: str
    message: str


def first_held(ground: Ground) -> Held | None:
    """The first row that refuses; None: it may begin."""
    for row in INTERLOCKS:
        found = row.finds(ground)
        if found:
            return Held(row.number, row.code, found)
    return None


def _unclear_owner(ground: Ground) -> str:
    if ground.owner_known:
        return ""
    return f"who owns {ground.drill.service} is not known at {ground.here} at this moment"


def _elsewhere(ground: Ground) -> str:
    if ground.primary is None:
        return f"nobody is primary for {ground.drill.service} at this moment"
    if ground.primary != ground.here:
        return (
            f"{ground.drill.service} is primary at {ground.primary}, whose controller carries its drills out"
        )
    if not ground.entitled:
        return f"{ground.here} has no right to {ground.drill.service} at this moment"
    return ""


def _lag(ground: Ground) -> str:
    if not ground.touches or ground.lag_seconds is None or ground.lag_seconds <= ground.most_lag_seconds:
        return ""
    return (
        f"the standby is {ground.lag_seconds:.1f} s behind; at most {ground.most_lag_seconds:g} s are allowed"
    )


def _recently(ground: Ground) -> str:
    least = ground.drill.min_time_between_seconds
    if not ground.by_itself or ground.ended_ago_seconds is None or ground.ended_ago_seconds >= least:
        return ""
    ago = format_duration(round(ground.ended_ago_seconds))
    return f"its last run ended {ago} ago; {format_duration(least)} must lie between two"


def _barred(ground: Ground, *, unreadable: bool) -> str:
    barred = ground.barred
    if not ground.by_itself or barred is None or bool(barred.unreadable) is not unreadable:
        return ""
    return f"this is in the blackout {barred}" if not unreadable else f"the blackout {barred}"


INTERLOCKS = (
    Interlock(
        10,
        "driver-missing",
        "a service that is only watched cannot be rehearsed",
        lambda g: f"{g.drill.service} is watched only" if g.watch_only else "",
    ),
    Interlock(
        12,
        "drill-kind-missing",
        "a copy can be promoted only by a driver that knows how",
        lambda g: g.no_copy if g.drill.kind is DrillKind.ISOLATED else "",
    ),
    Interlock(20, "no-quorum", "who owns the service must be known", _unclear_owner),
    Interlock(22, "not-the-holder", "the owner's controller carries the drill out, and no other", _elsewhere),
    Interlock(
        30,
        "moving",
        "a service that is being moved is not rehearsed",
        lambda g: f"run {g.moved_by} has {g.drill.service} at this moment" if g.moved_by else "",
    ),
    Interlock(
        32,
        "drill-under-way",
        "one drill at a time in the whole estate",
        lambda g: f"the drill {g.under_way!r} is under way" if g.under_way else "",
    ),
    Interlock(
        34,
        "run-under-way",
        "a run of either site has the staff's whole attention",
        lambda g: f"under way: {', '.join(g.runs)}" if g.runs and g.touches else "",
    ),
    Interlock(
        40,
        "incident",
        "an incident at either site comes first",
        lambda g: "; ".join(g.troubles) if g.touches else "",
    ),
    Interlock(
        42,
        "drill-hold",
        "a site that holds serves without the store, which is no time for drills",
        lambda g: f"{' and '.join(g.holding)} hold{'s' if len(g.holding) == 1 else ''}" if g.holding else "",
    ),
    Interlock(50, "paused", "somebody asked for quiet", lambda g: g.paused if g.touches else ""),
    Interlock(
        60,
        "drill-unprotected",
        "a drill never begins where the standby is not one",
        lambda g: (
            f"{g.drill.service} is {g.diagnosis or 'not known to be protected'}"
            if g.touches and g.protected is not True
            else ""
        ),
    ),
    Interlock(62, "drill-lag", "a standby that is behind has its own work to do", _lag),
    Interlock(
        64,
        "drill-lag-unknown",
        "how far the standby is behind must be known",
        lambda g: "no fresh sample of both sides" if g.touches and g.lag_seconds is None else "",
    ),
    Interlock(70, "drill-blackout", "payroll, month end, elections", lambda g: _barred(g, unreadable=False)),
    Interlock(
        72,
        "drill-blackout-unknown",
        "a blackout of which nobody can tell counts as one",
        lambda g: _barred(g, unreadable=True),
    ),
    Interlock(80, "drilled-recently", "not the same again and again", _recently),
)
