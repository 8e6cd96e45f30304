"""What the scripts meet on hosts: odd paths, wrong users, things already at work."""

import os
import shlex

import pytest

from sites.errors import DriverTrouble, SitesTrouble
from sites.model import Host
from sites.output import Said
from sites.replication.postgres.config import Instance
from sites.replication.postgres.host import DatabaseHost, WrongData
from sites.replication.words import Role
from sites.transport import Completed
from tests.sites.postgres.pairs import DURHAM, MORPETH, Pair, made_pair
from tests.sites.postgres.writer import Writer
from tests.support.local_transport import LocalTransport

ODD = 'da\'ta "$(touch oops)" `dir` -x'
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")


@pytest.mark.slow
async def test_a_path_stays_a_path_whatever_is_in_it(pair: Pair) -> None:
    async with made_pair(pair.binaries, pair.whom, folder=ODD) as odd:
        await odd.run(DURHAM, "create table rows (n bigint primary key)")
        async with Writer(odd, [DURHAM]) as writer:
            await writer.more(5)
            odd.kill_all(MORPETH)
            await writer.more(5)
            assert (await odd.driver.fence(DURHAM, within_seconds=5)).verified
        await odd.driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=20)
        await odd.driver.promote(MORPETH, timeout_seconds=20)
        result = await odd.driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)
        assert result.method == "rewind", result.evidence
        result = await odd.driver.rebuild(DURHAM, primary_site=MORPETH, timeout_seconds=60)
        assert result.method == "rebuild", result.evidence
        assert odd.processes(DURHAM) != []
        assert not [path for path in odd.base.rglob("*oops*") if path.name == "oops"]


@pytest.mark.slow
@needs_root
async def test_somebody_who_does_not_own_the_data_verifies_nothing_and_stops_nothing(any_pair: Pair) -> None:
    somebody = LocalTransport(("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"))
    stranger = any_pair.new_driver(somebody)
    fenced = await stranger.fence(DURHAM, within_seconds=1)
    assert not fenced.verified
    with pytest.raises(SitesTrouble):
        await stranger.close(DURHAM, within_seconds=1)
    assert (await any_pair.driver.sample(DURHAM)).role is Role.PRIMARY


@pytest.mark.slow
@needs_root
async def test_root_who_does_not_own_the_data_is_told_to_be_their_owner(any_pair: Pair) -> None:
    with pytest.raises(WrongData, match="belongs to nobody, and this runs as root"):
        await any_pair.new_driver(LocalTransport()).close(DURHAM, within_seconds=1)


@pytest.mark.slow
async def test_a_fence_that_cannot_enter_the_data_directory_is_not_verified(any_pair: Pair) -> None:
    driver = any_pair.driver_for({DURHAM: {"data": "/nowhere/at/all", "port": 1}, MORPETH: {}})
    fenced = await driver.fence(DURHAM, within_seconds=1)
    assert not fenced.verified
    assert "cannot be entered" in fenced.evidence


@pytest.mark.slow
async def test_two_starts_at_the_same_time_are_one(any_pair: Pair) -> None:
    beside = any_pair.data(DURHAM).with_name("data.twinsite")
    any_pair.kill_all(DURHAM)
    quoted = shlex.quote(str(beside / "lock"))
    holder = any_pair.keep(
        any_pair.transport.run(
            Host(name="db", site=DURHAM, address="127.0.0.1"),
            f"exec 9>>{quoted}; flock 9; echo held >{shlex.quote(str(beside / 'held'))}; sleep 30",
            timeout_seconds=40,
        )
    )
    await any_pair.until((beside / "held").exists)
    with pytest.raises(DriverTrouble, match=r"another start, rejoin or rebuild .* is under way"):
        await any_pair.driver.start(DURHAM, role=Role.STANDBY, timeout_seconds=5)
    holder.cancel()


class Recording:
    """A transport that only notes what it is asked."""

    def __init__(self, completed: Completed) -> None:
        self.completed = completed
        self.asked: list[tuple[str, str]] = []

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        """Note it."""
        self.asked.append((command, stdin))
        return self.completed

    async def aclose(self) -> None:
        """Nothing is kept."""


def host_of(recording: Recording, **instance: str) -> DatabaseHost:
    """Durham's host."""
    settings = Instance.model_validate({"host": "db", "data": "/data", "bin": "/bin", **instance})
    host = Host(name="db", site=DURHAM, address="127.0.0.1")
    return DatabaseHost("crm", DURHAM, host, settings, recording)


async def test_commands_for_an_owner_who_cannot_log_in_go_through_sudo_without_asking() -> None:
    recording = Recording(Completed(0, "signal=yes\n", "", 0.0))
    await host_of(recording, owner="postgres").run("settle", timeout_seconds=1, stdin="secret")
    ((command, stdin),) = recording.asked
    words = shlex.split(command)
    assert words[:7] == ["exec", "sudo", "-n", "-u", "postgres", "--", "/bin/sh"]
    assert "put_signal" in words[-1]
    assert stdin == "secret"


async def test_a_script_that_says_nothing_is_still_an_error_with_its_status() -> None:
    recording = Recording(Completed(137, "", "", 0.0))
    with pytest.raises(DriverTrouble, match=r"db \(durham\): the close script ended with status 137"):
        await host_of(recording).run("close", timeout_seconds=1)
