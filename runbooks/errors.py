"""The errors of `runbooks`, in two families: you asked wrongly, or the world misbehaved.

RunbooksError
├── RunbooksMisuse
│   ├── RunbookUnknown    no runbook of that name in any folder
│   ├── RunbookInvalid    a runbook file has faults, all of them listed   -> runbooks.library
│   ├── PlanRefused       the runbook is sound, but not for this service, these hosts, this driver
│   ├── ActionMisused     a step asks its action for what it cannot do
│   ├── NotUnderWay       the run is not carried out here at this moment
│   └── JournalNewer      the journal was written by a newer version
└── RunbooksTrouble
    ├── StepFailed        a step did not reach its end; carries its evidence
    ├── Steered           a person's order, or the run's end, has ended the step's turn: it is on file
    ├── LostRight         the lease or the epoch no longer allows this executor to act (P26)
    │   └── Overtaken     … and a host said so, before it started anything
    └── JournalTrouble    the journal could not be read or written
        ├── JournalFull     no space: nothing more is started until there is some
        └── JournalDamaged  the file is not a sound journal
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RunbooksError(Exception):
    """Root of the errors of `runbooks`."""


class RunbooksMisuse(RunbooksError):
    """You asked wrongly."""


class RunbookUnknown(RunbooksMisuse):
    """No runbook of that name in any folder."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plan cannot be drawn up: place (`stop-app: run`), finding, remedy."""

    where: str
    found: str
    expected: str

    def render(self) -> str:
        """One line for people."""
        return f"{self.where}: {self.found}; expected {self.expected}"


class PlanRefused(RunbooksMisuse):
    """The plan cannot be drawn up. `problems` lists every reason, `code` is stable."""

    def __init__(self, runbook: str, problems: Sequence[Problem], code: str = "plan-invalid") -> None:
        self.runbook = runbook
        self.problems = tuple(problems)
        self.code = code
        lines = [problem.render() for problem in problems]
        super().__init__(f"runbook {runbook} cannot be planned:\n  " + "\n  ".join(lines))


class ActionMisused(RunbooksMisuse):
    """A step asks its action for something it cannot do."""


class NotUnderWay(RunbooksMisuse):
    """The run is not carried out here at this moment, so it cannot be steered here."""


class JournalNewer(RunbooksMisuse):
    """The journal was written by a newer version of twinsite."""


class RunbooksTrouble(RunbooksError):
    """The world misbehaved."""


class StepFailed(RunbooksTrouble):
    """A step did not reach its end. `evidence` is what was tried and what came back."""

    def __init__(self, evidence: str, exit_status: int | None = None) -> None:
        self.evidence = evidence
        self.exit_status = exit_status
        super().__init__(evidence)


class Steered(RunbooksTrouble):
    """The step's turn was ended by a person's order, or with the run; nothing more is to be done about it."""


class LostRight(RunbooksTrouble):
    """The lease or the epoch no longer allows this executor to act; the message says which."""


class Overtaken(LostRight):
    """A host refused the step, because a later epoch, run or executor has been there. Nothing was started."""


class JournalTrouble(RunbooksTrouble):
    """The journal could not be read or written."""


class JournalFull(JournalTrouble):
    """There is no space for the journal. Nothing is started that could not be recorded."""


class JournalDamaged(JournalTrouble):
    """The file is not a sound journal; the message says what to do with it."""
