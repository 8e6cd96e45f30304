"""The proxy: a gate that looks at the deadline for every chunk (P22)."""

import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sites.fencing.guard import Relay, Shared
from tests.sites.fencing.bench import Host
from tests.sites.fencing.fake_keeper import boottime_ns, until

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Gate:
    """A host whose guard has a proxy before an echo server."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.port, self.behind = free_port(), free_port()
        del host.settings["stop"]
        host.settings["proxy"] = {"listen": f"127.0.0.1:{self.port}", "to": f"127.0.0.1:{self.behind}"}
        echo = Path(__file__).with_name("echo.py")
        host.processes.append(subprocess.Popen([sys.executable, str(echo), "127.0.0.1", str(self.behind)]))

    def try_connect(self) -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", self.port), timeout=5)
        except OSError:
            return None

    def connect(self) -> socket.socket:
        found: socket.socket = until(self.try_connect, f"a connection; {self.host.said()}")
        return found

    def child(self) -> int:
        """The proxy's process."""
        assert self.host.guard is not None
        path = f"/proc/{self.host.guard.pid}/task/{{}}/children"
        pids = [
            pid
            for task in os.listdir(f"/proc/{self.host.guard.pid}/task")
            for pid in Path(path.format(task)).read_text().split()
        ]
        return int(pids[0])


@pytest.fixture
def gate(host: Host) -> Gate:
    return Gate(host)


def echoed(one: socket.socket, text: bytes) -> bool:
    """Whether it comes back."""
    try:
        one.sendall(text)
        came = b""
        while len(came) < len(text):
            got = one.recv(65536)
            if not got:
                return False
            came += got
    except OSError:
        return False
    return came == text


def test_closed_until_an_answer_allows_it_and_then_carries_what_comes(gate: Gate) -> None:
    gate.host.start()
    until(lambda: "closed in" in gate.host.said(), "closed")
    assert gate.try_connect() is None
    gate.host.keeper.allow(30)
    with gate.connect() as one:
        assert echoed(one, b"hello")
        big = os.urandom(3_000_000)
        sender = threading.Thread(target=one.sendall, args=(big,))
        sender.start()
        came = bytearray()
        while len(came) < len(big):
            came += one.recv(1 << 20)
        sender.join()
        assert bytes(came) == big
        one.shutdown(socket.SHUT_WR)
        assert one.recv(10) == b""


def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on(gate: Gate) -> None:
    gate.host.keeper.allow(30)
    gate.host.start()
    with gate.connect() as one:
        one.sendall(b"x" * 100_000)
        one.shutdown(socket.SHUT_WR)
        came = 0
        while got := one.recv(65536):
            came += len(got)
        assert came == 100_000


def test_a_fence_cuts_established_connections_and_is_acknowledged_then(gate: Gate) -> None:
    gate.host.keeper.allow(30)
    gate.host.start()
    with gate.connect() as one:
        assert echoed(one, b"before")
        gate.host.keeper.answering = None
        gate.host.keeper.order(5, "fence")
        said = gate.host.keeper.acknowledged(5)
        assert said["fenced"] is True
        assert "proxy: closed, no connection left" in said["evidence"], gate.host.said()
        assert not echoed(one, b"after")
    assert gate.try_connect() is None


def test_with_the_guard_stopped_it_closes_at_the_deadline_by_itself(gate: Gate) -> None:
    gate.host.keeper.allow(1.2)
    gate.host.start()
    one = gate.connect()
    gate.host.signal(signal.SIGSTOP)
    gate.host.keeper.answering = None
    passed_ns = 0
    with one:
        while echoed(one, b"write"):
            passed_ns = boottime_ns()
            time.sleep(0.005)
    assert 0 < passed_ns < gate.host.keeper.answered_until_ns
    assert gate.try_connect() is None
    gate.host.signal(signal.SIGCONT)


def test_guard_and_proxy_stopped_together_let_no_byte_through_when_they_wake(gate: Gate) -> None:
    """A paused host: whoever runs first afterwards, the established connection is cut before any byte."""
    gate.host.keeper.allow(1.0)
    gate.host.start()
    with gate.connect() as one:
        assert echoed(one, b"before")
        gate.host.keeper.answering = None
        child = gate.child()
        os.kill(child, signal.SIGSTOP)
        gate.host.signal(signal.SIGSTOP)
        one.sendall(b"write that came while it stood still")
        until(lambda: boottime_ns() > gate.host.keeper.answered_until_ns, "the deadline")
        os.kill(child, signal.SIGCONT)
        one.settimeout(10)
        try:
            came = one.recv(100)
        except ConnectionResetError:
            came = b""
        assert came == b""
    gate.host.signal(signal.SIGCONT)


def test_an_answer_on_its_way_back_is_not_delivered_after_the_deadline(gate: Gate) -> None:
    """The acknowledgement is the write: also what the server has said already stays behind the gate."""
    gate.host.keeper.allow(1.0)
    gate.host.start()
    with gate.connect() as one:
        one.settimeout(10)
        # The client reads nothing, so that answers wait within the proxy and the server.
        one.setblocking(False)
        sent = 0
        try:
            while True:
                sent += one.send(b"x" * 65536)
        except BlockingIOError:
            pass
        child = gate.child()
        os.kill(child, signal.SIGSTOP)
        gate.host.signal(signal.SIGSTOP)
        gate.host.keeper.answering = None
        one.setblocking(True)
        until(lambda: boottime_ns() > gate.host.keeper.answered_until_ns, "the deadline")
        before = _drained(one)
        os.kill(child, signal.SIGCONT)
        assert _to_the_end(one) == 0, f"bytes came after the deadline (before it {before})"
    gate.host.signal(signal.SIGCONT)


