"""What is found on a host is judged the same way everywhere, and said in one line."""

import pytest

from orchestrator.hosts_report import (
    HostCheck,
    HostReport,
    judge_clock,
    judge_disk,
    judge_restarters,
    judge_tools,
    render_line,
)
from sites.restarters import Database, parsed

ALL = {"sh": "/bin/sh", "flock": "/bin/flock", "setsid": "/bin/setsid", "perl": "", "ps": "/bin/ps"}


@pytest.mark.parametrize(
    ("offset_seconds", "uncertainty_seconds", "ok"),
    [
        (0.0, 0.01, True),
        (-0.99, 0.0, True),
        (1.02, 0.01, None),
        (1.02, 0.1, True),
        (-59.0, 0.0, None),
        (61.0, 0.5, False),
        (-3600.0, 0.5, False),
        (0.0, 2.0, None),
    ],
)
def test_clocks_warn_above_a_second_and_are_at_fault_above_a_minute(
    offset_seconds: float, uncertainty_seconds: float, ok: bool | None
) -> None:
    assert judge_clock(offset_seconds, uncertainty_seconds).ok is ok


def test_all_tools_there_is_well() -> None:
    assert judge_tools(ALL, ("sh",)).ok is True


def test_a_missing_tool_that_was_asked_for_is_named() -> None:
    check = judge_tools({**ALL, "/pg/bin/pg_rewind": ""}, ("sh", "/pg/bin/pg_rewind"))
    assert check.ok is False
    assert "/pg/bin/pg_rewind" in check.detail


def test_perl_stands_in_for_setsid_and_proc_for_ps() -> None:
    assert judge_tools({**ALL, "setsid": "", "perl": "/bin/perl"}, ("sh",)).ok is True
    assert judge_tools({**ALL, "setsid": ""}, ("sh",)).ok is False
    assert judge_tools({**ALL, "ps": "", "/proc": "/proc"}, ("sh",)).ok is True
    assert judge_tools({**ALL, "ps": ""}, ("sh",)).ok is False


def test_without_flock_steps_still_work_and_somebody_should_look() -> None:
    assert judge_tools({**ALL, "flock": ""}, ("sh",)).ok is None


@pytest.mark.parametrize(
    ("free_bytes", "ok"), [(None, None), (0, False), (64 << 20, None), (1 << 30, True), (1 << 40, True)]
)
def test_a_full_disk_is_a_fault_and_an_unknown_one_is_not_taken_for_well(
    free_bytes: int | None, ok: bool | None
) -> None:
    assert judge_disk("/var/lib/twinsite", free_bytes).ok is ok


def test_the_line_says_first_what_is_at_fault_and_what_to_do() -> None:
    checks = (
        HostCheck("reach", True, "reached"),
        HostCheck("clock", None, "clock +2.000 s", "set it right"),
        HostCheck("disk", False, "3.0 MiB free at /x", "make room"),
    )
    line = render_line(HostReport("crm-db", "durham", "twinsite@10.20.1.10:22", checks))
    assert line == (
        "FAULT durham/crm-db twinsite@10.20.1.10:22 | disk: 3.0 MiB free at /x; make room | "
        "look: clock: clock +2.000 s; set it right | reached"
    )


def test_a_host_where_all_is_well_is_ok_and_one_that_was_not_looked_at_is_not() -> None:
    well = HostReport("crm-db", "durham", "x", (HostCheck("reach", True, "reached"),))
    assert render_line(well) == "ok    durham/crm-db x | reached"
    assert HostReport("crm-db", "durham", "x", ()).ok is None


@pytest.mark.parametrize(
    ("said", "gated", "ok", "told"),
    [
        ("", False, True, "nothing starts crm by itself"),
        ("found=systemd-restart|pg.service|Restart=always\n", False, False, "systemd's pg.service"),
        ("found=systemd-restart|pg.service|Restart=always\n", True, None, "systemd's pg.service"),
        ("found=systemd-boot|pg.service|enabled\n", False, None, "it starts at boot"),
        ("unknown=systemd does not answer\n", False, None, "not known: systemd does not answer"),
        ("found=manager|patroni|\nunknown=docker does not answer\n", False, False, "not known: docker"),
    ],
)
def test_p7_what_starts_a_database_by_itself_is_a_fault_unless_it_opens_nothing(
    said: str, gated: bool, ok: bool | None, told: str
) -> None:
    found = judge_restarters(parsed(said + "done=yes\n"), Database("crm", "/srv/crm", gated=gated))
    assert found.ok is ok
    assert told in found.detail
    assert (found.remedy == "") is (ok is True)
