"""What each place finds out about the ways to the others, against real listeners; and what it publishes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from orchestrator.clock import boottime_ns
from orchestrator.core.records import WaySeen
from orchestrator.eyes import Eyes
from orchestrator.scouting import (
    INSTANCES,
    MEMBER,
    GetsThrough,
    Scouts,
    beat_seconds,
    host_beat_seconds,
    summed,
)
from orchestrator.store.status import MemberStatus, StoreStatus
from orchestrator.vantage import NOT_FROM_OUTSIDE, Vantage, context_at
from probes.model import ProbeResult, Verdict
from probes.place import ProbeContext
from probes.reasons import Reason
from sites.errors import AccessDenied, HostUnreachable, KnownHostsUnreadable, OwnKeyUnusable
from sites.model import Estate, Host
from sites.output import Said
from sites.replication.words import ReplicationDriver, Role
from sites.transport import Completed
from tests.orchestrator.two_sites import DERWENTSIDE, DURHAM, MORPETH
from tests.probes.worlds import closed_port, listening
from tests.support.fake_driver import FakeDriver, FakePair
from tests.support.virtual_time import now_ns, run

PATIENCE_SECONDS = 30.0
S = 10**9


class Hosts:
    """SSH to hosts, as a test says that it goes."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    async def run(
        self,
        host: Host,
        command: str,
        *,
        timeout_seconds: float,
        stdin: str = "",
        said: Said | None = None,
    ) -> Completed:
        self.asked.append(command)
        if self.error is not None:
            raise self.error
        return Completed(exit_status=0, stdout="", stderr="", duration_seconds=0.0)

    async def aclose(self) -> None:
        """Nothing is kept."""


def estate(controller: str | None = None, **hosts: str) -> Estate:
    return Estate.model_validate(
        {
            "store": {"endpoints": ["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"]},
            "ownership": {"lease_duration": "2s"},
            "sites": {
                DURHAM: {"name": DURHAM, "store_member": "http://10.0.0.1:2379"},
                MORPETH: {
                    "name": MORPETH,
                    "store_member": "http://10.0.0.2:2379/",
                    "controller": controller,
                    "hosts": {role: {"name": role, "address": address} for role, address in hosts.items()},
                },
                DERWENTSIDE: {"name": DERWENTSIDE, "witness": True},
            },
            "services": {"crm": {"name": "crm", "home": DURHAM, "standby": MORPETH}},
        }
    )


def context() -> ProbeContext:
    return ProbeContext(Hosts(), {}, Path("/nonexistent"))


@asynccontextmanager
async def scouting(of: Estate) -> AsyncIterator[Scouts]:
    scouts = Scouts(of, DURHAM, context(), store_status=None)
    task = asyncio.create_task(scouts.run())
    try:
        yield scouts
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.02)


def way(scouts: Scouts, name: str, site: str = MORPETH) -> WaySeen | None:
    found = [one for one in scouts.ways(boottime_ns()) if one.site == site and one.way == name]
    return found[0] if found else None


def members(scouts: Scouts, now_ns: int | None = None) -> dict[str, bool | None]:
    ways = scouts.ways(now_ns or boottime_ns())
    return {one.site: one.reached for one in ways if one.site.startswith("store:")}


def reached(scouts: Scouts, name: str) -> bool | None:
    found = way(scouts, name)
    return found.reached if found is not None else None


