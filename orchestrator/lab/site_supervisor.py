"""One process above all of a lab site's processes, as the machine's init is above a real site's.

Starts the programs of a JSON description, on SIGHUP those that have been added to it, starts again those
that a service manager would, takes in the orphans (a database daemonised over SSH becomes its child), and
ends everything in order on SIGTERM, or when its standard input ends, which is how a killed lab takes its
sites along. It knows nothing of what the programs are, and uses the standard library alone, to be light.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_REC, MS_SLAVE = 0x4000, 0x80000
RESTART_AFTER_SECONDS = 0.2
RESTARTS_AT_MOST = 20  # of one program; one that dies that often has a fault that starting does not cure
LEFT_DEAD = ", and is left dead"
STOP_WITHIN_SECONDS = 8.0
READY_WITHIN_SECONDS = 15.0
TURN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Program:
    """One program of a site. A daemon's starter (`pg_ctl start`) ends at once, and what it leaves running is
    taken in; `stop` is then how it is ended in order. `notifies`: it says when it is ready, as to systemd,
    and what comes after it is started only then."""

    name: str
    command: tuple[str, ...]
    log: str
    directory: str
    environment: dict[str, str] = field(default_factory=dict)  # added to the supervisor's own
    restart: bool = False
    stop: tuple[str, ...] = ()
    notifies: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """A site's programs, in the order in which they are started. They are stopped in the opposite order.
    `ends_with_input`: also stop when standard input ends. `namespace`: the file of the network namespace in
    which everything runs, `freezer`: the control group, both empty in a lab on loopback addresses."""

    site: str
    log: str
    programs: tuple[Program, ...]
    ends_with_input: bool = True
    namespace: str = ""
    freezer: str = ""

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Description":
        """Raises ValueError, KeyError or TypeError for anything `to_json` did not write."""
        raw: dict[str, Any] = json.loads(text)
        programs = tuple(
            Program(**{**program, "command": tuple(program["command"]), "stop": tuple(program["stop"])})
            for program in raw.pop("programs")
        )
        return cls(programs=programs, **raw)


class Supervisor:
    """Runs a description until it is told to stop."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError, KeyError or TypeError when `path` holds no description."""
        self._path = path
        self.description = Description.from_json(path.read_text(encoding="utf-8"))
        self._running: dict[int, Program] = {}
        self._due: list[tuple[float, Program]] = []
        self._restarts: dict[str, int] = {}
        self._stopping = False
        self._read_again = False
        self._wake_read, wake_write = os.pipe()
        for end in (self._wake_read, wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def run(self) -> None:
        """Start everything, then watch until SIGTERM, SIGINT or the end of standard input."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_asked)
        signal.signal(signal.SIGHUP, self._reading_asked)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._start_in_order(self.description.programs)
        while not self._stopping:
            self._wait(self._seconds_to_next())
            self._reap()
            if self._read_again:
                self._start_what_is_new()
            self._start_what_is_due()
        self._stop_all()

    def _stop_asked(self, *_: object) -> None:
        self._stopping = True

    def _reading_asked(self, *_: object) -> None:
        self._read_again = True

    def _start_what_is_new(self) -> None:
        """SIGHUP: start the programs that the description has more than before."""
        self._read_again = False
        known = {program.name for program in self.description.programs}
        try:
            self.description = Description.from_json(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as fault:
            self._note(f"{self._path} cannot be read again: {fault}")
            return
        self._start_in_order(program for program in self.description.programs if program.name not in known)

    def _note(self, text: str) -> None:
        print(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.3f} {self.description.site}: {text}", flush=True)

    def _start_in_order(self, programs: Iterable[Program]) -> None:
        """What comes after programs that say when they are ready starts when they have said so, or are given
        up on; they themselves start side by side."""
        waited_for: list[tuple[Program, socket.socket]] = []
        for program in programs:
            if program.notifies:
                waited_for.append((program, self._start_to_hear(program)))
                continue
            self._hear(waited_for)
            self._start(program)
        self._hear(waited_for)

    def _start_to_hear(self, program: Program) -> socket.socket:
        path = self._path.with_name(f"{program.name}.ready")
        path.unlink(missing_ok=True)
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        heard.bind(str(path))
        heard.settimeout(READY_WITHIN_SECONDS)
        self._start(program, {"NOTIFY_SOCKET": str(path)})
        return heard

    def _hear(self, waited_for: list[tuple[Program, socket.socket]]) -> None:
        for program, heard in waited_for:
            try:
                while b"READY=1" not in heard.recv(4096):
                    pass
            except TimeoutError:
                self._note(f"{program.name} has not said within {READY_WITHIN_SECONDS:g} s that it is ready")
            Path(heard.getsockname()).unlink(missing_ok=True)
            heard.close()
        waited_for.clear()

    def _start(self, program: Program, more: dict[str, str] | None = None) -> None:
        environment = {**os.environ, **program.environment, **(more or {})}
        try:
            with Path(program.log).open("ab") as log:
                child = subprocess.Popen(
                    program.command,
                    cwd=program.directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as fault:
            self._note(f"{program.name} cannot be started: {fault}")
            return
        child.returncode = 0  # reaped by _reap, with the orphans; Popen must not wait for it
        self._running[child.pid] = program
        self._note(f"{program.name} started as {child.pid}")

    def _wait(self, seconds: float) -> None:
        """Sleep until a child ends, a signal or the end of standard input comes, or `seconds` are over."""
        watched = [self._wake_read]
        if self.description.ends_with_input:
            watched.append(0)
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if 0 in ready and not os.read(0, 4096):
            self._note("the lab is gone")
            self._stopping = True

    def _seconds_to_next(self) -> float:
        return max(0.0, min((due - time.monotonic() for due, _ in self._due), default=TURN_SECONDS))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            program = self._running.pop(pid, None)
            if program is not None:
                self._ended(program, os.waitstatus_to_exitcode(status))

    def _ended(self, program: Program, exit_code: int) -> None:
        self._note(f"{program.name} ended with {exit_code}")
        if not program.restart or self._stopping:
            return
        count = self._restarts[program.name] = self._restarts.get(program.name, 0) + 1
        if count > RESTARTS_AT_MOST:
            self._note(f"{program.name} has been started {count} times{LEFT_DEAD}")
            return
        self._due.append((time.monotonic() + RESTART_AFTER_SECONDS, program))

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        due = [program for at, program in self._due if at <= now]
        self._due = [(at, program) for at, program in self._due if at > now]
        for program in due:
            self._start(program)

    def _stop_all(self) -> None:
        """In order, last started first; whatever is left at the end is killed, whoever started it."""
        self._note("stopping")
        deadline = time.monotonic() + STOP_WITHIN_SECONDS
        for program in reversed(self.description.programs):
            pids = [pid for pid, running in self._running.items() if running.name == program.name]
            for pid in pids:
                _signal(pid, signal.SIGTERM)
            if program.stop:
                self._run_stop(program, deadline)
            while any(pid in self._running for pid in pids) and time.monotonic() < deadline:
                self._wait_for_child()
        self._kill_rest()
        self._note("stopped")

    def _run_stop(self, program: Program, deadline: float) -> None:
        with Path(program.log).open("ab") as log:
            try:
                subprocess.run(
                    program.stop,
                    cwd=program.directory,
                    env={**os.environ, **program.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=max(0.1, deadline - time.monotonic()),
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as fault:
                self._note(f"{program.name} cannot be stopped in order: {fault}")

    def _wait_for_child(self) -> None:
        ready, _, _ = select.select([self._wake_read], [], [], 0.05)
        if ready:
            os.read(self._wake_read, 4096)
        self._reap()

    def _kill_rest(self) -> None:
        # Killing a parent hands its children to this process, so they show up in the next turn.
        for _ in range(200):
            children = [pid for pid, (parent, _) in process_table().items() if parent == os.getpid()]
            if not children:
                return
            for pid in children:
                _signal(pid, signal.SIGKILL)
            self._wait_for_child()


def process_table() -> dict[int, tuple[int, str]]:
    """Every process of the machine: its parent and its state (a letter; Z has ended)."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue  # it has ended meanwhile
        # pid (name, which may hold anything) state parent ...
        state, parent, *_ = stat.rpartition(b")")[2].split(maxsplit=2)
        found[int(entry)] = int(parent), state.decode("ascii")
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def become_subreaper() -> None:
    """From now on orphans among this process's descendants become its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this kernel has no PR_SET_CHILD_SUBREAPER")


def change_namespace(path: str | None, kind: int) -> None:
    """This thread into the namespace kept at `path`, or into a new one. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if path is None:
        done = libc.unshare(kind)
    else:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        done = libc.setns(descriptor, kind)
        os.close(descriptor)
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{path or 'a new namespace'}: {os.strerror(number)}")


def _settle(description: Description) -> None:
    """Into the site's own network and its own control group, before anything is started."""
    if description.freezer:
        Path(description.freezer, "cgroup.procs").write_text(str(os.getpid()))
    if description.namespace:
        change_namespace(description.namespace, CLONE_NEWNET)
        # A /dev/shm of the site's own: what a killed program leaves there goes with the site.
        change_namespace(None, CLONE_NEWNS)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None)
        libc.mount(b"site", b"/dev/shm", b"tmpfs", 0, b"mode=1777")


def main() -> None:
    """`python -P -m orchestrator.lab.site_supervisor DESCRIPTION`."""
    become_subreaper()
    supervisor = Supervisor(Path(sys.argv[1]))
    _settle(supervisor.description)
    supervisor.run()


if __name__ == "__main__":
    main()
