"""P33: a person accepts the store that answers, and the keeper starts anew in it without closing anything."""

from dataclasses import fields, replace

from orchestrator.core import messages as m
from orchestrator.core.accepting import may_be_written
from orchestrator.core.messages import Order, SiteItem
from orchestrator.core.notes import EMPTY, Glass, Note
from orchestrator.core.records import Mode, SiteRecord
from orchestrator.core.restored import writer_of
from orchestrator.core.state import OwnershipState, Phase
from tests.core.alone import MS, SECOND, TIMING, Alone, record_of

T = TIMING.lease_duration_ns
SERVED = {"s": record_of("x"), "t": record_of("y")}


def requests(orders: list[Order]) -> list[m.AskPromise]:
    return [order for order in orders if isinstance(order, m.AskPromise)]


def by_promise(keeper: Alone) -> Alone:
    """The store is not trusted any more; the peer promises, for some leases."""
    for _ in range(20):
        for request in requests(keeper.wait(TIMING.renew_every_ns)):
            keeper.tell(m.PromiseAnswered(request.number, granted=True))
    assert keeper.entitled()
    return keeper


def serving(**given: object) -> Alone:
    """s is open at x, by its guard's word, and x goes on by promises."""
    keeper = Alone(SERVED, **given).enter()  # type: ignore[arg-type]
    for service in SERVED:
        for order in keeper.guard_orders(keeper.tell(m.GuardConnected(service)), "learn"):
            keeper.acknowledge(order)
    assert keeper.guard_asks(is_open=True) is not None
    assert keeper.guard_asks("t") is not None
    return by_promise(keeper)


def accepted(keeper: Alone, *, revision: int = 5, next_incarnation: int = 0) -> list[Order]:
    """The store went back to a low revision; what it says of services is certified, in higher epochs."""
    keeper.revision = revision
    keeper.peer = SiteItem(2, replace(keeper.peer.record, hold=True)) if keeper.peer else None
    certified = {name: replace(each, epoch=9, mode=Mode.MANUAL) for name, each in keeper.records.items()}
    keeper.records = certified
    return keeper.tell(m.StoreAccepted(next_incarnation))


def restored_key(keeper: Alone) -> SiteRecord:
    """What the backup has of x: an older beat of this very keeper."""
    return SiteRecord(
        incarnation=keeper.state.confirmed_incarnation, beat=1, keeper="k", lease_duration_ns=T, hold=True
    )


def test_p4_everything_read_before_is_dropped_and_the_key_is_read_first() -> None:
    keeper = serving()
    orders = accepted(keeper)
    assert [type(order) for order in orders] == [m.ReadOwnKey]
    assert not keeper.entitled()
    assert all(not each.known and each.item is None for each in keeper.state.services.values())
    assert keeper.state.peer_item is None
    assert keeper.state.phase is Phase.READING_KEY


def test_what_is_open_stays_open_and_is_entitled_again_once_it_has_registered() -> None:
    keeper = serving()
    guard = keeper.state.services["s"].guard
    assert guard is not None
    told_until_ns = guard.told_until_ns
    keeper.orders.clear()
    accepted(keeper)
    assert keeper.guard_asks(is_open=True) is None, "silence: what it was told ends by itself"
    keeper.register(own=restored_key(keeper))
    assert not keeper.state.word_needed, "the lease was never broken (P32)"
    assert keeper.entitled()
    assert keeper.state.deadline_ns > told_until_ns - T
    closing = [each for each in keeper.orders if isinstance(each, m.FenceInstance | m.CloseInstance)]
    assert closing == []
    assert keeper.guard_orders(keeper.orders, "fence") == []
    answer = keeper.guard_asks(is_open=True)
    assert answer is not None
    assert (answer.epoch, answer.remaining_ns > 0) == (9, True)


