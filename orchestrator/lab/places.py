"""Where a lab lives on this machine: its network, its ports, its directory, and how other commands find it.

A lab has a network of its own in 127/8, `127.71.x.1` for its sites if no other lab has taken it, so that
ports can be the ones people know. One in network namespaces has `198.18.71.x`, addresses that are set aside
for tests, and names that begin with `twl71-`. The claim on a network is an abstract Unix socket: it ends with
the last process that holds it, and cannot be left behind. Only names and probes places; starts nothing.
"""

import contextlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.namespaces import OBSERVER, path_of, remains, sweep
from orchestrator.lab.processes import Tree

NETWORKS = range(71, 100)
DATA_SITES = ("durham", "morpeth")
WITNESS = "derwentside"
SITES = (*DATA_SITES, WITNESS)
USERS = "users"  # where the clients outside are: a place of the network, and no site
PLACES = (*SITES, USERS)
HOME = {"crm": "durham", "ebs": "morpeth"}
WANTED_PORTS = {
    "etcd": 2379,
    "etcd-peer": 2380,
    "ssh": 2222,
    "crm": 5432,
    "ebs": 5433,
    "crm-db": 6432,  # where a database listens that has a gate before it
    "ebs-db": 6433,
    "controller": 8300,
    "guards": 8301,
    "metrics": 9300,
}
PORT_STEP = 10_000
LONGEST_DIRECTORY_BYTES = 60  # sockets lie below it, and a socket's path may have 107
STATE_FILE = "lab.json"
PREFIX_BITS = 24


@dataclass(frozen=True, slots=True)
class Network:
    """A lab's addresses and ports, and the claim that keeps other labs off them. `gates`: clients come to
    databases by a gate of their guards'."""

    second_octet: int
    ports: Mapping[str, int]
    claim: socket.socket
    namespaces: bool = False
    gates: bool = False

    @property
    def cidr(self) -> str:
        """All of the lab's addresses."""
        if self.namespaces:
            return f"198.18.{self.second_octet}.0/{PREFIX_BITS}"
        return f"127.{self.second_octet}.0.0/16"

    @property
    def prefix(self) -> str:
        """What the names of the lab's namespaces begin with; empty on loopback addresses."""
        return prefix_of(self.second_octet) if self.namespaces else ""

    @property
    def callers(self) -> tuple[str, ...]:
        """The networks that connections inside the lab come from."""
        return ("127.0.0.0/8", self.cidr) if self.namespaces else ("127.0.0.0/8",)

    def address(self, place: str) -> str:
        """The one address of a site's only machine, or of another place of the lab's network."""
        number = (*PLACES, OBSERVER).index(place) + 1
        if self.namespaces:
            return f"198.18.{self.second_octet}.{number}"
        return f"127.{self.second_octet}.{number}.1"

    def namespace(self, place: str) -> str:
        """The file of the place's network namespace; empty on loopback addresses."""
        return str(path_of(self.prefix + place)) if self.namespaces else ""

    def port(self, role: str) -> int:
        """The port of a role, the same at every site."""
        return self.ports[role]

    def instance_port(self, service: str) -> int:
        """Where the service's databases listen; their clients come to `port(service)`, which is the same
        unless there is a gate."""
        return self.ports[f"{service}-db" if self.gates else service]

    def place(self, site: str, role: str) -> str:
        """`address:port`."""
        return f"{self.address(site)}:{self.port(role)}"


def prefix_of(second_octet: int) -> str:
    """What every name of a lab in network namespaces begins with."""
    return f"twl{second_octet}-"