def _drained(one: socket.socket) -> int:
    """What had reached this side already."""
    came = 0
    one.settimeout(0.3)
    try:
        while got := one.recv(1 << 20):
            came += len(got)
    except TimeoutError:
        pass
    return came


def _to_the_end(one: socket.socket) -> int:
    came = 0
    one.settimeout(10)
    try:
        while got := one.recv(1 << 20):
            came += len(got)
    except ConnectionResetError:
        pass
    return came


def test_a_proxy_that_does_not_answer_is_killed_by_a_fence(gate: Gate) -> None:
    gate.host.keeper.allow(30)
    gate.host.start()
    with gate.connect() as one:
        assert echoed(one, b"before")
        child = gate.child()
        os.kill(child, signal.SIGSTOP)
        gate.host.keeper.answering = None
        gate.host.keeper.order(6, "fence")
        said = gate.host.keeper.acknowledged(6)
        assert said["fenced"] is True
        assert "was killed" in said["evidence"]
        assert not echoed(one, b"after")
    gate.host.keeper.allow(30)
    with gate.connect() as one:
        assert echoed(one, b"again, through a new process")


def test_a_proxy_that_dies_is_started_again(gate: Gate) -> None:
    gate.host.keeper.allow(30)
    gate.host.start()
    gate.connect().close()
    os.kill(gate.child(), signal.SIGKILL)

    def again() -> bool:
        with gate.connect() as one:
            return echoed(one, b"again")

    until(again, "a new process")


def test_a_guard_that_is_killed_takes_its_proxy_along(gate: Gate) -> None:
    gate.host.keeper.allow(30)
    gate.host.start()
    with gate.connect() as one:
        assert echoed(one, b"before")
        gate.host.signal(signal.SIGKILL)
        assert _to_the_end(one) == 0
    assert gate.host.guard is not None
    gate.host.guard.wait(10)
    gate.host.start()
    with gate.connect() as one:
        assert echoed(one, b"the next one goes on")


def test_nobody_behind_it_is_said_to_the_client_at_once(gate: Gate) -> None:
    gate.host.processes[0].kill()
    gate.host.processes[0].wait()
    gate.host.keeper.allow(30)
    gate.host.start()
    with gate.connect() as one:
        assert not echoed(one, b"anyone?")


def test_connections_are_bounded(gate: Gate) -> None:
    gate.host.settings["proxy"]["most_connections"] = 3
    gate.host.keeper.allow(30)
    gate.host.start()
    held = [gate.connect() for _ in range(3)]
    assert all(echoed(one, b"x") for one in held)
    with gate.connect() as one:
        assert not echoed(one, b"x")
    held.pop().close()

    def room() -> bool:
        with gate.connect() as one:
            return echoed(one, b"x")

    until(room, "room for one more")
    for one in held:
        one.close()


def test_protects_against_a_pause_and_says_who_gets_past_it(gate: Gate) -> None:
    gate.host.start()
    (hello,) = gate.host.keeper.said("hello")
    assert {"guard-stall", "host-pause"} <= set(hello["protects"])
    assert [one for one in hello["lacks"] if one.startswith("bypass: ")]


@pytest.mark.parametrize("direction", ["to the database", "to the client"])
def test_a_chunk_that_was_announced_in_time_and_is_moved_too_late_does_not_pass(
    direction: str, tmp_path: Path
) -> None:
    """Stopped between hearing of a chunk and carrying it: the clock is read for that very chunk."""
    with (tmp_path / "page").open("w+b") as page, socket.create_server(("127.0.0.1", 0)) as database:
        page.truncate(mmap.PAGESIZE)
        shared = Shared(page.fileno())
        shared.until_ns = boottime_ns() + 60 * 10**9
        port = free_port()
        relay = Relay(f"127.0.0.1:{port}", f"127.0.0.1:{database.getsockname()[1]}", 10, shared)
        relay._open()
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        until(lambda: relay._take() or relay._by_place, "the connection")
        server, _ = database.accept()
        to_client, to_server = (next(fd for fd in relay._by_place if fd in found) for found in _ends(relay))
        relay._move(to_server, select.EPOLLOUT)
        source, place, target = (
            (client, to_client, server) if direction == "to the database" else (server, to_server, client)
        )
        with client, server:
            source.sendall(b"in time")
            time.sleep(0.05)
            relay._move(place, select.EPOLLIN)
            assert target.recv(100) == b"in time"
            source.sendall(b"too late")
            time.sleep(0.05)
            shared.until_ns = boottime_ns() - 1
            relay._move(place, select.EPOLLIN)
            target.settimeout(10)
            try:
                came = target.recv(100)
            except ConnectionResetError:
                came = b""
            assert came == b""
        relay._cut()
        relay._poll.close()


@pytest.mark.parametrize("written", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize(
    ("before", "after", "read"),
    [(1000, 2000, 1000), (1000, 0, 0), (0, 2000, 0)],
    ids=["moved on", "closed", "opened"],
)
def test_a_look_while_the_deadline_is_being_written_finds_the_earlier_one(
    before: int, after: int, read: int, written: int, tmp_path: Path
) -> None:
    """Neither open for longer than was said, nor closed while it is only moved on."""
    with (tmp_path / "page").open("w+b") as page:
        page.truncate(mmap.PAGESIZE)
        shared = Shared(page.fileno())
        shared.until_ns = before
        assert shared.until_ns == before
        shared._page[written] = after
        assert shared.until_ns == read
        shared.until_ns = after
        assert shared.until_ns == after


def _ends(relay: Relay) -> tuple[set[int], set[int]]:
    """The sockets to clients, and those to the database."""
    servers = set(relay._connecting)
    return set(relay._by_place) - servers, servers
