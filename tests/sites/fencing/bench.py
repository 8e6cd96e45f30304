"""A guard as a process of its own, before a fake keeper."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from sites.fencing import guard
from tests.orchestrator.pki import Pki
from tests.sites.fencing.fake_keeper import FakeKeeper, until

GUARD = Path(guard.__file__)
D_SECONDS, EVERY_SECONDS = 0.4, 0.1
PRETENDER = Path(__file__).with_name("pretender.py")


class Host:
    """A host's folder: settings, state, data, certificates; and the processes that a test started there."""

    def __init__(self, folder: Path, pki: Pki | None = None) -> None:
        self.folder = folder
        self.pki = pki or Pki(folder)
        self.keeper = FakeKeeper(self.pki.controller("durham"))
        self.state = folder / "state"
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        files = self.pki.guard("durham", "crm")
        self.settings: dict[str, Any] = {
            "service": "crm",
            "site": "durham",
            "host": "crm-db",
            "controllers": [self.keeper.address],
            "tls": {"ca": str(files.ca), "cert": str(files.certificate), "key": str(files.key)},
            "state": str(self.state),
            "fence_within_seconds": D_SECONDS,
            "guard_every_seconds": EVERY_SECONDS,
            "data": str(self.data),
            "stop": {"names": ["pretender"], "postgres": False},
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.guard: subprocess.Popen[bytes] | None = None
        self.log = folder / "guard.log"

    @property
    def permit(self) -> Path:
        """The permit beside the data."""
        return Path(f"{self.data}.twinsite") / "permit"

    @property
    def config(self) -> Path:
        """The settings file, written now."""
        path = self.folder / "guard.json"
        path.write_text(json.dumps(self.settings))
        return path

    def command(self, *arguments: str, python: str = sys.executable) -> list[str]:
        return [python, str(GUARD), "--config", str(self.config), *arguments]

    def start(self, python: str = sys.executable) -> None:
        """Start the guard and wait until it has said hello."""
        hellos = len(self.keeper.said("hello"))
        self.start_only(python)
        until(lambda: len(self.keeper.said("hello")) > hellos, "a hello", 20)

    def start_only(self, python: str = sys.executable) -> None:
        with self.log.open("ab") as log:
            self.guard = subprocess.Popen(self.command(python=python), stderr=log)
        self.processes.append(self.guard)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """One call of the command to its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=30, check=False
        )

    def signal(self, number: int) -> None:
        assert self.guard is not None
        os.kill(self.guard.pid, number)

    def opened(self) -> None:
        """Wait until there is a permit."""
        until(self.permit.exists, f"a permit; {self.said()}")

    def closed(self) -> None:
        """Wait until there is none."""
        until(lambda: not self.permit.exists(), "the end of the permit")

    def said(self) -> str:
        """The guard's log."""
        return self.log.read_text() if self.log.exists() else ""

    def pretend_only(self) -> None:
        """A database server that does not let go."""
        self.processes.append(subprocess.Popen([sys.executable, str(PRETENDER), str(self.data)]))

    def pretend(self) -> None:
        """The same, writing."""
        before = len(self.written())
        self.pretend_only()
        until(lambda: len(self.written()) > before, "a write")

    def written(self) -> list[int]:
        """When the pretender wrote."""
        path = self.data / "written"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def pretenders(self) -> list[int]:
        """Its processes that run."""
        return guard.Stop(str(self.data), ["pretender"], False).pids()

    def end(self) -> None:
        """End what was started."""
        for one in self.processes:
            if one.poll() is None:
                os.kill(one.pid, signal.SIGCONT)
                one.kill()
                one.wait()
        for pid in self.pretenders():
            os.kill(pid, signal.SIGKILL)
        self.keeper.close()
