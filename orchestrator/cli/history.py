"""What is on file: the journal's stream of decisions, certificates and reports, and the figures of past runs.
Changes nothing."""

from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.connect import controller
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import SERVICE, Settings, json_option, pass_settings
from orchestrator.cli.output import say, say_json

KINDS = (
    "decision",
    "certificate",
    "certificate-approved",
    "broken-glass",
    "reconciled",
    "accepted",
    "protection",
    "message",
    "acknowledged",
    "power-off",
    "powered-off",
    "power-back",
    "loss-reconciled",
    "step-stalled",
    "run-sealed",
    "drill-began",
    "drill-refused",
    "drill-missed",
    "drill-ended",
    "drill-cleaned",
    "drill-not-cleaned",
)


@click.command()
@click.argument("service", type=SERVICE, required=False)
@click.option("--kind", type=click.Choice(KINDS), help="Only entries of this kind.")
@click.option(
    "--limit", type=click.IntRange(1, 5000), metavar="N", default=50, show_default=True, help="How many."
)
@click.option("--trend", is_flag=True, help="Show the figures of past runs, and of every month.")
@click.option("--steps", is_flag=True, help="With --trend: of single steps.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="With --trend: only runs that ended on that day (UTC) or later.",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write the figures as a table, `-` for standard output; with --steps a row for each step.",
)
@json_option
@pass_settings
def history(
    settings: Settings,
    service: str | None,
    kind: str | None,
    limit: int,
    trend: bool,
    steps: bool,
    since: datetime | None,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """Show what was decided, newest first; with --trend, past runs.

    Every decision and every decision not to act, who certified what, where glass was broken and reconciled,
    what each side had accepted when two sites parted, with the place where it is kept, which hosts were
    switched off, what a move lost in fact, who was told of what, and who acknowledged it.

    The trend has each run's outage against its objective, what it was said to lose and lost, and by month how
    long runs and steps took. Single runs are kept for ten years and single steps for two; months for ever.

    \b
    Examples:
      twinsite history ebs
      twinsite history --kind certificate
      twinsite history ebs --trend --steps
      twinsite history --trend --since 2026-01-01 --limit 1000 --csv runs.csv
    """
    from orchestrator.cli.certificate_views import history_lines

    if trend or csv_file is not None:
        _trend(settings, service or "", limit, steps=steps, since=since, csv_file=csv_file, as_json=as_json)
        return
    if steps or since is not None:
        raise wrong("--steps and --since go with --trend")
    with controller(settings) as asked:
        found = asked.history(service=service or "", kind=kind or "", limit=limit)
    if as_json:
        say_json(found)
        return
    for each in found.entries:
        say(history_lines(each))
    if not found.entries:
        say(["Nothing is on file."])


def _trend(
    settings: Settings,
    service: str,
    limit: int,
    *,
    steps: bool,
    since: datetime | None,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    from orchestrator.cli import trend_views

    begin = int(since.replace(tzinfo=UTC).timestamp()) if since is not None else 0
    with controller(settings) as asked:
        found = asked.figures(service=service, limit=limit, since_unix_seconds=begin, steps=steps)
    if csv_file is not None:
        text = trend_views.as_csv(found, steps=steps)
        if str(csv_file) == "-":
            click.echo(text, nl=False)
            return
        try:
            csv_file.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise wrong(f"{csv_file}: cannot be written: {fault.strerror}") from fault
        say([f"Written: {csv_file}"])
    elif as_json:
        say_json(found)
    else:
        say(trend_views.trend(found, steps=steps))


COMMANDS: tuple[click.Command, ...] = (history,)
