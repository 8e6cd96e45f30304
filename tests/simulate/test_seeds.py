"""Seeds: the same run every time and everywhere, and everything holds in all of them."""

import json
import os
import subprocess
import sys

import pytest

from orchestrator.simulate.families import FAMILIES, family_of
from orchestrator.simulate.run import play, run_seed, shrink
from orchestrator.simulate.scenario import draw
from orchestrator.simulate.search import search

PRINTS = (
    "import json; from orchestrator.simulate.run import run_seed; "
    "print(json.dumps([[o.steps, o.print] for o in map(run_seed, range(4))]))"
)


def prints_of_another_process(hash_seed: str) -> list[list[int]]:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
        timeout=120,
    )
    found: list[list[int]] = json.loads(done.stdout)
    return found


def test_one_seed_is_one_run_in_every_process() -> None:
    here = [[outcome.steps, outcome.print] for outcome in map(run_seed, range(4))]
    assert prints_of_another_process("1") == here
    assert prints_of_another_process("2") == here


def test_two_seeds_are_two_runs() -> None:
    assert run_seed(0).print != run_seed(len(FAMILIES)).print


@pytest.mark.parametrize("seed", range(2 * len(FAMILIES)), ids=lambda seed: f"{family_of(seed).name}-{seed}")
def test_everything_holds(seed: int) -> None:
    assert run_seed(seed).violations == ()


def test_something_happens() -> None:
    """In a few scenarios of the plain family services change hands, by all three ways."""
    kinds = set()
    for seed in range(0, 12 * len(FAMILIES), len(FAMILIES)):
        world = play(draw(seed))
        for name in world.services:
            item = world.store.service(name)
            if item is not None and item.record.epoch > 1:
                kinds.add(item.record.kind)
    assert {"failover", "switchover"} <= kinds


def test_several_processes_run_every_seed_once() -> None:
    seen = search(first=0, count=7, jobs=3)
    assert (seen.scenarios, seen.findings, seen.unfinished) == (7, [], "")


def test_a_story_changes_nothing() -> None:
    scenario = draw(2 * len(FAMILIES) + 1)
    told, untold = play(scenario, story=True), play(scenario)
    assert told.steps == untold.steps
    assert told.story is not None
    assert "ACCEPTS CLIENT WRITES" in told.story.text()


def test_what_holds_is_not_shrunk() -> None:
    assert shrink(draw(1)) == draw(1)
