"""The lab's and the benchmark's arguments; what they do is tried with the lab itself."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli.group import cli
from orchestrator.cli.prove import STORIES
from orchestrator.lab.places import LabState
from orchestrator.lab.stories import STORIES as PLAYED
from tests.cli.conftest import Command


def test_the_stories_offered_are_those_that_can_be_played() -> None:
    assert set(STORIES) == set(PLAYED)


def test_a_story_that_does_not_exist_is_wrong_usage(twinsite: Command) -> None:
    answer = twinsite("lab", "--story", "earthquake")
    assert answer.exit_code == 2
    assert "site-loss" in answer.stderr


def test_killing_a_site_that_no_lab_has_is_wrong_usage(twinsite: Command) -> None:
    answer = twinsite("lab", "kill", "gateshead")
    assert answer.exit_code == 2
    assert "gateshead" in answer.stderr


def labs_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> list[Path]:
    """Labs that are kept, as they are found by their pointers; nothing of them runs."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folders = [tmp_path / name for name in names]
    for folder in folders:
        folder.mkdir()
        LabState(str(folder), "127.71.0.0/16", True, 1, {}).save()
    return folders


def test_without_a_lab_there_is_none_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labs_at(tmp_path, monkeypatch)
    answer = CliRunner().invoke(cli, ["lab", "down"])
    assert answer.exit_code == 2
    assert "twinsite lab --keep" in answer.stderr


def test_between_several_labs_nobody_guesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = labs_at(tmp_path, monkeypatch, "ours", "theirs")
    answer = CliRunner().invoke(cli, ["lab", "down"])
    assert answer.exit_code == 2
    assert f"--directory {ours}" in answer.stderr
    assert f"--directory {theirs}" in answer.stderr
    assert ours.is_dir()
    assert theirs.is_dir()


def test_a_folder_that_holds_no_lab_is_wrong_usage(tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["lab", "down", "--directory", str(tmp_path)])
    assert answer.exit_code == 2
    assert "no lab is here" in answer.stderr
