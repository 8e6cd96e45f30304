"""An asyncio event loop in which time passes only when everybody waits, and then at once.

Timers fire in order at exactly their time, so an hour of patrols takes milliseconds and is the same on
every run. Only timers: a story that waits for a socket, a thread or a process never gets an answer here,
and one in which nothing can ever happen again fails at once as stuck.

    async def story() -> None:
        await asyncio.sleep(3600)
        assert now_seconds() == 3600

    run(story)
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class StoryStuck(RuntimeError):
    """Everybody waits, and no timer is left that could end it."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting for sockets, moves the clock to the next timer."""

    def __init__(self, clock: "VirtualTimeLoop") -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StoryStuck("everybody waits, and nothing is planned that could wake anybody")
        if timeout > 0:
            self._clock.pass_time()
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0; `time()` is the virtual time in seconds."""

    def __init__(self) -> None:
        self._virtual_seconds = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._virtual_seconds

    def pass_time(self) -> None:
        """Move to the next timer that has not been cancelled."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        due = min(handle.when() for handle in scheduled if not handle.cancelled())
        # Never backwards, and by assignment, so that sums of small steps cannot miss a timer.
        self._virtual_seconds = max(self._virtual_seconds, due)


def run(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a story to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(story())


def now_seconds() -> float:
    """The virtual time inside a story."""
    return asyncio.get_running_loop().time()


def now_ns() -> int:
    """The virtual time in nanoseconds, for whatever wants a clock."""
    return round(now_seconds() * 1e9)


async def until(condition: Callable[[], bool], *, within_seconds: float = 3600.0) -> None:
    """Let time pass until the condition holds, looked at every millisecond. Raises TimeoutError."""
    async with asyncio.timeout(within_seconds):
        while not condition():  # noqa: ASYNC110 - time passes only when somebody sleeps
            await asyncio.sleep(0.001)


async def never() -> None:
    """Wait for ever, but not as somebody who is stuck: a timer far away stands for the world."""
    await asyncio.sleep(1e9)
