"""The `ssh` action: a command on a host, started through the wrapper that refuses whoever was overtaken.

The host keeps how the command ended, so an attempt that a broken connection or a crash cut off can be
settled by asking there (P26). Nothing here is tried again; the engine knows when that does no harm.
"""

import asyncio
import hashlib
from dataclasses import dataclass

from runbooks.catalogue import OnHost, Settled, Settlement, ShellText
from runbooks.context import EVIDENCE_LIMIT_CHARACTERS, ActionContext, Call, Result, bounded
from runbooks.errors import Overtaken, StepFailed
from runbooks.planned import PlannedStep
from runbooks.undoing import UNDO, is_undo
from sites.errors import CommandRefused
from sites.transport import Completed
from sites.wrapper import TIMED_OUT_STATUS, StepState, StepToken, ask_status, run_wrapped

ASK_SECONDS = 15.0  # the host may wait for its lock
PAUSE_SECONDS = 1.0
MARKS_CHARACTERS = 250  # of evidence: room for what says how much was left out
NAME_LIMIT = 100  # of a step's name on a host (sites.wrapper)

# The wrapper ends the command at its time limit, and needs its lock before and a moment after.
ENDING_GRACE_SECONDS = 16.0

_OVERTAKEN = frozenset({"older-epoch", "older-executor", "older-run"})


class SshArguments(OnHost):
    """Arguments of `ssh`."""

    run: ShellText


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended by itself on a host. `said` is its output, bounded and harmless."""

    exit_status: int
    stderr: str
    said: str


async def carry_out_on_host(context: ActionContext, call: Call) -> Result:
    """Run the command. Raises StepFailed when it fails, Overtaken, or an error of `sites.errors`."""
    done = await run_on_host(context, call, call.arguments.run)
    if done.exit_status != 0:
        raise StepFailed(f"exit {done.exit_status}: {done.said}", done.exit_status)
    return Result(done.said, 0)


async def run_on_host(context: ActionContext, call: Call, command: str, *, stdin: str = "") -> Ended:
    """Run a command to its end through the wrapper. Raises Overtaken or an error of `sites.errors`."""
    try:
        done = await run_wrapped(
            context.transport,
            context.host(call.step.host),
            command,
            _token(context, call),
            timeout_seconds=call.timeout_seconds,
            stdin=stdin,
            said=context.said(call.step.id) if context.said is not None else None,
        )
    except CommandRefused as refused:
        raise _refusal(refused) from refused
    return Ended(done.exit_status, done.stderr, _said(done))


def name_on_host(step_id: str) -> str:
    """What a step is called on hosts: its id without the characters that cannot stand there, and cut with a
    part of its hash where it is too long, so that no two steps of a run share a name."""
    name = step_id.replace("/", ":").replace("@", ".")
    if len(name) <= NAME_LIMIT:
        return name
    return f"{name[: NAME_LIMIT - 17]}.{hashlib.sha256(step_id.encode()).hexdigest()[:16]}"


async def settle_on_host(context: ActionContext, call: Call) -> Settled:
    """What the host recorded of this attempt; one that still runs is waited for, as long as it may."""
    host = context.host(call.step.host)
    try:
        async with asyncio.timeout(call.timeout_seconds + ASK_SECONDS):
            while True:
                status = await ask_status(
                    context.transport, host, _token(context, call), timeout_seconds=ASK_SECONDS
                )
                if status.state is not StepState.RUNNING:
                    break
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        return Settled(Settlement.UNKNOWN, f"it still runs at {call.step.host}")
    except CommandRefused as refused:
        raise _refusal(refused) from refused
    match status.state:
        case StepState.NEVER_STARTED:
            return Settled(Settlement.NEVER_STARTED, f"{call.step.host} never started it")
        case StepState.DONE if status.exit_status == 0:
            return Settled(Settlement.DONE, f"{call.step.host} recorded its end: exit 0", 0)
        case StepState.DONE:
            ended = (
                "it was ended at its time limit" if status.exit_status == TIMED_OUT_STATUS else "it failed"
            )
            evidence = f"{call.step.host} recorded its end: exit {status.exit_status}, {ended}"
            return Settled(Settlement.FAILED, evidence, status.exit_status)
        case _:
            return Settled(Settlement.UNKNOWN, f"{call.step.host} started it, and went down before its end")


def _token(context: ActionContext, call: Call) -> StepToken:
    return StepToken(
        service=context.service.name,
        epoch=context.token.epoch,
        run=context.token.run_id,
        executor=context.token.executor,
        step=_named(call.step),
        attempt=call.attempt,
    )


def _named(step: PlannedStep) -> str:
    """The step on its host. Taking a step back is another one than doing it, and no name may grow longer."""
    if is_undo(step):
        return name_on_host(step.id.removeprefix(UNDO).replace("/", "."))
    return name_on_host(step.id)


def _refusal(refused: CommandRefused) -> Exception:
    return Overtaken(str(refused)) if refused.code in _OVERTAKEN else refused


def _said(done: Completed) -> str:
    parts = [text.strip() for text in (done.stdout, done.stderr) if text.strip()]
    text = "\n".join(parts)
    if not done.left_out_bytes:
        return bounded(text) or "it said nothing"
    # Said last and with room to spare: the mark in the middle of the output is itself cut out of evidence.
    cut = f"[of its output {done.left_out_bytes} bytes were left out at once, and most of the rest here]"
    return f"{bounded(text, EVIDENCE_LIMIT_CHARACTERS - MARKS_CHARACTERS)}\n{cut}"
