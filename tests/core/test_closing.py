"""P23: while an instance is being closed or fenced here, nothing may open it."""

from dataclasses import replace

from orchestrator.core import messages as m
from orchestrator.core.messages import ServiceItem
from orchestrator.core.records import Movement
from tests.core.alone import Alone, record_of


def closing() -> Alone:
    """The executor's request stands in services/s, and the driver has been told to close it."""
    keeper = Alone({"s": record_of("x")}).enter()
    for order in keeper.guard_orders(keeper.tell(m.GuardConnected("s")), "learn"):
        keeper.acknowledge(order)
    assert keeper.guard_asks() is not None
    keeper.guard_asks(is_open=True)
    asked_for = replace(
        record_of("x"),
        movement=Movement.MOVING,
        run="r",
        kind="switchover",
        target="y",
        asked_to_give_up=True,
    )
    orders = keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 1, asked_for)))
    assert any(isinstance(order, m.CloseInstance) for order in orders)
    return keeper


def answered(keeper: Alone, what: m.Ask) -> m.Reply:
    return next(order for order in keeper.tell(m.Asked(1, what)) if isinstance(order, m.Reply))


def test_p23_nothing_may_open_what_is_being_closed() -> None:
    keeper = closing()
    for what in (m.MayAct(service="s", epoch=4), m.InstanceOpened(service="s")):
        refused = answered(keeper, what)
        assert not refused.done
        assert refused.code == "right-lost"
        assert "being shut" in refused.message


def test_a_give_up_that_is_seen_before_it_is_answered_leaves_no_refusal_behind() -> None:
    """The watch is quicker than the reply, and the driver's fence ends in between. The site claims the
    service again: its guard must get a yes, else it is served nowhere (found by the simulation)."""
    keeper = Alone({"s": record_of("x")}).enter()
    for order in keeper.guard_orders(keeper.tell(m.GuardConnected("s")), "learn"):
        keeper.acknowledge(order)
    keeper.guard_asks(is_open=True)
    asked_for = replace(
        record_of("x"), movement=Movement.MOVING, run="r", kind="failover", target="x", asked_to_give_up=True
    )
    orders = keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 1, asked_for)))
    (fence,) = keeper.guard_orders(orders, "fence")
    given_up = next(
        order for order in keeper.acknowledge(fence, fenced=True) if isinstance(order, m.Transact)
    )
    nobody = replace(asked_for, primary=None, previous="x", asked_to_give_up=False)
    keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 2, nobody)))
    keeper.tell(m.FenceEnded("s", verified=True, evidence="no write passes"))
    keeper.tell(m.TransactionAnswered(given_up.transaction, True, keeper.revision + 2, None, keeper.peer, ()))
    again = replace(nobody, primary="x", epoch=5, movement=Movement.MOVING)
    keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 3, again)))
    assert keeper.entitled()
    answer = keeper.guard_asks(is_open=False)
    assert answer is not None
    assert answer.remaining_ns > 0
