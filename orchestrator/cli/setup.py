"""Verbs for setting up: check the estate file, its schema, hosts, fencing devices, and shell completion."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connect import estate_path, site_in
from orchestrator.cli.failures import FAILED, WRONG, Failure, wrong
from orchestrator.cli.options import SITE, Settings, pass_settings
from orchestrator.cli.output import wrapped

if TYPE_CHECKING:
    from sites.inventory import Loaded
    from sites.model import Estate

PATH = click.Path(path_type=Path)
POSTGRES_PROGRAMS = ("pg_ctl", "pg_controldata", "pg_rewind", "pg_basebackup")


def load_checked(path: Path, site: str | None) -> "Loaded":
    """The estate with every setting of every probe and driver checked, and every runbook that is named. Ends
    the command with all faults.

    A secret that is not there is a fault only for the machine of `site`, which needs its own.
    """
    from orchestrator.paging.writing import receiver_faults
    from probes.catalogue import SETTINGS as PROBES
    from probes.catalogue import faults as probe_faults
    from runbooks.faults import faults as runbook_faults
    from sites.inventory import EstateInvalid, load_estate
    from sites.replication.catalogue import SETTINGS as DRIVERS

    try:
        return load_estate(
            path,
            probe_settings=PROBES,
            driver_settings=DRIVERS,
            probe_faults=probe_faults,
            runbook_faults=runbook_faults,
            receiver_faults=receiver_faults,
            resolve_secrets=site is not None,
            site=site,
        )
    except EstateInvalid as fault:
        count = len(fault.faults)
        warnings = [f"warning: {one.render()}" for one in fault.warnings]
        told = (
            f"{path}: {count} fault{'' if count == 1 else 's'}; nothing uses the file until they are mended."
        )
        raise Failure("\n".join([*(one.render() for one in fault.faults), *warnings, told]), WRONG) from fault


@click.group()
def config() -> None:
    """Check the estate file, or print its schema for editors.

    \b
    Examples:
      twinsite config check
      twinsite config schema > sites.schema.json
    """


@config.command()
@click.argument("path", type=PATH, required=False)
@pass_settings
def check(settings: Settings, path: Path | None) -> None:
    """Check the estate file; every fault at once, with line and column.

    Also checked: the settings of each probe and driver, the rule that keeps the lease's timings safe, and
    that every runbook named exists and is sound, and so is every template of a message. Warnings do not fail
    the check. A secret that is not here is only a warning, unless --site before the verb says that this is
    the machine that needs it.

    \b
    Examples:
      twinsite config check
      twinsite config check new-sites.yaml
      twinsite --site durham config check
    """
    place = path or estate_path(settings)
    loaded = load_checked(place, settings.site)
    if settings.site is not None:
        site_in(loaded.estate, settings.site)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning.render()}")
    estate = loaded.estate
    watched = sum(service.watch_only for service in estate.services.values())
    counts = f"{len(estate.sites)} sites, {len(estate.services)} services ({watched} watched only)"
    noticed = f", {len(loaded.warnings)} warnings" if loaded.warnings else ", no warnings"
    click.echo(f"{place}: in order: {counts}{noticed}")


@config.command()
def schema() -> None:
    """Print the estate file's JSON Schema, for editors.

    \b
    Example:
      twinsite config schema > sites.schema.json
    """
    from probes.catalogue import SETTINGS as PROBES
    from sites.inventory import json_schema
    from sites.replication.catalogue import SETTINGS as DRIVERS

    click.echo(json.dumps(json_schema(PROBES, DRIVERS), indent=2, ensure_ascii=False))


@click.group()
def hosts() -> None:
    """Try the hosts of the estate file.

    \b
    Example:
      twinsite hosts check
    """


@hosts.command("check")
@pass_settings
def check_every_host(settings: Settings) -> None:
    """Try every host over SSH, one after another.

    Reaches it, checks its key, logs in, and looks at its tools, its clock, its disk, and at what would start
    a database there by itself. Changes nothing and adds nothing to known_hosts. A line for each host: ok,
    look (works, but somebody should look), or FAULT.

    \b
    Example:
      twinsite hosts check
    """
    from orchestrator.databases_of import databases_of
    from orchestrator.hosts_check import check_hosts
    from orchestrator.hosts_report import HostReport, render_line

    loaded = load_checked(estate_path(settings), None)

    def tell(report: HostReport) -> None:
        click.echo("\n".join(wrapped(render_line(report), then="      ")))

    reports = check_hosts(
        loaded.estate,
        loaded.path.absolute().parent,
        on_report=tell,
        tools=_tools_of(loaded.estate),
        databases=databases_of(loaded.estate),
    )
    faults = [report for report in reports if report.ok is False]
    if faults:
        raise Failure(f"{len(faults)} of {len(reports)} hosts have faults.", FAILED)
    if not reports:
        click.echo(f"{loaded.path}: no hosts are named there.")


@click.group()
def fence() -> None:
    """Try the devices that switch hosts off.

    \b
    Example:
      twinsite fence check --site morpeth
    """


@fence.command("check")
@click.option("--site", "here", type=SITE, metavar="SITE", help="The site that this machine belongs to.")
@pass_settings
def check_every_device(settings: Settings, here: str | None) -> None:
    """Ask every fencing device that this site uses; switches nothing.

    To be run at the site that uses them: it has their secrets, and its way to them is the one that counts.
    Each agent says which options it has, and whether its machine is on. A line for each device: ok, look, or
    FAULT; one that says off while its host answers speaks of another machine.

    \b
    Example:
      twinsite fence check --site morpeth
    """
    from orchestrator.fence_check import check_devices
    from orchestrator.hosts_report import HostReport, render_line

    site = here or settings.site
    if site is None:
        raise wrong("Say which site this machine belongs to: --site SITE")
    loaded = load_checked(estate_path(settings), site)
    site_in(loaded.estate, site)

    def tell(report: HostReport) -> None:
        click.echo("\n".join(wrapped(render_line(report), then="      ")))

    reports = check_devices(loaded.estate, site, on_report=tell)
    faults = [report for report in reports if report.ok is False]
    if faults:
        raise Failure(f"{len(faults)} of {len(reports)} devices have faults.", FAILED)
    if not reports:
        click.echo(f"{loaded.path}: {site} uses no devices.")


def _tools_of(estate: "Estate") -> dict[tuple[str, str], list[str]]:
    """The programs that drivers need, by site and host."""
    from sites.replication.catalogue import databases_of

    found: dict[tuple[str, str], list[str]] = {}
    for service in estate.services.values():
        for settings in databases_of(service):
            for site, instance in settings.instances.items():
                programs = [f"{instance.bin}/{name}" for name in POSTGRES_PROGRAMS]
                found.setdefault((site, instance.host), []).extend(programs)
    return found


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes verbs and names in SHELL.

    \b
    Example:
      twinsite completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"click has no completion for {shell}", FAILED)
    click.echo(kind(ctx.find_root().command, {}, "twinsite", "_TWINSITE_COMPLETE").source())


COMMANDS: tuple[click.Command, ...] = (config, hosts, fence, completion)
