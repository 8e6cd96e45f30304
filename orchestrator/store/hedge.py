"""One request to several members: the first good answer wins.

Decides when the next member is tried; knows nothing of what is sent, sets no deadline (its caller's
`asyncio.timeout` does), and leaves no try running when it returns, raises or is cancelled.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from orchestrator.store.base import StoreError, StoreMisuse, StoreOtherCluster
from orchestrator.store.gateway import Member, MemberMisuse, MemberOfAnother, MemberTrouble

R = TypeVar("R")

TRIES_IN_FLIGHT_PER_MEMBER = 2  # an older one is given up for a third: it was lost with the old leader


@dataclass(slots=True)
class Findings:
    """What went wrong during one call, member by member."""

    members: list[Member]
    misuses: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)  # cluster ids of those that belong to another store
    outcome_open: bool = False  # some try may have reached the store, or still may

    def note(self, member: Member, error: MemberTrouble) -> None:
        """Keeps the last word of each member."""
        member.trouble = str(error)
        if isinstance(error, MemberMisuse):
            self.misuses[member.place] = str(error)
        self.others.pop(member.place, None)
        if isinstance(error, MemberOfAnother):
            self.others[member.place] = error.cluster_id
        self.outcome_open |= error.sent

    def other_cluster(self) -> str:
        """The cluster that a majority of the members say they are of now, "" as long as it may be the right
        one: a single foreign endpoint is one that is not counted, most of them are another store (P33)."""
        for cluster_id in set(self.others.values()):
            if list(self.others.values()).count(cluster_id) > len(self.members) // 2:
                return cluster_id
        return ""

    def text(self) -> str:
        """One line for a person: each finding once, after the members it was made at."""
        places: dict[str, list[str]] = {}
        for member in self.members:
            finding = self.misuses.get(member.place) or member.trouble or "no answer"
            places.setdefault(finding, []).append(member.place)
        return "; ".join(f"{', '.join(at)}: {finding}" for finding, at in places.items())


class Hedge(Generic[R]):
    """The tries of one call over all members.

    The first goes to `first`, each further one to the next member: `every_seconds` later, or at once when a
    member failed (each once in a beat). It goes on for ever: a
    request that was handed to a leader that has just died is never answered, and only a fresh one reaches the
    new leader.
    """

    def __init__(
        self,
        members: list[Member],
        attempt: Callable[[Member], Coroutine[Any, Any, R]],
        findings: Findings,
        *,
        first: int,
        every_seconds: float,
        applied_once: bool,
    ) -> None:
        self._members = members
        self._attempt = attempt
        self._findings = findings
        self._next = first
        self._every_seconds = every_seconds
        self._applied_once = applied_once
        self._failed = False
        self._running: dict[asyncio.Task[R], int] = {}

    async def run(self) -> tuple[int, R]:
        """Index of the member that answered, and its answer. Raises StoreError when retrying is useless."""
        now = asyncio.get_running_loop().time
        next_at, at_once = now(), 0
        try:
            while True:
                if now() >= next_at:
                    self._start()
                    next_at, at_once = now() + self._every_seconds, len(self._members) - 1
                await self._wait(next_at - now())
                answer = self._collect()
                if answer is not None:
                    return answer
                if self._failed and at_once > 0:
                    self._start()
                    at_once -= 1
                self._failed = False
        finally:
            await self._abandon()

    async def _wait(self, seconds: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=max(0, seconds), return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(max(0, seconds))

    def _start(self) -> None:
        index = self._next
        self._next = (index + 1) % len(self._members)
        same = [task for task, at in self._running.items() if at == index]
        if len(same) >= TRIES_IN_FLIGHT_PER_MEMBER:
            same[0].cancel()  # collected as cancelled
        task = asyncio.create_task(self._attempt(self._members[index]))
        self._running[task] = index

    def _collect(self) -> tuple[int, R] | None:
        for task in [task for task in self._running if task.done()]:
            index = self._running.pop(task)
            if task.cancelled():
                self._findings.outcome_open = True
                continue
            error = task.exception()
            if error is None:
                self._members[index].trouble = ""
                return index, task.result()
            self._settle(self._members[index], error)
        return None

    def _settle(self, member: Member, error: BaseException) -> None:
        if isinstance(error, MemberTrouble):
            self._failed = True
            self._findings.note(member, error)
            if len(self._findings.misuses) == len(self._members):
                raise StoreMisuse(self._findings.text()) from error
            if found := self._findings.other_cluster():
                raise StoreOtherCluster(self._findings.text(), found) from error
        elif (
            isinstance(error, StoreError)
            and self._applied_once
            and (self._running or self._findings.outcome_open)
        ):
            # Another try may have been or may yet be committed: this refusal does not settle the outcome.
            self._failed = True
            member.trouble = str(error)
        else:
            raise error

    async def _abandon(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
