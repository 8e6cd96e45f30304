"""What a decision may be, and the form of one row of the decision table. Values only."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.conditions import When
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.gates import Gate


class Act(StrEnum):
    """What a decision may be."""

    HOLD = "hold"
    ASK = "ask"
    REFUSE = "refuse"
    FIRST_CLAIM = "first-claim"
    REOPEN = "reopen"
    RESTART = "restart"
    GIVE_UP = "give-up"
    HAND_OVER = "hand-over"
    CLAIM = "claim"
    CLAIM_BACK = "claim-back"
    TAKE_OVER = "take-over"
    REJOIN = "rejoin"
    FENCE = "fence"
    CARRY_OUT = "carry-out"
    RELEASE = "release"
    POWER_OFF = "power-off"


ACTS_ON_THE_WORLD = frozenset(Act) - {Act.HOLD, Act.ASK, Act.REFUSE}

ACT_WORDS = {
    Act.HOLD: "nothing is done",
    Act.ASK: "nothing is done until a person decides",
    Act.REFUSE: "it would act, but may not",
    Act.FIRST_CLAIM: "claims a service that nobody ever owned; nothing is opened or moved",
    Act.REOPEN: "opens the instance here, at the site that owns the service",
    Act.RESTART: "starts the dead database again, at the site that owns the service",
    Act.GIVE_UP: "cuts the dead database off for good and gives the service up, for the other site to claim",
    Act.HAND_OVER: "starts a planned move to the other site: closed here in order, opened there",
    Act.CLAIM: "claims what the other site gave up, and opens it here",
    Act.CLAIM_BACK: "claims what this site gave up, and opens it here again",
    Act.TAKE_OVER: "takes the service from the lost site, and opens it here",
    Act.REJOIN: "makes the instance here a standby of the primary; what only it has is saved first",
    Act.FENCE: "cuts the instance here off at once",
    Act.CARRY_OUT: "carries out, or goes on with, the run that a person ordered",
    Act.RELEASE: "ends a run that nobody carries out; the service stays where it is",
    Act.POWER_OFF: "has the lost site's hosts of the service switched off; nothing is taken yet",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: its row, what to do, its code and reason, and the gates that were looked at."""

    row: int
    act: Act
    code: str
    why: str
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. `diagnosis` None: whatever the diagnosis is. With `gated`, the gates of the automatic
    promotion that it leads to are examined before it acts, and a closed one makes it a refusal. With `opens`,
    the row is for where that promotion has no other gate closed than these, which its act may open."""

    row: int
    diagnosis: Diagnosis | None
    when: When
    act: Act
    code: str
    why: str
    gated: bool = False
    opens: frozenset[int] = frozenset()
