"""Verbs that prove it on this very machine: the lab with its stories, and the benchmark. What they do and
print is `orchestrator.lab`'s; here only the arguments."""

from pathlib import Path

import click

from orchestrator.cli import lab_faults
from orchestrator.cli.failures import wrong

STORIES = (
    "tour",
    "site-loss",
    "database-loss",
    "switchover",
    "controller-loss",
    "link-loss",
    "follower-loss",
    "drill",
)
_JSON = click.option(
    "--json", "json_path", metavar="FILE", help="Also write the result as JSON; - prints it."
)


@click.group(invoke_without_command=True)
@click.option("--story", type=click.Choice(STORIES), default="tour", show_default=True, help="Which story.")
@click.option("--keep", is_flag=True, help="Leave it running, to try every other verb on it.")
@click.option("--netns", is_flag=True, help="Each site in a network namespace of its own; as root.")
@click.option("--gates", is_flag=True, help="Clients come by gates, which guards keep open.")
@click.option("--rows", metavar="NAMES", help="Instead of a story: corner cases, all or some; with --netns.")
@click.option(
    "--times",
    type=click.IntRange(1, 100),
    metavar="N",
    default=1,
    show_default=True,
    help="How often each row is played.",
)
@click.option(
    "--soak",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Instead of a story: slow, lossy links and busy cores; nothing may happen.",
)
@click.option(
    "--alerts",
    is_flag=True,
    help="Instead of a story: faults under a real Prometheus; what alerts, and when.",
)
@click.option(
    "--quiet",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="With --alerts: do nothing for so long, and see that nothing alerts.",
)
@_JSON
@click.pass_context
def lab(
    ctx: click.Context,
    story: str,
    keep: bool,
    netns: bool,
    gates: bool,
    rows: str | None,
    times: int,
    soak: float | None,
    alerts: bool,
    quiet: float | None,
    json_path: str | None,
) -> None:
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
      sudo twinsite lab --netns --rows all --times 3
      twinsite lab --alerts
    """
    if ctx.invoked_subcommand is not None:
        return
    if (rows is not None or soak is not None) and (not netns or keep):
        raise wrong("--rows and --soak need --netns, and go without --keep: twinsite lab --netns --rows all")
    if quiet is not None and not alerts:
        raise wrong("--quiet goes with --alerts: twinsite lab --alerts --quiet 60")
    if alerts and (netns or keep or gates or rows is not None or soak is not None):
        raise wrong("--alerts goes alone, on loopback addresses: twinsite lab --alerts")
    if alerts:
        from orchestrator.lab.alarms import run_alarms

        ctx.exit(run_alarms(json_path, quiet_minutes=quiet))
    if soak is not None:
        from orchestrator.lab.soak import run_soak

        ctx.exit(run_soak(soak, json_path=json_path, gates=gates))
    if rows is not None:
        from orchestrator.lab.matrix import run_rows

        ctx.exit(run_rows(rows, times=times, json_path=json_path, gates=gates))
    from orchestrator.lab.run import run_lab

    ctx.exit(run_lab(story, keep=keep, json_path=json_path, netns=netns, gates=gates))


@lab.command("table")
@click.argument("results", nargs=-1, required=True, metavar="RESULT...", type=click.Path(path_type=Path))
@click.option("--markdown", metavar="FILE", help="Put it between its marks in this page, and print nothing.")
@click.pass_context
def _table(ctx: click.Context, results: tuple[Path, ...], markdown: str | None) -> None:
    """Make one table of several results of --rows.

    Each RESULT is a file that `lab --rows … --json FILE` has written, complete or cut short. Plays of one row
    count together, whatever file they are in. Exit code 0 only if all of them held.

    \b
    Examples:
      twinsite lab table monday.json tuesday.json
      twinsite lab table *.json --markdown docs/corner-cases.md
    """
    from orchestrator.lab.matrix import table_command

    ctx.exit(table_command(results, markdown=markdown))


for _fault in lab_faults.COMMANDS:
    lab.add_command(_fault)


@click.command()
@click.option("--times", type=click.IntRange(1, 100), metavar="N", default=5, show_default=True,
              help="How often each story is played.")  # fmt: skip
@click.option("--engine", is_flag=True, help="Instead: what drawing up a plan and carrying out a step cost.")
@click.option("--scrape", is_flag=True, help="Instead: what a scrape of /metrics costs with 200 services.")
@click.option(
    "--disk",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    metavar="FOLDER",
    help="With --engine: the folder on whose disk is measured; where the journals will be.",
)
@_JSON
@click.pass_context
def bench(
    ctx: click.Context, times: int, engine: bool, scrape: bool, disk: Path | None, json_path: str | None
) -> None:
    """Measure: play every story several times.

    Prints for each event the least, the middle and the most of the outage that clients saw. With --engine:
    how long a plan of 1,000 steps over 100 hosts takes to draw up, and what a step costs beside what it does,
    as a multiple of a bare fsync of the same disk. With --scrape: how long Prometheus waits for the page of
    200 services, and how late the controller's own work is meanwhile.

    \b
    Examples:
      twinsite bench
      twinsite bench --times 2 --json bench.json
      twinsite bench --engine --disk /var/lib/twinsite
      twinsite bench --scrape
    """
    if disk is not None and not engine:
        raise wrong("--disk goes with --engine: twinsite bench --engine --disk /var/lib/twinsite")
    if engine and scrape:
        raise wrong("--engine and --scrape measure different things: give one of them")
    if scrape:
        from orchestrator.scrape_bench import run_scrape_bench

        ctx.exit(run_scrape_bench(json_path))
    if engine:
        from orchestrator.engine_bench import run_engine_bench

        ctx.exit(run_engine_bench(json_path, disk))
    from orchestrator.lab.bench import run_bench

    ctx.exit(run_bench(times=times, json_path=json_path))


COMMANDS: tuple[click.Command, ...] = (lab, bench)
