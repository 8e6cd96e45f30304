"""The crash matrix: a controller is killed before, during and after every step of every move by the runbooks
that ship, and again while it recovers; the end must be that of the undisturbed run, and no step with an
effect may have been run twice that did not say `in_doubt: rerun`.

The engine, its journal's fold, the plans and the adoption are the product's own. Databases, ownership and
hosts are doubles that outlive the controller (crash_world).
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from orchestrator import frames
from orchestrator.core.records import RunRecord
from orchestrator.local_run import seen_in, shown
from orchestrator.ownership_actions import NoArguments
from orchestrator.simulate.crash_world import HERE, THERE, CrashDriver, CrashHosts, CrashWorld
from orchestrator.simulate.virtual_time import VirtualTimeLoop, now_ns, now_seconds
from runbooks.actions import shipped_actions
from runbooks.catalogue import ActionCatalogue, ActionSpec, Settled
from runbooks.context import ActionContext, Call, Result, Token
from runbooks.engine import Engine, Outcome
from runbooks.errors import JournalTrouble
from runbooks.journal import (
    Event,
    MemoryJournal,
    Record,
    RunAdopted,
    RunResumed,
    RunSummary,
    StepEnded,
)
from runbooks.library import Library
from runbooks.model import InDoubt, Kind, OnFailure
from runbooks.plan import Facts, bind, compose
from runbooks.planned import Part, Plan
from runbooks.progress import Progress
from runbooks.scope import RunRef, scope_of
from runbooks.undoing import UNDO
from sites.model import Estate
from sites.replication.words import Role

PATIENCE_SECONDS = 7200.0
RUN = "crm-move-1"
EPOCH = 8

# What ships runs no commands of its own, so steps that do are shown by this one.
COMMANDS = """\
runbook: commands
title: A command of each kind
inverse: postgres/demote
parameters: {host: {default: crm-app}}
steps:
  - id: stop
    action: ssh
    host: "{{ to_site.hosts[parameters.host] }}"
    run: stop
    timeout: 1m
    unless: "stop?"
  - id: migrate
    needs: [stop]
    action: ssh
    host: "{{ to_site.hosts[parameters.host] }}"
    run: migrate
    timeout: 1m
  - id: warm
    needs: [stop]
    action: ssh
    host: "{{ to_site.hosts[parameters.host] }}"
    run: warm
    timeout: 1m
    in_doubt: rerun
  - id: start
    needs: [migrate, warm]
    action: ssh
    host: "{{ to_site.hosts[parameters.host] }}"
    run: start
    timeout: 1m
    verify: {run: "start?"}
  - id: tell
    needs: [start]
    action: notify
    message: It is open again
"""

# And what was done is taken back by commands of its own, because the last step fails.
TAKEN_BACK = """\
runbook: taken-back
title: Commands that are taken back
inverse: postgres/demote
parameters: {host: {default: crm-app}}
steps:
  - id: stop
    action: ssh
    host: "{{ to_site.hosts[parameters.host] }}"
    run: stop
    timeout: 1m
    undo: {run: unstop}
  - id: close
    needs: [stop]
    action: ssh
    host: "{{ to_site.hosts[parameters.host] }}"
    run: close
    timeout: 1m
    undo: {run: reopen, unless: "reopen?", verify: "reopen?"}
  - id: warm
    needs: [close]
    action: ssh
    host: "{{ to_site.hosts[parameters.host] }}"
    run: warm
    timeout: 1m
    in_doubt: rerun
    undo: {run: cool, in_doubt: rerun}
  - id: wrong
    needs: [warm]
    action: check
    host: "{{ to_site.hosts[parameters.host] }}"
    explain: It never is so
    all: ["never?"]
    on_failure: undo
