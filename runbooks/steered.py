"""What a person orders of a run that is under way: the verbs, and an order as it stands in the journal. Pure.

Whether an order may be followed is `runbooks.steering`'s to judge; what it changes, `runbooks.progress`'s.
"""

from dataclasses import dataclass
from enum import StrEnum

ORDERS_LIMIT = 200
"""How many orders a run takes: the journal and the record that the other site reads are bounded."""


class Verb(StrEnum):
    """What can be ordered of a run."""

    PAUSE = "pause"  # start nothing more, for now
    RESUME = "resume"  # … and go on
    RETRY = "retry"  # a step that failed, or whose end is not known, is carried out anew
    SKIP = "skip"  # a step is not carried out, and what needs it goes on
    DONE = "done"  # a person did it, or saw that it was done
    APPROVE = "approve"  # a person agrees
    ABORT = "abort"  # start nothing more, and end
    UNDO = "undo"  # start nothing more, take back what was done, and end


OF_A_STEP = frozenset({Verb.RETRY, Verb.SKIP, Verb.DONE, Verb.APPROVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. `who` is `login@site`; `owner` and `roles` are what the estate says of that person, `site`
    the controller that took the order, `at` that site's time of day. `evidence` is what was typed for it.

    `seen` is the number of the last order that its giver knew of, `number` its own once it is accepted.
    """

    verb: Verb
    who: str
    site: str
    at: str
    reason: str = ""
    step: str = ""
    evidence: str = ""
    owner: str = ""
    roles: tuple[str, ...] = ()
    seen: int = 0
    number: int = 0

    def __str__(self) -> str:
        of = f" {self.step}" if self.step else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.verb}{of} by {self.who} at {self.at}{why}"


def login_of(who: str) -> str:
    """The person behind `login@site`: the same login at another site is no second person."""
    return who.partition("@")[0]
