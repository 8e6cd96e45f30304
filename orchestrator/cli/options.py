"""What several verbs have in common: global settings, durations, names, `--json`. Asks nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options."""

    config: Path | None
    site: str | None


class DurationType(click.ParamType[float]):
    """A duration with its unit, such as 38s or 30m; becomes seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; a value without a unit is refused."""
        from sites.quantities import parse_duration

        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as fault:
            self.fail(f"{value!r}: {fault}", param, ctx)


class LossType(DurationType):
    """A duration, or `any` for an amount that nobody can say."""

    name = "loss"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; infinity for `any`."""
        return inf if value == "any" else super().convert(value, param, ctx)


class NameType(click.ParamType[str]):
    """The name of a site or service; a shell can complete it from the estate file."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is; whether it exists is the controller's to say."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The estate's names that begin so; none at all if the file cannot be read."""
        from orchestrator.cli.connect import names_for_completion

        found = names_for_completion(ctx.find_root().params, self.name)
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


class RunType(NameType):
    """A run's id, or a step of the run named before; a shell can complete it from the controller here."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """What the controller that answers here knows; none at all when none does."""
        from orchestrator.cli.connect import runs_for_completion

        found = runs_for_completion(
            ctx.find_root().params, ctx.params.get("run") if self.name == "step" else None
        )
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


DURATION = DurationType()
LOSS = LossType()
SERVICE = NameType("service")
SITE = NameType("site")
RUN = RunType("run")
STEP = RunType("step")

pass_settings = click.make_pass_decorator(Settings)


def json_option(function: Function) -> Function:
    """`--json`: the API's own shape on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def reason_option(text: str) -> Callable[[Function], Function]:
    """`--reason TEXT`."""
    return click.option("--reason", metavar="TEXT", default="", help=text)
