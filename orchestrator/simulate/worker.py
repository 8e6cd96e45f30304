"""A process that runs seeds, as they are or with a rule changed, and says a JSON line for what it finds."""

import gc
import json
import sys
import time
import traceback
from typing import Any

from orchestrator.simulate.loader import Edit, install

TELL_EVERY_SECONDS = 0.5
COLLECT_EVERY = 25


def main() -> None:
    """Run what the first argument says: seeds (first, step, count), families, edits, whether to stop."""
    task = json.loads(sys.argv[1])
    install([Edit(*edit) for edit in task.get("edits", [])])
    from orchestrator.simulate.families import family_of
    from orchestrator.simulate.run import run_seed

    # What is left of a world goes with it; looked for at every turn, it costs an eighth of the time.
    gc.freeze()
    gc.disable()
    families = set(task.get("families", []))
    done = steps = 0
    told_at = time.monotonic()
    for seed in range(task["first"], task["first"] + task["count"] * task["step"], task["step"]):
        if families and family_of(seed).name not in families:
            continue
        try:
            outcome = run_seed(seed)
        except Exception as fault:  # noqa: BLE001 - a seed that breaks the code is a finding too
            where = traceback.extract_tb(fault.__traceback__)[-1]
            words = f"{type(fault).__name__}: {fault} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
            _say({"broken": seed, "family": family_of(seed).name, "words": words})
            done += 1
            continue
        done += 1
        if done % COLLECT_EVERY == 0:
            gc.collect()
        steps += outcome.steps
        if outcome.violations:
            first = outcome.violations[0]
            _say(
                {
                    "violated": seed,
                    "family": outcome.family,
                    "invariant": first.invariant,
                    "words": first.words,
                }
            )
            if task.get("stop"):
                break
        if time.monotonic() > told_at + TELL_EVERY_SECONDS:
            told_at = time.monotonic()
            _say({"done": done, "steps": steps})
    _say({"done": done, "steps": steps, "end": True})


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)
