"""`twinsite lab --alerts`: a real Prometheus watches the lab by the rules that ship, while things are done to
it. Each alert that should fire fires, and none else; a quiet lab fires none.

The rules' lengths of time are a fifth of what they are in an estate, so that minutes take seconds.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orchestrator.alerts_table import ALERTS
from orchestrator.lab import acts
from orchestrator.lab.acts import KEPT, MOVED, other
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.places import DATA_SITES, HOME, WITNESS
from orchestrator.lab.prometheus import Prometheus, find_prometheus, watching, words
from orchestrator.lab.run import INTERRUPTED, result, running_lab, show_result, told, write_json
from orchestrator.lab.running import RunningLab
from orchestrator.lab.stage import Stage
from orchestrator.result_file import check_result

SCALE = 0.2
QUIET_SECONDS = 30.0
FIRES_WITHIN_SECONDS = 60.0  # beyond what the rule itself waits
CLEARS_WITHIN_SECONDS = 240.0
HOLDS = {alert.name: alert.holds_seconds * SCALE for alert in ALERTS}

Deed = Callable[[], object]
Alarm = tuple[str, frozenset[tuple[str, str]]]


def alarm(name: str, **about: str) -> Alarm:
    """An alert with the labels that tell what it is about."""
    return name, frozenset(about.items())


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done to a healthy lab and undone again, and exactly what must fire for it."""

    name: str
    hurt: Deed
    heal: Deed
    fires: frozenset[Alarm]


@dataclass(slots=True)
class Heard:
    """What fired during an act, and how long after it was done."""

    act: str
    wanted: frozenset[Alarm]
    after_seconds: dict[Alarm, float] = field(default_factory=dict)
    unwanted: frozenset[Alarm] = frozenset()

    @property
    def ok(self) -> bool:
        """Each that should, none else."""
        return not self.unwanted and set(self.after_seconds) == self.wanted

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "act": self.act,
            "ok": self.ok,
            "fired": [
                {"alert": name, "about": dict(about), "after_seconds": round(seconds, 1)}
                for (name, about), seconds in sorted(
                    self.after_seconds.items(), key=lambda item: (item[0][0], sorted(item[0][1]))
                )
            ],
            "missing": words(self.wanted - set(self.after_seconds)),
            "unwanted": words(self.unwanted),
        }


def run_alarms(json_path: str | None = None, *, quiet_minutes: float | None = None) -> int:
    """Build a lab, watch it, play, print what fired. 0: as it should be; 1: not; 130: interrupted.
    `quiet_minutes`: only that nothing fires for so long. Raises LabMisuse, LabTrouble, ResultNotWritten."""
    find_prometheus()
    check_result(json_path)
    console = Console(stderr=json_path == "-", highlight=False)
    heard: list[Heard] = []
    try:
        stage = asyncio.run(_watch(console, heard, quiet_minutes))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Interrupted: the lab has been ended.")
        return INTERRUPTED
    console.print(table(heard))
    show_result(console, stage)
    found = {**result("alerts", [stage]), "scale": SCALE, "acts": [one.to_json() for one in heard]}
    write_json(json_path, found)
    return 0 if stage.ok else 1


async def _watch(console: Console, heard: list[Heard], quiet_minutes: float | None) -> Stage:
    async with running_lab(console) as stage:

        async def story(stage: Stage) -> None:
            async with watched(stage) as prometheus:
                if quiet_minutes is not None:
                    await acts.everything_steady(stage)
                    await quiet(stage, prometheus, heard, quiet_minutes * 60)
                else:
                    await alarms(stage, prometheus, heard)

        await told(story, stage)
    return stage


def watched(stage: Stage) -> AbstractAsyncContextManager[Prometheus]:
    """A Prometheus that scrapes both controllers of the lab. Raises LabMisuse."""
    lab = stage.sites
    if not isinstance(lab, RunningLab) or lab.network.namespaces:
        raise LabMisuse("Prometheus watches labs on loopback addresses")
    targets = [lab.network.place(site, "metrics") for site in DATA_SITES]
    return watching(lab.directory / "prometheus", targets, SCALE)


async def alarms(stage: Stage, prometheus: Prometheus, heard: list[Heard]) -> None:
    """A quiet while, a planned move, then each act."""
    await acts.everything_steady(stage)
    await quiet(stage, prometheus, heard, QUIET_SECONDS)
    # Twice there and back: the second time it is known how long steps take.
    for target in (other(HOME[MOVED]), HOME[MOVED]) * 2:
        await move(stage, prometheus, heard, target)
    for act in played(stage):
        await _play(stage, prometheus, heard, act)


