"""A move from plan to end, as the person who ordered it sees it: show, ask, order, follow, tell.

`--yes` answers the question for the site's name and nothing else. Where nobody can be asked and `--yes`
is missing, nothing is done.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator.api.blocking import Controller
from orchestrator.api.client import AnswerUnreadable, NobodyAnswers, Refused, WrongRequest
from orchestrator.api.shapes import (
    CertificateStatus,
    MoveOrder,
    MovePlan,
    MoveRequest,
    PlanList,
    RunDetail,
    ServiceStatus,
    Status,
)
from orchestrator.cli import views
from orchestrator.cli.certifying import Signer, agreed
from orchestrator.cli.failures import (
    DONE,
    FAILED,
    INTERRUPTED,
    REFUSED,
    WRONG,
    Failure,
    ended_by,
    refusal_lines,
    wrong,
)
from orchestrator.cli.follow import follow
from orchestrator.cli.output import heading, say, say_json, wrapped


def show_plan(plan: MovePlan) -> None:
    """The plan on standard output."""
    say(views.plan(plan))


def plan_one(asked: Controller, request: MoveRequest, *, as_json: bool) -> int:
    """Show one plan; the exit code."""
    try:
        plan = asked.plan(request)
    except Refused as no:
        if not as_json:
            raise
        say_json(no.refusal)
        return REFUSED
    if as_json:
        say_json(plan)
    else:
        show_plan(plan)
    return DONE if plan.refusal is None else REFUSED


def plan_site(asked: Controller, site: str, request: Callable[[str], MoveRequest], *, as_json: bool) -> int:
    """Show the plans of a lost site's services; the exit code."""
    found = PlanList(plans=[], refused={})
    for name in services_of(asked.status(), site):
        try:
            found.plans.append(asked.plan(request(name)))
        except Refused as no:
            found.refused[name] = no.refusal
    if as_json:
        say_json(found)
    else:
        for plan in found.plans:
            say([*views.plan(plan), ""])
        for name, refusal in found.refused.items():
            say([heading(name), *refusal_lines(refusal), ""])
    refused = found.refused or any(plan.refusal is not None for plan in found.plans)
    return REFUSED if refused else DONE


def move_one(asked: Controller, request: MoveRequest, *, yes: bool, key: Path | None = None) -> int:
    """Move one service; the exit code."""
    plan = asked.plan(request)
    show_plan(plan)
    if plan.refusal is not None:
        return REFUSED
    signer = Signer(key)
    if plan.certificate is not None:
        signer.check(plan.certificate)
    confirm(plan.confirm_site, yes=yes, what=f"{plan.verb} of {plan.service}")
    final = agreed(asked, [plan.certificate] if plan.certificate is not None else [])
    return _code_of(_order_and_follow(asked, plan, request, _signature(plan, signer, final)))


def _signature(plan: MovePlan, signer: Signer, final: dict[str, CertificateStatus]) -> str:
    """Of the plan's certificate as it is now, a second person's name in it."""
    return signer.signature(final[plan.certificate.id]) if plan.certificate is not None else ""


def services_of(status: Status, site: str) -> list[str]:
    """The services whose primary is at `site`, in order of rank. Ends the command when there are none."""
    if site not in {one.site for one in status.sites}:
        known = ", ".join(one.site for one in status.sites)
        raise wrong(f"There is no site {site!r}; there are: {known}")
    found = [one for one in status.services if _primary(one) == site and not one.watch_only]
    if not found:
        nobody = [one.service for one in status.services if _primary(one) is None and not one.watch_only]
        told = f"No service has its primary at {site}, so there is nothing to move."
        if nobody:
            told += f" Nobody is primary for {', '.join(nobody)}: see `twinsite explain {nobody[0]}`."
        raise Failure(told, FAILED if nobody else DONE)
    return [one.service for one in sorted(found, key=lambda one: (one.rank, one.service))]


def _primary(service: ServiceStatus) -> str | None:
    """Where it is primary; while that is not known, where it last was."""
    return service.last_known.primary if service.last_known is not None else service.primary


@dataclass(frozen=True, slots=True)
class _End:
    """How one service of several fared."""

    service: str
    code: int
    told: str


