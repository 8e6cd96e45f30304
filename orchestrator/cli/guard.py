"""The verb `guard`: run the dead man's switch of a service on this host, or make what its host needs."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.connect import estate_path, site_in
from orchestrator.cli.failures import FAILED, Failure, wrong
from orchestrator.cli.options import SERVICE, SITE, Settings, pass_settings

FOLDER = click.Path(path_type=Path, file_okay=False)
CERTIFICATE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--service", type=SERVICE, metavar="SERVICE", required=True, help="The service it guards.")
@click.option("--site", "here", type=SITE, metavar="SITE", help="The site that this machine belongs to.")
@click.option("--unit", is_flag=True, help="Print the systemd unit that runs it, and end.")
@click.option("--settings", "show", is_flag=True, help="Print its settings as guard.py reads them, and end.")
@click.option(
    "--copy-to",
    type=FOLDER,
    metavar="FOLDER",
    help="Write what a database host without twinsite needs into a new folder, and end.",
)
@click.option(
    "--certificate",
    type=CERTIFICATE,
    metavar="FILE",
    help="Hand a break-glass certificate to the guard that runs here, and end.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help="Before its very first start, beside a database that serves: leave it open until told, and end.",
)
@click.option(
    "--repair-memory",
    "memory",
    type=(click.IntRange(0), click.IntRange(0)),
    metavar="INCARNATION EPOCH",
    help="Write a corrupt memory anew, never lower than what the store says; the guard must not run.",
)
@pass_settings
def guard(
    settings: Settings,
    service: str,
    here: str | None,
    unit: bool,
    show: bool,
    copy_to: Path | None,
    certificate: Path | None,
    adopt: bool,
    memory: tuple[int, int] | None,
) -> None:
    """Run the dead man's switch of a service on its database host.

    It asks its site's controller how long the service may stay open, and closes it by itself when the
    answers stop. A database host needs neither twinsite nor a newer Python than 3.6 for it: --copy-to makes
    a folder with all that is to be copied there. docs/guard.md tells what it protects against, and how.

    \b
    Examples:
      twinsite guard --service crm --site durham
      twinsite guard --service crm --site durham --copy-to for-crm-db
      twinsite guard --service crm --site durham --certificate break-glass.json
    """
    said = _said(settings, service, here)
    if sum((unit, show, copy_to is not None, certificate is not None, adopt, memory is not None)) > 1:
        raise wrong("--unit, --settings, --copy-to, --certificate, --adopt, --repair-memory: one at a time")
    if show:
        click.echo(json.dumps(said, indent=2))
    elif copy_to is not None:
        _copy(said, copy_to)
    elif unit:
        click.echo(_unit(settings, said), nl=False)
    else:
        click.get_current_context().exit(_run(said, certificate, memory, adopt=adopt))


def _said(settings: Settings, service: str, here: str | None) -> dict[str, Any]:
    """The guard's settings, from an estate that is in order."""
    from sites.fencing.config import guard_settings
    from sites.inventory import load_estate
    from sites.replication.catalogue import SETTINGS as DRIVERS

    site = here or settings.site
    if site is None:
        raise wrong("Say which site this machine belongs to: --site SITE")
    path = estate_path(settings)
    estate = load_estate(path, driver_settings=DRIVERS, resolve_secrets=False).estate
    return guard_settings(estate, service, site_in(estate, site), path.absolute().parent)


def _run(
    said: dict[str, Any], certificate: Path | None, memory: tuple[int, int] | None, *, adopt: bool
) -> int:
    from sites.fencing import guard as program

    try:
        checked = program.Settings(said)
        if certificate is not None:
            return program.hand_in(checked, str(certificate))
        if adopt:
            return program.adopt(checked)
        if memory is not None:
            return program.repair(checked, program.Memory(*memory))
        return program.Guard(checked).run()
    except program.SettingsWrong as fault:
        raise wrong(f"The guard's settings: {fault}") from fault
    except OSError as fault:
        raise Failure(f"Failed: {fault}", FAILED) from fault


def _unit(settings: Settings, said: dict[str, Any]) -> str:
    from sites.fencing.guard import Settings as Checked
    from sites.fencing.guard import unit_text

    words = [str(Path(sys.argv[0]).absolute()), "--config", str(estate_path(settings).absolute())]
    words += ["guard", "--service", said["service"], "--site", said["site"]]
    return unit_text(Checked(said), " ".join(words))


def _copy(said: dict[str, Any], folder: Path) -> None:
    """guard.py, its settings, its unit, and a list of what must come along."""
    from sites.fencing import guard as program
    from sites.fencing.config import HOME, settings_on_host

    service = said["service"]
    there, files = settings_on_host(said)
    config = f"{service}.json"
    unit = f"twinsite-guard-{service}.service"
    command = f"/usr/bin/python3 {HOME}/guard.py --config {HOME}/{config}"
    texts = {
        "guard.py": Path(program.__file__).read_text(encoding="utf-8"),
        config: json.dumps(there, indent=2) + "\n",
        unit: program.unit_text(program.Settings(there), command),
    }
    try:
        folder.mkdir(parents=True, exist_ok=False)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "guard.py").chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IROTH)
    except OSError as fault:
        raise wrong(f"{folder}: {fault.strerror}; name a folder that can be made") from fault
    click.echo(f"{folder}: made. On {said['host']} at {said['site']}, as root:")
    click.echo(f"  install -d -m 700 {HOME}")
    click.echo(f"  copy guard.py and {config} to {HOME}/, and {unit} to /etc/systemd/system/")
    for source, target in files:
        missing = "" if source.is_file() else "   (not there yet: `twinsite certs`)"
        click.echo(f"  copy {source} to {target}{missing}")
    click.echo(f"  systemctl daemon-reload && systemctl enable --now {unit}")


COMMANDS: tuple[click.Command, ...] = (guard,)
