"""`/metrics`: the fixed names, unknown without a series, ages that go on growing."""

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator import readings as module
from orchestrator import readings_of, run_readings
from orchestrator.core.clocks import ClockWord
from orchestrator.drills import telling
from orchestrator.metrics import CONTENT_TYPE, render
from orchestrator.metrics_table import METRICS, Kind
from orchestrator.readings import (
    CertificateReading,
    DeviceReading,
    DisagreementReading,
    DrillReading,
    FindingReading,
    HeadroomReading,
    InstanceReading,
    LagReading,
    LeaderReading,
    MoveReading,
    ProbeReading,
    ReachReading,
    Readings,
    ReceiverReading,
    RunReading,
    ServiceReading,
    SiteReading,
    StoreReading,
    Tally,
)
from probes.model import Verdict
from sites.replication.words import Role

S = 10**9
FIXED = {
    "twinsite_replication_lag_seconds": {"service", "from_site", "to_site"},
    "twinsite_replication_lag_bytes": {"service", "from_site", "to_site"},
    "twinsite_replication_sample_age_seconds": {"service", "from_site", "to_site"},
    "twinsite_objective_rpo_seconds": {"service"},
    "twinsite_objective_rto_seconds": {"service"},
    "twinsite_role": {"service", "site"},
    "twinsite_epoch": {"service", "site"},
    "twinsite_lease_remaining_seconds": {"site"},
    "twinsite_unprotected_since_timestamp_seconds": {"service"},
    "twinsite_drill_last_success_timestamp_seconds": {"service"},
    "twinsite_probe_up": {"service", "site", "probe", "kind"},
    "twinsite_probe_duration_seconds": {"service", "site", "probe", "kind"},
}


SHAPES = {
    name: shape
    for name, shape in vars(module).items()
    if is_dataclass(shape) and (name == "Readings" or name.endswith("Reading"))
}
NOBODY_KNOWS: set[str] = set()


def tally() -> Tally:
    """One of everything that is counted."""
    counted = Tally()
    counted.decided("ebs", "hold", "lease-still-held")
    counted.decided("ebs", "hold", "lease-still-held")
    counted.refused("ebs", "guard-missing")
    counted.run_ended("ebs", "failover", "done", 2.5)
    counted.run_ended("ebs", "failover", "done", 1.5)
    counted.step_ended("ebs", "promote", "done", 0.25)
    return counted


