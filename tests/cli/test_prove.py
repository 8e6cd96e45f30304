"""The lab's and the benchmark's arguments; what they do is tried with the lab itself."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli.group import cli
from orchestrator.cli.prove import STORIES
from orchestrator.lab.places import LabState
from orchestrator.lab.stories import STORIES as PLAYED
from orchestrator.result_file import ResultNotWritten, check_result, write_result
from tests.cli.conftest import Command


def test_the_stories_offered_are_those_that_can_be_played() -> None:
    assert set(STORIES) == set(PLAYED)


def test_a_story_that_does_not_exist_is_wrong_usage(twinsite: Command) -> None:
    answer = twinsite("lab", "--story", "earthquake")
    assert answer.exit_code == 2
    assert "site-loss" in answer.stderr


def test_a_disk_goes_with_the_benchmark_of_the_engine_only(twinsite: Command, tmp_path: Path) -> None:
    answer = twinsite("bench", "--disk", str(tmp_path))
    assert answer.exit_code == 2
    assert "bench --engine" in answer.stderr


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


@pytest.mark.parametrize(
    "arguments", [("lab",), ("bench",), ("simulate", "--seeds", "3"), ("simulate", "--mutants")]
)
def test_a_place_for_the_result_that_cannot_be_had_is_said_before_anything_is_done(
    arguments: tuple[str, ...], tmp_path: Path, twinsite: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*args: object, **more: object) -> None:
        raise AssertionError("work was begun for a result that cannot be kept")

    monkeypatch.setattr("orchestrator.lab.run._play", too_late)
    monkeypatch.setattr("orchestrator.lab.bench._play_all", too_late)
    monkeypatch.setattr("orchestrator.simulate.report.search", too_late)
    place = tmp_path / "no" / "such.json"
    answer = twinsite(*arguments, "--json", str(place))
    assert answer.exit_code == 2
    assert answer.stderr == (
        f"{place}: the result cannot be written there: No such file or directory; name another file\n"
    )


def test_looking_whether_a_result_can_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("from last time")
    check_result(None, "-", str(there), str(tmp_path / "new.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    assert there.read_text() == "from last time"
    write_result(str(there), "now")
    assert there.read_text() == "now"
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    with pytest.raises(ResultNotWritten, match="Is a directory"):
        check_result(str(tmp_path))
