"""A small estate, a driver and deeds that do as a test says, and plans over them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probes.model import ProbeResult, Verdict
from runbooks.actions import shipped_actions
from runbooks.catalogue import ActionCatalogue, Arguments, Settled, Settlement
from runbooks.context import ActionContext, Call, Result, Rows, Token
from runbooks.engine import Engine, Outcome
from runbooks.journal import Journal, MemoryJournal
from runbooks.library import Library
from runbooks.model import Kind
from runbooks.plan import Facts, bind, compose
from runbooks.planned import Part, Plan, PlannedCondition, PlannedStep
from runbooks.progress import Progress
from runbooks.scope import RunRef, Scope, scope_of
from sites.model import Estate, Host
from sites.output import Said
from sites.replication.words import Closed, Fenced, Position, Promoted, Rejoined, Role, Sample, Word
from sites.transport import Completed, Transport
from tests.support.virtual_time import now_ns, now_seconds

ESTATE = Estate.model_validate(
    {
        "version": 1,
        "store": {"endpoints": ["https://store.example:2379"]},
        "sites": {
            "durham": {
                "name": "durham",
                "title": "Durham",
                "hosts": {
                    "crm-db": {"name": "crm-db", "site": "durham", "address": "10.1.0.1"},
                    "crm-app": {"name": "crm-app", "site": "durham", "address": "10.1.0.2"},
                },
            },
            "morpeth": {
                "name": "morpeth",
                "title": "Morpeth",
                "hosts": {
                    "crm-db": {"name": "crm-db", "site": "morpeth", "address": "10.2.0.1"},
                    "crm-app": {"name": "crm-app", "site": "morpeth", "address": "10.2.0.2"},
                },
            },
        },
        "services": {
            "crm": {
                "name": "crm",
                "title": "Customer records",
                "home": "durham",
                "standby": "morpeth",
                "probes": [{"name": "login page", "kind": "http"}],
            }
        },
    }
)
CRM = ESTATE.services["crm"]
FACTS = Facts(probes=frozenset({"login page"}))


def scope(kind: Kind = Kind.FAILOVER, parameters: Mapping[str, Any] | None = None) -> Scope:
    """A move of crm from Durham to Morpeth."""
    return scope_in(ESTATE, kind, parameters)


def scope_in(estate: Estate, kind: Kind, parameters: Mapping[str, Any] | None = None) -> Scope:
    """The same in another estate."""
    run = RunRef("run-1", kind, 7)
    return scope_of(estate, "crm", from_site="durham", to_site="morpeth", run=run, parameters=parameters)


class DeedArguments(Arguments):
    """The `deed` action takes a word."""

    what: str = ""


Deed = Callable[[Call], Any]


@dataclass
class Deeds:
    """A catalogue word `deed` (and `safe-deed`, which is idempotent) whose doings a test writes.

    `done` lists the steps in the order in which they had their effect, `running` those under way.
    """

    scripts: dict[str, Deed] = field(default_factory=dict)
    settlements: dict[str, Settled] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    most_at_once: int = 0

    async def _act(self, context: ActionContext, call: Call) -> Result:
        name = call.step.id
        self.running.add(name)
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            script = self.scripts.get(name)
            result = script(call) if script is not None else None
            if asyncio.iscoroutine(result):
                result = await result
            self.done.append(name)
            return result if isinstance(result, Result) else Result(f"did {name}")
        finally:
            self.running.discard(name)

    async def _settle(self, context: ActionContext, call: Call) -> Settled:
        return self.settlements.get(call.step.id, Settled(Settlement.UNKNOWN, "nobody knows"))

    def catalogue(self) -> ActionCatalogue:
        """The shipped words and the two deeds."""
        base = shipped_actions().with_action("deed", DeedArguments, self._act, settle=self._settle)
        return base.with_action("safe-deed", DeedArguments, self._act, idempotent=True)


def step(step_id: str, *needs: str, action: str = "deed", **fields: Any) -> PlannedStep:
    """A planned step of part `p`."""
    return PlannedStep(
        id=f"p/{step_id}",
        part="p",
        number=0,
        title=f"Do {step_id}",
        action=action,
        site="morpeth",
        needs=tuple(f"p/{need}" for need in needs),
        **fields,
    )


def plan_of_steps(*steps: PlannedStep, run_id: str = "run-1", epoch: int = 7) -> Plan:
    """A plan of one part."""
    part = Part("p", "test/p", "Test", tuple(steps))
    return compose(
        part,
        run_id=run_id,
        kind=Kind.FAILOVER,
        service="crm",
        from_site="durham",
        to_site="morpeth",
        epoch=epoch,
    )


def bound(text: str, kind: Kind = Kind.FAILOVER, facts: Facts = FACTS, **parameters: Any) -> Part:
    """A runbook's text, bound to the move of crm."""
    catalogue = shipped_actions()
    runbook = Library(catalogue).parse(text, file="test.yaml", name="test")
    return bind(runbook, scope(kind, parameters), facts, catalogue)


