"""An isolated drill in the lab: real PostgreSQL behind real SSH, real etcd, two controllers, clients that
write.

What it took and how far production was behind is printed; only what must be so is checked here.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 400.0
TIMED = {  # a machine under load may be slower, and look later
    "the drill took less than 30 s",
    "production was no further behind during the drill than before",
}


def test_an_isolated_drill_is_done_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    result = tmp_path / "drill.json"
    command = [
        str(Path(sys.executable).with_name("twinsite")), "lab", "--story", "drill", "--json", str(result)
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, cwd=tmp_path
    )
    said = done.stdout + done.stderr
    print(said)
    assert result.exists(), said
    checks = {check["name"]: check["ok"] for check in json.loads(result.read_text())["checks"]}
    assert {
        "nobody became primary by the drill",
        "the other site knows that it was done",
        "nothing is left of the copy",
    } <= set(checks), said
    assert {name for name, ok in checks.items() if not ok} <= TIMED, said
