"""The verb `emergency`: a runbook by hand, from any machine that reaches the hosts, with no controller.

It shows the plan, asks for a site's name, prints each step as it goes, and asks when one fails. What may be
promoted is the certificate's and the guard's to say, never this command's.
"""

import getpass
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.failures import DONE, FAILED, INTERRUPTED, Failure, refused, wrong
from orchestrator.cli.options import SERVICE, SITE, Settings, pass_settings, reason_option
from orchestrator.cli.output import heading, note, say, wrapped
from orchestrator.cli.runbook import KINDS, RUNBOOK

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.cli.emergency_session import Order, Session
    from runbooks.engine import Outcome

DEFAULT_JOURNAL = Path("twinsite-emergency.sqlite")
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("runbook", type=RUNBOOK, required=False)
@click.option("--service", type=SERVICE, metavar="NAME", help="Which service it is about.")
@click.option("--from", "from_site", type=SITE, metavar="SITE", help="The site that is left, or lost.")
@click.option("--to", "to_site", type=SITE, metavar="SITE", help="The site that is to serve.")
@click.option("--set", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter of the runbook.")
@click.option("--kind", type=click.Choice(KINDS), default="failover", show_default=True,
              help="The kind of run, which decides what steps belong to it.")  # fmt: skip
@click.option("--certificate", type=_FILE, metavar="FILE", help="Who is down, signed by an operator; needed"
              " where a step makes a site primary.")  # fmt: skip
@click.option("--epoch", type=click.IntRange(0), metavar="N", help="Without a certificate: the epoch to act"
              " under. Without it, what the hosts have seen.")  # fmt: skip
@click.option("--journal", type=_FILE, metavar="FILE", default=DEFAULT_JOURNAL, show_default=True,
              help="Where the run is recorded.")  # fmt: skip
@click.option("--resume", "resume", metavar="RUN", help="Go on with a run of the journal, as it was planned.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and end.")
@reason_option("Why; kept with the run. Needed.")
@click.option("--yes", is_flag=True, help="Answer the question about the site's name, and no other.")
@pass_settings
def emergency(
    settings: Settings,
    runbook: str | None,
    service: str | None,
    from_site: str | None,
    to_site: str | None,
    parameters: tuple[str, ...],
    kind: str,
    certificate: Path | None,
    epoch: int | None,
    journal: Path,
    resume: str | None,
    only_plan: bool,
    reason: str,
    yes: bool,
) -> None:
    """Run a runbook by hand, when no controller is left.

    Needs the estate file, the runbooks, and SSH to the hosts as you have it: your agent, keys and
    ~/.ssh/config count; host keys are always checked. A runbook that makes a site primary needs an operator's
    certificate that the other one is off (`twinsite certify SITE --down --offline FILE`), and the guard on
    the database host opens on nothing else. If that site is not off, both write, and one side's is lost.

    When a step fails you are asked: retry, skip or abort. Ctrl-C leaves a run that --resume goes on with.

    \b
    Examples:
      twinsite emergency postgres/promote --service ebs --from morpeth --to durham --plan
      twinsite emergency postgres/promote --service ebs --from morpeth --to durham \\
          --certificate ebs.json --reason "both controller hosts are under water"
      twinsite emergency --resume ebs-failover-20261123-031207-5f0c
    """
    from orchestrator.cli.emergency_session import Order, opened

    if resume is None and None in (runbook, service, from_site, to_site):
        raise wrong(
            "Say what is to be run: twinsite emergency RUNBOOK --service S --from X --to Y, or --resume RUN"
        )
    if resume is not None and (runbook is not None or only_plan):
        raise wrong("--resume goes on with a run as it was planned: name no RUNBOOK, and no --plan")
    if resume is None and not only_plan and not reason.strip():
        raise wrong("emergency needs --reason: it is kept on file, and read when this is reconciled.")
    session = opened(settings, note)
    who = f"{getpass.getuser()}@{socket.gethostname()} by hand"
    if resume is not None:
        _end(_carried(lambda: session.resume(resume, journal, certificate, who), journal, resume), journal)
        return
    named = (runbook or "", service or "", from_site or "", to_site or "")
    order = Order(*named, parameters, kind, certificate, epoch, reason, who)
    _new(session, order, journal, only_plan=only_plan, yes=yes)


def _new(session: "Session", order: "Order", journal: Path, *, only_plan: bool, yes: bool) -> None:
    from orchestrator.api.shapes import Refusal
    from orchestrator.cli.moving import confirm
    from orchestrator.emergency.drawing import CertificateMissing
    from runbooks.render import render_plan

    drawn = session.draw(order)
    say([heading("By hand, without any controller"), "", *render_plan(drawn.plan)])
    if drawn.certificate is not None:
        signer = f", signed by {drawn.signer}" if drawn.signer else ""
        who = drawn.certificate.who
        say(["", heading(f"BROKEN GLASS: {who} certifies ({drawn.certificate.id}{signer})")])
        for state in drawn.certificate.states:
            say(wrapped(f"- {state}", first="  ", then="    "))
        say(wrapped(f"Reason: {drawn.certificate.reason}", first="  ", then="    "))
    for sentence in drawn.warnings:
        say(["", *wrapped(f"NOTE: {sentence}", then="  ")])
    try:
        drawn.check()
    except CertificateMissing as missing:
        raise refused(Refusal(code="certificate-missing", message=str(missing))) from missing
    if only_plan:
        return
    confirm(
        order.from_site if drawn.certificate is not None else order.to_site, yes=yes, what="emergency run"
    )
    run = drawn.plan.id
    say(["", *wrapped(f"Run {run} begins; it is recorded in {journal}. Ctrl-C stops it, to be resumed.")])
    _end(_carried(lambda: session.carry_out(drawn, journal, order), journal, run), journal)


def _carried(work: "Callable[[], Outcome]", journal: Path, run: str) -> "Outcome":
    try:
        return work()
    except (KeyboardInterrupt, EOFError) as stop:
        why = "Stopped." if isinstance(stop, KeyboardInterrupt) else f"Stopped: {stop}."
        lines = [f"\n{why} What was begun may still go on at its host. Go on with:"]
        lines.append(f"  twinsite emergency --resume {run} --journal {journal}")
        raise Failure("\n".join(lines), INTERRUPTED) from stop


def _end(outcome: "Outcome", journal: Path) -> None:
    word = "done" if outcome.done else str(outcome.outcome).upper()
    say(["", *wrapped(f"{word}: {outcome.summary}")])
    say([f"See: twinsite runs show {outcome.run_id} --journal {journal}"])
    plan = outcome.progress.plan
    if outcome.done and any(step.part == "certificate" for step in plan.steps):
        service, here, there = plan.service, plan.to_site, plan.from_site
        say(wrapped(f"{service} is served at {here} by the certificate alone."))
        say(wrapped(f"{there} must stay off, controllers and hosts, until this is reconciled."))
        handing = f"`twinsite journal import {journal} --site {here}`"
        say(wrapped(f"Before any controller is started: {handing}, on the machine of {here}'s controller."))
        say(wrapped(f"Without that it does not know of it, and {there}'s may open {service} there too."))
    click.get_current_context().exit(DONE if outcome.done else FAILED)


COMMANDS: tuple[click.Command, ...] = (emergency,)
