"""The process trees of a lab: start one, kill one whole, end one in order, and look for what is left.

A tree is a site supervisor and everything below it, daemons included, since orphans are handed to the
supervisor. Killing one is meant to look like a power cut from outside: every process of it within
milliseconds. It never signals a process outside a tree, except those that plainly belong to the lab's
directory (`end_leftovers`).
"""

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestrator.clock import boottime_ns
from orchestrator.lab.errors import LabTrouble
from orchestrator.lab.site_supervisor import STOP_WITHIN_SECONDS, Description, process_table

KILL_ROUNDS = 300
QUICK_ROUNDS = 3  # after these a round waits a moment for what is dying
GONE_WITHIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tree:
    """A running supervisor. `started_at` guards against a process id that has been used again."""

    name: str
    pid: int
    started_at: float


@dataclass(frozen=True, slots=True)
class Blow:
    """A tree that was killed: when it began (CLOCK_BOOTTIME), how many processes, how long it took."""

    at_ns: int
    processes: int
    duration_seconds: float


def start_tree(
    description: Description, path: Path, *, pass_fds: Sequence[int] = ()
) -> tuple[Tree, int | None]:
    """Start a supervisor on the description, which is written to `path`.

    With `description.ends_with_input` the tree lives as long as the returned file descriptor is open in this
    process, however this process ends. Otherwise it lives until it is killed or stopped (and there is none).
    Raises LabTrouble if the supervisor ends at once.
    """
    path.write_text(description.to_json(), encoding="utf-8")
    module = "orchestrator.lab.site_supervisor"
    log = Path(description.log)
    return start_process(
        module, description.site, path, log, tied=description.ends_with_input, pass_fds=pass_fds
    )


def start_process(
    module: str, name: str, path: Path, log_path: Path, *, tied: bool, pass_fds: Sequence[int] = ()
) -> tuple[Tree, int | None]:
    """Start a module of the lab's as a process that outlives the call, as `start_tree` does a supervisor.
    Raises LabTrouble if it ends at once."""
    with log_path.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(path)],
            stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    rope = os.dup(child.stdin.fileno()) if child.stdin is not None else None
    if child.stdin is not None:
        child.stdin.close()
    try:
        tree = Tree(name, child.pid, psutil.Process(child.pid).create_time())
    except psutil.NoSuchProcess as fault:
        raise LabTrouble(f"the process above {name} ended at once; see {log_path}") from fault
    child.returncode = 0  # waited for by kill_tree or stop_tree, which may be another process
    return tree, rope


def extend_tree(tree: Tree, description: Description, path: Path) -> None:
    """Start what the description has more than the running one. A tree that is not running is no error."""
    temporary = path.with_suffix(".new")
    temporary.write_text(description.to_json(), encoding="utf-8")
    temporary.replace(path)
    supervisor = _supervisor(tree)
    if supervisor is not None:
        _send(supervisor, signal.SIGHUP)


def _supervisor(tree: Tree) -> psutil.Process | None:
    """The supervisor's process, if it is still that one."""
    try:
        process = psutil.Process(tree.pid)
        same = abs(process.create_time() - tree.started_at) < 0.1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def alive(tree: Tree) -> bool:
    """Whether the supervisor runs."""
    return _supervisor(tree) is not None


