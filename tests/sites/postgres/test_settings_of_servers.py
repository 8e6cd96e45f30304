"""What `config check` says of servers that are not set up as failover needs them."""

from pathlib import Path

import pytest

from sites.replication.postgres.requirements import (
    NOT_LOWER,
    REQUIREMENTS,
    judge,
    judge_pair,
    judge_restarters,
)
from sites.replication.words import Role
from sites.restarters import parsed
from tests.sites.postgres.pairs import DURHAM, MORPETH, Pair

GOOD = {
    "restart_after_crash": "off",
    "wal_retrieve_retry_interval": "100",
    "wal_log_hints": "off",
    "data_checksums": "on",
    "full_page_writes": "on",
    "max_slot_wal_keep_size": "512",
    "hot_standby": "on",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "recovery_target_timeline": "latest",
    "recovery_min_apply_delay": "0",
    "fsync": "on",
    "synchronous_commit": "on",
}
BAD = {
    "restart_after_crash": "on",
    "wal_retrieve_retry_interval": "5000",
    "data_checksums": "off",
    "full_page_writes": "off",
    "max_slot_wal_keep_size": "-1",
    "hot_standby": "off",
    "wal_level": "minimal",
    "max_wal_senders": "2",
    "max_replication_slots": "1",
    "recovery_target_timeline": "current",
    "recovery_min_apply_delay": "60000",
    "fsync": "off",
    "synchronous_commit": "off",
}


def test_a_server_that_is_set_up_for_failover_has_no_findings() -> None:
    assert judge(DURHAM, GOOD) == []


@pytest.mark.parametrize("setting", sorted(BAD))
def test_a_setting_that_failover_cannot_live_with_is_found(setting: str) -> None:
    (finding,) = judge(DURHAM, {**GOOD, setting: BAD[setting]})
    assert finding.site == DURHAM
    assert finding.why


def test_a_setting_the_server_does_not_know_is_found() -> None:
    found = {finding.what for finding in judge(DURHAM, {})}
    assert found == {rule.setting for rule in REQUIREMENTS}


def test_a_standby_with_lower_limits_than_its_primary_is_found() -> None:
    theirs = dict.fromkeys(NOT_LOWER, "10")
    assert judge_pair(MORPETH, theirs, theirs) == []
    (finding,) = judge_pair(MORPETH, {**theirs, "max_connections": "9"}, theirs)
    assert (finding.what, finding.found) == ("max_connections", "9")


RESTART = "found=systemd-restart|pg.service|Restart=always\n"
AT_BOOT = "found=systemd-boot|pg.service|enabled\n"
START_CONF = "found=startconf|/etc/postgresql/16/main/start.conf|auto\n"


@pytest.mark.parametrize(
    ("said", "gated", "found"),
    [
        (RESTART, False, [("systemd's pg.service", True)]),
        (RESTART, True, [("systemd's pg.service", False)]),
        (AT_BOOT, False, [("systemd's pg.service", False)]),
        (START_CONF, False, []),
        ("unknown=docker does not answer\n", False, [("not known", False)]),
        ("", False, []),
    ],
)
def test_p7_what_starts_a_server_again_undoes_its_fence_unless_a_gate_stands_before_it(
    said: str, gated: bool, found: list[tuple[str, bool]]
) -> None:
    findings = judge_restarters(DURHAM, parsed(said + "done=yes\n"), gated=gated)
    assert [(each.found.partition(":")[0], each.must) for each in findings] == found


@pytest.mark.slow
async def test_a_pair_made_for_the_lab_is_set_up_as_failover_needs_it(pair: Pair) -> None:
    await pair.driver.settled()
    for site in (DURHAM, MORPETH):
        found = await pair.driver.check_settings(site)
        assert [finding.what for finding in found if finding.must] == []
        told = {finding.what for finding in found} - {"restarters"}
        assert told == {"fsync"}, "the tests do without"
        assert not [
            finding for finding in found if "known" not in finding.found and finding.what == "restarters"
        ]


@pytest.mark.slow
async def test_what_is_wrong_on_a_running_server_is_found(any_pair: Pair) -> None:
    await any_pair.run(
        DURHAM,
        "alter system set restart_after_crash = on",
        "alter system set wal_retrieve_retry_interval = '5s'",
        "alter system set max_slot_wal_keep_size = -1",
        "create role weak login superuser password 'weak'",
        "select pg_reload_conf()",
        "alter role weak nosuperuser",
    )
    await any_pair.until_value(DURHAM, "select current_setting('restart_after_crash')", "on")
    await any_pair.driver.settled()
    (any_pair.data(DURHAM) / "standby.signal").unlink()
    found = {finding.what for finding in await any_pair.driver.check_settings(DURHAM) if finding.must}
    assert found == {
        "restart_after_crash",
        "wal_retrieve_retry_interval",
        "max_slot_wal_keep_size",
        "standby.signal",
    }
    weak = any_pair.new_driver(user="weak", password="weak")
    rights = {f.found for f in await weak.check_settings(DURHAM) if f.what == "rights of the role"}
    assert "may not use pg_promote(boolean, integer)" in rights
    assert "may not make replication slots (attribute REPLICATION)" in rights


def documented_grants() -> list[str]:
    """The statements of the documentation's page, as somebody would type them."""
    page = (Path(__file__).parents[3] / "docs" / "postgres.md").read_text(encoding="utf-8")
    text = page.partition("```sql\n")[2].partition("```")[0]
    lines = [line.partition("--")[0].strip() for line in text.splitlines()]
    return [statement.strip() for statement in " ".join(lines).split(";") if statement.strip()]


@pytest.mark.slow
async def test_the_role_of_the_documentation_may_do_all_of_it_and_is_no_superuser(pair: Pair) -> None:
    if pair.binaries.major < 15:
        pytest.skip("a checkpoint takes a superuser before PostgreSQL 15")
    statements = [s.replace("twinsite", "operator", 1) for s in documented_grants() if "twinsite" in s]
    await pair.run(
        DURHAM, *(s.replace("'…'", "'operator'").replace("to twinsite", "to operator") for s in statements)
    )
    await pair.until_value(MORPETH, "select count(*) from pg_roles where rolname = 'operator'", 1)
    driver = pair.new_driver(user="operator", password="operator")
    for site in (DURHAM, MORPETH):
        findings = await driver.check_settings(site)
        assert [f for f in findings if f.what == "rights of the role"] == []
    await driver.prepare(DURHAM)
    pair.kill_all(MORPETH)
    await pair.run(DURHAM, "insert into rows values (100)")
    assert (await driver.fence(DURHAM, within_seconds=5)).verified
    await driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=20)
    await driver.promote(MORPETH, timeout_seconds=20)
    result = await driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    assert result.method == "rewind", result.evidence
    assert await pair.value(DURHAM, "select rolsuper from pg_roles where rolname = 'operator'") is False
