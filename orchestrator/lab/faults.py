"""What can be done to a running lab, by a command or a story: links, processes, whole sites, disks, clocks.

Works on a lab's written state alone, so that any process of its user can do it, and again: a fault that is
there already is no error. It never hurts anything that is not of that lab. Faults of the network, disks and
clocks need a lab in network namespaces; the others work on loopback addresses as well.
"""

import contextlib
import errno
import os
import re
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestrator.lab import namespaces, processes, wan
from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.estate import GUARDED, Layout
from orchestrator.lab.places import DATA_SITES, HOME, PLACES, SITES, WANTED_PORTS, WITNESS, LabState
from orchestrator.lab.relay import Rule
from orchestrator.lab.wall_clock import ADVICE, FakeTime

WHOLE = Rule().to_json()
SERVICES = tuple(sorted(HOME))
STORE_PORTS = (WANTED_PORTS["etcd"], WANTED_PORTS["etcd-peer"])
PREFORKED = frozenset({"controller", "keeper"})  # a parent that waits, and a worker
SPOILT = "a_setting_of_a_bad_release = on\n"
FILLER = "full-by-the-lab"
FILL_CHUNK_BYTES = 1 << 20
NETWORK_WITHIN_SECONDS = 10.0
GONE_WITHIN_SECONDS = 5.0


def process_names(site: str) -> tuple[str, ...]:
    """The processes of a site that can be stopped and killed, by the names that people use."""
    if site == WITNESS:
        return ("witness", "etcd")
    guards = tuple(f"guard-{service}" for service in SERVICES if GUARDED)
    databases = tuple(f"postgres-{service}" for service in SERVICES)
    return ("controller", "keeper", *guards, "etcd", *databases, "sshd")


def all_process_names() -> tuple[str, ...]:
    """The names of every kind of site."""
    return tuple(dict.fromkeys((*process_names(DATA_SITES[0]), *process_names(WITNESS))))


