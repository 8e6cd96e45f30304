"""Moves: the plan is shown, the site's name is asked for, the run is followed. Exit codes of all of it."""

from pathlib import Path

import pytest

from orchestrator.api.shapes import MoveAccepted, MovePlan, Refusal
from orchestrator.api.site_shapes import SiteMovePlan
from tests.cli import canned
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController

PLAN = """\
Plan: failover of ebs from morpeth to durham

Data loss: at most 0.8 s of changes would be lost, as of 14 s ago

Gates
  1 the right to it: open: lease over

Steps
  1 promote: make the standby at durham writable
  2 probe: wait until the login page answers
"""

REFUSAL = """\
Refused (lag-above-limit): moving ebs now could lose 94 s, and 60 s are allowed
  this means: Moving now could lose more than the service's `max_data_loss` allows.
  what to do: Wait for the standby, or accept it:
    `twinsite failover ebs --accept-loss … --reason …`.
"""

PROGRESS = """\
Run ebs-failover-7 has begun; Ctrl-C stops only the looking.
[1/2] Promote (promote): running
[1/2] Promote (promote): done in 0.3 s
[2/2] Probe (probe): running
[2/2] Probe (probe): done in 0.3 s
done after 2.1 s: failover of ebs from morpeth to durham: ebs is open at durham
  data loss: at most 0.8 s of changes
"""


def accepts(controller: FakeController, *names: str) -> None:
    """The controller takes orders for runs of these services."""
    controller.says(
        "POST", "/v1/moves", *(MoveAccepted(run=f"{name}-failover-7", message="Begun.") for name in names)
    )


def test_a_plan_is_shown_with_its_loss_and_the_command_that_carries_it_out(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.plan())
    answer = twinsite("plan", "failover", "ebs", "--accept-loss", "38s", "--reason", "it's agreed")
    assert answer.exit_code == 0
    order = """twinsite failover ebs --accept-loss 38s --reason 'it'"'"'s agreed'"""
    assert answer.stdout == f"{PLAN}\nNothing was done. To carry it out: {order}\n"
    assert durham.bodies("/v1/plan") == [
        {
            "verb": "failover",
            "service": "ebs",
            "to_site": None,
            "certify_down": None,
            "power_off": None,
            "accept_loss_seconds": 38.0,
            "over_capacity": False,
            "reason": "it's agreed",
        }
    ]
    assert durham.bodies("/v1/moves") == []


OFF_FIRST = """\

Switched off first
  morpeth/ebs-db is switched off, at once and without a shutdown (fence_ipmilan)
  nothing is taken unless every one of them is known to be off
"""


def test_what_devices_switch_off_first_is_shown_and_stays_in_the_command(
    durham: FakeController, twinsite: Command
) -> None:
    lines = [line.strip() for line in OFF_FIRST.splitlines()[2:]]
    durham.says("POST", "/v1/plan", canned.plan(power_off=lines))
    answer = twinsite("plan", "failover", "ebs", "--power-off", "morpeth", "--reason", "hangs")
    assert answer.exit_code == 0
    assert OFF_FIRST in answer.stdout
    assert answer.stdout.endswith("twinsite failover ebs --power-off morpeth --reason hangs\n")
    (asked,) = durham.bodies("/v1/plan")
    assert (asked["power_off"], asked["certify_down"]) == ("morpeth", None)


def test_nothing_is_switched_off_unless_the_sites_name_is_typed(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.plan(confirm_site="morpeth"))
    answer = twinsite("failover", "ebs", "--power-off", "morpeth", "--reason", "hangs")
    assert answer.exit_code != 0
    assert durham.bodies("/v1/moves") == []


def test_a_plan_that_would_be_refused_shows_the_closed_gate_and_ends_with_3(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.refused_plan())
    answer = twinsite("plan", "failover", "ebs")
    assert answer.exit_code == 3
    assert "  3 data: CLOSED (lag-above-limit): 94 s, allowed are 60 s" in answer.stdout
    assert answer.stdout.endswith(REFUSAL)


def test_the_json_of_a_plan_is_exactly_the_shape_of_the_api(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.plan())
    answer = twinsite("plan", "switchover", "ebs", "--json")
    assert MovePlan.model_validate_json(answer.stdout) == canned.plan()


def test_where_there_can_be_no_plan_the_json_is_the_refusal(
    durham: FakeController, twinsite: Command
) -> None:
    no = Refusal(code="driver-missing", message="smartstream is watched only")
    durham.says("POST", "/v1/plan", no, status=409)
    answer = twinsite("plan", "switchover", "smartstream", "--json")
    assert answer.exit_code == 3
    assert Refusal.model_validate_json(answer.stdout) == no
    assert twinsite("plan", "switchover", "smartstream").exit_code == 3