def _claim(octet: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0twinsite-lab-{octet}")
    except OSError:
        claim.close()
        return None
    return claim


def abandoned() -> list[str]:
    """What labs in network namespaces have left that nobody holds any more, a line each."""
    found: list[str] = []
    for prefix, claim in _unclaimed():
        with claim:
            found += remains(prefix)
    return found


def sweep_abandoned() -> list[str]:
    """Take that away; what could not be, a line each."""
    left: list[str] = []
    for prefix, claim in _unclaimed():
        with claim:
            left += sweep(prefix)
    return left


def _unclaimed() -> Iterator[tuple[str, socket.socket]]:
    # Without root nobody can have made any, nor take any away.
    for octet in NETWORKS if os.geteuid() == 0 else ():
        if remains(prefix_of(octet)) and (claim := _claim(octet)) is not None:
            yield prefix_of(octet), claim


def claim_network(*, namespaces: bool = False, gates: bool = False) -> Network:
    """The first free network, with a port for every role that is free at all of its sites. In network
    namespaces every port is free; what a killed lab has left of the network is swept away.

    Raises LabTrouble when the machine has no such network or other labs have them all.
    """
    for octet in NETWORKS:
        claim = _claim(octet)
        if claim is None:
            continue
        if namespaces:
            if left := sweep(prefix_of(octet)):
                claim.close()
                raise LabTrouble(f"a former lab has left what cannot be taken away: {'; '.join(left)}")
            return Network(octet, WANTED_PORTS, claim, namespaces=True, gates=gates)
        addresses = [f"127.{octet}.{number}.1" for number in range(1, len(SITES) + 1)]
        try:
            ports = {role: _free_port(wanted, addresses) for role, wanted in WANTED_PORTS.items()}
        except LabTrouble:
            claim.close()
            raise
        return Network(octet, ports, claim, gates=gates)
    raise LabTrouble(
        f"{len(NETWORKS)} labs are running on this machine, and there is no network left; `twinsite lab down`"
    )


def _free_port(wanted: int, addresses: Sequence[str]) -> int:
    # A server on all addresses (0.0.0.0) stands in the way here too; then the next port in steps is tried.
    fault: OSError | None = None
    for port in range(wanted, 65_536, PORT_STEP):
        with contextlib.ExitStack() as held:
            try:
                for address in addresses:
                    trial = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    trial.bind((address, port))
            except OSError as error:
                fault = error
                continue
            return port
    raise LabTrouble(
        f"no port {wanted} (nor {wanted + PORT_STEP}, ...) can be opened on {', '.join(addresses)}: {fault}"
    )


def make_directory(wanted: Path | None) -> Path:
    """The lab's own folder, new and empty: in the temporary folder unless `wanted` names one.

    Others may pass through it, because database servers do not run as root; what is secret in it is
    readable by its owner alone. Raises LabMisuse.
    """
    if wanted is None:
        directory = Path(tempfile.mkdtemp(prefix="twinsite-")).resolve()
    else:
        directory = wanted.expanduser().resolve()
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise LabMisuse(f"{directory}: is there already and not an empty folder; name a new one")
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise LabMisuse(f"{directory}: cannot be made: {fault.strerror}; name another folder") from fault
    if len(str(directory).encode()) > LONGEST_DIRECTORY_BYTES:
        raise LabMisuse(
            f"{directory}: too long; at most {LONGEST_DIRECTORY_BYTES} bytes, because sockets lie below it"
        )
    directory.chmod(0o711)
    return directory


@dataclass(frozen=True, slots=True)
class LabState:
    """What other commands need to know of a running lab. `trees` are its sites, its clients and its network;
    `prefix` is that of its namespaces, empty on loopback addresses."""

    directory: str
    network: str
    kept: bool
    lab_pid: int
    trees: dict[str, Tree]
    prefix: str = ""

    def save(self) -> None:
        """Write it into the lab's folder, and let it be found as the newest lab. Whole or not at all."""
        _replace(Path(self.directory) / STATE_FILE, json.dumps(asdict(self), indent=1))
        _replace(pointer_directory() / f"{Path(self.directory).name}.json", self.directory)

    def forget(self) -> None:
        """No longer to be found."""
        (pointer_directory() / f"{Path(self.directory).name}.json").unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def pointer_directory() -> Path:
    """The folder in which this user's labs can be found. Raises LabMisuse if somebody else made it."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(base) / f"twinsite-lab-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as fault:
        raise LabMisuse(f"{folder}: cannot be used: {fault.strerror}; set XDG_RUNTIME_DIR") from fault
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise LabMisuse(f"{folder}: belongs to somebody else, so what it says is not believed; remove it")
    return folder


def load_state(directory: Path) -> LabState:
    """The lab in that folder. Raises LabMisuse."""
    path = directory / STATE_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        trees = {name: Tree(**tree) for name, tree in raw.pop("trees").items()}
        return LabState(trees=trees, **raw)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise LabMisuse(f"{path}: no lab is here ({fault}); `twinsite lab --keep` starts one") from fault


def labs() -> list[LabState]:
    """This user's labs, the newest first. Those whose folder is gone are forgotten."""
    found = []
    for pointer in sorted(pointer_directory().glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            found.append(load_state(Path(pointer.read_text(encoding="utf-8"))))
        except LabMisuse:
            pointer.unlink(missing_ok=True)
    return found


def newest_lab() -> LabState:
    """The lab that `lab kill`, `lab heal` and `lab down` mean. Raises LabMisuse when there is none."""
    found = labs()
    if not found:
        raise LabMisuse("no lab is running; `twinsite lab --keep` starts one and leaves it running")
    return found[0]


def lab_at(directory: Path | None) -> LabState:
    """The lab in that folder, or the newest one. Raises LabMisuse."""
    return newest_lab() if directory is None else load_state(directory.expanduser().resolve())
