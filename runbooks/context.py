"""What an action is given when it is carried out, and what it gives back.

The engine hands every action the same two things: the world it may use (`ActionContext`) and what it
is asked to do (`Call`). Actions raise `StepFailed` or an error of `sites.errors`; they never journal,
never retry and never look at the clock of the run: the engine does.
"""

import json
import time
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from probes.model import ProbeResult
from runbooks.planned import Plan, PlannedStep
from runbooks.progress import Progress
from sites.model import Estate, Host, Service
from sites.output import Said
from sites.replication.words import ReplicationDriver
from sites.transport import Transport

EVIDENCE_LIMIT_CHARACTERS = 4000
VALUES_LIMIT_CHARACTERS = 64 * 1024

MayAct = Callable[[], Awaitable[None]]
"""Returns while this executor has the right to act; raises LostRight. Asked before every side effect."""


class Until(Protocol):
    """Wait until the run's progress fits, and get it: for what only people can end."""

    async def __call__(self, fits: Callable[[Progress], bool]) -> Progress:
        """The progress that fits. The caller has the deadline."""
        ...


async def _never(fits: Callable[[Progress], bool]) -> Progress:
    raise NotImplementedError("nobody carries this call out as a part of a run")


class WaitHealthy(Protocol):
    """Wait until one of the service's probes says UP at a site."""

    async def __call__(self, probe: str, site: str, *, timeout_seconds: float) -> ProbeResult:
        """The first result that is UP, or the last one when the time is over; a sick target is a result.

        It is tried at least once: with 0 seconds, just once. Raises ActionMisused when it cannot be tried.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query answered, as text, cut at the caller's bound (`more`: there were further rows)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    more: bool = False

    def __str__(self) -> str:
        head = " | ".join(self.columns)
        lines = [" | ".join("(null)" if cell is None else cell for cell in row) for row in self.rows]
        return "\n".join([head, *lines, *(["…"] if self.more else [])])


class Sql(Protocol):
    """Ask the service's database at a site."""

    async def __call__(
        self, site: str, statement: str, values: Sequence[str], *, timeout_seconds: float
    ) -> Rows:
        """Run one statement; at most a bounded number of rows comes back.

        Raises HostUnreachable, AccessDenied, CommandTimedOut or DriverTrouble (what the database said).
        """
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """Who acts (P26): hosts refuse a step whose epoch or executor is lower than one they have seen."""

    epoch: int
    run_id: str
    executor: int


@dataclass(frozen=True, slots=True)
class ActionContext:
    """The world as a run's actions may use it. What is None is not there for this service. `wall_seconds` is
    the time of day: for what people wait for, across restarts and machines, and for nothing else. `base`: the
    estate file's folder, where relative paths of secrets and certificates start. `said`: by a step's id, whom
    to tell what its command says while it runs (see `runbooks.watching`)."""

    estate: Estate
    service: Service
    transport: Transport
    token: Token
    notify: Callable[[str], Awaitable[None]]
    driver: ReplicationDriver | None = None
    wait_healthy: WaitHealthy | None = None
    sql: Sql | None = None
    wall_seconds: Callable[[], float] = time.time
    base: Path = Path()
    said: Callable[[str], Said] | None = None

    def host(self, reference: str) -> Host:
        """The host of `site/role`. Raises KeyError; plans name only hosts of the estate."""
        site, _, role = reference.partition("/")
        return self.estate.sites[site].hosts[role]


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of one step. `arguments` is the action's own model; `values` what earlier steps left;
    `until` waits for a change of the run, such as a person's word."""

    plan: Plan
    step: PlannedStep
    arguments: Any
    attempt: int
    may_act: MayAct
    values: Mapping[str, Any] = field(default_factory=dict)
    until: Until = _never

    @property
    def timeout_seconds(self) -> float:
        """How long this attempt may take; the engine ends one that does not end by itself."""
        return self.step.timeout_seconds


@dataclass(frozen=True, slots=True)
class Result:
    """A step's good end. `values` (small, JSON) is handed to later steps and kept in the journal."""

    evidence: str
    exit_status: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Raises TypeError or ValueError here, where the mistake is, and not in the journal.
        if self.values and len(dumped_values(self.values)) > VALUES_LIMIT_CHARACTERS:
            raise ValueError(f"a step hands on at most {VALUES_LIMIT_CHARACTERS} characters of JSON")


def dumped_values(values: Mapping[str, Any]) -> str:
    """Values as JSON. Raises TypeError or ValueError for what is none."""
    return json.dumps(dict(values), allow_nan=False)


def bounded(text: str, limit: int = EVIDENCE_LIMIT_CHARACTERS) -> str:
    """The text, or its beginning and end where it is longer than `limit` characters.

    Control characters are replaced: evidence comes from hosts and is shown on people's terminals.
    """
    if len(text) > limit:
        tail = limit // 4
        text = f"{text[: limit - tail]}\n[… {len(text) - limit} characters left out …]\n{text[-tail:]}"
    return "".join(map(_harmless, text.replace("\r\n", "\n")))


def on_one_line(text: str) -> str:
    """The text for a title or a label: on one line, without control characters."""
    return "".join(map(_harmless, " ".join(text.split())))


def _harmless(character: str) -> str:
    if character in "\n\t" or not unicodedata.category(character).startswith("C"):
        return character
    return "\N{REPLACEMENT CHARACTER}"