def test_a_service_that_this_store_gives_to_the_other_site_is_cut_off() -> None:
    keeper = serving()
    accepted(keeper)
    keeper.records = {"s": record_of("y", epoch=9), "t": record_of("y", epoch=9)}
    keeper.orders.clear()
    keeper.register()
    assert not keeper.entitled()
    assert [each.service for each in keeper.orders if isinstance(each, m.FenceInstance)] == ["s"]


def test_p32_a_lease_that_ended_before_is_not_mended_by_accepting() -> None:
    keeper = Alone(SERVED).enter()
    keeper.wait(T + SECOND)
    assert keeper.state.word_needed
    accepted(keeper)
    keeper.register()
    assert keeper.state.word_needed
    assert not keeper.entitled()


def test_p32_a_registration_sent_after_the_lease_s_end_opens_nothing() -> None:
    keeper = serving()
    accepted(keeper)
    keeper.wait(T + SECOND)
    keeper.register()
    assert keeper.state.word_needed
    assert not keeper.entitled()


def test_p7_what_cannot_register_in_time_is_cut_off_when_its_lease_ends() -> None:
    keeper = serving()
    deadline_ns = keeper.state.deadline_ns
    accepted(keeper)
    fences = []
    while not fences:
        fences = [each for each in keeper.wait(50 * MS) if isinstance(each, m.FenceInstance)]
        assert keeper.now_ns < deadline_ns
    assert keeper.now_ns >= deadline_ns - TIMING.fence_within_ns


def test_p21_the_new_incarnation_is_above_every_one_that_this_site_ever_went_by() -> None:
    keeper = serving()
    before = keeper.state.incarnation
    accepted(keeper, next_incarnation=before + 40)
    keeper.register(own=restored_key(keeper))
    assert keeper.state.confirmed_incarnation == before + 40
    learns = keeper.guard_orders(keeper.wait(SECOND), "learn")
    assert {order.incarnation for order in learns} == {before + 40}


def test_p9_p14_what_was_promised_binds_and_the_wait_begins_anew() -> None:
    keeper = serving()
    keeper.tell(m.PromiseAsked(1, "peer", (7,), 5 * T))
    until_ns = keeper.state.promised_until_ns
    accepted(keeper)
    keeper.register()
    earliest = keeper.state.may_take_at(0)
    assert earliest is not None
    assert earliest >= until_ns
    assert earliest > keeper.now_ns + T


def test_p15_the_peer_is_promised_something_as_soon_as_it_was_read_in_this_store() -> None:
    keeper = serving()
    accepted(keeper)
    keeper.register()
    told = keeper.tell(m.PromiseAsked(2, "peer", (7,), T))
    assert [each.granted for each in told if isinstance(each, m.AnswerPromise)] == [True]


def test_p16_until_then_it_is_promised_something_on_the_note() -> None:
    keeper = serving()
    accepted(keeper)
    told = keeper.tell(m.PromiseAsked(2, "peer", (7,), T))
    assert [each.granted for each in told if isinstance(each, m.AnswerPromise)] == [True]


def test_p16_a_note_that_the_disk_does_not_have_for_certain_promises_nothing() -> None:
    keeper = serving()
    keeper.state.notes_possible = (*keeper.state.notes_possible, EMPTY)
    keeper.disk_takes = None  # nothing is heard of it
    accepted(keeper)
    told = keeper.tell(m.PromiseAsked(2, "peer", (7,), T))
    assert [each.granted for each in told if isinstance(each, m.AnswerPromise)] == [False]


def test_p15_the_peer_is_asked_by_the_former_incarnation_too_until_it_names_the_new_one() -> None:
    keeper = serving()
    former = keeper.state.confirmed_incarnation
    accepted(keeper)
    keeper.register(own=restored_key(keeper))
    fresh = keeper.state.confirmed_incarnation
    assert fresh > former
    assert requests(keeper.wait(SECOND))[-1].incarnations == (former, fresh)
    keeper.beat_of_peer(peer_incarnation=former)
    assert requests(keeper.wait(SECOND))[-1].incarnations == (former, fresh)
    keeper.beat_of_peer(peer_incarnation=fresh)
    assert requests(keeper.wait(SECOND))[-1].incarnations == (fresh,)


