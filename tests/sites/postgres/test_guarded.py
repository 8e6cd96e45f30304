"""PostgreSQL on a host with a guard: nothing is opened without its permit, and what is open ends with it."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sites.errors import DriverTrouble
from sites.fencing import guard
from sites.fencing.guard import Stop, boot_id, judge_postgres, title_of
from sites.model import GuardSpec
from sites.replication.catalogue import make_driver
from sites.replication.postgres.driver import PostgresDriver
from sites.replication.words import Role
from tests.orchestrator.pki import Pki
from tests.sites.fencing.bench import Host
from tests.sites.fencing.fake_keeper import boottime_ns
from tests.sites.postgres.pairs import DURHAM, MORPETH, TROUBLES, Pair, estate_of
from tests.sites.postgres.writer import Writer

pytestmark = pytest.mark.slow

MakeGuard = Callable[[Pair, str], Host]


@pytest.fixture
def guard_of(tmp_path: Path) -> Iterator[MakeGuard]:
    """A guard for one site's instance, before a keeper that answers what a test says."""
    made: list[Host] = []
    pki: list[Pki] = []

    def make(pair: Pair, site: str) -> Host:
        folder = tmp_path / site
        folder.mkdir()
        if not pki:
            pki.append(Pki(tmp_path))
        host = Host(folder, pki[0])
        host.data = pair.data(site)
        host.settings["data"] = str(host.data)
        host.settings["stop"] = {"names": ["postgres", "postmaster"], "postgres": True}
        made.append(host)
        return host

    yield make
    for host in made:
        host.end()


def guarded_driver(pair: Pair) -> PostgresDriver:
    """The pair's driver, for a service that has a guard."""
    estate = estate_of(pair, {DURHAM: {}, MORPETH: {}}, {})
    service = estate.services["crm"].model_copy(update={"guard": GuardSpec.model_validate({})})
    estate = estate.model_copy(update={"services": {"crm": service}})
    driver = make_driver(service, estate, pair.transport)
    assert isinstance(driver, PostgresDriver)
    pair.drivers.append(driver)
    return driver


async def started(host: Host) -> None:
    await asyncio.to_thread(host.start)


async def until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


async def test_without_a_permit_nothing_is_promoted_and_with_one_it_is(
    pair: Pair, guard_of: MakeGuard
) -> None:
    host = guard_of(pair, MORPETH)
    driver = guarded_driver(pair)
    pair.kill_all(DURHAM)
    with pytest.raises(DriverTrouble, match="does not permit"):
        await driver.promote(MORPETH, timeout_seconds=20)
    await started(host)
    with pytest.raises(DriverTrouble, match="does not permit"):
        await driver.promote(MORPETH, timeout_seconds=20)
    assert (await driver.sample(MORPETH)).role is Role.STANDBY
    assert not (pair.data(MORPETH) / "promote").exists()
    host.keeper.allow(30)
    await until(host.permit.exists, "a permit")
    promoted = await driver.promote(MORPETH, timeout_seconds=20)
    assert "written on timeline 2" in promoted.evidence
    await driver.settled()
    assert (pair.data(MORPETH) / "standby.signal").exists()


@pytest.mark.parametrize(
    "permit",
    [
        pytest.param("", id="empty"),
        pytest.param("manual", id="manual, of no boot"),
        pytest.param("manual another-boot", id="manual, of another boot"),
        pytest.param(f"1 {boot_id()}", id="ended"),
        pytest.param(f"-5 {boot_id()}", id="negative"),
        pytest.param(f"soon {boot_id()}", id="no number"),
        pytest.param(f"{(boottime_ns() + 10**13) // 10**7} another-boot", id="of another boot"),
    ],
)
async def test_a_permit_that_ended_or_is_of_another_boot_permits_nothing(any_pair: Pair, permit: str) -> None:
    driver = guarded_driver(any_pair)
    any_pair.kill_all(DURHAM)
    beside = Path(f"{any_pair.data(MORPETH)}.twinsite")
    (beside / "permit").write_text(permit + "\n")
    with pytest.raises(DriverTrouble, match="does not permit"):
        await driver.promote(MORPETH, timeout_seconds=20)
    await driver.sample(DURHAM)
    (Path(f"{any_pair.data(DURHAM)}.twinsite") / "permit").write_text(permit + "\n")
    with pytest.raises(DriverTrouble, match="does not permit"):
        await driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    assert not any_pair.processes(DURHAM)
    assert (any_pair.data(DURHAM) / "standby.signal").exists()


