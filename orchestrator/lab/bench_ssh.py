"""`tools/bench-ssh`: many SSH steps at once on one controller, and how late the lease was renewed meanwhile.

Real parts: OpenSSH servers on loopback, one for each host; a plan of independent `ssh` steps carried out by
the engine with a journal on disk over kept connections and the step wrapper; and a keeper in a process of its
own, which renews its lease every 100 ms in a store in memory as long as this process completes its turns.

What it costs is the hosts' work too, because they are this machine: every step starts some ten processes.
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import structlog

from orchestrator.clock import boottime_ns
from orchestrator.hands import ReadyHands
from orchestrator.journal import SqliteJournal
from orchestrator.keeper import Keeper, raise_priority, serve_keeper
from orchestrator.lab.sshd import generate_ssh_files
from orchestrator.link import KeeperLink
from orchestrator.store.memory import MemoryCluster
from runbooks.actions import shipped_actions
from runbooks.context import ActionContext, Token
from runbooks.engine import Engine
from runbooks.journal import StepEnded
from runbooks.model import Kind
from runbooks.planned import Part, Plan, PlannedStep
from sites.draft import named
from sites.model import Estate
from sites.ssh import SshTransport

LOOPBACK = "127.0.0.1"
RENEW_EVERY_SECONDS = 0.1
TURN_SECONDS = 0.05
SETTLING_SECONDS = 3.0
SOCKET = "keeper.sock"


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run took."""

    steps: int
    hosts: int
    kept_before: bool
    wall_seconds: float
    step_seconds: Sequence[float]
    failed: int
    cpu_seconds: float
    loop_late_seconds: float
    late_seconds: Sequence[float]

    def line(self) -> dict[str, object]:
        """As printed."""
        late = [max(0.0, one) for one in self.late_seconds]
        return {
            "steps": self.steps,
            "hosts": self.hosts,
            "connections": "kept" if self.kept_before else "made during the run",
            "failed": self.failed,
            "wall_seconds": round(self.wall_seconds, 3),
            "step_seconds_median": round(statistics.median(self.step_seconds), 3),
            "step_seconds_max": round(max(self.step_seconds), 3),
            "own_cpu_seconds": round(self.cpu_seconds, 3),
            "controller_loop_late_ms_max": round(self.loop_late_seconds * 1000, 1),
            "renewals": len(late),
            "renewal_late_ms_median": round(statistics.median(late or [0]) * 1000, 1),
            "renewal_late_ms_max": round(max(late, default=0) * 1000, 1),
        }


def estate_of(ports: Sequence[int], folder: Path) -> Estate:
    """An estate whose hosts are these servers."""
    hosts = {
        f"h{number}": {"address": LOOPBACK, "port": port, "user": getpass.getuser()}
        for number, port in enumerate(ports)
    }
    found = Estate.model_validate(
        {
            "lab": True,
            "ownership": {
                "lease_duration": "3s",
                "renew_every": f"{RENEW_EVERY_SECONDS * 1000:g}ms",
                "fence_within": "0.4s",
                "guard_every": "150ms",
                "stall": "0.6s",
            },
            "store": {"endpoints": ["http://127.0.0.1:1"], "election_timeout": "0.5s", "round_trip": "10ms"},
            "ssh": {"keys": [str(folder / "ssh/client_key")], "known_hosts": str(folder / "ssh/known_hosts")},
            "sites": {"durham": {"hosts": hosts}, "morpeth": {}, "derwentside": {"witness": True}},
            "services": {"crm": {"home": "durham", "standby": "morpeth"}},
        }
    )
    return named(found, None)


def plan_of(steps: int, hosts: int, command: str) -> Plan:
    """Independent steps, spread over the hosts."""
    planned = tuple(
        PlannedStep(
            id=f"many/s{number}",
            part="many",
            number=number + 1,
            title=f"Step {number}",
            action="ssh",
            site="durham",
            host=f"durham/h{number % hosts}",
            arguments={"host": f"durham/h{number % hosts}", "run": command},
            timeout_seconds=120.0,
        )
        for number in range(steps)
    )
    part = Part("many", "many", "Many steps at once", planned)
    return Plan(f"bench-{os.getpid()}-{steps}", Kind.FAILOVER, "crm", "morpeth", "durham", 5, (part,))


@contextlib.contextmanager
def servers(count: int, folder: Path) -> Iterator[list[int]]:
    """An OpenSSH server for each host. Raises FileNotFoundError where there is none."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise FileNotFoundError("OpenSSH's sshd is not installed here (package openssh-server)")
    ports = []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            probe = stack.enter_context(socket.socket())
            probe.bind((LOOPBACK, 0))
            ports.append(int(probe.getsockname()[1]))
    files = generate_ssh_files(folder / "ssh", {f"h{n}": (LOOPBACK, port) for n, port in enumerate(ports)})
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, port in enumerate(ports):
            settings = (
                f"ListenAddress {LOOPBACK}:{port}\nHostKey {files.host_keys[f'h{number}']}\n"
                f"AuthorizedKeysFile {files.authorized_keys}\nPidFile none\nStrictModes no\nUsePAM no\n"
                # What the wrapper remembers lies below the login's home; none of it is to stay here.
                f"PasswordAuthentication no\nPermitRootLogin yes\nSetEnv HOME={folder}/home{number}\n"
            )
            (folder / f"home{number}").mkdir()
            config = folder / "ssh" / f"sshd_config_{number}"
            config.write_text(settings)
            running.append(
                subprocess.Popen(
                    [program, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL, start_new_session=True
                )
            )
        for port in ports:
            _wait_for(port)
        yield ports
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.05)
    raise OSError(f"sshd does not listen on {LOOPBACK}:{port}")


# --- the keeper's process ----------------------------------------------------------------------------------


def run_keeper(folder: Path, ports: Sequence[int]) -> int:
    """A keeper alone with a store in memory; its renewals' instants go to `renewals`, in nanoseconds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    raise_priority()
    return asyncio.run(_keep(folder, ports))


