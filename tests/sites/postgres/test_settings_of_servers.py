"""What `config check` says of servers that are not set up as failover needs them."""

import pytest

from sites.replication.postgres.requirements import NOT_LOWER, REQUIREMENTS, judge, judge_pair
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


@pytest.mark.slow
async def test_a_pair_made_for_the_lab_is_set_up_as_failover_needs_it(pair: Pair) -> None:
    await pair.driver.settled()
    for site in (DURHAM, MORPETH):
        found = await pair.driver.check_settings(site)
        assert [finding.what for finding in found] == ["fsync"], "the tests do without"


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
    rights = [f for f in await weak.check_settings(DURHAM) if f.what == "rights of the role"]
    assert {"pg_promote(boolean, integer)"} <= {f.found.removeprefix("may not use ") for f in rights}
