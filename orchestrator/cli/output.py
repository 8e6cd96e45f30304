"""Words for what is shown: durations, ages, sizes; and how wide, on a terminal or not.

Unknown is said as `unknown`, never left out and never 0. Colour only repeats what a word already says.
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from datetime import datetime
from math import isinf
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

WIDEST = 100
NARROWEST_TABLE = 76
UNKNOWN = "unknown"
_QUOTED = re.compile(r"`[^`]{1,70}`")


def on_terminal() -> bool:
    """Whether a person reads standard output directly."""
    return sys.stdout.isatty()


def width() -> int:
    """Columns to use: the terminal's, at most WIDEST; WIDEST where there is none."""
    return min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST) if on_terminal() else WIDEST


def console() -> "Console":
    """Rich's view of standard output, at our width."""
    from rich.console import Console

    return Console(width=width(), highlight=False)


_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def duration(seconds: float | None) -> str:
    """`0.34 s`, `8.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; `unknown`."""
    if seconds is None:
        return UNKNOWN
    if isinf(seconds):
        return "for ever"
    if seconds < 59.5:
        return (
            f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 20 else f"{seconds:.0f} s"
        )
    whole = round(seconds)
    size, unit, small, small_unit = next(one for one in _UNITS if whole >= one[0])
    rest = whole % size // small
    return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")


def age(seconds: float | None) -> str:
    """`0.3 s ago`, or `unknown`."""
    return UNKNOWN if seconds is None else f"{duration(seconds)} ago"


def size(size_bytes: int | None) -> str:
    """`1.2 MiB`, or `unknown`."""
    from sites.quantities import format_size

    return UNKNOWN if size_bytes is None else format_size(size_bytes)


def words(code: str) -> str:
    """A hyphened code as words: `site-dark` reads `site dark`."""
    return code.replace("-", " ") or UNKNOWN


def local_time(stamp: str) -> str:
    """An ISO 8601 UTC time of day in this machine's zone; as it is when it is none."""
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp or UNKNOWN
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z").strip()


def wrapped(text: str, *, first: str = "", then: str = "  ", columns: int | None = None) -> list[str]:
    """`text` in lines of our width, the later ones indented; its own line ends are kept, and so is what
    stands between back-ticks, to be copied."""
    limit = columns or width()
    lines: list[str] = []
    for number, paragraph in enumerate(text.splitlines() or [""]):
        indent = first if number == 0 else then
        joined = _QUOTED.sub(lambda quoted: quoted[0].replace(" ", "\0"), paragraph)
        lines += textwrap.wrap(
            joined,
            limit,
            initial_indent=indent,
            subsequent_indent=then,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [indent.rstrip()]
    return [line.replace("\0", " ") for line in lines]


def say(lines: Iterable[str]) -> None:
    """Print lines on standard output."""
    for line in lines:
        click.echo(line)


def heading(text: str) -> str:
    """A heading; bold where that can be shown."""
    return click.style(text, bold=True)


def note(text: str) -> None:
    """Something beside the point, on standard error."""
    for line in wrapped(text):
        click.echo(line, err=True)


def say_json(value: "BaseModel") -> None:
    """A shape of the API, exactly."""
    click.echo(value.model_dump_json(indent=2))
