"""Verbs that only look."""

import json

import pytest

from orchestrator.api.shapes import LagList, LagStatus, RunList, Status
from tests.cli import canned
from tests.cli.conftest import Command
from tests.cli.fake_controller import FakeController

STEADY = """\
OK: every service is well (durham's controller, 2026-11-23 03:12:07 UTC)
store: reachable (0.2 s ago) · keeper: running · twinsite 0.1.0

Sites
  durham: answers: yes, it is the one asked; lease: 8.4 s left
  morpeth: answers: yes, 0.3 s ago; lease: 8.4 s left
  derwentside: answers: yes, 0.3 s ago; lease: none (witness)

Services
  ebs: primary: morpeth (epoch 4); healthy; protected
    morpeth: primary, writable, 0.2 s ago
    durham: standby, 0.4 s ago
    lag morpeth to durham: 0 s, 0 B, sampled 0.4 s ago
  crm: primary: durham (epoch 4); healthy; protected
    durham: primary, writable, 0.2 s ago
    morpeth: standby, 0.4 s ago
    lag durham to morpeth: 0 s, 0 B, sampled 0.4 s ago

If moved now
  ebs: at most 0.4 s of changes
  crm: at most 0.4 s of changes

Degraded: nothing

What to do next: nothing
"""

LOST = """\
DOWN: at least one service is down; see below (durham's controller, 2026-11-23 03:12:07 UTC)
store: reachable (0.2 s ago) · keeper: running · twinsite 0.1.0

Sites
  durham: answers: yes, it is the one asked; lease: 8.4 s left
  morpeth: answers: NO, last seen 14.2 s ago; lease: RUN OUT
  derwentside: answers: unknown; lease: none (witness)

Services
  ebs: primary: morpeth (epoch 4); site dark; UNPROTECTED for 14.2 s
    morpeth: unknown (timed-out), 14.2 s ago
    durham: standby, 0.4 s ago
    lag morpeth to durham: unknown, sampled 14.2 s ago
  crm: primary: durham (epoch 4, manual); unprotected; UNPROTECTED for 3 min 20 s
    durham: primary, writable, 0.2 s ago
    morpeth: standby, 0.4 s ago
    lag: unknown, never sampled
  smartstream: watched only: roles and lag are not known; not ours to move

If moved now
  ebs: at most 0.8 s of changes, as of 14 s ago
  crm: unknown

Warnings
  no guard: a stalled controller is not fenced

Degraded
  ebs: site dark: its site is silent and its lease is over
  crm: unprotected: it has no standby that receives what is written
  crm: paused: until 04:00 by J. Bell: storage work

What to do next
  ebs: twinsite failover ebs
  crm: see why: twinsite explain crm
"""


def test_status_of_a_steady_estate_reads_so(durham: FakeController, twinsite: Command) -> None:
    answer = twinsite("status")
    assert answer.exit_code == 0
    assert answer.stdout == STEADY


