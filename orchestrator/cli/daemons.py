"""Verbs that run: the controller of a datacentre, its keeper, the witness. They stay in the foreground;
a supervisor such as systemd starts them again. What they do is theirs; here only the arguments."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from orchestrator.cli.connect import estate_path
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import SITE, Settings, pass_settings
from orchestrator.lean import lean, started

_SITE = click.option(
    "--site", "here", type=SITE, metavar="SITE", help="The site that this machine belongs to."
)


def _run(settings: Settings, here: str | None, daemon: Callable[[], Callable[[Path, str], int]]) -> None:
    """`daemon` imports what runs it. It refuses a site that is not there, or is another's to run."""
    site = here or settings.site
    if site is None:
        raise wrong("Say which site this machine belongs to: --site SITE")
    path = estate_path(settings)
    lean()
    run = daemon()
    started()
    click.get_current_context().exit(run(path, site))


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

    def daemon() -> Callable[[Path, str], int]:
        from orchestrator.controller_process import run_controller
        from orchestrator.prefork import become_worker

        return partial(run_controller, become_worker=become_worker)

    _run(settings, here, daemon)


@click.command()
@_SITE
@click.option("--at-once", is_flag=True, help="Where another keeper runs: end, and do not wait for its end.")
@pass_settings
def keeper(settings: Settings, here: str | None, at_once: bool) -> None:
    """Run the keeper of a datacentre.

    It holds the site's lease. A controller that finds none starts one; as a unit of its own it is started at
    the same time, and started again whatever becomes of the controller. Where another keeper of the site
    runs on this machine it waits, ready, for that one's end.

    \b
    Example:
      twinsite keeper --site durham
    """

    def daemon() -> Callable[[Path, str], int]:
        from orchestrator.keeper_process import run_keeper
        from orchestrator.prefork import become_worker

        return partial(run_keeper, at_once=at_once, become_worker=become_worker)

    _run(settings, here, daemon)


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

    def daemon() -> Callable[[Path, str], int]:
        from orchestrator.witness import run_witness

        return run_witness

    _run(settings, here, daemon)


COMMANDS: tuple[click.Command, ...] = (controller, keeper, witness)
