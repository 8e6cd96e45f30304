"""The virtual clock itself: tests of time stand on it."""

import asyncio

import pytest

from tests.support.virtual_time import StoryStuck, now_ns, now_seconds, run, until


def test_an_hour_passes_at_once_and_exactly() -> None:
    async def story() -> tuple[float, int]:
        await asyncio.sleep(3600)
        return now_seconds(), now_ns()

    assert run(story) == (3600.0, 3_600_000_000_000)


def test_timers_fire_in_their_order() -> None:
    async def story() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def after(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, now_seconds()))

        async with asyncio.TaskGroup() as group:
            for name, seconds in (("c", 3.0), ("a", 0.1), ("b", 0.3)):
                group.create_task(after(name, seconds))
        return seen

    assert run(story) == [("a", 0.1), ("b", 0.3), ("c", 3.0)]


def test_a_deadline_ends_at_its_time_and_a_cancelled_one_costs_none() -> None:
    async def story() -> float:
        async with asyncio.timeout(1000):
            await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.sleep(50)
        return now_seconds()

    assert run(story) == 3.0


def test_a_story_in_which_nothing_can_happen_fails_at_once() -> None:
    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StoryStuck):
        run(story)


def test_until_waits_for_the_world_and_gives_up_in_time() -> None:
    async def story() -> float:
        await until(lambda: now_seconds() >= 5)
        with pytest.raises(TimeoutError):
            await until(lambda: False, within_seconds=2)
        return now_seconds()

    assert run(story) == pytest.approx(7.0, abs=0.01)
