"""Which controller is asked, and what is said when nobody answers."""

import os
import socket
from pathlib import Path

import pytest

from tests.cli import canned
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController


def test_nobody_there_names_every_socket_and_what_to_do(estate: Path, twinsite: Command) -> None:
    answer = twinsite("status")
    assert answer.exit_code == 4
    assert answer.stdout == ""
    assert answer.stderr.splitlines() == [
        "Nobody answered.",
        f"  durham: {estate.parent}/durham/controller.sock: there is no such socket",
        f"  morpeth: {estate.parent}/morpeth/controller.sock: there is no such socket",
        "What to do:",
        "  - is the controller running on this host? It is started with: twinsite controller --site durham",
        "  - ask the other site's controller: on its host, or with --site before the verb if it is here",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "erp"],
        ["history", "erp"],
        ["plan", "failover", "erp"],
        ["switchover", "erp"],
        ["acknowledge", "erp", "--reason", "seen"],
    ],
    ids=" ".join,
)
def test_a_service_that_is_not_in_the_file_is_unknown_also_when_nobody_answers(
    estate: Path, twinsite: Command, words: list[str]
) -> None:
    answer = twinsite(*words)
    assert answer.exit_code == 2
    assert answer.stderr == (
        f"There is no service 'erp' in {estate}; there are: crm, ebs. "
        "No controller answers here that could be asked.\n"
    )


def test_a_site_that_is_not_in_the_file_is_unknown_too(estate: Path, twinsite: Command) -> None:
    answer = twinsite("failover", "ebs", "--certify-down", "gateshead", "--reason", "x")
    assert answer.exit_code == 2
    assert f"There is no site 'gateshead' in {estate}" in answer.stderr


@pytest.mark.parametrize("words", [["runs", "show", "ebs-7"], ["report", "ebs-7"]], ids=" ".join)
def test_a_run_is_no_name_of_the_file_so_that_nobody_answered_is_what_is_told(
    twinsite: Command, words: list[str]
) -> None:
    answer = twinsite(*words)
    assert answer.exit_code == 4
    assert "There is no run" not in answer.stderr


def test_a_service_whose_part_of_the_file_is_faulty_is_not_said_to_be_unknown(
    estate: Path, twinsite: Command
) -> None:
    estate.write_text(canned.ESTATE.replace("home: morpeth, ", "home: nowhere else, "))
    assert twinsite("explain", "ebs").exit_code == 4


def test_a_controller_that_answers_is_asked_whatever_the_name(
    durham: FakeController, twinsite: Command
) -> None:
    assert "There is no service" not in twinsite("explain", "erp").stderr
    assert durham.asked


def left_behind(path: Path) -> None:
    """A socket whose owner is gone."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def test_a_socket_that_nobody_listens_on_is_said_to_be_that(estate: Path, twinsite: Command) -> None:
    left_behind(estate.parent / "durham" / "controller.sock")
    answer = twinsite("status")
    assert answer.exit_code == 4
    assert "/durham/controller.sock: the socket is there, but nobody listens on it" in answer.stderr
    assert "morpeth:" not in answer.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_socket_that_one_may_not_use_is_said_with_sudo(durham: FakeController, twinsite: Command) -> None:
    durham.socket.chmod(0)
    answer = twinsite("status")
    assert answer.exit_code == 4
    assert "you may not use this socket" in answer.stderr
    assert "sudo" in answer.stderr


def test_of_several_controllers_the_first_data_site_is_asked_and_that_is_said(
    durham: FakeController, estate: Path, twinsite: Command
) -> None:
    with FakeController(estate.parent / "morpeth" / "controller.sock") as morpeth:
        answer = twinsite("status")
        assert answer.exit_code == 0
        assert answer.stderr == "Asking durham's controller; here is also: morpeth (choose with --site).\n"
        assert morpeth.asked == []


def test_sites_that_share_a_state_folder_are_one_controller_to_ask(
    durham: FakeController, estate: Path, twinsite: Command
) -> None:
    estate.write_text(canned.ESTATE.replace("state: morpeth", "state: durham"))
    answer = twinsite("status")
    assert answer.exit_code == 0
    assert answer.stderr == ""


def test_a_silent_socket_that_sites_share_is_named_once(estate: Path, twinsite: Command) -> None:
    estate.write_text(canned.ESTATE.replace("state: morpeth", "state: durham"))
    answer = twinsite("status")
    assert answer.exit_code == 4
    assert answer.stderr.count("/durham/controller.sock: there is no such socket") == 1


def test_a_dead_controllers_socket_does_not_hide_the_one_that_answers(
    estate: Path, twinsite: Command
) -> None:
    left_behind(estate.parent / "durham" / "controller.sock")
    with FakeController(estate.parent / "morpeth" / "controller.sock") as morpeth:
        morpeth.says("GET", "/v1/status", canned.steady())
        answer = twinsite("status")
    assert answer.exit_code == 0
    assert answer.stderr == ""


def test_a_site_asked_for_by_name_is_asked_and_no_other(durham: FakeController, twinsite: Command) -> None:
    answer = twinsite("--site", "morpeth", "status")
    assert answer.exit_code == 4
    assert durham.asked == []
    assert "morpeth/controller.sock: there is no such socket" in answer.stderr


def test_a_site_that_does_not_exist_is_wrong_usage(durham: FakeController, twinsite: Command) -> None:
    answer = twinsite("--site", "gateshead", "status")
    assert answer.exit_code == 2
    assert answer.stderr == "There is no site 'gateshead'; there are: durham, morpeth, derwentside\n"


def test_an_estate_file_that_is_not_there_is_wrong_usage(estate: Path, twinsite: Command) -> None:
    estate.unlink()
    answer = twinsite("status")
    assert answer.exit_code == 2
    assert "there is no such estate file" in answer.stderr


def test_a_fault_in_the_estate_file_does_not_blind_anybody(
    durham: FakeController, estate: Path, twinsite: Command
) -> None:
    estate.write_text(canned.ESTATE + "  hr: {home: gateshead, standbye: durham, rank: five}\n")
    answer = twinsite("status")
    assert answer.exit_code == 0
    assert "faults (see `twinsite config check`)" in answer.stderr


def test_an_estate_file_that_is_no_yaml_lists_its_faults(
    durham: FakeController, estate: Path, twinsite: Command
) -> None:
    estate.write_text("sites: [durham\n")
    answer = twinsite("status")
    assert answer.exit_code == 2
    assert str(estate) in answer.stderr


def test_a_state_folder_with_too_long_a_path_is_said_before_the_kernel_does(
    estate: Path, twinsite: Command
) -> None:
    estate.write_text(canned.ESTATE.replace("state: durham", f"state: {'d' * 100}"))
    answer = twinsite("status")
    assert answer.exit_code == 2
    assert "a socket's path may have 107" in answer.stderr
    assert "`state:`" in answer.stderr


def test_an_answer_that_is_none_of_ours_is_a_failure_in_words(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says_raw("GET", "/v1/status", b"<html>")
    answer = twinsite("status")
    assert answer.exit_code == 1
    assert "not a Status of this version" in answer.stderr
    durham.says_raw("GET", "/v1/status", b'{"message": "the journal is full"}', status=500)
    answer = twinsite("status")
    assert answer.exit_code == 1
    assert answer.stderr == "Failed: the controller failed to answer (status 500): the journal is full\n"
