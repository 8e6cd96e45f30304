"""The verb `journal`: hand in what was done by hand while no controller ran."""

import asyncio
import getpass
import socket
from pathlib import Path

import click

from orchestrator.cli.connect import estate_path, site_in
from orchestrator.cli.failures import wrong
from orchestrator.cli.options import SITE, Settings, pass_settings
from orchestrator.cli.output import say, wrapped


@click.group()
def journal() -> None:
    """Hand in the record of runs that were carried out by hand.

    \b
    Example:
      twinsite journal import twinsite-emergency.sqlite --site durham
    """


@journal.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--site", "here", type=SITE, metavar="SITE", help="Whose controller's machine this is.")
@pass_settings
def import_(settings: Settings, file: Path, here: str | None) -> None:
    """Hand the journal of `twinsite emergency` to this site's controller, before it is started.

    Its runs go into the site's journal. Where a certificate has opened a service at this site, the keeper
    finds it in its note when it starts: it tells the other site that glass was broken here, and `twinsite
    reconcile` ends it. Run it as the user who runs twinsite; controller and keeper must not run. Nothing of a
    run goes on by this.

    \b
    Example:
      twinsite journal import twinsite-emergency.sqlite --site durham
    """
    from orchestrator.emergency.handing_in import hand_in
    from orchestrator.journal import SqliteJournal
    from orchestrator.paths import journal_path, state_directory
    from orchestrator.state_folder import lock_directory, told_of
    from sites.inventory import load_estate

    name = here or settings.site
    if name is None:
        raise wrong("Say whose controller's machine this is: --site SITE")
    if not file.is_file():
        raise wrong(f"{file}: there is no such journal")
    path = estate_path(settings)
    estate = load_estate(path, resolve_secrets=False).estate
    state = state_directory(estate, site_in(estate, name), path.absolute().parent)
    with told_of(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    who = f"{getpass.getuser()}@{socket.gethostname()}"

    async def work() -> list[str]:
        kept = await SqliteJournal.open(journal_path(state))
        try:
            return await hand_in(file, kept, state, name, who)
        finally:
            await kept.aclose()

    with lock_directory(state, "controller"), lock_directory(state, "keeper"):
        lines = asyncio.run(work())
    for line in lines:
        say(wrapped(line, then="  "))


COMMANDS: tuple[click.Command, ...] = (journal,)
