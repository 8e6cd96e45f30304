"""A move from plan to end, as the person who ordered it sees it: show, ask, order, follow, tell.

`--yes` answers the question for the site's name and nothing else. Where nobody can be asked and `--yes`
is missing, nothing is done.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator.api.blocking import Controller
from orchestrator.api.client import Refused
from orchestrator.api.shapes import (
    CertificateStatus,
    MoveOrder,
    MovePlan,
    MoveRequest,
    RunDetail,
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
    wrong,
)
from orchestrator.cli.follow import follow
from orchestrator.cli.output import say, say_json, wrapped


def show_plan(plan: MovePlan) -> None:
    """The plan on standard output."""
    say(views.plan(plan))


@dataclass(frozen=True, slots=True)
class Planned:
    """What came of asking for a plan: the exit code, and whether it can be ordered as it stands."""

    code: int
    orderable: bool


def plan_one(asked: Controller, request: MoveRequest, *, as_json: bool) -> Planned:
    """Show one plan. The way home is planned while it is not open yet, so a failback that cannot be ordered
    yet is no refusal."""
    try:
        plan = asked.plan(request)
    except Refused as no:
        if not as_json:
            raise
        say_json(no.refusal)
        return Planned(REFUSED, orderable=False)
    not_yet = plan.way_home is not None and plan.refusal is not None
    if as_json:
        say_json(plan)
    elif not_yet:
        say([*views.plan(plan.model_copy(update={"refusal": None})), "", *views.not_yet(plan)])
    else:
        show_plan(plan)
    code = DONE if plan.refusal is None or not_yet else REFUSED
    return Planned(code, orderable=plan.refusal is None)


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