"""

_SITE = {"hosts": {name: {"name": name, "address": "192.0.2.1"} for name in ("crm-db", "crm-app")}}
ESTATE = Estate.model_validate(
    {
        "store": {"endpoints": ["https://store.example:2379"]},
        "sites": {name: {"name": name, **_SITE} for name in (HERE, THERE)},
        "services": {"crm": {"name": "crm", "home": HERE, "standby": THERE}},
    }
)


class Moment(StrEnum):
    """When the controller is killed, by what stands in its journal and what has happened."""

    BEFORE = "before"  # the step is announced, and nothing of it done
    DURING = "during"  # it is under way where it acts, and goes on there
    AFTER = "after"  # it is done; its end is not on file
    ON_FILE = "on-file"  # its end is on file; the next one is not announced


class Again(StrEnum):
    """When whoever recovers is killed as well."""

    NEVER = "never"
    AT_ONCE = "at-once"  # when it has noted that it goes on
    SETTLING = "settling"  # when it asks how the step ended that was cut off
    BEFORE = "before"  # and so on: of the first step that it carries out
    DURING = "during"
    AFTER = "after"


class Recovery(StrEnum):
    """Who goes on."""

    RESUMED = "resumed"  # the same controller, from its journal
    ADOPTED = "adopted"  # the other site's, from the record in the store
    ADOPTED_LATE = "adopted-late"  # the same, the last change not having reached the store
    AWAKENED = "awakened"  # adopted, and then the old one wakes up and goes on where it was


@dataclass(frozen=True, slots=True)
class Case:
    """One cell. `step` is None for the undisturbed run."""

    move: str
    step: str | None = None
    moment: Moment = Moment.BEFORE
    again: Again = Again.NEVER
    recovery: Recovery = Recovery.RESUMED

    def __str__(self) -> str:
        again = f", again {self.again}" if self.again is not Again.NEVER else ""
        return f"{self.move}: killed {self.moment} {self.step}, {self.recovery}{again}"


@dataclass(frozen=True, slots=True)
class Cell:
    """What became of a case."""

    case: Case
    ok: bool
    end_state: str


class Process:
    """A controller while it lives: it is killed at its moment, once."""

    def __init__(
        self, step: str | None, moment: Moment | None, *, at_once: bool = False, settling: bool = False
    ) -> None:
        self._step = step
        self._moment = moment
        self._at_once = at_once
        self._settling = settling
        self.dead = asyncio.Event()
        self.stopped: asyncio.Event | None = None

    async def die(self) -> None:
        """Nothing it does counts any more. With `stopped`, it was merely stopped, and may go on later."""
        self.dead.set()
        await (self.stopped or asyncio.Event()).wait()

    def _mine(self, step: str) -> bool:
        return not self.dead.is_set() and self._moment is not None and self._step in (None, step)

    async def act(self, world: CrashWorld, spec: ActionSpec, context: ActionContext, call: Call) -> Result:
        """Carry a step out, or die of it."""
        if self.dead.is_set() and self.stopped is None:
            await self.die()
        if not self._mine(call.step.id):
            return await spec.act(context, call)
        if self._moment is Moment.BEFORE:
            await self.die()
        if self._moment is Moment.DURING:
            world.goes_on(_carried_out(spec, context, call))
            await asyncio.sleep(0.1)
            await self.die()
        result = await spec.act(context, call)
        if self._moment is Moment.AFTER:
            await self.die()
        return result

    async def settle(self, spec: ActionSpec, context: ActionContext, call: Call) -> Settled:
        """Ask how a step ended, or die while asking."""
        assert spec.settle is not None
        if self._settling and not self.dead.is_set():
            await self.die()
        return await spec.settle(context, call)

    def noted(self, event: Event) -> None:
        """A record is on file. Whoever wrote it is ended before it does anything else."""
        resumed = isinstance(event, RunResumed | RunAdopted)
        ended = isinstance(event, StepEnded) and self._moment is Moment.ON_FILE and self._mine(event.step)
        if (self._at_once and resumed) or ended:
            self.dead.set()


async def _carried_out(spec: ActionSpec, context: ActionContext, call: Call) -> Result:
    return await spec.act(context, call)


class DyingJournal:
    """A journal on a disk that outlives its process; a dead process writes nothing."""

    def __init__(self, disk: MemoryJournal, process: Process) -> None:
        self._disk = disk
        self._process = process

    async def append(self, run_id: str, event: Event) -> Record:
        if self._process.dead.is_set() and self._process.stopped is None:
            raise JournalTrouble("the process is dead")
        record = await self._disk.append(run_id, event)
        self._process.noted(event)
        return record

    async def read(self, run_id: str) -> Sequence[Record]:
        return await self._disk.read(run_id)

    async def runs(self, limit: int) -> Sequence[RunSummary]:
        return await self._disk.runs(limit)


@dataclass
class Site:
    """A site's disk, and what its controller last published."""

    disk: MemoryJournal
    record: RunRecord
    before: RunRecord