def move_site(
    asked: Controller,
    site: str,
    request: Callable[[str], MoveRequest],
    *,
    yes: bool,
    key: Path | None = None,
) -> int:
    """Move the services of a lost site one after another; the exit code of the worst of them."""
    names = services_of(asked.status(), site)
    shown: dict[str, MovePlan] = {}
    ends: list[_End] = []
    for name in names:
        try:
            plan = asked.plan(request(name))
        except (Refused, WrongRequest) as no:
            ends.append(_ended(name, no))
            say([*_told_by(no), ""])
            continue
        show_plan(plan)
        click.echo()
        if plan.refusal is None:
            shown[name] = plan
        else:
            ends.append(_End(name, REFUSED, f"refused ({plan.refusal.code}): {plan.refusal.message}"))
    signer = Signer(key)
    drafts = [plan.certificate for plan in shown.values() if plan.certificate is not None]
    for draft in drafts:
        signer.check(draft)
    if shown:
        what = f"failover of {', '.join(shown)}"
        for confirm_site in dict.fromkeys(plan.confirm_site for plan in shown.values()):
            confirm(confirm_site, yes=yes, what=what)
    final = agreed(asked, drafts)
    for number, (name, plan) in enumerate(shown.items()):
        click.echo(heading(f"\n{name} ({number + 1} of {len(shown)})"))
        try:
            ends.append(_one_of_several(asked, plan, request(name), _signature(plan, signer, final)))
        except Failure as stop:  # Ctrl-C
            left = ", ".join(list(shown)[number + 1 :])
            raise Failure(f"{stop.message}\nNot begun: {left or 'nothing'}", stop.exit_code) from stop
    return _summary(ends)


def _one_of_several(asked: Controller, plan: MovePlan, request: MoveRequest, signature: str) -> _End:
    """Order one of several, whatever became of those before it. The controller examines the gates again."""
    name = plan.service
    try:
        run = _order_and_follow(asked, plan, request, signature)
    except (Refused, WrongRequest, NobodyAnswers, AnswerUnreadable) as fault:
        say(_told_by(fault))
        return _ended(name, fault)
    except Failure as failure:
        if failure.exit_code == INTERRUPTED:
            raise  # Ctrl-C: the services after this one are not begun
        failure.show()
        return _End(name, failure.exit_code, f"lost sight of it: twinsite runs show {plan.run}")
    return _End(name, _code_of(run), f"{run.state}: {run.outcome}" if run.outcome else run.state)


def _ended(name: str, fault: Exception) -> _End:
    return _End(name, ended_by(fault).exit_code, _told_by(fault)[0])


def _told_by(fault: Exception) -> list[str]:
    return ended_by(fault).message.splitlines()


def _summary(ends: list[_End]) -> int:
    lines = ["", heading("Summary")]
    for end in ends:
        lines += wrapped(f"{end.service}: {end.told}", first="  ", then="      ")
    say(lines)
    codes = [end.code for end in ends]
    return next((code for code in (FAILED, *codes) if code in codes and code != DONE), DONE)


def confirm(site: str, *, yes: bool, what: str) -> None:
    """Ask for the site's name. Ends the command if it is not given, or nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong(
            f"\nNothing was done: the {what} must be confirmed, and there is no terminal to ask on. "
            f"Add --yes to answer for the site {site}."
        )
    click.echo(f"\nTo go on with the {what}, type the name of the site: {site}")
    try:
        typed = click.prompt("Site", default="", show_default=False)
    except click.Abort as stop:
        raise Failure("\nNothing was done.", INTERRUPTED) from stop
    if typed.strip() != site:
        raise Failure(f"That is not {site}. Nothing was done.", WRONG)


def _order_and_follow(asked: Controller, plan: MovePlan, request: MoveRequest, signature: str) -> RunDetail:
    order = MoveOrder(
        run=plan.run,
        confirmed_site=plan.confirm_site,
        accept_loss_seconds=request.accept_loss_seconds,
        reason=request.reason,
        signature=signature,
    )
    accepted = asked.move(order)
    say(["", *wrapped(f"Run {accepted.run} has begun; Ctrl-C stops only the looking.")])
    run = follow(asked, accepted.run)
    if run.state != "done":
        say([f"See: twinsite runs show {run.run}", f"     twinsite explain {run.service}"])
    return run


def _code_of(run: RunDetail) -> int:
    return DONE if run.state == "done" else FAILED
