"""Verbs that move services: plan (does nothing), switchover, failover, failback.

Each shows the plan and what would be lost, asks for a site's name, orders the run of that very plan and
follows it. What may be done is the controller's to decide; here nothing is ever decided or retried.
"""

import shlex
from collections.abc import Callable
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

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
    from orchestrator.api.site_shapes import SiteMoveRequest
    from orchestrator.cli.moving import Planned

Function = TypeVar("Function", bound=Callable[..., Any])

_YES = "Answer the question about the site's name. Never accepts a loss of data."


def _where_options(site_help: str) -> Callable[[Function], Function]:
    """SERVICE, or --site SITE."""

    def options(function: Function) -> Function:
        function = click.option("--site", "whole_site", type=SITE, metavar="SITE", help=site_help)(function)
        return click.argument("service", type=SERVICE, required=False)(function)

    return options


_OVER = click.option(
    "--over-capacity",
    is_flag=True,
    help="Accept that the site moved to is short of capacity. Needs --reason.",
)


def _failover_options(function: Function) -> Function:
    for option in (
        reason_option("Why; kept with the run. Needed with whatever accepts, certifies or switches off."),
        _OVER,
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
            help="Have devices switch SITE's hosts of SERVICE off first, and go on only if all are off.",
        ),
        _where_options("SITE is lost: move all its services."),
    ):
        function = option(function)
    return function


def _planned_options(site_help: str) -> Callable[[Function], Function]:
    def options(function: Function) -> Function:
        for option in (
            reason_option("Why; kept with the run. Needed with --over-capacity."),
            _OVER,
            _where_options(site_help),
        ):
            function = option(function)
        return function

    return options


_TO = click.option("--to", "to_site", type=SITE, metavar="SITE", help="Where to; without it, the other site.")


def _request(
    verb: "Literal['switchover', 'failover', 'failback']",
    service: str | None,
    whole_site: str | None,
    *,
    to_site: str | None = None,
    certify_down: str | None = None,
    power_off: str | None = None,
    accept_loss_seconds: float | None = None,
    over_capacity: bool = False,
    reason: str = "",
) -> "MoveRequest | SiteMoveRequest":
    """What to ask for. Ends the command on options that do not go together."""
    from orchestrator.api.shapes import MoveRequest
    from orchestrator.api.site_shapes import SiteMoveRequest

    if (service is None) == (whole_site is None):
        all_of = "all services that are at home there" if verb == "failback" else "all services of a site"
        raise wrong(f"Say which: a SERVICE, or --site SITE for {all_of}.")
    if certify_down is not None and not reason:
        raise wrong(
            "--certify-down needs --reason: how do you know that the site is off? It is kept on file."
        )
    if power_off is not None and certify_down is not None:
        raise wrong("Either you certify the site down, or devices switch it off: give one of the two.")
    if power_off is not None and not reason:
        raise wrong("--power-off needs --reason: why are the hosts switched off? It is kept on file.")
    if power_off is not None and whole_site is not None:
        raise wrong("Hosts are switched off service by service: say which SERVICE instead of --site.")
    if accept_loss_seconds is not None and not reason:
        raise wrong("--accept-loss needs --reason: who accepts it and why? It is kept on file.")
    if over_capacity and not reason:
        raise wrong("--over-capacity needs --reason: who accepts it and why? It is kept on file.")
    if whole_site is None:
        assert service is not None
        return MoveRequest(
            verb=verb,
            service=service,
            to_site=to_site,
            certify_down=certify_down,
            power_off=power_off,
            accept_loss_seconds=accept_loss_seconds,
            over_capacity=over_capacity,
            reason=reason,
        )
    if to_site is not None:
        raise wrong(
            "--site names the site that is left; its services go to the other one, so leave --to out."
        )
    if certify_down not in (None, whole_site):
        raise wrong(f"--site {whole_site} and --certify-down {certify_down} name different sites.")
    return SiteMoveRequest(
        verb=verb,
        site=whole_site,
        certify_down=certify_down,
        accept_loss_seconds=accept_loss_seconds,
        over_capacity=over_capacity,
        reason=reason,
    )


def _planned(settings: "Settings", request: "MoveRequest | SiteMoveRequest", *, as_json: bool) -> "Planned":
    from orchestrator.api.shapes import MoveRequest
    from orchestrator.cli import moving, whole_site

    with controller(settings, rather_not=_lost(settings, request)) as asked:
        if isinstance(request, MoveRequest):
            return moving.plan_one(asked, request, as_json=as_json)
        code = whole_site.plan_site(asked, request, as_json=as_json)
        return moving.Planned(code, orderable=code == DONE)


def _moved(
    settings: "Settings", request: "MoveRequest | SiteMoveRequest", *, yes: bool, key: Path | None = None
) -> int:
    from orchestrator.api.shapes import MoveRequest
    from orchestrator.cli import moving, whole_site

    with controller(settings, rather_not=_lost(settings, request)) as asked:
        if isinstance(request, MoveRequest):
            return moving.move_one(asked, request, yes=yes, key=key)
        return whole_site.move_site(asked, request, yes=yes, key=key)


def _lost(settings: "Settings", request: "MoveRequest | SiteMoveRequest") -> str | None:
    """The site that a failover leaves, as far as it can be known: its controller is not the one to ask."""
    from orchestrator.api.shapes import MoveRequest

    if request.verb != "failover":
        return None
    if isinstance(request, MoveRequest):
        return request.certify_down or request.power_off or primary_of(settings, request.service)
    return request.site


