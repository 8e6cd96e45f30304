"""The `check` action: things that must hold, and the sentence that people read when they do not.

It only looks. What could not be asked is said to be just that, never taken for a no: the check fails all the
same, since it was not seen to hold.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from runbooks.catalogue import AtSite
from runbooks.conditions import (
    ASK_LIMIT_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Answer,
    ask,
    said_by,
    sampled,
)
from runbooks.context import ActionContext, Call, Result, bounded
from runbooks.errors import ActionMisused, StepFailed
from runbooks.model import Side
from runbooks.questions import COMPARISONS, Assertion, Fact, planned_question
from runbooks.templates import Manner
from sites.errors import SitesMisuse, SitesTrouble
from sites.quantities import Seconds, parse_duration

ASSERTIONS_LIMIT = 50
SHOWN_CHARACTERS = 300


class CheckArguments(AtSite):
    """Arguments of `check`."""

    at: Side = Field(Side.TO, description="at which site is asked; without it, to_site")
    host: Annotated[str | None, Manner.HOST] = Field(None, description="the host on which `run` runs")
    explain: str = Field(
        min_length=1, description="what is shown when it does not hold: what it means, what to do"
    )
    all_of: list[Assertion] = Field(
        default_factory=list, alias="all", max_length=ASSERTIONS_LIMIT, description="every one must hold"
    )
    any_of: list[Assertion] = Field(
        default_factory=list, alias="any", max_length=ASSERTIONS_LIMIT, description="one of them must hold"
    )
    within_seconds: Seconds | None = Field(
        None, alias="within", gt=0, description="how long to go on asking; without it, once"
    )

    @model_validator(mode="after")
    def _all_or_any(self) -> Self:
        if bool(self.all_of) == bool(self.any_of):
            raise ValueError("expected either `all` or `any`, with at least one thing that must hold")
        return self


def least_seconds(arguments: Mapping[str, object]) -> float:
    """How long a check takes at least: as long as it may go on asking, and once more."""
    within = arguments.get("within")
    return parse_duration(within) + ASK_LIMIT_SECONDS if within is not None else 0.0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the step asks, unless an assertion says otherwise."""

    site: str
    host: str
    sides: Mapping[Side, str]
    values: Mapping[str, Any]
    timeout_seconds: float

    def site_of(self, at: Side | None) -> str:
        return self.site if at is None else self.sides[at]


async def check_step(context: ActionContext, call: Call) -> Result:
    """The action `check`. Raises StepFailed with the explanation and what was found."""
    asked: CheckArguments = call.arguments
    sides = {Side.FROM: call.plan.from_site, Side.TO: call.plan.to_site}
    place = _Place(call.step.site, call.step.host, sides, call.values, call.timeout_seconds)
    answers = await _once(asked, context, place)
    if not _holds(asked, answers) and asked.within_seconds is not None:
        answers = await _until(asked, context, place, asked.within_seconds, answers)
    lines = [f"{'holds' if one.holds else 'does not hold'}: {one.evidence}" for one in answers]
    if not _holds(asked, answers):
        failed = [line for line, one in zip(lines, answers, strict=True) if not one.holds]
        raise StepFailed(bounded("\n".join([asked.explain, *failed])))
    return Result(bounded("\n".join(lines)))


def _holds(asked: CheckArguments, answers: list[Answer]) -> bool:
    return all(one.holds for one in answers) if asked.all_of else any(one.holds for one in answers)


async def _until(
    asked: CheckArguments, context: ActionContext, place: _Place, within_seconds: float, last: list[Answer]
) -> list[Answer]:
    pause_seconds = FIRST_PAUSE_SECONDS
    try:
        async with asyncio.timeout(within_seconds):
            while not _holds(asked, last):
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
                last = await _once(asked, context, place)
    except TimeoutError:
        pass
    return last


async def _once(asked: CheckArguments, context: ActionContext, place: _Place) -> list[Answer]:
    """Everything asked at the same time; the answers in the order of the file."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_asked(one, context, place)) for one in asked.all_of or asked.any_of]
    return [task.result() for task in tasks]


async def _asked(one: Assertion, context: ActionContext, place: _Place) -> Answer:
    try:
        if one.compare is not None:
            return await _compared(one, context, place)
        question = planned_question(one, site=place.site, host=place.host, sides=place.sides)
        return await ask(question, context, timeout_seconds=place.timeout_seconds)
    except (StepFailed, SitesTrouble, SitesMisuse, ActionMisused) as error:
        return Answer(False, f"could not be told: {error}")


async def _compared(one: Assertion, context: ActionContext, place: _Place) -> Answer:
    assert one.compare is not None
    name, other = one.comparison
    left, left_words = await _fact(one.compare, context, place)
    right, right_words = (other, other) if isinstance(other, str) else await _fact(other, context, place)
    said = f"{left_words} must {COMPARISONS[name]} {right_words}"
    return Answer(compare(name, left, right), said)


def compare(name: str, left: str, right: str) -> bool:
    """Two facts compared: as numbers where both are, as texts where they need only be equal or not.

    Raises StepFailed where one that is no number should be more or less than another.
    """
    one, other = _number(left), _number(right)
    if one is None or other is None:
        if name not in ("equals", "differs_from"):
            which = left if one is None else right
            raise StepFailed(f"{which[:SHOWN_CHARACTERS]!r} is no number, so it is neither more nor less")
        return (left == right) is (name == "equals")
    return {
        "equals": one == other,
        "differs_from": one != other,
        "at_least": one >= other,
        "at_most": one <= other,
        "more_than": one > other,
        "less_than": one < other,
    }[name]


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


async def _fact(fact: Fact, context: ActionContext, place: _Place) -> tuple[str, str]:
    """The fact, and the fact in words with where it comes from."""
    site = place.site_of(fact.at)
    match fact.kind:
        case "value":
            found, source = _left_behind(str(fact.value), place.values), f"the run's {fact.value}"
        case "sample":
            found, source = await sampled(str(fact.sample), site, context), f"{fact.sample} of {site}"
        case "sql":
            asked = planned_question(
                Assertion(sql=fact.sql, at=fact.at), site=place.site, host="", sides=place.sides
            )
            found, source = await said_by(asked, context, place.timeout_seconds), f"“{fact.sql}” at {site}"
        case _:
            asked = planned_question(
                Assertion(run=fact.run, host=fact.host), site=place.site, host=place.host, sides=place.sides
            )
            found = await said_by(asked, context, place.timeout_seconds)
            source = f"`{fact.run}` at {asked.host}"
    return found, f"{bounded(found, SHOWN_CHARACTERS)} ({source})"


def _left_behind(name: str, values: Mapping[str, Any]) -> str:
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            listed = ", ".join(values) or "nothing"
            raise StepFailed(f"no earlier step of this run left {name} (they left {listed})")
        found = found[part]
    if isinstance(found, Mapping | list) or found is None:
        raise StepFailed(f"what was left as {name} is no single value")
    return ("true" if found else "false") if isinstance(found, bool) else str(found)
