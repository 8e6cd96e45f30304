"""The lab's commands as plain functions: run a story, end a lab that goes on.

Puts the parts together and prints; every deed is another module's. However a story ends, by its own, by a
failure, by Ctrl-C or SIGTERM, the lab is ended with it, unless it is to be kept.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.lab import namespaces, picture, processes
from orchestrator.lab.assembly import assemble
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.estate import LEASE_DURATION_SECONDS, Layout
from orchestrator.lab.picture import Picture
from orchestrator.lab.places import (
    SITES,
    abandoned,
    claim_network,
    lab_at,
    make_directory,
    sweep_abandoned,
)
from orchestrator.lab.running import RunningLab, end_lab, remove_directory
from orchestrator.lab.stage import Stage
from orchestrator.lab.stories import STORIES, Story
from orchestrator.lab.view import LabView
from orchestrator.result_file import check_result, write_result

INTERRUPTED = 130


def run_lab(
    story: str = "tour",
    *,
    keep: bool = False,
    json_path: str | None = None,
    directory: Path | None = None,
    netns: bool = False,
    gates: bool = False,
) -> int:
    """Build a lab, play a story on it, print what it cost. 0: all of it held; 1: something did not;
    130: interrupted. `json_path` "-" is standard output, `netns`: each site in a network namespace of its
    own, `gates`: clients come by gates. Raises LabMisuse, LabTrouble, ResultNotWritten."""
    played = story_named(story)
    check_result(json_path)
    console = Console(stderr=json_path == "-", highlight=False)
    try:
        stage = asyncio.run(_play(played, console, keep=keep, directory=directory, netns=netns, gates=gates))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Interrupted: the lab has been ended.")
        return INTERRUPTED
    show_result(console, stage)
    if keep:
        _tell_how_to_use(console, Layout(stage.sites.directory))
    write_json(json_path, result(story, [stage]))
    return 0 if stage.ok else 1


def story_named(name: str) -> Story:
    """Raises LabMisuse for a story that does not exist."""
    if name not in STORIES:
        raise LabMisuse(f"there is no story {name!r}; there are: {', '.join(STORIES)}")
    return STORIES[name]


async def _play(
    story: Story, console: Console, *, keep: bool, directory: Path | None, netns: bool, gates: bool
) -> Stage:
    async with running_lab(console, keep=keep, directory=directory, netns=netns, gates=gates) as stage:
        await told(story, stage)
    return stage


async def told(story: Story, stage: Stage) -> bool:
    """Play one story; one that cannot go on is a failed check. Whether it came to its end."""
    try:
        await story(stage)
    except LabTrouble as fault:
        stage.screen.say(f"FAILED: {fault}")
        stage.check("the story came to its end", ok=False, found=str(fault))
        return False
    return True


@asynccontextmanager
async def running_lab(
    console: Console,
    *,
    keep: bool = False,
    directory: Path | None = None,
    netns: bool = False,
    gates: bool = False,
) -> AsyncIterator[Stage]:
    """A lab and its stage. At the end of the block the lab is ended and what it left behind is checked;
    with `keep` it goes on instead, unless the block was left by an error or an interruption."""
    if netns:
        namespaces.require()
    _end_on_sigterm()
    temporary = directory is None
    network = claim_network(namespaces=netns, gates=gates)
    lab = RunningLab(Layout(make_directory(directory)), network, {}, kept=keep)
    stage: Stage | None = None
    finished = False
    try:
        with Picture(console) as screen, lab.inside_network():
            screen.say(f"a lab in {lab.directory}, on {network.cidr}")
            await assemble(lab, screen.say)
            async with LabView(lab.sockets, lab.lives) as view, asyncio.TaskGroup() as tasks:
                stage = Stage(lab, view, screen)
                watching = [tasks.create_task(view.watch()), tasks.create_task(_show(view, screen, lab))]
                try:
                    yield stage
                finally:
                    for task in watching:
                        task.cancel()
        finished = True
    finally:
        if finished and keep:
            for name in set(lab.trees) - set(SITES):
                processes.signal_programs(lab.trees[name], signal.SIGUSR1)  # clients: slower from now on
        else:
            left = lab.close()
            if stage is not None:
                stage.check("no process and no port is left behind", not left, "; ".join(left))
            if finished and temporary and stage is not None and stage.ok:
                remove_directory(lab.directory)
            else:
                console.print(f"The logs are in {lab.directory}")
        network.claim.close()


def _end_on_sigterm() -> None:
    task = asyncio.current_task()
    if task is not None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)


async def _show(view: LabView, screen: Picture, lab: RunningLab) -> None:
    while True:
        await view.next_look()
        screen.show(view.now, lab.dead)


def _tell_how_to_use(console: Console, layout: Layout) -> None:
    console.print(f"\nThe lab goes on in {layout.directory}. Try:", soft_wrap=True)
    for verb in ("status --watch", "explain ebs", "lag", "runs", "switchover ebs"):
        console.print(f"  twinsite --config {layout.estate} {verb}", soft_wrap=True)
    for verb in ("kill morpeth", "heal morpeth", "down"):
        console.print(f"  twinsite lab {verb}")


def show_result(console: Console, stage: Stage) -> None:
    """The table of events and a line per check."""
    console.print()
    if stage.events:
        console.print(picture.event_table(stage.events))
    for line in picture.check_lines(stage.checks):
        console.print(line, markup=False, soft_wrap=True)
    console.print("All of it held." if stage.ok else "NOT all of it held.")


def result(story: str, stages: Sequence[Stage]) -> dict[str, Any]:
    """What `--json` prints of one story, told on one or several labs."""
    return {
        "story": story,
        "ok": bool(stages) and all(stage.ok for stage in stages),
        "lease_duration_seconds": LEASE_DURATION_SECONDS,
        "events": [figures.to_json() for stage in stages for figures in stage.events],
        "checks": [{"name": check.name, "ok": check.ok} for stage in stages for check in stage.checks],
    }


def write_json(path: str | None, found: dict[str, Any]) -> None:
    """The result as JSON: nowhere, to standard output (`-`) or to a file. Raises ResultNotWritten."""
    write_result(path, json.dumps(found, indent=1) + "\n")


def down_command(*, directory: Path | None = None) -> int:
    """End a lab that goes on, and take its files away; sweep what labs have left that nobody holds any more.
    Raises LabMisuse, LabTrouble."""
    state = lab_at(directory)
    left = [*end_lab(state), *sweep_abandoned()]
    if left:
        raise LabTrouble(f"this is left of the lab in {state.directory}: {'; '.join(left)}")
    remove_directory(Path(state.directory))
    print(f"The lab in {state.directory} has been ended and its files are gone.")
    return 0


def sweep_command() -> int:
    """Take away what labs have left whose every process was killed; how many things that were. Raises
    LabTrouble."""
    found = abandoned()
    if left := sweep_abandoned():
        raise LabTrouble(f"this is left of labs that were killed: {'; '.join(left)}")
    for line in found:
        print(f"Swept away: {line}.")
    return len(found)