async def test_a_primary_is_restarted_in_place_with_a_permit_only(
    any_pair: Pair, guard_of: MakeGuard
) -> None:
    host = guard_of(any_pair, DURHAM)
    driver = guarded_driver(any_pair)
    any_pair.kill_all(DURHAM)
    await started(host)
    with pytest.raises(DriverTrouble, match="does not permit"):
        await driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    host.keeper.allow(30)
    await until(host.permit.exists, "a permit")
    await driver.start(DURHAM, role=Role.PRIMARY, timeout_seconds=20)
    await any_pair.run(DURHAM, "insert into rows values (1)")


async def test_under_load_the_last_acknowledged_write_is_before_the_deadline(
    pair: Pair, guard_of: MakeGuard
) -> None:
    """The controller stands still: the guard alone cuts, and nothing is acknowledged after its deadline."""
    host = guard_of(pair, DURHAM)
    host.keeper.allow(4)
    # Open already, as after a restart of the guard in the same boot.
    host.state.mkdir(parents=True)
    (host.state / "permit").write_text(f"{(boottime_ns() + 60 * 10**9) // 10**7} {boot_id()}\n")
    await started(host)

    def answered() -> bool:
        return (
            host.permit.exists() and int(host.permit.read_text().split()[0]) * 10**7 < boottime_ns() + 10**10
        )

    await until(answered, "a permit by an answer")
    async with Writer(pair, [DURHAM]) as writer:
        await writer.more(50)
        host.keeper.answering = None
        await until(lambda: not pair.processes(DURHAM), "every process ended")
        gone_ns = boottime_ns()
        await asyncio.sleep(0.3)  # what was acknowledged before has been heard by then
        count = len(writer.acknowledged)
        await asyncio.sleep(0.3)
        assert len(writer.acknowledged) == count
    assert gone_ns < host.keeper.answered_until_ns
    assert not host.permit.exists()


async def test_a_standby_runs_on_while_its_guard_is_closed_starts_or_is_told_to_fence(
    pair: Pair, guard_of: MakeGuard
) -> None:
    host = guard_of(pair, MORPETH)
    before = pair.postmaster(MORPETH)
    reader = await pair.connect(MORPETH)
    try:
        await started(host)
        await until(lambda: "closed in" in host.said(), "the cut at the start")
        host.keeper.order(1, "fence")
        said = await asyncio.to_thread(host.keeper.acknowledged, 1)
        assert said["fenced"] is True
        assert "of a standby, which takes no writes" in said["evidence"]
        await pair.run(DURHAM, "insert into rows values (1)")
        await pair.until_row(MORPETH, 1)
        assert await reader.fetchval("select count(*) from rows") == 1
        await asyncio.sleep(0.3)
        assert pair.postmaster(MORPETH) == before
        assert pair.processes(MORPETH)
    finally:
        reader.terminate()


async def test_a_primary_is_ended_when_a_guard_starts_closed_and_comes_back_as_a_standby(
    pair: Pair, guard_of: MakeGuard
) -> None:
    host = guard_of(pair, DURHAM)
    await asyncio.to_thread(host.start)
    await until(lambda: not pair.processes(DURHAM), "every process ended")
    await until(lambda: "closed in" in host.said(), "the end of the cut, which would take a new one along")
    await pair.boot(DURHAM)
    await pair.until_role(DURHAM, Role.STANDBY)
    await asyncio.sleep(0.3)
    assert pair.processes(DURHAM), "a standby may run while the guard is closed"


async def test_what_is_promoted_by_hand_while_closed_is_ended(pair: Pair, guard_of: MakeGuard) -> None:
    host = guard_of(pair, MORPETH)
    await started(host)
    await until(lambda: "closed in" in host.said(), "the cut at the start")
    try:
        await pair.run(MORPETH, "select pg_promote(false)")
    except TROUBLES:
        pass
    await until(lambda: not pair.processes(MORPETH), "every process ended")
    assert "had become writable" in host.said()


async def test_a_primary_that_recovers_from_a_crash_while_closed_is_ended_before_it_serves(
    pair: Pair, guard_of: MakeGuard
) -> None:
    host = guard_of(pair, DURHAM)
    async with Writer(pair, [DURHAM]) as writer:
        await writer.more(200)
    pair.kill_all(DURHAM)
    await started(host)
    await until(lambda: "closed in" in host.said(), "the cut at the start")
    (pair.data(DURHAM) / "standby.signal").unlink()
    await pair.boot(DURHAM)
    await until(lambda: not pair.processes(DURHAM), "every process ended")
    assert "had become writable" in host.said() or "stop" in host.said()


async def test_an_orphaned_backend_is_ended(any_pair: Pair, guard_of: MakeGuard) -> None:
    """A backend outlives a parent that was killed, and goes on committing."""
    host = guard_of(any_pair, DURHAM)
    session = await any_pair.connect(DURHAM)
    try:
        os.kill(any_pair.named(DURHAM, "walwriter"), signal.SIGSTOP)
        os.kill(any_pair.postmaster(DURHAM), signal.SIGKILL)
        await started(host)
        await until(lambda: not any_pair.processes(DURHAM), "every process ended")
    finally:
        session.terminate()


