"""The action words that ship: what each takes, and the coroutine that carries it out.

Each asks the world through `ActionContext`, returns a `Result` or raises; it never journals, never retries
and never decides whether it should be done. Closing, fencing and ownership are no actions here: they
belong to whoever keeps the lease, who adds words of its own to the catalogue.
"""

import asyncio
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from runbooks.attempt import check_right
from runbooks.catalogue import ActionCatalogue, Arguments, AtSite, VerbatimText
from runbooks.check import CheckArguments, check_step, least_seconds
from runbooks.conditions import Answer, ask_until, described
from runbooks.context import ActionContext, Call, Result, bounded
from runbooks.errors import ActionMisused, LostRight, Overtaken, StepFailed
from runbooks.http_request import HttpDeed, changes, repeats
from runbooks.model import Side
from runbooks.nested import RunbookArguments, never_carried_out
from runbooks.people import with_people
from runbooks.planned import PlannedCondition
from runbooks.remote import ENDING_GRACE_SECONDS, SshArguments, carry_out_on_host, settle_on_host
from runbooks.script import ScriptArguments, run_script
from runbooks.web import http_step
from sites.errors import CommandTimedOut, DriverTrouble
from sites.quantities import Seconds, parse_duration
from sites.replication.words import Position, Rejoined, ReplicationDriver, Role, Word

STARTED_WITHIN_SECONDS = 10.0
STARTED_AGAIN_SECONDS = 0.3
FINAL_POSITION = "final_position"
"""The key under which a step hands on the last position of a closed primary."""
_POSITION: TypeAdapter[Position] = TypeAdapter(Position)
RIGHT_EVERY_SECONDS = 1.0
_LOOKING = frozenset({Word.VERIFY, Word.SAMPLE})


class FromSite(AtSite):
    """Acts at the site that is left, unless it says otherwise."""

    at: Side = Field(Side.FROM, description="at which site; without it, from_site")


class ToSite(AtSite):
    """Acts at the site that becomes primary, unless it says otherwise."""

    at: Side = Field(Side.TO, description="at which site; without it, to_site")


class StartArguments(AtSite):
    """Arguments of `replication.start`."""

    role: Literal["primary", "standby"] = Field(description="as what it is started: primary or standby")


class VerifyArguments(ToSite):
    """Arguments of `replication.verify`."""

    role: Literal["primary", "standby"] = Field(
        "primary", description="what it must be: a writable primary, or a standby that is streaming"
    )


class ProbeArguments(ToSite):
    """Arguments of `probe`."""

    probe: str = Field(description="the name of one of the service's probes")


class SqlArguments(ToSite):
    """Arguments of `sql`."""

    statement: VerbatimText = Field(min_length=1, description="one statement; values stand in it as $1, $2")
    values: list[str] = Field(default_factory=list, description="the values, given as text: write $1::text")


class WaitArguments(Arguments):
    """Arguments of `wait`."""

    for_seconds: Seconds = Field(alias="for", ge=0, description="how long")


class NotifyArguments(Arguments):
    """Arguments of `notify`."""

    message: str = Field(min_length=1, description="what to say")


def _driver(context: ActionContext) -> ReplicationDriver:
    if context.driver is None:
        raise ActionMisused(f"{context.service.name} has no replication driver")
    return context.driver


async def _prepare(context: ActionContext, call: Call) -> Result:
    try:
        async with asyncio.timeout(call.timeout_seconds):
            await _driver(context).prepare(call.step.site)
    except TimeoutError as error:
        raise CommandTimedOut(f"prepare at {call.step.site} took over {call.timeout_seconds:g} s") from error
    return Result(f"{call.step.site} is prepared for a quick close")


async def _promote(context: ActionContext, call: Call) -> Result:
    driver, site = _driver(context), call.step.site
    due = asyncio.get_running_loop().time() + call.timeout_seconds
    before = await _started(driver, call, due)
    left_seconds = due - asyncio.get_running_loop().time()
    done = await driver.promote(site, timeout_seconds=left_seconds)
    return Result(before + done.evidence, values={"promoted_position": dumped_position(done.position)})


