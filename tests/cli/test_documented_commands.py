"""Every command that a page shows is one that the program understands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator.cli.group import cli

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each line of a shell block that calls twinsite, and its words."""
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "twinsite":
                yield line, words[1:]


def understand(words: list[str]) -> None:
    """Follow the words down to the verb. Raises click.UsageError where they are not understood."""
    command: click.Command = cli
    context: click.Context | None = None
    while True:
        context = command.make_context(command.name, words, parent=context)
        if not isinstance(command, click.Group):
            return
        rest = [*context._protected_args, *context.args]
        _, found, words = command.resolve_command(context, rest)
        assert found is not None
        command = found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_is_understood(page: Path) -> None:
    for line, words in commands(page):
        try:
            understand(words)
        except click.UsageError as fault:
            pytest.fail(f"{page.name}: {line.strip()}: {fault.format_message()}")
