"""The site's own programs as a way of cutting."""

from pathlib import Path

import pytest

from tests.sites.fencing.bench import Host
from tests.sites.fencing.fake_keeper import until

pytestmark = pytest.mark.slow


@pytest.fixture
def gate(host: Host) -> Path:
    """A gate that is a file: open while it is there."""
    place = host.folder / "gate"
    host.settings["command"] = {
        "open": ["touch", str(place)],
        "close": ["rm", "-f", str(place)],
        "verify": ["test", "!", "-e", str(place)],
    }
    return place


def test_opens_closes_and_proves_it(host: Host, gate: Path) -> None:
    gate.touch()
    host.keeper.allow(0)
    host.start()
    until(lambda: not gate.exists(), "closed at the start")
    host.keeper.allow(1.2)
    until(gate.exists, "open")
    host.keeper.answering = None
    until(lambda: not gate.exists(), "closed at its deadline")


def test_a_gate_and_the_stop_together(host: Host, gate: Path) -> None:
    host.keeper.allow(30)
    host.start()
    until(gate.exists, "open")
    host.pretend()
    host.keeper.answering = None
    host.keeper.order(1, "fence")
    evidence = host.keeper.acknowledged(1)["evidence"]
    assert "none left" in evidence
    assert "command: closed" in evidence
    assert not gate.exists()
    assert not host.pretenders()


def test_what_cannot_be_proven_is_not_acknowledged_and_tried_again(host: Host, gate: Path) -> None:
    host.settings["command"]["close"] = ["false"]
    del host.settings["stop"]
    host.keeper.allow(30)
    host.start()
    until(gate.exists, "open")
    host.keeper.answering = None
    host.keeper.order(1, "fence")
    until(lambda: "NOT CLOSED" in host.said(), "a cut that failed")
    assert not host.keeper.said("acknowledged")
    host.keeper.allow(30)
    gate.unlink()
    assert host.keeper.acknowledged(1)["fenced"] is True


def test_a_program_that_hangs_does_not_hang_the_guard(host: Host, gate: Path) -> None:
    host.settings["command"]["open"] = ["sleep", "1000"]
    host.keeper.allow(30)
    host.start()
    host.opened()
    host.pretend()
    host.keeper.answering = None
    host.keeper.order(1, "fence")
    assert host.keeper.acknowledged(1)["fenced"] is True
    assert not host.pretenders()


def test_a_program_that_is_not_there_is_said_before_it_is_needed(host: Host, gate: Path) -> None:
    host.settings["command"]["close"] = ["/nowhere/close"]
    host.start()
    (hello,) = host.keeper.said("hello")
    assert [one for one in hello["lacks"] if one.startswith("command: /nowhere/close")]