async def quiet(stage: Stage, prometheus: Prometheus, heard: list[Heard], seconds: float) -> None:
    """Nothing is done, so nothing fires."""
    if not await prometheus.until(lambda firing: not firing, CLEARS_WITHIN_SECONDS):
        stage.screen.say(f"still fires from the start: {words(prometheus.firing)}")
    prometheus.forget()
    stage.screen.say(f"nothing is done for {seconds:g} s")
    await asyncio.sleep(seconds)
    _note(stage, heard, Heard("nothing", frozenset(), unwanted=frozenset(prometheus.fired)))


async def move(stage: Stage, prometheus: Prometheus, heard: list[Heard], target: str) -> None:
    """A planned move alarms nobody."""
    prometheus.forget()
    stage.screen.say(f"planned move of {MOVED} to {target}")
    await stage.view.switchover(MOVED, target)
    await acts.served_at(stage, MOVED, target)
    await acts.everything_steady(stage)
    name = f"planned move to {target}"
    _note(stage, heard, Heard(name, frozenset(), unwanted=frozenset(prometheus.fired)))


def played(stage: Stage) -> Sequence[Act]:
    """The acts, for services that are at home."""
    sites, home = stage.sites, HOME[MOVED]
    survivor = other(home)

    def dead(site: str, process: str) -> None:
        sites.faults.hold_init(site)
        sites.faults.kill(site, process)

    return (
        Act(
            f"{home} is lost",
            lambda: sites.kill_site(home),
            lambda: sites.heal_site(home),
            frozenset(
                {
                    alarm("TwinsiteSiteDark", site=home),
                    alarm("TwinsiteUnprotected", service=MOVED),
                    alarm("TwinsiteUnprotected", service=KEPT),
                }
            ),
        ),
        Act(
            "the witness is lost",
            lambda: sites.kill_site(WITNESS),
            lambda: sites.heal_site(WITNESS),
            frozenset({alarm("TwinsiteWitnessLost", site=WITNESS)}),
        ),
        Act(
            f"the store's member at {home} dies",
            lambda: dead(home, "etcd"),
            lambda: sites.faults.release_init(home),
            frozenset({alarm("TwinsiteStoreMemberLost", site=home)}),
        ),
        Act(
            f"the controller at {survivor} stands still",
            lambda: sites.faults.stop(survivor, "controller"),
            lambda: sites.faults.go(survivor),
            frozenset(
                {
                    alarm("TwinsiteSiteDark", site=survivor),
                    alarm("TwinsiteUnprotected", service=KEPT),
                }
            ),
        ),
    )


async def _play(stage: Stage, prometheus: Prometheus, heard: list[Heard], act: Act) -> None:
    """From a healthy lab with everything at home to such a lab."""
    await acts.go_home(stage)
    if not await prometheus.until(lambda firing: not firing, CLEARS_WITHIN_SECONDS):
        stage.screen.say(f"still fires from before: {words(prometheus.firing)}")
    prometheus.forget()
    stage.screen.say(act.name)
    began = time.monotonic()
    after: dict[Alarm, float] = {}
    await asyncio.to_thread(act.hurt)
    try:
        deadline = max((HOLDS[name] for name, _ in act.fires), default=0.0) + FIRES_WITHIN_SECONDS
        while len(after) < len(act.fires) and time.monotonic() - began < deadline:
            await stage.view.next_look()
            for one in act.fires & set(prometheus.fired):
                after.setdefault(one, time.monotonic() - began)
    finally:
        await asyncio.to_thread(act.heal)
    stage.screen.say(f"fired: {words(sorted(after, key=str))}; it is undone")
    await acts.everything_steady(stage)
    cleared = await prometheus.until(lambda firing: not firing, CLEARS_WITHIN_SECONDS)
    stage.check(f"{act.name}: every alert ends when it is over", cleared, words(prometheus.firing))
    unwanted = frozenset(prometheus.fired) - act.fires
    _note(stage, heard, Heard(act.name, act.fires, after, unwanted))


def _note(stage: Stage, heard: list[Heard], found: Heard) -> None:
    heard.append(found)
    missing = found.wanted - set(found.after_seconds)
    stage.check(f"{found.act}: each alert that should fire fired", not missing, words(missing))
    stage.check(f"{found.act}: none else fired", not found.unwanted, words(found.unwanted))


def table(heard: Sequence[Heard]) -> Table:
    """What fired when, for people."""
    shown = Table(title="What Prometheus alerted on", title_justify="left", box=SIMPLE_HEAD)
    for column in ("done", "fired", "after", "should not have"):
        shown.add_column(column)
    for one in heard:
        fired = sorted(one.after_seconds.items(), key=lambda item: item[1])
        shown.add_row(
            one.act,
            "\n".join(words([alert]) for alert, _ in fired) or "nothing",
            "\n".join(f"{seconds:.0f} s" for _, seconds in fired),
            words(one.unwanted) if one.unwanted else "",
        )
    return shown
