"""Verbs that run: the controller of a datacentre, its keeper, the witness. They stay in the foreground;
a supervisor such as systemd starts them again. What they do is theirs; here only the arguments."""

from collections.abc import Callable
from pathlib import Path

import click

from orchestrator.cli.connect import estate_for_asking, site_in
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import SITE, Settings, pass_settings

_SITE = click.option(
    "--site", "here", type=SITE, metavar="SITE", help="The site that this machine belongs to."
)


def _run(
    settings: Settings, here: str | None, daemon: Callable[[Path, str], int], *, witness: bool = False
) -> None:
    site = here or settings.site
    if site is None:
        raise wrong("Say which site this machine belongs to: --site SITE")
    estate, path = estate_for_asking(settings)
    if site_in(estate, site) and estate.sites[site].witness is not witness:
        verb = "controller" if witness else "witness"
        raise wrong(
            f"{site} is {'no' if witness else 'the'} witness; run there: twinsite {verb} --site {site}"
        )
    click.get_current_context().exit(daemon(path, site))


@click.command()
@_SITE
@pass_settings
def controller(settings: Settings, here: str | None) -> None:
    """Run the controller of a datacentre.

    It watches, decides and carries out; it starts or finds the keeper, which holds the site's lease. Ended
    by SIGTERM it gives nothing up: it says what it leaves, and must be started again before the lease ends.

    \b
    Example:
      twinsite controller --site durham
    """
    from orchestrator.daemon import run_controller

    _run(settings, here, run_controller)


@click.command(hidden=True)
@_SITE
@pass_settings
def keeper(settings: Settings, here: str | None) -> None:
    """Run the keeper of a datacentre; the controller starts it by itself."""
    from orchestrator.keeper_process import run_keeper

    _run(settings, here, run_keeper)


@click.command()
@_SITE
@pass_settings
def witness(settings: Settings, here: str | None) -> None:
    """Run the observer at the third site.

    It watches both datacentres and publishes what it sees. It grants no right and moves nothing.

    \b
    Example:
      twinsite witness --site derwentside
    """
    from orchestrator.witness import run_witness

    _run(settings, here, run_witness, witness=True)


COMMANDS: tuple[click.Command, ...] = (controller, keeper, witness)