async def _started(driver: ReplicationDriver, call: Call, due: float) -> str:
    """An instance that was cut off while nobody here had the right to it, as while its controller was away:
    started, as soon as its guard lets it (P19). Its words for the evidence; raises DriverTrouble.

    `due`: when the step's time is over, by the loop's clock."""
    loop = asyncio.get_running_loop()
    patience = min(due, loop.time() + STARTED_WITHIN_SECONDS)
    while (await driver.sample(call.step.site)).role is Role.DOWN:
        await check_right(call)
        try:
            await driver.start(call.step.site, role=Role.PRIMARY, timeout_seconds=due - loop.time())
        except DriverTrouble:
            if loop.time() >= patience:
                raise
            await asyncio.sleep(STARTED_AGAIN_SECONDS)
        else:
            return "it did not run and was started; "
    return ""


async def _start(context: ActionContext, call: Call) -> Result:
    role = Role(call.arguments.role)
    await _driver(context).start(call.step.site, role=role, timeout_seconds=call.timeout_seconds)
    return Result(f"{call.step.site} is started as {role}")


async def _rejoin(context: ActionContext, call: Call) -> Result:
    done = await _driver(context).rejoin(
        call.step.site, primary_site=_primary(call), timeout_seconds=call.timeout_seconds
    )
    return _rejoined(call, done)


async def _rebuild(context: ActionContext, call: Call) -> Result:
    done = await _driver(context).rebuild(
        call.step.site, primary_site=_primary(call), timeout_seconds=call.timeout_seconds
    )
    return _rejoined(call, done)


def _primary(call: Call) -> str:
    """The site that a standby is to follow: the other one of the move."""
    return call.plan.from_site if call.step.site == call.plan.to_site else call.plan.to_site


def _rejoined(call: Call, done: Rejoined) -> Result:
    # An attempt that was cut off may have found something, and set it aside, of which nothing is left to see.
    seen_before = call.attempt > 1 and not done.divergent_bytes
    values: dict[str, Any] = {
        "method": done.method,
        "divergent_bytes": None if seen_before else done.divergent_bytes,
    }
    if done.saved_at is not None:
        values["saved_at"] = done.saved_at
    if done.divergent_transactions is not None:
        values["divergent_transactions"] = done.divergent_transactions
    if done.divergent_seconds is not None:
        values["divergent_seconds"] = done.divergent_seconds
    return Result(done.evidence, values={"rejoined": values})


async def _verify(context: ActionContext, call: Call) -> Result:
    """The role, and that both sites still are one cluster: promoting a copy of another one is no failover."""
    driver, site = _driver(context), call.step.site
    asked = PlannedCondition("role", call.arguments.role, site)
    if call.arguments.role == Role.STANDBY:
        answer = await _ask_while_right(asked, context, call)
    else:
        answer = await ask_until(asked, context, within_seconds=call.timeout_seconds)
    if not answer.holds:
        raise StepFailed(f"expected {call.arguments.role}; {answer.evidence}")
    here = await driver.sample(site)
    there = await driver.sample(_primary(call))
    if here.system_id and there.system_id and here.system_id != there.system_id:
        raise StepFailed(
            f"{here.site} and {there.site} are not the same cluster: {here.system_id} and {there.system_id}"
        )
    return Result(described(here))


async def _ask_while_right(asked: PlannedCondition, context: ActionContext, call: Call) -> Answer:
    """As `ask_until`. A primary that died meanwhile feeds nobody, and whoever is to take the service over
    waits for the end of this run."""
    loop = asyncio.get_running_loop()
    due = loop.time() + call.timeout_seconds
    while True:
        within_seconds = min(due - loop.time(), RIGHT_EVERY_SECONDS)
        answer = await ask_until(asked, context, within_seconds=within_seconds)
        if answer.holds or loop.time() >= due:
            return answer
        try:
            await check_right(call)
        except LostRight as lost:
            raise Overtaken(f"{lost}; until then: {answer.evidence}") from lost  # it has only looked


async def _caught_up(context: ActionContext, call: Call) -> Result:
    final = call.values.get(FINAL_POSITION)
    if final is None:
        raise StepFailed(
            "no final position is known: no earlier step of this run closed the service in order"
        )
    position = _POSITION.validate_python(final)
    site = call.step.site
    if not await _driver(context).caught_up(site, position, timeout_seconds=call.timeout_seconds):
        raise StepFailed(f"{site} has not replayed up to {position.text} within {call.timeout_seconds:g} s")
    return Result(f"{site} has replayed everything up to {position.text}")


