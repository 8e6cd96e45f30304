"""The lab's network between its sites, as rules: what happens to one packet from one place to another.

Pure: packets and times come in, decisions come out; `orchestrator.lab.wan` moves the bytes. Everything is by
direction, so that a link can be cut one way, and counted by direction, so that a fault can be shown to have
done something without a clock. It carries IPv4 and looks at nothing but addresses and ports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

LONGEST_QUEUE_PACKETS = 20_000  # on their way, in one direction
TCP, UDP = 6, 17


@dataclass(frozen=True, slots=True)
class Rule:
    """What one direction does to packets. `cut` drops all of them, or with `ports` those of these ports
    alone; `jitter_ns` is the most that is added to the delay; `loss` is a share from 0 to 1."""

    cut: bool = False
    ports: frozenset[int] = frozenset()
    delay_ns: int = 0
    jitter_ns: int = 0
    loss: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """What `rule_from_json` reads."""
        return {**asdict(self), "ports": sorted(self.ports)}


def rule_from_json(raw: Mapping[str, Any]) -> Rule:
    """Raises ValueError, KeyError or TypeError for what is no rule."""
    rule = Rule(**{**raw, "ports": frozenset(int(port) for port in raw.get("ports", ()))})
    if rule.delay_ns < 0 or rule.jitter_ns < 0 or not 0.0 <= rule.loss <= 1.0:
        raise ValueError(f"no rule for packets: {dict(raw)}")
    return rule


@dataclass(slots=True)
class Counts:
    """What became of one direction's packets so far. `full`: dropped because too many were on their way."""

    passed: int = 0
    passed_bytes: int = 0
    cut: int = 0
    lost: int = 0
    full: int = 0


class Direction:
    """From one place to another: the rule in force, the counts, and when the last packet arrives."""

    __slots__ = ("counts", "last_due_ns", "on_the_way", "rule")

    def __init__(self) -> None:
        self.rule = Rule()
        self.counts = Counts()
        self.last_due_ns = 0
        self.on_the_way = 0


class Router:
    """Every direction between the places, which are numbered in the order of their addresses given."""

    def __init__(self, addresses: Sequence[bytes], random: Random) -> None:
        """`addresses`: four bytes each, one a place."""
        self._number = {address: number for number, address in enumerate(addresses)}
        self._random = random
        self._dark: frozenset[int] = frozenset()
        self.elsewhere = 0  # packets to nobody: multicast, IPv6
        self.directions = [[Direction() for _ in addresses] for _ in addresses]

    def set_dark(self, place: int, on: bool) -> None:
        """A place that is dark sends and gets nothing, whatever its links' rules are."""
        self._dark = self._dark | {place} if on else self._dark - {place}

    def route(self, source: int, packet: bytes, now_ns: int) -> tuple[int, int] | None:
        """Where the packet goes and when it arrives there; None: it does not. One that is sent on its way
        is to be reported back by `arrived`."""
        target = self._number.get(packet[16:20]) if packet[:1] >= b"\x45" and packet[:1] < b"\x50" else None
        if target is None:
            self.elsewhere += 1
            return None
        direction = self.directions[source][target]
        rule, counts = direction.rule, direction.counts
        if self._dark and not self._dark.isdisjoint((source, target)):
            counts.cut += 1
            return None
        if rule.cut and (not rule.ports or not rule.ports.isdisjoint(ports_of(packet))):
            counts.cut += 1
            return None
        if rule.loss and self._random.random() < rule.loss:
            counts.lost += 1
            return None
        if direction.on_the_way >= LONGEST_QUEUE_PACKETS:
            counts.full += 1
            return None
        counts.passed += 1
        counts.passed_bytes += len(packet)
        due_ns = now_ns
        if rule.delay_ns or rule.jitter_ns or direction.on_the_way:
            due_ns += rule.delay_ns + (self._random.randrange(rule.jitter_ns) if rule.jitter_ns else 0)
            # A slow packet holds up those behind it: what overtakes is TCP's trouble, not a network's.
            due_ns = direction.last_due_ns = max(due_ns, direction.last_due_ns)
        direction.on_the_way += 1
        return target, due_ns

    def arrived(self, source: int, target: int) -> None:
        """A packet that was sent on its way has been handed over."""
        self.directions[source][target].on_the_way -= 1


def ports_of(packet: bytes) -> tuple[int, ...]:
    """Source and destination port of a TCP or UDP packet over IPv4; nothing for any other, or a fragment."""
    header = (packet[0] & 0x0F) * 4
    first = packet[6] & 0x1F == 0 and packet[7] == 0
    if packet[9] not in (TCP, UDP) or not first or len(packet) < header + 4:
        return ()
    return int.from_bytes(packet[header : header + 2], "big"), int.from_bytes(
        packet[header + 2 : header + 4], "big"
    )
