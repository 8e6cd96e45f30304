"""P18 to P21, P23, P27: what a keeper answers and orders its guards, and what waits for their word."""

import pytest

from orchestrator.core import messages as m
from orchestrator.core.records import Mode, SiteRecord
from sites.replication.words import Position
from tests.core.alone import MS, SECOND, TIMING, Alone, record_of, transactions

T = TIMING.lease_duration_ns
FINAL = Position(text="100", history="cluster/1", offset_bytes=100)


def learned(keeper: Alone) -> Alone:
    """Its guard is there and has learned the incarnation (P21)."""
    orders = keeper.tell(m.GuardConnected("s"))
    for order in keeper.guard_orders(orders, "learn"):
        keeper.acknowledge(order)
    return keeper


def owner(mode: Mode = Mode.AUTOMATIC) -> Alone:
    return learned(Alone({"s": record_of("x", mode=mode)}).enter())


# --- answers -----------------------------------------------------------------------------------------------


def test_p18_the_answer_says_what_is_left_of_the_lease() -> None:
    keeper = owner()
    answer = keeper.guard_asks()
    assert answer is not None
    assert (answer.incarnation, answer.epoch) == (keeper.state.confirmed_incarnation, 4)
    assert answer.remaining_ns == keeper.state.deadline_ns - keeper.now_ns
    assert not answer.manual


def test_p18_what_is_anothers_is_answered_by_nothing_left() -> None:
    keeper = learned(Alone({"s": record_of("y")}).enter())
    answer = keeper.guard_asks(is_open=True)
    assert answer is not None
    assert answer.remaining_ns == 0


def test_p18_a_service_nobody_owns_is_answered_by_nothing_left() -> None:
    keeper = learned(Alone({"s": record_of(None)}).enter())
    answer = keeper.guard_asks()
    assert answer is not None
    assert answer.remaining_ns == 0


def test_p1_a_guard_hears_nothing_from_a_keeper_whose_decider_hangs() -> None:
    keeper = owner()
    keeper.now_ns += T // 2 + MS
    assert keeper.guard_asks(is_open=True) is None


def test_p4_a_dropped_view_is_silence_so_that_what_is_open_stays_so_until_its_deadline() -> None:
    keeper = owner()
    orders = keeper.tell(m.Asked(1, m.SetPause(service="s", pause=None)))
    keeper.tell(m.Asked(2, m.Acknowledge(service="s", who="w")))
    orders += keeper.tell(m.Asked(3, m.SetMode(service="s", mode=Mode.MANUAL)))
    sent = transactions(orders)[-1]
    keeper.tell(m.TransactionLost(sent.transaction))
    assert keeper.guard_asks(is_open=True) is None


def test_p19_a_manual_service_has_no_deadline_to_be_fenced_at() -> None:
    answer = owner(Mode.MANUAL).guard_asks()
    assert answer is not None
    assert answer.manual
    assert answer.remaining_ns > 0


def test_a_guard_that_may_open_is_told_to_ask_now() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    orders = keeper.tell(m.GuardConnected("s"))
    assert len(keeper.guard_orders(orders, "ask")) == 1
    keeper.guard_asks(is_open=True)
    assert keeper.guard_orders(keeper.wait(2 * SECOND), "ask") == []


# --- P21 ---------------------------------------------------------------------------------------------------


def test_p21_a_guard_is_told_the_incarnation_until_it_has_acknowledged() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    orders = keeper.tell(m.GuardConnected("s"))
    assert [o.incarnation for o in keeper.guard_orders(orders, "learn")] == [2]
    again = keeper.guard_orders(keeper.wait(SECOND), "learn")
    assert len(again) >= 2
    keeper.acknowledge(again[-1])
    assert keeper.guard_orders(keeper.wait(SECOND), "learn") == []


def test_p21_nothing_is_given_up_while_the_guard_does_not_know_the_incarnation() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.tell(m.GuardConnected("s"))
    orders = keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="dead")))
    orders += keeper.tell(m.FenceEnded("s", True, "by the driver"))
    assert transactions(orders) == []


