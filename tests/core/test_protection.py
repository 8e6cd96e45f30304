"""Since when a service has been unprotected: from the failover until a standby is in sync again."""

from dataclasses import replace

import pytest

from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.protection import (
    NEVER,
    STEADY_SECONDS,
    Look,
    Protection,
    failed_over_unix_seconds,
    protection,
    was_back,
)
from orchestrator.core.records import LastMove, Mode, Movement, RunRecord, ServiceRecord

FAILOVER = 1_000.0
NOT_IN_SYNC = sorted(set(Diagnosis) - {Diagnosis.HEALTHY, Diagnosis.LAGGING})


def look(diagnosis: Diagnosis, now: float, epoch: int | None = 5, **differs: object) -> Look:
    """At epoch 5, which an unplanned move made."""
    found = Look(diagnosis=diagnosis, epoch=epoch, now_unix_seconds=now, failed_over_unix_seconds=FAILOVER)
    return replace(found, **differs)


def told(before: Protection | None, *looks: Look) -> Protection:
    """After these looks."""
    for one in looks:
        before = protection(before, one)
    assert before is not None
    return before


def in_sync(since: float) -> tuple[Look, Look]:
    """Found in sync, and found so again once it has stayed so."""
    return look(Diagnosis.HEALTHY, since), look(Diagnosis.HEALTHY, since + STEADY_SECONDS)


@pytest.mark.parametrize("diagnosis", NOT_IN_SYNC)
def test_a_controller_with_nothing_on_file_begins_at_the_failover_and_not_at_its_own_start(
    diagnosis: Diagnosis,
) -> None:
    assert protection(None, look(diagnosis, FAILOVER + 900)) == Protection(5, FAILOVER)
    after = told(None, look(Diagnosis.UNKNOWN, FAILOVER + 900, None), look(diagnosis, FAILOVER + 901))
    assert after == Protection(5, FAILOVER), "it did not know the owner at its first look"


@pytest.mark.parametrize("diagnosis", NOT_IN_SYNC)
def test_a_restart_with_something_on_file_changes_nothing(diagnosis: Diagnosis) -> None:
    kept = Protection(5, FAILOVER - 3)
    assert protection(kept, look(diagnosis, FAILOVER + 900)) == kept
    assert protection(kept, look(Diagnosis.UNKNOWN, FAILOVER + 900, None)) == kept


def test_the_old_site_that_comes_back_with_an_older_memory_counts_from_the_failover_too() -> None:
    remembers = Protection(4, None)
    assert protection(remembers, look(Diagnosis.NOT_A_STANDBY, FAILOVER + 900)) == Protection(5, FAILOVER)


def test_a_standby_that_receives_and_is_behind_ends_nothing_and_one_in_sync_ends_it() -> None:
    lost = Protection(5, FAILOVER)
    behind = protection(lost, look(Diagnosis.LAGGING, FAILOVER + 60))
    assert behind == lost
    assert told(behind, *in_sync(FAILOVER + 90)) == Protection(5, None)


def test_a_standby_that_merely_falls_behind_does_not_begin_it() -> None:
    well = Protection(5, None)
    assert protection(well, look(Diagnosis.LAGGING, FAILOVER + 900)) == well
    fresh = look(Diagnosis.LAGGING, FAILOVER + 900, failed_over_unix_seconds=None)
    assert protection(None, fresh) == well


def test_a_database_that_boots_before_its_controller_ends_nothing() -> None:
    lost = Protection(5, FAILOVER)
    booted = look(Diagnosis.HEALTHY, FAILOVER + 60, other_site_silent=True)
    assert protection(lost, booted) == lost
    assert told(lost, *in_sync(FAILOVER + 61)) == Protection(5, None)
    well = Protection(5, None)
    assert protection(well, booted) == well, "a controller that restarts begins nothing either"


def test_a_site_that_is_in_sync_for_a_moment_before_its_rejoin_begins_ends_nothing() -> None:
    after = told(
        Protection(5, FAILOVER),
        look(Diagnosis.HEALTHY, FAILOVER + 90),
        look(Diagnosis.HEALTHY, FAILOVER + 90 + STEADY_SECONDS - 1),
        look(Diagnosis.UNPROTECTED, FAILOVER + 90 + STEADY_SECONDS),
        look(Diagnosis.HEALTHY, FAILOVER + 91 + STEADY_SECONDS),
        look(Diagnosis.HEALTHY, FAILOVER + 90 + 2 * STEADY_SECONDS),
    )
    assert after == Protection(5, FAILOVER)


