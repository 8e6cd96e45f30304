"""The words a step's `action` may be, and what each of them takes, needs and does.

The catalogue is a value: `with_action` gives a larger one, so whoever assembles the program adds words
that need parts unknown here. It never carries anything out by itself.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from runbooks.context import ActionContext, Call, Result
from runbooks.marks import NamesFile, NamesRunbook
from runbooks.model import Side
from runbooks.templates import Manner
from sites.model import Noun
from sites.replication.words import Word

ENDING_GRACE_SECONDS = 1.0

Act = Callable[[ActionContext, Call], Awaitable[Result]]

ShellText = Annotated[str, Manner.SHELL]
HostText = Annotated[str, Manner.HOST]
VerbatimText = Annotated[str, Manner.VERBATIM]


# Both are read before anything is filled in, so no value may stand in them.
FileText = Annotated[str, NamesFile(), Manner.VERBATIM]
RunbookText = Annotated[str, NamesRunbook(), Manner.VERBATIM]


class Arguments(Noun):
    """The keys an action takes. Subclass it; a field's alias is its key in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)


class OnHost(Arguments):
    """For actions that act on one host."""

    host: HostText = Field(description="where: \"{{ to_site.hosts['crm-app'] }}\"")


class AtSite(Arguments):
    """For actions that act at one of the two sites; give `at` a default where one is natural."""

    at: Side = Field(description="at which site: from_site or to_site")


class Settlement(StrEnum):
    """What could be learned about an attempt whose end is not on file."""

    DONE = "done"
    FAILED = "failed"  # it ended, and not well
    NEVER_STARTED = "never-started"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer of `settle`, with its evidence."""

    settlement: Settlement
    evidence: str
    exit_status: int | None = None


Settle = Callable[[ActionContext, Call], Awaitable[Settled]]


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One word. `idempotent`: carrying it out twice is the same as once, so it may be tried again.

    `changes`: it has an effect on the world, rather than looking, waiting or telling.
    Where that depends on the arguments (as in the plan), `changes_by` and `repeats_by` tell, and the flags
    say what holds where nothing is known of them.
    `needs_words`: what the service's driver must speak. `settle` asks the world about an attempt that a
    crash cut off. `least_seconds`: how long one attempt takes at least, by its arguments (as in the plan).
    An attempt is to end by itself at the step's timeout; `ending_grace_seconds` later it is ended, unless it
    `waits_for_people`: then it may last as long as they take.
    """

    word: str
    arguments: type[BaseModel]
    act: Act
    summary: str = ""
    needs_words: frozenset[Word] = frozenset()
    idempotent: bool = False
    settle: Settle | None = None
    least_seconds: Callable[[Mapping[str, object]], float] | None = None
    ending_grace_seconds: float = ENDING_GRACE_SECONDS
    changes: bool = True
    waits_for_people: bool = False
    changes_by: Callable[[Mapping[str, object]], bool] | None = None
    repeats_by: Callable[[Mapping[str, object]], bool] | None = None

    def changes_with(self, arguments: Mapping[str, object]) -> bool:
        """Whether it has an effect on the world with these arguments."""
        return self.changes if self.changes_by is None else self.changes_by(arguments)

    def repeats_with(self, arguments: Mapping[str, object]) -> bool:
        """Whether carrying it out twice with these arguments is the same as once."""
        return self.idempotent if self.repeats_by is None else self.repeats_by(arguments)


@dataclass(frozen=True, slots=True)
class ActionCatalogue:
    """Every action word that exists here."""

    specs: Mapping[str, ActionSpec] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ActionSpec]:
        return iter(self.specs.values())

    def __contains__(self, word: object) -> bool:
        return word in self.specs

    def __getitem__(self, word: str) -> ActionSpec:
        return self.specs[word]

    def get(self, word: str) -> ActionSpec | None:
        """The action of that word, or None."""
        return self.specs.get(word)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word, sorted."""
        return tuple(sorted(self.specs))

    def suggestion(self, word: str) -> str | None:
        """The word that was most likely meant."""
        endings = {known.rpartition(".")[2]: known for known in self.specs}
        near = get_close_matches(word, [*self.specs, *endings], n=1, cutoff=0.6)
        return (endings.get(near[0]) or near[0]) if near else None

    def with_action(
        self,
        word: str,
        arguments: type[BaseModel],
        act: Act,
        *,
        summary: str = "",
        needs_words: frozenset[Word] = frozenset(),
        idempotent: bool = False,
        settle: Settle | None = None,
        least_seconds: Callable[[Mapping[str, object]], float] | None = None,
        ending_grace_seconds: float = ENDING_GRACE_SECONDS,
        changes: bool = True,
        waits_for_people: bool = False,
        changes_by: Callable[[Mapping[str, object]], bool] | None = None,
        repeats_by: Callable[[Mapping[str, object]], bool] | None = None,
    ) -> "ActionCatalogue":
        """A catalogue with one word more. Raises ValueError when the word is taken."""
        if word in self.specs:
            raise ValueError(f"the action {word} exists already")
        spec = ActionSpec(
            word,
            arguments,
            act,
            summary,
            needs_words,
            idempotent,
            settle,
            least_seconds,
            ending_grace_seconds,
            changes,
            waits_for_people,
            changes_by,
            repeats_by,
        )
        return ActionCatalogue({**self.specs, word: spec})
