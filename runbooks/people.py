"""The actions that wait for people: `person`, somebody does something; `approve`, somebody agrees.

They look at nothing but the run: what people said of it stands in its records (`runs done`, `runs approve`),
so that a restart or an adoption in between loses neither the question nor an answer.
"""

import asyncio

from pydantic import Field

from runbooks.catalogue import ActionCatalogue, Arguments
from runbooks.context import ActionContext, Call, Result
from runbooks.errors import Steered, StepFailed
from runbooks.model import APPROVE, PERSON
from runbooks.progress import Progress
from sites.quantities import Seconds, format_duration


class PersonArguments(Arguments):
    """Arguments of `person`."""

    who: str = Field(min_length=1, description="who does it, in words: the finance duty manager")
    ask: str = Field(min_length=1, description="what they are asked to do")
    contact: str = Field("", description="how they are reached")
    expect_seconds: Seconds = Field(
        alias="expect", gt=0, description="how long it usually takes; it is not ended when that is over"
    )
    evidence: str = Field("", description="what whoever does it has to type in; without it, nothing")
    role: str = Field(
        "", description="the role of `access.roles` that may say it is done; without it, anybody"
    )


class ApproveArguments(Arguments):
    """Arguments of `approve`."""

    ask: str = Field(min_length=1, description="what they are asked to agree to")
    role: str = Field("", description="the role of `access.roles` whose holders count; without it, anybody's")
    owner: str = Field("", description="whose staff count: an `owner` of sites.yaml; without it, anybody's")
    number: int = Field(1, ge=1, le=10, description="how many different people must agree")
    expires_seconds: Seconds = Field(
        alias="expires", gt=0, description="how long it is waited for; then the step fails"
    )


async def _person(context: ActionContext, call: Call) -> Result:
    asked = call.arguments
    contact = f" ({asked.contact})" if asked.contact else ""
    await context.notify(f"{asked.who}{contact} is asked: {asked.ask}")
    step = call.step

    def answered(progress: Progress) -> bool:
        return progress.steps[step.id].word is not None or progress.left_alone(step)

    word = (await call.until(answered)).steps[step.id].word
    if word is None:
        raise Steered("nobody waits for it any more")
    return Result(": ".join(part for part in (str(word), word.evidence) if part))


async def _approve(context: ActionContext, call: Call) -> Result:
    asked, step = call.arguments, call.step
    left_seconds = asked.expires_seconds - _waited_seconds(await call.until(lambda p: True), context, call)
    of = f" with the role {asked.role}" if asked.role else ""
    staff = f" of {asked.owner}" if asked.owner else ""
    people = "somebody" if asked.number == 1 else f"{asked.number} people"
    await context.notify(f"{people}{of}{staff} must agree: {asked.ask}")

    def agreed(progress: Progress) -> bool:
        return len(progress.steps[step.id].approvals) >= int(asked.number)

    try:
        async with asyncio.timeout(max(0.0, left_seconds)):
            progress = await call.until(lambda p: agreed(p) or p.left_alone(step))
    except TimeoutError:
        progress = await call.until(lambda p: True)
        if not agreed(progress) and not progress.left_alone(step):
            given = len(progress.steps[step.id].approvals)
            limit = format_duration(asked.expires_seconds)
            raise StepFailed(f"{given} of {asked.number} agreed within {limit}: it counts as no") from None
    if not agreed(progress):
        raise Steered("nobody waits for it any more")
    return Result("; ".join(str(given) for given in progress.steps[step.id].approvals))


def _waited_seconds(progress: Progress, context: ActionContext, call: Call) -> float:
    """Since it was first asked, over restarts: by the time of day, since no other clock outlives a machine.
    Where that has gone backwards, all of the time has passed: an approval is never waited for too long."""
    started = progress.steps[call.step.id].started_wall_seconds
    passed = context.wall_seconds() - started if started is not None else 0.0
    return passed if passed >= 0 else float(call.arguments.expires_seconds)


def with_people(catalogue: ActionCatalogue) -> ActionCatalogue:
    """The catalogue with the two words."""
    catalogue = catalogue.with_action(
        PERSON,
        PersonArguments,
        _person,
        summary="ask a person to do something, and wait until they say that it is done",
        idempotent=True,
        changes=False,
        waits_for_people=True,
    )
    return catalogue.with_action(
        APPROVE,
        ApproveArguments,
        _approve,
        summary="wait until enough people have agreed",
        idempotent=True,
        changes=False,
        waits_for_people=True,
    )
