"""Clocks in whole numbers: what they show, and when they show it first."""

from random import Random

from orchestrator.simulate.clocks import MS, PARTS, Clock


def test_the_first_instant_at_which_a_clock_shows_something_is_the_first() -> None:
    random = Random(1)
    for _ in range(2000):
        clock = Clock(
            born_ns=random.randrange(10**12),
            offset_ns=random.randrange(10**12),
            rate=random.choice((PARTS, PARTS + 5000, PARTS - 1000, PARTS * 3 // 2)),
            grain_ns=random.choice((1, 7, 50 * MS)),
        )
        shown_ns = clock.read(10**12) + random.randrange(1, 10**11)
        at_ns = clock.when(shown_ns)
        assert clock.read(at_ns) >= shown_ns
        assert clock.read(at_ns - 1) < shown_ns


def test_a_fast_clock_shows_more() -> None:
    slow, fast = (Clock(born_ns=0, offset_ns=0, rate=rate) for rate in (PARTS, PARTS + 5000))
    assert slow.read(1000 * MS) == 1000 * MS
    assert fast.read(1000 * MS) == 1005 * MS


def test_a_coarse_clock_shows_whole_grains_only() -> None:
    clock = Clock(born_ns=0, offset_ns=0, grain_ns=50 * MS)
    assert clock.read(149 * MS) == 100 * MS