@dataclass
class FakeDriver:
    """Both instances of crm as plain values; durham is primary at first."""

    unknown_words: frozenset[Word] = frozenset()
    roles: dict[str, Role] = field(default_factory=lambda: {"durham": Role.PRIMARY, "morpeth": Role.STANDBY})
    system_ids: dict[str, str] = field(default_factory=lambda: {"durham": "7000", "morpeth": "7000"})
    replayed_bytes: int = 1000
    streaming: bool = True
    said: list[str] = field(default_factory=list)

    async def sample(self, site: str) -> Sample:
        role = self.roles[site]
        return Sample(
            service="crm",
            site=site,
            role=role,
            taken_at_ns=0,
            writable=role is Role.PRIMARY,
            streaming=self.streaming if role is Role.STANDBY else None,
            system_id=self.system_ids[site],
        )

    async def lost(self, site: str) -> str:
        raise NotImplementedError

    async def prepare(self, site: str) -> None:
        self.said.append(f"prepare {site}")

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        raise NotImplementedError

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        raise NotImplementedError

    async def promote(self, site: str, *, timeout_seconds: float) -> Promoted:
        self.said.append(f"promote {site}")
        self.roles[site] = Role.PRIMARY
        return Promoted(Position("0/10", "7000/2", 16), f"{site} is writable")

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        self.said.append(f"start {site} as {role}")
        self.roles[site] = role

    async def rejoin(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        self.said.append(f"rejoin {site} to {primary_site}")
        self.roles[site] = Role.STANDBY
        return Rejoined("rewind", 512, "/var/tmp/tail", f"{site} follows {primary_site}")

    async def rebuild(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        self.said.append(f"rebuild {site} from {primary_site}")
        self.roles[site] = Role.STANDBY
        return Rejoined("rebuild", 0, None, f"{site} is a copy of {primary_site}")

    async def caught_up(self, site: str, final_position: Position, *, timeout_seconds: float) -> bool:
        return self.replayed_bytes >= final_position.offset_bytes

    async def aclose(self) -> None:
        """Nothing is kept."""


@dataclass
class FakeTransport:
    """Answers commands by their text: the first of `answers` whose key stands in the command."""

    answers: dict[str, Completed | Exception] = field(default_factory=dict)
    ran: list[tuple[str, str]] = field(default_factory=list)

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        self.ran.append((f"{host.site}/{host.name}", command))
        for part, answer in self.answers.items():
            if part in command:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return Completed(0, "", "", 0.0)

    async def aclose(self) -> None:
        """Nothing is kept."""


@dataclass
class World:
    """Everything an engine needs, in virtual time unless told otherwise."""

    deeds: Deeds = field(default_factory=Deeds)
    driver: FakeDriver = field(default_factory=FakeDriver)
    transport: Transport = field(default_factory=FakeTransport)
    journal: Journal = field(default_factory=lambda: MemoryJournal(now_ns, now_seconds))
    healthy: dict[tuple[str, str], bool] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    right: Callable[[], None] = lambda: None
    seen: list[Progress] = field(default_factory=list)
    now: Callable[[], int] = now_ns
    wall: Callable[[], float] = now_seconds
    executor: int = 1
    estate: Estate = ESTATE
    base: Path = Path()

    async def _wait_healthy(self, probe: str, site: str, *, timeout_seconds: float) -> ProbeResult:
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            up = self.healthy.get((probe, site), False)
            if up or asyncio.get_running_loop().time() >= deadline:
                verdict = Verdict.UP if up else Verdict.DOWN
                return ProbeResult(verdict, "answered" if up else "refused", f"GET {site}", "200", 0, 0.0)
            await asyncio.sleep(0.1)

    async def _sql(self, site: str, statement: str, values: Sequence[str], *, timeout_seconds: float) -> Rows:
        return self.rows[statement]

    async def _notify(self, text: str) -> None:
        self.notices.append(text)

    async def _may_act(self) -> None:
        self.right()

    def context(self) -> ActionContext:
        """What actions get."""
        return ActionContext(
            estate=self.estate,
            service=CRM,
            transport=self.transport,
            token=Token(7, "run-1", self.executor),
            notify=self._notify,
            driver=self.driver,
            wait_healthy=self._wait_healthy,
            sql=self._sql,
            wall_seconds=self.wall,
            base=self.base,
        )

    def engine(self) -> Engine:
        """An engine over this world."""
        return Engine(
            self.journal,
            self.deeds.catalogue(),
            may_act=self._may_act,
            now_ns=self.now,
            on_progress=lambda progress, _: self.seen.append(progress),
        )

    async def carry_out(self, plan: Plan) -> Outcome:
        """Carry a plan out in this world."""
        return await self.engine().carry_out(plan, self.context(), who="anna", why="a test")


def role_is(role: str, site: str = "morpeth") -> PlannedCondition:
    """The question whether a site has a role."""
    return PlannedCondition("role", role, site)
