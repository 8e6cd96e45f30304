"""The command itself: global options, the groups of verbs, and the one place where errors become endings."""

import os
from pathlib import Path
from typing import Any

import click

from orchestrator.cli import (
    certify,
    certs,
    daemons,
    driver,
    emergency,
    guard,
    history,
    journal,
    look,
    move,
    prove,
    quieten,
    runbook,
    setup,
    simulate,
    store,
)
from orchestrator.cli.failures import INTERRUPTED, Failure, ended_by
from orchestrator.cli.options import Settings

SECTIONS: tuple[tuple[str, tuple[click.Command, ...]], ...] = (
    ("Look", (*look.COMMANDS, *history.COMMANDS)),
    ("Move", move.COMMANDS),
    ("Last resort", (*certify.COMMANDS, *store.COMMANDS, *emergency.COMMANDS, *journal.COMMANDS)),
    ("Quieten", quieten.COMMANDS),
    ("Set up", (*setup.COMMANDS, *runbook.COMMANDS, *driver.COMMANDS, *certs.COMMANDS)),
    ("Run", (*daemons.COMMANDS, *guard.COMMANDS)),
    ("Prove", (*prove.COMMANDS, *simulate.COMMANDS)),
)


class Twinsite(click.Group):
    """A group that lists its verbs by what they are for, and never lets an error out as a traceback."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs, section by section, in the order in which somebody needs them."""
        for title, commands in SECTIONS:
            shown = [command for command in commands if not command.hidden]
            if not shown:
                continue
            limit = formatter.width - 6 - max(len(command.name or "") for command in shown)
            with formatter.section(title):
                formatter.write_dl([(c.name or "", c.get_short_help_str(limit)) for c in shown])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. What it raises ends as one message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort) as stop:
            raise Failure("Stopped.", INTERRUPTED) from stop
        except Exception as fault:
            raise ended_by(fault) from fault


def _version() -> str:
    from orchestrator import PRODUCT

    return PRODUCT


@click.group(cls=Twinsite, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    metavar="PATH",
    envvar="TWINSITE_CONFIG",
    type=click.Path(path_type=Path),
    help="The estate file. Without it: TWINSITE_CONFIG, then ./sites.yaml, then /etc/twinsite/sites.yaml.",
)
@click.option(
    "--site",
    metavar="NAME",
    envvar="TWINSITE_SITE",
    help="Whose controller to ask. Without it: TWINSITE_SITE, then the one that answers on this machine.",
)
@click.version_option(_version(), message="%(version)s")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, site: str | None) -> None:
    """Two datacentres that are each other's live back-up: who is primary where, and how to move it.

    Woken at night? Begin with `twinsite status`. It says what is down and what to do next; nothing that
    only looks can change anything.

    \b
    Examples:
      twinsite status
      twinsite explain ebs
      twinsite plan failover ebs
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    ctx.obj = Settings(config=config, site=site)


for _, _commands in SECTIONS:
    for _command in _commands:
        cli.add_command(_command)
