"""The nouns of a runbook file: a title, parameters, and a graph of steps, as frozen values.

These classes are at once the model and the schema of the YAML; a field's alias is its key in the file,
its own name carries the unit. What one value alone cannot tell (cycles, unknown steps, an action's own
keys) is checked by `runbooks.library`. Pure.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from runbooks.http_request import HttpQuestion
from runbooks.templates import Manner
from sites.model import Noun
from sites.quantities import Seconds

STEPS_LIMIT = 5000
TIMEOUT_DEFAULT_SECONDS = 60.0
BACKOFF_DEFAULT_SECONDS = 1.0
PERSON = "person"
APPROVE = "approve"
BY_PEOPLE = frozenset({PERSON, APPROVE})
"""Actions that wait for people, for as long as it takes."""
OWNERSHIP = "ownership."
"""What the actions begin with that change who may be primary: nobody's word stands in for them."""

RunbookName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*$", max_length=120)]
StepId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
# With a step's id it names a step on hosts, where a name has at most 100 characters.
PartName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,34}$")]
ParameterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Kind(StrEnum):
    """What a run is for; a step's `during` names the kinds it belongs to."""

    FAILOVER = "failover"
    SWITCHOVER = "switchover"
    REJOIN = "rejoin"
    RESTART = "restart"
    DRILL = "drill"


class Side(StrEnum):
    """One of the two sites of a move: the one that is left, or the one that becomes primary."""

    FROM = "from_site"
    TO = "to_site"


class IfUnreachable(StrEnum):
    """What becomes of a step whose host does not answer."""

    FAIL = "fail"
    CONTINUE = "continue"


class OnFailure(StrEnum):
    """What becomes of the run when a step fails."""

    ABORT = "abort"
    CONTINUE = "continue"
    ASK = "ask"
    UNDO = "undo"


class InDoubt(StrEnum):
    """What becomes of a step that a crash left unfinished, when nothing else settles it."""

    ASK = "ask"
    RERUN = "rerun"


class _Keys(Noun):
    """Keys as the file spells them, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)


class Parameter(_Keys):
    """A value that may differ from one use of the runbook to the next. Without a default it must be given."""

    default: str | int | float | bool | list[str] | None = None
    title: str = ""

    @property
    def required(self) -> bool:
        """Whether whoever uses the runbook has to give it."""
        return "default" not in self.model_fields_set


class Condition(_Keys):
    """A question with a yes or no: exactly one of `run`, `probe`, `sql`, `role`, `http`."""

    kinds: ClassVar[tuple[str, ...]] = ("run", "probe", "sql", "role", "http")
    written_short: ClassVar[Manner] = Manner.SHELL  # a text alone is a command

    run: Annotated[str | None, Manner.SHELL] = Field(None, description="a command that exits with 0 for yes")
    probe: str | None = Field(None, description="the name of one of the service's probes: is it healthy?")
    sql: Annotated[str | None, Manner.VERBATIM] = Field(
        None, description="a query whose first value is true for yes"
    )
    role: Literal["primary", "standby"] | None = Field(
        None, description="the database is a writable primary, or a standby that is streaming"
    )
    http: HttpQuestion | None = Field(None, description="an address whose answer is as expected")
    at: Side | None = Field(None, description="the site asked; without it, where the step acts")
    host: Annotated[str | None, Manner.HOST] = Field(
        None, description="the host asked by `run`; without it, the step's"
    )
    within_seconds: Seconds | None = Field(
        None, alias="within", gt=0, description="how long to go on asking; only for `verify`"
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        given = [key for key in self.kinds if getattr(self, key) is not None]
        if len(given) != 1:
            found = f", not {' and '.join(given)}" if given else ""
            raise ValueError(f"expected exactly one of {', '.join(self.kinds)}{found}")
        return self

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(name for name in self.kinds if getattr(self, name) is not None)


def _text_is_a_command(value: Any) -> Any:
    return {"run": value} if isinstance(value, str) else value


Question = Annotated[Condition, BeforeValidator(_text_is_a_command)]


class Undo(_Keys):
    """How to take a step back: a command, run when the run is undone and the step may have had an effect.

    `unless`, `verify` and `in_doubt` are to the taking back what they are to a step; the first two are
    commands at the same host.
    """

    run: Annotated[str, Manner.SHELL]
    host: Annotated[str | None, Manner.HOST] = None
    timeout_seconds: Seconds | None = Field(None, alias="timeout", gt=0)
    unless: Annotated[str | None, Manner.SHELL] = None
    verify: Annotated[str | None, Manner.SHELL] = None
    in_doubt: InDoubt | None = None


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Each(_Keys):
    """The hosts for which a step is carried out, once for each. A text or a list alone are names and patterns
    of hosts of the new site; `{{ from_site.hosts }}` and `{{ to_site.hosts }}` are all of a site's."""

    hosts: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(
        min_length=1, description="names or patterns such as app-*; one, or a list"
    )
    at: Side = Field(Side.TO, description="of which site; without it, of to_site")
    except_hosts: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(
        default_factory=list, alias="except", description="names or patterns that are left out"
    )

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, str) and (match := _ALL_OF.match(value)):
            return {"hosts": ["*"], "at": match[1]}
        return {"hosts": value} if isinstance(value, str | list) else value


