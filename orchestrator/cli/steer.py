"""Verbs that steer a run under way: pause, resume, retry, skip, done, approve, abort, undo.

Each goes to the controller that answers here; it hands the order on if the run is carried out elsewhere. What
may be ordered is the run's to judge. `--yes` answers the question and nothing else.
"""

import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import controller
from orchestrator.cli.failures import DONE, FAILED, INTERRUPTED, Failure, wrong
from orchestrator.cli.options import RUN, STEP, Settings, pass_settings, reason_option
from orchestrator.cli.output import say, wrapped

if TYPE_CHECKING:
    from orchestrator.api.blocking import Controller
    from orchestrator.api.shapes import RunDetail

_SEEN = (
    "The number of the last order that you saw (`runs show`): refused if somebody has ordered something "
    "since. "
    "Without it, the last one at this moment."
)
_YES = "Answer the question beforehand."

run_argument = click.argument("run", metavar="ID", type=RUN)
step_argument = click.argument("step", metavar="[STEP]", type=STEP, required=False, default="")
reason = reason_option("Why; it stands in the run's record. Needed.")
seen_option = click.option("--seen", type=click.IntRange(0), metavar="N", help=_SEEN)
yes_option = click.option("--yes", is_flag=True, help=_YES)


def _order(
    settings: Settings,
    verb: str,
    name: str,
    *,
    step: str = "",
    reason: str,
    evidence: str = "",
    seen: int | None,
    yes: bool | None = None,
) -> None:
    """Look at the run, ask where that is due (`yes` not None), order, and say what becomes of it."""
    from orchestrator.api.shapes import SteerRequest

    if not reason:
        raise wrong(f"{verb} needs --reason: whoever looks at the run next reads it.")
    with controller(settings) as asked:
        run = asked.run(name)
        known = seen if seen is not None else run.last_order
        wanted = _step(run, verb, step)
        if yes is not None and run.state in ("running", "waiting"):
            _confirm(run, verb, wanted, yes=yes)
        request = SteerRequest(verb=verb, step=wanted, reason=reason, evidence=evidence, seen=known)
        given = asked.steer(name, request)
        of = f" {wanted}" if wanted else ""
        if given.run != name:
            again = f"{name} has ended and stays so; {given.run} goes on with it at {given.executor}"
            say(wrapped(f"{again}, without what was done.", then="  "))
            say(wrapped(f"Look: twinsite runs show {given.run}", then="  "))
            return
        say(wrapped(f"{verb}{of}: order {given.number} of {name}, followed at {given.executor}.", then="  "))
        if verb in ("abort", "undo"):
            _to_its_end(asked, name)


def _to_its_end(asked: "Controller", name: str) -> None:
    """Follow a run that is ending; what it leaves is told by `follow`. The exit code is that of its end."""
    from orchestrator.cli.follow import follow

    ended = follow(asked, name)
    if ended.state not in ("aborted", "undone", "done"):
        raise Failure(f"See: twinsite runs show {name}", FAILED)


def _step(run: "RunDetail", verb: str, given: str) -> str:
    """The step's id: as it is, by its number, by its last part, or the only one that waits for such a
    word."""
    from orchestrator.cli.views import STEP_VERBS

    if given:
        ids = [one.step for one in run.steps]
        numbered = [one.step for one in run.steps if str(one.number) == given]
        parts = [one for one in ids if one.rpartition("/")[2] == given and not one.startswith("undo:")]
        if given in ids:
            return given
        if len(numbered) == 1:
            return numbered[0]
        if len(parts) > 1:
            raise wrong(f"{given} could be {' or '.join(parts)}; say which.")
        return parts[0] if parts else given  # whether there is such a step is the run's to say
    if verb not in STEP_VERBS or (verb == "retry" and run.state in ("failed", "aborted")):
        return ""
    waiting = [wait.step for wait in run.waits if wait.step and wait.kind in STEP_VERBS[verb]]
    if len(waiting) != 1:
        told = f"these wait: {', '.join(waiting)}" if waiting else "none waits for that"
        raise wrong(
            f"{verb} of which step? Name it, or give its number; {told}. See: twinsite runs show {run.run}"
        )
    return waiting[0]