def test_what_lasted_a_moment_is_over_in_a_moment() -> None:
    """As in a planned move, or while a controller starts."""
    moved = told(None, look(Diagnosis.MOVING, 2_000.0, failed_over_unix_seconds=None))
    again = protection(moved, look(Diagnosis.HEALTHY, 2_000.5))
    assert again == Protection(5, 2_000.0)
    assert protection(again, look(Diagnosis.HEALTHY, 2_001.0)) == Protection(5, None)


def test_a_second_loss_after_it_was_in_sync_counts_from_that_loss() -> None:
    after = told(
        Protection(5, FAILOVER),
        *in_sync(FAILOVER + 90),
        look(Diagnosis.UNPROTECTED, FAILOVER + 5_000),
        look(Diagnosis.UNPROTECTED, FAILOVER + 5_001),
    )
    assert after == Protection(5, FAILOVER + 5_000)


def test_without_a_memory_a_standby_that_was_back_since_is_not_forgotten() -> None:
    seen = look(Diagnosis.UNPROTECTED, FAILOVER + 5_000, was_back=True)
    assert protection(None, seen) == Protection(5, FAILOVER + 5_000)
    assert protection(Protection(NEVER, FAILOVER + 4_999), seen) == Protection(5, FAILOVER + 4_999)


def test_what_was_broken_before_the_failover_stays_broken_since_then() -> None:
    after = told(
        Protection(4, None),
        look(Diagnosis.UNPROTECTED, FAILOVER - 700, 4, failed_over_unix_seconds=None),
        look(Diagnosis.SITE_DARK, FAILOVER - 1, 4, failed_over_unix_seconds=None),
        look(Diagnosis.MOVING, FAILOVER + 1),
        look(Diagnosis.UNPROTECTED, FAILOVER + 9),
    )
    assert after == Protection(5, FAILOVER - 700)


def test_another_sites_clock_that_runs_ahead_does_not_put_it_into_the_future() -> None:
    seen = look(Diagnosis.UNPROTECTED, 900.0)
    assert protection(None, seen) == Protection(5, 900.0)


# --- what the store tells -----------------------------------------------------------------------------

RECORD = ServiceRecord(
    primary="y", epoch=5, mode=Mode.AUTOMATIC, movement=Movement.STEADY, writer="", run="run-5"
)


def run(name: str, kind: str, **differs: object) -> RunRecord:
    """A run to y at epoch 5."""
    record = RunRecord(
        run=name,
        kind=kind,
        service="crm",
        from_site="x",
        to_site="y",
        executor_site="y",
        executor=1,
        state="done",
        plan={"epoch": 5},
        statement="",
        who="",
        why="",
        started="",
        started_unix_seconds=FAILOVER,
    )
    return replace(record, **differs)


def test_the_failover_is_told_by_the_services_record_or_by_its_run() -> None:
    by_record = replace(RECORD, last_move=LastMove(run="run-5", at_unix_seconds=FAILOVER))
    assert failed_over_unix_seconds(by_record, {}) == FAILOVER
    assert failed_over_unix_seconds(RECORD, {"run-5": run("run-5", "failover")}) == FAILOVER
    older = replace(RECORD, last_move=LastMove(run="run-3", at_unix_seconds=1.0))
    assert failed_over_unix_seconds(older, {"run-5": run("run-5", "switchover")}) is None
    back = run("run-5", "failover", to_site="x")
    assert failed_over_unix_seconds(RECORD, {"run-5": back}) is None, "it was taken back"
    assert failed_over_unix_seconds(RECORD, {}) is None


def test_a_rejoin_counts_only_when_it_ended_well_at_this_epoch() -> None:
    assert was_back("crm", RECORD, {"r": run("r", "rejoin")})
    for differs in ({"state": "failed"}, {"plan": {"epoch": 4}}, {"service": "ebs"}, {"to_site": "x"}):
        assert not was_back("crm", RECORD, {"r": run("r", "rejoin", **differs)}), differs
