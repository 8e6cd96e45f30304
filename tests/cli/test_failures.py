"""How the command ends when something is wrong: one message, an exit code, never a traceback."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import PACKAGES, foreign_packages
from orchestrator.cli.failures import EXIT_CODES, ended_by
from orchestrator.cli.group import Twinsite
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.store.base import StoreMisuse, StoreUnreachable
from probes.errors import KindUnknown
from runbooks.errors import JournalFull, RunbookUnknown
from sites.errors import HostUnreachable, SitesMisuse


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (SitesMisuse("sites.yaml:3:1: found 'x'"), 2, "sites.yaml:3:1: found 'x'"),
        (KindUnknown("there is no kind 'icmp'"), 2, "there is no kind 'icmp'"),
        (RunbookUnknown("no runbook 'x'"), 2, "no runbook 'x'"),
        (StoreMisuse("wrong password"), 2, "wrong password"),
        (LabMisuse("there is no lab"), 2, "there is no lab"),
        (HostUnreachable("crm-db: refused"), 1, "Failed: crm-db: refused"),
        (JournalFull("no space"), 1, "Failed: no space"),
        (StoreUnreachable("no answer"), 1, "Failed: no answer"),
        (LabTrouble("etcd did not start"), 1, "Failed: etcd did not start"),
    ],
)
def test_you_asked_wrongly_ends_with_2_and_the_world_misbehaved_with_1(
    fault: Exception, code: int, said: str
) -> None:
    failure = ended_by(fault)
    assert (failure.exit_code, failure.message) == (code, said)


def test_an_error_from_among_several_tasks_is_told_as_itself() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [StoreMisuse("wrong password")])])
    assert ended_by(group).message == "wrong password"


def broken(fault: BaseException) -> click.Group:
    """A command whose one verb raises."""

    @click.group(cls=Twinsite)
    def group() -> None: ...

    @group.command()
    def verb() -> None:
        raise fault

    return group


def test_an_error_without_a_name_is_one_sentence_and_its_details_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("TWINSITE_DEBUG", raising=False)
    answer = CliRunner().invoke(broken(ZeroDivisionError("division by zero")), ["verb"])
    kept = tmp_path / "twinsite" / "last-error.txt"
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    assert str(kept) in answer.stderr
    assert "Traceback" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_where_the_details_cannot_be_kept_the_way_to_see_them_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    answer = CliRunner().invoke(broken(ZeroDivisionError("x")), ["verb"])
    assert answer.exit_code == 1
    assert answer.stderr.endswith("TWINSITE_DEBUG=1 shows the details.\n")


def test_debugging_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TWINSITE_DEBUG", "1")
    answer = CliRunner().invoke(broken(ZeroDivisionError("x")), ["verb"])
    assert "Traceback" in answer.stderr


def test_ctrl_c_ends_quietly() -> None:
    answer = CliRunner().invoke(broken(KeyboardInterrupt()), ["verb"])
    assert (answer.exit_code, answer.stderr) == (130, "Stopped.\n")


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert [code for code, _, _ in EXIT_CODES] == [0, 1, 2, 3, 4, 130]


def test_the_four_packages_are_ours() -> None:
    assert foreign_packages() == []


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "orchestrator"])
def test_another_distributions_package_over_ours_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    foreign = tmp_path / name
    foreign.mkdir()
    (foreign / "__init__.py").write_text("'A package of somebody else.'\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from orchestrator.cli import main; main()"
    command = [sys.executable, "-P", "-c", program, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"package {name} at {foreign}" in done.stderr
    assert "environment of its own" in done.stderr
    assert "Traceback" not in done.stderr
