"""A real Prometheus beside a lab: it scrapes the controllers as one in an estate does, goes by the rules that
ship, and is asked what fires. Knows no story.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from orchestrator.alert_rules import alerting_rules, recording_rules
from orchestrator.lab.errors import LabMisuse, LabTrouble

PROGRAM = "prometheus"
READY_WITHIN_SECONDS = 30.0
ASK_WITHIN_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.5
SCRAPE_SECONDS = 1
LOOPBACK = "127.0.0.1"
_CONFIG = """\
global:
  scrape_interval: {scrape}s
  scrape_timeout: {scrape}s
  evaluation_interval: {scrape}s
rule_files: [recording.rules.yml, alerting.rules.yml]
scrape_configs:
  - job_name: twinsite
    static_configs:
      - targets: {targets}
"""

Firing = frozenset[tuple[str, frozenset[tuple[str, str]]]]


def find_prometheus() -> Path:
    """The program. Raises LabMisuse when there is none on this machine."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise LabMisuse("no prometheus on this machine: apt-get install prometheus, or put it on PATH")
    return Path(found)


@dataclass(slots=True)
class Prometheus:
    """One that runs. `fired`: every alert that has fired since `forget`, with the labels that tell what."""

    url: str
    session: aiohttp.ClientSession
    fired: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)
    firing: Firing = frozenset()
    started_unix_seconds: float = field(default_factory=time.time)

    async def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API. Raises LabTrouble."""
        try:
            async with (
                asyncio.timeout(ASK_WITHIN_SECONDS),
                self.session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer,
            ):
                body = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            raise LabTrouble(f"Prometheus does not answer: {fault!r}") from fault
        if body.get("status") != "success":
            raise LabTrouble(f"Prometheus refuses {path}: {body.get('error')}")
        return body["data"]

    def forget(self) -> None:
        """From here on it counts anew what fired."""
        self.fired.clear()

    async def watch(self) -> None:
        """Look what fires, until cancelled."""
        began = time.monotonic()
        while True:
            alerts = (await self.ask("alerts"))["alerts"]
            self.firing = frozenset(_told(alert) for alert in alerts if alert["state"] == "firing")
            for alert in self.firing:
                self.fired.setdefault(alert, time.monotonic() - began)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def until(self, condition: Callable[[Firing], bool], within_seconds: float) -> bool:
        """Whether what fires came to be so in time."""
        deadline = time.monotonic() + within_seconds
        while not condition(self.firing):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return True


def _told(alert: dict[str, Any]) -> tuple[str, frozenset[tuple[str, str]]]:
    """The name, and the labels that are not the rule's own."""
    labels = dict(alert["labels"])
    name = labels.pop("alertname")
    return name, frozenset((key, text) for key, text in labels.items() if key not in ("severity", "owner"))


def words(alerts: "Firing | Sequence[tuple[str, frozenset[tuple[str, str]]]]") -> str:
    """For people: each with what it is about."""
    told = (f"{name} ({', '.join(text for _, text in sorted(about))})" for name, about in alerts)
    return "; ".join(sorted(told)) or "nothing"


@contextlib.asynccontextmanager
async def watching(directory: Path, targets: Sequence[str], scale: float) -> AsyncIterator[Prometheus]:
    """A Prometheus whose files lie in `directory`, watching while inside. `scale`: every length of time in
    the rules times this. Raises LabMisuse, LabTrouble."""
    program = find_prometheus()
    _write_files(directory, targets, scale)
    place = f"{LOOPBACK}:{_free_port()}"
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={place}",
            "--log.level=warn",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            found = Prometheus(f"http://{place}", session)
            await _ready(found, process, directory / "log")
            look = asyncio.create_task(found.watch())
            try:
                yield found
            finally:
                look.cancel()
                await asyncio.gather(look, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), ASK_WITHIN_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


def _write_files(directory: Path, targets: Sequence[str], scale: float) -> None:
    directory.mkdir()
    (directory / "recording.rules.yml").write_text(recording_rules(scale), encoding="utf-8")
    (directory / "alerting.rules.yml").write_text(alerting_rules(scale), encoding="utf-8")
    config = _CONFIG.format(scrape=SCRAPE_SECONDS, targets=json.dumps(list(targets)))
    (directory / "prometheus.yml").write_text(config, encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])


async def _ready(prometheus: Prometheus, process: asyncio.subprocess.Process, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while process.returncode is None and time.monotonic() < deadline:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(1), prometheus.session.get(f"{prometheus.url}/-/ready") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(0.1)
    raise LabTrouble(f"Prometheus did not start; see {log}")
