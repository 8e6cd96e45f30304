"""What outlives a controller that is killed: two databases, the ownership record, and hosts with their books.

In virtual time. Databases and ownership behave as their words promise (ask first, act, ask again; one at a
time), hosts as the step wrapper does: they note each attempt, refuse lower executors and attempts begun
before, and let a command go on whose controller is gone. What changes is counted, so that nothing can happen
twice unseen.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from orchestrator.simulate.virtual_time import now_ns
from runbooks.catalogue import Settled, Settlement
from runbooks.context import ActionContext, Call, Result
from runbooks.errors import LostRight, Overtaken
from sites.errors import CommandRefused
from sites.model import Host
from sites.output import Said
from sites.replication.words import (
    Closed,
    Fenced,
    Position,
    Promoted,
    Rejoined,
    Role,
    Sample,
    Word,
)
from sites.transport import Completed

DEED_SECONDS = 1.0
HERE, THERE = "durham", "morpeth"


@dataclass
class CrashWorld:
    """One world. `lost`: the old primary's site does not answer. `changed`: what had an effect, how often."""

    lost: bool = False
    owner: str | None = HERE
    epoch: int = 7
    moving: bool = True
    executor: int = 1
    roles: dict[str, Role] = field(default_factory=lambda: {HERE: Role.PRIMARY, THERE: Role.STANDBY})
    changed: Counter[str] = field(default_factory=Counter)
    ran: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _orphans: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def deed(self, name: str, already: Callable[[], bool], apply: Callable[[], None]) -> None:
        """What is done once however often it is asked for: asked first, one at a time."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            if already():
                return
            await asyncio.sleep(DEED_SECONDS)
            apply()
            self.changed[name] += 1

    def goes_on(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Work that its controller's death does not end."""
        task = asyncio.ensure_future(work)
        self._orphans.add(task)
        task.add_done_callback(self._orphans.discard)
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    async def calm(self) -> None:
        """Until nothing is under way any more."""
        while self._orphans:
            await asyncio.wait(list(self._orphans))

    def end_state(self, outcome: str, may_repeat: frozenset[str]) -> tuple[Any, ...]:
        """What is compared. Steps that allow it may have been run more than once, and people told twice."""
        ran = {step: min(count, 1) if step in may_repeat else count for step, count in self.ran.items()}
        roles = {site: str(role) for site, role in self.roles.items()}
        return outcome, self.owner, self.epoch, self.moving, roles, dict(self.changed), ran

    # --- ownership ------------------------------------------------------------------------------------

    async def take(self, context: ActionContext, call: Call) -> Result:
        """`take-over` and `claim`."""

        def taken() -> None:
            self.owner, self.epoch = call.plan.to_site, call.plan.epoch

        await self.deed("owner", lambda: self.epoch >= call.plan.epoch, taken)
        return Result(f"{self.owner} owns it at epoch {self.epoch}")

    async def give_up(self, context: ActionContext, call: Call) -> Result:
        """The holder closes and gives up."""

        def given() -> None:
            self.owner, self.roles[HERE] = None, Role.DOWN

        await self.deed("given up", lambda: self.owner != HERE or self.epoch >= call.plan.epoch, given)
        return Result("given up")

    async def settle(self, context: ActionContext, call: Call) -> Result:
        """Nothing holds the service any more."""

        def settled() -> None:
            self.moving = False

        await self.deed("settled", lambda: not self.moving, settled)
        return Result("settled")

    async def may_act(self, executor: int) -> None:
        """P26: whoever was overtaken has no right any more."""
        if executor < self.executor:
            raise LostRight(f"executor {self.executor} goes on with the run")


class CrashDriver:
    """The driver's words over that world."""

    unknown_words: frozenset[Word] = frozenset()

    def __init__(self, world: CrashWorld) -> None:
        self._world = world

    async def sample(self, site: str) -> Sample:
        role = self._world.roles[site]
        return Sample(
            service="crm",
            site=site,
            role=role,
            taken_at_ns=now_ns(),
            writable=role is Role.PRIMARY,
            streaming=True if role is Role.STANDBY else None,
            system_id="7000",
        )

    async def lost(self, site: str) -> str:
        raise NotImplementedError

    async def prepare(self, site: str) -> None:
        self._world.told["prepare"] += 1

    async def close(self, site: str, *, within_seconds: float) -> Closed:
        raise NotImplementedError

    async def fence(self, site: str, *, within_seconds: float) -> Fenced:
        raise NotImplementedError

    async def promote(self, site: str, *, timeout_seconds: float) -> Promoted:
        await self._become(site, Role.PRIMARY, "promoted")
        return Promoted(Position("0/10", "7000/2", 16), f"{site} is writable")

    async def start(self, site: str, *, role: Role, timeout_seconds: float) -> None:
        await self._become(site, role, "started")

    async def rejoin(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        await self._become(site, Role.STANDBY, "rejoined")
        return Rejoined("rewind", 512, "/var/tmp/tail", f"{site} follows {primary_site}")

    async def rebuild(self, site: str, *, primary_site: str, timeout_seconds: float) -> Rejoined:
        await self._become(site, Role.STANDBY, "rebuilt")
        return Rejoined("rebuild", 0, None, f"{site} is a copy of {primary_site}")

    async def _become(self, site: str, role: Role, word: str) -> None:
        world = self._world

        def become() -> None:
            world.roles[site] = role

        await world.deed(f"{word} {site}", lambda: world.roles[site] is role, become)

    async def caught_up(self, site: str, final_position: Position, *, timeout_seconds: float) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is kept."""


class CrashHosts:
    """Hosts with the step wrapper's book; also the transport by which questions are asked of them.

    A command is a word. `WORD?` asks whether it has been done.
    """

    def __init__(self, world: CrashWorld) -> None:
        self._world = world
        self._executor = 0
        self._attempts: dict[tuple[str, int], int | None] = {}
        self._ended: dict[tuple[str, int], asyncio.Event] = {}
        self._done: set[str] = set()

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """A question."""
        return Completed(0 if command.removesuffix("?") in self._done else 1, "", "", 0.0)

    async def aclose(self) -> None:
        """Nothing is kept."""

    def _enter(self, executor: int, step: str) -> None:
        if executor < self._executor:
            raise Overtaken(f"{step}: overtaken by executor {self._executor}")
        self._executor = executor

    async def carry_out(self, context: ActionContext, call: Call) -> Result:
        """The `ssh` word: the command goes on whatever becomes of whoever asked for it."""
        step, key = call.step.id, (call.step.id, call.attempt)
        self._enter(context.token.executor, step)
        if key in self._attempts:
            raise CommandRefused(f"{step}: attempt {call.attempt} was begun before", code="already-started")
        self._attempts[key], self._ended[key] = None, asyncio.Event()
        self._world.ran[step] += 1

        async def command() -> None:
            await asyncio.sleep(DEED_SECONDS)
            self._done.add(str(call.arguments.run))
            self._attempts[key] = 0
            self._ended[key].set()

        await asyncio.shield(self._world.goes_on(command()))
        return Result("done", 0)

    async def settle(self, context: ActionContext, call: Call) -> Settled:
        """What the host noted of the attempt; one that still runs is waited for."""
        self._enter(context.token.executor, call.step.id)
        key = (call.step.id, call.attempt)
        if key not in self._attempts:
            return Settled(Settlement.NEVER_STARTED, "never started")
        await self._ended[key].wait()
        return Settled(Settlement.DONE, "the host noted its end", 0)
