"""Verbs that move services: plan (does nothing), switchover, failover.

Each shows the plan and what would be lost, asks for a site's name, orders the run of that very plan and
follows it. What may be done is the controller's to decide; here nothing is ever decided or retried.
"""

import shlex
from collections.abc import Callable
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli.certify import KEY_OPTION
from orchestrator.cli.connect import controller, primary_of
from orchestrator.cli.failures import DONE, wrong
from orchestrator.cli.options import (
    LOSS,
    SERVICE,
    SITE,
    Settings,
    json_option,
    pass_settings,
    reason_option,
)

if TYPE_CHECKING:
    from orchestrator.api.shapes import MoveRequest

Function = TypeVar("Function", bound=Callable[..., Any])

_YES = "Answer the question about the site's name. Never accepts a loss of data."


def _failover_options(function: Function) -> Function:
    for option in (
        reason_option("Why; kept with the run. Needed with --certify-down, --power-off and --accept-loss."),
        click.option(
            "--accept-loss",
            "accept_loss_seconds",
            type=LOSS,
            metavar="DURATION",
            help="Accept that up to this much is lost, such as 38s; `any` when nobody can say how much.",
        ),
        click.option(
            "--certify-down",
            type=SITE,
            metavar="SITE",
            help="Certify that SITE is off, or cut off from its users. If it is not, two sites may write.",
        ),
        click.option(
            "--power-off",
            type=SITE,
            metavar="SITE",
            help="Have devices switch SITE's hosts of it off first, and go on only if all of them are off.",
        ),
        click.option(
            "--site", "lost_site", type=SITE, metavar="SITE", help="SITE is lost: move all its services."
        ),
        click.argument("service", type=SERVICE, required=False),
    ):
        function = option(function)
    return function


def _failover_requests(
    service: str | None,
    lost_site: str | None,
    certify_down: str | None,
    power_off: str | None,
    accept_loss_seconds: float | None,
    reason: str,
) -> "Callable[[str], MoveRequest]":
    """What to ask for each service. Ends the command on options that do not go together."""
    from orchestrator.api.shapes import MoveRequest

    if (service is None) == (lost_site is None):
        raise wrong("Say which: a SERVICE, or --site SITE for all services of a lost site.")
    if certify_down is not None and not reason:
        raise wrong(
            "--certify-down needs --reason: how do you know that the site is off? It is kept on file."
        )
    if power_off is not None and certify_down is not None:
        raise wrong("Either you certify the site down, or devices switch it off: give one of the two.")
    if power_off is not None and not reason:
        raise wrong("--power-off needs --reason: why are the hosts switched off? It is kept on file.")
    if accept_loss_seconds is not None and not reason:
        raise wrong("--accept-loss needs --reason: who accepts it and why? It is kept on file.")
    if lost_site is not None and certify_down not in (None, lost_site):
        raise wrong(f"--site {lost_site} and --certify-down {certify_down} name different sites.")

    if lost_site is not None and power_off not in (None, lost_site):
        raise wrong(f"--site {lost_site} and --power-off {power_off} name different sites.")

    def request(name: str) -> MoveRequest:
        return MoveRequest(
            verb="failover",
            service=name,
            certify_down=certify_down,
            power_off=power_off,
            accept_loss_seconds=accept_loss_seconds,
            reason=reason,
        )

    return request


def _lost(
    settings: Settings,
    service: str | None,
    lost_site: str | None,
    *,
    certify_down: str | None,
    power_off: str | None,
    **_: Any,
) -> str | None:
    """The site that a failover leaves, as far as it can be known: its controller is not the one to ask."""
    named = lost_site or certify_down or power_off
    return named if named is not None or service is None else primary_of(settings, service)


def _order(
    *words: str,
    certify_down: str | None = None,
    power_off: str | None = None,
    accept_loss_seconds: float | None = None,
    reason: str = "",
) -> str:
    """The command that carries out what was planned, ready to be copied."""
    from sites.quantities import format_duration

    line = ["twinsite", *words]
    if certify_down is not None:
        line += ["--certify-down", certify_down]
    if power_off is not None:
        line += ["--power-off", power_off]
    if accept_loss_seconds is not None:
        loss = "any" if isinf(accept_loss_seconds) else format_duration(accept_loss_seconds)
        line += ["--accept-loss", loss]
    return shlex.join([*line, *(["--reason", reason] if reason else [])])


@click.group()
def plan() -> None:
    """Show what a move would do and lose; does nothing itself.

    The plan shows each gate with what was found there, the steps with what is known already, and how much
    would be lost at most. The move itself runs exactly such a plan.

    \b
    Examples:
      twinsite plan switchover ebs
      twinsite plan failover ebs
    """


