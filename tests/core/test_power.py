"""P8, P9, P28, P32: when the other site may be switched off, and what a verified cut is a right to."""

from dataclasses import replace

import pytest

from orchestrator.core import messages as m
from orchestrator.core.records import SITES, Mode, encode
from orchestrator.core.registration import register
from tests.core.alone import Alone, transactions
from tests.core.alone import record_of as owned
from tests.core.world import MS, TIMING, World, run_record, steady_world, take_over

SECOND = 1_000 * MS
T = TIMING.lease_duration_ns


def may(*services: str, covers: tuple[str, ...] | None = None, ordered: bool = False) -> m.MayPowerOff:
    """Devices that switch off every host of these services, unless said otherwise."""
    return m.MayPowerOff(services=services, covers=services if covers is None else covers, ordered=ordered)


def asked(world: World, what: m.Ask) -> str:
    """The code of y's answer; "yes"."""
    ask = world.ask("y", what)
    world.run(300 * MS)
    reply = world.reply("y", ask)
    assert reply is not None
    return "yes" if reply.done else reply.code


def two(mode: Mode = Mode.AUTOMATIC) -> World:
    """`s` and `t` are x's, `s` of that mode; x is dead and was silent for longer than T."""
    world = steady_world({"s": "x", "t": "x"}, modes={"s": mode, "t": Mode.AUTOMATIC})
    world.kill("x")
    world.run(4 * SECOND)
    return world


def by_cut(world: World, *services: str, **changes: object) -> m.TakeOver:
    """A takeover after a cut that was verified a moment ago."""
    until_ns = world.nodes["y"].clock(world.now_ns) + 10 * SECOND
    return take_over(world, *services, **{"by_device": True, "cut_until_ns": until_ns, **changes})


def holds(world: World) -> None:
    """x's key carries hold."""
    item = world.store.site("x")
    assert item is not None
    world.store.revision += 1
    key = (world.store.revision, encode(replace(item.record, hold=True)))
    world.store.items[SITES + "x"] = key


def test_p9_nothing_of_a_site_that_renews_is_switched_off_whoever_orders_it() -> None:
    world = steady_world()
    world.link_up = False
    for ordered in (False, True):
        assert asked(world, may("s", ordered=ordered)) == "lease-still-held"
    assert not world.violations


def test_p9_nothing_of_a_silent_site_is_switched_off_before_its_lease_is_over() -> None:
    world = steady_world()
    world.kill("x")
    world.run(2500 * MS)
    assert asked(world, may("s")) == "lease-still-held"
    world.run(SECOND)
    assert asked(world, may("s")) == "yes"


@pytest.mark.parametrize(("renewed", "answer"), [(True, "lease-still-held"), (False, "yes")])
def test_p8_the_peer_s_key_is_read_once_more_before_anything_is_switched_off(
    renewed: bool, answer: str
) -> None:
    """A frozen member of the store hides beats; it would look like silence."""
    keeper = Alone({"s": owned("y")}).enter()
    for _ in range(15):
        keeper.renew()
    orders = keeper.tell(m.Asked(1, may("s")))
    assert [order for order in orders if isinstance(order, m.ReadPeer)] == [m.ReadPeer(1)]
    assert keeper.peer is not None
    found = keeper.peer
    if renewed:
        found = m.SiteItem(keeper.revision + 1, replace(found.record, beat=found.record.beat + 1))
    keeper.tell(m.PeerRead(1, found))
    replies = ["yes" if order.done else order.code for order in keeper.orders if isinstance(order, m.Reply)]
    assert replies == [answer]


def test_a_store_that_does_not_answer_the_read_switches_nothing_off() -> None:
    world = two()
    world.fate = lambda site, order: "lost" if isinstance(order, m.ReadPeer) else "answered"
    ask = world.ask("y", may("s"))
    world.run(2 * SECOND)
    reply = world.reply("y", ask)
    assert reply is not None
    assert (reply.done, reply.code) == (False, "no-quorum")


def test_a_site_without_a_lease_of_its_own_switches_nothing_off() -> None:
    """It may go on by hold alone, and then what it knows of the other one may be of any age."""
    keeper = Alone({"s": owned("y")}, guarded=False).enter()
    keeper.state.hold_carried = keeper.state.hold_relied = True
    keeper.wait(4 * SECOND)
    assert keeper.entitled("s") is False
    keeper.tell(m.Asked(1, may("s")))
    replies = [order.code for order in keeper.orders if isinstance(order, m.Reply)]
    assert replies == ["no-quorum"]


def test_p28_a_manual_service_s_hosts_are_switched_off_by_a_person_only() -> None:
    world = two(Mode.MANUAL)
    assert asked(world, may("s")) == "manual"
    assert asked(world, may("s", "t")) == "manual"
    assert asked(world, may("s", ordered=True)) == "yes"


def test_p29_what_holds_is_switched_off_by_a_person_only_and_all_of_it() -> None:
    world = two()
    holds(world)
    assert asked(world, may("s")) == "peer-holds"
    assert asked(world, may("s", "t")) == "peer-holds"
    assert asked(world, may("s", ordered=True)) == "peer-holds", "t would go on"
    assert asked(world, may("s", covers=("s", "t"), ordered=True)) == "yes"


