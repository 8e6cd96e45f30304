"""The lab's network as a process, with real namespaces: packets are counted, and nothing survives it."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.lab import namespaces
from orchestrator.lab.faults import Faults
from orchestrator.lab.places import LabState
from orchestrator.lab.wan import WanSpec, ask

REASON = namespaces.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
PATIENCE_SECONDS = 30.0
ADDRESSES = {
    place: f"198.18.7.{number}"
    for number, place in enumerate(("durham", "morpeth", "derwentside", "users", "lab"), 1)
}


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this did not come"
        time.sleep(0.02)


@dataclass
class Net:
    spec: WanSpec
    process: "subprocess.Popen[bytes]"
    faults: Faults

    def link(self, one: str, other: str) -> dict[str, Any]:
        found = ask(Path(self.spec.control), {"do": "show"})["directions"]
        return next(link for link in found if (link["from"], link["to"]) == (one, other))

    def send(self, source: str, target: str, count: int) -> None:
        """Datagrams; returns when the network has seen them all."""
        before = sum(self.link(source, target)["counts"][key] for key in ("passed", "cut", "lost"))
        place = (self.spec.addresses[target], 7009)
        with namespaces.entered(self.spec.prefix + target):
            receiver = socket.socket(type=socket.SOCK_DGRAM)  # without one, there would be answers
        with namespaces.entered(self.spec.prefix + source):
            sender = socket.socket(type=socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind(place)
            for _ in range(count):
                sender.sendto(b"a row", place)
            self._seen(source, target, before + count)

    def _seen(self, source: str, target: str, count: int) -> None:
        wait_for(
            lambda: (
                sum(self.link(source, target)["counts"][key] for key in ("passed", "cut", "lost")) >= count
            )
        )


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    prefix = f"tw{os.getpid() % 100_000}-"
    spec = WanSpec(prefix, ADDRESSES, 24, str(tmp_path / "wan.sock"))
    path = tmp_path / "wan.json"
    path.write_text(spec.to_json())
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "orchestrator.lab.wan", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    state = LabState(str(tmp_path), "198.18.7.0/24", True, 1, {}, prefix)
    yield Net(spec, process, Faults(state))
    process.kill()
    process.wait()
    process.stdout.close()
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()
    assert namespaces.sweep(prefix) == []


def test_a_cut_one_way_is_seen_in_the_counters_of_that_way_alone(net: Net) -> None:
    net.send("durham", "morpeth", 10)
    net.faults.cut("durham", "morpeth", one_way=True)
    net.send("durham", "morpeth", 20)
    net.send("morpeth", "durham", 20)
    assert net.link("durham", "morpeth")["counts"]["cut"] == 20
    assert net.link("durham", "morpeth")["counts"]["passed"] >= 10
    assert net.link("morpeth", "durham")["counts"]["cut"] == 0
    net.faults.mend("durham", "morpeth")
    net.send("durham", "morpeth", 5)
    assert net.link("durham", "morpeth")["counts"]["cut"] == 20


def test_a_loss_of_everything_loses_everything_and_mending_all_ends_it(net: Net) -> None:
    net.faults.delay("users", "durham", delay_seconds=0.0, loss=1.0)
    net.send("users", "durham", 15)
    assert net.link("users", "durham")["counts"]["lost"] == 15
    net.faults.mend_all()
    net.send("users", "durham", 15)
    assert net.link("users", "durham")["counts"]["lost"] == 15


def test_a_slow_link_delivers_every_packet_in_order(net: Net) -> None:
    net.faults.delay("durham", "morpeth", delay_seconds=0.02, jitter_seconds=0.01)
    with namespaces.entered(net.spec.prefix + "morpeth"):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
        receiver.bind((ADDRESSES["morpeth"], 7007))
    with namespaces.entered(net.spec.prefix + "durham"):
        sender = socket.socket(type=socket.SOCK_DGRAM)
    with receiver, sender:
        sent = [str(number).encode() for number in range(50)]
        for text in sent:
            sender.sendto(text, (ADDRESSES["morpeth"], 7007))
        got = []
        while len(got) < len(sent):
            assert select.select([receiver], [], [], PATIENCE_SECONDS)[0]
            got.append(receiver.recv(100))
    assert got == sent


def test_the_machine_itself_has_none_of_its_devices(net: Net) -> None:
    assert not [name for name in os.listdir("/sys/class/net") if name.startswith(net.spec.prefix)]
    with namespaces.entered(net.spec.prefix + "durham"):
        outward = socket.socket()
    with outward, pytest.raises(OSError, match="unreachable"):
        outward.connect(("192.0.2.1", 80))


def test_what_the_network_does_not_understand_it_refuses_and_goes_on(net: Net) -> None:
    control = Path(net.spec.control)
    for wrong in ({"do": "explode"}, {"do": "change", "from": "durham", "to": "york", "change": {}}, {}):
        with pytest.raises(ValueError):
            ask(control, wrong)
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(control))
        rude.sendall(b"no json\n")
        assert b"error" in rude.recv(1000)
    assert net.link("durham", "morpeth")["rule"]["cut"] is False


def test_when_its_lab_is_gone_it_takes_everything_with_it(net: Net) -> None:
    assert len(namespaces.named(net.spec.prefix)) == 5
    assert net.process.stdin is not None
    net.process.stdin.close()  # which is what a killed lab's process does to it
    assert net.process.wait(PATIENCE_SECONDS) == 0
    assert namespaces.remains(net.spec.prefix) == []


def test_it_waits_for_those_that_are_still_inside(net: Net) -> None:
    ready = subprocess.Popen([sys.executable, "-P", "-c", INSIDE, net.spec.prefix + "durham"],
                             stdout=subprocess.PIPE, stdin=subprocess.PIPE)  # fmt: skip
    assert ready.stdout is not None
    assert ready.stdout.readline() == b"inside\n"
    net.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        net.process.wait(1.0)
    ready.communicate()
    assert net.process.wait(PATIENCE_SECONDS) == 0
    assert namespaces.remains(net.spec.prefix) == []


INSIDE = """
import sys
from orchestrator.lab import namespaces
with namespaces.entered(sys.argv[1]):
    print("inside", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_network_leaves_is_swept_by_its_name_processes_too(net: Net, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    namespaces.mount_small(net.spec.prefix + "durham", folder, 1 << 20, 0o700)
    group = namespaces.make_freezer(net.spec.prefix + "durham")
    inside = subprocess.Popen([sys.executable, "-P", "-c", INSIDE, net.spec.prefix + "durham"],
                              stdout=subprocess.PIPE, stdin=subprocess.PIPE)  # fmt: skip
    assert inside.stdout is not None
    assert inside.stdout.readline() == b"inside\n"
    if group is not None:
        (group / "cgroup.procs").write_text(str(inside.pid))
        assert namespaces.freeze(group)
    net.process.kill()
    net.process.wait()
    assert len(namespaces.remains(net.spec.prefix)) >= 6
    assert namespaces.sweep(net.spec.prefix) == []
    assert inside.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    inside.communicate()
    assert os.listdir(folder) == []


def test_a_full_disk_is_full_until_it_is_emptied(net: Net) -> None:
    state = net.faults.layout.state("durham")
    state.mkdir(parents=True)
    namespaces.mount_small(net.spec.prefix + "durham", state, 1 << 20, 0o700)
    assert net.faults.fill("durham") > 0
    with pytest.raises(OSError, match="No space"):
        (state / "note").write_text("a note")
    assert net.faults.empty("durham")
    (state / "note").write_text("a note")
    assert not net.faults.empty("durham")
