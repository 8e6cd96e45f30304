"""The keeper's doors in one process: the guards' real deciding part on doubles of hosts, the peer's keeper
as a call. What a host would do (stop the database, keep a permit) is done to `FakePair`.
"""

import asyncio
import itertools
from pathlib import Path
from typing import Any

from orchestrator.clock import boottime_ns
from orchestrator.core import messages as m
from orchestrator.keeper_doors import GuardWord, Take
from sites.fencing import guard
from sites.model import Estate
from tests.support.fake_driver import FakePair

TICK_SECONDS = 0.01


class FakeGuard:
    """One guard of one site's host: a process of its own, which a test may stop, and its memory on disk."""

    def __init__(self, service: str, site: str, estate: Estate, pair: FakePair) -> None:
        self.service, self.site, self._pair = service, site, pair
        self._timing = estate.ownership
        adopted = pair.instances[site].writable  # it is put beside a primary that runs
        self.memory = guard.Memory(manual=adopted)
        self.stopped = False
        self.desk: FakeDoors | None = None
        self.refused: list[str] = []
        self.operators: list[Path] = []
        self.recorded: list[str] = []
        self.folder = ""
        self._nonces = itertools.count(1)
        self._new(guard.Lift(None) if adopted else None)

    def boot(self) -> None:
        """Its host boots: closed until an answer allows it (P19)."""
        self._new(None)

    def _new(self, lifted: guard.Lift | None) -> None:
        timing = self._timing
        self.state = guard.new_guard(
            self.service,
            int(timing.fence_within_seconds * 1e9),
            int(timing.guard_every_seconds * 1e9),
            self.memory,
            boottime_ns(),
            lifted,
        )
        self._pair.permitted[self.site] = self.state.open

    def connect(self, desk: "FakeDoors | None") -> None:
        """Its controller is there, or is not any more."""
        self.desk = desk
        if desk is None:
            self.take(guard.ConnectionLost())
        else:
            desk.take(m.GuardConnected(self.service))

    def certificate(self, text: str) -> None:
        """An operator's certificate has come; whose keys it knows is `operators`."""
        try:
            said = guard.check_certificate(
                text, self.service, self.site, "db", [str(key) for key in self.operators], self.folder
            )
        except guard.CertificateRefused as fault:
            self.refused.append(f"certificate: {fault}")
            return
        self.recorded.append(said["id"])
        self.take(guard.Certified(self.service, said["epoch"], text))

    def tick(self) -> None:
        """Time has passed."""
        if self.stopped:
            return
        self.take(guard.Ticked(next(self._nonces)))
        if not self.state.open and self._pair.instances[self.site].writable:
            self._cut()

    def take(self, message: Any) -> None:
        """A message in, its orders carried out."""
        if self.stopped:
            return
        for order in guard.step(self.state, message, boottime_ns()):
            self._carry_out(order)

    def _carry_out(self, order: Any) -> None:
        if isinstance(order, guard.Cut):
            self._cut()
            self.take(guard.CutEnded(True, "nothing of it is left"))
        elif isinstance(order, guard.Lift):
            self._pair.permitted[self.site] = True
            self._pair.changed()
        elif isinstance(order, guard.Remember):
            self.memory = order.memory
            self.take(guard.Remembered(order.memory, True))
        elif isinstance(order, guard.Refuse):
            self.refused.append(order.code)
        elif self.desk is not None:
            self.desk.from_guard(self.service, order)

    def _cut(self) -> None:
        """A standby may run while the guard is closed."""
        self._pair.permitted[self.site] = False
        if self._pair.instances[self.site].writable:
            self._pair.kill(self.site)


class FakeDoors:
    """One keeper's doors."""

    problem = ""

    def __init__(self, guards: dict[str, FakeGuard], link: "FakeLink", site: str) -> None:
        self._guards, self._link, self._site = guards, link, site
        self.take: Take = lambda message: None
        self._ticking: asyncio.Task[None] | None = None

    @property
    def refused(self) -> dict[str, int]:
        """Nothing is refused at doors that nobody else can reach."""
        return {}

    async def start(self, take: Take) -> None:
        """Open."""
        self.take = take
        self._link.doors[self._site] = self
        for each in self._guards.values():
            each.connect(self)

    async def aclose(self) -> None:
        """Close."""
        if self._link.doors.get(self._site) is self:
            del self._link.doors[self._site]
        for each in self._guards.values():
            if each.desk is self:
                each.connect(None)

    def from_guard(self, service: str, order: Any) -> None:
        """What a guard says."""
        if isinstance(order, guard.Ask):
            certified = self._guards[service].state.certified is not None
            self.take(
                m.GuardAsked(service, str(order.nonce), order.open, order.incarnation, order.epoch, certified)
            )
        elif isinstance(order, guard.Acknowledge):
            self.take(
                m.GuardAcknowledged(service, order.number, order.fenced, order.incarnation, order.evidence)
            )

    def answer_guard(self, order: m.AnswerGuard) -> None:
        """P18."""
        self._guards[order.service].take(
            guard.Answered(
                int(order.nonce),
                order.service,
                order.incarnation,
                order.epoch,
                order.remaining_ns,
                order.manual,
            )
        )

    def order_guard(self, order: m.OrderGuard) -> None:
        """P20, P21, P27."""
        self._guards[order.service].take(
            guard.Ordered(order.number, order.kind, order.service, order.incarnation)
        )

    def hand_certificate(self, service: str, text: str) -> None:
        """P31: as the guard's shell checks and records it, and then tells its deciding part."""
        self._guards[service].certificate(text)

    def answer_promise(self, order: m.AnswerPromise) -> None:
        """To whoever asked."""
        self._link.answers[order.request].set_result(order)

    async def ask_promise(self, order: m.AskPromise) -> m.PromiseAnswered:
        """Of the peer's doors, if the link is up."""
        answer = await self._link.ask(self._site, order)
        if answer is None:
            return m.PromiseAnswered(order.number, granted=False)
        return m.PromiseAnswered(order.number, answer.granted, answer.code)

    certificate_ends: dict[str, float] = {}

    def guard_words(self) -> dict[str, GuardWord]:
        """What each protects."""
        return {
            service: GuardWord("db", ("stop",), ())
            for service, each in self._guards.items()
            if each.desk is self
        }


class FakeLink:
    """The way between the two keepers. `up`: a test cuts and mends it."""

    def __init__(self) -> None:
        self.up = True
        self.doors: dict[str, FakeDoors] = {}
        self.answers: dict[int, asyncio.Future[m.AnswerPromise]] = {}
        self._numbers = itertools.count(1)

    async def ask(self, site: str, order: m.AskPromise) -> m.AnswerPromise | None:
        """One request, from this site to the other."""
        peer = next((doors for name, doors in self.doors.items() if name != site), None)
        if not self.up or peer is None:
            return None
        number = next(self._numbers)
        self.answers[number] = asyncio.get_running_loop().create_future()
        peer.take(m.PromiseAsked(number, order.keeper, order.incarnations, order.lease_duration_ns))
        answer = await self.answers.pop(number)
        return answer if self.up else None