def test_p15_a_keeper_that_was_revoked_in_this_store_names_former_incarnations_no_more() -> None:
    keeper = serving()
    accepted(keeper)
    keeper.register(own=replace(restored_key(keeper), revoked=True))
    fresh = keeper.state.confirmed_incarnation
    assert requests(keeper.wait(SECOND))[-1].incarnations == (fresh,)


def test_no_number_is_given_twice_so_that_no_late_answer_fits_a_later_question() -> None:
    keeper = serving()
    request = requests(keeper.wait(SECOND))[-1]
    before = {each.name: getattr(keeper.state, each.name) for each in fields(OwnershipState)}
    accepted(keeper)
    counters = [name for name in before if name.startswith("next_") and name != "next_internal_ask"]
    assert "next_promise" in counters
    assert "next_guard_order" in counters
    for name in (*counters, "registration", "read_attempt"):
        assert getattr(keeper.state, name) >= before[name], name
    deadline_ns = keeper.state.deadline_ns
    keeper.tell(m.PromiseAnswered(request.number, granted=True))
    assert keeper.state.deadline_ns == deadline_ns


def test_asks_that_waited_are_told_that_they_ended() -> None:
    keeper = serving()
    keeper.tell(m.Asked(7, m.SetPause(service="s", pause=None)))
    keeper.tell(m.Asked(8, m.Settle(service="s", run="r", why="done")))
    replies = {each.ask: each.code for each in accepted(keeper) if isinstance(each, m.Reply)}
    assert set(replies.values()) <= {"no-quorum"}
    assert keeper.state.asks == {}


def test_a_close_that_ends_after_it_gives_nothing_up() -> None:
    """P23: whoever asked for it was told that it ended; the service may be opened again by its owner."""
    keeper = serving()
    keeper.state.services["s"].closing = True
    accepted(keeper)
    keeper.tell(m.CloseEnded("s", True, None, "closed"))
    keeper.register()
    held = keeper.state.services["s"]
    assert (held.shut, held.giving_up, held.closing) == (True, False, False)
    assert keeper.entitled()


def test_a_fence_that_is_under_way_is_not_overtaken_by_an_answer() -> None:
    """P20."""
    keeper = serving()
    keeper.tell(m.GuardConnected("s"))
    keeper.tell(m.Asked(9, m.GiveUpDead(service="s", why="dead")))
    guard = keeper.state.services["s"].guard
    assert guard is not None
    assert guard.fence_order
    accepted(keeper)
    keeper.register()
    assert keeper.guard_asks(is_open=True) is None


def test_p29_hold_is_relied_on_again_only_when_this_store_has_it_from_this_incarnation() -> None:
    keeper = serving()
    keeper.state.hold_carried = keeper.state.hold_relied = True
    accepted(keeper)
    assert not keeper.state.hold_relied
    keeper.tell(m.OwnKeyRead(keeper.state.read_attempt, SiteItem(3, restored_key(keeper))))
    assert not keeper.state.hold_relied, "that beat is of the backup"
    assert keeper.state.hold_carried, "P21: over a key that carries hold it is carried on"


def test_p32_what_is_served_by_hold_alone_goes_on() -> None:
    """The link is down as well: no promise, no lease; the guard is open, and the note says so."""
    note = Note(hold_incarnation=3, hold_services=(("s", 4),))
    keeper = Alone(SERVED, note=note)
    keeper.tell(m.GuardAsked("s", "n1", True, 3, 4))
    assert not keeper.state.registered, "the store was put back while it was down"
    accepted(keeper)
    keeper.tell(m.GuardAsked("s", "n2", True, 3, 4))
    keeper.register(own=replace(restored_key(keeper), incarnation=3, keeper="before"))
    assert keeper.state.hold_relied
    assert keeper.entitled()