class Stage:
    """One case being played."""

    def __init__(self, plan: Plan, estate: Estate) -> None:
        self.world = CrashWorld(lost=plan.kind is Kind.FAILOVER)
        if plan.kind is Kind.REJOIN:
            self.world.owner, self.world.epoch = THERE, EPOCH
            self.world.roles = {HERE: Role.DOWN, THERE: Role.PRIMARY}
        self.hosts = CrashHosts(self.world)
        self._estate = estate
        self._plan = plan
        record = _record(plan)
        self.site = Site(MemoryJournal(now_ns, now_seconds), record, record)

    def catalogue(self, process: Process) -> ActionCatalogue:
        """Every word, killed where it is to be."""
        words = shipped_actions()
        for word, act in (
            ("ownership.take-over", self.world.take),
            ("ownership.claim", self.world.take),
            ("ownership.give-up", self.world.give_up),
            ("ownership.settle", self.world.settle),
        ):
            words = words.with_action(word, NoArguments, act, idempotent=True)
        ssh = replace(words["ssh"], act=self.hosts.carry_out, settle=self.hosts.settle)
        specs = {**words.specs, "ssh": ssh}
        return ActionCatalogue({word: _dying(spec, self.world, process) for word, spec in specs.items()})

    def context(self, executor: int) -> ActionContext:
        """The world as this executor may use it."""

        async def notify(text: str) -> None:
            self.world.told[text] += 1

        return ActionContext(
            estate=self._estate,
            service=self._estate.services["crm"],
            transport=self.hosts,
            token=Token(EPOCH, RUN, executor),
            notify=notify,
            driver=CrashDriver(self.world),
            wall_seconds=now_seconds,
        )

    def engine(self, process: Process, executor: int, site: Site) -> Engine:
        """A controller's engine; what it publishes reaches the store as long as it lives."""

        def published(progress: Progress, last: Record) -> None:
            if not process.dead.is_set():
                site.before, site.record = site.record, shown(site.record, progress)

        async def may_act() -> None:
            await self.world.may_act(executor)

        return Engine(
            DyingJournal(site.disk, process),
            self.catalogue(process),
            may_act=may_act,
            now_ns=now_ns,
            on_progress=published,
        )

    async def live(self, process: Process, executor: int, *, adopted: RunAdopted | None = None) -> str:
        """A controller's life: until the run has ended, or until it is killed; the outcome, or `killed`."""
        engine = self.engine(process, executor, self.site)
        life = asyncio.ensure_future(self._work(engine, executor, adopted))
        death = asyncio.ensure_future(process.dead.wait())
        try:
            done, _ = await asyncio.wait(
                {life, death}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if life in done:
                return str(life.result().outcome)
            return "killed" if death in done else "waits"
        finally:
            death.cancel()
            if process.stopped is None:
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
            else:
                self.world.goes_on(_quietly(life))

    async def _work(self, engine: Engine, executor: int, adopted: RunAdopted | None) -> Outcome:
        context = self.context(executor)
        if adopted is not None:
            return await engine.adopt(self._plan, adopted, context, who="w", why="adopted", first=None)
        return await engine.carry_out(self._plan, context, who="w", why="y")

    def adopt(self, *, late: bool) -> RunAdopted:
        """The other site goes on: its own disk, and the next executor's number (P26)."""
        there = self.site.before if late else self.site.record
        self.world.executor += 1
        ours = replace(there, executor=self.world.executor, executor_site=HERE)
        self.site = Site(MemoryJournal(now_ns, now_seconds), ours, ours)
        return RunAdopted(self.world.executor, HERE, seen_in(ours))


async def _quietly(life: "asyncio.Future[Outcome]") -> None:
    await asyncio.gather(life, return_exceptions=True)


def _dying(spec: ActionSpec, world: CrashWorld, process: Process) -> ActionSpec:
    async def act(context: ActionContext, call: Call) -> Result:
        return await process.act(world, spec, context, call)

    async def settle(context: ActionContext, call: Call) -> Settled:
        return await process.settle(spec, context, call)

    return replace(spec, act=act, settle=settle if spec.settle is not None else None)


async def _play(case: Case, plan: Plan, estate: Estate) -> tuple[Any, ...]:
    """The end state."""
    stage = Stage(plan, estate)
    may_repeat = frozenset(
        [step.id for step in plan.steps if step.in_doubt is InDoubt.RERUN]
        + [f"{UNDO}{s.id}" for s in plan.steps if s.undo is not None and s.undo.get("in_doubt") == "rerun"]
    )
    if case.step is None:
        outcome = await stage.live(Process(None, None), 1)
        await stage.world.calm()
        return stage.world.end_state(outcome, may_repeat)
    first = Process(case.step, case.moment)
    wakes = case.recovery is Recovery.AWAKENED
    if wakes:
        first.stopped = asyncio.Event()
    outcome = await stage.live(first, 1)
    if outcome == "killed":
        lives = [_second(case.again), Process(None, None)] if case.again is not Again.NEVER else []
        for process in lives or [Process(None, None)]:
            outcome = await _recover(stage, case, process)
            if outcome != "killed":
                break
    if first.stopped is not None:
        first.stopped.set()
    await stage.world.calm()
    return stage.world.end_state(outcome, may_repeat)


async def _recover(stage: Stage, case: Case, process: Process) -> str:
    adopts = case.recovery is not Recovery.RESUMED and stage.world.executor == 1
    adopted = stage.adopt(late=case.recovery is Recovery.ADOPTED_LATE) if adopts else None
    return await stage.live(process, stage.world.executor, adopted=adopted)


def _second(again: Again) -> Process:
    moments = {Again.BEFORE: Moment.BEFORE, Again.DURING: Moment.DURING, Again.AFTER: Moment.AFTER}
    return Process(None, moments.get(again), at_once=again is Again.AT_ONCE, settling=again is Again.SETTLING)


def plans(estate: Estate) -> dict[str, Plan]:
    """Every move by every runbook that ships, and one with commands."""
    catalogue = shipped_actions()
    library = Library(catalogue)

    def part(name: str, kind: Kind) -> Part:
        text = {"commands": COMMANDS, "taken-back": TAKEN_BACK}.get(name)
        runbook = (
            library.parse(text, file=f"{name}.yaml", name=name) if text is not None else library.load(name)
        )
        scope = scope_of(estate, "crm", from_site=HERE, to_site=THERE, run=RunRef(RUN, kind, EPOCH))
        return bind(runbook, scope, Facts(), catalogue, part=name.rpartition("/")[2])

    def plan(kind: Kind, *parts: Part) -> Plan:
        return compose(
            *parts, run_id=RUN, kind=kind, service="crm", from_site=HERE, to_site=THERE, epoch=EPOCH
        )

    settle = frames.settle(THERE)
    claim = frames.claim(THERE, THERE, timeout_seconds=60.0)
    give_up = frames.give_up(HERE, HERE, timeout_seconds=60.0)
    take = frames.take_over(HERE, THERE, timeout_seconds=60.0)
    found: dict[str, Plan] = {}
    for driver in sorted({name.partition("/")[0] for name in library.names()}):
        promote, demote, rejoin = (f"{driver}/{role}" for role in ("promote", "demote", "rejoin"))
        failover, switchover = Kind.FAILOVER, Kind.SWITCHOVER
        found[f"{driver}: failover of a lost site"] = plan(failover, take, part(promote, failover), settle)
        found[f"{driver}: failover of a dead database"] = plan(
            failover, give_up, claim, part(promote, failover), settle
        )
        found[f"{driver}: switchover"] = plan(
            switchover, part(demote, switchover), give_up, claim, part(promote, switchover), settle
        )
        found[f"{driver}: rejoin"] = plan(Kind.REJOIN, part(rejoin, Kind.REJOIN))
    found["commands on hosts"] = plan(
        Kind.SWITCHOVER, give_up, claim, part("commands", Kind.SWITCHOVER), settle
    )
    found["commands that are taken back"] = plan(Kind.SWITCHOVER, part("taken-back", Kind.SWITCHOVER))
    return found


def cases(moves: dict[str, Plan]) -> Iterator[Case]:
    """Every cell. An old executor that wakes up does so where it was stopped before the step's effect."""
    for move, plan in moves.items():
        for step in steps_of(plan):
            for moment in Moment:
                for recovery in Recovery:
                    if recovery is Recovery.AWAKENED:
                        if moment is Moment.BEFORE:
                            yield Case(move, step, moment, Again.NEVER, recovery)
                        continue
                    for again in Again:
                        yield Case(move, step, moment, again, recovery)


def steps_of(plan: Plan) -> tuple[str, ...]:
    """The steps that the undisturbed run carries out, in that order."""
    if not ends_undone(plan):
        return tuple(step.id for step in plan.steps)
    back = [f"{UNDO}{step.id}" for step in reversed(plan.steps) if step.undo is not None]
    return (*(step.id for step in plan.steps), *back)


def ends_undone(plan: Plan) -> bool:
    """Whether the undisturbed run takes back what it did."""
    return any(step.on_failure is OnFailure.UNDO for step in plan.steps)


def matrix(tell: Callable[[int, int], None] = lambda done, total: None) -> list[Cell]:
    """Play every case. What happens in them is not logged: there are thousands."""
    with structlog.testing.capture_logs():
        return _matrix(ESTATE, tell)


def _matrix(estate: Estate, tell: Callable[[int, int], None]) -> list[Cell]:
    moves = plans(estate)
    found: list[Cell] = []
    every = list(cases(moves))
    undisturbed = {name: _in_virtual_time(Case(name), plan, estate) for name, plan in moves.items()}
    for case in every:
        tell(len(found), len(every))
        end = _in_virtual_time(case, moves[case.move], estate)
        wanted = undisturbed[case.move]
        same = end == wanted
        well = end[0] == ("undone" if ends_undone(moves[case.move]) else "done")
        found.append(Cell(case, same and well, "same" if same else _apart(end, wanted)))
    return found


def _in_virtual_time(case: Case, plan: Plan, estate: Estate) -> tuple[Any, ...]:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_play(case, plan, estate))


