"""Ask the world a question with a yes or no: the `unless` and `verify` of steps.

Questions change nothing. A question that could not be asked is an error, never a "no": a mistyped command
in `unless` must not make a step run twice.
"""

import asyncio
from dataclasses import dataclass

from probes.model import Verdict
from runbooks.context import ActionContext, bounded
from runbooks.errors import ActionMisused, StepFailed
from runbooks.http_request import HttpQuestion
from runbooks.planned import PlannedCondition
from runbooks.web import request
from sites.errors import SitesTrouble
from sites.replication.words import Position, Role, Sample

ASK_LIMIT_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

# What a POSIX shell answers when it could not run the command at all.
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_TRUE = frozenset({"true", "t", "1", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes or no, with what was seen."""

    holds: bool
    evidence: str


async def ask(condition: PlannedCondition, context: ActionContext, *, timeout_seconds: float) -> Answer:
    """The answer at this moment. Raises StepFailed, ActionMisused or an error of `sites.errors`."""
    limit = min(timeout_seconds, ASK_LIMIT_SECONDS)
    try:
        async with asyncio.timeout(limit):
            match condition.kind:
                case "run":
                    return await _run(condition, context, limit)
                case "sql":
                    return await _sql(condition, context, limit)
                case "role":
                    return await _role(condition, context)
                case "http":
                    return await _http(condition, context, limit)
                case _:
                    return await _probe(condition, context, 0.0)
    except TimeoutError as error:
        raise StepFailed(f"asked {condition}: no answer within {limit:g} s") from error


async def ask_until(condition: PlannedCondition, context: ActionContext, *, within_seconds: float) -> Answer:
    """The first yes, or the last no when the time is over. What went wrong on the way is a no as well."""
    if condition.kind == "probe":
        # Whoever tries probes knows best when to try the next time.
        return await _probe(condition, context, within_seconds)
    last = Answer(False, f"asked {condition}: not answered in time")
    pause_seconds = FIRST_PAUSE_SECONDS
    try:
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    last = await ask(condition, context, timeout_seconds=within_seconds)
                except (StepFailed, SitesTrouble) as error:
                    last = Answer(False, str(error))
                if last.holds:
                    return last
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
    except TimeoutError:
        return last


async def said_by(condition: PlannedCondition, context: ActionContext, timeout_seconds: float) -> str:
    """What a command says on its standard output, or the first value of a query. Raises as `ask`, and
    StepFailed when the command fails or there is no value."""
    limit = min(timeout_seconds, ASK_LIMIT_SECONDS)
    try:
        async with asyncio.timeout(limit):
            if condition.kind == "sql":
                if (first := await _first_value(condition, context, limit)) is None:
                    raise StepFailed(f"{condition}: no value")
                return first
            done = await context.transport.run(
                context.host(condition.host), condition.text, timeout_seconds=limit
            )
    except TimeoutError as error:
        raise StepFailed(f"asked {condition}: no answer within {limit:g} s") from error
    if done.exit_status != 0:
        said = bounded(done.stderr.strip() or done.stdout.strip(), 500)
        raise StepFailed(f"{condition}: exit {done.exit_status}: {said}", done.exit_status)
    return done.stdout.strip()


async def sampled(name: str, site: str, context: ActionContext) -> str:
    """One thing that the instance at a site says of itself. Raises StepFailed when it does not say it."""
    if context.driver is None:
        raise ActionMisused(f"{context.service.name} has no replication driver")
    sample = await context.driver.sample(site)
    found = getattr(sample, name)
    if isinstance(found, Position):
        found = found.text
    if found in (None, "") or (name != "role" and sample.role in (Role.UNKNOWN, Role.DOWN)):
        raise StepFailed(f"{described(sample)}: its {name} is not known")
    return ("true" if found else "false") if isinstance(found, bool) else str(found)


async def _run(condition: PlannedCondition, context: ActionContext, limit: float) -> Answer:
    done = await context.transport.run(context.host(condition.host), condition.text, timeout_seconds=limit)
    said = bounded("\n".join(text for text in (done.stdout.strip(), done.stderr.strip()) if text), 1000)
    evidence = f"`{condition.text}` at {condition.host}: exit {done.exit_status}" + (
        f": {said}" if said else ""
    )
    if done.exit_status in (_NOT_EXECUTABLE, _NOT_FOUND):
        raise StepFailed(f"{evidence} (the question itself could not be run)", done.exit_status)
    return Answer(done.exit_status == 0, evidence)


async def _first_value(condition: PlannedCondition, context: ActionContext, limit: float) -> str | None:
    if context.sql is None:
        raise ActionMisused(f"{context.service.name} has no database that can be asked in SQL")
    rows = await context.sql(condition.site, condition.text, (), timeout_seconds=limit)
    return rows.rows[0][0] if rows.rows and rows.rows[0] else None


async def _sql(condition: PlannedCondition, context: ActionContext, limit: float) -> Answer:
    first = await _first_value(condition, context, limit)
    shown = "no row" if first is None else first
    return Answer((first or "").lower() in _TRUE, f"“{condition.text}” at {condition.site}: {shown}")


async def _http(condition: PlannedCondition, context: ActionContext, limit: float) -> Answer:
    asked = HttpQuestion.model_validate(dict(condition.details) | {"url": condition.text})
    answered = await request(asked, context, timeout_seconds=limit)
    return Answer(answered.unlike is None, answered.evidence)


async def _role(condition: PlannedCondition, context: ActionContext) -> Answer:
    if context.driver is None:
        raise ActionMisused(f"{context.service.name} has no replication driver")
    sample = await context.driver.sample(condition.site)
    return Answer(fits(sample, condition.text), described(sample))


def fits(sample: Sample, role: str) -> bool:
    """Whether an instance is in that role with all that belongs to it: writable, or streaming."""
    if role == Role.PRIMARY:
        return sample.role is Role.PRIMARY and sample.writable is True
    return sample.role is Role.STANDBY and sample.streaming is True


def described(sample: Sample) -> str:
    """An instance as it described itself, in one line."""
    notes = [
        "writable" if sample.writable else "",
        "streaming" if sample.streaming else "",
        f"timeline {sample.timeline}" if sample.timeline else "",
        sample.reason,
    ]
    return f"{sample.site} is {sample.role}" + "".join(f", {note}" for note in notes if note)


async def _probe(condition: PlannedCondition, context: ActionContext, within_seconds: float) -> Answer:
    if context.wait_healthy is None:
        raise ActionMisused(f"{context.service.name} has no probes here")
    asked = f"probe “{condition.text}” of {condition.site}"
    try:
        # It keeps the time by itself; this is for one that does not.
        async with asyncio.timeout(within_seconds + ASK_LIMIT_SECONDS):
            result = await context.wait_healthy(
                condition.text, condition.site, timeout_seconds=within_seconds
            )
    except TimeoutError:
        return Answer(False, f"{asked}: no result")
    return Answer(
        result.verdict is Verdict.UP, f"{asked}: {result.verdict}, {result.reason}: {result.answered}"
    )