def members(tree: Tree) -> list[psutil.Process]:
    """Every running process of the tree, the supervisor first."""
    supervisor = _supervisor(tree)
    if supervisor is None:
        return []
    try:
        return [supervisor, *_running(supervisor.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _below(ancestor: int) -> list[int]:
    """Every running process below one, nearest first. One look at the process table, so that a whole site
    is killed within milliseconds."""
    table = process_table()
    below: dict[int, list[int]] = {}
    for pid, (parent, _state) in table.items():
        below.setdefault(parent, []).append(pid)
    found = list(below.get(ancestor, ()))
    for pid in found:
        found += below.get(pid, ())
    return [pid for pid in found if table[pid][1] != "Z"]


def _running(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def kill_tree(tree: Tree) -> Blow:
    """SIGKILL for every process of the tree, as a power cut. A tree that is not running is no error.

    The supervisor is stopped first, so that it starts nothing again, and killed last, so that orphans are
    still handed to it and are found in the next round.
    """
    at_ns = boottime_ns()
    supervisor = _supervisor(tree)
    if supervisor is None:
        return Blow(at_ns, 0, 0.0)
    killed: set[int] = set()
    _send(supervisor, signal.SIGSTOP)
    for number in range(KILL_ROUNDS):
        if number > QUICK_ROUNDS:
            time.sleep(0.01)
        rest = _below(tree.pid)
        for pid in rest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.update(rest)
        if not rest:
            break
    else:
        raise LabTrouble(f"{tree.name} has processes that do not end though they were killed: {rest}")
    _send(supervisor, signal.SIGKILL)
    duration = (boottime_ns() - at_ns) / 1e9
    if not _ended(supervisor, GONE_WITHIN_SECONDS):
        raise LabTrouble(f"process {supervisor.pid} does not end though it was killed")
    return Blow(at_ns, len(killed) + 1, duration)


def kill_with_children(pid: int, inside: Path) -> int:
    """SIGKILL for a process that works in the folder `inside` and everything below it; how many that were."""
    try:
        parent = psutil.Process(pid)
        if parent.cwd() != str(inside):
            raise LabTrouble(f"process {pid} is not of {inside}")
        everybody = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess as fault:
        raise LabTrouble(f"process {pid} of {inside} does not run any more") from fault
    for process in everybody:
        _send(process, signal.SIGKILL)
    _gone, rest = psutil.wait_procs(everybody, timeout=GONE_WITHIN_SECONDS)
    if rest:
        raise LabTrouble(f"these do not end though they were killed: {_name(rest)}")
    return len(everybody)


def signal_programs(tree: Tree, number: int) -> None:
    """A signal for every child of the tree's supervisor: its programs, and daemons it has taken in."""
    supervisor = _supervisor(tree)
    for process in supervisor.children() if supervisor is not None else ():
        _send(process, number)


def stop_tree(tree: Tree) -> None:
    """End the tree in order; what does not end in time is killed."""
    supervisor = _supervisor(tree)
    if supervisor is None:
        return
    for process in members(tree):  # whoever was stopped must hear that it is to end
        _send(process, signal.SIGCONT)
    _send(supervisor, signal.SIGTERM)
    if not _ended(supervisor, STOP_WITHIN_SECONDS + 2):
        kill_tree(tree)


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass


def _ended(process: psutil.Process, within_seconds: float) -> bool:
    """Whether a process ends in time. One that waits for its parent to take note has ended."""
    deadline = time.monotonic() + within_seconds
    while _running([process]):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    with contextlib.suppress(ChildProcessError):  # not ours: another process's, which sees to it
        os.waitpid(process.pid, os.WNOHANG)
    return True


def _name(processes: Sequence[psutil.Process]) -> str:
    names = []
    for process in processes:
        try:
            names.append(f"{process.pid} {' '.join(process.cmdline()) or process.name()}"[:120])
        except psutil.NoSuchProcess:
            continue
    return "; ".join(names)


def belonging(directory: Path) -> list[psutil.Process]:
    """Running processes that plainly belong to a lab's directory: it stands in their command line, or they
    work inside it. This process, those above it, and those it may not look into are left out."""
    wanted = str(directory)
    above = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in above:
            continue
        try:
            command, folder = process.cmdline(), process.cwd()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        inside = folder == wanted or folder.startswith(wanted + os.sep)
        if inside or any(wanted in word for word in command):
            found.append(process)
    return _running(found)


def listening(network: str) -> list[str]:
    """`address:port` of every open TCP port on an address of the network (such as `127.71.0.0/16`)."""
    wanted = ipaddress.ip_network(network)
    found = []
    for connection in psutil.net_connections("tcp4"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr:
            address, port = connection.laddr
            if ipaddress.ip_address(address) in wanted:
                found.append(f"{address}:{port}")
    return found


def leftovers(directory: Path, network: str, trees: Sequence[Tree] = ()) -> list[str]:
    """What a lab has left behind, a line each: processes of its trees or its directory, and open ports."""
    processes = {process.pid: process for tree in trees for process in members(tree)}
    processes |= {process.pid: process for process in belonging(directory)}
    lines = [f"process {_name([process])}" for process in processes.values()]
    return lines + [f"port {place} is open" for place in listening(network)]


def end_leftovers(directory: Path) -> int:
    """Kill whatever belongs to the lab's directory; returns how many processes that were."""
    killed: set[int] = set()
    for _ in range(KILL_ROUNDS):
        rest = belonging(directory)
        if not rest:
            break
        for process in rest:
            _send(process, signal.SIGKILL)
            killed.add(process.pid)
        psutil.wait_procs(rest, timeout=0.2)
    return len(killed)
