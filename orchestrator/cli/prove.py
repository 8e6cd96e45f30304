"""Verbs that prove it on this very machine: the lab with its stories, and the benchmark. What they do and
print is `orchestrator.lab`'s; here only the arguments."""

from pathlib import Path

import click

from orchestrator.cli.failures import wrong
from orchestrator.cli.options import SITE, Settings, pass_settings

STORIES = ("tour", "site-loss", "database-loss", "switchover")
_JSON = click.option(
    "--json", "json_path", metavar="FILE", help="Also write the result as JSON; - prints it."
)

_DIRECTORY = click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The lab's folder, if there are several.",
)


@click.group(invoke_without_command=True)
@click.option("--story", type=click.Choice(STORIES), default="tour", show_default=True, help="Which story.")
@click.option("--keep", is_flag=True, help="Leave it running, to try every other verb on it.")
@click.option("--netns", is_flag=True, help="Each site in a network namespace of its own; as root.")
@_JSON
@click.pass_context
def lab(ctx: click.Context, story: str, keep: bool, netns: bool, json_path: str | None) -> None:
    """Play a story: two sites on this machine, one dies.

    Three sites on loopback addresses: real etcd, real PostgreSQL replicating both ways, two controllers, the
    witness, and clients that write all the time and note what was acknowledged. Ends with a table of what
    each event cost as seen by the clients; exit code 0 only if all of it held. Needs no rights and leaves
    nothing behind.

    \b
    Examples:
      twinsite lab
      twinsite lab --story site-loss --json result.json
      twinsite lab --keep
    """
    if ctx.invoked_subcommand is not None:
        return
    from orchestrator.lab.run import run_lab

    ctx.exit(run_lab(story, keep=keep, json_path=json_path, netns=netns))


def _which_lab(settings: Settings, directory: Path | None) -> Path:
    """The lab that is meant: the folder named, that of the estate file named, or the only one there is.
    Never a guess between several: one of them may be somebody else's evening."""
    from orchestrator.lab.places import labs

    if directory is not None:
        return directory
    if settings.config is not None:
        return settings.config.absolute().parent
    found = labs()
    kept = [one for one in found if one.kept] or found
    if not kept:
        raise wrong("No lab is running; `twinsite lab --keep` starts one and leaves it running.")
    if len(kept) > 1:
        folders = "\n".join(f"  --directory {one.directory}" for one in kept)
        raise wrong(f"Several labs are running; say which:\n{folders}")
    return Path(kept[0].directory)


@lab.command()
@click.argument("site", type=SITE)
@_DIRECTORY
@pass_settings
def kill(settings: Settings, site: str, directory: Path | None) -> None:
    """Kill a site of a kept lab: every process of it at once.

    \b
    Example:
      twinsite lab kill morpeth
    """
    from orchestrator.lab.run import kill_site_command

    _exit(kill_site_command(site, directory=_which_lab(settings, directory)))


@lab.command()
@click.argument("site", type=SITE)
@_DIRECTORY
@pass_settings
def heal(settings: Settings, site: str, directory: Path | None) -> None:
    """Start a killed site's machines again.

    \b
    Example:
      twinsite lab heal morpeth
    """
    from orchestrator.lab.run import heal_site_command

    _exit(heal_site_command(site, directory=_which_lab(settings, directory)))


@lab.command()
@_DIRECTORY
@pass_settings
def down(settings: Settings, directory: Path | None) -> None:
    """End a kept lab and take its files away.

    \b
    Example:
      twinsite lab down
    """
    from orchestrator.lab.run import down_command

    _exit(down_command(directory=_which_lab(settings, directory)))


def _exit(code: int) -> None:
    click.get_current_context().exit(code)


@click.command()
@click.option("--times", type=click.IntRange(1, 100), metavar="N", default=5, show_default=True,
              help="How often each story is played.")  # fmt: skip
@_JSON
@click.pass_context
def bench(ctx: click.Context, times: int, json_path: str | None) -> None:
    """Measure: play every story several times.

    Prints for each event the least, the middle and the most of the outage that clients saw.

    \b
    Examples:
      twinsite bench
      twinsite bench --times 2 --json bench.json
    """
    from orchestrator.lab.bench import run_bench

    ctx.exit(run_bench(times=times, json_path=json_path))


COMMANDS: tuple[click.Command, ...] = (lab, bench)