async def test_a_controller_that_listens_and_one_that_refuses_are_both_reached() -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(accept) as port, scouting(estate(f"https://127.0.0.1:{port}")) as scouts:
        await until(lambda: reached(scouts, "controller") is True)
    async with scouting(estate(f"https://127.0.0.1:{closed_port()}")) as scouts:
        await until(lambda: reached(scouts, "controller") is True)
        found = way(scouts, "controller")
    assert found is not None
    assert found.reason == "refused", "the machine answers, though the controller does not run"


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (None, True, "answered"),
        (AccessDenied("db: not let in with this key"), True, "login-refused"),
        (OwnKeyUnusable("db: cannot read the key file"), None, "own-side"),
        (KnownHostsUnreadable("db: nonsense in known_hosts"), None, "own-side"),
        (HostUnreachable("db: silent"), False, "unreachable"),
    ],
)
def test_a_host_that_answers_is_reached_whatever_it_says_and_our_own_trouble_says_nothing_of_it(
    error: Exception | None, expected: bool | None, reason: str
) -> None:
    hosts = Hosts(error)

    async def story() -> None:
        virtual = ProbeContext(hosts, {}, Path("/nonexistent"), now_ns=now_ns)
        scouts = Scouts(estate(db="10.9.9.9"), DURHAM, virtual, store_status=None)
        task = asyncio.create_task(scouts.run())
        await asyncio.sleep(3600)
        (found,) = scouts.ways(now_ns())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (found.way, found.reached, found.reason) == ("host db", expected, reason)

    run(story)
    assert set(hosts.asked) == {"true"}
    assert len(hosts.asked) == 1800


def status(*reachable: bool, problem: str = "no answer in 2 s") -> StoreStatus:
    members = tuple(
        MemberStatus(f"http://10.0.0.{number}:2379", reachable=good, problem="" if good else problem)
        for number, good in enumerate(reachable, 1)
    )
    return StoreStatus("cluster", members)


async def test_a_members_first_silence_is_no_answer_yet_and_the_second_is_a_no() -> None:
    scouts = Scouts(estate(), DURHAM, context(), store_status=None)
    scouts.take_members(status(True, False, True))
    first = members(scouts)
    scouts.take_members(status(True, False, True))
    second = members(scouts)
    assert first == {"store:durham": True, "store:morpeth": None, "store:10.0.0.3:2379": True}
    assert second == {"store:durham": True, "store:morpeth": False, "store:10.0.0.3:2379": True}


async def test_a_member_is_a_way_to_the_site_it_stands_at_and_a_refusal_is_an_answer_of_its_machine() -> None:
    scouts = Scouts(estate(), DURHAM, context(), store_status=None)
    for _ in range(2):
        scouts.take_members(status(True, False, True, problem="no connection: Connection refused"))
    assert members(scouts)["store:morpeth"] is False
    assert reached(scouts, MEMBER) is True
    assert way(scouts, MEMBER, DURHAM) is None, "nobody needs a way to itself"


async def test_what_is_not_heard_of_any_more_is_unknown() -> None:
    scouts = Scouts(estate(), DURHAM, context(), store_status=None)
    scouts.take_members(status(True, True, True))
    later = boottime_ns() + 3600 * S
    assert set(members(scouts, later).values()) == {None}
    assert {one.reached for one in scouts.ways(later)} == {None}


async def test_a_member_whose_trouble_is_ours_is_neither_reached_nor_not() -> None:
    scouts = Scouts(estate(), DURHAM, context(), store_status=None)
    for _ in range(3):
        scouts.take_members(status(False, problem="its certificate is not trusted: expired; check `ca`"))
    assert members(scouts) == {"store:durham": None}


def seen(*said: bool | None) -> list[WaySeen]:
    return [
        WaySeen(site=MORPETH, way=f"way {number}", reached=one, reason="", age_seconds=float(number))
        for number, one in enumerate(said)
    ]


@pytest.mark.parametrize(
    ("said", "expected", "by"),
    [
        ((None, False, True, True), True, "way 2"),
        ((None, False, False), False, "way 1"),
        ((None, None), None, "way 0"),
    ],
)
def test_a_site_is_reached_by_its_youngest_way_that_gets_through(
    said: tuple[bool | None, ...], expected: bool | None, by: str
) -> None:
    found = summed(seen(*said), MORPETH)
    assert found is not None
    assert (found.reached, found.way) == (expected, by)
    assert summed([], MORPETH) is None


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_a_probe_may_have_is_an_answer_silence_or_neither(reason: Reason) -> None:
    class Says:
        async def try_once(self, *, timeout_seconds: float) -> ProbeResult:
            return ProbeResult(Verdict.DOWN, reason.value, "", "", 0, 0.0)

        async def aclose(self) -> None:
            """Nothing is kept."""

    result = await GetsThrough(Says()).try_once(timeout_seconds=1)
    silent = {Reason.TIMED_OUT, Reason.UNREACHABLE}
    ours = {Reason.OWN_SIDE, Reason.OWN_STALL, Reason.OWN_BUSY, Reason.PROBE_BROKEN, Reason.NAME_UNKNOWN,
            Reason.RESOLVER_FAILED}  # fmt: skip
    if reason in silent:
        assert result.verdict is Verdict.DOWN
    if reason in ours:
        assert result.verdict is Verdict.UNKNOWN
    if reason in (Reason.ANSWERED, Reason.REFUSED, Reason.RESET, Reason.LOGIN_REFUSED):
        assert result.verdict is Verdict.UP


