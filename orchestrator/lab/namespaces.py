"""Network namespaces of a lab: made, entered and taken away again, with the kernel's own calls.

A namespace is kept by a name below /run/netns, as `ip netns` keeps it, so that `ip netns exec` works on a lab
too. Every name begins with the lab's prefix (`twl71-`), and so do the small file systems and the freezers of
a lab: what a lab that was killed has left is found by name alone and swept.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.lab.errors import LabMisuse, LabTrouble
from orchestrator.lab.site_supervisor import CLONE_NEWNET, change_namespace

NAMES = Path("/run/netns")
OBSERVER = "lab"  # the lab's own process is in this one: it ends by itself, and is not swept away
FREEZERS = (Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
MNT_DETACH = 2
MS_BIND = 4096
MS_NOSUID_NODEV = 2 | 4
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891C
SIOCSIFTXQLEN = 0x8943
IFF_UP = 0x1
QUEUE_PACKETS = 5000  # the kernel's queue before the relay: a burst must not be lost where nobody counts it
KILL_ROUNDS = 100
UNMOUNT_ROUNDS = 50

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why this machine cannot have a lab in network namespaces; None: it can."""
    if os.geteuid() != 0:
        return "network namespaces need root: `sudo twinsite lab --netns`, or leave --netns out"
    if not Path("/dev/net/tun").exists():
        return "this machine has no /dev/net/tun, and the lab's network is made of TUN devices"
    try:
        with entered(None):
            pass
        NAMES.mkdir(parents=True, exist_ok=True)
    except (OSError, LabTrouble) as fault:
        return f"this machine lets nobody make a network namespace: {fault}"
    return None


def require() -> None:
    """Raises LabMisuse where `why_not` has a reason."""
    if (reason := why_not()) is not None:
        raise LabMisuse(reason)


def path_of(name: str) -> Path:
    """Where a namespace is kept."""
    return NAMES / name


def create(name: str) -> None:
    """A new, empty namespace of that name, with its loopback device up. Raises LabTrouble."""
    path = path_of(name)
    try:
        NAMES.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o444, exist_ok=False)
        with entered(None):
            _mount("/proc/thread-self/ns/net", path, "none", MS_BIND)
            _up("lo")
    except OSError as fault:
        raise LabTrouble(f"network namespace {name} cannot be made: {fault}") from fault


