"""Whoever looks on gets the lines as they come, and never holds anybody up."""

import asyncio

from runbooks.watching import Line, Watchers


def line(text: str) -> Line:
    """A line of one step."""
    return Line("promote/stop", "out", text)


async def test_a_watcher_gets_the_last_lines_and_then_each_as_it_comes_until_the_run_is_over() -> None:
    watchers = Watchers()
    for number in range(300):
        watchers.tell("r1", line(str(number)))
    heard: list[str] = []
    with watchers.watching("r1") as watch:
        watchers.tell("r1", line("now"))
        watchers.end("r1")
        heard = [one.text async for one in watch.lines()]
    assert heard == [*map(str, range(100, 300)), "now"]


async def test_a_watcher_that_waits_is_woken_by_the_next_line() -> None:
    watchers = Watchers()
    with watchers.watching("r1") as watch:
        lines = watch.lines()
        waiting = asyncio.create_task(anext(lines))
        await asyncio.sleep(0)
        watchers.listener("r1")("promote/stop")("err", "hot\x1b[2J")
        assert await waiting == Line("promote/stop", "err", "hot\ufffd[2J"), (
            "nothing for the terminal to obey"
        )
        await lines.aclose()


async def test_a_slow_watcher_loses_lines_and_is_told_how_many_while_others_lose_none() -> None:
    watchers = Watchers(waiting=10)
    with watchers.watching("r1") as slow, watchers.watching("r1") as quick:
        taken = [one async for one in _some(quick.lines(), watchers, 25)]
        watchers.end("r1")
        heard = [one async for one in slow.lines()]
    assert [one.text for one in taken] == [str(number) for number in range(25)]
    assert [one.missed for one in taken] == [0] * 25
    assert [one.text for one in heard] == [str(number) for number in range(15, 25)]
    assert [one.missed for one in heard] == [15] + [0] * 9


async def _some(lines, watchers: Watchers, count: int):
    for number in range(count):
        watchers.tell("r1", line(str(number)))
        yield await anext(lines)


async def test_a_run_that_is_over_is_forgotten_before_there_are_too_many_and_never_one_that_goes_on() -> None:
    watchers = Watchers()
    watchers.tell("goes-on", line("here"))
    for number in range(100):
        watchers.tell(f"r{number}", line("x"))
        watchers.end(f"r{number}")
    assert len(watchers._runs) <= 33
    assert "goes-on" in watchers._runs
