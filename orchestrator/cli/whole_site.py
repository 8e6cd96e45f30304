"""A whole site's move from plan to end, as the person who ordered it sees it."""

from pathlib import Path

from orchestrator.api.blocking import Controller
from orchestrator.api.client import Refused
from orchestrator.api.shapes import MoveOrder, MovePlan, Refusal, RunDetail
from orchestrator.api.site_shapes import SiteMoveOrder, SiteMovePlan, SiteMoveRequest, SitePart
from orchestrator.cli.certificate_views import certificate
from orchestrator.cli.certifying import Signer, agreed
from orchestrator.cli.failures import DONE, FAILED, REFUSED, Failure, refusal_lines
from orchestrator.cli.follow import follow
from orchestrator.cli.moving import confirm
from orchestrator.cli.output import UNKNOWN, duration, heading, say, say_json, wrapped


def plan_site(asked: Controller, request: SiteMoveRequest, *, as_json: bool) -> int:
    """Show the plan of a whole site; the exit code."""
    try:
        plan = asked.plan_site(request)
    except Refused as no:
        if not as_json:
            raise
        say_json(no.refusal)
        return REFUSED
    if as_json:
        say_json(plan)
    else:
        _check(plan)
        say(lines_of(plan))
    return REFUSED if any(_refusal(part) is not None for part in plan.parts) else DONE


def move_site(asked: Controller, request: SiteMoveRequest, *, yes: bool, key: Path | None = None) -> int:
    """Move the services of a site; the exit code."""
    plan = asked.plan_site(request)
    _check(plan)
    say(lines_of(plan))
    going = [part.plan for part in plan.parts if part.plan is not None and part.plan.refusal is None]
    if not going:
        return REFUSED
    signer = Signer(key)
    drafts = [each.certificate for each in going if each.certificate is not None]
    for draft in drafts:
        signer.check(draft)
    named = ", ".join(each.service for each in going)
    for site in dict.fromkeys(each.confirm_site for each in going):
        confirm(site, yes=yes, what=f"{request.verb} of {named}")
    final = agreed(asked, drafts)

    def signature(of: MovePlan) -> str:
        return signer.signature(final[of.certificate.id]) if of.certificate is not None else ""

    order = SiteMoveOrder(
        run=plan.run,
        reason=request.reason,
        orders=[
            MoveOrder(
                run=each.run,
                confirmed_site=each.confirm_site,
                accept_loss_seconds=request.accept_loss_seconds,
                reason=request.reason,
                signature=signature(each),
            )
            for each in going
        ],
    )
    accepted = asked.move_site(order)
    say(["", *wrapped(f"Run {accepted.run} has begun; Ctrl-C stops only the looking.")])
    run = follow(asked, accepted.run)
    say(_summary(run))
    if run.state == "done":
        return DONE
    return (
        FAILED
        if any(step.state != "done" for step in run.steps if not _was_refused(plan, step.step))
        else REFUSED
    )


def _was_refused(plan: SiteMovePlan, service: str) -> bool:
    return any(part.service == service and _refusal(part) is not None for part in plan.parts)


def _check(plan: SiteMovePlan) -> None:
    """There is something to move. Ends the command when there is not."""
    if plan.parts:
        return
    told = f"No service has its primary at {plan.site}, so there is nothing to move."
    if plan.verb == "failback":
        told = f"Everything that is at home at {plan.site} is there, as far as anybody is primary for it."
    if plan.unowned:
        told += f" Nobody is primary for {', '.join(plan.unowned)}: see `twinsite explain {plan.unowned[0]}`."
    raise Failure(told, FAILED if plan.unowned else DONE)


def lines_of(plan: SiteMovePlan) -> list[str]:
    """What would be done, and what would be lost, a paragraph for each service."""
    lines = [heading(f"Plan: {plan.verb} of all services at {plan.site}"), ""]
    for number, part in enumerate(plan.parts, start=1):
        lines += _part(number, part, plan.verb)
    lines += [""]
    if len(plan.critical_path) > 1:
        chain = ", then ".join(plan.critical_path)
        took = duration(plan.critical_seconds) if plan.critical_seconds is not None else UNKNOWN
        lines += wrapped(f"Critical path: {chain} (by their last moves: {took})", then="  ")
    if plan.unowned:
        lines += wrapped(
            f"Not in it, because nobody is primary for them: {', '.join(plan.unowned)}", then="  "
        )
    first = plan.parts[0].service
    lines += wrapped(f"Steps and gates of one of them: twinsite plan {plan.verb} {first}", then="  ")
    seen: list[str] = []
    for part in plan.parts:
        if part.plan is not None and part.plan.certificate is not None:
            seen += ["", *certificate(part.plan.certificate)]
    return lines + seen


def _part(number: int, part: SitePart, verb: str) -> list[str]:
    after = f", after {', '.join(part.needs)}" if part.needs else ""
    lines = wrapped(f"{number} {part.service} (rank {part.rank}{after})", first="  ", then="      ")
    if part.plan is None or part.plan.refusal is not None:
        refusal = _refusal(part)
        if refusal is not None:
            told = refusal_lines(refusal.model_copy(update={"evidence": []}), service=part.service)
            lines += [f"    {line}" for line in told]
        if part.plan is not None and part.plan.way_home is not None:
            stage = part.plan.way_home.stages[part.plan.way_home.next_stage - 1]
            lines += wrapped(
                f"its way home comes to this first: {stage.number} {stage.title}; all of it: twinsite plan "
                f"failback {part.service}",
                first="    ",
                then="      ",
            )
        return lines
    lines += wrapped(f"data loss: {part.plan.statement or UNKNOWN}", first="    ", then="      ")
    if part.plan.shed:
        shed = f"shed at {part.plan.to_site} before it: {', '.join(part.plan.shed)}"
        lines += wrapped(shed, first="    ", then="      ")
    return lines


def _refusal(part: SitePart) -> Refusal | None:
    return part.refusal if part.plan is None else part.plan.refusal


def _summary(run: RunDetail) -> list[str]:
    words = {"done": "moved", "failed": "NOT moved", "skipped": "not begun"}
    lines = ["", heading("Summary")]
    for step in run.steps:
        lines += wrapped(
            f"{step.step}: {words.get(step.state, step.state)}: {step.detail}", first="  ", then="      "
        )
    if run.state != "done":
        left = [step.step for step in run.steps if step.state != "done"]
        lines += wrapped(f"See: twinsite explain {left[0]}" if left else "", then="")
    return lines
