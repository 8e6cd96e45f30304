"""When a request goes to which member, in virtual time."""

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.store.base import StoreMisuse
from orchestrator.store.gateway import Member, MemberMisuse, MemberTrouble
from orchestrator.store.hedge import TRIES_IN_FLIGHT_PER_MEMBER, Findings, Hedge
from tests.support.virtual_time import now_seconds, run

Behaviour = Callable[[int], float | Exception]


class Scene:
    """Three members that answer after some seconds or fail at once; keeps when each was asked."""

    def __init__(self, *behaviours: Behaviour | float | Exception) -> None:
        self.members = [Member(f"https://m{index}") for index in range(len(behaviours))]
        self.behaviours = behaviours
        self.asked: list[tuple[float, int]] = []
        self.in_flight = [0] * len(behaviours)
        self.most_in_flight = 0
        self.findings = Findings(self.members)

    async def attempt(self, member: Member) -> str:
        index = self.members.index(member)
        number = sum(1 for _, at in self.asked if at == index)
        self.asked.append((round(now_seconds(), 6), index))
        behaviour = self.behaviours[index]
        fate = behaviour(number) if callable(behaviour) else behaviour
        self.in_flight[index] += 1
        self.most_in_flight = max(self.most_in_flight, *self.in_flight)
        try:
            if isinstance(fate, Exception):
                raise fate
            await asyncio.sleep(fate)
        finally:
            self.in_flight[index] -= 1
        return f"m{index}"

    def run(
        self, *, first: int = 0, limit: float = 60.0, applied_once: bool = True
    ) -> tuple[int, str, float]:
        async def story() -> tuple[int, str, float]:
            hedge = Hedge(
                self.members,
                self.attempt,
                self.findings,
                first=first,
                every_seconds=0.15,
                applied_once=applied_once,
            )
            async with asyncio.timeout(limit):
                index, answer = await hedge.run()
            at = now_seconds()
            assert sum(self.in_flight) == 0, "a try was left running"
            return index, answer, round(at, 6)

        return run(story)


def refused() -> MemberTrouble:
    return MemberTrouble("Connection refused", sent=False)


def test_a_good_member_is_asked_alone() -> None:
    scene = Scene(0.1, 0.1, 0.1)
    assert scene.run(first=1) == (1, "m1", 0.1)
    assert scene.asked == [(0, 1)]


def test_a_silent_member_costs_one_beat() -> None:
    scene = Scene(99, 0.01, 0.01)
    assert scene.run() == (1, "m1", 0.16)


def test_a_slow_first_answer_still_wins_over_a_slower_second() -> None:
    scene = Scene(0.2, 0.2, 0.2)
    assert scene.run() == (0, "m0", 0.2)
    assert scene.asked == [(0, 0), (0.15, 1)]


def test_dead_members_cost_no_time() -> None:
    scene = Scene(refused(), refused(), 0.01)
    assert scene.run() == (2, "m2", 0.01)


def test_a_dead_second_member_costs_no_time_while_the_first_is_silent() -> None:
    scene = Scene(99, refused(), 0.01)
    assert scene.run() == (2, "m2", 0.16)


def test_members_without_a_leader_are_asked_again_each_beat_and_not_faster() -> None:
    def after_election(_: int) -> float | Exception:
        return 0.01 if now_seconds() >= 0.6 else MemberTrouble("no leader", sent=True)

    scene = Scene(after_election, after_election, refused())
    index, _, at = scene.run()
    assert (index in (0, 1), at) == (True, 0.61)
    assert len(scene.asked) <= 3 * 5
    assert {when for when, _ in scene.asked} == {0.0, 0.15, 0.3, 0.45, 0.6}


def test_a_request_lost_with_the_old_leader_is_sent_again() -> None:
    scene = Scene(99, lambda number: 99 if number == 0 else 0.01, 99)
    assert scene.run() == (1, "m1", 0.61)


def test_tries_in_flight_are_bounded() -> None:
    scene = Scene(999, 999, 999)
    with pytest.raises(TimeoutError):
        scene.run(limit=30)
    assert scene.most_in_flight == TRIES_IN_FLIGHT_PER_MEMBER


def test_one_members_bad_certificate_leaves_the_others_in_use() -> None:
    scene = Scene(MemberMisuse("its certificate is not trusted"), 0.01, 0.01)
    assert scene.run() == (1, "m1", 0.01)


def test_bad_certificates_everywhere_are_a_misuse() -> None:
    scene = Scene(*(MemberMisuse("its certificate is not trusted") for _ in range(3)))
    with pytest.raises(StoreMisuse, match=r"m0, m1, m2: its certificate is not trusted"):
        scene.run()


def test_a_refusal_is_final_when_nothing_else_can_have_been_applied() -> None:
    scene = Scene(refused(), StoreMisuse("permission denied"), 0.01)
    with pytest.raises(StoreMisuse, match="permission denied"):
        scene.run()


def test_a_refusal_does_not_settle_a_write_that_another_member_may_have_applied() -> None:
    scene = Scene(99, StoreMisuse("permission denied"), 0.01)
    assert scene.run() == (2, "m2", 0.16)


def test_a_refusal_settles_a_read_at_once() -> None:
    scene = Scene(99, StoreMisuse("permission denied"), 0.01)
    with pytest.raises(StoreMisuse, match="permission denied"):
        scene.run(applied_once=False)
