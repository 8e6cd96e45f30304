"""Verbs that only look: status, explain, lag, runs. They change nothing, whatever they are given."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import steer
from orchestrator.cli.connect import controller
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import RUN, SERVICE, Settings, json_option, pass_settings
from orchestrator.cli.output import (
    NARROWEST_TABLE,
    age,
    console,
    on_terminal,
    say,
    say_json,
    width,
    wrapped,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.api.blocking import Controller
    from orchestrator.api.shapes import RunList, Status

REDRAW_SECONDS = 1.0


@click.command()
@click.option("--watch", is_flag=True, help="Redraw every second until Ctrl-C.")
@json_option
@pass_settings
def status(settings: Settings, watch: bool, as_json: bool) -> None:
    """Show what is up, who is primary where, and what to do next.

    Sites come first (who answers, whose right to act lasts how long), then each service: who is primary,
    what both sides say, how far the copy is behind and how old that figure is. Then what moving it now
    would lose, what is degraded, and the commands to go on with. What is not known is shown as unknown.

    \b
    Examples:
      twinsite status
      twinsite status --watch
    """
    if watch and (as_json or not on_terminal()):
        raise wrong("--watch needs a terminal and no --json; for programs ask again and again: status --json")
    with controller(settings) as asked:
        if watch:
            _watch(asked)
            return
        found = asked.status()
    if as_json:
        say_json(found)
    else:
        _show(found)


def _show(found: "Status") -> None:
    from orchestrator.cli import status_view

    if on_terminal() and width() >= NARROWEST_TABLE:
        console().print(_picture(found))
    else:
        say(status_view.lines(found, columns=width()))


def _watch(asked: "Controller") -> None:
    """Redraw until Ctrl-C. A controller that goes away is told of, above what it said last."""
    from rich.live import Live

    from orchestrator.api.client import AnswerUnreadable, NobodyAnswers

    last: Status | None = None
    heard = time.monotonic()
    trouble = ""
    try:
        with Live(console=console(), screen=True, auto_refresh=False) as live:
            while True:
                try:
                    last = asked.status()
                    heard, trouble = time.monotonic(), ""
                except (NobodyAnswers, AnswerUnreadable) as fault:
                    trouble = str(fault)
                live.update(_watched(last, trouble, time.monotonic() - heard), refresh=True)
                time.sleep(REDRAW_SECONDS)
    except KeyboardInterrupt:
        pass
    if last is not None:
        _show(last)
    if trouble:
        say(wrapped(f"The controller does not answer: {trouble}", then="  "))


def _watched(last: "Status | None", trouble: str, silent_seconds: float) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    screen = console()
    if trouble:
        parts += [Text(f"THE CONTROLLER DOES NOT ANSWER: {trouble}", style="bold red")]
        told = f"What follows is what it said {age(silent_seconds)}." if last else "It has said nothing yet."
        parts += [Text(told), Text()]
    if last is not None:
        parts.append(_picture(last))
        room = screen.height - 2 - len(screen.render_lines(Group(*parts)))
        if room < 0:  # what to do comes first where not everything fits
            parts[-1] = _picture(last, urgent_first=True)
    parts += [Text(), Text("Ctrl-C ends this; nothing is changed by looking.", style="dim")]
    return Group(*parts)


def _picture(found: "Status", *, urgent_first: bool = False) -> "RenderableType":
    from rich.text import Text

    from orchestrator.cli import status_view

    if width() >= NARROWEST_TABLE:
        return status_view.picture(found, urgent_first=urgent_first)
    return Text("\n".join(status_view.lines(found, columns=width())))


@click.command()
@click.argument("service", type=SERVICE)
@json_option
@pass_settings
def explain(settings: Settings, service: str, as_json: bool) -> None:
    """Say why SERVICE was moved, or was not, with the evidence.

    Shows what its situation is called, what was decided and by which rule, each gate before a promotion
    with what was found there, what every observer saw, and the decisions before this one.

    \b
    Example:
      twinsite explain ebs
    """
    from orchestrator.cli import views

    with controller(settings) as asked:
        found = asked.explain(service)
    if as_json:
        say_json(found)
    else:
        say(views.explanation(found))


@click.command()
@json_option
@pass_settings
def lag(settings: Settings, as_json: bool) -> None:
    """Show how far each copy is behind, and how old that figure is.

    Seconds are the age of the oldest change that the other site has not replayed yet: an idle service
    shows 0, a figure that is not fresh any more is shown as unknown.

    \b
    Example:
      twinsite lag
    """
    from orchestrator.api.shapes import LagList
    from orchestrator.cli import views

    with controller(settings) as asked:
        found = asked.status()
    if as_json:
        lags = [service.lag for service in found.services if service.lag is not None]
        on = {service.service: service.pause for service in found.services if service.pause is not None}
        say_json(LagList(lag=lags, pauses=on))
        return
    for service in found.services:
        if not service.watch_only:
            say(wrapped(views.lag_line(service)))


@click.group(invoke_without_command=True)
@click.option(
    "--limit", type=click.IntRange(1, 500), metavar="N", default=20, show_default=True, help="How many."
)
@json_option
@click.pass_context
def runs(ctx: click.Context, limit: int, as_json: bool) -> None:
    """List runs, show one, and steer one that is under way.

    `runs show ID` tells one step by step; of one that waits for a person it says for what, and the commands
    that may be typed. Each order needs a --reason, stands in the run's record, and may be given at either
    site's controller.

    \b
    Examples:
      twinsite runs
      twinsite runs show ebs-failover-7
      twinsite runs retry ebs-failover-7 5 --reason "licence renewed"
    """
    if ctx.invoked_subcommand is not None:
        return
    with controller(ctx.find_object(Settings) or Settings(None, None)) as asked:
        found = asked.runs(limit)
    if as_json:
        say_json(found)
    else:
        _show_runs(found)


def _show_runs(found: "RunList") -> None:
    from orchestrator.cli import views

    say(views.pauses(found))
    if not found.runs:
        say(["No runs yet."])
    elif on_terminal() and width() >= NARROWEST_TABLE:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
        for header in ("Run", "What", "State", "Started", "Took", "By"):
            table.add_column(header, overflow="fold", no_wrap=header == "Run")
        for run in found.runs:
            table.add_row(*views.run_cells(run))
        console().print(table)
    else:
        for run in found.runs:
            identity, what, state, started, took, who = views.run_cells(run)
            say(wrapped(f"{identity}: {what}: {state}; started: {started}; took: {took}; by {who}"))


@runs.command()
@click.argument("run", metavar="ID", type=RUN)
@click.option("--follow", is_flag=True, help="First show what its commands say, while they say it.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Read it from there, as `twinsite emergency` recorded it; no controller is asked.",
)
@json_option
@pass_settings
def show(settings: Settings, run: str, follow: bool, journal: Path | None, as_json: bool) -> None:
    """Tell one run: who ordered it and why, what it waits for, each step.

    What only a person can end is named, with the commands that end it. What people have ordered of the run
    stands below the steps, and what it left if it ended before its end.

    With --follow the last lines of its commands, and each further one as it comes, until the run has ended.
    Only the controller that carries a run out hears them. Ctrl-C ends the looking, never the run.

    \b
    Examples:
      twinsite runs show ebs-failover-7
      twinsite runs show ebs-failover-7 --follow
      twinsite runs show ebs-failover-7 --journal twinsite-emergency.sqlite
    """
    from orchestrator.cli import views
    from orchestrator.cli.follow import follow_output

    if journal is not None:
        from orchestrator.cli.by_hand import run_in

        found = run_in(journal, run)
        if as_json:
            say_json(found)
        else:
            say(views.run_detail(found))
        return
    with controller(settings) as asked:
        if follow:
            follow_output(asked.output(run))
        found = asked.run(run)
    if as_json:
        say_json(found)
    else:
        say(views.run_detail(found))


for _steering in steer.COMMANDS:
    runs.add_command(_steering)
COMMANDS: tuple[click.Command, ...] = (status, explain, lag, runs)