def test_status_of_a_lost_site_says_what_is_unknown_what_is_down_and_what_to_do(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("GET", "/v1/status", canned.morpeth_lost())
    answer = twinsite("status")
    assert answer.exit_code == 0
    assert answer.stdout == LOST


def test_no_line_of_a_status_is_wider_than_100_columns(durham: FakeController, twinsite: Command) -> None:
    status = canned.morpeth_lost()
    status = status.model_copy(update={"warnings": ["the store " + "is slow to answer " * 20]})
    durham.says("GET", "/v1/status", status)
    assert max(len(line) for line in twinsite("status").stdout.splitlines()) <= 100


def test_json_of_a_status_is_exactly_the_shape_of_the_api(durham: FakeController, twinsite: Command) -> None:
    answer = twinsite("status", "--json")
    assert Status.model_validate_json(answer.stdout) == canned.steady()
    assert json.loads(answer.stdout) == json.loads(canned.steady().model_dump_json())


def test_a_status_of_a_newer_controller_with_more_in_it_is_still_shown(
    durham: FakeController, twinsite: Command
) -> None:
    told = json.loads(canned.steady().model_dump_json()) | {"moon_phase": "full"}
    durham.says_raw("GET", "/v1/status", json.dumps(told).encode())
    assert twinsite("status").stdout == STEADY


def test_watching_without_a_terminal_is_wrong_usage(durham: FakeController, twinsite: Command) -> None:
    answer = twinsite("status", "--watch")
    assert answer.exit_code == 2
    assert "needs a terminal" in answer.stderr


def test_explain_names_the_decision_the_gates_and_the_evidence(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("GET", "/v1/explain/ebs", canned.explanation())
    answer = twinsite("explain", "ebs")
    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[:3] == [
        "ebs: site dark",
        "  decision: refuse (guard-missing, rule 308)",
        "  why: no guard: a person decides",
    ]
    assert "  2 old primary: CLOSED (old-primary-writable): answers" in answer.stdout
    assert "  3 data: NOT KNOWN, counts as closed (lag-unknown): no sample" in answer.stdout
    assert "  derwentside sees ebs at morpeth: down (timed-out), 1.2 s ago: no answer on" in answer.stdout
    assert "2026-11-23 03:11:53 UTC  peer silent: hold (lease-still-held)" in answer.stdout
    assert "what to do: Make sure that the old site cannot write" in answer.stdout


def test_lag_says_both_directions_and_never_shows_unknown_as_zero(
    durham: FakeController, twinsite: Command
) -> None:
    durham.says("GET", "/v1/status", canned.morpeth_lost())
    assert twinsite("lag").stdout.splitlines() == [
        "ebs morpeth to durham: unknown, sampled 14.2 s ago, NOT receiving",
        "crm: unknown, never sampled",
    ]
    told = LagList.model_validate_json(twinsite("lag", "--json").stdout)
    assert [(one.service, one.seconds) for one in told.lag] == [("ebs", None)]


def test_a_service_whose_owner_is_not_known_is_listed_with_nulls(
    durham: FakeController, twinsite: Command
) -> None:
    status = canned.steady()
    (of,) = [one for one in status.services if one.service == "ebs"]
    unknown = LagStatus(
        service="ebs",
        from_site="morpeth",
        to_site="durham",
        seconds=None,
        bytes=None,
        sample_age_seconds=None,
        streaming=None,
        detail="unknown: its owner is not known",
    )
    ebs = of.model_copy(update={"primary": None, "lag": unknown})
    others = [one for one in status.services if one.service != "ebs"]
    durham.says("GET", "/v1/status", status.model_copy(update={"services": [ebs, *others]}))
    told = LagList.model_validate_json(twinsite("lag", "--json").stdout)
    assert unknown in told.lag
    assert "ebs morpeth to durham: unknown: its owner is not known\n" in twinsite("lag").stdout


def test_runs_lists_the_newest_first_and_asks_for_no_more_than_wanted(
    durham: FakeController, twinsite: Command
) -> None:
    runs = [canned.run("crm"), canned.run("ebs", "done", ("done", "done"))]
    durham.says("GET", "/v1/runs", RunList(runs=runs))
    answer = twinsite("runs")
    assert "crm-failover-7: failover of crm from morpeth to durham: running" in answer.stdout
    assert "took: not ended" in answer.stdout
    assert RunList.model_validate_json(twinsite("runs", "--limit", "1", "--json").stdout).runs == runs[:1]


def test_no_runs_at_all_is_said(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/runs", RunList(runs=[]))
    assert twinsite("runs").stdout == "No runs yet.\n"


def test_a_run_is_told_step_by_step_with_who_and_why(durham: FakeController, twinsite: Command) -> None:
    durham.says("GET", "/v1/runs/ebs-failover-7", canned.run("ebs", "failed", ("done", "failed")))
    answer = twinsite("runs", "show", "ebs-failover-7")
    assert answer.exit_code == 0
    assert answer.stdout.splitlines() == [
        "ebs-failover-7: failover of ebs from morpeth to durham",
        "  state: failed",
        "  data loss: at most 0.8 s of changes",
        "  ordered by: operator: Morpeth is dark",
        "  carried out by: durham",
        "  started: 2026-11-23 03:13:00 UTC; took: 2.1 s",
        "",
        "Steps",
        "  [1/2] Promote (promote): done in 0.3 s",
        "  [2/2] Probe (probe): FAILED",
    ]


@pytest.mark.parametrize("name", ["ebs/../../etc", "a b?c", "ebs#1"])
def test_a_name_stays_data_on_its_way_to_the_controller(
    durham: FakeController, twinsite: Command, name: str
) -> None:
    answer = twinsite("runs", "show", name)
    assert answer.exit_code == 1
    assert durham.asked == [("GET", f"/v1/runs/{name}", None)]