def wait_for_network(control: Path, log: Path) -> None:
    """Until the lab's network carries packets. Raises LabTrouble."""
    deadline = time.monotonic() + NETWORK_WITHIN_SECONDS
    while True:
        try:
            wan.ask(control, {"do": "show"})
            return
        except OSError as fault:
            if time.monotonic() > deadline:
                raise LabTrouble(f"the lab's network did not start ({fault}); see {log}") from fault
            time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one lab."""

    state: LabState

    @property
    def layout(self) -> Layout:
        """Where its things lie."""
        return Layout(Path(self.state.directory))

    @property
    def has_links(self) -> bool:
        """Whether it is in network namespaces, and so has links, disks and clocks to hurt."""
        return bool(self.state.prefix)

    # --- the network ---------------------------------------------------------------------------------

    def links(self) -> list[dict[str, Any]]:
        """Every direction with its rule and its counts. Raises LabMisuse, LabTrouble."""
        found: list[dict[str, Any]] = self._network({"do": "show"})["directions"]
        return [one for one in found if namespaces.OBSERVER not in (one["from"], one["to"])]

    def cut(self, one: str, other: str, *, one_way: bool = False, ports: Iterable[int] = ()) -> None:
        """Nothing passes from `one` to `other` any more, nor back unless `one_way`; with `ports` nothing to
        or from these ports."""
        self._change(one, other, one_way, {"cut": True, "ports": sorted(ports)})

    def delay(
        self,
        one: str,
        other: str,
        *,
        delay_seconds: float,
        jitter_seconds: float = 0.0,
        loss: float = 0.0,
        one_way: bool = False,
    ) -> None:
        """Every packet takes that long, each way; `loss` (0 to 1) of them get lost."""
        if not 0.0 <= loss <= 1.0:
            raise LabMisuse(f"{loss * 100:g}%: a share of packets to lose is from 0% to 100%")
        change = {"delay_ns": int(delay_seconds * 1e9), "jitter_ns": int(jitter_seconds * 1e9), "loss": loss}
        self._change(one, other, one_way, change)

    def mend(self, one: str, other: str) -> None:
        """The link is as new, in both directions."""
        self._change(one, other, False, WHOLE)

    def mend_all(self) -> None:
        """Every link is as new."""
        self._network({"do": "mend"})

    def _change(self, one: str, other: str, one_way: bool, change: Mapping[str, Any]) -> None:
        for place in (one, other):
            if place not in PLACES:
                raise LabMisuse(f"there is no place {place!r} in a lab's network; there are: {_list(PLACES)}")
        if one == other:
            raise LabMisuse(f"a link has two ends; {one} alone can be cut off by `lab freeze` or `lab kill`")
        for source, target in ((one, other),) if one_way else ((one, other), (other, one)):
            self._network({"do": "change", "from": source, "to": target, "change": change})

    def _network(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._needs_namespaces("its links cannot be touched")
        try:
            return wan.ask(self.layout.control, asked)
        except OSError as fault:
            raise LabTrouble(
                f"the network of the lab in {self.state.directory} does not answer ({fault}); "
                "`twinsite lab down` ends what is left"
            ) from fault
        except ValueError as fault:
            raise LabMisuse(f"the lab's network takes no such order: {fault}") from fault

    def _needs_namespaces(self, what: str) -> None:
        if not self.state.prefix:
            raise LabMisuse(
                f"this lab is on loopback addresses, so {what}; "
                "as root, `twinsite lab --netns --keep` starts one in network namespaces"
            )

    # --- processes -----------------------------------------------------------------------------------

    def found(self, site: str, process: str) -> list[psutil.Process]:
        """The running processes of that name, the topmost first. Raises LabMisuse."""
        check_site(site)
        if process not in (names := process_names(site)):
            raise LabMisuse(f"there is no process {process!r} at {site}; there are: {_list(names)}")
        if process.startswith("postgres-"):
            return self._database(site, process.removeprefix("postgres-"))
        return [one for one in processes.members(self.state.trees[site]) if _is_it(one, process)]

    def _database(self, site: str, service: str) -> list[psutil.Process]:
        pid_file = self.layout.data(site, service) / "postmaster.pid"
        try:
            top = psutil.Process(int(pid_file.read_text(encoding="ascii").split()[0]))
            if top.cwd() != str(pid_file.parent):
                return []
            return [top, *top.children(recursive=True)]
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return []

    def stop(self, site: str, process: str) -> int:
        """SIGSTOP: it stands still, and neither knows nor says so; how many processes that were. Raises
        LabMisuse when none of that name runs."""
        return self._signal(site, process, signal.SIGSTOP)

    def go(self, site: str, process: str | None = None) -> int:
        """SIGCONT for one, or for every process of the site; how many of them had been stopped."""
        check_site(site)
        everybody = processes.members(self.state.trees[site])
        chosen = everybody if process is None else self.found(site, process)
        stopped = [one for one in chosen if _status(one) == psutil.STATUS_STOPPED]
        for one in stopped:
            _send(one, signal.SIGCONT)
        return len(stopped)

    def workers(self, site: str, process: str) -> list[psutil.Process]:
        """Those of them that do the work: of a controller or keeper not the parent that only waits. Raises
        LabMisuse."""
        found = self.found(site, process)
        if process not in PREFORKED:
            return found
        numbers = {one.pid for one in found}
        return [one for one in found if _parent(one) in numbers]

    def kill(self, site: str, process: str, *, with_parent: bool = False) -> int:
        """SIGKILL; returns when they are gone, how many they were. A controller or keeper is started again by
        its parent at once, or, `with_parent`, by the site's init as everything that it looks after. Raises
        LabMisuse when none of that name runs, LabTrouble when they do not end."""
        everybody = self._running(site, process)
        chosen = everybody if with_parent else self.workers(site, process) or everybody
        for one in chosen:
            _send(one, signal.SIGKILL)
        deadline = time.monotonic() + GONE_WITHIN_SECONDS
        # An init that stands still takes note of no death: what has ended is then still there by name.
        while any(_status(one) not in (psutil.STATUS_ZOMBIE, "") for one in chosen):
            if time.monotonic() > deadline:
                raise LabTrouble(f"{process} at {site} does not end though it was killed")
            time.sleep(0.002)
        return len(chosen)

    def _signal(self, site: str, process: str, number: int) -> int:
        chosen = self._running(site, process)
        for one in chosen:
            _send(one, number)
        return len(chosen)

    def _running(self, site: str, process: str) -> list[psutil.Process]:
        chosen = self.found(site, process)
        if not chosen:
            raise LabMisuse(f"no {process} runs at {site} now; `twinsite lab heal {site}` starts a dead site")
        return chosen

    def hold_init(self, site: str) -> None:
        """The site's init stands still: what dies there stays dead."""
        for one in self._init(site):
            _send(one, signal.SIGSTOP)

    def release_init(self, site: str) -> None:
        """It goes on, and starts what has died meanwhile."""
        for one in self._init(site):
            _send(one, signal.SIGCONT)

    def _init(self, site: str) -> list[psutil.Process]:
        check_site(site)
        return processes.members(self.state.trees[site])[:1]

    def keep_store(self) -> None:
        """A backup of all members of the store, as they are now: files of processes that stand still."""
        for site in SITES:
            self.stop(site, "etcd")
        try:
            for site in SITES:
                files = self._store_files(site)
                shutil.rmtree(files.with_suffix(".backup"), ignore_errors=True)
                shutil.copytree(files, files.with_suffix(".backup"))
        finally:
            for site in SITES:
                self.go(site, "etcd")

    def restore_store(self) -> None:
        """Every member starts again on its backup; what was written since is gone. They are started again
        by their sites' init."""
        for site in SITES:
            if not self._store_files(site).with_suffix(".backup").is_dir():
                raise LabMisuse(f"no backup of the store's member at {site} was made")
        for site in SITES:
            self.stop(site, "etcd")
        for site in SITES:
            files = self._store_files(site)
            shutil.rmtree(files.with_suffix(".lost"), ignore_errors=True)
            files.rename(files.with_suffix(".lost"))
            files.with_suffix(".backup").rename(files)
        for site in SITES:
            self.kill(site, "etcd")

    def _store_files(self, site: str) -> Path:
        return self.layout.site(site) / "etcd"

    def set_policy(self, service: str, key: str, text: str) -> None:
        """Write another value of a key of the service (`hold_down`, `min_time_between_failovers`) into the
        estate file; controllers read it when they start."""
        path = self.layout.estate
        head, name, rest = path.read_text(encoding="utf-8").partition(f"\n  {service}:\n")
        rest = re.sub(rf"\b{key}: \S+", f"{key}: {text}", rest, count=1)
        path.write_text(head + name + rest, encoding="utf-8")

    def spoil(self, site: str, service: str) -> None:
        """The database does not start any more at `site`: a setting in its files that it does not know."""
        path = self.layout.data(site, service) / "postgresql.conf"
        with path.open("a", encoding="utf-8") as file:
            file.write(SPOILT)

    def unspoil(self, site: str, service: str) -> None:
        """It would start again."""
        path = self.layout.data(site, service) / "postgresql.conf"
        path.write_text(path.read_text(encoding="utf-8").replace(SPOILT, ""), encoding="utf-8")

    # --- whole sites ---------------------------------------------------------------------------------

    def freeze(self, site: str) -> int:
        """Every process of the site's hosts stands still at once, and its network is silent: what a pause of
        its virtual machines looks like from outside. How many processes that were."""
        check_site(site)
        tree = self.state.trees[site]
        members = processes.members(tree)
        if not members:
            raise LabMisuse(f"{site} is dead; `twinsite lab heal {site}` brings it back")
        self._dark(site, True)
        group = self._freezer(site)
        if group is not None:
            if not namespaces.freeze(group):
                raise LabTrouble(f"{group}: not everything in it stands still")
            return len(members)
        for one in members:
            _send(one, signal.SIGSTOP)
        return len(members)

    def thaw(self, site: str) -> bool:
        """They go on where they were; whether anything had been paused."""
        check_site(site)
        was = self.is_frozen(site)
        if (group := self._freezer(site)) is not None:
            namespaces.thaw(group)
        elif was:
            self.go(site)
        self._dark(site, False)
        return was

    def is_frozen(self, site: str) -> bool:
        """Whether the site's hosts are paused."""
        if (group := self._freezer(site)) is not None:
            return namespaces.is_frozen(group)
        members = processes.members(self.state.trees[site])
        return bool(members) and all(_status(one) == psutil.STATUS_STOPPED for one in members)

    def _freezer(self, site: str) -> Path | None:
        if not self.state.prefix:
            return None
        return next(iter(namespaces.freezers(self.state.prefix + site)), None)

    def _dark(self, site: str, on: bool) -> None:
        if self.state.prefix:
            self._network({"do": "dark", "place": site, "on": on})

    # --- disks and clocks ----------------------------------------------------------------------------

    def fill(self, site: str) -> int:
        """No byte can be written any more where the site's controller keeps its state; how many bytes that
        took. Raises LabMisuse."""
        check_site(site)
        self._needs_namespaces("there is no disk of its own to fill")
        folder = self.layout.state(site)
        if folder not in namespaces.mounted(self.state.prefix + site):
            raise LabMisuse(f"{folder}: not a small file system of the lab's own, so it will not be filled")
        written = 0
        descriptor = os.open(folder / FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size_bytes in (FILL_CHUNK_BYTES, 4096, 1):
                with contextlib.suppress(_DiskFull):
                    while True:
                        written += _write(descriptor, size_bytes)
        finally:
            os.close(descriptor)
        return written

    def empty(self, site: str) -> bool:
        """There is room again; whether it had been filled."""
        check_site(site)
        path = self.layout.state(site) / FILLER
        was = path.exists()
        path.unlink(missing_ok=True)
        return was

    def clock(self, site: str, offset_seconds: float) -> None:
        """The wall clock of the site's twinsite processes is off by that much, within a second. Raises
        LabMisuse."""
        check_site(site)
        self._needs_namespaces("its clocks cannot be set")
        if not self.layout.clock(site).exists():
            raise LabMisuse(f"this lab was started without libfaketime, so no clock can jump; {ADVICE}")
        FakeTime.set(self.layout.clock(site), offset_seconds)

    def undo(self, site: str) -> list[str]:
        """End every fault of a site and of its links, but for its death; what was undone, a line each."""
        check_site(site)
        done = []
        if self.thaw(site):
            done.append(f"{site} goes on after its pause")
        if (count := self.go(site)) > 0:
            done.append(f"{count} stopped processes of {site} go on")
        if not self.state.prefix:
            return done
        for link in self.links():
            if site in (link["from"], link["to"]) and link["rule"] != WHOLE:
                self.mend(link["from"], link["to"])
                done.append(f"the link from {link['from']} to {link['to']} is mended")
        if self.empty(site):
            done.append(f"{site}'s disk has room again")
        clock = self.layout.clock(site)
        if clock.exists() and float(clock.read_text(encoding="ascii")) != 0.0:
            self.clock(site, 0.0)
            done.append(f"{site}'s wall clock is right again")
        return done


class _DiskFull(Exception):
    pass


def _write(descriptor: int, size_bytes: int) -> int:
    try:
        return os.write(descriptor, bytes(size_bytes))
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            raise _DiskFull from None
        raise


def check_site(site: str) -> None:
    """Raises LabMisuse for what is no site of a lab."""
    if site not in SITES:
        raise LabMisuse(f"there is no site {site!r} in a lab; there are: {_list(SITES)}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0


def _is_it(process: psutil.Process, name: str) -> bool:
    """By its command line: what a process of a lab's site is to people."""
    try:
        command = process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    if not command:
        return False
    if name == "etcd":
        return Path(command[0]).name == "etcd"
    if name == "sshd":
        return any("orchestrator.lab.sshd" in word for word in command)
    if name.startswith("guard-"):
        return "guard" in command and name.removeprefix("guard-") in command
    return name in command and "--site" in command


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return ""


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
