"""The verb that checks the proof: thousands of two-site worlds in virtual time, and what breaks when a rule
is taken out. What it does and prints is `orchestrator.simulate`'s; here only the arguments."""

import click


@click.command()
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="How many scenarios to run.")
@click.option("--from", "first", type=click.IntRange(0), metavar="K", default=0, show_default=True,
              help="The first seed.")  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="J", help="Processes; as many as there are cores."
)
@click.option("--seed", type=click.IntRange(0), metavar="K", help="Run this one seed.")
@click.option(
    "--explain", is_flag=True, help="With --seed: print it as a timeline, as short as it can be made."
)
@click.option("--mutants", is_flag=True, help="Take out one rule after the other; each must be found out.")
@click.option(
    "--crash-matrix",
    is_flag=True,
    help="Kill a controller at every step of every move, and again while it recovers.",
)
@click.option("--only", metavar="RULE", help="With --mutants: those of this rule alone, as P9.")
@click.option("--markdown", metavar="FILE", help="With --mutants, --crash-matrix: write the table there too.")
@click.option("--json", "json_path", metavar="FILE", help="Also write the result as JSON; - prints it.")
@click.pass_context
def simulate(
    ctx: click.Context,
    seeds: int | None,
    first: int,
    jobs: int | None,
    seed: int | None,
    explain: bool,
    mutants: bool,
    crash_matrix: bool,
    only: str | None,
    markdown: str | None,
    json_path: str | None,
) -> None:
    """Try to have a service writable at two sites.

    Run the code that decides, on a simulated store, network, clocks and hosts: messages late, lost or twice,
    links cut one way, processes stopped and killed, hosts paused. What must always hold is checked at every
    step. One seed gives one run, always the same. Exit code 1 if a seed fails, or a mutant is not found out.

    \b
    Examples:
      twinsite simulate --seeds 20000
      twinsite simulate --seed 17 --explain
      twinsite simulate --mutants --json mutants.json
      twinsite simulate --crash-matrix
    """
    from orchestrator.simulate import report

    if explain and seed is None:
        raise click.UsageError("--explain needs the seed to explain: --seed K.")
    if mutants and (seeds is not None or seed is not None):
        raise click.UsageError("--mutants runs the seeds it needs; leave --seeds and --seed out.")
    if crash_matrix and (seeds is not None or seed is not None or mutants):
        raise click.UsageError("--crash-matrix goes alone; leave --seeds, --seed and --mutants out.")
    if only is not None and only not in report.RULES:
        raise click.UsageError(f"--only takes a rule, P1 to P33, not {only!r}.")
    if seed is not None:
        ctx.exit(report.one_seed(seed, explain=explain))
    if crash_matrix:
        ctx.exit(report.crashes(json_path=json_path, markdown=markdown))
    if mutants:
        ctx.exit(report.all_mutants(only=only, jobs=jobs, json_path=json_path, markdown=markdown))
    ctx.exit(report.many_seeds(seeds or 1000, first=first, jobs=jobs, json_path=json_path))


COMMANDS: tuple[click.Command, ...] = (simulate,)