async def _keep(folder: Path, ports: Sequence[int]) -> int:
    store = MemoryCluster().client("durham")
    renewals = (folder / "renewals").open("a", buffering=1)
    inner = store.transact

    async def transact(compares, puts, reads, *, timeout_seconds):  # type: ignore[no-untyped-def]
        if any(put.key == "sites/durham" for put in puts):
            renewals.write(f"{boottime_ns()}\n")
        return await inner(compares, puts, reads, timeout_seconds=timeout_seconds)

    store.transact = transact  # type: ignore[method-assign]
    keeper = Keeper(estate_of(ports, folder), "durham", store, ReadyHands({}), folder, folder / SOCKET)
    return await serve_keeper(keeper)


# --- the controller's process ------------------------------------------------------------------------------


async def measure(folder: Path, ports: Sequence[int], steps: int, command: str, *, kept: bool) -> Figures:
    """One run of the plan beside the keeper."""
    estate = estate_of(ports, folder)
    transport = SshTransport(estate.ssh, folder)
    journal = await SqliteJournal.open(folder / f"journal-{int(kept)}.db")
    link = KeeperLink(folder / SOCKET, lambda view: None)
    serving = asyncio.create_task(link.serve())
    late = [0.0]
    turning = asyncio.create_task(_turn(link, late))
    plan = plan_of(steps, len(ports), command)
    seconds: list[float] = []
    failed = [0]

    async def may_act() -> None:
        return None

    async def notify(text: str) -> None:
        return None

    def progressed(progress: object, record: object) -> None:
        event = getattr(record, "event", None)
        if isinstance(event, StepEnded):
            seconds.append(event.duration_seconds)
            if event.outcome != "done":
                failed[0] += 1
                if failed[0] == 1:
                    print(f"bench-ssh: {event.step}: {event.evidence}", file=sys.stderr)

    try:
        if kept:
            await asyncio.gather(*(transport.warm(host) for host in estate.sites["durham"].hosts.values()))
        await asyncio.sleep(SETTLING_SECONDS)
        late[0] = 0.0
        begun_ns, cpu = boottime_ns(), _cpu_seconds()
        engine = Engine(
            journal, shipped_actions(), may_act=may_act, now_ns=boottime_ns, on_progress=progressed
        )
        context = ActionContext(
            estate=estate,
            service=estate.services["crm"],
            transport=transport,
            token=Token(plan.epoch, plan.id + str(kept), 1),
            notify=notify,
        )
        await engine.carry_out(plan, context, who="bench", why="measuring")
        ended_ns, used = boottime_ns(), _cpu_seconds() - cpu
        return Figures(
            steps,
            len(ports),
            kept,
            (ended_ns - begun_ns) / 1e9,
            seconds,
            failed[0],
            used,
            late[0],
            lateness(folder, begun_ns, ended_ns),
        )
    finally:
        for task in (turning, serving):
            task.cancel()
        await asyncio.gather(turning, serving, return_exceptions=True)
        await journal.aclose()
        await transport.aclose()


async def _turn(link: KeeperLink, late: list[float]) -> None:
    """A controller's turns: without them the keeper stops renewing (P1)."""
    while True:
        begun = time.monotonic()
        await asyncio.sleep(TURN_SECONDS)
        late[0] = max(late[0], time.monotonic() - begun - TURN_SECONDS)
        link.turn()


def lateness(folder: Path, begun_ns: int, ended_ns: int) -> list[float]:
    """How much later than due each renewal of that time was."""
    at = [int(line) for line in (folder / "renewals").read_text().split()]
    pairs = pairwise(at)
    return [
        (after - before) / 1e9 - RENEW_EVERY_SECONDS
        for before, after in pairs
        if begun_ns <= after <= ended_ns
    ]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a JSON object for each run."""
    parser = argparse.ArgumentParser(prog="bench-ssh", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=200, help="steps at once (200)")
    parser.add_argument("--hosts", type=int, default=20, help="hosts, each with an sshd of its own (20)")
    parser.add_argument("--command", default="sleep 0.2; echo done", help="what each step runs")
    parser.add_argument("--keeper", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ports", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.keeper is not None:
        return run_keeper(asked.keeper, [int(port) for port in asked.ports.split(",")])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="twinsite-bench-") as name:
        folder = Path(name)
        try:
            with servers(asked.hosts, folder) as ports:
                return _measured(folder, ports, asked.steps, asked.command)
        except FileNotFoundError as missing:
            print(f"bench-ssh: {missing}", file=sys.stderr)
            return 2


def _measured(folder: Path, ports: Sequence[int], steps: int, command: str) -> int:
    line = "from orchestrator.lab.bench_ssh import main; import sys; sys.exit(main(sys.argv[1:]))"
    keeper = subprocess.Popen(
        [sys.executable, "-c", line, "--keeper", folder, "--ports", ",".join(map(str, ports))]
    )
    try:
        for _ in range(600):
            if (folder / SOCKET).exists():
                break
            time.sleep(0.05)
        failed = 0
        for kept in (False, True):
            figures = asyncio.run(measure(folder, ports, steps, command, kept=kept))
            print(json.dumps(figures.line()), flush=True)
            failed += figures.failed
        return 1 if failed else 0
    finally:
        keeper.send_signal(signal.SIGKILL)
        keeper.wait(10)
