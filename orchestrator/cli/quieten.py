"""Verbs that quieten: pause and resume automatic moves, acknowledge what people were told of."""

from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import controller
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import DURATION, SERVICE, SITE, Settings, pass_settings, reason_option
from orchestrator.cli.output import say

if TYPE_CHECKING:
    from orchestrator.api.shapes import QuietRequest

_SITE_HELP = "All services whose primary is at SITE."


def _request(
    service: str | None, of_site: str | None, everything: bool, seconds: float | None, reason: str
) -> "QuietRequest":
    from orchestrator.api.shapes import QuietRequest

    if sum((service is not None, of_site is not None, everything)) != 1:
        raise wrong("Say which, exactly one: a SERVICE, --site SITE, or --all.")
    return QuietRequest(service=service, site=of_site, everything=everything, seconds=seconds, reason=reason)


@click.command()
@click.argument("service", type=SERVICE, required=False)
@click.option("--site", "of_site", type=SITE, metavar="SITE", help=_SITE_HELP)
@click.option("--all", "everything", is_flag=True, help="Every service.")
@click.option("--for", "seconds", type=DURATION, default="30m", show_default=True, metavar="DURATION",
              help="How long; then it ends by itself.")  # fmt: skip
@reason_option("Why; shown to whoever looks. Needed.")
@pass_settings
def pause(
    settings: Settings,
    service: str | None,
    of_site: str | None,
    everything: bool,
    seconds: float,
    reason: str,
) -> None:
    """No moves for a while, neither automatic nor ordered ones.

    A pause always ends by itself: after half an hour, unless --for says otherwise; more than seven days are
    refused. Until then every status, plan, list of runs and lag says who paused what, why, and how long it
    still lasts. Who has to move a paused service resumes it first. Watching, probing and replication go on.

    \b
    Examples:
      twinsite pause ebs --for 2h --reason "storage work at Morpeth"
      twinsite pause --all --for 15m --reason "switch is being replaced"
    """
    if not reason:
        raise wrong("pause needs --reason: whoever is woken meanwhile reads it.")
    request = _request(service, of_site, everything, seconds, reason)
    with controller(settings) as asked:
        say(asked.pause(request).lines)


@click.command()
@click.argument("service", type=SERVICE, required=False)
@click.option("--site", "of_site", type=SITE, metavar="SITE", help=_SITE_HELP)
@click.option("--all", "everything", is_flag=True, help="Every service.")
@reason_option("Why; kept on file.")
@pass_settings
def resume(
    settings: Settings, service: str | None, of_site: str | None, everything: bool, reason: str
) -> None:
    """Allow moves again.

    \b
    Example:
      twinsite resume ebs
    """
    request = _request(service, of_site, everything, None, reason)
    with controller(settings) as asked:
        say(asked.resume(request).lines)


@click.command()
@click.argument("service", type=SERVICE, required=False)
@click.option("--site", "of_site", type=SITE, metavar="SITE",
              help="What people were told of SITE, and all services whose primary is there.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Everything that people were told of.")
@reason_option("What was found; kept on file. Needed.")
@pass_settings
def acknowledge(
    settings: Settings, service: str | None, of_site: str | None, everything: bool, reason: str
) -> None:
    """Say that you are at it, so that nobody else is told.

    Whoever was told of something (`twinsite notify list`) takes it on with this. Until then the next
    receiver is told after a while, where the estate file names one.

    Its last unplanned move is noted as looked at, too. Until then SERVICE does not move by itself again
    within `min_time_between_failovers`: a service that is thrown to and fro is worse off than one that
    stays down until somebody looks.

    \b
    Examples:
      twinsite acknowledge ebs --reason "a disk died, replaced"
      twinsite acknowledge --site morpeth --reason "power cut, electricians are on their way"
    """
    if not reason:
        raise wrong("acknowledge needs --reason: what was found? It is kept on file.")
    request = _request(service, of_site, everything, None, reason)
    with controller(settings) as asked:
        say(asked.acknowledge(request).lines)


COMMANDS: tuple[click.Command, ...] = (pause, resume, acknowledge)