def _confirm(run: "RunDetail", verb: str, step: str, *, yes: bool) -> None:
    """Say what is about to be ended or left out, and by whom it was steered last; then ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong(
            f"Nothing was done: {verb} must be confirmed, and there is no terminal to ask on. Add --yes."
        )
    from orchestrator.cli import views

    say(views.before_steering(run, step))
    try:
        sure = click.confirm(f"{verb.capitalize()}{f' {step}' if step else ''}?", default=False)
    except click.Abort as stop:
        raise Failure("\nNothing was done.", INTERRUPTED) from stop
    if not sure:
        raise Failure("Nothing was done.", DONE)


@click.command()
@run_argument
@reason
@seen_option
@pass_settings
def pause(settings: Settings, run: str, reason: str, seen: int | None) -> None:
    """Start nothing more in run ID, until it is resumed.

    Steps under way go on to their end; further attempts wait. The service stays held by the run. To keep a
    service from moving by itself, there is `twinsite pause SERVICE`.

    \b
    Example:
      twinsite runs pause ebs-switchover-7 --reason "the switch at Durham is being looked at"
    """
    _order(settings, "pause", run, reason=reason, seen=seen)


@click.command()
@run_argument
@reason
@seen_option
@pass_settings
def resume(settings: Settings, run: str, reason: str, seen: int | None) -> None:
    """Let run ID go on that was paused.

    \b
    Example:
      twinsite runs resume ebs-switchover-7 --reason "the switch is fine"
    """
    _order(settings, "resume", run, reason=reason, seen=seen)


@click.command()
@run_argument
@step_argument
@reason
@seen_option
@pass_settings
def retry(settings: Settings, run: str, step: str, reason: str, seen: int | None) -> None:
    """Carry a failed STEP of run ID out once more, and go on.

    Also one whose end is not known: look there first, because it may have been done. STEP is its name or its
    number; without it, the one that waits. All its attempts are there again.

    A run that has ended, failed or aborted, stays ended. If the new site is primary by it and nothing has
    moved the service since, another run goes on where it stopped: what was done is not done again, as long
    as its own `verify` or `unless` still holds. Otherwise it says what to type instead.

    \b
    Examples:
      twinsite runs retry ebs-switchover-7 promote/start-app --reason "licence renewed"
      twinsite runs retry ebs-switchover-7 5 --reason "licence renewed"
    """
    _order(settings, "retry", run, step=step, reason=reason, seen=seen)


@click.command()
@run_argument
@step_argument
@reason
@seen_option
@yes_option
@pass_settings
def skip(settings: Settings, run: str, step: str, reason: str, seen: int | None, yes: bool) -> None:
    """Leave STEP of run ID out, and go on.

    What needs it goes on as if it had ended well. A step that asks for approval and one that decides who may
    be primary cannot be left out; one that is under way neither.

    \b
    Example:
      twinsite runs skip ebs-switchover-7 promote/report --reason "nobody reads it tonight"
    """
    _order(settings, "skip", run, step=step, reason=reason, seen=seen, yes=yes)


@click.command()
@run_argument
@step_argument
@click.option("--evidence", metavar="TEXT", default="", help="What was asked for, or what you saw.")
@reason
@seen_option
@pass_settings
def done(settings: Settings, run: str, step: str, evidence: str, reason: str, seen: int | None) -> None:
    """Say that STEP of run ID is done: you did it, or saw it.

    For steps that ask a person, for those that failed and were done by hand, and for those whose end is not
    known. What a step asks to be typed in goes into --evidence.

    \b
    Example:
      twinsite runs done ebs-failover-7 promote/phones --evidence "CHG-4711" --reason "all suppliers told"
    """
    _order(settings, "done", run, step=step, reason=reason, evidence=evidence, seen=seen)


@click.command()
@run_argument
@step_argument
@reason
@seen_option
@pass_settings
def approve(settings: Settings, run: str, step: str, reason: str, seen: int | None) -> None:
    """Agree to STEP of run ID, as a person who did not order it.

    You are known by your login on the machine of the controller; your role and whom you answer to stand in
    sites.yaml. Nobody counts twice, from whichever site.

    \b
    Example:
      twinsite runs approve ebs-switchover-7 demote/agree --reason "payroll is through"
    """
    _order(settings, "approve", run, step=step, reason=reason, seen=seen)


@click.command()
@run_argument
@reason
@seen_option
@yes_option
@pass_settings
def abort(settings: Settings, run: str, reason: str, seen: int | None, yes: bool) -> None:
    """End run ID: start nothing more, leave what is done.

    Steps under way go on to their end. Then it says what state is left: each step, whose the service is,
    whether it accepts writes and is protected, and what to do next. Nothing is taken back; that is `undo`.

    \b
    Example:
      twinsite runs abort ebs-switchover-7 --reason "wrong weekend"
    """
    _order(settings, "abort", run, reason=reason, seen=seen, yes=yes)


@click.command()
@run_argument
@reason
@seen_option
@yes_option
@pass_settings
def undo(settings: Settings, run: str, reason: str, seen: int | None, yes: bool) -> None:
    """End run ID, and take back what it did.

    The `undo` of every step that may have had an effect is carried out, the last to end first. What has none
    is named. Who owns the service is never taken back by this: if the move has come so far, it says how to go
    home. If taking back fails, the run waits for a person.

    \b
    Example:
      twinsite runs undo ebs-switchover-7 --reason "wrong weekend"
    """
    _order(settings, "undo", run, reason=reason, seen=seen, yes=yes)


@click.command()
@run_argument
@reason
@yes_option
@pass_settings
def adopt(settings: Settings, run: str, reason: str, yes: bool) -> None:
    """Go on with run ID here, whose own controller is lost.

    Controllers do this by themselves as soon as the other site's lease is over; this is for what they leave.
    A move to the lost site is not gone on with: what it did is taken back, if the service is still, or again,
    this site's. Refused while the other controller is there, and where only a failover helps. Should that
    controller wake up, its next step is refused, by the store, by its keeper and by the hosts.

    \b
    Example:
      twinsite runs adopt ebs-switchover-7 --reason "Morpeth has lost power"
    """
    from orchestrator.api.shapes import AdoptRequest

    if not reason:
        raise wrong("adopt needs --reason: whoever looks at the run next reads it.")
    with controller(settings) as asked:
        _confirm(asked.run(run), "adopt", "", yes=yes)
        given = asked.adopt(run, AdoptRequest(reason=reason))
        say(wrapped(f"{run} is carried out at {given.executor} from now on.", then="  "))
        _to_its_end(asked, run)


COMMANDS: tuple[click.Command, ...] = (pause, resume, retry, skip, done, approve, abort, undo, adopt)
