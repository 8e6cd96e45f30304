"""What a certificate (P28) does not shorten, and what a keeper does not believe of its guards (P23, P31)."""

from orchestrator.core import guarding
from orchestrator.core import messages as m
from orchestrator.core.keeper_view import picture
from orchestrator.core.messages import ServiceItem
from orchestrator.core.records import Mode, SiteRecord
from tests.core.alone import SECOND, TIMING, Alone, record_of
from tests.core.world import MS, World, steady_world, take_over

T = TIMING.lease_duration_ns


def owner(world: World, service: str) -> str | None:
    """Whom the store names."""
    item = world.store.service(service)
    return item.record.primary if item is not None else None


def manual_and_automatic() -> World:
    """Both are x's, whose lease was renewed a moment ago and who reaches the store no more."""
    world = steady_world({"man": "x", "auto": "x"}, modes={"man": Mode.MANUAL, "auto": Mode.AUTOMATIC})
    world.nodes["x"].reaches_store = False
    return world


def test_p11_a_certified_takeover_of_a_manual_service_does_not_end_the_wait_for_an_automatic_one() -> None:
    world = manual_and_automatic()
    world.ask("y", take_over(world, "man", certified_down=True, ordered_by_operator=True))
    world.run(100 * MS)
    assert owner(world, "man") == "y"
    second = world.ask("y", take_over(world, "auto", ordered_by_operator=True))
    world.run(300 * MS)
    assert world.reply("y", second) is None, "its lease is not over"
    assert not world.violations


def test_p11_the_controller_is_told_that_the_lease_is_not_over() -> None:
    world = manual_and_automatic()
    world.ask("y", take_over(world, "man", certified_down=True, ordered_by_operator=True))
    world.run(120 * MS)
    node = world.nodes["y"]
    now_ns = node.clock(world.now_ns)
    over_ns = picture(node.state, now_ns).peer_lease_over_ns
    assert over_ns is not None
    assert over_ns > now_ns


def test_p31_glass_outlasts_a_guard_that_has_not_taken_a_lease_s_deadline_since() -> None:
    """It had acknowledged that it fences, was lost, and was opened by the certificate, carried by hand."""
    keeper = Alone({"s": record_of("x", mode=Mode.MANUAL)}).enter()
    keeper.tell(m.GuardConnected("s"))
    keeper.guard_asks(is_open=True)
    orders = keeper.tell(m.Asked(50, m.SetMode(service="s", mode="automatic")))
    keeper.acknowledge(keeper.guard_orders(orders, "automatic")[-1])
    keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 1, record_of("x", epoch=4))))
    keeper.state.asks.clear()
    keeper.state.transactions.clear()
    keeper.tell(m.GuardGone("s"))
    keeper.wait(2 * T)
    keeper.tell(m.Asked(1, m.BreakGlass(service="s", epoch=9, certificate="c", who="a", why="b")))
    own = SiteRecord(incarnation=keeper.state.incarnation, beat=1, keeper="k", lease_duration_ns=T)
    keeper.register(own=own)
    keeper.beat_of_peer(peer_incarnation=keeper.state.incarnation)
    keeper.register(
        own=SiteRecord(incarnation=keeper.state.incarnation, beat=1, keeper="k", lease_duration_ns=T)
    )
    keeper.renew()
    keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 50, record_of("x", epoch=10))))
    assert "s" in keeper.state.glass


def test_p31_a_guard_s_word_that_a_certificate_keeps_it_open_is_passed_on_to_the_peer() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    keeper.tell(m.GuardConnected("s"))
    keeper.tell(m.GuardAsked("s", "n", True, 1, 9, certified=True))
    assert keeper.renewal(keeper.wait(SECOND)).record.break_glass
    keeper.tell(m.GuardAsked("s", "o", False, 1, 9, certified=False))
    assert not keeper.renewal(keeper.wait(SECOND)).record.break_glass


def test_p23_a_guard_that_the_keeper_before_may_have_told_manual_is_not_taken_for_cut_off() -> None:
    keeper = Alone({"s": record_of("x", mode=Mode.MANUAL)}, inherited_for_ns=SECOND)
    keeper.register()
    orders = keeper.tell(m.GuardConnected("s")) + keeper.wait(400 * MS)
    for order in keeper.guard_orders(orders, "learn"):
        keeper.acknowledge(order)
    keeper.tell(m.GuardGone("s"))
    for _ in range(20):
        keeper.renew()
    assert not guarding.cut_off(keeper.state, "s", keeper.now_ns)