def _order(request: "MoveRequest | SiteMoveRequest") -> str:
    """The command that carries out what was planned, ready to be copied."""
    from orchestrator.api.shapes import MoveRequest
    from sites.quantities import format_duration

    line = ["twinsite", request.verb]
    if isinstance(request, MoveRequest):
        line += [request.service, *(["--to", request.to_site] if request.to_site else [])]
    else:
        line += ["--site", request.site]
    if request.certify_down is not None:
        line += ["--certify-down", request.certify_down]
    if isinstance(request, MoveRequest) and request.power_off is not None:
        line += ["--power-off", request.power_off]
    if request.accept_loss_seconds is not None:
        loss = "any" if isinf(request.accept_loss_seconds) else format_duration(request.accept_loss_seconds)
        line += ["--accept-loss", loss]
    if request.over_capacity:
        line.append("--over-capacity")
    return shlex.join([*line, *(["--reason", request.reason] if request.reason else [])])


@click.group()
def plan() -> None:
    """Show what a move would do and lose; does nothing itself.

    The plan shows each gate with what was found there, the steps with what is known already, and how much
    would be lost at most. The move itself runs exactly such a plan.

    \b
    Examples:
      twinsite plan switchover ebs
      twinsite plan failover --site morpeth
      twinsite plan failback ebs
    """


@plan.command("switchover")
@_planned_options("All services whose primary is at SITE.")
@_TO
@json_option
@pass_settings
def plan_switchover(
    settings: Settings, /, service: str | None, whole_site: str | None, as_json: bool, **given: Any
) -> None:
    """Show what a planned move would do.

    \b
    Examples:
      twinsite plan switchover ebs
      twinsite plan switchover --site morpeth
    """
    _plan(settings, _request("switchover", service, whole_site, **given), as_json)


@plan.command("failover")
@_failover_options
@json_option
@pass_settings
def plan_failover(
    settings: Settings, /, service: str | None, whole_site: str | None, as_json: bool, **given: Any
) -> None:
    """Show what an unplanned move would do and lose.

    \b
    Examples:
      twinsite plan failover ebs
      twinsite plan failover --site morpeth
    """
    _plan(settings, _request("failover", service, whole_site, **given), as_json)


@plan.command("failback")
@_planned_options("All services that are at home at SITE.")
@json_option
@pass_settings
def plan_failback(
    settings: Settings, /, service: str | None, whole_site: str | None, as_json: bool, **given: Any
) -> None:
    """Show the way home, how far it is, and what is still missing.

    Works from the first minute after a failover, while the home site does not answer. The five stages: it
    answers again, what it alone had accepted is saved, it is made a standby again, it is in sync, and the
    planned move home. The first four go by themselves; the move never does.

    \b
    Examples:
      twinsite plan failback ebs
      twinsite plan failback --site morpeth
    """
    _plan(settings, _request("failback", service, whole_site, **given), as_json)


def _plan(settings: Settings, request: "MoveRequest | SiteMoveRequest", as_json: bool) -> None:
    planned = _planned(settings, request, as_json=as_json)
    if planned.orderable and not as_json:
        click.echo(f"\nNothing was done. To carry it out: {_order(request)}")
    click.get_current_context().exit(planned.code)


@click.command()
@_planned_options("All services whose primary is at SITE.")
@_TO
@click.option("--yes", is_flag=True, help=_YES)
@pass_settings
def switchover(
    settings: Settings, /, service: str | None, whole_site: str | None, yes: bool, **given: Any
) -> None:
    """Move SERVICE, or a whole site, in order; loses nothing.

    Both sites must be well. The old side is closed first, the new one opens once it has everything. Shows
    the plan, asks for the site's name, and shows each step as it goes.

    \b
    Examples:
      twinsite switchover ebs --reason "patching at Morpeth"
      twinsite switchover --site morpeth --reason "power works on Saturday"
    """
    request = _request("switchover", service, whole_site, **given)
    click.get_current_context().exit(_moved(settings, request, yes=yes))


@click.command()
@_planned_options("All services that are at home at SITE.")
@click.option("--yes", is_flag=True, help=_YES)
@pass_settings
def failback(
    settings: Settings, /, service: str | None, whole_site: str | None, yes: bool, **given: Any
) -> None:
    """Move SERVICE, or all that belong to a site, back home.

    A switchover to where the service is at home. Never happens by itself: the home site must be a standby
    that is in sync again, which `twinsite plan failback` shows at any time.

    \b
    Examples:
      twinsite failback ebs --reason "Morpeth has power again"
      twinsite failback --site morpeth --reason "Morpeth has power again"
    """
    request = _request("failback", service, whole_site, **given)
    click.get_current_context().exit(_moved(settings, request, yes=yes))


@click.command()
@_failover_options
@KEY_OPTION
@click.option("--yes", is_flag=True, help=_YES)
@pass_settings
def failover(
    settings: Settings,
    /,
    service: str | None,
    whole_site: str | None,
    key: Path | None,
    yes: bool,
    **given: Any,
) -> None:
    """Move SERVICE, or a lost site's services, to the other one.

    For when the primary is lost: nobody there is asked. While it still answers, this is refused: use
    switchover. What may be lost is said before anything is done. Services of a lost site go together: each
    once what it needs is there, those of the lowest rank first; one that fails does not stop the rest.

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
    request = _request("failover", service, whole_site, **given)
    click.get_current_context().exit(_moved(settings, request, yes=yes, key=key))


COMMANDS: tuple[click.Command, ...] = (plan, switchover, failover, failback)
