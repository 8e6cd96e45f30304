"""What a lab's processes say in their logs of things that nobody wants to happen on a day without a fault.

Pure but for reading the logs. Keepers and controllers write a line of JSON for each event, guards a sentence,
the site's init one for each process that ends.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

HOLD = "hold"
CUT = re.compile(r"guard: (NOT CLOSED|closed) in \d+ ms \(")
ENDED = re.compile(r" ended with -?\d+$|^guard: proxy: its process ended ")
EVENTS = re.compile('"(fencing|closing|run-started|decided|keeper-started)"')


@dataclass(frozen=True, slots=True)
class Said:
    """How often each was said. `fences`: a keeper cuts a service off; `cuts`: a guard has, or could not;
    `give_ups`: a keeper begins to close a service for somebody else; `decisions`: a controller decides
    anything but to hold; `runs`: one is begun; `deaths`: a process has ended, or one was started anew."""

    fences: int = 0
    cuts: int = 0
    give_ups: int = 0
    decisions: int = 0
    runs: int = 0
    deaths: int = 0

    def __add__(self, other: "Said") -> "Said":
        return Said(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, earlier: "Said") -> "Said":
        """What has been said since."""
        return Said(*(one - less for one, less in zip(astuple(self), astuple(earlier), strict=True)))


def said_in(logs: Path, *, but_not: str) -> Said:
    """What has been said so far in the logs of a folder, but for those whose names begin with `but_not`."""
    found = Said()
    for path in sorted(logs.glob("*.log")):
        if not path.name.startswith(but_not):
            with path.open(encoding="utf-8", errors="replace") as file:
                found += said_by(file)
    return found


def said_by(lines: Iterable[str]) -> Said:
    """What one log says."""
    found = Said()
    for line in lines:
        found += _said(line.rstrip("\n"))
    return found


def _said(line: str) -> Said:
    if line.startswith("{"):
        return _of_event(line) if EVENTS.search(line) else Said()
    if CUT.match(line):
        return Said(cuts=1)
    return Said(deaths=1) if ENDED.search(line) else Said()


def _of_event(line: str) -> Said:
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return Said()  # half written
    match event.get("event"):
        case "fencing":
            return Said(fences=1)
        case "closing":
            return Said(give_ups=1)
        case "run-started":
            return Said(runs=1)
        case "keeper-started":
            return Said(deaths=1)
        case "decided" if event.get("decision") != HOLD:
            return Said(decisions=1)
    return Said()
