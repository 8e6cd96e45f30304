"""Run many seeds in several processes, and gather what they find."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orchestrator
from orchestrator.simulate.loader import Edit

_RUN = "from orchestrator.simulate.worker import main; main()"


@dataclass(slots=True)
class Finding:
    """A seed that fails. Invariant 0: the code itself broke."""

    seed: int
    family: str
    invariant: int
    words: str


@dataclass(slots=True)
class Tally:
    """What came of many seeds."""

    scenarios: int = 0
    steps: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    unfinished: str = ""

    @property
    def per_second(self) -> float:
        """Scenarios a second."""
        return self.scenarios / self.seconds if self.seconds else 0.0


def search(
    *,
    first: int,
    count: int,
    jobs: int,
    edits: Sequence[Edit] = (),
    families: Sequence[str] = (),
    stop: bool = False,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Run `count` seeds from `first` on. With `stop`, end at the first that fails."""
    started = time.monotonic()
    lines: queue.Queue[tuple[int, str | None]] = queue.Queue()
    workers = [
        _start(
            {
                "first": first + job,
                "step": jobs,
                "count": len(range(job, count, jobs)),
                "edits": [list(edit) for edit in edits],
                "families": list(families),
                "stop": stop,
            }
        )
        for job in range(jobs)
    ]
    for job, worker in enumerate(workers):
        threading.Thread(target=_read, args=(job, worker, lines), daemon=True).start()
    done, steps = [0] * jobs, [0] * jobs
    tally = Tally()
    left = set(range(jobs))
    try:
        while left:
            job, line = lines.get()
            if line is None:
                left.discard(job)
                continue
            said = json.loads(line)
            if "violated" in said or "broken" in said:
                seed = said.get("violated", said.get("broken"))
                tally.findings.append(Finding(seed, said["family"], said.get("invariant", 0), said["words"]))
            else:
                done[job], steps[job] = said["done"], said["steps"]
                if said.get("end"):
                    left.discard(job)
            tally.scenarios, tally.steps = sum(done), sum(steps)
            tally.seconds = time.monotonic() - started
            progress(tally)
            if stop and any(finding.invariant for finding in tally.findings):
                break
    finally:
        for worker in workers:
            worker.kill()
            _, errors = worker.communicate()
            if errors and not tally.unfinished:
                tally.unfinished = errors.decode(errors="replace").strip().splitlines()[-1]
    tally.findings.sort(key=lambda finding: finding.seed)
    return tally


def _start(task: dict[str, object]) -> "subprocess.Popen[bytes]":
    root = str(Path(orchestrator.__file__).resolve().parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _RUN, json.dumps(task)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def _read(job: int, worker: "subprocess.Popen[bytes]", lines: "queue.Queue[tuple[int, str | None]]") -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        lines.put((job, line.decode()))
    lines.put((job, None))