_ALL_OF = re.compile(r"^\s*\{\{\s*(from_site|to_site)\.hosts\s*\}\}\s*$")


class Step(_Keys):
    """One step as written; the keys not listed here belong to its action."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=False)

    id: StepId
    title: str = ""
    action: str = Field(description="what is done: an action word such as ssh or replication.promote")
    needs: list[StepId] = Field(default_factory=list, description="steps that must have ended well before")
    during: Annotated[list[Kind], BeforeValidator(_one_or_many)] = Field(
        default_factory=list, description="kinds of run the step belongs to; without it, all"
    )
    for_each: Each | None = Field(None, description="hosts: carried out once for each, named `host` in texts")
    at_most: int | None = Field(
        None, ge=1, description="for how many of them at the same time; without it, for all"
    )
    timeout_seconds: Seconds = Field(
        TIMEOUT_DEFAULT_SECONDS, alias="timeout", gt=0, description="how long one attempt may take"
    )
    retries: int = Field(0, ge=0, le=50, description="further attempts after a failed one")
    backoff_seconds: Seconds = Field(
        BACKOFF_DEFAULT_SECONDS,
        alias="backoff",
        ge=0,
        description="wait before the second attempt; doubles each time",
    )
    unless: Question | None = Field(None, description="already done? Then the step is not carried out")
    verify: Question | None = Field(None, description="what must hold afterwards for the step to be done")
    if_unreachable: IfUnreachable = Field(IfUnreachable.FAIL, description="the host does not answer")
    on_failure: OnFailure = Field(
        OnFailure.ABORT,
        description="abort the run, continue without the step, ask a person, or undo what was done",
    )
    in_doubt: InDoubt = Field(InDoubt.ASK, description="a crash left the step unfinished")
    undo: Undo | None = Field(None, description="how to take the step back")

    @model_validator(mode="after")
    def _a_limit_of_something(self) -> Self:
        if self.at_most is not None and self.for_each is None:
            raise ValueError("expected `for_each` beside `at_most`: a limit of how many hosts at a time")
        return self

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The keys that belong to the action, as written."""
        return dict(self.model_extra or {})


class Runbook(_Keys):
    """A runbook file. `name` is how it is found, `source_sha256` what exactly was read, `nested` the runbooks
    that its steps name, `files` the texts of the files that are shipped along, by their paths."""

    runbook: PartName = Field(description="what it does, in a word: promote, demote")
    title: str = Field(min_length=1)
    for_: str = Field("", alias="for", description="the kind of service it is written for")
    inverse: RunbookName | None = Field(None, description="the runbook of the way back")
    parameters: dict[ParameterName, Parameter] = Field(default_factory=dict)
    steps: list[Step] = Field(min_length=1, max_length=STEPS_LIMIT)

    # Filled in by the library, never written in the file.
    name: str = Field("", alias="<name>")
    file: str = Field("", alias="<file>")
    source_sha256: str = Field("", alias="<sha256>")
    nested: dict[str, "Runbook"] = Field(default_factory=dict, alias="<nested>")
    files: dict[str, str] = Field(default_factory=dict, alias="<files>")

    def step(self, step_id: str) -> Step:
        """The step of that id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)
