"""A double of a driver's isolated drills: what lies where, what a test lets go wrong, and what was said."""

import asyncio

from sites.errors import DriverTrouble, HostUnreachable
from sites.replication.rehearsal import Question

LOOK_SECONDS = 0.005


class FakeCopies:
    """The copies of one service, shared by both sites' drivers. `fails`: words that fail, with why. `hangs`:
    words that go on until the copy is removed, or the test takes them out. `said`: every word, in order."""

    def __init__(self) -> None:
        self.at: dict[str, str] = {}
        self.fails: dict[str, str] = {}
        self.hangs: set[str] = set()
        self.unreachable = False
        self.said: list[str] = []
        self.removals = 0


class FakeRehearsal:
    """It keeps to `sites.replication.rehearsal.Rehearsal`."""

    words = ("room", "copy", "start", "promote", "ask")

    def __init__(self, copies: FakeCopies) -> None:
        self.copies = copies
        self.missing = ""

    async def _say(self, word: str) -> None:
        copies = self.copies
        copies.said.append(word)
        if copies.unreachable:
            raise HostUnreachable("no route to host")
        removals = copies.removals
        while word in copies.hangs:
            if copies.removals > removals:
                raise DriverTrouble(f"{word}: the copy is gone")
            await asyncio.sleep(LOOK_SECONDS)
        if word in copies.fails:
            raise DriverTrouble(copies.fails[word])

    async def room(self, site: str, *, timeout_seconds: float) -> str:
        """There is room."""
        await self._say("room")
        return "room enough"

    async def copy(self, site: str, *, timeout_seconds: float) -> str:
        """Something lies there from now on, whatever becomes of it."""
        self.copies.at[site] = "half"
        await self._say("copy")
        self.copies.at[site] = "whole"
        return "copied"

    async def start(self, site: str, *, timeout_seconds: float) -> str:
        """It runs."""
        await self._say("start")
        self.copies.at[site] = "running"
        return "started"

    async def promote(self, site: str, *, timeout_seconds: float) -> str:
        """It is writable."""
        await self._say("promote")
        self.copies.at[site] = "promoted"
        return "promoted in 12 ms"

    async def ask(self, site: str, question: Question, *, timeout_seconds: float) -> str:
        """It answers as long as it is there."""
        await self._say("ask")
        if self.copies.at.get(site) != "promoted":
            raise DriverTrouble(f"{question.name}: there is no copy")
        return f"{question.name}: yes"

    async def remove(self, site: str, *, timeout_seconds: float) -> str:
        """Nothing lies there any more."""
        self.copies.removals += 1
        await self._say("remove")
        self.copies.at.pop(site, None)
        return "nothing is left"
