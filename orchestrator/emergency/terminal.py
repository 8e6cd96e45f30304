"""The person at the terminal: told what goes on, and asked what to do."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orchestrator.emergency.words import Answer
from runbooks.planned import PlannedStep


class Verb(StrEnum):
    """What becomes of a step that did not end well."""

    RETRY = "retry"
    SKIP = "skip"
    DONE = "done"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the person decided, and why."""

    verb: Verb
    reason: str = ""


class Person(Protocol):
    """Somebody who can be told and asked."""

    def tell(self, lines: Sequence[str]) -> None:
        """Show lines."""
        ...

    async def ask(self, step: PlannedStep, question: str) -> Answer:
        """A question of yes or no, and words for the record."""
        ...

    async def decide(self, step: PlannedStep, evidence: str, verbs: Sequence[Verb]) -> Verdict:
        """What to do about a step that failed, or whose end nobody knows."""
        ...


class Terminal:
    """A person at standard input and output."""

    def tell(self, lines: Sequence[str]) -> None:
        """See Person."""
        for line in lines:
            print(line, flush=True)

    async def ask(self, step: PlannedStep, question: str) -> Answer:
        """See Person."""
        self.tell(["", f"Step {step.number}, {step.title}:", f"  {question}"])
        while True:
            said = (await read_line("  yes or no, and what is to be on record> ")).strip()
            word, _, rest = said.partition(" ")
            if word.lower() in ("yes", "y", "no", "n"):
                return Answer(word.lower().startswith("y"), rest.strip(" ,:"))
            self.tell(["  Type yes or no; Ctrl-C stops the run, which can be resumed."])

    async def decide(self, step: PlannedStep, evidence: str, verbs: Sequence[Verb]) -> Verdict:
        """See Person."""
        self.tell(["", f"Step {step.number}, {step.title}, did not end well:"])
        self.tell([f"  {line}" for line in evidence.strip().splitlines()[:12]])
        listed = ", ".join(verbs[:-1]) + f" or {verbs[-1]}"
        while True:
            said = (await read_line(f"  {listed}, and why> ")).strip()
            word, _, reason = said.partition(" ")
            verb = next((verb for verb in verbs if word and verb.startswith(word.lower())), None)
            if verb is None:
                self.tell([f"  Type {listed}; Ctrl-C stops the run, which can be resumed."])
            elif verb in (Verb.SKIP, Verb.DONE) and not reason.strip():
                self.tell([f"  {verb} needs a reason, on the same line: it stands in the record."])
            else:
                return Verdict(verb, reason.strip())


async def read_line(prompt: str) -> str:
    """A line of standard input, without keeping the event loop from anything else. Raises EOFError."""
    print(prompt, end="", flush=True)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(sys.stdin.fileno(), _settle, ready)
    except (OSError, ValueError):
        return _taken()  # a file: it is always ready
    try:
        await ready
    finally:
        with contextlib.suppress(OSError, ValueError):
            loop.remove_reader(sys.stdin.fileno())
    return _taken()


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _taken() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError("standard input has ended: nobody is there to be asked")
    return line
