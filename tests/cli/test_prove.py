"""The lab's and the benchmark's arguments; what they do is tried with the lab itself."""

from orchestrator.cli.prove import STORIES
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