@pytest.mark.parametrize(
    ("what", "code"), [(may("s", covers=()), "device-missing"), (may("u"), "unknown-service")]
)
def test_hosts_that_no_device_covers_and_services_that_are_none_are_told(
    what: m.MayPowerOff, code: str
) -> None:
    assert asked(two(), what) == code


def test_what_was_taken_may_be_switched_off_behind_the_takeover_until_the_site_is_back() -> None:
    world = two()
    assert asked(world, take_over(world, "s")) == "yes"
    assert asked(world, may("s")) == "yes"
    world.nodes["x"].alive = True
    world.restart("x")
    world.run(3 * SECOND)
    assert asked(world, may("s")) == "peer-back"
    assert asked(world, may("s", ordered=True)) == "yes", "a run makes sure before it promotes"


# --- what a verified cut is a right to -----------------------------------------------------------------


def test_p28_a_verified_cut_takes_a_manual_service_without_the_wait() -> None:
    world = steady_world(modes={"s": Mode.MANUAL})
    world.nodes["x"].reaches_store = False
    world.run(200 * MS)
    for covers in ((), ("t",)):
        what = by_cut(world, "s", covers=covers, ordered_by_operator=True)
        assert asked(world, what) == "manual"
    world.writable["x", "s"] = False  # its host is off
    what = by_cut(world, "s", covers=("s",), ordered_by_operator=True)
    assert asked(world, what) == "yes"
    item = world.store.service("s")
    assert item is not None
    assert (item.record.primary, item.record.epoch) == ("y", 2)


def test_p28_a_cut_of_long_ago_is_no_right_any_more() -> None:
    """A keeper that stood still meanwhile: somebody may have switched the host on again, and it serves."""
    world = steady_world(modes={"s": Mode.MANUAL})
    world.nodes["x"].reaches_store = False
    until_ns = world.nodes["y"].clock(world.now_ns)
    what = by_cut(world, "s", covers=("s",), ordered_by_operator=True, cut_until_ns=until_ns)
    world.run(100 * MS)
    assert asked(world, what) == "device-cut-too-old"


def test_p28_a_verified_cut_does_not_shorten_the_wait_for_an_automatic_service() -> None:
    world = steady_world()
    world.kill("x")
    ask = world.ask("y", by_cut(world, "s", covers=("s",), ordered_by_operator=True))
    world.run(2 * SECOND)
    assert world.reply("y", ask) is None
    world.run(2 * SECOND)
    reply = world.reply("y", ask)
    assert reply is not None
    assert reply.done


def test_p28_p29_hold_is_taken_out_only_by_a_cut_that_covers_everything() -> None:
    world = two()
    holds(world)
    what = by_cut(world, "s", covers=("s",), ordered_by_operator=True)
    assert asked(world, what) == "peer-holds"
    what = by_cut(world, "s", covers=("s", "t"), ordered_by_operator=True)
    assert asked(world, what) == "yes"
    peer = world.store.site("x")
    assert peer is not None
    assert (peer.record.revoked, peer.record.hold) == (True, False)


def test_p11_a_verified_cut_of_a_manual_service_does_not_end_the_wait_for_an_automatic_one() -> None:
    world = steady_world({"man": "x", "auto": "x"}, modes={"man": Mode.MANUAL, "auto": Mode.AUTOMATIC})
    world.nodes["x"].reaches_store = False
    world.writable["x", "man"] = False
    what = by_cut(world, "man", covers=("man",), ordered_by_operator=True)
    assert asked(world, what) == "yes"
    second = world.ask("y", take_over(world, "auto", ordered_by_operator=True))
    world.run(300 * MS)
    assert world.reply("y", second) is None, "its lease is not over"
    assert not world.violations


def test_p32_a_device_does_not_stand_in_for_the_peer_s_word_as_a_person_does() -> None:
    """It knows nothing of what the other site may have served under a certificate."""
    for by_device in (True, False):
        keeper = Alone({"s": owned("y", mode=Mode.MANUAL)}).enter()
        keeper.state.word_needed = True
        keeper.state.word_from_incarnation = keeper.state.incarnation + 1
        record = run_record("r", "s", to_site="x", from_site="y")
        what = m.TakeOver(
            services=("s",),
            records=(record,),
            ordered_by_operator=True,
            hold_down_ns=0,
            who="a",
            why="b",
            certified_down=not by_device,
            by_device=by_device,
            cut_until_ns=keeper.now_ns + SECOND,
            covers=("s",),
            wait_until_ns=keeper.now_ns,
        )
        keeper.tell(m.Asked(1, what))
        assert keeper.state.word_needed is by_device
        orders = keeper.wait(100 * MS)
        refusals = [order.code for order in keeper.orders if isinstance(order, m.Reply)]
        assert refusals == (["peer-word-missing"] if by_device else [])
        assert not transactions(orders)


def test_a_view_that_was_dropped_switches_nothing_off_until_it_is_known_again() -> None:
    """P4: of a service that is not known, nobody knows whether its site holds it."""
    world = two()
    node = world.nodes["y"]
    for order in register(node.state, node.clock(world.now_ns)):
        world._carry_out(node, node.life, order)
    ask = world.ask("y", may("s"))
    assert world.reply("y", ask) is None
    world.run(SECOND)
    reply = world.reply("y", ask)
    assert reply is not None
    assert reply.done
