"""Fence agents by their standard interface, with agents that a test made."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from sites.fencing import agents
from sites.fencing.agents import (
    FAILED,
    MISSING,
    STILL_ON,
    TIMED_OUT,
    AgentMisuse,
    AgentSettings,
    can_reach,
    cut_power,
    look,
    metadata,
)

OPTIONS = {"ip": "10.0.0.9", "username": "fence", "password": "hunter2 = s3cret", "plug": "3"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "LOOK_PAUSE_SECONDS", 0.01)


def agent(folder: Path, body: str) -> AgentSettings:
    """An agent whose `$action` is what it was asked; its input is kept in `asked`. `on` and `off` say it as
    the packaged ones do."""
    path = folder / "fence_test"
    path.write_text(
        f"#!/bin/sh\ninput=$(cat)\nprintf '%s\\n--\\n' \"$input\" >>{folder}/asked\n"
        f"action=$(printf '%s\\n' \"$input\" | sed -n 's/^action=//p')\ncd {folder}\n"
        f"on() {{ echo 'Status: ON'; exit 0; }}\noff() {{ echo 'Status: OFF'; exit 2; }}\n{body}\n"
    )
    path.chmod(stat.S_IRWXU)
    return AgentSettings(str(path), OPTIONS, within_seconds=20)


async def test_off_is_confirmed_by_status_and_options_go_by_standard_input(tmp_path: Path) -> None:
    settings = agent(tmp_path, "case $action in off) : >off; exit 0;; status) [ -e off ] && off; on;; esac")
    cut = await cut_power(settings)
    assert cut.confirmed
    assert cut.evidence == "fence_test off: ended with 0; status: off"
    asked = (tmp_path / "asked").read_text().split("--\n")
    assert asked[0].splitlines() == [*(f"{key}={value}" for key, value in OPTIONS.items()), "action=off"]
    assert "action=status" in asked[1]


async def test_an_agent_that_says_done_while_the_machine_is_on_is_not_believed(tmp_path: Path) -> None:
    cut = await cut_power(agent(tmp_path, "[ $action = status ] && on"))
    assert (cut.confirmed, cut.code) == (False, STILL_ON)
    assert "status: ended with 0" in cut.evidence


async def test_a_machine_that_takes_a_while_to_go_off_is_waited_for(tmp_path: Path) -> None:
    body = 'case $action in status) echo x >>looks; [ "$(wc -l <looks)" -ge 4 ] && off; on;; esac; exit 0'
    assert (await cut_power(agent(tmp_path, body))).confirmed


async def test_a_machine_that_was_off_already_counts_though_switching_failed(tmp_path: Path) -> None:
    cut = await cut_power(agent(tmp_path, "case $action in off) echo no plug; exit 1;; status) off;; esac"))
    assert cut.confirmed
    assert "off: ended with 1 (no plug)" in cut.evidence


@pytest.mark.parametrize("status", [0, 1, 3, 127])
async def test_any_other_status_says_nothing(tmp_path: Path, status: int) -> None:
    body = f"case $action in off) exit 1;; status) echo 'Status: OFF'; exit {status};; esac"
    cut = await cut_power(agent(tmp_path, body))
    assert (cut.confirmed, cut.code) == (False, FAILED)


@pytest.mark.parametrize("said", ["", "usage: fence_test [-h] [--ip IP]", "Status: ON"])
async def test_a_number_that_programs_end_with_when_called_wrongly_is_not_taken_for_off(
    tmp_path: Path, said: str
) -> None:
    settings = agent(tmp_path, f"echo '{said}'; exit 2")
    cut = await cut_power(settings)
    assert (cut.confirmed, cut.code) == (False, FAILED)
    assert (await look(settings)).on is None


@pytest.mark.parametrize(("body", "on"), [("on", True), ("off", False), ("exit 0", None), ("exit 1", None)])
async def test_a_look_says_on_off_or_that_it_is_not_known(tmp_path: Path, body: str, on: bool | None) -> None:
    settings = agent(tmp_path, f"[ $action = status ] || exit 9; {body}")
    found = await look(settings)
    assert (found.on, found.code) == (on, "" if on is not None else FAILED)
    assert "action=off" not in (tmp_path / "asked").read_text()


async def test_an_agent_tells_of_itself_without_being_given_any_secret(tmp_path: Path) -> None:
    body = '[ $action = metadata ] && echo \'<?xml version="1.0" ?><resource-agent name="fence_test"/>\''
    assert await metadata(agent(tmp_path, body)) == '<resource-agent name="fence_test"/>'
    assert "hunter2" not in (tmp_path / "asked").read_text()
    assert await metadata(agent(tmp_path, "exit 1")) is None


async def test_passwords_do_not_get_into_the_evidence(tmp_path: Path) -> None:
    cut = await cut_power(agent(tmp_path, 'printf "cannot log in with: %s" "$input"; exit 1'))
    assert not cut.confirmed
    assert "hunter2" not in cut.evidence
    assert "***" in cut.evidence
    assert "hunter2" not in repr(agent(tmp_path, ""))


async def test_a_secret_under_a_key_that_is_spelt_wrongly_does_not_get_into_the_evidence_either(
    tmp_path: Path,
) -> None:
    body = 'printf "Ignoring unknown option: %s" "$(printf "%s" "$input" | grep ^pswd)"; exit 1'
    settings = agent(tmp_path, body)
    settings = AgentSettings(settings.agent, {"ip": "10.0.0.9", "pswd": "hunter2"}, within_seconds=20)
    cut = await cut_power(settings)
    assert "Ignoring unknown option: pswd=***" in cut.evidence


async def test_an_agent_is_not_given_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PASSWORD", "hunter2")
    await cut_power(agent(tmp_path, "env >environment"))
    assert "hunter2" not in (tmp_path / "environment").read_text()


async def test_one_that_hangs_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    settings = agent(tmp_path, "sleep 1000 & echo $! >child; wait")
    settings = AgentSettings(settings.agent, OPTIONS, within_seconds=0.5)
    cut = await cut_power(settings)
    assert (cut.confirmed, cut.code) == (False, TIMED_OUT)
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
    assert (cut.confirmed, cut.code) == (False, MISSING)
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
        ("fence_x", {"password": '"quoted"'}, 5.0, "does not fit a line"),
        ("fence_x", {"password": "ends with a space "}, 5.0, "does not fit a line"),
        ("fence_x", {"#password": "1"}, 5.0, "does not fit a line"),
        ("fence_ack_manual", {}, 5.0, "a person's word"),
        ("fence_x", {}, 0.0, "above zero"),
    ],
)
def test_settings_that_can_never_work_are_refused(
    name: str, options: dict[str, str], seconds: float, told: str
) -> None:
    with pytest.raises(AgentMisuse, match=told):
        AgentSettings(name, options, seconds)