def known() -> Readings:
    """Everything is known."""
    return Readings(
        observer="durham",
        version="twinsite 0.1.0",
        turned_at_ns=100 * S,
        loop_delay_seconds=0.002,
        started_unix_seconds=1_789_000_000.0,
        lease_duration_seconds=10.0,
        store=StoreReading(
            answered_at_ns=99 * S,
            round_trip_seconds=0.004,
            size_bytes=4096,
            quota_bytes=2**31,
            trusted=True,
        ),
        receivers=(
            ReceiverReading(
                receiver='on "call"\n',
                waiting=2,
                troubled=True,
                oldest_unix_seconds=1_800_000_000.0,
                last_sent_unix_seconds=1_799_999_000.0,
                outcomes={"sent": 5, "failed": 3},
            ),
        ),
        unacknowledged={"critical": 1, "warning": 0, "info": 0},
        devices=(DeviceReading(site="durham", host="crm-db", agent="fence_ipmilan", answers=True),),
        hosts_off={"durham": 1},
        power_cuts={"verified": 1},
        certificates=(CertificateReading(identity="twinsite:controller/durham", ends_unix_seconds=1.8e9),),
        clocks=(
            ClockWord(observer="durham", about="morpeth", rate=0.0001, wall_ahead_seconds=-0.5),
            ClockWord(observer="derwentside", about="durham", rate=-0.0002),
        ),
        not_accepted={"certificate-expired": 2},
        sites=(
            SiteReading(
                site="durham",
                lease_until_ns=108 * S,
                hold=False,
                word_missing=False,
                lease_lowest_seconds=7.5,
                maintenance=True,
            ),
            SiteReading(
                site="morpeth",
                lease_until_ns=90 * S,
                hold=True,
                promised_until_ns=101 * S,
            ),
            SiteReading(site="derwentside", witness=True),
        ),
        services=(
            ServiceReading(
                service="ebs",
                sites=("morpeth", "durham"),
                rpo_seconds=60,
                rto_seconds=1800,
                owner_known=True,
                run_waits=False,
                primary="durham",
                epoch=5,
                glass_site="durham",
                under_glass=True,
                diagnosis="unprotected",
                paused=True,
                pause_until_ns=130 * S,
                pause_ends_unix_seconds=1_790_000_030.0,
                protected=False,
                unprotected_since_unix_seconds=1_790_000_000.0,
                drill_last_success_unix_seconds=1_780_000_000.0,
                drill_of_todays_plan=False,
                last_move=MoveReading(
                    ended_unix_seconds=1_790_000_001.0,
                    outage_seconds=3.1,
                    loss_bound_seconds=38.0,
                    stages={"detect": 0.4, "decide": 1.1, "execute": 2.0, "verify": None},
                    used_seconds=3.4,
                    lost_seconds=0.4,
                    lost_bytes=12288,
                ),
            ),
        ),
        instances=(
            InstanceReading(
                service="ebs", site="durham", role=Role.PRIMARY, sampled_at_ns=99 * S, writable=True
            ),
            InstanceReading(
                service="ebs", site="morpeth", role=Role.DOWN, sampled_at_ns=98 * S, writable=False
            ),
        ),
        lags=(
            LagReading(
                service="ebs",
                from_site="durham",
                to_site="morpeth",
                sampled_at_ns=97 * S,
                seconds=0.0,
                bytes=0,
            ),
        ),
        probes=(
            ProbeReading(
                service="ebs",
                site="durham",
                probe="login page",
                kind="http",
                verdict=Verdict.UP,
                at_ns=96 * S,
                duration_seconds=0.03,
            ),
        ),
        reaches=(
            ReachReading(from_site="derwentside", to_site="morpeth", reached=False, at_ns=95 * S),
            ReachReading(from_site="derwentside", to_site="morpeth", reached=True, at_ns=95 * S, member=True),
        ),
        disagreements=(
            DisagreementReading(service="", site="morpeth", disagree=True),
            DisagreementReading(service="ebs", site="morpeth", disagree=False),
        ),
        findings=(FindingReading(finding="link down", about="derwentside-morpeth"),),
        runs=(
            RunReading(
                service="ebs",
                kind="failover",
                changed_at_ns=94 * S,
                started_unix_seconds=1_790_000_000.0,
                finish_unix_seconds=1_790_000_060.0,
                cautious_unix_seconds=1_790_000_090.0,
                used_seconds=12.0,
                within_rto=True,
                stalled=True,
                steps={"done": 2, "waiting": 3},
            ),
        ),
        headrooms=(
            HeadroomReading(from_site="morpeth", to_site="durham", cpu_cores=-4.0, memory_bytes=64 * 2**30),
        ),
        leaders=(LeaderReading(member="durham", leads=True),),
        drills=(
            DrillReading(
                drill="ebs quarterly",
                service="ebs",
                kind="isolated",
                running=False,
                next_due_unix_seconds=1.8e9,
                overdue=True,
                missed=2,
                last_success_unix_seconds=1_780_000_000.0,
                last_success_seconds=21.5,
                left_behind=False,
            ),
        ),
        counts=tally().counts(),
    )


def unknown() -> Readings:
    """The same estate, of which nothing is known but when it was last tried."""
    return Readings(
        observer="durham",
        version="twinsite 0.1.0",
        turned_at_ns=100 * S,
        store=StoreReading(answered_at_ns=99 * S),
        sites=(SiteReading(site="durham"), SiteReading(site="morpeth")),
        services=(
            ServiceReading(service="ebs", sites=("morpeth", "durham"), rpo_seconds=60, rto_seconds=1800),
        ),
        drills=(DrillReading(drill="ebs quarterly", service="ebs", kind="isolated"),),
        instances=(InstanceReading(service="ebs", site="durham", role=Role.UNKNOWN, sampled_at_ns=99 * S),),
        lags=(LagReading(service="ebs", from_site="durham", to_site="morpeth", sampled_at_ns=97 * S),),
        probes=(
            ProbeReading(
                service="ebs",
                site="durham",
                probe="login page",
                kind="http",
                verdict=Verdict.UNKNOWN,
                at_ns=96 * S,
            ),
        ),
        reaches=(ReachReading(from_site="derwentside", to_site="morpeth", reached=None, at_ns=95 * S),),
    )


