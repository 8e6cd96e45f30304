"""The fault commands as plain functions: hurt a running lab, heal it, and say what was done.

Each returns an exit code and raises LabMisuse or LabTrouble. `directory` names the lab; without it, the
newest is meant.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orchestrator.lab import processes
from orchestrator.lab.errors import LabMisuse
from orchestrator.lab.estate import Layout
from orchestrator.lab.faults import PREFORKED, STORE_PORTS, Faults, check_site
from orchestrator.lab.places import SITES, LabState, lab_at
from orchestrator.lab.running import read_description

HEALS = "`twinsite lab heal` undoes every fault."


def cut_command(
    one: str, other: str, *, one_way: bool = False, store_only: bool = False, directory: Path | None = None
) -> int:
    """Cut a link, or the store's part of it."""
    Faults(lab_at(directory)).cut(one, other, one_way=one_way, ports=STORE_PORTS if store_only else ())
    what = "Packets of the store" if store_only else "Packets"
    if one_way:
        print(f"{what} from {one} to {other} are dropped; those from {other} to {one} pass.")
    else:
        print(f"{what} between {one} and {other} are dropped.")
    print(f"`twinsite lab mend {one} {other}` mends it.")
    return 0


def mend_command(places: Sequence[str], *, everything: bool = False, directory: Path | None = None) -> int:
    """Mend one link, or all of them."""
    if everything == bool(places) or (places and len(places) != 2):
        raise LabMisuse(
            "name the two ends of the link, or --all: `lab mend durham morpeth`, `lab mend --all`"
        )
    faults = Faults(lab_at(directory))
    if everything:
        faults.mend_all()
        print("Every link is as new.")
    else:
        faults.mend(places[0], places[1])
        print(f"The link between {places[0]} and {places[1]} is as new.")
    return 0


def delay_command(
    one: str,
    other: str,
    delay_seconds: float,
    *,
    jitter_seconds: float = 0.0,
    loss: float = 0.0,
    one_way: bool = False,
    directory: Path | None = None,
) -> int:
    """Make a link slow and lossy."""
    Faults(lab_at(directory)).delay(
        one,
        other,
        delay_seconds=delay_seconds,
        jitter_seconds=jitter_seconds,
        loss=loss,
        one_way=one_way,
    )
    way = f"from {one} to {other}" if one_way else f"between {one} and {other}, each way"
    jitter = f" and up to {jitter_seconds * 1000:g} ms more" if jitter_seconds else ""
    print(f"Packets {way}, take {delay_seconds * 1000:g} ms{jitter}; {loss * 100:g} % get lost.")
    return 0


def links_command(*, directory: Path | None = None) -> int:
    """Show every link, what it does to packets, and what it has done."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("from", "to", "link"):
        table.add_column(column, no_wrap=True)
    for column in ("passed", "cut off", "lost", "too many"):
        table.add_column(column, justify="right", no_wrap=True)
    for link in Faults(lab_at(directory)).links():
        counts = link["counts"]
        numbers = (str(counts[key]) for key in ("passed", "cut", "lost", "full"))
        table.add_row(link["from"], link["to"], describe_rule(link["rule"]), *numbers)
    Console(highlight=False).print(table)
    return 0


def describe_rule(rule: dict[str, Any]) -> str:
    """A direction's rule in words."""
    if rule["cut"]:
        return f"cut for ports {', '.join(map(str, rule['ports']))}" if rule["ports"] else "cut"
    parts = []
    if rule["delay_ns"] or rule["jitter_ns"]:
        jitter = f" + 0..{rule['jitter_ns'] / 1e6:g}" if rule["jitter_ns"] else ""
        parts.append(f"{rule['delay_ns'] / 1e6:g}{jitter} ms")
    if rule["loss"]:
        parts.append(f"{rule['loss'] * 100:g} % lost")
    return ", ".join(parts) or "whole"


def stop_command(site: str, process: str, *, directory: Path | None = None) -> int:
    """SIGSTOP a process."""
    count = Faults(lab_at(directory)).stop(site, process)
    print(f"{process} at {site} stands still ({_processes(count)}).")
    print(f"`twinsite lab go {site} {process}` lets it go on.")
    return 0