@plan.command("switchover")
@click.argument("service", type=SERVICE)
@click.option("--to", "to_site", type=SITE, metavar="SITE", help="Where to; without it, the other site.")
@json_option
@pass_settings
def plan_switchover(settings: Settings, service: str, to_site: str | None, as_json: bool) -> None:
    """Show what a planned move of SERVICE would do.

    \b
    Example:
      twinsite plan switchover ebs
    """
    from orchestrator.api.shapes import MoveRequest
    from orchestrator.cli import moving

    with controller(settings) as asked:
        request = MoveRequest(verb="switchover", service=service, to_site=to_site)
        code = moving.plan_one(asked, request, as_json=as_json)
    _end_plan(code, as_json, _order("switchover", service, *(["--to", to_site] if to_site else [])))


@plan.command("failover")
@_failover_options
@json_option
@pass_settings
def plan_failover(
    settings: Settings, /, service: str | None, lost_site: str | None, as_json: bool, **given: Any
) -> None:
    """Show what an unplanned move would do and lose.

    \b
    Examples:
      twinsite plan failover ebs
      twinsite plan failover --site morpeth
    """
    from orchestrator.cli import moving

    request = _failover_requests(service, lost_site, **given)
    with controller(settings, rather_not=_lost(settings, service, lost_site, **given)) as asked:
        if service is not None:
            code = moving.plan_one(asked, request(service), as_json=as_json)
        else:
            assert lost_site is not None
            code = moving.plan_site(asked, lost_site, request, as_json=as_json)
    named = [service] if service is not None else ["--site", str(lost_site)]
    _end_plan(code, as_json, _order("failover", *named, **given))


def _end_plan(code: int, as_json: bool, order: str) -> None:
    if code == DONE and not as_json:
        click.echo(f"\nNothing was done. To carry it out: {order}")
    click.get_current_context().exit(code)


@click.command()
@click.argument("service", type=SERVICE)
@click.option("--to", "to_site", type=SITE, metavar="SITE", help="Where to; without it, the other site.")
@click.option("--yes", is_flag=True, help=_YES)
@reason_option("Why; kept with the run.")
@pass_settings
def switchover(settings: Settings, service: str, to_site: str | None, yes: bool, reason: str) -> None:
    """Move SERVICE in order to the other site; loses nothing.

    Both sites must be well. The old side is closed first, the new one opens once it has everything. Shows
    the plan, asks for the site's name, and shows each step as it goes.

    \b
    Example:
      twinsite switchover ebs --reason "patching at Morpeth"
    """
    from orchestrator.api.shapes import MoveRequest
    from orchestrator.cli import moving

    request = MoveRequest(verb="switchover", service=service, to_site=to_site, reason=reason)
    with controller(settings) as asked:
        code = moving.move_one(asked, request, yes=yes)
    click.get_current_context().exit(code)


@click.command()
@_failover_options
@KEY_OPTION
@click.option("--yes", is_flag=True, help=_YES)
@pass_settings
def failover(
    settings: Settings,
    /,
    service: str | None,
    lost_site: str | None,
    key: Path | None,
    yes: bool,
    **given: Any,
) -> None:
    """Move SERVICE, or a lost site's services, to the other one.

    For when the primary is lost: nobody there is asked. While it still answers, this is refused: use
    switchover. What may be lost is said before anything is done. Services of a lost site go one after
    another, by rank; one that fails does not stop the rest.

    With --certify-down you state that SITE is off, or cut off from its users; it is put on file, and a
    second person is asked for where the estate says so. Without a quorum the same breaks the glass: the
    service opens on your word alone, SITE must stay off, and `reconcile` ends it once the store is back.

    With --power-off devices do what you would certify: SITE's hosts of the service are switched off at once,
    without a shutdown, and nothing is taken unless each is known to be off. They stay off.

    \b
    Examples:
      twinsite failover ebs
      twinsite failover --site morpeth
      twinsite failover ebs --certify-down morpeth --reason "power is off, seen by J. Bell"
      twinsite failover crm --power-off durham --reason "hangs, no console answers"
      twinsite failover ebs --accept-loss 38s --reason "agreed with the finance director"
    """
    from orchestrator.cli import moving

    request = _failover_requests(service, lost_site, **given)
    with controller(settings, rather_not=_lost(settings, service, lost_site, **given)) as asked:
        if service is not None:
            code = moving.move_one(asked, request(service), yes=yes, key=key)
        else:
            assert lost_site is not None
            code = moving.move_site(asked, lost_site, request, yes=yes, key=key)
    click.get_current_context().exit(code)


COMMANDS: tuple[click.Command, ...] = (plan, switchover, failover)
