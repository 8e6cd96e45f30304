"""The lab's network as rules: what a delay, a loss and a cut do to packets, each direction by itself."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lab import relay
from orchestrator.lab.relay import Router, Rule, ports_of, rule_from_json

MS = 1_000_000
PLACES = [bytes((198, 18, 71, number)) for number in (1, 2, 3)]


def packet(target: int, *, source_port: int = 40_000, target_port: int = 5432, protocol: int = 6) -> bytes:
    header = bytes((0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0)) + PLACES[0] + PLACES[target]
    return header + source_port.to_bytes(2, "big") + target_port.to_bytes(2, "big") + bytes(16)


def router(seed: int = 1) -> Router:
    return Router(PLACES, Random(seed))


def send(net: Router, count: int, source: int = 0, target: int = 1, now_ns: int = 0) -> list[int]:
    """When those that arrive do."""
    ways = [net.route(source, packet(target), now_ns) for _ in range(count)]
    return [way[1] for way in ways if way is not None]


def test_without_a_rule_a_packet_arrives_at_once_where_its_address_says() -> None:
    net = router()
    assert net.route(0, packet(2), 5) == (2, 5)
    assert net.directions[0][2].counts.passed == 1
    assert net.directions[0][2].counts.passed_bytes == 40
    assert net.directions[2][0].counts.passed == 0


def test_a_delay_is_added_each_way_and_to_one_link_alone() -> None:
    net = router()
    net.directions[0][1].rule = Rule(delay_ns=20 * MS)
    assert net.route(0, packet(1), 100) == (1, 100 + 20 * MS)
    assert net.route(0, packet(2), 100) == (2, 100)
    assert net.route(1, packet(0), 100) == (0, 100)


def test_jitter_never_lets_a_packet_overtake_another() -> None:
    net = router()
    net.directions[0][1].rule = Rule(delay_ns=10 * MS, jitter_ns=5 * MS)
    due = [due_ns for at in range(200) for due_ns in send(net, 1, now_ns=at * MS)]
    assert due == sorted(due)
    assert all(at_ns - number * MS >= 10 * MS for number, at_ns in enumerate(due))


def test_packets_on_a_slow_way_stay_behind_each_other_when_it_is_mended() -> None:
    net = router()
    net.directions[0][1].rule = Rule(delay_ns=50 * MS)
    (slow,) = send(net, 1)
    net.directions[0][1].rule = Rule()
    (next_one,) = send(net, 1, now_ns=1 * MS)
    assert next_one == slow
    net.arrived(0, 1)
    net.arrived(0, 1)
    assert send(net, 1, now_ns=60 * MS) == [60 * MS]


@given(st.integers(0, 2**32), st.floats(0.0, 1.0))
def test_every_packet_is_counted_as_passed_or_lost(seed: int, loss: float) -> None:
    net = router(seed)
    net.directions[0][1].rule = Rule(loss=loss)
    arrived = send(net, 200)
    counts = net.directions[0][1].counts
    assert counts.passed == len(arrived)
    assert counts.passed + counts.lost == 200
    assert loss > 0 or counts.lost == 0
    assert loss < 1 or counts.passed == 0


def test_a_loss_is_about_what_was_asked_for() -> None:
    net = router()
    net.directions[0][1].rule = Rule(loss=0.1)
    send(net, 5000)
    assert 400 < net.directions[0][1].counts.lost < 600


def test_a_cut_one_way_drops_that_way_alone() -> None:
    net = router()
    net.directions[0][1].rule = Rule(cut=True)
    assert send(net, 7) == []
    assert send(net, 7, source=1, target=0) == [0] * 7
    assert net.directions[0][1].counts.cut == 7
    assert net.directions[1][0].counts.cut == 0


def test_a_cut_of_ports_drops_what_goes_to_them_and_comes_from_them() -> None:
    net = router()
    net.directions[0][1].rule = Rule(cut=True, ports=frozenset({2379, 2380}))
    assert net.route(0, packet(1, target_port=2379), 0) is None
    assert net.route(0, packet(1, source_port=2380), 0) is None
    assert net.route(0, packet(1), 0) == (1, 0)
    assert net.directions[0][1].counts.cut == 2


def test_a_dark_place_sends_and_hears_nothing_and_its_links_keep_their_rules() -> None:
    net = router()
    net.directions[0][2].rule = Rule(delay_ns=MS)
    net.set_dark(0, True)
    assert send(net, 3, source=0, target=1) == []
    assert send(net, 3, source=1, target=0) == []
    assert send(net, 1, source=1, target=2) == [0]
    net.set_dark(0, False)
    assert send(net, 1, source=0, target=2) == [MS]


def test_too_many_packets_on_their_way_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "LONGEST_QUEUE_PACKETS", 10)
    net = router()
    net.directions[0][1].rule = Rule(delay_ns=MS)
    assert len(send(net, 15)) == 10
    assert net.directions[0][1].counts.full == 5
    net.arrived(0, 1)
    assert len(send(net, 2)) == 1


@pytest.mark.parametrize(
    "what",
    [
        b"",
        b"\x60" + bytes(39),
        b"\x45" + bytes(15) + bytes((224, 0, 0, 22)) + bytes(20),
        b"\x45" + bytes(8),
    ],
)
def test_what_is_for_nobody_goes_nowhere(what: bytes) -> None:
    net = router()
    assert net.route(0, what, 0) is None
    assert net.elsewhere == 1


def test_ports_are_those_of_tcp_and_udp_and_of_first_fragments_alone() -> None:
    assert ports_of(packet(1)) == (40_000, 5432)
    assert ports_of(packet(1, protocol=17)) == (40_000, 5432)
    assert ports_of(packet(1, protocol=1)) == ()
    later = bytearray(packet(1))
    later[7] = 8
    assert ports_of(bytes(later)) == ()
    assert ports_of(packet(1)[:22]) == ()


def test_a_rule_that_makes_no_sense_is_refused() -> None:
    assert rule_from_json(Rule(cut=True, ports=frozenset({1})).to_json()).ports == {1}
    for wrong in ({"loss": 1.5}, {"delay_ns": -1}, {"speed": 3}, {"ports": ["x"]}):
        with pytest.raises((ValueError, TypeError)):
            rule_from_json(wrong)