def series(readings: Readings, now_ns: int = 100 * S) -> Iterator[tuple[str, dict[str, str], float]]:
    """Every series, as Prometheus reads the exposition."""
    for family in text_string_to_metric_families(render(readings, now_ns=now_ns).decode()):
        for sample in family.samples:
            yield sample.name, dict(sample.labels), sample.value


def value(readings: Readings, name: str, now_ns: int = 100 * S, **labels: str) -> float | None:
    """The value of one series; None if there is none."""
    found = [
        one
        for named, told, one in series(readings, now_ns)
        if named == name and labels.items() <= told.items()
    ]
    assert len(found) <= 1
    return found[0] if found else None


def test_every_metric_has_a_series_when_everything_is_known() -> None:
    shown = {name for name, _, _ in series(known())}
    for row in METRICS:
        names = {f"{row.name}_count", f"{row.name}_sum"} if row.kind is Kind.SUMMARY else {row.name}
        assert names <= shown


def test_everything_that_a_metric_reads_is_filled_from_what_the_controller_knows() -> None:
    filled: dict[str, set[str]] = {}
    made_in = (readings_of, run_readings, telling)
    sources = [Path(each.__file__ or "").read_text(encoding="utf-8") for each in made_in]
    for node in (found for source in sources for found in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SHAPES:
            filled.setdefault(node.func.id, set()).update(word.arg for word in node.keywords if word.arg)
    missing = {
        f"{name}.{each.name}"
        for name, shape in SHAPES.items()
        for each in fields(shape)
        if each.name not in filled.get(name, ())
    }
    assert missing <= NOBODY_KNOWS


@pytest.mark.parametrize("name", FIXED)
def test_the_fixed_names_keep_their_labels(name: str) -> None:
    labels = [set(told) for named, told, _ in series(known()) if named == name]
    assert labels
    assert all(one == FIXED[name] | {"observer"} for one in labels)


def test_what_is_not_known_has_no_series_and_is_never_a_zero() -> None:
    shown = {name for name, _, _ in series(unknown())}
    assert shown == {
        "twinsite_replication_sample_age_seconds",
        "twinsite_objective_rpo_seconds",
        "twinsite_objective_rto_seconds",
        "twinsite_instance_sample_age_seconds",
        "twinsite_probe_age_seconds",
        "twinsite_reachable_age_seconds",
        "twinsite_store_answer_age_seconds",
        "twinsite_turn_age_seconds",
        "twinsite_build_info",
        "twinsite_service_info",
        "twinsite_site_info",
    }


@pytest.mark.parametrize(
    ("name", "at_100", "at_160"),
    [
        ("twinsite_replication_sample_age_seconds", 3.0, 63.0),
        ("twinsite_instance_sample_age_seconds", 1.0, 61.0),
        ("twinsite_probe_age_seconds", 4.0, 64.0),
        ("twinsite_reachable_age_seconds", 5.0, 65.0),
        ("twinsite_store_answer_age_seconds", 1.0, 61.0),
        ("twinsite_turn_age_seconds", 0.0, 60.0),
    ],
)
def test_an_age_goes_on_growing_though_no_turn_comes(name: str, at_100: float, at_160: float) -> None:
    assert value(unknown(), name) == at_100
    assert value(unknown(), name, 160 * S) == at_160


def test_a_lease_runs_out_between_turns_and_stays_at_zero() -> None:
    assert value(known(), "twinsite_lease_remaining_seconds", site="durham") == 8.0
    assert value(known(), "twinsite_lease_remaining_seconds", 200 * S, site="durham") == 0.0
    assert value(known(), "twinsite_lease_remaining_seconds", site="morpeth") == 0.0


def test_a_pause_runs_out_between_turns_and_is_zero_where_there_is_none() -> None:
    assert value(known(), "twinsite_pause_remaining_seconds", service="ebs") == 30.0
    assert value(known(), "twinsite_pause_remaining_seconds", 200 * S, service="ebs") == 0.0
    assert value(known(), "twinsite_pause_ends_timestamp_seconds", service="ebs") == 1_790_000_030.0
    running = Readings(
        observer="durham",
        version="twinsite 0.1.0",
        turned_at_ns=0,
        services=(
            ServiceReading(
                service="crm", sites=("morpeth", "durham"), rpo_seconds=60, rto_seconds=1800, paused=False
            ),
        ),
    )
    assert value(running, "twinsite_pause_remaining_seconds", service="crm") == 0.0
    assert value(running, "twinsite_pause_ends_timestamp_seconds", service="crm") is None


def test_a_way_never_tried_has_no_age_and_a_member_is_no_site() -> None:
    never = Readings(
        observer="durham",
        version="twinsite 0.1.0",
        turned_at_ns=0,
        reaches=(
            ReachReading(from_site="durham", to_site="derwentside", reached=None, at_ns=None),
            ReachReading(from_site="durham", to_site="morpeth", reached=True, at_ns=S, member=True),
        ),
    )
    assert value(never, "twinsite_reachable") is None
    assert value(never, "twinsite_reachable_age_seconds") is None
    assert value(never, "twinsite_store_member_reachable", member="morpeth") == 1


def test_roles_are_numbers_that_can_be_counted() -> None:
    assert value(known(), "twinsite_role", site="durham") == 1
    assert value(known(), "twinsite_role", site="morpeth") == -1


def test_the_owner_by_the_store_is_apart_from_what_instances_say() -> None:
    assert value(known(), "twinsite_owner", site="durham") == 1
    assert value(known(), "twinsite_owner", site="morpeth") == 0
    assert value(known(), "twinsite_epoch", site="durham") == 5
    assert value(known(), "twinsite_epoch", site="morpeth") is None


def test_nobody_being_primary_is_known_to_be_nobody() -> None:
    nobody = Readings(
        observer="durham",
        version="twinsite 0.1.0",
        turned_at_ns=0,
        services=(
            ServiceReading(
                service="ebs",
                sites=("morpeth", "durham"),
                rpo_seconds=60,
                rto_seconds=1800,
                owner_known=True,
                epoch=5,
            ),
        ),
    )
    assert value(nobody, "twinsite_owner", site="durham") == 0
    assert value(nobody, "twinsite_owner", site="morpeth") == 0
    assert value(nobody, "twinsite_epoch") is None


def test_counts_only_grow_and_durations_are_summed() -> None:
    assert value(known(), "twinsite_decisions_total", code="lease-still-held") == 2
    assert value(known(), "twinsite_refusals_total", code="guard-missing") == 1
    assert value(known(), "twinsite_run_duration_seconds_count", kind="failover", outcome="done") == 2
    assert value(known(), "twinsite_run_duration_seconds_sum", kind="failover", outcome="done") == 4.0
    assert value(known(), "twinsite_step_duration_seconds_sum", step="promote") == 0.25


def test_counts_that_were_handed_out_do_not_change_any_more() -> None:
    counted = tally()
    before = counted.counts()
    counted.refused("ebs", "guard-missing")
    assert sum(before.refusals.values()) == 1
    assert sum(counted.counts().refusals.values()) == 2


def test_every_name_has_the_prefix_a_unit_and_a_help_that_is_a_sentence() -> None:
    for row in METRICS:
        assert row.name.startswith("twinsite_")
        assert row.name.endswith("_total") == (row.kind is Kind.COUNTER)
        assert not row.name.endswith(("_ms", "_ns", "_mb"))
        assert row.text.endswith(".")
    assert len({row.name for row in METRICS}) == len(METRICS)


def test_a_label_with_quotes_and_line_ends_stays_one_label() -> None:
    odd = 'log"in\\pa\nge'
    readings = Readings(
        observer="durham",
        version="1",
        turned_at_ns=0,
        probes=(
            ProbeReading(service="ebs", site="durham", probe=odd, kind="tcp", verdict=Verdict.DOWN, at_ns=0),
        ),
    )
    assert value(readings, "twinsite_probe_up", probe=odd) == 0


def test_the_content_type_is_that_of_the_text_format() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
