"""Faults that the tour does not play, on real servers: the store without a majority, both sites cold."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 120.0
LEASE_SECONDS = 3.0


@dataclass(frozen=True)
class KeptLab:
    """A lab that goes on, and the command against it."""

    directory: Path
    environment: dict[str, str]

    def twinsite(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [_program(), "--config", str(self.directory / "sites.yaml"), *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, env=self.environment
        )

    def status(self, site: str) -> dict[str, Any]:
        done = self.twinsite("--site", site, "status", "--json")
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found

    def members(self, *sites: str) -> list[psutil.Process]:
        names = {f"--name={site}" for site in sites}
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if names.intersection(line := process.info["cmdline"] or [])
            and any(str(self.directory) in word for word in line)
        ]


def _program() -> str:
    return str(Path(sys.executable).with_name("twinsite"))


def _wait(what: str, holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends, f"this did not come: {what}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    runtime = tmp_path_factory.mktemp("run")
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
    environment.pop("TWINSITE_CONFIG", None)
    command = [_program(), "lab", "--story", "switchover", "--keep"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, check=False, env=environment, cwd=runtime
    )
    said = done.stdout + done.stderr
    start = next((line for line in said.splitlines() if "goes on in" in line), "")
    directory = Path(start.split("goes on in ")[1].split(". Try")[0]) if start else Path()
    try:
        assert done.returncode == 0, said
        yield KeptLab(directory, environment)
    finally:
        subprocess.run(
            [_program(), "lab", "down"], capture_output=True, timeout=120, check=False, env=environment
        )
    assert not directory.exists()


def _well(lab: KeptLab) -> bool:
    return all(lab.status(site).get("overall") == "ok" for site in ("durham", "morpeth"))


def _owners(lab: KeptLab) -> dict[str, tuple[str, int]]:
    return {each["service"]: (each["primary"], each["epoch"]) for each in lab.status("durham")["services"]}


def _kept_by_promise(lab: KeptLab, site: str) -> bool:
    return any("promise keeps its lease alive" in line for line in lab.status(site).get("warnings", []))


def test_without_a_majority_of_the_store_both_sites_go_on_by_each_others_promise(lab: KeptLab) -> None:
    """P14 to P16: nothing is cut off, nothing is moved, and status says what keeps it going."""
    owners = _owners(lab)
    frozen = lab.members("durham", "morpeth")
    assert len(frozen) == 2
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    try:
        for site in ("durham", "morpeth"):
            _wait(f"{site} goes on by promise", lambda site=site: _kept_by_promise(lab, site))
        time.sleep(3 * LEASE_SECONDS)  # far beyond what the last renewal was worth
        for site in ("durham", "morpeth"):
            assert _kept_by_promise(lab, site)
        writable = [
            each["site"]
            for service in lab.status("durham")["services"]
            for each in service["instances"]
            if each["writable"]
        ]
        assert sorted(writable) == sorted(primary for primary, _ in owners.values())
    finally:
        for process in frozen:
            process.send_signal(signal.SIGCONT)
    _wait("both services are well again", lambda: _well(lab))
    assert _owners(lab) == owners, "nobody took anything"


def test_after_both_sites_were_dark_every_service_opens_at_one_site_again(lab: KeptLab) -> None:
    for site in ("durham", "morpeth"):
        assert lab.twinsite("lab", "kill", site).returncode == 0
    assert lab.twinsite("status").returncode == 4, "nobody answers"
    for site in ("durham", "morpeth"):
        assert lab.twinsite("lab", "heal", site).returncode == 0
    _wait("both services are well again", lambda: _well(lab))
    for service in lab.status("morpeth")["services"]:
        writable = [each["site"] for each in service["instances"] if each["writable"]]
        assert writable == [service["primary"]]
