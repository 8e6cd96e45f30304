"""What a `check` may ask: the questions of every step, and two facts compared. And what becomes of a question
in a plan, where every side is a site.

Pure: asking is `runbooks.conditions`' and `runbooks.check`'s.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from runbooks.model import Condition, Side
from runbooks.planned import PlannedCondition
from runbooks.templates import Manner
from sites.model import Noun

COMPARISONS: Mapping[str, str] = {
    "equals": "be equal to",
    "differs_from": "differ from",
    "at_least": "be at least",
    "at_most": "be at most",
    "more_than": "be more than",
    "less_than": "be less than",
}
SAMPLED = ("role", "position", "replayed", "system_id", "timeline", "behind_seconds", "writable", "streaming")


class Fact(Noun):
    """Something to be found out: exactly one of `run`, `sql`, `sample`, `value`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)
    kinds: ClassVar[tuple[str, ...]] = ("run", "sql", "sample", "value")

    run: Annotated[str | None, Manner.SHELL] = Field(None, description="what a command says")
    sql: Annotated[str | None, Manner.VERBATIM] = Field(None, description="the first value of a query")
    sample: Literal[*SAMPLED] | None = Field(  # type: ignore[valid-type]
        None, description="what the database says of itself"
    )
    value: Annotated[str | None, Manner.VERBATIM] = Field(
        None, description="what an earlier step of the run left, such as final_position.text"
    )
    at: Side | None = Field(None, description="the site asked; without it, the check's")
    host: Annotated[str | None, Manner.HOST] = Field(
        None, description="the host asked by `run`; without it, the check's"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [key for key in self.kinds if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(self.kinds)}")
        return self

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(name for name in self.kinds if getattr(self, name) is not None)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Other = Annotated[Fact | str, BeforeValidator(_plain)]


class Assertion(Condition):
    """One thing that must hold: a question, or `compare` with one of the comparisons. A text is a command."""

    kinds: ClassVar[tuple[str, ...]] = (*Condition.kinds, "compare")

    compare: Fact | None = Field(None, description="a fact that is compared")
    equals: Other | None = Field(None, description="with what: a text, a number, or another fact")
    differs_from: Other | None = None
    at_least: Other | None = None
    at_most: Other | None = None
    more_than: Other | None = None
    less_than: Other | None = None

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_command(cls, value: Any) -> Any:
        return {"run": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _compared_with_one(self) -> Self:
        given = [name for name in COMPARISONS if getattr(self, name) is not None]
        if len(given) != (self.compare is not None):
            raise ValueError(f"expected `compare` together with exactly one of {', '.join(COMPARISONS)}")
        if self.within_seconds is not None:
            raise ValueError("expected `within` beside `all` or `any`, for the whole check")
        return self

    @property
    def comparison(self) -> tuple[str, Fact | str]:
        """How it is compared, and with what."""
        name = next(name for name in COMPARISONS if getattr(self, name) is not None)
        return name, getattr(self, name)


def asked_in(model: BaseModel, trail: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Condition | Fact]]:
    """Every question and fact beneath an action's arguments, with the way to it as people write it."""
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*trail, info.alias or name)
        for index, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
            at = here if index is None else (*here, index)
            if isinstance(item, Condition | Fact):
                yield ".".join(str(part) for part in at), item
            if isinstance(item, BaseModel):
                yield from asked_in(item, at)


def planned_question(
    question: Condition, *, site: str, host: str, sides: Mapping[Side, str]
) -> PlannedCondition:
    """The question with its place, asked from a step that acts at `site` and on `host` (`site/role`)."""
    kind = question.kind
    asked = getattr(question, kind)
    where = sides[question.at] if question.at is not None else site
    if kind == "http":
        details = asked.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
        return PlannedCondition(kind, asked.url, where, "", question.within_seconds, details)
    if kind == "run":
        on = question.host or host
        return PlannedCondition(kind, asked, on.partition("/")[0], on, question.within_seconds)
    return PlannedCondition(kind, asked, where, "", question.within_seconds)
