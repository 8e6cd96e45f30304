"""The `drill` action words: what an isolated drill says to its driver, and what a tabletop drill looks at.

They are idempotent, as a run that goes on after a crash says them again. None of them touches production.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import Field

from orchestrator.drills.moving import Moving
from runbooks.catalogue import ActionCatalogue, Arguments
from runbooks.context import ActionContext, Call, Result, bounded
from runbooks.errors import ActionMisused, StepFailed
from sites.output import last_lines
from sites.replication.rehearsal import Question, Rehearsal, Rehearses

Looks = Callable[[Call], Awaitable[str]]


class Nothing(Arguments):
    """These words take nothing: the plan says where."""


class Stay(Arguments):
    """How long the service stays at the other site."""

    for_seconds: float = Field(ge=0, description="in seconds")


class Block(Arguments):
    """A thing of the other site that is made unreachable, or reachable again."""

    host: str = Field(description="where the commands run: site/role")
    run: str = Field(description="what is done")
    verify: str | None = Field(None, description="exit status 0: it is so")


class Asked(Arguments):
    """What the copy is asked."""

    name: str = Field(description="what people call it")
    sql: str | None = Field(None, description="in SQL")
    run: str | None = Field(None, description="by a command on its host")
    expect: str | None = Field(None, description="what `sql` must answer")


def rehearsal_of(context: ActionContext) -> Rehearsal:
    """The words of the service's driver. Raises ActionMisused."""
    if not isinstance(context.driver, Rehearses):
        raise ActionMisused(f"the driver of {context.service.name} cannot promote a copy")
    return context.driver.rehearsal


async def _room(context: ActionContext, call: Call) -> Result:
    said = await rehearsal_of(context).room(call.step.site, timeout_seconds=call.timeout_seconds)
    return Result(bounded(said))


async def _copy(context: ActionContext, call: Call) -> Result:
    said = await rehearsal_of(context).copy(call.step.site, timeout_seconds=call.timeout_seconds)
    return Result(bounded(said))


async def _start(context: ActionContext, call: Call) -> Result:
    said = await rehearsal_of(context).start(call.step.site, timeout_seconds=call.timeout_seconds)
    return Result(bounded(said))


async def _promote(context: ActionContext, call: Call) -> Result:
    said = await rehearsal_of(context).promote(call.step.site, timeout_seconds=call.timeout_seconds)
    return Result(bounded(said))


async def _ask(context: ActionContext, call: Call) -> Result:
    asked: Any = call.arguments
    question = Question(asked.name, sql=asked.sql, run=asked.run, expect=asked.expect)
    said = await rehearsal_of(context).ask(call.step.site, question, timeout_seconds=call.timeout_seconds)
    return Result(bounded(said))


async def _remove(context: ActionContext, call: Call) -> Result:
    said = await rehearsal_of(context).remove(call.step.site, timeout_seconds=call.timeout_seconds)
    return Result(bounded(said))


async def _block(context: ActionContext, call: Call) -> Result:
    asked: Any = call.arguments
    for command in (asked.run, *((asked.verify,) if asked.verify else ())):
        done = await context.transport.run(
            context.host(asked.host), command, timeout_seconds=call.timeout_seconds
        )
        if done.exit_status != 0:
            said = last_lines(done.stderr) or last_lines(done.stdout) or "nothing"
            raise StepFailed(f"`{command}` ended with status {done.exit_status}; it said: {said}")
    return Result(f"done at {asked.host}")


def with_drills(catalogue: ActionCatalogue, looks: Looks, moving: Callable[[], Moving]) -> ActionCatalogue:
    """The catalogue with the `drill` words. `looks`: what a tabletop drill finds at this moment; `moving`:
    what moves the service of a live one."""

    async def away(context: ActionContext, call: Call) -> Result:
        return Result(bounded(await moving().away(call)))

    async def stay(context: ActionContext, call: Call) -> Result:
        return Result(bounded(await moving().stay(context, call, call.arguments.for_seconds)))

    async def home(context: ActionContext, call: Call) -> Result:
        return Result(bounded(await moving().home(call)))

    async def look(context: ActionContext, call: Call) -> Result:
        return Result(bounded(await looks(call)))

    catalogue = catalogue.with_action(
        "drill.look", Nothing, look, summary="what a move would find now", idempotent=True, changes=False
    )
    catalogue = catalogue.with_action(
        "drill.ask", Asked, _ask, summary="ask the copy", idempotent=True, changes=False
    )
    catalogue = catalogue.with_action(
        "drill.stay", Stay, stay, summary="stay at the other site", idempotent=True, changes=False
    )
    for word, summary in (("block", "make something unreachable"), ("unblock", "take that back")):
        catalogue = catalogue.with_action(f"drill.{word}", Block, _block, summary=summary, idempotent=True)
    for word, act, summary in (
        ("away", away, "move the service to the other site"),
        ("home", home, "move the service home again"),
        ("room", _room, "make sure that there is room for a copy"),
        ("copy", _copy, "make a copy of the standby"),
        ("start", _start, "start the copy where nobody can reach it"),
        ("promote", _promote, "promote the copy"),
        ("remove", _remove, "remove the copy"),
    ):
        catalogue = catalogue.with_action(f"drill.{word}", Nothing, act, summary=summary, idempotent=True)
    return catalogue
