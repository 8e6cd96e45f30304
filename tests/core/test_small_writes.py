"""P4, P15: a transaction that leaves owner, epoch and mode alone, a pause above all, may get lost. It must
not cost the site its service, nor the other one its promise: it is ordered as the store is being lost."""

from dataclasses import replace

from orchestrator.core import messages as m
from orchestrator.core.messages import ServiceItem, SiteItem
from orchestrator.core.records import Pause, SiteRecord
from orchestrator.core.state import Phase
from tests.core.alone import MS, SECOND, TIMING, Alone, record_of, transactions
from tests.core.world import first_claim

T = TIMING.lease_duration_ns
PAUSE = Pause(pause_id="p", seconds=600.0, since="", who="jo", reason="the store is odd")


def paused(service: str = "s", owner: str = "x") -> tuple[Alone, m.Transact]:
    """A pause was ordered, and its transaction is on its way."""
    keeper = Alone({service: record_of(owner)}).enter()
    keeper.tell(m.GuardConnected(service))
    return keeper, transactions(keeper.tell(m.Asked(1, m.SetPause(service=service, pause=PAUSE))))[0]


def test_p4_a_lost_pause_leaves_the_view_and_the_right_alone() -> None:
    keeper, sent = paused()
    keeper.tell(m.TransactionLost(sent.transaction))
    assert keeper.state.phase is Phase.ACTIVE
    assert keeper.entitled()
    answer = keeper.guard_asks(is_open=True)
    assert answer is not None
    assert answer.remaining_ns > 0


def test_p15_a_lost_pause_of_the_other_sites_service_does_not_cost_it_our_promise() -> None:
    keeper, sent = paused(owner="y")
    keeper.renew()
    keeper.tell(m.TransactionLost(sent.transaction))
    orders = keeper.tell(m.PromiseAsked(1, "peer", (7,), T))
    assert [order.granted for order in orders if isinstance(order, m.AnswerPromise)] == [True]


def test_a_lost_pause_is_sent_again_and_found_done_if_it_was() -> None:
    keeper, sent = paused()
    assert not transactions(keeper.tell(m.TransactionLost(sent.transaction)))
    again = transactions(keeper.wait(TIMING.renew_every_ns + MS))
    assert again
    item = ServiceItem(keeper.revision + 1, replace(record_of("x"), pause=PAUSE))
    own = SiteRecord(
        incarnation=keeper.state.incarnation, beat=keeper.state.beat, keeper="k", lease_duration_ns=T
    )
    found = SiteItem(keeper.state.own_revision, own)
    orders = keeper.tell(
        m.TransactionAnswered(again[0].transaction, False, 99, found, keeper.peer, (("s", item),))
    )
    assert [(order.ask, order.done) for order in orders if isinstance(order, m.Reply)] == [(1, True)]


def test_a_pause_that_the_store_never_answers_is_said_to_be_unknown() -> None:
    keeper, sent = paused()
    replies: list[m.Reply] = []
    for _ in range(40):
        orders = keeper.tell(m.TransactionLost(sent.transaction)) + keeper.wait(SECOND)
        fresh = transactions(orders)
        sent = fresh[-1] if fresh else sent
        replies += [order for order in orders if isinstance(order, m.Reply)]
    assert [(reply.done, reply.code) for reply in replies] == [(False, "no-quorum")]
    assert replies[0].message == "the store did not answer in time; whether it was done is not known"


def test_p4_a_lost_claim_or_give_up_drops_the_view_as_before() -> None:
    keeper = Alone({"s": record_of(None)}).enter()
    claim = replace(first_claim("s"), epoch=record_of(None).epoch + 1)
    sent = transactions(keeper.tell(m.Asked(1, claim)))[0]
    keeper.tell(m.TransactionLost(sent.transaction))
    assert not keeper.state.services["s"].known
    assert keeper.state.phase is Phase.READING_KEY


def test_p27_a_lost_change_of_mode_drops_the_view_as_before() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    sent = transactions(keeper.tell(m.Asked(1, m.SetMode(service="s", mode="manual"))))[0]
    keeper.tell(m.TransactionLost(sent.transaction))
    assert not keeper.state.services["s"].known
    keeper.wait(50 * MS)