def go_command(site: str, process: str | None = None, *, directory: Path | None = None) -> int:
    """SIGCONT a process, or everything of a site that stands still."""
    count = Faults(lab_at(directory)).go(site, process)
    what = f"{process} at {site}" if process else site
    print(
        f"{what}: {_processes(count)} that stood still, on again." if count else f"{what}: none stood still."
    )
    return 0


def kill_command(
    site: str, process: str | None = None, *, with_parent: bool = False, directory: Path | None = None
) -> int:
    """SIGKILL a process, or a whole site."""
    check_site(site)
    state = lab_at(directory)
    faults = Faults(state)
    if process is not None:
        count = faults.kill(site, process, with_parent=with_parent)
        print(f"{process} at {site} is killed ({_processes(count)}).")
        if process in PREFORKED and not with_parent:
            print("Its parent, which has everything in memory, starts it again at once.")
        else:
            print("What the site's init looks after is started again by it, in a fifth of a second.")
        return 0
    if not processes.alive(state.trees[site]):
        raise LabMisuse(f"{site} is dead already; `twinsite lab heal {site}` brings it back")
    faults.thaw(site)  # what is paused does not even die
    blow = processes.kill_tree(state.trees[site])
    print(f"{site} is killed: {blow.processes} processes in {blow.duration_seconds * 1000:.0f} ms.")
    print(f"`twinsite lab heal {site}` brings it back.")
    return 0


def freeze_command(site: str, *, directory: Path | None = None) -> int:
    """Pause a site's hosts."""
    count = Faults(lab_at(directory)).freeze(site)
    print(f"{site} is paused: {_processes(count)} stand still, and nothing answers on its network.")
    print(f"`twinsite lab thaw {site}` lets it go on.")
    return 0


def thaw_command(site: str, *, directory: Path | None = None) -> int:
    """Let a paused site go on."""
    was = Faults(lab_at(directory)).thaw(site)
    print(f"{site} goes on." if was else f"{site} was not paused.")
    return 0


def fill_command(site: str, *, directory: Path | None = None) -> int:
    """Fill the disk that a site's state is on."""
    written = Faults(lab_at(directory)).fill(site)
    print(f"The disk of {site}'s state is full ({written >> 20} MiB written).")
    print(f"`twinsite lab heal {site}` makes room.")
    return 0


def clock_command(site: str, offset_seconds: float, *, directory: Path | None = None) -> int:
    """Let a site's wall clock jump."""
    Faults(lab_at(directory)).clock(site, offset_seconds)
    print(
        f"Within a second the wall clock of twinsite's processes at {site} is off by {offset_seconds:+g} s."
    )
    print("Time since boot, which every deadline is kept in, goes on as before.")
    return 0


def heal_command(site: str | None = None, *, directory: Path | None = None) -> int:
    """Undo the faults of a site, or of all; what is dead is started, as a machine's init would."""
    if site is not None:
        check_site(site)
    state = lab_at(directory)
    done = [line for name in ([site] if site else SITES) for line in _heal(state, name)]
    if state.prefix and site is None:
        Faults(state).mend_all()
    if not done:
        raise LabMisuse(f"{site or 'the lab'} runs; there is nothing to heal")
    print("\n".join(f"{line}." for line in done))
    estate = Layout(Path(state.directory)).estate
    print(f"`twinsite --config {estate} status --watch` shows it come back.")
    return 0


def _heal(state: LabState, site: str) -> list[str]:
    done = Faults(state).undo(site)
    if processes.alive(state.trees[site]):
        return done
    if not state.kept:
        raise LabMisuse("this lab is playing a story, which heals its sites itself; use one of `lab --keep`")
    layout = Layout(Path(state.directory))
    tree, _ = processes.start_tree(read_description(layout, site), layout.description(site))
    state.trees[site] = tree
    replace(state).save()
    return [*done, f"{site}'s machines start"]


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
