"""When the hardware watchdog is fed: as long as a reset after a standstill would come before the deadline."""

from pathlib import Path

import pytest

from sites.fencing import guard
from sites.fencing.guard import Watchdog, may_feed
from tests.sites.fencing.promises import MS, Bench, T

AFTER = 1000 * MS


def test_fed_while_the_deadline_is_further_away_than_the_reset() -> None:
    b = Bench(guard).opened()
    edge = b.state.deadline_ns - AFTER
    assert may_feed(b.state, AFTER, edge)
    assert not may_feed(b.state, AFTER, edge + 1)


def test_not_fed_until_a_cut_is_verified_and_fed_again_then() -> None:
    b = Bench(guard).opened()
    b.order("fence")
    assert not may_feed(b.state, AFTER, b.now)
    b.cut_ended(verified=False)
    assert not may_feed(b.state, AFTER, b.now)
    b.tick(1)
    b.cut_ended()
    assert may_feed(b.state, AFTER, b.now)


def test_a_manual_services_host_is_not_reset_for_its_deadline() -> None:
    b = Bench(guard, manual=True).opened(manual=True)
    assert may_feed(b.state, AFTER, b.now + 10 * T)


def test_a_device_that_is_none_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "device"
    path.touch()
    with pytest.raises(OSError):
        Watchdog(str(path), 2)
    assert path.read_bytes() == b"V", "it was told to stop counting"
