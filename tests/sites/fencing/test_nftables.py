"""The gate in the kernel, in network namespaces of the test's own: a server's and its client's."""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.orchestrator.pki import Pki
from tests.sites.fencing import bench
from tests.sites.fencing.bench import Host
from tests.sites.fencing.fake_keeper import FakeKeeper, boottime_ns, until

T = TypeVar("T")
SERVER, CLIENT, OTHER, PORT = "10.199.0.1", "10.199.0.2", "10.199.0.3", 5432
_spaces = itertools.count(1)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def inside(space: str, work: Callable[[], T]) -> T:
    """Do this in a thread that is in that namespace; sockets made there stay there."""
    outcome: list[Any] = []

    def there() -> None:
        place = os.open(f"/run/netns/{space}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(place, 0x40000000) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            outcome.append(work())
        except OSError as error:
            outcome.append(error)
        finally:
            os.close(place)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if isinstance(outcome[0], OSError):
        raise outcome[0]
    found: T = outcome[0]
    return found


class Network:
    """Two namespaces and the link between them."""

    def __init__(self) -> None:
        number = next(_spaces)
        self.server, self.client = (f"tsg{os.getpid()}-{number}-{end}" for end in "sc")
        link = f"tg{os.getpid() % 10000}{number}"
        run("ip", "netns", "add", self.server)
        run("ip", "netns", "add", self.client)
        run("ip", "-n", self.server, "link", "add", f"{link}s", "type", "veth", "peer", "name", f"{link}c")
        run("ip", "-n", self.server, "link", "set", f"{link}c", "netns", self.client)
        for space, end, addresses in ((self.server, "s", [SERVER]), (self.client, "c", [CLIENT, OTHER])):
            for address in addresses:
                run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", f"{link}{end}")
            run("ip", "-n", space, "link", "set", f"{link}{end}", "up")
            run("ip", "-n", space, "link", "set", "lo", "up")

    def connect(self, source: str = CLIENT) -> socket.socket:
        return inside(
            self.client,
            lambda: socket.create_connection((SERVER, PORT), timeout=3, source_address=(source, 0)),
        )

    def refuses(self) -> bool:
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def end(self) -> None:
        for space in (self.server, self.client):
            with contextlib.suppress(OSError):
                run("ip", "netns", "del", space)


@pytest.fixture
def network() -> Iterator[Network]:
    """Skips where this machine has no such thing."""
    if os.geteuid() != 0 or not all(shutil.which(one) for one in ("nft", "ip")):
        pytest.skip("needs root, ip and nft")
    made = Network()
    try:
        run("ip", "netns", "exec", made.server, "nft", "list", "ruleset")
    except OSError as error:
        made.end()
        pytest.skip(str(error))
    yield made
    made.end()


class Gated(Host):
    """A host in the server's namespace, an echo server behind the packet filter."""

    def __init__(self, folder: Path, pki: Pki, network: Network) -> None:
        super().__init__(folder, pki)
        self.network = network
        self.keeper.close()
        self.keeper = inside(network.server, lambda: FakeKeeper(pki.controller("durham")))
        self.settings["controllers"] = [self.keeper.address]
        del self.settings["stop"]
        self.settings["nftables"] = {"ports": [PORT, PORT + 1], "except": [OTHER]}
        echo = Path(bench.__file__).with_name("echo.py")
        into = ["ip", "netns", "exec", network.server]
        self.processes.append(subprocess.Popen([*into, sys.executable, str(echo), "0.0.0.0", str(PORT)]))
        until(lambda: not network.refuses(), "the echo server")

    def command(self, *arguments: str, python: str = sys.executable) -> list[str]:
        into = [] if arguments else ["ip", "netns", "exec", self.network.server]
        return [*into, *super().command(*arguments, python=python)]

    def nft(self, *words: str) -> str:
        return run("ip", "netns", "exec", self.network.server, "nft", *words)


@pytest.fixture
def gated(tmp_path: Path, pki: Pki, network: Network) -> Iterator[Gated]:
    made = Gated(tmp_path, pki, network)
    yield made
    made.end()


pytestmark = pytest.mark.slow


def echoed(one: socket.socket, text: bytes) -> bool:
    try:
        one.sendall(text)
        return one.recv(len(text)) == text
    except OSError:
        return False


def opened(gated: Gated) -> socket.socket:
    def attempt() -> socket.socket | None:
        try:
            return gated.network.connect()
        except OSError:
            return None

    found: socket.socket = until(attempt, f"open; {gated.said()}")
    return found


def test_closed_until_an_answer_allows_it(gated: Gated) -> None:
    gated.start()
    until(gated.network.refuses, "refused at the gate")
    gated.keeper.allow(30)
    with opened(gated) as one:
        assert echoed(one, b"hello")


def test_stays_open_as_long_as_it_is_renewed(gated: Gated) -> None:
    """Renewed by delete and add in one batch: to add again would not refresh the element's time."""
    gated.keeper.allow(1.0)
    gated.start()
    with opened(gated) as one:
        end = boottime_ns() + 3 * 10**9
        while boottime_ns() < end:
            assert echoed(one, b"write")
            time.sleep(0.01)


def test_with_the_guard_stopped_established_connections_end_at_the_deadline_in_both_directions(
    gated: Gated,
) -> None:
    gated.keeper.allow(1.0)
    gated.start()
    with opened(gated) as one:
        assert echoed(one, b"before")
        gated.signal(signal.SIGSTOP)
        gated.keeper.answering = None
        passed_ns = 0
        one.settimeout(1)
        while echoed(one, b"write"):
            passed_ns = boottime_ns()
            time.sleep(0.005)
        assert 0 < passed_ns < gated.keeper.answered_until_ns
    assert gated.network.refuses()
    gated.signal(signal.SIGCONT)


def test_what_the_server_says_after_the_deadline_does_not_leave(gated: Gated) -> None:
    """A server that talks by itself: an acknowledgement would get out without a packet coming in."""
    gated.keeper.allow(30)
    talker = (
        "import socket,time\n"
        f"door=socket.create_server(('0.0.0.0',{PORT + 1}))\n"
        "one,_=door.accept()\n"
        "while True:\n"
        "  one.send(b'x'); time.sleep(0.005)\n"
    )
    into = ["ip", "netns", "exec", gated.network.server, sys.executable, "-c", talker]
    gated.processes.append(subprocess.Popen(into, stderr=subprocess.DEVNULL))
    gated.start()

    def attempt() -> socket.socket | None:
        try:
            return inside(
                gated.network.client, lambda: socket.create_connection((SERVER, PORT + 1), timeout=3)
            )
        except OSError:
            return None

    with until(attempt, "the talker") as one:
        assert one.recv(1) == b"x"
        gated.keeper.answering = None
        gated.keeper.order(1, "fence")
        assert gated.keeper.acknowledged(1)["fenced"] is True
        one.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while one.recv(4096):  # what was on its way
                pass
        one.settimeout(0.5)
        with pytest.raises((TimeoutError, ConnectionError)):
            one.recv(1)


def test_a_fence_is_acknowledged_when_the_kernel_shows_it_closed(gated: Gated) -> None:
    gated.keeper.allow(30)
    gated.start()
    with opened(gated) as one:
        assert echoed(one, b"before")
        gated.keeper.answering = None
        gated.keeper.order(1, "fence")
        said = gated.keeper.acknowledged(1)
        assert "nftables: closed" in said["evidence"]
        assert "elements" not in gated.nft("list", "set", "inet", "twinsite_crm", "open")
        assert not echoed(one, b"after")


def test_addresses_that_are_excepted_pass_always(gated: Gated) -> None:
    gated.start()
    until(gated.network.refuses, "refused at the gate")
    with gated.network.connect(OTHER) as one:
        assert echoed(one, b"a standby, or a controller that looks")


def test_rules_that_somebody_flushed_come_back(gated: Gated) -> None:
    gated.start()
    until(gated.network.refuses, "refused at the gate")
    gated.nft("flush", "ruleset")
    until(gated.network.refuses, "refused again")


def test_protects_when_the_guard_stands_still_and_after_a_pause_only_where_a_drill_has_shown_it(
    gated: Gated,
) -> None:
    gated.start()
    (hello,) = gated.keeper.said("hello")
    assert "guard-stall" in hello["protects"]
    assert "host-pause" not in hello["protects"]
    assert [one for one in hello["lacks"] if one.startswith("host-pause: ")]
    gated.signal(signal.SIGKILL)
    gated.settings["nftables"]["suspend_drill_passed"] = True
    gated.start()
    assert "host-pause" in gated.keeper.said("hello")[-1]["protects"]


def test_without_nft_the_gate_is_said_to_be_missing_and_never_verified(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    host.settings["nftables"] = {"ports": [PORT]}
    host.keeper.allow(30)
    host.start()
    (hello,) = host.keeper.said("hello")
    assert [one for one in hello["lacks"] if one.startswith("nftables: the gate does not work here")]
    until(lambda: "NOT CLOSED" in host.said(), "a cut that failed")
    assert not host.permit.exists()
