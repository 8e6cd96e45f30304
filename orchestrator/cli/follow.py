"""Live progress of a run: a line per step's change, or a table on a terminal. Following changes nothing:
Ctrl-C ends the looking, never the run.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from orchestrator.api.client import NobodyAnswers
from orchestrator.api.shapes import OutputLine, RunDetail
from orchestrator.cli import views
from orchestrator.cli.failures import INTERRUPTED, SILENT, Failure, silent
from orchestrator.cli.output import NARROWEST_TABLE, console, duration, on_terminal, say, width, wrapped

if TYPE_CHECKING:
    from rich.console import Group

    from orchestrator.api.blocking import Controller


class Progress(Protocol):
    """Shows a run as it goes."""

    def update(self, run: RunDetail) -> None:
        """The run has changed."""


def follow(asked: "Controller", run: str) -> RunDetail:
    """Show the run until it has ended. Ends the command on Ctrl-C and when nobody answers any more."""
    last: RunDetail | None = None
    try:
        with _progress() as progress:
            for detail in asked.follow(run):
                last = detail
                progress.update(detail)
    except KeyboardInterrupt as stop:
        lines = ["Stopped looking; the run goes on without you.", f"Look again: twinsite runs show {run}"]
        raise Failure("\n".join(lines), INTERRUPTED) from stop
    except NobodyAnswers as fault:
        told = f"The run {run} may go on. Ask again, here or on the other site: twinsite runs show {run}"
        raise Failure(f"{silent(fault).message}\n{told}", SILENT) from fault
    if last is None:
        raise Failure(f"Nothing was told of run {run}: see twinsite runs show {run}", 1)
    say(views.run_ended(last))
    return last


def follow_output(lines: Iterator[OutputLine]) -> None:
    """Print what the run's commands say until it has ended, or until Ctrl-C."""
    try:
        for line in lines:
            if line.missed:
                click.echo(f"[… {line.missed} lines were lost: they came faster than they were shown …]")
            mark = {"out": "|", "err": "!", "state": "="}[line.stream]
            click.echo(f"{line.step} {mark} {line.text}")
    except KeyboardInterrupt:
        click.echo("Stopped looking; the run goes on without you.")


@contextmanager
def _progress() -> Iterator[Progress]:
    if not on_terminal() or width() < NARROWEST_TABLE:
        yield _Lines()
        return
    from rich.live import Live

    table = _LiveTable()
    with Live(table, console=console(), refresh_per_second=4):
        yield table


class _Lines:
    """A line for every change of a step's state."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._waits: set[tuple[str, str]] = set()
        self._orders = 0

    def update(self, run: RunDetail) -> None:
        """Tell what is new."""
        for order in run.orders[self._orders :]:
            text = f"order {order.number}: {order.verb} {order.step} by {order.who}: {order.reason}"
            say(wrapped(text.replace("  ", " "), then="    "))
        self._orders = max(self._orders, len(run.orders))
        waiting = {(wait.kind, wait.step) for wait in run.waits}
        if waiting - self._waits:
            say(views.waits(run))
        self._waits = waiting
        for step in run.steps:
            if self._told.get(step.step, "waiting") == step.state:
                continue
            self._told[step.step] = step.state
            for line in wrapped(views.step_line(step, len(run.steps)), then="    "):
                click.echo(line)


class _LiveTable:
    """A table of the steps; a running one shows how long it has been running as seen from here."""

    def __init__(self) -> None:
        self._run: RunDetail | None = None
        self._running_since: dict[str, float] = {}

    def update(self, run: RunDetail) -> None:
        """The run has changed."""
        self._run = run
        for step in run.steps:
            if step.state == "running":
                self._running_since.setdefault(step.step, time.monotonic())

    def __rich__(self) -> "Group":
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        styles = {"running": "bold", "failed": "bold red", "in-doubt": "bold red", "waiting": "dim"}
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
        for header in ("", "Step", "State", "Took", ""):
            table.add_column(header, overflow="fold")
        if self._run is None:
            return Group(Text("Waiting for the first step"))
        for step in self._run.steps:
            took = "" if step.duration_seconds is None else duration(step.duration_seconds)
            if step.state == "running":
                took = duration(round(time.monotonic() - self._running_since[step.step], 1))
            cells = (
                str(step.number),
                step.title or step.step,
                views.STEP_WORDS[step.state],
                took,
                step.detail,
            )
            table.add_row(*cells, style=styles.get(step.state, ""))
        title = Text(f"{views.run_heading(self._run)} ({self._run.run})", style="bold")
        return Group(title, Text(), table, Text("\n".join(views.waits(self._run))))
