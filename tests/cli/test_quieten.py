"""Pause, resume, acknowledge."""

import pytest

from orchestrator.api.shapes import Acted
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController


def test_a_pause_has_an_end_and_a_reason(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/pause", Acted(lines=["ebs: paused for 7200 s"]))
    answer = twinsite("pause", "ebs", "--for", "2h", "--reason", "storage work")
    assert (answer.exit_code, answer.stdout) == (0, "ebs: paused for 7200 s\n")
    assert durham.bodies("/v1/pause") == [
        {"service": "ebs", "site": None, "everything": False, "seconds": 7200.0, "reason": "storage work"}
    ]


def test_a_pause_without_a_length_lasts_half_an_hour(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/pause", Acted(lines=[]))
    assert twinsite("pause", "--all", "--reason", "switch").exit_code == 0
    assert durham.bodies("/v1/pause")[0]["seconds"] == 1800.0


def test_only_a_length_that_was_typed_lasts_longer_than_a_day(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/pause", Acted(lines=[]), Acted(lines=[]))
    twinsite("pause", "--all", "--reason", "switch")
    twinsite("pause", "--all", "--for", "50h", "--reason", "switch")
    assert [body["seconds"] for body in durham.bodies("/v1/pause")] == [1800.0, 180_000.0]


def test_resume_takes_a_site_too(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/resume", Acted(lines=["ebs: automatic moves are allowed again"]))
    answer = twinsite("resume", "--site", "morpeth")
    assert answer.exit_code == 0
    assert durham.bodies("/v1/resume")[0]["site"] == "morpeth"


def test_acknowledging_keeps_what_was_found(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/acknowledge", Acted(lines=["ebs: the last unplanned move is acknowledged"]))
    assert twinsite("acknowledge", "ebs", "--reason", "a disk died").exit_code == 0
    assert durham.bodies("/v1/acknowledge")[0]["reason"] == "a disk died"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause", "--reason", "x"], "exactly one"),
        (["pause", "ebs", "--all", "--reason", "x"], "exactly one"),
        (["resume"], "exactly one"),
        (["pause", "ebs"], "pause needs --reason"),
        (["pause", "ebs", "--for", "soon", "--reason", "x"], "a duration with its unit"),
        (["acknowledge", "ebs"], "acknowledge needs --reason"),
    ],
)
def test_what_is_missing_is_said_before_anybody_is_asked(
    durham: FakeController, twinsite: Command, arguments: list[str], said: str
) -> None:
    answer = twinsite(*arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert durham.asked == []
