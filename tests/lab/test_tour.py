"""The whole product on real servers: a site dies and comes back, planned moves, a database dies, a
controller stands still.

Nothing here asserts how quick it was (the benchmark measures that), only that it came and was right.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 600.0
TIMED = {  # they count milliseconds; a machine under load may be slower
    "crm went on while morpeth was dead",
    "crm went on while morpeth had no controller",
}


def test_the_tour_ends_with_no_row_lost_in_silence_and_never_two_primaries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    command = [str(Path(sys.executable).with_name("twinsite")), "lab", "--json", str(tmp_path / "tour.json")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, cwd=tmp_path
    )
    said = done.stdout + done.stderr
    assert (tmp_path / "tour.json").exists(), said
    found = json.loads((tmp_path / "tour.json").read_text())
    failed = {check["name"] for check in found["checks"] if not check["ok"]}
    assert failed <= TIMED, said
    assert done.returncode == (1 if failed else 0)
    assert [event["event"] for event in found["events"]] == [
        "site-loss",
        "switchover",
        "database-loss",
        "switchover",
        "controller-loss",
    ]
    for event in found["events"]:
        assert event["two_writable_seconds"] == 0.0, said
        assert event["acknowledged_rows"] > 0, said
    assert found["events"][1]["lost_rows"] == 0, said