async def test_the_old_primary_is_rejoined_while_its_guard_is_closed(pair: Pair, guard_of: MakeGuard) -> None:
    """Recovery by a single-user server and the rewind are none of what the guard ends."""
    host = guard_of(pair, DURHAM)
    driver = guarded_driver(pair)
    other = guard_of(pair, MORPETH)
    other.keeper.allow(60)
    async with Writer(pair, [DURHAM]) as writer:
        await writer.more(20)
        pair.kill_all(MORPETH)
        await writer.more(20)
        pair.kill_all(DURHAM)
    await driver.start(MORPETH, role=Role.STANDBY, timeout_seconds=20)
    await started(host)
    await started(other)
    await until(other.permit.exists, "a permit")
    await driver.promote(MORPETH, timeout_seconds=20)
    rejoined = await driver.rejoin(DURHAM, primary_site=MORPETH, timeout_seconds=60)
    assert rejoined.method == "rewind", rejoined.evidence
    assert "had become writable" not in host.said()
    await pair.streaming(DURHAM)


async def test_without_a_guard_in_the_estate_nothing_asks_for_a_permit(any_pair: Pair) -> None:
    any_pair.kill_all(DURHAM)
    await any_pair.driver.promote(MORPETH, timeout_seconds=20)
    assert not any("pg_promote_without" in command for command in any_pair.transport.commands)
    assert not any("promoted ordered" in command for command in any_pair.transport.commands)


async def test_primary_and_standby_are_told_apart_by_what_the_processes_call_themselves(pair: Pair) -> None:
    def judged(site: str) -> str:
        stop = Stop(str(pair.data(site)), ["postgres", "postmaster"], True)
        return judge_postgres([title_of(pid) for pid in stop.pids()])

    assert judged(DURHAM) == "writable"
    assert judged(MORPETH) == "recovering"


@pytest.mark.parametrize(
    ("titles", "word"),
    [
        ([], "none"),
        (["/usr/lib/postgresql/16/bin/postgres -D /data"], "starting"),
        (["postgres -D /data", "postgres: logger", "postgres: checkpointer"], "starting"),
        (["postgres -D /data", "postgres: io worker 0", "postgres: startup"], "recovering"),
        (["postgres -D /data", "postgres: startup recovering 00000001000000000000000A"], "recovering"),
        (["postgres -D /data", "postgres: crm: startup waiting for 00000001000000000000000A"], "recovering"),
        (["postgres -D /d", "postgres: startup", "postgres: vera crm 10.0.0.1(5) idle"], "recovering"),
        (["postgres -D /data", "postgres: walwriter", "postgres: startup"], "writable"),
        (["postgres -D /data", "postgres: crm: walwriter"], "writable"),
        (["postgres: vera crm 10.0.0.1(5) idle"], "writable"),
        (["postgres -D /data", "postgres: startup recovering 10.0.0.1(5) idle"], "writable"),
        (["postgres -D /data", "postgres: something new"], "writable"),
        (["postgres -D /data", "postgres -D /data", "postgres: vera crm 10.0.0.1(5) startup"], "unnamed"),
        (["postgres -D /data", "postgres -D /data", "postgres: walwriter"], "writable"),
        (["postgres -D /data", "postgres -D /data", "postgres: checkpointer"], "starting"),
        (["postgres -D /data", "", "postgres: vera crm 10.0.0.1(5) idle"], "writable"),
        (["/usr/bin/postgres --single -D /data template1"], "starting"),
    ],
)
def test_doubt_is_writable(titles: list[str], word: str) -> None:
    assert judge_postgres(titles) == word


def test_a_child_without_a_name_is_given_a_moment_to_get_one_and_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A standby that comes up while clients knock: the one that recovers may be named a moment after them."""
    words = iter([*["unnamed"] * 5, "recovering", *["unnamed"] * 6, "starting", "writable"])
    monkeypatch.setattr(guard, "judge_postgres", lambda titles: next(words))
    stop = Stop(str(tmp_path), ["postgres"], True)
    assert [stop._writable([1]) for _ in range(14)] == [*[False] * 11, True, False, True]


async def test_root_made_files_belong_to_the_owner_of_the_data(pair: Pair, guard_of: MakeGuard) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    host = guard_of(pair, DURHAM)
    host.keeper.allow(30)
    subprocess.run(["rm", "-rf", str(host.permit.parent)], check=True)
    await started(host)
    await until(host.permit.exists, "a permit")
    owner = pair.data(DURHAM).stat().st_uid
    for path in (host.permit.parent, host.permit, pair.data(DURHAM) / "standby.signal"):
        assert path.stat().st_uid == owner
