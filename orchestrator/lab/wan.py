"""The process that is a lab's network: a device in every namespace, and what passes between them.

One loop moves packets by `orchestrator.lab.relay`'s rules and answers on a Unix socket, one JSON line each
way: `{"do": "show"}`, `{"do": "change", "from": A, "to": B, "change": {…}}` (keys of a rule),
`{"do": "dark", "place": A, "on": true}`, `{"do": "mend"}`. It makes the namespaces, and it is the last to go:
told to stop, or left alone by its lab, it waits until nobody is inside any more and takes everything away
that carries the lab's name. So a lab that is killed leaves nothing.
"""

import contextlib
import heapq
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.clock import boottime_ns
from orchestrator.lab import namespaces
from orchestrator.lab.relay import Router, Rule, rule_from_json

PACKET_BYTES = 65_535
BURST_PACKETS = 64  # read from one device before the others have their turn
IDLE_SECONDS = 0.5
ASK_BYTES = 65_536
EMPTY_WITHIN_SECONDS = 20.0
NICE = -15  # a network is not slowed down by what runs on the computers


@dataclass(frozen=True, slots=True)
class WanSpec:
    """A lab's network: `addresses` by place, `prefix` of every name, the socket that takes orders."""

    prefix: str
    addresses: dict[str, str]
    prefix_bits: int
    control: str
    ends_with_input: bool = True

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "WanSpec":
        """Raises ValueError or TypeError for anything `to_json` did not write."""
        return cls(**json.loads(text))