def test_a_keeper_that_ends_before_it_has_registered_leaves_the_lease_to_the_next() -> None:
    keeper = serving()
    deadline_ns = keeper.state.deadline_ns
    accepted(keeper)
    assert keeper.state.lease_left_to_next() == deadline_ns
    keeper.register()
    assert keeper.state.lease_left_to_next() == keeper.state.deadline_ns


def test_a_keeper_that_is_superseded_does_not_start_anew() -> None:
    keeper = serving()
    keeper.state.phase = Phase.SUPERSEDED
    assert accepted(keeper) == []
    assert keeper.state.phase is Phase.SUPERSEDED


# --- broken glass ------------------------------------------------------------------------------------------


def under_glass() -> Alone:
    """y is certified off, and s is served here by that."""
    keeper = Alone({"s": record_of("y")}, note=Note(glass=(Glass("s", 5, "glass-1"),)))
    keeper.state.services["s"].open_here = True
    assert keeper.entitled()
    return keeper


def test_p31_the_disk_says_that_glass_is_being_ended_before_anything_is_certified() -> None:
    keeper = under_glass()
    keeper.disk_takes = False
    assert not may_be_written(keeper.state)
    keeper.tell(m.StoreToBeAccepted())
    assert not may_be_written(keeper.state), "the disk may still hold the note of before"
    keeper.disk_takes = True
    keeper.wait(SECOND)
    assert may_be_written(keeper.state)
    assert [glass.reconciling for glass in keeper.note.glass] == [True]


def test_p31_whoever_starts_after_it_was_certified_does_not_serve_by_the_glass_beside_a_taker() -> None:
    keeper = under_glass()
    keeper.tell(m.StoreToBeAccepted())
    keeper.wait(SECOND)
    after = Alone({"s": record_of("y", epoch=7)}, note=keeper.note)
    assert not after.entitled()
    assert after.guard_asks(is_open=True) is None


def test_p31_what_is_served_by_glass_is_served_on_and_ends_by_the_record_above_it() -> None:
    keeper = under_glass()
    keeper.tell(m.StoreToBeAccepted())
    keeper.wait(SECOND)
    keeper.orders.clear()
    keeper.records = {"s": record_of("x", epoch=6)}
    accepted(keeper)
    keeper.wait(100 * MS)
    assert keeper.entitled(), "this very keeper knows that nobody can have taken it"
    keeper.register()
    keeper.beat_of_peer(peer_incarnation=keeper.state.incarnation)
    keeper.register()
    keeper.renew()
    assert keeper.state.glass == {}
    assert keeper.entitled()
    assert not any(isinstance(each, m.FenceInstance) for each in keeper.orders)


# --- the own mark of hold ----------------------------------------------------------------------------------


def test_p30_a_mark_is_not_taken_away_while_a_guard_may_go_by_it() -> None:
    keeper = serving()
    assert writer_of(keeper.state, 12).hold_is_over
    guard = keeper.state.services["s"].guard
    assert guard is not None
    guard.told_until_ns = keeper.state.deadline_ns + 1
    assert not writer_of(keeper.state, 12).hold_is_over


def test_a_keeper_that_never_registered_does_not_know_what_its_guards_were_told() -> None:
    assert not writer_of(Alone(SERVED).state, 12).hold_is_over


# --- out of touch ------------------------------------------------------------------------------------------


def test_p9_a_store_that_was_out_of_reach_for_a_lease_may_have_been_put_back_so_the_wait_begins_anew() -> (
    None
):
    keeper = Alone(SERVED).enter()
    seen = keeper.state.may_take_at(0)
    keeper.renew()
    assert keeper.state.may_take_at(0) == seen, "nothing of the peer was seen meanwhile"
    for request in requests(keeper.wait(T + SECOND)):
        keeper.tell(m.PromiseAnswered(request.number, granted=True))
    back_ns = keeper.now_ns
    keeper.tell(m.PeerRead(0, keeper.peer))
    fresh = keeper.state.may_take_at(0)
    assert fresh is not None
    assert fresh > back_ns + T