def _apart(end: tuple[Any, ...], wanted: tuple[Any, ...]) -> str:
    names = ("outcome", "owner", "epoch", "moving", "roles", "changed", "ran")
    return "; ".join(
        f"{name}: {found}, not {expected}"
        for name, found, expected in zip(names, end, wanted, strict=True)
        if found != expected
    )


def as_json(cells: Sequence[Cell]) -> dict[str, Any]:
    """For programs."""
    return {
        "crash_matrix": [
            {
                "runbook": cell.case.move,
                "step": cell.case.step,
                "killed": str(cell.case.moment),
                "again": str(cell.case.again),
                "recovery": str(cell.case.recovery),
                "ok": cell.ok,
                "end_state": cell.end_state,
            }
            for cell in cells
        ]
    }


def table(cells: Sequence[Cell]) -> list[str]:
    """A row for each step, a column for each moment: how many of its cases ended as the undisturbed run
    did."""
    rows: dict[tuple[str, str], dict[Moment, list[bool]]] = {}
    for cell in cells:
        row = rows.setdefault((cell.case.move, str(cell.case.step)), {})
        row.setdefault(cell.case.moment, []).append(cell.ok)
    lines = [f"| move | killed at step | {' | '.join(Moment)} |", "| --- | --- |" + " --- |" * len(Moment)]
    for (move, step), moments in rows.items():
        counts = (f"{sum(moments[moment])} of {len(moments[moment])}" for moment in Moment)
        lines.append(f"| {move} | `{step}` | {' | '.join(counts)} |")
    return lines


def _record(plan: Plan) -> RunRecord:
    return RunRecord(
        run=plan.id,
        kind=plan.kind,
        service=plan.service,
        from_site=plan.from_site,
        to_site=plan.to_site,
        executor_site=THERE,
        executor=1,
        state="running",
        plan=json.loads(plan.to_json()),
        statement="",
        who="w",
        why="y",
        started="",
    )