def test_ways_are_tried_several_times_a_lease_and_hosts_less_often() -> None:
    assert [beat_seconds(lease) for lease in (1.0, 3.0, 10.0, 60.0)] == [0.5, 0.6, 2.0, 2.0]
    assert [host_beat_seconds(lease) for lease in (1.0, 3.0, 10.0, 60.0)] == [2.0, 2.0, 5.0, 5.0]


async def test_an_instance_that_answers_is_a_way_and_its_silence_counts_only_where_there_is_no_other() -> (
    None
):
    pair = FakePair("crm", DURHAM, MORPETH)
    drivers: dict[str, ReplicationDriver] = {"crm": FakeDriver(pair, DURHAM)}
    alone = Eyes(estate(), drivers, watch_losses_at=DURHAM, on_change=lambda: None)
    scouts = Scouts(estate(), DURHAM, context(), store_status=None)
    beside = Eyes(estate(), drivers, watch_losses_at=DURHAM, on_change=lambda: None, scouts=scouts)
    for eyes in (alone, beside):
        await eyes.look("crm", DURHAM)
        assert (await eyes.look("crm", MORPETH)).role is Role.STANDBY
        assert eyes.observation(DURHAM, 1, 0.0).reaches[MORPETH] is True
        assert DURHAM not in eyes.observation(DURHAM, 1, 0.0).reaches
    pair.cut_off(MORPETH)
    scouts.take_members(status(True, True, True))
    for eyes, expected in ((alone, False), (beside, True)):
        await eyes.look("crm", MORPETH)
        record = eyes.observation(DURHAM, 2, 0.0)
        assert record.reaches[MORPETH] is expected
        assert {one.way for one in record.ways} >= {f"{INSTANCES} crm"}


async def test_the_witness_tries_the_clients_ways_and_publishes_what_its_probes_say() -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(accept) as port:
        of = estate(controller="https://127.0.0.1:1")
        probes = [
            {"name": "port", "kind": "tcp", "address": f"127.0.0.1:{port}", "every": "100ms",
             "timeout": "90ms", "fails_after": "1 of 1", "site": MORPETH},
            {"name": "replication", "kind": "replication"},
        ]  # fmt: skip
        crm = of.services["crm"].model_copy(
            update={"probes": Estate.model_validate(
                {"store": {"endpoints": ["http://a:1"]}, "sites": {},
                 "services": {"crm": {"home": DURHAM, "standby": MORPETH, "probes": probes}}}
            ).services["crm"].probes}
        )  # fmt: skip
        of = of.model_copy(update={"services": {"crm": crm}})
        at = context_at(of, DERWENTSIDE, Path("/nonexistent"), transport=Hosts(), drivers={})
        vantage = Vantage(of, DERWENTSIDE, at, store_status=None, leaving_out=NOT_FROM_OUTSIDE)
        eyes = Eyes(
            of, {}, watch_losses_at=None, on_change=lambda: None, scouts=vantage.scouts, probes=vantage.seen
        )
        task = asyncio.create_task(vantage.run())
        try:
            await until(lambda: any(one.verdict is Verdict.UP for one in vantage.seen()))
            (published,) = eyes.observation(DERWENTSIDE, 1, 0.0).probes
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert (published.service, published.site, published.probe, published.kind) == (
        "crm",
        MORPETH,
        "port",
        "tcp",
    )
    assert (published.verdict, published.reason) == ("up", "answered")
    assert published.age_seconds >= 0
