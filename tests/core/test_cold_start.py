"""P31, P32: a site that starts cold waits for the other one's word; broken glass outlives restarts."""

import pytest

from orchestrator.core import messages as m
from orchestrator.core.messages import ServiceItem
from orchestrator.core.notes import Glass, Note
from orchestrator.core.records import SiteRecord
from orchestrator.core.state import Phase
from tests.core.alone import SECOND, TIMING, Alone, record_of, transactions

T = TIMING.lease_duration_ns
GLASS = Glass("s", 9, "certificate-1")


def break_glass(keeper: Alone, epoch: int = 9) -> list[m.Order]:
    return keeper.tell(
        m.Asked(1, m.BreakGlass(service="s", epoch=epoch, certificate="certificate-1", who="ann", why="fire"))
    )


def replies(orders: list[m.Order]) -> list[tuple[bool, str]]:
    return [(order.done, order.code) for order in orders if isinstance(order, m.Reply)]


# --- P32 ---------------------------------------------------------------------------------------------------


def test_p32_a_cold_start_entitles_to_nothing_before_the_peers_word() -> None:
    keeper = Alone({"s": record_of("x")})
    keeper.register()
    keeper.renew()
    assert keeper.state.phase is Phase.ACTIVE
    assert not keeper.entitled()
    answer = keeper.guard_asks()
    assert answer is not None
    assert answer.remaining_ns == 0


def test_p32_a_beat_that_names_an_incarnation_from_before_the_start_is_no_word() -> None:
    keeper = Alone({"s": record_of("x")})
    keeper.register(own=SiteRecord(incarnation=5, beat=1, keeper="before", lease_duration_ns=T))
    keeper.beat_of_peer(peer_incarnation=5)
    assert keeper.state.word_needed
    keeper.beat_of_peer(peer_incarnation=6)
    assert not keeper.state.word_needed


def test_p32_a_peer_that_broke_the_glass_gives_no_word() -> None:
    keeper = Alone({"s": record_of("x")})
    keeper.register()
    keeper.beat_of_peer(peer_incarnation=1, break_glass=True)
    assert keeper.state.word_needed
    assert not keeper.entitled()


def test_p32_what_was_read_before_the_word_does_not_count() -> None:
    keeper = Alone({"s": record_of("x")})
    keeper.register()
    orders = keeper.beat_of_peer(peer_incarnation=1)
    assert any(isinstance(order, m.ReadOwnKey) for order in orders)
    assert not keeper.state.services["s"].known
    assert not keeper.entitled()


def test_p32_a_lease_that_ended_is_a_break_and_needs_the_word_again() -> None:
    keeper = Alone({"s": record_of("x")}).enter()
    renew = keeper.renewal(keeper.wait(T + SECOND))
    assert keeper.state.word_needed
    keeper.commit(renew)
    assert not keeper.entitled()


def test_p32_a_lease_unbroken_over_a_restart_needs_no_word() -> None:
    keeper = Alone({"s": record_of("x")}, inherited_for_ns=SECOND)
    keeper.register()
    assert not keeper.state.word_needed
    assert keeper.entitled()


def test_p32_a_restart_that_took_longer_than_the_lease_needs_the_word() -> None:
    keeper = Alone({"s": record_of("x")}, inherited_for_ns=SECOND)
    keeper.now_ns += 2 * SECOND
    keeper.register()
    assert keeper.state.word_needed


def test_p32_a_takeover_too_waits_for_the_word() -> None:
    from tests.core.test_promise import takeover_of

    keeper = Alone({"s": record_of("y")})
    keeper.register()
    keeper.tell(m.Asked(1, takeover_of(keeper)))
    for _ in range(20):
        keeper.renew()
    assert transactions(keeper.orders) == []


def test_p32_an_operators_certificate_stands_for_the_word_and_the_services_are_read_again() -> None:
    keeper = Alone({"s": record_of("x")})
    keeper.register()
    orders = keeper.tell(m.Asked(1, m.CertifyPeer(who="ann", why="it burned", certificate="c")))
    assert replies(orders) == [(True, "")]
    assert not keeper.entitled()
    keeper.register(own=SiteRecord(incarnation=1, beat=1, keeper="k", lease_duration_ns=T))
    assert keeper.entitled()


# --- P31 ---------------------------------------------------------------------------------------------------


def test_p31_glass_is_broken_only_where_there_is_no_lease() -> None:
    keeper = Alone({"s": record_of("y")}).enter()
    assert replies(break_glass(keeper)) == [(False, "quorum-there")]
    assert keeper.state.glass == {}


def test_p31_the_epoch_is_above_the_stores() -> None:
    keeper = Alone({"s": record_of("y", epoch=9)})
    keeper.register()
    assert replies(break_glass(keeper)) == [(False, "epoch-too-low")]


def test_p31_it_counts_when_the_disk_has_it_and_not_before() -> None:
    keeper = Alone({"s": record_of("y")})
    keeper.disk_takes = None  # type: ignore[assignment]
    orders = break_glass(keeper)
    assert replies(orders) == []
    assert not keeper.entitled()
    write = next(order for order in orders if isinstance(order, m.WriteNote))
    assert write.note.glass == (GLASS,)
    assert replies(keeper.tell(m.NoteWritten(write.number, ok=True))) == [(True, "")]
    assert keeper.entitled()
    assert keeper.state.epoch("s") == 9


def test_p31_it_outlives_a_restart() -> None:
    keeper = Alone({"s": record_of("y")}, note=Note(glass=(GLASS,)))
    assert keeper.entitled()
    answer = keeper.guard_asks()
    assert answer is not None
    assert (answer.epoch, answer.manual) == (9, True)