def test_the_json_of_a_site_s_plan_is_exactly_the_shape_of_the_api(
    durham: FakeController, twinsite: Command
) -> None:
    told = canned.site_plan(canned.site_part(canned.plan("ebs")))
    durham.says("POST", "/v1/sites/plan", told)
    answer = twinsite("plan", "failover", "--site", "morpeth", "--json")
    assert answer.exit_code == 0
    assert SiteMovePlan.model_validate_json(answer.stdout) == told
    assert durham.bodies("/v1/sites/plan")[0]["site"] == "morpeth"


def test_without_a_terminal_and_without_yes_nothing_is_ordered(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.plan())
    answer = twinsite("failover", "ebs")
    assert answer.exit_code == 2
    assert answer.stdout == PLAN
    assert "Add --yes to answer for the site morpeth." in answer.stderr
    assert durham.bodies("/v1/moves") == []


def test_yes_answers_the_question_and_every_step_is_told(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/plan", canned.plan())
    accepts(durham, "ebs")
    durham.streams(*canned.whole_run())
    answer = twinsite("failover", "ebs", "--yes", "--reason", "Morpeth is dark")
    assert answer.exit_code == 0
    assert answer.stdout == f"{PLAN}\n{PROGRESS}"
    assert durham.bodies("/v1/moves") == [
        {
            "run": "ebs-failover-7",
            "confirmed_site": "morpeth",
            "accept_loss_seconds": None,
            "reason": "Morpeth is dark",
            "signature": "",
        }
    ]


def test_a_closed_gate_is_a_refusal_that_yes_does_not_open(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/plan", canned.refused_plan())
    answer = twinsite("failover", "ebs", "--yes")
    assert answer.exit_code == 3
    assert answer.stdout.endswith(REFUSAL)
    assert durham.bodies("/v1/moves") == []


def test_a_refusal_of_the_order_itself_prints_code_message_and_evidence(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.plan())
    no = Refusal(
        code="moving", message="run ebs-7 (switchover, by J. Bell) holds it", evidence=["since 03:10"]
    )
    durham.says("POST", "/v1/moves", no, status=409)
    answer = twinsite("failover", "ebs", "--yes")
    assert answer.exit_code == 3
    assert answer.stderr.splitlines()[:2] == [
        "Refused (moving): run ebs-7 (switchover, by J. Bell) holds it",
        "  seen: since 03:10",
    ]


def test_a_code_of_another_version_is_printed_without_an_explanation(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", Refusal(code="from-the-future", message="not yet"), status=409)
    answer = twinsite("failover", "ebs", "--yes")
    assert (answer.exit_code, answer.stderr) == (3, "Refused (from-the-future): not yet\n")


def test_a_wrong_request_is_wrong_usage(durham: FakeController, twinsite: Command) -> None:
    no = Refusal(code="unknown-service", message="no service 'hr'; there is ebs, crm")
    durham.says("POST", "/v1/plan", no, status=400)
    answer = twinsite("switchover", "hr", "--yes")
    assert (answer.exit_code, answer.stderr) == (2, "no service 'hr'; there is ebs, crm\n")


def test_a_run_that_fails_ends_with_1_and_says_where_to_look(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.plan())
    accepts(durham, "ebs")
    durham.streams(
        canned.run(), canned.run("ebs", "failed", ("done", "failed"), outcome="probe never became healthy")
    )
    answer = twinsite("failover", "ebs", "--yes")
    assert answer.exit_code == 1
    assert answer.stdout.endswith(
        "[1/2] Promote (promote): done in 0.3 s\n"
        "[2/2] Probe (probe): FAILED\n"
        "FAILED after 2.1 s: failover of ebs from morpeth to durham: probe never became healthy\n"
        "  data loss: at most 0.8 s of changes\n"
        "See: twinsite runs show ebs-failover-7\n"
        "     twinsite explain ebs\n"
    )


def test_an_order_that_may_have_arrived_is_never_sent_twice(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.plan())
    durham.breaks("/v1/moves")
    answer = twinsite("failover", "ebs", "--yes")
    assert answer.exit_code == 4
    assert "The request may have arrived all the same" in answer.stderr
    assert len(durham.bodies("/v1/moves")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["failover"], "a SERVICE, or --site SITE"),
        (["failover", "ebs", "--site", "morpeth"], "a SERVICE, or --site SITE"),
        (["failover", "ebs", "--certify-down", "morpeth"], "--certify-down needs --reason"),
        (["failover", "ebs", "--power-off", "morpeth"], "--power-off needs --reason"),
        (
            ["failover", "ebs", "--power-off", "morpeth", "--certify-down", "morpeth", "--reason", "x"],
            "give one of the two",
        ),
        (["failover", "--site", "morpeth", "--power-off", "morpeth", "--reason", "x"], "service by service"),
        (["failover", "--power-off", "morpeth", "--reason", "x"], "a SERVICE, or --site SITE"),
        (["failover", "ebs", "--power-off"], "requires an argument"),
        (["plan", "failover", "ebs", "--power-off", "morpeth"], "--power-off needs --reason"),
        (["switchover", "ebs", "--power-off", "morpeth", "--reason", "x"], "No such option '--power-off'"),
        (["failback", "ebs", "--power-off", "morpeth", "--reason", "x"], "No such option '--power-off'"),
        (["failover", "ebs", "--accept-loss", "38s"], "--accept-loss needs --reason"),
        (["failover", "ebs", "--accept-loss", "38", "--reason", "x"], "a duration with its unit"),
        (
            ["failover", "--site", "morpeth", "--certify-down", "durham", "--reason", "x"],
            "name different sites",
        ),
        (["switchover"], "a SERVICE, or --site SITE"),
        (["switchover", "--site", "morpeth", "--to", "durham"], "leave --to out"),
        (["switchover", "ebs", "--over-capacity"], "--over-capacity needs --reason"),
        (["failback"], "at home there"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    durham: FakeController, twinsite: Command, arguments: list[str], said: str
) -> None:
    answer = twinsite(*arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert durham.asked == []


def test_an_unknown_loss_can_be_accepted_by_name_only(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/plan", canned.refused_plan())
    answer = twinsite("failover", "ebs", "--accept-loss", "any", "--reason", "Morpeth burnt down", "--yes")
    assert answer.exit_code == 3
    assert durham.bodies("/v1/plan")[0]["accept_loss_seconds"] == float("inf")


THREE = canned.site_plan(
    canned.site_part(canned.plan("directory", shed=["hr"])),
    canned.site_part(canned.refused_plan("crm"), rank=2),
    canned.site_part(canned.plan("ebs"), "", "directory", rank=3),
    critical_path=["directory", "ebs"],
    critical_seconds=8.0,
    unowned=["stream"],
)
SITE_PLAN = """\
Plan: failover of all services at morpeth

  1 directory (rank 1)
    data loss: at most 0.8 s of changes would be lost, as of 14 s ago
    shed at durham before it: hr
  2 crm (rank 2)
    Refused (lag-above-limit): moving ebs now could lose 94 s, and 60 s are allowed
      this means: Moving now could lose more than the service's `max_data_loss` allows.
      what to do: Wait for the standby, or accept it:
        `twinsite failover crm --accept-loss … --reason …`.
  3 ebs (rank 3, after directory)
    data loss: at most 0.8 s of changes would be lost, as of 14 s ago

Critical path: directory, then ebs (by their last moves: 8.0 s)
Not in it, because nobody is primary for them: stream
Steps and gates of one of them: twinsite plan failover directory
"""


def test_the_plan_of_a_site_tells_order_loss_shedding_refusals_and_the_critical_path(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/sites/plan", THREE)
    answer = twinsite("plan", "failover", "--site", "morpeth")
    assert answer.exit_code == 3
    assert answer.stdout == SITE_PLAN


def test_a_site_is_moved_by_one_order_without_what_was_refused_and_every_end_is_told(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/sites/plan", THREE)
    durham.says("POST", "/v1/sites/moves", MoveAccepted(run="morpeth-failover-9", message="Begun."))
    durham.streams(
        canned.site_run("running", directory="running", ebs="waiting", crm="failed"),
        canned.site_run("failed", directory="done", ebs="done", crm="failed"),
    )
    answer = twinsite("failover", "--site", "morpeth", "--yes", "--reason", "it burns")
    assert answer.exit_code == 3, "everything that could be ordered was moved; the rest was refused"
    order = durham.bodies("/v1/sites/moves")[0]
    assert (order["run"], order["reason"]) == ("morpeth-failover-9", "it burns")
    assert [one["run"] for one in order["orders"]] == ["directory-failover-7", "ebs-failover-7"]
    assert "FAILED after 2.1 s: failover of all services at morpeth to durham" in answer.stdout
    assert answer.stdout.endswith(
        "Summary\n"
        "  directory: moved: directory-failover-7\n"
        "  ebs: moved: ebs-failover-7\n"
        "  crm: NOT moved: capacity-short: full\n"
        "See: twinsite explain crm\n"
    )


@pytest.mark.parametrize(("ebs", "code"), [("done", 0), ("failed", 1), ("skipped", 1)])
def test_a_site_s_run_ends_with_0_when_all_is_moved_and_with_1_when_something_ordered_is_not(
    durham: FakeController, twinsite: Command, ebs: str, code: int
) -> None:
    durham.says("POST", "/v1/sites/plan", canned.site_plan(canned.site_part(canned.plan("ebs"))))
    durham.says("POST", "/v1/sites/moves", MoveAccepted(run="morpeth-failover-9", message="Begun."))
    durham.streams(canned.site_run("done" if ebs == "done" else "failed", ebs=ebs))
    assert twinsite("failover", "--site", "morpeth", "--yes").exit_code == code


def test_a_site_of_which_everything_is_refused_is_not_ordered(
    durham: FakeController, twinsite: Command
) -> None:
    no = Refusal(code="no-quorum", message="the store is away")
    durham.says("POST", "/v1/sites/plan", canned.site_plan(canned.site_part(no, "crm")))
    answer = twinsite("failover", "--site", "morpeth", "--yes")
    assert answer.exit_code == 3
    assert "Refused (no-quorum): the store is away" in answer.stdout
    assert durham.bodies("/v1/sites/moves") == []


def test_a_site_without_services_needs_no_move(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/sites/plan", canned.site_plan())
    answer = twinsite("failover", "--site", "morpeth", "--yes")
    assert answer.exit_code == 0
    assert "No service has its primary at morpeth" in answer.stderr
    durham.says("POST", "/v1/sites/plan", canned.site_plan(unowned=["ebs"]))
    answer = twinsite("failover", "--site", "morpeth", "--yes")
    assert answer.exit_code == 1
    assert "Nobody is primary for ebs: see `twinsite explain ebs`" in answer.stderr


def test_the_way_home_of_a_site_with_nothing_away_says_so(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/sites/plan", canned.site_plan(verb="failback"))
    answer = twinsite("failback", "--site", "morpeth", "--yes")
    assert answer.exit_code == 0
    assert "Everything that is at home at morpeth is there" in answer.stderr


def test_a_failover_is_asked_of_the_site_that_is_not_lost(
    durham: FakeController, estate: Path, twinsite: Command
) -> None:
    with FakeController(estate.parent / "morpeth" / "controller.sock") as morpeth:
        morpeth.says("POST", "/v1/sites/plan", canned.site_plan(canned.site_part(canned.refused_plan("crm"))))
        assert twinsite("failover", "--site", "durham", "--yes").exit_code == 3
        assert durham.asked == []


# --- the way home -------------------------------------------------------------------------------------

WAY_HOME = """\
The way home, from durham to morpeth; UNPROTECTED since 2026-11-23T03:14:00Z
  1 morpeth answers again: NEXT: not all of it does yet
    waits for morpeth's controller: not heard of for 42 s, and its lease is over
    takes unknown: there is no past run to go by
  2 morpeth is made a standby of durham again: later: which way shows when it answers
    takes usually 40 s, seldom more than 1 min 30 s, by 3 past runs

Gates
"""

NOT_YET = """\
Nothing was done. The move home cannot be ordered yet (lag-above-limit); it comes to this first: 1
  morpeth answers again. Plan again at any time: twinsite plan failback ebs
"""


def test_the_way_home_is_shown_while_it_is_not_open_yet_and_that_is_no_refusal(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("POST", "/v1/plan", canned.far_from_home(), canned.far_from_home())
    answer = twinsite("plan", "failback", "ebs")
    assert answer.exit_code == 0
    assert WAY_HOME in answer.stdout
    assert "3 data: CLOSED (lag-above-limit)" in answer.stdout
    assert answer.stdout.endswith(NOT_YET)
    assert "Refused" not in answer.stdout
    answer = twinsite("plan", "failback", "ebs", "--json")
    assert answer.exit_code == 0
    assert MovePlan.model_validate_json(answer.stdout) == canned.far_from_home()


def test_of_a_whole_site_each_service_says_what_its_way_home_comes_to_first(
    durham: FakeController, twinsite: Command
) -> None:
    whole = canned.site_plan(canned.site_part(canned.far_from_home()), verb="failback")
    durham.says("POST", "/v1/sites/plan", whole)
    answer = twinsite("plan", "failback", "--site", "morpeth")
    assert "its way home comes to this first: 1 morpeth answers again" in answer.stdout
    assert "twinsite plan failback ebs" in answer.stdout


def test_a_failback_that_is_ordered_too_early_is_refused(durham: FakeController, twinsite: Command) -> None:
    durham.says("POST", "/v1/plan", canned.far_from_home())
    answer = twinsite("failback", "ebs", "--yes")
    assert answer.exit_code == 3
    assert WAY_HOME in answer.stdout
    assert "Refused (lag-above-limit)" in answer.stdout
    assert durham.bodies("/v1/moves") == []
