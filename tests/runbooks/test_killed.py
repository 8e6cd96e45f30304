"""The controller is really killed, after every record and in the middle of a step, and the run goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runbooks.killed_run import carry_out

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def killed(folder: Path, die_at: int) -> None:
    """Run it in a process that does not survive."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.runbooks.killed_run", str(folder), str(die_at)],
        cwd=ROOT,
        env={**os.environ, "HOME": str(folder)},
        timeout=120,
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize("die_at", range(1, 8))
async def test_killed_after_any_record_the_run_goes_on_and_no_step_has_its_effect_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: int
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    killed(tmp_path, die_at)
    outcome = await carry_out(tmp_path, 0)
    assert outcome.done, outcome.summary
    assert (tmp_path / "effects").read_text() == "s1\ns2\ns3\n"


async def test_killed_again_and_again_the_run_still_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for _ in range(3):
        killed(tmp_path, 2)
    outcome = await carry_out(tmp_path, 0)
    assert outcome.done, outcome.summary
    assert (tmp_path / "effects").read_text() == "s1\ns2\ns3\n"


async def test_killed_by_its_own_step_the_hosts_record_settles_that_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    process = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            'echo $$ > "$1/engine"; exec "$2" -m tests.runbooks.killed_run "$1" 0',
            "sh",
            str(tmp_path),
            sys.executable,
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.wait(timeout=120) == -signal.SIGKILL
    (tmp_path / "engine").unlink()
    outcome = await carry_out(tmp_path, 0)
    assert outcome.done, outcome.summary
    assert (tmp_path / "effects").read_text() == "s1\ns2\ns3\n"
    assert "recorded its end: exit 0" in outcome.progress.steps["x/s2"].evidence
    assert outcome.progress.steps["x/s2"].last_attempt == 1
