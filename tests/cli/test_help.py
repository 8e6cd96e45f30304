"""What `--help` promises: only what exists, each verb explained with an example, and it comes quickly."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.group import FILES, cli


def verbs(group: click.Group = cli, path: str = "twinsite") -> Iterator[tuple[str, click.Command]]:
    """Every verb that is shown, with its full name."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path} {name}")


VERBS = dict(verbs())


def test_the_verbs_of_the_trade_are_there_and_nothing_that_is_not_built() -> None:
    assert sorted(VERBS) == sorted(
        "twinsite " + name
        for name in (
            "status", "explain", "lag", "runs", "runs show", "history", "certify", "reconcile",
                "report", "report draw", "report verify", "report countersign",
            "runs pause", "runs resume", "runs retry", "runs skip", "runs done", "runs approve", "runs abort",
            "runs undo", "runs adopt",
            "store", "store status", "store accept", "emergency", "journal", "journal import",
            "plan", "plan switchover", "plan failover", "plan failback", "switchover", "failover", "failback",
            "pause", "resume", "acknowledge",
            "notify", "notify test", "notify list", "notify outbox", "notify template",
            "config", "config check", "config schema", "hosts", "hosts check", "fence",
            "fence check", "runbook", "runbook check",
            "runbook graph", "runbook show",
            "drill", "drill list", "drill calendar", "drill run", "drill abandon", "drill report",
            "driver", "driver check",
            "completion", "controller", "keeper", "witness", "guard",
            "certs", "certs init", "certs issue", "certs renew", "certs show", "certs operator",
            "lab", "lab kill", "lab heal", "lab down", "bench", "simulate",
            "lab stop", "lab go", "lab freeze", "lab thaw", "lab cut", "lab delay", "lab mend", "lab links",
            "lab fill", "lab clock", "lab table",
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_explained_with_an_example_of_itself(name: str) -> None:
    text = VERBS[name].help or ""
    assert text.splitlines()[0].endswith((".", ":"))
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith("twinsite ")]
    assert any(line.startswith(name) for line in examples), text


@pytest.mark.parametrize("name", VERBS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    options = [one for one in VERBS[name].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


def test_no_short_help_is_cut_off() -> None:
    shown = CliRunner().invoke(cli, ["--help"], prog_name="twinsite").stdout
    assert [line for line in shown.splitlines()[1:] if line.endswith("...")] == []
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_every_verb_stands_in_the_file_that_is_said_to_have_it() -> None:
    for _, files in FILES:
        for file, verbs in files:
            there = import_module(f"orchestrator.cli.{file}").COMMANDS
            assert tuple(command.name for command in there) == verbs


@pytest.mark.parametrize("verb", ["controller", "keeper", "witness"])
def test_a_daemon_brings_in_no_other_verb(verb: str) -> None:
    program = (
        "import sys; from orchestrator.cli.group import cli; "
        f"cli.main([{verb!r}, '--help'], standalone_mode=False); "
        "print(sorted(name for name in sys.modules if name.startswith('orchestrator.cli.')))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    others = {f"orchestrator.cli.{file}" for _, files in FILES for file, _ in files} - {
        "orchestrator.cli.daemons"
    }
    assert others & set(ast.literal_eval(done.stdout.splitlines()[-1])) == set()


def test_help_needs_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys; from orchestrator.cli.group import cli; cli.main(['--help'], standalone_mode=False); "
        "print(sorted({'aiohttp', 'asyncssh', 'pydantic', 'rich', 'structlog', 'fabric'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