# --- P20, P23 ----------------------------------------------------------------------------------------------


def test_p23_a_dead_database_is_given_up_after_the_guards_word_not_before() -> None:
    keeper = owner()
    orders = keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="dead")))
    fence = keeper.guard_orders(orders, "fence")[0]
    assert transactions(keeper.tell(m.FenceEnded("s", True, "by the driver"))) == []
    assert len(transactions(keeper.acknowledge(fence, fenced=True))) == 1


def test_p20_between_the_order_to_fence_and_its_acknowledgement_nothing_is_answered() -> None:
    keeper = owner()
    keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="dead")))
    assert keeper.guard_asks(is_open=True) is None


def test_p23_after_the_give_up_was_sent_the_guard_is_answered_no() -> None:
    keeper = owner()
    orders = keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="dead")))
    keeper.acknowledge(keeper.guard_orders(orders, "fence")[0], fenced=True)
    keeper.tell(m.FenceEnded("s", True, "by the driver"))
    answer = keeper.guard_asks()
    assert answer is not None
    assert answer.remaining_ns == 0


def test_p20_an_acknowledgement_of_another_order_or_without_a_cut_proves_nothing() -> None:
    keeper = owner()
    orders = keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="dead")))
    fence = keeper.guard_orders(orders, "fence")[0]
    orders = keeper.tell(m.GuardAcknowledged("s", fence.number + 50, True, 99, "another"))
    orders += keeper.tell(m.GuardAcknowledged("s", fence.number, False, 99, "not cut"))
    orders += keeper.tell(m.FenceEnded("s", True, "by the driver"))
    assert transactions(orders) == []


def test_p23_a_planned_give_up_closes_then_has_the_guards_word_then_writes() -> None:
    keeper = owner()
    asked = record_of("x")
    from dataclasses import replace

    from orchestrator.core.messages import ServiceItem
    from orchestrator.core.records import Movement

    asked = replace(asked, asked_to_give_up=True, movement=Movement.MOVING, run="r", kind="switchover")
    orders = keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 1, asked)))
    assert any(isinstance(order, m.CloseInstance) for order in orders)
    assert keeper.guard_orders(orders, "fence") == []
    orders = keeper.tell(m.CloseEnded("s", True, FINAL, "closed"))
    assert transactions(orders) == []
    fence = keeper.guard_orders(orders, "fence")[0]
    assert len(transactions(keeper.acknowledge(fence, fenced=True))) == 1


def test_p23_a_guard_out_of_reach_counts_as_shut_when_all_it_was_told_has_run_out() -> None:
    keeper = owner()
    keeper.guard_asks(is_open=True)
    keeper.tell(m.GuardGone("s"))
    keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="the host is gone")))
    keeper.tell(m.FenceEnded("s", True, "nothing answers there"))
    for _ in range(4):
        keeper.renew()
    assert transactions(keeper.orders) == []
    for _ in range(8):
        keeper.renew()
    assert len(transactions(keeper.orders)) == 1


def test_a_manual_services_guard_out_of_reach_never_counts_as_shut() -> None:
    keeper = owner(Mode.MANUAL)
    keeper.guard_asks(is_open=True)
    keeper.tell(m.GuardGone("s"))
    keeper.tell(m.Asked(1, m.GiveUpDead(service="s", why="the host is gone")))
    keeper.tell(m.FenceEnded("s", True, "nothing answers there"))
    for _ in range(60):
        keeper.renew()
    assert transactions(keeper.orders) == []


# --- P7 ----------------------------------------------------------------------------------------------------


def test_p7_at_the_deadline_the_guard_is_ordered_to_fence_beside_the_driver() -> None:
    keeper = owner()
    orders = keeper.wait(T)
    assert len(keeper.guard_orders(orders, "fence")) >= 1
    assert any(isinstance(order, m.FenceInstance) for order in orders)


# --- P27 ---------------------------------------------------------------------------------------------------


