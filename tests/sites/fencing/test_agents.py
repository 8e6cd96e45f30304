"""Fence agents by their standard interface, with agents that a test made."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from sites.fencing import agents
from sites.fencing.agents import AgentMisuse, AgentSettings, can_reach, cut_power

OPTIONS = {"ip": "10.0.0.9", "username": "fence", "password": "hunter2 = s3cret", "plug": "3"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "LOOK_PAUSE_SECONDS", 0.01)


def agent(folder: Path, body: str) -> AgentSettings:
    """An agent whose `$action` is what it was asked; its input is kept in `asked`."""
    path = folder / "fence_test"
    path.write_text(
        f"#!/bin/sh\ninput=$(cat)\nprintf '%s\\n--\\n' \"$input\" >>{folder}/asked\n"
        f"action=$(printf '%s\\n' \"$input\" | sed -n 's/^action=//p')\ncd {folder}\n{body}\n"
    )
    path.chmod(stat.S_IRWXU)
    return AgentSettings(str(path), OPTIONS, within_seconds=20)


async def test_off_is_confirmed_by_status_and_options_go_by_standard_input(tmp_path: Path) -> None:
    settings = agent(
        tmp_path, "case $action in off) : >off; exit 0;; status) [ -e off ] && exit 2; exit 0;; esac"
    )
    cut = await cut_power(settings)
    assert cut.confirmed
    assert cut.evidence == "fence_test off: ended with 0; status: off"
    asked = (tmp_path / "asked").read_text().split("--\n")
    assert asked[0].splitlines() == [*(f"{key}={value}" for key, value in OPTIONS.items()), "action=off"]
    assert "action=status" in asked[1]


async def test_an_agent_that_says_done_while_the_machine_is_on_is_not_believed(tmp_path: Path) -> None:
    cut = await cut_power(agent(tmp_path, "exit 0"))
    assert not cut.confirmed
    assert "status: ended with 0" in cut.evidence


async def test_a_machine_that_takes_a_while_to_go_off_is_waited_for(tmp_path: Path) -> None:
    body = 'case $action in status) echo x >>looks; [ "$(wc -l <looks)" -ge 4 ] && exit 2;; esac; exit 0'
    assert (await cut_power(agent(tmp_path, body))).confirmed


async def test_a_machine_that_was_off_already_counts_though_switching_failed(tmp_path: Path) -> None:
    cut = await cut_power(
        agent(tmp_path, "case $action in off) echo no plug; exit 1;; status) exit 2;; esac")
    )
    assert cut.confirmed
    assert "off: ended with 1 (no plug)" in cut.evidence


@pytest.mark.parametrize("status", [0, 1, 3, 127])
async def test_any_other_status_says_nothing(tmp_path: Path, status: int) -> None:
    cut = await cut_power(agent(tmp_path, f"case $action in off) exit 1;; status) exit {status};; esac"))
    assert not cut.confirmed


async def test_passwords_do_not_get_into_the_evidence(tmp_path: Path) -> None:
    cut = await cut_power(agent(tmp_path, 'printf "cannot log in with: %s" "$input"; exit 1'))
    assert not cut.confirmed
    assert "hunter2" not in cut.evidence
    assert "***" in cut.evidence
    assert "hunter2" not in repr(agent(tmp_path, ""))


async def test_one_that_hangs_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    settings = agent(tmp_path, "sleep 1000 & echo $! >child; wait")
    settings = AgentSettings(settings.agent, OPTIONS, within_seconds=0.5)
    cut = await cut_power(settings)
    assert not cut.confirmed
    assert "not known to be off within 0.5 s" in cut.evidence
    child = int((tmp_path / "child").read_text()) if (tmp_path / "child").exists() else None
    for _ in range(200):
        if child is None or not _runs(child):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("its child is still there")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_one_that_babbles_is_cut_short(tmp_path: Path) -> None:
    cut = await cut_power(agent(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; exit 1"))
    assert not cut.confirmed
    assert len(cut.evidence) < 1000


async def test_one_that_does_not_read_its_options_says_so_itself(tmp_path: Path) -> None:
    path = tmp_path / "fence_deaf"
    path.write_text("#!/bin/sh\nexec <&-\necho deaf\nexit 1\n")
    path.chmod(stat.S_IRWXU)
    settings = AgentSettings(str(path), {"ip": "x" * 200_000}, within_seconds=20)
    cut = await cut_power(settings)
    assert not cut.confirmed
    assert "(deaf)" in cut.evidence


async def test_one_that_is_not_installed_or_may_not_run_is_named(tmp_path: Path) -> None:
    cut = await cut_power(AgentSettings("fence_of_nowhere", within_seconds=5))
    assert not cut.confirmed
    assert "package fence-agents" in cut.evidence
    path = tmp_path / "fence_locked"
    path.write_text("")
    os.chmod(path, 0)
    cut = await cut_power(AgentSettings(str(path), within_seconds=5))
    assert not cut.confirmed
    assert "cannot be started" in cut.evidence


async def test_the_device_can_be_tried_without_switching_anything(tmp_path: Path) -> None:
    settings = agent(tmp_path, "[ $action = monitor ]")
    assert (await can_reach(settings)).confirmed
    assert "action=off" not in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("name", "options", "seconds", "told"),
    [
        ("reboot", {}, 5.0, "is no fence agent"),
        ("fence_x", {"action": "on"}, 5.0, "not yours to set"),
        ("fence_x", {"ip": "1\naction=on"}, 5.0, "does not fit a line"),
        ("fence_x", {"a=b": "1"}, 5.0, "does not fit a line"),
        ("fence_x", {}, 0.0, "above zero"),
    ],
)
def test_settings_that_can_never_work_are_refused(
    name: str, options: dict[str, str], seconds: float, told: str
) -> None:
    with pytest.raises(AgentMisuse, match=told):
        AgentSettings(name, options, seconds)
