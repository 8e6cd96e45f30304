"""One code and what it means: the form of the tables of reasons. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One code. `meaning` and `remedy` are one sentence each, for somebody who was just woken. SERVICE in
    a remedy stands for the service it is about."""

    code: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Codes that belong together, under a heading of the reference page."""

    title: str
    reasons: tuple[Reason, ...]
