"""What is on file: the journal's stream of decisions, certificates and reports. Changes nothing."""

import click

from orchestrator.cli.connect import controller
from orchestrator.cli.options import SERVICE, Settings, json_option, pass_settings
from orchestrator.cli.output import say, say_json

KINDS = (
    "decision",
    "certificate",
    "certificate-approved",
    "broken-glass",
    "reconciled",
    "accepted",
    "power-off",
    "powered-off",
    "power-back",
    "loss-reconciled",
    "step-stalled",
    "run-sealed",
)


@click.command()
@click.argument("service", type=SERVICE, required=False)
@click.option("--kind", type=click.Choice(KINDS), help="Only entries of this kind.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), metavar="N", default=50, show_default=True, help="How many."
)
@json_option
@pass_settings
def history(settings: Settings, service: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """Show what was decided and certified, newest first.

    Every decision and every decision not to act, who certified what, where glass was broken and reconciled,
    what each side had accepted when two sites parted, with the place where it is kept, and which hosts were
    switched off.

    \b
    Examples:
      twinsite history ebs
      twinsite history --kind certificate
    """
    from orchestrator.cli.certificate_views import history_lines

    with controller(settings) as asked:
        found = asked.history(service=service or "", kind=kind or "", limit=limit)
    if as_json:
        say_json(found)
        return
    for each in found.entries:
        say(history_lines(each))
    if not found.entries:
        say(["Nothing is on file."])


COMMANDS: tuple[click.Command, ...] = (history,)