async def _probe(context: ActionContext, call: Call) -> Result:
    asked = PlannedCondition("probe", call.arguments.probe, call.step.site)
    answer = await ask_until(asked, context, within_seconds=call.timeout_seconds)
    if not answer.holds:
        raise StepFailed(f"not healthy within {call.timeout_seconds:g} s; {answer.evidence}")
    return Result(answer.evidence)


async def _sql(context: ActionContext, call: Call) -> Result:
    if context.sql is None:
        raise ActionMisused(f"{context.service.name} has no database that can be asked in SQL")
    rows = await context.sql(
        call.step.site,
        call.arguments.statement,
        call.arguments.values,
        timeout_seconds=call.timeout_seconds,
    )
    return Result(bounded(str(rows)))


async def _wait(context: ActionContext, call: Call) -> Result:
    await asyncio.sleep(call.arguments.for_seconds)
    return Result(f"waited {call.arguments.for_seconds:g} s")


async def _notify(context: ActionContext, call: Call) -> Result:
    await context.notify(call.arguments.message)
    return Result(call.arguments.message)


def dumped_position(position: Position) -> dict[str, Any]:
    """A position as a step's value."""
    value = {"text": position.text, "history": position.history, "offset_bytes": position.offset_bytes}
    return value | {"parts": [dumped_position(part) for part in position.parts]} if position.parts else value


def _words(*words: Word) -> frozenset[Word]:
    return frozenset(words)


def shipped_actions() -> ActionCatalogue:
    """The catalogue of every word in this module."""
    catalogue = with_people(ActionCatalogue())
    catalogue = catalogue.with_action(
        "ssh",
        SshArguments,
        carry_out_on_host,
        summary="run a command on a host",
        settle=settle_on_host,
        ending_grace_seconds=ENDING_GRACE_SECONDS,
    )
    catalogue = catalogue.with_action(
        "script",
        ScriptArguments,
        run_script,
        summary="run a file that is shipped along on a host",
        settle=settle_on_host,
        ending_grace_seconds=ENDING_GRACE_SECONDS,
    )
    catalogue = catalogue.with_action(
        "http",
        HttpDeed,
        http_step,
        summary="send a request to an address",
        changes_by=changes,
        repeats_by=repeats,
    )
    catalogue = catalogue.with_action(
        "check",
        CheckArguments,
        check_step,
        summary="make sure of what must hold",
        idempotent=True,
        changes=False,
        least_seconds=least_seconds,
    )
    catalogue = catalogue.with_action(
        "runbook",
        RunbookArguments,
        never_carried_out,
        summary="carry out another runbook's steps",
        idempotent=True,
        changes=False,
    )
    for word, arguments, act, summary, needs in (
        ("prepare", FromSite, _prepare, "shorten a close that is to come", Word.PREPARE),
        ("promote", ToSite, _promote, "make the standby writable", Word.PROMOTE),
        ("start", StartArguments, _start, "start a stopped instance as it was", Word.START),
        ("rejoin", FromSite, _rejoin, "make the old primary a standby of the new one", Word.REJOIN),
        ("rebuild", FromSite, _rebuild, "the same from a full copy", Word.REBUILD),
        ("verify", VerifyArguments, _verify, "make sure of role and identity", Word.VERIFY),
        ("caught-up", ToSite, _caught_up, "wait until everything written was replayed", Word.SAMPLE),
    ):
        catalogue = catalogue.with_action(
            f"replication.{word}",
            arguments,
            act,
            summary=summary,
            needs_words=_words(Word.SAMPLE, needs),
            idempotent=True,
            changes=needs not in _LOOKING,
        )
    catalogue = catalogue.with_action(
        "probe",
        ProbeArguments,
        _probe,
        summary="wait until a probe is healthy",
        idempotent=True,
        changes=False,
    )
    catalogue = catalogue.with_action("sql", SqlArguments, _sql, summary="run one statement in the database")
    catalogue = catalogue.with_action(
        "wait",
        WaitArguments,
        _wait,
        summary="let time pass",
        idempotent=True,
        changes=False,
        least_seconds=lambda arguments: parse_duration(arguments["for"]) + 1.0,
    )
    return catalogue.with_action(
        "notify", NotifyArguments, _notify, summary="tell people something", idempotent=True, changes=False
    )
