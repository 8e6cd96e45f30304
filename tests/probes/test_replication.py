"""The replication probe: what a driver's sample says about the instance's part of the pair."""

import asyncio
from typing import cast

import pytest

from probes.replication import judge
from sites.errors import DriverTrouble
from sites.replication.words import Position, ReplicationDriver, Role, Sample
from tests.probes.worlds import context, summary, tried

HERE = Position("0/3000060", "7300/1", 0x3000060)


def sample(role: Role, **known: object) -> Sample:
    return Sample("crm", "durham", role, 1, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (sample(Role.PRIMARY, writable=True), ("up", "writable")),
        (sample(Role.PRIMARY, writable=False), ("down", "read-only")),
        (sample(Role.PRIMARY), ("unknown", "no-answer")),
        (sample(Role.STANDBY, streaming=True), ("up", "streaming")),
        (sample(Role.STANDBY, streaming=False), ("down", "not-streaming")),
        (sample(Role.STANDBY), ("unknown", "no-answer")),
        (sample(Role.DOWN, reason="connection refused"), ("down", "not-running")),
        (sample(Role.UNKNOWN, reason="no answer within 3 s"), ("unknown", "no-answer")),
    ],
)
def test_an_instance_is_judged_by_its_part_of_the_pair(said: Sample, expected: tuple[str, str]) -> None:
    outcome = judge(said, role=None)
    assert (outcome.verdict.value, outcome.reason.value) == expected
    if said.reason:
        assert outcome.answered == said.reason


@pytest.mark.parametrize(
    ("role", "said", "expected"),
    [
        ("primary", sample(Role.PRIMARY, writable=True), ("up", "writable")),
        ("primary", sample(Role.STANDBY, streaming=True), ("down", "wrong-role")),
        ("standby", sample(Role.PRIMARY, writable=True), ("down", "wrong-role")),
        ("standby", sample(Role.DOWN), ("down", "not-running")),
        ("standby", sample(Role.UNKNOWN), ("unknown", "no-answer")),
    ],
)
def test_a_role_may_be_expected(role: str, said: Sample, expected: tuple[str, str]) -> None:
    outcome = judge(said, role=role)
    assert (outcome.verdict.value, outcome.reason.value) == expected


def test_the_evidence_names_role_and_position() -> None:
    outcome = judge(sample(Role.PRIMARY, writable=True, position=HERE), role=None)
    assert outcome.answered == "primary at 0/3000060, writable"


class Driver:
    """A driver that knows one word."""

    def __init__(self, said: Sample | Exception | None) -> None:
        self.said = said
        self.asked: list[str] = []

    async def sample(self, site: str) -> Sample:
        self.asked.append(site)
        if self.said is None:
            await asyncio.Event().wait()
        if isinstance(self.said, Exception):
            raise self.said
        assert self.said is not None
        return self.said


def driving(said: Sample | Exception | None) -> tuple[Driver, dict[str, ReplicationDriver]]:
    driver = Driver(said)
    return driver, {"crm": cast(ReplicationDriver, driver)}


async def test_the_site_s_own_instance_is_asked() -> None:
    driver, drivers = driving(sample(Role.STANDBY, streaming=True))
    roles = {"durham": "primary", "morpeth": "standby"}
    result = await tried("replication", at="morpeth", using=context(drivers=drivers), role=roles)
    assert summary(result) == ("up", "streaming")
    assert driver.asked == ["morpeth"]
    assert result.tried == "replication sample of crm at morpeth"


async def test_a_service_without_a_driver_is_unknown() -> None:
    assert summary(await tried("replication")) == ("unknown", "no-driver")


async def test_silence_and_trouble_of_the_driver_are_unknown_and_never_down() -> None:
    _, silent = driving(None)
    result = await tried("replication", timeout_seconds=0.1, using=context(drivers=silent))
    assert summary(result) == ("unknown", "no-answer")
    _, troubled = driving(DriverTrouble("said something odd"))
    result = await tried("replication", using=context(drivers=troubled))
    assert summary(result) == ("unknown", "no-answer")
    assert result.answered == "said something odd"
