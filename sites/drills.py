"""Drills: rehearsals, by hand or on a calendar, as `sites.yaml` writes them. Pure.

When one is due is said by `orchestrator.drills.calendar`, whether it may begin by
`orchestrator.drills.interlocks`.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from sites.blackouts import Timezone
from sites.noun import Name, Noun
from sites.quantities import AboveZeroSeconds, Seconds

DrillName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9 ._-]{0,62}$")]
HostReference = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}/[a-z][a-z0-9-]{0,62}$")]


class DrillKind(StrEnum):
    """How far a drill goes."""

    TABLETOP = "tabletop"
    ISOLATED = "isolated"
    LIVE = "live"
    ISOLATION = "isolation"

    @property
    def moves(self) -> bool:
        """Whether the service itself is moved in it."""
        return self in (DrillKind.LIVE, DrillKind.ISOLATION)


def _check_cron(expression: str) -> str:
    from cronsim import CronSim, CronSimError

    parts = expression.split()
    if len(parts) == 5:
        try:
            next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration):
            pass
        else:
            return expression
    raise ValueError(
        "expected minute, hour, day of the month, month and day of the week, and a date that exists, such as "
        "`0 7 * * SUN#2`: the second Sunday of the month at seven"
    )


Cron = Annotated[
    str,
    AfterValidator(_check_cron),
    WithJsonSchema({"type": "string", "examples": ["0 7 * * SUN#2", "30 6 1 */3 *"]}),
]


class DrillCheck(Noun):
    """One question to the copy of an isolated drill: in SQL, or by a command on its host."""

    name: str = Field(min_length=1, max_length=100, description="what people call it")
    sql: str | None = Field(
        None, min_length=1, description="a statement; its first value is what is compared with `expect`"
    )
    run: str | None = Field(
        None,
        min_length=1,
        description="a command on the copy's host; exit status 0 is a yes. PGHOST, PGPORT and PGDATABASE "
        "name a PostgreSQL copy",
    )
    expect: str | None = Field(
        None, description="what `sql` must answer; without it, anything but nothing, `f` and `0`"
    )
    timeout_seconds: AboveZeroSeconds = Field(30.0, alias="timeout", description="longest wait for it")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.sql is None) == (self.run is None):
            raise ValueError("expected exactly one of sql and run")
        if self.expect is not None and self.sql is None:
            raise ValueError("expected sql beside expect; a command says yes by its exit status")
        return self


class DrillBlock(Noun):
    """One thing of the other site that is out of reach during an isolation drill."""

    host: HostReference = Field(description="where the commands run: `site/role`")
    block: str = Field(min_length=1, description="makes it unreachable, however often it is called")
    unblock: str = Field(min_length=1, description="takes that back, however often it is called")
    verify: str = Field(min_length=1, description="exit status 0: it cannot be reached")
    timeout_seconds: AboveZeroSeconds = Field(30.0, alias="timeout", description="longest wait for each")


class DrillSpec(Noun):
    """A rehearsal of a service's move."""

    name: DrillName = Field(description="what people call it; no other drill has it")
    service: str = Field(description="whose move is rehearsed")
    kind: DrillKind = Field(
        description="tabletop touches nothing; isolated promotes a copy that nobody can reach; live moves "
        "the service and moves it home again; isolation is live with things of the other site blocked"
    )
    schedule: Cron | None = Field(
        None,
        description="when: minute, hour, day of the month, month, day of the week; without it, only by hand",
    )
    timezone: Timezone = Field("UTC", description="whose clock the schedule goes by")
    blackouts: list[Name] = Field(
        default_factory=list, description="in which of the `blackouts` it does not begin by itself"
    )
    begins_within_seconds: AboveZeroSeconds = Field(
        900.0, alias="begins_within", description="it may begin so late; after that it was missed"
    )
    if_missed: Literal["skip", "next"] = Field(
        "skip", description="whether a missed one is made up for at the next allowed time"
    )
    make_up: Cron | None = Field(
        None,
        description="when a missed one may be made up for; without it, every day at the schedule's time",
    )
    min_time_between_seconds: Seconds = Field(
        86400.0, alias="min_time_between", description="it does not begin by itself sooner after the last one"
    )
    max_lag_seconds: Seconds | None = Field(
        None, alias="max_lag", description="it does not begin above this; without it, above the service's rpo"
    )
    ends_within_seconds: AboveZeroSeconds = Field(
        7200.0, alias="ends_within", description="after that it is abandoned and cleaned up"
    )
    overdue_after_seconds: AboveZeroSeconds | None = Field(
        None, alias="overdue_after", description="so long after the last success it counts as overdue"
    )
    stay_seconds: Seconds = Field(
        600.0, alias="stay", description="live: how long the service stays at the other site"
    )
    checks: list[DrillCheck] = Field(default_factory=list, description="isolated: questions to the copy")
    block: dict[Name, DrillBlock] = Field(
        default_factory=dict, description="isolation: what is blocked, by name"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.checks and self.kind is not DrillKind.ISOLATED:
            raise ValueError(f"expected checks only of an isolated drill; this one is {self.kind}")
        if self.block and self.kind is not DrillKind.ISOLATION:
            raise ValueError(f"expected block only of an isolation drill; this one is {self.kind}")
        if self.kind is DrillKind.ISOLATION and not self.block:
            raise ValueError("expected block: what of the other site is out of reach")
        if self.schedule is None and (self.make_up is not None or self.if_missed == "next"):
            raise ValueError("expected a schedule: only a drill that has one can be missed")
        if self.kind.moves and self.stay_seconds >= self.ends_within_seconds:
            raise ValueError("expected stay to be shorter than ends_within: it must come home in that time")
        return self
