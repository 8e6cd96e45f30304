"""Real SSH hosts for tests: the lab's server in this process or in one of its own, and OpenSSH's sshd."""

import asyncio
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.lab.ssh_session import RunAs
from orchestrator.lab.sshd import LabServer, SshFiles, generate_ssh_files
from sites.model import Host, SshSpec

LOOPBACK = "127.0.0.1"
SSHD_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


@dataclass(frozen=True, slots=True)
class Served:
    """A host that can be spoken to, and the files with which to do so."""

    host: Host
    files: SshFiles
    base: Path
    passes_signals: bool = True

    @property
    def spec(self) -> SshSpec:
        """As the estate file would say it."""
        return SshSpec.model_validate(
            {"known_hosts": "known_hosts", "keys": ["client_key"], "connect_timeout": "3s"}
        )


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def served(base: Path, port: int, user: str | None = None) -> Served:
    """Key files for a host at `port`, and its entry in the estate."""
    files = generate_ssh_files(base, {"durham": (LOOPBACK, port)})
    host = Host(name="crm-db", site="durham", address=LOOPBACK, port=port, user=user or getpass.getuser())
    return Served(host, files, base)


@asynccontextmanager
async def in_process(base: Path, *, port: int = 0, login: str | None = None) -> AsyncIterator[Served]:
    """The lab's server inside the test's own loop."""
    files = generate_ssh_files(base, {"durham": (LOOPBACK, 22)})
    server = LabServer(RunAs.parse(None), login=login)
    bound = await server.listen(LOOPBACK, port, files.host_keys["durham"], files.authorized_keys)
    try:
        yield served(base, bound)
    finally:
        await server.aclose()


@contextmanager
def lab_process(base: Path, *more: str) -> Iterator[tuple[Served, subprocess.Popen[bytes]]]:
    """The lab's server as the lab starts it."""
    files = generate_ssh_files(base, {"durham": (LOOPBACK, 22)})
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from orchestrator.lab.sshd import main; main()", "--listen", LOOPBACK),
            *("--host-key", files.host_keys["durham"], "--authorized-keys", files.authorized_keys, *more),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:1] == [b"listening"]
        yield served(base, int(words[2])), process
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def openssh_or_skip() -> str:
    """The path of OpenSSH's sshd, or a skipped test that says why."""
    path = shutil.which("sshd", path=SSHD_PATH)
    if path is None:
        pytest.skip("OpenSSH's sshd is not installed")
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        pytest.skip("sshd as root needs its folder /run/sshd")
    return path


@contextmanager
def openssh(
    base: Path, *more: str, port: int | None = None, keys_of: Path | None = None
) -> Iterator[tuple[Served, subprocess.Popen[bytes]]]:
    """OpenSSH's own server, with `more` lines in its configuration. `keys_of`: the folder of another server,
    whose client may log in here too."""
    program = openssh_or_skip()
    place = served(base, port or free_port())
    authorized = (keys_of or base) / "authorized_keys"
    settings = [
        *more,
        f"ListenAddress {LOOPBACK}:{place.host.port}",
        f"HostKey {place.files.host_keys['durham']}",
        f"AuthorizedKeysFile {authorized}",
        *("PidFile none", "StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes"),
    ]
    config = base / "sshd_config"
    config.write_text("\n".join(settings) + "\n")
    with (base / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=log, start_new_session=True)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, place.host.port)) == 0:
                    break
            assert process.poll() is None, (base / "sshd.log").read_text()
            process_pause()
        # OpenSSH passes signals on only to commands of a user whom it had to change to, which a test cannot
        # arrange without making accounts.
        yield replace(place, passes_signals=False), process
    finally:
        process.terminate()
        process.wait(10)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that run still: an sshd's are its connections."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in listed]


def process_pause() -> None:
    """Leave the processor to a process that is just starting."""
    signal.sigtimedwait([], 0.05)


async def until(condition: object, *, tries: int = 400) -> None:
    """Wait until `condition()` holds; a bound on the number of looks, not on the time."""
    assert callable(condition)
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.025)
    raise AssertionError("it never came to that")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