class Wan:
    """Devices, rules and the loop between them."""

    def __init__(self, spec: WanSpec, *, random: Random | None = None) -> None:
        """Makes the namespaces and the devices in them. Raises LabTrouble, OSError."""
        self._spec = spec
        self._places = list(spec.addresses)
        for place in self._places:
            namespaces.create(spec.prefix + place)
        self._devices = [
            namespaces.open_tun(spec.prefix + place, f"{spec.prefix}wan", address, spec.prefix_bits)
            for place, address in spec.addresses.items()
        ]
        self._sources = {device: number for number, device in enumerate(self._devices)}
        binary = [socket.inet_aton(address) for address in spec.addresses.values()]
        self.router = Router(binary, random or Random())
        self._waiting: list[tuple[int, int, int, int, bytes]] = []  # due, order, source, target, packet
        self._order = 0
        self._asking: dict[socket.socket, bytes] = {}
        self._listener = _listen(spec.control)
        self._stopping = False
        signal.signal(signal.SIGTERM, self._stop_asked)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def _stop_asked(self, *_: object) -> None:
        self._stopping = True

    def run(self) -> None:
        """Until SIGTERM or the end of standard input, and then until nobody is inside any more."""
        leave_at = 0.0
        while True:
            watched: list[Any] = [*self._devices, self._listener, *self._asking]
            if self._spec.ends_with_input and not self._stopping:
                watched.append(0)
            ready, _, _ = select.select(watched, [], [], self._patience_seconds())
            for one in ready:
                if one in self._sources:
                    self._carry(one)
                elif one is self._listener:
                    self._accept()
                elif one == 0:
                    self._stopping = not os.read(0, 4096) or self._stopping
                else:
                    self._hear(one)
            self._hand_over()
            if self._stopping:
                leave_at = leave_at or time.monotonic() + EMPTY_WITHIN_SECONDS
                if time.monotonic() > leave_at or not self._inhabited():
                    return

    def _inhabited(self) -> bool:
        observed = [place for place in self._places if place != namespaces.OBSERVER]
        return bool(namespaces.living_in([self._spec.prefix + place for place in observed]))

    def _patience_seconds(self) -> float:
        if self._waiting:
            return max(0.0, (self._waiting[0][0] - boottime_ns()) / 1e9)
        return 0.05 if self._stopping else IDLE_SECONDS

    def _carry(self, device: int) -> None:
        source = self._sources[device]
        route, now_ns = self.router.route, boottime_ns()
        for _ in range(BURST_PACKETS):
            try:
                packet = os.read(device, PACKET_BYTES)
            except BlockingIOError:
                return
            if (way := route(source, packet, now_ns)) is None:
                continue
            target, due_ns = way
            if due_ns <= now_ns:
                self._deliver(source, target, packet)
            else:
                self._order += 1
                heapq.heappush(self._waiting, (due_ns, self._order, source, target, packet))

    def _hand_over(self) -> None:
        if not self._waiting:
            return
        now_ns = boottime_ns()
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, source, target, packet = heapq.heappop(self._waiting)
            self._deliver(source, target, packet)

    def _deliver(self, source: int, target: int, packet: bytes) -> None:
        self.router.arrived(source, target)
        with contextlib.suppress(OSError):  # as a real one does with what nobody can take
            os.write(self._devices[target], packet)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._asking[connection] = b""

    def _hear(self, connection: socket.socket) -> None:
        try:
            said = connection.recv(ASK_BYTES)
        except OSError:
            said = b""
        text = self._asking.pop(connection) + said
        if said and b"\n" not in text and len(text) < ASK_BYTES:
            self._asking[connection] = text
            return
        with contextlib.suppress(OSError):
            connection.setblocking(True)
            connection.settimeout(IDLE_SECONDS)
            connection.sendall(json.dumps(self._answer(text)).encode() + b"\n")
        connection.close()

    def _answer(self, text: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(text)
            number = self._places.index
            if asked["do"] == "change":
                direction = self.router.directions[number(asked["from"])][number(asked["to"])]
                direction.rule = rule_from_json({**direction.rule.to_json(), **asked["change"]})
            elif asked["do"] == "dark":
                self.router.set_dark(number(asked["place"]), bool(asked["on"]))
            elif asked["do"] == "mend":
                for directions in self.router.directions:
                    for direction in directions:
                        direction.rule = Rule()
            elif asked["do"] != "show":
                raise ValueError(f"no such order: {asked['do']}")
        except (ValueError, KeyError, TypeError) as fault:
            return {"error": f"{type(fault).__name__}: {fault}"}
        return {"pid": os.getpid(), "directions": self._show(), "elsewhere": self.router.elsewhere}

    def _show(self) -> list[dict[str, Any]]:
        return [
            {"from": one, "to": other, "rule": direction.rule.to_json(), "counts": asdict(direction.counts)}
            for one, directions in zip(self._places, self.router.directions, strict=True)
            for other, direction in zip(self._places, directions, strict=True)
            if one != other
        ]

    def close(self) -> list[str]:
        """Take away everything that carries the lab's name; what is left, a line each."""
        self._listener.close()
        Path(self._spec.control).unlink(missing_ok=True)
        for device in self._devices:
            os.close(device)
        return namespaces.sweep(self._spec.prefix)


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    Path(path).unlink(missing_ok=True)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(8)
    listener.setblocking(False)
    return listener


def ask(control: Path, asked: Mapping[str, Any], within_seconds: float = 5.0) -> dict[str, Any]:
    """Ask a running network. Raises OSError when none answers, ValueError when it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within_seconds)
        connection.connect(str(control))
        connection.sendall(json.dumps(asked).encode() + b"\n")
        said = b""
        while not said.endswith(b"\n"):
            if not (more := connection.recv(ASK_BYTES)):
                break
            said += more
    answer: dict[str, Any] = json.loads(said)
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer


def main() -> None:
    """`python -P -m orchestrator.lab.wan SPEC`; says `ready` on standard output once packets pass."""
    spec = WanSpec.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    wan = None
    try:
        wan = Wan(spec)
        print("ready", flush=True)
        wan.run()
    finally:
        left = wan.close() if wan is not None else namespaces.sweep(spec.prefix)
        for line in left:
            print(f"left behind: {line}", flush=True)


if __name__ == "__main__":
    main()
