"""Hosts are cut off by their devices, level by level; a cut counts when all of them are off at the end."""

from pathlib import Path

import pytest

from sites.fencing import agents
from sites.fencing.agents import FAILED, MISSING, STILL_ON, TIMED_OUT
from sites.fencing.devices import NO_DEVICE, cut_hosts, levels_of, longest_seconds
from sites.model import FenceDevice
from tests.sites.fencing.machines import agent, device, host, machine


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "LOOK_PAUSE_SECONDS", 0.01)


class Clock:
    """Counts how often it was looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        return self.looks


async def test_every_host_is_off_and_was_looked_at_once_more_when_the_last_one_was(tmp_path: Path) -> None:
    name = agent(tmp_path)
    machines = [machine(tmp_path, each) for each in ("one", "two")]
    cut = await cut_hosts([host(each.name, device(name, each)) for each in machines], Clock())
    assert cut.confirmed
    assert cut.code == ""
    assert [each.read_text() for each in machines] == ["off\n", "off\n"]
    for each in machines:
        assert Path(f"{each}.asked").read_text().split() == ["off", "status", "status"]
    assert "hunter2" not in cut.words


async def test_one_that_was_switched_on_again_before_the_other_was_off_is_found(tmp_path: Path) -> None:
    name = agent(tmp_path)
    first, second = machine(tmp_path, "one"), machine(tmp_path, "two")
    slow = name.with_name("fence_slow")  # when the first is off and was seen to be, somebody switches it on
    meanwhile = f"until grep -q status {first}.asked; do sleep 0.02; done; sleep 0.3; echo on >{first};"
    slow.write_text(name.read_text().replace("    off) ", f"    off) {meanwhile} "))
    slow.chmod(0o700)
    cut = await cut_hosts([host("one", device(name, first)), host("two", device(slow, second))], Clock())
    assert [(each.confirmed, each.code) for each in cut.hosts] == [(False, STILL_ON), (True, "")]
    assert "status: off; then:" in cut.words


@pytest.mark.parametrize(
    ("does", "code"), [("hangs", TIMED_OUT), ("fails", FAILED), ("wrong", FAILED), ("lies", STILL_ON)]
)
async def test_a_device_that_fails_hangs_or_lies_is_not_believed_and_keeps_no_other_host_waiting(
    tmp_path: Path, does: str, code: str
) -> None:
    name = agent(tmp_path)
    sick = device(name, machine(tmp_path, "one"), does=does, timeout="2s")
    well = machine(tmp_path, "two")
    cut = await cut_hosts([host("one", sick), host("two", device(name, well))], Clock())
    assert not cut.confirmed
    assert cut.code == code
    assert [each.host for each in cut.switched] == ["two"]
    assert code in cut.words


async def test_the_next_level_is_used_when_the_first_fails_and_not_before(tmp_path: Path) -> None:
    name, it = agent(tmp_path), machine(tmp_path, "one")
    levels = [device(name, it, level=2), device(name, machine(tmp_path, "bmc"), level=1, does="fails")]
    cut = await cut_hosts([host("one", *levels)], Clock())
    assert cut.confirmed
    assert "ended with 3" in cut.words, "what the first level said stays on record"
    it.write_text("on\n")
    cut = await cut_hosts([host("one", device(name, it, level=1), levels[1])], Clock())
    assert not cut.confirmed, "two devices of one level: both must confirm"


async def test_both_power_supplies_must_be_off(tmp_path: Path) -> None:
    """Devices of one level go together: one outlet that is off leaves the machine running on the other."""
    name = agent(tmp_path)
    outlets = [machine(tmp_path, "left"), machine(tmp_path, "right")]
    supplies = [device(name, outlets[0]), device(name, outlets[1], does="lies")]
    assert not (await cut_hosts([host("one", *supplies)], Clock())).confirmed
    supplies = [device(name, each) for each in outlets]
    assert (await cut_hosts([host("one", *supplies)], Clock())).confirmed


async def test_a_host_without_a_device_and_one_whose_agent_is_not_installed_are_not_cut_off(
    tmp_path: Path,
) -> None:
    absent = FenceDevice.model_validate({"agent": "fence_of_nowhere", "from": "morpeth"})
    cut = await cut_hosts([host("bare"), host("absent", absent)], Clock())
    assert [each.code for each in cut.hosts] == [NO_DEVICE, MISSING]
    assert not (await cut_hosts([], Clock())).confirmed, "nothing at all is no verified cut"


async def test_the_cut_is_dated_before_the_last_look(tmp_path: Path) -> None:
    clock = Clock()
    cut = await cut_hosts([host("one", device(agent(tmp_path), machine(tmp_path, "one")))], clock)
    assert (cut.as_of_ns, clock.looks) == (1, 1)


def test_levels_and_how_long_they_may_take(tmp_path: Path) -> None:
    name, it = agent(tmp_path), machine(tmp_path, "one")
    one = host(
        "one",
        device(name, it, level=3, timeout="7s"),
        device(name, it, level=1, timeout="5s"),
        device(name, it, level=1, timeout="20s"),
    )
    assert [[each.timeout_seconds for each in level] for level in levels_of(one)] == [[5.0, 20.0], [7.0]]
    assert longest_seconds([one, host("bare")]) == 20 + 7 + 20