def test_p31_our_beats_say_that_the_glass_is_broken_here() -> None:
    keeper = Alone({"s": record_of("y")}, note=Note(glass=(GLASS,)))
    keeper.register()
    assert keeper.renewal(keeper.orders).record.break_glass


def test_p31_what_is_served_under_glass_is_not_fenced_by_what_the_store_says() -> None:
    keeper = Alone({"s": record_of("y")}, note=Note(glass=(GLASS,)))
    keeper.state.services["s"].open_here = True
    keeper.register()
    assert not any(isinstance(order, m.FenceInstance) for order in keeper.wait(3 * T))


def reconciled(keeper: Alone) -> list[m.Order]:
    orders = keeper.tell(m.Asked(2, m.Reconcile(service="s", who="ann", why="the store is back")))
    for read in [order for order in orders if isinstance(order, m.ReadPeer)]:
        orders += keeper.tell(m.PeerRead(read.ask, keeper.peer))
    return orders


@pytest.mark.parametrize(("store_epoch", "written"), [(4, 10), (12, 13)])
def test_p31_reconciliation_writes_an_epoch_above_both_and_revokes_the_peer(
    store_epoch: int, written: int
) -> None:
    keeper = Alone({"s": record_of("y", epoch=store_epoch)}, note=Note(glass=(GLASS,)))
    keeper.register()
    sent = transactions(reconciled(keeper))[0]
    puts = {put.key: put.value for put in sent.puts}
    assert f'"epoch":{written}'.encode() in puts["services/s"]
    assert b'"revoked":true' in puts["sites/y"]
    assert {compare.key for compare in sent.compares} == {"sites/x", "sites/y", "services/s"}


def test_p31_broken_glass_ends_when_the_store_names_us_and_the_guard_has_a_lease_again() -> None:
    keeper = Alone({"s": record_of("y")}, note=Note(glass=(GLASS,)))
    keeper.register()
    keeper.tell(m.Asked(3, m.CertifyPeer(who="ann", why="off", certificate="c")))
    keeper.register(own=SiteRecord(incarnation=1, beat=1, keeper="k", lease_duration_ns=T))
    orders = keeper.tell(m.GuardConnected("s"))
    orders += keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 1, record_of("x", epoch=10))))
    assert "s" in keeper.state.glass
    keeper.acknowledge(keeper.guard_orders(orders, "automatic")[-1])
    assert keeper.state.glass == {}
    assert keeper.note.glass == ()
    assert keeper.entitled()


def test_p31_once_reconciled_the_guard_is_answered_by_the_lease_so_that_its_certificate_can_end() -> None:
    keeper = Alone({"s": record_of("y")}, note=Note(glass=(GLASS,)))
    keeper.register()
    keeper.tell(m.Asked(3, m.CertifyPeer(who="ann", why="off", certificate="c")))
    keeper.register(own=SiteRecord(incarnation=1, beat=1, keeper="k", lease_duration_ns=T))
    before = keeper.guard_asks(is_open=True)
    assert before is not None
    assert (before.epoch, before.manual) == (9, True)
    keeper.tell(m.ServiceSeen("s", ServiceItem(keeper.revision + 1, record_of("x", epoch=10))))
    after = keeper.guard_asks(is_open=True)
    assert after is not None
    assert (after.epoch, after.manual) == (10, False)
    assert 0 < after.remaining_ns <= T


# --- P32: what a guard may have been told without us -----------------------------------------------------


def guarded_site(*, operators: bool) -> Alone:
    """One that starts, with a guard that has not come yet; `operators`: their certificates open guards."""
    keeper = Alone({"s": record_of("y")})
    keeper.state.certifiable = operators
    keeper.register()
    return keeper


def says_unknown(keeper: Alone) -> bool:
    """What the next beat says of it."""
    return keeper.renewal(keeper.wait(SECOND)).record.glass_unknown


def test_p32_first_beats_are_no_word_before_every_guard_that_may_be_open_by_a_certificate_was_heard() -> None:
    keeper = guarded_site(operators=True)
    assert keeper.renewal(keeper.orders).record.glass_unknown
    keeper.tell(m.GuardConnected("s"))
    assert says_unknown(keeper), "it has come, and not said anything yet"
    keeper.guard_asks()
    assert not says_unknown(keeper)


def test_p32_a_guard_that_went_away_may_be_opened_by_a_certificate_meanwhile() -> None:
    keeper = guarded_site(operators=True)
    keeper.tell(m.GuardConnected("s"))
    keeper.guard_asks()
    keeper.tell(m.GuardGone("s"))
    assert says_unknown(keeper)
    keeper.tell(m.GuardConnected("s"))
    assert says_unknown(keeper)
    keeper.tell(m.GuardAsked("s", "n", True, 1, 9, certified=True))
    assert not says_unknown(keeper)
    assert keeper.renewal(keeper.wait(SECOND)).record.break_glass, "now it is known, and it is a no"


def test_p32_where_nobody_s_signature_opens_a_guard_the_journal_alone_knows() -> None:
    keeper = guarded_site(operators=False)
    assert not keeper.renewal(keeper.orders).record.glass_unknown


def test_p32_a_peer_that_does_not_know_gives_no_word() -> None:
    keeper = Alone({"s": record_of("x")})
    keeper.register()
    keeper.beat_of_peer(peer_incarnation=keeper.state.incarnation, glass_unknown=True)
    assert keeper.state.word_needed
    keeper.beat_of_peer(glass_unknown=False)
    assert not keeper.state.word_needed
