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