@contextlib.contextmanager
def entered(name: str | None) -> Iterator[None]:
    """This thread inside a namespace (None: a new one without a name), and back at the end. Sockets that are
    opened inside stay inside. Raises OSError."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        change_namespace(None if name is None else str(path_of(name)), CLONE_NEWNET)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def open_tun(namespace: str, device: str, address: str, prefix_bits: int) -> int:
    """A point-to-point device inside a namespace, up and with its address: what is sent through it is read
    from the returned descriptor, a packet at a time. It is gone when that is closed. Raises OSError."""
    with entered(namespace):
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
            mask = socket.inet_ntoa(struct.pack("!I", 0xFFFFFFFF << (32 - prefix_bits) & 0xFFFFFFFF))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, SIOCSIFTXQLEN, struct.pack("16si20x", device.encode(), QUEUE_PACKETS))
                for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, mask)):
                    place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
                    fcntl.ioctl(control, request, struct.pack("16s16s8x", device.encode(), place))
            _up(device)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _up(device: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sH22x", device.encode(), 0)
        (flags,) = struct.unpack("16xH22x", fcntl.ioctl(control, SIOCGIFFLAGS, asked))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", device.encode(), flags | IFF_UP))


def named(prefix: str) -> list[str]:
    """The namespaces whose name begins so."""
    try:
        return sorted(name for name in os.listdir(NAMES) if name.startswith(prefix))
    except FileNotFoundError:
        return []


def living_in(names: list[str]) -> list[int]:
    """The processes that are inside any of these namespaces, this one left out."""
    wanted = set()
    for name in names:
        with contextlib.suppress(OSError):
            wanted.add(os.stat(path_of(name)).st_ino)
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}/ns/net").st_ino in wanted:
                    found.append(int(entry))
    return found


def mount_small(name: str, folder: Path, size_bytes: int, mode: int) -> None:
    """A file system of that size in memory, on a folder; `name` is its source, by which it is found again.
    Raises LabTrouble."""
    try:
        _mount(name, folder, "tmpfs", MS_NOSUID_NODEV, f"size={size_bytes},mode={mode:o}")
    except OSError as fault:
        raise LabTrouble(f"{folder}: no file system of its own can be put there: {fault}") from fault


def _mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    done = _libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, options.encode() or None)
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}")


def mounted(prefix: str) -> list[Path]:
    """Where the small file systems are mounted whose name begins so."""
    found = []
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            source, target, kind, *_ = line.split()
            if kind == "tmpfs" and source.startswith(prefix):
                found.append(Path(target.replace("\\040", " ")))
    return found


def freezers(prefix: str) -> list[Path]:
    """The control groups whose name begins so."""
    found = []
    for root in FREEZERS:
        with contextlib.suppress(OSError):
            found += [root / name for name in os.listdir(root) if name.startswith(prefix)]
    return found


def sweep(prefix: str) -> list[str]:
    """Take away everything whose name begins so: processes inside the namespaces, namespaces, small file
    systems, control groups. Returns what could not be taken away, a line each."""
    names = named(prefix)
    for group in freezers(prefix):
        thaw(group)
    _kill_inside([name for name in names if name != prefix + OBSERVER])
    for target in mounted(prefix):
        _libc.umount2(str(target).encode(), MNT_DETACH)
    for name in names:
        _forget(name)
    for group in freezers(prefix):
        _remove_group(group)
    return remains(prefix)


def remains(prefix: str) -> list[str]:
    """What of a lab with this prefix is on the machine, a line each."""
    return [
        *(f"network namespace {name}" for name in named(prefix)),
        *(f"file system {target}" for target in mounted(prefix)),
        *(f"control group {group}" for group in freezers(prefix)),
    ]


def _kill_inside(names: list[str]) -> None:
    for _ in range(KILL_ROUNDS):
        rest = [pid for pid in living_in(names) if not _is_zombie(pid)]
        if not rest:
            return
        for pid in rest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def _forget(name: str) -> None:
    path = path_of(name)
    for _ in range(UNMOUNT_ROUNDS):
        if _libc.umount2(str(path).encode(), MNT_DETACH) != 0:
            break
    with contextlib.suppress(OSError):
        path.unlink()


def make_freezer(name: str) -> Path | None:
    """A control group that can pause everything in it, or None where this machine has no such thing."""
    for root in FREEZERS:
        group = root / name
        try:
            group.mkdir()
        except OSError:
            continue
        if any((group / file).exists() for file in ("freezer.state", "cgroup.freeze")):
            return group
        _remove_group(group)
    return None


def freeze(group: Path, within_seconds: float = 5.0) -> bool:
    """Pause everything in the group; whether it all stood still in time."""
    _write_state(group, "FROZEN", "1")
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if is_frozen(group):
            return True
        time.sleep(0.002)
    return False


def thaw(group: Path) -> None:
    """Let everything in the group go on. One that is not paused, or gone, is no error."""
    with contextlib.suppress(OSError):
        _write_state(group, "THAWED", "0")


def is_frozen(group: Path) -> bool:
    """Whether all of the group stands still."""
    with contextlib.suppress(OSError):
        if (group / "freezer.state").exists():
            return (group / "freezer.state").read_text().strip() == "FROZEN"
        return "frozen 1" in (group / "cgroup.events").read_text()
    return False


def _write_state(group: Path, first: str, second: str) -> None:
    state = group / "freezer.state"
    if state.exists():
        state.write_text(first)
    else:
        (group / "cgroup.freeze").write_text(second)


def _remove_group(group: Path) -> None:
    for _ in range(UNMOUNT_ROUNDS):
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)  # what was killed in it is still being cleared away
