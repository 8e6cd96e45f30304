"""The command itself: global options, the groups of verbs, and the one place where errors become endings.

Only the file of the verb that is called is imported: a keeper that starts needs none of the others.
"""

import os
from collections import UserDict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.failures import INTERRUPTED, Failure, ended_by
from orchestrator.cli.options import Settings

# By section, in the order in which somebody needs them: the files, and the verbs in each.
FILES: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    (
        "Look",
        (
            ("look", ("status", "explain", "lag", "runs")),
            ("history", ("history",)),
            ("report", ("report",)),
        ),
    ),
    ("Move", (("move", ("plan", "switchover", "failover", "failback")),)),
    (
        "Last resort",
        (
            ("certify", ("certify", "reconcile")),
            ("store", ("store",)),
            ("emergency", ("emergency",)),
            ("journal", ("journal",)),
        ),
    ),
    ("Rehearse", (("drill", ("drill",)),)),
    ("Quieten", (("quieten", ("pause", "resume", "acknowledge")), ("notify", ("notify",)))),
    (
        "Set up",
        (
            ("setup", ("config", "hosts", "fence", "completion")),
            ("runbook", ("runbook",)),
            ("driver", ("driver",)),
            ("certs", ("certs",)),
        ),
    ),
    ("Run", (("daemons", ("controller", "keeper", "witness")), ("guard", ("guard",)))),
    ("Prove", (("prove", ("lab", "bench")), ("simulate", ("simulate",)))),
)


def _commands_in(file: str) -> tuple[click.Command, ...]:
    found: tuple[click.Command, ...] = import_module(f"orchestrator.cli.{file}").COMMANDS
    return found


def sections() -> list[tuple[str, tuple[click.Command, ...]]]:
    """Every verb, by section; imports all of them."""
    return [
        (title, tuple(command for file, _ in files for command in _commands_in(file)))
        for title, files in FILES
    ]


class Verbs(UserDict[str, click.Command]):
    """The verbs by name, each imported when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._files = {verb: file for _, files in FILES for file, verbs in files for verb in verbs}

    def __getitem__(self, name: str) -> click.Command:
        return next(one for one in _commands_in(self._files[name]) if one.name == name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files


class Twinsite(click.Group):
    """A group that lists its verbs by what they are for, and never lets an error out as a traceback."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs, section by section, in the order in which somebody needs them."""
        for title, commands in sections():
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


cli.commands = Verbs()
