"""Verbs about runbooks: check them, draw them, print them. They ask no controller and change nothing."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from orchestrator.cli.failures import WRONG, Failure, wrong
from orchestrator.cli.options import SERVICE, SITE, Settings, json_option, pass_settings
from orchestrator.cli.output import say

if TYPE_CHECKING:
    from orchestrator.cli.runbook_desk import RunbookDesk

KINDS = ("failover", "switchover", "rejoin", "restart", "drill")


class RunbookType(click.ParamType[str]):
    """A runbook by its name, or by the path of its file; a shell can complete either."""

    name = "runbook"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is; whether it exists is said with the names that do."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so, and whatever files do."""
        from orchestrator.cli.runbook_desk import names_for_completion

        found = names_for_completion(ctx.find_root().params)
        names = [CompletionItem(name) for name in found if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="file")]


RUNBOOK = RunbookType()
KIND = click.option(
    "--kind", type=click.Choice(KINDS), help="Only the steps of this kind of run. Without it: all of them."
)


@click.group()
def runbook() -> None:
    """Check runbooks, draw them, print them for the wall.

    A runbook is named by its path below its folder, without .yaml (postgres/promote), or by its file.

    \b
    Examples:
      twinsite runbook check
      twinsite runbook graph crm/promote --kind failover
      twinsite runbook show crm/promote --service crm --to morpeth
    """


def _desk(settings: Settings) -> "RunbookDesk":
    from orchestrator.cli.runbook_desk import open_desk

    return open_desk(settings)


@runbook.command("check")
@click.argument("runbooks", metavar="[PATH|NAME]...", type=RUNBOOK, nargs=-1)
@click.option("--strict", is_flag=True, help="Let warnings fail the check too.")
@json_option
@pass_settings
def check(settings: Settings, runbooks: tuple[str, ...], strict: bool, as_json: bool) -> None:
    """Check runbooks; each finding with its line, code and remedy.

    Without a name: all in the folders of the estate file, and those that ship. With an estate file each is
    also bound to every service that uses it, in both directions: hosts, probes and parameters that are
    missing show here and not at night.

    A fault means that the runbook would be refused. A warning means that it would be carried out, and not as
    you would like on the day. All codes are in docs/reference/runbook-findings.md.

    \b
    A comment on the step's line, or above it, allows a warning; it must give a reason:
      # twinsite: allow no-verify because the next step looks

    \b
    Examples:
      twinsite runbook check
      twinsite runbook check runbooks/crm/*.yaml
      twinsite runbook check --strict --json crm/promote
    """
    from orchestrator.cli.runbook_views import finding_lines, in_order_line, values_of
    from runbooks.rules import Severity

    desk = _desk(settings)
    checked = [desk.check(path) for path in desk.files(runbooks)]
    faulty = [one for one in checked if one.of(Severity.FAULT)]
    warned = [one for one in checked if one.of(Severity.WARNING)]
    if as_json:
        click.echo(json.dumps(values_of(checked), indent=2, ensure_ascii=False))
    for one in checked if not as_json else ():
        for finding in one.findings:
            click.echo("\n".join(finding_lines(finding)), err=bool(one.of(Severity.FAULT)))
        if one not in faulty:
            click.echo(in_order_line(one))
    if faulty:
        raise Failure(f"{len(faulty)} of {len(checked)} runbooks have faults.", WRONG)
    if strict and warned:
        raise Failure(
            f"{len(warned)} of {len(checked)} runbooks have warnings, and --strict is given.", WRONG
        )


@runbook.command()
@click.argument("name", metavar="NAME|PATH", type=RUNBOOK)
@KIND
@click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write it there, not on the screen."
)
@pass_settings
def graph(settings: Settings, name: str, kind: str | None, output: Path | None) -> None:
    """Draw a runbook as a flowchart, in Mermaid's language.

    Each step with its number, title, action and side. A rounded box only looks, waits or tells. Steps of
    some kinds of run only have a broken line and say which; the longest chain by time limits has thick
    lines. Nothing is told by colour. Many wikis and code hosts show Mermaid; into a file that ends in .md it
    is written as they want it.

    \b
    Examples:
      twinsite runbook graph postgres/rejoin
      twinsite runbook graph crm/promote --kind failover --output promote.md
    """
    from runbooks.flowchart import flowchart
    from runbooks.model import Kind

    desk = _desk(settings)
    lines = flowchart(desk.load(name), desk.library.catalogue, Kind(kind) if kind else None)
    if output is None:
        say(lines)
        return
    if output.suffix == ".md":
        lines = ["```mermaid", *lines, "```"]
    try:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as fault:
        raise wrong(f"{output}: cannot be written: {fault.strerror}; name another place") from fault
    click.echo(f"{output}: written")


@runbook.command()
@click.argument("name", metavar="NAME|PATH", type=RUNBOOK)
@KIND
@click.option("--service", type=SERVICE, metavar="NAME", help="Bind it to this service's sites and hosts.")
@click.option("--to", "to_site", type=SITE, metavar="SITE", help="With --service: the site that is to serve.")
@json_option
@pass_settings
def show(
    settings: Settings, name: str, kind: str | None, service: str | None, to_site: str | None, as_json: bool
) -> None:
    """Print a runbook as a page to hang on the wall, 80 columns wide.

    Every step: where, what exactly, after which, how long, what is asked before and after, what becomes of it
    when it fails or nobody answers. With --service and --to it has that service's hosts and values, and the
    numbers that the plan and the run have.

    \b
    Examples:
      twinsite runbook show crm/promote
      twinsite runbook show crm/promote --service crm --to morpeth | lpr
      twinsite runbook show crm/promote --kind switchover --service crm --to morpeth
    """
    from dataclasses import asdict

    from runbooks.model import Kind
    from runbooks.page import page_of
    from runbooks.page_text import render_page

    if (service is None) != (to_site is None):
        raise wrong("--service and --to belong together: whose move it is, and to which site")
    desk = _desk(settings)
    found, wanted = desk.load(name), Kind(kind) if kind else None
    if service is not None and to_site is not None:
        page = desk.page(found, wanted, service, to_site)
    else:
        page = page_of(found, desk.library.catalogue, wanted)
    if as_json:
        click.echo(json.dumps(asdict(page), indent=2, ensure_ascii=False))
    else:
        say(render_page(page))


COMMANDS: tuple[click.Command, ...] = (runbook,)
