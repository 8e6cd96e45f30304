"""The interface as the packaged agents have it, where they are installed: fence_dummy needs no hardware."""

import os
import shutil
from pathlib import Path

import pytest

from sites.fencing.agents import FOLDERS, AgentSettings, can_reach, cut_power, look, metadata

# TWINSITE_FENCE_DUMMY: another place of it than the package's.
DUMMY = os.environ.get("TWINSITE_FENCE_DUMMY") or shutil.which("fence_dummy", path=FOLDERS)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DUMMY is None, reason="no fence_dummy here (package fence-agents)"),
]


def dummy(status: Path, **options: str) -> AgentSettings:
    """Its machine's state stands in a file."""
    return AgentSettings(str(DUMMY), {"status_file": str(status), **options}, within_seconds=30)


async def test_a_machine_is_switched_off_by_a_packaged_agent_and_known_to_be(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("on")
    settings = dummy(status)
    assert (await can_reach(settings)).confirmed
    assert (await look(settings)).on is True
    cut = await cut_power(settings)
    assert cut.confirmed, cut.evidence
    assert status.read_text() == "off"
    assert (await look(settings)).on is False
    again = await cut_power(settings)
    assert again.confirmed, "one that is off already is off"


async def test_a_packaged_agent_that_cannot_switch_is_not_believed(tmp_path: Path) -> None:
    cut = await cut_power(dummy(tmp_path / "status", type="fail", power_timeout="1"))
    assert not cut.confirmed


async def test_a_packaged_agent_tells_which_options_it_has() -> None:
    described = await metadata(AgentSettings(str(DUMMY), within_seconds=30))
    assert described is not None
    assert '<parameter name="status_file"' in described