def test_p27_automatic_is_written_only_after_the_guard_has_acknowledged_that_it_fences() -> None:
    keeper = owner(Mode.MANUAL)
    orders = keeper.tell(m.Asked(1, m.SetMode(service="s", mode=Mode.AUTOMATIC)))
    assert transactions(orders) == []
    order = keeper.guard_orders(orders, "automatic")[0]
    assert len(transactions(keeper.acknowledge(order))) == 1


def test_p27_from_the_order_on_the_guard_is_answered_as_automatic() -> None:
    keeper = owner(Mode.MANUAL)
    keeper.tell(m.Asked(1, m.SetMode(service="s", mode=Mode.AUTOMATIC)))
    answer = keeper.guard_asks(is_open=True)
    assert answer is not None
    assert not answer.manual


def test_p27_a_definite_refusal_makes_it_manual_again() -> None:
    keeper = owner(Mode.MANUAL)
    keeper.tell(m.GuardGone("s"))
    keeper.tell(m.Asked(1, m.SetMode(service="s", mode=Mode.AUTOMATIC)))
    for _ in range(100):
        keeper.renew()
    assert not keeper.state.services["s"].made_automatic


@pytest.mark.parametrize("mode", [Mode.AUTOMATIC, Mode.MANUAL])
def test_a_guard_is_never_told_without_an_end_when_its_service_is_automatic(mode: Mode) -> None:
    answer = owner(mode).guard_asks(is_open=True)
    assert answer is not None
    assert answer.manual == (mode is Mode.MANUAL)
    assert 0 < answer.remaining_ns <= T


# --- a successor -------------------------------------------------------------------------------------------


def test_p4_a_superseded_keeper_tells_its_guards_before_it_ends_and_cuts_nothing_off() -> None:
    """P21: whichever of the two a guard hears first, nothing of the older one counts from then on."""
    keeper = owner()
    assert keeper.guard_asks() is not None
    theirs = SiteRecord(incarnation=keeper.state.incarnation + 3, beat=1, keeper="spare", lease_duration_ns=T)
    renew = keeper.renewal(keeper.wait(TIMING.renew_every_ns))
    own = m.SiteItem(keeper.revision + 1, theirs)
    refused = m.RenewalAnswered(
        renew.record.incarnation, renew.record.beat, False, keeper.revision + 1, own, keeper.peer
    )
    orders = keeper.tell(refused)
    assert [type(order) for order in orders] == [m.OrderGuard, m.Exit]
    (told,) = keeper.guard_orders(orders, "learn")
    assert (told.service, told.incarnation) == ("s", theirs.incarnation)
    assert keeper.guard_asks(is_open=True) is None
    assert not [order for order in keeper.wait(T) if isinstance(order, m.FenceInstance)]


def test_p4_a_superseded_keeper_does_not_wait_for_guards_that_are_not_there() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    theirs = SiteRecord(incarnation=99, beat=1, keeper="spare", lease_duration_ns=T)
    renew = keeper.renewal(keeper.wait(TIMING.renew_every_ns))
    own = m.SiteItem(keeper.revision + 1, theirs)
    orders = keeper.tell(
        m.RenewalAnswered(renew.record.incarnation, renew.record.beat, False, own.revision, own, keeper.peer)
    )
    assert [type(order) for order in orders] == [m.Exit]


def test_an_open_guard_is_told_to_ask_when_the_lease_was_saved_at_the_last_moment() -> None:
    """Else it asks at its own pace, and may fence before it has heard."""
    keeper = Alone({"s": record_of("x")}).enter()
    keeper.tell(m.GuardConnected("s"))
    keeper.renew()
    keeper.guard_asks(is_open=True)
    late = keeper.wait(TIMING.lease_duration_ns * 3 // 4)
    assert keeper.guard_orders(late, "ask") == [], "there is nothing to tell it"
    orders = keeper.commit(keeper.renewal(late))
    assert len(keeper.guard_orders(orders, "ask")) == 1
    keeper.guard_asks(is_open=True)
    assert keeper.guard_orders(keeper.wait(SECOND), "ask") == []
